-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"
local crypto, json = lintel.crypto, lintel.json

local SECRET = ("0123456789abcdef"):rep(2)
local NOW = 1750000000 -- what the clock of tests shows, which stands still

local function sign(claims, header, secret)
  local b = crypto.base64url_encode
  local text = b(header or '{"alg":"HS256","typ":"JWT"}') .. "."
    .. b(type(claims) == "string" and claims or json.encode(claims))
  return text .. "." .. b(crypto.sign("sha256", secret or SECRET, text))
end

local function good(more)
  local claims = { sub = "alice", exp = NOW + 600 }
  for name, value in pairs(more or {}) do
    claims[name] = value
  end
  return claims
end

local function ask(token, conf, headers)
  conf = conf or {}
  if not conf.jwks and not conf.pem then
    conf.secrets = conf.secrets or { SECRET }
  end
  headers = headers or {}
  headers.authorization = token and "Bearer " .. token
  return t.run("jwt", { conf = conf, request = { headers = headers } })
end

local function refused(r, status, reason)
  t.eq(r.status, status)
  t.eq(r.reason, reason)
  t.eq(r.upstream_called, false)
  t.eq(r.user, nil)
  return r.headers["www-authenticate"]
end

t.case("a good token lets in and names the user", function()
  local r = ask(sign(good()))
  t.eq(r.status, 200)
  t.eq(r.user, { id = "alice" })
  t.ok(r.upstream_request.headers["authorization"], "the application may read the token")
end)

t.case("without a token the client is told how to authenticate", function()
  t.eq(refused(ask(nil), 401, "missing_token"), 'Bearer realm="api"')
  local r = t.run("jwt", { conf = { secrets = { SECRET }, realm = "orders" },
                           request = { headers = { authorization = "Basic YTpi" } } })
  t.eq(refused(r, 401, "missing_token"), 'Bearer realm="orders"')
end)

t.case("a bad token is refused with its reason", function()
  local challenge = refused(ask(sign(good { exp = NOW - 31 })), 401, "expired")
  t.eq(challenge, 'Bearer realm="api", error="invalid_token", error_description="expired"')
  refused(ask(sign(good(), nil, ("x"):rep(32))), 401, "bad_signature")
  refused(ask(sign(good(), '{"alg":"none"}')), 401, "unsigned_token")
  refused(ask(sign(good(), '{"alg":"RS256"}')), 401, "wrong_algorithm")
  refused(ask(sign(good(), '{"alg":"HS256","crit":["x"]}')), 401, "unknown_critical")
  refused(ask(sign('{"sub":"a","sub":"b","exp":9999999999}')), 401, "malformed_token")
  refused(ask(sign(good { nbf = NOW + 60 })), 401, "not_yet_valid")
  refused(ask(sign { sub = "alice" }), 401, "missing_claim")
  refused(ask(sign(good { pad = ("x"):rep(20000) })), 401, "token_too_large")
  refused(ask("x.y.z"), 401, "malformed_token")
end)

t.case("issuer, audience, claims and type are checked", function()
  local conf = { issuer = { "https://id.test/" }, audience = { "orders", "stock" },
                 claims = { tenant = { any = { "acme" } } }, required = { "jti" }, typ = "at+jwt" }
  local header = '{"alg":"HS256","typ":"at+jwt"}'
  local function judged(more)
    local claims = good { iss = "https://id.test/", aud = { "stock" }, tenant = "acme", jti = "1" }
    for name, value in pairs(more) do
      claims[name] = value
    end
    return ask(sign(claims, header), conf)
  end
  t.eq(judged({}).status, 200)
  refused(judged { iss = "https://evil.test/" }, 401, "wrong_issuer")
  refused(judged { aud = "billing" }, 401, "wrong_audience")
  refused(judged { tenant = "other" }, 401, "wrong_claim")
  refused(judged { jti = json.null }, 401, "missing_claim")
  t.eq(judged({ tenant = { "other", "acme" } }).status, 200)
  refused(ask(sign(good { iss = "https://id.test/", aud = "stock" }), conf), 401, "wrong_type")
end)

t.case("who says for whom the token is has to be asked for", function()
  refused(ask(sign(good { aud = "billing" })), 401, "wrong_audience")
  t.eq(ask(sign(good { aud = "billing" }), { audience = { "*" } }).status, 200)
end)

t.case("a scope that is missing is a 403 that names what is needed", function()
  local conf = { scope = { "orders:read", "orders:write" } }
  t.eq(ask(sign(good { scope = "orders:write profile orders:read" }), conf).status, 200)
  local challenge = refused(ask(sign(good { scope = "orders:read" }), conf), 403,
    "insufficient_scope")
  t.eq(challenge,
    'Bearer realm="api", error="insufficient_scope", scope="orders:read orders:write"')
end)

t.case("one of several scopes can be enough", function()
  local conf = { scope_any = { "read", "write" } }
  t.eq(ask(sign(good { scope = "write" }), conf).status, 200)
  local challenge = refused(ask(sign(good { scope = "other" }), conf), 403, "insufficient_scope")
  t.match(challenge, 'scope="read write"')
end)

t.case("claims hold one of some values, all of some, or members", function()
  local conf = { claims = { groups = { all = { "staff", "admin" } },
                            ["realm.roles"] = { any = { "a", "b" } } } }
  local function judged(groups, roles)
    return ask(sign(good { groups = groups, realm = { roles = roles } }), conf)
  end
  t.eq(judged({ "admin", "x", "staff" }, { "b" }).status, 200)
  refused(judged({ "admin" }, { "b" }), 401, "wrong_claim")
  refused(judged({ "admin", "staff" }, { "c" }), 401, "wrong_claim")
  refused(judged({ "admin", "staff" }, nil), 401, "missing_claim")
end)

t.case("claims are forwarded, and what clients send under those names is not", function()
  local conf = { forward = { sub = "X-User", admin = "X-Admin", groups = "X-Groups", n = "X-N" },
                 hide = true }
  local r = ask(sign(good { groups = { "a", "b,c" }, n = 7 }), conf,
    { ["x-user"] = "root", ["X-Admin"] = "true" })
  local sent = r.upstream_request.headers
  t.eq(sent["x-user"], "alice")
  t.eq(sent["x-admin"], nil)
  t.eq(sent["x-groups"], "a,b%2Cc")
  t.eq(sent["x-n"], "7")
  t.eq(sent["authorization"], nil)
end)

t.case("claims of every form become text", function()
  local conf = { user = "who.name", forward = {
    ["a.b"] = "X-Member", ["who.none.x"] = "X-None", list = "X-List", deep = "X-Deep",
    object = "X-Object", nothing = "X-Nothing", empty = "X-Empty", dots = "X-Dots", ["d.o"] = "X-D",
  } }
  local r = ask(sign(good {
    who = { name = "bob" }, a = { b = true }, list = { 1, "100%", "x" }, deep = { { 1 }, 2 },
    object = { a = 1 }, nothing = json.null, empty = json.empty_array, ["d.o"] = "dotted",
  }), conf)
  local sent = r.upstream_request.headers
  t.eq(r.user, { id = "bob" })
  t.eq(sent["x-member"], "true")
  t.eq(sent["x-none"], nil)
  t.eq(sent["x-list"], "1,100%25,x")
  t.eq(sent["x-deep"], "[[1],2]")
  t.eq(sent["x-object"], '{"a":1}')
  t.eq(sent["x-nothing"], nil)
  t.eq(sent["x-empty"], nil)
  t.eq(sent["x-d"], "dotted")
end)

t.case("a claim can't break out of its header", function()
  refused(ask(sign(good { sub = "a\r\nX-Admin: true" }), { forward = { sub = "x-user" } }), 401,
    "bad_claim")
  refused(ask(sign(good { sub = "a\nb" })), 401, "bad_claim")
end)

t.case("another claim can name the user, and none has to", function()
  t.eq(ask(sign(good { email = "a@b.test" }), { user = "email" }).user, { id = "a@b.test" })
  t.eq(ask(sign(good { sub = "" })).user, nil)
  local r = ask(sign(good()), { user = "email" })
  t.eq(r.status, 200)
  t.eq(r.user, nil)
end)

t.case("groups and scopes are for other filters", function()
  t.eq(ask(sign(good { scope = "a b", groups = { "x, y", "z", 7, "", "c\n" } })).user,
    { id = "alice", scopes = { "a", "b" }, groups = { "x, y", "z" } })
  t.eq(ask(sign(good { scp = { "a" }, realm = { roles = "one group" } }),
    { groups = "realm.roles" }).user,
    { id = "alice", scopes = { "a" }, groups = { "one group" } })
  t.eq(ask(sign(good { scope = "", groups = {} })).user, { id = "alice" })
end)

t.case("two Authorization fields are one too many", function()
  local r = t.run("jwt", {
    conf = { secrets = { SECRET } },
    request = { headers = { authorization = { "Bearer " .. sign(good()), "Bearer x" } } },
  })
  t.match(refused(r, 400, "two_tokens"), 'error="invalid_request"')
end)

t.case("leeway and expiry can be chosen", function()
  t.eq(ask(sign(good { exp = NOW - 20 })).status, 200)
  refused(ask(sign(good { exp = NOW - 20 }), { leeway = "0s" }), 401, "expired")
  t.eq(ask(sign { sub = "a" }, { require_exp = false }).status, 200)
end)

t.case("a public key is no secret", function()
  local pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    .. "\n-----END PUBLIC KEY-----\n"
  refused(ask(sign(good(), nil, pem), { pem = { pem } }), 401, "wrong_algorithm")
  t.raises(function() ask("x", { secrets = { pem } }) end, "is a key in PEM form")
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() t.run("jwt", { conf = {} }) end, "there is no key")
  t.raises(function() ask("x", { secrets = { "short" } }) end, "at least 32 bytes")
  t.raises(function() ask("x", { jwks = "{}" }) end, "jwks: a JWK Set is")
  t.raises(function() ask("x", { algs = { "RS256" } }) end, "no key can be used with RS256")
  t.raises(function() ask("x", { algs = { "none" } }) end, "none")
  t.raises(function() ask("x", { forward = { sub = "Remote_User" } }) end, "Lintel's own")
  t.raises(function() ask("x", { realm = 'a"b' }) end, "realm")
  t.raises(function() ask("x", { leeway = "1h" }) end, "leeway")
  t.raises(function() ask("x", { claims = { a = {} } }) end, "write either `any` or `all`")
  local twice = { { issuer = "https://a/" }, { issuer = "https://a/" } }
  t.raises(function() ask("x", { providers = twice }) end, "https://a/ is there twice")
  t.raises(function() ask("x", { providers = { { issuer = "id" } } }) end, "jwks")
end)

-- ---- keys that are fetched: tokens of two issuers, signed with Ed25519 ----

local ISSUER, OTHER = "https://id.test/", "https://other.test"
local X = { a = "vQ2QDF9JM1UvOL4XrFfJj0SaVE8NDoGuI6VFSq7pPLI",
            b = "sBpaeLxLgy2I3Nx-UBDostUJEQw72pomplnQ5DaiUWQ" }

local function set_of(kid)
  return { json = { keys = { { kty = "OKP", crv = "Ed25519", kid = kid, x = X[kid] } } } }
end

local function made(kid, issuer, signature)
  local b = crypto.base64url_encode
  local iss = issuer and ',"iss":"' .. issuer .. '"' or ""
  return b('{"alg":"EdDSA","kid":"' .. kid .. '"}') .. "."
    .. b('{"sub":"alice","exp":4000000000' .. iss .. "}") .. "." .. signature
end

local OF_A = made("a", ISSUER, "yr6QuRdL0Tw7lKXtbCvWQ8S8XRQU9V1LmzzcSgR1kd-"
  .. "ed9VDajCLBe3Wb-9YBsRWXB0I97tqw0kx329qpuC2Bg")
local OF_B = made("b", OTHER, "6cM4lja7x04q8L8GiEahtuVmLWe05ItiPZTH9jyVjtbJsJQngd9fFekKMpGvZKMBF"
  .. "AsrE4qAstlVfVi_PGC4Dw")
local MIXED = made("a", OTHER, "mnFHVkQ6hdTgJLTL8Odam5-YxYbaqZCa7WgAIFcSPme9fSGRZCegmL9jKEyU1L1Z"
  .. "aReWPaarQj47KK0WCPtMDw")
local EVIL = made("a", "https://evil.test/", "NF9ox6VF1KMJ74lbZ06eGzAttZh3Jn3hV7n2wJhXsgG0nFJc3sD"
  .. "U_MeOKLllTBeJfbmiPvQibSeaqxiegN2iAg")
local NOBODY = made("a", nil, "sSfgsbL02NFA5EJ3VUpUoCAZd91SISQZ7HdNUeYZ1dkH1YfBl7EruVWznDp1HeXnR9"
  .. "aTres4HfTT2P51tp40BQ")

local function fetching(token, conf)
  return t.run("jwt", { conf = conf, request = { headers = { authorization = "Bearer " .. token } } })
end

t.case("keys are fetched from where they are", function()
  local conf = { providers = { { issuer = ISSUER, jwks_url = "https://keys.test/set" } } }
  t.http("GET https://keys.test/set", set_of("a"))
  t.eq(fetching(OF_A, conf).user, { id = "alice" })
  refused(fetching(EVIL, conf), 401, "wrong_issuer")
  refused(fetching(NOBODY, conf), 401, "missing_claim")
end)

t.case("an issuer says itself where its keys are", function()
  local conf = { providers = { { issuer = ISSUER } } }
  t.http("GET https://id.test/.well-known/openid-configuration",
    { json = { issuer = ISSUER, jwks_uri = "https://keys.test/set" } })
  t.http("GET https://keys.test/set", set_of("a"))
  t.eq(fetching(OF_A, conf).status, 200)
end)

t.case("while there are no keys nobody is called wrong", function()
  local conf = { providers = { { issuer = ISSUER, jwks_url = "https://keys.test/set" } } }
  t.http("GET https://keys.test/set", { error = "connect_refused" })
  local r = fetching(OF_A, conf)
  refused(r, 503, "keys_unavailable")
  t.eq(r.headers["retry-after"], "1")
end)

t.case("of several issuers each has its own keys", function()
  local conf = { providers = { { issuer = ISSUER, jwks_url = "https://keys.test/a" },
                               { issuer = OTHER, jwks_url = "https://keys.test/b" } } }
  t.http("GET https://keys.test/a", set_of("a"))
  t.http("GET https://keys.test/b", set_of("b"))
  t.eq(fetching(OF_A, conf).status, 200)
  t.eq(fetching(OF_B, conf).status, 200)
  refused(fetching(MIXED, conf), 401, "unknown_key")
  refused(fetching(EVIL, conf), 401, "wrong_issuer")
  refused(fetching(NOBODY, conf), 401, "missing_claim")
  refused(fetching("x", conf), 401, "malformed_token")
  refused(fetching(("x"):rep(17000), conf), 401, "token_too_large")
end)

t.case("fetched keys stand beside keys that are given", function()
  local conf = { providers = { { issuer = ISSUER, jwks_url = "https://keys.test/a" } },
                 secrets = { SECRET }, issuer = { "https://own.test/" } }
  t.http("GET https://keys.test/a", set_of("a"))
  t.eq(fetching(OF_A, conf).status, 200)
  t.eq(fetching(sign(good { iss = "https://own.test/" }), conf).status, 200)
  refused(fetching(sign(good { iss = ISSUER }), conf), 401, "wrong_algorithm")
  refused(fetching(sign(good { iss = OTHER }), conf), 401, "wrong_issuer")
end)
