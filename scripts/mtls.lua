-- SPDX-License-Identifier: Apache-2.0
-- Lets clients in by the certificate that they have shown and that the site's `tls.clients` has
-- verified: rules decide which of them, and who they are.
local M = { group = "auth" }

-- What a rule may ask for, with what `*` does not stand for: else the comma in a name such as
-- "CN=a\\,O=Acme" would look like the end of a part.
local PARTS = { subject = "%,%+%\\", issuer = "%,%+%\\", dns = "%.", uri = "%/", email = "%@" }

local rule = {
  subject = { type = "string", doc = "As in \"CN=*,O=Acme\" (RFC 4514: the last part first)." },
  issuer = { type = "string", doc = "Subject of the authority that issued it." },
  dns = { type = "string", doc = "One of the host names, as in \"*.partners.example.com\"." },
  uri = { type = "string", doc = "One of the URIs, as in \"spiffe://example.com/ns/*/sa/*\"." },
  email = { type = "string", doc = "One of the mail addresses." },
  ip = { type = "list", of = "string", default = {},
         doc = "One of the IP addresses lies in one of these blocks." },
  serial = { type = "string", doc = "Serial number, in hexadecimal." },
  fingerprint = { type = "string", doc = "SHA-256 of the certificate, in hexadecimal." },
}

-- A rule with more fields.
local function with(more)
  for name, field in pairs(rule) do
    more[name] = field
  end
  return more
end

M.schema = {
  allow = { type = "list", default = {},
            doc = "Rules of which one has to fit; what one asks for has to fit as a whole. Without "
              .. "rules every verified certificate does. `*` stands for anything but the character "
              .. "that separates parts: `,` in names, `.` in dns, `/` in uri, `@` in email.",
            fields = with {
              user = { type = "string", min = 1, doc = "What becomes user.id; else by `user`." },
              groups = { type = "list", of = "string", default = {},
                         doc = "What becomes user.groups." },
            } },
  deny = { type = "list", default = {}, doc = "Rules of which none may fit; they come first.",
           fields = with {} },
  required = { type = "bool", default = true,
               doc = "Refuse clients without a certificate; else they go on as nobody." },
  user = { type = "enum", default = "subject",
           values = { "subject", "cn", "dns", "uri", "email", "serial", "fingerprint" },
           doc = "What becomes user.id: of several names the first." },
  forward = { type = "map", of = "string", default = {},
              doc = "What the application is told, of user, cn, subject, issuer, serial, dns, uri, "
                .. "email, ip, fingerprint, to the header that tells it. What clients send under "
                .. "these names is taken off." },
}

local TOLD = { user = true, cn = true, subject = true, issuer = true, serial = true, dns = true,
               uri = true, email = true, ip = true, fingerprint = true }

-- A text with `*` as a pattern of Lua's.
local function pattern_of(text, except)
  local run = ("[^" .. except .. "]*"):gsub("%%", "%%%%")
  return "^" .. text:gsub("[^%w*]", "%%%0"):gsub("%*", run) .. "$"
end

-- Hexadecimal digits as certificates have them: without colons, the case does not count.
local function hex_of(name, text)
  local digits = text:gsub(":", ""):lower()
  if not digits:find("^%x+$") then
    error(name .. ": \"" .. text .. "\" is not hexadecimal", 0)
  end
  return digits
end

local function read_rule(conf)
  local read = { patterns = {} }
  for part, except in pairs(PARTS) do
    local text = conf[part]
    if text then
      text = part == "dns" and text:lower() or text
      read.patterns[part] = pattern_of(text, except)
    end
  end
  read.serial = conf.serial and hex_of("serial", conf.serial):gsub("^0+", "")
  read.fingerprint = conf.fingerprint and hex_of("fingerprint", conf.fingerprint)
  if read.fingerprint and #read.fingerprint ~= 64 then
    error("fingerprint: \"" .. conf.fingerprint .. "\" has not 64 hexadecimal digits", 0)
  end
  read.ip = #conf.ip > 0 and lintel.cidr.set(conf.ip)
  if not (next(read.patterns) or read.serial or read.fingerprint or read.ip) then
    error("a rule asks for nothing", 0)
  end
  return read
end

local function read_rules(list, name)
  local rules = {}
  for i, conf in ipairs(list) do
    local ok, read = pcall(read_rule, conf)
    if not ok then
      error(name .. ": rule " .. i .. ": " .. read, 0)
    end
    rules[i] = read
  end
  return rules
end

-- Whom the certificates are that a rule allows.
local function add_identities(rules, list)
  for i, conf in ipairs(list) do
    if (conf.user or ""):find("%c") then
      error("allow: rule " .. i .. ": user holds a control character", 0)
    end
    rules[i].user, rules[i].groups = conf.user, conf.groups
  end
  return rules
end

function M.init(conf)
  for name, header in pairs(conf.forward) do
    if not TOLD[name] then
      error("forward: there is no " .. name .. " of a certificate", 0)
    end
    lintel.header.check("request", header, "value")
  end
  return {
    allow = add_identities(read_rules(conf.allow, "allow"), conf.allow),
    deny = read_rules(conf.deny, "deny"),
    required = conf.required, user = conf.user, forward = conf.forward,
  }
end

-- Whether a value, or one of a list of values, is like the pattern.
local function is_like(value, pattern)
  if type(value) ~= "table" then
    return value ~= nil and value:find(pattern) ~= nil
  end
  for _, one in ipairs(value) do
    if one:find(pattern) then
      return true
    end
  end
  return false
end

local function lies_in(addresses, set)
  for _, ip in ipairs(addresses) do
    if set:contains(ip) then
      return true
    end
  end
  return false
end

local function fits(one, cert)
  for part, pattern in pairs(one.patterns) do
    if not is_like(cert[part], pattern) then
      return false
    end
  end
  return (not one.serial or one.serial == cert.number)
    and (not one.fingerprint or one.fingerprint == cert.fingerprint)
    and (not one.ip or lies_in(cert.ip, one.ip))
end

local function find(rules, cert)
  for _, one in ipairs(rules) do
    if fits(one, cert) then
      return one
    end
  end
end

-- The first CN of a subject, as it stands there. What a backslash stands before is part of a value.
local function cn_of(subject)
  local hidden = subject:gsub("\\.", "..")
  local from, to = hidden:find("^CN=[^,+]+")
  if not from then
    from, to = hidden:find("[,+]CN=[^,+]+")
    from = from and from + 1
  end
  return from and subject:sub(from + 3, to)
end

-- The certificate with what rules compare besides: names of hosts in small letters.
local function look_at(cert)
  for i, name in ipairs(cert.dns) do
    cert.dns[i] = name:lower()
  end
  cert.number = (cert.serial or ""):lower():gsub("^0+", "")
  cert.cn = cn_of(cert.subject or "")
end

local function first(value)
  if type(value) == "table" then
    return value[1]
  end
  return value
end

local function forward(headers, names, cert)
  for name, header in pairs(names) do
    local value = cert[name]
    if type(value) == "table" then
      value = #value > 0 and table.concat(value, ",") or nil
    end
    headers[header] = value
  end
end

local challenge = { ["www-authenticate"] = "ClientCertificate" }

function M.request(ctx)
  local state, headers = ctx.state, ctx.req.headers
  for _, header in pairs(state.forward) do
    headers[header] = nil
  end
  local tls = ctx.client.tls
  local cert = tls and tls.cert
  if not cert then
    if state.required then
      return ctx:deny(401, tls and "no_client_certificate" or "no_tls", challenge)
    end
    return
  end
  look_at(cert)
  -- The connection may have outlived it.
  if cert.not_after <= lintel.now() then
    return ctx:deny(401, "certificate_expired", challenge)
  end
  if find(state.deny, cert) then
    return ctx:deny(403, "certificate_denied")
  end
  local one = find(state.allow, cert)
  if not one and #state.allow > 0 then
    return ctx:deny(403, "certificate_not_allowed")
  end
  cert.user = one and one.user or first(cert[state.user])
  if not cert.user then
    return ctx:deny(403, "certificate_without_name")
  end
  forward(headers, state.forward, cert)
  ctx.user = { id = cert.user, groups = one and one.groups or nil }
end

return M
