-- SPDX-License-Identifier: Apache-2.0
-- Asks two services at once, and tells the application what they know. Each has 200 ms; without an
-- answer the request goes on, and the log says why.
local M = { group = "transform" }

M.schema = {
  profile = { type = "url", required = true, doc = "Answers {\"name\": TEXT}." },
  basket = { type = "url", required = true, doc = "Answers {\"items\": NUMBER}." },
}

local function ask(ctx, url)
  local res, reason = lintel.http.post(url, { json = { user = ctx.user.id }, timeout = "200ms" })
  local value = res and res.status == 200 and res:json()
  if not value then
    ctx.log.warn("no answer", { url = url, why = reason or "unexpected_answer" })
  end
  return value or {}
end

function M.request(ctx)
  ctx.req.headers["x-user-name"] = nil
  ctx.req.headers["x-basket-items"] = nil
  if not ctx.user then
    return
  end
  local profile, basket = ctx:parallel {
    function() return ask(ctx, ctx.conf.profile) end,
    function() return ask(ctx, ctx.conf.basket) end,
  }
  if profile.name then -- in base64, since a name may have any letters
    ctx.req.headers["x-user-name"] = lintel.crypto.base64_encode(profile.name)
  end
  ctx.req.headers["x-basket-items"] = basket.items
end

return M
