-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function ask(headers, conf)
  conf = conf or {}
  conf.keys = conf.keys or { acme = t.sha256("s3cret"), globex = t.sha256("other") }
  return t.run("key_auth", { conf = conf, request = { path = "/v1", headers = headers } })
end

t.case("a known key is let in and the application learns the consumer, not the key", function()
  local r = ask { ["X-API-Key"] = "s3cret", ["X-Consumer"] = "globex" }
  t.eq(r.status, 200)
  t.eq(r.upstream_called, true)
  t.eq(r.upstream_request.headers["x-consumer"], "acme")
  t.eq(r.upstream_request.headers["x-api-key"], nil)
  t.eq(r.user, { id = "acme" })
end)

t.case("an unknown key is refused and the application never sees it", function()
  local r = ask { ["x-api-key"] = "nope" }
  t.eq(r.status, 401)
  t.eq(r.reason, "unknown_api_key")
  t.eq(r.cause, "filter_denied")
  t.eq(r.upstream_called, false)
  t.eq(r.user, nil)
end)

t.case("without a key the client is told how to authenticate", function()
  local r = ask {}
  t.eq(r.status, 401)
  t.eq(r.reason, "missing_api_key")
  t.eq(r.headers["www-authenticate"], "ApiKey")
end)

t.case("the digest itself is no key", function()
  t.eq(ask({ ["x-api-key"] = t.sha256("s3cret") }).status, 401)
end)

t.case("header, forward_as and hide can be chosen", function()
  local r = ask({ authorization = "s3cret" },
    { header = "Authorization", forward_as = "", hide = false })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers["authorization"], "s3cret")
  t.eq(r.upstream_request.headers["x-consumer"], nil)
end)

t.case("digests may be written in upper case", function()
  t.eq(ask({ ["x-api-key"] = "k" }, { keys = { a = t.sha256("k"):upper() } }).status, 200)
end)

t.case("what is no digest is an error at load", function()
  t.raises(function() ask({}, { keys = { acme = "s3cret" } }) end, "acme is not a SHA%-256 digest")
  t.raises(function()
    ask({}, { keys = { a = t.sha256("k"), b = t.sha256("k") } })
  end, "have the same key")
  t.raises(function() t.run("key_auth", {}) end, "there are no keys")
  t.raises(function() ask({}, { key = "x" }) end, "did you mean")
  t.raises(function() ask({}, { forward_as = "Remote_User" }) end, "Lintel's own")
  t.raises(function() ask({}, { forward_as = "X User" }) end, "not a name of a header")
end)

-- ---- where the key is ----

-- The first key in a place; r of a request with all of `request`.
local function send(conf, request)
  conf.keys = conf.keys or { acme = t.sha256("k1"), globex = t.sha256("k2") }
  return t.run("key_auth", { conf = conf, request = request })
end

t.case("a key may stand in Authorization", function()
  local conf = { authorization = true }
  for _, field in ipairs { "ApiKey k1", "Bearer k1", "apikey  k1", "BEARER k1" } do
    local r = send(conf, { headers = { authorization = field } })
    t.eq(r.status, 200)
    t.eq(r.user, { id = "acme" })
    t.eq(r.upstream_request.headers["authorization"], nil)
  end
  for _, field in ipairs { "Basic k1", "k1", "ApiKey", "ApiKey k1 k2", "XApiKey k1" } do
    t.eq(send(conf, { headers = { authorization = field } }).reason, "missing_api_key")
  end
  t.eq(send({}, { headers = { authorization = "ApiKey k1" } }).reason, "missing_api_key")
end)

t.case("other credentials in Authorization stay", function()
  local r = send({ authorization = true },
    { headers = { ["x-api-key"] = "k1", authorization = "Basic abc" } })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers["authorization"], "Basic abc")
end)

t.case("a key may stand in the query and does not reach the application", function()
  local r = send({ query = "key" }, { path = "/v1?a=1&key=k1&b=2&k%65y=x" })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.query, "a=1&b=2")
  t.eq(send({ query = "key" }, { path = "/v1?key=k1" }).upstream_request.query, nil)
  t.eq(send({ query = "key", hide = false }, { path = "/v1?key=k1" }).upstream_request.query,
    "key=k1")
  t.eq(send({ query = "key" }, { path = "/v1?akey=k1" }).reason, "missing_api_key")
end)

t.case("a key may stand in a cookie and does not reach the application", function()
  local conf = { cookie = "key" }
  local r = send(conf, { headers = { cookie = "a=1; key=k1;b=2; akey=3" } })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers["cookie"], "a=1; b=2; akey=3")
  t.eq(send(conf, { headers = { cookie = "key=k1" } }).upstream_request.headers["cookie"], nil)
  t.eq(send(conf, { headers = { cookie = "b=k1" } }).reason, "missing_api_key")
end)

t.case("the first place counts, and keys are taken off all of them", function()
  local conf = { authorization = true, query = "key", cookie = "key" }
  local r = send(conf, { path = "/?key=k2&x=1", headers = {
    ["x-api-key"] = "k1", authorization = "ApiKey k2", cookie = "key=k2" } })
  t.eq(r.user, { id = "acme" })
  t.eq(r.upstream_request.query, "x=1")
  for _, name in ipairs { "x-api-key", "authorization", "cookie" } do
    t.eq(r.upstream_request.headers[name], nil)
  end
  t.eq(send(conf, { path = "/?key=k1", headers = { ["x-api-key"] = "bad" } }).reason,
    "unknown_api_key")
  t.eq(send({ header = "", query = "key" }, { headers = { ["x-api-key"] = "k1" } }).reason,
    "missing_api_key")
end)

-- ---- several keys, groups, dates ----

t.case("consumers may have groups and several keys", function()
  local conf = { consumers = {
    acme = { keys = { { sha256 = t.sha256("old") }, { sha256 = t.sha256("new") } },
             groups = { "partners", "gold" } },
    globex = { keys = { { sha256 = t.sha256("other") } } },
  } }
  for _, key in ipairs { "old", "new" } do
    t.eq(ask({ ["x-api-key"] = key }, { keys = {}, consumers = conf.consumers }).user,
      { id = "acme", groups = { "partners", "gold" } })
  end
  t.eq(ask({ ["x-api-key"] = "other" }, { keys = {}, consumers = conf.consumers }).user,
    { id = "globex" })
end)

-- What a key with these dates gets. The clock of tests stands at 2025-06-15T15:06:40Z.
local function dated(from, till)
  local r = t.run("key_auth", {
    conf = { consumers = { a = { keys = {
      { sha256 = t.sha256("k"), from = from, ["until"] = till } } } } },
    request = { headers = { ["x-api-key"] = "k" } },
  })
  return r.reason or r.status
end

t.case("a key counts from one date until another", function()
  t.eq(dated("2025-06-15", "2025-06-15"), 200)
  t.eq(dated("2025-06-14", "2025-06-16"), 200)
  t.eq(dated("1970-01-01", "9999-12-31"), 200)
  t.eq(dated("2025-06-16"), "api_key_not_yet_valid")
  t.eq(dated(nil, "2025-06-14"), "api_key_expired")
  t.eq(dated("2025-06-15T15:06:40Z", "2025-06-15T15:06:41Z"), 200)
  t.eq(dated("2025-06-15T15:06:41Z"), "api_key_not_yet_valid")
  t.eq(dated(nil, "2025-06-15T15:06:40Z"), "api_key_expired")
  t.eq(dated("2024-02-29T23:59:59Z", "2028-02-29"), 200)
end)

t.case("a date that is none is an error at load", function()
  for _, date in ipairs { "2026-13-01", "2026-00-01", "2026-02-29", "2100-02-29", "2026-04-31",
                          "2026-01-00", "26-01-01", "tomorrow", "2026-01-01T00:00:00",
                          "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
                          "2026-01-01 00:00:00Z" } do
    t.raises(function() dated(date) end, "the key of a: a date is written")
    t.raises(function() dated(nil, date) end, "the key of a: a date is written")
  end
end)

t.case("keys come from lines too", function()
  local conf = { lines = "# ours\n\nacme " .. t.sha256("k1") .. " groups=partners,gold\r\n"
    .. "  acme\t" .. t.sha256("k2"):upper() .. " from=2020-01-01 until=2400-12-31 \n"
    .. "old " .. t.sha256("k3") .. " until=2020-01-01" }
  local function with(key)
    return t.run("key_auth", { conf = conf, request = { headers = { ["x-api-key"] = key } } })
  end
  t.eq(with("k1").user, { id = "acme", groups = { "partners", "gold" } })
  t.eq(with("k2").user, { id = "acme" })
  t.eq(with("k3").reason, "api_key_expired")
  t.eq(with("k4").reason, "unknown_api_key")
end)

t.case("lines that are wrong are errors at load", function()
  local digest = t.sha256("k")
  for line, message in pairs {
    ["acme"] = "not CONSUMER DIGEST", ["acme " .. digest .. "x"] = "not CONSUMER DIGEST",
    ["acme 0a0b"] = "not a SHA%-256 digest", ["acme " .. digest .. " x"] = "after the digest of acme",
    ["acme " .. digest .. " group=x"] = "after the digest of acme",
    ["acme " .. digest .. " groups="] = "after the digest of acme",
    ["acme " .. digest .. " from=2020-01-01 from=2020-01-02"] = "once each",
    ["acme " .. digest .. " from=2020"] = "a date is written",
    ["acme " .. digest .. "\nb " .. digest] = "b and acme have the same key",
  } do
    t.raises(function() t.run("key_auth", { conf = { lines = line } }) end, message)
  end
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() send({ header = "" }, {}) end, "a key can be nowhere")
  t.raises(function() send({ header = "a b" }, {}) end, "not a name of a header")
  t.raises(function() send({ consumers = { a = { keys = {} } } }, {}) end, "keys")
  t.raises(function() send({ keys = { ["a\nb"] = t.sha256("k") } }, {}) end, "control")
  t.raises(function() send({ redis = "http://x" }, {}) end, "redis")
end)

-- ---- Redis ----

local REDIS = { redis = "redis://localhost", remember = "30s", stale = "10m" }

-- One key, which the Redis of the case knows as what `row` gives: {consumer, groups, from, until}.
local function with_redis(row)
  t.redis {
    HMGET = function(name, ...)
      t.eq(name, "lintel:key:" .. t.sha256("k"))
      t.eq({ ... }, { "consumer", "groups", "from", "until" })
      return row()
    end,
  }
end

local function known()
  return { "acme", "partners, gold", false, false }
end

local function unknown()
  return { false, false, false, false }
end

local function down()
  return nil, "unreachable"
end

t.case("Redis may know the key", function()
  with_redis(known)
  local r = t.run("key_auth", { conf = REDIS, request = { headers = { ["x-api-key"] = "k" } } })
  t.eq(r.status, 200)
  t.eq(r.user, { id = "acme", groups = { "partners", "gold" } })
  t.eq(r.upstream_request.headers["x-consumer"], "acme")
  t.eq(#r.redis, 1)
end)

t.case("Redis is not asked for keys that the settings hold", function()
  t.redis {}
  local r = t.run("key_auth", {
    conf = { redis = REDIS.redis, keys = { own = t.sha256("k") } },
    request = { headers = { ["x-api-key"] = "k" } },
  })
  t.eq(r.user, { id = "own" })
  t.eq(#r.redis, 0)
end)

t.case("a key that Redis does not know is refused", function()
  with_redis(unknown)
  local r = t.run("key_auth", { conf = REDIS, request = { headers = { ["x-api-key"] = "k" } } })
  t.eq(r.status, 401)
  t.eq(r.reason, "unknown_api_key")
end)

t.case("dates in Redis count", function()
  with_redis(function() return { "acme", false, "2400-01-01", false } end)
  local r = t.run("key_auth", { conf = REDIS, request = { headers = { ["x-api-key"] = "k" } } })
  t.eq(r.reason, "api_key_not_yet_valid")
  with_redis(function() return { "acme", false, false, "2020-01-01" } end)
  r = t.run("key_auth", { conf = REDIS, request = { headers = { ["x-api-key"] = "k" } } })
  t.eq(r.reason, "api_key_expired")
end)

t.case("a Redis that is down says nothing of a key", function()
  with_redis(down)
  local r = t.run("key_auth", { conf = REDIS, request = { headers = { ["x-api-key"] = "k" } } })
  t.eq(r.status, 503)
  t.eq(r.reason, "keys_unavailable")
  t.eq(r.headers["retry-after"], "1")
  t.eq(#r.log, 1)
  t.eq(r.log[1].reason, "unreachable")
end)

t.case("a hash that is malformed lets nobody in", function()
  for _, row in ipairs { { "acme", false, "soon", false }, { "a\nb", false, false, false } } do
    with_redis(function() return row end)
    local r = t.run("key_auth", { conf = REDIS, request = { headers = { ["x-api-key"] = "k" } } })
    t.eq(r.reason, "keys_unavailable")
    t.eq(r.log[1].reason, "malformed_hash")
  end
end)

t.case("no key is none, wherever it is", function()
  t.raises(function() ask({}, { keys = { nobody = t.sha256("") } }) end, "what was hashed was empty")
  local conf = { keys = { acme = t.sha256("s3cret") }, query = "key", cookie = "key" }
  for _, request in ipairs { { headers = { ["x-api-key"] = "" } }, { path = "/?key=" },
                             { path = "/?key" }, { headers = { cookie = "key=" } } } do
    local r = t.run("key_auth", { conf = conf, request = request })
    t.eq(r.reason, "missing_api_key")
  end
end)

t.case("many spaces in a cookie cost nothing", { cpu = "5ms" }, function()
  local r = t.run("key_auth", {
    conf = { keys = { acme = t.sha256("s3cret") }, cookie = "key" },
    request = { headers = { cookie = "key=s3cret; a" .. (" "):rep(7900) .. "b" } },
  })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers.cookie:sub(1, 3), "a  ")
end)
