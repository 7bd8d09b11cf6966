-- SPDX-License-Identifier: Apache-2.0
-- Lets pages of other origins use this site from browsers, by the rules of the Fetch standard. Answers
-- preflight requests by itself. Put it before the filters that ask for credentials, because a preflight
-- has none, and so that pages can read refusals.
local M = { group = "transform" }

M.schema = {
  origins = { type = "list", of = "string", default = {},
              doc = "Origins that may: `https://app.example.com`; with `https://*.example.com` all below "
                .. "example.com, with `http://localhost:*` any port; `\"*\"` all; `\"null\"` pages without "
                .. "an origin, such as files and sandboxed frames." },
  patterns = { type = "list", of = "string", default = {},
               doc = "Regular expressions for whole origins, besides." },
  methods = { type = "list", of = "string", min = 1,
              default = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" },
              doc = "Methods that pages may use." },
  headers = { type = "list", of = "string", default = { "*" },
              doc = "Request headers that pages may set. `\"*\"`: those that they ask for." },
  expose = { type = "list", of = "string", default = {},
             doc = "Response headers that scripts may read besides the few that they always may. "
               .. "`\"*\"`: all, but not with `credentials`." },
  credentials = { type = "bool", default = false,
                  doc = "Whether cookies and the like may come along. Not with the origin `\"*\"`." },
  max_age = { type = "duration", default = "10m", max = "1d",
              doc = "How long browsers may remember the answer to a preflight." },
  private_network = { type = "bool", default = false,
                      doc = "Whether pages of the public Internet may reach this site in a private network." },
  override = { type = "bool", default = true,
               doc = "Whether CORS fields of the application are replaced. `false`: a response that has "
                 .. "Access-Control-Allow-Origin is left as it is." },
}

local FIELDS = {
  "access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers",
  "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age",
  "access-control-allow-private-network",
}
local DEFAULT_PORTS = { http = "80", https = "443" }
local PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

-- ---- settings ----

-- An origin with a star in it, taken apart; nil when it is none.
local function wildcard(text)
  local scheme, host, port = text:match("^(%a[%w+.-]*)://(.+):([%d*]+)$")
  if not scheme then
    scheme, host = text:match("^(%a[%w+.-]*)://([^:]+)$")
  end
  if not scheme or (port and port ~= "*" and not port:find("^%d+$")) then
    return
  end
  local below = host:match("^%*(%.[%w-][%w.-]*)$")
  if not below and not host:find("^[%w-][%w.-]*$") and not host:find("^%[[%x:.]+%]$") then
    return
  end
  return { scheme = scheme, host = not below and host, below = below, port = port or "" }
end

local function add_origin(rules, text)
  local origin = text:lower()
  if origin == "*" then
    rules.all = true
    return
  end
  local parts = wildcard(origin)
  if origin ~= "null" and not parts then
    error(("origins: \"%s\" is no origin: write scheme, host and perhaps a port, as in "
      .. "https://app.example.com, https://*.example.com or http://localhost:*"):format(text), 0)
  end
  if parts and DEFAULT_PORTS[parts.scheme] == parts.port then
    error(("origins: \"%s\": leave out the port: browsers never say the usual one"):format(text), 0)
  end
  if parts and (parts.below or parts.port == "*") then
    rules.wild[#rules.wild + 1] = parts
  else
    rules.exact[origin] = true
  end
end

-- A pattern for whole origins; it has to be right by itself, too.
local function add_pattern(rules, pattern)
  local ok, re = pcall(lintel.re.new, pattern)
  if ok then
    ok, re = pcall(lintel.re.new, "\\A(?:" .. pattern .. ")\\z")
  end
  if not ok then
    error("patterns: " .. re, 0)
  end
  rules.patterns[#rules.patterns + 1] = re
end

-- The names as a field's value; a map of them, in lower case if they are those of headers.
local function names(option, list)
  local set = {}
  for _, name in ipairs(list) do
    if not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
      error(("%s: \"%s\" is not a name"):format(option, name), 0)
    end
    set[name] = true
  end
  return table.concat(list, ", "), set
end

local function flag(list, set, option)
  if set["*"] and #list > 1 then
    error(option .. ": \"*\" stands for all: write it alone", 0)
  end
  return set["*"]
end

function M.init(conf)
  local rules = { exact = {}, wild = {}, patterns = {} }
  for _, text in ipairs(conf.origins) do
    add_origin(rules, text)
  end
  for _, pattern in ipairs(conf.patterns) do
    add_pattern(rules, pattern)
  end
  if #conf.origins + #conf.patterns == 0 then
    error("write at least one of origins, patterns", 0)
  end
  if rules.all and #conf.origins + #conf.patterns > 1 then
    error("origins: \"*\" stands for all: write it alone", 0)
  end
  if rules.all and conf.credentials then
    error("origins: any page of the world would act as the user: with credentials name the origins", 0)
  end
  if rules.exact["null"] and conf.credentials then
    error("origins: any page can have the origin \"null\": not with credentials", 0)
  end
  local methods, method_set = names("methods", conf.methods)
  local headers, header_set = names("headers", conf.headers)
  local expose, expose_set = names("expose", conf.expose)
  if flag(conf.expose, expose_set, "expose") and conf.credentials then
    error("expose: with credentials \"*\" is only the name of a header: write the names", 0)
  end
  return {
    rules = rules,
    methods = methods, any_method = flag(conf.methods, method_set, "methods"),
    headers = headers, any_header = flag(conf.headers, header_set, "headers"),
    expose = expose ~= "" and expose or nil,
    max_age = math.floor(conf.max_age),
    credentials = conf.credentials, private_network = conf.private_network,
    override = conf.override,
  }
end

-- ---- requests ----

local function fits(parts, scheme, host, port)
  if parts.scheme ~= scheme or (parts.port ~= "*" and parts.port ~= port) then
    return false
  end
  if parts.host then
    return parts.host == host
  end
  local below = parts.below
  return #host > #below and host:sub(-#below) == below and host:find("^[%w-][%w.-]*$") ~= nil
end

-- What Access-Control-Allow-Origin says to this origin, or nil.
local function allowed(rules, origin)
  if rules.all then
    return "*"
  end
  if rules.exact[origin] then
    return origin
  end
  local scheme, host, port = origin:match("^([%w+.-]+)://(%[[%x:.]+%]):?(%d*)$")
  if not scheme then
    scheme, host, port = origin:match("^([%w+.-]+)://([%w.-]+):?(%d*)$")
  end
  if scheme then
    for _, parts in ipairs(rules.wild) do
      if fits(parts, scheme, host, port) then
        return origin
      end
    end
  end
  for _, re in ipairs(rules.patterns) do
    if re:test(origin) == true then -- not when it can't be told
      return origin
    end
  end
end

-- The request's one Origin, or nil.
local function origin_of(ctx)
  local origin = ctx.req.headers.origin
  return origin and #ctx.req.headers:all("origin") == 1 and origin or nil
end

-- The answer's fields for a preflight of an origin that may.
local function permissions(ctx, allow)
  local s, asked = ctx.state, ctx.req.headers
  local wanted = asked["access-control-request-headers"]
  local fields = {
    vary = PREFLIGHT_VARY,
    ["access-control-allow-origin"] = allow,
    ["access-control-allow-methods"] =
      s.any_method and asked["access-control-request-method"] or s.methods,
    ["access-control-max-age"] = s.max_age,
  }
  if s.any_header then
    fields["access-control-allow-headers"] = wanted
  elseif s.headers ~= "" then
    fields["access-control-allow-headers"] = s.headers
  end
  if s.credentials then
    fields["access-control-allow-credentials"] = "true"
  end
  if s.private_network and asked["access-control-request-private-network"] == "true" then
    fields["access-control-allow-private-network"] = "true"
  end
  return fields
end

function M.request(ctx)
  local asked = ctx.req.headers
  if ctx.req.method ~= "OPTIONS" or not asked.origin or not asked["access-control-request-method"] then
    return
  end
  local origin = origin_of(ctx)
  local allow = origin and allowed(ctx.state.rules, origin)
  if not allow then
    return ctx:deny(403, "cors_origin", { vary = PREFLIGHT_VARY })
  end
  ctx.vars["cors.preflight"] = true
  return ctx:respond { status = 204, headers = permissions(ctx, allow) }
end

-- ---- responses ----

local function vary_by_origin(headers)
  for _, value in ipairs(headers:all("vary")) do
    for name in value:lower():gmatch("[^%s,]+") do
      if name == "*" or name == "origin" then
        return
      end
    end
  end
  headers:add("vary", "Origin")
end

function M.response(ctx)
  local s, headers = ctx.state, ctx.res.headers
  if ctx.vars["cors.preflight"] then
    return -- it has them
  end
  if not s.rules.all then
    vary_by_origin(headers)
  end
  if not s.override and headers["access-control-allow-origin"] then
    return
  end
  for _, name in ipairs(FIELDS) do
    headers[name] = nil
  end
  local origin = origin_of(ctx)
  local allow = origin and allowed(s.rules, origin) or (s.rules.all and "*")
  if not allow then
    return
  end
  headers["access-control-allow-origin"] = allow
  headers["access-control-allow-credentials"] = s.credentials and "true" or nil
  headers["access-control-expose-headers"] = s.expose
end

return M
