# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame (RFC 9113 §3 to §7): each frame right and wrong, in each state of a stream.

A case is what is sent after the prefaces of both sides, and the verdicts that its clause allows. It
is named by the clause.
"""
import pytest

from lib.configs import h2
from lib.h2_verdict import (CANCEL, COMPRESSION_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, IGNORED,
                            PROTOCOL_ERROR, STREAM_CLOSED, answer, connection, error, judge, run,
                            stream)
from lib.raw_h2 import (ACK, END_HEADERS, END_STREAM, FRAME_MAX, H2, PADDED, PREFACE, PRIORITY,
                        WINDOW_MAX, Setting, Type, block, continuation, data, dependency, frame, get,
                        goaway, headers, ping, post, priority, push_promise, rst, settings,
                        window_update)

POST = post(("content-length", "4"))
SHORT = b"1234"
BIG = bytes(FRAME_MAX + 1)
RAW = block(get())
HALF, REST = get()[:2], get()[2:]


@pytest.fixture(scope="module")
def app(shared):
    return shared.echo()


@pytest.fixture(scope="module")
def gw(shared, app):
    return shared.lintel(h2(app))


def opened(number=1, fields=POST):
    return headers(number, fields, end=False)


def padded(kind, payload, number=1, flags=0):
    """A padded frame whose first byte, the length of the padding, is part of the payload."""
    return frame(kind, PADDED | flags, number, payload)


def parts(*pieces):
    """A request of HEADERS and CONTINUATION with these pieces of its header block."""
    out = headers(1, pieces[0], whole=False)
    for piece in pieces[1:-1]:
        out += continuation(1, piece, whole=False)
    return out + continuation(1, pieces[-1])


CASES = {
    # §4.1 the frame's head
    "4.1 unknown type": (frame(0x16, 0, 0, b"12345678"), IGNORED),
    "4.1 unknown type with flags on a stream": (frame(0xff, 0xff, 1, b"123"), IGNORED),
    "4.1 unknown type, empty": (frame(0x0b), IGNORED),
    "4.1 undefined flags": (frame(Type.HEADERS, 0xd2 | END_HEADERS | END_STREAM, 1, RAW),
                             answer(200)),
    "4.1 undefined flags of PING": (ping(flags=0x16), IGNORED),
    "4.1 undefined flags of SETTINGS": (settings(flags=0xfe), IGNORED),
    "4.1 undefined flags of DATA": (opened() + frame(Type.DATA, 0xf7, 1, SHORT), answer(200)),
    "4.1 undefined flags of WINDOW_UPDATE":
        (frame(Type.WINDOW_UPDATE, 0xff, 0, b"\0\0\0\1"), IGNORED),
    "4.1 reserved bit": (ping(stream=1 << 31), IGNORED),
    "4.1 reserved bit of HEADERS": (frame(Type.HEADERS, END_HEADERS | END_STREAM, 1 | 1 << 31,
                                          RAW), answer(200)),
    # §4.2 sizes
    "4.2 DATA of 2^14": (opened(fields=post()) + data(1, BIG[1:]), answer(200)),
    "4.2 DATA of more": (opened(fields=post()) + data(1, BIG), error(FRAME_SIZE_ERROR)),
    "4.2 padded DATA of more": (opened(fields=post()) + data(1, BIG[:-100], pad=120),
                                error(FRAME_SIZE_ERROR)),
    "4.2 HEADERS of more": (headers(1, get(*[("a", "b" * 1000)] * 17)),
                            connection(FRAME_SIZE_ERROR)),
    "4.2 CONTINUATION of more": (headers(1, whole=False)
                                 + continuation(1, [("a", "b" * FRAME_MAX)]), connection(FRAME_SIZE_ERROR)),
    "4.2 PING of more": (ping(BIG), connection(FRAME_SIZE_ERROR)),
    "4.2 SETTINGS of more": (settings(*[(Setting.ENABLE_PUSH, 0)] * 2731),
                             connection(FRAME_SIZE_ERROR)),
    "4.2 GOAWAY of more": (goaway(debug=BIG), connection(FRAME_SIZE_ERROR)),
    "4.2 unknown frame of more": (frame(0x20, 0, 0, BIG), error(FRAME_SIZE_ERROR)),
    "4.2 the largest length": (frame(Type.DATA, 0, 1, b"", length=2**24 - 1),
                               error(FRAME_SIZE_ERROR)),
    # §4.3 and §6.10 header blocks; their compression is in test_h2_hpack.py
    "4.3 invalid block": (headers(1, b"\xff\xff\xff\xff\xff"), connection(COMPRESSION_ERROR)),
    "4.3 block in four pieces": (parts(get()[:1], get()[1:2], get()[2:3], get()[3:]), answer(200)),
    "4.3 fields cut anywhere": (parts(RAW[:1], RAW[1:3], RAW[3:20], RAW[20:]), answer(200)),
    "4.3 a byte a frame": (parts(*(RAW[i:i + 1] for i in range(4)), RAW[4:]), answer(200)),
    "4.3 empty HEADERS, then CONTINUATION": (parts(b"", get()), answer(200)),
    "4.3 empty CONTINUATION": (parts(get(), b"", b""), answer(200)),
    **{f"4.3 a block interrupted by {name}": (headers(1, HALF, whole=False) + other
                                              + continuation(1, REST), connection(PROTOCOL_ERROR))
       for name, other in {
           "DATA": data(1, b"x"), "HEADERS": headers(1, REST), "HEADERS of another": headers(3),
           "PRIORITY": priority(1), "PRIORITY of another": priority(3), "RST_STREAM": rst(1),
           "SETTINGS": settings(), "SETTINGS ACK": settings(flags=ACK), "PING": ping(),
           "PUSH_PROMISE": push_promise(1), "GOAWAY": goaway(),
           "WINDOW_UPDATE": window_update(0, 1), "an unknown frame": frame(0x16, 0, 0, b"1"),
           "CONTINUATION of another": continuation(3, REST),
           "CONTINUATION of stream 0": continuation(0, REST)}.items()},
    # §5.1.1 numbers of streams
    "5.1.1 even": (headers(2), connection(PROTOCOL_ERROR), 2),
    "5.1.1 zero": (headers(0), connection(PROTOCOL_ERROR)),
    "5.1.1 smaller than one before": (headers(5) + headers(3), connection(PROTOCOL_ERROR), 5),
    "5.1.1 the same again": (opened() + data(1, SHORT) + headers(1),
                             error(STREAM_CLOSED) | connection(PROTOCOL_ERROR)),
    "5.1.1 skipped ones are closed": (headers(7) + data(5, b"x"), error(STREAM_CLOSED) |
                                      connection(PROTOCOL_ERROR) | answer(200), 7),
    # §5.3 priority is ignored, but not what it breaks
    "5.3.1 HEADERS that depend on themselves": (headers(1, depends=dependency(1)),
                                                error(PROTOCOL_ERROR)),
    "5.3.1 PRIORITY that depends on itself": (priority(1, 1), error(PROTOCOL_ERROR)),
    "5.3.2 dependency on an idle stream": (headers(1, depends=dependency(99, 255, True)),
                                           answer(200)),
    # §5.4.1 and §5.5
    "5.4.1 after GOAWAY the connection ends": (ping(b"1234567"), connection(FRAME_SIZE_ERROR)),
    "5.5 unknown frame between HEADERS and DATA": (opened() + frame(0x99, 0, 1, b"1")
                                                   + data(1, SHORT), answer(200)),
    # §6.1 DATA
    "6.1 one frame": (opened() + data(1, SHORT), answer(200)),
    "6.1 several frames": (opened() + b"".join(data(1, bytes([b]), end=False) for b in SHORT)
                           + data(1), answer(200)),
    "6.1 padded": (opened() + data(1, SHORT, pad=5), answer(200)),
    "6.1 padded by nothing": (opened() + data(1, SHORT, pad=0), answer(200)),
    "6.1 padded by 255": (opened() + data(1, SHORT, pad=255), answer(200)),
    "6.1 padding alone": (opened(fields=post()) + data(1, b"", pad=10), answer(200)),
    "6.1 stream 0": (data(0, b"x"), connection(PROTOCOL_ERROR)),
    "6.1 padding as long as the frame": (opened() + padded(Type.DATA, b"\x05" + SHORT),
                                         connection(PROTOCOL_ERROR)),
    "6.1 padding longer than the frame": (opened() + padded(Type.DATA, b"\xff" + SHORT),
                                          connection(PROTOCOL_ERROR)),
    "6.1 no length of the padding": (opened() + padded(Type.DATA, b""),
                                     connection(FRAME_SIZE_ERROR) | connection(PROTOCOL_ERROR)),
    # §6.2 HEADERS
    "6.2 one frame": (headers(1), answer(200)),
    "6.2 padded": (headers(1, pad=7), answer(200)),
    "6.2 padded by 255": (headers(1, pad=255), answer(200)),
    "6.2 with priority": (headers(1, depends=dependency(0, 255)), answer(200)),
    "6.2 exclusive": (headers(1, depends=dependency(0, 0, True)), answer(200)),
    "6.2 padded, with priority": (headers(1, pad=1, depends=dependency()), answer(200)),
    "6.2 padding longer than the frame": (padded(Type.HEADERS, b"\xff" + RAW, 1,
                                                 END_HEADERS), connection(PROTOCOL_ERROR)),
    "6.2 padding into the priority": (padded(Type.HEADERS, b"\x02\0\0\0\0\x0f", 1,
                                             END_HEADERS | PRIORITY), connection(PROTOCOL_ERROR)),
    "6.2 no length of the padding": (padded(Type.HEADERS, b"", 1, END_HEADERS),
                                     connection(FRAME_SIZE_ERROR) | connection(PROTOCOL_ERROR)),
    "6.2 half a priority": (frame(Type.HEADERS, END_HEADERS | PRIORITY, 1, b"\0\0\0"),
                            connection(FRAME_SIZE_ERROR) | connection(PROTOCOL_ERROR)),
    # §6.3 PRIORITY
    "6.3 weight 1": (priority(1, 0, 0), IGNORED),
    "6.3 weight 256": (priority(1, 0, 255), IGNORED),
    "6.3 exclusive": (priority(3, 1, 15, True), IGNORED),
    "6.3 of a stream that opens later": (priority(3) + headers(1), answer(200)),
    "6.3 stream 0": (priority(0), connection(PROTOCOL_ERROR)),
    "6.3 too short": (frame(Type.PRIORITY, 0, 1, b"1234"), error(FRAME_SIZE_ERROR)),
    "6.3 too long": (frame(Type.PRIORITY, 0, 1, b"123456"), error(FRAME_SIZE_ERROR)),
    # §6.4 RST_STREAM
    "6.4 of an open stream": (opened() + rst(1), IGNORED),
    "6.4 stream 0": (rst(0), connection(PROTOCOL_ERROR)),
    "6.4 idle stream": (rst(1), connection(PROTOCOL_ERROR)),
    "6.4 too short": (opened() + frame(Type.RST_STREAM, 0, 1, b"123"),
                      connection(FRAME_SIZE_ERROR)),
    "6.4 too long": (opened() + frame(Type.RST_STREAM, 0, 1, b"12345"),
                     connection(FRAME_SIZE_ERROR)),
    # §6.5 SETTINGS
    "6.5 none": (settings(), IGNORED),
    "6.5 ACK of nothing": (lambda c: c.alive() and c.send(settings(flags=ACK)),
                           IGNORED | connection(PROTOCOL_ERROR)),
    "6.5 ACK with values": (frame(Type.SETTINGS, ACK, 0, bytes(6)), connection(FRAME_SIZE_ERROR)),
    "6.5 ACK on a stream": (settings(flags=ACK, stream=1), connection(PROTOCOL_ERROR)),
    "6.5 on a stream": (settings(stream=1), connection(PROTOCOL_ERROR)),
    "6.5 not a multiple of six": (frame(Type.SETTINGS, 0, 0, bytes(5)),
                                  connection(FRAME_SIZE_ERROR)),
    "6.5 seven bytes": (frame(Type.SETTINGS, 0, 0, bytes(7)), connection(FRAME_SIZE_ERROR)),
    "6.5.2 ENABLE_PUSH 1": (settings((Setting.ENABLE_PUSH, 1)), IGNORED),
    "6.5.2 ENABLE_PUSH 2": (settings((Setting.ENABLE_PUSH, 2)), connection(PROTOCOL_ERROR)),
    "6.5.2 INITIAL_WINDOW_SIZE at its largest":
        (settings((Setting.INITIAL_WINDOW_SIZE, WINDOW_MAX)) + headers(1), answer(200)),
    "6.5.2 INITIAL_WINDOW_SIZE beyond":
        (settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)), connection(FLOW_CONTROL_ERROR)),
    "6.5.2 INITIAL_WINDOW_SIZE 2^32-1":
        (settings((Setting.INITIAL_WINDOW_SIZE, 2**32 - 1)), connection(FLOW_CONTROL_ERROR)),
    "6.5.2 MAX_FRAME_SIZE 2^14-1": (settings((Setting.MAX_FRAME_SIZE, FRAME_MAX - 1)),
                                    connection(PROTOCOL_ERROR)),
    "6.5.2 MAX_FRAME_SIZE 0": (settings((Setting.MAX_FRAME_SIZE, 0)), connection(PROTOCOL_ERROR)),
    "6.5.2 MAX_FRAME_SIZE 2^24": (settings((Setting.MAX_FRAME_SIZE, 2**24)),
                                  connection(PROTOCOL_ERROR)),
    "6.5.2 MAX_FRAME_SIZE 2^24-1": (settings((Setting.MAX_FRAME_SIZE, 2**24 - 1)) + headers(1),
                                    answer(200)),
    "6.5.2 MAX_CONCURRENT_STREAMS 0": (settings((Setting.MAX_CONCURRENT_STREAMS, 0)) + headers(1),
                                       answer(200)),
    "6.5.2 HEADER_TABLE_SIZE 2^32-1": (settings((Setting.HEADER_TABLE_SIZE, 2**32 - 1))
                                       + headers(1), answer(200)),
    "6.5.2 HEADER_TABLE_SIZE 0": (settings((Setting.HEADER_TABLE_SIZE, 0)) + headers(1),
                                  answer(200)),
    "6.5.2 MAX_HEADER_LIST_SIZE 2^32-1": (settings((Setting.MAX_HEADER_LIST_SIZE, 2**32 - 1)),
                                          IGNORED),
    "6.5.2 unknown setting": (settings((0xff, 1), (0, 7), (0xffff, 2**32 - 1)) + headers(1),
                              answer(200)),
    "6.5.3 the last of several values": (settings((Setting.MAX_FRAME_SIZE, 20000),
                                                  (Setting.MAX_FRAME_SIZE, FRAME_MAX)), IGNORED),
    "8441 3 ENABLE_CONNECT_PROTOCOL 2": (settings((Setting.ENABLE_CONNECT_PROTOCOL, 2)),
                                         IGNORED | connection(PROTOCOL_ERROR)),
    "9218 2.1 NO_RFC7540_PRIORITIES 2": (settings((Setting.NO_RFC7540_PRIORITIES, 2)),
                                         IGNORED | connection(PROTOCOL_ERROR)),
    # §6.6 PUSH_PROMISE
    "6.6 from a client": (opened() + push_promise(1), connection(PROTOCOL_ERROR)),
    "6.6 stream 0": (push_promise(0), connection(PROTOCOL_ERROR)),
    # §6.7 PING
    "6.7 ACK of nothing": (ping(flags=ACK), IGNORED),
    "6.7 on a stream": (ping(stream=1), connection(PROTOCOL_ERROR)),
    "6.7 too short": (ping(b"123456"), connection(FRAME_SIZE_ERROR)),
    "6.7 too long": (ping(b"123456789"), connection(FRAME_SIZE_ERROR)),
    "6.7 empty": (ping(b""), connection(FRAME_SIZE_ERROR)),
    # §6.8 GOAWAY
    "6.8 on a stream": (goaway(stream=1), connection(PROTOCOL_ERROR)),
    "6.8 too short": (frame(Type.GOAWAY, 0, 0, bytes(7)), connection(FRAME_SIZE_ERROR)),
    # §6.9 WINDOW_UPDATE
    "6.9 by nothing": (window_update(0, 0), connection(PROTOCOL_ERROR)),
    "6.9 by nothing on a stream": (opened() + window_update(1, 0), error(PROTOCOL_ERROR)),
    "6.9 by nothing but the reserved bit": (window_update(0, 1 << 31), connection(PROTOCOL_ERROR)),
    "6.9 with the reserved bit": (window_update(0, 1 << 31 | 1), IGNORED),
    "6.9 too short": (frame(Type.WINDOW_UPDATE, 0, 0, b"123"), connection(FRAME_SIZE_ERROR)),
    "6.9 too long": (frame(Type.WINDOW_UPDATE, 0, 0, b"12345"), connection(FRAME_SIZE_ERROR)),
    "6.9 too short on a stream": (opened() + frame(Type.WINDOW_UPDATE, 0, 1, b"12"),
                                  connection(FRAME_SIZE_ERROR)),
    "6.9.1 connection at its largest": (window_update(0, WINDOW_MAX - 65535), IGNORED),
    "6.9.1 connection beyond": (window_update(0, WINDOW_MAX), connection(FLOW_CONTROL_ERROR)),
    "6.9.1 connection beyond in two steps": (window_update(0, WINDOW_MAX - 65535)
                                             + window_update(0, 1),
                                             connection(FLOW_CONTROL_ERROR)),
    "6.9.1 stream beyond": (opened() + window_update(1, WINDOW_MAX), error(FLOW_CONTROL_ERROR)),
    "6.9.1 stream beyond in two steps": (opened() + window_update(1, WINDOW_MAX - 65535)
                                         + window_update(1, 1), error(FLOW_CONTROL_ERROR)),
    "6.9.2 beyond by SETTINGS": (opened() + window_update(1, WINDOW_MAX - 65535)
                                 + settings((Setting.INITIAL_WINDOW_SIZE, 65536)),
                                 error(FLOW_CONTROL_ERROR)),
    # §6.10 CONTINUATION
    "6.10 of nothing": (continuation(1, get()), connection(PROTOCOL_ERROR)),
    "6.10 stream 0": (continuation(0, get()), connection(PROTOCOL_ERROR)),
    "6.10 after END_HEADERS": (opened() + continuation(1, [("a", "b")]),
                               connection(PROTOCOL_ERROR)),
    "6.10 after CONTINUATION with END_HEADERS": (headers(1, HALF, end=False, whole=False)
                                                 + continuation(1, REST) + continuation(1, b""),
                                                 connection(PROTOCOL_ERROR)),
    "6.10 after DATA": (opened() + data(1, b"x", end=False) + continuation(1, [("a", "b")]),
                        connection(PROTOCOL_ERROR)),
    # §7 error codes
    "7 unknown code of RST_STREAM": (opened() + rst(1, 0xff), IGNORED),
    # §8.4 a client doesn't push
    "8.4 PUSH_PROMISE": (push_promise(1), connection(PROTOCOL_ERROR)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_frame(gw, name):
    sent, allowed, number = (*CASES[name], 1)[:3]
    run(gw.plain, sent, allowed, number)


# ---- §5.1: every frame in every state of a stream ----

def idle(_client):
    """Nothing was sent on stream 1."""


def open_(client):
    client.open(POST, end=False)


def half_closed(client):
    """By the client; the response takes its time."""
    client.open(get(path="/sleep/400"))


def closed(client):
    assert client.request().status == 200


def reset(client):
    client.open(POST, end=False)
    client.send(rst(1))


def refused(client):
    """The gateway has reset it. Frames may have been on their way."""
    client.open(get((" ", "bad")), end=False)
    client.response()


STATES = {s.__name__.rstrip("_"): s for s in (idle, open_, half_closed, closed, reset, refused)}
FRAMES = {
    "DATA": data(1, SHORT), "DATA empty": data(1, b"", end=False), "HEADERS": headers(1),
    "HEADERS trailers": headers(1, [("a", "b")]), "PRIORITY": priority(1), "RST_STREAM": rst(1),
    "SETTINGS": settings(stream=1), "PUSH_PROMISE": push_promise(1), "PING": ping(stream=1),
    "GOAWAY": goaway(stream=1), "WINDOW_UPDATE": window_update(1, 100),
    "CONTINUATION": continuation(1, b""), "unknown": frame(0x42, 0, 1, b"1")}
NEVER = connection(PROTOCOL_ERROR)
CLOSED = error(STREAM_CLOSED)
GONE = stream(CANCEL) | IGNORED
# In the order of STATES. A stream that the gateway reset has RST_STREAM as its verdict already.
SENT = stream(PROTOCOL_ERROR)
MATRIX = {
    "DATA": (NEVER, answer(200), CLOSED, CLOSED, CLOSED, CLOSED | SENT),
    "DATA empty": (NEVER, IGNORED, CLOSED, CLOSED, CLOSED, CLOSED | SENT),
    "HEADERS": (answer(200), error(PROTOCOL_ERROR), CLOSED, CLOSED, CLOSED, CLOSED | SENT),
    "HEADERS trailers": (error(PROTOCOL_ERROR), error(PROTOCOL_ERROR), CLOSED, CLOSED, CLOSED,
                         CLOSED | SENT),
    "PRIORITY": (IGNORED, IGNORED, answer(200), answer(200), IGNORED, SENT),
    "RST_STREAM": (NEVER, IGNORED, IGNORED, answer(200), CLOSED | IGNORED, SENT),
    "SETTINGS": (NEVER,) * 6,
    "PUSH_PROMISE": (NEVER,) * 6,
    "PING": (NEVER,) * 6,
    "GOAWAY": (NEVER,) * 6,
    "WINDOW_UPDATE": (NEVER, IGNORED, answer(200), answer(200), CLOSED | IGNORED, SENT),
    "CONTINUATION": (NEVER,) + (NEVER | CLOSED,) * 5,
    "unknown": (IGNORED, IGNORED, answer(200), answer(200), IGNORED, SENT),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", FRAMES)
def test_5_1_a_frame_in_a_state(gw, kind, state):
    with H2(gw.plain) as client:
        STATES[state](client)
        client.send(FRAMES[kind])
        judge(client, MATRIX[kind][list(STATES).index(state)])


# ---- §3.4: prefaces ----

def test_3_4_the_preface_may_come_in_any_pieces(gw):
    with H2(gw.plain, preface=False) as client:
        for byte in PREFACE + settings() + headers(1):
            client.send(bytes([byte]))
        judge(client, answer(200))


def test_3_4_requests_may_come_with_the_preface(gw):
    with H2(gw.plain, preface=False) as client:
        client.send(PREFACE + settings() + headers(1))
        judge(client, answer(200))
