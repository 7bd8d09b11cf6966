/* SPDX-License-Identifier: Apache-2.0 */
/* The rate table: limits are exact, words survive, threads never admit more than the limit. */
#include "shared/rate_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES 65536u

static const struct lt_hash_seed seed = {1, 2};

struct area {
    struct lt_rate_table table;
    void *mem;
};

static void area_init(struct area *a, size_t bytes)
{
    a->mem = aligned_alloc(LT_CACHE_LINE, bytes);
    assert_non_null(a->mem);
    memset(a->mem, 0, bytes);
    assert_true(lt_rate_init(&a->table, a->mem, bytes, &seed));
}

static bool take(struct area *a, uint64_t hash, uint64_t now, const struct lt_rate_limit *limit,
                 struct lt_rate_result *r)
{
    lt_rate_take(&a->table, hash, now, limit, 1, r);
    return r->allowed;
}

static void test_count_and_burst_at_once_then_one_per_interval(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    uint64_t now = 5000000, hash = lt_hash(&seed, LT_STR("a"));
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&limit, 100, 60000, 20));
    for (unsigned i = 0; i < 120; i++) {
        assert_true(take(&a, hash, now, &limit, &r));
        assert_int_equal(r.remaining, 119 - i);
        assert_int_equal(r.retry_after_us, 0);
    }
    assert_int_equal(r.reset_us, 120u * 600000);
    assert_false(take(&a, hash, now, &limit, &r));
    assert_int_equal(r.remaining, 0);
    assert_int_equal(r.retry_after_us, 600000);
    assert_false(take(&a, hash, now + 599999, &limit, &r));
    assert_int_equal(r.retry_after_us, 1);
    assert_true(take(&a, hash, now + 600000, &limit, &r));
    assert_false(take(&a, hash, now + 600000, &limit, &r));
    assert_true(take(&a, lt_hash(&seed, LT_STR("b")), now, &limit, &r)); /* others are free */
    assert_int_equal(r.remaining, 119);
    free(a.mem);
}

static void test_limits_that_cannot_be_kept_are_refused(void **state)
{
    (void)state;
    struct lt_rate_limit limit;
    assert_true(lt_rate_limit_make(&limit, 1000000, 1000, 0));
    assert_int_equal(limit.emission, 1024);
    assert_false(lt_rate_limit_make(&limit, 1000001, 1000, 0));
    assert_false(lt_rate_limit_make(&limit, 0, 1000, 0));
    assert_false(lt_rate_limit_make(&limit, 1, 0, 0));
    assert_true(lt_rate_limit_make(&limit, 1, UINT64_C(7) * 86400 * 1000, 0));
    assert_false(lt_rate_limit_make(&limit, 1, UINT64_C(7) * 86400 * 1000, 1));
    assert_false(lt_rate_limit_make(&limit, 1, UINT64_C(8) * 86400 * 1000, 0));
    assert_false(lt_rate_limit_make(&limit, UINT32_MAX, UINT64_C(6) * 86400 * 1000, 1));
}

/* 300,000 a second is one per 3.33 us: whole microseconds alone would be 11 % off. */
static void test_fractions_of_a_microsecond_add_up(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    unsigned allowed = 0;
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&limit, 300000, 1000, 0));
    for (uint64_t now = 1000; now < 1000 + 3000000; now++) {
        allowed += take(&a, 77, now, &limit, &r);
    }
    assert_in_range(allowed, 1190000, 1210000); /* 300,000 at once and 3 s at 300,000 */
    free(a.mem);
}

static void test_clock_may_wrap_its_42_bits(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    uint64_t wrap = UINT64_C(1) << 42;
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&limit, 2, 10000, 0));
    assert_true(take(&a, 9, wrap - 100, &limit, &r));
    assert_true(take(&a, 9, wrap - 50, &limit, &r));
    assert_false(take(&a, 9, wrap + 100, &limit, &r));
    assert_true(take(&a, 9, wrap + 5000000, &limit, &r));
    /* An empty word is empty at all times, also shortly before the wrap. */
    assert_true(take(&a, 10, wrap - 3600000000u, &limit, &r));
    assert_int_equal(r.remaining, 1);
    /* A word that is half a turn old is no word. */
    assert_true(take(&a, 9, wrap / 2, &limit, &r));
    assert_int_equal(r.remaining, 1);
    free(a.mem);
}

static void test_smaller_limit_after_reload_waits_its_own_window_at_most(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit hour, second;
    struct lt_rate_result r;
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&hour, 1, 3600000, 0));
    assert_true(lt_rate_limit_make(&second, 1, 1000, 0));
    assert_true(take(&a, 5, 1000, &hour, &r));
    assert_false(take(&a, 5, 1000, &second, &r));
    assert_true(r.retry_after_us <= 1000000);
    free(a.mem);
}

static void test_full_bucket_forgets_the_key_that_ends_first(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limits[9];
    struct lt_rate_result r;
    area_init(&a, LT_CACHE_LINE);
    for (unsigned i = 0; i < 9; i++) {
        assert_true(lt_rate_limit_make(&limits[i], 1, 1000 * (i + 1), 0));
    }
    for (uint64_t i = 0; i < 8; i++) {
        assert_true(take(&a, (i + 1) << 42, 1000, &limits[(i + 3) % 8 + 1], &r));
        assert_false(r.evicted);
    }
    assert_true(take(&a, UINT64_C(9) << 42, 1000, &limits[0], &r));
    assert_true(r.evicted); /* number 6, with limits[1] */
    assert_false(take(&a, UINT64_C(5) << 42, 1000, &limits[8], &r));
    assert_true(take(&a, UINT64_C(6) << 42, 1000, &limits[8], &r));
    free(a.mem);
}

/* New keys come in crowds, known ones are near their limits: those who have the most to forget are
 * forgotten last. */
static void test_flood_of_new_keys_leaves_the_counts_of_known_ones(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    unsigned evicted = 0;
    char text[32];
    area_init(&a, BYTES); /* 8192 words */
    assert_true(lt_rate_limit_make(&limit, 10, 3600000, 0));
    for (unsigned known = 0; known < 500; known++) {
        snprintf(text, sizeof(text), "known %u", known);
        for (unsigned i = 0; i < 10; i++) {
            assert_true(take(&a, lt_hash(&seed, lt_str_c(text)), 1000, &limit, &r));
            assert_false(r.evicted);
        }
    }
    for (unsigned i = 0; i < 200000; i++) {
        snprintf(text, sizeof(text), "new %u", i);
        assert_true(take(&a, lt_hash(&seed, lt_str_c(text)), 2000 + i, &limit, &r));
        evicted += r.evicted;
    }
    assert_in_range(evicted, 190000, 200000);
    for (unsigned known = 0; known < 500; known++) {
        snprintf(text, sizeof(text), "known %u", known);
        assert_false(take(&a, lt_hash(&seed, lt_str_c(text)), 300000, &limit, &r));
    }
    free(a.mem);
}

static void test_costs_are_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&limit, 10, 10000, 0));
    lt_rate_take(&a.table, 77, 1000, &limit, 7, &r);
    assert_true(r.allowed);
    assert_int_equal(r.remaining, 3);
    assert_int_equal(r.reset_us, 7000000);
    lt_rate_take(&a.table, 77, 1000, &limit, 5, &r);
    assert_false(r.allowed);
    assert_int_equal(r.remaining, 3);
    assert_int_equal(r.retry_after_us, 2000000);
    lt_rate_take(&a.table, 77, 1000, &limit, 0, &r);
    assert_true(r.allowed);
    assert_int_equal(r.remaining, 3);
    lt_rate_take(&a.table, 77, 1000 + 2000000, &limit, 5, &r);
    assert_true(r.allowed);
    /* What costs more than all there is waits until all is there. */
    lt_rate_take(&a.table, 78, 1000, &limit, 1000, &r);
    assert_true(r.allowed);
    assert_int_equal(r.remaining, 0);
    lt_rate_take(&a.table, 78, 1000, &limit, UINT32_MAX, &r);
    assert_false(r.allowed);
    assert_int_equal(r.retry_after_us, 10000000);
    free(a.mem);
}

static void test_looking_takes_nothing_and_what_was_taken_can_be_given_back(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&limit, 3, 7000, 0)); /* with a fraction */
    for (unsigned i = 0; i < 5; i++) {
        lt_rate_look(&a.table, 5, 1000, &limit, 3, &r);
        assert_true(r.allowed);
        assert_int_equal(r.remaining, 3);
    }
    lt_rate_take(&a.table, 5, 1000, &limit, 3, &r);
    assert_true(r.allowed);
    uint64_t taken = r.taken_us;
    lt_rate_look(&a.table, 5, 1000, &limit, 1, &r);
    assert_false(r.allowed);
    lt_rate_give(&a.table, 5, 1000, taken);
    lt_rate_look(&a.table, 5, 1000, &limit, 3, &r);
    assert_true(r.allowed);
    assert_int_equal(r.reset_us, 0);
    lt_rate_take(&a.table, 5, 1000, &limit, 3, &r);
    lt_rate_give(&a.table, 5, 1000, UINT64_MAX); /* never more than there is */
    lt_rate_give(&a.table, 6, 1000, 1);          /* of a key that is not there */
    assert_true(take(&a, 5, 1000, &limit, &r));
    assert_in_range(r.reset_us, 2333333, 2333334);
    lt_rate_forget(&a.table, 5);
    lt_rate_forget(&a.table, 6);
    lt_rate_look(&a.table, 5, 1000, &limit, 1, &r);
    assert_int_equal(r.remaining, 3);
    free(a.mem);
}

static void test_memory_is_all_there_is(void **state)
{
    (void)state;
    struct area a;
    struct lt_rate_table again;
    struct lt_rate_limit limit;
    struct lt_rate_result r;
    area_init(&a, BYTES);
    assert_true(lt_rate_limit_make(&limit, 1, 60000, 0));
    assert_true(take(&a, 123456789, 1000, &limit, &r));
    assert_true(lt_rate_init(&again, a.mem, BYTES, &seed));
    lt_rate_take(&again, 123456789, 2000, &limit, 1, &r);
    assert_false(r.allowed);
    assert_false(lt_rate_init(&again, a.mem, LT_CACHE_LINE - 1, &seed));
    free(a.mem);
}

#define THREADS 4
#define KEYS 6u

struct shared {
    struct area area;
    struct lt_rate_limit limit;
    _Atomic unsigned allowed[KEYS];
};

static void *hammer(void *arg)
{
    struct shared *s = arg;
    struct lt_rate_result r;
    for (unsigned i = 0; i < 60000; i++) {
        unsigned key = i % KEYS;
        /* Keys of one bucket; time stands still, so that the limit is exact. */
        if (take(&s->area, (uint64_t)(key + 1) << 42, 1000, &s->limit, &r)) {
            atomic_fetch_add(&s->allowed[key], 1);
        }
    }
    return NULL;
}

static void test_threads_admit_the_limit_and_not_one_more(void **state)
{
    (void)state;
    static struct shared s;
    pthread_t threads[THREADS];
    area_init(&s.area, LT_CACHE_LINE);
    assert_true(lt_rate_limit_make(&s.limit, 1000, 60000, 7));
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &s), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(atomic_load(&s.allowed[i]), 1007);
    }
    free(s.area.mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_and_burst_at_once_then_one_per_interval),
        cmocka_unit_test(test_limits_that_cannot_be_kept_are_refused),
        cmocka_unit_test(test_fractions_of_a_microsecond_add_up),
        cmocka_unit_test(test_clock_may_wrap_its_42_bits),
        cmocka_unit_test(test_smaller_limit_after_reload_waits_its_own_window_at_most),
        cmocka_unit_test(test_full_bucket_forgets_the_key_that_ends_first),
        cmocka_unit_test(test_flood_of_new_keys_leaves_the_counts_of_known_ones),
        cmocka_unit_test(test_costs_are_taken_whole_or_not_at_all),
        cmocka_unit_test(test_looking_takes_nothing_and_what_was_taken_can_be_given_back),
        cmocka_unit_test(test_memory_is_all_there_is),
        cmocka_unit_test(test_threads_admit_the_limit_and_not_one_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
