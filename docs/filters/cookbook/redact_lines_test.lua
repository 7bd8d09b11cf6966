-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function run(body, type, longest)
  return t.run("redact_lines", {
    conf = { remove = { "email" }, longest = longest },
    response = { headers = { ["content-type"] = type or "application/x-ndjson" }, body = body },
  })
end

t.case("the fields are gone, wherever the stream is cut", function()
  local text, pieces = '{"email":"a@b.c","id":1}\n{"id":2}\n{"email":"x"}', {}
  for byte in text:gmatch(".") do
    pieces[#pieces + 1] = byte
  end
  t.eq(run(text).body, '{"id":1}\n{"id":2}\n{}')
  t.eq(run(pieces).body, '{"id":1}\n{"id":2}\n{}')
end)

t.case("what is no JSON passes, and other types do", function()
  t.eq(run("hello\n").body, "hello\n")
  t.eq(run('{"email":1}\n', "application/json").body, '{"email":1}\n')
end)

t.case("a line without an end doesn't fill the memory", function()
  local r = run(("x"):rep(3000), nil, "1K")
  t.match(r.error, "longer than 1024 bytes")
end)
