-- SPDX-License-Identifier: Apache-2.0
-- Lets webhooks in that their sender has signed: an HMAC of the body, and of the time if there is
-- one, in a header. Knows the forms of GitHub, Stripe, Slack and those alike.
local crypto = lintel.crypto

local M = { group = "auth" }

M.schema = {
  secrets = { type = "list", of = "secret", required = true, min = 1, max = 8,
              doc = "Shared with the sender; any of them fits, so that they can be changed." },
  header = { type = "string", required = true, min = 1, doc = "Header that holds the signature." },
  prefix = { type = "string", default = "", doc = "What stands before it, as in sha256=." },
  part = { type = "string",
           doc = "Name of the signature in a header such as t=1,v1=ab: v1. May occur again." },
  hash = { type = "enum", values = { "sha1", "sha256", "sha384", "sha512" }, default = "sha256",
           doc = "Hash of the HMAC." },
  encoding = { type = "enum", values = { "hex", "base64" }, default = "hex",
               doc = "How the signature is written." },
  signed = { type = "string", default = "{body}",
             doc = "What is signed, with {body}, {timestamp}, {method} and {path} in it." },
  timestamp = { type = "string",
                doc = "Where the time is, in seconds since 1970: a header, or with `part` the name "
                  .. "in the same header." },
  tolerance = { type = "duration", default = "5m", min = "1s", max = "1d",
                doc = "By how much the time may be off, which bounds replays." },
  max = { type = "size", default = "1M", max = "8M", doc = "Largest body." },
}

local SECRET_MIN = 16

-- The parts of `signed`: plain texts, and names of placeholders as {name}.
local function compile(signed)
  local parts, at = {}, 1
  local known = { body = true, timestamp = true, method = true, path = true }
  while at <= #signed do
    local from, to, name = signed:find("{(%w*)}", at)
    if not from then
      parts[#parts + 1] = signed:sub(at)
      break
    end
    if not known[name] then
      error("signed: there is no {" .. name .. "}, only {body}, {timestamp}, {method}, {path}", 0)
    end
    if from > at then
      parts[#parts + 1] = signed:sub(at, from - 1)
    end
    parts[#parts + 1] = { name }
    parts[name], at = true, to + 1
  end
  if not parts.body then
    error("signed: without {body} anybody could change it", 0)
  end
  return parts
end

function M.init(conf)
  local secrets = {}
  for i, secret in ipairs(conf.secrets) do
    if #secret < SECRET_MIN then
      error("secrets: number " .. i .. " has less than 16 bytes", 0)
    end
    secrets[i] = secret
  end
  local parts = compile(conf.signed)
  if parts.timestamp and not conf.timestamp or conf.timestamp and not parts.timestamp then
    error("timestamp: what is signed has to have {timestamp}, and the other way round", 0)
  end
  return {
    secrets = secrets, parts = parts, header = conf.header:lower(), prefix = conf.prefix,
    part = conf.part, hash = conf.hash, tolerance = conf.tolerance, max = conf.max,
    timestamp = conf.timestamp and (conf.part and conf.timestamp or conf.timestamp:lower()),
    decode = conf.encoding == "hex" and crypto.hex_decode or crypto.base64_decode,
  }
end

-- Bytes of a field with signatures.
local FIELD_MAX = 4096

-- The values of NAME in "t=1,v1=ab,v1=cd".
local function values_of(text, name)
  local values = {}
  for item in text:gmatch("[^,]+") do
    local key, value = item:match("^%s*([^=%s]+)=(%S*)")
    if key == name then
      values[#values + 1] = value
    end
  end
  return values
end

-- The signatures as bytes, at most eight; and the time as it is written.
local function read_fields(state, headers)
  local text = headers[state.header]
  if #text > FIELD_MAX then
    return {}, nil
  end
  local timestamp = state.timestamp
  if timestamp then
    timestamp = state.part and values_of(text, timestamp)[1] or headers[timestamp]
  end
  local signatures = {}
  for i, one in ipairs(state.part and values_of(text, state.part) or { text }) do
    local bare = one:sub(1, #state.prefix) == state.prefix and one:sub(#state.prefix + 1)
    signatures[#signatures + 1] = i <= 8 and bare and state.decode(bare) or nil
  end
  return signatures, timestamp
end

-- Digits only: what is signed is the text, and each time has one.
local function is_fresh(state, timestamp)
  local seconds = #timestamp <= 12 and timestamp:match("^%d+$") and tonumber(timestamp)
  return seconds and math.abs(lintel.now() - seconds) <= state.tolerance
end

local function signed_text(state, values)
  local texts = {}
  for i, part in ipairs(state.parts) do
    texts[i] = type(part) == "table" and values[part[1]] or part
  end
  return table.concat(texts)
end

-- Each pair is tried, in constant time for each.
local function fits(state, text, signatures)
  local found = false
  for _, secret in ipairs(state.secrets) do
    for _, signature in ipairs(signatures) do
      found = crypto.verify(state.hash, secret, text, signature) or found
    end
  end
  return found
end

local statuses = { too_large = 413, no_memory = 503 }

function M.request(ctx)
  local state, req = ctx.state, ctx.req
  local n = #req.headers:all(state.header)
  if n ~= 1 then
    return ctx:deny(401, n == 0 and "missing_signature" or "two_signatures")
  end
  local signatures, timestamp = read_fields(state, req.headers)
  if state.timestamp and not timestamp then
    return ctx:deny(401, "missing_timestamp")
  end
  if timestamp and not is_fresh(state, timestamp) then
    return ctx:deny(401, "stale_timestamp")
  end
  if #signatures == 0 then
    return ctx:deny(401, "bad_signature")
  end
  local body, reason = req:body { max = state.max }
  if not body then
    local status = statuses[reason] or error("the body can't be read: " .. reason)
    return ctx:deny(status, "body_" .. reason)
  end
  local text = signed_text(state,
    { body = body, timestamp = timestamp, method = req.method, path = req.path })
  if not fits(state, text, signatures) then
    return ctx:deny(401, "bad_signature")
  end
end

return M
