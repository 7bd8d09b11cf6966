-- SPDX-License-Identifier: Apache-2.0
-- Asks a service of yours about each request: 2xx lets it in, any other answer is the client's, as a
-- redirect to a login is. The service sees method, place and chosen fields of the request, never its
-- body.
local trouble = require "lib.trouble"
local crypto = lintel.crypto

-- Bytes of an answer that a client gets.
local BODY_MAX = "256K"

local M = { group = "auth" }

M.schema = {
  url = { type = "url", required = true, doc = "What is asked, by GET." },
  headers = { type = "list", of = "string", default = { "authorization", "cookie" },
              doc = "Fields of the request that the service gets, beside X-Forwarded-Method, "
                .. "-Proto, -Host, -Uri and -For." },
  copy = { type = "list", of = "string", default = {},
           doc = "Fields of a 2xx that the application gets. What clients send under these names "
             .. "is taken off." },
  user = { type = "string", doc = "Field of a 2xx that becomes user.id." },
  answer = { type = "list", of = "string",
             default = { "location", "www-authenticate", "set-cookie", "content-type",
                         "cache-control" },
             doc = "Fields of any other answer that the client gets." },
  timeout = { type = "duration", default = "1s", min = "1ms", max = "1m",
              doc = "For the service's answer." },
  ttl = { type = "duration", default = "0s", max = "1h",
          doc = "How long a 2xx holds for requests with the same `headers`, method, place and "
            .. "client address; 0s: each is asked about." },
  any_uri = { type = "bool", default = false,
              doc = "With ttl: a 2xx holds for all methods and paths of its host." },
  remember = { type = "int", default = 10000, min = 1, max = 100000,
               doc = "Answers that are remembered, in each worker." },
}

-- The names in small letters; raises when a field of that side can't be one.
local function names(side, list)
  local lower = {}
  for i, name in ipairs(list) do
    lintel.header.check(side, name, "value")
    lower[i] = name:lower()
  end
  return lower
end

function M.init(conf)
  return {
    url = conf.url, headers = names("request", conf.headers), copy = names("request", conf.copy),
    answer = names("response", conf.answer), user = conf.user and conf.user:lower(),
    timeout = conf.timeout, ttl = conf.ttl, any_uri = conf.any_uri,
    secret = crypto.random_bytes(32), silence = trouble.new("no answer", "it answers again"),
    cache = conf.ttl > 0 and lintel.cache.new { max = conf.remember, bytes = "8M",
                                                negative_ttl = "1s" } or nil,
  }
end

-- The question, and what it is remembered by; no key: by nobody, for it says nothing of who asks.
local function question(ctx, state)
  local req = ctx.req
  local sent = {
    ["x-forwarded-method"] = req.method, ["x-forwarded-proto"] = req.scheme,
    ["x-forwarded-host"] = req.host, ["x-forwarded-uri"] = req.target,
    ["x-forwarded-for"] = ctx.client.ip, accept = req.headers["accept"],
  }
  local place = state.any_uri and "" or req.method .. "\n" .. req.target
  local parts, known = { req.scheme, req.host, ctx.client.ip, place }, false
  for _, name in ipairs(state.headers) do
    local values = req.headers:all(name)
    sent[name] = values
    known = known or #values > 0
    parts[#parts + 1] = name
    for _, value in ipairs(values) do
      parts[#parts + 1] = "=" .. value
    end
  end
  return sent, known and crypto.hmac_sha256(state.secret, table.concat(parts, "\n")) or nil
end

-- {passes =, status =, fields =, body =} and for how long it holds; or nil and why there is none.
local function ask(state, sent)
  local res, why, detail = lintel.http.get(state.url, {
    headers = sent, timeout = state.timeout, max = BODY_MAX,
  })
  if not res then
    trouble.came(state.silence, { why = why, detail = detail })
    return nil, "auth_unavailable"
  end
  trouble.went_well(state.silence)
  local passes = res.status < 300
  local fields, body = {}, nil
  for _, name in ipairs(passes and state.copy or state.answer) do
    fields[name] = res.headers:all(name)
  end
  if not passes then
    body = res.body
  end
  local kept = (res.headers["cache-control"] or ""):lower()
  local holds = passes and not kept:find("no-store", 1, true) and not kept:find("no-cache", 1, true)
  return { passes = passes, status = res.status, fields = fields, body = body,
           user = passes and state.user and res.headers[state.user] }, holds and state.ttl or 0
end

-- The service's answer as ours.
local function tell(ctx, known)
  local first = {}
  for name, values in pairs(known.fields) do
    first[name] = values[1]
    for i = 2, #values do
      ctx.res.headers:add(name, values[i])
    end
  end
  local bodiless = known.status == 304
  return ctx:respond { status = known.status, headers = first,
                       body = not bodiless and known.body or nil }
end

function M.request(ctx)
  local state, headers = ctx.state, ctx.req.headers
  local sent, key = question(ctx, state)
  for _, name in ipairs(state.copy) do
    headers[name] = nil
  end
  local known, why
  if state.cache and key then
    known, why = state.cache:get(key, function() return ask(state, sent) end)
  else
    known, why = ask(state, sent)
  end
  if not known then
    return ctx:deny(503, why, { ["retry-after"] = "1" })
  elseif not known.passes then
    return tell(ctx, known)
  end
  for name, values in pairs(known.fields) do
    for _, value in ipairs(values) do
      headers:add(name, value)
    end
  end
  if known.user and known.user ~= "" then
    ctx.user = { id = known.user }
  end
end

return M
