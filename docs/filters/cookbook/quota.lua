-- SPDX-License-Identifier: Apache-2.0
-- So many requests a day for each client, over all workers. Partners may have more: their quota is
-- looked up and remembered. Once a minute the log says how many requests were refused.
local M = { group = "limit" }

M.schema = {
  per_day = { type = "int", required = true, min = 1, doc = "Requests of one client a day." },
  partners = { type = "map", of = "int", default = {}, doc = "User to requests a day." },
}

function M.init(conf)
  return {
    conf = conf,
    counts = lintel.shared.open(),
    quotas = lintel.cache.new { max = 10000, ttl = "10m" },
  }
end

-- Stands for what asks a service: it may wait, and runs once for all requests that need it.
local function load_quota(conf, user)
  return conf.partners[user] or conf.per_day
end

function M.request(ctx)
  local state = ctx.state
  local user = ctx.user and ctx.user.id or ctx.client.ip
  local quota = state.quotas:get(user, function(key) return load_quota(state.conf, key) end)
  local today = math.floor(lintel.now() / 86400)
  if state.counts:incr(today .. " " .. user, 1, 0, "1d") > quota then
    state.counts:incr("refused")
    return ctx:deny(429, "quota_used_up")
  end
end

M.every = {
  ["1m"] = function(state)
    local refused = state.counts:get("refused") or 0
    if refused > 0 then
      state.counts:incr("refused", -refused)
      lintel.log.info("requests over their quota", { refused = refused })
    end
  end,
}

return M
