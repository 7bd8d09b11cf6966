-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in that carry a JSON Web Token (RFC 7519) in `Authorization: Bearer`. A key decides
-- which algorithms it may be used with; nothing in a token can name another key or place.
local jwt, json = lintel.jwt, lintel.json

local M = { group = "auth" }

M.schema = {
  jwks = { type = "secret", doc = "Keys as a JWK Set, as in ${file:/etc/lintel/keys.json}." },
  pem = { type = "list", of = "string", default = {},
          doc = "Public keys and certificates in PEM form, one each." },
  secrets = { type = "list", of = "secret", default = {},
              doc = "Secrets for HS256 (32 bytes or more), HS384 (48) and HS512 (64)." },
  algs = { type = "list", of = "enum", default = {},
           values = { "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384",
                      "PS512", "ES256", "ES384", "ES512", "EdDSA" },
           doc = "Algorithms that are accepted; empty: what the keys can be used with." },
  issuer = { type = "list", of = "string", default = {},
             doc = "Accepted values of iss; empty: any." },
  audience = { type = "list", of = "string", default = {},
               doc = "What this application is called in aud; empty: tokens with aud are refused, "
                 .. "\"*\": aud is not looked at." },
  scope = { type = "list", of = "string", default = {},
            doc = "Scopes that all have to be there; else 403." },
  required = { type = "list", of = "string", default = {}, doc = "Claims that have to be there." },
  claims = { type = "map", of = "string", default = {},
             doc = "Claim to the value that it has to have, or to hold if it is a list." },
  typ = { type = "string", doc = "What typ in the header has to be, as in at+jwt." },
  leeway = { type = "duration", default = "30s", max = "10m",
             doc = "By how much clocks may differ." },
  require_exp = { type = "bool", default = true, doc = "Refuse tokens that never expire." },
  max = { type = "size", default = "16K", min = "256", max = "64K",
          doc = "Longest token." },
  user = { type = "string", default = "sub", min = 1, doc = "Claim that becomes user.id." },
  forward = { type = "map", of = "string", default = {},
              doc = "Claim to the header that tells the application its value. What clients send "
                .. "under these names is taken off." },
  hide = { type = "bool", default = false,
           doc = "Take the token off the request before it goes to the application." },
  realm = { type = "string", default = "api", doc = "Name of the protected area, for clients." },
}

-- A copy without the wrapper that keeps settings from being changed; nil for an empty one.
local function copy(setting)
  local plain = {}
  for key, value in pairs(setting) do
    plain[key] = value
  end
  return next(plain) ~= nil and plain or nil
end

-- The keys can be used with at least one of the algorithms, and each of those with a key.
local function check_algs(wanted, possible)
  local known = {}
  for _, alg in ipairs(possible) do
    known[alg] = true
  end
  for _, alg in ipairs(wanted or {}) do
    if not known[alg] then
      error("algs: no key can be used with " .. alg .. ", only with "
        .. table.concat(possible, ", "), 0)
    end
  end
end

function M.init(conf)
  if conf.realm:find('[%c"\\]') then
    error('realm: no control characters, no " and no \\', 0)
  end
  for _, header in pairs(conf.forward) do
    lintel.header.check("request", header, "value")
  end
  local keys = jwt.keys { jwks = conf.jwks, pem = copy(conf.pem), secret = copy(conf.secrets) }
  local rules = {
    algs = copy(conf.algs), issuer = copy(conf.issuer), audience = copy(conf.audience),
    scope = copy(conf.scope), required = copy(conf.required), claims = copy(conf.claims),
    typ = conf.typ, leeway = conf.leeway, require_exp = conf.require_exp, max = conf.max,
  }
  check_algs(rules.algs, keys:algs())
  jwt.verify("", keys, rules) -- raises here what it would raise for each request
  local challenge = 'Bearer realm="' .. conf.realm .. '"'
  local scope = table.concat(rules.scope or {}, " ")
  return {
    keys = keys, rules = rules, user = conf.user, hide = conf.hide,
    forward = copy(conf.forward) or {},
    no_token = { ["www-authenticate"] = challenge },
    two_tokens = { ["www-authenticate"] = challenge .. ', error="invalid_request"' },
    invalid = challenge .. ', error="invalid_token", error_description="',
    no_scope = { ["www-authenticate"] = challenge .. ', error="insufficient_scope", scope="'
      .. scope:gsub('[%c"\\]', "") .. '"' },
  }
end

-- A claim as the text of a header: lists and objects as JSON. Nil: it has none.
local function text_of(value)
  if value == nil or value == json.null then
    return nil
  end
  return type(value) == "table" and json.encode(value) or tostring(value)
end

local function refuse(ctx, state, reason)
  assert(reason ~= "out_of_memory", reason)
  if reason == "insufficient_scope" then
    return ctx:deny(403, reason, state.no_scope)
  end
  return ctx:deny(401, reason, { ["www-authenticate"] = state.invalid .. reason .. '"' })
end

-- Sets the headers; false: a claim holds what no header can.
local function forward(headers, names, claims)
  for claim, header in pairs(names) do
    local text = text_of(claims[claim])
    if text and text:find("%c") then
      return false
    end
    headers[header] = text
  end
  return true
end

function M.request(ctx)
  local state, headers = ctx.state, ctx.req.headers
  for _, header in pairs(state.forward) do
    headers[header] = nil
  end
  if #headers:all("authorization") > 1 then
    return ctx:deny(400, "two_tokens", state.two_tokens)
  end
  local token = ctx.req:bearer()
  if not token then
    return ctx:deny(401, "missing_token", state.no_token)
  end
  local claims, reason = jwt.verify(token, state.keys, state.rules)
  if not claims then
    return refuse(ctx, state, reason)
  end
  local id = text_of(claims[state.user])
  if not forward(headers, state.forward, claims) or (id and id:find("%c")) then
    return refuse(ctx, state, "bad_claim")
  end
  if state.hide then
    headers["authorization"] = nil
  end
  if id then
    ctx.user = { id = id }
  end
end

return M
