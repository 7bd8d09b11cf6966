-- SPDX-License-Identifier: Apache-2.0
-- Passes each delivery of a webhook once: senders repeat what they think was lost. Put it behind
-- the filter that checks the signature.
local M = { group = "limit" }

M.schema = {
  header = { type = "string", default = "x-github-delivery", doc = "Has the id of a delivery." },
  remember = { type = "duration", default = "1d", doc = "For how long." },
}

function M.init()
  return lintel.shared.open()
end

function M.request(ctx)
  local id = ctx.req.headers[ctx.conf.header]
  if not id then
    return ctx:deny(400, "no_delivery_id")
  end
  local key = lintel.crypto.sha256(id)
  if ctx.state:add(key, true, ctx.conf.remember) == false then
    return ctx:respond { status = 200, body = "seen already\n" }
  end
  ctx.vars["once.key"] = key
end

-- What the application could not take may come again.
function M.log(ctx)
  local key = ctx.vars["once.key"]
  if key and (ctx.upstream.status or 500) >= 500 then
    ctx.state:delete(key)
  end
end

return M
