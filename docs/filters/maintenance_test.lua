-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local conf = { allow = { "192.0.2.10" }, until_time = "90s" }

t.case("clients are told to come back", function()
  local r = t.run("maintenance", { conf = conf })
  t.eq(r.status, 503)
  t.eq(r.headers["retry-after"], "90")
  t.eq(r.headers["content-type"], "text/plain; charset=utf-8")
  t.eq(r.body, "We are back soon.\n")
  t.eq(r.upstream_called, false)
end)

t.case("allowed addresses reach the application", function()
  local r = t.run("maintenance", { conf = conf, request = { client_ip = "192.0.2.10" } })
  t.eq(r.status, 200)
  t.eq(r.upstream_called, true)
end)
