# SPDX-License-Identifier: Apache-2.0
"""Upgrade and what follows a 101: every rule with scripted origins, sent whole and byte by byte."""
import json
import select
import socket
import ssl
import struct
import threading
import time

import pytest

from lib.client import Client, head, tls_trust
from lib.configs import basic, with_tls
from lib.gateway import command
from lib.origin import OK, pattern
from lib.wait import wait_until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WS = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
      ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Protocol", "chat, superchat"),
      ("Sec-WebSocket-Extensions", "permessage-deflate")]
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
BOTH = pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])


def echo_tunnel(peer):
    """A script: switches, then sends back what comes until the other side ends, then ends."""
    peer.request()
    peer.send(SWITCH)
    rest = peer.reader.rest()
    while rest:
        peer.send(rest)
        rest = peer.sock.recv(65536)
    while data := peer.sock.recv(65536):
        peer.send(data)


def exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        assert piece, f"ended after {data!r}"
        data += piece
    return data


def opened(client, target="/ws", fields=None, after=b"", bytewise=False):
    """Asks for an upgrade and reads the 101; what came behind it is in client.reader.rest()."""
    client.send(head("GET", target, WS if fields is None else fields) + after, bytewise)
    client.reader.at_end()
    response = client.reader.response_head()
    assert response.status == 101, response
    return response


def received(client, n):
    """n bytes behind the 101."""
    rest = client.reader.rest()
    client.reader._take(len(rest))  # pylint: disable=protected-access
    return rest + exactly(client.sock, n - len(rest))


@pytest.fixture
def tunnel(shop):
    """(gateway, origin) with an echo behind a 101."""
    app = shop.origin(echo_tunnel)
    return shop.lintel(basic(app)), app


def status(gw):
    return json.loads(gw.admin("/status").body)


# ---- the handshake ----

@BOTH
def test_a_websocket_needs_no_configuration(tunnel, bytewise):
    gw, app = tunnel
    with gw.client() as client:
        response = opened(client, bytewise=bytewise)
        assert response.headers.all("connection") == ["upgrade"]
        assert response.headers.all("upgrade") == ["websocket"]
        assert response.headers.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert response.headers.get("sec-websocket-protocol") == "chat"
        assert not response.headers.all("content-length")
        assert not response.headers.all("transfer-encoding")
        for i in range(5):
            client.send(b"\x81\x03ab%d" % i, bytewise)
            assert received(client, 5) == b"\x81\x03ab%d" % i
    seen = app.requests[0].headers
    assert seen.all("connection") == ["upgrade"] and seen.all("upgrade") == ["websocket"]
    for name, value in WS[2:]:
        assert seen.all(name.lower()) == [value]
    line = gw.access(status=101)[0]
    assert line["bytes_in"] == line["bytes_out"] == 25
    assert line["upgrade"] == "websocket" and line["route"] == "/*" and line["server"]
    assert "cause" not in line and "tunnel" in line["steps"]


@BOTH
def test_bytes_after_the_request_are_held_until_the_101(shop, bytewise):
    go = threading.Event()

    def late(peer):
        peer.request()
        peer.sock.settimeout(0.3)
        try:
            early = peer.reader.rest() or peer.sock.recv(100)
        except TimeoutError:
            early = b""
        peer.sock.settimeout(None)
        assert early == b"", early
        go.wait(10)
        peer.send(SWITCH + b"hello")
        assert exactly(peer.sock, 9) == b"early bye"
        peer.send(b"done")

    gw = shop.lintel(basic(shop.origin(late)))
    with gw.client() as client:
        client.send(head("GET", "/", WS) + b"early bye", bytewise)
        time.sleep(0.5)
        go.set()
        client.reader.at_end()
        assert client.reader.response_head().status == 101
        assert received(client, 9) == b"hellodone"


def test_what_is_held_is_bounded(shop):
    go = threading.Event()
    total = 20 << 20

    def late(peer):
        peer.request()
        go.wait(20)
        peer.send(SWITCH)
        assert exactly(peer.sock, total) == pattern(total)
        peer.send(b"all")

    gw = shop.lintel(basic(shop.origin(late)))
    with gw.client() as client:
        before = gw.memory()
        sender = threading.Thread(target=client.send, args=(head("GET", "/", WS) + pattern(total),))
        sender.start()
        time.sleep(0.7)
        assert sender.is_alive(), "everything was taken before the 101"
        assert gw.memory() - before < 4 << 20
        go.set()
        client.reader.at_end()
        assert client.reader.response_head().status == 101
        assert received(client, 3) == b"all"
        sender.join()


@BOTH
@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"])
def test_a_refused_upgrade_stays_http(shop, answer, bytewise):
    def refuse(peer):
        while True:
            peer.request()
            for byte in answer if bytewise else [answer]:
                peer.send(bytes([byte]) if bytewise else byte)

    gw = shop.lintel(basic(shop.origin(refuse)))
    with gw.client() as client:
        # The next request is in the same write: it is one, and not the tunnel's bytes.
        client.send(head("GET", "/a", WS) + head("GET", "/b"), bytewise)
        for _ in range(2):
            assert client.response().body == b"no"
        assert client.request(target="/c").body == b"no"


@BOTH
@pytest.mark.parametrize("fields", [
    [("Connection", "upgrade")],
    [("Connection", "Upgrade, close")],
    [("Upgrade", "websocket")],
    [("Connection", "keep-alive, Upgrade"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
    [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
    [("Connection", "Upgrade"), ("Upgrade", "irc/6.9")],
    [("Connection", "Upgrade"), ("Upgrade", "HTTP/2.0")],
    [("Connection", "Upgrade"), ("Upgrade", "")]])
def test_an_upgrade_that_is_not_allowed_is_not_forwarded(shop, fields, bytewise):
    app = shop.origin()
    gw = shop.lintel(basic(app))
    with gw.client() as client:
        client.send(head("GET", "/", fields), bytewise)
        assert client.response().body == b"ok"
    seen = app.requests[0].headers
    assert not seen.all("upgrade") and not seen.all("connection")


def test_http_1_0_knows_no_upgrade(shop):
    app = shop.origin()
    gw = shop.lintel(basic(app))
    with gw.client() as client:
        client.send(head("GET", "/", WS, version="HTTP/1.0"))
        assert client.response().status == 200
    assert not app.requests[0].headers.all("upgrade")


def test_only_what_is_allowed_of_a_list_is_offered(shop):
    app = shop.origin()
    gw = shop.lintel(basic(app))
    assert gw.get(headers=[("Connection", "upgrade"), ("Upgrade", "h2c, WebSocket"),
                           ("Upgrade", "irc")]).status == 200
    assert app.requests[0].headers.all("upgrade") == ["WebSocket"]


@BOTH
@pytest.mark.parametrize("framing", [[("Content-Length", "3")], [("Transfer-Encoding", "chunked")]])
def test_an_upgrade_with_a_body_is_refused(shop, framing, bytewise):
    app = shop.origin()
    gw = shop.lintel(basic(app))
    body = b"abc" if framing[0][0] == "Content-Length" else b"3\r\nabc\r\n0\r\n\r\n"
    with gw.client() as client:
        client.send(head("POST", "/", WS + framing) + body, bytewise)
        response = client.response()
        assert response.status == 400 and json.loads(response.body)["cause"] == "upgrade_body"
    assert not app.requests
    assert gw.access(status=400)[0]["cause"] == "upgrade_body"
    # A protocol that isn't allowed asks for nothing, so that its body is one as any other.
    assert gw.get(method="POST", body=b"abc", headers=[
        ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABk")]).body == b"ok"
    assert app.requests[0].body == b"abc" and not app.requests[0].headers.all("upgrade")


@BOTH
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("upgrade", [
    b"", b"Upgrade: h2c\r\n", b"Upgrade: websocket, h2c\r\n", b"Upgrade: websocket\r\n",
    b"Upgrade: websocket\r\nUpgrade: websocket\r\n", b"Upgrade:\r\n"])
def test_a_101_that_was_not_asked_for_is_refused(shop, upgrade, asked, bytewise):
    if asked and upgrade == b"Upgrade: websocket\r\n":
        return  # that one was

    def switch(peer):
        peer.request()
        data = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n" + upgrade + b"\r\nevil"
        peer.send(*([bytes([b]) for b in data] if bytewise else [data]))
        peer.until_closed()

    gw = shop.lintel(basic(shop.origin(switch)))
    with gw.client() as client:
        response = client.request(headers=WS if asked else ())
        assert response.status == 502
        assert json.loads(response.body)["cause"] == "upgrade_unexpected"
        assert b"evil" not in client.reader.rest()


def test_a_101_with_a_body_is_refused(shop):
    def switch(peer):
        peer.request()
        peer.send(SWITCH.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\nevil"))
        peer.until_closed()

    gw = shop.lintel(basic(shop.origin(switch)))
    response = gw.get(headers=WS)
    assert response.status == 502
    assert json.loads(response.body)["cause"] == "response_framing_invalid"


def test_a_route_may_allow_other_protocols_or_none(shop):
    def irc(peer):
        request = peer.request()
        if not request.headers.all("upgrade"):
            peer.send(OK)
            return
        peer.send(b"HTTP/1.1 101 Go\r\nUpgrade: IRC/6.9\r\nConnection: upgrade\r\n\r\n")
        peer.send(exactly(peer.sock, 3))

    app = shop.origin(irc)
    gw = shop.lintel(basic(app, routes=[{"match": "/irc", "to": "app", "upgrade": ["irc"]},
                                        {"match": "/no", "to": "app", "upgrade": []}]))
    fields = [("Connection", "upgrade"), ("Upgrade", "irc/6.9")]
    with gw.client() as client:
        assert opened(client, "/irc", fields).headers.get("upgrade") == "IRC/6.9"
        client.send(b"abc")
        assert received(client, 3) == b"abc"
    assert gw.get("/irc", headers=WS).body == b"ok"
    assert gw.get("/no", headers=WS).body == b"ok"


@pytest.mark.parametrize("name", ["h2c", "H2C", "HTTP/2.0", "a b"])
def test_http_can_not_be_allowed(shop, name):
    path = shop.folder / "bad.yaml"
    path.write_text(json.dumps(basic(
        routes=[{"match": "/", "to": "app", "upgrade": ["websocket", name]}],
        upstreams={"app": {"servers": ["127.0.0.1:1"]}})))
    done = command("check", "-c", path)
    assert done.returncode == 1 and f'upgrade: "{name}" can\'t be allowed' in done.stderr


def test_a_tunnel_takes_a_new_connection_and_leaves_none(shop):
    def serve(peer):
        while True:
            request = peer.request()
            if request.headers.all("upgrade"):
                peer.send(SWITCH)
                return
            peer.send(OK)

    app = shop.origin(serve)
    gw = shop.lintel(basic(app, workers=1))
    assert gw.get().body == b"ok"
    with gw.client() as client:
        opened(client)
        assert len(app.peers) == 2, "the idle connection became a tunnel"
        client.finish_sending()
        assert client.ends()
    assert gw.get().body == b"ok"
    assert len(app.peers) == 2, "a tunnel's connection was used again"


# ---- bytes ----

def both_ways(client, data):
    """Sends data and reads as much, in one thread: an ssl.SSLSocket can't be shared by two."""
    sock, sent, got = client.sock, 0, bytearray(client.reader.rest())
    sock.setblocking(False)
    not_yet = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    deadline = time.monotonic() + 30
    while len(got) < len(data):
        assert time.monotonic() < deadline, f"{sent} bytes sent, {len(got)} came back"
        before = sent + len(got)
        try:
            if sent < len(data):
                sent += sock.send(data[sent:sent + 65536])
        except not_yet:
            pass
        try:
            piece = sock.recv(65536)
            assert piece, f"ended after {len(got)} bytes"
            got += piece
        except not_yet:
            pass
        if sent + len(got) == before:
            select.select([sock], [sock] if sent < len(data) else [], [], 0.05)
    sock.setblocking(True)
    return bytes(got)


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_big_amounts_pass_both_ways_at_once(shop, authority, secure):
    app = shop.origin(echo_tunnel)
    cert, key = authority.leaf("localhost")
    gw = shop.lintel(with_tls(basic(app), cert, key))
    data = pattern(8 << 20)
    trust = tls_trust(authority.ca, alpn=["http/1.1"]) if secure else None
    with Client(gw.secure if secure else gw.plain, trust=trust) as client:
        opened(client)
        same = both_ways(client, data) == data
        assert same  # said without showing 8 MB
    line = gw.access(status=101)[0]
    assert line["bytes_in"] == line["bytes_out"] == len(data)


def stopped(total):
    """Waits until total() grows no more."""
    last = -1
    while total() != last or last == 0:
        last = total()
        time.sleep(0.6)
    return last


def test_a_client_that_does_not_read_holds_the_server(shop):
    sent = []

    def flood(peer):
        peer.request()
        peer.send(SWITCH)
        while sum(sent) < 64 << 20:
            sent.append(peer.sock.send(bytes(65536)))

    gw = shop.lintel(basic(shop.origin(flood)))
    before = gw.memory()
    with gw.client() as client:
        opened(client)
        assert stopped(lambda: sum(sent)) < 32 << 20
        assert gw.memory() - before < 8 << 20
        assert received(client, 64 << 20) == bytes(64 << 20)


def test_a_client_that_never_reads_is_given_up(shop):
    def flood(peer):
        peer.request()
        peer.send(SWITCH)
        while True:
            peer.send(bytes(65536))

    gw = shop.lintel(basic(shop.origin(flood), defaults={"timeouts": {"write": "300ms"}}))
    with gw.client() as client:
        opened(client)
        assert gw.access(status=101)[0]["cause"] == "client_write_timeout"


def test_a_server_that_does_not_read_holds_the_client(shop):
    go = threading.Event()
    total = 64 << 20

    def late(peer):
        peer.request()
        peer.send(SWITCH)
        go.wait(20)
        assert exactly(peer.sock, total) == bytes(total)
        peer.send(b"all")

    gw = shop.lintel(basic(shop.origin(late)))
    before = gw.memory()
    with gw.client() as client:
        opened(client)
        sent = []

        def push():
            while sum(sent) < total:
                sent.append(client.sock.send(bytes(65536)))
        pusher = threading.Thread(target=push)
        pusher.start()
        assert stopped(lambda: sum(sent)) < 32 << 20
        assert gw.memory() - before < 8 << 20
        go.set()
        assert received(client, 3) == b"all"
        pusher.join()


# ---- ends ----

def test_the_end_of_one_direction_is_passed_on_alone(shop):
    def server(peer):
        peer.request()
        peer.send(SWITCH)
        data = b""
        while piece := peer.sock.recv(100):
            data += piece
        peer.pause(0.2)
        peer.send(b"got " + data)

    gw = shop.lintel(basic(shop.origin(server)))
    with gw.client() as client:
        opened(client)
        client.send(b"last words")
        client.finish_sending()
        assert received(client, 14) == b"got last words"
        assert client.ends()
    line = gw.access(status=101)[0]
    assert "cause" not in line and line["bytes_in"] == 10 and line["bytes_out"] == 14


def test_a_client_that_ended_before_the_101(tunnel):
    gw, _ = tunnel
    with gw.client() as client:
        client.send(head("GET", "/", WS) + b"all I have")
        client.finish_sending()
        client.reader.at_end()
        assert client.reader.response_head().status == 101
        assert received(client, 10) == b"all I have"
        assert client.ends()


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_server_ends_first(shop, authority, secure):
    def server(peer):
        peer.request()
        peer.send(SWITCH + b"bye")
        peer.sock.shutdown(socket.SHUT_WR)
        assert exactly(peer.sock, 6) == b"thanks"
        assert peer.sock.recv(1) == b""

    app = shop.origin(server)
    cert, key = authority.leaf("localhost")
    gw = shop.lintel(with_tls(basic(app), cert, key))
    trust = tls_trust(authority.ca) if secure else None
    with Client(gw.secure if secure else gw.plain, trust=trust) as client:
        opened(client)
        assert received(client, 3) == b"bye"
        assert client.ends()
        client.send(b"thanks")
        if secure:
            client.sock = client.sock.unwrap() or client.sock
    assert "cause" not in gw.access(status=101)[0]
    wait_until(lambda: app.peers[0].closed.is_set(), "the server's connection to be closed")


def test_a_client_that_resets_is_gone_for_the_server_too(tunnel):
    gw, app = tunnel
    client = gw.client()
    opened(client)
    client.reset()
    wait_until(lambda: app.peers[0].closed.is_set(), "the server's connection to be closed")
    assert gw.access(status=101)[0]["cause"] == "client_gone"


def test_a_server_that_resets_is_seen_as_such(shop):
    def server(peer):
        peer.request()
        peer.send(SWITCH + b"x")
        exactly(peer.sock, 1)
        peer.reset()

    gw = shop.lintel(basic(shop.origin(server)))
    with gw.client() as client:
        opened(client)
        assert received(client, 1) == b"x"
        client.send(b"y")
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)
    assert gw.access(status=101)[0]["cause"] == "tunnel_cut"


@pytest.mark.parametrize("level", ["defaults", "site", "route"])
def test_silence_ends_a_tunnel(shop, level):
    app = shop.origin(echo_tunnel)
    limit = {"tunnel": "400ms"}
    config = basic(app)
    if level == "defaults":
        config["defaults"] = {"timeouts": limit}
    elif level == "site":
        config["sites"][0]["timeouts"] = limit
    else:
        config["sites"][0]["routes"][0]["timeouts"] = limit
    gw = shop.lintel(config)
    with gw.client() as client:
        opened(client)
        began = time.monotonic()
        for _ in range(6):  # bytes in either direction keep it
            time.sleep(0.15)
            client.send(b"x")
            assert received(client, 1) == b"x"
        assert client.ends()
        assert 1.2 < time.monotonic() - began < 6
    assert gw.access(status=101)[0]["cause"] == "tunnel_idle"
    wait_until(lambda: app.peers[0].closed.is_set(), "the server's connection to be closed")


def test_half_a_tunnel_may_not_be_silent_for_long(shop):
    def server(peer):
        peer.request()
        peer.send(SWITCH)
        peer.pause(30)

    gw = shop.lintel(basic(shop.origin(server), app={"timeouts": {"idle": "400ms"}}))
    with gw.client() as client:
        opened(client)
        assert client.waits(0.8)
        client.finish_sending()
        assert client.ends()
    assert gw.access(status=101)[0]["cause"] == "tunnel_idle"


# ---- reload, drain, counting ----

def test_a_tunnel_outlives_reloads_and_keeps_no_snapshot(shop):
    app = shop.origin(echo_tunnel)
    config = basic(app, log={"fields": {"agent": "header.user-agent", "where": "path.rest"}},
                   app={"servers": [{"address": app.address, "max": 1}], "queue": {"size": 0}})
    gw = shop.lintel(config)
    with gw.client() as client:
        opened(client, "/some/where", WS + [("User-Agent", "me")])
        for i in range(5):
            gw.reload({**config, "limits": {"connections": 1000 + i}})
            client.send(b"x")
            assert received(client, 1) == b"x"
        wait_until(lambda: status(gw)["config"]["snapshots"] == 1, "old snapshots to be freed")
        assert status(gw)["tunnels"] == 1
        assert "lintel_tunnels" in gw.admin("/metrics").body.decode()
        assert "1 tunnels" in command("status", "--admin", f"unix:{gw.folder}/admin.sock").stdout
        # Its place at the server stays taken, whatever the configuration.
        server = status(gw)["upstreams"][0]["servers"][0]
        assert server["in_flight"] == 1
        assert json.loads(gw.get().body)["cause"] == "servers_busy"
        # Server, upstream and even the limit may go: only the route counts.
        other = shop.origin()
        gw.reload({**config, "upstreams": {"app": {"servers": [other.address]}}})
        client.send(b"y")
        assert received(client, 1) == b"y"
    line = gw.access(status=101)[0]
    assert line["agent"] == "me" and line["where"] == "some/where" and line["upstream"] == "app"
    assert line["server"] == app.address and "cause" not in line and "slow" not in line
    gw.reload(config)
    wait_until(lambda: status(gw)["upstreams"][0]["servers"][0]["in_flight"] == 0, "its place")
    assert status(gw)["tunnels"] == 0


def test_a_tunnel_without_its_route_is_drained(shop):
    app = shop.origin(echo_tunnel)
    routes = [{"match": "/a", "to": "app"}, {"match": "/b", "to": "app"}]
    config = basic(app, routes=routes, drain={"timeout": "600ms"})
    gw = shop.lintel(config)
    with gw.client() as a, gw.client() as b:
        opened(a, "/a")
        opened(b, "/b")
        gw.reload({**config, "sites": [{**config["sites"][0], "routes": routes[1:]}]})
        gw.reload(config)  # it is back: nothing happens
        assert a.waits(1)
        gw.reload({**config, "sites": [{**config["sites"][0], "routes": routes[1:]}]})
        began = time.monotonic()
        for client in (a, b):
            client.send(b"x")
            assert received(client, 1) == b"x"
        assert a.ends() and time.monotonic() - began > 0.3
        b.send(b"y")
        assert received(b, 1) == b"y"
        assert gw.access(route="/a")[0]["cause"] == "draining"


def test_a_tunnel_may_go_on_until_the_drain_is_over(shop):
    app = shop.origin(echo_tunnel)
    gw = shop.lintel(basic(app, drain={"timeout": "800ms"}))
    with gw.client() as client:
        opened(client)
        stopper = threading.Thread(target=gw.stop)
        stopper.start()
        gw.wait_event("draining")
        client.send(b"x")
        assert received(client, 1) == b"x"
        assert client.ends()
        stopper.join()
    assert gw.access(status=101)[0]["cause"] == "draining"


def with_lua(shop, **files):
    """Filter files where the gateway looks for them; the environment that says so."""
    folder = shop.folder / "scripts"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.lua").write_text(text)
    return {"LINTEL_SCRIPTS": str(folder)}


def test_filters_log_at_the_switch_and_see_the_101(shop):
    env = with_lua(shop, watch='''
return {
    request = function(ctx) ctx.user = {seen = "yes"} end,
    response = function(ctx) ctx.res.headers["x-seen"] = tostring(ctx.res.status) end,
    log = function(ctx) ctx:sleep(0.05) end,
}
''', other="""
return {response = function(ctx)
    if ctx.req.path == "/status" then ctx.res.status = 204 end
    return ctx:deny(403, "not_here")
end}
""")
    app = shop.origin(echo_tunnel)
    config = basic(app, routes=[{"match": "/*", "to": "app", "filters": ["watch"]},
                                {"match": "/no/*", "to": "app", "filters": ["other"]},
                                {"match": "/status", "to": "app", "filters": ["other"]}],
                   filters={n: {"filter": n, "on_error": "closed"} for n in ("watch", "other")},
                   log={"fields": {"seen": "user.seen"}})
    gw = shop.lintel(config, env=env)
    gw.allowed.add("filter_error")
    with gw.client() as client:
        assert opened(client, after=b"abc").headers.get("x-seen") == "101"
        assert received(client, 3) == b"abc"
        gw.reload(config)
        wait_until(lambda: status(gw)["config"]["snapshots"] == 1, "the old snapshot to be freed")
        client.send(b"x")
        assert received(client, 1) == b"x"
    assert gw.access(status=101)[0]["seen"] == "yes"
    # A refusal comes instead of the 101; its status can't be changed.
    for target, code in (("/no/x", 403), ("/status", 503)):
        assert gw.get(target, headers=WS).status == code


def test_members_of_filters_stay_with_a_tunnel(shop):
    """They are written when it ends, when the snapshot with their expressions is gone."""
    config = basic(shop.origin(echo_tunnel), site={"filters": ["more"]}, filters={"more": {
        "filter": "log_fields", "fields": {"wants": "header.sec-websocket-protocol"}}})
    gw = shop.lintel(config)
    with gw.client() as client:
        opened(client, after=b"abc")
        assert received(client, 3) == b"abc"
        gw.reload(config)
        wait_until(lambda: status(gw)["config"]["snapshots"] == 1, "the old snapshot to be freed")
    line = gw.access(status=101)[0]
    assert line["wants"] == "chat, superchat"


def test_many_tunnels_survive_reloads(shop):
    """The short form of 100 tunnels for a minute."""
    app = shop.origin(echo_tunnel)
    config = basic(app)
    gw = shop.lintel(config)
    clients = [gw.client() for _ in range(40)]
    try:
        for client in clients:
            opened(client)
        for round_ in range(8):
            gw.reload({**config, "limits": {"connections": 1000 + round_}})
            for client in clients:
                client.send(struct.pack("!I", round_))
            for client in clients:
                assert received(client, 4) == struct.pack("!I", round_)
            time.sleep(0.5)
        assert status(gw)["tunnels"] == 40
        wait_until(lambda: status(gw)["config"]["snapshots"] == 1, "old snapshots to be freed")
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: status(gw)["tunnels"] == 0, "the tunnels to end")
    assert not [e for e in gw.access(40, status=101) if "cause" in e]
