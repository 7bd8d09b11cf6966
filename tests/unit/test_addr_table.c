/* SPDX-License-Identifier: Apache-2.0 */
/* Connections counted by address: what counts as one address, the limit, full buckets, threads. */
#include "shared/addr_table.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "tests/unit/unit.h"

static const struct lt_hash_seed seed = {3, 4};
static struct lt_addr_table table;

static int make(void **state)
{
    (void)state;
    return lt_addr_table_init(&table, 1000, &seed) ? 0 : -1;
}

static int unmake(void **state)
{
    (void)state;
    lt_addr_table_fini(&table);
    return 0;
}

static uint64_t key(const char *ip)
{
    struct lt_addr addr;
    assert_int_equal(lt_addr_parse_ip(lt_str_c(ip), &addr), LT_OK);
    return lt_addr_table_key(&table, &addr);
}

static void test_what_is_one_address(void **state)
{
    (void)state;
    struct lt_addr unix_addr = {.un = {.sun_family = AF_UNIX}, .len = 2};
    assert_int_equal(lt_addr_table_key(&table, &unix_addr), 0);
    assert_true(key("192.0.2.1") == key("::ffff:192.0.2.1"));
    assert_true(key("192.0.2.1") != key("192.0.2.2"));
    assert_true(key("2001:db8:0:1::1") == key("2001:db8:0:1:ffff::9"));
    assert_true(key("2001:db8:0:1::1") != key("2001:db8:0:2::1"));
    assert_true(key("0.0.0.0") != key("::"));
    struct lt_addr with_port;
    const char *why;
    assert_int_equal(lt_addr_parse(LT_STR("192.0.2.1:4711"), &with_port, &why), LT_OK);
    assert_true(lt_addr_table_key(&table, &with_port) == key("192.0.2.1"));
}

static void test_the_limit(void **state)
{
    (void)state;
    uint64_t a = key("192.0.2.1"), b = key("192.0.2.2");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(lt_addr_table_take(&table, a, 3), LT_ADDR_TAKEN);
    }
    assert_int_equal(lt_addr_table_take(&table, a, 3), LT_ADDR_OVER);
    assert_int_equal(lt_addr_table_take(&table, b, 3), LT_ADDR_TAKEN);
    lt_addr_table_give(&table, a);
    assert_int_equal(lt_addr_table_count(&table, a), 2);
    assert_int_equal(lt_addr_table_take(&table, a, 3), LT_ADDR_TAKEN);
    assert_int_equal(lt_addr_table_take(&table, a, 2), LT_ADDR_OVER); /* lowered by a reload */
    for (unsigned i = 3; i > 0; i--) {
        assert_int_equal(lt_addr_table_count(&table, a), i);
        lt_addr_table_give(&table, a);
    }
    assert_int_equal(lt_addr_table_count(&table, a), 0);
    assert_int_equal(lt_addr_table_count(&table, b), 1);
}

static void test_a_full_bucket_lets_others_pass_uncounted(void **state)
{
    (void)state;
    uint64_t keys[9];
    for (unsigned i = 0; i < 9; i++) {
        keys[i] = (uint64_t)(i + 1) << 24; /* the same bucket */
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(lt_addr_table_take(&table, keys[i], 5), LT_ADDR_TAKEN);
    }
    assert_int_equal(lt_addr_table_take(&table, keys[8], 5), LT_ADDR_NO_ROOM);
    assert_int_equal(lt_addr_table_take(&table, keys[3], 5), LT_ADDR_TAKEN);
    lt_addr_table_give(&table, keys[0]);
    assert_int_equal(lt_addr_table_take(&table, keys[8], 5), LT_ADDR_TAKEN); /* a word was freed */
    assert_int_equal(lt_addr_table_count(&table, keys[8]), 1);
}

static void test_a_table_holds_as_many_addresses_as_connections(void **state)
{
    (void)state;
    struct lt_addr_table big;
    unsigned missed = 0;
    assert_true(lt_addr_table_init(&big, 100000, &seed));
    for (uint32_t i = 0; i < 100000; i++) {
        struct lt_addr addr = {.in = {.sin_family = AF_INET, .sin_addr = {.s_addr = i}}};
        uint64_t k = lt_addr_table_key(&big, &addr);
        missed += lt_addr_table_take(&big, k, 1) == LT_ADDR_NO_ROOM;
    }
    assert_in_range(missed, 0, 100);
    assert_in_range(lt_addr_table_bytes(&big), 100000 * 16, 100000 * 64);
    lt_addr_table_fini(&big);
    assert_int_equal(lt_addr_table_bytes(&big), 0);
    lt_addr_table_fini(&big);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct lt_addr_table other;
    lt_mem_fail_at(1);
    assert_false(lt_addr_table_init(&other, 10, &seed));
    lt_mem_fail_at(0);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 20000
#define MAX 6u

static const uint64_t few[] = {UINT64_C(1) << 24, UINT64_C(2) << 24, UINT64_C(3) << 24};
static _Atomic(int) open_now[lt_countof(few)];
static _Atomic(int) most[lt_countof(few)];

static void *hammer(void *arg)
{
    unsigned at = *(unsigned *)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned k = (at + i) % lt_countof(few);
        unsigned held = 0;
        for (unsigned j = 0; j < 3; j++) {
            if (lt_addr_table_take(&table, few[k], MAX) == LT_ADDR_TAKEN) {
                held++;
                int now = atomic_fetch_add(&open_now[k], 1) + 1;
                int before = atomic_load(&most[k]);
                while (now > before && !atomic_compare_exchange_weak(&most[k], &before, now)) {
                }
            }
        }
        for (; held > 0; held--) {
            atomic_fetch_sub(&open_now[k], 1);
            lt_addr_table_give(&table, few[k]);
        }
    }
    return NULL;
}

/* Each thread is one too many at worst when all count an address' first connection at once. */
static void test_threads_keep_the_limit_and_lose_no_count(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < lt_countof(few); i++) {
        assert_int_equal(lt_addr_table_count(&table, few[i]), 0);
        assert_in_range(atomic_load(&most[i]), 1, MAX + THREADS - 1);
    }
    for (unsigned i = 0; i < 8; i++) { /* no word of the bucket is used any more */
        assert_int_equal(lt_addr_table_take(&table, (uint64_t)(i + 10) << 24, 1), LT_ADDR_TAKEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_one_address, make, unmake),
        cmocka_unit_test_setup_teardown(test_the_limit, make, unmake),
        cmocka_unit_test_setup_teardown(test_a_full_bucket_lets_others_pass_uncounted, make,
                                        unmake),
        cmocka_unit_test(test_a_table_holds_as_many_addresses_as_connections),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test_setup_teardown(test_threads_keep_the_limit_and_lose_no_count, make,
                                        unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
