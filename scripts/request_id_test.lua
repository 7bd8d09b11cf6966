-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(conf, more)
  local spec = { conf = conf, request = more }
  return t.run("request_id", spec)
end

t.case("the response tells the id that Lintel has made", function()
  local r = run({})
  t.match(r.id, "^%x+$")
  t.eq(#r.id, 32)
  t.eq(r.headers["x-request-id"], r.id)
  t.eq(r.upstream_request.headers["x-request-id"], nil) -- Lintel writes it, for every server
end)

t.case("what the application answers under that name is replaced", function()
  local r = t.run("request_id", { response = { headers = { ["X-Request-Id"] = { "a", "b" } } } })
  t.eq(r.headers["x-request-id"], r.id)
end)

t.case("forms", function()
  t.match(run({ format = "uuid" }).id, "^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$")
  local first = run({ format = "ulid" }).id
  t.match(first, "^[0-7][0-9A-HJKMNP-TV-Z]+$")
  t.eq(#first, 26)
  t.advance(0.002)
  local second = run({ format = "ulid" }).id
  t.ok(first < second and first:sub(1, 10) < second:sub(1, 10))
  t.eq(run({ format = "trace" }).id, run({ format = "trace" }).headers["x-request-id"])
end)

t.case("an id of an untrusted peer is not kept", function()
  local r = run({ header = "X-Correlation-Id", format = "uuid" }, { headers = { ["x-correlation-id"] = "mine" } })
  t.match(r.id, "^%x+%-")
  t.eq(r.headers["x-correlation-id"], r.id)
  t.eq(r.upstream_request.headers["x-correlation-id"], r.id)
end)

t.case("one of a trusted peer is, if it is one", function()
  local function from_peer(conf, value)
    return t.run("request_id", { conf = conf, request = { trusted = true, headers = { ["x-request-id"] = value } } })
  end
  t.eq(from_peer({ format = "uuid" }, "peer-1").id, "peer-1")
  t.eq(from_peer({ format = "uuid" }, "peer-1").headers["x-request-id"], "peer-1")
  t.match(from_peer({ format = "uuid", keep = false }, "peer-1").id, "^%x+%-%x+%-4")
  for _, bad in ipairs { "", "a b", 'a"b', "a,b", "a\\b", ("x"):rep(129), { "a", "b" } } do
    t.match(from_peer({ format = "uuid" }, bad).id, "^%x+%-%x+%-4")
  end
end)

t.case("settings with mistakes", function()
  t.raises(function() run({ header = "a b" }) end, "is not a name of a header")
  t.raises(function() run({ header = "x_id" }) end, "reaches no server")
  t.raises(function() run({ header = "content-length" }) end, "Lintel's own")
end)
