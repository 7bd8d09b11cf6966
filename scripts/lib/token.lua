-- SPDX-License-Identifier: Apache-2.0
-- What filters have in common that let requests in by the token in `Authorization: Bearer` (RFC
-- 6750): rules about its claims, refusals, and what the application is told.
local json = lintel.json

local M = {}

M.schema = {
  audience = { type = "list", of = "string", default = {},
               doc = "What this application is called in aud; empty: tokens with aud are refused, "
                 .. "\"*\": aud is not looked at." },
  scope = { type = "list", of = "string", default = {},
            doc = "Scopes that all have to be there; else 403." },
  scope_any = { type = "list", of = "string", default = {},
                doc = "Scopes of which one has to be there; else 403." },
  required = { type = "list", of = "string", default = {}, doc = "Claims that have to be there." },
  claims = { type = "map", default = {},
             doc = "Claim to what it has to be. A name as in a.b is the member b of a.",
             fields = {
               any = { type = "list", of = "string", default = {},
                       doc = "Its value, or one of a list's, is one of these." },
               all = { type = "list", of = "string", default = {},
                       doc = "It is a list that holds all of these, or the only one." },
             } },
  leeway = { type = "duration", default = "30s", max = "10m",
             doc = "By how much clocks may differ." },
  max = { type = "size", default = "16K", min = "256", max = "64K",
          doc = "Longest token." },
  user = { type = "string", default = "sub", min = 1, doc = "Claim that becomes user.id." },
  groups = { type = "string", default = "groups", min = 1,
             doc = "Claim that becomes user.groups; user.scopes is scope, or scp." },
  forward = { type = "map", of = "string", default = {},
              doc = "Claim to the header that tells the application its value; lists separated by "
                .. "commas. What clients send under these names is taken off." },
  hide = { type = "bool", default = false,
           doc = "Take the token off the request before it goes to the application." },
  realm = { type = "string", default = "api", doc = "Name of the protected area, for clients." },
}

-- The settings above beside those of the filter itself.
function M.schema_with(own)
  for name, row in pairs(M.schema) do
    own[name] = own[name] or row
  end
  return own
end

-- A copy without the wrapper that keeps settings from being changed; nil for an empty one.
function M.copy(setting)
  local plain = {}
  for key, value in pairs(setting) do
    plain[key] = value
  end
  return next(plain) ~= nil and plain or nil
end

local function claim_rules(setting)
  local rules = {}
  for name, rule in pairs(setting) do
    local any, all = M.copy(rule.any), M.copy(rule.all)
    if not any == not all then
      error("claims: " .. name .. ": write either `any` or `all`", 0)
    end
    rules[name] = any or { all = all }
  end
  return next(rules) ~= nil and rules or nil
end

-- Rules for lintel.jwt.
function M.rules(conf)
  return {
    audience = M.copy(conf.audience), scope = M.copy(conf.scope),
    scope_any = M.copy(conf.scope_any), required = M.copy(conf.required),
    claims = claim_rules(conf.claims), leeway = conf.leeway, max = conf.max,
  }
end

-- What the functions below need. unavailable: the reason that is a 503.
function M.new(conf, unavailable)
  if conf.realm:find('[%c"\\]') then
    error('realm: no control characters, no " and no \\', 0)
  end
  for _, header in pairs(conf.forward) do
    lintel.header.check("request", header, "value")
  end
  local challenge = 'Bearer realm="' .. conf.realm .. '"'
  local scopes = M.copy(conf.scope) or M.copy(conf.scope_any) or {}
  return {
    user = conf.user, groups = conf.groups, hide = conf.hide, forward = M.copy(conf.forward) or {},
    unavailable = unavailable, retry = { ["retry-after"] = "1" },
    no_token = { ["www-authenticate"] = challenge },
    two_tokens = { ["www-authenticate"] = challenge .. ', error="invalid_request"' },
    invalid = challenge .. ', error="invalid_token", error_description="',
    no_scope = { ["www-authenticate"] = challenge .. ', error="insufficient_scope", scope="'
      .. table.concat(scopes, " "):gsub('[%c"\\]', "") .. '"' },
  }
end

-- The token; or nil and the answer. What clients may not say is off the request then.
function M.take(ctx, common)
  local headers = ctx.req.headers
  for _, header in pairs(common.forward) do
    headers[header] = nil
  end
  if #headers:all("authorization") > 1 then
    return nil, ctx:deny(400, "two_tokens", common.two_tokens)
  end
  local token = ctx.req:bearer()
  if not token then
    return nil, ctx:deny(401, "missing_token", common.no_token)
  end
  return token
end

function M.refuse(ctx, common, reason)
  if reason == common.unavailable or reason == "out_of_memory" then
    return ctx:deny(503, reason, common.retry)
  elseif reason == "insufficient_scope" then
    return ctx:deny(403, reason, common.no_scope)
  end
  return ctx:deny(401, reason, { ["www-authenticate"] = common.invalid .. reason .. '"' })
end

-- The claim of that name, which may have dots in it; else the member of a claim.
local function find(claims, name)
  if claims[name] ~= nil then
    return claims[name]
  end
  for member in name:gmatch("[^.]+") do
    if type(claims) ~= "table" then
      return nil
    end
    claims = claims[member]
  end
  return claims
end

-- A claim as text: lists separated by commas, which are %2C in what they hold, anything deeper as
-- JSON. Nil: there is none.
local function text_of(value)
  if value == nil or value == json.null then
    return nil
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local items = {}
  for i, item in ipairs(value) do
    if type(item) == "table" or item == json.null then
      return json.encode(value)
    end
    items[i] = tostring(item):gsub("%%", "%%25"):gsub(",", "%%2C")
  end
  return #items > 0 and table.concat(items, ",") or next(value) and json.encode(value) or nil
end

-- The texts in a list; nil: there are none.
local function texts_of(value)
  local items = {}
  for _, item in ipairs(type(value) == "table" and value or { value }) do
    if type(item) == "string" and item ~= "" and not item:find("%c") then
      items[#items + 1] = item
    end
  end
  return #items > 0 and items or nil
end

local function scopes_of(claims)
  local scope, items = claims.scope or claims.scp, {}
  if type(scope) ~= "string" then
    return texts_of(scope)
  end
  for item in scope:gmatch("%S+") do
    items[#items + 1] = item
  end
  return texts_of(items)
end

-- Lets in: tells the application and those who come later who it is. An answer: a claim holds what
-- no header can.
function M.admit(ctx, common, claims)
  local headers = ctx.req.headers
  local id = text_of(find(claims, common.user))
  for claim, header in pairs(common.forward) do
    local text = text_of(find(claims, claim))
    if text and text:find("%c") then
      return M.refuse(ctx, common, "bad_claim")
    end
    headers[header] = text
  end
  if id and id:find("%c") then
    return M.refuse(ctx, common, "bad_claim")
  end
  if common.hide then
    headers["authorization"] = nil
  end
  if id and id ~= "" then
    ctx.user = { id = id, groups = texts_of(find(claims, common.groups)),
                 scopes = scopes_of(claims) }
  end
end

return M
