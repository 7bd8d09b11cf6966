# SPDX-License-Identifier: Apache-2.0
"""Responses are compressed for those who accept it, and nothing else about them breaks."""
import subprocess
import time
import zlib

import brotli
import pytest
import zstandard

from lib.client import Client, head, tls_trust
from lib.configs import basic, with_tls
from lib.gateway import command
from lib.origin import always, pattern
from lib.prometheus import Metrics
from lib.strict_h1 import Cut
from lib.wait import wait_until

TEXT = b"".join(b'{"id": %d, "name": "number %d"}\n' % (i, i * 7919) for i in range(3000))
GZIP = {"Accept-Encoding": "gzip"}


def decode(response):
    coding = response.headers.get("content-encoding")
    if coding is None:
        return response.body
    if coding == "gzip":
        whole = zlib.decompressobj(31)
        body = whole.decompress(response.body)
        assert whole.eof and not whole.unused_data
        return body
    if coding == "br":
        return brotli.decompress(response.body)
    assert coding == "zstd", coding
    return zstandard.ZstdDecompressor().decompressobj().decompress(response.body)


def reply(body=TEXT, headers=(), status="200 OK", kind="application/json"):
    fields = [f"Content-Type: {kind}"] if kind else []
    fields += [f"{n}: {v}" for n, v in headers]
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
            + "".join(f + "\r\n" for f in fields) + "\r\n").encode() + body


def in_chunks(body=TEXT, size=7000, kind="text/plain"):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return (f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            .encode() + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n")


def through(shop, response, request=GZIP, method="GET", compress=True, **options):
    """What the client gets of this response."""
    origin = shop.origin(always(response) if isinstance(response, bytes) else response)
    gw = shop.lintel(basic(origin, defaults={"compress": compress}, **options))
    with gw.client() as c:
        return c.request(method, "/x", headers=request)


def is_whole(response, body=TEXT):
    return "content-encoding" not in response.headers and response.body == body


def varies(response):
    return [v.strip().lower() for f in response.headers.all("vary") for v in f.split(",")]


# ---- which, and how ----

@pytest.fixture(scope="module")
def many(shared):
    """One gateway that answers differently by path: the script's first segment is its name."""
    answers = {
        "/length": reply(), "/chunks": in_chunks(), "/bytes": reply(pattern(100000)),
        "/big": reply(TEXT * 40), "/bigchunks": in_chunks(TEXT * 40, 65000),
        "/close": None,
    }

    def script(peer):
        while True:
            request = peer.request()
            name = request.target
            if name == "/close":
                peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/css\r\n\r\n" + TEXT)
                return
            data = answers[name]
            peer.send(data.split(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else data)
    return shared.lintel(basic(shared.origin(script), defaults={"compress": True}))


@pytest.mark.parametrize("accept, coding", [
    ("gzip", "gzip"), ("x-gzip;q=0.1", "gzip"), ("br", "br"), ("zstd", "zstd"),
    ("gzip, deflate, br", "br"), ("gzip, deflate, br, zstd", "zstd"), ("*", "zstd"),
    ("gzip;q=1, br;q=0.5", "gzip"), ("gzip;q=0", None), ("identity", None), ("deflate", None),
    ("", None), ("identity;q=0.9, gzip;q=0.5", None), ("*;q=0", None)])
@pytest.mark.parametrize("path", ["/length", "/chunks", "/close", "/big", "/bigchunks"])
def test_the_coding_that_the_client_likes_best(many, path, accept, coding):
    with many.client() as c:
        r = c.request(target=path, headers={"Accept-Encoding": accept})
    want = TEXT * 40 if "big" in path else TEXT
    assert r.status == 200 and r.headers.get("content-encoding") == coding
    assert decode(r) == want
    assert "accept-encoding" in varies(r)
    if coding:
        assert len(r.body) < len(want) / 2
        assert r.headers.get("transfer-encoding") == "chunked"
        assert "content-length" not in r.headers


def test_a_client_that_says_nothing_gets_it_as_it_is(many):
    with many.client() as c:
        r = c.request(target="/length")
    assert is_whole(r) and r.headers.get("content-length") == str(len(TEXT))
    assert "accept-encoding" in varies(r)


def test_what_can_not_be_made_smaller_by_its_type_is_left_alone(many):
    with many.client() as c:
        assert decode(c.request(target="/bytes", headers=GZIP)) == pattern(100000)


def test_many_on_one_connection(many):
    with many.client() as c:
        for i in range(30):
            accept = ["gzip", "br", "zstd", ""][i % 4]
            r = c.request(target="/chunks" if i % 3 else "/length",
                          headers={"Accept-Encoding": accept})
            assert decode(r) == TEXT and (r.headers.get("content-encoding") or "") == accept


def test_http10_gets_it_until_the_connection_ends(many):
    with many.client() as c:
        c.send(head("GET", "/length", {**GZIP, "Connection": "keep-alive"}, version="HTTP/1.0"))
        r = c.response()
        assert "transfer-encoding" not in r.headers and "content-length" not in r.headers
        assert r.headers.get("content-encoding") == "gzip" and decode(r) == TEXT
        assert r.headers.get("connection") == "close" and c.ends()


@pytest.mark.parametrize("path", ["/length", "/chunks"])
def test_head_has_the_fields_of_get(many, path):
    with many.client() as c:
        got = c.request("HEAD", path, headers=GZIP)
        full = c.request("GET", path, headers=GZIP)
    assert got.body == b"" and "content-length" not in got.headers
    for name in ("content-encoding", "vary", "content-type"):
        assert got.headers.get(name) == full.headers.get(name), name


@pytest.mark.parametrize("args, coding", [((), None), (("--compressed",), "yes")])
def test_curl(many, args, coding):
    host, port = many.plain
    done = subprocess.run(["curl", "-s", "-D", "-", *args, f"http://{host}:{port}/big"],
                          capture_output=True, timeout=60, check=True)
    top, _, body = done.stdout.partition(b"\r\n\r\n")
    assert body == TEXT * 40
    assert (b"content-encoding:" in top.lower()) == bool(coding)


def test_a_reader_that_is_slow_gets_all_of_it(many):
    with many.client() as c:
        c.send(head("GET", "/bigchunks", {"Accept-Encoding": "br"}))
        time.sleep(0.2)
        assert decode(c.response()) == TEXT * 40


def test_through_tls_with_a_slow_reader(shop, authority):
    cert, key = authority.leaf("localhost")
    origin = shop.origin(always(in_chunks(TEXT * 40 + pattern(3_000_000), 65000)))
    gw = shop.lintel(with_tls(basic(origin, defaults={"compress": True}), cert, key))
    with Client(gw.secure, trust=tls_trust(authority.ca)) as c:
        for coding in ("gzip", "br", "zstd"):
            c.send(head("GET", "/", {"Accept-Encoding": coding}))
            time.sleep(0.2)
            assert decode(c.response()) == TEXT * 40 + pattern(3_000_000)


# ---- what is left alone ----

@pytest.mark.parametrize("response", [
    reply(headers=[("Content-Encoding", "br")]),
    reply(headers=[("Content-Encoding", "identity")]),
    reply(headers=[("Cache-Control", "private, No-Transform")]),
    reply(headers=[("Content-Digest", "sha-256=:AAAA:")]),
    reply(headers=[("Digest", "sha-256=AAAA")]),
    reply(kind="image/png"),
    reply(kind="application/jsonx"),
    reply(kind=None),
    reply(body=b"x" * 1023),
    reply(status="206 Partial Content", headers=[("Content-Range", "bytes 0-9/10")]),
], ids=lambda r: repr(r[:90]))
def test_left_alone(shop, response):
    r = through(shop, response)
    body = response.split(b"\r\n\r\n", 1)[1]
    assert r.body == body and r.headers.get("content-length") == str(len(body))
    assert varies(r) == []


def test_the_smallest_that_is_compressed(shop):
    r = through(shop, reply(body=b"x" * 1024))
    assert r.headers.get("content-encoding") == "gzip" and decode(r) == b"x" * 1024


def test_nothing_stays_nothing(shop):
    r = through(shop, reply(body=b""), compress={"enabled": True, "min": 0})
    assert "content-encoding" not in r.headers and r.headers.get("content-length") == "0"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_body_no_coding(shop, status):
    r = through(shop, f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n".encode())
    assert "content-encoding" not in r.headers and r.body == b""


@pytest.mark.parametrize("status", ["201 Created", "404 Not Found", "500 Oops"])
def test_errors_of_servers_are_compressed_too(shop, status):
    r = through(shop, reply(status=status))
    assert r.headers.get("content-encoding") == "gzip" and decode(r) == TEXT


def test_off_is_the_default(shop):
    r = through(shop, reply(), compress={"min": 10})
    assert is_whole(r) and varies(r) == []


def test_early_hints_pass_before_it(shop):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    origin = shop.origin(always(hints + reply()))
    gw = shop.lintel(basic(origin, defaults={"compress": True}))
    with gw.client() as c:
        c.send(head("GET", "/", GZIP))
        early = c.reader.response_head()
        assert early.status == 103 and "content-encoding" not in early.headers
        r = c.response()
    assert r.headers.get("content-encoding") == "gzip" and decode(r) == TEXT


# ---- fields ----

@pytest.mark.parametrize("before, after", [
    ([], "Accept-Encoding"), (["Origin"], "Origin, Accept-Encoding"),
    (["accept-encoding"], "accept-encoding"), (["*"], "*"),
    (["Origin", "Accept-Encoding"], "Origin|Accept-Encoding")])
@pytest.mark.parametrize("accept", ["gzip", "identity"])
def test_vary(shop, before, after, accept):
    r = through(shop, reply(headers=[("Vary", v) for v in before]), {"Accept-Encoding": accept})
    assert "|".join(r.headers.all("vary")) == after


@pytest.mark.parametrize("before, after", [('"abc"', 'W/"abc"'), ('W/"abc"', 'W/"abc"')])
def test_a_strong_etag_becomes_weak(shop, before, after):
    response = reply(headers=[("ETag", before), ("Accept-Ranges", "bytes")])
    r = through(shop, response)
    assert r.headers.get("etag") == after and "accept-ranges" not in r.headers


def test_etag_and_ranges_stay_where_nothing_is_compressed(shop):
    r = through(shop, reply(headers=[("ETag", '"abc"'), ("Accept-Ranges", "bytes")]), {})
    assert r.headers.get("etag") == '"abc"' and r.headers.get("accept-ranges") == "bytes"


@pytest.mark.parametrize("asked, tag, varied", [
    ('W/"abc"', 'W/"abc"', True), ('"x", W/"abc"', 'W/"abc"', True), ('"abc"', '"abc"', False),
    ('W/"abc", "abc"', '"abc"', False)])
def test_a_304_names_the_etag_that_the_client_has(shop, asked, tag, varied):
    r = through(shop, b'HTTP/1.1 304 Not Modified\r\nETag: "abc"\r\n\r\n',
                {**GZIP, "If-None-Match": asked})
    assert r.status == 304 and r.headers.get("etag") == tag
    assert ("accept-encoding" in varies(r)) == varied


# ---- streams ----

EVENTS = [b"data: %d\n\n" % i for i in range(5)]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_each_event_leaves_at_once(shop, coding):
    """The server sends the next one only after the client has read the one before."""
    seen = []

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        for i, event in enumerate(EVENTS):
            wait_until(lambda n=i: len(seen) >= n or peer.origin.stopping.is_set(), "the client")
            peer.send(b"%x\r\n%s\r\n" % (len(event), event))
        peer.send(b"0\r\n\r\n")
    gw = shop.lintel(basic(shop.origin(script), defaults={"compress": True}))
    decoders = {"gzip": lambda: zlib.decompressobj(31).decompress,
                "br": lambda: brotli.Decompressor().process,
                "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress}
    feed = decoders[coding]()
    with gw.client() as c:
        c.send(head("GET", "/", {"Accept-Encoding": coding}))
        top = c.reader.response_head()
        assert top.headers.get("content-encoding") == coding
        text, raw = b"", bytearray(c.reader.rest())
        while len(seen) < len(EVENTS):
            while b"\r\n" not in raw:
                raw += c.sock.recv(65536)
            size, _, rest = raw.partition(b"\r\n")
            while len(rest) < int(size, 16) + 2:
                rest += c.sock.recv(65536)
            text += feed(bytes(rest[:int(size, 16)]))
            raw = rest[int(size, 16) + 2:]
            seen[:] = text.split(b"\n\n")[:-1]
    assert text == b"".join(EVENTS)


def test_a_cut_response_is_visibly_cut(shop):
    def script(peer):
        peer.request()
        peer.send(in_chunks()[:20000])
        peer.pause(0.1)
        peer.reset()
    gw = shop.lintel(basic(shop.origin(script), defaults={"compress": True}))
    with gw.client() as c:
        with pytest.raises((Cut, ConnectionResetError)):
            c.request(headers=GZIP)
    gw.access(cause="response_cut")


def test_a_client_that_goes_away_gives_its_memory_back(shop):
    """There is room for one encoder: the next client gets it once the first one is gone."""
    def script(peer):
        while True:
            if peer.request().target == "/whole":
                peer.send(reply())
                continue
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            peer.until_closed()
            return
    gw = shop.lintel(basic(shop.origin(script), defaults={"compress": True}, workers=1,
                           limits={"compress": {"total": "256K"}}))
    with gw.client() as first, gw.client() as second:
        first.send(head("GET", "/endless", GZIP))
        assert first.reader.response_head().headers.get("content-encoding") == "gzip"
        r = second.request(target="/whole", headers=GZIP)
        assert is_whole(r) and "accept-encoding" in varies(r)
        first.reset()
        wait_until(lambda: "content-encoding" in
                   second.request(target="/whole", headers=GZIP).headers, "an encoder")
    metrics = Metrics(gw.admin("/metrics").body.decode())
    assert metrics.sum("lintel_compress_refused_total") >= 1
    assert metrics.sum("lintel_compressed_total") >= 2


def test_bytes_in_the_access_log_are_those_that_left(shop):
    origin = shop.origin(always(reply()))
    gw = shop.lintel(basic(origin, defaults={"compress": True}))
    with gw.client() as c:
        r = c.request(headers=GZIP)
    assert gw.access()[0]["bytes_out"] == len(r.body)


@pytest.mark.parametrize("accept, names", [("gzip", ["x-sum"]), ("", ["content-digest", "x-sum"])])
def test_trailers_pass_but_for_digests_of_other_bytes(shop, accept, names):
    trailers = b"Content-Digest: sha-256=:AAAA:\r\nX-Sum: 1\r\n"
    r = through(shop, in_chunks()[:-2] + trailers + b"\r\n", {"Accept-Encoding": accept})
    assert decode(r) == TEXT and sorted(n.lower() for n, _ in r.trailers) == names


# ---- configuration ----

def test_levels(shop):
    origin = shop.origin(always(reply()))
    gw = shop.lintel(basic(
        origin, defaults={"compress": {"enabled": True, "encodings": ["gzip"]}},
        site={"compress": {"min": "10"}},
        routes=[{"match": "/off", "to": "app", "compress": False},
                {"match": "/br", "to": "app", "compress": {"encodings": ["br"]}},
                {"match": "/min", "to": "app", "compress": {"min": "1M"}},
                {"match": "/types", "to": "app", "compress": {"types": ["image/png"]}},
                {"match": "/*", "to": "app"}]))
    want = {"/off": None, "/br": "br", "/min": None, "/types": None, "/x": "gzip"}
    with gw.client() as c:
        for target, coding in want.items():
            r = c.request(target=target, headers={"Accept-Encoding": "gzip, br"})
            assert r.headers.get("content-encoding") == coding, target
            assert decode(r) == TEXT


@pytest.mark.parametrize("level", ["fast", "balanced", "small"])
def test_work(shop, level):
    r = through(shop, reply(), {"Accept-Encoding": "zstd"}, compress={"enabled": True,
                                                                      "level": level})
    assert decode(r) == TEXT and len(r.body) < len(TEXT) / 2


@pytest.mark.parametrize("compress, says", [
    ("maybe", "enabled"), ("{enabled: true, types: [json]}", "media type"),
    ("{types: [text/html, 'text/ht ml']}", "media type"), ("{level: 9}", "balanced"),
    ("{encodings: [deflate]}", "gzip"), ("{encodings: [gzip, br, gzip]}", "twice"),
    ("{encodings: []}", "empty"), ("{minimum: 1K}", "min")])
@pytest.mark.parametrize("place", ["defaults", "route"])
def test_mistakes_are_told_with_their_place(tmp_path, compress, says, place):
    path = tmp_path / "lintel.yaml"
    top, route = (f"defaults: {{compress: {compress}}}\n", "") if place == "defaults" else \
        ("", f", compress: {compress}")
    path.write_text("lintel: 1\nlisten: ['127.0.0.1:0']\n" + top + "sites:\n  - hosts: ['*']\n"
                    f"    routes:\n      - {{match: /, respond: 200{route}}}\n")
    done = command("check", "-c", path)
    line = 3 if place == "defaults" else 6
    assert done.returncode == 1 and f"lintel.yaml:{line}:" in done.stderr, done.stderr
    assert says in done.stderr
