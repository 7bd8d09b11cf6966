# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 from clients: what a well-behaved one (python3-h2) sees, and how connections end."""
import json
import signal
import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from h2.errors import ErrorCodes

from lib.client import connect, tls_trust
from lib.configs import basic, with_tls
from lib.gateway import slowness
from lib.origin import always, pattern
from lib.prometheus import Metrics
from lib.wait import wait_until

CALM = ErrorCodes.ENHANCE_YOUR_CALM


class H2:
    """One connection; events are gathered by stream."""

    def __init__(self, address, trust=None, settings=None, auto=True):
        self.auto = auto  # give windows back
        self.sock = connect(address)
        if trust is not None:
            self.sock = trust.wrap_socket(self.sock, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True,
                                                                       header_encoding="utf-8"))
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.events = []
        self.ended = False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.sock.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def head(self, method="GET", path="/", *more, end=True, scheme="http"):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", scheme),
                                      (":authority", "localhost"), (":path", path), *more], end)
        self.flush()
        return stream

    def data(self, stream, body, end=True):
        at = 0
        while at < len(body) or (end and at == 0 == len(body)):
            room = min(self.h2.local_flow_control_window(stream), 16384, len(body) - at)
            if room == 0 and len(body) > at:
                self.read()
                continue
            self.h2.send_data(stream, body[at:at + room], end and at + room == len(body))
            at += room
            self.flush()
            if not body:
                return

    def read(self, timeout=20):
        """Some more events; false at the end of the connection or of the time."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except (socket.timeout, ConnectionResetError):
            return False
        if not data:
            self.ended = True
            return False
        for event in self._parse(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived) and self.auto:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        try:
            self.flush()
        except OSError:
            pass
        return True

    def _parse(self, data):
        """This version of h2 takes any GOAWAY for the end: streams that go on are fed after it."""
        events, state = [], self.h2.state_machine.state
        step = 1 if bytes([7, 0, 0, 0, 0, 0]) in data else len(data)
        for at in range(0, len(data), step):
            events += self.h2.receive_data(data[at:at + step])
            if events and isinstance(events[-1], h2.events.ConnectionTerminated):
                self.h2.state_machine.state = state
        return events

    def all(self, kind, stream=None):
        return [e for e in self.events if isinstance(e, kind)
                and (stream is None or e.stream_id == stream)]

    def until(self, condition, timeout=20):
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            if left <= 0 or not self.read(left):
                return bool(condition())
        return True

    def over(self, stream):
        return self.all(h2.events.StreamEnded, stream) or self.all(h2.events.StreamReset, stream)

    def response(self, stream):
        """Status, headers, body; waits for its end."""
        assert self.until(lambda: self.over(stream)), self.events[-5:]
        heads = self.all(h2.events.ResponseReceived, stream)
        headers = dict(heads[0].headers) if heads else {}
        body = b"".join(e.data for e in self.all(h2.events.DataReceived, stream))
        return int(headers.get(":status", 0)), headers, body

    def get(self, path="/", *more):
        return self.response(self.head("GET", path, *more))

    def reset_code(self, stream):
        assert self.until(lambda: self.all(h2.events.StreamReset, stream)), self.events[-5:]
        return self.all(h2.events.StreamReset, stream)[0].error_code

    def goaways(self):
        return [e.error_code for e in self.all(h2.events.ConnectionTerminated)]


def config(*origins, http2=None, listener=None, **more):
    conf = basic(*origins, **more)
    conf["listen"][0].update({"http2": {"cleartext": True, **(http2 or {})}, **(listener or {})})
    return conf


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(config(app))


# ---- exchanges ----

def test_a_request_and_its_access_line(gw):
    with H2(gw.plain) as client:
        status, headers, body = client.get("/a?b", ("cookie", "x=1"), ("cookie", "y=2"))
        assert status == 200 and headers["content-length"] == str(len(body))
        facts = json.loads(body)
        assert facts["target"] == "/a?b" and ["cookie", "x=1; y=2"] in facts["headers"]
        assert ["via", "2.0 lintel"] in facts["headers"]
    assert gw.access(path="/a")[0]["protocol"] == "HTTP/2"


def test_http_1_is_served_beside_it(gw):
    assert gw.get("/one").status == 200
    assert gw.access(path="/one")[0]["protocol"] == "HTTP/1.1"


def test_what_is_neither_gets_no_answer(gw):
    """It may be meant as HTTP/2: a 400 would be a broken frame to such a client."""
    with connect(gw.plain) as sock:
        sock.sendall(b"INVALID CONNECTION PREFACE\r\n\r\n")
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
    assert gw.access(cause="request_line_invalid")


def test_without_the_option_the_preface_is_no_request(shop):
    gw = shop.lintel(basic(shop.echo()))
    with connect(gw.plain) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 505")


@pytest.mark.parametrize("alpn,protocol", [(True, "h2"), (False, "http/1.1")])
def test_tls_clients_choose_by_alpn(shop, authority, alpn, protocol):
    conf = with_tls(basic(shop.echo()), *authority.leaf("localhost"))
    conf["listen"][1]["http2"] = {"alpn": alpn}
    gw = shop.lintel(conf)
    trust = tls_trust(authority.ca, alpn=["h2", "http/1.1"])
    with connect(gw.secure) as plain, trust.wrap_socket(plain, server_hostname="localhost") as sock:
        assert sock.selected_alpn_protocol() == protocol
    if alpn:
        with H2(gw.secure, trust=trust) as client:
            status, _, body = client.get()
            assert status == 200
            assert ["x-forwarded-proto", "https"] in json.loads(body)["headers"]


def test_many_streams_with_bodies_both_ways(gw):
    with H2(gw.plain) as client:
        streams = [client.head("GET", f"/bytes/{n}") for n in (0, 1, 20000, 300000)]
        upload = client.head("POST", "/up", end=False)
        client.data(upload, pattern(400000))
        for stream, n in zip(streams, (0, 1, 20000, 300000)):
            assert client.response(stream)[2] == pattern(n)
        assert json.loads(client.response(upload)[2])["length"] == 400000


def test_a_body_with_its_length_keeps_it(gw):
    with H2(gw.plain) as client:
        stream = client.head("POST", "/", ("content-length", "5"), end=False)
        client.data(stream, b"hello")
        facts = json.loads(client.response(stream)[2])
        assert ["content-length", "5"] in facts["headers"] and facts["body"] == "hello"


@pytest.mark.parametrize("method,path,status", [("HEAD", "/bytes/100", 200), ("GET", "/status/204", 204),
                                                ("GET", "/status/304", 304)])
def test_answers_without_a_body_are_one_frame(gw, method, path, status):
    with H2(gw.plain) as client:
        stream = client.head(method, path)
        assert client.response(stream)[0] == status
        assert not client.all(h2.events.DataReceived, stream)


def test_trailers_both_ways(shop):
    def script(peer):
        assert peer.request().trailers == [("x-sum", "1")]
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n")
    gw = shop.lintel(config(shop.origin(script)))
    with H2(gw.plain) as client:
        stream = client.head("POST", end=False)
        client.data(stream, b"x", end=False)
        client.h2.send_headers(stream, [("x-sum", "1")], end_stream=True)
        client.flush()
        assert client.response(stream)[2] == b"abc"
        assert dict(client.all(h2.events.TrailersReceived, stream)[0].headers) == {"x-end": "2"}


def test_early_hints_come_first(shop):
    gw = shop.lintel(config(shop.origin(always(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))))
    with H2(gw.plain) as client:
        stream = client.head()
        assert client.response(stream)[2] == b"ok"
        hints = client.all(h2.events.InformationalResponseReceived, stream)
        assert dict(hints[0].headers) == {":status": "103", "link": "</a>"}


def test_a_client_that_waits_is_told_to_go_on(gw):
    with H2(gw.plain) as client:
        stream = client.head("POST", "/", ("expect", "100-continue"), end=False)
        assert client.until(lambda: client.all(h2.events.InformationalResponseReceived, stream))
        client.data(stream, b"now")
        assert json.loads(client.response(stream)[2])["body"] == "now"


def test_an_answer_that_comes_before_the_body_ends_it(shop):
    gw = shop.lintel(config(shop.echo(), routes=[{"match": "/*", "to": "app", "body": {"max": "1K"}}]))
    with H2(gw.plain) as client:
        stream = client.head("POST", end=False)
        client.h2.send_data(stream, bytes(2000))
        client.flush()
        assert client.response(stream)[0] == 413
        assert client.reset_code(stream) == ErrorCodes.NO_ERROR
        assert client.get("/", ("x", "y"))[0] == 200


def test_a_cut_response_is_a_reset(shop):
    gw = shop.lintel(config(shop.origin(
        lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nabc")))))
    with H2(gw.plain) as client:
        stream = client.head()
        assert client.reset_code(stream) == ErrorCodes.INTERNAL_ERROR
    assert gw.access(path="/")[0]["cause"] == "response_cut"


# ---- back-pressure ----

def test_a_server_that_does_not_read_closes_the_window(shop):
    """Of a streamed body no more comes in than the window and what may wait for the server."""
    gw = shop.lintel(config(shop.origin(lambda peer: peer.pause(60)), http2={"window": "64K"},
                            routes=[{"match": "/*", "to": "app", "body": {"stream": True}}]))
    with H2(gw.plain) as client:
        stream, sent = client.head("POST", end=False), 0
        end = time.monotonic() + 20
        while time.monotonic() < end:
            room = min(client.h2.local_flow_control_window(stream), 16384)
            if room == 0 and not client.read(0.5 * slowness()):
                break
            if room > 0:
                client.h2.send_data(stream, bytes(room))
                client.flush()
                sent += room
        assert 65536 <= sent < 16 << 20
        assert client.h2.local_flow_control_window(stream) == 0


def test_a_client_that_takes_nothing_is_given_up(shop):
    gw = shop.lintel(config(shop.echo(), listener={"timeouts": {"write": "300ms"}}))
    with H2(gw.plain, settings={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10}, auto=False) as client:
        stream = client.head("GET", "/bytes/5000")
        assert client.reset_code(stream) == ErrorCodes.CANCEL
    # The exchange was over before its last bytes left.
    assert gw.access(path="/bytes/5000")


def test_urgent_responses_leave_first(shop):
    """RFC 9218: by the field, and by PRIORITY_UPDATE's absence the default, 3."""
    gw = shop.lintel(config(shop.echo()))
    with H2(gw.plain, settings={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20}, auto=False) as client:
        late = client.head("GET", "/bytes/300000", ("priority", "u=6"))
        soon = client.head("GET", "/bytes/300000", ("priority", "u=1"))
        # The connection's window lets 65535 bytes of both pass; what follows is in order.
        client.until(lambda: sum(len(e.data) for e in client.all(h2.events.DataReceived)) >= 65535)
        time.sleep(0.3 * slowness())
        client.events.clear()
        client.h2.increment_flow_control_window(1 << 20)
        client.flush()
        assert client.until(lambda: client.over(late) and client.over(soon))
        order = [e.stream_id for e in client.all(h2.events.StreamEnded)]
        assert order == [soon, late]
        first_late = next(i for i, e in enumerate(client.events)
                          if isinstance(e, h2.events.DataReceived) and e.stream_id == late)
        assert isinstance(client.events[first_late - 1],
                          (h2.events.StreamEnded, h2.events.DataReceived))


# ---- time ----

def test_a_body_that_stops_fails_alone(shop):
    gw = shop.lintel(config(shop.echo(), listener={"timeouts": {"body": "300ms"}}))
    with H2(gw.plain) as client:
        slow, quick = client.head("POST", "/slow", end=False), client.head()
        client.data(slow, b"x", end=False)
        assert client.response(quick)[0] == 200
        assert client.response(slow)[0] == 408
        assert client.get()[0] == 200
    assert gw.access(path="/slow")[0]["cause"] == "body_timeout"


def test_a_body_that_drips_is_too_slow(shop):
    gw = shop.lintel(config(shop.echo(), listener={"body": {"min_rate": "1K", "grace": "300ms"}}))
    with H2(gw.plain) as client:
        stream = client.head("POST", "/drip", end=False)
        while not client.until(lambda: client.over(stream), 0.05):
            client.data(stream, b"x", end=False)
        assert client.response(stream)[0] == 408
    assert gw.access(path="/drip")[0]["cause"] == "body_too_slow"


def test_a_head_that_never_ends_ends_the_connection(shop):
    gw = shop.lintel(config(shop.echo(), listener={"timeouts": {"head": "300ms"}}))
    with H2(gw.plain) as client:
        assert client.until(lambda: client.all(h2.events.SettingsAcknowledged))
        client.sock.sendall(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82")  # HEADERS, no END_HEADERS
        assert client.until(lambda: client.ended)
        assert client.goaways() == [CALM]
    assert gw.wait_event("connection_error", cause="head_timeout")


def test_an_idle_connection_is_ended_in_order(shop):
    gw = shop.lintel(config(shop.echo(), listener={"timeouts": {"keepalive": "300ms"}}))
    with H2(gw.plain) as client:
        assert client.get()[0] == 200
        assert client.until(lambda: client.ended)
        assert client.goaways() == [ErrorCodes.NO_ERROR] * 2
        assert [e.last_stream_id for e in client.all(h2.events.ConnectionTerminated)] == [2**31 - 1, 1]


@pytest.mark.parametrize("listener", [{"max_requests": 3}, {"timeouts": {"age": "1ms"}}])
def test_old_connections_are_ended_in_order(shop, listener):
    gw = shop.lintel(config(shop.echo(), listener=listener))
    with H2(gw.plain) as client:
        streams = [client.head("GET", f"/{n}") for n in range(3)]
        assert [client.response(s)[0] for s in streams] == [200] * 3
        assert client.until(lambda: client.ended)
        assert client.goaways() == [ErrorCodes.NO_ERROR] * 2


# ---- draining ----

def test_requests_in_progress_outlive_the_drain(shop):
    app = shop.echo()
    gw = shop.lintel(config(app))
    with H2(gw.plain) as client:
        slow = client.head("GET", "/sleep/800")
        wait_until(lambda: app.active == 1, "the request")
        gw.signal(signal.SIGTERM)
        assert client.until(client.goaways)
        assert client.response(slow)[0] == 200
        assert client.until(lambda: client.ended)
        assert client.goaways()[-1] == ErrorCodes.NO_ERROR
    gw.ended(0)


def test_what_outlives_the_time_for_draining_is_told_why(shop):
    app = shop.echo()
    gw = shop.lintel(config(app, drain={"timeout": "300ms"}))
    with H2(gw.plain) as client:
        slow = client.head("GET", "/sleep/30000")
        wait_until(lambda: app.active == 1, "the request")
        gw.signal(signal.SIGTERM)
        status, _, body = client.response(slow)
        assert status == 503 and json.loads(body)["cause"] == "draining"
    gw.ended(0)


def test_a_reload_that_removes_the_listener_ends_its_connections(shop):
    app = shop.echo()
    conf = config(app)
    conf["listen"].append({"name": "other", "address": "127.0.0.2:0"})
    gw = shop.lintel(conf)
    with H2(gw.plain) as client:
        assert client.get()[0] == 200
        left = {**conf, "listen": conf["listen"][1:]}
        gw.reload(left)
        assert client.get()[0] == 200
        assert client.until(lambda: client.ended) and ErrorCodes.NO_ERROR in client.goaways()


def test_a_reload_that_changes_the_tls_policy_ends_connections_after_their_exchange(shop, authority):
    app = shop.echo()
    conf = with_tls(basic(app), *authority.leaf("localhost"))
    conf["sites"][0]["tls"]["client"] = {"ca": str(authority.ca), "verify": "optional"}
    gw = shop.lintel(conf)
    with H2(gw.secure, trust=tls_trust(authority.ca, alpn=["h2"])) as client:
        slow = client.head("GET", "/sleep/800", scheme="https")
        wait_until(lambda: app.active == 1, "the request")
        conf["sites"][0]["tls"]["client"]["verify"] = "required"
        gw.reload(conf)
        late = client.head("GET", "/late", scheme="https")
        assert client.response(slow)[0] == 200
        assert client.until(lambda: client.ended)
        assert client.all(h2.events.ConnectionTerminated)[0].last_stream_id == slow
        assert not client.over(late) and all(r.target != "/late" for r in app.requests)


# ---- tunnels ----

TUNNEL = ("CONNECT", "/chat", (":protocol", "websocket"), ("sec-websocket-version", "13"))


def dial(client):
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, [(":method", "CONNECT"), (":protocol", "websocket"),
                                    (":scheme", "http"), (":authority", "localhost"),
                                    (":path", "/chat"), ("sec-websocket-version", "13")])
    client.flush()
    return stream


def upgrade(peer):
    request = peer.request_head()
    fields = dict(request.headers)
    assert fields["upgrade"] == "websocket" and len(fields["sec-websocket-key"]) == 24
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              b"Sec-WebSocket-Accept: x\r\n\r\nhi")
    while True:
        data = peer.sock.recv(65536)
        if not data:
            return
        peer.send(data)


def test_a_websocket_over_a_stream(shop):
    gw = shop.lintel(config(shop.origin(upgrade), routes=[{"match": "/*", "to": "app", "upgrade": ["websocket"]}]))
    with H2(gw.plain) as client:
        stream = dial(client)
        early = b"before the answer"
        client.data(stream, early, end=False)
        got = lambda: b"".join(e.data for e in client.all(h2.events.DataReceived, stream))
        assert client.until(lambda: got() == b"hi" + early)
        head = dict(client.all(h2.events.ResponseReceived, stream)[0].headers)
        assert head[":status"] == "200" and "sec-websocket-accept" not in head
        client.data(stream, pattern(100000), end=False)
        assert client.until(lambda: len(got()) == 2 + len(early) + 100000)
        client.data(stream, b"")
        assert client.until(lambda: client.all(h2.events.StreamEnded, stream))


def test_a_server_that_does_not_switch_is_no_success(shop):
    gw = shop.lintel(config(shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")),
                            routes=[{"match": "/*", "to": "app", "upgrade": ["websocket"]}]))
    with H2(gw.plain) as client:
        status, _, body = client.response(dial(client))
        assert status == 502 and json.loads(body)["cause"] == "upgrade_refused"


@pytest.mark.parametrize("route", [{"to": "app", "upgrade": []}, {"respond": {"body": "ok"}}])
def test_a_protocol_that_the_route_does_not_allow(shop, route):
    gw = shop.lintel(config(shop.echo(), routes=[{"match": "/*", **route}]))
    with H2(gw.plain) as client:
        status, _, body = client.response(dial(client))
        assert status == 501 and json.loads(body)["cause"] == "upgrade_not_served"


# ---- broken rules ----

def metric(gw, name):
    return Metrics(gw.admin("/metrics").body.decode()).sum(name)


def test_resets_over_the_limit_end_the_connection(shop):
    gw = shop.lintel(config(shop.echo(), http2={"max_resets": 20}))
    with H2(gw.plain) as client:
        for _ in range(21):
            client.h2.reset_stream(client.head("GET", "/sleep/1000"), ErrorCodes.CANCEL)
        client.flush()
        assert client.until(lambda: client.ended)
        assert client.goaways() == [CALM]
    assert gw.wait_event("abuse", cause="h2_abuse", detail="resets by the client")
    assert metric(gw, "lintel_http2_abuse_total") == 1


def test_an_exchange_in_progress_ends_with_the_abuse(shop):
    gw = shop.lintel(config(shop.echo(), http2={"max_control": 10}))
    with H2(gw.plain) as client:
        client.head("GET", "/sleep/5000")
        for _ in range(11):
            client.h2.ping(b"12345678")
        client.flush()
        assert client.until(lambda: client.ended)
        assert client.goaways() == [CALM]
    assert gw.access(path="/sleep/5000")[0]["cause"] == "h2_abuse"


def test_a_malformed_request_has_a_cause(gw):
    before = metric(gw, "lintel_http2_malformed_total")
    with H2(gw.plain) as client:
        client.h2.config.validate_outbound_headers = client.h2.config.normalize_outbound_headers = False
        stream = client.head("GET", "/", ("connection", "close"))
        assert client.reset_code(stream) == ErrorCodes.PROTOCOL_ERROR
        assert client.get()[0] == 200
    assert gw.access(cause="h2_malformed")[0]["protocol"] == "HTTP/2"
    assert metric(gw, "lintel_http2_malformed_total") == before + 1


def test_a_broken_rule_has_a_cause(gw):
    with H2(gw.plain) as client:
        client.head("GET", "/sleep/3000")
        client.sock.sendall(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00")  # WINDOW_UPDATE of 0
        assert client.until(lambda: client.ended)
        assert client.goaways() == [ErrorCodes.PROTOCOL_ERROR]
    assert gw.wait_event("connection_error", cause="h2_protocol_error")
    assert gw.access(path="/sleep/3000")[0]["cause"] == "h2_protocol_error"


def test_requests_over_all_connections_are_limited(shop):
    app = shop.echo()
    gw = shop.lintel(config(app, workers=1, limits={"streams": 16}))
    with H2(gw.plain) as one, H2(gw.plain) as two:
        running = [one.head("GET", "/sleep/2000") for _ in range(16)]
        assert one.until(lambda: one.all(h2.events.SettingsAcknowledged))
        wait_until(lambda: app.active == 16, "the requests")
        assert two.reset_code(two.head()) == ErrorCodes.REFUSED_STREAM
        assert [one.response(s)[0] for s in running] == [200] * 16
        assert two.get()[0] == 200
    assert metric(gw, "lintel_http2_streams_refused_total") == 1
