# SPDX-License-Identifier: Apache-2.0
"""Each failure of a server says in the access log's `detail` what happened, with numbers and with the
place of the option that it is about. Servers speak HTTP/1 and HTTP/2 here."""
import contextlib
import json
import os
import re
import socket
import time

import pytest
from h2.errors import ErrorCodes

from lib.client import Cut, head
from lib.configs import basic
from lib.h2_origin import app as h2_app
from lib.h2_origin import h2_script
from lib.origin import always
from lib.users import ARGS, NOBODY, ROOT, UID, let_in

AT_ONCE = {"queue": {"restart": "0"}}  # nobody waits for a server that isn't there
PROTOCOLS = pytest.mark.parametrize("protocol", ["h1", "h2c"])


def told(gateway, cause, status, **request):
    """The access line of one request that has to fail with this cause."""
    response = gateway.get(**request)
    problem = json.loads(response.body)
    assert (response.status, problem["cause"]) == (status, cause), problem
    line = gateway.access(id=problem["request_id"])[0]
    assert "/" not in problem.get("detail", ""), "nothing internal is told to clients"
    return line["detail"]


def silent(protocol):
    if protocol == "h1":
        def script(peer):
            peer.request()
            peer.until_closed()
        return script

    @h2_script
    def script2(h2):
        h2.request()
        h2.until_closed()
    return script2


# ---- connecting ----

@PROTOCOLS
def test_a_socket_that_is_closed_to_us_is_told_with_owner_mode_and_who_we_are(shop, protocol):
    let_in(shop.folder)
    server = shop.echo(unix=True)
    mode = 0o600 if ROOT else 0
    os.chmod(server.path, mode)
    config = basic(server, app={"protocol": protocol})
    config["admin"]["listen"] = f"unix:{shop.folder}/admin.sock"
    detail = told(shop.lintel(config, args=ARGS), "socket_permission", 502)
    assert detail.startswith(f"connect to unix:{server.path}: permission denied: owner ")
    assert f"mode {mode:04o}, we are uid {UID} (" in detail
    assert not ROOT or f"owner root:root, mode 0600, we are uid {UID} ({NOBODY.pw_name})" in detail


def test_a_folder_that_is_closed_to_us_is_named(shop):
    let_in(shop.folder)
    closed = shop.folder / "closed"
    closed.mkdir()
    config = basic({"address": f"unix:{closed}/app.sock"})
    config["admin"]["listen"] = f"unix:{shop.folder}/admin.sock"
    closed.chmod(0o700 if ROOT else 0)
    try:
        detail = told(shop.lintel(config, args=ARGS), "socket_permission", 502)
    finally:
        closed.chmod(0o700)
    assert f"folder {closed}: owner " in detail and f"we are uid {UID}" in detail


def test_a_missing_socket_is_told_with_what_is_there(shop):
    gw = shop.lintel(basic({"address": f"unix:{shop.folder}/missing.sock"}, app=AT_ONCE))
    assert told(gw, "socket_missing", 502) == (
        f"connect to unix:{shop.folder}/missing.sock: there is no such file in {shop.folder}")


def test_a_missing_folder_is_told_with_the_one_above(shop):
    gw = shop.lintel(basic({"address": f"unix:{shop.folder}/no/where/app.sock"}, app=AT_ONCE))
    detail = told(gw, "socket_missing", 502)
    assert detail.endswith(f"its folder does not exist, only {shop.folder}")


@PROTOCOLS
def test_refused(shop, protocol):
    server = shop.refusing()
    gw = shop.lintel(basic(server, app={"protocol": protocol, **AT_ONCE}))
    assert told(gw, "connect_refused_by_server", 502) == (
        f"connect to {server.address}: refused: nobody listens on this port")


@PROTOCOLS
@pytest.mark.parametrize("queue, place", [({"restart": "700ms"}, "queue.restart"),
                                          ({"wait": "700ms"}, "queue.wait")])
def test_how_long_a_server_that_refuses_was_waited_for(shop, protocol, queue, place):
    server = shop.refusing()
    gw = shop.lintel(basic(server, app={"protocol": protocol, "queue": {"restart": "20s", **queue}}))
    response = gw.get()
    line = gw.access()[0]
    assert response.status == 502 and line["cause"] == "connect_refused_by_server"
    waited = re.fullmatch(re.escape(f"connect to {server.address}: refused: nobody listens on this port")
                          + r"; waited (\d+) ms for it, " + re.escape(place)
                          + r" \(lintel\.yaml:\d+\)", line["detail"])
    assert waited and int(waited[1]) >= 500, line
    steps = line["steps"]
    assert steps["pick"] >= 500 > steps["connect"], line


def test_a_socket_that_its_application_left_behind(shop):
    path = shop.folder / "left.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    gw = shop.lintel(basic({"address": f"unix:{path}"}, app=AT_ONCE))
    assert told(gw, "connect_refused_by_server", 502) == (
        f"connect to unix:{path}: the socket is there and nobody listens on it any more")


def test_a_file_that_is_no_socket(shop):
    path = shop.folder / "app.sock"
    path.write_text("")
    gw = shop.lintel(basic({"address": f"unix:{path}"}, app=AT_ONCE))
    assert told(gw, "connect_refused_by_server", 502) == f"connect to unix:{path}: it is no socket"


@PROTOCOLS
def test_a_full_listen_queue(shop, protocol):
    server = shop.deaf()
    gw = shop.lintel(basic(server, app={"protocol": protocol, "retry": {"attempts": 1},
                                        "timeouts": {"connect": "250ms"}}))
    detail = told(gw, "connect_timeout", 504)
    place = line_of(gw, "connect:")
    assert detail == (f"connect to {server.address}: no answer in 250 ms, "
                      f"timeouts.connect (lintel.yaml:{place})")


def test_a_full_listen_queue_of_a_unix_socket(shop):
    gw = shop.lintel(basic(shop.deaf(unix=True)))
    assert "its listen queue is full" in told(gw, "socket_backlog", 503)


# ---- waiting ----

def line_of(gateway, text):
    """The number of the line in the gateway's configuration that has text."""
    lines = gateway.config.read_text().splitlines()
    found = [n for n, line in enumerate(lines, 1) if text in line.replace('"', "")]
    assert len(found) == 1, lines
    return found[0]


@PROTOCOLS
def test_no_first_byte(shop, protocol):
    gw = shop.lintel(basic(shop.origin(silent(protocol)),
                           app={"protocol": protocol, "timeouts": {"first_byte": "250ms"}}))
    assert told(gw, "first_byte_timeout", 504) == (
        f"waited 250 ms for the first byte, timeouts.first_byte (lintel.yaml:"
        f"{line_of(gw, 'first_byte:')})")


def test_no_first_byte_by_the_limit_of_the_route(shop):
    gw = shop.lintel(basic(shop.origin(silent("h1")), routes=[
        {"match": "/*", "to": "app", "timeouts": {"first_byte": "300ms"}}]))
    assert told(gw, "first_byte_timeout", 504) == (
        f"waited 300 ms for the first byte, timeouts.first_byte (lintel.yaml:{line_of(gw, 'first_byte:')})")


def test_a_server_that_stops_taking_the_request(shop):
    def deaf(peer):
        peer.request_head()
        peer.closed.wait(20)
    gw = shop.lintel(basic(shop.origin(deaf), app={"timeouts": {"idle": "400ms"}},
                           site={"body": {"max": "64M"}}))
    detail = told(gw, "first_byte_timeout", 504, method="POST", body=bytes(32 << 20))
    assert detail.startswith("the server took nothing more of the request for 400 ms, timeouts.idle")


@PROTOCOLS
def test_a_response_that_stops(shop, protocol):
    def stops(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc")
        peer.until_closed()

    @h2_script
    def stops2(h2):
        stream = h2.request()
        h2.headers(stream, [(":status", "200"), ("content-length", "100000")])
        h2.data(stream, b"abc")
        h2.until_closed()
    origin = shop.origin(stops if protocol == "h1" else stops2)
    gw = shop.lintel(basic(origin, app={"protocol": protocol, "timeouts": {"idle": "300ms"}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    line = gw.access(cause="response_idle_timeout")[0]
    assert line["detail"].startswith("nothing came for 300 ms after 3 bytes of the body, "
                                     "timeouts.idle (lintel.yaml:")


@PROTOCOLS
def test_the_whole_takes_too_long(shop, protocol):
    gw = shop.lintel(basic(shop.origin(silent(protocol)), app={"protocol": protocol},
                           site={"timeouts": {"total": "300ms"}}))
    detail = told(gw, "deadline", 504)
    assert re.fullmatch(r"the 300 ms for the whole are over, timeouts.total \(lintel\.yaml:\d+\); for "
                        r"\d+ ms it was in step response_head", detail), detail


# ---- ends ----

def test_closed_and_reset_before_the_response(shop):
    def closes(peer):
        peer.request()

    def resets(peer):
        peer.request()
        peer.reset()
    said = r"%s by the server \d+ ms after the exchange came to it, try \d, on a new connection; " \
           r"\d+ bytes of the request were sent"
    gw = shop.lintel(basic(shop.origin(closes), app={"keepalive": {"max": 0}}))
    assert re.fullmatch(said % "closed", told(gw, "closed_before_response", 502, method="POST",
                                              body=b"x"))
    gw = shop.lintel(basic(shop.origin(resets), app={"keepalive": {"max": 0}}))
    assert re.fullmatch(said % "reset", told(gw, "reset_before_response", 502, method="POST",
                                             body=bytes(100_000)))


def test_what_was_sent_over_http2_counts_the_head(shop):
    @h2_script
    def closes(h2):
        h2.request()
        h2.peer.sock.shutdown(socket.SHUT_WR)
        h2.until_closed()
    gw = shop.lintel(basic(shop.origin(closes), app={"protocol": "h2c"}))
    detail = told(gw, "closed_before_response", 502)
    sent = re.search(r"; (\d+) bytes of the request were sent$", detail)
    assert sent and int(sent[1]) > 20, detail


def test_closed_in_the_head(shop):
    def dies(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    gw = shop.lintel(basic(shop.origin(dies)))
    assert told(gw, "response_cut", 502, method="POST", body=b"x") == (
        "closed by the server after 27 bytes, in its head")


@PROTOCOLS
def test_killed_in_the_middle_of_the_body(shop, protocol):
    def dies(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 200_000)

    @h2_script
    def dies2(h2):
        stream = h2.request()
        h2.headers(stream, [(":status", "200"), ("content-length", "1000000")])
        h2.data(stream, b"a" * 10_000)
        h2.reset(stream, ErrorCodes.INTERNAL_ERROR)
        h2.until_closed()
    gw = shop.lintel(basic(shop.origin(dies if protocol == "h1" else dies2),
                           app={"protocol": protocol}))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "0"}))
        with contextlib.suppress(Cut, ConnectionResetError):  # or nothing had left yet
            assert client.response().status == 502
    detail = gw.access(cause="response_cut")[0]["detail"]
    if protocol == "h1":
        assert re.fullmatch(r"closed by the server after 2000\d\d bytes, head included; "
                            r"Content-Length is 1000000", detail), detail
    else:
        assert "INTERNAL_ERROR" in detail


def test_a_client_that_leaves_is_told_with_what_it_waited_for(shop):
    app = shop.origin(silent("h1"))
    gw = shop.lintel(basic(app))
    with gw.client() as client:
        client.send(head("GET", "/"))
        end = time.monotonic() + 10
        while not app.requests and time.monotonic() < end:
            time.sleep(0.01)
    detail = gw.access(cause="client_gone")[0]["detail"]
    assert re.fullmatch(r"left after \d+ ms, in step response_head; it waited \d+ ms of them for the "
                        r"server", detail), detail


def test_a_client_that_leaves_in_its_body(shop):
    gw = shop.lintel(basic(shop.echo()))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "1000"}) + b"half")
    detail = gw.access(cause="client_gone")[0]["detail"]
    assert re.fullmatch(r"left after \d+ ms, in step body", detail), detail


# ---- heads ----

def with_fields(protocol, *fields):
    if protocol == "h1":
        lines = b"".join(f"{n}: {v}\r\n".encode() for n, v in fields)
        return always(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")

    @h2_script
    def script(h2):
        stream = h2.request()
        h2.headers(stream, [(":status", "200"), *((n.lower(), v) for n, v in fields)])
        h2.until_closed()
    return script


@PROTOCOLS
def test_a_giant_cookie_in_a_response(shop, protocol):
    origin = shop.origin(with_fields(protocol, ("X-Small", "a"), ("Set-Cookie", "s=" + "a" * 9000),
                                     ("X-Other", "b" * 200)))
    gw = shop.lintel(basic(origin, app={"protocol": protocol, "max_head": "8K"}))
    detail = told(gw, "response_head_too_large", 502)
    assert re.match(r"more than the 8192 bytes of max_head \(lintel\.yaml:\d+\); the largest is field "
                    r"set-cookie with \d+ bytes$", detail, re.I), detail


@PROTOCOLS
def test_too_many_fields_in_a_response(shop, protocol):
    fields = [(f"X-{n}", "a") for n in range(30)]
    origin = shop.origin(with_fields(protocol, ("X-Largest", "a" * 50), *fields))
    gw = shop.lintel(basic(origin, app={"protocol": protocol, "max_headers": 20}))
    detail = told(gw, "response_head_too_large", 502)
    assert re.match(r"more than the 20 fields of max_headers \(lintel\.yaml:\d+\); the largest is "
                    r"field x-largest", detail, re.I), detail


@pytest.mark.parametrize("response, cause, detail", [
    (b"HTTP/1.1 200 OK\r\nA: b\r\nX-Bad: a\x01b\r\n\r\n", "response_invalid",
     "header_invalid: X-Bad"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\n\r\n", "response_invalid",
     "header_invalid: line 3"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "response_invalid", "header_folded: line 3"),
    (b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "response_invalid", "line_end_invalid"),
    (b"HTTP/9 200 OK\r\n\r\n", "response_invalid", "request_line_invalid: line 1"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
     "response_framing_invalid", "content_length_invalid: Content-Length"),
    (b"HTTP/1.1 100 C\r\n\r\n" * 9, "response_invalid", "too many interim responses"),
])
def test_a_malformed_response_is_told_with_rule_and_field(shop, response, cause, detail):
    gw = shop.lintel(basic(shop.origin(always(response))))
    assert told(gw, cause, 502) == detail


@pytest.mark.parametrize("fields, said", [
    ([("x-bad", "a\x01b")], "header_invalid: x-bad"),
    ([("content-length", "1"), ("content-length", "2")],
     "header_invalid: content-length"),
])
def test_a_malformed_response_of_http2_is_told_with_rule_and_field(shop, fields, said):
    origin = shop.origin(with_fields("h2c", *fields))
    assert told(shop.lintel(basic(origin, app={"protocol": "h2c"})), "response_invalid", 502) == said


@PROTOCOLS
@pytest.mark.parametrize("takes, fields, target, said", [
    ({"field": 200}, [("Cookie", "a=" + "b" * 300)], "/",
     r"312 bytes of one header field, more than the 200 of takes\.field \(lintel\.yaml:\d+\); the largest "
     r"field is cookie with 312 bytes"),
    ({"fields": 20}, [(f"X-{n}", "1") for n in range(20)], "/",
     r"\d\d header fields, more than the 20 of takes\.fields .*"),
    ({"line": 128}, [], "/" + "a" * 200, r"214 bytes of request line, more than the 128 of takes\.line .*"),
    ({"head": 1024}, [("X-A", "a" * 500), ("X-B", "b" * 600)], "/",
     r"\d+ bytes of target, names and values( with 32 for each field)?, more than the 1024 of "
     r"takes\.head .*; the largest field is X-B with 607 bytes"),
    ({"head": 1024}, [(f"X-{n}", "a" * 20) for n in range(50)], "/",
     r"\d+ bytes of target, names and values( with 32 for each field)?, more than the 1024 of "
     r"takes\.head .*; the largest field is X-\d\d with 28 bytes"),
])
def test_a_request_that_the_server_would_not_take(shop, protocol, takes, fields, target, said):
    origin = shop.origin(h2_app) if protocol == "h2c" else shop.echo()
    gw = shop.lintel(basic(origin, app={"protocol": protocol, "takes": takes}))
    detail = told(gw, "server_head_limit", 431, target=target, headers=fields)
    assert re.fullmatch(said, detail, re.I), detail
    assert gw.get().status == 200
