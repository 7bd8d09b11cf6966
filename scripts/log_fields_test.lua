-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

t.case("members from the request and the response", function()
  local r = t.run("log_fields", {
    conf = {
      fields = { agent = "header.user-agent", plan = "user.plan or 'free'", post = "method == 'POST'",
                 none = "header.x-none" },
      response = { cache = "X-Cache", age = "age" },
    },
    request = { headers = { ["user-agent"] = "me" } },
    response = { headers = { ["x-cache"] = "HIT" } },
    user = { plan = "gold" },
  })
  t.eq(r.status, 200)
  t.eq(r.fields, { agent = "me", plan = "gold", post = false, cache = "HIT" })
end)

t.case("settings with mistakes", function()
  local function refused(conf, message)
    t.raises(function() t.run("log_fields", { conf = conf }) end, message)
  end
  refused({}, "at least one of fields, response")
  refused({ fields = { status = "path" } }, "has 'status' already")
  refused({ fields = { ["A"] = "path" } }, "is no name for a member")
  refused({ fields = { a = "pth" } }, "unknown name pth")
  refused({ response = { user = "x-user" } }, "has 'user' already")
  refused({ response = { a = "a b" } }, "is not a name of a header")
  refused({ response = { a = "Set-Cookie" } }, "Set%-Cookie holds")
  refused({ fields = { a = "path" }, response = { a = "x-a" } }, "there is \"a\" in `fields` too")
end)
