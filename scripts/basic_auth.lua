-- SPDX-License-Identifier: Apache-2.0
-- Lets requests in with a user name and a password (RFC 7617). Passwords are configured as hashes,
-- which threads of their own compute; what was verified is remembered for a while, under a key that
-- nobody knows, so that not every request pays for it.
local crypto = lintel.crypto

local M = { group = "auth" }

M.schema = {
  users = { type = "map", of = "secret", default = {},
            doc = "User to the hash of the password, as by `htpasswd -nB USER`." },
  htpasswd = { type = "secret",
               doc = "Lines of USER:HASH, as in ${file:/etc/lintel/htpasswd}." },
  realm = { type = "string", default = "restricted", doc = "What browsers show who ask." },
  remember = { type = "duration", default = "1m", max = "1h",
               doc = "How long a verified password is not hashed again; 0s: each time." },
  forward_as = { type = "string", default = "x-user",
                 doc = "Header that tells the application the user; empty: none." },
  hide = { type = "bool", default = true,
           doc = "Take the password off the request before it goes to the application." },
}

-- Verified passwords that are remembered, per worker and instance.
local REMEMBERED = 2000

local function add_user(users, name, hash)
  if name == "" or name:find("[%c:]") then
    error("a user's name is empty, or holds a colon or a control character", 0)
  end
  if users[name] then
    error("the user " .. name .. " is there twice", 0)
  end
  local ok, _, why = crypto.crypt_check(hash)
  if not ok then
    error("the hash of " .. name .. " " .. why, 0)
  end
  users[name] = hash
end

local function read_users(conf)
  local users = {}
  for name, hash in pairs(conf.users) do
    add_user(users, name, hash)
  end
  for line in (conf.htpasswd or ""):gmatch("[^\r\n]+") do
    if not line:find("^%s*#") and line:find("%S") then
      local name, hash = line:match("^([^:]*):(%S*)%s*$")
      if not name then
        error("htpasswd: a line is not USER:HASH", 0)
      end
      add_user(users, name, hash)
    end
  end
  return users
end

-- The hash that is computed for users that aren't there: the one that comes first, so that it does
-- not change from request to request.
local function any_hash(users)
  local first
  for name in pairs(users) do
    if not first or name < first then
      first = name
    end
  end
  return first and users[first] or error("there are no users: give `users` or `htpasswd`", 0)
end

function M.init(conf)
  if conf.realm:find('[%c"\\]') then
    error('realm: no control characters, no " and no \\', 0)
  end
  local users = read_users(conf)
  local header = conf.forward_as ~= "" and conf.forward_as:lower() or nil
  for name in pairs(header and users or {}) do
    lintel.header.check("request", header, name)
  end
  return {
    users = users, dummy = any_hash(users), header = header, hide = conf.hide,
    secret = crypto.random_bytes(32), remember = conf.remember,
    -- What is remembered, and what was before that: forgetting is one assignment.
    new = {}, n = 0, old = {}, turn = 0,
    challenge = { ["www-authenticate"] = 'Basic realm="' .. conf.realm .. '", charset="UTF-8"' },
  }
end

-- User and password of "Authorization: Basic BASE64"; nil: there are none.
local function credentials(headers)
  local all = headers:all("authorization")
  local scheme, form = (all[1] or ""):match("^(%a+) +(%S+)$")
  local text = #all == 1 and scheme and scheme:lower() == "basic" and crypto.base64_decode(form)
  local colon = text and text:find(":", 1, true)
  if colon then
    return text:sub(1, colon - 1), text:sub(colon + 1)
  end
end

local function is_remembered(state, key, now)
  if now >= state.turn or state.n >= REMEMBERED / 2 then
    state.old = now < state.turn + state.remember and state.new or {}
    state.new, state.n, state.turn = {}, 0, now + state.remember
  end
  local until_time = state.new[key] or state.old[key]
  return until_time and now < until_time
end

local function remember(state, key, until_time)
  if state.remember > 0 and not state.new[key] then
    state.new[key] = until_time
    state.n = state.n + 1
  end
end

-- True, false, or nil and why it can't be told.
local function verify(state, name, password)
  local hash, now = state.users[name], lintel.now()
  local key = crypto.hmac_sha256(state.secret, name .. ":" .. password)
  if hash and is_remembered(state, key, now) then
    return true
  end
  local same, why = crypto.crypt_verify(password, hash or state.dummy)
  if same == nil then
    return nil, why
  end
  if same and hash then
    remember(state, key, now + state.remember)
    return true
  end
  return false
end

function M.request(ctx)
  local state, headers = ctx.state, ctx.req.headers
  if state.header then
    headers[state.header] = nil
  end
  local name, password = credentials(headers)
  if not name then
    return ctx:deny(401, "missing_credentials", state.challenge)
  end
  local ok, why = verify(state, name, password)
  if ok == nil then
    return ctx:deny(503, why, { ["retry-after"] = "1" })
  end
  if not ok then
    return ctx:deny(401, "wrong_credentials", state.challenge)
  end
  if state.hide then
    headers["authorization"] = nil
  end
  if state.header then
    headers[state.header] = name
  end
  ctx.user = { id = name }
end

return M
