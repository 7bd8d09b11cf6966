-- SPDX-License-Identifier: Apache-2.0
-- Sends a share of the users to a new version: always the same ones, without a cookie. A user who
-- has it at 5 % has it at 10 % too.
local M = { group = "transform" }

M.schema = {
  to = { type = "string", required = true, doc = "The upstream of the new version." },
  share = { type = "percent", required = true, doc = "Of the users." },
  salt = { type = "string", default = "1", doc = "Another one picks other users." },
}

function M.upstream(ctx)
  local who = ctx.user and ctx.user.id or ctx.client.ip
  local digest = lintel.crypto.sha256(ctx.conf.salt .. "\n" .. who)
  local place = string.unpack(">I4", digest) / 2 ^ 32 -- 0 to 1, evenly
  if place < ctx.conf.share then
    ctx.upstream.pool = ctx.conf.to
  end
end

return M
