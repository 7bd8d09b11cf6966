# SPDX-License-Identifier: Apache-2.0
"""lintel.redis against real servers of Redis."""
import json
import re
import threading
import time

import pytest

from lib.configs import basic
from lib.gateway import TREE
from lib.prometheus import Metrics
from lib.redis import RedisServer
from lib.wait import wait_until

# Does what the client says in X-Ask, a list {method, argument, ...}.
ASK = """
local M = {schema = {redis = {type = "secret", required = true, doc = "URL"},
                     timeout = {type = "string", default = "5s", doc = "time"},
                     connect = {type = "string", default = "5s", doc = "time"}}}
function M.init(conf)
  return {redis = lintel.redis.new(conf.redis, {timeout = conf.timeout, connect_timeout = conf.connect})}
end
function M.request(ctx)
  local wanted = lintel.json.decode(ctx.req.headers["x-ask"] or "null")
  if not wanted then return end
  local redis, method = ctx.state.redis, wanted[1]
  local fine, reply, reason, detail = pcall(redis[method], redis, table.unpack(wanted, 2))
  return ctx:respond{json = {fine = fine, reply = reply, reason = reason, detail = detail,
                             null = reply == nil}}
end
return M
"""


def asking(shop, url, *, lua=ASK, tls=None, **conf):
    folder = shop.folder / "scripts"
    folder.mkdir(exist_ok=True)
    (folder / "ask.lua").write_text(lua)
    config = basic(routes=[{"match": "/*", "respond": {"body": "ok"}}], workers=1)
    config["filters"] = {"ask": {"filter": str(folder / "ask.lua"), "redis": url,
                                 "budget": {"wall": "15s", "cpu": "5s"},
                                 **({"tls": tls} if tls else {}), **conf}}
    config["sites"][0]["filters"] = ["ask"]
    return config


def told(gw, *wanted):
    response = gw.get(headers={"X-Ask": json.dumps(wanted)})
    assert response.status == 200, response
    return json.loads(response.body)


def call(gw, *words):
    """The reply to one command, which has to succeed."""
    got = told(gw, "call", *words)
    assert got["fine"] and not got.get("reason"), got
    return got.get("reply")


@pytest.fixture
def redis(shop, tmp_path):
    """Starts servers that end with the test."""
    started = []

    def start(*options, **more):
        server = RedisServer(tmp_path, *options, **more)
        started.append(server)
        return server
    yield start
    for server in started:
        server.stop()


# One server.

def test_replies_come_as_what_they_are(shop, redis):
    gw = shop.lintel(asking(shop, f"redis://{redis().address}"))
    assert call(gw, "SET", "k", 5) == "OK"
    assert call(gw, "GET", "k") == "5"
    assert call(gw, "INCR", "k") == 6
    assert told(gw, "call", "GET", "none") == {"fine": True, "null": True}
    assert call(gw, "MGET", "k", "none", "k") == ["6", False, "6"]
    assert call(gw, "DEL", "k", "other") == 1
    got = told(gw, "pipeline", [["SET", "a", "x"], ["INCR", "a"], ["GET", "b"], ["GET", "a"]])
    assert got["reply"] == ["OK", {"err": "ERR value is not an integer or out of range"}, False, "x"]
    got = told(gw, "call", "INCR", "a")
    assert (got["null"], got["reason"]) == (True, "redis_error")
    assert got["detail"].startswith("ERR value")


def test_scripts_run_also_when_redis_does_not_know_them(shop, redis):
    server = redis()
    gw = shop.lintel(asking(shop, f"redis://{server.address}/3"))
    script = "return {KEYS[1], ARGV[1], ARGV[2], false, {1, {2}}, {err = 'MINE is bad'}}"
    wanted = ["k", "a", "1", False, [1, [2]], {"err": "MINE is bad"}]
    for _ in range(2):
        assert told(gw, "eval", script, ["k"], ["a", 1])["reply"] == wanted
    server.call("SCRIPT", "FLUSH")
    assert told(gw, "eval", script, ["k"], ["a", 1])["reply"] == wanted
    assert told(gw, "eval", "return redis.call('SET', 'k', 1)")["reply"] == "OK"
    server.call("GET", "k")
    assert call(gw, "GET", "k") == "1"
    assert told(gw, "eval", "this is no Lua")["reason"] == "redis_error"


def test_commands_that_change_or_hold_the_connection_raise(shop):
    gw = shop.lintel(asking(shop, "redis://127.0.0.1:1"))
    for words in (["SUBSCRIBE", "a"], ["blpop", "a", 0], ["MULTI"], ["Select", 1],
                  ["CLIENT", "REPLY", "OFF"], ["XREAD", "COUNT", 1, "block", 0, "STREAMS", "a", 0]):
        got = told(gw, "call", *words)
        assert not got["fine"] and "is not for filters" in got["reply"], got
    assert told(gw, "call", "XREAD", "STREAMS", "block", 0)["reason"] == "unreachable"


def test_the_guide_has_every_reason():
    reasons = re.findall(r'^X\(\w+, "(\w+)", "([^"]+)"\)',
                         (TREE / "proxy" / "upstream" / "redis.def").read_text(), re.M)
    guide = (TREE / "docs" / "filters" / "redis.md").read_text()
    assert len(reasons) == 7
    for name, text in reasons:
        assert f"| `{name}` | {text} |" in guide, name
