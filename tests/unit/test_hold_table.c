/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in flight per key: never more than the limit, nothing is lost when a generation dies. */
#include "shared/hold_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 4096u
#define THREADS 4u
#define ROUNDS 20000u

struct area {
    struct lt_hold_table table;
    void *mem;
};

static void area_init(struct area *a, size_t bytes)
{
    a->mem = aligned_alloc(LT_CACHE_LINE, bytes);
    assert_non_null(a->mem);
    memset(a->mem, 0, bytes);
    lt_hold_init(&a->table, a->mem, bytes, 1);
}

static void test_key_holds_max_and_no_more(void **state)
{
    (void)state;
    struct area a;
    struct lt_hold holds[3], other;
    area_init(&a, BYTES);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(lt_hold_take(&a.table, 42, 3, &holds[i]), LT_HOLD_TAKEN);
    }
    assert_int_equal(lt_hold_take(&a.table, 42, 3, &other), LT_HOLD_FULL);
    assert_int_equal(lt_hold_count(&a.table, 42), 3);
    assert_int_equal(lt_hold_take(&a.table, 43, 3, &other), LT_HOLD_TAKEN);
    lt_hold_release(&other);
    lt_hold_release(&holds[1]);
    assert_int_equal(lt_hold_take(&a.table, 42, 3, &holds[1]), LT_HOLD_TAKEN);
    for (unsigned i = 0; i < 3; i++) {
        lt_hold_release(&holds[i]);
    }
    assert_int_equal(lt_hold_count(&a.table, 42), 0);
    free(a.mem);
}

static void test_a_key_holds_a_thousand_at_most(void **state)
{
    (void)state;
    struct area a;
    struct lt_hold hold;
    area_init(&a, BYTES);
    for (unsigned i = 0; i < LT_HOLD_MAX; i++) {
        assert_int_equal(lt_hold_take(&a.table, 42, UINT32_MAX, &hold), LT_HOLD_TAKEN);
    }
    assert_int_equal(lt_hold_take(&a.table, 42, UINT32_MAX, &hold), LT_HOLD_FULL);
    assert_int_equal(lt_hold_count(&a.table, 42), LT_HOLD_MAX);
    free(a.mem);
}

static void test_full_bucket_forgets_nobody(void **state)
{
    (void)state;
    struct area a;
    struct lt_hold holds[8], ninth;
    area_init(&a, LT_CACHE_LINE);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(lt_hold_take(&a.table, (i + 1) << 40, 1, &holds[i]), LT_HOLD_TAKEN);
    }
    assert_int_equal(lt_hold_take(&a.table, UINT64_C(9) << 40, 1, &ninth), LT_HOLD_NO_ROOM);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(lt_hold_count(&a.table, (i + 1) << 40), 1);
    }
    lt_hold_release(&holds[4]);
    assert_int_equal(lt_hold_take(&a.table, UINT64_C(9) << 40, 1, &ninth), LT_HOLD_TAKEN);
    free(a.mem);
}

static void test_generations_count_together_and_a_dead_one_holds_nothing(void **state)
{
    (void)state;
    struct area a;
    struct lt_hold_table next;
    struct lt_hold old[2], new[2];
    area_init(&a, BYTES);
    lt_hold_init(&next, a.mem, BYTES, 2);
    assert_int_equal(lt_hold_take(&a.table, 42, 3, &old[0]), LT_HOLD_TAKEN);
    assert_int_equal(lt_hold_take(&a.table, 42, 3, &old[1]), LT_HOLD_TAKEN);
    assert_int_equal(lt_hold_take(&next, 42, 3, &new[0]), LT_HOLD_TAKEN);
    assert_int_equal(lt_hold_take(&next, 42, 3, &new[1]), LT_HOLD_FULL);
    lt_hold_clear_generation(a.mem, BYTES, 1);
    assert_int_equal(lt_hold_count(&next, 42), 1);
    lt_hold_release(&old[0]); /* from the grave: takes nothing of another */
    assert_int_equal(lt_hold_count(&next, 42), 1);
    assert_int_equal(lt_hold_take(&next, 42, 3, &new[1]), LT_HOLD_TAKEN);
    lt_hold_release(&new[0]);
    lt_hold_release(&new[1]);
    assert_int_equal(lt_hold_count(&next, 42), 0);
    free(a.mem);
}

static void *hammer(void *arg)
{
    struct area *a = arg;
    struct lt_hold hold;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned key = i % 16;
        enum lt_hold_result r = lt_hold_take(&a->table, (uint64_t)(key + 1) << 40, 2, &hold);
        if (r == LT_HOLD_TAKEN) {
            lt_hold_release(&hold);
        }
    }
    return NULL;
}

/* Two buckets for sixteen keys: places are given up and taken all the time. */
static void test_threads_leave_nothing_behind(void **state)
{
    (void)state;
    struct area a;
    pthread_t threads[THREADS];
    area_init(&a, 2 * LT_CACHE_LINE);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &a), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned key = 0; key < 16; key++) {
        assert_int_equal(lt_hold_count(&a.table, (uint64_t)(key + 1) << 40), 0);
    }
    free(a.mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_holds_max_and_no_more),
        cmocka_unit_test(test_a_key_holds_a_thousand_at_most),
        cmocka_unit_test(test_full_bucket_forgets_nobody),
        cmocka_unit_test(test_generations_count_together_and_a_dead_one_holds_nothing),
        cmocka_unit_test(test_threads_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
