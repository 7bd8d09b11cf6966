-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(conf, request)
  return t.run("maintenance", { conf = conf, request = request })
end

local function at(conf, now)
  return t.run("maintenance", { conf = conf, now = now })
end

t.case("without a switch it is on", function()
  local r = run({})
  t.eq(r.status, 503)
  t.eq(r.reason, "maintenance")
  t.eq(r.upstream_called, false)
  t.eq(r.headers["retry-after"], "300")
  t.eq(r.headers["cache-control"], "no-store")
end)

t.case("a file switches it", function()
  t.eq(run({ file = "/" }).status, 503)
end)

t.case("and its absence", function()
  t.eq(run({ file = "/nowhere/at-all" }).status, 200)
end)

t.case("below what is no folder there is no file", function()
  t.eq(run({ file = "/dev/null/x" }).status, 200)
end)

t.case("the file is looked for every second", function()
  t.eq(t.every("maintenance", "1s", { conf = { file = "/" } }).error, nil)
  t.eq(run({ file = "/nowhere/at-all" }).status, 503) -- what was seen last counts for all workers
  t.eq(t.every("maintenance", "1s", { conf = { file = "/nowhere/at-all" } }).error, nil)
  t.eq(run({ file = "/" }).status, 200)
  t.eq(t.every("maintenance", "1s", { conf = { flag = "x" } }).error, nil)
end)

t.case("what can't be looked for stays as it was", function()
  local long = "/" .. ("x"):rep(300)
  t.eq(run({ file = long }).status, 200)
  local r = t.every("maintenance", "1s", { conf = { file = long } })
  t.eq(r.log[1].why, "unreadable")
  t.every("maintenance", "1s", { conf = { file = "/" } })
  t.every("maintenance", "1s", { conf = { file = long } })
  t.eq(run({ file = long }).status, 503)
end)

t.case("a flag that nobody has set", function()
  t.eq(run({ flag = "shop" }).status, 200)
end)

-- A case begins at a time of its own; what is far away is before or after it.
t.case("a schedule", function()
  local past, future = "2001-02-03T04:05:06Z", "2999-12-31 23:59:00+01:30"
  t.eq(at({ from = past }).status, 503)
  t.eq(at({ from = past }).headers["retry-after"], "300")
  t.eq(at({ from = future }).status, 200)
  t.eq(at({ ["until"] = past }).status, 200)
  t.eq(at({ ["until"] = future }).status, 503)
  t.ok(tonumber(at({ ["until"] = future }).headers["retry-after"]) > 1e9)
  t.eq(at({ from = past, ["until"] = future }).status, 503)
  t.eq(at({ from = past, ["until"] = "2001-02-03T04:05:07-00:30" }).status, 200)
  t.eq(at({ from = "2998-01-01T00:00:00Z", ["until"] = future, file = "/" }).status, 503)
end)

t.case("times that are none", function()
  for _, text in ipairs { "soon", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
                          "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
                          "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00",
                          "2026-01-01T00:00:000Z", "2026-01-01T00:00:00+1", "2026-01-01T00:00:00+24:00",
                          "2026-12-32T00:00:00Z" } do
    t.raises(function() at({ from = text }) end, "is no time")
  end
  t.eq(at({ from = "2024-02-29T23:59:60Z" }).status, 503)
  t.raises(function() at({ from = "2026-01-02T00:00:00Z", ["until"] = "2026-01-02T01:00:00+01:00" }) end,
    "over before it begins")
end)

t.case("some may pass", function()
  local conf = { allow = "client.ip in ['10.0.0.0/8'] or path == '/healthz'", pass = "let-me-in-please" }
  t.eq(run(conf).status, 503)
  t.eq(run(conf, { client_ip = "10.1.2.3" }).status, 200)
  t.eq(run(conf, { path = "/healthz" }).status, 200)
  local function with(cookie)
    return run(conf, { headers = { cookie = cookie } }).status
  end
  t.eq(with("a=b; maintenance_pass=let-me-in-please"), 200)
  t.eq(with("maintenance_pass=let-me-in-pleasE"), 503)
  t.eq(with("pass=let-me-in-please"), 503)
  conf.cookie = "pass"
  t.eq(with("pass=let-me-in-please"), 200)
end)

t.case("a page for those who would rather read one", function()
  local conf = { page = "<h1>soon</h1>", retry_after = "90s" }
  local function answer(accept)
    return run(conf, { headers = { accept = accept } })
  end
  local page = answer("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
  t.eq(page.status, 503)
  t.eq(page.body, "<h1>soon</h1>")
  t.eq(page.headers["content-type"], "text/html; charset=utf-8")
  t.eq(page.headers["retry-after"], "90")
  t.eq(page.headers["vary"], "Accept")
  t.eq(page.fields, { maintenance = true })
  t.eq(answer("text/*").body, "<h1>soon</h1>")
  t.eq(answer({ "application/json; q=0.5", "text/html" }).body, "<h1>soon</h1>")
  for _, accept in ipairs { "application/json", "*/*", "text/html;q=0.5, application/json",
                            "application/problem+json, text/html", "text/html;q=0, */*", "nonsense", "" } do
    t.eq(answer(accept).reason, "maintenance")
  end
  t.eq(run(conf).reason, "maintenance")
end)

t.case("an Accept field as long as a head may be changes nothing", function()
  for _, accept in ipairs { ("a,"):rep(15000), ("text/html,"):rep(3000) } do
    local r = run({ page = "<p>soon</p>" }, { headers = { accept = accept } })
    t.eq(r.status, 503)
    t.eq(r.reason, "maintenance")
  end
end)
