-- SPDX-License-Identifier: Apache-2.0
-- Gives each path its own time: a search that isn't there after a second is of no use, and must not
-- hold a server for a minute.
local M = { group = "limit" }

M.schema = {
  paths = {
    type = "list",
    required = true,
    doc = "The first whose beginning fits counts.",
    fields = {
      path = { type = "string", required = true, doc = "Beginning of the path." },
      within = { type = "duration", required = true, doc = "Time for the whole exchange." },
    },
  },
}

function M.upstream(ctx)
  for _, rule in ipairs(ctx.conf.paths) do
    if ctx.req.path:sub(1, #rule.path) == rule.path then
      ctx.upstream.timeout = rule.within
      return
    end
  end
end

return M
