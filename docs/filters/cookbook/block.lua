-- SPDX-License-Identifier: Apache-2.0
-- Refuses requests whose path matches one of some patterns.
local M = { group = "auth" }

M.schema = {
  patterns = { type = "list", of = "string", required = true, doc = "Regular expressions." },
}

function M.init(conf)
  local patterns = {}
  for i, text in ipairs(conf.patterns) do
    patterns[i] = lintel.re.new(text, "i") -- a wrong one refuses the configuration
  end
  return patterns
end

function M.request(ctx)
  for _, pattern in ipairs(ctx.state) do
    -- nil: it took too many steps to find out. Who sends such a thing is not let in either.
    if pattern:test(ctx.req.path) ~= false then
      return ctx:deny(403, "blocked")
    end
  end
end

return M
