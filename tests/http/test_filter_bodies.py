# SPDX-License-Identifier: Apache-2.0
"""Filters that choose where a request goes, and filters that read, replace and rewrite bodies."""
import gzip
import hashlib
import json
import threading
import time

import pytest

from lib import raw_h2
from lib.client import head
from lib.configs import basic, h2, upstream
from lib.h2_origin import app as h2_app
from lib.h2_origin import h2_script
from lib.origin import pattern
from lib.prometheus import Metrics
from lib.strict_h1 import Cut
from lib.wait import wait_until

SIZES = [0, 1, 65536, 10 << 20]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def with_filters(shop, config, env=None, **texts):
    """A gateway whose site has these filters, in their order: name to the body of a Lua file, or to
    that and more of its instance. M is the table that the file returns."""
    folder = shop.folder / f"scripts-{len(shop.gateways)}"
    folder.mkdir()
    config["filters"], names = {}, []
    for name, text in texts.items():
        text, more = text if isinstance(text, tuple) else (text, {})
        (folder / f"{name}.lua").write_text("local M = {}\n" + text + "\nreturn M\n")
        config["filters"][name] = {"filter": name, **more}
        names.append(name)
    config["sites"][0]["filters"] = names
    return shop.lintel(config, env={"LINTEL_SCRIPTS": str(folder), **(env or {})})


def metric(gw, name):
    return Metrics(gw.admin("/metrics").body.decode()).sum(name)


def response(body, *fields, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


# ---- the hook `upstream` ----

def two_pools(shop, text, more=None, **options):
    one, two = shop.echo("one"), shop.echo("two")
    config = basic(one, **options)
    config["upstreams"]["other"] = upstream(two)
    gw = with_filters(shop, config, f=(text, more or {}))
    return gw, one, two


def test_a_filter_chooses_another_upstream(shop):
    gw, one, two = two_pools(shop, """
        function M.upstream(ctx)
          assert(ctx.upstream.name == "app" and ctx.upstream.server == nil)
          if ctx.req.headers["x-beta"] then
            ctx.upstream.pool = "other"
            ctx.req.headers["x-pool"] = ctx.upstream.name
          end
        end""")
    assert json.loads(gw.get().body)["app"] == "one"
    told = json.loads(gw.get(headers={"X-Beta": "1"}).body)
    assert told["app"] == "two" and ["x-pool", "other"] in [[n.lower(), v] for n, v in told["headers"]]
    lines = gw.access(2)
    assert sorted(line["upstream"] for line in lines) == ["app", "other"]


def test_an_upstream_that_does_not_exist_is_said_with_the_one_that_was_meant(shop):
    gw, *_ = two_pools(shop, 'function M.upstream(ctx) ctx.upstream.pool = "othr" end',
                       {"on_error": "closed"})
    gw.allowed.add("filter_error")
    assert gw.get().status == 503
    line = gw.access(1)[0]
    assert line["cause"] == "filter_error"
    assert "there is no upstream 'othr': did you mean 'other'?" in json.dumps(line)


def test_the_hook_may_refuse_and_wait(shop):
    gw, one, _ = two_pools(shop, """
        function M.upstream(ctx)
          ctx:sleep("10ms")
          return ctx:deny(403, "not_there")
        end""")
    assert gw.get().status == 403
    assert one.served == 0


def test_the_hook_runs_once_for_all_tries(shop):
    cut, fine = shop.origin(lambda peer: peer.request_head()), shop.echo("fine")
    config = basic(cut, fine, app={"retry": {"attempts": 2, "when": ["reset"]},
                                   "balance": "round_robin"})
    gw = with_filters(shop, config, f="""
        function M.upstream(ctx)
          ctx.vars.n = (ctx.vars.n or 0) + 1
        end
        function M.response(ctx)
          ctx.res.headers["x-runs"] = tostring(ctx.vars.n)
        end""")
    for _ in range(4):
        response = gw.get()
        assert response.status == 200 and response.headers.get("x-runs") == "1"
    assert sum(line.get("tries", 1) > 1 for line in gw.access(4)) >= 1


def test_a_hash_key_of_a_filter_goes_before_the_expression(shop):
    apps = [shop.echo(f"app{i}") for i in range(4)]
    config = basic(*apps, app={"balance": {"by": "hash", "hash": "client.ip"}})
    gw = with_filters(shop, config, f="""
        function M.upstream(ctx)
          ctx.upstream.hash_key = ctx.req.headers["x-tenant"]
        end""")
    places = {}
    for tenant in [f"t{i}" for i in range(12)] * 2:
        app = json.loads(gw.get(headers={"X-Tenant": tenant}).body)["app"]
        assert places.setdefault(tenant, app) == app
    assert len(set(places.values())) > 1


def test_a_filter_shortens_the_time_of_the_whole_but_never_lengthens_it(shop):
    def late(peer):
        peer.request()
        peer.pause(20)
    config = basic(shop.origin(late), routes=[
        {"match": "/short", "to": "app"},
        {"match": "/long", "to": "app", "timeouts": {"total": "300ms"}}])
    gw = with_filters(shop, config, f="""
        function M.upstream(ctx)
          ctx.upstream.timeout = ctx.req.path == "/short" and "200ms" or 3600
        end""")
    for path in ("/short", "/long"):
        began = time.monotonic()
        assert gw.get(path).status == 504
        assert time.monotonic() - began < 15
    short, long = (gw.access(path=p)[0] for p in ("/short", "/long"))
    assert short["cause"] == long["cause"] == "deadline"
    assert "a filter has set" in json.dumps(short) and "a filter" not in json.dumps(long)


def test_what_is_set_elsewhere_or_is_misspelt_is_an_error(shop):
    gw, *_ = two_pools(shop, """
        function M.request(ctx)
          local ok, why = pcall(function() ctx.upstream.pool = "other" end)
          assert(not ok and why:find("in the hook `upstream` only", 1, true), why)
        end
        function M.upstream(ctx)
          local ok, why = pcall(function() ctx.upstream.pol = "other" end)
          assert(not ok and why:find("what can is pool, hash_key, timeout", 1, true), why)
          ok, why = pcall(function() ctx.upstream.timeout = "soon" end)
          assert(not ok and why:find("a duration", 1, true), why)
          ok, why = pcall(function() return ctx.req:body() end)
          assert(not ok and why:find("in `request` only", 1, true), why)
        end""", {"on_error": "closed"})
    assert gw.get().status == 200, gw.access(1)


# ---- whole bodies of requests ----

READER = """
    function M.request(ctx)
      local text, why, detail = ctx.req:body{max = "16M"}
      ctx.vars.len = text and #text or -1
      ctx.vars.why = why or "-"
      ctx.vars.sum = text and lintel.crypto.sha256_hex(text) or "-"
    end
    function M.response(ctx)
      for _, name in ipairs { "len", "why", "sum" } do
        ctx.res.headers["x-" .. name] = tostring(ctx.vars[name])
      end
    end"""

RES_READER = """
    function M.response(ctx)
      local text, why = ctx.res:body{max = "16M"}
      ctx.res.headers["x-res-why"] = why
      ctx.res.headers["x-res-sum"] = text and lintel.crypto.sha256_hex(text)
    end"""

CLOSED = {"on_error": "closed"}
ROOM = {"buffers": {"total": "256M"}}  # however many workers share it
ROOMY = {"on_error": "closed", "budget": {"memory": "128M", "cpu": "1s"}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_filter_reads_the_body_and_the_server_still_gets_it(shop, size, stream):
    gw = with_filters(shop, basic(shop.echo(), limits=ROOM, routes=[
        {"match": "/*", "to": "app", "body": {"max": "20M", "stream": stream}}]),
        f=(READER, ROOMY))
    data = pattern(size)
    for body in (data, [data[i:i + 50000] for i in range(0, size, 50000)] or []):
        with gw.client() as client:
            got = client.request("POST", "/", body=body)
        assert got.status == 200, got
        assert got.headers.get("x-len") == str(size)
        assert got.headers.get("x-sum") == sha256(data)
        told = json.loads(got.body)
        assert told["length"] == size and told["sha256"] == sha256(data)


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_over_max_goes_on_untouched(shop, stream):
    gw = with_filters(shop, basic(shop.echo(), routes=[
        {"match": "/*", "to": "app", "body": {"max": "20M", "stream": stream}}]),
        f=(READER.replace('"16M"', "1000"), CLOSED))
    for body in (pattern(3 << 20), [pattern(9000)] * 300):
        with gw.client() as client:
            got = client.request("POST", "/", body=body)
        assert got.headers.get("x-why") == "too_large" and got.headers.get("x-len") == "-1"
        whole = b"".join(body) if isinstance(body, list) else body
        assert json.loads(got.body)["sha256"] == sha256(whole)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_waits_for_100_is_told_to_go_on(shop, stream):
    gw = with_filters(shop, basic(shop.echo(), routes=[
        {"match": "/*", "to": "app", "body": {"stream": stream}}]), f=(READER, CLOSED))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "5", "Expect": "100-continue"}))
        assert client.reader.response_head().status == 100
        client.send(b"hello")
        got = client.response("POST")
    assert got.headers.get("x-len") == "5"
    assert json.loads(got.body)["body"] == "hello"


def test_a_slow_client_costs_the_filter_none_of_its_time(shop):
    gw = with_filters(shop, basic(shop.echo()), f=(READER, {**CLOSED, "budget": {"wall": "200ms"}}))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "4"}))
        for byte in b"slow":
            time.sleep(0.15)
            client.send(bytes([byte]))
        got = client.response("POST")
    assert got.status == 200 and got.headers.get("x-len") == "4"


def test_a_client_that_leaves_ends_the_wait(shop):
    app = shop.echo()
    gw = with_filters(shop, basic(app), f=(READER, CLOSED))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "400"}) + b"beginning")
        wait_until(lambda: metric(gw, "lintel_exchanges") == 1, "a request")
    assert gw.access(1)[0]["cause"] == "client_gone"
    assert gw.get().status == 200


def test_a_request_is_tried_again_with_the_body_that_a_filter_read(shop):
    dead, fine = shop.origin(lambda peer: peer.request_head()), shop.echo()
    config = basic(dead, fine, app={"retry": {"attempts": 2, "when": ["reset"]},
                                    "balance": "round_robin"})
    gw = with_filters(shop, config, f=(READER, ROOMY))
    data = pattern(200000)
    for _ in range(3):
        with gw.client() as client:
            got = client.request("PUT", "/", body=data)
        assert got.status == 200 and got.headers.get("x-sum") == sha256(data)
        assert json.loads(got.body)["sha256"] == sha256(data)


@pytest.mark.parametrize("stream", [False, True])
def test_requests_and_responses_of_http2_are_read_too(shop, stream):
    config = h2(shop.origin(h2_app), app={"protocol": "h2c"}, routes=[
        {"match": "/*", "to": "app", "body": {"stream": stream}}])
    gw = with_filters(shop, config, f=(READER, ROOMY), g=(RES_READER, ROOMY))
    data = pattern(300000)
    with raw_h2.H2(gw.plain) as client:
        got = client.request(raw_h2.post(), body=data)
        assert got.headers.get("x-sum") == sha256(data)
        assert json.loads(bytes(got.body))["sha256"] == sha256(data)
        assert got.headers.get("x-res-sum") == sha256(bytes(got.body))
        got = client.request(raw_h2.get(path="/bytes/700000"))
        assert bytes(got.body) == pattern(700000)
        assert got.headers.get("x-res-sum") == sha256(pattern(700000))


def test_json_is_decoded_and_what_is_none_is_told(shop):
    gw = with_filters(shop, basic(shop.echo()), f=("""
        function M.request(ctx)
          local v, why, detail = ctx.req:json()
          ctx.req.headers["x-told"] = v and tostring(v.a) or (why .. " " .. (detail or ""))
        end""", CLOSED))

    def sent(body, **headers):
        with gw.client() as client:
            told = json.loads(client.request("POST", "/", headers=headers, body=body).body)
        return dict((n.lower(), v) for n, v in told["headers"])["x-told"]

    assert sent(b'{"a": 7}') == "7"
    assert sent(b'{"a": ').startswith("malformed line 1")
    assert sent(b"").startswith("malformed")
    assert sent(gzip.compress(b"{}"), **{"Content-Encoding": "gzip"}).startswith("encoded")
    assert sent(b'"' + b"x" * 70000 + b'"').startswith("too_large")


@pytest.mark.parametrize("stream", [False, True])
def test_a_filter_replaces_the_body_of_a_request(shop, stream):
    gw = with_filters(shop, basic(shop.echo(), routes=[
        {"match": "/*", "to": "app", "body": {"stream": stream}}]), f=("""
        function M.request(ctx)
          local text = ctx.req.path == "/read" and ctx.req:body() or "?"
          ctx.req:set_body("<" .. text .. ">")
        end""", CLOSED))
    fields = {"Content-Encoding": "x", "Content-Digest": "sha-256=:x:", "Content-MD5": "x"}
    for body in (b"abc", [b"a", b"bc"]):
        with gw.client() as client:
            for path, wanted in (("/read", "<abc>"), ("/blind", "<?>")):
                told = json.loads(client.request("POST", path, headers=fields, body=body).body)
                got = {n.lower(): v for n, v in told["headers"]}
                assert told["body"] == wanted and told["chunks"] is None or not told["chunks"]
                assert got["content-length"] == str(len(wanted))
                assert not got.keys() & {"content-encoding", "content-digest", "content-md5"}
    told = json.loads(gw.get("/blind").body)
    assert told["body"] == "<?>"


def test_a_body_that_is_replaced_unread_is_not_waited_for(shop):
    app = shop.echo()
    gw = with_filters(shop, basic(app), f=("""
        function M.request(ctx) ctx.req:set_body("short") end""", CLOSED))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "100000"}) + b"x")
        assert json.loads(client.response("POST").body)["body"] == "short"
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "5", "Expect": "100-continue"}))
        got = client.response("POST")
        assert got.status == 200 and json.loads(got.body)["body"] == "short"


def test_calls_and_upgrades_have_no_body_to_wait_for(shop):
    config = h2(shop.origin(h2_app), app={"protocol": "h2c"})
    gw = with_filters(shop, config, f=("""
        function M.request(ctx)
          local _, why = ctx.req:body()
          local ok, no = pcall(ctx.req.set_body, ctx.req, "x")
          ctx.req.headers["x-told"] = why .. (ok and "" or " " .. no)
        end
        function M.response(ctx)
          local _, why = ctx.res:body()
          ctx.res.headers["x-told"] = why
        end""", CLOSED))
    with raw_h2.H2(gw.plain) as client:
        got = client.request(raw_h2.post(("content-type", "application/grpc"), ("te", "trailers")),
                             body=b"\0\0\0\0\1x")
        fields = dict(json.loads(bytes(got.body))["fields"])
        assert fields["x-told"].startswith("stream") and "can't be replaced" in fields["x-told"]
        assert got.headers.get("x-told") == "stream"


# ---- whole bodies of responses ----

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_a_filter_reads_the_response_and_the_client_still_gets_it(shop, kind, size):
    gw = with_filters(shop, basic(shop.echo(), limits=ROOM), f=(RES_READER, ROOMY))
    got = gw.get(f"/{kind}/{size}")
    assert got.headers.get("x-res-sum") == sha256(pattern(size)), got.headers
    assert got.body == pattern(size)


def test_a_response_over_max_goes_on_untouched(shop):
    gw = with_filters(shop, basic(shop.echo()),
                      f=(RES_READER.replace('"16M"', "1000"), CLOSED))
    for path in ("/bytes/3000000", "/chunked/3000000", "/chunked/1001"):
        got = gw.get(path)
        assert got.headers.get("x-res-why") == "too_large"
        assert got.body == pattern(int(path.split("/")[2]))
    assert gw.get("/chunked/1000").headers.get("x-res-sum") == sha256(pattern(1000))


def test_a_slow_client_gets_a_response_that_was_read(shop):
    gw = with_filters(shop, basic(shop.echo()), f=(RES_READER, ROOMY))
    with gw.client() as client:
        client.send(head("GET", "/bytes/10485760"))
        time.sleep(0.5)
        assert client.response().body == pattern(10 << 20)


def test_a_server_that_dies_while_its_response_is_read_is_a_502(shop):
    def dies(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.pause(0.2)
    gw = with_filters(shop, basic(shop.origin(dies)), f=(RES_READER, CLOSED))
    assert gw.get().status == 502
    assert gw.access(1)[0]["cause"] == "response_cut"


def test_a_server_that_falls_silent_while_its_response_is_read_is_a_504(shop):
    def silent(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.pause(20)
    gw = with_filters(shop, basic(shop.origin(silent), app={"timeouts": {"idle": "300ms"}}),
                      f=(RES_READER, CLOSED))
    assert gw.get().status == 504
    assert gw.access(1)[0]["cause"] == "response_idle_timeout"


def test_a_slow_server_costs_the_filter_none_of_its_time(shop):
    def slow(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4):
            peer.pause(0.15)
            peer.send(b"1\r\nx\r\n")
        peer.send(b"0\r\nX-Trailer: kept\r\n\r\n")
    gw = with_filters(shop, basic(shop.origin(slow)),
                      f=(RES_READER, {**CLOSED, "budget": {"wall": "200ms"}}))
    got = gw.get()
    assert got.body == b"xxxx" and got.headers.get("x-res-sum") == sha256(b"xxxx")
    assert dict(got.trailers).get("X-Trailer") == "kept"


def test_responses_without_a_body_are_empty(shop):
    gw = with_filters(shop, basic(shop.echo()), f=(RES_READER + """
        function M.log(ctx) end""", CLOSED))
    for path, method in (("/bytes/1000", "HEAD"), ("/status/204", "GET"), ("/status/304", "GET")):
        with gw.client() as client:
            got = client.request(method, path)
            assert got.headers.get("x-res-sum") == sha256(b""), got
            assert client.request("GET", "/bytes/10").body == pattern(10)


def test_events_are_never_waited_for(shop):
    def events(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\n\r\ndata: 1\n\n")
        peer.pause(0.5)
        peer.send(b"data: 2\n\n")
    gw = with_filters(shop, basic(shop.origin(events)), f=(RES_READER, CLOSED))
    got = gw.get()
    assert got.headers.get("x-res-why") == "stream"
    assert got.body == b"data: 1\n\ndata: 2\n\n"


REPLACE = """
    function M.response(ctx)
      local text = ctx.req.path ~= "/blind" and ctx.res:body{max = "16M"} or "?"
      ctx.res:set_body("<" .. text .. ">")
    end"""


def test_a_filter_replaces_the_body_of_a_response(shop):
    def app(peer):
        while True:
            request = peer.request()
            fields = ("ETag: \"v1\"", "Accept-Ranges: bytes", "Content-MD5: x", "Digest: x",
                      "Content-Encoding: x")
            if request.target == "/304":
                peer.send(b"HTTP/1.1 304 Not Modified\r\nETag: W/\"v1\"\r\n\r\n")
            else:
                peer.send(response(b"" if request.method == "HEAD" else b"hello", *fields)
                          if request.method != "HEAD"
                          else b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    gw = with_filters(shop, basic(shop.origin(app)), f=(REPLACE, CLOSED))
    with gw.client() as client:
        got = client.request("GET", "/")
        assert got.body == b"<hello>" and got.headers.get("content-length") == "7"
        assert got.headers.get("etag") == 'W/"v1"'
        for gone in ("accept-ranges", "content-md5", "digest", "content-encoding"):
            assert got.headers.get(gone) is None
        got = client.request("HEAD", "/")
        assert got.status == 200 and got.headers.get("content-length") is None
        assert client.request("GET", "/304").status == 304
        assert client.request("GET", "/").body == b"<hello>"


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_large_body_is_replaced_and_compressed_after_that(shop, size):
    def app(peer):
        while True:
            peer.request()
            peer.send(response(b"a" * size, "Content-Type: text/plain"))
    gw = with_filters(shop, basic(shop.origin(app), limits=ROOM, routes=[
        {"match": "/*", "to": "app", "compress": {"enabled": True, "min": 0,
                                                  "encodings": ["gzip"]}}]), f=(REPLACE, ROOMY))
    wanted = b"<" + b"a" * size + b">"
    got = gw.get(headers={"Accept-Encoding": "gzip"})
    assert got.headers.get("content-encoding") == "gzip" and gzip.decompress(got.body) == wanted
    got = gw.get()
    assert got.headers.get("content-length") == str(size + 2) and got.body == wanted


def test_a_response_that_is_replaced_unread_is_not_waited_for(shop):
    def endless(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.pause(20)
    gw = with_filters(shop, basic(shop.origin(endless)), f=(REPLACE, CLOSED))
    assert gw.get("/blind").body == b"<?>"


def test_answers_by_lintel_are_read_and_replaced_too(shop):
    gw = with_filters(shop, basic(routes=[
        {"match": "/*", "respond": {"status": 200, "body": "fixed"}}]), f=(REPLACE, CLOSED))
    got = gw.get()
    assert got.body == b"<fixed>" and got.headers.get("content-length") == "7"


def test_a_client_that_leaves_while_the_response_is_read_ends_it(shop):
    def slow(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.pause(20)
    origin = shop.origin(slow)
    gw = with_filters(shop, basic(origin), f=(RES_READER, CLOSED))
    with gw.client() as client:
        client.send(head("GET", "/"))
        wait_until(lambda: origin.requests, "a request")
        client.reset()
    assert gw.access(1)[0]["cause"] == "client_gone"


# ---- bodies that are changed as they pass ----

def caesar(data):
    """What CAESAR does to a body."""
    return data.translate(bytes((i + 1) % 256 for i in range(256)))


CAESAR = """
    local next_byte = {}
    for i = 0, 255 do next_byte[string.char(i)] = string.char((i + 1) % 256) end
    local function turn(ctx, chunks)
      for chunk in chunks do
        assert(#chunk > 0)
        ctx:emit((chunk:gsub("(.)", next_byte)))
      end
    end"""
SAME = "local function turn(ctx, chunks) for chunk in chunks do ctx:emit(chunk) end end"
BOTH = "\n M.body = {request = turn, response = turn}"
RESPONSE = "\n M.body = turn"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_a_response_passes_a_filter_piece_by_piece(shop, kind, size):
    gw = with_filters(shop, basic(shop.echo()), f=(SAME + RESPONSE, ROOMY))
    with gw.client() as client:
        for _ in range(2):
            got = client.request("GET", f"/{kind}/{size}")
            assert got.status == 200 and got.body == pattern(size)
            assert got.headers.get("content-length") is None
            assert got.headers.get("transfer-encoding") == "chunked"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_request_passes_a_filter_piece_by_piece(shop, size, stream):
    gw = with_filters(shop, basic(shop.echo(), routes=[
        {"match": "/*", "to": "app", "body": {"max": "20M", "stream": stream}}]),
        f=(SAME + BOTH, ROOMY))
    data = pattern(size)
    for body in (data, [data[i:i + 50000] for i in range(0, size, 50000)]):
        with gw.client() as client:
            for _ in range(2):
                got = client.request("POST", "/", body=body)
                told = json.loads(got.body)
                assert told["length"] == size and told["sha256"] == sha256(data)
                fields = {n.lower() for n, _ in told["headers"]}
                assert ("content-length" in fields) is not stream


def test_filters_follow_each_other_in_their_order(shop):
    gw = with_filters(shop, basic(shop.echo()), **{
        name: (f"""
            local function turn(ctx, chunks)
              ctx:emit("<{name}")
              for chunk in chunks do ctx:emit(chunk) end
              ctx:emit("{name}>")
            end""" + BOTH, CLOSED) for name in ("a", "b", "c")})
    with gw.client() as client:
        got = client.request("POST", "/", body=b"-")
    assert got.body.startswith(b"<c<b<a{") and got.body.endswith(b"}a>b>c>")
    assert json.loads(got.body[6:-6])["body"] == "<c<b<a-a>b>c>"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_client_that_leaves_ends_a_filter_that_waits_in_its_body(shop, how, stream):
    gw = with_filters(shop, basic(shop.echo(), routes=[
        {"match": "/*", "to": "app", "body": {"stream": stream}}]), f=("""
            local function turn(ctx, chunks)
              ctx:defer(function() lintel.log.info("cleaned up") end)
              for _ in chunks do
                lintel.log.info("waits")
                ctx:sleep(100)
                lintel.log.info("went on")
              end
            end
            M.body = {request = turn}""", {"on_error": "closed", "budget": {"wall": "5m"}}))
    client = gw.client()
    client.send(head("POST", "/", {"Content-Length": "400"}) + b"beginning")
    gw.wait_event("message", message="waits")
    if how == "closes":
        client.close()
    else:
        client.reset()
    gw.wait_event("message", message="cleaned up")
    gw.access(cause="client_gone")
    wait_until(lambda: metric(gw, "lintel_exchanges") == 0, "the exchange to be over")
    assert not [e for e in gw.events("message") if e["message"] == "went on"]


@pytest.mark.parametrize("size", [1, 70000, 1 << 20])
def test_what_is_changed_is_compressed_after_that(shop, size):
    def app(peer):
        while True:
            request = peer.request()
            assert not request.headers.get("accept-encoding") and not request.headers.get("range")
            peer.send(response(b"a" * size, "Content-Type: text/plain", 'ETag: "v1"',
                               "Accept-Ranges: bytes", "Content-MD5: x"))
    gw = with_filters(shop, basic(shop.origin(app), routes=[
        {"match": "/*", "to": "app", "compress": {"enabled": True, "min": 0,
                                                  "encodings": ["gzip"]}}]),
        f=(CAESAR + RESPONSE, ROOMY))
    for fields in ({}, {"Accept-Encoding": "gzip"}):
        got = gw.get(headers={**fields, "Range": "bytes=0-0"})
        body = gzip.decompress(got.body) if fields else got.body
        assert got.headers.get("content-encoding") == ("gzip" if fields else None)
        assert body == b"b" * size
        assert got.headers.get("etag") == 'W/"v1"'
        assert got.headers.get("accept-ranges") is None and got.headers.get("content-md5") is None


def test_pieces_pass_as_they_come(shop):
    """Events reach the client one by one, and so do pieces of one byte."""
    go = [threading.Event() for _ in range(20)]

    def events(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in go:
            assert event.wait(20)
            peer.send(b"1\r\na\r\n")
        peer.send(b"0\r\nContent-Digest: x\r\nX-More: y\r\n\r\n")
    gw = with_filters(shop, basic(shop.origin(events)), f=(CAESAR + RESPONSE, CLOSED))
    with gw.client() as client:
        client.send(head("GET", "/"))
        got = client.reader.response_head()
        assert got.status == 200
        received = b""
        for i, event in enumerate(go):
            event.set()
            while received.count(b"b") <= i:
                received += client.sock.recv(1000)
        while b"0\r\n" not in received or not received.endswith(b"\r\n\r\n"):
            received += client.sock.recv(1000)
    assert received.startswith(b"1\r\nb\r\n") and b"X-More: y" in received
    assert b"Digest" not in received


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_comes_byte_by_byte(shop, stream):
    gw = with_filters(shop, basic(shop.echo(), routes=[
        {"match": "/*", "to": "app", "body": {"stream": stream}}]),
        f=(CAESAR + BOTH, {**CLOSED, "budget": {"wall": "300ms"}}))
    with gw.client() as client:
        client.send(head("POST", "/", {"Transfer-Encoding": "chunked"}))
        for _ in range(20):
            client.send(b"1\r\na\r\n")
            time.sleep(0.03)
        client.send(b"0\r\nX-Trailer: t\r\n\r\n")
        got = client.response("POST")
    told = json.loads(bytes((c - 1) % 256 for c in got.body))
    assert told["body"] == "b" * 20 and ["X-Trailer", "t"] in [list(t) for t in told["trailers"]]


def test_a_slow_client_holds_back_the_filter_and_the_server(shop):
    sent = []

    def app(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n")
        for _ in range(512):
            peer.send(b"Z" * 65536)
            sent.append(65536)
    gw = with_filters(shop, basic(shop.origin(app), limits={"buffers": {"response": "256K"}}),
                      f=(SAME + RESPONSE, {**CLOSED, "budget": {"wall": "300ms"}}))
    with gw.client() as client:
        client.send(head("GET", "/"))
        before = None
        while before != len(sent) or not sent:
            before = len(sent)
            time.sleep(0.7)  # more than the filter's own time
        assert sum(sent) < 30 << 20
        n = 0
        while n < 32 << 20:
            n += client.sock.recv(1 << 20).count(b"Z")
    assert n == 32 << 20


def test_a_slow_server_holds_back_the_filter_and_the_client(shop):
    go = threading.Event()

    def app(peer):
        peer.request_head()
        assert go.wait(30)
        n = peer.received.count(b"Z")
        while n < size:
            n += peer.sock.recv(1 << 20).count(b"Z")
        peer.send(response(b"got it"))
    gw = with_filters(shop, basic(shop.origin(app), routes=[
        {"match": "/*", "to": "app", "body": {"max": "100M", "stream": True}}]),
        f=(SAME + BOTH, {**CLOSED, "budget": {"wall": "300ms"}}))
    size, sent = 16 << 20, []

    def upload(client):
        client.send(head("POST", "/", {"Content-Length": str(size)}))
        for _ in range(size // 65536):
            client.send(b"Z" * 65536)
            sent.append(65536)
    with gw.client() as client:
        thread = threading.Thread(target=upload, args=(client,))
        thread.start()
        before = None
        while before != len(sent) or not sent:
            before = len(sent)
            time.sleep(0.7)
        assert sum(sent) < size
        go.set()
        got = client.response("POST")
        thread.join(20)
    assert got.body == b"got it"


def test_a_small_piece_may_become_a_large_one(shop):
    gw = with_filters(shop, basic(shop.echo()), f=("""
        function M.body(ctx, chunks)
          for chunk in chunks do
            for _ = 1, 40 do ctx:emit(("x"):rep(100000)) end
          end
        end""", ROOMY))
    with gw.client() as client:
        client.send(head("GET", "/bytes/10"))
        time.sleep(0.5)
        assert client.response().body == b"x" * 4000000


@pytest.mark.parametrize("stream", [False, True])
def test_both_sides_of_http2(shop, stream):
    config = h2(shop.origin(h2_app), app={"protocol": "h2c"}, routes=[
        {"match": "/*", "to": "app", "body": {"stream": stream}}])
    gw = with_filters(shop, config, f=(SAME + BOTH, ROOMY))
    data = pattern(400000)
    with raw_h2.H2(gw.plain) as client:
        for _ in range(3):
            got = client.request(raw_h2.post(), body=data)
            assert json.loads(bytes(got.body))["sha256"] == sha256(data)
            got = client.request(raw_h2.get(path="/bytes/900000"))
            assert bytes(got.body) == pattern(900000) and got.ended
        assert client.request(raw_h2.request("HEAD", "/bytes/10")).status == 200


def test_a_grpc_call_passes_in_both_directions(shop):
    def app(peer):
        stream = peer.head()
        peer.headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        peer.wait(lambda: stream.ended)
        peer.data(stream, bytes(stream.body))
        peer.headers(stream, [("grpc-status", "0")], end=True)
    gw = with_filters(shop, h2(shop.origin(h2_script(app)), app={"protocol": "h2c"}),
                      f=(CAESAR + BOTH, CLOSED))
    with raw_h2.H2(gw.plain) as client:
        got = client.request(raw_h2.post(("content-type", "application/grpc"), ("te", "trailers")),
                             body=b"\0\0\0\0\5hello")
    assert bytes(got.body) == caesar(caesar(b"\0\0\0\0\5hello"))
    assert got.trailers.get("grpc-status") == "0"


def test_responses_without_a_body_stay_without(shop):
    def app(peer):
        while True:
            request = peer.request()
            if request.target == "/304":
                peer.send(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
            elif request.target == "/204":
                peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                peer.send(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 5\r\n\r\n'
                          + (b"" if request.method == "HEAD" else b"hello"))
    gw = with_filters(shop, basic(shop.origin(app)), f=(CAESAR + RESPONSE, CLOSED))
    with gw.client() as client:
        got = client.request("HEAD", "/")
        assert got.status == 200 and got.headers.get("content-length") is None
        assert got.headers.get("etag") == 'W/"v1"'
        assert client.request("GET", "/204").status == 204
        got = client.request("GET", "/304", {"If-None-Match": 'W/"v1"'})
        assert got.status == 304 and got.headers.get("etag") == 'W/"v1"'
        assert client.request("GET", "/").body == caesar(b"hello")


def test_a_filter_that_does_not_look_changes_nothing(shop):
    gw = with_filters(shop, basic(shop.echo()), f=("""
        function M.body(ctx, chunks)
          if ctx.res.headers["content-type"] ~= "text/html" then return end
          error("not here")
        end""", CLOSED))
    got = gw.get("/bytes/1000")
    assert got.body == pattern(1000) and got.headers.get("content-length") == "1000"


@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_what_a_filter_leaves_passes_and_what_it_swallows_is_gone(shop, kind):
    gw = with_filters(shop, basic(shop.echo()), f=("""
        function M.body(ctx, chunks)
          if ctx.req.query.swallow then
            for chunk in chunks do end
          else
            ctx:emit(chunks() .. "<end of the first>")
          end
        end""", ROOMY))
    whole = pattern(1000000)
    body = gw.get(f"/{kind}/1000000").body
    first, rest = body.split(b"<end of the first>")
    assert first and first + rest == whole
    assert gw.get(f"/{kind}/1000000?swallow=1").body == b""


def test_an_error_before_anything_was_given(shop):
    text = "local function turn(ctx, chunks) chunks() error('no') end" + BOTH
    for policy, status in (("closed", 503), ("open", 200)):
        gw = with_filters(shop, basic(shop.echo()), f=(text, {"on_error": policy}))
        gw.allowed.add("filter_error")
        got = gw.get("/bytes/50000")
        assert got.status == status
        assert policy == "closed" or got.body == pattern(50000)
        with gw.client() as client:
            got = client.request("POST", "/", body=b"hello")
        assert got.status == status
        assert policy == "closed" or json.loads(got.body)["body"] == "hello"
        causes = {line.get("cause", "ok") for line in gw.access(2)}
        assert causes == ({"filter_error"} if policy == "closed" else {"ok"})


@pytest.mark.parametrize("policy", ["closed", "open"])
@pytest.mark.parametrize("what", ["error('no')", "while true do end",
                                  "local t = {} while true do t[#t + 1] = ('x'):rep(9999) .. #t end",
                                  "ctx:sleep(5)"])
def test_an_error_in_the_middle_is_seen_by_the_client(shop, what, policy):
    gw = with_filters(shop, basic(shop.echo()), f=(f"""
        function M.body(ctx, chunks)
          for chunk in chunks do
            if ctx.vars.n then {what} end
            ctx.vars.n = true
            ctx:emit(chunk)
          end
        end""", {"on_error": policy, "budget": {"wall": "300ms"}}))
    gw.allowed.update(("filter_error", "filter_cpu", "filter_wall", "filter_memory"))
    with gw.client() as client:
        client.send(head("GET", "/bytes/5000000"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    line = gw.access(1)[0]
    assert line["cause"].startswith("filter_") and line["denied_by"] == "f"


def test_an_error_in_the_middle_of_a_request(shop):
    origin = shop.origin(lambda peer: peer.request())
    gw = with_filters(shop, basic(origin, routes=[
        {"match": "/*", "to": "app", "body": {"stream": True}}]), f=("""
        M.body = {request = function(ctx, chunks)
          ctx:emit("beginning")
          for chunk in chunks do error("no") end
        end}""", CLOSED))
    gw.allowed.add("filter_error")
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "100"}))
        wait_until(lambda: b"beginning" in b"".join(bytes(p.received) for p in origin.peers),
                   "what was given first")
        client.send(b"more")
        assert client.response("POST").status == 503
    assert not origin.requests


def test_an_error_in_the_middle_of_http2_resets_the_stream(shop):
    gw = with_filters(shop, h2(shop.echo()), f=("""
        function M.body(ctx, chunks)
          for chunk in chunks do
            if ctx.req.path == "/bytes/1000000" and ctx.vars.n then error("no") end
            ctx.vars.n = true
            ctx:emit(chunk)
          end
        end""", CLOSED))
    gw.allowed.add("filter_error")
    with raw_h2.H2(gw.plain) as client:
        got = client.request(raw_h2.get(path="/bytes/1000000"))
        assert got.reset is not None and not got.ended
        got = client.request(raw_h2.get(path="/bytes/1000"))
        assert bytes(got.body) == pattern(1000)


def test_a_client_that_leaves_in_the_middle_ends_filter_and_server(shop):
    ended = threading.Event()

    def app(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.until_closed()
        ended.set()
    gw = with_filters(shop, basic(shop.origin(app)), f=(CAESAR + RESPONSE, CLOSED))
    with gw.client() as client:
        client.send(head("GET", "/"))
        client.reader.response_head()
        client.reset()
    assert ended.wait(20)
    assert gw.access(1)[0]["cause"] == "client_gone"


def test_a_client_that_leaves_in_the_middle_of_its_request(shop):
    gw = with_filters(shop, basic(shop.echo()), f=(CAESAR + BOTH, CLOSED))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "100"}) + b"hello")
        wait_until(lambda: metric(gw, "lintel_exchanges") == 1, "a request")
    assert gw.access(1)[0]["cause"] == "client_gone"
    with gw.client() as client:
        assert client.request("POST", "/", body=b"again").status == 200


def test_a_server_that_dies_in_the_middle_is_seen_by_the_client(shop):
    def app(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        peer.pause(0.3)
    gw = with_filters(shop, basic(shop.origin(app)), f=(CAESAR + RESPONSE, CLOSED))
    with gw.client() as client:
        client.send(head("GET", "/"))
        with pytest.raises((Cut, ConnectionResetError)):
            client.response()
    assert gw.access(1)[0]["cause"] == "response_cut"


def test_a_request_that_a_filter_changed_is_tried_again(shop):
    dead, fine = shop.origin(lambda peer: peer.request_head()), shop.echo()
    config = basic(dead, fine, app={"retry": {"attempts": 2, "when": ["reset"]},
                                    "balance": "round_robin"})
    gw = with_filters(shop, config, f=(SAME + BOTH, ROOMY))
    data = pattern(300000)
    for _ in range(3):
        with gw.client() as client:
            got = client.request("PUT", "/", body=data)
        assert got.status == 200 and json.loads(got.body)["sha256"] == sha256(data)


def test_a_filter_reads_first_and_changes_then(shop):
    gw = with_filters(shop, basic(shop.echo()), f=(READER, ROOMY), g=(CAESAR + BOTH, ROOMY))
    with gw.client() as client:
        got = client.request("POST", "/", body=b"hello")
    assert got.headers.get("x-sum") == sha256(b"hello")
    assert json.loads(bytes((c - 1) % 256 for c in got.body))["body"] == "ifmmp"


def test_a_replaced_request_is_changed_too(shop):
    gw = with_filters(shop, basic(shop.echo()), f=("""
        function M.request(ctx) ctx.req:set_body("hello") end""" + CAESAR + """
        M.body = {request = turn}""", CLOSED))
    with gw.client() as client:
        client.send(head("POST", "/", {"Content-Length": "100000"}) + b"x")
        assert json.loads(client.response("POST").body)["body"] == "ifmmp"


def test_a_client_that_waits_for_100_and_a_filter_that_waits_for_the_client(shop):
    for stream in (False, True):
        gw = with_filters(shop, basic(shop.echo(), routes=[
            {"match": "/*", "to": "app", "body": {"stream": stream}}]), f=(CAESAR + BOTH, CLOSED))
        with gw.client() as client:
            client.send(head("POST", "/", {"Content-Length": "5", "Expect": "100-continue"}))
            if not stream:
                assert client.reader.response_head().status == 100
            client.send(b"hello")
            got = client.response("POST")
            while got.status == 100:
                got = client.response("POST")
        assert json.loads(bytes((c - 1) % 256 for c in got.body))["body"] == "ifmmp"


def test_mistakes_in_the_hook_are_said(shop):
    gw = with_filters(shop, basic(shop.echo()), f=("""
        local function says(pattern, fn, ...)
          local ok, why = pcall(fn, ...)
          assert(not ok and why:find(pattern, 1, true), why)
        end
        function M.request(ctx) says("only the hook `body`", ctx.emit, ctx, "x") end
        function M.body(ctx, chunks)
          says("can't answer", ctx.deny, ctx, 403, "no")
          says("`response` only", function() ctx.res.headers["x-y"] = "z" end)
          says("`response` only", ctx.res.body, ctx.res)
          says("string expected", ctx.emit, ctx, {})
          says("can't wait here", table.sort, {2, 1}, function() chunks() end)
          ctx:emit("")
          for chunk in chunks do ctx:emit(chunk) end
          assert(chunks() == nil)
        end""", CLOSED))
    assert gw.get("/bytes/100").body == pattern(100)


def test_a_tunnel_has_no_pieces(shop):
    def app(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        data = peer.sock.recv(100)
        peer.send(data)
    gw = with_filters(shop, basic(shop.origin(app), routes=[
        {"match": "/*", "to": "app", "upgrade": ["x"]}]), f=(CAESAR + BOTH, CLOSED))
    with gw.client() as client:
        client.send(head("GET", "/", {"Connection": "upgrade", "Upgrade": "x"}))
        assert client.reader.response_head().status == 101
        client.send(b"hello")
        assert client.sock.recv(100) == b"hello"
