# SPDX-License-Identifier: Apache-2.0
"""lintel.http: what filters ask other services, over real connections."""
import hashlib
import json
import re
import socket
import ssl
import threading
import time

import pytest

from lib.client import head
from lib.configs import basic
from lib.dns import DnsServer
from lib.gateway import TREE, command
from lib.origin import OK, always, answer, pattern
from lib.prometheus import Metrics
from lib.wait import wait_until

# Asks what the client says in X-Ask, in the hook that X-Hook names, and tells what came: in the
# response of `request`, in a header of `response`, in a log line of `log`.
ASK = """
local M = {}

local function ask(ctx)
  local wanted = lintel.json.decode(ctx.req.headers["x-ask"])
  local res, reason, detail = lintel.http.request(wanted)
  if not res then return {reason = reason, detail = detail} end
  local headers = {}
  for name, value in pairs(res.headers) do headers[name] = value end
  return {status = res.status, headers = headers, body = res.body, size = #res.body,
          cookies = res.headers:all("Set-Cookie"), type = res.headers["Content-Type"]}
end

local function asked(ctx, hook)
  return ctx.req.headers["x-ask"] and (ctx.req.headers["x-hook"] or "request") == hook
end

function M.request(ctx)
  if asked(ctx, "request") then return ctx:respond{json = ask(ctx)} end
end

function M.response(ctx)
  if asked(ctx, "response") then
    local told = ask(ctx)
    ctx.res.headers["x-told"] = tostring(told.status or told.reason)
  end
end

function M.log(ctx)
  if asked(ctx, "log") then
    local told = ask(ctx)
    ctx.log.info("asked", {told = tostring(told.status or told.reason)})
  end
end

return M
"""


def asking(shop, *, lua=ASK, routes=None, wall="15s", tls=None, on_error=None, **options):
    """A gateway whose routes have the filter."""
    folder = shop.folder / "scripts"
    folder.mkdir(exist_ok=True)
    (folder / "ask.lua").write_text(lua)
    config = basic(routes=routes or [{"match": "/*", "respond": {"body": "ok"}}], **options)
    config["filters"] = {"ask": {"filter": str(folder / "ask.lua"), "budget": {"wall": wall, "cpu": "5s"},
                                 **({"tls": tls} if tls else {}),
                                 **({"on_error": on_error} if on_error else {})}}
    config["sites"][0]["filters"] = ["ask"]
    return config


def told(gw, wanted, hook="request"):
    """What the filter was told."""
    wanted.setdefault("timeout", "10s")
    response = gw.get(headers={"X-Ask": json.dumps(wanted), "X-Hook": hook})
    assert response.status == 200, response
    return json.loads(response.body)


def url(origin, path="/", scheme="http"):
    return f"{scheme}://{origin.address}{path}"


def metric(gw, name):
    return Metrics(gw.admin("/metrics").body.decode()).sum(name)


# What comes back.

def test_status_headers_and_body_come_back(shop):
    app = shop.origin(always(
        b"HTTP/1.1 404 Not here\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\n"
        b"Set-Cookie: b=2\r\nContent-Length: 4\r\n\r\nnope"))
    gw = shop.lintel(asking(shop))
    got = told(gw, {"url": url(app, "/x?y=1#z"), "headers": {"X-One": "1", "Accept": ["a", "b"]}})
    assert (got["status"], got["body"], got["type"]) == (404, "nope", "text/plain")
    assert got["cookies"] == ["a=1", "b=2"]
    request = app.requests[0]
    assert (request.method, request.target) == ("GET", "/x?y=1")
    fields = [(n.lower(), v) for n, v in request.headers]
    assert ("host", app.address) in fields and ("x-one", "1") in fields
    assert [v for n, v in fields if n == "accept"] == ["a", "b"]
    assert ("user-agent", "lintel") in fields
    assert not any(n in ("content-length", "transfer-encoding", "x-ask") for n, _ in fields)


def test_a_body_is_sent_and_a_chunked_one_comes_whole(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop))
    got = told(gw, {"url": url(app), "method": "POST", "json": {"a": [1, 2]}})
    assert "body" in got, got
    echoed = json.loads(got["body"])
    assert json.loads(echoed["body"]) == {"a": [1, 2]} and echoed["method"] == "POST"
    assert ["content-type", "application/json"] in [[n.lower(), v] for n, v in echoed["headers"]]
    got = told(gw, {"url": url(app), "method": "PUT", "body": "plain text"})
    assert json.loads(got["body"])["body"] == "plain text"
    got = told(gw, {"url": url(app), "method": "POST"})
    assert ["content-length", "0"] in [[n.lower(), v]
                                       for n, v in json.loads(got["body"])["headers"]]
    assert told(gw, {"url": url(app, "/chunked/90000"), "max": "100K"})["size"] == 90000
    assert told(gw, {"url": url(app, "/bytes/9"), "method": "HEAD"})["status"] == 200


BIG = """
local M = {}
function M.request(ctx)
  local res, reason = lintel.http.post("http://ORIGIN/big", {body = ("0123456789abcdef"):rep(200000),
                                                           timeout = 15})
  return ctx:respond{json = {status = res and res.status, reason = reason, got = res and res.body ~= "" and res:json() or nil}}
end
return M
"""


def test_a_body_larger_than_any_buffer_leaves_whole(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop, lua=BIG.replace("ORIGIN", app.address), wall="1m"))
    got = json.loads(gw.get().body)
    assert got["status"] == 200, got
    assert got["got"]["length"] == 3200000


def test_an_answer_before_the_body_was_read_counts(shop):
    def early(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n"
                  b"Content-Length: 0\r\n\r\n")
        peer.origin.stopping.wait(20)

    app = shop.origin(early)
    gw = shop.lintel(asking(shop, lua=BIG.replace("ORIGIN", app.address), wall="1m"))
    assert json.loads(gw.get().body)["status"] == 413


def test_connections_are_used_again(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop, workers=1))
    for _ in range(5):
        assert told(gw, {"url": url(app)})["status"] == 200
    assert told(gw, {"url": url(app), "method": "POST", "body": "x"})["status"] == 200
    assert len(app.peers) == 1
    assert metric(gw, "lintel_filter_http_requests_total") == 6
    assert metric(gw, "lintel_filter_http_errors_total") == 0


def test_a_server_that_closed_an_idle_connection_costs_no_error(shop):
    gone = threading.Event()

    def once(peer):
        peer.request()
        peer.send(OK)
        peer.request()
        gone.set()  # and closes without an answer

    app = shop.origin(once, always(OK))
    gw = shop.lintel(asking(shop, workers=1))
    assert told(gw, {"url": url(app)})["status"] == 200
    assert told(gw, {"url": url(app)})["status"] == 200
    assert gone.is_set() and len(app.peers) == 2


def test_what_can_not_be_repeated_is_not_sent_twice(shop):
    def once(peer):
        peer.request()
        peer.send(OK)
        peer.request()

    app = shop.origin(once)
    gw = shop.lintel(asking(shop, workers=1))
    wanted = {"url": url(app), "method": "POST", "body": "x"}
    assert told(gw, wanted)["status"] == 200
    assert told(gw, wanted)["reason"] == "closed_early"
    assert len(app.requests) == 2


# TLS.

def served(pair, **options):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*map(str, pair))
    names = []
    tls.sni_callback = lambda _sock, name, _ctx: names.append(name)
    return {"tls": tls, **options}, names


def test_tls_is_verified_by_the_file_that_is_named(shop, authority):
    options, names = served(authority.leaf("localhost", "127.0.0.1"))
    app = shop.origin(always(OK), **options)
    gw = shop.lintel(asking(shop, tls={"ca": str(authority.ca)}, workers=1))
    for _ in range(2):
        assert told(gw, {"url": f"https://localhost:{app.port}/"})["status"] == 200
    assert len(app.peers) == 1 and names == ["localhost"]
    assert told(gw, {"url": f"https://127.0.0.1:{app.port}/"})["status"] == 200


def test_a_certificate_for_another_name_or_of_nobody_is_refused(shop, authority):
    options, _ = served(authority.leaf("other.test"))
    app = shop.origin(always(OK), **options)
    wanted = {"url": f"https://localhost:{app.port}/"}
    gw = shop.lintel(asking(shop, tls={"ca": str(authority.ca)}))
    got = told(gw, wanted)
    assert got["reason"] == "tls_failed" and "localhost" in got["detail"], got
    gw.reload(asking(shop))  # the system's authorities: they don't know this one
    assert told(gw, wanted)["reason"] == "tls_failed"
    gw.reload(asking(shop, tls={"verify": False}))
    assert told(gw, wanted)["status"] == 200
    plain = shop.origin(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert told(gw, {"url": url(plain, scheme="https")})["reason"] == "tls_failed"


def test_code_that_does_not_name_the_function_trusts_nobody(shop, authority):
    options, _ = served(authority.leaf("localhost"))
    app = shop.origin(always(OK), **options)
    gw = shop.lintel(asking(shop, lua=ASK.replace("lintel.http.", 'lintel["http"].')))
    got = told(gw, {"url": f"https://localhost:{app.port}/"})
    assert got["reason"] == "tls_failed" and "write `lintel.http`" in got["detail"]
    assert not app.peers


def test_a_file_of_authorities_that_is_not_there_is_an_error_of_the_configuration(shop):
    gw = shop.lintel(asking(shop))
    config = asking(shop, tls={"ca": "/nonexistent/ca.pem"})
    gw.reload(config, fails=True)
    path = shop.folder / "bad.yaml"
    path.write_text(json.dumps(asking(shop, tls={"enabled": True})))
    done = command("check", "-c", str(path))
    assert done.returncode != 0 and "https://" in done.stderr + done.stdout


# Names.

@pytest.fixture
def dns(shop):
    server = DnsServer()
    shop.finally_(server.stop)
    return server


def resolved(shop, dns, **resolver):
    return asking(shop, workers=1, resolver={"servers": [dns.address], "hosts": "/dev/null",
                                             "timeout": "200ms", "tries": 1, **resolver})


def test_names_are_looked_up_once_while_their_ttl_lasts(shop, dns):
    app = shop.echo()
    dns.say("id.test", "127.0.0.1", ttl=300)
    gw = shop.lintel(resolved(shop, dns, families="ipv4"))
    for _ in range(3):
        got = told(gw, {"url": f"http://ID.test:{app.port}/"})
        assert got["status"] == 200
    hosts = [v for n, v in json.loads(got["body"])["headers"] if n.lower() == "host"]
    assert hosts == [f"id.test:{app.port}"]
    assert dns.count("id.test") == 1


def test_a_name_that_is_not_there_says_so_and_is_asked_again_later(shop, dns):
    app = shop.echo()
    gw = shop.lintel(resolved(shop, dns, retry="100ms", families="ipv4"))
    wanted = {"url": f"http://late.test:{app.port}/"}
    got = told(gw, wanted)
    assert got["reason"] == "dns_failed" and "NXDOMAIN" in got["detail"]
    dns.say("late.test", "127.0.0.1", ttl=300)
    wait_until(lambda: told(gw, dict(wanted)).get("status") == 200, "the name to be known")
    dns.silent = True
    assert told(gw, {"url": "http://silent.test/"})["reason"] == "dns_failed"


def test_another_address_is_tried_when_one_refuses(shop, dns):
    app = shop.echo(at=("127.0.0.3", 0))
    dns.say("two.test", "127.0.0.2", "127.0.0.3", ttl=300)
    gw = shop.lintel(resolved(shop, dns, families="ipv4"))
    for _ in range(6):
        assert told(gw, {"url": f"http://two.test:{app.port}/",
                         "headers": {"Connection-Hint": "x"}})["status"] == 200


def test_a_reload_with_other_dns_servers_asks_those(shop, dns):
    app = shop.echo()
    other = DnsServer()
    shop.finally_(other.stop)
    dns.silent = True
    other.say("id.test", "127.0.0.1", ttl=300)
    gw = shop.lintel(resolved(shop, dns, timeout="10s"))
    got = []
    thread = threading.Thread(target=lambda: got.append(
        told(gw, {"url": f"http://id.test:{app.port}/", "timeout": "15s"})))
    thread.start()
    wait_until(lambda: dns.count("id.test") > 0, "the question")
    gw.reload(resolved(shop, other))
    assert told(gw, {"url": f"http://other.test:{app.port}/"})["reason"] == "dns_failed"
    thread.join(20)
    assert got and got[0]["status"] == 200


# What goes wrong.

def test_each_failure_has_its_reason(shop):
    gw = shop.lintel(asking(shop))
    refusing, deaf, hung = shop.refusing(), shop.deaf(), shop.origin(lambda p: p.until_closed())
    cut = shop.origin(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    silent = shop.origin(lambda peer: peer.request())
    twisted = shop.origin(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                                 b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
    garbage = shop.origin(answer(b"hello there\r\n\r\n"))
    cases = [(refusing, {}, "connect_refused"),
             (deaf, {"connect_timeout": "300ms"}, "connect_timeout"),
             (deaf, {"timeout": 0.3}, "timeout"),
             (hung, {"timeout": "300ms"}, "timeout"),
             (cut, {}, "closed_early"), (silent, {}, "closed_early"),
             (twisted, {}, "malformed"), (garbage, {}, "malformed")]
    for origin, options, reason in cases:
        got = told(gw, {"url": url(origin), **options})
        assert got["reason"] == reason and got["detail"], (reason, got)
    got = told(gw, {"url": "http://x.test/", "socket": f"unix:{shop.folder}/none.sock"})
    assert got["reason"] == "connect_refused"
    assert metric(gw, "lintel_filter_http_errors_total") == len(cases) + 1


def test_what_is_too_large_is_not_read(shop):
    app = shop.echo()
    endless = shop.origin(lambda peer: (peer.request(), peer.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        [peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n") for _ in range(100000)]))
    long_head = shop.origin(answer(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70000 + b"\r\n\r\n"))
    gw = shop.lintel(asking(shop))
    assert told(gw, {"url": url(app, "/bytes/1000"), "max": 999})["reason"] == "too_large"
    assert told(gw, {"url": url(app, "/bytes/1000"), "max": 1000})["size"] == 1000
    assert told(gw, {"url": url(app, "/chunked/1000"), "max": 999})["reason"] == "too_large"
    assert told(gw, {"url": url(endless)})["reason"] == "too_large"
    assert told(gw, {"url": url(long_head)})["reason"] == "too_large"
    assert told(gw, {"url": url(app, "/bytes/0"), "max": 0})["size"] == 0


def test_time_is_over_before_the_call_s_own(shop):
    hung = shop.origin(lambda p: p.until_closed())
    gw = shop.lintel(asking(shop, wall="2s"))
    assert told(gw, {"url": url(hung), "timeout": "10m"})["reason"] == "timeout"


WRONG = """
local M = {}
local function wrong(options)
  local ok, why = pcall(lintel.http.request, options)
  return (not ok) and why or "no error"
end
function M.request(ctx)
  local cases = lintel.json.decode(ctx.req.headers["x-cases"])
  local told = {}
  for i, case in ipairs(cases) do told[i] = wrong(case) end
  return ctx:respond{json = told}
end
return M
"""


def test_a_head_that_is_too_large_for_our_memory_is_not_sent(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop, lua="""
local M = {}
function M.request(ctx)
  local res, reason = lintel.http.get("http://ORIGIN/", {headers = {["X-Long"] = ("x"):rep(600000)}})
  return ctx:respond{json = {reason = reason}}
end
return M
""".replace("ORIGIN", app.address)))
    assert json.loads(gw.get().body)["reason"] == "busy"
    assert app.served == 0


INIT = """
local M = {}
function M.init() return lintel.http.get("http://127.0.0.1/") end
function M.request() end
return M
"""


def test_init_can_not_ask(shop):
    config = asking(shop, lua=INIT)
    path = shop.folder / "init.yaml"
    path.write_text(json.dumps(config))
    done = command("check", "-c", str(path))
    assert done.returncode != 0 and "nor in `init`" in done.stderr


def test_misuse_raises_and_nothing_leaves(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop, lua=WRONG))
    here = url(app)
    cases = [
        ({}, "write a url"), ({"url": "ftp://x/"}, "absolute URL"), ({"url": "/x"}, "absolute URL"),
        ({"url": "http://u:p@x/"}, "user name"), ({"url": "http://a b/"}, "%XX"),
        ({"url": "http://x/\r\nX: 1"}, "%XX"), ({"url": "http://[::1/"}, "malformed"),
        ({"url": "http://x:0/"}, "malformed"), ({"url": "http:///x"}, "malformed"),
        ({"url": here, "headers": {"X-A": "1\r\nX-B: 2"}}, "CR, LF"),
        ({"url": here, "headers": {"Host": "evil"}}, "Lintel's own"),
        ({"url": here, "headers": {"Transfer-Encoding": "chunked"}}, "Lintel's own"),
        ({"url": here, "headers": {"bad name": "1"}}, "not a name"),
        ({"url": here, "headers": {"X": True}}, "headers are written"),
        ({"url": here, "method": "CONNECT"}, "method"), ({"url": here, "method": "get"}, "method"),
        ({"url": here, "body": "x", "json": 1}, "not both"), ({"url": here, "body": 1}, "body is a"),
        ({"url": here, "tiemout": 1}, "did you mean `timeout`"),
        ({"url": here, "timeout": 0}, "timeout"), ({"url": here, "timeout": "1 h"}, "timeout"),
        ({"url": here, "max": "1G"}, "max is at most"), ({"url": here, "max": -1}, "max is at most"),
        ({"url": here, "socket": "127.0.0.1:1"}, "Unix socket"),
        ({"url": here, "redirects": 11}, "redirects"), ({"url": here, "redirects": True}, "redirects"),
    ]
    response = gw.get(headers={"X-Cases": json.dumps([case for case, _ in cases])})
    for (case, expected), said in zip(cases, json.loads(response.body)):
        assert expected in said, (case, said)
    assert app.served == 0


# Unix sockets.

def test_a_service_on_a_unix_socket(shop):
    app = shop.echo(unix=True)
    gw = shop.lintel(asking(shop, workers=1))
    for _ in range(2):
        got = told(gw, {"url": "http://auth.internal/check", "socket": app.address})
        assert got["status"] == 200
    assert "body" in got, got
    echoed = json.loads(got["body"])
    assert echoed["target"] == "/check" and len(app.peers) == 1
    assert ["host", "auth.internal"] in [[n.lower(), v] for n, v in echoed["headers"]]


# Every hook.

def test_it_works_in_response_and_log_too(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop))
    ask = json.dumps({"url": url(app), "timeout": "10s"})
    response = gw.get(headers={"X-Ask": ask, "X-Hook": "response"})
    assert response.headers.get("x-told") == "200" and response.body == b"ok"
    assert gw.get(headers={"X-Ask": ask, "X-Hook": "log"}).body == b"ok"
    gw.wait_event("message", told="200")


# Many, and ends.

def test_a_hundred_at_once_and_those_over_the_limit_wait_their_turn(shop):
    app = shop.echo()
    gw = shop.lintel(asking(shop, workers=1))
    results = []

    def run():
        results.append(told(gw, {"url": url(app, "/sleep/100"), "timeout": "15s"}))

    threads = [threading.Thread(target=run) for _ in range(150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [r.get("status") for r in results] == [200] * 150, results
    assert len(app.peers) <= 100


def test_too_many_for_one_place_are_told_that_it_is_busy(shop):
    hold = threading.Event()

    def held(peer):
        while True:
            peer.request()
            hold.wait(20)
            peer.send(OK)

    app = shop.origin(held)
    gw = shop.lintel(asking(shop, workers=1))
    results = []

    def run():
        results.append(told(gw, {"url": url(app), "timeout": "15s"}))

    threads = [threading.Thread(target=run) for _ in range(230)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(results) >= 30, "those over 200")
    assert all(r["reason"] == "busy" for r in list(results))
    hold.set()
    for thread in threads:
        thread.join(30)
    assert len([r for r in results if r.get("status") == 200]) == 200


def test_a_client_that_leaves_ends_the_request_to_the_service(shop):
    app = shop.origin(lambda peer: (peer.request(), peer.until_closed(), peer.closed.set()))
    gw = shop.lintel(asking(shop))
    with socket.create_connection(gw.plain) as client:
        ask = json.dumps({"url": url(app), "timeout": "14s"})
        client.sendall(head("GET", "/", {"X-Ask": ask}.items()))
        wait_until(lambda: app.requests, "the request to the service")
    began = time.monotonic()
    assert app.peers[0].closed.wait(20)
    assert time.monotonic() - began < 10  # not by its own time limit
    assert told(gw, {"url": url(shop.echo())})["status"] == 200


def test_a_reload_lets_what_is_under_way_end_and_keeps_connections(shop):
    release = threading.Event()

    def held(peer):
        while True:
            if peer.request().target == "/held":
                release.wait(20)
            peer.send(OK)

    app = shop.origin(held)
    gw = shop.lintel(asking(shop, workers=1))
    got = []
    thread = threading.Thread(target=lambda: got.append(told(gw, {"url": url(app, "/held")})))
    thread.start()
    wait_until(lambda: app.requests, "the request to the service")
    gw.reload(asking(shop, workers=1))
    release.set()
    thread.join(20)
    assert got[0]["status"] == 200
    assert told(gw, {"url": url(app)})["status"] == 200
    assert len(app.peers) == 1


def test_a_gateway_ends_in_peace_with_idle_connections_and_questions(shop, dns):
    app = shop.echo()
    gw = shop.lintel(resolved(shop, dns, timeout="10s"))
    assert told(gw, {"url": url(app)})["status"] == 200
    dns.silent = True
    with socket.create_connection(gw.plain) as client:
        ask = json.dumps({"url": "http://never.test/", "timeout": "14s"})
        client.sendall(head("GET", "/", {"X-Ask": ask}.items()))
        wait_until(lambda: dns.count("never.test") > 0, "the question")
    gw.stop()


def test_pattern_bodies_are_what_was_sent(shop):
    body = pattern(50000)
    app = shop.origin(always(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + body))
    lua = """
local M = {}
function M.request(ctx)
  local res = lintel.http.get("http://ORIGIN/", {timeout = 10})
  return ctx:respond{json = {sum = lintel.crypto.sha256_hex(res.body)}}
end
return M
"""
    gw = shop.lintel(asking(shop, lua=lua.replace("ORIGIN", app.address)))
    assert json.loads(gw.get().body)["sum"] == hashlib.sha256(body).hexdigest()


def test_the_guide_has_every_reason():
    reasons = re.findall(r'^X\(\w+, "(\w+)", "([^"]+)"\)',
                         (TREE / "proxy" / "upstream" / "fetch.def").read_text(), re.M)
    guide = (TREE / "docs" / "filters" / "http.md").read_text()
    assert len(reasons) >= 10
    for name, text in reasons:
        assert f"| `{name}` | {text} |" in guide, name


# Redirects.

def moved(to, status=302):
    return (f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 5\r\n\r\nmoved").encode()


def test_a_redirect_is_a_response_unless_the_filter_wants_it_followed(shop):
    app = shop.echo()
    first = shop.origin(always(moved(url(app, "/there?q"))))
    gw = shop.lintel(asking(shop, workers=1))
    got = told(gw, {"url": url(first)})
    assert (got["status"], got["body"]) == (302, "moved")
    assert got["headers"]["location"] == url(app, "/there?q")
    got = told(gw, {"url": url(first), "redirects": 1, "method": "POST", "json": {},
                    "headers": {"Authorization": "Bearer x", "Cookie": "a=1", "X-Mine": "1"}})
    echoed = json.loads(got["body"])
    assert (echoed["method"], echoed["target"], echoed["length"]) == ("GET", "/there?q", 0)
    names = [n.lower() for n, _ in echoed["headers"]]
    assert "x-mine" in names
    assert not {"authorization", "cookie", "content-type", "content-length"} & set(names)
    assert ["host", app.address] in [[n.lower(), v] for n, v in echoed["headers"]]


def test_307_repeats_the_request_and_the_same_place_gets_the_credentials(shop):
    places = []

    def script(peer):
        while True:
            request = peer.request()
            places.append((request.method, request.target, bytes(request.body),
                           dict(request.headers).get("Authorization")))
            peer.send({"/a/b?c": moved("d?e", 307), "/a/d?e": moved("/f", 308),
                       "/f": moved("?g", 307), "/f?g": OK}.get(request.target, moved("/loop")))

    app = shop.origin(script)
    gw = shop.lintel(asking(shop, workers=1))
    got = told(gw, {"url": url(app, "/a/b?c"), "method": "POST", "body": "text", "redirects": 3,
                    "headers": {"Authorization": "Bearer x"}})
    assert got["status"] == 200
    assert places == [("POST", target, b"text", "Bearer x")
                      for target in ("/a/b?c", "/a/d?e", "/f", "/f?g")]
    assert len(app.peers) == 1
    got = told(gw, {"url": url(app, "/loop"), "redirects": 10})
    assert got["status"] == 302 and len(places) == 4 + 11
    assert told(gw, {"url": url(app, "/a/b?c"), "redirects": 10, "socket": "unix:/none"}
                )["reason"] == "connect_refused"


def test_what_is_secret_is_not_redirected_into_the_open(shop, authority):
    plain = shop.echo()
    options, _ = served(authority.leaf("localhost"))
    secure = shop.origin(always(moved(url(plain))), **options)
    odd = shop.origin(always(moved("ftp://x/")))
    gw = shop.lintel(asking(shop, tls={"ca": str(authority.ca)}))
    got = told(gw, {"url": f"https://localhost:{secure.port}/", "redirects": 5})
    assert got["status"] == 302 and plain.served == 0
    assert told(gw, {"url": url(odd), "redirects": 5})["status"] == 302
    onward = shop.origin(always(moved(f"https://localhost:{secure.port}/")))
    got = told(gw, {"url": url(onward), "redirects": 5})
    assert got["status"] == 302 and got["headers"]["location"] == url(plain)
    refused = shop.origin(always(moved(url(shop.refusing()))))
    assert told(gw, {"url": url(refused), "redirects": 1})["reason"] == "connect_refused"
