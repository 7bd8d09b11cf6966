-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(path, patterns)
  return t.run("block", {
    conf = { patterns = patterns or { [[\.(bak|sql|git)(/|$)]], "^/wp-" } },
    request = { path = path },
  })
end

t.case("what matches is refused, however it is written", function()
  t.eq(run("/db.SQL").reason, "blocked")
  t.eq(run("/x/../%77p-login").reason, "blocked")
  t.eq(run("/index.html").upstream_called, true)
end)

t.case("what costs too much is refused", function()
  t.eq(run("/" .. ("a"):rep(200) .. "!", { "/(a|aa)+$" }).reason, "blocked")
end)

t.case("a wrong pattern is found when the configuration is loaded", function()
  t.raises(function() run("/", { "(" }) end, "missing")
end)
