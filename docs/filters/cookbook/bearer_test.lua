-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"
local crypto = lintel.crypto

local SECRET = ("keep me secret! "):rep(2)
local NOW = 1750000000 -- what the clock of tests shows

local function token(claims, secret)
  local text = crypto.base64url_encode('{"alg":"HS256"}') .. "."
    .. crypto.base64url_encode(lintel.json.encode(claims))
  return text .. "." .. crypto.base64url_encode(crypto.sign("sha256", secret or SECRET, text))
end

local function ask(bearer)
  return t.run("bearer", {
    conf = { secret = SECRET },
    request = { headers = { authorization = bearer and "Bearer " .. bearer } },
  })
end

local function claims(more)
  local all = { sub = "alice", iss = "https://id.example.com/", aud = "stock", exp = NOW + 60,
                tenant = "acme" }
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return all
end

t.case("a token of the provider names the user", function()
  local r = ask(token(claims()))
  t.eq(r.status, 200)
  t.eq(r.user, { id = "alice", tenant = "acme" })
end)

t.case("other tokens, and none, are refused", function()
  t.eq(ask(nil).status, 401)
  t.eq(ask(token(claims(), ("guess"):rep(8))).reason, "bad_signature")
  t.eq(ask(token(claims { exp = NOW - 31 })).reason, "expired")
  t.eq(ask(token(claims { aud = "billing" })).reason, "wrong_audience")
end)
