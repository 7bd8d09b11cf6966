-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local URL = "https://policy.internal/check"

local function run(user)
  return t.run("policy", {
    conf = { url = URL },
    request = { method = "DELETE", path = "/orders/7" },
    user = user and { id = user },
  })
end

t.case("the service decides", function()
  t.http("POST " .. URL, function(request)
    local asked = lintel.json.decode(request.body)
    return { json = { allow = asked.user == "alice" } }
  end)
  local r = run("alice")
  t.eq(r.upstream_called, true)
  t.eq(#r.http, 1)
  t.eq(lintel.json.decode(r.http[1].body), { user = "alice", method = "DELETE", path = "/orders/7" })
  t.eq(r.http[1].headers["content-type"], "application/json")
  r = run("mallory")
  t.eq(r.status, 403)
  t.eq(r.reason, "not_allowed")
end)

t.case("nobody gets in while it does not answer", function()
  for _, answer in ipairs {
    { error = "timeout" },
    { error = "connect_refused" },
    { status = 500, body = "oops" },
  } do
    t.http("POST https://policy.internal/*", answer)
    local r = run("alice")
    t.eq(r.status, 503)
    t.eq(r.reason, "policy_unavailable")
    t.eq(r.upstream_called, false)
    t.eq(#r.log, 1)
  end
  t.http("POST " .. URL, { body = "<html>" })
  t.eq(run("alice").reason, "not_allowed")
end)

t.case("who is nobody is not asked about", function()
  local r = run(nil)
  t.eq(r.status, 401)
  t.eq(#r.http, 0)
end)
