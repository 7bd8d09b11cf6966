-- SPDX-License-Identifier: Apache-2.0
-- headers: sets, adds and removes header fields of requests and responses.
--
-- In each direction fields are removed first, then set (replacing what is there), then added.

local M = { group = "transform" }

local function fields(doc)
  return { type = "map", of = "string", doc = doc }
end

local function names(doc)
  return { type = "list", of = "string", doc = doc }
end

M.schema = {
  request_remove = names("Fields that the application doesn't get."),
  request_set = fields("Fields that the application gets with these values."),
  request_add = fields("Fields that the application gets besides those that are there."),
  response_remove = names("Fields that the client doesn't get."),
  response_set = fields("Fields that the client gets with these values."),
  response_add = fields("Fields that the client gets besides those that are there."),
}

local function apply(headers, remove, set, add)
  for _, name in ipairs(remove or {}) do headers[name] = nil end
  for name, value in pairs(set or {}) do headers[name] = value end
  for name, value in pairs(add or {}) do headers:add(name, value) end
end

function M.request(ctx)
  local c = ctx.conf
  apply(ctx.req.headers, c.request_remove, c.request_set, c.request_add)
end

function M.response(ctx)
  local c = ctx.conf
  apply(ctx.res.headers, c.response_remove, c.response_set, c.response_add)
end

return M
