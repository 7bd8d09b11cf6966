-- SPDX-License-Identifier: Apache-2.0
-- Splits visitors between two upstreams, and keeps each with what they got first by a cookie.
local M = { group = "transform" }

M.schema = {
  other = { type = "string", required = true, doc = "The upstream of variant B." },
  share = { type = "percent", default = "50%", doc = "New visitors who get variant B." },
  cookie = { type = "string", default = "variant", doc = "Name of the cookie." },
}

function M.request(ctx)
  local variant = ctx.req:cookie(ctx.conf.cookie)
  if variant ~= "a" and variant ~= "b" then
    variant = math.random() < ctx.conf.share and "b" or "a"
    ctx.res.headers:add("set-cookie",
      ctx.conf.cookie .. "=" .. variant .. "; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
  end
  ctx.vars["ab.variant"] = variant
  ctx.req.headers["x-variant"] = variant
end

function M.upstream(ctx)
  if ctx.vars["ab.variant"] == "b" then
    ctx.upstream.pool = ctx.conf.other
  end
end

return M
