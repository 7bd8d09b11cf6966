-- SPDX-License-Identifier: Apache-2.0
-- The scenario "keylimit" for nginx's Lua module (LuaJIT): an API key looked up by its SHA-256
-- digest, and a rate limit per consumer (GCRA) in a shared dictionary. Written the way that is
-- cheapest there: libcrypto by FFI with a digest state that is allocated once, digests compared as
-- raw bytes, single variables read instead of the whole header table, the worker's cached clock.
local ffi = require "ffi"

ffi.cdef [[
typedef struct { unsigned char opaque[112]; } lt_bench_sha256;
int SHA256_Init(lt_bench_sha256 *c);
int SHA256_Update(lt_bench_sha256 *c, const void *data, size_t len);
int SHA256_Final(unsigned char *md, lt_bench_sha256 *c);
]]

local floor, ceil = math.floor, math.ceil
local C = ffi.C
local sha = ffi.new("lt_bench_sha256")
local digest = ffi.new("unsigned char[32]")
local limits = ngx.shared.limits
local consumers = {} -- digest (32 raw bytes) -> name
local interval, tolerance -- seconds between two requests; how far ahead of time they may come
local policy -- the RateLimit-Policy field

local M = {}

-- `path` has a line "hex-digest name" per key.
function M.load(path, rate, burst)
    for line in io.lines(path) do
        local hex, name = line:match("^(%x+) (%S+)$")
        local raw = hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
        consumers[raw] = name
    end
    interval = 1 / rate
    tolerance = burst * interval
    policy = '"default";q=' .. rate .. ";w=1"
end

function M.check()
    local var = ngx.var
    local key = var.http_x_api_key
    if not key then
        return ngx.exit(401)
    end
    C.SHA256_Init(sha)
    C.SHA256_Update(sha, key, #key)
    C.SHA256_Final(digest, sha)
    local name = consumers[ffi.string(digest, 32)]
    if not name then
        return ngx.exit(401)
    end

    local now = ngx.now()
    local due = limits:get(name)
    if not due or due < now then
        due = now
    end
    due = due + interval
    local ahead, header = due - now, ngx.header
    header["RateLimit-Policy"] = policy
    if ahead > tolerance + interval then
        return ngx.exit(429)
    end
    limits:set(name, due)
    header["RateLimit"] = '"default";r=' .. floor((tolerance + interval - ahead) / interval)
        .. ";t=" .. ceil(ahead)
    var.consumer = name
end

return M
