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

/* Each is loaded as a file and called with 20 ms. */
static const char *const bombs[] = {
#include "bombs.def"
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
    "for k, v in pairs{dump = string, foreach = table, getn = table} do if pcall(function() return "
    "v[k] end) then return false end end return math.randomseed ~= nil",
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
    "local ok = pcall(function() _ENV[type(1)] = 1 end) return not ok",
    "return not pcall(setmetatable, {}, {__gc = 1}) and not pcall(setmetatable, {}, {__close = 1})",
    "return not pcall(P.test, ctx, 'x') and not pcall(P.test, '', 'x')",
    "return not pcall(ctx.sleep, ctx, {}) and not pcall(ctx.sleep, ctx, -1)",
    "return not pcall(ctx.deny, ctx, 200, 'x') and not pcall(lintel.limit.gcra, 'k', P)",
    "return not pcall(string.format, '%d', 'x') and not pcall(string.format, ('%d'):rep(300))",
    "local l = lintel.json.decode('[[]]') for _, v in ipairs{l, l[1]} do "
    "if getmetatable(v) or pcall(setmetatable, v, {}) then return false end end return true",
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
    struct lt_vm *vm = bed->filters->units[0]->fvm->vm;
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
