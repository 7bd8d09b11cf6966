# SPDX-License-Identifier: Apache-2.0
"""Servers that speak HTTP/2: what they get, what becomes of what they answer, and of what goes
wrong (RFC 9113). Clients speak HTTP/1 here."""
import contextlib
import hashlib
import json
import re
import socket
import ssl
import threading
import time

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe import frame as frames

from lib.client import Cut, chunked, connect, head
from lib.configs import basic
from lib.gateway import command
from lib.h2_origin import H2Peer, app, h2_script
from lib.origin import Closed, pattern
from lib.prometheus import counted
from lib.wait import wait_until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
WS = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
      ("Sec-WebSocket-Key", KEY)]
WS_ROUTE = [{"match": "/*", "to": "app", "upgrade": ["websocket"]}]
OK = [(":status", "200")]


def h2c(*origins, app=None, **options):
    options.setdefault("workers", 1)
    return basic(*origins, app={"protocol": "h2c", **(app or {})}, **options)


def told(response):
    return json.loads(response.body)


def failed(gateway, cause, status, **request):
    """One request that has to fail so; its access line."""
    response = gateway.get(**request)
    assert (response.status, told(response)["cause"]) == (status, cause), response
    return gateway.access(id=told(response)["request_id"])[0]


# ---- what servers get ----

def test_a_request_becomes_a_stream(shop):
    origin = shop.origin(app)
    gw = shop.lintel(h2c(origin))
    seen = told(gw.get("/x?y=1", headers=[("X-Mixed-Case", "v"), ("Cookie", "a=1"), ("TE", "gzip"),
                                         ("Connection", "x-hop"), ("X-Hop", "1"),
                                         ("Keep-Alive", "5")]))
    names = [n for n, _ in seen["fields"]]
    fields = dict(seen["fields"])
    assert names[:4] == [":method", ":scheme", ":authority", ":path"]
    assert fields[":method"] == "GET" and fields[":path"] == "/x?y=1"
    assert fields[":scheme"] == "http" and fields[":authority"] == "localhost"
    assert fields["x-mixed-case"] == "v" and fields["cookie"] == "a=1"
    assert fields["via"] == "1.1 lintel" and "x-request-id" in fields
    for name in ("host", "connection", "keep-alive", "te", "x-hop", "transfer-encoding"):
        assert name not in names


def test_te_trailers_goes_on(shop):
    gw = shop.lintel(h2c(shop.origin(app)))
    assert dict(told(gw.get(headers=[("TE", "trailers"), ("Connection", "TE")]))["fields"])[
        "te"] == "trailers"


@pytest.mark.parametrize("size", [0, 1, 16384, 5_000_000])
@pytest.mark.parametrize("stream", [False, True], ids=["collected", "streamed"])
@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
def test_request_bodies(shop, size, stream, chunks):
    body = pattern(size)
    origin = shop.origin(app)
    gw = shop.lintel(h2c(origin, routes=[{"match": "/*", "to": "app",
                                          "body": {"stream": stream, "max": "10M"}}]))
    sent = [body[i:i + 40000] for i in range(0, size, 40000)] if chunks else body
    seen = told(gw.get(method="POST", body=sent))
    fields = dict(seen["fields"])
    assert seen["length"] == size and seen["sha256"] == hashlib.sha256(body).hexdigest()
    assert "transfer-encoding" not in fields
    if not chunks:
        assert fields["content-length"] == str(size)


@pytest.mark.parametrize("size", [0, 1, 16384, 5_000_000])
def test_response_bodies(shop, size):
    gw = shop.lintel(h2c(shop.origin(app)))
    with gw.client() as client:
        for _ in range(2):
            response = client.request(target=f"/bytes/{size}")
            assert response.status == 200 and response.body == pattern(size)


def test_request_trailers_go_on(shop):
    gw = shop.lintel(h2c(shop.origin(app)))
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked"})
                    + chunked(b"abc", trailers=[("X-Sum", "1"), ("Content-Length", "9")]))
        assert told(client.response())["trailers"] == [["x-sum", "1"]]


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_response_trailers_go_on(shop, body):
    @h2_script
    def script(h2):
        while True:
            h2.respond(h2.request(), 200, body=body, trailers=[("x-sum", "1"), ("x-two", "2")])
    gw = shop.lintel(h2c(shop.origin(script)))
    response = gw.get()
    assert response.body == body
    if not body:
        return
    @h2_script
    def unknown_length(h2):
        stream = h2.request()
        h2.headers(stream, OK)
        h2.data(stream, b"abc")
        h2.headers(stream, [("x-sum", "1")], end=True)
    gw = shop.lintel(h2c(shop.origin(unknown_length)))
    response = gw.get()
    assert response.body == b"abc" and dict(response.trailers) == {"x-sum": "1"}


@pytest.mark.parametrize("method,status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_responses_without_a_body(shop, method, status):
    @h2_script
    def script(h2):
        while True:
            h2.respond(h2.request(), status, [("content-length", "7")] if status != 204 else [])
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin))
    with gw.client() as client:
        for _ in range(2):
            response = client.request(method)
            assert (response.status, response.body) == (status, b"")
    assert len(origin.peers) == 1


def test_interim_responses(shop):
    @h2_script
    def script(h2):
        stream = h2.request()
        h2.headers(stream, [(":status", "102")])
        h2.headers(stream, [(":status", "103"), ("link", "</a.css>; rel=preload")])
        h2.respond(stream, 200, body=b"ok")
    gw = shop.lintel(h2c(shop.origin(script)))
    with gw.client() as client:
        client.send(head("GET", "/"))
        early = client.reader.response_head()
        assert early.status == 103 and early.headers.get("link") == "</a.css>; rel=preload"
        assert client.response().body == b"ok"


def test_too_many_interim_responses(shop):
    @h2_script
    def script(h2):
        stream = h2.request()
        for _ in range(20):
            h2.headers(stream, [(":status", "102")])
        h2.until_closed()
    line = failed(shop.lintel(h2c(shop.origin(script))), "response_invalid", 502)
    assert line["detail"] == "too many interim responses"


def test_an_expectation_goes_to_the_server_on_streaming_routes(shop):
    @h2_script
    def script(h2):
        stream = h2.head()
        assert stream.headers["expect"] == "100-continue"
        h2.headers(stream, [(":status", "100")])
        h2.wait(lambda: stream.ended)
        h2.respond(stream, 200, body=bytes(stream.body))
    gw = shop.lintel(h2c(shop.origin(script), routes=[{"match": "/*", "to": "app",
                                                      "body": {"stream": True}}]))
    with gw.client() as client:
        client.send(head("POST", "/", {"Expect": "100-continue", "Content-Length": "3"}))
        assert client.reader.response_head().status == 100
        client.send(b"abc")
        assert client.response().body == b"abc"


# ---- connections ----

def concurrently(gateway, count, target):
    results = [None] * count

    def one(i):
        results[i] = gateway.get(target).status
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@h2_script
def together(h2):
    """Answers once ten requests are there at the same time."""
    first = [h2.request() for _ in range(10)]
    for stream in reversed(first):
        h2.respond(stream, 200, body=b"ok")
    while True:
        h2.respond(h2.request(), 200, body=b"ok")


def test_many_requests_share_one_connection(shop):
    origin = shop.origin(together)
    gw = shop.lintel(h2c(origin))
    assert concurrently(gw, 10, "/") == [200] * 10
    assert gw.get().status == 200
    assert len(origin.peers) == 1


def gathering(count, **settings):
    """Scripts whose connections answer when there are `count` requests over all of them."""
    there, lock = [], threading.Lock()

    @h2_script(settings=settings)
    def script(h2):
        mine = []
        def look():
            for stream in h2.streams.values():
                if stream.ended and stream not in mine:
                    mine.append(stream)
                    with lock:
                        there.append(stream)
            return len(there) >= count
        h2.peer.sock.settimeout(0.05)
        while not look():
            try:
                h2.read()
            except TimeoutError:
                pass
        h2.most = len(mine)
        for stream in mine:
            h2.respond(stream, 200, body=b"ok")
        h2.peer.sock.settimeout(None)
        h2.until_closed()
    return script


def test_a_full_connection_gets_a_second(shop):
    origin = shop.origin(gathering(6))
    gw = shop.lintel(h2c(origin, app={"http2": {"streams": 2}}))
    assert concurrently(gw, 6, "/") == [200] * 6
    assert [p.h2.most for p in origin.peers] == [2, 2, 2]


def test_the_servers_limit_of_streams_is_obeyed(shop):
    origin = shop.origin(h2_script(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})(
        lambda h2: serve_counting(h2)))
    gw = shop.lintel(h2c(origin))
    assert gw.get().status == 200  # the SETTINGS are known now
    assert concurrently(gw, 6, "/sleep/200") == [200] * 6
    assert all(p.h2.peak <= 2 for p in origin.peers) and len(origin.peers) > 1


def serve_counting(h2):
    h2.peak = 0
    while True:
        stream = h2.request()
        h2.peak = max(h2.peak, sum(1 for s in h2.streams.values() if s.ended and not s.taken) + 1)
        if stream.path.startswith("/sleep"):
            h2.peer.pause(0.2)
        h2.respond(stream, 200, body=b"ok")


def test_all_connections_full(shop):
    go = threading.Event()

    @h2_script
    def script(h2):
        while True:
            stream = h2.request()
            go.wait(20)
            h2.respond(stream, 200, body=b"ok")
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, app={"http2": {"streams": 1, "connections": 1},
                                      "queue": {"size": 0}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        wait_until(lambda: origin.requests, "the first request")
        line = failed(gw, "streams_exhausted", 503)
        assert line["status"] == 503
        go.set()
        assert client.response().status == 200
    wait_until(lambda: gw.get().status == 200, "room")  # the stream's end comes behind its body


def test_idle_connections_are_kept_and_closed_with_goodbye(shop):
    origin = shop.origin(app)
    gw = shop.lintel(h2c(origin, app={"http2": {"idle": "300ms"}}))
    for _ in range(3):
        gw.get()
    assert len(origin.peers) == 1
    wait_until(lambda: origin.peers[0].closed.is_set(), "the connection's end")
    assert origin.peers[0].h2.goaway.error_code == ErrorCodes.NO_ERROR
    assert gw.get().status == 200 and len(origin.peers) == 2


def test_the_server_closes_an_idle_connection(shop):
    @h2_script
    def once(h2):
        h2.respond(h2.request(), 200, body=b"ok")
    origin = shop.origin(once)
    gw = shop.lintel(h2c(origin))
    for _ in range(5):
        assert gw.get(method="POST", body=b"x").status == 200
        wait_until(lambda: all(p.closed.is_set() for p in origin.peers), "the connection's end")


def test_pings_find_a_silent_server(shop):
    @h2_script
    def script(h2):
        h2.request()
        while not h2.pings:  # reads without an answer
            data = h2.peer.sock.recv(65536)
            events = h2.conn.receive_data(data)
            h2.conn.data_to_send()
            h2.pings = [e for e in events if type(e).__name__ == "PingReceived"]
        h2.peer.until_closed()
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, app={"http2": {"ping": "1s"}, "timeouts": {"connect": "500ms"}}))
    line = failed(gw, "server_silent", 504)
    assert line["detail"] == "no answer to a PING" and origin.peers[0].h2.pings


def test_pings_leave_a_slow_server_alone(shop):
    gw = shop.lintel(h2c(shop.origin(
        h2_script(lambda h2: answer_after_ping(h2))), app={"http2": {"ping": "1s"}}))
    assert gw.get().body == b"ok"


def answer_after_ping(h2):
    stream = h2.request()
    h2.wait(lambda: h2.pings)
    h2.respond(stream, 200, body=b"ok")
    h2.until_closed()


def test_a_reload_that_drops_the_server_lets_its_streams_end(shop):
    go = threading.Event()

    @h2_script
    def script(h2):
        stream = h2.request()
        go.wait(20)
        h2.respond(stream, 200, body=b"ok")
        h2.until_closed()
    old, new = shop.origin(script), shop.origin(app)
    gw = shop.lintel(h2c(old))
    with gw.client() as client:
        client.send(head("GET", "/"))
        wait_until(lambda: old.requests, "the request")
        gw.reload(h2c(new))
        assert gw.get().status == 200 and len(new.requests) == 1
        go.set()
        assert client.response().body == b"ok"
    wait_until(lambda: old.peers[0].closed.is_set(), "the old connection's end")


# ---- windows ----

def test_a_slow_client_holds_the_server_back_and_nobody_else(shop):
    size = 30_000_000

    @h2_script
    def script(h2):
        sizes = {}
        h2.peer.sock.settimeout(0.02)
        while True:
            try:
                h2.read()
            except TimeoutError:
                pass
            for stream in list(h2.streams.values()):
                if stream.number not in sizes:
                    h2.headers(stream, OK)
                    sizes[stream.number] = size if stream.path == "/big" else 5
                h2.sent = getattr(h2, "sent", 0)
                while sizes[stream.number] > 0 and stream.reset is None:
                    room = min(h2.conn.local_flow_control_window(stream.number), 16384,
                               sizes[stream.number])
                    if room == 0:
                        break
                    sizes[stream.number] -= room
                    h2.conn.send_data(stream.number, b"x" * room,
                                      end_stream=sizes[stream.number] == 0)
                    h2.sent += room
            h2.flush()
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin))
    with gw.client() as slow:
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.send(head("GET", "/big"))
        slow.reader.response_head()
        wait_until(lambda: origin.peers and getattr(origin.peers[0].h2, "sent", 0) > 0, "bytes")

        def stands():
            before = origin.peers[0].h2.sent
            time.sleep(0.3)
            return origin.peers[0].h2.sent == before
        wait_until(stands, "the server to be held back")
        assert origin.peers[0].h2.sent < size / 2
        assert gw.get("/small").body == b"xxxxx"
        assert len(origin.peers) == 1
    # The client went in the middle: the server is told.
    wait_until(lambda: origin.peers[0].h2.streams[1].reset == ErrorCodes.CANCEL, "RST_STREAM")
    assert gw.get("/small").body == b"xxxxx"


def test_a_slow_server_holds_the_client_back(shop):
    go = threading.Event()

    @h2_script(credit=False)
    def script(h2):
        stream = h2.head()
        go.wait(20)
        h2.credit = True
        h2.conn.acknowledge_received_data(len(stream.body), stream.number)
        h2.flush()
        h2.wait(lambda: stream.ended)
        h2.respond(stream, 200, body=str(len(stream.body)).encode())
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, routes=[{"match": "/*", "to": "app",
                                          "body": {"stream": True, "max": "100M"}}]))
    size = 20_000_000
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": str(size)}))
        sent, rest = 0, pattern(size)
        client.sock.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                sent += client.sock.send(rest[sent:sent + 65536])
        assert sent < size
        go.set()
        client.sock.settimeout(20)
        client.sock.sendall(rest[sent:])
        assert client.response().body == str(size).encode()


# ---- what goes wrong ----

def test_goaway_before_the_request_was_looked_at_is_not_noticed(shop):
    @h2_script
    def leaving(h2):
        stream = h2.request()
        h2.respond(stream, 200, body=b"first")
        h2.request()
        h2.frame(frames.GoAwayFrame(0, last_stream_id=stream.number, error_code=0))
        h2.peer.until_closed()
    origin = shop.origin(leaving, app)
    gw = shop.lintel(h2c(origin))
    assert gw.get().body == b"first"
    response = gw.get(method="POST", body=b"abc")
    assert told(response)["length"] == 3 and told(response)["connection"] == 1
    assert gw.access(tries=2)[0]["status"] == 200


def test_goaway_lets_older_streams_end(shop):
    @h2_script
    def leaving(h2):
        stream = h2.request()
        h2.frame(frames.GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=0))
        h2.peer.pause(0.2)
        h2.frame(frames.GoAwayFrame(0, last_stream_id=stream.number, error_code=0))
        h2.conn.send_headers(stream.number, OK)
        h2.conn.send_data(stream.number, b"late", end_stream=True)
        h2.flush()
        h2.peer.until_closed()
    origin = shop.origin(leaving, app)
    gw = shop.lintel(h2c(origin))
    assert gw.get().body == b"late"
    assert told(gw.get())["connection"] == 1


def test_a_refused_stream_is_tried_again_whatever_its_method(shop):
    @h2_script
    def refusing(h2):
        h2.reset(h2.request(), ErrorCodes.REFUSED_STREAM)
        stream = h2.request()
        h2.respond(stream, 200, body=bytes(stream.body))
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(refusing)))
    assert gw.get(method="POST", body=b"abc").body == b"abc"
    assert gw.access()[0]["tries"] == 2


def test_refused_again_and_again(shop):
    @h2_script
    def refusing(h2):
        while True:
            h2.reset(h2.request(), ErrorCodes.REFUSED_STREAM)
    origin = shop.origin(refusing)
    gw = shop.lintel(h2c(origin, app={"retry": {"attempts": 3}}))
    line = failed(gw, "stream_refused", 503)
    assert line["detail"] == "REFUSED_STREAM"
    assert line["tries"] == len(origin.requests) and 3 <= line["tries"] <= 4


@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL,
                                  ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.HTTP_1_1_REQUIRED])
def test_a_reset_stream(shop, code):
    @h2_script
    def resetting(h2):
        h2.reset(h2.request(), code)
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    origin = shop.origin(resetting)
    gw = shop.lintel(h2c(origin))
    line = failed(gw, "stream_reset", 502, method="POST", body=b"x")
    assert line["detail"] == code.name and line["tries"] == 1
    assert gw.get().body == b"ok" and len(origin.peers) == 1


def test_a_reset_in_the_middle_of_a_response_is_a_visible_cut(shop):
    @h2_script
    def cutting(h2):
        stream = h2.request()
        h2.headers(stream, [*OK, ("content-length", "10")])
        h2.data(stream, b"abc")
        h2.peer.pause(0.2)
        h2.reset(stream, ErrorCodes.INTERNAL_ERROR)
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(cutting)))
    with pytest.raises((Cut, ConnectionResetError)):
        gw.get()
    assert gw.access(cause="response_cut")[0]["detail"] == "INTERNAL_ERROR"


def test_the_connection_ends_before_the_response(shop):
    @h2_script
    def dying(h2):
        h2.request()
        h2.wait(lambda: h2.acked)  # a close with unread bytes is a reset
    origin = shop.origin(dying)
    gw = shop.lintel(h2c(origin))
    failed(gw, "closed_before_response", 502, method="POST", body=b"x")
    assert len(origin.requests) == 1


def test_a_used_connection_that_ends_is_replaced_for_idempotent_requests(shop):
    @h2_script
    def dying(h2):
        h2.respond(h2.request(), 200, body=b"first")
        h2.request()
    origin = shop.origin(dying, app)
    gw = shop.lintel(h2c(origin))
    assert gw.get().body == b"first"
    assert told(gw.get())["connection"] == 1


def test_the_connection_ends_in_the_middle_of_responses(shop):
    @h2_script
    def dying(h2):
        streams = [h2.request(), h2.request()]
        for stream in streams:
            h2.headers(stream, OK)
            h2.data(stream, b"abc")
        h2.peer.pause(0.2)
    gw = shop.lintel(h2c(shop.origin(dying)))

    cuts = []

    def one():
        try:
            gw.get()
        except (Cut, ConnectionResetError) as cut:
            cuts.append(cut)
    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cuts) == 2
    assert len(gw.access(2, cause="response_cut")) == 2


def test_an_early_answer_stops_the_request(shop):
    @h2_script(credit=False)
    def early(h2):
        stream = h2.head()
        h2.respond(stream, 413, body=b"no")
        h2.reset(stream, ErrorCodes.NO_ERROR)
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    origin = shop.origin(early)
    gw = shop.lintel(h2c(origin, routes=[{"match": "/*", "to": "app", "body": {"max": "10M"}}]))
    response = gw.get(method="POST", body=pattern(5_000_000))
    assert (response.status, response.body) == (413, b"no")
    assert gw.get().body == b"ok" and len(origin.peers) == 1


@pytest.mark.parametrize("fields,body,cause", [
    ([("content-length", "5")], b"abc", "response_framing_invalid"),
    ([("content-length", "2")], b"abc", "response_framing_invalid"),
])
def test_a_length_that_the_body_does_not_have(shop, fields, body, cause):
    @h2_script
    def lying(h2):
        stream = h2.request()
        h2.headers(stream, [*OK, *fields])
        h2.peer.pause(0.1)
        h2.data(stream, body, end=True)
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    gw = shop.lintel(h2c(shop.origin(lying), app={"hold": {"size": 0}}))
    with pytest.raises((Cut, ConnectionResetError)):
        gw.get()
    assert gw.access(cause=cause)
    assert gw.get().body == b"ok"


@pytest.mark.parametrize("block", [
    [],
    [(":status", "099")],
    [(":status", "20x")],
    [(":status", "101")],
    [(":status", "200"), (":status", "200")],
    [(":status", "200"), (":path", "/")],
    [("x", "1"), (":status", "200")],
    [(":status", "200"), ("X-Upper", "1")],
    [(":status", "200"), ("connection", "close")],
    [(":status", "200"), ("transfer-encoding", "chunked")],
    [(":status", "200"), ("upgrade", "h2c")],
    [(":status", "200"), ("x", "a\r\nb: c")],
    [(":status", "200"), ("x", "a\0b")],
    [(":status", "200"), ("x", " padded")],
    [(":status", "200"), ("x y", "1")],
    [(":status", "200"), ("content-length", "+5")],
    [(":status", "200"), ("content-length", "5"), ("content-length", "6")],
    [(":status", "200"), ("content-length", "5"), ("content-length", "5")],
], ids=lambda b: "_".join(f"{n}={v}" for n, v in b).encode("unicode_escape").decode() or "empty")
def test_malformed_heads(shop, block):
    @h2_script
    def malformed(h2):
        stream = h2.request()
        if block:
            h2.headers(stream, block)
        else:
            h2.frame(frames.HeadersFrame(stream.number, data=b"", flags=["END_HEADERS"]))
        h2.wait(lambda: stream.reset is not None)
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    origin = shop.origin(malformed)
    gw = shop.lintel(h2c(origin))
    response = gw.get()
    assert response.status == 502
    assert told(response)["cause"] in ("response_invalid", "response_framing_invalid")
    assert gw.get().body == b"ok" and len(origin.peers) == 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("fields, bytes_", [([("X-A", "a" * 20_000)], 20_000),
                                            ([(f"X-{n}", "1") for n in range(190)], 7000)])
def test_a_head_larger_than_the_server_announces_ends_no_connection(shop, late, fields, bytes_):
    """Others use it. A large head waits for the SETTINGS: what they allow isn't known before."""
    def serve(h2):
        while True:
            stream = h2.request()
            size = sum(len(n) + len(v) + 32 for n, v in stream.fields)
            assert size <= h2.max
            h2.respond(stream, 200, body=b"ok")

    def script(peer):
        h2 = H2Peer(peer)
        h2.max = 10_000 if bytes_ > 10_000 else 7000
        if late:
            peer.pause(0.3)
        h2.announce({SettingCodes.MAX_HEADER_LIST_SIZE: h2.max})
        with contextlib.suppress(Closed):
            serve(h2)
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, defaults={"max_head": "128K", "max_headers": 300}))
    if bytes_ < 8192:
        assert gw.get().body == b"ok"  # a head of this size goes at once: the SETTINGS come first
    for _ in range(2):
        line = failed(gw, "server_head_limit", 431, headers=fields)
        assert re.fullmatch(r"\d+ bytes of target, names and values with 32 for each field, more than "
                            r"the \d+ that the server announces in its SETTINGS "
                            r"\(MAX_HEADER_LIST_SIZE\); the largest field is .* with \d+ bytes",
                            line["detail"]), line
        assert line["tries"] == 1
        assert gw.get(headers=[("X-A", "a" * 5000)]).body == b"ok"
    assert len(origin.peers) == 1


@pytest.mark.parametrize("fields", [[("x", "v" * 70_000)], [(f"x-{i}", "1") for i in range(250)]],
                         ids=["bytes", "fields"])
def test_a_head_that_is_too_large(shop, fields):
    @h2_script
    def large(h2):
        stream = h2.request()
        h2.headers(stream, [*OK, *fields])
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    gw = shop.lintel(h2c(shop.origin(large)))
    failed(gw, "response_head_too_large", 502)
    assert gw.get().body == b"ok"


@pytest.mark.parametrize("method, status, fields", [
    ("HEAD", 200, []),
    ("HEAD", 200, [("content-length", "3")]),
    ("DELETE", 204, []),
    ("GET", 304, []),
    ("GET", 304, [("content-length", "3")]),
])
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_a_body_where_none_may_be_is_dropped(shop, method, status, fields, end, late):
    @h2_script
    def wrong(h2):
        for n in range(3):
            stream = h2.request()
            block = h2.conn.encoder.encode([(":status", str(status)), *fields])
            body = frames.DataFrame(stream.number, data=b"abc", flags=["END_STREAM"] if end else [])
            h2.frame(frames.HeadersFrame(stream.number, data=block, flags=["END_HEADERS"]))
            if late:
                h2.peer.pause(0.05)
            h2.frame(body)
            h2.wait(lambda s=stream: s.reset is not None)
            assert stream.reset == ErrorCodes.CANCEL
        h2.respond(h2.request(), 200, body=b"ok")
        h2.until_closed()
    origin = shop.origin(wrong)
    gw = shop.lintel(h2c(origin))
    for _ in range(3):
        response = gw.get(method=method)
        assert (response.status, response.body) == (status, b"")
    assert gw.get().body == b"ok" and len(origin.peers) == 1
    assert counted(gw, "upstream_bodies_dropped_total") == 3
    assert not any(line.get("cause") for line in gw.access())


def raw(*what):
    """A server that answers a request with these frames on the connection."""
    @h2_script
    def script(h2):
        stream = h2.request()
        for one in what:
            h2.frame(one(stream) if callable(one) else one)
        h2.peer.until_closed()
    return script


def push(stream):
    import hpack
    block = hpack.Encoder().encode([(":method", "GET"), (":scheme", "http"), (":path", "/p"),
                                    (":authority", "localhost")])
    return frames.PushPromiseFrame(stream.number, promised_stream_id=2, data=block,
                                   flags=["END_HEADERS"])


@pytest.mark.parametrize("what", [
    push,
    frames.DataFrame(99, data=b"nobody asked"),
    frames.WindowUpdateFrame(0, window_increment=2**31 - 1),
    frames.SettingsFrame(0, settings={SettingCodes.MAX_FRAME_SIZE: 1}),
    lambda s: frames.HeadersFrame(s.number, data=b"\xff\xff\xff\xff\xff", flags=["END_HEADERS"]),
    frames.ContinuationFrame(1, data=b"", flags=["END_HEADERS"]),
], ids=["push", "unknown_stream", "window", "settings", "hpack", "continuation"])
def test_mistakes_in_the_protocol_end_the_connection(shop, what):
    origin = shop.origin(raw(what), app)
    gw = shop.lintel(h2c(origin))
    failed(gw, "server_protocol", 502, method="POST", body=b"x")
    assert gw.get().status == 200 and len(origin.peers) == 2


@pytest.mark.parametrize("what", [
    frames.PingFrame(0, opaque_data=b"12345678"),
    frames.SettingsFrame(0, settings={}),
    lambda s: frames.DataFrame(s.number, data=b""),
    frames.PriorityFrame(1, depends_on=0, stream_weight=1, exclusive=False),
], ids=["ping", "settings", "empty_data", "priority"])
def test_floods_end_the_connection(shop, what):
    @h2_script
    def flooding(h2):
        stream = h2.request()
        h2.headers(stream, OK)
        h2.peer.pause(0.1)  # the head is at the client
        one = (what(stream) if callable(what) else what).serialize()
        drain = threading.Thread(target=h2.peer.until_closed, daemon=True)
        drain.start()
        while True:
            h2.peer.send(one * 100)
    origin = shop.origin(flooding, app)
    gw = shop.lintel(h2c(origin, app={"http2": {"max_control": 500}}))
    with pytest.raises((Cut, ConnectionResetError)):
        gw.get()
    assert gw.access(cause="server_flood")
    assert gw.get().status == 200


def test_a_server_of_http1_is_told_apart(shop):
    gw = shop.lintel(h2c(shop.origin(lambda peer: (
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        peer.until_closed()))))
    failed(gw, "server_protocol", 502, method="POST", body=b"x")


def test_a_server_that_refuses_is_avoided(shop):
    gw = shop.lintel(h2c(shop.refusing(), shop.origin(app)))
    for _ in range(10):
        assert gw.get().status == 200


def test_a_server_that_cannot_be_reached(shop):
    failed(shop.lintel(h2c(shop.refusing(), app={"queue": {"restart": 0}})), "connect_refused_by_server", 502)


def test_a_client_that_goes_while_the_server_connects(shop):
    gw = shop.lintel(h2c(shop.deaf(), app={"timeouts": {"connect": "1s"}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
    assert gw.get().status in (502, 504)


def test_unix_sockets(shop):
    gw = shop.lintel(h2c(shop.origin(app, unix=True)))
    assert told(gw.get("/x"))["target"] == "/x"


# ---- TLS ----

@pytest.fixture(scope="module")
def pair(authority):
    return authority.leaf("app.test", "127.0.0.1")


def serving(pair, *alpn, version=None):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, pair))
    if version is not None:
        tls.minimum_version = tls.maximum_version = version
    if alpn:
        tls.set_alpn_protocols(list(alpn))
    return tls


def h2(authority, *origins, **options):
    return h2c(*origins, app={"protocol": "h2", "tls": {"ca": str(authority.ca)}, **options})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
                         ids=["1.2", "1.3"])
def test_h2_over_tls(shop, authority, pair, version):
    origin = shop.origin(app, tls=serving(pair, "h2", "http/1.1", version=version))
    gw = shop.lintel(h2(authority, origin))
    for size in (0, 1, 16384, 5_000_000):
        assert gw.get(f"/bytes/{size}").body == pattern(size)
        seen = told(gw.get(method="POST", body=pattern(size)))
        assert seen["length"] == size and dict(seen["fields"])[":scheme"] == "https"
    assert len(origin.peers) == 1


def test_many_requests_share_one_tls_connection(shop, authority, pair):
    origin = shop.origin(together, tls=serving(pair, "h2"))
    gw = shop.lintel(h2(authority, origin))
    assert concurrently(gw, 10, "/") == [200] * 10
    assert len(origin.peers) == 1


def test_a_tls_server_that_agrees_to_nothing(shop, authority, pair):
    gw = shop.lintel(h2(authority, shop.origin(app, tls=serving(pair))))
    assert "ALPN" in failed(gw, "server_protocol", 502)["detail"]


def test_a_tls_server_of_http1(shop, authority, pair):
    gw = shop.lintel(h2(authority, shop.origin(app, tls=serving(pair, "http/1.1"))))
    response = gw.get()
    assert response.status == 502
    assert told(response)["cause"] in ("server_protocol", "server_tls_refused")


def test_a_certificate_nobody_vouches_for(shop, authority, pair):
    origin = shop.origin(app, tls=serving(pair, "h2"))
    gw = shop.lintel(h2c(origin, app={"protocol": "h2", "tls": True}))
    failed(gw, "server_certificate_untrusted", 502)


def test_a_reload_with_other_tls_settings_opens_another_connection(shop, authority, pair):
    origin = shop.origin(app, tls=serving(pair, "h2"))
    gw = shop.lintel(h2(authority, origin))
    assert gw.get().status == 200
    gw.reload(h2(authority, origin))
    assert gw.get().status == 200 and len(origin.peers) == 1
    gw.reload(h2c(origin, app={"protocol": "h2", "tls": {"ca": str(authority.ca),
                                                        "min_version": "1.3"}}))
    assert gw.get().status == 200 and len(origin.peers) == 2
    wait_until(lambda: origin.peers[0].closed.is_set(), "the old connection's end")


# ---- WebSocket (RFC 8441) ----

CONNECT = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}


def ws_head(target="/ws", fields=()):
    return head("GET", target, [*WS, *fields])


def test_a_websocket_becomes_an_extended_connect(shop):
    @h2_script(settings=CONNECT)
    def echoing(h2):
        stream = h2.head()
        h2.headers(stream, [(":status", "200"), ("sec-websocket-protocol", "chat")])
        done = 0
        while not stream.ended:
            h2.wait(lambda: len(stream.body) > done or stream.ended)
            h2.data(stream, bytes(stream.body[done:]))
            done = len(stream.body)
        h2.data(stream, b"bye", end=True)
        h2.until_closed()
    origin = shop.origin(echoing)
    gw = shop.lintel(h2c(origin, routes=WS_ROUTE))
    with gw.client() as client:
        client.send(ws_head(fields=[("Sec-WebSocket-Protocol", "chat")]))
        client.reader.at_end()
        response = client.reader.response_head()
        assert response.status == 101
        assert response.headers.get("upgrade") == "websocket"
        assert response.headers.get("sec-websocket-accept") == ACCEPT
        assert response.headers.get("sec-websocket-protocol") == "chat"
        assert response.headers.get("content-length") is None
        for piece in (b"a", b"b" * 100_000):
            client.send(piece)
            got = client.reader.rest() if piece == b"a" else b""
            while len(got) < len(piece):
                got += client.sock.recv(65536)
            assert got == piece
        client.finish_sending()
        assert client.sock.recv(100) == b"bye" and client.sock.recv(100) == b""
    fields = origin.requests[0].headers
    assert fields[":method"] == "CONNECT" and fields[":protocol"] == "websocket"
    assert fields[":path"] == "/ws" and fields[":scheme"] == "http"
    assert fields["sec-websocket-version"] == "13"
    assert "sec-websocket-key" not in fields and "upgrade" not in fields
    assert "cause" not in gw.access(status=101)[0]


def test_a_websocket_of_http2_on_both_sides(shop):
    @h2_script(settings=CONNECT)
    def echoing(h2):
        stream = h2.head()
        h2.headers(stream, [(":status", "200")])
        h2.wait(lambda: stream.body)
        h2.data(stream, bytes(stream.body))
        h2.wait(lambda: stream.ended)
        h2.data(stream, b"bye", end=True)
        h2.until_closed()
    origin = shop.origin(echoing)
    config = h2c(origin, routes=WS_ROUTE)
    config["listen"][0]["http2"] = {"cleartext": True}
    gw = shop.lintel(config)
    client = H2Client(gw.plain)
    client.conn.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"),
                                 (":scheme", "http"), (":authority", "localhost"),
                                 (":path", "/ws"), ("sec-websocket-version", "13")])
    assert client.until("ResponseReceived").headers[0] == (b":status", b"200")
    client.conn.send_data(1, b"hello")
    assert client.until("DataReceived").data == b"hello"
    client.conn.end_stream(1)
    assert client.until("DataReceived").data == b"bye"
    client.until("StreamEnded")
    client.sock.close()
    fields = origin.requests[0].headers
    assert fields[":protocol"] == "websocket" and "sec-websocket-key" not in fields


class H2Client:
    """One connection with prior knowledge."""

    def __init__(self, address):
        self.sock = connect(address)
        self.conn = H2Connection()
        self.conn.initiate_connection()
        self.events = []

    def until(self, name):
        """The next event of that kind."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if type(event).__name__ == name:
                    return event
            self.sock.sendall(self.conn.data_to_send())
            data = self.sock.recv(65536)
            assert data, f"ended before {name}"
            self.events += self.conn.receive_data(data)


def test_the_server_refuses_the_websocket(shop):
    @h2_script(settings=CONNECT)
    def refusing(h2):
        h2.respond(h2.head(), 403, body=b"no")
        while True:
            h2.respond(h2.request(), 200, body=b"ok")
    gw = shop.lintel(h2c(shop.origin(refusing), routes=WS_ROUTE))
    response = gw.get("/ws", headers=WS)
    assert (response.status, response.body) == (403, b"no")


def test_a_server_without_extended_connect(shop):
    origin = shop.origin(app)
    gw = shop.lintel(h2c(origin, routes=WS_ROUTE))
    for _ in range(2):  # the second time its SETTINGS are known before
        failed(gw, "upgrade_unsupported", 502, target="/ws", headers=WS)
    assert not origin.requests and gw.get().status == 200


def test_the_server_cuts_a_websocket(shop):
    @h2_script(settings=CONNECT)
    def cutting(h2):
        stream = h2.head()
        h2.headers(stream, OK)
        h2.wait(lambda: stream.body)
        h2.reset(stream, ErrorCodes.INTERNAL_ERROR)
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(cutting), routes=WS_ROUTE))
    with gw.client() as client:
        client.send(ws_head() + b"x")
        client.reader.at_end()
        assert client.reader.response_head().status == 101
        assert client.ends()
    assert gw.access(cause="tunnel_cut")


def test_the_client_leaves_a_websocket(shop):
    @h2_script(settings=CONNECT)
    def script(h2):
        stream = h2.head()
        h2.headers(stream, OK)
        h2.wait(lambda: stream.ended or stream.reset is not None)
        h2.left = True
        h2.until_closed()
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, routes=WS_ROUTE))
    client = gw.client()
    client.send(ws_head())
    client.reader.at_end()
    assert client.reader.response_head().status == 101
    client.reset()
    wait_until(lambda: getattr(origin.peers[0].h2, "left", False), "the server to be told")


# ---- configuration ----

@pytest.mark.parametrize("options,words", [
    ({"protocol": "h2"}, "wants TLS"),
    ({"protocol": "h2c", "tls": True}, "h2c is without TLS"),
    ({"protocol": "h2c", "proxy_protocol": "v2"}, "requests of many clients"),
])
def test_options_that_exclude_each_other(tmp_path, options, words):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({
        "lintel": 1, "listen": ["127.0.0.1:0"],
        "upstreams": {"app": {"servers": ["127.0.0.1:1"], **options}},
        "sites": [{"hosts": ["a"], "routes": [{"match": "/*", "to": "app"}]}]}))
    done = command("check", "-c", config)
    assert done.returncode != 0 and words in done.stdout + done.stderr
