-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(conf, response, scheme)
  return t.run("security_headers", { conf = conf, response = response, request = { scheme = scheme } })
end

t.case("the preset for pages", function()
  t.eq(run({}, { headers = { Server = "gunicorn", ["X-Powered-By"] = "PHP/5" } }).headers, {
    ["x-content-type-options"] = "nosniff",
    ["x-frame-options"] = "SAMEORIGIN",
    ["referrer-policy"] = "strict-origin-when-cross-origin",
    ["permissions-policy"] = "camera=(), geolocation=(), microphone=()",
    ["content-security-policy"] = "base-uri 'self'; frame-ancestors 'self'; object-src 'none'",
    ["cross-origin-opener-policy"] = "same-origin-allow-popups",
    ["cross-origin-resource-policy"] = "same-site",
  })
end)

t.case("the preset for APIs", function()
  t.eq(run({ preset = "api" }, nil, "https").headers, {
    ["strict-transport-security"] = "max-age=31536000",
    ["x-content-type-options"] = "nosniff",
    ["x-frame-options"] = "DENY",
    ["referrer-policy"] = "no-referrer",
    ["content-security-policy"] = "default-src 'none'; frame-ancestors 'none'",
    ["cross-origin-resource-policy"] = "same-origin",
  })
end)

t.case("each part by itself, and none", function()
  local none = { hsts = { send = false }, nosniff = false, frame = "none", referrer_policy = "none",
                 permissions_policy = "", csp = "", opener_policy = "none", embedder_policy = "none",
                 resource_policy = "none" }
  t.eq(run(none, { headers = { server = "x" } }, "https").headers, {})
  local function only(option, value, name, wanted)
    local conf = {}
    for k, v in pairs(none) do conf[k] = v end
    conf[option] = value
    t.eq(run(conf, nil, "https").headers, { [name] = wanted })
  end
  only("nosniff", true, "x-content-type-options", "nosniff")
  only("frame", "deny", "x-frame-options", "DENY")
  only("referrer_policy", "origin", "referrer-policy", "origin")
  only("permissions_policy", "usb=()", "permissions-policy", "usb=()")
  only("csp", "default-src 'self'", "content-security-policy", "default-src 'self'")
  only("csp_report_only", "default-src 'self'", "content-security-policy-report-only", "default-src 'self'")
  only("opener_policy", "same-origin", "cross-origin-opener-policy", "same-origin")
  only("embedder_policy", "require-corp", "cross-origin-embedder-policy", "require-corp")
  only("resource_policy", "cross-origin", "cross-origin-resource-policy", "cross-origin")
  only("hsts", { max_age = "730d", subdomains = true, preload = true }, "strict-transport-security",
       "max-age=63072000; includeSubDomains; preload")
  only("hsts", { max_age = "0s" }, "strict-transport-security", "max-age=0")
end)

t.case("HSTS is not sent in plain", function()
  t.eq(run({}).headers["strict-transport-security"], nil)
  t.eq(run({}, nil, "https").headers["strict-transport-security"], "max-age=31536000")
end)

t.case("what the application says stays, or is replaced", function()
  local response = { headers = { ["X-Frame-Options"] = "DENY", ["strict-transport-security"] = "max-age=1",
                                 ["content-security-policy"] = "x" } }
  local h = run({ csp = "script-src 'nonce-{nonce}'" }, response, "https").headers
  t.eq(h["x-frame-options"], "DENY")
  t.eq(h["strict-transport-security"], "max-age=1")
  t.eq(h["content-security-policy"], "x")
  t.eq(h["referrer-policy"], "strict-origin-when-cross-origin")
  h = run({ override = true }, response, "https").headers
  t.eq(h["x-frame-options"], "SAMEORIGIN")
  t.eq(h["strict-transport-security"], "max-age=31536000")
  t.match(h["content-security-policy"], "base%-uri")
end)

t.case("a nonce for each request, in the policy and for the application", function()
  local seen = {}
  for _ = 1, 3 do
    local r = t.run("security_headers", {
      conf = { csp = "script-src 'nonce-{nonce}' 'self'; style-src 'nonce-{nonce}'",
               csp_report_only = "default-src 'nonce-{nonce}'" },
      request = { headers = { ["x-csp-nonce"] = "mine" } },
    })
    local nonce = r.upstream_request.headers["x-csp-nonce"]
    t.match(nonce, "^[%w+/]+==$")
    t.eq(#nonce, 24)
    t.eq(seen[nonce], nil)
    seen[nonce] = true
    t.eq(r.headers["content-security-policy"],
      ("script-src 'nonce-%s' 'self'; style-src 'nonce-%s'"):format(nonce, nonce))
    t.eq(r.headers["content-security-policy-report-only"], ("default-src 'nonce-%s'"):format(nonce))
  end
end)

t.case("a 304 brings no nonce for a page that has another", function()
  local h = run({ csp = "script-src 'nonce-{nonce}'" }, { status = 304 }).headers
  t.eq(h["content-security-policy"], nil)
  t.match(run({}, { status = 304 }).headers["content-security-policy"], "base%-uri")
end)

t.case("without a nonce the application's request is left alone", function()
  local r = t.run("security_headers", { conf = {}, request = { headers = { ["x-csp-nonce"] = "mine" } } })
  t.eq(r.upstream_request.headers["x-csp-nonce"], "mine")
end)

t.case("settings with mistakes", function()
  local function refused(conf, message)
    t.raises(function() run(conf) end, message)
  end
  refused({ csp = "script-src {nounce}" }, "csp: the only thing in braces is {nonce}")
  refused({ csp = "a\nb" }, "control byte")
  refused({ hsts = { preload = true } }, "hsts.preload: the lists take")
  refused({ nonce_header = "host" }, "Lintel's own")
  refused({ nonce_header = "x_nonce" }, "reaches no server")
  refused({ remove = { "content-length" } }, "Lintel's own")
end)
