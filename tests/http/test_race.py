# SPDX-License-Identifier: Apache-2.0
"""Idle connections to servers: what becomes of a request that meets the end of one, and how that
is avoided. What ran is counted at the origin, so that what is repeated and what must not be are
both seen."""
import contextlib
import json
import os
import select
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from lib.client import Cut, head
from lib.configs import basic
from lib.origin import OK, always
from lib.prometheus import counted
from lib.wait import wait_until


@pytest.fixture(scope="module")
def pair(authority):
    return authority.leaf("localhost", "127.0.0.1")


class Servers:
    """Makes an origin and a gateway for it, over TCP, a Unix socket or TLS."""

    def __init__(self, shop, authority, pair, kind):
        self.shop, self.kind = shop, kind
        self.tls = None
        self.app = {}
        if kind == "tls":
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*map(str, pair))
            self.app = {"tls": {"ca": str(authority.ca)}}

    def start(self, *scripts, **app):
        origin = self.shop.origin(*scripts, unix=self.kind == "unix", tls=self.tls)
        return origin, self.shop.lintel(basic(origin, app={**self.app, **app}, workers=1))


@pytest.fixture(params=["tcp", "unix", "tls"])
def servers(request, shop, authority, pair):
    return Servers(shop, authority, pair, request.param)


def raw(peer):
    """The socket below TLS: a close of it is no end of TLS's."""
    sock = peer.sock
    return socket.socket(fileno=sock.detach()) if isinstance(sock, ssl.SSLSocket) else sock


def dies(how):
    """A connection that answers once, and ends as it gets a second request."""
    def script(peer):
        peer.request()
        peer.send(OK)
        if how == "unread":
            select.select([peer.sock], [], [])
            raw(peer).close()        # bytes that nobody read: Linux resets
        elif how == "half read":
            select.select([peer.sock], [], [])
            sock = raw(peer)
            sock.recv(10)
            sock.close()
        else:
            peer.request()
            if how == "reset":       # all was read, and then reset
                peer.reset()
            else:
                raw(peer).close()
    return script


def second(gateway, method, body=None):
    """The response to a second request on the connection that dies."""
    with gateway.client() as client:
        assert client.request(target="/1").body == b"ok"
        return client.request(method, "/2", body=body)


RAN_AGAIN = [("GET", "unread"), ("GET", "reset"), ("GET", "closed"), ("PUT", "closed"),
             ("DELETE", "closed"), ("POST", "unread"), ("POST", "half read"), ("PATCH", "unread")]


@pytest.mark.parametrize("method,how", RAN_AGAIN)
def test_a_request_that_meets_the_end_of_an_idle_connection_is_sent_again(servers, method, how):
    origin, gw = servers.start(dies(how), always(OK))
    body = None if method in ("GET", "DELETE") else b"x" * 2000
    assert second(gw, method, body).body == b"ok"
    line = gw.access(path="/2")[0]
    assert line["tries"] == 2 and line["status"] == 200 and "cause" not in line
    # Nobody resets a Unix socket of which all was read.
    closed = how == "closed" or (how == "reset" and servers.kind == "unix")
    assert line["recovered"] == ("closed_before_response" if closed else "reset_before_response")
    ran = [r for r in origin.requests if r.target == "/2"]
    assert len(ran) == (1 if "read" in how else 2)
    assert ran[-1].method == method and ran[-1].body == (body or b"")
    assert counted(gw, "keepalive_race_recovered_total") == 1


def test_a_late_reset_says_nothing(shop):
    """It may be that of a machine that has booted anew and knows no such connection."""
    def dies(peer):
        peer.request()
        peer.send(OK)
        select.select([peer.sock], [], [])
        time.sleep(3)
        peer.sock.close()
    origin = shop.origin(dies, always(OK))
    gw = shop.lintel(basic(origin, workers=1))
    response = second(gw, "POST", b"x")
    assert (response.status, json.loads(response.body)["cause"]) == (502, "reset_before_response")
    assert [r.target for r in origin.requests] == ["/1"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_was_read_and_closed_upon_is_not_sent_again(servers, method):
    origin, gw = servers.start(dies("closed"), always(OK))
    response = second(gw, method, b"x")
    assert (response.status, json.loads(response.body)["cause"]) == (502, "closed_before_response")
    assert [r.target for r in origin.requests] == ["/1", "/2"]
    assert "recovered" not in gw.access(path="/2")[0]
    assert counted(gw, "keepalive_race_recovered_total") == 0


def test_a_long_post_that_was_reset_is_not_sent_again(servers):
    """Its beginning may have been acted upon."""
    origin, gw = servers.start(dies("half read"), always(OK))
    response = second(gw, "POST", b"x" * 9000)
    assert (response.status, json.loads(response.body)["cause"]) == (502, "reset_before_response")
    assert [r.target for r in origin.requests] == ["/1"]


def test_a_response_that_began_ends_the_hope_of_a_post(servers):
    def script(peer):
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(b"HTTP/1.1 2")
        raw(peer).close()
    origin, gw = servers.start(script, always(OK))
    response = second(gw, "POST", b"x")
    assert (response.status, json.loads(response.body)["cause"]) == (502, "response_cut")
    assert [r.target for r in origin.requests] == ["/1", "/2"]


def test_posts_to_a_server_that_closes_without_a_word_all_arrive_once(servers):
    """Its end is seen before the request is written, at that, or by the reset that follows."""
    def closing_after_one(peer):
        peer.request()
        peer.send(OK)
    origin, gw = servers.start(closing_after_one)
    with gw.client() as client:
        for i in range(40):
            assert client.request("POST", f"/{i}", body=b"x").body == b"ok"
    assert [r.target for r in origin.requests] == [f"/{i}" for i in range(40)]


@contextlib.contextmanager
def stopped(pid):
    """While this lasts, no thread of the process runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        tasks = [f"/proc/{pid}/task/{t}/stat" for t in os.listdir(f"/proc/{pid}/task")]
        wait_until(lambda: all(" T " in open(t, encoding="utf-8").read() for t in tasks),
                   "the process to stand still")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_an_end_that_came_before_the_request_is_seen(servers, method, how):
    """Both wait for Lintel, the request and the end of the connection that it would take."""
    ends = [threading.Event() for _ in range(4)]

    def script(peer):
        peer.request()
        peer.send(OK)
        ends[peer.number].wait(10)
        if how == "reset":
            sock = raw(peer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        else:
            raw(peer).close()
    origin, gw = servers.start(script, keepalive={"unsafe_idle": "4s"})
    with gw.client() as client:
        assert client.request(target="/0").body == b"ok"
        for i in range(1, 4):
            with stopped(gw.gateway_pid()):
                data = head(method, f"/{i}", {"Content-Length": "1"} if method == "POST" else {})
                client.send(data + b"x" * (method == "POST"))
                ends[i - 1].set()
                wait_until(lambda n=i: origin.peers[n - 1].closed.is_set(), "the end")
            assert client.response().body == b"ok"
        ends[3].set()
    assert [r.target for r in origin.requests] == [f"/{i}" for i in range(4)]
    assert [(line["tries"], line.get("recovered")) for line in gw.access(4)] == [(1, None)] * 4


def test_it_is_sent_again_once_only(servers):
    def always_dies(peer):
        peer.request_head()
        peer.reset()
    origin, gw = servers.start(dies("reset"), always_dies, retry={"attempts": 1})
    response = second(gw, "GET")
    assert response.status == 502
    assert len(origin.peers) == 2 and [r.target for r in origin.requests] == ["/1", "/2", "/2"]


def test_a_streamed_body_that_began_to_leave_is_not_sent_again(shop):
    origin = shop.origin(dies("reset"), always(OK))
    gw = shop.lintel(basic(origin, workers=1, site={"body": {"stream": True}}))
    response = second(gw, "PUT", b"x" * 100)
    assert response.status == 502
    assert [r.target for r in origin.requests] == ["/1", "/2"]


def test_an_upgrade_that_was_read_is_not_sent_again(shop):
    """It gets a connection of its own, and what the application made of it nobody knows."""
    def reads(peer):
        peer.request()
    origin = shop.origin(reads, always(OK))
    gw = shop.lintel(basic(origin, workers=1, routes=[
        {"match": "/*", "to": "app", "upgrade": ["websocket"]}]))
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
              ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    response = gw.get(headers=fields)
    assert json.loads(response.body)["cause"] == "closed_before_response"
    assert len(origin.requests) == 1


def test_stray_bytes_on_an_idle_connection_are_no_answer(servers):
    def stray(peer):
        peer.request()
        peer.send(OK)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        peer.until_closed()
    origin, gw = servers.start(stray, always(OK))
    with gw.client() as client:
        assert client.request(target="/1").body == b"ok"
        assert origin.peers[0].closed.wait(5)
        assert client.request("POST", "/2", body=b"x").body == b"ok"
    assert len(origin.peers) == 2


@pytest.mark.parametrize("after_ms,sent_again", [(10, True), (300, False)])
def test_a_reset_that_follows_the_end_says_that_nothing_was_read(servers, after_ms, sent_again):
    """Some servers shut a connection down before they close it."""
    def script(peer):
        peer.request()
        peer.send(OK)
        select.select([peer.sock], [], [])
        sock = raw(peer)
        sock.shutdown(socket.SHUT_WR)
        time.sleep(after_ms / 1000)
        sock.close()
    origin, gw = servers.start(script, always(OK))
    response = second(gw, "POST", b"x")
    assert response.status == (200 if sent_again else 502)
    if not sent_again:
        assert json.loads(response.body)["cause"] == "closed_before_response"
    assert [r.target for r in origin.requests] == ["/1"] + ["/2"] * sent_again


def test_a_client_that_leaves_while_a_reset_is_waited_for(shop):
    origin = shop.origin(dies("closed"))
    gw = shop.lintel(basic(origin, workers=1))
    for i in range(10):
        with gw.client() as client:
            client.request()
            client.send(head("POST", f"/{i}", {"Content-Length": "1"}) + b"x")
            wait_until(lambda n=i: any(r.target == f"/{n}" for r in origin.requests), "the request")
            client.reset()
        gw.access(path=f"/{i}")


# ---- how long a connection may be idle ----

def ages(seconds=5.0):
    """A server that answers once and closes an idle connection after so long; how it ended goes to
    the script's list `ends`: by whom, after how long."""
    def script(peer):
        peer.request()
        peer.send(script.response)
        began = time.monotonic()
        ready, _, _ = select.select([peer.sock], [], [], seconds)
        script.ends.append(("lintel" if ready else "server", time.monotonic() - began))
    script.ends, script.response = [], OK
    return script


def says(timeout):
    return (b"HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=%d\r\nContent-Length: 2\r\n\r\nok"
            % timeout)


def test_a_connection_is_closed_before_the_time_that_its_server_names(shop):
    script = ages()
    script.response = says(1)
    gw = shop.lintel(basic(shop.origin(script), workers=1))
    response = gw.get()
    assert response.headers.get("keep-alive") is None
    wait_until(lambda: script.ends, "the end of the idle connection")
    assert script.ends[0][0] == "lintel" and 0.6 < script.ends[0][1] < 1.0


def test_a_server_may_name_no_time_at_all(shop):
    script = ages()
    script.response = says(0)
    gw = shop.lintel(basic(shop.origin(script), workers=1))
    gw.get()
    wait_until(lambda: script.ends, "the end of the connection")
    assert script.ends[0][0] == "lintel" and script.ends[0][1] < 0.5


def test_what_servers_say_and_do_need_not_be_heeded(shop):
    script = ages(0.4)
    script.response = says(0)
    gw = shop.lintel(basic(shop.origin(script), workers=1, app={"keepalive": {"learn": False}}))
    for i in range(3):
        gw.get()
        wait_until(lambda n=i: len(script.ends) == n + 1, "the end of the idle connection")
    assert [who for who, _ in script.ends] == ["server"] * 3


def test_the_age_at_which_a_server_closes_is_learnt(shop):
    """From two closes; then ours come first."""
    script = ages(0.6)
    gw = shop.lintel(basic(shop.origin(script), workers=1))
    for i in range(4):
        gw.get()
        wait_until(lambda n=i: len(script.ends) == n + 1, "the end of the idle connection")
        time.sleep(0.05)
    assert [who for who, _ in script.ends] == ["server", "server", "lintel", "lintel"]
    assert all(0.35 < age < 0.6 for _, age in script.ends[2:])


def test_connections_that_end_at_once_teach_nothing(shop):
    """That is a restart."""
    end = threading.Event()

    def script(peer):
        peer.request()
        peer.send(OK)
        peer.request() if end.wait(0.5) and peer.number >= 6 else None
        if peer.number >= 6:
            peer.send(OK)
            peer.until_closed()
    origin = shop.origin(script)
    gw = shop.lintel(basic(origin, workers=1))
    clients = [gw.client() for _ in range(6)]
    for client in clients:
        client.send(head("GET", "/"))
    for client in clients:
        assert client.response().body == b"ok"
        client.close()
    wait_until(lambda: len(origin.peers) == 6, "the connections")
    time.sleep(0.3)
    end.set()
    time.sleep(0.3)
    with gw.client() as client:
        assert client.request().body == b"ok"
        time.sleep(0.7)  # more than what would have been learnt
        assert client.request().body == b"ok"
    assert len(origin.peers) == 7


# ---- small responses are held ----

def piece(text, length=10):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + text


def test_a_small_response_that_is_cut_is_asked_for_again(servers):
    def cut(peer):
        peer.request()
        peer.send(piece(b"abc"))
        raw(peer).close()
    origin, gw = servers.start(cut, always(piece(b"0123456789")))
    assert gw.get("/x").body == b"0123456789"
    line = gw.access(path="/x")[0]
    assert (line["recovered"], line["tries"], line["upstream_status"]) == ("response_cut", 2, 200)
    assert len(origin.requests) == 2


def test_a_cut_response_to_a_post_is_an_error_with_a_cause(servers):
    def cut(peer):
        peer.request()
        peer.send(piece(b"abc"))
        raw(peer).close()
    origin, gw = servers.start(cut, always(OK))
    response = gw.get(method="POST", body=b"x")
    assert (response.status, json.loads(response.body)["cause"]) == (502, "response_cut")
    assert len(origin.requests) == 1


def test_response_hooks_see_the_response_that_was_whole_only(shop):
    (shop.folder / "count.lua").write_text(
        "local f, n = {}, 0\nfunction f.response(ctx) n = n + 1\n"
        "ctx.res.headers['x-n'] = tostring(n) end\nreturn f\n")

    def cut(peer):
        peer.request()
        peer.send(piece(b"abc"))
    gw = shop.lintel(basic(shop.origin(cut, always(piece(b"0123456789"))), workers=1,
                           filters={"count": {"filter": "count"}},
                           routes=[{"match": "/*", "to": "app", "filters": ["count"]}]),
                     env={"LINTEL_SCRIPTS": str(shop.folder)})
    response = gw.get()
    assert response.body == b"0123456789" and response.headers.get("x-n") == "1"


def first_bytes(gateway):
    """What came of a response first, and after how long."""
    with gateway.client() as client:
        began = time.monotonic()
        client.send(head("GET", "/"))
        data = client.sock.recv(65536)
        return data, time.monotonic() - began


def slow(*pieces, pause=0.8):
    def script(peer):
        peer.request()
        peer.send(*pieces, pause=pause)
        peer.until_closed()
    return script


def test_a_small_response_that_comes_slowly_is_not_held_for_long(shop):
    gw = shop.lintel(basic(shop.origin(slow(piece(b"abc"), b"0123456"))))
    data, took = first_bytes(gw)
    assert data.endswith(b"\r\n\r\nabc") and took < 0.6
    with gw.client() as client:
        assert client.request().body == b"abc0123456"


def test_a_head_alone_is_not_held_for_long(shop):
    gw = shop.lintel(basic(shop.origin(slow(piece(b""), b"0123456789"))))
    data, took = first_bytes(gw)
    assert data.endswith(b"\r\n\r\n") and took < 0.6


def test_a_filter_may_think_about_a_response_that_was_held(shop):
    """Neither it nor the end of the waiting time keeps the head back."""
    (shop.folder / "think.lua").write_text(
        "local f = {}\nfunction f.response(ctx) ctx:sleep(0.1) end\nreturn f\n")
    gw = shop.lintel(basic(shop.origin(slow(piece(b""), b"0123456789", pause=1.2)), workers=1,
                           filters={"think": {"filter": "think"}},
                           routes=[{"match": "/*", "to": "app", "filters": ["think"]}]),
                     env={"LINTEL_SCRIPTS": str(shop.folder)})
    data, took = first_bytes(gw)
    assert data.endswith(b"\r\n\r\n") and took < 1
    assert gw.get().body == b"0123456789"


@pytest.mark.parametrize("fields", [
    b"Content-Length: 10\r\nX-Accel-Buffering: no\r\n",
    b"Content-Type: text/event-stream\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 100000\r\n"], ids=["unbuffered", "events", "chunked", "long"])
def test_streams_are_not_held(shop, fields):
    body = b"3\r\nabc\r\n" if b"chunked" in fields else b"abc"
    gw = shop.lintel(basic(shop.origin(slow(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + body)),
                           app={"hold": {"wait": "10s"}}))
    data, took = first_bytes(gw)
    assert b"abc" in data and took < 3


def test_a_response_whose_whole_comes_late_is_one_piece(shop):
    gw = shop.lintel(basic(shop.origin(slow(piece(b"abc"), b"0123456", pause=0.3)),
                           app={"hold": {"wait": "5s"}}))
    data, took = first_bytes(gw)
    assert data.endswith(b"abc0123456") and took > 0.25


def test_nothing_is_held_where_the_size_is_0(shop):
    def cut(peer):
        peer.request()
        peer.send(piece(b"abc"))
        peer.pause(0.3)
    origin = shop.origin(cut)
    gw = shop.lintel(basic(origin, app={"hold": {"size": 0}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    assert len(origin.requests) == 1


def test_a_client_that_leaves_while_its_response_is_held(shop):
    origin = shop.origin(slow(piece(b"abc"), pause=0))
    gw = shop.lintel(basic(origin, app={"hold": {"wait": "10s"}}, workers=1))
    with gw.client() as client:
        client.send(head("GET", "/gone"))
        wait_until(lambda: origin.requests, "the request at the server")
        time.sleep(0.1)
        client.reset()
    assert gw.access(path="/gone")[0]["cause"] == "client_gone"
    assert origin.peers[0].closed.wait(5)


def test_the_deadline_holds_for_held_responses(shop):
    origin = shop.origin(slow(piece(b"abc"), pause=10))
    gw = shop.lintel(basic(origin, app={"hold": {"wait": "10s"}}, workers=1,
                           routes=[{"match": "/*", "to": "app", "timeouts": {"total": "300ms"}}]))
    response = gw.get()
    assert (response.status, json.loads(response.body)["cause"]) == (504, "deadline")


def test_held_responses_do_not_wait_for_memory(shop):
    """Where memory is short they go on instead."""
    body = bytes(16000)

    def script(peer):
        while True:
            peer.request()
            peer.send(piece(body[:8000], 16000))
            peer.pause(0.05)
            peer.send(body[8000:])
    gw = shop.lintel(basic(shop.origin(script), workers=1, app={"hold": {"wait": "10s"}},
                           limits={"buffers": {"total": "1M"}}))
    clients = [gw.client() for _ in range(100)]
    for client in clients:
        client.send(head("GET", "/"))
    for client in clients:
        assert client.response().body == body
        client.close()
