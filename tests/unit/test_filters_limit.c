/* SPDX-License-Identifier: Apache-2.0 */
/* What lintel.limit.new gives: windows, places in flight, misuse, crowded tables. */
#include "filter_bed.h"

#define CHECKS                                                                                     \
    "local function eq(a, b) if a ~= b then error(('is %%s, should be %%s'):format("               \
    "tostring(a), tostring(b)), 2) end end\n"                                                      \
    "local function raises(p, f, ...) local ok, e = pcall(f, ...) "                                \
    "if ok or not e:find(p, 1, true) then error(ok and 'did not raise' or e, 2) end end\n"

/* Runs statements in a request hook that has the limit `l`. */
static void with_limit(const char *options, const char *statements)
{
    char text[2048];
    snprintf(text, sizeof(text),
             CHECKS "return {init = function() return {l = lintel.limit.new{%s}} end,\n"
                    "request = function(ctx) local l = ctx.state.l\n%s\nend}",
             options, statements);
    load_one(text, ", on_error: closed, budget: {cpu: 10s, wall: 1m, memory: 64M}");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("%.*s", LT_STR_ARG(x->detail));
    }
    lt_test_bed_end(bed);
}

static void test_all_rates_or_none(void **state)
{
    (void)state;
    with_limit(
        "rate = {'2/10s', '3/1h'}, burst = 1",
        "eq(l:take(ctx, 'k', 3), nil) eq(l:take(ctx, 'k', 1), 5) eq(l:take(ctx, 'k', 0), nil)\n"
        "ctx:sleep(5) eq(l:take(ctx, 'k'), nil) eq(l:take(ctx, 'k'), 1195)\n"
        "eq(l:take(ctx, nil), nil) eq(l:take(ctx, true), nil) eq(l:take(ctx, 7), nil)\n"
        "eq(l:take(ctx, 'other', 1000), nil) eq(l:take(ctx, 'other', 1000), 4800)\n");
}

static void test_places_are_given_back_at_the_end(void **state)
{
    (void)state;
    const char *text = "eq(l:enter(ctx, 'k'), nil) eq(l:enter(ctx, 'k'), nil)\n"
                       "eq(l:enter(ctx, 'k'), 1) eq(l:enter(ctx, 'other'), nil)\n";
    with_limit("in_flight = 2", text);
    with_limit("in_flight = 2", text); /* as if nothing had been */
    with_limit("rate = '1/1s'", "for _ = 1, 5 do eq(l:enter(ctx, 'k'), nil) end\n");
    with_limit("in_flight = 1", "eq(l:take(ctx, 'k'), nil) eq(l:take(ctx, 'k'), nil)\n");
}

static void test_a_call_that_dies_gives_its_places_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        load_one("return {init = function() return lintel.limit.new{in_flight = 1} end,\n"
                 "request = function(ctx) if ctx.state:enter(ctx, 'k') then "
                 "return ctx:deny(429, 'held') end error('dies') end}",
                 ", on_error: closed");
        struct lt_exchange *x = begin();
        assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
        assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
        lt_test_bed_end(bed);
    }
}

static void test_what_others_have_counted(void **state)
{
    (void)state;
    with_limit(
        "rate = {'2/10s', '3/1h'}, name = 'n', fleet = true",
        "eq(l:judge(ctx, 'k', 2, true, 5, 0, 1000), nil)\n"
        "eq(l:judge(ctx, 'k', 1, false, 0, 1500000, 1), 2)\n"
        "eq(l:judge(ctx, 'k', 1, false, 0, 0, 1), 1)\n"
        "eq(l:id('k'), 'n:k') eq(l:id(nil), 'n:') eq(l:id('2001:db8::1'), 'n:2001:db8::/64')\n"
        "eq(l:fell_back(), nil)\n"
        "raises('no such window', l.judge, l, ctx, 'k', 3, true, 5, 0, 0)\n"
        "raises('no such window', l.judge, l, ctx, 'k', 0, true, 5, 0, 0)\n"
        "raises('0 or more', l.judge, l, ctx, 'k', 1, true, -1, 0, 0)\n"
        "raises('0 or more', l.judge, l, ctx, 'k', 1, true, 1, -1, 0)\n"
        "raises('0 or more', l.judge, l, ctx, 'k', 1, true, 1, 0, -1)\n");
    assert_int_equal(lt_metrics_sum(bed->metrics, LT_COUNTER_LIMIT_FALLBACK), 1);
}

/* By the setting of a limit's own, for calls that say no other key. */
static void test_a_limit_may_know_the_key_itself(void **state)
{
    static const char text[] =
        CHECKS "return {schema = {key = {type = 'expr'}}, init = function(conf)\n"
               "return lintel.limit.new{rate = '1/1h', in_flight = 1, name = 'own', "
               "key = conf.key} end,\n"
               "request = function(ctx) local l, k = ctx.state, ctx.conf.key(ctx)\n"
               "eq(l:take(ctx), nil) eq(l:take(ctx), 3600) eq(l:take(ctx, nil, 1), 3600)\n"
               "eq(l:take(ctx, 'not ' .. tostring(k)), nil) eq(l:take(ctx, k), 3600)\n"
               "eq(l:enter(ctx), nil) eq(l:enter(ctx), 1) eq(l:enter(ctx, 'not'), nil) end}";
    static const char *const keys[] = {"client.ip", "'2001:db8::1'", "method == 'GET'",
                                       "header.x-no"};
    (void)state;
    for (size_t i = 0; i < lt_countof(keys); i++) {
        char settings[128];
        snprintf(settings, sizeof(settings), ", on_error: closed, key: \"%s\"", keys[i]);
        load_one(text, settings);
        struct lt_exchange *x = begin();
        if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
            fail_msg("%s: %.*s", keys[i], LT_STR_ARG(x->detail));
        }
        lt_test_bed_end(bed);
    }
}

static void test_misuse_says_what_to_write(void **state)
{
    (void)state;
    with_limit("rate = '1/1s'",
               "raises('is a colon missing', l.take, ctx, 'k') raises('ctx', l.take, l, 'k')\n"
               "raises('a cost is 0 or more', l.take, l, ctx, 'k', -1)\n"
               "raises('number expected', l.take, l, ctx, 'k', 'x')\n"
               "raises('string expected', l.take, l, ctx, {})\n"
               "raises('for `init`', lintel.limit.new, {rate = '1/1s'})\n");
    load_one(CHECKS "local new = lintel.limit.new\n"
                    "return {init = function()\n"
                    "raises('say a `rate`', new, {}) raises('say a `rate`', new, {rate = {}})\n"
                    "raises('rates', new, {rates = '1/1s'}) raises('table expected', new)\n"
                    "raises('is written as in', new, {rate = 'often'})\n"
                    "raises('rate expected', new, {rate = 7})\n"
                    "raises('can\\'t be kept', new, {rate = '2000000/1s'})\n"
                    "raises('at most 8 rates', new, {rate = {'1/1s', '1/2s', '1/3s', '1/4s', "
                    "'1/5s', '1/6s', '1/7s', '1/8s', '1/9s'}})\n"
                    "raises('from 0 to 1000', new, {in_flight = 1001})\n"
                    "raises('from 0 to 128', new, {in_flight = 1, ipv6_prefix = 129})\n"
                    "raises('a whole number', new, {rate = '1/1s', burst = -1})\n"
                    "raises('a whole number', new, {rate = '1/1s', burst = 'x'})\n"
                    "raises('is a text', new, {rate = '1/1s', name = 7})\n"
                    "raises('type expr', new, {rate = '1/1s', key = 'client.ip'})\n"
                    "raises('type expr', new, {rate = '1/1s', key = function() end})\n"
                    "raises('letters', new, {rate = '1/1s', name = 'a b'})\n"
                    "raises('letters', new, {rate = '1/1s', name = ('x'):rep(101)})\n"
                    "new{rate = '1/1s', name = ('x'):rep(100)}\n"
                    "end, request = function() end}",
             "");
}

/* Both tables of the bed are small. */
static void test_crowds_are_told_in_metrics(void **state)
{
    (void)state;
    with_limit("rate = '1/1h', dry_run = true", "for i = 1, 20000 do l:take(ctx, 'k' .. i) end\n");
    assert_true(lt_metrics_sum(bed->metrics, LT_COUNTER_LIMIT_EVICTED) > 10000);
    with_limit("in_flight = 1", "for i = 1, 1000 do eq(l:enter(ctx, 'k' .. i), nil) end\n");
    assert_true(lt_metrics_sum(bed->metrics, LT_COUNTER_LIMIT_UNCOUNTED) > 400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_limit_may_know_the_key_itself),
        TEST(test_all_rates_or_none),
        TEST(test_places_are_given_back_at_the_end),
        TEST(test_what_others_have_counted),
        TEST(test_a_call_that_dies_gives_its_places_back),
        TEST(test_crowds_are_told_in_metrics),
        TEST(test_misuse_says_what_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
