-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in that carry a known key. Keys are configured as SHA-256 digests: who reads the
-- configuration can't use them.
local sha256 = lintel.crypto.sha256

local M = { group = "auth" }

M.schema = {
  header = { type = "string", default = "x-api-key", min = 1,
             doc = "Header that holds the key." },
  keys = { type = "map", of = "secret", required = true,
           doc = "Consumer to the SHA-256 digest of its key, in hexadecimal." },
  forward_as = { type = "string", default = "x-consumer",
                 doc = "Header that tells the application the consumer; empty: none." },
  hide = { type = "bool", default = true,
           doc = "Take the key off the request before it goes to the application." },
}

function M.init(conf)
  lintel.header.check("request", conf.header)
  if conf.forward_as ~= "" then
    lintel.header.check("request", conf.forward_as, "consumer")
  end
  local users = {}
  for name, hex in pairs(conf.keys) do
    local digest = lintel.crypto.hex_decode(hex)
    if not digest or #digest ~= 32 then
      error("keys: the value for " .. name .. " is not a SHA-256 digest (64 hexadecimal digits)", 0)
    end
    if users[digest] then
      error("keys: " .. name .. " and " .. users[digest].id .. " have the same key", 0)
    end
    users[digest] = { id = name }
  end
  return {
    users = users,
    header = conf.header:lower(),
    forward_as = conf.forward_as ~= "" and conf.forward_as:lower() or nil,
    hide = conf.hide,
  }
end

local challenge = { ["www-authenticate"] = "ApiKey" }

function M.request(ctx)
  local state, headers = ctx.state, ctx.req.headers
  local key = headers[state.header]
  if not key then
    return ctx:deny(401, "missing_api_key", challenge)
  end
  local user = state.users[sha256(key)]
  if not user then
    return ctx:deny(401, "unknown_api_key", challenge)
  end
  if state.hide then
    headers[state.header] = nil
  end
  if state.forward_as then
    headers[state.forward_as] = user.id
  end
  ctx.user = user
end

return M
