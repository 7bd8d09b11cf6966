# SPDX-License-Identifier: Apache-2.0
"""The tools of the tests themselves: a strict reader that let something through, or an origin
that miscounted, would make every other test worthless."""
import json
import threading

import pytest

from lib.client import Client, chunked, fetch, head
from lib.origin import OK, EchoOrigin, Origin, answer, pattern
from lib.prometheus import Metrics
from lib.strict_h1 import Closed, Cut, Malformed, Reader, parse_requests

GOOD_REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a?b=%20 HTTP/1.1\r\nHost: a:80\r\nX:\r\nY: \xe4 b\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
]
BAD_REQUESTS = [
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: trailing \r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
]
BAD_RESPONSES = [
    b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
]


@pytest.mark.parametrize("data", GOOD_REQUESTS)
def test_strict_reader_takes_good_requests(data):
    assert len(parse_requests(data + data)) == 2


@pytest.mark.parametrize("data", BAD_REQUESTS)
def test_strict_reader_refuses_bad_requests(data):
    with pytest.raises(Malformed):
        parse_requests(data)


@pytest.mark.parametrize("data", BAD_RESPONSES)
def test_strict_reader_refuses_bad_responses(data):
    with pytest.raises(Malformed):
        Reader.of(data).response()


def test_strict_reader_gives_all_parts_of_a_request():
    request = Reader.of(GOOD_REQUESTS[4]).request()
    assert (request.method, request.target, request.body, request.chunks) == \
        ("POST", "/", b"abc", 1)
    assert request.headers.get("host") == "a"
    assert request.trailers == [("T", "1")]


def test_strict_reader_tells_how_a_response_ended():
    assert Reader.of(b"HTTP/1.1 200 OK\r\n\r\nabc").response().until_close
    with pytest.raises(Cut) as cut:
        Reader.of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").response()
    assert cut.value.so_far == b"abc"
    with pytest.raises(Closed):
        Reader.of(b"").response()
    interim = Reader.of(b"HTTP/1.1 100 Continue\r\n\r\n" + OK).response()
    assert [r.status for r in interim.interim] == [100] and interim.body == b"ok"
    head_only = Reader.of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert head_only.response("HEAD").body == b""


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("unix", [False, True])
def test_client_and_scripted_origin_exchange_exact_bytes(origin, unix, bytewise):
    server = origin(answer(OK, b"HTTP/1.1 200 OK\r\n\r\nrest"), unix=unix)
    data = head("POST", "/x", [("Transfer-Encoding", "chunked")]) + chunked(b"abc", b"d")
    with Client(server.name) as client:
        assert client.waits(0.05)
        client.send(data, bytewise)
        assert client.response().body == b"ok"
        client.send(head("GET", "/y"))
        last = client.response()
        assert last.until_close and last.body == b"rest"
        assert client.ends()
    assert bytes(server.peers[0].received) == data + head("GET", "/y")
    assert [(r.method, r.target, r.body) for r in server.requests] == \
        [("POST", "/x", b"abcd"), ("GET", "/y", b"")]


def test_scripted_origin_fails_the_test_on_malformed_requests():
    server = Origin(answer(OK))
    with Client(server.name) as client:
        client.send(b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.ends()
    with pytest.raises(AssertionError, match="request line"):
        server.stop()


def test_echo_origin_tells_what_it_got_and_counts_concurrency():
    server = EchoOrigin("one", delay=0.3)
    threads = [threading.Thread(target=fetch, args=(server.name,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.peak == 3 and server.active == 0 and server.served == 3
    server.delay = 0
    with Client(server.name) as client:
        facts = json.loads(client.request("PUT", "/a?b", {"X": "1"}, [b"ab", b"c"]).body)
        assert (facts["app"], facts["method"], facts["target"], facts["body"], facts["chunks"]) == \
            ("one", "PUT", "/a?b", "abc", 2)
        assert client.request(target="/bytes/9000").body == pattern(9000)
        assert client.request(target="/chunked/9000").body == pattern(9000)
        assert client.request(target="/status/204").status == 204
        assert client.request("HEAD", "/").body == b""
    server.stop()


def test_prometheus_reader_is_strict():
    good = Metrics('# HELP a_total b\n# TYPE a_total counter\na_total{x="1",y="a\\"b"} 2\n'
                   'a_total{x="2"} 3\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\n')
    assert good.sum("a_total") == 5 and good.sum("a_total", x="2") == 3
    for bad in ("a 1\n", "# TYPE a counter\na 1", "# TYPE a counter\na{x=1} 1\n",
                "# TYPE a counter\na 1\na 2\n", '# TYPE a counter\na{x="\n"} 1\n'):
        with pytest.raises(AssertionError):
            Metrics(bad)
