-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

t.case("request fields are removed, set and added", function()
  local r = t.run("headers", {
    conf = {
      request_remove = { "X-Debug" },
      request_set = { ["x-stage"] = "live" },
      request_add = { ["x-tag"] = "b" },
    },
    request = { headers = { ["x-debug"] = "1", ["X-Stage"] = "test", ["x-tag"] = "a" } },
  })
  local h = r.upstream_request.headers
  t.eq(h["x-debug"], nil)
  t.eq(h["x-stage"], "live")
  t.eq(h["x-tag"], "a")
  t.eq(table.concat(h:all("x-tag"), ","), "a,b")
end)

t.case("response fields are removed, set and added", function()
  local r = t.run("headers", {
    conf = {
      response_remove = { "Server" },
      response_set = { ["x-frame-options"] = "DENY" },
      response_add = { ["set-cookie"] = "b=2" },
    },
    response = { status = 200, headers = { server = "app", ["set-cookie"] = "a=1" } },
  })
  t.eq(r.headers["server"], nil)
  t.eq(r.headers["x-frame-options"], "DENY")
  t.eq(table.concat(r.headers:all("set-cookie"), ","), "a=1,b=2")
end)

t.case("without settings nothing changes", function()
  local r = t.run("headers", { conf = {}, request = { headers = { ["x-a"] = "1" } } })
  t.eq(r.upstream_request.headers["x-a"], "1")
end)
