-- SPDX-License-Identifier: Apache-2.0
-- Sets, adds, removes and rewrites headers of requests and responses. Removal comes first, so that a
-- header can be removed and set anew; then rewriting, setting, adding. Values may hold {EXPRESSION}; a
-- value with one that is absent is not there: nothing is added, and what was to be replaced is gone.
local trouble = require "lib.trouble"

local M = { group = "transform" }

local function values(what)
  return { type = "map", of = "template", default = {}, doc = what }
end

local function rewrites(whose)
  return { type = "list", default = {},
           doc = "Rewrites values " .. whose .. ", in this order; each field of a name by itself.",
           fields = {
    name = { type = "string", required = true, doc = "Header." },
    pattern = { type = "string", required = true, doc = "Regular expression." },
    with = { type = "string", required = true,
             doc = "What stands in the place of what it matches; `$1` and `${name}` are its groups." },
  } }
end

M.schema = {
  request_set = values("Header to value: replaces what the client sent."),
  request_add = values("Header to value: added to what the client sent."),
  request_default = values("Header to value, if the client sent none."),
  request_remove = { type = "list", of = "string", default = {},
                     doc = "Headers that the application doesn't get; `x-debug-*` for all that begin so." },
  request_replace = rewrites("of what the client sent"),
  response_set = values("Header to value: replaces what the application sent."),
  response_add = values("Header to value: added to what the application sent."),
  response_default = values("Header to value, if the application sent none."),
  response_remove = { type = "list", of = "string", default = {},
                      doc = "Headers that the client doesn't get; `x-debug-*` for all that begin so." },
  response_replace = rewrites("of what the application sent"),
  response_status = { type = "list", of = "string", default = {},
                      doc = "Only responses with these statuses are changed: `404`, or `5xx`. Empty: all." },
}

-- ---- settings ----

local function check(which, option, name, value)
  local ok, why = pcall(lintel.header.check, which, name, value)
  if not ok then
    error(which .. option .. ": " .. why, 0)
  end
end

-- The headers of a map, checked; what a template gives is known later.
local function fields(conf, which, option, into)
  for name, value in pairs(conf[which .. option]) do
    check(which, option, name, type(value) == "string" and value or "x")
    into[#into + 1] = { name:lower(), value }
  end
end

-- The settings of one side; nil when there is nothing to do.
local function plan(conf, which)
  local todo = { remove = {}, prefixes = {}, replace = {}, set = {}, default = {}, add = {} }
  for _, name in ipairs(conf[which .. "_remove"]) do
    local prefix = name:match("^(.+)%*$")
    check(which, "_remove", prefix or name)
    local list = prefix and todo.prefixes or todo.remove
    list[#list + 1] = (prefix or name):lower()
  end
  for _, rule in ipairs(conf[which .. "_replace"]) do
    check(which, "_replace", rule.name, "x")
    local ok, re = pcall(lintel.re.new, rule.pattern)
    if not ok then
      error(which .. "_replace: pattern: " .. re, 0)
    end
    todo.replace[#todo.replace + 1] = {
      name = rule.name:lower(), re = re, with = rule.with, pattern = rule.pattern,
      too_complex = trouble.new("a value was taken off: too complex for its pattern"),
    }
  end
  fields(conf, which, "_set", todo.set)
  fields(conf, which, "_default", todo.default)
  fields(conf, which, "_add", todo.add)
  for _, list in pairs(todo) do
    if #list > 0 then
      todo.which = which
      return todo
    end
  end
end

local function statuses(conf)
  local set, any = {}, false
  for _, text in ipairs(conf.response_status) do
    if not text:find("^[1-5]%d%d$") and not text:find("^[1-5]xx$") then
      error(("response_status: \"%s\" is no status: write 404, or 5xx"):format(text), 0)
    end
    set[text], any = true, true
  end
  return any and set or nil
end

function M.init(conf)
  return {
    request = plan(conf, "request"), response = plan(conf, "response"), statuses = statuses(conf),
  }
end

-- ---- exchanges ----

-- What a value is for this exchange, or nil. What a client can put into an expression must not make the
-- filter fail: a control byte makes a value absent.
local function value_of(ctx, value)
  if type(value) == "string" then
    return value
  end
  local text = value(ctx)
  return text and not text:find("%c") and text or nil
end

-- Those that begin so, but for what is Lintel's own.
local function remove_prefixes(todo, headers)
  local gone = {}
  for name in pairs(headers) do
    for _, prefix in ipairs(todo.prefixes) do
      if name:sub(1, #prefix) == prefix and pcall(lintel.header.check, todo.which, name) then
        gone[#gone + 1] = name
      end
    end
  end
  for _, name in ipairs(gone) do
    headers[name] = nil
  end
end

-- A value for which the pattern meets its limit is taken off: what it would have been is not known,
-- and as it was it should not be.
local function rewrite(rule, headers)
  local kept, changed = {}, false
  for _, value in ipairs(headers:all(rule.name)) do
    local new, n = rule.re:replace(value, rule.with)
    if not new then
      trouble.came(rule.too_complex, { header = rule.name, pattern = rule.pattern })
    else
      kept[#kept + 1] = n > 0 and new:gsub("%c", "") or value
    end
    changed = changed or n ~= 0
  end
  if changed then
    headers[rule.name] = nil
    for _, value in ipairs(kept) do
      headers:add(rule.name, value)
    end
  end
end

local function apply(ctx, todo, headers)
  for _, name in ipairs(todo.remove) do
    headers[name] = nil
  end
  if #todo.prefixes > 0 then
    remove_prefixes(todo, headers)
  end
  for _, rule in ipairs(todo.replace) do
    rewrite(rule, headers)
  end
  for _, field in ipairs(todo.set) do
    headers[field[1]] = value_of(ctx, field[2])
  end
  for _, field in ipairs(todo.default) do
    if headers[field[1]] == nil then
      headers[field[1]] = value_of(ctx, field[2])
    end
  end
  for _, field in ipairs(todo.add) do
    local value = value_of(ctx, field[2])
    if value then
      headers:add(field[1], value)
    end
  end
end

function M.request(ctx)
  if ctx.state.request then
    apply(ctx, ctx.state.request, ctx.req.headers)
  end
end

function M.response(ctx)
  local s = ctx.state
  if not s.response then
    return
  end
  local status = tostring(ctx.res.status)
  if not s.statuses or s.statuses[status] or s.statuses[status:sub(1, 1) .. "xx"] then
    apply(ctx, s.response, ctx.res.headers)
  end
end

return M
