-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local URL = "http://collector.internal/events"

local function run(status)
  return t.run("collect", {
    conf = { url = URL },
    request = { path = "/pay" },
    response = { status = status },
  })
end

t.case("failures are told, others are not", function()
  t.http("POST " .. URL, { status = 204 })
  t.eq(#run(200).http, 0)
  local r = run(503)
  local told = lintel.json.decode(r.http[1].body)
  t.eq(told.path, "/pay")
  t.eq(told.status, 503)
  t.eq(#r.log, 0)
end)

t.case("a collector that is down is a line in the log", function()
  t.http("POST " .. URL, { error = "connect_refused" })
  local r = run(500)
  t.eq(r.status, 500)
  t.eq(r.log[1].why, "connect_refused")
end)
