-- SPDX-License-Identifier: Apache-2.0
local t = require "lintel.test"

local URL = "http://auth.test/check"

local function ask(conf, request)
  conf = conf or {}
  conf.url = URL
  return t.run("forward_auth", { conf = conf, request = request })
end

local function service(answer)
  t.http("GET " .. URL, answer)
end

t.case("the service sees the request, and 2xx lets it in", function()
  service { status = 204 }
  local r = ask(nil, { method = "POST", path = "/a%20b?x=1", scheme = "https", host = "shop.test",
                       client_ip = "192.0.2.9", body = "secret",
                       headers = { cookie = { "a=1", "b=2" }, ["x-other"] = "x",
                                   authorization = "Bearer t", accept = "text/html" } })
  t.eq(r.status, 200)
  t.eq(r.upstream_request.headers["cookie"], "a=1")
  local asked = r.http[1]
  t.eq(asked.method, "GET")
  t.eq(asked.body, nil)
  t.eq(asked.headers["x-forwarded-method"], "POST")
  t.eq(asked.headers["x-forwarded-proto"], "https")
  t.eq(asked.headers["x-forwarded-host"], "shop.test")
  t.eq(asked.headers["x-forwarded-uri"], "/a%20b?x=1")
  t.eq(asked.headers["x-forwarded-for"], "192.0.2.9")
  t.eq(asked.headers["authorization"], "Bearer t")
  t.eq(asked.headers["cookie"], "a=1")
  t.eq(asked.headers["accept"], "text/html")
  t.eq(asked.headers["x-other"], nil)
end)

t.case("what it says goes to the application, what clients say does not", function()
  service { headers = { ["Remote-User"] = "alice", ["Remote-Groups"] = { "a", "b" },
                        ["x-secret"] = "x" } }
  local conf = { copy = { "Remote-User", "Remote-Groups", "Remote-Email" }, user = "Remote-User" }
  local r = ask(conf, { headers = { ["remote-user"] = "root", ["remote-email"] = "root@x",
                                    ["x-secret"] = "mine" } })
  t.eq(r.status, 200)
  t.eq(r.user, { id = "alice" })
  local sent = r.upstream_request.headers
  t.eq(sent["remote-user"], "alice")
  t.eq(sent["remote-groups"], "a")
  t.eq(sent["remote-email"], nil)
  t.eq(sent["x-secret"], "mine")
end)

t.case("who has no name is nobody", function()
  service { headers = { ["remote-user"] = "" } }
  local r = ask { user = "Remote-User" }
  t.eq(r.status, 200)
  t.eq(r.user, nil)
end)

t.case("any other answer is the client's", function()
  service { status = 302, body = "go there",
            headers = { location = "https://login.test/?to=x", ["x-internal"] = "x",
                        ["content-type"] = "text/html", ["set-cookie"] = { "a=1", "b=2" } } }
  local r = ask { copy = { "remote-user" } }
  t.eq(r.status, 302)
  t.eq(r.upstream_called, false)
  t.eq(r.headers["location"], "https://login.test/?to=x")
  t.eq(r.headers["content-type"], "text/html")
  t.eq(r.headers["x-internal"], nil)
  t.eq(r.body, "go there")
  t.eq(#r.http, 1)
  service { status = 401, headers = { ["www-authenticate"] = "Basic" } }
  r = ask()
  t.eq(r.status, 401)
  t.eq(r.headers["www-authenticate"], "Basic")
  service { status = 304 }
  t.eq(ask().status, 304)
  service { status = 500, body = "broken" }
  t.eq(ask().status, 500)
  service { status = 403, body = "no", headers = { ["x-why"] = "mood" } }
  r = ask { answer = { "X-Why" } }
  t.eq(r.headers["x-why"], "mood")
  t.eq(r.headers["location"], nil)
end)

t.case("without an answer nobody gets in", function()
  service { error = "timeout" }
  for _, conf in ipairs { {}, { ttl = "1m" } } do
    local r = ask(conf, { headers = { cookie = "a=1" } })
    t.eq(r.status, 503)
    t.eq(r.reason, "auth_unavailable")
    t.eq(r.headers["retry-after"], "1")
    t.eq(r.log[1].message, "no answer")
    t.eq(r.upstream_called, false)
  end
end)

t.case("a service that is gone fills no log", function()
  local filter = t.load("forward_auth", { conf = { url = URL } })
  local function lines(answer)
    service(answer)
    return filter:run().log
  end
  t.eq(lines({ error = "timeout" })[1].times, 1)
  for _ = 1, 6 do
    t.eq(#lines { error = "timeout" }, 0)
  end
  t.eq(#lines { status = 204 }, 0) -- once is not yet well again
  t.advance(10)
  t.eq(lines({ error = "timeout" })[1].times, 7)
  t.eq(#lines { error = "timeout" }, 0)
  t.advance(10)
  local said = lines { status = 403 }
  t.eq({ #said, said[1].message, said[1].times }, { 1, "it answers again", 1 })
  t.eq(#lines { status = 204 }, 0)
  t.eq(#lines { error = "timeout" }, 1) -- it begins again
end)

t.case("with ttl answers are remembered for those who can be told apart", function()
  service { headers = { ["remote-user"] = "alice" } }
  local conf = { ttl = "1m", copy = { "remote-user" } }
  local r = ask(conf, { headers = { cookie = "a=1" } })
  t.eq(r.upstream_request.headers["remote-user"], "alice")
  t.eq(ask(conf).status, 200)
  conf.any_uri = true
  service { headers = { ["remote-user"] = "bob", ["cache-control"] = "No-Store" } }
  r = ask(conf, { headers = { cookie = "a=1" } })
  t.eq(r.upstream_request.headers["remote-user"], "bob")
end)

t.case("settings that can't work are errors at load", function()
  t.raises(function() ask { copy = { "x-forwarded-for" } } end, "Lintel's own")
  t.raises(function() ask { copy = { "remote_user" } } end, "_")
  t.raises(function() ask { headers = { "a b" } } end, "not a name of a header")
  t.raises(function() ask { answer = { "connection" } } end, "Lintel's own")
end)
