-- SPDX-License-Identifier: Apache-2.0
-- Sets, adds and removes headers of requests and responses. Removal comes first, so that a header
-- can be removed and set anew.
local M = { group = "transform" }

local function side(what)
  return { type = "map", of = "string", default = {}, doc = what }
end

M.schema = {
  request_set = side("Header to value: replaces what the client sent."),
  request_add = side("Header to value: added to what the client sent."),
  request_remove = { type = "list", of = "string", default = {},
                     doc = "Headers that the application doesn't get." },
  response_set = side("Header to value: replaces what the application sent."),
  response_add = side("Header to value: added to what the application sent."),
  response_remove = { type = "list", of = "string", default = {},
                      doc = "Headers that the client doesn't get." },
}

local function check(which, option, name, value)
  local ok, why = pcall(lintel.header.check, which, name, value)
  if not ok then
    error(which .. option .. ": " .. why, 0)
  end
end

-- The settings of one side, checked; nil when there is nothing to do.
local function plan(conf, which)
  local remove, set, add = {}, {}, {}
  for _, name in ipairs(conf[which .. "_remove"]) do
    check(which, "_remove", name)
    remove[#remove + 1] = name:lower()
  end
  for name, value in pairs(conf[which .. "_set"]) do
    check(which, "_set", name, value)
    set[#set + 1] = { name:lower(), value }
  end
  for name, value in pairs(conf[which .. "_add"]) do
    check(which, "_add", name, value)
    add[#add + 1] = { name:lower(), value }
  end
  if #remove + #set + #add > 0 then
    return { remove = remove, set = set, add = add }
  end
end

local function apply(todo, headers)
  for _, name in ipairs(todo.remove) do
    headers[name] = nil
  end
  for _, field in ipairs(todo.set) do
    headers[field[1]] = field[2]
  end
  for _, field in ipairs(todo.add) do
    headers:add(field[1], field[2])
  end
end

function M.init(conf)
  return { request = plan(conf, "request"), response = plan(conf, "response") }
end

function M.request(ctx)
  if ctx.state.request then
    apply(ctx.state.request, ctx.req.headers)
  end
end

function M.response(ctx)
  if ctx.state.response then
    apply(ctx.state.response, ctx.res.headers)
  end
end

return M
