-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in that carry a token of our identity provider, signed with a secret that we share.
local M = { group = "auth" }

M.schema = {
  secret = { type = "secret", required = true, doc = "Shared with the provider; 32 bytes or more." },
}

function M.init(conf)
  return {
    keys = lintel.jwt.keys { secret = conf.secret },
    rules = { issuer = "https://id.example.com/", audience = { "orders", "stock" }, leeway = 30 },
  }
end

function M.request(ctx)
  local state = ctx.state
  local claims, reason = lintel.jwt.verify(ctx.req:bearer() or "", state.keys, state.rules)
  if not claims then
    return ctx:deny(401, reason, { ["www-authenticate"] = 'Bearer error="invalid_token"' })
  end
  ctx.user = { id = claims.sub, tenant = claims.tenant }
end

return M
