-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function ask(ip, now, more)
  local conf = { rate = "2/10s", name = "t" }
  for k, v in pairs(more or {}) do conf[k] = v end
  return t.run("rate_limit", {
    conf = conf,
    now = now,
    request = { method = "GET", path = "/", client_ip = ip },
  })
end

t.case("the first request over the limit is refused and told when to come again", function()
  local first = ask("192.0.2.1", 1000)
  t.eq(first.upstream_called, true)
  t.eq(first.headers["ratelimit-policy"], '"t";q=2;w=10')
  t.match(first.headers["ratelimit"], '^"t";r=1;t=%d+$')
  t.eq(ask("192.0.2.1", 1000).upstream_called, true)
  local third = ask("192.0.2.1", 1000)
  t.eq(third.status, 429)
  t.eq(third.reason, "rate_limited")
  t.eq(third.upstream_called, false)
  t.eq(third.headers["retry-after"], "5")
  t.match(third.headers["ratelimit"], '^"t";r=0;t=%d+$')
end)

t.case("time gives back what was used", function()
  for _ = 1, 2 do ask("192.0.2.2", 2000) end
  t.eq(ask("192.0.2.2", 2004).status, 429)
  t.eq(ask("192.0.2.2", 2005.1).upstream_called, true)
  t.eq(ask("192.0.2.2", 2005.2).status, 429)
end)

t.case("one client's requests don't count for another", function()
  for _ = 1, 3 do ask("192.0.2.3", 3000) end
  t.eq(ask("192.0.2.4", 3000).upstream_called, true)
end)

t.case("burst comes on top of the rate", function()
  for _ = 1, 5 do
    t.eq(ask("192.0.2.5", 4000, { burst = 3, name = "b" }).upstream_called, true)
  end
  t.eq(ask("192.0.2.5", 4000, { burst = 3, name = "b" }).status, 429)
end)

t.case("without the key nothing is limited", function()
  for _ = 1, 5 do
    t.eq(ask("192.0.2.6", 5000, { key = "header.x-tenant" }).upstream_called, true)
  end
end)

t.case("a name that would break the header is refused at load", function()
  t.raises(function() ask("192.0.2.7", 6000, { name = 'a"b' }) end, "name may have")
end)
