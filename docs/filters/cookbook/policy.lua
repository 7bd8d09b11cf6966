-- SPDX-License-Identifier: Apache-2.0
-- Asks a policy service whether a user may do this, before the application is asked.
local M = { group = "auth" }

M.schema = {
  url = { type = "url", required = true, doc = "Where to ask." },
  timeout = { type = "duration", default = "300ms", min = "1ms", doc = "For the whole answer." },
}

function M.request(ctx)
  local user = ctx.user and ctx.user.id
  if not user then
    return ctx:deny(401, "no_user")
  end
  local res, reason, detail = lintel.http.post(ctx.conf.url, {
    json = { user = user, method = ctx.req.method, path = ctx.req.path },
    timeout = ctx.conf.timeout,
  })
  if not res or res.status ~= 200 then
    ctx.log.error("no answer", { why = reason or "status " .. res.status, detail = detail })
    return ctx:deny(503, "policy_unavailable")
  end
  local answer = res:json()
  if not answer or answer.allow ~= true then
    return ctx:deny(403, "not_allowed")
  end
end

return M
