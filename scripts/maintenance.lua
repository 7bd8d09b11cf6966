-- SPDX-License-Identifier: Apache-2.0
-- Answers 503 with Retry-After instead of the application: always, while a file is there, while a flag is
-- set, or at a time. Some may pass all the same. `when` says for which requests.
local trouble = require "lib.trouble"

local M = { group = "transform", on_error = "closed" }

M.schema = {
  file = { type = "file", doc = "On while this file exists; looked for every second." },
  flag = { type = "string", min = 1, max = 100,
           doc = "On while another filter has set this flag: "
             .. "`lintel.shared.open{name = \"maintenance\"}:set(FLAG, true)`." },
  from = { type = "string", doc = "On from this time on, as in `2026-05-01T22:00:00Z` or with `+02:00`." },
  ["until"] = { type = "string", doc = "Until then; Retry-After says how long that still is." },
  retry_after = { type = "duration", default = "5m", min = "1s",
                  doc = "When clients should come back, where no end is known." },
  allow = { type = "expr", doc = "Requests that pass, as in `client.ip in [\"10.0.0.0/8\"]`." },
  pass = { type = "secret", min = 8, doc = "Requests whose cookie has this value pass." },
  cookie = { type = "string", default = "maintenance_pass", min = 1, doc = "Name of that cookie." },
  page = { type = "string", max = 262144,
           doc = "Page for clients that would rather read HTML, as in `${file:/etc/lintel/back-soon.html}`. "
             .. "Without it, and for others, the answer is as for all refusals." },
}

-- ---- time ----

-- Days from 1970-01-01 to a date of the Gregorian calendar.
local function days(year, month, day)
  local y = month <= 2 and year - 1 or year
  local m = (month + 9) % 12 -- from March on
  return 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 719469
end

-- Seconds since 1970 of a time by RFC 3339, or nil.
local function seconds(text)
  local fields = { text:match("^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ](%d%d):(%d%d):(%d%d)(.+)$") }
  local zone = fields[7]
  if not zone then
    return
  end
  local year, month, day = math.tointeger(fields[1]), math.tointeger(fields[2]), math.tointeger(fields[3])
  local hour, minute, second = tonumber(fields[4]), tonumber(fields[5]), tonumber(fields[6])
  if month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 60 then
    return
  end
  local first = days(year, month, 1)
  local after = month == 12 and days(year + 1, 1, 1) or days(year, month + 1, 1)
  local shift = 0
  if zone ~= "Z" and zone ~= "z" then
    local sign, hours, minutes = zone:match("^([+-])(%d%d):(%d%d)$")
    if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then
      return
    end
    shift = (sign == "+" and 1 or -1) * (tonumber(hours) * 3600 + tonumber(minutes) * 60)
  end
  if day > after - first then
    return
  end
  return (first + day - 1) * 86400 + hour * 3600 + minute * 60 + second - shift
end

local function time(conf, option)
  local text = conf[option]
  local value = text and seconds(text)
  if text and not value then
    error(("%s: \"%s\" is no time: write it as in 2026-05-01T22:00:00Z"):format(option, text), 0)
  end
  return value
end

-- ---- switches ----

function M.init(conf)
  local from, till = time(conf, "from"), time(conf, "until")
  if from and till and till <= from then
    error("until: it is over before it begins", 0)
  end
  return {
    file = conf.file, flag = conf.flag, from = from, till = till,
    always = not (conf.file or conf.flag or from or till),
    blind = trouble.new("can't look for the file", "the file can be looked for again"),
    own = lintel.shared.open(),
    flags = lintel.shared.open { name = "maintenance" },
  }
end

-- Looks for the file, for all workers; gives what is known then.
local function look(state)
  local there, reason, detail = lintel.file.exists(state.file)
  if there == nil then
    trouble.came(state.blind, { path = state.file, why = reason, detail = detail })
    there = state.own:get("file") or false
  else
    trouble.went_well(state.blind)
  end
  state.own:set("file", there)
  return there
end

M.every = {
  ["1s"] = function(state)
    if state.file then
      look(state)
    end
  end,
}

local function file_is_there(state)
  local there = state.own:get("file")
  if there == nil then
    return look(state) -- nobody did yet
  end
  return there
end

local function by_time(state, now)
  if not state.from and not state.till then
    return false
  end
  return (not state.from or now >= state.from) and (not state.till or now < state.till)
end

-- Whether it is on, and how many seconds that lasts if that is known.
local function is_on(state)
  local now = lintel.now()
  if by_time(state, now) then
    return true, state.till and state.till - now
  end
  return state.always or (state.flag and state.flags:get(state.flag)) or
    (state.file and file_is_there(state))
end

-- ---- requests ----

-- How much a client wants a type: q of the range in its Accept fields that fits most closely.
local function quality(accept, kind, name)
  local best, found = 0, 0
  for range in accept:gmatch("[^,]+") do
    local first, second = range:match("^%s*([^/;%s]+)/([^;%s]+)")
    local closeness = first == kind and (second == name and 3 or second == "*" and 2) or
      (first == "*" and second == "*" and 1) or 0
    if closeness > found then
      found = closeness
      best = tonumber(range:match(";%s*q=([%d.]+)")) or 1
    end
  end
  return best
end

-- Browsers write some 100 bytes; who writes more than a thousand gets no page.
local function wants_page(ctx)
  local accept = table.concat(ctx.req.headers:all("accept"), ","):lower()
  if #accept > 1000 then
    return false
  end
  local json = math.max(quality(accept, "application", "json"),
                        quality(accept, "application", "problem+json"))
  return quality(accept, "text", "html") > json
end

local function may_pass(ctx)
  local conf = ctx.conf
  if conf.allow and conf.allow(ctx) then
    return true
  end
  local cookie = conf.pass and ctx.req:cookie(conf.cookie)
  return cookie and lintel.crypto.constant_time_equal(cookie, conf.pass)
end

function M.request(ctx)
  local on, left = is_on(ctx.state)
  if not on or may_pass(ctx) then
    return
  end
  local headers = {
    ["retry-after"] = math.max(1, math.ceil(left or ctx.conf.retry_after)),
    ["cache-control"] = "no-store",
  }
  if not ctx.conf.page or not wants_page(ctx) then
    return ctx:deny(503, "maintenance", headers)
  end
  ctx.fields.maintenance = true
  headers["content-type"] = "text/html; charset=utf-8"
  headers["vary"] = "Accept"
  return ctx:respond { status = 503, headers = headers, body = ctx.conf.page }
end

return M
