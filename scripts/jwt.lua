-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in that carry a JSON Web Token (RFC 7519) in `Authorization: Bearer`. A key decides
-- which algorithms it may be used with; nothing in a token can name another key or place. Keys are
-- given here, or fetched from the issuers named here.
local token_lib = require "lib.token"
local jwt, json, crypto = lintel.jwt, lintel.json, lintel.crypto

local M = { group = "auth" }

M.schema = token_lib.schema_with {
  providers = { type = "list", default = {},
                doc = "Issuers whose keys are fetched. A token is judged by the keys of its own "
                  .. "issuer alone.",
                fields = {
                  issuer = { type = "string", required = true, min = 1,
                             doc = "What iss has to be." },
                  jwks_url = { type = "url",
                               doc = "Where its keys are; without it the issuer is asked (OpenID "
                                 .. "Connect Discovery)." },
                } },
  refresh = { type = "duration", default = "15m", min = "1s", max = "1d",
              doc = "How long fetched keys are fresh; Cache-Control may say less." },
  retry = { type = "duration", default = "10s", min = "1s", max = "1d",
            doc = "Between two fetches because of keys that nobody knows." },
  stale = { type = "duration", default = "1d", max = "365d",
            doc = "How long old keys serve while the issuer does not answer." },
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
             doc = "Accepted values of iss for keys that are given here; empty: any." },
  typ = { type = "string", doc = "What typ in the header has to be, as in at+jwt." },
  require_exp = { type = "bool", default = true, doc = "Refuse tokens that never expire." },
}

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

-- Keys and the rules for tokens that are verified with them.
local function new_source(conf, keys, issuer)
  local rules = token_lib.rules(conf)
  rules.algs, rules.issuer = token_lib.copy(conf.algs), issuer
  rules.typ, rules.require_exp = conf.typ, conf.require_exp
  jwt.verify("", keys, rules) -- raises here what it would raise for each request
  return { keys = keys, rules = rules }
end

-- The source of the keys that are given; nil when there are none and others are fetched.
local function given_source(conf)
  local pem, secret = token_lib.copy(conf.pem), token_lib.copy(conf.secrets)
  if not conf.jwks and not pem and not secret and #conf.providers > 0 then
    return nil
  end
  local keys = jwt.keys { jwks = conf.jwks, pem = pem, secret = secret }
  if #conf.providers == 0 then
    check_algs(conf.algs, keys:algs())
  end
  return new_source(conf, keys, token_lib.copy(conf.issuer))
end

function M.init(conf)
  local state = {
    common = token_lib.new(conf, "keys_unavailable"), max = conf.max,
    given = given_source(conf), by_issuer = {},
  }
  for _, provider in ipairs(conf.providers) do
    local issuer = provider.issuer
    if state.by_issuer[issuer] then
      error("providers: " .. issuer .. " is there twice", 0)
    end
    local keys = lintel.jwks(provider.jwks_url or issuer, {
      discover = not provider.jwks_url, refresh = conf.refresh, retry = conf.retry,
      stale = conf.stale,
    })
    state.by_issuer[issuer] = new_source(conf, keys, issuer)
    state.first = state.first or state.by_issuer[issuer]
  end
  state.only = #conf.providers + (state.given and 1 or 0) == 1 and (state.given or state.first)
  return state
end

-- What iss says, before anything is verified; nil: nothing that could be one.
local function claimed_issuer(state, token)
  local payload = #token <= state.max and token:match("^[^.]*%.([^.]*)%.")
  local text = payload and crypto.base64url_decode(payload)
  local claims = text and json.decode(text)
  return type(claims) == "table" and type(claims.iss) == "string" and claims.iss or nil
end

-- Whose keys the token is verified with. Nil: nobody's.
local function source_of(state, token)
  if state.only then
    return state.only
  end
  local issuer = claimed_issuer(state, token)
  return issuer and state.by_issuer[issuer] or state.given or not issuer and state.first or nil
end

function M.request(ctx)
  local state = ctx.state
  local token, answer = token_lib.take(ctx, state.common)
  if not token then
    return answer
  end
  local source, claims, reason = source_of(state, token), nil, "wrong_issuer"
  if source then
    claims, reason = jwt.verify(token, source.keys, source.rules)
  end
  if not claims then
    return token_lib.refuse(ctx, state.common, reason)
  end
  return token_lib.admit(ctx, state.common, claims)
end

return M
