-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local secret = "a secret of some length"

local function ask(path, expires, sig, response)
  sig = sig or lintel.crypto.hmac_sha256_hex(secret, path .. ":" .. expires)
  return t.run("signed_link", {
    conf = { secret = secret },
    request = { path = ("%s?expires=%s&sig=%s"):format(path, expires, sig) },
    response = response,
  })
end

-- The clock of tests stands still; this is what it shows.
local function now()
  return math.tointeger(1750000000)
end

t.case("a signed link works until it expires", function()
  local r = ask("/files/a.zip", now() + 60)
  t.eq(r.status, 200)
  t.eq(r.headers["cache-control"], "private, max-age=60")
  t.advance(61)
  r = ask("/files/a.zip", now() + 60)
  t.eq(r.status, 410)
  t.eq(r.reason, "link_expired")
end)

t.case("other answers than 200 keep their caching", function()
  t.eq(ask("/files/a.zip", now() + 60, nil, { status = 404 }).headers["cache-control"], nil)
end)

t.case("a signature is for one path and one time", function()
  local sig = lintel.crypto.hmac_sha256_hex(secret, "/files/a.zip:" .. now() + 60)
  t.eq(ask("/files/a.zip", now() + 60, sig).status, 200)
  local r = ask("/files/b.zip", now() + 60, sig)
  t.eq(r.status, 403)
  t.eq(r.reason, "link_forged")
  t.match(r.log[1].message, "bad signature")
  t.eq(ask("/files/a.zip", now() + 61, sig).reason, "link_forged")
  t.eq(r.upstream_called, false)
end)

t.case("without a signature nobody gets in", function()
  t.eq(t.run("signed_link", { conf = { secret = secret } }).reason, "link_unsigned")
end)

t.case("links for ever are refused", function()
  t.eq(ask("/files/a.zip", now() + 86400 * 365).reason, "link_expired")
end)
