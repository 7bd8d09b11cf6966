/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to run or to allocate for ever ends at its budget, with and without a watchdog, and
 * the state lives on. */
#include "filter_vm.h"

#include <unistd.h>

static struct box box;
static struct lt_budget_watch *watch;
static pthread_t watchdog;
static _Atomic bool over, rests;

static void *run_watchdog(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        unsigned ms = lt_budget_watch_tick(watch);
        atomic_store(&rests, ms == LT_BUDGET_REST);
        lt_budget_watch_wait(watch, lt_min(ms, 60000u));
    }
    return NULL;
}

static int setup(void **state)
{
    (void)state;
    box_open(&box, NULL, MEMORY);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static int setup_watched(void **state)
{
    (void)state;
    assert_true(lt_budget_signal_setup());
    watch = lt_budget_watch_new();
    assert_non_null(watch);
    box_open(&box, watch, MEMORY);
    atomic_store(&over, false);
    assert_int_equal(pthread_create(&watchdog, NULL, run_watchdog, NULL), 0);
    return 0;
}

static int teardown_watched(void **state)
{
    (void)state;
    atomic_store(&over, true);
    lt_budget_watch_wake(watch);
    pthread_join(watchdog, NULL);
    box_close(&box);
    lt_budget_watch_free(watch);
    return 0;
}

static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 8u
#else
#define SLOW 1u
#endif

/* text is stopped for `end` not long after its budget, and the state still works. */
static void stopped(const char *text, enum lt_vm_end end)
{
    uint64_t before = cpu_us();
    enum lt_vm_end got = box_run(&box, text);
    uint64_t used = cpu_us() - before;
    if (got != end) {
        fail_msg("%s ended as %d: %s", text, got, box.vm->error);
    }
    if (end == LT_VM_CPU && used < CPU_MS * 1000 / 2) {
        fail_msg("%s was stopped after %u us", text, (unsigned)used);
    }
    if (used > CPU_MS * 1000 * 2 + SLOW * 30000) {
        fail_msg("%s was stopped after %u us only", text, (unsigned)used);
    }
    assert_int_equal(box_run(&box, "return 40 + 2"), LT_VM_DONE);
    assert_string_equal(box.result, "42");
}

static const char *const loops[] = {
    "while true do end",
    "repeat until false",
    "while true do pcall(function() while true do end end) end",
    "local function f() return f() end return f()",
    "local function f() pcall(f) end while true do f() end",
    "local function f() return pcall(f) end while true do f() end",
    "while true do xpcall(error, function() while true do end end) end",
    "while true do pcall(error) end",
    "table.sort({3, 1, 2}, function() while true do end end)",
    "while true do pcall(table.sort, {3, 1, 2}, function() while true do end end) end",
    "('x'):gsub('x', function() while true do end end)",
    "while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end",
    "return setmetatable({}, {__index = function() while true do end end}).x",
    "return setmetatable({}, {__lt = function() while true do end end}) < 1",
    "for _ in function() return 1 end do end",
    "table.move({}, 1, 1e15, 2)",
    "pcall(table.move, {}, 1, 1e15, 2) while true do end",
    "table.insert(setmetatable({}, {__len = function() return 1e15 end}), 1, 0)",
    "table.remove(setmetatable({}, {__len = function() return 1e15 end}), 1)",
    "table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1e15)",
    "table.concat(setmetatable({}, {__len = function() return 1e9 end, __index = rawlen}))",
    "table.sort(setmetatable({}, {__len = function() return 1e9 end, __index = rawlen}))",
    "table.sort(setmetatable({}, {__len = function() return 1e9 end}), rawequal)",
    "local t = {} for i = 1, 200000 do t[i] = -i end while true do table.sort(t) end",
    "local m = {} local t = setmetatable({}, m) m.__close = function() while true do end end "
    "pcall(function() local x <close> = t error('x') end)",
    "local m = {} local t = setmetatable({}, m) m.__close = function() while true do end end "
    "do local x <close> = t end",
    "goto a ::a:: goto a",
};

static void run_loops(void)
{
    for (size_t i = 0; i < lt_countof(loops); i++) {
        stopped(loops[i], LT_VM_CPU);
    }
}

static void test_endless_loops_are_stopped_without_a_watchdog(void **state)
{
    (void)state;
    run_loops();
}

static void test_endless_loops_are_stopped_by_the_watchdog(void **state)
{
    (void)state;
    run_loops();
}

static void test_a_call_wakes_a_watchdog_that_rests(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5000 && !atomic_load(&rests); i++) {
            usleep(1000);
        }
        assert_true(atomic_load(&rests));
        stopped("while true do end", LT_VM_CPU);
    }
}

static void test_stop_says_where(void **state)
{
    (void)state;
    stopped("local function spin()\n  while true do end\nend\nspin()", LT_VM_CPU);
    (void)box_run(&box, "local function spin()\n  while true do end\nend\nspin()");
    assert_non_null(strstr(box.vm->error, "t:2, called from t:4"));
}

static void test_calls_within_the_budget_are_left_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(box_run(&box, "local n = 0 for i = 1, 100 do n = n + i end return n"),
                         LT_VM_DONE);
        assert_string_equal(box.result, "5050");
    }
}

static void test_memory_is_capped(void **state)
{
    (void)state;
    static const char *const bombs[] = {
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "return ('x'):rep(1e9)",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) end",
        "local t = {} t[1] = ('x'):rep(4e6) return table.concat({t[1], t[1], t[1]})",
    };
    for (size_t i = 0; i < lt_countof(bombs); i++) {
        enum lt_vm_end end = box_run(&box, bombs[i]);
        if (end != LT_VM_MEMORY && end != LT_VM_CPU) {
            fail_msg("%s ended as %d", bombs[i], end);
        }
        assert_true(box.vm->used <= MEMORY);
        assert_int_equal(box_run(&box, "return ('x'):rep(1000000):len()"), LT_VM_DONE);
        assert_string_equal(box.result, "1000000");
    }
    assert_int_equal(box_run(&box, "return ('x'):rep(9e6)"), LT_VM_MEMORY);
}

static void test_refusals_swallowed_by_pcall_end_it_too(void **state)
{
    (void)state;
    stopped("while true do pcall(string.rep, 'x', 1e9) end", LT_VM_MEMORY);
    enum lt_vm_end end =
        box_run(&box, "local t = {} while true do pcall(function() while true do t[#t + 1] = {} "
                      "end end) end");
    assert_true(end == LT_VM_MEMORY || end == LT_VM_CPU);
    assert_int_equal(box_run(&box, "return 1"), LT_VM_DONE);
}

static void test_deep_recursion_raises(void **state)
{
    (void)state;
    enum lt_vm_end end = box_run(&box, "local function f() return 1 + f() end return f()");
    assert_int_not_equal(end, LT_VM_DONE);
    assert_int_equal(box_run(&box, "local t = setmetatable({}, {}) getmetatable(t).__index = "
                                   "function(t, k) return t[k + 1] end return t[1]"),
                     LT_VM_RAISED);
    assert_int_equal(box_run(&box,
                             "local s = ('x'):rep(300) return (s:gsub('x', function() "
                             "local function f() return (('x'):gsub('x', f)) end return f() end))"),
                     LT_VM_RAISED);
    assert_int_equal(box_run(&box, "return 1"), LT_VM_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_endless_loops_are_stopped_without_a_watchdog, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_endless_loops_are_stopped_by_the_watchdog,
                                        setup_watched, teardown_watched),
        cmocka_unit_test_setup_teardown(test_a_call_wakes_a_watchdog_that_rests, setup_watched,
                                        teardown_watched),
        cmocka_unit_test_setup_teardown(test_stop_says_where, setup_watched, teardown_watched),
        cmocka_unit_test_setup_teardown(test_calls_within_the_budget_are_left_alone, setup_watched,
                                        teardown_watched),
        cmocka_unit_test_setup_teardown(test_memory_is_capped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_swallowed_by_pcall_end_it_too, setup_watched,
                                        teardown_watched),
        cmocka_unit_test_setup_teardown(test_deep_recursion_raises, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
