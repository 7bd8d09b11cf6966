-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local conf = {redis = "redis://:secret@localhost/1"}

t.case("counts by host", function()
  t.redis{INCR = function(key) return key == "visits:a.test" and 7 or nil end}
  local r = t.run("visits", {conf = conf, request = {host = "a.test"}})
  t.eq(r.headers["x-visits"], "7")
  t.eq(r.redis, {{"INCR", "visits:a.test"}})
end)

t.case("a Redis that is down doesn't matter", function()
  t.redis(function() return nil, "unreachable" end)
  local r = t.run("visits", {conf = conf})
  t.eq(r.status, 200)
  t.eq(r.headers["x-visits"], nil)
  t.eq(r.log[1].reason, "unreachable")
end)
