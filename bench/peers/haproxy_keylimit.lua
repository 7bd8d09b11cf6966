-- SPDX-License-Identifier: Apache-2.0
-- The scenario "keylimit" for HAProxy's Lua: one action, loaded per thread, so that no lock is
-- taken. What is cheaper outside Lua stays outside: HAProxy's own converter hashes the key, and the
-- fields are written by rules of the configuration, from variables that are set here.
local path, rate, burst = os.getenv("BENCH_KEYS"), os.getenv("BENCH_RATE"), os.getenv("BENCH_BURST")
local floor, ceil = math.floor, math.ceil
local interval, tolerance = 1 / rate, burst / rate -- seconds, as in nginx_keylimit.lua
local consumers, limits = {}, {} -- digest (32 raw bytes) -> name; name -> when the next one is due

for line in io.lines(path) do
    local hex, name = line:match("^(%x+) (%S+)$")
    local raw = hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
    consumers[raw] = name
end

core.register_action("keylimit", { "http-req" }, function(txn)
    local key = txn.sf:req_hdr("x-api-key")
    local name = key ~= "" and consumers[txn.c:sha2(key, 256)]
    if not name then
        txn:done(txn:reply { status = 401 })
        return
    end
    local time = core.now()
    local now = time.sec + time.usec / 1000000
    local due = limits[name]
    if not due or due < now then
        due = now
    end
    due = due + interval
    local ahead = due - now
    if ahead > tolerance + interval then
        txn:done(txn:reply { status = 429 })
        return
    end
    limits[name] = due
    txn:set_var("txn.consumer", name)
    txn:set_var("txn.ratelimit", '"default";r=' .. floor((tolerance + interval - ahead) / interval)
        .. ";t=" .. ceil(ahead))
end)
