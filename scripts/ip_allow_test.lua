-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local function ask(ip, conf)
  return t.run("ip_allow", { conf = conf, request = { client_ip = ip } })
end

local function passes(ip, conf)
  t.eq(ask(ip, conf).status, 200)
end

local function refused(ip, conf, reason)
  local r = ask(ip, conf)
  t.eq(r.status, 403)
  t.eq(r.reason, reason)
  t.eq(r.upstream_called, false)
end

t.case("only what is allowed passes", function()
  local conf = { allow = { "10.0.0.0/8", "2001:db8::/32", "192.0.2.7" } }
  for _, ip in ipairs { "10.0.0.0", "10.255.255.255", "2001:db8::1", "192.0.2.7",
                        "::ffff:10.1.2.3" } do
    passes(ip, conf)
  end
  for _, ip in ipairs { "11.0.0.0", "9.255.255.255", "2001:db9::1", "192.0.2.8", "::1",
                        "::ffff:11.1.2.3" } do
    refused(ip, conf, "address_not_allowed")
  end
end)

t.case("what is denied does not pass, the rest does", function()
  local conf = { deny = { "192.0.2.0/24" } }
  passes("198.51.100.1", conf)
  refused("192.0.2.1", conf, "address_denied")
  refused("::ffff:192.0.2.1", conf, "address_denied")
end)

t.case("a denied part of an allowed block is denied", function()
  local conf = { allow = { "10.0.0.0/8" }, deny = { "10.66.0.0/16" } }
  passes("10.65.0.1", conf)
  refused("10.66.0.1", conf, "address_denied")
  refused("192.0.2.1", conf, "address_not_allowed")
end)

t.case("blocks come from lines too", function()
  local conf = { allow = { "127.0.0.1" }, allow_lines = "# offices\n\n10.0.0.0/8 # north\r\n ::1\n",
                 deny_lines = "10.9.0.0/16" }
  passes("127.0.0.1", conf)
  passes("10.1.1.1", conf)
  passes("::1", conf)
  refused("10.9.1.1", conf, "address_denied")
  refused("192.0.2.1", conf, "address_not_allowed")
end)

t.case("many blocks are no trouble", function()
  local lines = {}
  for i = 0, 9999 do
    lines[#lines + 1] = ("10.%d.%d.0/25"):format(i // 256, i % 256)
  end
  local conf = { deny_lines = table.concat(lines, "\n") }
  refused("10.0.0.1", conf, "address_denied")
  refused("10.39.15.127", conf, "address_denied")
  passes("10.39.15.128", conf)
  passes("10.39.16.1", conf)
end)

t.case("what is no address is an error at load", function()
  t.raises(function() ask("::1", {}) end, "there are no addresses")
  t.raises(function() ask("::1", { allow = { "10.0.0.1/8" } }) end, 'allow: row 1, "10.0.0.1/8": bits')
  t.raises(function() ask("::1", { deny_lines = "10.0.0.1\nexample.com" }) end,
    'deny_lines: row 2, "example.com": not an IP')
end)
