-- SPDX-License-Identifier: Apache-2.0
-- So many requests per key and time. Tells clients what is left by RateLimit and RateLimit-Policy
-- (draft-ietf-httpapi-ratelimit-headers), and with a refusal when to come back by Retry-After.
local gcra, announce = lintel.limit.gcra, lintel.limit.announce

local M = { group = "limit" }

M.schema = {
  key = { type = "expr", default = "user.id or client.ip",
          doc = "What is counted: requests with the same text share a limit." },
  rate = { type = "rate", required = true,
           doc = "Requests per time, as in 100/1m." },
  burst = { type = "int", default = 0, min = 0, max = 1000000,
            doc = "Requests that may come at once besides." },
  name = { type = "string", max = 100,
           doc = "Name in the RateLimit fields. Instances of the same name share their counts; "
             .. "without a name each counts for itself." },
}

function M.init(conf)
  lintel.limit.check(conf.rate, conf.burst)
  local name = conf.name or "default"
  if not name:find("^[%w_.-]+$") then
    error("name: letters, digits, '_', '.' and '-' only", 0)
  end
  local window = math.max(1, math.ceil(conf.rate.seconds))
  return {
    key = conf.key, rate = conf.rate, burst = conf.burst, scope = conf.name,
    policy = ('"%s";q=%d;w=%d'):format(name, conf.rate.count, window),
    name = name,
  }
end

function M.request(ctx)
  local state = ctx.state
  local allowed, remaining, retry_after, reset =
    gcra(tostring(state.key(ctx) or ""), state.rate, state.burst, state.scope)
  announce(ctx, state.name, state.policy, remaining, reset)
  if not allowed then
    return ctx:deny(429, "rate_limited", { ["retry-after"] = math.max(1, retry_after) })
  end
end

return M
