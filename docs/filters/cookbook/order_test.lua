-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(body, answer)
  return t.run("order", {
    conf = { most = 2, pools = { acme = "acme_app" } },
    upstreams = { "app", "acme_app" },
    request = { method = "POST", path = "/orders", body = body },
    response = { status = 201, body = answer or "" },
  })
end

t.case("orders pass, to the servers of their tenant", function()
  local r = run('{"tenant": "acme", "items": [1, 2]}')
  t.eq(r.status, 201)
  t.eq(r.upstream_request.upstream, "acme_app")
  t.eq(r.upstream_request.body, '{"tenant": "acme", "items": [1, 2]}')
  t.eq(run('{"items": [1]}').upstream_request.upstream, "app")
end)

t.case("what is no order is refused", function()
  t.eq(run('{"items": [1, 2, 3]}').reason, "order_items")
  t.eq(run('{"items": [').reason, "order_malformed")
  local large = run('{"items": ["' .. ("x"):rep(300000) .. '"]}')
  t.eq(large.status, 413)
  t.eq(large.upstream_called, false)
end)

t.case("the cost stays with us", function()
  t.eq(run('{"items": []}', '{"cost": 7}').body, "{}")
  t.eq(run('{"items": []}', "no JSON").body, "no JSON")
end)
