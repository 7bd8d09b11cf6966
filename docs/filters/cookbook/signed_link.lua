-- SPDX-License-Identifier: Apache-2.0
-- Lets downloads in whose link was signed by the application: ?expires=SECONDS&sig=HEX, where sig is
-- the HMAC-SHA-256 of "PATH:SECONDS".
local crypto = lintel.crypto

local M = { group = "auth" }

M.schema = {
  secret = { type = "secret", required = true, min = 16, doc = "Shared with the application." },
  max_age = { type = "duration", default = "1d", min = "1s",
              doc = "Links that expire later than this are refused." },
}

function M.request(ctx)
  local query = ctx.req.query
  local expires, sig = math.tointeger(tonumber(query.expires or "")), query.sig
  if not expires or not sig then
    return ctx:deny(403, "link_unsigned")
  end
  local wanted = crypto.hmac_sha256_hex(ctx.conf.secret, ctx.req.path .. ":" .. expires)
  if not crypto.constant_time_equal(wanted, sig:lower()) then
    ctx.log.warn("bad signature", { path = ctx.req.path })
    return ctx:deny(403, "link_forged")
  end
  local left = expires - lintel.now()
  if left < 0 or left > ctx.conf.max_age then
    return ctx:deny(410, "link_expired")
  end
  ctx.vars["signed_link.left"] = math.floor(left)
end

function M.response(ctx)
  local left = ctx.vars["signed_link.left"]
  if left and ctx.res.status == 200 then
    ctx.res.headers["cache-control"] = "private, max-age=" .. left
  end
end

return M
