-- SPDX-License-Identifier: Apache-2.0
-- Adds the fields that make browsers careful: HSTS, CSP and what goes with them, by a preset for pages
-- or for APIs. What the application says itself stays, unless `override` is set.
local M = { group = "transform" }

local function choice(values, doc)
  values[#values + 1] = "none"
  return { type = "enum", values = values, doc = doc .. " `none`: no field." }
end

M.schema = {
  preset = { type = "enum", values = { "html", "api" }, default = "html",
             doc = "What holds for all that is not written here: `html` for sites with pages, `api` for "
               .. "what no browser shows." },
  hsts = { type = "record", doc = "Strict-Transport-Security. It is sent over TLS only.", fields = {
    send = { type = "bool", default = true, doc = "Whether to send it." },
    max_age = { type = "duration", default = "365d", max = "3650d",
                doc = "How long browsers use nothing but TLS; `0s` has them forget it." },
    subdomains = { type = "bool", default = false, doc = "For all names below this one, too." },
    preload = { type = "bool", default = false,
                doc = "Asks for a place in the lists that browsers come with. Hard to take back." },
  } },
  nosniff = { type = "bool", default = true, doc = "X-Content-Type-Options: nosniff." },
  frame = choice({ "deny", "sameorigin" },
                 "X-Frame-Options: who may show pages in frames."),
  referrer_policy = choice({ "no-referrer", "same-origin", "strict-origin",
                             "strict-origin-when-cross-origin", "no-referrer-when-downgrade", "origin",
                             "origin-when-cross-origin", "unsafe-url" }, "Referrer-Policy."),
  permissions_policy = { type = "string", doc = "Permissions-Policy; empty: no field." },
  csp = { type = "string", max = 8000,
          doc = "Content-Security-Policy; empty: no field. `{nonce}` stands for a new random text, as in "
            .. "`script-src 'nonce-{nonce}'`." },
  csp_report_only = { type = "string", max = 8000,
                      doc = "Content-Security-Policy-Report-Only, likewise." },
  nonce_header = { type = "string", default = "x-csp-nonce",
                   doc = "Header that tells the application the nonce. What a client sent under this name "
                     .. "is replaced." },
  opener_policy = choice({ "same-origin", "same-origin-allow-popups", "noopener-allow-popups",
                           "unsafe-none" }, "Cross-Origin-Opener-Policy."),
  embedder_policy = choice({ "require-corp", "credentialless", "unsafe-none" },
                           "Cross-Origin-Embedder-Policy."),
  resource_policy = choice({ "same-origin", "same-site", "cross-origin" },
                           "Cross-Origin-Resource-Policy."),
  remove = { type = "list", of = "string",
             default = { "server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-runtime" },
             doc = "Fields that tell what the application is made of." },
  override = { type = "bool", default = false, doc = "Whether what the application says is replaced." },
}

local PRESETS = {
  html = {
    frame = "sameorigin", referrer_policy = "strict-origin-when-cross-origin",
    permissions_policy = "camera=(), geolocation=(), microphone=()",
    csp = "base-uri 'self'; frame-ancestors 'self'; object-src 'none'",
    opener_policy = "same-origin-allow-popups", embedder_policy = "none", resource_policy = "same-site",
  },
  api = {
    frame = "deny", referrer_policy = "no-referrer", permissions_policy = "",
    csp = "default-src 'none'; frame-ancestors 'none'",
    opener_policy = "none", embedder_policy = "none", resource_policy = "same-origin",
  },
}

-- ---- settings ----

local function check(option, ...)
  local ok, why = pcall(lintel.header.check, ...)
  if not ok then
    error(option .. ": " .. why, 0)
  end
end

local function hsts(conf)
  if not conf.send then
    return
  end
  if conf.preload and not (conf.subdomains and conf.max_age >= 31536000) then
    error("hsts.preload: the lists take sites with subdomains and a max_age of 365d or more", 0)
  end
  return ("max-age=%d%s%s"):format(conf.max_age, conf.subdomains and "; includeSubDomains" or "",
                                   conf.preload and "; preload" or "")
end

-- The pieces of a policy around its nonces, and their number.
local function pieces(option, text)
  local list, at = {}, 1
  check(option, "response", "content-security-policy", text)
  while true do
    local first, last = text:find("{nonce}", at, true)
    if not first then
      break
    end
    list[#list + 1] = text:sub(at, first - 1)
    at = last + 1
  end
  list[#list + 1] = text:sub(at)
  if table.concat(list):find("[{}]") then
    error(option .. ": the only thing in braces is {nonce}", 0)
  end
  return list
end

function M.init(conf)
  local preset, fixed, policies, nonce = PRESETS[conf.preset], {}, {}, false
  local function value(option)
    local v = conf[option]
    if v == nil then
      v = preset[option]
    end
    return v
  end
  local function add(name, v)
    if v and v ~= "none" and v ~= "" then
      fixed[#fixed + 1] = { name, v }
    end
  end
  check("permissions_policy", "response", "permissions-policy", value("permissions_policy"))
  add("x-content-type-options", conf.nosniff and "nosniff")
  add("x-frame-options", value("frame"):upper():gsub("^NONE$", ""))
  add("referrer-policy", value("referrer_policy"))
  add("permissions-policy", value("permissions_policy"))
  add("cross-origin-opener-policy", value("opener_policy"))
  add("cross-origin-embedder-policy", value("embedder_policy"))
  add("cross-origin-resource-policy", value("resource_policy"))
  for option, name in pairs { csp = "content-security-policy",
                              csp_report_only = "content-security-policy-report-only" } do
    local list = pieces(option, value(option) or "")
    if #list > 1 then
      nonce = true
      policies[#policies + 1] = { name, list }
    else
      add(name, list[1])
    end
  end
  check("nonce_header", "request", conf.nonce_header, "x")
  for _, name in ipairs(conf.remove) do
    check("remove", "response", name)
  end
  return {
    hsts = hsts(conf.hsts), fixed = fixed, policies = policies,
    nonce = nonce and conf.nonce_header, remove = conf.remove, override = conf.override,
  }
end

-- ---- exchanges ----

function M.request(ctx)
  local header = ctx.state.nonce
  if header then
    local nonce = lintel.crypto.base64_encode(lintel.crypto.random_bytes(16))
    ctx.vars["security_headers." .. ctx.name] = nonce
    ctx.req.headers[header] = nonce
  end
end

function M.response(ctx)
  local s, headers = ctx.state, ctx.res.headers
  local function set(name, value)
    if s.override or headers[name] == nil then
      headers[name] = value
    end
  end
  for _, name in ipairs(s.remove) do
    headers[name] = nil
  end
  for _, field in ipairs(s.fixed) do
    set(field[1], field[2])
  end
  if s.hsts and ctx.req.scheme == "https" then -- RFC 6797 §7.2
    set("strict-transport-security", s.hsts)
  end
  -- A cache would give the page that it has the nonce that this 304 brings.
  local nonce = s.nonce and ctx.vars["security_headers." .. ctx.name]
  if nonce and ctx.res.status ~= 304 then
    for _, policy in ipairs(s.policies) do
      set(policy[1], table.concat(policy[2], nonce))
    end
  end
end

return M
