-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local conf = { per_day = 2, partners = { ["192.0.2.9"] = 3 } }

local function ask(ip)
  return t.run("quota", { conf = conf, request = { client_ip = ip } })
end

t.case("each client has its own quota", function()
  for _ = 1, 2 do
    t.eq(ask("192.0.2.1").upstream_called, true)
    t.eq(ask("192.0.2.2").upstream_called, true)
  end
  local r = ask("192.0.2.1")
  t.eq(r.status, 429)
  t.eq(r.reason, "quota_used_up")
end)

t.case("partners have more", function()
  for _ = 1, 3 do
    t.eq(ask("192.0.2.9").upstream_called, true)
  end
  t.eq(ask("192.0.2.9").status, 429)
end)

t.case("a day later all begins anew", function()
  for _ = 1, 3 do
    ask("192.0.2.1")
  end
  t.advance(86400)
  t.eq(ask("192.0.2.1").upstream_called, true)
end)

t.case("the log says once how many were refused", function()
  for _ = 1, 4 do
    ask("192.0.2.1")
  end
  local r = t.every("quota", "1m", { conf = conf })
  t.eq(r.error, nil)
  t.eq(r.log[1].refused, 2)
  t.eq(#t.every("quota", "1m", { conf = conf }).log, 0)
end)
