-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local secret = ("k"):rep(32)

local function run(spec)
  return t.run("sign_request", { conf = { secret = secret, max = "1K" }, request = spec, now = 0 })
end

t.case("the application can check it", function()
  local sent = run { method = "POST", path = "/pay?x=1", body = "100", headers = {
    ["x-signature"] = "forged",
  } }.upstream_request.headers
  local text = sent["x-signature-time"] .. "\nPOST\n/pay?x=1\n" .. t.sha256("100")
  t.eq(sent["x-signature"], lintel.crypto.hmac_sha256_hex(secret, text))
end)

t.case("a request without a body is signed too", function()
  t.ok(run({ path = "/" }).upstream_request.headers["x-signature"])
end)

t.case("a body that is too large is refused", function()
  t.eq(run({ method = "POST", body = ("x"):rep(2000) }).status, 413)
end)
