-- SPDX-License-Identifier: Apache-2.0
-- So many requests per key and time, or at the same time. Tells clients what is left by RateLimit
-- and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers), and with a refusal when to come back
-- by Retry-After. Counts in memory; with `redis` for all Lintels together, and in memory while Redis
-- does not answer.
local M = { group = "limit" }

M.schema = {
  key = { type = "expr", default = "user.id or client.ip",
          doc = "What is counted: requests with the same text share a limit." },
  rate = { type = "list", of = "rate", single = true, max = 8,
           doc = "Requests per time, as in 100/1m, or a list of such: all have to allow a request." },
  burst = { type = "int", default = 0, min = 0, max = 1000000,
            doc = "Requests that may come at once besides, for each rate." },
  cost = { type = "expr",
           doc = "As how many requests one counts; 1 where it is no number. Never let clients say "
             .. "it, as by a header of theirs." },
  in_flight = { type = "int", default = 0, min = 0, max = 1000,
                doc = "Requests of a key that may be in progress at the same time in this Lintel, "
                  .. "responses and tunnels included; 0: any number." },
  ipv6_prefix = { type = "int", default = 64, min = 1, max = 128,
                  doc = "Keys that are IPv6 addresses are the same if so many bits are: a network "
                    .. "has at least 64 to choose from." },
  dry_run = { type = "bool", default = false,
              doc = "Counts and says in metrics and log what would be refused, and refuses "
                .. "nothing. Clients are told nothing." },
  name = { type = "string", max = 100,
           doc = "Name in the RateLimit fields. Instances of the same name share their counts; "
             .. "without a name each counts for itself." },
  redis = { type = "secret",
            doc = "URL of the Redis in which all Lintels count together, as for lintel.redis." },
  algorithm = { type = "enum", values = { "gcra", "window", "sliding" }, default = "gcra",
                doc = "How Redis counts. gcra: `rate` and `burst` at once, then evenly. window: so "
                  .. "many in each period of the clock, exactly. sliding: so many in any period, "
                  .. "estimated from the last two." },
  timeout = { type = "duration", default = "100ms", min = "1ms", max = "10s",
              doc = "How long a request may wait for Redis. After one that did in vain none does: "
                .. "this Lintel counts alone, and tries again each second beside the requests." },
}

-- One step in Redis, by its clock. KEYS: one per rate. ARGV: algorithm, cost, then for each rate
-- count, period in microseconds and burst. Gives whether the request may pass, and of the strictest
-- rate the number, what remains, and the microseconds until one may pass and all is back.
local COUNT = [[
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local algorithm, cost = ARGV[1], tonumber(ARGV[2])
local strictest, writes = nil, {}

local function gcra(key, period, count, capacity, ask)
  local emission = period / count
  local window = emission * capacity
  local used = (tonumber(redis.call('GET', key)) or 0) - now
  used = math.min(math.max(used, 0), window)
  local wanted = used + emission * ask
  local ok = wanted <= window + 1
  if ok then
    used = wanted
    writes[#writes + 1] = {'SET', key, string.format('%.0f', now + used), 'PX', math.ceil(used / 1000) + 1}
  end
  return ok, math.floor((window - used) / emission + 0.001), wanted - window, used
end

local function by_clock(key, period, capacity, ask)
  local number = math.floor(now / period)
  local rest = (number + 1) * period - now
  local saved = redis.call('HMGET', key, 'number', 'count', 'before')
  local counted, before = tonumber(saved[2]) or 0, tonumber(saved[3]) or 0
  local age = number - (tonumber(saved[1]) or 0)
  if age == 1 then
    counted, before = 0, counted
  elseif age ~= 0 then
    counted, before = 0, 0
  end
  local sliding = algorithm == 'sliding'
  local weighed = sliding and before * rest / period or 0
  local ok = counted + weighed + ask <= capacity + 0.000001
  if ok then
    counted = counted + ask
    writes[#writes + 1] = {'HSET', key, 'number', string.format('%.0f', number), 'count', counted, 'before', before}
    writes[#writes + 1] = {'PEXPIRE', key, math.ceil((rest + (sliding and period or 0)) / 1000) + 1000}
  end
  local retry = rest
  if sliding and counted + ask <= capacity then
    retry = (counted + weighed + ask - capacity) / before * period
  elseif sliding then
    retry = rest + (1 - (capacity - ask) / counted) * period
  end
  return ok, math.max(math.floor(capacity - counted - weighed + 0.000001), 0), ok and 0 or retry,
    rest + (sliding and counted > 0 and period or 0)
end

for i, key in ipairs(KEYS) do
  local count, period = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local capacity = count + tonumber(ARGV[3 * i + 2])
  local ask = math.min(cost, capacity)
  local ok, left, retry, reset
  if algorithm == 'gcra' then
    ok, left, retry, reset = gcra(key, period, count, capacity, ask)
  else
    ok, left, retry, reset = by_clock(key, period, capacity, ask)
  end
  local s = strictest
  if not s or (s.ok and not ok) or (ok and s.ok and left < s.left)
    or (not ok and not s.ok and retry > s.retry) then
    strictest = {ok = ok, i = i, left = left, retry = retry, reset = reset}
  end
end
if strictest.ok and cost > 0 then
  for _, write in ipairs(writes) do
    redis.call(unpack(write))
  end
end
return {strictest.ok and 1 or 0, strictest.i, strictest.left,
        math.ceil(math.max(strictest.retry, 0)), math.ceil(strictest.reset)}
]]

-- Of Redis, when it has failed: for so many seconds it is not asked again.
local REST = 1

-- What is the same for all requests to Redis.
local function join_fleet(state, conf)
  state.client = lintel.redis.new(conf.redis,
                                  { timeout = conf.timeout, connect_timeout = conf.timeout })
  -- The value for "state" is "down" or nothing. One that is over is still given while the next one
  -- is found out, so no request waits for that.
  state.link = lintel.cache.new { max = 1, ttl = REST, stale = 31536000 }
  state.algorithm, state.suffixes, state.rates = conf.algorithm, {}, {}
  for i, rate in ipairs(conf.rate) do
    local period = math.floor(rate.seconds * 1000 + 0.5)
    state.suffixes[i] = ("}:%s:%d:%d"):format(conf.algorithm, period, i)
    state.rates[#state.rates + 1] = tostring(rate.count)
    state.rates[#state.rates + 1] = ("%d"):format(period * 1000)
    state.rates[#state.rates + 1] = tostring(conf.burst)
  end
  -- Whether Redis takes writes again, by a key that lies where the one lies that failed.
  state.probe = function()
    if not state.tried then
      return "up", REST -- it has answered since
    end
    local reply = state.client:call("SET", state.tried .. "}:probe", "1", "PX", "1000")
    return reply and "up" or "down", REST
  end
end

function M.init(conf)
  local rates = conf.rate or {}
  if #rates == 0 and conf.in_flight == 0 then
    error("say a rate, in_flight, or both", 0)
  end
  if conf.redis and #rates == 0 then
    error("redis counts rates, in_flight is counted here: say a rate, or leave redis out", 0)
  end
  if conf.algorithm ~= "gcra" and not conf.redis then
    error("algorithm: window and sliding count in Redis: say which by redis, or leave it out", 0)
  end
  local state = {
    key = conf.key, cost = conf.cost or false, counts = #rates > 0, in_flight = conf.in_flight > 0,
    client = false,
    limit = lintel.limit.new {
      key = conf.key, rate = #rates > 0 and rates or nil, burst = conf.burst,
      in_flight = conf.in_flight,
      ipv6_prefix = conf.ipv6_prefix, dry_run = conf.dry_run, name = conf.name,
      fleet = conf.redis ~= nil,
    },
  }
  if conf.redis then
    join_fleet(state, conf)
  end
  return state
end

local function cost_of(ctx, cost)
  local n = tonumber(cost(ctx) or 1)
  if not n or n ~= n then
    return 1
  end
  return math.floor(math.min(math.max(n, 0), 1000000000))
end

-- Counts in Redis. The first result is false when that did not work.
local function take_in_redis(ctx, state, cost)
  if state.tried then
    if state.link:get("state", state.probe) ~= "up" then
      return false
    end
    lintel.log.info("limits are counted in Redis again")
    state.tried = nil
  end
  local key = state.key(ctx)
  local id = "lintel:{" .. state.limit:id(key)
  local keys, args = {}, { state.algorithm, tostring(cost) }
  for i, suffix in ipairs(state.suffixes) do
    keys[i] = id .. suffix
  end
  table.move(state.rates, 1, #state.rates, 3, args)
  local reply, why, text = state.client:eval(COUNT, keys, args)
  if type(reply) == "table" and #reply == 5 then
    return true, state.limit:judge(ctx, key, reply[2], reply[1] == 1, reply[3], reply[4], reply[5])
  end
  if not state.tried then
    lintel.log.warn("limits are counted by this Lintel alone", { why = why, detail = text })
  end
  state.tried = id
  state.link:set("state", "down", REST)
  return false
end

local function refuse(ctx, reason, retry_after)
  return ctx:deny(429, reason, { ["retry-after"] = retry_after })
end

function M.request(ctx)
  local state = ctx.state
  local limit, cost, retry_after = state.limit, state.cost, nil
  if state.in_flight then
    retry_after = limit:enter(ctx)
    if retry_after then
      return refuse(ctx, "too_many_in_flight", retry_after)
    end
  end
  cost = cost and cost_of(ctx, cost) or 1
  local counted = not state.counts
  if state.client then
    counted, retry_after = take_in_redis(ctx, state, cost)
    if not counted then
      limit:fell_back()
    end
  end
  if not counted then
    retry_after = limit:take(ctx, nil, cost)
  end
  if retry_after then
    return refuse(ctx, "rate_limited", retry_after)
  end
end

return M
