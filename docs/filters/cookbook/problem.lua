-- SPDX-License-Identifier: Apache-2.0
-- Hides what an application tells about its errors: clients of an API get a problem (RFC 9457) with
-- the id of the request, under which the log has the rest.
local M = { group = "transform", on_error = "closed" }

function M.response(ctx)
  if ctx.upstream.status and ctx.upstream.status >= 500 then
    return ctx:respond {
      status = ctx.res.status,
      headers = { ["content-type"] = "application/problem+json", ["cache-control"] = "no-store" },
      body = lintel.json.encode {
        title = "Something went wrong",
        status = ctx.res.status,
        instance = "urn:request:" .. ctx.id,
      },
    }
  end
end

return M
