-- SPDX-License-Identifier: Apache-2.0
-- Replaces an internal address in pages and scripts by the public one, as they pass.
local M = { group = "transform", on_error = "closed" }

M.schema = {
  from = { type = "string", required = true, min = 2, doc = "The text to replace." },
  to = { type = "string", required = true, doc = "What clients get instead." },
}

-- text with all that it has of `from` replaced, and where the last one ended.
local function replace(text, from, to)
  local parts, at = {}, 1
  while true do
    local first, last = text:find(from, at, true)
    if not first then
      return table.concat(parts), at
    end
    parts[#parts + 1] = text:sub(at, first - 1)
    parts[#parts + 1] = to
    at = last + 1
  end
end

function M.body(ctx, chunks)
  local type = ctx.res.headers["content-type"] or ""
  if not type:find("^text/") and not type:find("javascript", 1, true) then
    return -- the response passes as it is
  end
  local from, rest = ctx.conf.from, ""
  for chunk in chunks do
    local text = rest .. chunk
    local done, at = replace(text, from, ctx.conf.to)
    -- `from` may begin at the end of this piece and end in the next one.
    local keep = math.max(at, #text - #from + 2)
    ctx:emit(done .. text:sub(at, keep - 1))
    rest = text:sub(keep)
  end
  ctx:emit(rest)
end

return M
