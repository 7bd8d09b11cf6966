-- SPDX-License-Identifier: Apache-2.0
-- Tells a collector about each failed request, after the client has its answer. A collector that is
-- slow or down costs a line in the log, and no request anything.
local M = { group = "observe" }

M.schema = {
  url = { type = "url", required = true, doc = "Takes a POST with JSON." },
  from = { type = "int", default = 500, min = 100, max = 599, doc = "Least status to tell." },
}

function M.log(ctx)
  if ctx.res.status < ctx.conf.from then
    return
  end
  local res, reason = lintel.http.post(ctx.conf.url, {
    timeout = "1s",
    json = {
      id = ctx.id,
      method = ctx.req.method,
      path = ctx.req.path,
      status = ctx.res.status,
      cause = ctx.cause,
      server = ctx.upstream.server,
      ms = math.floor(ctx.elapsed * 1000),
    },
  })
  if not res or res.status >= 300 then
    ctx.log.warn("not collected", { why = reason or "status " .. res.status })
  end
end

return M
