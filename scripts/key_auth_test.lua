-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local conf = { keys = { acme = t.sha256("s3cret") } }

local function ask(headers, more)
  local c = { keys = conf.keys }
  for k, v in pairs(more or {}) do c[k] = v end
  return t.run("key_auth", {
    conf = c,
    request = { method = "GET", path = "/v1", headers = headers },
  })
end

t.case("without a key nothing reaches the application", function()
  local r = ask({})
  t.eq(r.status, 401)
  t.eq(r.reason, "missing_api_key")
  t.eq(r.headers["www-authenticate"], "ApiKey")
  t.eq(r.upstream_called, false)
end)

t.case("an unknown key is refused", function()
  local r = ask({ ["x-api-key"] = "nope" })
  t.eq(r.status, 401)
  t.eq(r.reason, "unknown_api_key")
  t.eq(r.upstream_called, false)
end)

t.case("the application gets the owner's name and never the key", function()
  local r = ask({ ["X-Api-Key"] = "s3cret", ["X-Consumer"] = "root" })
  t.eq(r.upstream_called, true)
  t.eq(r.upstream_request.headers["x-consumer"], "acme")
  t.eq(r.upstream_request.headers["x-api-key"], nil)
  t.eq(r.user.id, "acme")
end)

t.case("both headers may have other names", function()
  local r = ask({ ["x-token"] = "s3cret" }, { header = "x-token", forward_as = "x-who" })
  t.eq(r.upstream_request.headers["x-who"], "acme")
  t.eq(r.upstream_request.headers["x-token"], nil)
end)

t.case("what is no digest is refused at load", function()
  t.raises(function()
    t.run("key_auth", { conf = { keys = { acme = "s3cret" } } })
  end, "SHA%-256")
end)

t.case("one key can't have two owners", function()
  t.raises(function()
    t.run("key_auth", { conf = { keys = { a = t.sha256("x"), b = t.sha256("x") } } })
  end, "same key")
end)
