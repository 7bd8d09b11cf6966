-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

t.case("request headers are set, added and removed", function()
  local r = t.run("headers", {
    conf = {
      request_set = { ["X-Env"] = "live, from A to z" },
      request_add = { ["X-Tag"] = "two" },
      request_remove = { "Cookie" },
    },
    request = { headers = { ["x-env"] = "test", ["x-tag"] = "one", cookie = "a=b" } },
  })
  local h = r.upstream_request.headers
  t.eq(h["x-env"], "live, from A to z")
  t.eq(h["x-tag"], "one")
  t.eq(h["cookie"], nil)
  t.eq(r.status, 200)
end)

t.case("response headers are set, added and removed", function()
  local r = t.run("headers", {
    conf = {
      response_set = { ["Strict-Transport-Security"] = "max-age=63072000" },
      response_add = { ["Vary"] = "Origin" },
      response_remove = { "server", "x-powered-by" },
    },
    response = { status = 404, headers = { Server = "gunicorn", ["X-Powered-By"] = "Flask" } },
  })
  t.eq(r.status, 404)
  t.eq(r.headers, { ["strict-transport-security"] = "max-age=63072000", vary = "Origin" })
end)

t.case("what was removed can be set anew", function()
  local r = t.run("headers", {
    conf = { response_remove = { "x-a" }, response_add = { ["x-a"] = "new" } },
    response = { headers = { ["x-a"] = { "1", "2" } } },
  })
  t.eq(r.headers["x-a"], "new")
end)

t.case("without settings nothing changes", function()
  local r = t.run("headers", { request = { headers = { a = "b" } } })
  t.eq(r.upstream_request.headers, { a = "b" })
end)

t.case("malformed settings are errors at load", function()
  local function load(conf) return function() t.run("headers", { conf = conf }) end end
  t.raises(load { request_set = { ["a b"] = "x" } }, "is not a name of a header")
  t.raises(load { response_set = { ["x-a"] = "x\r\ny: z" } }, "control byte")
  t.raises(load { response_set = { ["Content-Length"] = "0" } }, "Lintel's own")
  t.raises(load { request_remove = { "Transfer-Encoding" } }, "Lintel's own")
  t.raises(load { response_remove = { "Proxy-Connection" } }, "Lintel's own")
  t.raises(load { request_set = { Host = "b.example" } }, "Lintel's own")
  t.raises(load { request_set = { ["X_User"] = "a" } }, "reaches no server")
end)
