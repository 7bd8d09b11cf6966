-- SPDX-License-Identifier: Apache-2.0
-- Tells clients that the application is down for maintenance; those who work on it still get in.
local M = { group = "transform" }

M.schema = {
  until_time = { type = "duration", default = "10m", doc = "When to come back, as Retry-After." },
  allow = { type = "list", of = "string", default = {}, doc = "Client addresses that get in." },
  page = { type = "string", default = "We are back soon.\n", doc = "Body of the answer." },
}

function M.init(conf)
  local allowed = {}
  for _, ip in ipairs(conf.allow) do
    allowed[ip] = true
  end
  return { allowed = allowed, retry_after = math.ceil(conf.until_time) }
end

function M.request(ctx)
  if ctx.state.allowed[ctx.client.ip] then
    return
  end
  return ctx:respond {
    status = 503,
    headers = { ["retry-after"] = ctx.state.retry_after, ["cache-control"] = "no-store" },
    body = ctx.conf.page,
  }
end

return M
