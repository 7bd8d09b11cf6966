# SPDX-License-Identifier: Apache-2.0
"""lintel.redis against real servers of Redis."""
import json
import re
import threading
import time

import pytest

from lib.configs import basic
from lib.gateway import TREE, command
from lib.prometheus import Metrics
from lib.redis import RedisServer, free_port
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


# What is written.

# A filter that does one thing, and the tests of it.
CODE = """
local M = {schema = {url = {type = "string", default = "redis://localhost", doc = "x"}}, on_error = "closed"}
function M.init(conf) return {redis = lintel.redis.new(conf.url)} end
function M.request(ctx)
  local x = ctx.state.redis
  return ctx:respond{json = CALL}
end
return M
"""
RUN = """
local t = require "lintel.test"
local function run(url) return t.run("./ask.lua", {conf = {url = url}}) end
t.case("it", function() TEST end)
"""


def tried(folder, code, test):
    (folder / "ask.lua").write_text(CODE.replace("CALL", code))
    (folder / "ask_test.lua").write_text(RUN.replace("TEST", test))
    done = command("test", folder)
    assert "1 passed, 0 failed" in done.stdout, done.stdout


@pytest.mark.parametrize("code, why", [
    ("x:call()", "a command is its name"),
    ("x:call('GET', nil)", "argument is nil"),
    ("x:call('GET', {})", "argument is a table"),
    ("x:call('GET', true)", "argument is a boolean"),
    ("x:call{'GET', 'k'}", "or pipeline"),
    ("x.call('GET')", "is a colon missing"),
    ("x:pipeline{}", "1 to 500 commands"),
    ("x:pipeline{'GET'}", "is a list, as in"),
    ("x:pipeline{{}}", "a command is its name"),
    ("x:pipeline{{'GET', 'k'}, {'MULTI'}}", "client:eval"),
    ("x:eval('return 1', 'k')", "table expected"),
    ("x:eval()", "string expected"),
    ("(function(y) return x:call('MSET', y, y, y, y) end)(('x'):rep(300000))", "more than 1 MB"),
])
def test_what_is_written_wrongly_raises(tmp_path, code, why):
    tried(tmp_path, code, f't.redis(function() return 1 end) t.match(run().error, "{why}")')


@pytest.mark.parametrize("answer, why", [
    ("{GET = 1.5}", "a reply is a string"),
    ("function() return nil, 'why' end", "no reason"),
    ("{SET = 1}", "sent GET to Redis"),
    ("function() error('mine') end", "mine"),
])
def test_an_answer_that_is_none_fails_its_case(tmp_path, answer, why):
    tried(tmp_path, "x:call('get', 'k')", f't.redis({answer}) t.raises(run, "{why}")')


def test_a_url_that_is_wrong_says_what_to_write(tmp_path):
    for url, why in {"http://a": "write a URL, as in", "redis://a@b": "user and password"}.items():
        tried(tmp_path, "1", f't.raises(function() run("{url}") end, "{why}")')


def test_a_test_plays_redis(tmp_path):
    mock = """t.redis{GET = {1, "a", false, {err = "ERR b"}, {2}},
                      SET = function() return {err = "ERR c"} end,
                      INCR = function() return nil, "timeout", "slow" end,
                      EVAL = function(script, n, key, arg) return {script, n, key, arg} end}
              local r = run() """
    tried(tmp_path, "x:call('GET', 'k')", mock + """
        t.eq(r.body, '[1,"a",false,{"err":"ERR b"},[2]]')""")
    tried(tmp_path, "x:pipeline{{'set', 1, 2.5}, {'GET', 'k'}}", mock + """
        t.eq(r.body, '[{"err":"ERR c"},[1,"a",false,{"err":"ERR b"},[2]]]')
        t.eq(r.redis, {{"set", "1", "2.5"}, {"GET", "k"}})""")
    tried(tmp_path, "x:eval('return 1', {'k'}, {7})", mock + """
        t.eq(r.body, '["return 1","1","k","7"]')""")
    tried(tmp_path, "(function(...) return {select(2, ...)} end)(x:call('INCR', 'k'))", mock + """
        t.eq(r.body, '["timeout","slow"]')""")
    tried(tmp_path, "(function(...) return {select(2, ...)} end)(x:call('SET', 'k'))", mock + """
        t.eq(r.body, '["redis_error","ERR c"]')""")


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


def test_a_login_a_database_and_a_socket_are_in_the_url(shop, redis):
    server = redis("--requirepass", "p@ss/w:rd")
    sock = server.folder / "s.sock"
    server.stop()
    server.args += ["--unixsocket", str(sock)]
    server.start()
    good = f"redis://:p%40ss%2Fw%3Ard@{server.address}/4"
    gw = shop.lintel(asking(shop, good))
    assert call(gw, "SET", "k", "four") == "OK"
    gw.reload(asking(shop, good.replace("redis://:", "redis://default:").replace("/4", "")))
    assert told(gw, "call", "GET", "k")["null"]
    gw.reload(asking(shop, f"redis://:wrong@{server.address}"))
    got = told(gw, "call", "GET", "k")
    assert got["reason"] == "unreachable" and "the login was refused: WRONGPASS" in got["detail"]
    assert "wrong@" not in got["detail"]
    gw.reload(asking(shop, f"redis://{server.address}"))
    got = told(gw, "call", "GET", "k")
    assert got["reason"] == "unreachable" and "NOAUTH" in got["detail"]
    server.call("CONFIG", "SET", "requirepass", "", password="p@ss/w:rd")
    gw.reload(asking(shop, f"unix://{sock}?db=4"))
    assert call(gw, "GET", "k") == "four"


def test_tls_is_verified(shop, redis, authority):
    cert, key = authority.leaf("localhost")
    ca = str(authority.ca)
    server = redis()
    server.stop()
    server.args += ["--tls-port", str(server.port), "--port", "0", "--tls-cert-file", str(cert),
                    "--tls-key-file", str(key), "--tls-ca-cert-file", ca,
                    "--tls-auth-clients", "no"]
    server.start()
    url = f"rediss://localhost:{server.port}"
    gw = shop.lintel(asking(shop, url, tls={"ca": ca}))
    fill = "return redis.call('SET', KEYS[1], string.rep('x', 100000))"
    assert told(gw, "eval", fill, ["k"])["reply"] == "OK"
    assert call(gw, "GET", "k") == "x" * 100_000
    gw.reload(asking(shop, f"rediss://127.0.0.2:{server.port}", tls={"ca": ca}))
    assert told(gw, "call", "GET", "k")["reason"] == "unreachable"
    other, _ = authority.leaf("other.test")
    gw.reload(asking(shop, url, tls={"ca": str(other)}))
    got = told(gw, "call", "GET", "k")
    assert got["reason"] == "unreachable" and "certificate" in got["detail"], got
    gw.reload(asking(shop, f"redis://localhost:{server.port}"))
    assert told(gw, "call", "GET", "k")["reason"] == "unreachable"


# Sharing.

def test_calls_of_many_requests_share_a_connection(shop, redis):
    server = redis()
    gw = shop.lintel(asking(shop, f"redis://{server.address}"))
    sums = []

    def ask():
        for _ in range(10):
            sums.append(call(gw, "INCR", "n"))
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(sums) == list(range(1, 81))
    metrics = Metrics(gw.admin("/metrics").body.decode())
    assert metrics.sum("lintel_filter_redis_connects_total") == 1
    assert metrics.sum("lintel_filter_redis_calls_total") == 80


LEAVES = ASK.replace("function M.request(ctx)", """function M.request(ctx)
  if ctx.req.path == "/slow" then ctx.state.redis:call("DEBUG", "SLEEP", "0.5") return end""")


def test_a_client_that_leaves_does_not_shift_the_replies(shop, redis):
    server = redis("--enable-debug-command", "yes")
    gw = shop.lintel(asking(shop, f"redis://{server.address}", lua=LEAVES))
    assert call(gw, "SET", "k", "mine") == "OK"
    client = gw.client()
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.2)
    client.close()
    for _ in range(3):
        assert call(gw, "GET", "k") == "mine"
    assert Metrics(gw.admin("/metrics").body.decode()).sum("lintel_filter_redis_connects_total") == 1


# Without Redis.

def ask_until(gw, reason, *words):
    """Asks until that is the reason (None: a reply)."""
    wait_until(lambda: told(gw, "call", *words).get("reason") == reason, f"reason {reason}")


def test_a_redis_that_is_killed_fails_at_once_and_is_found_again(shop, redis):
    server = redis()
    gw = shop.lintel(asking(shop, f"redis://{server.address}"))
    assert call(gw, "SET", "k", 1) == "OK"
    server.stop()
    ask_until(gw, "unreachable", "GET", "k")
    began = time.monotonic()
    for _ in range(20):
        got = told(gw, "call", "GET", "k")
        assert got["reason"] == "unreachable" and "refused" in got["detail"]
    assert time.monotonic() - began < 4  # not 20 times connect_timeout
    server.start()
    began = time.monotonic()
    ask_until(gw, None, "GET", "k")
    assert time.monotonic() - began < 5


def test_a_redis_that_hangs_costs_one_timeout(shop, redis):
    server = redis()
    gw = shop.lintel(asking(shop, f"redis://{server.address}", timeout="300ms", connect="300ms"))
    ask_until(gw, None, "SET", "k", "mine")
    server.freeze()
    assert told(gw, "call", "SET", "k", "late")["reason"] == "timeout"
    assert told(gw, "call", "GET", "k")["reason"] == "unreachable"  # its greeting had no answer
    began = time.monotonic()
    for _ in range(10):
        assert told(gw, "call", "GET", "k")["reason"] == "unreachable"
    assert time.monotonic() - began < 2.5
    server.thaw()
    ask_until(gw, None, "PING")
    assert call(gw, "GET", "k") == "late"  # it was run, and its reply was for nobody


# Sentinel.

@pytest.fixture
def watched(redis):
    """A master, a replica, and a sentinel that watches them."""
    master = redis()
    replica = redis("--replicaof", "127.0.0.1", str(master.port))
    sentinel = redis(sentinel=True, lines=f"""
sentinel monitor mine 127.0.0.1 {master.port} 1
sentinel down-after-milliseconds mine 1000
sentinel failover-timeout mine 4000
""")
    wait_until(lambda: master.says("connected_slaves:1", "INFO", "replication"), "a replica")
    wait_until(lambda: sentinel.says("slaves=1", "INFO", "sentinel"), "the sentinel knows it")
    return master, replica, sentinel


def test_the_master_that_a_sentinel_names_and_its_successor(shop, redis, watched):
    master, replica, sentinel = watched
    nobody = redis()
    nobody.stop()
    gw = shop.lintel(asking(shop, f"redis+sentinel://{nobody.address},{sentinel.address}/mine"))
    assert call(gw, "SET", "k", "v") == "OK"
    assert master.call("GET", "k") == "v"
    wait_until(lambda: replica.call("GET", "k") == "v", "the replica has it")
    master.stop()
    ask_until(gw, None, "SET", "k", "new")
    assert replica.call("GET", "k") == "new"
    gw.reload(asking(shop, f"redis+sentinel://{sentinel.address}/other"))
    got = told(gw, "call", "GET", "k")
    assert got["reason"] == "unreachable" and "no master of this name" in got["detail"]


def test_a_master_that_becomes_a_replica_is_left(shop, watched):
    master, replica, sentinel = watched
    gw = shop.lintel(asking(shop, f"redis+sentinel://{sentinel.address}/mine"))
    assert call(gw, "SET", "k", 1) == "OK"
    sentinel.call("SENTINEL", "FAILOVER", "mine")
    wait_until(lambda: replica.says("role:master", "INFO", "replication"), "the failover")
    wait_until(lambda: master.says("role:slave", "INFO", "replication"), "the master's end")
    ask_until(gw, None, "SET", "k", 2)
    assert replica.call("GET", "k") == "2"


# Cluster.

@pytest.fixture
def cluster(redis):
    """Three masters with a third of the slots each."""
    nodes = []
    for _ in range(3):
        server = redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                       "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
        nodes.append(server)
    bounds = [0, 5461, 10923, 16384]
    for node, first, end in zip(nodes, bounds, bounds[1:]):
        node.call("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        bus = node.args[node.args.index("--cluster-port") + 1]
        nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, bus)

    def joined(node):
        return "cluster_state:ok" in node.call("CLUSTER", "INFO") \
            and "cluster_known_nodes:3" in node.call("CLUSTER", "INFO") \
            and len(node.call("CLUSTER", "SLOTS")) == 3
    for node in nodes:
        wait_until(lambda n=node: joined(n), "the cluster")
    return nodes


def test_commands_go_to_who_has_their_slot(shop, cluster):
    gw = shop.lintel(asking(shop, f"redis+cluster://{cluster[1].address}"))
    for i in range(30):
        assert call(gw, "SET", f"k{i}", i) == "OK"
    assert sum(node.call("DBSIZE") for node in cluster) == 30
    assert all(node.call("DBSIZE") > 0 for node in cluster)
    got = told(gw, "pipeline", [["GET", f"k{i}"] for i in range(30)])
    assert got["reply"] == [str(i) for i in range(30)]
    got = told(gw, "pipeline", [["INCR", "{a}n"], ["EXPIRE", "{a}n", 100], ["INCR", "{a}n"],
                                ["GET", "b"], ["PING"]])
    assert got["reply"] == [1, 1, 2, False, "PONG"]
    assert told(gw, "eval", "return redis.call('INCR', KEYS[1])", ["{a}n"])["reply"] == 3
    got = told(gw, "call", "MGET", "k1", "k2")
    assert got["reason"] == "redis_error" and got["detail"].startswith("CROSSSLOT")


def owner(cluster, key):
    slot = cluster[0].call("CLUSTER", "KEYSLOT", key)
    for first, last, (_, port, *_), *_ in cluster[0].call("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return slot, next(n for n in cluster if n.port == port)
    raise AssertionError(slot)


def test_a_slot_that_moves_is_followed(shop, cluster):
    gw = shop.lintel(asking(shop, f"redis+cluster://{cluster[0].address},{cluster[1].address}"))
    assert call(gw, "SET", "{m}a", "1") == "OK"
    slot, source = owner(cluster, "{m}a")
    target = next(n for n in cluster if n is not source)
    ids = {n: n.call("CLUSTER", "MYID") for n in cluster}
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    assert call(gw, "SET", "{m}b", "2") == "OK"  # ASK: the new key is where the slot goes to
    assert call(gw, "GET", "{m}a") == "1"
    source.call("MIGRATE", "127.0.0.1", target.port, "{m}a", 0, 5000)
    assert call(gw, "GET", "{m}a") == "1"
    for node in (target, source):
        node.call("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
    got = told(gw, "pipeline", [["GET", "{m}a"], ["APPEND", "{m}b", "3"], ["GET", "{m}b"]])
    assert got["reply"] == ["1", 2, "23"]


def test_a_server_of_a_cluster_that_is_lost_and_back(shop, cluster):
    gw = shop.lintel(asking(shop, f"redis+cluster://{cluster[0].address},{cluster[1].address}"))
    _, lost = owner(cluster, "x")
    key = next(f"k{i}" for i in range(100) if owner(cluster, f"k{i}")[1] is not lost)
    assert call(gw, "SET", "x", 1) == call(gw, "SET", key, 1) == "OK"
    lost.stop()
    wait_until(lambda: told(gw, "call", "GET", "x").get("reason") in ("unreachable", "redis_error"),
               "its slots are away")
    assert call(gw, "GET", key) == "1"
    lost.start()
    ask_until(gw, None, "GET", "x")


def test_a_server_without_a_cluster_says_so(shop, redis):
    gw = shop.lintel(asking(shop, f"redis+cluster://{redis().address}"))
    got = told(gw, "call", "GET", "k")
    assert got["reason"] == "unreachable" and "cluster support disabled" in got["detail"]


def test_the_guide_has_every_reason():
    reasons = re.findall(r'^X\(\w+, "(\w+)", "([^"]+)"\)',
                         (TREE / "proxy" / "upstream" / "redis.def").read_text(), re.M)
    guide = (TREE / "docs" / "filters" / "redis.md").read_text()
    assert len(reasons) == 7
    for name, text in reasons:
        assert f"| `{name}` | {text} |" in guide, name
