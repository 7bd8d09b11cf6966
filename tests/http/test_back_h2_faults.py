# SPDX-License-Identifier: Apache-2.0
"""Servers that speak HTTP/2 and hang, refuse, say goodbye or send what does no work: who is asked
next, how often, and what the log says."""
import json
import ssl
import threading
import time

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe import frame as frames

from lib.client import Cut, head
from lib.configs import basic
from lib.h2_origin import app, h2_script
from lib.origin import pattern
from lib.wait import wait_until

OK = [(":status", "200")]
CONNECT = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
WS = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
      ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
WS_ROUTE = [{"match": "/*", "to": "app", "upgrade": ["websocket"]}]


def h2c(*origins, app=None, **options):
    options.setdefault("workers", 1)
    return basic(*origins, app={"protocol": "h2c", **(app or {})}, **options)


def failed(gateway, cause, status, **request):
    """One request that has to fail so; its access line."""
    response = gateway.get(**request)
    told = json.loads(response.body)
    assert (response.status, told["cause"]) == (status, cause), told
    return gateway.access(id=told["request_id"])[0]


def metric(gateway, name):
    for line in gateway.admin("/metrics").body.decode().splitlines():
        if line.startswith(f"lintel_{name} "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def deaf(h2):
    """Takes what comes and says nothing any more, not even to PINGs."""
    while h2.peer.sock.recv(65536):
        pass


@h2_script
def hanging(h2):
    """Answers one request, then hangs."""
    h2.respond(h2.request(), 200, body=b"ok")
    deaf(h2)


# ---- connections that hang ----

def test_a_connection_that_hangs_is_left_after_one_timeout(shop):
    origin = shop.origin(hanging, app)
    gw = shop.lintel(h2c(origin, app={"timeouts": {"first_byte": "300ms"}}))
    assert gw.get().body == b"ok"
    failed(gw, "first_byte_timeout", 504)
    assert gw.get().status == 200 and len(origin.peers) == 2
    assert origin.peers[0].closed.wait(10)


def test_a_server_that_never_says_a_word(shop):
    origin = shop.origin(h2_script(deaf, settings=None), app)
    gw = shop.lintel(h2c(origin, app={"timeouts": {"first_byte": "300ms"}}))
    failed(gw, "first_byte_timeout", 504)
    assert gw.get().status == 200 and len(origin.peers) == 2


def test_clients_that_give_up_before_the_timeout_tell_as_much(shop):
    origin = shop.origin(hanging, app)
    config = h2c(origin, app={"timeouts": {"connect": "200ms"}})
    config["listen"][0]["timeouts"] = {"half_closed": "100ms"}
    gw = shop.lintel(config)
    assert gw.get().body == b"ok"
    with gw.client() as client:
        client.send(head("GET", "/"))
        time.sleep(0.4)  # longer than an answer to a PING would have taken
    gw.access(cause="client_gone")
    assert gw.get().status == 200 and len(origin.peers) == 2


def test_more_requests_do_not_put_off_the_ping(shop):
    gw = shop.lintel(h2c(shop.origin(hanging, app), app={
        "http2": {"ping": "1s"}, "timeouts": {"connect": "500ms"}}))
    assert gw.get().body == b"ok"
    results = []

    def ask():
        results.append(gw.get(method="POST", body=b"x").status)
    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert set(results) == {200, 504}
    assert gw.access(cause="server_silent")[0]["detail"] == "no answer to a PING"


@pytest.mark.parametrize("lives", [True, False])
def test_a_stream_that_hangs_alone(shop, lives):
    """Others were answered meanwhile: the connection is asked for a sign of life at once, though
    there is no option that says so."""
    @h2_script
    def script(h2):
        h2.wait(lambda: len(h2.streams) == 2)
        second = h2.streams[3]
        h2.wait(lambda: second.ended)
        h2.respond(second, 200, body=b"ok")
        if not lives:
            deaf(h2)
        h2.wait(lambda: h2.pings)
        for stream in h2.streams.values():
            stream.taken = True
        h2.respond(h2.request(), 200, body=b"ok")
        h2.until_closed()
    origin = shop.origin(script, app)
    gw = shop.lintel(h2c(origin, app={"timeouts": {"first_byte": "500ms", "connect": "300ms"}}))
    stuck = threading.Thread(target=lambda: failed(gw, "first_byte_timeout", 504))
    stuck.start()
    wait_until(lambda: origin.requests, "the first request")
    assert gw.get().body == b"ok"
    stuck.join()
    if lives:
        wait_until(lambda: origin.peers[0].h2.pings, "the PING")
        time.sleep(0.4)  # the time for its answer
    assert gw.get().status == 200
    assert len(origin.peers) == (1 if lives else 2)
    assert lives or origin.peers[0].closed.wait(10)


# ---- servers that refuse ----

def test_a_server_that_refuses_streams_is_not_asked_again(shop):
    @h2_script
    def refusing(h2):
        while True:
            h2.reset(h2.request(), ErrorCodes.REFUSED_STREAM)
    gw = shop.lintel(h2c(shop.origin(refusing), shop.origin(app)))
    assert [gw.get(method="POST", body=b"x").status for _ in range(20)] == [200] * 20
    assert max(line["tries"] for line in gw.access(20, status=200)) == 2


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL])
def test_what_a_server_failed_at_is_not_repeated(shop, method, code):
    @h2_script
    def resetting(h2):
        h2.respond(h2.request(), 200, body=b"ok")
        while True:
            h2.reset(h2.request(), code)
    origin = shop.origin(resetting)
    gw = shop.lintel(h2c(origin))
    assert gw.get().body == b"ok"
    line = failed(gw, "stream_reset", 502, method=method)
    assert line["tries"] == 1 and len(origin.requests) == 2


def test_goodbyes_to_fresh_connections_are_tries(shop):
    @h2_script
    def leaving(h2):
        h2.request()
        h2.frame(frames.GoAwayFrame(0, last_stream_id=0, error_code=0))
        h2.peer.until_closed()
    origin = shop.origin(leaving)
    gw = shop.lintel(h2c(origin, app={"retry": {"attempts": 2}}))
    failed(gw, "stream_refused", 503)
    assert len(origin.requests) == 2


# ---- connections that end ----

def test_connections_that_end_leave_room_for_others(shop):
    go = threading.Event()

    @h2_script
    def leaving(h2):
        stream = h2.request()
        h2.headers(stream, OK)
        h2.frame(frames.GoAwayFrame(0, last_stream_id=stream.number, error_code=0))
        go.wait(20)
        h2.conn.send_data(stream.number, b"late", end_stream=True)
        h2.flush()
        h2.peer.until_closed()
    origin = shop.origin(leaving, app)
    gw = shop.lintel(h2c(origin, app={"http2": {"connections": 1}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        client.reader.response_head()
        wait_until(lambda: gw.get().status == 200, "a second connection")
        assert metric(gw, "upstream_http2_connections") == 2
        go.set()
        wait_until(lambda: metric(gw, "upstream_http2_connections") == 1, "the first one's end")
    assert len(origin.peers) == 2


@pytest.mark.parametrize("change", [{"http2": {"streams": 1}}, {"http2": {"ping": "5s"}},
                                    {"max_head": "128K"}, {"timeouts": {"connect": "3s"}}],
                         ids=["streams", "ping", "max_head", "connect"])
def test_a_reload_reaches_open_connections(shop, change):
    origin = shop.origin(app)
    gw = shop.lintel(h2c(origin))
    gw.get()
    gw.reload(h2c(origin, app={"http2": {"connections": 5}}))
    gw.get()
    assert len(origin.peers) == 1  # what it has is the same
    gw.reload(h2c(origin, app=change))
    gw.get()
    assert len(origin.peers) == 2 and origin.peers[0].closed.wait(10)


# ---- heads ----

def test_a_request_head_of_more_than_64_kb(shop):
    @h2_script(settings={SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20})
    def script(h2):
        h2.conn.decoder.max_header_list_size = 1 << 20
        stream = h2.request()
        h2.respond(stream, 200, body=b"%d" % len(stream.headers["x-big"]))
    config = h2c(shop.origin(script))
    config["listen"][0]["max_head"] = "256K"
    gw = shop.lintel(config)
    assert gw.get(headers=[("X-Big", "a" * 150_000)]).body == b"150000"


def test_a_response_head_in_many_pieces(shop):
    @h2_script
    def script(h2):
        h2.respond(h2.request(), 200, [("x-%d" % i, "a" * 4000) for i in range(50)], b"ok")
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, app={"max_head": "256K"}))
    response = gw.get()
    assert response.body == b"ok" and len(response.headers.get("x-49")) == 4000


@pytest.mark.parametrize("fields,detail", [
    ([("x-bad", "a\0b")], "header_invalid: x-bad"),
    ([("X-Upper", "1")], "header_invalid: X-Upper"),
    ([("connection", "close")], "header_invalid: connection"),
    ([("x" * 100 + "y", "1"), ("x" * 100 + "Y", "1")], "header_invalid: " + "x" * 64),
])
def test_the_log_names_the_field_that_breaks_a_rule(shop, fields, detail):
    @h2_script
    def script(h2):
        h2.headers(h2.request(), [*OK, *fields])
        h2.until_closed()
    line = failed(shop.lintel(h2c(shop.origin(script))), "response_invalid", 502)
    assert line["detail"] == detail and line["stage"] == "response_head"


@pytest.mark.parametrize("fields,detail", [
    ([("x", "v" * 70_000)], "more than the 65536 bytes of max_head (default); the largest is field x with 70005 bytes"),
    ([(f"x-{i}", "1") for i in range(250)], "more than the 200 fields of max_headers (default); the largest is field x-200 with 10 bytes"),
], ids=["bytes", "fields"])
def test_the_log_names_the_limit_of_heads(shop, fields, detail):
    @h2_script
    def script(h2):
        h2.headers(h2.request(), [*OK, *fields])
        h2.until_closed()
    line = failed(shop.lintel(h2c(shop.origin(script))), "response_head_too_large", 502)
    assert line["detail"] == detail


def test_the_log_names_the_rule_with_http1_too(shop):
    gw = shop.lintel(basic(shop.origin(lambda peer: (
        peer.request(), peer.send(b"HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n")))))
    assert failed(gw, "response_invalid", 502)["detail"] == "header_invalid: line 2"


# ---- frames that do no work ----

def test_a_reset_behind_each_response_is_no_flood(shop):
    """A server that has answered needs no more of the request (RFC 9113 section 8.1)."""
    @h2_script
    def script(h2):
        while True:
            stream = h2.request()
            h2.respond(stream, 200, body=b"ok")
            h2.frame(frames.RstStreamFrame(stream.number, error_code=0))
    origin = shop.origin(script)
    gw = shop.lintel(h2c(origin, app={"http2": {"max_control": 10, "connections": 1}}))
    with gw.client() as client:
        for _ in range(60):
            assert client.request().body == b"ok"
    assert len(origin.peers) == 1


def test_windows_for_an_upload_are_no_flood(shop):
    origin = shop.origin(app)
    gw = shop.lintel(h2c(origin, app={"http2": {"max_control": 10}}))
    assert json.loads(gw.get(method="POST", body=pattern(900_000)).body)["length"] == 900_000


def test_windows_for_each_message_are_no_flood(shop):
    """A server of gRPC opens its windows for each message that it has read, of many in a frame."""
    @h2_script
    def script(h2):
        stream = h2.request()
        h2.peer.send(frames.WindowUpdateFrame(0, window_increment=1).serialize() * 400)
        h2.respond(stream, 200, body=b"ok")
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(script), app={"http2": {"max_control": 10}}))
    assert gw.get(method="POST", body=b"x" * 2100).body == b"ok"


@pytest.mark.parametrize("what", [
    lambda s: frames.WindowUpdateFrame(s.number, window_increment=1),
    frames.WindowUpdateFrame(0, window_increment=1),
    lambda s: frames.DataFrame(s.number, data=b"", flags=["PADDED"], pad_length=0),
    lambda s: frames.DataFrame(s.number, data=b"", flags=["PADDED"], pad_length=3),
    frames.RstStreamFrame(99, error_code=8),
], ids=["stream_window", "window", "padded_0", "padded_3", "resets"])
def test_floods_end_the_connection(shop, what):
    @h2_script
    def flooding(h2):
        for _ in range(50):
            stream = h2.head()
            if stream.number == 99:
                break
            h2.respond(stream, 200, body=b"ok")
        h2.headers(stream, OK)
        h2.peer.pause(0.1)  # the head is at the client
        one = (what(stream) if callable(what) else what).serialize()
        drain = threading.Thread(target=h2.peer.until_closed, daemon=True)
        drain.start()
        while True:
            h2.peer.send(one * 50)
    origin = shop.origin(flooding, app)
    gw = shop.lintel(h2c(origin, app={"http2": {"max_control": 500}}))
    for _ in range(49):
        gw.get()
    with pytest.raises((Cut, ConnectionResetError)):
        gw.get()
    if not isinstance(what, frames.RstStreamFrame):
        assert gw.access(cause="server_flood")[0]["stage"] == "relay"
    assert gw.get().status == 200 and len(origin.peers) == 2


@pytest.mark.parametrize("what", [
    frames.DataFrame(99, data=b"nobody asked"),
    frames.SettingsFrame(0, settings={SettingCodes.MAX_FRAME_SIZE: 1}),
    lambda s: frames.HeadersFrame(s.number, data=b"\xff\xff\xff\xff\xff", flags=["END_HEADERS"]),
    frames.ContinuationFrame(1, data=b"", flags=["END_HEADERS"]),
], ids=["unknown_stream", "settings", "hpack", "continuation"])
def test_the_log_says_how_the_protocol_was_broken(shop, what):
    @h2_script
    def script(h2):
        stream = h2.request()
        h2.frame(what(stream) if callable(what) else what)
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(script)))
    assert failed(gw, "server_protocol", 502)["detail"]


def test_another_protocol_has_a_detail_too(shop):
    gw = shop.lintel(h2c(shop.origin(lambda peer: (
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        peer.until_closed()))))
    assert failed(gw, "server_protocol", 502)["detail"]


# ---- TLS ----

@pytest.fixture
def pair(authority):
    return authority.leaf("app.test", "127.0.0.1")


def serving(pair, *alpn, client_ca=None):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, pair))
    if alpn:
        tls.set_alpn_protocols(list(alpn))
    if client_ca is not None:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(client_ca)
    return tls


@pytest.mark.parametrize("protocol", ["h1", "h2"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_refuses_our_certificate_is_avoided(shop, authority, pair, protocol, method):
    """With TLS 1.3 it says so when the handshake is over on our side."""
    alpn = ("h2",) if protocol == "h2" else ("http/1.1",)
    good = shop.origin(app, tls=serving(pair, *alpn)) if protocol == "h2" else shop.echo(
        tls=serving(pair, *alpn))
    bad = shop.origin(app, tls=serving(pair, *alpn, client_ca=authority.ca))
    gw = shop.lintel(h2c(bad, good, app={"protocol": protocol, "balance": "round_robin",
                                         "tls": {"ca": str(authority.ca)}}))
    body = b"x" if method == "POST" else None
    assert [gw.get(method=method, body=body).status for _ in range(6)] == [200] * 6
    assert max(line["tries"] for line in gw.access(6, status=200)) == 2 and not bad.requests


def test_a_server_without_alpn_is_avoided(shop, authority, pair):
    bad = shop.origin(app, tls=serving(pair))
    good = shop.origin(app, tls=serving(pair, "h2"))
    options = {"protocol": "h2", "balance": "round_robin", "tls": {"ca": str(authority.ca)}}
    gw = shop.lintel(h2c(bad, good, app=options))
    assert [gw.get(method="POST", body=b"x").status for _ in range(6)] == [200] * 6
    assert max(line["tries"] for line in gw.access(6, status=200)) == 2 and not bad.requests
    gw.reload(h2c(bad, app=options))
    line = failed(gw, "server_protocol", 502)
    assert "ALPN" in line["detail"] and line["stage"] == "connect"


# ---- WebSocket ----

def switched(gw):
    client = gw.client()
    client.send(head("GET", "/ws", WS))
    client.reader.at_end()
    assert client.reader.response_head().status == 101
    return client


def test_a_reset_without_an_error_cuts_a_websocket(shop):
    @h2_script(settings=CONNECT)
    def script(h2):
        stream = h2.head()
        h2.headers(stream, OK)
        h2.wait(lambda: stream.body)
        h2.frame(frames.RstStreamFrame(stream.number, error_code=0))
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(script), routes=WS_ROUTE))
    with switched(gw) as client:
        client.send(b"x")
        assert client.ends()
    line = gw.access(cause="tunnel_cut")[0]
    assert line["detail"] == "NO_ERROR"


def test_an_end_and_a_reset_end_a_websocket(shop):
    """The server has said all and takes no more: the client hears its end."""
    @h2_script(settings=CONNECT)
    def script(h2):
        stream = h2.head()
        h2.headers(stream, OK)
        h2.wait(lambda: stream.body)
        h2.data(stream, b"bye", end=True)
        h2.frame(frames.RstStreamFrame(stream.number, error_code=0))
        h2.until_closed()
    gw = shop.lintel(h2c(shop.origin(script), routes=WS_ROUTE))
    with switched(gw) as client:
        client.send(b"x")
        assert client.sock.recv(10) == b"bye" and client.sock.recv(10) == b""
        client.send(b"more")
        line = gw.access(status=101)[0]
    assert "cause" not in line
