-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local PRINT = ("0a"):rep(32)

local function certificate(changes)
  local cert = {
    subject = "CN=shop-7,OU=web,O=Acme", issuer = "CN=Partners CA,O=Acme", serial = "0A1B",
    san = "DNS:shop-7.partners.test,DNS:WWW.Partners.Test,URI:spiffe://acme/ns/shop/sa/web,"
      .. "email:ops@acme.test,IP:10.1.2.3",
    fingerprint = PRINT,
  }
  for name, value in pairs(changes or {}) do
    cert[name] = value
  end
  return cert
end

local function ask(conf, changes, headers)
  return t.run("mtls", {
    conf = conf,
    request = { scheme = "https", client_cert = certificate(changes), headers = headers },
  })
end

local function passes(allow, changes, id)
  local r = ask({ allow = { allow } }, changes)
  t.eq(r.error, nil)
  t.eq(r.status, 200)
  t.eq(r.user.id, id or r.user.id)
end

local function refused(status, reason, r)
  t.eq(r.status, status)
  t.eq(r.reason, reason)
  t.eq(r.upstream_called, false)
  t.eq(r.headers["www-authenticate"], status == 401 and "ClientCertificate" or nil)
end

local function fails(allow, changes)
  refused(403, "certificate_not_allowed", ask({ allow = { allow } }, changes))
end

t.case("without rules every verified certificate is let in", function()
  local r = ask({})
  t.eq(r.status, 200)
  t.eq(r.user, { id = "CN=shop-7,OU=web,O=Acme" })
end)

t.case("without a certificate nobody is let in", function()
  refused(401, "no_client_certificate", t.run("mtls", { request = { scheme = "https" } }))
  refused(401, "no_tls", t.run("mtls", {}))
end)

t.case("a certificate that is over is refused on a connection that lives on", function()
  local now = math.floor(lintel.now())
  refused(401, "certificate_expired", ask({}, { not_after = now - 86400 * 365 * 60 }))
end)

t.case("without a certificate one may go on as nobody", function()
  local conf = { required = false, forward = { user = "X-Partner" } }
  local r = t.run("mtls", { conf = conf, request = { headers = { ["X-Partner"] = "acme" } } })
  t.eq(r.status, 200)
  t.eq(r.user, nil)
  t.eq(r.upstream_request.headers["x-partner"], nil)
end)

t.case("each part can be asked for", function()
  passes { subject = "CN=shop-7,OU=web,O=Acme" }
  passes { subject = "CN=shop-*,OU=*,O=Acme" }
  passes { issuer = "CN=Partners CA,O=*" }
  passes { dns = "*.partners.test" }
  passes { dns = "www.PARTNERS.test" }
  passes { uri = "spiffe://acme/ns/*/sa/*" }
  passes { email = "*@acme.test" }
  passes { ip = { "192.0.2.0/24", "10.0.0.0/8" } }
  passes { serial = "a1b" }
  passes { serial = "00:0A:1B" }
  passes { fingerprint = ("0A:"):rep(31) .. "0a" }
end)

t.case("what is not like the rule does not fit", function()
  fails { subject = "CN=shop-7" }
  fails { subject = "*" }
  fails { subject = "CN=*,O=Acme" }
  fails { issuer = "CN=Partners" }
  fails { dns = "*.test" }
  fails { dns = "partners.test" }
  fails { uri = "spiffe://acme/*" }
  fails { email = "*" }
  fails { ip = { "192.0.2.0/24" } }
  fails { serial = "a1" }
  fails { fingerprint = ("0b"):rep(32) }
end)

t.case("all that a rule asks for has to fit", function()
  passes { dns = "*.partners.test", issuer = "CN=Partners CA,O=Acme" }
  fails { dns = "*.partners.test", issuer = "CN=Other CA,O=Acme" }
end)

t.case("what a certificate does not have does not fit", function()
  local bare = { subject = "", issuer = "", san = "", serial = "" }
  for _, rule in ipairs { { subject = "*" }, { dns = "*" }, { uri = "*" }, { email = "*" },
                          { issuer = "*" }, { ip = { "::/0" } }, { serial = "1" } } do
    fails(rule, bare)
  end
end)

t.case("a comma within a name ends no part", function()
  fails({ subject = "CN=*,O=Acme" }, { subject = "CN=evil\\,O=Acme" })
  fails({ subject = "CN=*,O=Acme" }, { subject = "CN=evil+OU=x,O=Acme" })
  t.eq(ask({ user = "cn" }, { subject = "O=x\\,CN=admin,CN=me" }).user.id, "me")
  t.eq(ask({ user = "cn" }, { subject = "CN=admin\\,me,O=x" }).user.id, "admin\\,me")
  t.eq(ask({ user = "cn" }, { subject = "OU=x+CN=me" }).user.id, "me")
end)

t.case("the rule that fits says who it is", function()
  local conf = {
    user = "cn",
    allow = { { dns = "nobody.test", user = "nobody" },
              { dns = "*.partners.test", user = "acme", groups = { "partners", "gold" } },
              { subject = "CN=*,O=Staff" } },
  }
  t.eq(ask(conf).user, { id = "acme", groups = { "partners", "gold" } })
  t.eq(ask(conf, { subject = "CN=bob,O=Staff", san = "" }).user, { id = "bob", groups = {} })
end)

t.case("what is denied is denied though it is allowed", function()
  local conf = { allow = { { dns = "*.partners.test" } }, deny = { { serial = "0a1b" } } }
  refused(403, "certificate_denied", ask(conf))
  t.eq(ask(conf, { serial = "0A1C" }).status, 200)
end)

t.case("any name can be the user's", function()
  for name, id in pairs { subject = "CN=shop-7,OU=web,O=Acme", cn = "shop-7", serial = "0A1B",
                          dns = "shop-7.partners.test", uri = "spiffe://acme/ns/shop/sa/web",
                          email = "ops@acme.test", fingerprint = PRINT } do
    t.eq(ask({ user = name }).user.id, id)
  end
  refused(403, "certificate_without_name", ask({ user = "dns" }, { san = "" }))
  refused(403, "certificate_without_name", ask({ user = "cn" }, { subject = "O=Acme" }))
end)

t.case("the application learns who it is, and nobody can tell it otherwise", function()
  local conf = { user = "cn", forward = { user = "X-Partner", dns = "X-Names", ip = "X-Ip",
                                          uri = "X-Uri", issuer = "X-Issuer" } }
  local r = ask(conf, { san = "DNS:a.test,DNS:b.test,IP:10.1.2.3" },
    { ["X-Partner"] = "root", ["x-uri"] = "spiffe://evil", ["X-Names"] = { "c.test", "d.test" } })
  local headers = r.upstream_request.headers
  t.eq(headers["x-partner"], "shop-7")
  t.eq(headers["x-names"], "a.test,b.test")
  t.eq(headers["x-ip"], "10.1.2.3")
  t.eq(headers["x-issuer"], "CN=Partners CA,O=Acme")
  t.eq(headers["x-uri"], nil)
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() ask { allow = { {} } } end, "allow: rule 1: a rule asks for nothing")
  t.raises(function() ask { deny = { { dns = "a" }, {} } } end, "deny: rule 2: a rule asks")
  t.raises(function() ask { allow = { { serial = "0x12" } } } end, 'serial: "0x12" is not hex')
  t.raises(function() ask { allow = { { fingerprint = "0a0b" } } } end, "has not 64")
  t.raises(function() ask { allow = { { ip = { "10.0.0.1/8" } } } } end, "rule 1: .*row 1")
  t.raises(function() ask { allow = { { dns = "a", user = "a\nb" } } } end, "control character")
  t.raises(function() ask { deny = { { dns = "a", user = "x" } } } end, "user")
  t.raises(function() ask { forward = { name = "X-Name" } } end, "there is no name")
  t.raises(function() ask { forward = { user = "Remote_User" } } end, "Lintel's own")
end)
