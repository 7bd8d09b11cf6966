-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

t.case("the request comes back", function()
  local r = t.run("echo", {
    request = {
      method = "POST", path = "/a/b?c=d", headers = { ["x-one"] = "1" }, body = "text",
    },
  })
  t.eq(r.status, 200)
  local told = lintel.json.decode(r.body)
  t.eq(told.method, "POST")
  t.eq(told.path, "/a/b")
  t.eq(told.headers["x-one"], "1")
  t.eq(told.target, "/a/b?c=d")
  t.eq(told.body, "text")
end)

t.case("a body that is too large is not answered", function()
  local r = t.run("echo", {
    conf = { max = "1K" },
    request = { method = "POST", body = ("x"):rep(2000) },
  })
  t.eq(r.status, 413)
end)
