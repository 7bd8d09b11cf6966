-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function ask(conf, user, request)
  return t.run("acl", { conf = conf, user = user, request = request })
end

local function passes(conf, user, request)
  local r = ask(conf, user, request)
  t.eq(r.error, nil)
  t.eq(r.status, 200)
end

local function refused(reason, conf, user, request)
  local r = ask(conf, user, request)
  t.eq(r.status, 403)
  t.eq(r.reason, reason)
  t.eq(r.headers["www-authenticate"], nil)
  t.eq(r.upstream_called, false)
end

local function asked_to_log_in(conf, request, challenge)
  local r = ask(conf, nil, request)
  t.eq(r.status, 401)
  t.eq(r.reason, "not_logged_in")
  t.eq(r.headers["www-authenticate"], challenge or "Bearer")
  t.eq(r.upstream_called, false)
end

t.case("one of the groups is enough", function()
  local conf = { groups = { "admin", "Domain Admins", "CN=ops,OU=x" } }
  passes(conf, { id = "alice", groups = { "dev", "admin" } })
  passes(conf, { id = "alice", groups = { "Domain Admins" } })
  passes(conf, { id = "alice", groups = { "CN=ops,OU=x" } })
  passes(conf, { id = "alice", groups = "admin" })
  refused("group_required", conf, { id = "alice", groups = { "dev", "Admin", "adm", "admin,x" } })
  refused("group_required", conf, { id = "alice", groups = {} })
  refused("group_required", conf, { id = "alice", groups = "admin,dev" })
  refused("group_required", conf, { id = "admin" })
  asked_to_log_in(conf)
end)

t.case("users are known by their id", function()
  local conf = { users = { "alice", "bob" } }
  passes(conf, { id = "bob" })
  refused("user_not_allowed", conf, { id = "carol" })
  refused("user_not_allowed", conf, { name = "alice" })
  asked_to_log_in(conf)
end)

t.case("all of the scopes are wanted", function()
  local conf = { scopes = { "read", "write" } }
  passes(conf, { id = "a", scopes = { "write", "admin", "read" } })
  refused("scope_required", conf, { id = "a", scopes = { "read" } })
  refused("scope_required", conf, { id = "a" })
  asked_to_log_in(conf)
end)

t.case("several kinds of rules have to be met together", function()
  local conf = { groups = { "ops" }, scopes = { "deploy" } }
  passes(conf, { id = "a", groups = { "ops" }, scopes = { "deploy" } })
  refused("scope_required", conf, { id = "a", groups = { "ops" } })
  refused("group_required", conf, { id = "a", scopes = { "deploy" } })
end)

t.case("one of the allowing conditions has to hold", function()
  local conf = { allow = { "method in ['GET', 'HEAD'] and user.id", "'ops' in user.groups",
                           "client.ip in ['10.0.0.0/8']", "user.plan == 'gold'" } }
  passes(conf, { id = "a" })
  passes(conf, { id = "a", groups = { "dev", "ops" } }, { method = "POST" })
  passes(conf, { id = "a", plan = "gold" }, { method = "POST" })
  passes(conf, nil, { client_ip = "10.1.1.1" })
  refused("not_allowed", conf, { id = "a", groups = { "dev" } }, { method = "POST" })
  asked_to_log_in(conf)
end)

t.case("what is denied is denied to everybody", function()
  local conf = { deny = { "path ~ '^/internal/'", "user.id == 'eve'" }, users = { "eve", "alice" } }
  passes(conf, { id = "alice" }, { path = "/x" })
  refused("denied", conf, { id = "eve" })
  refused("denied", conf, { id = "alice" }, { path = "/internal/x" })
  refused("denied", conf, nil, { path = "/internal/x" })
  passes({ deny = { "user.id == 'eve'" } })
end)

t.case("a condition that is not known lets nobody in", function()
  local r = ask({ deny = { "path ~ '(a+)+$'" } }, { id = "a" }, { path = "/" .. ("a"):rep(3000) .. "!" })
  t.eq(r.status, 503)
  t.eq(r.cause, "filter_error")
  t.eq(r.upstream_called, false)
end)

t.case("the challenge can be chosen", function()
  asked_to_log_in({ users = { "a" }, challenge = 'Basic realm="x"' }, nil, 'Basic realm="x"')
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() ask {} end, "there are no rules")
  t.raises(function() ask { allow = { "'x' in usr.groups" } } end, "unknown name")
  t.raises(function() ask { users = { "a" }, challenge = "a\nb" } end, "www%-authenticate")
end)
