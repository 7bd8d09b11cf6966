-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local URL = "http://plans.internal/plan"

local function run(user, headers)
  return t.run("plan_header", {
    conf = { url = URL },
    user = user and { id = user },
    request = { headers = headers },
  })
end

t.case("the application hears the plan", function()
  t.http("POST " .. URL, { json = { plan = "gold" } })
  local r = run("alice", { ["x-plan"] = "forged" })
  t.eq(r.upstream_request.headers["x-plan"], "gold")
  t.eq(lintel.json.decode(r.http[1].body).user, "alice")
end)

t.case("what clients say is taken off", function()
  t.eq(run(nil, { ["x-plan"] = "forged" }).upstream_request.headers["x-plan"], nil)
end)

t.case("a service that is down doesn't stop requests", function()
  t.http("POST " .. URL, { error = "timeout" })
  local r = run("alice")
  t.eq(r.upstream_request.headers["x-plan"], "unknown")
  t.eq(r.log[1].why, "timeout")
  t.http("POST " .. URL, { status = 500 })
  t.eq(run("alice").log[1].why, "unexpected_answer")
end)
