# SPDX-License-Identifier: Apache-2.0
"""Recipes of docs/filters/cookbook.md where `lintel test` can't see what they are for: time, real
services, more than one upstream, the clock. And what docs/filters/hooks.md says about hooks."""
import json
import socket
import threading
import time

from lib.client import head
from lib.configs import basic, upstream
from lib.gateway import TREE
from lib.origin import always
from lib.wait import wait_until

FOLDER = TREE / "docs" / "filters" / "cookbook"


def recipe(config, name, **settings):
    config["filters"] = {name: {"filter": str(FOLDER / f"{name}.lua"), **settings}}
    config["sites"][0]["filters"] = [name]
    return config


def told(body):
    """An origin's script: answers every request with this."""
    return always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body.encode()))


def until(client, wanted):
    """What comes on a socket until wanted has come."""
    seen = b""
    while wanted not in seen:
        piece = client.recv(65536)
        assert piece, seen
        seen += piece
    return seen


def test_a_slow_path_ends_when_its_time_is_over(shop):
    gw = shop.lintel(recipe(basic({"address": shop.deaf().address}), "slow_paths",
                            paths=[{"path": "/search", "within": "1s"}]))
    began = time.monotonic()
    response = gw.get("/search?q=x")
    assert response.status == 504, response
    assert time.monotonic() - began < 15, "the timeouts of the upstream are longer"


def test_visitors_are_split_and_stay(shop):
    a, b = shop.origin(told("a")), shop.origin(told("b"))
    config = basic(a)
    config["upstreams"]["app_b"] = upstream(b)
    gw = shop.lintel(recipe(config, "ab", other="app_b", share="100%"))
    first = gw.get("/")
    assert first.body == b"b"
    assert first.headers.get("set-cookie").startswith("variant=b;")
    kept = gw.get("/", headers={"Cookie": "variant=a"})
    assert kept.body == b"a" and kept.headers.get("set-cookie") is None


def test_flags_are_fetched_by_the_clock_and_reach_the_application(shop):
    service, app = shop.origin(told('{"beta": true, "old": false}')), shop.echo()
    gw = shop.lintel(recipe(basic(app, workers=2), "flags", url=f"http://{service.address}/all"))
    wait_until(lambda: json.loads(gw.get("/").body)["headers"].count(["x-flags", "beta"]),
               "the flag to reach the application")


def test_failures_reach_the_collector(shop):
    collector, app = shop.origin(told("")), shop.origin(
        always(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"))
    gw = shop.lintel(recipe(basic(app), "collect", url=f"http://{collector.address}/events"))
    assert gw.get("/pay").status == 500
    wait_until(lambda: collector.requests, "what the collector got")
    event = json.loads(collector.requests[0].body)
    assert (event["path"], event["status"], event["cause"]) == ("/pay", 500, "ok")


def test_lines_of_json_pass_one_by_one(shop):
    """The second line is sent when the client has the first, without what is secret."""
    def script(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"
                  b'{"id":1,"email":"a@b.c"}\n')
        gate.wait(20)
        peer.send(b'{"id":2,"email":"a@b.c"}\n')
    gate = threading.Event()
    gw = shop.lintel(recipe(basic(shop.origin(script)), "redact_lines", remove=["email"]))
    with socket.create_connection(gw.plain, 20) as client:
        client.sendall(head("GET", "/"))
        seen = until(client, b'{"id":1}')
        assert b'{"id":2}' not in seen
        gate.set()
        assert b"a@b.c" not in seen + until(client, b'{"id":2}')


def hooked(shop, lua, **settings):
    """A gateway whose requests run a filter of this text, and are answered by Lintel."""
    (shop.folder / "hooked.lua").write_text(lua)
    config = basic(routes=[{"match": "/*", "respond": {"body": "ok"}}])
    config["filters"] = {"hooked": {"filter": str(shop.folder / "hooked.lua"), **settings}}
    config["sites"][0]["filters"] = ["hooked"]
    return shop.lintel(config)


def test_log_is_called_when_a_client_leaves_a_call_that_waits(shop):
    gw = hooked(shop, """
local M = {}
function M.request(ctx)
  ctx.vars.began = true
  ctx.log.info("waits")
  ctx:sleep("1m")
end
function M.log(ctx)
  ctx.log.info("told", {cause = ctx.cause, began = ctx.vars.began})
end
return M
""", budget={"wall": "2m"})
    with gw.client() as client:
        client.send(head("GET", "/"))
        gw.wait_event("message", message="waits")
    assert gw.wait_event("message", message="told")["cause"] == "client_gone"
    assert gw.events("message", message="told")[0]["began"] is True


def test_an_open_filter_that_fails_leaves_what_it_has_changed(shop):
    gw = hooked(shop, """
local M = {group = "transform"}
function M.response(ctx)
  ctx.res.headers["x-done"] = "1"
  local nothing
  ctx.res.headers["x-more"] = nothing.field
end
return M
""")
    gw.allowed.add("filter_error")
    response = gw.get("/")
    assert (response.status, response.headers.get("x-done")) == (200, "1")
    assert response.headers.get("x-more") is None


def test_a_closed_filter_that_fails_in_response_replaces_it(shop):
    gw = hooked(shop, """
local M = {on_error = "closed"}
function M.response(ctx)
  error("broken")
end
return M
""")
    gw.allowed.add("filter_error")
    response = gw.get("/")
    assert response.status == 503
    assert b"broken" not in response.body
