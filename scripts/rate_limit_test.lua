-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function ask(conf, ip, user)
  conf.rate = conf.rate or "2/10s"
  return t.run("rate_limit", { conf = conf, request = { client_ip = ip }, user = user })
end

t.case("the first request over the limit is refused", function()
  for i = 1, 2 do
    local r = ask {}
    t.eq(r.status, 200)
    t.eq(r.headers["ratelimit"], ('"default";r=%d;t=%d'):format(2 - i, 5 * i))
    t.eq(r.headers["ratelimit-policy"], '"default";q=2;w=10')
    t.eq(r.headers["retry-after"], nil)
  end
  local r = ask {}
  t.eq(r.status, 429)
  t.eq(r.reason, "rate_limited")
  t.eq(r.upstream_called, false)
  t.eq(r.headers["retry-after"], "5")
  t.eq(r.headers["ratelimit"], '"default";r=0;t=10')
  t.eq(r.headers["ratelimit-policy"], '"default";q=2;w=10')
end)

t.case("burst is let in besides", function()
  for _ = 1, 5 do t.eq(ask({ burst = 3 }).status, 200) end
  t.eq(ask({ burst = 3 }).status, 429)
end)

t.case("time gives requests back, one by one", function()
  ask {} ask {}
  t.advance(4.9)
  local r = ask {}
  t.eq(r.status, 429)
  t.eq(r.headers["retry-after"], "1")
  t.advance(0.1)
  t.eq(ask({}).status, 200)
  t.eq(ask({}).status, 429)
  t.advance(10)
  t.eq(ask({}).status, 200)
  t.eq(ask({}).status, 200)
end)

t.case("addresses and users are counted apart", function()
  ask({}, "192.0.2.1") ask({}, "192.0.2.1")
  t.eq(ask({}, "192.0.2.1").status, 429)
  t.eq(ask({}, "192.0.2.2").status, 200)
  t.eq(ask({}, "192.0.2.1", { id = "alice" }).status, 200)
  t.eq(ask({}, "192.0.2.3", { id = "alice" }).status, 200)
  t.eq(ask({}, "192.0.2.4", { id = "alice" }).status, 429)
end)

t.case("any expression can be the key", function()
  local conf = { key = "header.x-tenant", rate = "1/1m" }
  local function tenant(name)
    return t.run("rate_limit", { conf = conf, request = { headers = { ["x-tenant"] = name } } })
  end
  t.eq(tenant("a").status, 200)
  t.eq(tenant("b").status, 200)
  t.eq(tenant("a").status, 429)
end)

t.case("names label the fields and share counts", function()
  local r = ask { name = "free", rate = "1/1m" }
  t.eq(r.headers["ratelimit"], '"free";r=0;t=60')
  t.eq(ask({ name = "free", rate = "1/1m" }).status, 429)
  t.eq(ask({ name = "paid", rate = "1/1m" }).status, 200)
end)

t.case("Retry-After is never 0", function()
  ask { rate = "1000/1s" }
  for _ = 1, 1000 do
    local r = ask { rate = "1000/1s" }
    if r.status == 429 then
      t.eq(r.headers["retry-after"], "1")
      return
    end
  end
  t.ok(false, "was never refused")
end)

t.case("settings are checked", function()
  t.raises(function() ask { rate = "often" } end, "is not a rate")
  t.raises(function() ask { rate = "2000000/1s" } end, "can't be kept")
  t.raises(function() ask { name = 'a"b' } end, "name: letters")
  t.raises(function() ask { burst = -1 } end, "too small")
end)

t.case("of several rates all have to allow a request, and the strictest is told", function()
  local conf = { rate = { "2/1s", "3/1h" } }
  local r = ask(conf)
  t.eq(r.headers["ratelimit-policy"], '"default-1s";q=2;w=1, "default-1h";q=3;w=3600')
  t.eq(r.headers["ratelimit"], '"default-1s";r=1;t=1')
  r = ask(conf)
  t.eq(r.status, 200)
  r = ask(conf)
  t.eq(r.status, 429)
  t.eq(r.headers["retry-after"], "1")
  t.eq(r.headers["ratelimit"], '"default-1s";r=0;t=1')
  t.advance(1)
  r = ask(conf)
  t.eq(r.status, 200)
  t.eq(r.headers["ratelimit"], '"default-1h";r=0;t=3599')
  r = ask(conf)
  t.eq(r.status, 429)
  t.eq(r.headers["retry-after"], "1199")
end)

t.case("what one rate refuses costs nothing of the others", function()
  local conf = { rate = { "100/1h", "1/1s" } }
  ask(conf)
  for _ = 1, 50 do t.eq(ask(conf).status, 429) end
  t.advance(1)
  local r = ask(conf)
  t.eq(r.status, 200)
  t.eq(r.headers["ratelimit"], '"default-1s";r=0;t=1')
end)

t.case("a request can count as several, as one or as none", function()
  local function send(cost)
    return t.run("rate_limit", { conf = { rate = "10/10s", cost = "header.x-cost" },
                                 request = { headers = { ["x-cost"] = cost } } })
  end
  t.eq(send("7").headers["ratelimit"], '"default";r=3;t=7')
  local r = send("5")
  t.eq(r.status, 429)
  t.eq(r.headers["retry-after"], "2")
  t.eq(send("0").headers["ratelimit"], '"default";r=3;t=7')
  t.eq(send("-3").headers["ratelimit"], '"default";r=3;t=7')
  t.eq(send(nil).headers["ratelimit"], '"default";r=2;t=8')
  t.eq(send("nan").headers["ratelimit"], '"default";r=1;t=9')
  t.eq(send("1.9").headers["ratelimit"], '"default";r=0;t=10')
  t.advance(10)
  t.eq(send("1e300").headers["ratelimit"], '"default";r=0;t=10')
end)

t.case("addresses of one IPv6 network share a limit", function()
  local conf = { rate = "1/1m" }
  t.eq(ask(conf, "2001:db8:1:2::1").status, 200)
  t.eq(ask(conf, "2001:db8:1:2:ffff::7").status, 429)
  t.eq(ask(conf, "2001:db8:1:3::1").status, 200)
  conf = { rate = "1/1m", name = "alone", ipv6_prefix = 128 }
  t.eq(ask(conf, "2001:db8:1:2::1").status, 200)
  t.eq(ask(conf, "2001:db8:1:2::2").status, 200)
  t.eq(ask(conf, "2001:db8:1:2::2").status, 429)
end)

t.case("a dry run refuses nothing, tells clients nothing and logs", function()
  local conf = { rate = "1/1m", dry_run = true }
  local r = ask(conf)
  t.eq(r.status, 200)
  t.eq(r.headers["ratelimit"], nil)
  t.eq(#r.log, 0)
  r = ask(conf)
  t.eq(r.status, 200)
  t.eq(r.upstream_called, true)
end)

t.case("requests in flight are counted until they end", function()
  local conf = { in_flight = 1 }
  for _ = 1, 3 do
    local r = t.run("rate_limit", { conf = conf })
    t.eq(r.status, 200)
    t.eq(r.headers["ratelimit"], nil)
  end
end)

local URL = "redis://127.0.0.1:6379"

-- A Redis that gives these replies, one after the other, to the script.
local function redis_says(...)
  local replies, n = { ... }, 0
  t.redis(function(command, script, ...)
    if command ~= "EVAL" then
      return "OK"
    end
    n = math.min(n + 1, #replies)
    if type(replies[n]) == "string" then
      return nil, replies[n]
    end
    return replies[n]
  end)
end

t.case("with redis it is Redis that counts", function()
  redis_says({ 1, 1, 99, 0, 600000 }, { 0, 2, 0, 1500000, 60000000 })
  local conf = { rate = { "100/1m", "1000/1h" }, redis = URL, name = "fleet", cost = "header.x-n" }
  local r = t.run("rate_limit", { conf = conf, request = { client_ip = "2001:db8::7",
                                                           headers = { ["x-n"] = "3" } } })
  t.eq(r.status, 200)
  t.eq(r.headers["ratelimit"], '"fleet-1m";r=99;t=1')
  t.eq(r.headers["ratelimit-policy"], '"fleet-1m";q=100;w=60, "fleet-1h";q=1000;w=3600')
  local sent = r.redis[1]
  t.eq(sent[1], "EVAL")
  t.eq({ table.unpack(sent, 3) }, {
    "2", "lintel:{fleet:2001:db8::/64}:gcra:60000:1", "lintel:{fleet:2001:db8::/64}:gcra:3600000:2",
    "gcra", "3", "100", "60000000", "0", "1000", "3600000000", "0" })
  r = t.run("rate_limit", { conf = conf })
  t.eq(r.status, 429)
  t.eq(r.headers["retry-after"], "2")
  t.eq(r.headers["ratelimit"], '"fleet-1h";r=0;t=60')
end)

t.case("while Redis does not answer each Lintel counts alone", function()
  redis_says({ 1, 1, 0, 0, 1 }, "timeout")
  local spec = { conf = { rate = "2/1m", redis = URL, name = "fleet" } }
  t.eq(t.run("rate_limit", spec).headers["ratelimit"], '"fleet";r=0;t=1')
  local r = t.run("rate_limit", spec)
  t.eq(r.status, 200)
  t.eq(r.headers["ratelimit"], '"fleet";r=1;t=30')
  t.eq(r.log[1].message, "limits are counted by this Lintel alone")
  r = t.run("rate_limit", spec)
  t.eq(r.headers["ratelimit"], '"fleet";r=0;t=60')
  t.eq(t.run("rate_limit", spec).status, 429)
end)

t.case("what is no answer of the script counts as none", function()
  redis_says("malformed")
  local spec = { conf = { rate = "2/1m", redis = URL } }
  t.eq(t.run("rate_limit", spec).headers["ratelimit"], '"default";r=1;t=30')
  t.redis(function() return "what?" end)
  t.eq(t.run("rate_limit", spec).headers["ratelimit"], '"default";r=0;t=60')
end)

t.case("settings have to fit together", function()
  t.raises(function() t.run("rate_limit", {}) end, "say a rate, in_flight, or both")
  t.raises(function() ask { algorithm = "window" } end, "say which by redis")
  t.raises(function() t.run("rate_limit", { conf = { in_flight = 1, redis = URL } }) end, "say a rate")
  t.raises(function() ask { redis = "gopher://x" } end, "redis")
  t.raises(function() ask { in_flight = 1001 } end, "too large")
  t.raises(function() ask { ipv6_prefix = 129 } end, "too large")
  t.raises(function() ask { name = ("x"):rep(101) } end, "name")
end)
