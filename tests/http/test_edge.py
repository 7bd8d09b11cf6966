# SPDX-License-Identifier: Apache-2.0
"""The corners of HTTP: interim responses, trailers, early answers, clients that leave, fields that
are nobody's business in between."""
import json
import socket
import threading
import time

import pytest

from lib.client import Client, chunked, head, tls_trust
from lib.configs import basic, with_tls
from lib.origin import OK, always, answer, pattern
from lib.strict_h1 import Reader
from lib.wait import PATIENCE, wait_until


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(basic(app))


def seen(gateway, method="GET", target="/", fields=(), body=None):
    """Fields that the application saw, names in lower case."""
    with gateway.client() as client:
        got = json.loads(client.request(method, target, fields, body).body)
    return [(n.lower(), v) for n, v in got["headers"]]


def values(fields, name):
    return [v for n, v in fields if n == name]


# ---- interim responses ----

def test_the_body_is_asked_for_before_a_server_is_taken(shop):
    """100 is Lintel's to say: the server gets neither the expectation nor a half request."""
    server = shop.origin(answer(OK))
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "3", "Expect": "100-continue"}))
        assert client.reader.response_head().status == 100
        assert client.waits(0.2) and not server.peers
        client.send(b"abc")
        assert client.response().status == 200
    assert server.requests[0].body == b"abc"
    assert not server.requests[0].headers.get("expect")


def test_early_hints_pass_in_order_and_without_hop_by_hop_fields(shop):
    server = shop.origin(always(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </b.js>\r\n\r\n" + OK))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(2):
            response = client.request()
            assert [(r.status, r.headers.get("link")) for r in response.interim] == \
                [(103, "</a.css>"), (103, "</b.js>")]
            assert not response.interim[0].headers.get("x-gone")
            assert response.body == b"ok"


def test_early_hints_have_no_length(shop):
    """A proxy in front that took it for one would lose step (RFC 9110 section 8.6)."""
    server = shop.origin(always(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n"
                                b"Content-Length: 5\r\n\r\n" + OK))
    with shop.lintel(basic(server)).client() as client:
        response = client.request()
        assert response.interim[0].headers.names() == ["link"]
        assert response.body == b"ok"


def test_early_hints_arrive_before_the_answer_is_there(shop):
    go = threading.Event()

    def slow(peer):
        peer.request()
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        go.wait(10)
        peer.send(OK)
    gw = shop.lintel(basic(shop.origin(slow)))
    with gw.client() as client:
        client.send(head("GET", "/"))
        assert client.reader.response_head().status == 103
        go.set()
        assert client.response().body == b"ok"


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n",
                                     b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
def test_http_1_0_clients_see_no_interim_response(shop, interim):
    gw = shop.lintel(basic(shop.origin(always(interim + OK))))
    with gw.client() as client:
        client.send(head("GET", "/", version="HTTP/1.0"))
        response = client.response()
        assert response.status == 200 and not response.interim


# ---- trailers ----

FORBIDDEN = [("Content-Length", "5"), ("Host", "evil"), ("Authorization", "Basic x"),
             ("X-Forwarded-For", "6.6.6.6"), ("Cookie", "a=b"),
             ("Content-Type", "text/evil"), ("X_Remote_User", "root"), ("Remote-User", "root"), ("Script-Name", "/evil"),
             ("Path-Info", "/evil"), ("Connection", "close")]


def test_trailers_of_requests_stay_trailers_and_are_filtered(gw):
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked", "Trailer": "X-Sum"})
                    + chunked(b"abc", trailers=[("X-Sum", "1"), *FORBIDDEN, ("X-More", "2")]))
        got = json.loads(client.response().body)
    assert got["trailers"] == [["X-Sum", "1"], ["X-More", "2"]]
    names = {n.lower() for n, _ in got["headers"]}
    assert not names & {"x-sum", "x-more", "authorization", "cookie", "trailer"}


def test_a_trailer_that_would_change_the_framing_is_refused(gw, app):
    before = app.served
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked"})
                    + chunked(b"abc", trailers=[("Transfer-Encoding", "chunked")]))
        response = client.response()
        assert (response.status, json.loads(response.body)["cause"]) == (400, "trailer_invalid")
        assert client.ends()
    assert app.served == before


def test_trailers_of_responses_stay_trailers_and_are_filtered(shop):
    lines = "".join(f"{n}: {v}\r\n" for n, v in
                    [("X-Sum", "1"), *FORBIDDEN, ("Set-Cookie", "a=b"), ("X-More", "2")])
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                b"2\r\nok\r\n0\r\n" + lines.encode() + b"\r\n"))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(2):
            response = client.request(headers={"TE": "trailers"})
            assert response.trailers == [("X-Sum", "1"), ("X-More", "2")]
            for name in ("x-sum", "x-more", "set-cookie", "authorization"):
                assert name not in response.headers


def test_http_1_0_clients_get_no_trailers(shop):
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"))
    with shop.lintel(basic(server)).client() as client:
        client.send(head("GET", "/", version="HTTP/1.0"))
        assert client.response().body == b"ok"
        assert client.ends()


# ---- an answer before the request has ended ----

@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_early_answer_ends_the_upload_and_frees_the_server(shop, framing):
    def refuse(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
        peer.until_closed()
    server = shop.origin(refuse, always(OK))
    gw = shop.lintel(basic({"address": server.address, "max": 1}, routes=[
        {"match": "/*", "to": "app", "body": {"stream": True, "max": "1G"}}]))
    fields = {"Content-Length": str(64 << 20)} if framing == "length" \
        else {"Transfer-Encoding": "chunked"}
    piece = bytes(1 << 20) if framing == "length" else b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    with gw.client() as client:
        client.send(head("POST", "/", fields))
        for _ in range(3):
            client.send(piece)
        response = client.response()
        assert (response.status, response.body) == (413, b"no")
        assert response.headers.get("connection") == "close"
        assert gw.get().body == b"ok"  # its only slot is free, before the client has gone


# ---- clients that send no more, or are gone ----

class Held:
    """A server with one slot whose first request is answered when the test says so."""

    def __init__(self, shop, tls=None, unix=False, **timeouts):
        self.go, self.gone = threading.Event(), threading.Event()
        self.server = shop.origin(self._script, always(OK))
        config = basic({"address": self.server.address, "max": 1})
        if tls:
            with_tls(config, *tls)
        config["listen"][0]["timeouts"] = timeouts
        if unix:
            config["listen"][0]["address"] = f"unix:{shop.folder}/front.sock"
        self.gw = shop.lintel(config)

    def _script(self, peer):
        peer.request()
        while not self.go.wait(0.02):
            peer.sock.settimeout(0.02)
            try:
                if not peer.sock.recv(1):
                    self.gone.set()
                    return
            except TimeoutError:
                pass
        peer.sock.settimeout(None)
        peer.send(OK)

    def ask(self, address=None, **options):
        client = Client(address or self.gw.plain, **options)
        client.send(head("GET", "/held"))
        wait_until(lambda: self.server.requests, "the request at the origin")
        return client

    def freed(self, within):
        began = time.monotonic()
        assert self.gone.wait(within), "the server still works for nobody"
        assert self.gw.access(cause="client_gone", path="/held")
        assert self.gw.get().body == b"ok"
        return time.monotonic() - began


@pytest.mark.parametrize("unix", [False, True])
def test_a_half_closed_client_is_answered(shop, unix):
    held = Held(shop, unix=unix, half_closed="20s")
    client = held.ask()
    client.finish_sending()
    time.sleep(4)
    held.go.set()
    assert client.response().body == b"ok"
    assert client.ends()
    client.close()
    assert not held.gw.access(path="/held")[0].get("cause")


def test_a_half_closed_client_gets_a_long_answer_whole(gw):
    with gw.client() as client:
        client.send(head("GET", "/bytes/5000000"))
        client.finish_sending()
        time.sleep(2.5)  # what waits fills the socket meanwhile
        assert client.response().body == pattern(5000000)


@pytest.mark.parametrize("size", [2000000, 3000000, 3500000, 4000000])
def test_a_client_that_ends_its_side_once_all_was_read_ahead_gets_the_rest(gw, size):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(gw.plain)
        sock.sendall(head("GET", f"/bytes/{size}"))
        time.sleep(0.5)  # the exchange is over, its end waits for the client
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        reader = Reader(lambda: sock.recv(65536))
        assert reader.response("GET").body == pattern(size)
        assert reader.at_end()


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_a_client_that_ends_its_side_is_gone_after_a_while(shop, half, unix):
    held = Held(shop, unix=unix, half_closed="1s")
    client = held.ask()
    if half:
        client.finish_sending()
        assert client.ends()
    client.close()
    assert held.freed(5) < 3


def test_a_client_that_ends_its_side_is_gone_at_once_where_the_listener_says_so(shop):
    held = Held(shop, half_closed="0")
    client = held.ask()
    client.finish_sending()
    assert client.ends()
    held.freed(5)
    client.close()


def test_a_half_closed_client_waits_anew_after_each_piece_of_its_answer(shop):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            time.sleep(0.6)
            peer.send(b"x")

    config = basic(shop.origin(script))
    config["listen"][0]["timeouts"] = {"half_closed": "1s"}
    with shop.lintel(config).client() as client:
        client.send(head("GET", "/"))
        client.finish_sending()
        assert client.response().body == b"xxxx"


def test_a_client_that_resets_while_it_waits_is_noticed_at_once(shop):
    held = Held(shop)
    held.ask().reset()
    assert held.freed(5) < 3


def test_a_half_closed_client_that_resets_is_noticed(shop):
    held = Held(shop)
    client = held.ask()
    client.finish_sending()
    time.sleep(0.2)
    client.reset()
    held.freed(5)


def test_a_tls_client_that_closes_while_it_waits_is_noticed(shop, authority):
    held = Held(shop, tls=authority.leaf("localhost"))
    held.ask(held.gw.secure, trust=tls_trust(authority.ca)).close()
    assert held.freed(5) < 3


def test_a_client_that_closes_in_the_middle_of_its_body_is_gone(shop):
    server = shop.origin()
    gw = shop.lintel(basic(server))
    with gw.client() as client:
        client.send(head("POST", "/part", {"Content-Length": "10"}) + b"abc")
        client.finish_sending()
        assert client.ends()
    assert gw.access(cause="client_gone", path="/part")
    assert not server.peers


def test_a_client_that_closes_while_its_answer_arrives_is_gone(shop):
    stopped = threading.Event()

    def endless(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                peer.send(b"5\r\nhello\r\n", pause=0.05)
        except OSError:
            stopped.set()
            raise
    gw = shop.lintel(basic(shop.origin(endless)))
    with gw.client() as client:
        client.send(head("GET", "/endless"))
        assert client.reader.response_head().status == 200
    assert stopped.wait(12)
    assert gw.access(cause="client_gone", path="/endless")


# ---- HEAD, 204, 304 ----

@pytest.mark.parametrize("fields", ["Content-Length: 1234\r\n", "Transfer-Encoding: chunked\r\n",
                                    ""])
def test_head_has_no_body_and_keeps_the_connection_in_step(shop, fields):
    raw = f"HTTP/1.1 200 OK\r\nETag: \"a\"\r\n{fields}\r\n".encode()
    server = shop.origin(always(raw))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(3):
            response = client.request("HEAD")
            assert response.status == 200 and not response.body
            assert response.headers.get("etag") == '"a"'
            if "Length" in fields:
                assert response.headers.get("content-length") == "1234"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status, fields", [
    (204, ""), (304, ""), (304, "Content-Length: 77\r\n"), (304, 'ETag: "a"\r\n')])
def test_204_and_304_have_no_body(shop, method, status, fields):
    server = shop.origin(always(f"HTTP/1.1 {status} X\r\n{fields}\r\n".encode()))
    with shop.lintel(basic(server)).client() as client:
        for _ in range(3):
            response = client.request(method)
            assert response.status == status and not response.body
            assert "transfer-encoding" not in response.headers
            assert status == 304 or "content-length" not in response.headers
            assert response.headers.get("etag") == ('"a"' if "ETag" in fields else None)


@pytest.mark.parametrize("ask", [{}, {"Connection": "close"}])
def test_a_426_says_which_protocol_it_wants(shop, ask):
    server = shop.origin(always(b"HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n"
                                b"Upgrade: HTTP/2.0\r\nContent-Length: 2\r\n\r\nno"))
    with shop.lintel(basic(server)).client() as client:
        client.send(head("GET", "/", ask))
        response = client.response()
        assert response.status == 426 and response.body == b"no"
        assert response.headers.get("upgrade") == "TLS/1.0, HTTP/2.0"
        options = [value for name, value in response.headers if name == "connection"]
        assert options == (["close"] if ask else []) + ["upgrade"]
    with shop.lintel(basic(shop.origin(always(OK.replace(b"\r\n", b"\r\nUpgrade: h2c\r\n", 1))))).client() as client:
        assert "upgrade" not in client.request().headers


# ---- repeated fields ----

def test_conditions_see_all_of_a_repeated_field(shop):
    routes = [{"match": "/", "to": "app"}]
    for name, condition in (("both", 'header.x-role == "user, admin"'), ("cookie", 'cookie.b == "1"'),
                            ("field", 'header.cookie == "a=1; b=1"'), ("first", 'query.t == "1"')):
        routes.append({"match": f"/{name}", "when": condition, "respond": {"status": 200, "body": name}})
    gw = shop.lintel(basic(shop.echo(), routes=routes))

    def got(target, *fields):
        with gw.client() as client:
            client.send(head("GET", target, list(fields)))
            return client.response().body.decode()

    roles, cookies = [("X-Role", "user"), ("x-role", "admin")], [("Cookie", "a=1"), ("Cookie", "b=1")]
    assert got("/both", *roles) == "both"
    assert json.loads(got("/both", roles[1]))["status"] == 404
    assert got("/cookie", *cookies) == "cookie"
    assert got("/field", *cookies) == "field"
    assert got("/first?t=1&t=2") == "first"
    assert json.loads(got("/first?t=2&t=1"))["status"] == 404
    seen_there = json.loads(got("/", *roles, *cookies))["headers"]
    assert [v for n, v in seen_there if n.lower() == "cookie"] == ["a=1; b=1"]
    assert [v for n, v in seen_there if n.lower() == "x-role"] == ["user", "admin"]


# ---- fields that only the ends understand ----

CONDITIONAL = [("Range", "bytes=0-1,5-"), ("If-Range", 'W/"x"'), ("If-Match", '"a", "b"'),
               ("If-None-Match", '*'), ("If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"),
               ("If-Unmodified-Since", "yesterday"), ("Cache-Control", "no-cache"),
               ("Pragma", "no-cache"), ("Accept-Encoding", "br;q=0.1, *;q=0")]


def test_range_and_conditions_reach_the_application_untouched(gw):
    fields = seen(gw, fields=CONDITIONAL)
    for name, value in CONDITIONAL:
        assert values(fields, name.lower()) == [value]


def test_partial_responses_come_back_untouched(shop):
    server = shop.origin(always(
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nAccept-Ranges: bytes\r\n"
        b"ETag: W/\"a\"\r\nLast-Modified: Sat, 29 Oct 1994 19:43:31 GMT\r\nAge: 7\r\n"
        b"Warning: 110 x \"y\"\r\nContent-Length: 2\r\n\r\nok"))
    response = shop.lintel(basic(server)).get(headers={"Range": "bytes=0-1"})
    assert (response.status, response.body) == (206, b"ok")
    for name, value in (("content-range", "bytes 0-1/9"), ("accept-ranges", "bytes"), ("age", "7"),
                        ("etag", 'W/"a"'), ("last-modified", "Sat, 29 Oct 1994 19:43:31 GMT"),
                        ("warning", '110 x "y"')):
        assert response.headers.all(name) == [value]


KEPT = ["Host", "Content-Length", "Content-Type", "Content-Encoding", "Authorization", "Cookie",
        "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "X-Request-Id",
        "Forwarded", "Via", "Traceparent", "Origin", "X-Api-Key", "Max-Forwards"]


@pytest.mark.parametrize("name", KEPT)
def test_connection_names_away_nothing_that_matters(gw, name):
    """An attacker must not be able to take off what the application decides by."""
    given = {"Content-Type": "text/x", "Content-Encoding": "x", "Authorization": "Basic eDp5",
             "Cookie": "a=b", "Origin": "https://a.test", "X-Api-Key": "k", "Max-Forwards": "3"}
    fields = list(given.items()) + [("Connection", f"{name}, x-gone"), ("X-Gone", "1")]
    got = seen(gw, "POST", "/", fields, b"abc")
    assert not values(got, "x-gone") and not values(got, "connection")
    if name != "X-Real-IP":  # which Lintel doesn't send by itself
        assert values(got, name.lower())
    if name in given:
        assert values(got, name.lower()) == [given[name]]


def test_vias_of_requests_and_responses_are_continued(shop):
    server = shop.origin(always(b"HTTP/1.1 200 OK\r\nVia: 1.0 fred, 1.1 p.example\r\nVia: 2 c\r\n"
                                b"Content-Length: 0\r\n\r\n"))
    gw = shop.lintel(basic(server))
    response = gw.get(headers=[("Via", "1.0 a"), ("Via", "1.1 b (comment, with a comma)")])
    assert response.headers.all("via") == ["1.0 fred, 1.1 p.example", "2 c", "1.1 lintel"]
    assert server.requests[0].headers.all("via") == \
        ["1.0 a", "1.1 b (comment, with a comma)", "1.1 lintel"]


# ---- Max-Forwards ----

@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_is_counted_down(gw, method):
    assert values(seen(gw, method, fields={"Max-Forwards": "10"}), "max-forwards") == ["9"]
    assert values(seen(gw, method, fields={"Max-Forwards": "1"}), "max-forwards") == ["0"]


@pytest.mark.parametrize("method, status", [("OPTIONS", 204), ("TRACE", 501)])
def test_max_forwards_that_is_used_up_ends_here(gw, app, method, status):
    before = app.served
    with gw.client() as client:
        for _ in range(2):
            response = client.request(method, headers={"Max-Forwards": "0"})
            assert response.status == status and not response.body
    assert app.served == before


@pytest.mark.parametrize("method, fields", [
    ("GET", [("Max-Forwards", "0")]), ("OPTIONS", [("Max-Forwards", "x")]),
    ("OPTIONS", [("Max-Forwards", "-1")]), ("OPTIONS", [("Max-Forwards", "99999999999999999999")]),
    ("OPTIONS", [("Max-Forwards", "0"), ("Max-Forwards", "0")])])
def test_other_uses_of_max_forwards_pass_as_they_are(gw, method, fields):
    assert values(seen(gw, method, fields=fields), "max-forwards") == [v for _, v in fields]
