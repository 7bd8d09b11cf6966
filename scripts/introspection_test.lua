-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"
local crypto = lintel.crypto

local URL = "https://id.test/introspect"
local NOW = 1750000000 -- what the clock of tests shows, which stands still

local function ask(token, conf, headers)
  conf = conf or {}
  conf.url = URL
  if not conf.auth then
    conf.client_id, conf.client_secret = "gate:way", "s3 cret/"
  end
  headers = headers or {}
  headers.authorization = token and "Bearer " .. token
  return t.run("introspection", { conf = conf, request = { headers = headers } })
end

local function server(answer)
  t.http("POST " .. URL, answer)
end

local function active(more)
  local told = { active = true, sub = "alice", exp = NOW + 60, scope = "read" }
  for name, value in pairs(more or {}) do
    told[name] = value
  end
  return { json = told }
end

local function refused(r, status, reason)
  t.eq(r.status, status)
  t.eq(r.reason, reason)
  t.eq(r.upstream_called, false)
  t.eq(r.user, nil)
  return r.headers["www-authenticate"]
end

t.case("an active token lets in, and the server is asked as it should be", function()
  server(active { groups = { "a", "b" } })
  local r = ask("tok en/1", { forward = { groups = "X-Groups" }, hide = true },
    { ["x-groups"] = "root" })
  t.eq(r.status, 401) -- no token of RFC 6750
  r = ask("tok+en/1", { forward = { groups = "X-Groups" }, hide = true }, { ["x-groups"] = "root" })
  t.eq(r.status, 200)
  t.eq(r.user, { id = "alice", groups = { "a", "b" }, scopes = { "read" } })
  t.eq(r.upstream_request.headers["x-groups"], "a,b")
  t.eq(r.upstream_request.headers["authorization"], nil)
  local asked = r.http[1]
  t.eq(asked.body, "token=tok%2Ben%2F1&token_type_hint=access_token")
  t.eq(asked.headers["content-type"], "application/x-www-form-urlencoded")
  t.eq(asked.headers["accept"], "application/json")
  -- RFC 6749 §2.3.1: both parts are encoded first.
  t.eq(asked.headers["authorization"],
    "Basic " .. crypto.base64_encode("gate%3Away:s3%20cret%2F"))
end)

t.case("we can be known by the form, by a token, or otherwise", function()
  server(active())
  local r = ask("x", { auth = "post", client_id = "a", client_secret = "b&c" })
  t.eq(r.http[1].body, "token=x&token_type_hint=access_token&client_id=a&client_secret=b%26c")
  t.eq(r.http[1].headers["authorization"], nil)
  r = ask("x", { auth = "bearer", client_secret = "ours" })
  t.eq(r.http[1].headers["authorization"], "Bearer ours")
  r = ask("x", { auth = "none" })
  t.eq(r.status, 200)
  t.eq(r.http[1].headers["authorization"], nil)
end)

t.case("without a token the server is not asked", function()
  t.eq(refused(ask(nil), 401, "missing_token"), 'Bearer realm="api"')
  refused(ask(("x"):rep(300), { max = "256" }), 401, "token_too_large")
end)

t.case("a token that is not active is refused, whatever else is said of it", function()
  server { json = { active = false, sub = "alice" } }
  t.match(refused(ask("x"), 401, "inactive_token"), 'error="invalid_token"')
end)

t.case("the rules hold for what the server tells", function()
  server(active { iss = "https://id.test/", aud = "orders", tenant = "acme" })
  refused(ask("x"), 401, "wrong_audience")
  refused(ask("x", { audience = { "stock" } }), 401, "wrong_audience")
  t.eq(ask("x", { audience = { "orders" }, issuer = { "https://id.test/" },
                  claims = { tenant = { any = { "acme" } } }, required = { "sub" } }).status, 200)
  refused(ask("x", { audience = { "*" }, issuer = { "https://b/" } }), 401, "wrong_issuer")
  refused(ask("x", { audience = { "*" }, claims = { tenant = { any = { "b" } } } }), 401,
    "wrong_claim")
  local challenge = refused(ask("x", { audience = { "*" }, scope = { "write" } }), 403,
    "insufficient_scope")
  t.match(challenge, 'scope="write"')
  server(active { exp = NOW - 31 })
  refused(ask("x"), 401, "expired")
  server(active { exp = NOW - 10 }) -- within leeway; not remembered
  t.eq(ask("x").status, 200)
  server { json = { active = true } } -- that is all a server has to say
  local r = ask("x")
  t.eq(r.status, 200)
  t.eq(r.user, nil)
end)

t.case("a claim can't break out of its header", function()
  server(active { sub = "a\r\nx: y" })
  refused(ask("x"), 401, "bad_claim")
end)

t.case("while the server can't be asked nobody gets in", function()
  for _, answer in ipairs {
    { error = "timeout" }, { status = 401, body = "{}" }, { status = 500 }, { body = "<html>" },
    { json = {} }, { json = { active = "true" } }, { json = { "active" } },
    { body = '{"active":true,"sub":"a","sub":"b"}' },
  } do
    server(answer)
    local r = ask("x")
    refused(r, 503, "introspection_unavailable")
    t.eq(r.headers["retry-after"], "1")
    t.eq(r.log[1].message, "introspection failed")
  end
end)

t.case("a server that can't be asked fills no log", function()
  local filter = t.load("introspection", { conf = { url = URL, client_id = "a", client_secret = "b" } })
  local n = 0
  local function lines(answer)
    server(answer)
    n = n + 1 -- each asks for another token
    return filter:run { request = { headers = { authorization = "Bearer x" .. n } } }.log
  end
  t.eq(lines({ status = 500 })[1].times, 1)
  for _ = 1, 6 do
    t.eq(#lines { status = 500 }, 0)
  end
  t.advance(11)
  t.eq(lines({ error = "timeout" })[1].times, 7)
  t.advance(11)
  t.eq(lines({ json = { active = false } })[1].message, "introspection works again")
  t.eq(#lines { json = { active = false } }, 0)
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() ask("x", { auth = "basic" }) end, "client_secret: the server has to know")
  t.raises(function() ask("x", { auth = "post", client_secret = "x" }) end, "client_id: is needed")
  t.raises(function() ask("x", { auth = "bearer", client_secret = "a\nb" }) end, "control byte")
  t.raises(function() ask("x", { realm = '"' }) end, "realm")
end)
