-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in by the address of the client: the one that trusted proxies name, else the one
-- that has connected. IPv4 and the same address mapped into IPv6 are one.
local M = { group = "auth" }

M.schema = {
  allow = { type = "list", of = "string", default = {},
            doc = "Addresses and blocks that are let in, as in 10.0.0.0/8; without any, all that are "
              .. "not denied." },
  allow_lines = { type = "string",
                  doc = "More of them, one a line, as in ${file:/etc/lintel/offices.txt}; what comes "
                    .. "after # is a comment." },
  deny = { type = "list", of = "string", default = {},
           doc = "Addresses and blocks that are refused, also those within allowed ones." },
  deny_lines = { type = "string", doc = "More of them, one a line." },
}

-- The sets of `name` and `name_lines`, without empty ones.
local function sets_of(conf, name)
  local sets = {}
  for _, key in ipairs { name, name .. "_lines" } do
    local blocks = conf[key]
    if blocks and #blocks > 0 then
      local ok, set = pcall(lintel.cidr.set, blocks)
      if not ok then
        error(key .. ": " .. set, 0)
      end
      sets[#sets + 1] = set
    end
  end
  return sets
end

function M.init(conf)
  local state = { allow = sets_of(conf, "allow"), deny = sets_of(conf, "deny") }
  if #state.allow + #state.deny == 0 then
    error("there are no addresses: give `allow`, `deny` or lines of them", 0)
  end
  return state
end

local function one_has(sets, ip)
  for _, set in ipairs(sets) do
    if set:contains(ip) then
      return true
    end
  end
  return false
end

function M.request(ctx)
  local state, ip = ctx.state, ctx.client.ip
  if one_has(state.deny, ip) then
    return ctx:deny(403, "address_denied")
  end
  if #state.allow > 0 and not one_has(state.allow, ip) then
    return ctx:deny(403, "address_not_allowed")
  end
end

return M
