-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function deliver(id, status)
  return t.run("once", {
    request = { method = "POST", headers = { ["x-github-delivery"] = id }, body = "{}" },
    response = { status = status or 200 },
  })
end

t.case("the application gets a delivery once", function()
  t.eq(deliver("one").upstream_called, true)
  local r = deliver("one")
  t.eq(r.status, 200)
  t.eq(r.upstream_called, false)
  t.eq(deliver("two").upstream_called, true)
end)

t.case("one that failed may come again", function()
  deliver("one", 503)
  t.eq(deliver("one").upstream_called, true)
end)

t.case("one without an id is refused", function()
  t.eq(deliver(nil).reason, "no_delivery_id")
end)
