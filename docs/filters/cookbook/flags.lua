-- SPDX-License-Identifier: Apache-2.0
-- Feature flags: one worker fetches them every ten seconds, all workers read them. The application
-- gets those that are on in a header; the flag "closed" answers by itself.
local M = { group = "transform" }

M.schema = {
  url = { type = "url", required = true, doc = "Answers {\"FLAG\": true or false, ...}." },
}

function M.init(conf)
  return { url = conf.url, flags = lintel.shared.open { name = "flags" } }
end

M.every = {
  ["10s"] = function(state)
    local res, reason = lintel.http.get(state.url, { timeout = "2s" })
    local told = res and res.status == 200 and res:json()
    if not told then
      lintel.log.warn("flags are as they were", { why = reason or "unexpected_answer" })
      return
    end
    local on = {}
    for name, value in pairs(told) do
      if value == true then
        on[#on + 1] = name
      end
    end
    table.sort(on)
    state.flags:set("on", table.concat(on, ","))
  end,
}

function M.request(ctx)
  local on = ctx.state.flags:get("on") or ""
  if ("," .. on .. ","):find(",closed,", 1, true) then
    return ctx:respond { status = 503, headers = { ["retry-after"] = 60 }, body = "Back soon.\n" }
  end
  ctx.req.headers["x-flags"] = on
end

return M
