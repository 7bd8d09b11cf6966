-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function ask(headers, conf)
  conf = conf or {}
  conf.keys = conf.keys or { acme = t.sha256("s3cret"), globex = t.sha256("other") }
  return t.run("key_auth", { conf = conf, request = { path = "/v1", headers = headers } })
end

t.case("a known key is let in and the application learns the consumer, not the key", function()
  local r = ask { ["X-API-Key"] = "s3cret", ["X-Consumer"] = "globex" }
  t.eq(r.status, 200)
  t.eq(r.upstream_called, true)
  t.eq(r.upstream_request.headers["x-consumer"], "acme")
  t.eq(r.upstream_request.headers["x-api-key"], nil)
  t.eq(r.user, { id = "acme" })
end)

t.case("an unknown key is refused and the application never sees it", function()
  local r = ask { ["x-api-key"] = "nope" }
  t.eq(r.status, 401)
  t.eq(r.reason, "unknown_api_key")
  t.eq(r.cause, "filter_denied")
  t.eq(r.upstream_called, false)
  t.eq(r.user, nil)
end)

t.case("without a key the client is told how to authenticate", function()
  local r = ask {}
  t.eq(r.status, 401)
  t.eq(r.reason, "missing_api_key")
  t.eq(r.headers["www-authenticate"], "ApiKey")
end)

t.case("the digest itself is no key", function()
  t.eq(ask({ ["x-api-key"] = t.sha256("s3cret") }).status, 401)
end)

t.case("header, forward_as and hide can be chosen", function()
  local r = ask({ authorization = "s3cret" },
    { header = "Authorization", forward_as = "", hide = false })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers["authorization"], "s3cret")
  t.eq(r.upstream_request.headers["x-consumer"], nil)
end)

t.case("digests may be written in upper case", function()
  t.eq(ask({ ["x-api-key"] = "k" }, { keys = { a = t.sha256("k"):upper() } }).status, 200)
end)

t.case("what is no digest is an error at load", function()
  t.raises(function() ask({}, { keys = { acme = "s3cret" } }) end, "acme is not a SHA%-256 digest")
  t.raises(function()
    ask({}, { keys = { a = t.sha256("k"), b = t.sha256("k") } })
  end, "have the same key")
  t.raises(function() t.run("key_auth", {}) end, '"keys" is missing')
  t.raises(function() ask({}, { key = "x" }) end, "did you mean")
  t.raises(function() ask({}, { forward_as = "Remote_User" }) end, "Lintel's own")
  t.raises(function() ask({}, { forward_as = "X User" }) end, "not a name of a header")
end)
