-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

t.case("a trace back stays inside", function()
  local r = t.run("problem", { response = { status = 500, body = "Traceback: secret" } })
  t.eq(r.status, 500)
  t.eq(r.headers["content-type"], "application/problem+json")
  local told = lintel.json.decode(r.body)
  t.eq(told.title, "Something went wrong")
  t.match(told.instance, "^urn:request:.")
end)

t.case("other answers pass", function()
  t.eq(t.run("problem", { response = { status = 404, body = "no" } }).body, "no")
end)
