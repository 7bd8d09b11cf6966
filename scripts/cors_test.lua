-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local APP = "https://app.example.com"

local function simple(conf, origin, response, more)
  local headers = { origin = origin }
  for name, value in pairs(more or {}) do headers[name] = value end
  return t.run("cors", { conf = conf, request = { headers = headers }, response = response })
end

local function preflight(conf, origin, more)
  local headers = { origin = origin, ["access-control-request-method"] = "PUT" }
  for name, value in pairs(more or {}) do headers[name] = value end
  return t.run("cors", { conf = conf, request = { method = "OPTIONS", headers = headers } })
end

local function allows(conf, origin)
  return simple(conf, origin).headers["access-control-allow-origin"]
end

t.case("a simple request of an origin that may", function()
  local r = simple({ origins = { APP }, expose = { "X-Total", "Link" }, credentials = true }, APP)
  t.eq(r.status, 200)
  t.eq(r.headers, {
    ["access-control-allow-origin"] = APP, ["access-control-allow-credentials"] = "true",
    ["access-control-expose-headers"] = "X-Total, Link", vary = "Origin",
  })
end)

t.case("an origin that may not, and none: the application answers, without CORS fields", function()
  for _, origin in ipairs { "https://evil.example", "null", "https://app.example.com.evil.example", "" } do
    local r = simple({ origins = { APP }, credentials = true }, origin)
    t.eq(r.upstream_called, true)
    t.eq(r.headers, { vary = "Origin" })
  end
  t.eq(simple({ origins = { APP } }).headers, { vary = "Origin" })
end)

t.case("all origins: the star for everybody, the same for caches", function()
  local conf = { origins = { "*" }, expose = { "*" } }
  t.eq(simple(conf, APP).headers,
    { ["access-control-allow-origin"] = "*", ["access-control-expose-headers"] = "*" })
  t.eq(simple(conf).headers["access-control-allow-origin"], "*")
  t.eq(preflight(conf, "null").headers["access-control-allow-origin"], "*")
end)

t.case("Vary is not said twice, and never lost", function()
  local function vary(value)
    return simple({ origins = { APP } }, nil, { headers = { vary = value } }).headers.vary
  end
  t.eq(vary("Accept, ORIGIN"), "Accept, ORIGIN")
  t.eq(vary("*"), "*")
  local r = simple({ origins = { APP } }, APP, { headers = { vary = "Accept-Encoding" } })
  t.eq(r.headers.vary, "Accept-Encoding") -- the first of two
end)

t.case("a preflight is answered here", function()
  local r = preflight({ origins = { APP } }, APP, { ["access-control-request-headers"] = "x-a, x-b" })
  t.eq(r.status, 204)
  t.eq(r.upstream_called, false)
  t.eq(r.headers, {
    ["access-control-allow-origin"] = APP,
    ["access-control-allow-methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE",
    ["access-control-allow-headers"] = "x-a, x-b",
    ["access-control-max-age"] = "600",
    vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
  })
end)

t.case("a preflight says what may be done, whatever is asked", function()
  local conf = { origins = { APP }, methods = { "GET" }, headers = { "X-A" }, max_age = "1.5s",
                 credentials = true }
  local h = preflight(conf, APP, { ["access-control-request-headers"] = "x-b" }).headers
  t.eq(h["access-control-allow-methods"], "GET")
  t.eq(h["access-control-allow-headers"], "X-A")
  t.eq(h["access-control-max-age"], "1")
  t.eq(h["access-control-allow-credentials"], "true")
  conf.methods = { "*" }
  h = preflight(conf, APP, { ["access-control-request-headers"] = "x-b" }).headers
  t.eq(h["access-control-allow-methods"], "PUT")
end)

t.case("a preflight of an origin that may not is refused without CORS fields", function()
  for _, origin in ipairs { "https://evil.example", "null", "http://app.example.com" } do
    local r = preflight({ origins = { APP } }, origin)
    t.eq(r.status, 403)
    t.eq(r.reason, "cors_origin")
    t.eq(r.upstream_called, false)
    t.match(r.headers.vary, "^Origin")
    t.eq(r.headers["access-control-allow-origin"], nil)
    t.eq(r.headers["access-control-allow-methods"], nil)
  end
end)

t.case("two Origin fields are none", function()
  t.eq(simple({ origins = { APP } }, { APP, APP }).headers["access-control-allow-origin"], nil)
  t.eq(preflight({ origins = { APP } }, { APP, "https://b.example" }).status, 403)
end)

t.case("other OPTIONS requests are the application's", function()
  local conf = { origins = { APP } }
  local r = t.run("cors", { conf = conf, request = { method = "OPTIONS", headers = { origin = APP } } })
  t.eq(r.upstream_called, true)
  t.eq(r.headers["access-control-allow-origin"], APP)
  r = t.run("cors", { conf = conf, request = { method = "OPTIONS",
    headers = { ["access-control-request-method"] = "GET" } } })
  t.eq(r.upstream_called, true)
end)

t.case("private networks", function()
  local asks = { ["access-control-request-private-network"] = "true" }
  local name = "access-control-allow-private-network"
  t.eq(preflight({ origins = { APP }, private_network = true }, APP, asks).headers[name], "true")
  t.eq(preflight({ origins = { APP }, private_network = true }, APP).headers[name], nil)
  t.eq(preflight({ origins = { APP } }, APP, asks).headers[name], nil)
end)

t.case("wildcards", function()
  local conf = { origins = { "https://*.example.com", "http://localhost:*", "http://*.test:8080",
                             "http://[::1]:*", "null" } }
  for _, origin in ipairs { "https://a.example.com", "https://a.b.example.com", "http://localhost",
                            "http://localhost:3000", "http://x.test:8080", "http://[::1]:5173", "null" } do
    t.eq(allows(conf, origin), origin)
  end
  for _, origin in ipairs { "https://example.com", "https://.example.com", "http://a.example.com",
                            "https://aexample.com", "https://a.example.com:8443",
                            "https://evil.test/.example.com", "https://evil.test#.example.com",
                            "https://u@a.example.com", "https://a.example.com.evil.test",
                            "http://localhost.evil.test", "http://x.test", "http://x.test:80801",
                            "http://[::2]:5173", "https://localhost", "localhost", "HTTPS://A.EXAMPLE.COM" } do
    t.eq(allows(conf, origin), nil)
  end
end)

t.case("patterns are for whole origins", function()
  local conf = { patterns = { [[https://pr-\d+\.example\.com|https://x\.test]] } }
  t.eq(allows(conf, "https://pr-17.example.com"), "https://pr-17.example.com")
  t.eq(allows(conf, "https://x.test"), "https://x.test")
  for _, origin in ipairs { "https://pr-17.example.com.evil.test", "xhttps://x.test", "https://x.test\n",
                            "https://pr-.example.com" } do
    t.eq(allows(conf, origin), nil)
  end
  t.eq(allows({ patterns = { "(a+)+$" } }, ("a"):rep(3000) .. "b"), nil) -- it can't be told
end)

t.case("what the application has set is replaced, or kept", function()
  local response = { headers = {
    ["access-control-allow-origin"] = "https://old.example", ["access-control-allow-credentials"] = "true",
    ["access-control-max-age"] = "5" } }
  t.eq(simple({ origins = { APP } }, APP, response).headers,
    { ["access-control-allow-origin"] = APP, vary = "Origin" })
  t.eq(simple({ origins = { APP } }, "https://old.example", response).headers, { vary = "Origin" })
  local kept = simple({ origins = { APP }, override = false }, APP, response).headers
  t.eq(kept["access-control-allow-origin"], "https://old.example")
  t.eq(kept["access-control-max-age"], "5")
  t.eq(kept.vary, "Origin")
  t.eq(simple({ origins = { APP }, override = false }, APP).headers["access-control-allow-origin"], APP)
end)

t.case("settings that would be a hole, or do nothing, are errors", function()
  local function refused(conf, message)
    t.raises(function() t.run("cors", { conf = conf }) end, message)
  end
  refused({}, "at least one of origins, patterns")
  refused({ origins = { "*" }, credentials = true }, "with credentials name the origins")
  refused({ origins = { "null" }, credentials = true }, "not with credentials")
  refused({ origins = { "*", APP } }, "write it alone")
  refused({ origins = { APP }, expose = { "*" }, credentials = true }, "write the names")
  refused({ origins = { APP }, methods = { "*", "GET" } }, "methods: .* write it alone")
  refused({ origins = { APP }, headers = { "a b" } }, "headers: \"a b\" is not a name")
  for _, origin in ipairs { "app.example.com", "https://app.example.com/", "https://*", "https://*.",
                            "https://a.*.com", "https://app.example.com:x", "https://ex ample.com",
                            "https://*example.com" } do
    refused({ origins = { origin } }, "is no origin: write scheme")
  end
  refused({ origins = { "https://app.example.com:443" } }, "leave out the port")
  refused({ origins = { "http://*.example.com:80" } }, "leave out the port")
  refused({ patterns = { "a(" } }, "patterns: ")
  refused({ patterns = { "a)|(b" } }, "patterns: ")
  refused({ patterns = { "\\Qa" } }, "patterns: ")
end)
