-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(share, cookie)
  return t.run("ab", {
    conf = { other = "app_b", share = share },
    upstreams = { "app", "app_b" },
    request = { headers = { cookie = cookie } },
  })
end

t.case("new visitors get a variant and a cookie", function()
  local r = run("100%")
  t.eq(r.upstream_request.upstream, "app_b")
  t.eq(r.upstream_request.headers["x-variant"], "b")
  t.match(r.headers["set-cookie"], "^variant=b; Path=/")
  r = run("0%")
  t.eq(r.upstream_request.upstream, "app")
  t.match(r.headers["set-cookie"], "^variant=a;")
end)

t.case("who has one keeps it", function()
  local r = run("0%", "x=1; variant=b")
  t.eq(r.upstream_request.upstream, "app_b")
  t.eq(r.headers["set-cookie"], nil)
end)

t.case("an invented one counts for nothing", function()
  t.eq(run("0%", "variant=zzz").upstream_request.upstream, "app")
end)
