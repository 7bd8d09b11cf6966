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

t.case("values with expressions", function()
  local conf = {
    request_set = { ["X-Who"] = "{user.id or 'nobody'}", ["X-Plan"] = "plan={user.plan}", ["X-Q"] = "{query.q}" },
    request_add = { ["X-Via"] = "{host}:{method == 'GET'}", ["X-None"] = "{header.x-absent}" },
    response_set = { ["X-Path"] = "{path}", ["X-Brace"] = "{{a}" },
  }
  local r = t.run("headers", { conf = conf, user = { id = "alice" }, request = {
    path = "/a?q=1", headers = { ["x-plan"] = "forged", ["x-q"] = "forged" } } })
  local h = r.upstream_request.headers
  t.eq(h["x-who"], "alice")
  t.eq(h["x-plan"], nil) -- absent: the client's is gone all the same
  t.eq(h["x-q"], "1")
  t.eq(h["x-via"], "example.com:true")
  t.eq(h["x-none"], nil)
  t.eq(r.headers, { ["x-path"] = "/a", ["x-brace"] = "{a}" })
  r = t.run("headers", { conf = conf, request = { path = "/a?q=%0d%0aevil:1" } })
  t.eq(r.upstream_request.headers["x-who"], "nobody")
  t.eq(r.upstream_request.headers["x-q"], nil) -- and nothing fails
  t.eq(r.upstream_request.headers["x-via"], "example.com:true")
end)

t.case("defaults are for what is not there", function()
  local r = t.run("headers", {
    conf = { request_default = { ["x-a"] = "1", ["x-b"] = "2" }, response_default = { ["cache-control"] = "no-store" } },
    request = { headers = { ["x-a"] = "mine" } },
  })
  t.eq(r.upstream_request.headers, { ["x-a"] = "mine", ["x-b"] = "2" })
  t.eq(r.headers["cache-control"], "no-store")
  r = t.run("headers", { conf = { response_default = { ["cache-control"] = "no-store" } },
    response = { headers = { ["cache-control"] = "max-age=5" } } })
  t.eq(r.headers["cache-control"], "max-age=5")
end)

t.case("values are rewritten, each field by itself", function()
  local conf = { response_replace = {
    { name = "Set-Cookie", pattern = "; *Domain=[^;]*", with = "" },
    { name = "location", pattern = "^http://app:8000(?<rest>/.*)", with = "https://example.com${rest}" },
    { name = "x-none", pattern = "a", with = "b" },
  } }
  local r = t.run("headers", { conf = conf, response = { headers = {
    ["set-cookie"] = { "a=1; Domain=app; Path=/", "b=2" }, location = "http://app:8000/x" } } })
  t.eq(r.headers["set-cookie"], "a=1; Path=/")
  t.eq(r.headers["location"], "https://example.com/x")
  r = t.run("headers", { conf = { request_replace = { { name = "x-a", pattern = "(a+)+$", with = "\n" } } },
    request = { headers = { ["x-a"] = "baa" } } })
  t.eq(r.upstream_request.headers["x-a"], "b")
end)

t.case("a value that is too complex for its pattern goes, and the log does not fill with it", function()
  local rule = { { name = "x-a", pattern = "(a+)+$", with = "x" } }
  local filter = t.load("headers", { conf = { request_replace = rule, response_replace = rule } })
  local long = ("a"):rep(3000) .. "b"
  local function sent(headers, response)
    return filter:run { request = { headers = headers }, response = { headers = response } }
  end
  local r = sent({ ["x-a"] = long }, { ["x-a"] = { long, "c\td", "ba" } })
  t.eq(r.upstream_request.headers["x-a"], nil)
  t.eq(r.headers["x-a"], "c\td") -- the first that is left, as it was
  t.eq(#r.log, 2) -- a line for each side
  t.eq({ r.log[1].header, r.log[1].pattern, r.log[1].times }, { "x-a", "(a+)+$", 1 })
  for _ = 1, 4 do
    t.eq(#sent({ ["x-a"] = long }).log, 0)
  end
  t.advance(10)
  r = sent { ["x-a"] = long }
  t.eq(#r.log, 1)
  t.eq(r.log[1].times, 5)
end)

t.case("all headers that begin so", function()
  local r = t.run("headers", { conf = { request_remove = { "X-Debug-*", "cookie" } },
    request = { headers = { ["x-debug-a"] = "1", ["X-Debug-B"] = { "2", "3" }, ["x-debug"] = "4", cookie = "c" } } })
  t.eq(r.upstream_request.headers, { ["x-debug"] = "4" })
  r = t.run("headers", { conf = { response_remove = { "con*" } },
    response = { headers = { ["content-length"] = "0", ["content-language"] = "en" } } })
  t.eq(r.headers, { ["content-length"] = "0" }) -- which is Lintel's
end)

t.case("by the status of the response", function()
  local function got(status, list)
    return t.run("headers", { conf = { response_set = { ["x-a"] = "1" }, response_status = list },
      response = { status = status } }).headers["x-a"]
  end
  t.eq(got(404, { "404", "5xx" }), "1")
  t.eq(got(503, { "404", "5xx" }), "1")
  t.eq(got(200, { "404", "5xx" }), nil)
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
  t.raises(load { request_set = { ["X_User"] = "{path}" } }, "reaches no server")
  t.raises(load { request_set = { ["X-User"] = "{usr.id}" } }, "unknown name usr.id")
  t.raises(load { response_replace = { { name = "a", pattern = "(", with = "" } } }, "response_replace: pattern: ")
  t.raises(load { response_replace = { { name = "connection", pattern = "a", with = "" } } }, "Lintel's own")
  t.raises(load { response_status = { "6xx" } }, "is no status")
end)
