-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"
local crypto = lintel.crypto

-- "password", by each kind of hash.
local APR1 = "$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/"
local BCRYPT = "$2b$04$abcdefghijklmnopqrstuughE8Ev8uGFaUgY2cNEySvxngrb/Jzdm"
local SHA512 = "$6$saltstring$adDbXsJjcDlq2662QPgd.tkSOVmnG9Tt3oXl4HR60S"
  .. "usC3AGjirnDenVZp3DGwLwqy6iYKCzannhaX9DR72nN1"

local function ask(credentials, conf, headers)
  conf = conf or {}
  if not conf.htpasswd then
    conf.users = conf.users or { alice = APR1, bob = BCRYPT, carol = SHA512 }
  end
  headers = headers or {}
  headers.authorization = credentials and "Basic " .. crypto.base64_encode(credentials)
  return t.run("basic_auth", { conf = conf, request = { headers = headers } })
end

local function refused(r, reason)
  t.eq(r.status, 401)
  t.eq(r.reason, reason)
  t.eq(r.upstream_called, false)
  t.eq(r.user, nil)
  t.eq(r.headers["www-authenticate"], 'Basic realm="restricted", charset="UTF-8"')
end

t.case("a user is let in and the application learns the name, not the password", function()
  for _, name in ipairs { "alice", "bob", "carol" } do
    local r = ask(name .. ":password", nil, { ["X-User"] = "root" })
    t.eq(r.status, 200)
    t.eq(r.upstream_request.headers["x-user"], name)
    t.eq(r.upstream_request.headers["authorization"], nil)
    t.eq(r.user, { id = name })
  end
end)

t.case("a password that was verified is not hashed again for a while, others are", function()
  local guard = t.load("basic_auth", { conf = { users = { carol = SHA512 }, remember = "1m" } })
  -- `busy`: nothing can be hashed.
  local function try(credentials, busy)
    return guard:run { busy = busy, request = {
      headers = { authorization = "Basic " .. crypto.base64_encode(credentials) } } }
  end
  t.eq(try("carol:password", true).reason, "busy")
  t.eq(try("carol:password").status, 200)
  t.eq(try("carol:password", true).status, 200)
  local r = try("carol:other", true)
  t.eq({ r.status, r.reason, r.headers["retry-after"] }, { 503, "busy", "1" })
  t.advance(61)
  t.eq(try("carol:password", true).status, 503)
end)

t.case("a wrong password and an unknown user look the same", function()
  refused(ask("alice:Password"), "wrong_credentials")
  refused(ask("alice:"), "wrong_credentials")
  refused(ask("bob:" .. APR1), "wrong_credentials")
  refused(ask("eve:password"), "wrong_credentials")
  refused(ask(":password"), "wrong_credentials")
  refused(ask("alice:" .. ("x"):rep(5000)), "wrong_credentials")
  refused(ask("alice:password\0"), "wrong_credentials")
  refused(ask("alice:password:more"), "wrong_credentials")
end)

t.case("without credentials the browser is asked for them", function()
  refused(ask(nil), "missing_credentials")
  for _, field in ipairs { "Basic", "Basic ", "Basic !!!!", "Basic YWxpY2U=", "Bearer YTpi",
                           "Basic YTpi YTpi", "Basic YTp" } do
    refused(t.run("basic_auth", { conf = { users = { alice = APR1 } },
                                  request = { headers = { authorization = field } } }),
      "missing_credentials")
  end
  local two = "Basic " .. crypto.base64_encode("alice:password")
  refused(t.run("basic_auth", { conf = { users = { alice = APR1 } },
                                request = { headers = { authorization = { two, two } } } }),
    "missing_credentials")
end)

t.case("users come from an htpasswd file too", function()
  local conf = { htpasswd = "# ours\n\nalice:" .. APR1 .. "\r\nbob:" .. BCRYPT .. "  \n",
                 forward_as = "", hide = false }
  local r = ask("bob:password", conf)
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers["x-user"], nil)
  t.ok(r.upstream_request.headers["authorization"])
  refused(ask("carol:password", conf), "wrong_credentials")
end)

t.case("the scheme's case does not count", function()
  local r = t.run("basic_auth", {
    conf = { users = { alice = APR1 } },
    request = { headers = { authorization = "bAsIc " .. crypto.base64_encode("alice:password") } },
  })
  t.eq(r.status, 200)
end)

t.case("the realm can be chosen", function()
  t.eq(ask(nil, { realm = "Lager 5" }).headers["www-authenticate"],
    'Basic realm="Lager 5", charset="UTF-8"')
end)

t.case("hashes that are no protection are errors at load", function()
  t.raises(function() ask("a:b", { users = { eve = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=" } }) end,
    "the hash of eve is a plain SHA%-1")
  t.raises(function() ask("a:b", { users = { eve = "password" } }) end, "eve is none of bcrypt")
  t.raises(function() ask("a:b", { htpasswd = "eve:rl.3StKT.4T8M" }) end, "eve is none of bcrypt")
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() t.run("basic_auth", { conf = {} }) end, "there are no users")
  t.raises(function() ask("a:b", { htpasswd = "alice" }) end, "not USER:HASH")
  t.raises(function() ask("a:b", { htpasswd = "a:" .. APR1 .. "\na:" .. APR1 }) end, "twice")
  t.raises(function() ask("a:b", { users = { ["a:b"] = APR1 } }) end, "colon")
  t.raises(function() ask("a:b", { realm = 'a"' }) end, "realm")
  t.raises(function() ask("a:b", { forward_as = "Remote_User" }) end, "Lintel's own")
end)
