-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in whose token in `Authorization: Bearer` the authorization server calls active
-- (OAuth 2.0 Token Introspection, RFC 7662). Answers are remembered; while the server can't be asked
-- nobody gets in whose answer isn't.
local token_lib = require "lib.token"
local trouble = require "lib.trouble"
local jwt, json, crypto = lintel.jwt, lintel.json, lintel.crypto

-- Bytes of an answer. It is bounded by `max` of the rules as well.
local ANSWER_MAX = 65536
-- How long a server that could not be asked is not asked again about the same token.
local PAUSE = "1s"

local M = { group = "auth" }

M.schema = token_lib.schema_with {
  url = { type = "url", required = true, doc = "The server's introspection endpoint." },
  auth = { type = "enum", values = { "basic", "post", "bearer", "none" }, default = "basic",
           doc = "How the server knows us: client_id and client_secret by HTTP Basic or in the "
             .. "form, client_secret as a bearer token, or by something else, as a certificate." },
  client_id = { type = "string", doc = "Our name at the server." },
  client_secret = { type = "secret", doc = "Our password or token there." },
  issuer = { type = "list", of = "string", default = {},
             doc = "Accepted values of iss, which the server then has to tell; empty: any." },
  ttl = { type = "duration", default = "1m", max = "1d",
          doc = "How long an active token is not asked about again, at most until it expires." },
  negative_ttl = { type = "duration", default = "10s", max = "1h",
                   doc = "The same for a token that is refused." },
  remember = { type = "int", default = 10000, min = 1, max = 100000,
               doc = "Tokens whose answers are remembered, in each worker." },
  timeout = { type = "duration", default = "1s", min = "1ms", max = "1m",
              doc = "For the server's answer." },
}

local escapes = {}
for i = 0, 255 do
  escapes[string.char(i)] = ("%%%02X"):format(i)
end

-- application/x-www-form-urlencoded.
local function form(text)
  return (text:gsub("[^%w%-._~]", escapes))
end

-- What tells the server who asks: a field, and what joins the form (RFC 6749 §2.3.1).
local function credentials(conf)
  local id, secret = conf.client_id, conf.client_secret
  if conf.auth ~= "none" and not secret then
    error("client_secret: the server has to know who asks; or write `auth: none`", 0)
  elseif (conf.auth == "basic" or conf.auth == "post") and not id then
    error("client_id: is needed with `auth: " .. conf.auth .. "`", 0)
  end
  if conf.auth == "basic" then
    return "Basic " .. crypto.base64_encode(form(id) .. ":" .. form(secret)), ""
  elseif conf.auth == "post" then
    return nil, "&client_id=" .. form(id) .. "&client_secret=" .. form(secret)
  end
  return conf.auth == "bearer" and "Bearer " .. secret or nil, ""
end

function M.init(conf)
  local rules = token_lib.rules(conf)
  rules.issuer, rules.require_exp, rules.max = token_lib.copy(conf.issuer), false, ANSWER_MAX
  jwt.judge("", rules) -- raises here what it would raise for each request
  local authorization, in_form = credentials(conf)
  if authorization then
    lintel.header.check("request", "authorization", authorization)
  end
  return {
    common = token_lib.new(conf, "introspection_unavailable"), rules = rules, max = conf.max,
    url = conf.url, in_form = in_form, timeout = conf.timeout, ttl = conf.ttl,
    negative_ttl = conf.negative_ttl, secret = crypto.random_bytes(32),
    headers = { authorization = authorization, accept = "application/json",
                ["content-type"] = "application/x-www-form-urlencoded" },
    failures = trouble.new("introspection failed", "introspection works again"),
    cache = lintel.cache.new { max = conf.remember, bytes = "8M", negative_ttl = PAUSE },
  }
end

-- {claims =} or {reason =} and for how long that holds; or nil, why nothing is known and a detail.
local function inquire(state, token)
  local res, why, detail = lintel.http.post(state.url, {
    headers = state.headers, timeout = state.timeout, max = ANSWER_MAX,
    body = "token=" .. form(token) .. "&token_type_hint=access_token" .. state.in_form,
  })
  if not res then
    return nil, why, detail
  elseif res.status ~= 200 then
    return nil, "status " .. res.status
  end
  local told = json.decode(res.body)
  if type(told) ~= "table" or type(told.active) ~= "boolean" then
    return nil, "the answer does not say `active`"
  elseif not told.active then
    return { reason = "inactive_token" }, state.negative_ttl
  end
  local claims, reason = jwt.judge(res.body, state.rules)
  if claims then
    local left = claims.exp and math.max(claims.exp - lintel.now(), 0) or state.ttl
    return { claims = claims }, math.min(left, state.ttl)
  elseif reason == "malformed_token" then
    return nil, "the answer is no strict JSON"
  end
  return { reason = reason }, state.negative_ttl
end

-- The same for the cache, which keeps no failures.
local function ask(state, token)
  local known, ttl, detail = inquire(state, token)
  if not known then
    trouble.came(state.failures, { why = ttl, detail = detail })
    return nil, "introspection_unavailable"
  end
  trouble.went_well(state.failures)
  return known, ttl
end

function M.request(ctx)
  local state = ctx.state
  local token, answer = token_lib.take(ctx, state.common)
  if not token then
    return answer
  elseif #token > state.max then
    return token_lib.refuse(ctx, state.common, "token_too_large")
  end
  local key = crypto.hmac_sha256(state.secret, token)
  local known, reason = state.cache:get(key, function() return ask(state, token) end)
  if not known or known.reason then
    return token_lib.refuse(ctx, state.common, reason or known.reason)
  end
  return token_lib.admit(ctx, state.common, known.claims)
end

return M
