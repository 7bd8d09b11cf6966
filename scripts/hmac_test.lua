-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"
local crypto = lintel.crypto

local SECRET = "It's a Secret to Everybody"
local NOW = 1750000000 -- what the clock of tests shows

local function hex(hash, text, secret)
  return crypto.hex_encode(crypto.sign(hash, secret or SECRET, text))
end

local function github(more)
  local conf = { secrets = { SECRET }, header = "X-Hub-Signature-256", prefix = "sha256=" }
  for name, value in pairs(more or {}) do
    conf[name] = value
  end
  return conf
end

local function ask(conf, headers, body)
  return t.run("hmac", {
    conf = conf,
    request = { method = "POST", path = "/hook", headers = headers, body = body or "Hello, World!" },
  })
end

local function refused(r, status, reason)
  t.eq(r.status, status)
  t.eq(r.reason, reason)
  t.eq(r.upstream_called, false)
end

t.case("GitHub's own example fits, and the application gets the body", function()
  local r = ask(github(), { ["x-hub-signature-256"] =
    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.body, "Hello, World!")
end)

t.case("another body, another secret and other forms don't fit", function()
  local good = hex("sha256", "Hello, World!")
  local function try(value, body)
    refused(ask(github(), { ["x-hub-signature-256"] = value }, body), 401, "bad_signature")
  end
  try("sha256=" .. good, "Hello, World")
  try("sha256=" .. hex("sha256", "Hello, World!", "another secret of some length"))
  try(good)
  try("sha1=" .. good)
  try("sha256=" .. good:sub(3))
  try("sha256=" .. good .. "00")
  try("sha256=")
  try("sha256=xyz")
  try("")
  refused(ask(github(), {}), 401, "missing_signature")
  refused(ask(github(), { ["x-hub-signature-256"] = { "sha256=" .. good, "sha256=" .. good } }), 401,
    "two_signatures")
end)

t.case("what is signed may end with a text of its own", function()
  local conf = github { signed = "{method} {path} {body}!" }
  local value = "sha256=" .. hex("sha256", "POST /hook Hello, World!!")
  t.eq(ask(conf, { ["x-hub-signature-256"] = value }).status, 200)
end)

t.case("either of two secrets fits while they are changed", function()
  local conf = github { secrets = { SECRET, "the secret before this one" } }
  for _, secret in ipairs { SECRET, "the secret before this one" } do
    local value = "sha256=" .. hex("sha256", "Hello, World!", secret)
    t.eq(ask(conf, { ["x-hub-signature-256"] = value }).status, 200)
  end
end)

t.case("Slack: the time is in a header of its own", function()
  local conf = { secrets = { SECRET }, header = "X-Slack-Signature", prefix = "v0=",
                 signed = "v0:{timestamp}:{body}", timestamp = "X-Slack-Request-Timestamp" }
  local function at(time, claimed)
    return ask(conf, { ["x-slack-signature"] = "v0=" .. hex("sha256", "v0:" .. time .. ":x"),
                       ["x-slack-request-timestamp"] = claimed or tostring(time) }, "x")
  end
  t.eq(at(NOW).status, 200)
  t.eq(at(NOW - 300).status, 200)
  t.eq(at(NOW + 300).status, 200)
  refused(at(NOW - 301), 401, "stale_timestamp")
  refused(at(NOW + 301), 401, "stale_timestamp")
  refused(at(NOW - 1000, tostring(NOW)), 401, "bad_signature")
  for _, time in ipairs { "", "x", "1e9", "-1", " " .. NOW, NOW .. ".0", ("9"):rep(400) } do
    refused(at(NOW, time), 401, "stale_timestamp")
  end
  refused(ask(conf, { ["x-slack-signature"] = "v0=" .. hex("sha256", "v0::x") }, "x"), 401,
    "missing_timestamp")
end)

t.case("Stripe: time and signatures are parts of one header", function()
  local conf = { secrets = { SECRET }, header = "Stripe-Signature", part = "v1", timestamp = "t",
                 signed = "{timestamp}.{body}" }
  local good = hex("sha256", NOW .. ".x")
  local function with(value)
    return ask(conf, { ["stripe-signature"] = value }, "x")
  end
  t.eq(with("t=" .. NOW .. ",v1=" .. good .. ",v0=ab").status, 200)
  t.eq(with("t=" .. NOW .. ", v1=" .. hex("sha256", "other") .. ", v1=" .. good).status, 200)
  refused(with("t=" .. NOW .. ",v0=" .. good), 401, "bad_signature")
  refused(with("v1=" .. good), 401, "missing_timestamp")
  refused(with("t=" .. NOW - 301 .. ",v1=" .. good), 401, "stale_timestamp")
  refused(with("t=" .. NOW .. ("," .. "v1=00"):rep(8) .. ",v1=" .. good), 401, "bad_signature")
end)

t.case("hash, encoding and what is signed can be chosen", function()
  local conf = { secrets = { SECRET }, header = "X-Sig", hash = "sha1", encoding = "base64",
                 signed = "{method} {path}\n{body}" }
  local value = crypto.base64_encode(crypto.sign("sha1", SECRET, "POST /hook\nx"))
  t.eq(ask(conf, { ["x-sig"] = value }, "x").status, 200)
  refused(ask(conf, { ["x-sig"] = hex("sha1", "POST /hook\nx") }, "x"), 401, "bad_signature")
end)

t.case("a body larger than allowed is refused", function()
  local body = ("x"):rep(2000)
  refused(ask(github { max = "1K" }, { ["x-hub-signature-256"] = "sha256=" .. hex("sha256", body) },
    body), 413, "body_too_large")
end)

t.case("settings that can't work are errors at load", function()
  local function bad(pattern, more)
    t.raises(function() ask(github(more), {}) end, pattern)
  end
  bad("less than 16 bytes", { secrets = { "short" } })
  bad("there is no {boddy}", { signed = "{boddy}" })
  bad("without {body}", { signed = "{path}" })
  bad("the other way round", { timestamp = "x-time" })
  bad("the other way round", { signed = "{timestamp}{body}" })
  bad("hash", { hash = "md5" })
end)

t.case("a field full of nonsense is refused at little cost", { cpu = "5ms" }, function()
  local conf = { secrets = { SECRET }, header = "Stripe-Signature", part = "v1", timestamp = "t",
                 signed = "{timestamp}.{body}" }
  for _, text in ipairs { ("a"):rep(15000), (("a"):rep(300) .. ",x=1,"):rep(13), ("="):rep(4000) } do
    t.eq(ask(conf, { ["stripe-signature"] = text }).status, 401)
  end
end)
