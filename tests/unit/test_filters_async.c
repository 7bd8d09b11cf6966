/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.parallel, ctx:defer, lintel.shared and `every`. */
#include "filter_bed.h"

#include "base/mem.h"
#include "filters/every.h"

/* Runs body in a request hook; gives x-r of the request. */
static const char *gives(const char *body)
{
    static char result[600];
    char text[2048];
    snprintf(text, sizeof(text),
             "return {request = function(ctx) local function f() %s end "
             "local r = table.pack(f()) for i = 1, r.n do r[i] = tostring(r[i]) end "
             "ctx.req.headers['x-r'] = table.concat(r, '|') end}",
             body);
    load_one(text, ", on_error: closed");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        snprintf(result, sizeof(result), "%s: %.*s", lt_cause_info(x->cause)->name,
                 LT_STR_ARG(x->detail));
    } else {
        snprintf(result, sizeof(result), "%.*s", LT_STR_ARG(req_header(x, "x-r")));
    }
    lt_test_bed_end(bed);
    assert_true(lt_list_empty(&bed->filters->parked));
    return result;
}

static void fails(const char *body, const char *cause, const char *message)
{
    const char *told = gives(body);
    if (strncmp(told, cause, strlen(cause)) != 0 || strstr(told, message) == NULL) {
        fail_msg("%s: %s", body, told);
    }
}

/* No job is left but free ones. */
static unsigned free_jobs(void)
{
    unsigned n = 0;
    for (const struct lt_job *job = bed->filters->units[0]->free_jobs; job != NULL;
         job = job->next) {
        n++;
    }
    assert_int_equal(n, bed->filters->units[0]->jobs);
    return n;
}

/* ---- parallel ---- */

static void test_parallel_waits_as_long_as_the_longest(void **state)
{
    (void)state;
    assert_string_equal(gives("local t = lintel.now() "
                              "local a, b, c = ctx:parallel{"
                              "function() ctx:sleep(0.3) return 'a', 'more' end, "
                              "function() lintel.sleep('200ms') end, "
                              "function() return ctx.req.method end} "
                              "return a, b, c, math.floor((lintel.now() - t) * 1000 + 0.5)"),
                        "a|nil|GET|300");
    assert_int_equal(free_jobs(), 3);
    assert_string_equal(gives("return select('#', lintel.parallel{})"), "0");
    assert_string_equal(gives("local f = {} for i = 1, 16 do f[i] = function() return i end end "
                              "return lintel.parallel(f)"),
                        "1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16");
    assert_string_equal(gives("return select('#', lintel.parallel{function() end, "
                              "function() return nil end})"),
                        "2");
}

static void test_parallel_may_be_nested_a_little(void **state)
{
    (void)state;
    assert_string_equal(
        gives("local function two(f) return function() local a, b = lintel.parallel{f, f} "
              "return a + b end end "
              "local function one() lintel.sleep(0.01) return 1 end "
              "return two(two(two(one)))()"),
        "8");
    fails("local function two(f) return function() return (lintel.parallel{f, f}) end end "
          "return two(two(two(two(function() end))))()",
          "filter_error", "parallel: at most 3 within each other");
}

static void test_the_first_error_ends_the_others_and_is_the_parents(void **state)
{
    (void)state;
    const char *text =
        "return pcall(lintel.parallel, {"
        "function() ctx:sleep(1) lintel.log.info('went on') end, "
        "function() ctx:sleep(0.1) error({code = 7}) end, "
        "function() lintel.parallel{function() ctx:sleep(2) lintel.log.info('went on') end} end})";
    char body[1024];
    snprintf(body, sizeof(body),
             "local t = lintel.now() local ok, e = (function() %s end)() "
             "return ok, e.code, math.floor((lintel.now() - t) * 10 + 0.5)",
             text);
    assert_string_equal(gives(body), "false|7|1");
    assert_null(strstr(logged, "went on"));
    (void)free_jobs();
    fails("return lintel.parallel{function() error('broken') end, function() error('x') end}",
          "filter_error", "a.lua:1: broken");
    /* It was the first to begin: the others never do. */
    assert_string_equal(gives("local n = 0 pcall(lintel.parallel, {function() error('x') end, "
                              "function() n = n + 1 end}) return n"),
                        "0");
}

static void test_the_parents_wall_budget_holds_for_all(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) pcall(lintel.parallel, {"
             "function() while true do pcall(lintel.sleep, 0.05) end end, "
             "function() lintel.parallel{function() lintel.sleep(60) end} end}) end}",
             ", on_error: closed, budget: {wall: 200ms}");
    struct lt_exchange *x = begin();
    uint64_t before = bed->loop->now_us;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_WALL);
    assert_int_equal(bed->loop->now_us - before, 200000);
    assert_int_equal(bed->filters->units[0]->jobs, 0);
    assert_true(lt_list_empty(&bed->filters->parked));
}

/* Neither pcall nor a sibling keeps a branch alive that was stopped. */
static void test_a_branch_over_its_budget_stops_the_call(void **state)
{
    (void)state;
    fails("pcall(lintel.parallel, {function() while true do end end}) return 'survived'",
          "filter_cpu", "a.lua:1");
    fails("pcall(lintel.parallel, {function() ctx:sleep(1) end, function() "
          "pcall(lintel.parallel, {function() local s = {} while true do "
          "s[#s + 1] = ('x'):rep(1e6) .. #s end end}) end}) return 'survived'",
          "filter_", "a.lua:1");
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_KILLS), 2);
    assert_int_equal(bed->filters->units[0]->jobs, 0);
}

static void test_a_call_that_is_given_up_gives_its_branches_up(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) lintel.parallel{"
             "function() ctx:sleep(1) lintel.log.info('went on') end, "
             "function() ctx:sleep(2) end} end}",
             "");
    for (unsigned round = 0; round < 2; round++) {
        (void)begin();
        assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
        if (round == 1) { /* the branches have begun */
            lt_loop_end_turn(bed->loop);
        }
        lt_test_bed_end(bed);
        assert_int_equal(bed->filters->units[0]->jobs, 0);
        assert_true(lt_list_empty(&bed->filters->parked));
    }
    assert_null(strstr(logged, "went on"));
}

static void test_wrong_use_of_parallel_raises(void **state)
{
    (void)state;
    fails("lintel.parallel()", "filter_error", "table expected");
    fails("lintel.parallel{1}", "filter_error", "parallel: element 1 is a number: write parallel{");
    fails("local f = {} for i = 1, 17 do f[i] = f end lintel.parallel(f)", "filter_error",
          "parallel: at most 16 functions");
    fails("table.sort({1, 2}, function() lintel.parallel{function() end} end)", "filter_error",
          "a filter can't wait here");
    fails("setmetatable({}, {__index = function() end}) "
          "lintel.parallel(setmetatable({}, {__len = function() return 1e9 end})) return 1",
          "1", "1");
    write_file("a.lua", "lintel.parallel{} return {request = function() end}");
    const char *told = load_yaml("a: {filter: \"@/a.lua\"}\n");
    assert_non_null(told);
    assert_non_null(strstr(told, "a filter can't wait while it is loaded"));
}

static void test_no_memory_for_parallel_is_an_error(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) local ok, e = pcall(lintel.parallel, "
             "{function() return 1 end, function() return 2 end}) "
             "ctx.vars.r = tostring(ok) end}",
             ", on_error: closed");
    for (unsigned i = 1; i < 30; i++) {
        struct lt_exchange *x = begin();
        lt_mem_fail_at(i);
        enum lt_step_result result = lt_test_bed_step(bed, LT_FILTER_REQUEST);
        lt_mem_fail_at(0);
        if (result == LT_STEP_WAIT) {
            result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
        }
        assert_true(result == LT_STEP_NEXT || x->cause != LT_CAUSE_NONE);
        lt_test_bed_end(bed);
        assert_true(lt_list_empty(&bed->filters->parked));
    }
}

/* ---- ctx and whose call it is ---- */

/* A ctx that was kept was that of another request when it was used during a later call. */
static void test_a_ctx_is_no_use_to_other_calls(void **state)
{
    (void)state;
    load_one("local kept return {request = function(ctx) "
             "if kept then ctx.req.headers['x-e'] = select(2, pcall(function() "
             "return kept.req.method end)) return end "
             "kept = ctx ctx:sleep(1) end}",
             ", on_error: closed");
    struct lt_exchange *waits = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_true(lt_str_find(req_header(x, "x-e"), LT_STR("ctx was kept")) != SIZE_MAX);
    lt_test_bed_end(bed);
    bed->x = waits;
    lt_test_bed_end(bed);
}

/* ---- defer ---- */

#define DEFERS                                                                                     \
    "return {request = function(ctx) ctx:defer(function() lintel.log.info('first') end) "          \
    "ctx:defer(function() ctx.log.info('second', {m = ctx.req.method}) end) "

static void test_clean_ups_run_last_first_however_a_call_ends(void **state)
{
    (void)state;
    static const struct {
        const char *rest;
        const char *settings;
        enum lt_step_result result;
    } cases[] = {
        {"end}", "", LT_STEP_NEXT},
        {"ctx:sleep(1) end}", "", LT_STEP_NEXT},
        {"return ctx:deny(403, 'no') end}", "", LT_STEP_FAIL},
        {"error('x') end}", ", on_error: closed", LT_STEP_FAIL},
        {"return 1 end}", ", on_error: closed", LT_STEP_FAIL},
        {"while true do end end}", ", on_error: closed, budget: {cpu: 5ms}", LT_STEP_FAIL},
        {"ctx:sleep(9) end}", ", on_error: closed, budget: {wall: 1s}", LT_STEP_FAIL},
        {"ctx:sleep(9) end}", "", LT_STEP_WAIT},
        {"lintel.parallel{function() ctx:sleep(9) end} end}", "", LT_STEP_WAIT},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        char text[1024];
        snprintf(text, sizeof(text), "%s%s", DEFERS, cases[i].rest);
        load_one(text, cases[i].settings);
        logged[0] = '\0';
        (void)begin();
        enum lt_step_result result = cases[i].result == LT_STEP_WAIT
                                         ? lt_test_bed_step(bed, LT_FILTER_REQUEST)
                                         : lt_test_bed_run(bed, LT_FILTER_REQUEST);
        assert_int_equal(result, cases[i].result);
        assert_int_equal(strstr(logged, "second") == NULL, result == LT_STEP_WAIT);
        lt_test_bed_end(bed); /* the client leaves */
        const char *second = strstr(logged, "\"message\":\"second\"");
        const char *first = strstr(logged, "\"message\":\"first\"");
        if (second == NULL || first == NULL || second > first ||
            strstr(logged, "\"m\":\"GET\"") == NULL) {
            fail_msg("%s: logged %s", cases[i].rest, logged);
        }
        assert_null(strstr(first + 1, "\"message\":\"first\""));
        assert_int_equal(bed->filters->units[0]->jobs, free_jobs());
    }
}

static void test_clean_ups_that_fail_are_logged_and_the_others_run(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) "
             "ctx:defer(function() lintel.log.info('last') end) "
             "ctx:defer(function() while true do end end) end}",
             ", on_error: closed");
    (void)begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "\"hook\":\"defer\""));
    assert_non_null(strstr(logged, "\"event\":\"filter_cpu\""));
    assert_non_null(strstr(logged, "\"message\":\"last\""));
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_FILTER_KILLS), 1);
    lt_test_bed_end(bed);
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"ctx:sleep(1)", "a filter can't wait while it is loaded, nor in `init` and in clean-ups"},
        {"lintel.parallel{function() end}", "nor in `init` and in clean-ups"},
        {"error('mine')", "a.lua:1: mine"},
        {"ctx:defer(_ENV[ctx.req.method .. 'x'])", "not declared"},
        {"ctx:defer(error)", "a clean-up can't leave another one"},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        char text[512];
        logged[0] = '\0';
        snprintf(text, sizeof(text),
                 "return {request = function(ctx) ctx:defer(function() %s end) end}",
                 cases[i].body);
        load_one(text, ", on_error: closed");
        (void)begin();
        assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
        if (strstr(logged, cases[i].message) == NULL) {
            fail_msg("%s: %s", cases[i].body, logged);
        }
        lt_test_bed_end(bed);
        assert_int_equal(bed->filters->units[0]->jobs, 0);
    }
}

static void test_wrong_use_of_defer_raises(void **state)
{
    (void)state;
    fails("for i = 1, 9 do ctx:defer(function() end) end", "filter_error",
          "ctx:defer: at most 8 clean-ups in one call");
    fails("ctx:defer()", "filter_error", "function expected");
    fails("ctx.defer(function() end)", "filter_error", "ctx expected");
    /* What a clean-up answers counts for nothing. */
    assert_string_equal(gives("ctx:defer(function() return ctx:deny(403, 'no') end) return 1"),
                        "1");
    /* A branch may leave one too: it belongs to the call. */
    assert_string_equal(gives("local n = 0 lintel.parallel{function() "
                              "ctx:defer(function() n = n + 1 end) end} return n"),
                        "0");
}

/* ---- shared ---- */

static void test_shared_values(void **state)
{
    (void)state;
    assert_string_equal(
        gives("local s = lintel.shared.open() "
              "return s:get('k'), s:set('k', 'v'), s:get('k'), s:add('k', 1), s:add('n', 1.5), "
              "s:incr('n', 2), s:incr('c'), s:incr('d', 5, 10), s:cas('c', 1, 2), "
              "s:cas('c', 1, 3), s:cas('none', nil, true), s:cas('c', 2, nil), s:get('c'), "
              "s:delete('k'), s:delete('k'), s:ttl('k'), s:ttl('n'), s:get('none')"),
        "nil|true|v|false|true|3.5|1|15|true|false|true|true|nil|true|false|nil|inf|true");
    assert_string_equal(gives("local s = lintel.shared.open() s:set('k', 1, '2s') "
                              "local a, b = s:ttl('k'), s:get('k') ctx:sleep(1) "
                              "local c = s:ttl('k') ctx:sleep(1) return a, b, c, s:get('k')"),
                        "2.0|1|1.0|nil");
    assert_string_equal(gives("local s = lintel.shared.open() "
                              "local a, why = s:set('k', ('x'):rep(65537)) s:set('t', 't') "
                              "local b, what = s:incr('t') "
                              "return a, why, b, what, s:set('k', ('x'):rep(65536)), #s:get('k')"),
                        "nil|too_large|nil|not_a_number|true|65536");
}

static void test_shared_names_are_apart_unless_they_are_the_same(void **state)
{
    (void)state;
    write_file("a.lua", "local mine, ours = lintel.shared.open(), lintel.shared.open{name = 'x'} "
                        "return {request = function(ctx) "
                        "ctx.vars.r = (ctx.vars.r or '') .. mine:incr('n') .. ours:incr('n') end, "
                        "log = function(ctx) ctx.log.info(ctx.vars.r) end}");
    load_well("a: {filter: \"@/a.lua\"}\nb: {filter: \"@/a.lua\"}\n");
    (void)begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_LOG), LT_STEP_NEXT);
    assert_non_null(strstr(logged, "\"message\":\"1112\""));
}

static void test_wrong_use_of_shared_raises(void **state)
{
    (void)state;
    fails("lintel.shared.open{nam = 'x'}", "filter_error", "did you mean `name`?");
    fails("lintel.shared.open('x')", "filter_error", "table expected");
    fails("lintel.shared.open().get('k')", "filter_error", "is a colon missing?");
    fails("lintel.shared.open():set('k', {})", "filter_error", "lintel.json.encode makes text");
    fails("lintel.shared.open():set('k', nil)", "filter_error", "a string, a number or a boolean");
    fails("lintel.shared.open():set('k', 1, 'soon')", "filter_error", "write seconds, between 0");
    fails("lintel.shared.open():incr('k', '1')", "filter_error", "number expected, got string");
    fails("lintel.shared.open():set({}, 1)", "filter_error", "string expected, got table");
    write_file("a.lua", "return {init = function() lintel.shared.open():get('k') end, "
                        "request = function() end}");
    const char *told = load_yaml("a: {filter: \"@/a.lua\"}\n");
    assert_non_null(told);
    assert_non_null(strstr(told, "shared values are there while requests are served"));
}

static void test_shared_evictions_are_counted(void **state)
{
    (void)state;
    load_one("return {request = function(ctx) local s = lintel.shared.open() "
             "for i = 1, 100 do s:set('k' .. i, ('x'):rep(60000)) end end}",
             ", on_error: closed, budget: {cpu: 5s}");
    (void)begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_true(lt_metrics_sum(bed->metrics, LT_COUNTER_SHARED_EVICTED) > 80);
}

/* ---- every ---- */

static void test_every_runs_with_the_state(void **state)
{
    (void)state;
    load_one("return {init = function() return {n = 0} end, every = {['30s'] = function(state) "
             "state.n = state.n + 1 lintel.sleep('2500ms') "
             "local a = lintel.parallel{function() lintel.sleep(1) return 'x' end} "
             "lintel.log.info('ran', {n = state.n, a = a}) end}}",
             "");
    assert_null(lt_test_bed_every(bed, LT_STR("1m")));
    for (unsigned i = 1; i <= 2; i++) {
        assert_non_null(lt_test_bed_every(bed, LT_STR("30s")));
        assert_int_equal(bed->slept_us, 3500000);
    }
    assert_non_null(strstr(logged, "\"n\":2")); /* fields of a table come in any order */
    assert_non_null(strstr(logged, "\"a\":\"x\""));
    assert_int_equal(bed->filters->units[0]->jobs, free_jobs());
}

static void test_failures_of_every_are_logged_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *body, *event, *place;
        enum lt_counter counter;
    } cases[] = {
        {"error('x')", "filter_error", "a.lua:1: x", LT_COUNTER_FILTER_ERRORS},
        {"while true do end", "filter_cpu", "a.lua:1", LT_COUNTER_FILTER_KILLS},
        {"lintel.sleep(100)", "filter_wall", "a.lua:1", LT_COUNTER_FILTER_KILLS},
        {"_ENV[type(1)] = 1", "filter_error", "'number' is not declared", LT_COUNTER_FILTER_ERRORS},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        char text[512];
        snprintf(text, sizeof(text), "return {every = {['5s'] = function() %s end}}",
                 cases[i].body);
        load_one(text, "");
        logged[0] = '\0';
        uint64_t before = lt_metrics_sum(bed->metrics, cases[i].counter);
        assert_non_null(lt_test_bed_every(bed, LT_STR("5s")));
        assert_null(bed->filters->units[0]->fvm->every[0].job);
        if (strstr(logged, cases[i].event) == NULL || strstr(logged, cases[i].place) == NULL ||
            strstr(logged, "\"hook\":\"every 5s\"") == NULL) {
            fail_msg("%s: %s", cases[i].body, logged);
        }
        assert_int_equal(lt_metrics_sum(bed->metrics, cases[i].counter), before + 1);
        assert_true(lt_list_empty(&bed->filters->parked));
    }
    load_one("local M = {} M.every = {['5s'] = function() M.every = nil end} return M", "");
    assert_non_null(lt_test_bed_every(bed, LT_STR("5s")));
    logged[0] = '\0';
    bed->loop->now_us += 2000000;
    assert_non_null(lt_test_bed_every(bed, LT_STR("5s")));
    assert_non_null(strstr(logged, "`every` is gone"));
}

static void on_stop(void *arg)
{
    lt_loop_stop(arg);
}

/* Runs the loop for so long, by its own clock. */
static void run_for(uint64_t ms)
{
    struct lt_timer timer;
    lt_timer_init(&timer, bed->loop, on_stop, bed->loop);
    lt_loop_update_time(bed->loop);
    lt_timer_set(&timer, ms);
    lt_loop_run(bed->loop);
    lt_timer_fini(&timer);
}

static unsigned runs(void)
{
    unsigned n = 0;
    for (const char *p = logged; (p = strstr(p, "\"message\":\"ran\"")) != NULL; p++) {
        n++;
    }
    return n;
}

static void test_every_begins_at_once_and_ends_when_it_is_stopped(void **state)
{
    (void)state;
    load_one("return {every = {['1s'] = function() lintel.log.info('ran') end, "
             "['1h'] = function() lintel.log.info('ran') lintel.sleep(3600) end}}",
             "");
    lt_filters_start(bed->filters);
    run_for(50);
    assert_true(runs() >= 2);
    while (runs() < 3) { /* it comes again, and the other one does not while it runs */
        run_for(100);
    }
    lt_filters_stop(bed->filters);
    assert_true(lt_list_empty(&bed->filters->parked));
    unsigned before = runs();
    run_for(1200);
    assert_int_equal(runs(), before);
    lt_filters_start(bed->filters);
    while (runs() < before + 2) {
        run_for(20);
    }
    /* Freed while one waits and the other is due. */
}

static void test_a_quarantined_filter_does_no_periodic_work(void **state)
{
    (void)state;
    load_one("return {every = {['1s'] = function() lintel.log.info('ran') end}}", "");
    bed->filters->units[0]->instance->health->until_us = bed->loop->now_us + 1000000;
    assert_non_null(lt_test_bed_every(bed, LT_STR("1s")));
    assert_int_equal(runs(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_parallel_waits_as_long_as_the_longest),
        TEST(test_parallel_may_be_nested_a_little),
        TEST(test_the_first_error_ends_the_others_and_is_the_parents),
        TEST(test_the_parents_wall_budget_holds_for_all),
        TEST(test_a_branch_over_its_budget_stops_the_call),
        TEST(test_a_call_that_is_given_up_gives_its_branches_up),
        TEST(test_wrong_use_of_parallel_raises),
        TEST(test_no_memory_for_parallel_is_an_error),
        TEST(test_a_ctx_is_no_use_to_other_calls),
        TEST(test_clean_ups_run_last_first_however_a_call_ends),
        TEST(test_clean_ups_that_fail_are_logged_and_the_others_run),
        TEST(test_wrong_use_of_defer_raises),
        TEST(test_shared_values),
        TEST(test_shared_names_are_apart_unless_they_are_the_same),
        TEST(test_wrong_use_of_shared_raises),
        TEST(test_shared_evictions_are_counted),
        TEST(test_every_runs_with_the_state),
        TEST(test_failures_of_every_are_logged_with_their_place),
        TEST(test_every_begins_at_once_and_ends_when_it_is_stopped),
        TEST(test_a_quarantined_filter_does_no_periodic_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
