-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run()
  return t.run("enrich", {
    conf = { profile = "http://users/profile", basket = "http://shop/basket" },
    user = { id = "7" },
  })
end

t.case("both answers become headers", function()
  t.http("POST http://users/profile", { json = { name = "Zoë" } })
  t.http("POST http://shop/basket", { json = { items = 3 } })
  local headers = run().upstream_request.headers
  t.eq(lintel.crypto.base64_decode(headers["x-user-name"]), "Zoë")
  t.eq(headers["x-basket-items"], "3")
end)

t.case("one that fails doesn't take the other along", function()
  t.http("POST http://users/profile", { error = "timeout" })
  t.http("POST http://shop/basket", { json = { items = 3 } })
  local r = run()
  t.eq(r.upstream_request.headers["x-user-name"], nil)
  t.eq(r.upstream_request.headers["x-basket-items"], "3")
  t.eq(r.log[1].why, "timeout")
end)
