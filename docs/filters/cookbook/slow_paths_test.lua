-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local conf = { paths = { { path = "/search", within = "1s" }, { path = "/", within = "5s" } } }

t.case("requests pass; how long they had is the gateway's to measure", function()
  for _, path in ipairs { "/search?q=x", "/other" } do
    local r = t.run("slow_paths", { conf = conf, request = { path = path } })
    t.eq(r.error, nil)
    t.eq(r.status, 200)
  end
end)
