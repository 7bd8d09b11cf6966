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
  t.raises(function() t.run("rate_limit", {}) end, '"rate" is missing')
end)
