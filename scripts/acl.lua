-- SPDX-License-Identifier: Apache-2.0
-- Who may go on, of those whom an auth filter before this one has found: by groups, names and scopes,
-- and by conditions on whatever a request has.
local M = { group = "auth" }

M.schema = {
  groups = { type = "list", of = "string", default = {},
             doc = "The user has to be in one of these groups (user.groups)." },
  users = { type = "list", of = "string", default = {},
            doc = "The user has to be one of these (user.id)." },
  scopes = { type = "list", of = "string", default = {},
             doc = "The user has to have all of these scopes (user.scopes)." },
  allow = { type = "list", of = "expr", default = {},
            doc = "Conditions of which one has to hold, as in \"'ops' in user.groups\"." },
  deny = { type = "list", of = "expr", default = {},
           doc = "Conditions of which none may hold; they come first." },
  challenge = { type = "string", default = "Bearer", min = 1,
                doc = "WWW-Authenticate of the 401 when nobody is logged in." },
}

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do
    set[name] = true
  end
  return next(set) and set
end

function M.init(conf)
  lintel.header.check("response", "www-authenticate", conf.challenge)
  local state = {
    groups = set_of(conf.groups), users = set_of(conf.users), scopes = set_of(conf.scopes),
    allow = #conf.allow > 0 and conf.allow, deny = conf.deny,
    challenge = { ["www-authenticate"] = conf.challenge },
  }
  if not (state.groups or state.users or state.scopes or state.allow or #conf.deny > 0) then
    error("there are no rules: give `groups`, `users`, `scopes`, `allow` or `deny`", 0)
  end
  return state
end

-- The values of a field of the user: a text is a list of one.
local function values_of(user, field)
  local value = user and user[field]
  return type(value) == "table" and value or { value }
end

local function has_one(values, wanted)
  for _, value in ipairs(values) do
    if wanted[value] then
      return true
    end
  end
  return false
end

local function has_all(values, wanted)
  local has = set_of(values) or {}
  for value in pairs(wanted) do
    if not has[value] then
      return false
    end
  end
  return true
end

local function one_holds(conditions, ctx)
  for _, condition in ipairs(conditions) do
    if condition(ctx) then
      return true
    end
  end
  return false
end

-- Why the request may not go on; nil: it may.
local function objection(ctx, state)
  local user = ctx.user
  if state.users and not has_one(values_of(user, "id"), state.users) then
    return "user_not_allowed"
  end
  if state.groups and not has_one(values_of(user, "groups"), state.groups) then
    return "group_required"
  end
  if state.scopes and not has_all(values_of(user, "scopes"), state.scopes) then
    return "scope_required"
  end
  if state.allow and not one_holds(state.allow, ctx) then
    return "not_allowed"
  end
end

function M.request(ctx)
  local state = ctx.state
  if one_holds(state.deny, ctx) then
    return ctx:deny(403, "denied")
  end
  local reason = objection(ctx, state)
  if reason and not ctx.user then
    return ctx:deny(401, "not_logged_in", state.challenge)
  end
  if reason then
    return ctx:deny(403, reason)
  end
end

return M
