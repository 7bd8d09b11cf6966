-- SPDX-License-Identifier: Apache-2.0
-- Answers with the request as JSON, as the filters before it left it: to try filters without an
-- application. `lintel run --dev FILE.lua` uses it.
local M = { group = "transform" }

M.schema = {
  max = { type = "size", default = "64K", doc = "The largest body that is answered." },
}

function M.request(ctx)
  local req, headers = ctx.req, {}
  for name, value in pairs(req.headers) do
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  local body, why = req:body { max = ctx.conf.max }
  if not body then
    return ctx:deny(413, why)
  end
  return ctx:respond {
    json = {
      method = req.method,
      target = req.target,
      path = req.path,
      host = req.host,
      headers = headers,
      body = body,
      client = ctx.client.ip,
      user = ctx.user and ctx.user.id,
    },
  }
end

return M
