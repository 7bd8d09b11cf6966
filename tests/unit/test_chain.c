/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/chain.h"
#include "base/mem.h"

static char data[100000];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i * 7 + i / 251);
    }
    return 0;
}

/* Compares all of c with expected[0, n). */
static void assert_bytes(const struct lt_chain *c, const char *expected, size_t n)
{
    struct iovec iov[64];
    size_t count = lt_chain_peek(c, iov, 64), at = 0;
    assert_int_equal(c->len, n);
    for (size_t i = 0; i < count; i++) {
        assert_true(at + iov[i].iov_len <= n);
        assert_memory_equal(iov[i].iov_base, expected + at, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    assert_int_equal(at, n);
}

static void keeps_bytes_in_order(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain c;
    lt_block_pool_init(&pool, 1 << 20);
    lt_chain_init(&c, &pool);
    assert_int_equal(lt_chain_append(&c, data, 100), LT_OK);
    assert_int_equal(lt_chain_append(&c, data + 100, 60000), LT_OK);
    assert_bytes(&c, data, 60100);
    lt_chain_consume(&c, 20000);
    assert_bytes(&c, data + 20000, 40100);
    assert_int_equal(lt_chain_append(&c, data + 60100, 1), LT_OK);
    assert_bytes(&c, data + 20000, 40101);
    lt_chain_consume(&c, 40101);
    assert_int_equal(pool.in_use, 0);
    assert_int_equal(lt_chain_append(&c, "x", 1), LT_OK);
    assert_bytes(&c, "x", 1);
    lt_chain_clear(&c);
    lt_block_pool_fini(&pool);
}

static void short_queues_take_little(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain c;
    lt_block_pool_init(&pool, 1 << 20);
    lt_chain_init(&c, &pool);
    assert_int_equal(lt_chain_append(&c, data, 500), LT_OK);
    assert_int_equal(pool.in_use, LT_BLOCK_SMALL_SIZE);
    lt_chain_clear(&c);
    lt_block_pool_fini(&pool);
}

static void the_pool_bounds_all_chains_together(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain a, b;
    lt_block_pool_init(&pool, 4 * LT_BLOCK_SIZE);
    lt_chain_init(&a, &pool);
    lt_chain_init(&b, &pool);
    assert_int_equal(lt_chain_append(&a, data, 3 * LT_BLOCK_SIZE - 200), LT_OK);
    assert_int_equal(lt_chain_append(&b, data, 2 * LT_BLOCK_SIZE), LT_ERR_LIMIT);
    assert_int_equal(b.len, 0);
    assert_int_equal(lt_chain_append(&a, data, sizeof(data)), LT_ERR_LIMIT);
    assert_bytes(&a, data, 3 * LT_BLOCK_SIZE - 200);
    lt_chain_clear(&a);
    lt_block_pool_fini(&pool);
}

static void moves_whole_queues(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain a, b;
    lt_block_pool_init(&pool, 1 << 20);
    lt_chain_init(&a, &pool);
    lt_chain_init(&b, &pool);
    lt_chain_move(&a, &b);
    assert_int_equal(lt_chain_append(&b, data, 30000), LT_OK);
    lt_chain_move(&a, &b);
    assert_int_equal(b.len, 0);
    assert_int_equal(lt_chain_append(&b, data + 30000, 30000), LT_OK);
    lt_chain_move(&a, &b);
    assert_bytes(&a, data, 60000);
    lt_chain_clear(&a);
    lt_chain_clear(&b);
    lt_block_pool_fini(&pool);
}

static void appends_all_or_nothing_without_memory(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain c;
    lt_block_pool_init(&pool, 1 << 20);
    lt_chain_init(&c, &pool);
    assert_int_equal(lt_chain_append(&c, data, 1000), LT_OK);
    lt_mem_fail_at(2);
    assert_int_equal(lt_chain_append(&c, data + 1000, 60000), LT_ERR_NOMEM);
    lt_mem_fail_at(0);
    assert_bytes(&c, data, 1000);
    assert_int_equal(lt_chain_append(&c, data + 1000, 60000), LT_OK);
    assert_bytes(&c, data, 61000);
    lt_chain_clear(&c);
    assert_int_equal(pool.in_use, 0);
    lt_block_pool_fini(&pool);
}

static void shares_get_smaller_the_more_is_taken(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain chains[40];
    lt_block_pool_init(&pool, 1 << 20);
    assert_int_equal(lt_block_pool_share(&pool, 1000), 1000);
    assert_int_equal(lt_block_pool_share(&pool, SIZE_MAX), 1 << 19);
    for (size_t i = 0; i < lt_countof(chains); i++) {
        lt_chain_init(&chains[i], &pool);
        size_t share = lt_block_pool_share(&pool, 65536);
        while (chains[i].len + 4096 <= share) {
            assert_int_equal(lt_chain_append(&chains[i], data, 4096), LT_OK);
            share = lt_block_pool_share(&pool, 65536);
        }
    }
    assert_true(pool.in_use <= (1 << 19) + LT_BLOCK_SIZE);
    assert_true(chains[0].len > chains[20].len);
    for (size_t i = 0; i < lt_countof(chains); i++) {
        lt_chain_clear(&chains[i]);
    }
    lt_block_pool_fini(&pool);
}

static void short_pieces_may_go_beyond_the_limit(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain a, b;
    lt_block_pool_init(&pool, 3 * LT_BLOCK_SIZE);
    pool.extra = LT_BLOCK_MIDDLE_SIZE;
    lt_chain_init(&a, &pool);
    lt_chain_init(&b, &pool);
    assert_int_equal(lt_chain_append(&a, data, 3 * LT_BLOCK_SIZE - 200), LT_OK);
    assert_int_equal(lt_block_pool_share(&pool, SIZE_MAX), 0);
    assert_int_equal(lt_chain_append(&b, data, LT_BLOCK_MIDDLE_SIZE - 100), LT_OK);
    assert_int_equal(pool.in_use, 3 * LT_BLOCK_SIZE + LT_BLOCK_MIDDLE_SIZE);
    assert_int_equal(lt_chain_append(&a, data, 1000), LT_ERR_LIMIT);
    lt_chain_clear(&a);
    lt_chain_clear(&b);
    lt_block_pool_fini(&pool);
}

static void looks_from_any_byte_on(void **state)
{
    (void)state;
    struct lt_block_pool pool;
    struct lt_chain c;
    struct iovec iov[16];
    lt_block_pool_init(&pool, 1 << 20);
    lt_chain_init(&c, &pool);
    assert_int_equal(lt_chain_append(&c, data, 50000), LT_OK);
    for (size_t from = 0; from <= 50000; from += 1250) {
        size_t n = lt_chain_peek_from(&c, from, iov, 16), at = from;
        for (size_t i = 0; i < n; i++) {
            assert_true(iov[i].iov_len > 0);
            assert_memory_equal(iov[i].iov_base, data + at, iov[i].iov_len);
            at += iov[i].iov_len;
        }
        assert_int_equal(at, 50000);
    }
    lt_chain_clear(&c);
    lt_block_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_bytes_in_order),
        cmocka_unit_test(short_queues_take_little),
        cmocka_unit_test(the_pool_bounds_all_chains_together),
        cmocka_unit_test(moves_whole_queues),
        cmocka_unit_test(appends_all_or_nothing_without_memory),
        cmocka_unit_test(shares_get_smaller_the_more_is_taken),
        cmocka_unit_test(short_pieces_may_go_beyond_the_limit),
        cmocka_unit_test(looks_from_any_byte_on),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
