-- SPDX-License-Identifier: Apache-2.0
-- key_auth: lets only those through who send a known API key.
--
-- Keys are kept as SHA-256 digests, so that neither the configuration nor a dump of it holds a key. The
-- key never reaches the application; the name of whoever it belongs to does.

local M = { group = "auth" }

M.schema = {
  keys = {
    type = "map", of = "secret", required = true,
    doc = "Who may come in: a name and the SHA-256 digest of the key, 64 hexadecimal digits.",
  },
  header = {
    type = "string", default = "x-api-key",
    doc = "Request header that carries the key.",
  },
  forward_as = {
    type = "string", default = "x-consumer",
    doc = "Request header in which the application gets the name of the key's owner.",
  },
}

function M.init(conf)
  local owner = {}
  for name, digest in pairs(conf.keys) do
    digest = digest:lower()
    if #digest ~= 64 or digest:find("[^0-9a-f]") then
      error("keys." .. name .. " is not a SHA-256 digest: 64 hexadecimal digits are wanted", 0)
    end
    if owner[digest] then
      error("keys." .. name .. " and keys." .. owner[digest] .. " are the same key", 0)
    end
    owner[digest] = name
  end
  return { owner = owner }
end

function M.request(ctx)
  local conf, headers = ctx.conf, ctx.req.headers
  local key = headers[conf.header]
  if not key then
    return ctx:deny(401, "missing_api_key", { ["www-authenticate"] = "ApiKey" })
  end
  local name = ctx.state.owner[lintel.crypto.sha256_hex(key)]
  if not name then
    return ctx:deny(401, "unknown_api_key", { ["www-authenticate"] = "ApiKey" })
  end
  headers[conf.header] = nil
  headers[conf.forward_as] = name
  ctx.user = { id = name }
end

return M
