# SPDX-License-Identifier: Apache-2.0
"""HPACK (RFC 7541) in requests and in responses. A case is named by the clause."""
import json

import hpack
import pytest

from lib.configs import h2
from lib.h2_verdict import COMPRESSION_ERROR, answer, connection, run
from lib.raw_h2 import (H2, Setting, data, headers, indexed, integer, literal, post, settings,
                        string, table_size)

WRONG = connection(COMPRESSION_ERROR)
RIGHT = answer(200)
# :method GET, :scheme http, :path /, :authority localhost with a plain and a Huffman-coded value
STATIC = indexed(2) + indexed(6) + indexed(4)
HOST = integer(1, 6, 0x40) + string("localhost")
HUFFMAN_HOST = integer(1, 6, 0x40) + string(b"\xa0\xe4\x1d\x13\x9d\x09", True)
GET = STATIC + HOST


def field(first_bits, prefix, index, value, huffman=False):
    """A literal whose name is in a table."""
    return integer(index, prefix, first_bits) + string(value, huffman)


CASES = {
    # §5.1 integers
    "5.1 index in two bytes": (GET + b"".join(literal(f"x-{n}", "", 0x40) for n in range(70))
                               + indexed(130) + indexed(127), RIGHT),
    "5.1 integer without end": (GET + b"\xff" + b"\xff" * 20, WRONG),
    "5.1 integer beyond 2^32": (GET + b"\xff\xff\xff\xff\xff\xff\x7f", WRONG),
    "5.1 integer cut": (GET + b"\xff\x80", WRONG),
    "5.1 zeros at its end": (b"\x82\x86\x84" + HOST + b"\x0f\x80\x00" + string("x"), RIGHT),
    # §5.2 strings
    "5.2 Huffman": (STATIC + HUFFMAN_HOST, RIGHT),
    "5.2 longer than the block": (GET + b"\x00\x05abc", WRONG),
    "5.2 value longer than the block": (GET + b"\x00" + string("a") + b"\x7fb", WRONG),
    "5.2 name without value": (GET + b"\x00" + string("a"), WRONG),
    "5.2 Huffman padded by more than 7 bits": (GET + b"\x00" + string("a") + string(b"\x1f\xff", True),
                                               WRONG),
    "5.2 Huffman padded by a whole byte": (STATIC + integer(1, 6, 0x40)
                                           + string(b"\xa0\xe4\x1d\x13\x9d\x09\xff", True), WRONG),
    "5.2 Huffman padded by zeros": (GET + b"\x00" + string("a") + string(b"\x18", True), WRONG),
    "5.2 Huffman with EOS": (GET + b"\x00" + string("a") + string(b"\xff\xff\xff\xff", True), WRONG),
    "5.2 Huffman with EOS in the middle": (GET + b"\x00" + string("a")
                                           + string(b"\x1f\xff\xff\xff\xf8", True), WRONG),
    "5.2 Huffman of nothing": (GET + b"\x00" + string("a") + string(b"", True), RIGHT),
    # §6.1 indexed
    "6.1 static": (GET, RIGHT),
    "6.1 dynamic": (GET + literal("a", "b", 0x40) + indexed(62), RIGHT),
    "6.1 index 0": (GET + b"\x80", WRONG),
    "2.3.3 beyond the tables": (STATIC + indexed(62), WRONG),
    "2.3.3 far beyond the tables": (GET + indexed(10000), WRONG),
    "2.3.3 one beyond the dynamic table": (GET + literal("a", "b", 0x40) + indexed(64), WRONG),
    "2.3.3 name beyond the tables": (STATIC + field(0x40, 6, 62, "x"), WRONG),
    "2.3.3 name of a never indexed one beyond": (STATIC + field(0x10, 4, 70, "x"), WRONG),
    # §6.2 literals in each form
    **{f"6.2 {what}, {how}": (STATIC + (
        field(first, prefix, 1, *value) if what == "indexed name"
        else bytes([first]) + string(":authority") + string(*value)), RIGHT)
       for what in ("indexed name", "new name")
       for how, first, prefix, value in (
           ("with indexing", 0x40, 6, ["localhost"]), ("without", 0x00, 4, ["localhost"]),
           ("never indexed", 0x10, 4, ["localhost"]),
           ("with indexing, Huffman", 0x40, 6, [b"\xa0\xe4\x1d\x13\x9d\x09", True]),
           ("without, Huffman", 0x00, 4, [b"\xa0\xe4\x1d\x13\x9d\x09", True]),
           ("never indexed, Huffman", 0x10, 4, [b"\xa0\xe4\x1d\x13\x9d\x09", True]))},
    # §4.2 and §6.3 sizes of the table
    "6.3 as announced": (table_size(4096) + GET, RIGHT),
    "6.3 nothing": (table_size(0) + STATIC + literal(":authority", "localhost"), RIGHT),
    "6.3 twice": (table_size(0) + table_size(4096) + GET, RIGHT),
    "6.3 larger than announced": (table_size(4097) + GET, WRONG),
    "6.3 far larger": (table_size(2**31 - 1) + GET, WRONG),
    "4.2 at the end of the block": (GET + table_size(0), WRONG),
    "4.2 in the middle": (STATIC + table_size(0) + literal(":authority", "localhost"), WRONG),
    "4.4 an entry larger than the table": (table_size(64) + GET + literal("a", "b" * 100, 0x40)
                                           + indexed(62), WRONG),
}


@pytest.fixture(scope="module")
def gw(shared):
    return shared.lintel(h2(shared.echo()))


@pytest.mark.parametrize("name", CASES)
def test_a_block(gw, name):
    raw, allowed = CASES[name]
    run(gw.plain, headers(1, raw), allowed)


def fields_of(record):
    """The request fields that the server got, without those of the gateway."""
    assert record.status == 200, record
    return {n.lower(): v for n, v in json.loads(bytes(record.body))["headers"]}


def test_2_3_entries_of_one_block_serve_the_next(gw):
    with H2(gw.plain) as client:
        assert fields_of(client.request([GET, literal("x-one", "1", 0x40)]))["x-one"] == "1"
        got = fields_of(client.request([STATIC, indexed(63), field(0x40, 6, 62, "2")]))
        assert got["x-one"] == "2"
        got = fields_of(client.request([STATIC, indexed(64), indexed(63)]))
        assert got["x-one"] == "1"


def test_4_3_eviction_is_by_the_announced_size(gw):
    """An entry of 32 + 5 + 1000 bytes fits thrice into 4096; the fourth drops the first."""
    with H2(gw.plain) as client:
        sizes = [literal("x-big", str(n) * 1000, 0x40) for n in range(4)]
        assert client.request([STATIC, literal(":authority", "localhost"), *sizes]).status == 200
        got = fields_of(client.request([STATIC, literal(":authority", "localhost"), indexed(64)]))
        assert got["x-big"] == "1" * 1000
        client.open([STATIC, literal(":authority", "localhost"), indexed(65)])
        assert not client.alive() and client.goaway[0] == COMPRESSION_ERROR


def test_4_3_a_table_of_no_bytes_loses_its_entries(gw):
    run(gw.plain, headers(1, GET) + headers(3, table_size(0) + table_size(4096) + STATIC
                                            + indexed(62)), WRONG, 3)


@pytest.mark.parametrize("bad", ["malformed", "refused by its stream", "too large"])
def test_4_1_the_table_outlives_a_request_that_is_refused(gw, bad):
    """RFC 9113 §4.3: the block of a stream that is reset changes the table all the same."""
    with H2(gw.plain) as client:
        if bad == "malformed":
            client.open([GET, literal("x-kept", "1", 0x40), ("Upper", "x")])
            client.response()
        elif bad == "too large":
            client.open([GET, literal("x-kept", "1", 0x40)] + [("x", "y" * 4000)] * 10, end=True)
            client.response()
        else:
            first = client.open([GET, literal("x-kept", "1", 0x40)], end=False)
            client.send(headers(first, [("x-late", "1"), (":path", "/")]))
            client.response(first)
        if client.ended or client.goaway:
            assert bad == "too large"  # may end the connection
            return
        assert fields_of(client.request([STATIC, indexed(63), indexed(62)]))["x-kept"] == "1"


def test_6_3_a_smaller_table_is_used_when_it_was_asked_for(gw):
    """SETTINGS_HEADER_TABLE_SIZE 0: responses must not refer to entries."""
    with H2(gw.plain) as client:
        for size in (4096, 0, 100, 4096, 0):
            client.send(settings((Setting.HEADER_TABLE_SIZE, size)))
            assert client.alive()
            for _ in range(3):
                assert client.request().status == 200


def test_a_table_of_another_encoder_is_followed(gw):
    """A hundred requests by a compressing encoder, with the table changing its size meanwhile."""
    with H2(gw.plain) as client:
        encoder = hpack.Encoder()
        for n in range(100):
            if n % 25 == 24:
                encoder.header_table_size = (0, 100, 2000, 4096)[n // 25]
            fields = post(("x-number", str(n)), ("x-other", "v" * (n * 7 % 200)),
                          ("cookie", f"a={n % 3}"), path=f"/{n % 5}")
            stream = client.open([encoder.encode(fields)], end=False)
            client.send(data(stream, b"x"))
            got = fields_of(client.response(stream))
            assert got["x-number"] == str(n) and got["x-other"] == "v" * (n * 7 % 200)
