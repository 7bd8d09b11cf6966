-- SPDX-License-Identifier: Apache-2.0
-- Tells the application the user's plan, which a service knows. Each worker asks once a minute for
-- each user at most; while the service is down, the last answer is used for an hour.
local M = { group = "transform" }

M.schema = {
  url = { type = "url", required = true, doc = "Service that answers {\"plan\": NAME}." },
}

local function load_plan(url, user)
  local res, reason = lintel.http.post(url, { json = { user = user }, timeout = "300ms" })
  local told = res and res.status == 200 and res:json()
  if not told or type(told.plan) ~= "string" then
    return nil, reason or "unexpected_answer"
  end
  return told.plan
end

function M.init(conf)
  return {
    url = conf.url,
    plans = lintel.cache.new { max = 10000, ttl = "1m", stale = "1h", negative_ttl = "5s" },
  }
end

function M.request(ctx)
  ctx.req.headers["x-plan"] = nil -- clients don't say it
  if not ctx.user then
    return
  end
  local url = ctx.state.url -- a loader can't use ctx: it may outlive this request
  local plan, reason = ctx.state.plans:get(ctx.user.id, function(user)
    return load_plan(url, user)
  end)
  if not plan then
    ctx.log.warn("no plan", { why = reason })
  end
  ctx.req.headers["x-plan"] = plan or "unknown"
end

return M
