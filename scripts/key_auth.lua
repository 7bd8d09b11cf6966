-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in that carry a known key. Keys are configured as SHA-256 digests: who reads the
-- configuration can't use them. A key is found by its digest, so nothing of a known key is compared
-- with what a client sends, and how long the search takes says nothing of one.
local trouble = require "lib.trouble"
local crypto = lintel.crypto

local M = { group = "auth" }

M.schema = {
  keys = { type = "map", of = "secret", default = {},
           doc = "Consumer to the SHA-256 digest of its key, in hexadecimal." },
  consumers = {
    type = "map", default = {}, doc = "Consumers with groups, or with several keys.",
    fields = {
      keys = { type = "list", required = true, min = 1, doc = "Each of them is let in.",
               fields = {
                 sha256 = { type = "secret", required = true, doc = "Digest of the key." },
                 from = { type = "string",
                          doc = "Not before: a day, as in 2026-12-31, or a time, as in "
                            .. "2026-12-31T12:00:00Z; both of UTC." },
                 ["until"] = { type = "string", doc = "Not after; a day counts whole." },
               } },
      groups = { type = "list", of = "string", default = {}, doc = "What becomes user.groups." },
    },
  },
  lines = { type = "secret",
            doc = "Lines of CONSUMER DIGEST [from=DATE] [until=DATE] [groups=A,B], as in "
              .. "${file:/etc/lintel/keys}." },
  redis = { type = "secret",
            doc = "URL of a Redis that knows more keys: hashes with consumer, groups, from, until." },
  key_prefix = { type = "string", default = "lintel:key:",
                 doc = "Before the digest in the names of these hashes." },
  remember = { type = "duration", default = "30s", min = "1s", max = "1h",
               doc = "How long what Redis said is not asked again." },
  stale = { type = "duration", default = "1h", max = "1d",
            doc = "How long what it said counts while it can't be asked." },
  header = { type = "string", default = "x-api-key",
             doc = "Header that holds the key; empty: none." },
  authorization = { type = "bool", default = false,
                    doc = "Look into `Authorization: ApiKey KEY` and `Bearer KEY` as well." },
  query = { type = "string", min = 1,
            doc = "Query parameter that may hold the key. Keys in URLs end up in logs." },
  cookie = { type = "string", min = 1, doc = "Cookie that may hold the key." },
  forward_as = { type = "string", default = "x-consumer",
                 doc = "Header that tells the application the consumer; empty: none." },
  hide = { type = "bool", default = true,
           doc = "Take the key off the request before it goes to the application." },
}

-- ---- dates ----

local DAY = 86400

-- Days from 1970-01-01 to a date; nil: there is no such day.
local function days_to(year, month, day)
  local lengths = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  lengths[2] = leap and 29 or 28
  if month < 1 or month > 12 or day < 1 or day > lengths[month] then
    return nil
  end
  local before = year - 1
  local days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
  for i = 1, month - 1 do
    days = days + lengths[i]
  end
  return days + day - 1
end

-- When a time, or the day of a date, begins and ends: seconds since 1970. Nil: it is none.
local function seconds_of(text)
  local year, month, day, rest = text:match("^(%d%d%d%d)-(%d%d)-(%d%d)(.*)$")
  local days = year and days_to(tonumber(year), tonumber(month), tonumber(day))
  if not days then
    return nil
  end
  if rest == "" then
    return days * DAY, (days + 1) * DAY
  end
  local hour, minute, second = rest:match("^T(%d%d):(%d%d):(%d%d)Z$")
  if not hour or tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 then
    return nil
  end
  local at = days * DAY + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
  return at, at
end

-- ---- keys ----

-- A key of a consumer: who it is, and if it is dated from when and until when. Nil and why: the
-- dates are none.
local function new_key(id, groups, from, till)
  local key = { user = { id = id, groups = groups } }
  if from then
    key.from = seconds_of(from)
  end
  if till then
    key.till = select(2, seconds_of(till))
  end
  if (from and not key.from) or (till and not key.till) then
    return nil, "a date is written 2026-12-31 or 2026-12-31T12:00:00Z"
  end
  key.dated = from ~= nil or till ~= nil
  return key
end

local function add_key(keys, hex, id, groups, from, till)
  local digest = crypto.hex_decode(hex)
  if not digest or #digest ~= 32 then
    error("the value for " .. id .. " is not a SHA-256 digest (64 hexadecimal digits)", 0)
  end
  if digest == crypto.sha256("") then
    error("the value for " .. id .. " is the digest of no key at all: what was hashed was empty", 0)
  end
  if keys[digest] then
    error(id .. " and " .. keys[digest].user.id .. " have the same key", 0)
  end
  local key, why = new_key(id, groups, from, till)
  if not key then
    error("the key of " .. id .. ": " .. why, 0)
  end
  keys[digest] = key
end

-- The words of a list with commas; nil: there are none.
local function list_of(text)
  local list = {}
  for word in (text or ""):gmatch("[^,%s]+") do
    list[#list + 1] = word
  end
  return #list > 0 and list or nil
end

local function add_line(keys, line)
  local id, hex, rest = line:match("^%s*(%S+)%s+(%x+)(.*)$")
  if not id or rest:find("^%S") then
    error("a line is not CONSUMER DIGEST", 0)
  end
  local more = {}
  for word in rest:gmatch("%S+") do
    local name, value = word:match("^(%l+)=(.+)$")
    if not (name == "from" or name == "until" or name == "groups") or more[name] then
      error("after the digest of " .. id .. " there may be from=, until= and groups=, once each", 0)
    end
    more[name] = value
  end
  add_key(keys, hex, id, list_of(more.groups), more.from, more["until"])
end

-- Digest to key, of all that the settings hold.
local function read_keys(conf)
  local keys = {}
  for id, hex in pairs(conf.keys) do
    add_key(keys, hex, id)
  end
  for id, consumer in pairs(conf.consumers) do
    for _, key in ipairs(consumer.keys) do
      add_key(keys, key.sha256, id, #consumer.groups > 0 and consumer.groups or nil, key.from,
        key["until"])
    end
  end
  for line in (conf.lines or ""):gmatch("[^\r\n]+") do
    if not line:find("^%s*#") and line:find("%S") then
      add_line(keys, line)
    end
  end
  return keys
end

-- ---- where keys are ----

-- What a setting names, in small letters; nil: nothing.
local function lower_name(text)
  return text ~= "" and text:lower() or nil
end

local function read_places(conf)
  local places = {
    header = lower_name(conf.header), authorization = conf.authorization,
    query = conf.query, cookie = conf.cookie,
  }
  -- Whether there are others than the header.
  places.more = (places.authorization or places.query or places.cookie) and true or false
  if not (places.header or places.more) then
    error("a key can be nowhere: give `header`, `authorization`, `query` or `cookie`", 0)
  end
  if places.header then
    lintel.header.check("request", places.header)
  end
  return places
end

-- The key of `Authorization: ApiKey KEY` or `Bearer KEY`.
local function authorized(headers)
  local scheme, key = (headers["authorization"] or ""):match("^(%a+) +(%S+)$")
  scheme = (scheme or ""):lower()
  return (scheme == "apikey" or scheme == "bearer") and key or nil
end

-- Nothing is no key.
local function given(text)
  return text ~= "" and text or nil
end

-- The first key in a place that is not the header.
local function find_elsewhere(req, places)
  return places.authorization and authorized(req.headers)
    or places.query and given(req.query[places.query])
    or places.cookie and given(req:cookie(places.cookie))
    or nil
end

-- Takes a cookie off the request.
local function hide_cookie(headers, name)
  local kept = {}
  for _, field in ipairs(headers:all("cookie")) do
    for pair in field:gmatch("[^;]+") do
      pair = pair:match("^%s*(.*)$")
      if pair:match("^[^=%s]*") ~= name then
        kept[#kept + 1] = pair
      end
    end
  end
  headers["cookie"] = #kept > 0 and table.concat(kept, "; ") or nil
end

-- Takes keys off the places that are not the header, also where none was looked for.
local function hide_elsewhere(req, places)
  local headers = req.headers
  if places.authorization and authorized(headers) then
    headers["authorization"] = nil
  end
  if places.query then
    req.query[places.query] = nil
  end
  if places.cookie and headers["cookie"] then
    hide_cookie(headers, places.cookie)
  end
end

-- ---- Redis ----

-- Loads what Redis knows of a digest: a key, nil, or nil and a reason.
local function ask_redis(store, hex)
  local row, reason, detail = store.redis:call("HMGET", store.prefix .. hex, "consumer", "groups",
    "from", "until")
  local key, why
  if row and row[1] then
    key, why = new_key(row[1], list_of(row[2] or nil), row[3] or nil, row[4] or nil)
    why = row[1] == "" and "it names no consumer"
      or row[1]:find("%c") and "its name holds a control character" or why
  end
  if not row or why then
    trouble.came(store.failures, { reason = reason or "malformed_hash", detail = detail or why })
    return nil, "keys_unavailable"
  end
  trouble.went_well(store.failures)
  if key then
    store.last:set(hex, key)
  else
    store.last:delete(hex)
  end
  return key
end

local function open_store(conf)
  return {
    redis = lintel.redis.new(conf.redis), prefix = conf.key_prefix,
    failures = trouble.new("a key can't be looked up", "keys can be looked up again"),
    now = lintel.cache.new { max = 5000, ttl = conf.remember, negative_ttl = "1s" },
    last = lintel.cache.new { max = 5000, ttl = conf.stale },
  }
end

-- What it knows of a digest; while it can't be asked, what it said last.
local function look_up(store, digest)
  local hex = crypto.hex_encode(digest)
  local key, reason = store.now:get(hex, function(wanted) return ask_redis(store, wanted) end)
  return key or (reason and store.last:get(hex)), reason
end

-- ---- the filter ----

function M.init(conf)
  local state = {
    keys = read_keys(conf), places = read_places(conf), hide = conf.hide,
    forward_as = lower_name(conf.forward_as) or false,
    store = conf.redis and open_store(conf) or false,
  }
  if not (next(state.keys) or state.store) then
    error("there are no keys: give `keys`, `consumers`, `lines` or `redis`", 0)
  end
  for _, key in pairs(state.keys) do
    if state.forward_as then
      lintel.header.check("request", state.forward_as, key.user.id)
    end
  end
  return state
end

local challenge = { ["www-authenticate"] = "ApiKey" }

-- Whether a key counts today; else the answer.
local function check_dates(ctx, key)
  local now = lintel.now()
  if key.from and now < key.from then
    return ctx:deny(401, "api_key_not_yet_valid", challenge)
  end
  if key.till and now >= key.till then
    return ctx:deny(401, "api_key_expired", challenge)
  end
end

function M.request(ctx)
  local state, req = ctx.state, ctx.req
  local places, headers = state.places, req.headers
  local name = places.header
  local text = name and headers[name] or ""
  if text == "" then
    text = places.more and find_elsewhere(req, places)
    if not text then
      return ctx:deny(401, "missing_api_key", challenge)
    end
  end
  local digest = crypto.sha256(text)
  local key = state.keys[digest]
  if not key then
    local reason
    if state.store then
      key, reason = look_up(state.store, digest)
    end
    if not key and reason then
      return ctx:deny(503, reason, { ["retry-after"] = "1" })
    elseif not key then
      return ctx:deny(401, "unknown_api_key", challenge)
    end
  end
  if key.dated then
    local answer = check_dates(ctx, key)
    if answer then
      return answer
    end
  end
  if state.hide then
    if name then
      headers[name] = nil
    end
    if places.more then
      hide_elsewhere(req, places)
    end
  end
  local user = key.user
  if state.forward_as then
    headers[state.forward_as] = user.id
  end
  ctx.user = user
end

return M
