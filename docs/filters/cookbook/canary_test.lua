-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function upstream(user, share, salt)
  return t.run("canary", {
    conf = { to = "next", share = share, salt = salt },
    upstreams = { "app", "next" },
    user = { id = user },
  }).upstream_request.upstream
end

t.case("about the share, and always the same", function()
  local n = 0
  for i = 1, 400 do
    local to = upstream("user" .. i, "25%")
    t.eq(upstream("user" .. i, "25%"), to)
    if to == "next" then
      n = n + 1
      t.eq(upstream("user" .. i, "50%"), "next")
    end
  end
  t.ok(n > 70 and n < 130)
end)

t.case("none and all", function()
  t.eq(upstream("alice", "0%"), "app")
  t.eq(upstream("alice", "100%"), "next")
end)
