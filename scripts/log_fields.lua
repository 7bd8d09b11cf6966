-- SPDX-License-Identifier: Apache-2.0
-- Adds members to the access line of the requests that come to it: what expressions say of the request,
-- and fields of the response. Members for all requests are `log.fields` of the configuration.
local M = { group = "observe" }

M.schema = {
  fields = { type = "map", of = "expr", default = {},
             doc = "Name of the member to its expression. Headers in `log.redact` are not shown." },
  response = { type = "map", of = "string", default = {},
               doc = "Name of the member to the field of the response that it shows." },
}

local function check(option, fn, ...)
  local ok, why = pcall(fn, ...)
  if not ok then
    error(option .. ": " .. why, 0)
  end
end

function M.init(conf)
  local response, any = {}, false
  for name in pairs(conf.fields) do
    check("fields", lintel.fields.check, name)
    any = true
  end
  for name, header in pairs(conf.response) do
    check("response", lintel.fields.check, name)
    check("response", lintel.header.check, "response", header, "x")
    if conf.fields[name] then
      error(("response: there is \"%s\" in `fields` too"):format(name), 0)
    end
    if header:lower() == "set-cookie" then
      error("response: Set-Cookie holds what only its client may know", 0)
    end
    response[name] = header
    any = true
  end
  if not any then
    error("write at least one of fields, response", 0)
  end
  return { response = response }
end

function M.request(ctx)
  for name, expr in pairs(ctx.conf.fields) do
    ctx.fields[name] = expr
  end
end

function M.log(ctx)
  for name, header in pairs(ctx.state.response) do
    ctx.fields[name] = ctx.res.headers[header]
  end
end

return M
