-- SPDX-License-Identifier: Apache-2.0
local M = {schema = {redis = {type = "secret", required = true, doc = "URL of Redis"}}}

function M.init(conf)
  return {redis = lintel.redis.new(conf.redis, {timeout = "200ms"})}
end

function M.response(ctx)
  local visits, reason = ctx.state.redis:call("INCR", "visits:" .. ctx.req.host)
  if visits then
    ctx.res.headers["X-Visits"] = tostring(visits)
  else
    ctx.log.warn("no visits counted", {reason = reason})
  end
end

return M
