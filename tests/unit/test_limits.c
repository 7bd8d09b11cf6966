/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator sees of limits: rows, counters, noted keys, blocks of addresses. */
#include "shared/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

#define BYTES 65536u

struct bed {
    struct lt_rate_table rate;
    struct lt_limits *limits;
    void *rate_mem, *hold_mem;
};

static const struct lt_limit_spec spec = {
    .windows = {{.emission = 1024000, .capacity = 10}}, .n_windows = 1, .ipv6_prefix = 64};

static void bed_init(struct bed *bed)
{
    static const struct lt_hash_seed seed = {1, 2};
    bed->rate_mem = aligned_alloc(LT_CACHE_LINE, BYTES);
    bed->hold_mem = aligned_alloc(LT_CACHE_LINE, BYTES);
    assert_non_null(bed->rate_mem);
    assert_non_null(bed->hold_mem);
    memset(bed->rate_mem, 0, BYTES);
    memset(bed->hold_mem, 0, BYTES);
    assert_true(lt_rate_init(&bed->rate, bed->rate_mem, BYTES, &seed));
    bed->limits = lt_limits_new(&bed->rate, 2);
    assert_non_null(bed->limits);
    lt_hold_init(lt_limits_holds(bed->limits), bed->hold_mem, BYTES, 1);
}

static void bed_fini(struct bed *bed)
{
    lt_limits_free(bed->limits);
    free(bed->rate_mem);
    free(bed->hold_mem);
}

static void assert_key(const char *key, unsigned prefix, const char *expected)
{
    char space[LT_ADDR_TEXT_MAX];
    struct lt_str got = lt_limit_key(lt_str_c(key), prefix, space);
    if (!lt_str_eq_c(got, expected)) {
        fail_msg("%s by /%u is %.*s", key, prefix, LT_STR_ARG(got));
    }
}

static void test_ipv6_addresses_become_blocks_and_nothing_else_does(void **state)
{
    (void)state;
    assert_key("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64");
    assert_key("2001:db8:1:2:ffff::1", 64, "2001:db8:1:2::/64");
    assert_key("2001:db8:1:2::/64", 64, "2001:db8:1:2::/64"); /* as it is shown */
    assert_key("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6/128");
    assert_key("2001:db8:1:2:3:4:5:6", 49, "2001:db8:1::/49");
    assert_key("2001:db8:1:ffff::", 57, "2001:db8:1:ff80::/57");
    assert_key("2001:db8::1", 0, "::/0");
    assert_key("::1", 64, "::/64");
    assert_key("192.0.2.1", 64, "192.0.2.1");
    assert_key("alice", 64, "alice");
    assert_key("", 64, "");
    assert_key("a:b", 64, "a:b");
    assert_key("urn:tenant:42", 64, "urn:tenant:42");
    assert_key("::", 64, "::/64");
    assert_key(":", 64, ":");
}

static void test_names_keep_their_rows_and_too_many_share_one(void **state)
{
    (void)state;
    struct bed bed;
    struct lt_limit_view view;
    char name[32];
    bed_init(&bed);
    unsigned a = lt_limits_row(bed.limits, LT_STR("a"), &spec);
    assert_int_equal(a, 1);
    struct lt_limit_spec other = spec;
    other.in_flight = 5;
    assert_int_equal(lt_limits_row(bed.limits, LT_STR("a"), &other), a);
    assert_true(lt_limits_view(bed.limits, a, &view));
    assert_string_equal(view.name, "a");
    assert_int_equal(view.spec.in_flight, 5);
    for (unsigned i = 2; i < LT_LIMITS_MAX; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(lt_limits_row(bed.limits, lt_str_c(name), &spec), i);
    }
    assert_int_equal(lt_limits_row(bed.limits, LT_STR("one more"), &spec), 0);
    assert_int_equal(lt_limits_row(bed.limits, LT_STR("n7"), &spec), 7);
    assert_false(lt_limits_view(bed.limits, LT_LIMITS_MAX, &view));
    lt_limits_count(lt_limits_for_worker(bed.limits, 0), 0, LT_LIMIT_REFUSED);
    assert_true(lt_limits_view(bed.limits, 0, &view));
    assert_string_equal(view.name, "other");
    assert_int_equal(view.events[LT_LIMIT_REFUSED], 1);
    bed_fini(&bed);
}

static void test_workers_count_apart_and_are_summed(void **state)
{
    (void)state;
    struct bed bed;
    struct lt_buf out;
    bed_init(&bed);
    unsigned row = lt_limits_row(bed.limits, LT_STR("a"), &spec);
    lt_limits_count(lt_limits_for_worker(bed.limits, 0), row, LT_LIMIT_PASSED);
    lt_limits_count(lt_limits_for_worker(bed.limits, 1), row, LT_LIMIT_PASSED);
    lt_limits_count(lt_limits_for_worker(bed.limits, 1), row, LT_LIMIT_WOULD_REFUSE);
    lt_buf_init(&out, 4096);
    lt_limits_write_metrics(bed.limits, &out);
    lt_buf_char(&out, '\0');
    assert_non_null(
        strstr(out.p, "lintel_limit_requests_total{limit=\"a\",result=\"passed\"} 2\n"));
    assert_non_null(strstr(out.p, "{limit=\"a\",result=\"would_refuse\"} 1\n"));
    assert_null(strstr(out.p, "\"refused\""));
    lt_buf_fini(&out);
    bed_fini(&bed);
}

static void test_keys_are_noted_looked_at_and_forgotten(void **state)
{
    (void)state;
    static struct lt_limit_noted noted[LT_LIMIT_KEYS];
    struct bed bed;
    struct lt_limit_view view;
    struct lt_limit_state key;
    struct lt_rate_result r;
    char text[32];
    bed_init(&bed);
    unsigned row = lt_limits_row(bed.limits, LT_STR("a"), &spec);
    struct lt_str block = LT_STR("2001:db8::/64");
    struct lt_hash_seed seed = lt_limit_seed(&bed.rate, lt_hash(&bed.rate.seed, LT_STR("a")), 0);
    lt_rate_take(&bed.rate, lt_hash(&seed, block), 5000, &spec.windows[0], 9, &r);
    lt_limits_note(bed.limits, row, block, r.remaining, false, 5000);
    lt_limits_note(bed.limits, row, block, 0, true, 5001);
    lt_limits_note(bed.limits, 0, LT_STR("of no row"), 0, true, 5001);
    lt_limits_note(bed.limits, row, LT_STR(""), 0, true, 5001);
    assert_int_equal(lt_limits_noted(bed.limits, noted), 1);
    assert_int_equal(noted[0].refused, 1);
    assert_int_equal(noted[0].row, row);
    assert_true(lt_limits_view(bed.limits, row, &view));
    lt_limits_look(bed.limits, &view, LT_STR("2001:db8::77"), 5000, &key);
    assert_int_equal(key.windows[0].remaining, 1);
    lt_limits_forget(bed.limits, &view, LT_STR("2001:db8::99"));
    lt_limits_look(bed.limits, &view, LT_STR("2001:db8::77"), 5000, &key);
    assert_int_equal(key.windows[0].remaining, 10);
    assert_int_equal(lt_limits_noted(bed.limits, noted), 0);
    /* Many more than there is room for: those seen last stay. */
    for (unsigned i = 0; i < 20 * LT_LIMIT_KEYS; i++) {
        snprintf(text, sizeof(text), "key %u", i);
        lt_limits_note(bed.limits, row, lt_str_c(text), 3, false, 6000 + i);
    }
    assert_int_equal(lt_limits_noted(bed.limits, noted), LT_LIMIT_KEYS);
    for (unsigned i = 0; i < LT_LIMIT_KEYS; i++) {
        assert_true(noted[i].seen_us > 6000 + 10 * LT_LIMIT_KEYS);
    }
    bed_fini(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv6_addresses_become_blocks_and_nothing_else_does),
        cmocka_unit_test(test_names_keep_their_rows_and_too_many_share_one),
        cmocka_unit_test(test_workers_count_apart_and_are_summed),
        cmocka_unit_test(test_keys_are_noted_looked_at_and_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
