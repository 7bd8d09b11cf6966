/* SPDX-License-Identifier: Apache-2.0 */
/* Every known way out of the sandbox is closed, and every known way to use a worker up ends at a
 * budget: time, memory or an error, whichever comes first, and the state works afterwards. */
#include "filter_bed.h"

#include <time.h>

#define CPU_MS 20u

#if defined(__SANITIZE_THREAD__)
#define SLOW 100u /* no watchdog: a look at the clock every so many instructions */
#elif defined(__SANITIZE_ADDRESS__)
#define SLOW 8u
#else
#define SLOW 1u
#endif

static struct lt_budget_watch *watch;
static pthread_t watchdog;
static _Atomic bool over;

static void *run_watchdog(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        lt_budget_watch_wait(watch, lt_min(lt_budget_watch_tick(watch), 60000u));
    }
    return NULL;
}

static int setup_watched(void **state)
{
    assert_true(lt_budget_signal_setup());
    watch = lt_budget_watch_new();
    assert_non_null(watch);
    atomic_store(&over, false);
    assert_int_equal(bed_setup(state), 0);
    assert_true(lt_budget_attach(&bed->budget, watch));
    return pthread_create(&watchdog, NULL, run_watchdog, NULL);
}

static int teardown_watched(void **state)
{
    atomic_store(&over, true);
    lt_budget_watch_wake(watch);
    pthread_join(watchdog, NULL);
    int failed = bed_teardown(state);
    lt_budget_watch_free(watch);
    return failed;
}

static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

/* Bombs are request hooks; each is loaded as a file and called with 20 ms. */
static const char *const bombs[] = {
    /* large results in one call */
    "while true do pcall(string.rep, 'x', 1 << 40) end",
    "while true do local s = ('x'):rep(1 << 20):rep(4) end",
    "while true do pcall(string.format, '%99999d', 1) end",
    "while true do pcall(string.format, '%99.99f', 1e308) end",
    "local s = ('x'):rep(1 << 20) while true do local t = ('%s%s'):format(s, s) end",
    "local s = ('\\0'):rep(1 << 20) while true do local t = ('%q'):format(s) end",
    "local s = ('x'):rep(1 << 20) while true do local t = s:upper():reverse():lower() end",
    "local s = ('x'):rep(1 << 20) while true do local t = s:sub(2) end",
    "while true do pcall(string.pack, '!16 i16 s4 z', 1, 'x', 'y') end",
    "while true do pcall(string.pack, ('x'):rep(1 << 20)) end",
    "while true do pcall(string.packsize, ('i16'):rep(1 << 18)) end",
    "while true do pcall(string.pack, 'c2147483647', 'x') end",
    "local s = ('x'):rep(1 << 20) while true do pcall(string.unpack, ('b'):rep(200), s) end",
    "while true do pcall(string.unpack, 's8', ('\\255'):rep(8)) end",
    "local s = ('x'):rep(1 << 20) while true do pcall(string.byte, s, 1, -1) end",
    "while true do pcall(string.char, 1, 256) end",
    "local t = {} for i = 1, 1e5 do t[i] = ('x'):rep(100) end "
    "while true do local s = table.concat(t) end",
    "local t = {} for i = 1, 1e5 do t[i] = i end while true do local s = table.concat(t, ', ') end",
    "local t = {'x'} while true do pcall(table.concat, t, ('y'):rep(1 << 20), 1, 1 << 40) end",
    "while true do pcall(table.unpack, {}, 1, 1e8) end",
    "while true do pcall(table.unpack, {}, math.mininteger, math.maxinteger) end",
    "while true do local n = select('#', table.unpack({}, 1, 200)) end",
    "while true do pcall(select, 1 << 62, 1) pcall(select, -1) end",
    "local function f(...) return f(1, ...) end while true do pcall(f) end",
    "local t = {} while true do pcall(table.insert, t, #t + 1, t) pcall(table.pack, t, t) end",
    "while true do local t = table.move({}, 1, 1e5, 2) end",
    "local t = {} while true do t[#t + 1] = true end",
    "local t = {} while true do t = {t} end",
    "local s = '' while true do s = s .. 'x' end",
    "local s = 'x' while true do local ok, r = pcall(function() return s .. s end) "
    "if ok then s = r end end",
    "local n = 0 while true do n = n + 1 local t = {[n] = ('x'):rep(n % 65536)} end",
    "local all = {} while true do pcall(function() all[#all + 1] = ('x'):rep(1 << 16) end) end",
    /* patterns */
    "while true do pcall(string.find, ('a'):rep(400), 'a-a-a-b') end",
    "while true do pcall(string.find, ('a'):rep(8000), '.-.-b') end",
    "while true do pcall(string.match, ('a'):rep(24), ('a?'):rep(24) .. ('a'):rep(24) .. 'b') end",
    "while true do pcall(string.gsub, ('a'):rep(1 << 20), '(a*)(a*)(a*)b', '') end",
    "while true do for a in ('a'):rep(1 << 16):gmatch('(a-)(a-)b') do end end",
    "while true do pcall(string.gsub, ('x'):rep(1 << 20), '', ('y'):rep(1000)) end",
    "while true do pcall(string.find, ('('):rep(1 << 16), '%b()') end",
    "while true do pcall(string.find, 'x', ('('):rep(1000)) end",
    "while true do pcall(string.find, 'x', ('['):rep(1 << 20)) end",
    "while true do pcall(string.find, ('x'):rep(1 << 20), ('x*'):rep(200) .. 'y') end",
    "while true do local a = ('x'):rep(1 << 20):find(('x'):rep(1 << 10) .. 'y', 1, true) end",
    "while true do pcall(string.gsub, 'x', 'x', '%9') end",
    "while true do ('x'):rep(100):gsub('x', function() return ('y'):rep(10000) end) end",
    "local s = ('x'):rep(60000) while true do R1:test(s) end",
    "local s = ('x'):rep(500000) while true do R2:replace(s, 'yy') end",
    "local s = ('x'):rep(500000) while true do R2:split(s) end",
    "while true do R2:replace('x', function() while true do end end) end",
    /* pcall, errors, recursion */
    "while true do pcall(error) end",
    "while true do pcall(pcall, pcall, error) end",
    "while true do xpcall(error, error) end",
    "while true do xpcall(error, xpcall, error) end",
    "local function f() return xpcall(f, f) end while true do f() end",
    "local function h() return h() end while true do xpcall(error, h) end",
    "while true do pcall(error, setmetatable({}, {__tostring = function() while true do end end})) "
    "end",
    "local e = setmetatable({}, {__tostring = function() while true do end end}) "
    "while true do pcall(tostring, e) end",
    "local e = setmetatable({}, {__tostring = function() while true do end end}) "
    "while true do pcall(string.format, '%s', e) end",
    "local e = setmetatable({}, {__name = ('x'):rep(1 << 20)}) while true do tostring(e) end",
    "local function f() return 1 + f() end while true do pcall(f) end",
    "local function f(a) return {f(a)} end while true do pcall(f) end",
    "local t = setmetatable({}, {}) getmetatable(t).__index = t "
    "while true do pcall(function() return t.x end) end",
    "local t = {} for i = 1, 3000 do t = setmetatable({}, {__index = t}) end "
    "while true do pcall(function() return t.x end) end",
    "local function f(t, k) return t[k + 1] end local t = setmetatable({}, {__index = f}) "
    "while true do pcall(function() return t[1] end) end",
    "local function f() return ('x'):gsub('x', f) end while true do pcall(f) end",
    "local function f() table.sort({1, 2}, f) end while true do pcall(f) end",
    /* C functions that call back or read through metatables */
    "while true do pcall(table.sort, {3, 1, 2}, function() return true end) end",
    "while true do pcall(table.sort, {3, 1, 2}, error) end",
    "local t = {} for i = 1, 1e5 do t[i] = i % 7 end "
    "while true do table.sort(t, function(a, b) return a > b end) end",
    "local t = setmetatable({}, {__len = function() return 1 << 30 end}) "
    "while true do pcall(table.sort, t, function() return true end) end",
    "local t = setmetatable({}, {__index = function() return 'x' end}) "
    "while true do pcall(table.concat, t, '', 1, 1 << 40) end",
    "local t = setmetatable({}, {__index = function() return 1 end}) "
    "while true do pcall(table.unpack, t, 1, 1 << 20) end",
    "local t = setmetatable({}, {__index = function() return 1 end}) for _ in ipairs(t) do end",
    "local t = setmetatable({}, {__pairs = function() return function() return 1 end end}) "
    "for _ in pairs(t) do end",
    "local t = setmetatable({}, {__newindex = function(t, k, v) while true do end end}) "
    "while true do pcall(table.insert, t, 1) end",
    /* metamethods */
    "local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end "
    "while true do pcall(function() return t .. t end) end",
    "local m = {} m.__eq = function(a, b) return a == b and nil end "
    "local a, b = setmetatable({}, m), setmetatable({}, m) "
    "while true do pcall(function() return a == b end) end",
    "local m = {} m.__lt = function(a, b) return b < a end local a = setmetatable({}, m) "
    "while true do pcall(function() return a < a end) end",
    "local m = {} m.__call = function(a) return a() end setmetatable(m, m) m()",
    "local t = {} for i = 1, 200 do t = setmetatable({}, {__call = t}) end "
    "while true do pcall(t) end",
    "local m = {__unm = function(a) return -a end} local a = setmetatable({}, m) "
    "while true do pcall(function() return -a end) end",
    "local m = {__len = function(a) return #a end} local a = setmetatable({}, m) "
    "while true do pcall(function() return #a end) end",
    "local m = {__close = 1} while true do pcall(setmetatable, {}, m) end",
    "local m = {} local t = setmetatable({}, m) m.__close = function() while true do end end "
    "while true do pcall(function() local x <close> = t end) end",
    "local m = {} local t = setmetatable({}, m) m.__gc = function() while true do end end t = nil "
    "while true do local x = {} end",
    /* utf8 */
    "local s = ('\\u{10FFFF}'):rep(1 << 17) while true do utf8.len(s) end",
    "local s = ('x'):rep(1 << 20) while true do pcall(utf8.codepoint, s, 1, -1) end",
    "local s = ('x'):rep(1 << 20) while true do utf8.offset(s, 1 << 20) end",
    "local s = ('\\x80'):rep(1 << 20) while true do utf8.offset(s, -1) utf8.len(s, 1, -1, true) "
    "end",
    "local s = ('x'):rep(1 << 20) while true do for _ in utf8.codes(s) do end end",
    "while true do pcall(utf8.char, 1 << 40) end",
    /* lintel */
    "local s = ('['):rep(1 << 18) while true do lintel.json.decode(s) end",
    "local s = '[' .. ('1,'):rep(1 << 17) .. '1]' while true do lintel.json.decode(s) end",
    "local s = '{\"a\":' .. ('x'):rep(1 << 18) while true do lintel.json.decode(s) end",
    "local t = {} t.t = t while true do pcall(lintel.json.encode, t) end",
    "local t = {} for i = 1, 1e4 do t[i] = 'x' end for i = 1, 10 do t = {t, t, t} end "
    "while true do pcall(lintel.json.encode, t) end",
    "local s = ('\\1'):rep(1 << 18) while true do pcall(lintel.json.encode, s) end",
    "local s = ('x'):rep(1 << 20) while true do lintel.crypto.sha256(s) end",
    "local s = ('x'):rep(1 << 20) while true do lintel.crypto.hex_encode(s) end",
    "local s = ('x'):rep(1 << 20) while true do "
    "lintel.crypto.base64_decode(lintel.crypto.base64_encode(s)) end",
    "while true do ctx.vars.x = ('x'):rep(10000) end",
    "local n = 0 while true do n = n + 1 pcall(function() ctx.vars['k' .. n] = n end) end",
    "local n = 0 while true do n = n + 1 pcall(function() ctx.req.headers['k' .. n] = 'x' end) end",
    "while true do pcall(function() ctx.user = {id = ('x'):rep(10000)} end) end",
    "while true do for _ in pairs(ctx.req.headers) do end end",
    /* gotos, and loops that no hook sees as calls */
    "goto a ::a:: goto a",
    "::a:: local x = function() end goto a",
    "for i = 1, math.huge do end",
    "for i = 1, 1 << 62 do end",
    "for i = math.mininteger, math.maxinteger do end",
    "repeat local x <const> = 1 until x == 2",
    "local function f() return f() end f()",
    "while true do tonumber(('9'):rep(190), 36) end",
    "local s = ('9'):rep(1 << 20) while true do tonumber(s) end",
    "local s = ('1'):rep(100000) while true do pcall(function() return s + 1 end) end",
};

static void load_bomb(const char *text)
{
    static char file[4096];
    snprintf(file, sizeof(file),
             "local R1, R2 = lintel.re.new('[^y]*[^y]*(?:y|z)'), lintel.re.new('(x)')\n"
             "return {request = function(ctx) if ctx.req.headers.calm then return end\n%s\nend}",
             text);
    load_one(file, ", on_error: closed, budget: {cpu: 20ms, memory: 8M}");
}

static enum lt_step_result call(bool calm)
{
    struct lt_exchange *x = begin();
    if (calm) {
        with_header(x, "calm", "1");
    }
    return lt_test_bed_run(bed, LT_FILTER_REQUEST);
}

static void defuse(const char *text)
{
    load_bomb(text);
    uint64_t before = cpu_us();
    enum lt_step_result result = call(false);
    uint64_t used = cpu_us() - before;
    if (result != LT_STEP_FAIL) {
        fail_msg("%s went on", text);
    }
    if (used > CPU_MS * 1000 * 3 + SLOW * 60000) {
        fail_msg("%s was stopped after %u us only", text, (unsigned)used);
    }
    lt_test_bed_end(bed);
    assert_int_equal(call(true), LT_STEP_NEXT);
    lt_test_bed_end(bed);
}

static void test_bombs_end_at_a_budget(void **state)
{
    (void)state;
    for (size_t i = 0; i < lt_countof(bombs); i++) {
        defuse(bombs[i]);
    }
}

/* Each gives true when it was kept in. */
static const char *const escapes[] = {
    "for _, n in ipairs{'io', 'os', 'debug', 'package', 'coroutine', 'load', 'loadstring', "
    "'loadfile', 'dofile', 'collectgarbage', 'rawset', 'rawget', '_G', 'print', 'warn'} do "
    "if pcall(function() return _ENV[n] end) then return false end end return true",
    "return string.dump == nil and table.foreach == nil and math.randomseed ~= nil",
    "return not pcall(require, 'os') and not pcall(require, '../a') and "
    "not pcall(require, '/etc/passwd') and not pcall(require, 'a\\0b') and not pcall(require, '.')",
    "for _, v in ipairs{ctx, lintel, lintel.re, string, table, math, utf8, '', ctx.req, ctx.vars, "
    "ctx.client, ctx.req.headers, ctx.conf, P, _ENV} do if getmetatable(v) then return false end "
    "if pcall(setmetatable, v, {}) then return false end end return true",
    "for _, v in ipairs{ctx, lintel, lintel.json, string, table, math, utf8, ctx.req, ctx.client, "
    "ctx.conf, P, _ENV} do if pcall(function() v.rep = 1 end) then return false end end return "
    "true",
    "for _, v in ipairs{string, table, math, lintel, lintel.crypto} do for k, f in pairs(v) do "
    "if pcall(function() v[k] = nil end) then return false end end end return true",
    "return not pcall(function() getmetatable('').__index = {} end) and ('x').rep == string.rep",
    "return not pcall(next, string) or next(string) == nil",
    "local _ENV = {} x = 1 return x == 1",
    "local ok = pcall(function() x = 1 end) return not ok",
    "return not pcall(setmetatable, {}, {__gc = 1}) and not pcall(setmetatable, {}, {__close = 1})",
    "return not pcall(P.test, ctx, 'x') and not pcall(P.test, '', 'x')",
    "return not pcall(ctx.sleep, ctx, {}) and not pcall(ctx.sleep, ctx, -1)",
    "return not pcall(ctx.deny, ctx, 200, 'x') and not pcall(lintel.limit.gcra, 'k', P)",
    "return not pcall(string.format, '%d', 'x') and not pcall(string.format, ('%d'):rep(300))",
    "return not pcall(lintel.json.encode, ctx) and not pcall(lintel.json.encode, P)",
};

static void test_escapes_are_closed(void **state)
{
    (void)state;
    for (size_t i = 0; i < lt_countof(escapes); i++) {
        char file[2048];
        snprintf(file, sizeof(file),
                 "local P = lintel.re.new('x')\n"
                 "return {request = function(ctx)\nlocal kept = (function() %s end)() "
                 "if not kept then error('got out') end\nend}",
                 escapes[i]);
        load_one(file, ", on_error: closed");
        if (call(false) != LT_STEP_NEXT) {
            fail_msg("%s: %.*s", escapes[i], LT_STR_ARG(bed->x->detail));
        }
        lt_test_bed_end(bed);
    }
}

static size_t memory_in_use(void)
{
    struct lt_vm *vm = bed->filters->units[0].fvm->vm;
    lua_gc(vm->L, LUA_GCCOLLECT);
    lua_gc(vm->L, LUA_GCCOLLECT);
    return vm->used;
}

static void many_calls(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct lt_exchange *x = begin();
        with_header(x, "n", i % 8 == 0 ? "raise" : i % 8 == 1 ? "deny" : i % 8 == 2 ? "wait" : "x");
        (void)lt_test_bed_run(bed, LT_FILTER_REQUEST);
        lt_test_bed_end(bed);
    }
}

static void test_memory_stays_flat(void **state)
{
    (void)state;
    load_one(
        "local P = lintel.re.new('(?<a>.)')\n"
        "return {request = function(ctx)\n"
        "ctx.vars.table = {ctx.req.headers.n} ctx.vars.fn = function() end "
        "ctx.user = {id = 'x'} ctx.req.headers['x-' .. ctx.req.headers.n] = 'y'\n"
        "P:replace('abc', function(m) return m.a end) lintel.json.decode('[{}]')\n"
        "local n = ctx.req.headers.n if n == 'raise' then error{} end "
        "if n == 'wait' then ctx:sleep(1) end if n == 'deny' then return ctx:deny(403, 'no') end "
        "pcall(error, {})\nend}",
        ", on_error: open");
    many_calls(2000);
    size_t before = memory_in_use();
    many_calls(100000);
    size_t after = memory_in_use();
    if (after > before + 4096) {
        fail_msg("%zu bytes became %zu", before, after);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_watched, teardown_watched)
    const struct CMUnitTest tests[] = {
        TEST(test_bombs_end_at_a_budget),
        TEST(test_escapes_are_closed),
        TEST(test_memory_stays_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
