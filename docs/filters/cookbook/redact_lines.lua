-- SPDX-License-Identifier: Apache-2.0
-- Takes fields out of a stream of JSON lines (application/x-ndjson) while it passes. A line is held
-- until it is whole; the stream is not, however long it is.
local M = { group = "transform", on_error = "closed" }

M.schema = {
  remove = { type = "list", of = "string", required = true, doc = "Fields to take out." },
  longest = { type = "size", default = "64K", max = "512K", doc = "A longer line ends it all." },
}

local function redact(line, names)
  local value = lintel.json.decode(line)
  if type(value) ~= "table" then
    return line
  end
  for _, name in ipairs(names) do
    value[name] = nil
  end
  return lintel.json.encode(value)
end

function M.body(ctx, chunks)
  local type = ctx.res.headers["content-type"] or ""
  if not type:find("^application/x%-ndjson") then
    return
  end
  local names, rest = ctx.conf.remove, ""
  for chunk in chunks do
    local text, at = rest .. chunk, 1
    while true do
      local stop = text:find("\n", at, true)
      if not stop then
        break
      end
      ctx:emit(redact(text:sub(at, stop - 1), names) .. "\n")
      at = stop + 1
    end
    rest = text:sub(at)
    if #rest > ctx.conf.longest then
      error("a line is longer than " .. ctx.conf.longest .. " bytes")
    end
  end
  if rest ~= "" then
    ctx:emit(redact(rest, names))
  end
end

return M
