/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "upstream/balance.h"
#include "upstream/health.h"
#include "upstream/pool.h"

#define SERVERS 4

struct fixture {
    struct lt_loop *loop;
    struct lt_pools *pools;
    struct lt_upstream upstream;
    struct lt_server_set set;
    struct lt_server servers[SERVERS];
    struct lt_server_state states[SERVERS];
    _Atomic(uint64_t) words[SERVERS];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.loop = lt_loop_new(1 << 20);
    f.pools = lt_pools_new(f.loop, NULL);
    f.upstream = (struct lt_upstream){.set = &f.set};
    f.set = (struct lt_server_set){.v = f.servers, .n = SERVERS};
    for (unsigned i = 0; i < SERVERS; i++) {
        f.states[i].id = i;
        f.states[i].inflight = &f.words[i];
        f.servers[i] = (struct lt_server){
            .upstream = &f.upstream, .weight = 1, .index = i, .state = &f.states[i]};
    }
    *state = &f;
    return f.loop != NULL && f.pools != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lt_pools_free(f->pools);
    lt_loop_free(f->loop);
    return 0;
}

/* Picks n times without giving back; counts per server. */
static void pick_many(struct fixture *f, unsigned n, unsigned counts[SERVERS])
{
    memset(counts, 0, SERVERS * sizeof(counts[0]));
    for (unsigned k = 0; k < n; k++) {
        struct lt_pick pick = {.upstream = &f->upstream};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        counts[pick.server->index]++;
    }
}

static void round_robin_follows_the_weights(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->upstream.balance = LT_BALANCE_ROUND_ROBIN;
    f->servers[2].weight = 3;
    pick_many(f, 60, counts);
    assert_int_equal(counts[0], 10);
    assert_int_equal(counts[1], 10);
    assert_int_equal(counts[2], 30);
    assert_int_equal(counts[3], 10);
}

static void two_choices_keep_the_load_even(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    pick_many(f, 400, counts);
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_in_range(counts[i], 85, 115);
    }
}

static void a_server_that_failed_comes_last(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    for (unsigned i = 0; i < SERVERS; i++) {
        if (i != 1) {
            lt_server_connect_result(f->pools, &f->servers[i], false);
        }
    }
    pick_many(f, 20, counts);
    assert_int_equal(counts[1], 20);
    struct lt_pick pick = {.upstream = &f->upstream};
    lt_pick_tried(&pick, &f->servers[1]);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
    assert_int_not_equal(pick.server->index, 1);
    lt_server_connect_result(f->pools, &f->servers[0], true);
    assert_int_equal(f->states[0].failures, 0);
    assert_int_equal(f->states[0].down_until_us, 0);
}

static void being_down_lasts_longer_each_time_within_a_limit(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;
    for (unsigned k = 0; k < 40; k++) {
        lt_server_connect_result(f->pools, &f->servers[0], false);
        uint64_t us = f->states[0].down_until_us - f->loop->now_us;
        assert_true(us >= last && us <= 10000000);
        last = us;
    }
    assert_true(last == 10000000);
}

static void max_is_never_exceeded_and_slots_come_back(void **state)
{
    struct fixture *f = *state;
    struct lt_server *held[2 * SERVERS];
    struct lt_pick pick = {.upstream = &f->upstream};
    for (unsigned i = 0; i < SERVERS; i++) {
        f->servers[i].max = 2;
    }
    for (unsigned k = 0; k < 2 * SERVERS; k++) {
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        held[k] = pick.server;
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_int_equal(lt_server_inflight(&f->states[i]), 2);
    }
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_BUSY);
    lt_server_release(f->pools, held[3]);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
    assert_ptr_equal(pick.server, held[3]);
    for (unsigned k = 0; k < 2 * SERVERS; k++) {
        lt_server_release(f->pools, held[k]);
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_int_equal(lt_server_inflight(&f->states[i]), 0);
    }
}

static void nothing_is_left_when_all_were_tried(void **state)
{
    struct fixture *f = *state;
    struct lt_pick pick = {.upstream = &f->upstream};
    for (unsigned i = 0; i < SERVERS; i++) {
        lt_pick_tried(&pick, &f->servers[i]);
    }
    for (int b = LT_BALANCE_P2C; b <= LT_BALANCE_ROUND_ROBIN; b++) {
        f->upstream.balance = (enum lt_balance)b;
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_robin_follows_the_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(two_choices_keep_the_load_even, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_failed_comes_last, setup, teardown),
        cmocka_unit_test_setup_teardown(being_down_lasts_longer_each_time_within_a_limit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(max_is_never_exceeded_and_slots_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_left_when_all_were_tried, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
