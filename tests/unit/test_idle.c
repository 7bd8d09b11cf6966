/* SPDX-License-Identifier: Apache-2.0 */
/* How long servers keep idle connections: what they say, what their closes teach. */
#include "unit.h"

#include "base/arena.h"
#include "upstream/idle.h"

#define S UINT64_C(1000000)
#define MS UINT64_C(1000)

static uint64_t told(const char *keep_alive)
{
    struct lt_arena arena;
    struct lt_headers h;
    lt_arena_init(&arena, NULL, 0, 1 << 16);
    lt_headers_init(&h, &arena, 4);
    if (keep_alive != NULL) {
        assert_int_equal(lt_headers_add_id(&h, LT_HEADER_KEEP_ALIVE, lt_str_c(keep_alive)), LT_OK);
    }
    uint64_t ms = lt_idle_told_ms(&h);
    lt_arena_fini(&arena);
    return ms;
}

static void servers_name_seconds(void **state)
{
    (void)state;
    assert_int_equal(told("timeout=5"), 4375);
    assert_int_equal(told("timeout=5, max=100"), 4375);
    assert_int_equal(told("max=100,  Timeout=2"), 1750);
    assert_int_equal(told("timeout=1"), 875);
    assert_int_equal(told("timeout=0"), 0);
    assert_int_equal(told("timeout=4294967295"), UINT64_C(4294967295000) / 8 * 7);
}

static void what_names_none_says_nothing(void **state)
{
    static const char *const values[] = {"",
                                         "max=5",
                                         "timeout",
                                         "timeout=",
                                         "timeout=x",
                                         "timeout=-1",
                                         "timeout=5s",
                                         "timeout=99999999999",
                                         "xtimeout=5",
                                         ",,,",
                                         "timeout=18446744073709551616"};
    (void)state;
    assert_int_equal(told(NULL), UINT64_MAX);
    for (size_t i = 0; i < lt_countof(values); i++) {
        assert_int_equal(told(values[i]), UINT64_MAX);
    }
}

static void two_closes_at_one_age_are_a_rule(void **state)
{
    struct lt_server_state s = {.id = 0};
    (void)state;
    assert_int_equal(lt_idle_learnt_ms(&s, 10 * S), UINT64_MAX);
    lt_idle_seen(&s, 2100 * MS, 10 * S);
    assert_int_equal(lt_idle_learnt_ms(&s, 10 * S), UINT64_MAX);
    lt_idle_seen(&s, 2000 * MS, 13 * S);
    assert_int_equal(lt_idle_learnt_ms(&s, 13 * S), 1750);
}

static void what_was_learnt_is_forgotten(void **state)
{
    struct lt_server_state s = {.id = 0};
    (void)state;
    lt_idle_seen(&s, 2000 * MS, 10 * S);
    lt_idle_seen(&s, 2000 * MS, 13 * S);
    assert_int_equal(lt_idle_learnt_ms(&s, 612 * S), 1750);
    assert_int_equal(lt_idle_learnt_ms(&s, 614 * S), UINT64_MAX);
    lt_idle_seen(&s, 2000 * MS, 620 * S); /* the next close teaches it again */
    assert_int_equal(lt_idle_learnt_ms(&s, 620 * S), 1750);
}

static void a_restart_teaches_nothing(void **state)
{
    struct lt_server_state s = {.id = 0};
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        lt_idle_seen(&s, 1000 * MS, 10 * S + i * MS); /* all at once */
    }
    assert_int_equal(lt_idle_learnt_ms(&s, 11 * S), UINT64_MAX);
    for (unsigned i = 1; i < 50; i++) {
        lt_idle_seen(&s, 40 * MS, (10 + i) * S); /* one after another, of young ones */
    }
    assert_int_equal(lt_idle_learnt_ms(&s, 60 * S), UINT64_MAX);
    lt_idle_seen(&s, 4000 * MS, 70 * S); /* ages that have nothing in common */
    lt_idle_seen(&s, 1500 * MS, 80 * S);
    assert_int_equal(lt_idle_learnt_ms(&s, 80 * S), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_name_seconds),
        cmocka_unit_test(what_names_none_says_nothing),
        cmocka_unit_test(two_closes_at_one_age_are_a_rule),
        cmocka_unit_test(what_was_learnt_is_forgotten),
        cmocka_unit_test(a_restart_teaches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
