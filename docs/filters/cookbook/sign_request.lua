-- SPDX-License-Identifier: Apache-2.0
-- Signs requests to the application, so that it can tell that they came through the gateway:
-- X-Signature is the HMAC-SHA-256 of time, method, target and digest of the body.
local crypto = lintel.crypto

local M = { group = "auth" }

M.schema = {
  secret = { type = "secret", required = true, min = 32, doc = "Shared with the application." },
  max = { type = "size", default = "1M", max = "8M", doc = "Largest body that is signed." },
}

-- Bodies are read here: `upstream` comes when the request is ready to leave.
function M.request(ctx)
  local body, reason = ctx.req:body { max = ctx.conf.max }
  if not body then
    return ctx:deny(reason == "too_large" and 413 or 400, "body_" .. reason)
  end
  ctx.vars["sign.digest"] = crypto.sha256_hex(body)
end

-- The last filters may have changed the head: sign what leaves.
function M.upstream(ctx)
  local time = math.floor(lintel.now())
  local text = table.concat({ time, ctx.req.method, ctx.req.target, ctx.vars["sign.digest"] }, "\n")
  ctx.req.headers["x-signature-time"] = time
  ctx.req.headers["x-signature"] = crypto.hmac_sha256_hex(ctx.conf.secret, text)
end

return M
