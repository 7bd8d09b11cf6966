-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local conf = { url = "http://flags.internal/all" }

local function fetch(answer)
  t.http("GET " .. conf.url, answer)
  return t.every("flags", "10s", { conf = conf })
end

local function request()
  return t.run("flags", { conf = conf })
end

t.case("what is on reaches the application", function()
  t.eq(request().upstream_request.headers["x-flags"], "")
  fetch { json = { new_cart = true, old_cart = false, beta = true } }
  t.eq(request().upstream_request.headers["x-flags"], "beta,new_cart")
end)

t.case("a fetch that fails changes nothing", function()
  fetch { json = { beta = true } }
  local r = fetch { error = "timeout" }
  t.eq(r.log[1].why, "timeout")
  t.eq(request().upstream_request.headers["x-flags"], "beta")
end)

t.case("a flag closes the site", function()
  fetch { json = { closed = true } }
  t.eq(request().status, 503)
end)
