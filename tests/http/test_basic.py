# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 through Lintel as ordinary clients and applications speak it."""
import hashlib
import json
import threading

import pytest

from lib.client import Client, chunked, head
from lib.configs import basic
from lib.origin import OK, always, pattern
from lib.strict_h1 import Cut, Fields
from lib.wait import wait_until

BIG = 8 << 20


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(basic(app))


@pytest.fixture
def client(gw):
    with gw.client() as c:
        yield c


def facts(response):
    """What the application tells that it got."""
    assert response.status == 200, response
    told = json.loads(response.body)
    told["headers"] = Fields(tuple(f) for f in told["headers"])
    return told


def test_get_reaches_the_application_and_its_answer_comes_back(client):
    response = client.request(target="/a/b?c=d&e=%20f", headers={"X-Mine": "1"})
    got = facts(response)
    assert (got["method"], got["target"], got["length"]) == ("GET", "/a/b?c=d&e=%20f", 0)
    assert got["headers"].get("x-mine") == "1"
    assert response.headers.get("server") == "app"
    assert response.headers.get("content-type") == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_with_length_arrives_with_length(client, method):
    got = facts(client.request(method, "/x", body=b'{"a": 1}'))
    assert (got["method"], got["body"], got["chunks"]) == (method, '{"a": 1}', 0)
    assert got["headers"].get("content-length") == "8"


def test_an_empty_body_with_length_arrives_as_one(client):
    got = facts(client.request("POST", "/x", body=b""))
    assert got["length"] == 0 and got["headers"].get("content-length") == "0"


def test_a_chunked_body_arrives_whole(client):
    got = facts(client.request("POST", "/x", body=[b"abc", b"d" * 300, b"e"]))
    assert got["body"] == "abc" + "d" * 300 + "e"


def test_a_chunked_body_sent_byte_by_byte_arrives_whole(client):
    client.send(head("POST", "/x", [("Transfer-Encoding", "chunked")]) + chunked(b"ab", b"cde"),
                bytewise=True)
    assert facts(client.response())["body"] == "abcde"


def test_a_body_is_echoed_whatever_its_bytes(client):
    body = bytes(range(256)) * 3
    assert facts(client.request("POST", body=body))["body"].encode("latin-1") == body


@pytest.mark.parametrize("framing", [b"Content-Length: 5000", b"Transfer-Encoding: chunked"])
def test_head_has_the_fields_of_get_and_no_body(shop, framing):
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(2):
            response = client.request("HEAD")
            assert response.status == 200 and response.body == b""
            assert response.headers.get("content-length") in (None, "5000")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_leaves_the_connection_in_step(client, status):
    response = client.request(target=f"/status/{status}")
    assert response.status == status and response.body == b""
    assert facts(client.request(target="/next"))["target"] == "/next"


def test_many_requests_share_one_connection_on_both_sides(client, app):
    connections = {facts(client.request(target=f"/{i}"))["connection"] for i in range(20)}
    assert len(connections) == 1
    assert all(r.target != "/21" for r in app.requests)


def test_pipelined_requests_are_answered_in_order(client):
    client.send(b"".join(head("GET", f"/p/{i}") for i in range(10)))
    assert [facts(client.response())["target"] for _ in range(10)] == \
        [f"/p/{i}" for i in range(10)]


def test_pipelined_requests_with_bodies_are_answered_in_order(client):
    post = head("POST", "/one", [("Content-Length", "3")]) + b"abc"
    more = head("POST", "/two", [("Transfer-Encoding", "chunked")]) + chunked(b"de")
    client.send(post + more + head("GET", "/three"), bytewise=True)
    got = [facts(client.response()) for _ in range(3)]
    assert [(g["target"], g["body"]) for g in got] == \
        [("/one", "abc"), ("/two", "de"), ("/three", "")]


def test_empty_lines_before_a_request_are_skipped(client):
    client.send(b"\r\n" + head("GET", "/x"))
    assert facts(client.response())["target"] == "/x"


def test_connection_close_is_honoured(client):
    response = client.request(headers={"Connection": "close"})
    assert response.status == 200
    assert response.headers.get("connection").lower() == "close"
    assert client.ends()


def test_http_1_0_is_answered_and_closed(client):
    client.send(head("GET", "/x", version="HTTP/1.0"))
    response = client.response()
    got = facts(response)
    assert got["target"] == "/x"
    assert client.ends()


def test_http_1_0_without_host_reaches_the_default_site(client):
    client.send(head("GET", "/x", host=None, version="HTTP/1.0"))
    assert client.response().status == 200


def test_http_1_0_never_gets_a_chunked_response(client):
    client.send(head("GET", "/chunked/20000", version="HTTP/1.0"))
    response = client.response()
    assert "transfer-encoding" not in response.headers
    assert response.body == pattern(20000)
    assert client.ends()


def test_http_1_0_keep_alive_works_when_the_length_is_known(client):
    for _ in range(2):
        client.send(head("GET", "/x", {"Connection": "keep-alive"}, version="HTTP/1.0"))
        response = client.response()
        assert facts(response)["target"] == "/x"
        assert response.headers.get("connection").lower() == "keep-alive"


def test_expect_continue_is_answered_before_the_body_is_sent(client):
    client.send(head("POST", "/x", {"Expect": "100-continue", "Content-Length": "3"}))
    interim = client.reader.response_head()
    assert interim.status == 100
    client.send(b"abc")
    got = facts(client.response())
    assert got["body"] == "abc"
    assert "expect" not in got["headers"]


def test_expect_continue_with_the_body_at_once_is_served_too(client):
    client.send(head("POST", "/x", {"Expect": "100-continue", "Content-Length": "3"}) + b"abc")
    assert facts(client.response())["body"] == "abc"


def test_an_unknown_expectation_is_refused(client):
    response = client.request("POST", headers={"Expect": "miracles"}, body=b"")
    assert response.status == 417
    assert json.loads(response.body)["cause"] == "expect_unsupported"


def test_a_chunked_response_arrives_whole(client):
    response = client.request(target="/chunked/100000")
    assert response.body == pattern(100000) and response.chunks > 0


def test_a_response_that_ends_with_the_connection_arrives_whole(shop):
    def until_close(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + pattern(70000))
    server = shop.origin(until_close)
    with shop.lintel(basic(server)).client() as client:
        for _ in range(2):
            assert client.request().body == pattern(70000)


def test_request_trailers_reach_the_application(client):
    client.send(head("POST", "/x", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
                + chunked(b"abc", trailers=[("X-Sum", "42")]))
    got = facts(client.response())
    assert got["body"] == "abc" and ["X-Sum", "42"] in got["trailers"]


def test_response_trailers_reach_the_client(shop):
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                b"2\r\nok\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n"))
    with shop.lintel(basic(server)).client() as client:
        response = client.request(headers={"TE": "trailers"})
        assert response.body == b"ok" and response.trailers == [("X-Sum", "42")]
        assert client.request().body == b"ok"


def test_interim_responses_reach_the_client(shop):
    server = shop.origin(always(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + OK))
    with shop.lintel(basic(server)).client() as client:
        response = client.request()
        assert response.body == b"ok"
        assert [r.status for r in response.interim] == [103]
        assert response.interim[0].headers.get("link") == "</a.css>"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_upload_arrives_unchanged(client, framing):
    data = pattern(BIG)
    pieces = [data[i:i + 100_000] for i in range(0, len(data), 100_000)]
    got = facts(client.request("POST", body=data if framing == "length" else pieces))
    assert (got["length"], got["sha256"]) == (BIG, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("framing", ["bytes", "chunked"])
def test_a_large_download_arrives_unchanged(client, framing):
    response = client.request(target=f"/{framing}/{BIG}")
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(pattern(BIG)).digest()


def test_uploads_and_downloads_at_the_same_time(gw):
    data, failures = pattern(1 << 20), []

    def both(number):
        try:
            with gw.client() as c:
                for _ in range(3):
                    assert facts(c.request("PUT", body=[data]))["length"] == len(data)
                    assert c.request(target=f"/chunked/{300_000 + number}").body == \
                        pattern(300_000 + number)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(repr(e))
    threads = [threading.Thread(target=both, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_an_early_response_is_delivered_while_the_body_is_still_being_sent(shop):
    """A server that refuses a large body after the head: its answer must not get lost."""
    def refuse(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        peer.sock.shutdown(1)
        peer.until_closed()
    server = shop.origin(refuse)
    gw = shop.lintel(basic(server, routes=[
        {"match": "/*", "to": "app", "body": {"max": "64M", "stream": True}}]))
    with gw.client() as client:
        client.send(head("POST", "/", [("Content-Length", str(64 << 20))]))
        client.send(bytes(4 << 20))
        response = client.response()
        assert response.status == 403 and response.body == b"no"
        assert client.ends()
    assert "cause" not in gw.access(status=403)[0]


def test_a_client_that_goes_away_frees_the_server(shop):
    released = threading.Event()

    def wait(peer):
        peer.request()
        peer.until_closed()
        released.set()
    server = shop.origin(wait, always(OK))
    gw = shop.lintel(basic(server))
    client = gw.client()
    client.send(head("GET", "/slow"))
    wait_until(lambda: server.requests, "the request at the origin")
    client.reset()
    assert released.wait(10)
    assert gw.access(cause="client_gone")
    assert gw.get().body == b"ok"


def test_a_client_that_has_finished_sending_still_gets_its_response(gw):
    with gw.client() as client:
        client.send(head("GET", "/sleep/200"))
        client.finish_sending()
        assert client.response().status == 200


def test_a_response_cut_by_the_server_is_seen_as_cut(shop):
    server = shop.origin(lambda peer: (peer.request(), peer.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(40))))
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    assert gw.access(cause="response_cut")


def test_a_unix_socket_listener_serves(shop, app):
    config = basic(app)
    config["listen"].append({"name": "local", "address": f"unix:{shop.folder}/in.sock"})
    gw = shop.lintel(config)
    with Client(gw.address("local")) as client:
        assert client.request().status == 200
