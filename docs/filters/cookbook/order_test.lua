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
  local told = '{"cost": 7, "total": 19.99, "items": [], "rates": [1.0, 0.1], "id": 9007199254740993}'
  t.eq(lintel.json.decode(told).items, {})
  t.eq(run('{"items": []}', told).body, '{"id":9007199254740993,"items":[],"rates":[1.0,0.1],"total":19.99}')
  t.eq(run('{"items": []}', "no JSON").body, "no JSON")
end)
