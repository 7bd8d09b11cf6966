# SPDX-License-Identifier: Apache-2.0
"""Filters that do several things at once, clean up, share values and work by the clock."""
import signal
import threading
import time

import pytest

from lib.configs import basic, h2
from lib.prometheus import Metrics
from lib.raw_h2 import H2, get, rst

RESPOND = [{"match": "/*", "respond": {"body": "ok"}}]
LONG = {"wall": "2m", "cpu": "1s"}


def filtered(config, **instances):
    """All routes of the site run these instances, in their order."""
    config["filters"] = instances
    config["sites"][0]["filters"] = list(instances)
    return config


def with_lua(shop, **files):
    folder = shop.folder / "scripts"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.lua").write_text(text)
    return {"LINTEL_SCRIPTS": str(folder)}


def one(shop, lua, workers=1, **settings):
    """A gateway whose requests all run one filter and are answered by Lintel."""
    config = basic(routes=RESPOND, workers=workers)
    settings = {"filter": "a", "on_error": "closed", "budget": LONG, **settings}
    return shop.lintel(filtered(config, a=settings), env=with_lua(shop, a=lua))


def messages(gw, text):
    return gw.events("message", message=text)


# Several things at once.

def test_branches_wait_beside_each_other_in_every_hook(shop):
    """Each branch goes on only when the others have begun too: one after another never would."""
    gw = one(shop, """
local function meet(ctx, where)
    local n = 0
    local function arrive(name)
        return function()
            n = n + 1
            while n < 3 do ctx:sleep(0.01) end
            return name .. ctx.req.path
        end
    end
    local a, b, c = ctx:parallel{arrive("a"), arrive("b"), arrive("c")}
    ctx.vars[where] = a .. b .. c
end
return {
    request = function(ctx) meet(ctx, "request") end,
    response = function(ctx) meet(ctx, "response")
        ctx.res.headers["x-met"] = ctx.vars.request .. ctx.vars.response end,
    log = function(ctx) meet(ctx, "log") ctx.log.info("met", {log = ctx.vars.log}) end,
}
""")
    assert gw.get("/x").headers.get("x-met") == "a/xb/xc/x" * 2
    assert gw.wait_event("message", message="met")["log"] == "a/xb/xc/x"


def test_many_requests_with_branches_do_not_mix(shop):
    gw = one(shop, """
return {request = function(ctx)
    local id = ctx.req.path
    local a, b = ctx:parallel{
        function() ctx:sleep(0.002) return ctx.req.path end,
        function() return (lintel.parallel{function() ctx:sleep(0.001) return ctx.req.path end}) end,
    }
    return ctx:respond{body = tostring(a == id and b == id)}
end}
""", workers=2)
    failed = []

    def ask(worker):
        with gw.client() as client:
            for i in range(50):
                response = client.request(target=f"/{worker}/{i}")
                if response.body != b"true":
                    failed.append(response)
    threads = [threading.Thread(target=ask, args=(w,)) for w in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# The client leaves.

LEAVES = """
local function wait(ctx, hook)
    if ctx.req.path ~= "/" .. hook then return end
    ctx:defer(function() ctx.log.info("cleaned up", {path = ctx.req.path}) end)
    ctx.log.info("waits")
    ctx:parallel{
        function() ctx:sleep(100) ctx.log.info("went on") end,
        function() while true do pcall(lintel.sleep, 0.05) end end,
    }
    ctx.log.info("went on")
end
return {
    request = function(ctx) wait(ctx, "request") end,
    response = function(ctx) wait(ctx, "response") end,
}
"""


@pytest.mark.parametrize("hook", ["request", "response"])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_client_that_leaves_ends_a_waiting_hook_and_clean_ups_run(shop, hook, how):
    gw = one(shop, LEAVES)
    client = gw.client()
    client.send(f"GET /{hook} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    gw.wait_event("message", message="waits")
    if how == "closes":
        client.close()
    else:
        client.reset()
    began = time.monotonic()
    assert gw.wait_event("message", message="cleaned up")["path"] == f"/{hook}"
    assert time.monotonic() - began < 50, "it waited for the filter"
    gw.access(cause="client_gone", path=f"/{hook}")
    assert gw.get("/fine").status == 200
    assert not messages(gw, "went on")


def test_a_stream_that_is_reset_ends_a_waiting_hook(shop):
    config = h2(routes=RESPOND, workers=1)
    filtered(config, a={"filter": "a", "budget": LONG})
    gw = shop.lintel(config, env=with_lua(shop, a=LEAVES))
    with H2(gw.plain) as client:
        client.open(get(path="/request"))
        gw.wait_event("message", message="waits")
        client.send(rst(1))
        gw.wait_event("message", message="cleaned up")
        gw.access(path="/request")
    assert not messages(gw, "went on")


def test_clean_ups_run_when_the_gateway_cuts_a_request_off(shop):
    config = basic(routes=RESPOND, workers=1, drain={"timeout": "200ms"})
    filtered(config, a={"filter": "a", "budget": LONG})
    gw = shop.lintel(config, env=with_lua(shop, a=LEAVES))
    client = gw.client()
    client.send(b"GET /request HTTP/1.1\r\nHost: localhost\r\n\r\n")
    gw.wait_event("message", message="waits")
    gw.stop()
    assert messages(gw, "cleaned up") and not messages(gw, "went on")


# A cache.

CACHED = """
local M = {}
function M.init()
    return {cache = lintel.cache.new{ttl = "1h"}, shared = lintel.shared.open()}
end
function M.request(ctx)
    local value = ctx.state.cache:get(ctx.req.query.key, function(key)
        ctx.state.shared:incr("loads")
        while not ctx.state.shared:get("open") do lintel.sleep(0.01) end
        return "value of " .. key
    end)
    return ctx:respond{body = value}
end
return M
"""


def test_one_load_serves_all_that_wait_also_when_the_first_leaves(shop):
    lua = CACHED.replace("function M.request(ctx)", """function M.request(ctx)
    if ctx.req.path == "/open" then
        ctx.state.shared:set("open", true)
        return ctx:respond{body = tostring(ctx.state.shared:get("loads"))}
    end
    ctx.log.info("asks")""")
    gw = one(shop, lua)
    first = gw.client()
    first.send(b"GET /?key=k HTTP/1.1\r\nHost: localhost\r\n\r\n")
    gw.wait_event("message", message="asks")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(gw.get("/?key=k").body))
               for _ in range(20)]
    for thread in threads:
        thread.start()
    gw.wait_event("message", count=21, message="asks")
    first.reset()
    gw.access(cause="client_gone")
    assert gw.get("/open").body == b"1"
    for thread in threads:
        thread.join()
    assert answers == [b"value of k"] * 20
    assert gw.get("/?key=k").body == b"value of k"
    assert gw.get("/open").body == b"1"


# Values of all workers.

def test_shared_values_are_those_of_all_workers(shop):
    gw = one(shop, """
local M = {}
function M.init() return lintel.shared.open() end
function M.request(ctx)
    local n = ctx.state:incr("n")
    if n == 1 then ctx.state:set("first", ctx.req.path) end
    return ctx:respond{body = n .. " " .. ctx.state:get("first")}
end
return M
""", workers=4)
    answers = [gw.get(f"/{i}").body for i in range(60)]
    assert answers == [f"{i + 1} /0".encode() for i in range(60)]
    gw.reload()
    assert gw.get("/late").body == b"61 /0"  # they outlive a configuration


def test_what_shared_values_forget_is_counted(shop):
    config = basic(routes=RESPOND, workers=1, limits={"shared": "1M"})
    filtered(config, a={"filter": "a", "on_error": "closed", "budget": {"cpu": "5s"}})
    gw = shop.lintel(config, env=with_lua(shop, a="""
return {request = function(ctx)
    local s = lintel.shared.open()
    for i = 1, 100 do s:set("k" .. i, ("x"):rep(50000)) end
end}
"""))
    assert gw.get().status == 200
    assert Metrics(gw.admin("/metrics").body.decode()).sum("lintel_filter_shared_evicted_total") > 50
    assert gw.events("memory_bound")[-1]["shared_mb"] == 1
    config["limits"]["shared"] = "2M"
    gw.reload(config)
    gw.wait_event("restart_needed", **{"for": "limits.shared"})


# Work by the clock.

def ticker(mark):
    return {"filter": "ticks", "mark": mark, "budget": {"wall": "1s"}}


TICKS = """
local M = {schema = {mark = {type = "string", required = true}}}
function M.init(conf) return conf end
M.every = {
    ["1s"] = function(state) lintel.log.info("tick", {mark = state.mark}) end,
    ["1h"] = function(state)
        lintel.sleep("10ms")
        lintel.log.info("began", {mark = state.mark})
    end,
}
return M
"""


def test_every_begins_at_once_on_one_worker_and_ends_with_its_configuration(shop):
    config = basic(routes=RESPOND, workers=4)
    config["filters"] = {"ticks": ticker("one")}
    gw = shop.lintel(config, env=with_lua(shop, ticks=TICKS))
    gw.wait_event("message", message="began", mark="one")
    gw.wait_event("message", count=3, message="tick", mark="one")
    config["filters"] = {"ticks": ticker("two")}
    gw.reload(config)
    gw.wait_event("message", message="began", mark="two")
    before = len(gw.events("message", message="tick", mark="one"))
    gw.wait_event("message", count=3, message="tick", mark="two")
    assert len(gw.events("message", message="tick", mark="one")) == before
    for mark in ("one", "two"):
        assert len(gw.events("message", message="began", mark=mark)) == 1


def test_a_configuration_that_is_refused_does_no_work(shop):
    config = basic(routes=RESPOND, workers=2)
    config["filters"] = {"ticks": ticker("one")}
    gw = shop.lintel(config, env=with_lua(shop, ticks=TICKS))
    gw.wait_event("message", message="tick", mark="one")
    config["filters"] = {"ticks": ticker("two"), "broken": {"filter": "nothere"}}
    gw.reload(config, fails=True)
    count = len(gw.events("message", message="tick", mark="one"))
    gw.wait_event("message", count=count + 2, message="tick", mark="one")
    assert not gw.events("message", mark="two")


def test_every_stops_when_the_gateway_drains(shop):
    config = basic(routes=RESPOND, workers=1, drain={"timeout": "4s"})
    filtered(config, a={"filter": "a", "budget": LONG})
    config["filters"]["ticks"] = ticker("one")
    gw = shop.lintel(config, env=with_lua(shop, a=LEAVES, ticks=TICKS))
    gw.wait_event("message", message="tick", mark="one")
    client = gw.client()
    client.send(b"GET /request HTTP/1.1\r\nHost: localhost\r\n\r\n")
    gw.wait_event("message", message="waits")
    gw.signal(signal.SIGTERM)
    gw.wait_event("draining")
    ticks = len(gw.events("message", message="tick"))
    gw.ended(0)
    assert len(gw.events("message", message="tick")) <= ticks + 1


def test_failures_of_periodic_work_are_logged_with_their_place_and_counted(shop):
    config = basic(routes=RESPOND, workers=1)
    config["filters"] = {"bad": {"filter": "bad"}}
    gw = shop.lintel(config, env=with_lua(shop, bad="""
return {every = {["1s"] = function()
    error("it broke")
end}}
"""))
    gw.allowed.add("filter_error")
    gw.wait_event("filter_error", count=2)
    told = gw.events("filter_error")[0]
    assert told["error"] == "bad.lua:3: it broke" and told["hook"] == "every 1s"
    assert told["filter"] == "bad"
    assert Metrics(gw.admin("/metrics").body.decode()).sum("lintel_filter_errors_total") >= 2


def test_a_periodic_loop_is_stopped_and_requests_go_on(shop):
    config = basic(routes=RESPOND, workers=1)
    config["filters"] = {"bad": {"filter": "bad", "budget": {"cpu": "10ms"}}}
    gw = shop.lintel(config, env=with_lua(shop, bad="""
return {every = {["1s"] = function() while true do pcall(error) end end}}
"""))
    gw.allowed.add("filter_cpu")
    gw.wait_event("filter_cpu")
    assert gw.get().status == 200


# With other services.

def test_services_are_asked_at_once_remembered_and_by_the_clock(shop):
    app = shop.echo()
    gw = one(shop, """
local M = {schema = {base = {type = "string", required = true}}}
function M.init(conf)
    return {base = conf.base, shared = lintel.shared.open(), cache = lintel.cache.new{ttl = "1h"}}
end
local function ask(state, path)
    local res = assert(lintel.http.get(state.base .. path))
    return lintel.json.decode(res.body).target
end
M.every = {["1h"] = function(state)
    state.shared:set("fetched", ask(state, "/keys"))
    lintel.log.info("fetched")
end}
function M.request(ctx)
    local state = ctx.state
    local function cached() return state.cache:get("/once", function(key) return ask(state, key) end) end
    local a, b, c = ctx:parallel{function() return ask(state, "/a") end, cached, cached}
    return ctx:respond{body = table.concat({state.shared:get("fetched"), a, b, c}, " ")}
end
return M
""", base=f"http://{app.address}")
    gw.wait_event("message", message="fetched")
    for _ in range(3):
        assert gw.get().body == b"/keys /a /once /once"
    assert app.served == 1 + 3 + 1
