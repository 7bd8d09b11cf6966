/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.cache: what is kept, for how long, and who loads it. */
#include "filter_bed.h"

#include "base/mem.h"
#include "filters/job.h"

/* A filter whose request hook is body, with a cache c made by options; settings as in load_one. */
static void load_cache(const char *options, const char *body)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "local c, n = nil, 0 local say = function(...) local r = table.pack(...) "
             "for i = 1, r.n do r[i] = tostring(r[i]) end return table.concat(r, '|') end "
             "return {init = function() c = lintel.cache.new{%s} end, "
             "request = function(ctx) local function put(...) "
             "ctx.req.headers['x-r'] = say(...) end %s end}",
             options, body);
    load_one(text, ", on_error: closed");
}

/* What one call puts. */
static const char *call(void)
{
    static char result[600];
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        snprintf(result, sizeof(result), "%s: %.*s", lt_cause_info(x->cause)->name,
                 LT_STR_ARG(x->detail));
    } else {
        snprintf(result, sizeof(result), "%.*s", LT_STR_ARG(req_header(x, "x-r")));
    }
    lt_test_bed_end(bed);
    return result;
}

static void moves(uint64_t seconds)
{
    bed->loop->now_us += seconds * 1000000;
}

/* Tasks go on, the clock stands still. */
static void settle(void)
{
    for (unsigned i = 0; i < 4; i++) {
        lt_loop_end_turn(bed->loop);
    }
}

/* The clock goes on until no load runs. */
static void finish_loads(void)
{
    settle();
    while (!lt_list_empty(&bed->filters->loads)) {
        struct lt_timer *first = NULL;
        lt_list_each(it, tmp, &bed->filters->parked)
        {
            struct lt_timer *timer = &lt_container_of(it, struct lt_parked, link)->timer;
            if (timer->deadline_us != 0 &&
                (first == NULL || timer->deadline_us < first->deadline_us)) {
                first = timer;
            }
        }
        assert_non_null(first);
        bed->loop->now_us = lt_max(bed->loop->now_us, first->deadline_us);
        lt_timer_clear(first);
        first->fn(first->arg);
        settle();
    }
}

static void nothing_is_left(void)
{
    unsigned n = 0;
    assert_true(lt_list_empty(&bed->filters->loads));
    assert_true(lt_list_empty(&bed->filters->parked));
    for (const struct lt_job *job = bed->filters->units[0]->free_jobs; job != NULL;
         job = job->next) {
        n++;
    }
    assert_int_equal(n, bed->filters->units[0]->jobs);
}

static void test_a_value_is_loaded_once_and_holds_its_time(void **state)
{
    (void)state;
    load_cache("ttl = '30s'", "put(c:get('k', function(key) n = n + 1 lintel.sleep(0.1) "
                              "return key .. n end))");
    assert_string_equal(call(), "k1");
    assert_string_equal(call(), "k1");
    moves(29);
    assert_string_equal(call(), "k1");
    moves(1);
    assert_string_equal(call(), "k2");
    nothing_is_left();
}

static void test_set_delete_and_get_without_a_loader(void **state)
{
    (void)state;
    load_cache("ttl = 10",
               "local t = {1} c:set('t', t) c:set('b', false) c:set('s', 's', '1s') c:set(7, 7) "
               "c:set('gone', 1) c:delete('gone') c:delete('never') c:set('z', 1, 0) "
               "put(c:get('t') == t, c:get('b'), c:get('s'), c:get('7'), c:get('gone'), "
               "c:get('z')) n = n + 1");
    assert_string_equal(call(), "true|false|s|7|nil|nil");
    load_cache("ttl = 10", "if n == 0 then c:set('s', 's', '1s') c:set('l', 'l') end n = 1 "
                           "put(c:get('s'), c:get('l'))");
    assert_string_equal(call(), "s|l");
    moves(1);
    assert_string_equal(call(), "nil|l");
    moves(9);
    assert_string_equal(call(), "nil|nil");
}

/* Five calls ask for one key at once; one of them leaves, the one that began. */
static void test_callers_wait_for_one_loader_that_outlives_the_first(void **state)
{
    (void)state;
    load_cache("", "put(c:get('k', function() n = n + 1 lintel.sleep(1) return n end))");
    struct lt_exchange *x[5];
    for (unsigned i = 0; i < lt_countof(x); i++) {
        x[i] = begin();
        assert_int_equal(lt_filter_hooks.request(x[i]), LT_STEP_WAIT);
        settle();
    }
    bed->x = x[0];
    lt_test_bed_end(bed);
    finish_loads();
    for (unsigned i = 1; i < lt_countof(x); i++) {
        bed->x = x[i];
        assert_int_equal(lt_filter_hooks.request(x[i]), LT_STEP_NEXT);
        assert_str(req_header(x[i], "x-r"), "1");
        lt_test_bed_end(bed);
    }
    nothing_is_left();
    /* Also when nobody waits any more: the next one finds the value. */
    load_cache("", "put(c:get('k', function() n = n + 1 lintel.sleep(1) return n end))");
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    settle();
    lt_test_bed_end(bed);
    assert_string_equal(call(), "1");
    assert_string_equal(call(), "1");
    nothing_is_left();
}

static void test_an_error_is_told_to_all_that_wait_and_not_kept(void **state)
{
    (void)state;
    load_cache("negative_ttl = 10",
               "local ok, e = pcall(c.get, c, 'k', function() n = n + 1 lintel.sleep(0.1) "
               "error({n = n}) end) put(ok, e.n)");
    struct lt_exchange *first = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    struct lt_exchange *second = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(second, "x-r"), "false|1");
    lt_test_bed_end(bed);
    bed->x = first;
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(first, "x-r"), "false|1");
    lt_test_bed_end(bed);
    assert_string_equal(call(), "false|2");
    assert_null(strstr(logged, "cache"));
    nothing_is_left();
    /* One that nobody waits for is logged. */
    load_cache("", "c:get('k', function() lintel.sleep(0.1) error('lost') end)");
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_test_bed_end(bed);
    finish_loads();
    assert_non_null(strstr(logged, "\"hook\":\"cache\""));
    assert_non_null(strstr(logged, "a.lua:1: lost"));
    nothing_is_left();
}

static void test_that_there_is_none_is_kept_too(void **state)
{
    (void)state;
    load_cache("ttl = 60, negative_ttl = 5",
               "put(c:get('k', function() n = n + 1 if n > 2 then return n end "
               "return nil, n == 2 and 'why' or nil end))");
    assert_string_equal(call(), "nil");
    assert_string_equal(call(), "nil");
    moves(5);
    assert_string_equal(call(), "nil|why");
    assert_string_equal(call(), "nil|why");
    moves(5);
    assert_string_equal(call(), "3");
    load_cache("", "put(c:get('k', function() n = n + 1 return nil, 'e' .. n end))");
    assert_string_equal(call(), "nil|e1");
    assert_string_equal(call(), "nil|e2");
    load_cache("", "put(c:get('k', function() end))");
    assert_string_equal(call(), "nil");
    nothing_is_left();
}

static void test_a_stale_value_serves_while_it_is_loaded_and_when_that_fails(void **state)
{
    (void)state;
    load_cache("ttl = 10, stale = '1m'",
               "put(c:get('k', function() n = n + 1 if n == 2 then return nil, 'down' end "
               "if n == 3 then error('down') end return n end), c:get('k'), n)");
    assert_string_equal(call(), "1|1|1");
    moves(10);
    assert_string_equal(call(), "1|nil|1"); /* it begins to load */
    settle();
    assert_string_equal(call(), "1|nil|2"); /* that failed: not again at once */
    settle();
    assert_string_equal(call(), "1|nil|2");
    moves(1);
    assert_string_equal(call(), "1|nil|2");
    settle();
    assert_non_null(strstr(logged, "a.lua:1: down")); /* the third raised */
    assert_string_equal(call(), "1|nil|3");
    moves(1);
    assert_string_equal(call(), "1|nil|3");
    settle();
    assert_string_equal(call(), "4|4|4");
    moves(70);
    assert_string_equal(call(), "5|5|5"); /* too old: waited for */
    nothing_is_left();
}

static void test_there_is_none_any_more_replaces_a_stale_value(void **state)
{
    (void)state;
    load_cache("ttl = 10, stale = 60, negative_ttl = 10",
               "put(c:get('k', function() n = n + 1 if n == 1 then return 1 end end))");
    assert_string_equal(call(), "1");
    moves(10);
    assert_string_equal(call(), "1");
    settle();
    assert_string_equal(call(), "nil");
}

static void test_a_loader_may_say_how_long_its_value_holds(void **state)
{
    (void)state;
    load_cache("ttl = 10", "put(c:get('k', function() n = n + 1 return n, '1m' end))");
    assert_string_equal(call(), "1");
    moves(59);
    assert_string_equal(call(), "1");
    moves(1);
    assert_string_equal(call(), "2");
    load_cache("ttl = 10", "put(c:get('k', function() return 1, 'soon' end))");
    assert_string_equal(call(), "1");
    assert_non_null(strstr(logged, "a loader returns its value and for how long it holds"));
}

static void test_what_was_unused_for_longest_makes_room(void **state)
{
    (void)state;
    load_cache("max = 3", "for i = 1, 3 do c:set('k' .. i, i) end c:get('k1') c:set('k4', 4) "
                          "put(c:get('k1'), c:get('k2'), c:get('k3'), c:get('k4'))");
    assert_string_equal(call(), "1|nil|3|4");
    assert_string_equal(call(), "1|nil|3|4");
    load_cache("bytes = '10K'",
               "for i = 1, 100 do c:set('k' .. i, ('x'):rep(1000)) end "
               "c:set('t', {('y'):rep(3000), z = {('z'):rep(2000)}}) c:set('w', ('w'):rep(11000)) "
               "local left = 0 for i = 1, 100 do if c:get('k' .. i) then left = left + 1 end end "
               "put(left, c:get('k100') ~= nil, #c:get('t').z[1], c:get('w'))");
    assert_string_equal(call(), "4|true|2000|nil");
    /* What can't be measured isn't kept, but given. */
    load_cache("", "local t = {} t.t = t t.u = {t} "
                   "put(c:get('k', function() return t end) == t, c:get('k'))");
    assert_string_equal(call(), "true|nil");
}

static void test_a_load_does_not_bring_back_what_was_set_or_deleted_meanwhile(void **state)
{
    (void)state;
    load_cache("", "if ctx.req.headers['x-set'] then "
                   "c:set('k', 'set') return end "
                   "if ctx.req.headers['x-delete'] then c:delete('k') return end "
                   "put(c:get('k', function() n = n + 1 local m = n lintel.sleep(1) return m "
                   "end))");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    settle();
    with_header(begin(), "x-set", "1");
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    lt_test_bed_end(bed);
    finish_loads();
    bed->x = x;
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-r"), "1");
    lt_test_bed_end(bed);
    assert_string_equal(call(), "set");
    moves(60);
    x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    settle();
    with_header(begin(), "x-delete", "1");
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    lt_test_bed_end(bed);
    assert_string_equal(call(), "3"); /* loads for itself; the older one ends first */
    bed->x = x;
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-r"), "2");
    lt_test_bed_end(bed);
    assert_string_equal(call(), "3");
    nothing_is_left();
}

static void test_loaders_are_stopped_at_their_budgets(void **state)
{
    (void)state;
    load_cache("", "put(pcall(c.get, c, 'k', function() while true do end end))");
    const char *told = call();
    assert_non_null(strstr(told, "false|cache: the loader was stopped (filter_cpu): a.lua:1"));
    load_cache("", "put(c:get('k', function() return ctx.id end))");
    assert_non_null(strstr(call(), "ctx was kept"));
    char text[] = "local c return {init = function() c = lintel.cache.new() end, "
                  "request = function(ctx) ctx:sleep(0.5) c:get('k', function() while true do "
                  "pcall(lintel.sleep, 0.1) end end) end}";
    load_one(text, ", on_error: closed, budget: {wall: 1s}");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_WALL);
    lt_test_bed_end(bed);
    assert_false(lt_list_empty(&bed->filters->loads));
    x = begin(); /* joins it half a second before its end */
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    assert_non_null(strstr(x->detail.p, "the loader was stopped (filter_wall)"));
    lt_test_bed_end(bed);
    nothing_is_left();
}

static void test_wrong_use_raises(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"c.get('k')", "what lintel.cache.new gave expected"},
        {"c:get({})", "string expected, got table"},
        {"c:get('k', 1)", "function expected, got number"},
        {"c:set('k')", "nil can't be kept: cache:delete removes"},
        {"c:set('k', 1, 'x')", "write seconds, between 0"},
        {"lintel.cache.new()", "make caches in `init`"},
        {"table.sort({2, 1}, function() c:get('k', function() end) end)", "can't wait here"},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        load_cache("", cases[i][0]);
        const char *told = call();
        if (strstr(told, cases[i][1]) == NULL) {
            fail_msg("%s: %s", cases[i][0], told);
        }
    }
    static const char *const options[][2] = {
        {"max = 0", "max is 1 to 100000"},        {"ttl = 'x'", "ttl is a time: seconds"},
        {"bytes = '1x'", "bytes is a size"},      {"bytes = -1", "bytes is a size"},
        {"tll = 1", "did you mean `ttl`?"},       {"stale = -1", "stale is a time"},
        {"negative_ttl = {}", "negative_ttl is"},
    };
    for (size_t i = 0; i < lt_countof(options); i++) {
        char text[256];
        snprintf(text, sizeof(text), "lintel.cache.new{%s} return {request = function() end}",
                 options[i][0]);
        write_file("a.lua", text);
        const char *told = load_yaml("a: {filter: \"@/a.lua\"}\n");
        if (told == NULL || strstr(told, options[i][1]) == NULL) {
            fail_msg("%s: %s", options[i][0], told != NULL ? told : "taken");
        }
    }
    write_file("a.lua", "return {init = function() lintel.cache.new():get('k', error) end, "
                        "request = function() end}");
    assert_non_null(
        strstr(load_yaml("a: {filter: \"@/a.lua\"}\n"), "can't wait while it is loaded"));
}

static void test_filters_are_freed_while_loads_run_and_wait_for_each_other(void **state)
{
    (void)state;
    load_cache("", "c:get('a', function() return c:get('b', function() "
                   "lintel.parallel{function() lintel.sleep(9) end} end) end)");
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    settle();
    lt_test_bed_end(bed);
    assert_false(lt_list_empty(&bed->filters->loads));
    load_cache("", "c:get('a', function() return c:get('a', error) end)"); /* for itself */
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_test_bed_end(bed);
    load_cache("", "c:get('a', function() return c:get('a', error) end)");
    assert_non_null(strstr(call(), "filter_wall"));
}

static void test_no_memory_is_an_error(void **state)
{
    (void)state;
    load_cache("stale = 60", "put(c:get('k', function() n = n + 1 return n end))");
    for (unsigned i = 1; i < 40; i++) {
        moves(i % 2 == 0 ? 61 : 200);
        struct lt_exchange *x = begin();
        lt_mem_fail_at(i);
        enum lt_step_result result = lt_test_bed_step(bed, LT_FILTER_REQUEST);
        lt_mem_fail_at(i % 3);
        settle();
        lt_mem_fail_at(0);
        if (result == LT_STEP_WAIT) {
            result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
        }
        assert_true(result == LT_STEP_NEXT || x->cause != LT_CAUSE_NONE);
        lt_test_bed_end(bed);
        settle();
        assert_true(lt_list_empty(&bed->filters->loads));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_value_is_loaded_once_and_holds_its_time),
        TEST(test_set_delete_and_get_without_a_loader),
        TEST(test_callers_wait_for_one_loader_that_outlives_the_first),
        TEST(test_an_error_is_told_to_all_that_wait_and_not_kept),
        TEST(test_that_there_is_none_is_kept_too),
        TEST(test_a_stale_value_serves_while_it_is_loaded_and_when_that_fails),
        TEST(test_there_is_none_any_more_replaces_a_stale_value),
        TEST(test_a_loader_may_say_how_long_its_value_holds),
        TEST(test_what_was_unused_for_longest_makes_room),
        TEST(test_a_load_does_not_bring_back_what_was_set_or_deleted_meanwhile),
        TEST(test_loaders_are_stopped_at_their_budgets),
        TEST(test_wrong_use_raises),
        TEST(test_filters_are_freed_while_loads_run_and_wait_for_each_other),
        TEST(test_no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
