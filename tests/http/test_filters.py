# SPDX-License-Identifier: Apache-2.0
"""Filters around real requests: the shipped ones, and ones that misbehave."""
import hashlib
import json
import re
import threading
import time
from pathlib import Path

import pytest

from lib.configs import basic
from lib.gateway import command, slowness
from lib.prometheus import Metrics
from lib.wait import wait_until

RESPOND = [{"match": "/*", "respond": {"body": "ok"}}]


def filtered(config, **instances):
    """All routes of the site run these instances, in their order."""
    config["filters"] = instances
    config["sites"][0]["filters"] = list(instances)
    return config


def with_lua(shop, **files):
    """Puts filter files where the gateway looks for them; the environment that says so."""
    folder = shop.folder / "scripts"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.lua").write_text(text)
    return {"LINTEL_SCRIPTS": str(folder)}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


# The shipped ones.

KEYS = {"filter": "key_auth", "keys": {"acme": sha256("secret-1"), "other": sha256("secret-2")}}


def problem(response, status, cause):
    assert response.status == status, response
    assert response.headers.get("content-type") == "application/problem+json"
    told = json.loads(response.body)
    assert told["status"] == status and told["cause"] == cause
    assert told["request_id"] == response.headers.get("x-request-id")
    return told


def test_a_request_without_key_is_401_and_reaches_no_server(shop):
    app = shop.echo()
    gw = shop.lintel(filtered(basic(app), partner=KEYS))
    problem(gw.get(), 401, "missing_api_key")
    problem(gw.get(headers={"X-API-Key": "wrong"}), 401, "unknown_api_key")
    assert gw.get().headers.get("www-authenticate")
    assert app.served == 0
    response = gw.get(headers={"X-API-Key": "secret-1"})
    assert response.status == 200
    reasons = [line["reason"] for line in gw.access(4) if line.get("denied_by") == "partner"]
    assert sorted(reasons) == ["missing_api_key", "missing_api_key", "unknown_api_key"]
    assert "secret-1" not in "\n".join(gw.stdout.lines + gw.stderr.lines)


def test_the_key_does_not_reach_the_server_but_the_users_name_does(shop):
    app = shop.echo()
    gw = shop.lintel(filtered(basic(app), partner=KEYS))
    told = json.loads(gw.get(headers={"X-API-Key": "secret-2", "X-Consumer": "acme"}).body)
    assert "secret-2" not in json.dumps(told["headers"])
    assert [v for n, v in told["headers"] if n.lower() == "x-consumer"] == ["other"]


def limit(**more):
    return {"filter": "rate_limit", "key": "client.ip", "rate": "3/1h", **more}


def test_the_first_request_over_the_limit_is_429_with_the_fields(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND), per_client=limit()))
    for left in (2, 1, 0):
        response = gw.get()
        assert response.status == 200
        assert f"r={left}" in response.headers.get("ratelimit").replace(" ", "")
        assert "q=3" in response.headers.get("ratelimit-policy").replace(" ", "")
    over = gw.get()
    problem(over, 429, "rate_limited")
    assert 1 <= int(over.headers.get("retry-after")) <= 1200
    assert "r=0" in over.headers.get("ratelimit").replace(" ", "")
    assert gw.access(status=429)[0]["denied_by"] == "per_client"


def test_a_limit_counts_over_all_workers(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND, workers=4), l=limit(rate="15/1h", burst=5)))
    statuses = [gw.get().status for _ in range(30)]
    assert statuses == [200] * 20 + [429] * 10


def test_a_limit_counts_each_key_for_itself(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND), l=limit(key='header.x-user or client.ip')))
    for user in ("a", "b", None):
        headers = {"X-User": user} if user else {}
        assert [gw.get(headers=headers).status for _ in range(4)] == [200] * 3 + [429]


def test_a_limit_recovers_with_time(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND), l=limit(rate="2/1s")))
    assert [gw.get().status for _ in range(3)] == [200, 200, 429]
    time.sleep(0.6)
    assert gw.get().status == 200


def test_a_key_and_a_limit_work_together(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND), partner=KEYS,
                              per_user=limit(key="user.id or client.ip")))
    for key in ("secret-1", "secret-2"):
        headers = {"X-API-Key": key}
        assert [gw.get(headers=headers).status for _ in range(4)] == [200] * 3 + [429]
    # Those that are refused for their key cost nobody anything.
    assert [gw.get().status for _ in range(5)] == [401] * 5


def test_a_client_can_not_take_off_what_a_filter_set(shop):
    """Connection names fields that end here: those of the client, not those of a filter."""
    app = shop.echo()
    gw = shop.lintel(filtered(basic(app), partner=KEYS))
    told = json.loads(gw.get(headers={"X-API-Key": "secret-1",
                                      "Connection": "close, X-Consumer, X-API-Key"}).body)
    assert [v for n, v in told["headers"] if n.lower() == "x-consumer"] == ["acme"]
    assert not {n.lower() for n, _ in told["headers"]} & {"x-api-key", "connection"}


def test_headers_are_set_and_removed(shop):
    app = shop.echo()
    gw = shop.lintel(filtered(basic(app), h={
        "filter": "headers",
        "request_set": {"X-Set": "1"}, "request_remove": ["X-Gone"],
        "response_set": {"X-Frame-Options": "DENY"}, "response_remove": ["Server"]}))
    response = gw.get(headers={"X-Gone": "1", "X-Set": "client's"})
    got = {n.lower(): v for n, v in json.loads(response.body)["headers"]}
    assert got["x-set"] == "1" and "x-gone" not in got
    assert response.headers.get("x-frame-options") == "DENY"
    assert "server" not in response.headers


# The chain.

TRACE = """
local f = { schema = { tag = { type = "string", required = true } } }
function f.request(ctx)
    local before = ctx.req.headers["x-trace"] or ""
    ctx.req.headers["x-trace"] = before .. ctx.conf.tag
end
function f.response(ctx)
    local before = ctx.res.headers["x-trace"] or ""
    ctx.res.headers["x-trace"] = before .. ctx.conf.tag
end
return f
"""


def test_filters_run_in_the_order_written(shop):
    app = shop.echo()
    config = basic(app, routes=[{"match": "/*", "to": "app", "filters": ["c"]},
                                {"match": "/less", "to": "app", "without": ["b"]}])
    config["filters"] = {n: {"filter": "trace", "tag": n} for n in "abc"}
    config["sites"][0]["filters"] = ["a", "b"]
    gw = shop.lintel(config, env=with_lua(shop, trace=TRACE))
    for target, there in (("/", "abc"), ("/less", "a")):
        response = gw.get(target)
        got = {n.lower(): v for n, v in json.loads(response.body)["headers"]}
        assert got["x-trace"] == there
        assert response.headers.get("x-trace") == there


def test_a_filter_runs_only_when_its_condition_holds(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND),
                              partner={**KEYS, "when": 'path != "/open" and method == "GET"'}))
    assert gw.get("/open").status == 200
    assert gw.get("/shut").status == 401
    assert gw.get("/shut", method="POST").status == 200


@pytest.mark.parametrize("hook", ["request", "response", "log"])
def test_a_filter_may_sleep_in_every_hook_and_others_go_on(shop, hook):
    lua = """
local f = {}
function f.%s(ctx)
    if ctx.req.path == "/slow" then
        ctx:sleep(0.6)
    end
end
return f
""" % hook
    gw = shop.lintel(filtered(basic(routes=RESPOND), s={"filter": "sleeper"}),
                     env=with_lua(shop, sleeper=lua))
    began = time.monotonic()
    thread = threading.Thread(target=gw.get, args=("/slow",))
    thread.start()
    for _ in range(5):
        assert gw.get("/fast").status == 200
    assert time.monotonic() - began < 0.5, "others had to wait"
    thread.join()
    took = time.monotonic() - began
    assert took < 0.5 if hook == "log" else took >= 0.6
    line = gw.access(path="/slow")[0]
    assert line["status"] == 200


def test_init_runs_once_a_worker_and_its_error_stops_the_load(shop):
    gw = shop.lintel(basic(routes=RESPOND), env=with_lua(shop, broken="""
local f = {}
function f.init(conf)
    error("can't start")
end
function f.request(ctx) end
return f
"""))
    gw.reload(filtered(basic(routes=RESPOND), b={"filter": "broken"}), fails=True)
    assert "can't start" in "\n".join(gw.stderr.lines)
    assert gw.get().status == 200


def test_a_filter_may_answer_itself(shop):
    app = shop.echo()
    gw = shop.lintel(filtered(basic(app), r={"filter": "answers"}),
                     env=with_lua(shop, answers="""
local f = {}
function f.request(ctx)
    if ctx.req.path == "/r" then
        return ctx:redirect("/there", 303)
    end
    return ctx:respond{ status = 203, headers = { ["X-A"] = "1" }, body = "made here" }
end
return f
"""))
    made = gw.get()
    assert (made.status, made.body, made.headers.get("x-a")) == (203, b"made here", "1")
    there = gw.get("/r")
    assert there.status == 303 and there.headers.get("location") == "/there"
    assert app.served == 0


def test_values_that_would_split_a_response_raise(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND), s={"filter": "splits"}),
                     env=with_lua(shop, splits=r"""
local f = {}
function f.response(ctx)
    ctx.res.headers["X-A"] = "1\r\nSet-Cookie: a=b"
end
return f
"""))
    gw.allowed.add("filter_error")
    response = gw.get()
    assert "set-cookie" not in response.headers and "x-a" not in response.headers


# What goes wrong.

LOOP = "while true do end"
RUNAWAY = {
    "loop": LOOP,
    "pcall": "while true do pcall(function() " + LOOP + " end) end",
    "concat": "local s = '' while true do s = string.rep('a', 100) .. #s end",
    "pattern": "return string.find(string.rep('a', 300), string.rep('a*', 30) .. 'b')",
    "sort": "local t = {} for i = 1, 1000 do t[i] = i end "
            "table.sort(t, function(a, b) " + LOOP + " end)",
    "meta": "local t = setmetatable({}, {__index = function() " + LOOP + " end}) return t.x",
    "recursion": "local function r() return r() end return r()",
    "handler": "while true do xpcall(error, function() " + LOOP + " end) end",
    "close": "local m = {} local v = setmetatable({}, m) m.__close = function() " + LOOP + " end "
             "while true do pcall(table.sort, {1, 2}, function() "
             "local x <close> = v " + LOOP + " end) end",
    "callback": "while true do pcall(string.gsub, 'aa', 'a', function() " + LOOP + " end) end",
    "digest": "local s = string.rep('a', 1e6) while true do lintel.crypto.sha256(s) end",
    "decode": "local s = '[' .. string.rep('[],', 1e5) .. '1]' "
              "while true do lintel.json.decode(s) end",
    "heap": "local t = {} while true do pcall(function() "
            "for i = 1, 1e9 do t[#t + 1] = {} end end) end",
}


def misbehaving(body, hook="request"):
    return f"""
local f = {{}}
function f.{hook}(ctx)
    if ctx.req.path == "/bad" then
        {body}
    end
end
return f
"""


def bad_filter(shop, body, hook="request", config=None, **options):
    gw = shop.lintel(filtered(config or basic(routes=RESPOND), bad={"filter": "bad", **options}),
                     env=with_lua(shop, bad=misbehaving(body, hook)))
    gw.allowed.update(("filter_cpu", "filter_wall", "filter_memory", "filter_error", "quarantined",
                       "worker_stuck"))  # which a sanitizer on a busy machine looks like
    return gw


@pytest.mark.parametrize("name", RUNAWAY)
def test_a_runaway_filter_is_stopped_within_twice_its_budget_and_others_go_on(shop, name):
    budget = 0.2
    gw = bad_filter(shop, RUNAWAY[name], on_error="closed", budget={"cpu": "200ms"})
    answers = []

    def ask():
        began = time.monotonic()
        answers.append((gw.get("/bad"), time.monotonic() - began))
    thread = threading.Thread(target=ask)
    thread.start()
    with gw.client() as client:
        for _ in range(20):
            assert client.request().status == 200
    thread.join()
    response, took = answers[0]
    assert response.status == 503
    assert json.loads(response.body)["cause"] in ("filter_cpu", "filter_memory", "filter_error")
    assert took < budget * 2 * slowness()
    line = gw.access(path="/bad")[0]
    assert line["denied_by"] == "bad"
    assert gw.get("/fine").status == 200


def test_the_watchdog_rests_while_no_filter_runs(shop):
    gw = shop.lintel(filtered(basic(routes=RESPOND), h={"filter": "headers"}))
    assert gw.get().status == 200

    def wakes():
        """Voluntary switches of the watchdog's thread."""
        for task in Path(f"/proc/{gw.gateway_pid()}/task").iterdir():
            if (task / "comm").read_text().strip() == "lintel-watch":
                return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)",
                                     (task / "status").read_text(), re.M)[1])
        raise AssertionError("there is no watchdog")

    def in_half_a_second():
        before = wakes()
        time.sleep(0.5)
        return wakes() - before
    wait_until(lambda: in_half_a_second() <= 5, "the watchdog to rest")


def test_a_runaway_filter_that_may_fail_is_passed_over(shop):
    gw = bad_filter(shop, LOOP, on_error="open", budget={"cpu": "50ms"})
    assert gw.get("/bad").body == b"ok"


@pytest.mark.parametrize("hook", ["response", "log"])
def test_a_runaway_in_a_later_hook_is_stopped_too(shop, hook):
    gw = bad_filter(shop, LOOP, hook, on_error="closed", budget={"cpu": "50ms"})
    status = gw.get("/bad").status
    assert status == (200 if hook == "log" else 503)
    assert gw.get("/fine").status == 200
    wait_until(lambda: kills(gw) >= 1, "the kill to be counted")


def kills(gateway):
    return Metrics(gateway.admin("/metrics").body.decode()).sum("lintel_filter_kills_total")


@pytest.mark.parametrize("name,body", [
    ("table", "local t = {} for i = 1, 1e9 do t[i] = {i} end"),
    ("string", "local s = 'a' while true do s = s .. s end"),
    ("rep", "return string.rep('a', 1 << 30)"),
    ("caught", "local t = {} while true do pcall(function() t[#t + 1] = string.rep('a', 100000) end) "
               "end"),
])
def test_a_filter_that_allocates_without_end_is_stopped_at_its_cap(shop, name, body):
    gw = bad_filter(shop, body, on_error="closed", budget={"cpu": "2s", "memory": "4M"})
    gw.get("/fine")
    before = gw.memory()
    response = gw.get("/bad")
    assert response.status == 503, name
    assert json.loads(response.body)["cause"] in ("filter_memory", "filter_error")
    assert gw.memory() - before < (16 << 20) * slowness()
    assert gw.get("/fine").status == 200


def test_a_filter_that_waits_too_long_is_given_up(shop):
    gw = bad_filter(shop, "ctx:sleep(30)", on_error="closed", budget={"wall": "300ms"})
    began = time.monotonic()
    response = gw.get("/bad")
    assert response.status == 503
    assert json.loads(response.body)["cause"] == "filter_wall"
    assert time.monotonic() - began < 0.3 * 2 * slowness()


@pytest.mark.parametrize("policy", ["closed", "open"])
def test_a_filter_that_is_stopped_too_often_is_switched_off_for_a_while(shop, policy):
    config = filtered(basic(workers=2, routes=[
        *RESPOND, {"match": "/without", "without": ["bad"], "respond": {"body": "ok"}}]),
        bad={"filter": "bad", "on_error": policy, "budget": {"cpu": "5ms"}})
    gw = shop.lintel(config, env=with_lua(shop, bad=misbehaving(LOOP)))
    gw.allowed.update(("filter_cpu", "quarantined"))
    for _ in range(12):  # six within a minute, and the minute may turn in between
        gw.get("/bad")
        if gw.events("quarantined"):
            break
    told = gw.wait_event("quarantined")
    assert told["filter"] == "bad" and told["policy"] == policy
    stops = kills(gw)
    assert 6 <= stops <= 11
    # On all workers its policy holds now, for requests as well that it would have let pass.
    for target in ("/bad", "/fine") * 4:
        response = gw.get(target)
        if policy == "open":
            assert response.body == b"ok"
        else:
            problem(response, 503, "filter_quarantined")
            assert gw.access(path=target, cause="filter_quarantined")[0]["denied_by"] == "bad"
    assert gw.get("/without").body == b"ok"
    metrics = Metrics(gw.admin("/metrics").body.decode())
    assert metrics.sum("lintel_filter_quarantines_total") == 1
    assert metrics.sum("lintel_filter_kills_total") == stops
    # A new configuration may hold the cure.
    with_lua(shop, bad=misbehaving("ctx.vars.x = 1"))
    gw.reload(config)
    assert gw.get("/bad").body == b"ok"


@pytest.mark.parametrize("body", [
    "while true do pcall(function() ctx.req.headers['x-a'] = string.rep('b', 1000) end) end",
    "for i = 1, 1e9 do pcall(function() ctx.user = {['a' .. i] = 'x'} end) end"])
@pytest.mark.parametrize("hook", ["request", "response"])
def test_a_filter_that_fills_an_exchange_leaves_room_for_its_answer(shop, body, hook):
    if hook == "response":
        body = body.replace("ctx.req", "ctx.res")
    gw = bad_filter(shop, body, hook, on_error="closed", budget={"cpu": "200ms"})
    problem(gw.get("/bad"), 503, "filter_cpu")


def test_a_filter_that_fills_an_exchange_and_may_fail_is_passed_over(shop):
    app = shop.echo()
    config = filtered(basic(app), bad={"filter": "bad", "on_error": "open"})
    gw = shop.lintel(config, env=with_lua(shop, bad=misbehaving(
        "for i = 1, 1e9 do ctx.req.headers['x-a'] = string.rep('b', 100) end")))
    gw.allowed.update(("filter_error", "filter_cpu"))
    assert gw.get("/bad").status == 200


def test_calls_that_wait_in_great_number_do_not_switch_their_filter_off(shop):
    """There was no memory for one more of them, again and again, and then for nobody."""
    gw = bad_filter(shop, "ctx:sleep(1)", on_error="closed", budget={"memory": "512K", "wall": "9s"},
                    config=basic(routes=RESPOND, workers=1))
    waiting = [gw.client() for _ in range(150)]
    for client in waiting:
        client.send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answers = [client.response() for client in waiting]
    refused = [a for a in answers if a.status != 200]
    assert 20 < len(refused) < 130
    for answer in refused:
        problem(answer, 503, "filter_memory")
    assert gw.get("/bad").status == 200
    assert not gw.events("quarantined")


def test_an_error_in_a_filter_is_logged_with_file_and_line_and_told_to_nobody(shop):
    gw = bad_filter(shop, "error('the inside story')", on_error="closed")
    response = gw.get("/bad")
    assert response.status == 503 and b"inside story" not in response.body
    assert json.loads(response.body)["cause"] == "filter_error"
    told = gw.wait_event("filter_error")["error"]
    assert "the inside story" in told and "bad.lua:5" in told


def test_an_error_is_logged_with_its_source_line_and_its_traceback(shop):
    """Also one in a module that the filter requires, and a stop."""
    env = with_lua(shop, bad="local rules = require 'deep.rules'\n" + misbehaving(
        "local plan = rules.judge({}) return plan"))
    deep = shop.folder / "scripts" / "deep"
    deep.mkdir()
    (deep / "rules.lua").write_text(
        "local M = {}\n\nfunction M.judge(user)\n  return user.plan.name\nend\n\nreturn M\n")
    gw = shop.lintel(filtered(basic(routes=RESPOND), bad={"filter": "bad", "on_error": "closed"}),
                     env=env)
    gw.allowed.add("filter_error")
    problem(gw.get("/bad"), 503, "filter_error")
    told = gw.wait_event("filter_error")
    assert told["error"].startswith("deep.rules.lua:4: attempt to index a nil value (field 'plan')")
    assert told["at"] == f"{deep}/rules.lua:4"
    assert told["source"] == "return user.plan.name"
    lines = told["traceback"].split("\n")
    assert lines[0].startswith("deep.rules.lua:4 in ") and "judge" in lines[0]
    assert lines[1].startswith("bad.lua:6 in ")


def test_a_stop_is_logged_with_its_source_line(shop):
    gw = bad_filter(shop, "while true do end", on_error="closed")
    problem(gw.get("/bad"), 503, "filter_cpu")
    told = gw.wait_event("filter_cpu")
    assert told["at"].endswith("/bad.lua:5") and "while true do" in told["source"]
    assert told["traceback"].startswith("bad.lua:5 in ")


@pytest.mark.parametrize("body,told", [
    ("ctx:deny(403, 'no')", "bad.lua:3: `request` made an answer and did not return it"),
    ("return 1", "bad.lua:3: `request` returned a number: a hook returns nothing, or what ctx:deny"),
    ("ctx:sleep(5)", "bad.lua:5"),
    ("return ctx:respond{stauts = 204}", "bad.lua:5: respond: `stauts` is not known here: did you mean `status`?"),
    ("return ctx.conf.kyes", "bad.lua:5: conf has no 'kyes'"),
    ("ctx.req.headers.host = 'other'", "bad.lua:5: the header 'host' is Lintel's own")])
def test_a_mistake_is_logged_with_file_and_line(shop, body, told):
    gw = bad_filter(shop, body, on_error="closed", budget={"wall": "100ms"})
    cause = "filter_wall" if "sleep" in body else "filter_error"
    problem(gw.get("/bad"), 503, cause)
    assert gw.wait_event(cause)["error"].startswith(told)


def test_a_client_that_goes_away_while_a_filter_sleeps_does_no_harm(shop):
    gw = bad_filter(shop, "ctx:sleep(0.5)", on_error="closed")
    for _ in range(3):
        client = gw.client()
        client.send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.05)
        client.reset()
    assert gw.access(3, cause="client_gone")
    assert gw.get("/fine").status == 200


@pytest.mark.parametrize("text, word", [
    ("io.open('/etc/passwd')", "'io' is not declared: filters read no files"),
    ("os.execute('id')", "'os' is not declared"), ("os.getenv('PATH')", "'os' is not declared"),
    ("debug.getregistry()", "'debug' is not declared"), ("load('return 1')()", "'load' is not declared"),
    ("dofile('/etc/passwd')", "'dofile' is not declared: `require"),
    ("collectgarbage()", "`budget.memory` bounds"), ("coroutine.create(tostring)", "'coroutine'"),
    ("package.loadlib('x', 'y')", "'package'"), ("string.dump(print)", "'print' is not declared: write lintel.log"),
    ("undeclared_global = 1", "write `local undeclared_global`"),
    ("return undeclared_global.x", "'undeclared_global' is not declared"),
    ("return function() return _G end", "'_G' is not declared"), ("json.encode{}", "write lintel.json"),
    ("return tostrng(1)", "did you mean 'tostring'?"), ("return _ENV.io", "'io' is not declared")])
def test_a_filter_that_names_what_the_sandbox_lacks_is_not_loaded(shop, text, word):
    """Wherever in the file that stands."""
    path = shop.folder / "bad.lua"
    path.write_text(f"return {{\n  request = function(ctx)\n    {text}\n  end,\n}}\n")
    config = filtered(basic(routes=RESPOND), b={"filter": str(path)})
    file = shop.folder / "lintel.json"
    file.write_text(json.dumps(config))
    done = command("check", "-c", file)
    assert done.returncode == 1 and "bad.lua:3: " in done.stderr and word in done.stderr, done.stderr


@pytest.mark.parametrize("text", [
    "require('os')", "string.dump(tostring)", "return _ENV[ctx.req.method .. 'x']", "_ENV[ctx.req.path] = 1",
    "setmetatable({}, {__gc = function() end})"])
def test_the_sandbox_gives_no_way_out(shop, text):
    gw = bad_filter(shop, text, on_error="closed")
    assert gw.get("/bad").status == 503
    assert gw.get("/fine").status == 200


@pytest.mark.parametrize("name,text,word", [
    ("syntax", "return {", "broken.lua:1"),
    ("no_table", "return 1", "table"),
    ("unknown_hook", "return { reqest = function() end }", "reqest"),
    ("bytecode", "\x1bLua", "broken"),
    ("raises", "error('at load')", "at load"),
    ("loops", "while true do end", "broken"),
])
def test_a_filter_that_can_not_be_loaded_is_told_with_its_reason(shop, name, text, word):
    env = with_lua(shop, broken=text)
    gw = shop.lintel(basic(routes=RESPOND), env=env)
    gw.reload(filtered(basic(routes=RESPOND), b={"filter": "broken"}), fails=True)
    assert word in "\n".join(gw.stderr.lines), name
    assert gw.get().status == 200


@pytest.mark.parametrize("settings,word", [
    ({"filter": "key_auth"}, "keys"),
    ({"filter": "key_auth", "keys": {"a": sha256("a")}, "kyes": 1}, "keys"),
    ({"filter": "rate_limit", "key": "client.ip", "rate": "often"}, "rate"),
    ({"filter": "rate_limit", "key": "client.pi", "rate": "1/s"}, "client.ip"),
    ({"filter": "key_out"}, "key_out"),
])
def test_settings_of_a_filter_are_checked_with_its_schema(shop, settings, word):
    gw = shop.lintel(basic(routes=RESPOND))
    gw.reload(filtered(basic(routes=RESPOND), f=settings), fails=True)
    assert word in "\n".join(gw.stderr.lines)
    assert gw.get().status == 200
