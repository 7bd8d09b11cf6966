# SPDX-License-Identifier: Apache-2.0
"""Streams of one HTTP/2 connection together: flow control, concurrency, resets, GOAWAY, tunnels.

The client's ledger (lib/raw_h2.py) fails on every frame that a window or a state doesn't allow."""
import base64
import hashlib
import json
import os
import random
import select
import signal
import socket
import time

import pytest

from lib.client import fetch, tls_trust
from lib.configs import h2, with_tls
from lib.h2_verdict import (FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, answer,
                            error, judge)
from lib.origin import pattern
from lib.raw_h2 import (ACK, FRAME_MAX, H2, PREFACE, WINDOW, Setting, Type, data, frame, get, goaway,
                        head, headers, ping, post, request, rst, settings, window_update)
from lib.wait import wait_until

WINDOW_SIZE = Setting.INITIAL_WINDOW_SIZE


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(h2(app))


def at(path, *more):
    return get(*more, path=path)


# ---- §5.2 and §6.9: flow control, what we receive ----

def test_6_9_a_window_of_1(gw):
    with H2(gw.plain, (WINDOW_SIZE, 1), grants=False) as client:
        stream = client.open(at("/bytes/5"))
        record = client.known(stream)
        for n in range(1, 6):
            assert client.until(lambda: len(record.body) == n)
            assert client.silent(0.05)
            client.send(window_update(stream, 1))
        assert client.response(stream).body == pattern(5)


def test_6_9_a_window_of_nothing_lets_heads_and_empty_bodies_pass(gw):
    with H2(gw.plain, (WINDOW_SIZE, 0), grants=False) as client:
        assert client.request(at("/bytes/0")).ended
        assert client.request(at("/status/204")).ended
        assert client.request(request("HEAD", "/bytes/100")).ended
        stream = client.open(at("/bytes/100"))
        assert client.until(lambda: client.known(stream).status) and client.silent()
        client.send(settings((WINDOW_SIZE, 101)))
        assert client.response(stream).body == pattern(100)


def test_6_9_2_a_window_becomes_negative(gw):
    with H2(gw.plain, (WINDOW_SIZE, 50), grants=False) as client:
        stream = client.open(at("/bytes/100"))
        record = client.known(stream)
        assert client.until(lambda: len(record.body) == 50)
        client.send(settings((WINDOW_SIZE, 20)))   # -30
        assert client.alive() and client.silent(0.05)
        client.send(window_update(stream, 29))     # -1
        assert client.silent(0.05)
        client.send(window_update(stream, 1))      # 0
        assert client.silent(0.05)
        client.send(window_update(stream, 7))
        assert client.until(lambda: len(record.body) == 57)
        client.send(settings((WINDOW_SIZE, 30)))   # 10
        assert client.until(lambda: len(record.body) == 67)
        client.send(settings((WINDOW_SIZE, 0)), window_update(stream, 20), settings((WINDOW_SIZE, 64)))
        assert client.response(stream).body == pattern(100)


def test_6_9_2_the_settings_of_one_frame_count_in_their_order(gw):
    with H2(gw.plain, (WINDOW_SIZE, 100), (WINDOW_SIZE, 1), grants=False) as client:
        stream = client.open(at("/bytes/5"))
        assert client.until(lambda: client.known(stream).body) and client.silent(0.05)
        assert len(client.known(stream).body) == 1


def test_6_9_1_the_window_of_the_connection(gw):
    """Two responses share 65,535 bytes; neither goes on until the connection may."""
    with H2(gw.plain, (WINDOW_SIZE, 1 << 20), grants=False) as client:
        one, two = client.open(at("/bytes/50000")), client.open(at("/bytes/50000"))
        bodies = [client.known(s).body for s in (one, two)]
        assert client.until(lambda: sum(map(len, bodies)) == WINDOW) and client.silent(0.05)
        client.send(window_update(0, 10))
        assert client.until(lambda: sum(map(len, bodies)) == WINDOW + 10) and client.silent(0.05)
        client.send(window_update(0, 100000))
        for stream in (one, two):
            assert client.response(stream).body == pattern(50000)


def test_6_9_a_stream_without_window_holds_up_no_other(gw):
    with H2(gw.plain, (WINDOW_SIZE, 110), grants=False) as client:
        stuck = client.open(at("/bytes/5000"))
        assert client.until(lambda: len(client.known(stuck).body) == 110)
        for _ in range(20):
            assert client.request(at("/bytes/100")).body == pattern(100)
        client.send(rst(stuck))
        assert client.alive() and client.known(stuck).reset is None


def test_6_9_the_window_of_a_reset_response_is_not_lost(gw):
    """What was never sent because of the reset must still be there for others."""
    with H2(gw.plain, grants=False) as client:
        for _ in range(10):
            stream = client.open(at("/bytes/200000"))
            client.until(lambda: client.known(stream).status)
            client.send(rst(stream))
            assert client.alive()
            client.send(window_update(0, max(1, client.used - client.granted)))
        assert client.request(at("/bytes/60000")).body == pattern(60000)


def test_4_2_a_larger_frame_is_used_only_when_it_was_allowed(gw):
    with H2(gw.plain, (Setting.MAX_FRAME_SIZE, 1 << 20), (WINDOW_SIZE, 1 << 20)) as client:
        assert client.request(at("/bytes/300000")).body == pattern(300000)


# ---- what we send ----

def facts(record):
    assert record.status == 200, record
    return json.loads(bytes(record.body))


@pytest.mark.parametrize("piece,pad", [(1, None), (1, 255), (1000, 100), (FRAME_MAX, None)])
def test_6_9_windows_are_given_back_whatever_the_frames_are(gw, piece, pad):
    """Padding counts too (§6.1): a connection that forgets it runs dry."""
    n = 2000 if piece == 1 else 300000
    body = pattern(n)
    with H2(gw.plain) as client:
        stream = client.open(post(), end=False)
        record = client.known(stream)
        cost = piece + (0 if pad is None else pad + 1)
        for i in range(0, n, piece):
            assert client.until(lambda: min(record.credit, client.credit) >= cost)
            client.send(data(stream, body[i:i + piece], i + piece >= n, pad))
        got = facts(client.response(stream))
        assert got["length"] == n and got["sha256"] == hashlib.sha256(body).hexdigest()


def test_6_9_data_of_a_reset_stream_gives_its_window_back(gw):
    """§6.9: it counts against the connection, though nobody reads it."""
    with H2(gw.plain) as client:
        for _ in range(20):
            stream = client.open(get(("bad", "\n")), end=False)
            client.send(data(stream, bytes(FRAME_MAX), end=False))
            client.response(stream)
            assert client.alive()
        assert facts(client.request(post(), bytes(200000)))["length"] == 200000


def test_6_9_1_more_than_the_window_is_an_error(shop):
    """The server never reads, so that the gateway has to stop giving windows at some time."""
    deaf = shop.origin(lambda peer: peer.pause(60))
    gw = shop.lintel(h2(deaf, routes=[
        {"match": "POST /*", "to": "app", "body": {"stream": True}},
        {"match": "/*", "respond": {"body": "ok"}}]))
    with H2(gw.plain) as client:
        stream = client.open(post(), end=False)
        record = client.known(stream)
        end = time.monotonic() + 5
        while time.monotonic() < end and not client.goaway and not record.over:
            if min(record.credit, client.credit) >= FRAME_MAX:
                client.send(data(stream, bytes(FRAME_MAX), end=False))
            elif client.silent(0.3):
                for _ in range(8):
                    client.send(data(stream, bytes(FRAME_MAX), end=False))
                break
        judge(client, error(FLOW_CONTROL_ERROR), stream)


# ---- §5.1.2: concurrency ----

def test_5_1_2_more_streams_than_announced_are_refused(gw, app):
    with H2(gw.plain) as client:
        assert client.alive()
        most = client.theirs[Setting.MAX_CONCURRENT_STREAMS]
        assert 1 < most <= 1000
        streams = [client.open(post(), end=False) for _ in range(most)]
        assert client.alive() and not any(client.known(s).over for s in streams)
        served = app.served
        extra = client.open()
        client.response(extra)
        if client.goaway:  # which is allowed too
            assert client.goaway[0] == PROTOCOL_ERROR
            return
        assert client.known(extra).reset == REFUSED_STREAM
        client.send(*(data(s, b"x") for s in streams))
        for s in streams:
            assert client.response(s).status == 200
        assert app.served - served == most
        assert client.serves()


def test_5_1_2_streams_whose_responses_wait_for_a_window_count_too(gw):
    with H2(gw.plain, (WINDOW_SIZE, 0)) as client:
        assert client.alive()
        for _ in range(client.theirs[Setting.MAX_CONCURRENT_STREAMS] + 1):
            client.open()
        last = client.known(client._next - 2)
        client.until(lambda: last.over)
        assert last.reset == REFUSED_STREAM or client.goaway[0] == PROTOCOL_ERROR


def test_5_1_2_streams_that_were_reset_make_room(gw):
    with H2(gw.plain) as client:
        assert client.alive()
        most = client.theirs[Setting.MAX_CONCURRENT_STREAMS]
        streams = [client.open(post(), end=False) for _ in range(most)]
        client.send(*(rst(s) for s in streams[:5]))
        assert client.alive()  # until then a new one may still be refused, and sent again
        for _ in range(5):
            client.open(post(), end=False)
        assert client.alive()
        assert not any(s.reset for s in client.streams.values())


def test_5_1_2_responses_come_as_they_are_ready(gw):
    with H2(gw.plain) as client:
        slow, fast = client.open(at("/sleep/300")), client.open(at("/bytes/10"))
        assert client.response(fast).ended and not client.known(slow).over
        assert client.response(slow).status == 200


def test_5_many_streams_with_bodies_at_once(gw):
    with H2(gw.plain) as client:
        streams = {client.open(post(path=f"/{n}"), end=False): bytes([n]) * (n * 500) for n in range(50)}
        for part in range(5):
            for stream, body in streams.items():
                n = len(body) // 5
                client.upload(stream, body[part * n:(part + 1) * n], end=part == 4)
        for stream, body in streams.items():
            assert facts(client.response(stream))["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("seed", range(4))
def test_5_whatever_order_things_come_in(gw, seed):
    """Downloads, uploads, resets and windows of all sizes, drawn by chance, the same in each run."""
    rand = random.Random(seed)
    window = (0, 1, 1000, WINDOW)
    with H2(gw.plain, (WINDOW_SIZE, window[seed]), grants=False) as client:
        asked, sent = {}, {}

        def download():
            n = rand.choice([0, 1, 100, FRAME_MAX, 50000, 150000])
            asked[client.open(at(f"/bytes/{n}"))] = n

        def upload():
            body = pattern(rand.choice([0, 1, 1000, 100000]))
            stream = client.open(post(), end=False)
            if client.upload(stream, body, piece=rand.choice([100, 5000, FRAME_MAX])):
                sent[stream] = hashlib.sha256(body).hexdigest()

        def cancel():
            of = rand.choice([asked, sent])
            live = [s for s in of if not client.known(s).over]
            if live:
                stream = rand.choice(live)
                client.send(rst(stream))
                del of[stream]

        def widen():
            live = [s for s in client.streams if not client.known(s).over]
            for stream in rand.sample(live, min(3, len(live))) + [0]:
                client.send(window_update(stream, rand.randrange(1, 30000)))

        def change():
            client.send(settings((WINDOW_SIZE, rand.choice(window))))

        actions = [download] * 4 + [upload] * 2 + [cancel, change] + [widen] * 3
        for _ in range(200):
            if sum(not s.over for s in client.streams.values()) < 50:
                rand.choice(actions)()
            else:
                cancel()
            while select.select([client.sock], [], [], 0)[0]:
                assert client.read()
        client.grants = True
        client.send(settings((WINDOW_SIZE, 1 << 20)), window_update(0, 1 << 24))
        for stream, n in asked.items():
            assert client.response(stream).body == pattern(n), (stream, n)
        for stream, digest in sent.items():
            assert facts(client.response(stream))["sha256"] == digest
        assert client.serves()


# ---- §6.4: resets ----

def test_6_4_a_reset_ends_the_exchange_at_the_server(shop):
    seen = []

    def script(peer):
        peer.request()
        peer.until_closed()
        seen.append(peer.number)
    server = shop.origin(script)
    gw = shop.lintel(h2(server))
    with H2(gw.plain) as client:
        stream = client.open()
        wait_until(lambda: server.requests, "the request")
        client.send(rst(stream))
        wait_until(lambda: seen, "the connection to the server to be closed")
        assert client.alive()
    assert gw.access(1, cause="client_gone")


def test_6_4_the_rest_of_a_response_is_not_sent_after_a_reset(gw):
    with H2(gw.plain, grants=False) as client:
        stream = client.open(at("/bytes/1000000"))
        client.until(lambda: client.known(stream).body)
        client.send(rst(stream))
        assert client.alive()
        client.send(window_update(0, 1 << 20))
        assert client.alive()
        before = len(client.known(stream).body)
        assert client.silent() and len(client.known(stream).body) == before


# ---- §6.5 and §6.7 ----

def test_6_5_3_every_settings_frame_is_acknowledged(gw):
    with H2(gw.plain) as client:
        client.send(settings(), settings((Setting.ENABLE_PUSH, 0)), settings((WINDOW_SIZE, 10)))
        assert client.alive()
        acks = [f for f in client.frames if f.type == Type.SETTINGS and f.flags & ACK]
        assert len(acks) == 4 and not any(f.payload for f in acks)


def test_6_5_2_what_the_gateway_announces(gw):
    with H2(gw.plain) as client:
        assert client.alive()
        theirs = client.theirs
        assert theirs[Setting.MAX_CONCURRENT_STREAMS] >= 100
        assert theirs[Setting.MAX_HEADER_LIST_SIZE] >= 16384
        assert theirs[Setting.ENABLE_CONNECT_PROTOCOL] == 1
        assert theirs.get(Setting.ENABLE_PUSH, 0) == 0
        assert theirs.get(Setting.NO_RFC7540_PRIORITIES, 1) == 1


def test_6_7_pings_are_answered_in_order_with_their_payload(gw):
    with H2(gw.plain) as client:
        payloads = [bytes([n]) * 8 for n in range(20)]
        client.send(*map(ping, payloads))
        assert client.until(lambda: len(client.pongs) == 20) and client.pongs == payloads


# ---- §6.8 and §3.4 ----

def test_6_8_after_the_clients_goaway_its_streams_are_finished(gw):
    with H2(gw.plain) as client:
        stream = client.open(at("/sleep/200"))
        client.send(goaway())
        assert client.response(stream).status == 200
        assert client.drain().ended and (client.goaway or (NO_ERROR,))[0] == NO_ERROR


def test_6_8_a_goaway_of_an_unknown_code(gw):
    with H2(gw.plain) as client:
        client.send(goaway(0xff, debug=b"because"))
        assert client.drain().ended


def test_6_8_the_last_stream_of_our_goaway_was_served(gw):
    with H2(gw.plain) as client:
        for _ in range(3):
            assert client.request().status == 200
        client.send(ping(b"short"))
        assert client.drain().goaway[1] == 5


def test_6_8_drain_finishes_streams_and_takes_no_new_ones(shop):
    gw = shop.lintel(h2(shop.echo()))
    with H2(gw.plain) as idle, H2(gw.plain) as busy:
        assert idle.alive()
        stream = busy.open(at("/sleep/500"))
        assert busy.alive()
        gw.signal(signal.SIGTERM)
        assert busy.until(lambda: busy.goaway) and busy.goaway[0] == NO_ERROR
        assert busy.response(stream).status == 200
        assert idle.drain().goaway[0] == NO_ERROR
        busy.drain()
        assert busy.goaway[:2] == (NO_ERROR, stream)
    gw.ended(0)


def test_reload_leaves_connections_and_streams(shop):
    app = shop.echo()
    gw = shop.lintel(h2(app))
    with H2(gw.plain) as client:
        stream = client.open(at("/sleep/500"))
        assert client.alive()
        gw.reload()
        assert client.response(stream).status == 200
        assert client.serves()


def test_3_4_a_preface_that_never_ends_costs_nothing(gw):
    for n in (0, 1, 10, len(PREFACE), len(PREFACE) + 5):
        with H2(gw.plain, preface=False) as client:
            client.send((PREFACE + settings())[:n])
    with H2(gw.plain) as client:
        assert client.serves()


@pytest.mark.parametrize("first", [ping(), headers(1), window_update(0, 1), settings(flags=ACK),
                                   frame(0x77)], ids=["PING", "HEADERS", "WINDOW_UPDATE", "ACK", "unknown"])
def test_3_4_settings_come_first(gw, first):
    with H2(gw.plain, preface=False) as client:
        client.known(1)
        client.send(PREFACE + first + settings())
        assert client.drain().goaway[0] == PROTOCOL_ERROR


# ---- §3.2 and §3.3: by TLS ----

@pytest.fixture(scope="module")
def secure(shared, app, authority):
    return shared.lintel(with_tls(h2(app), *authority.leaf("localhost")))


def test_3_2_alpn_chooses(secure, authority):
    with H2(secure.secure, trust=tls_trust(authority.ca, alpn=["h2", "http/1.1"])) as client:
        assert client.sock.selected_alpn_protocol() == "h2"
        assert client.serves() and client.theirs[Setting.MAX_CONCURRENT_STREAMS]
    for alpn in (["http/1.1"], None):
        assert fetch(secure.secure, trust=tls_trust(authority.ca, alpn=alpn)).status == 200


def test_3_4_a_wrong_preface_in_the_clear(gw):
    """What doesn't begin as one is HTTP/1, and refused as that; what does is a connection error."""
    for wrong in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", PREFACE[:20] + bytes(4) + settings()):
        with H2(gw.plain, preface=False) as client:
            client.send(wrong)
            assert client.drain().goaway is None or client.goaway[0] == PROTOCOL_ERROR
    with gw.client() as client:
        client.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        assert client.ends() or client.response().status == 400


def test_3_4_a_wrong_preface_after_alpn(secure, authority):
    for wrong in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", PREFACE[:-4] + b"SM\r\r" + settings(),
                  bytes(50)):
        with H2(secure.secure, trust=tls_trust(authority.ca, alpn=["h2"]), preface=False) as client:
            client.send(wrong)
            client.drain()
            assert client.goaway is None or client.goaway[0] == PROTOCOL_ERROR


def test_8_3_1_the_scheme_is_told_to_the_server(secure, authority):
    with H2(secure.secure, trust=tls_trust(authority.ca, alpn=["h2"])) as client:
        got = dict(facts(client.request())["headers"])
        assert got["x-forwarded-proto"] == "https"
    with H2(secure.plain) as client:
        assert dict(facts(client.request(get(scheme="http")))["headers"])["x-forwarded-proto"] == "http"


def test_http_1_goes_on_beside_prior_knowledge(gw):
    """The same listener serves both: the preface is not a request."""
    assert gw.get().status == 200
    with H2(gw.plain) as client:
        assert client.serves()


# ---- Ends of streams ----

def late(peer):
    """A body, and a moment later its end; with trailers where the path asks for them."""
    while (asked := peer.request_head()) is not None:
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(float(asked.target.split("/")[-1]))
        peer.send(b"0\r\n" + (b"x-end: 1\r\n" if "trailers" in asked.target else b"") + b"\r\n")


def test_5_2_1_trailers_need_no_window(shop):
    gw = shop.lintel(h2(shop.origin(late)))
    with H2(gw.plain, (WINDOW_SIZE, 5), grants=False) as client:
        record = client.request(at("/trailers/0.2"))
        assert record.ended and record.body == b"hello" and list(record.trailers) == [("x-end", "1")]


def test_5_2_an_end_that_waits_for_the_window_does_not_wait_for_ever(shop):
    config = h2(shop.origin(late))
    config["listen"][0]["timeouts"] = {"write": "1s"}
    gw = shop.lintel(config)
    with H2(gw.plain, (WINDOW_SIZE, 5), grants=False) as client:
        record = client.request(at("/0.2"))
        assert record.body == b"hello" and (record.ended or record.reset is not None)
        assert client.alive()


def test_5_4_2_a_malformed_head_is_no_matter_of_the_other_streams(shop):
    """Nor does it leave the time limit of a head behind."""
    config = h2(shop.origin(late))
    config["listen"][0]["timeouts"] = {"head": "500ms"}
    gw = shop.lintel(config)
    with H2(gw.plain) as client:
        slow = client.open(at("/1.5"))
        assert client.request(get(("a", " b"))).reset is not None
        assert client.response(slow).ended and client.goaway is None


# ---- RFC 8441: WebSocket ----

def websocket(peer):
    """Answers an upgrade, says back what comes, and ends when the other side does."""
    asked = peer.request_head()
    key = asked.headers.get("sec-websocket-key")
    if asked.headers.get("upgrade") != "websocket" or key is None:
        peer.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
        return
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
                              .digest())
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        got = peer.sock.recv(65536)
        if not got:
            return
        peer.send(got)


def dial(client, path="/chat", *more):
    return client.open([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                        (":path", path), (":authority", "localhost"), ("sec-websocket-version", "13"),
                        *more], end=False)


def test_8441_5_a_websocket_over_a_stream(shop):
    app = shop.origin(websocket)
    gw = shop.lintel(h2(app))
    with H2(gw.plain) as client:
        stream = dial(client)
        record = client.known(stream)
        assert client.until(lambda: record.status or record.over) and record.status == 200
        assert not {"sec-websocket-accept", "upgrade", "connection"} & set(record.headers.names())
        sent = b""
        for n in (1, 100, 20000, 300000):
            piece = pattern(n)
            sent += piece
            client.upload(stream, piece, end=False)
            assert client.until(lambda: len(record.body) == len(sent) or record.over)
        assert record.body == sent
        client.send(data(stream))
        assert client.response(stream).ended
        assert client.alive()
    asked = app.requests[0]
    assert (asked.method, asked.target) == ("GET", "/chat")


def test_8441_5_a_websocket_beside_requests(shop):
    gw = shop.lintel(h2(shop.origin(websocket), routes=[
        {"match": "/chat", "to": "app"}, {"match": "/*", "respond": {"body": "ok"}}]))
    with H2(gw.plain) as client:
        stream = dial(client)
        for n in range(10):
            client.upload(stream, bytes([n]), end=False)
            assert client.request().body == b"ok"
        record = client.known(stream)
        assert client.until(lambda: record.body == bytes(range(10)))
        client.send(rst(stream))
        assert client.serves()


def test_8441_5_what_came_early_for_a_server_that_leaves(shop):
    """DATA that didn't wait for the answer; the server switches protocols, fills a read and is gone."""
    def leave(peer):
        peer.request_head()
        os.kill(gw.gateway_pid(), signal.SIGSTOP)
        answer_ = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        peer.send(answer_ + bytes(65536 - len(answer_)))
        peer.sock.close()
        time.sleep(0.2)
        os.kill(gw.gateway_pid(), signal.SIGCONT)

    gw = shop.lintel(h2(shop.origin(leave), routes=[
        {"match": "/chat", "to": "app", "upgrade": ["websocket"]}, {"match": "/*", "respond": {"body": "ok"}}]))
    with H2(gw.plain) as client:
        assert client.alive()
        stream = dial(client)
        client.send(b"".join(data(stream, b"h" * 16000, end=False) for _ in range(4)))
        assert client.response(stream).over
    with H2(gw.plain) as client:
        assert client.serves()


def test_8441_5_a_refused_websocket(shop):
    gw = shop.lintel(h2(shop.echo()))
    with H2(gw.plain) as client:
        stream = dial(client)
        client.send(data(stream))
        record = client.response(stream)
        assert record.over and record.status != 101
        assert client.alive()


# ---- RFC 9218: the order of sending ----

def test_9218_the_urgent_response_comes_first(gw):
    """Both wait for the window of the connection; when it opens, the urgent one is sent."""
    with H2(gw.plain, (WINDOW_SIZE, 1 << 20), grants=False) as client:
        client.open(at("/bytes/65535"))
        assert client.until(lambda: client.used == WINDOW)
        late = client.open(at("/bytes/50000", ("priority", "u=6")))
        soon = client.open(at("/bytes/50000", ("priority", "u=0")))
        assert client.until(lambda: client.known(late).status and client.known(soon).status)
        time.sleep(0.1)  # until the bodies are there too
        client.send(window_update(0, 50100))  # the end of a body may want a byte of window too
        assert client.response(soon).ended and len(client.known(late).body) <= 100
        client.send(window_update(0, 50000))
        assert client.response(late).ended


def test_9218_7_1_a_priority_update_of_no_stream(gw):
    with H2(gw.plain) as client:
        client.send(frame(0x10, 0, 0, b"\0\0\0\0u=1"))
        assert client.drain().goaway[0] == PROTOCOL_ERROR


def test_9218_7_1_a_priority_update_frame_changes_nothing_that_works(gw):
    with H2(gw.plain) as client:
        client.send(frame(0x10, 0, 0, b"\0\0\0\1u=1"), head(1), frame(0x10, 0, 0, b"\0\0\0\1u=9;;"))
        judge(client, answer(200))
