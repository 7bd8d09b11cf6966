-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(body, type)
  return t.run("relink", {
    conf = { from = "http://app:8000", to = "https://example.com" },
    response = { headers = { ["content-type"] = type or "text/html" }, body = body },
  })
end

t.case("addresses are replaced", function()
  local page = '<a href="http://app:8000/x"> http://app:8000http://app:8000 http://app:80'
  local wanted = '<a href="https://example.com/x"> https://example.comhttps://example.com http://app:80'
  t.eq(run(page).body, wanted)
  t.eq(run("").body, "")
end)

t.case("also where one is cut in pieces, however small", function()
  local page, pieces = "see http://app:8000/ and http://app:8000/2", {}
  for byte in page:gmatch(".") do
    pieces[#pieces + 1] = byte
  end
  t.eq(run(pieces).body, "see https://example.com/ and https://example.com/2")
  t.eq(run { "see http://ap", "p:8000/" }.body, "see https://example.com/")
end)

t.case("what is no text passes as it is", function()
  local r = run({ "http://app:8000" }, "image/png")
  t.eq(r.body, "http://app:8000")
end)
