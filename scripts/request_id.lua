-- SPDX-License-Identifier: Apache-2.0
-- Lintel gives each request an id, keeps the one that a trusted peer sends, logs it and tells it to the
-- application as X-Request-Id. This filter does the rest: ids of another form, under another name, and
-- in responses.
local M = { group = "observe" }

M.schema = {
  format = { type = "enum", values = { "hex", "uuid", "ulid", "trace" }, default = "hex",
             doc = "`hex`: 32 digits, as without this filter; `uuid`: a random UUID; `ulid`: sorts by time; "
               .. "`trace`: the W3C trace id." },
  header = { type = "string", default = "x-request-id",
             doc = "Field of the response that tells it. Another name than X-Request-Id is told to the "
               .. "application too, and believed of trusted peers." },
  keep = { type = "bool", default = true,
           doc = "Whether an id of a trusted peer (`trust`) is kept; of others none ever is." },
}

local CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

-- The lowest 5 * n bits of number, as letters.
local function base32(number, n)
  local letters = {}
  for i = n, 1, -1 do
    local digit = number & 31
    letters[i] = CROCKFORD:sub(digit + 1, digit + 1)
    number = number >> 5
  end
  return table.concat(letters)
end

-- 48 bits of milliseconds since 1970, 80 random ones.
local function ulid()
  local high, low = string.unpack(">I5I5", lintel.crypto.random_bytes(10))
  return base32(math.floor(lintel.now() * 1000), 10) .. base32(high, 8) .. base32(low, 8)
end

local MAKERS = {
  hex = function(ctx) return ctx.id end,
  uuid = function() return lintel.uuid() end,
  ulid = ulid,
  trace = function(ctx) return ctx.trace_id end,
}

function M.init(conf)
  local name = conf.header:lower()
  local own = name ~= "x-request-id"
  for _, side in ipairs { "response", own and "request" or nil } do
    local ok, why = pcall(lintel.header.check, side, name, "x")
    if not ok then
      error("header: " .. why, 0)
    end
  end
  return { name = name, own = own, keep = conf.keep, make = MAKERS[conf.format] }
end

-- What a trusted peer calls the request, or nil.
local function known(ctx, state)
  if not state.keep or not ctx.client.trusted then
    return
  end
  local values = ctx.req.headers:all(state.name)
  local id = #values == 1 and values[1] or ""
  if #id >= 1 and #id <= 128 and not id:find('[^!-~]') and not id:find('["\\,]') then
    return id
  end
end

function M.request(ctx)
  local state = ctx.state
  local id = known(ctx, state) or state.make(ctx)
  ctx.id = id
  if state.own then
    ctx.req.headers[state.name] = id
  end
end

function M.response(ctx)
  ctx.res.headers[ctx.state.name] = ctx.id
end

return M
