-- SPDX-License-Identifier: Apache-2.0
-- rate_limit: so many requests in a time for each key, `burst` more at once.
--
-- Counted by the generic cell rate algorithm, shared by all workers and kept when the gateway restarts.
-- Clients are told where they stand by RateLimit and RateLimit-Policy
-- (draft-ietf-httpapi-ratelimit-headers) and, when refused, by Retry-After.

local M = { group = "limit" }

M.schema = {
  rate = {
    type = "rate", required = true,
    doc = "Requests per time, as in 100/1m.",
  },
  burst = {
    type = "int", default = 0, min = 0, max = 1000000,
    doc = "Requests beyond the rate that may come at once.",
  },
  key = {
    type = "expr", default = "user.id or client.ip",
    doc = "What is counted. Requests for which it is absent are not limited.",
  },
  name = {
    type = "string", default = "default",
    doc = "Name of the policy in the headers. Instances with one name, rate and key share their counts.",
  },
}

function M.init(conf)
  if conf.name:find('[^%w_.-]') then
    error("name may have letters, digits, '_', '-' and '.' only", 0)
  end
  return {
    prefix = conf.name .. "\0",
    policy = ('"%s";q=%d;w=%d'):format(conf.name, conf.rate.count, conf.rate.seconds),
    form = '"' .. conf.name .. '";r=%d;t=%d',
  }
end

local function show(headers, state, r)
  headers["ratelimit-policy"] = state.policy
  headers["ratelimit"] = state.form:format(r.remaining, r.reset)
end

function M.request(ctx)
  local conf, state = ctx.conf, ctx.state
  local key = conf.key(ctx)
  if not key then return end
  local r = lintel.limit.gcra(state.prefix .. key, conf.rate, conf.burst)
  if r.allowed then
    ctx.vars.rate_limit = r
    return
  end
  local headers = { ["retry-after"] = tostring(r.retry_after) }
  show(headers, state, r)
  return ctx:deny(429, "rate_limited", headers)
end

function M.response(ctx)
  local r = ctx.vars.rate_limit
  if r then show(ctx.res.headers, ctx.state, r) end
end

return M
