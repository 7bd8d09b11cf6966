/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "upstream/balance.h"
#include "upstream/health.h"
#include "upstream/latency.h"
#include "upstream/pool.h"
#include "upstream/server_groups.h"

#define SERVERS 4

struct fixture {
    struct lt_loop *loop;
    struct lt_pools *pools;
    struct lt_arena arena;
    struct lt_upstream upstream;
    struct lt_upstream_state upstream_state;
    struct lt_server_set set;
    struct lt_server servers[SERVERS];
    struct lt_server_state states[SERVERS];
    _Atomic(uint64_t) words[SERVERS];
    char names[SERVERS][32];
};

/* The groups by the servers and options as they are now. */
static void arrange(struct fixture *f)
{
    assert_int_equal(lt_server_groups_new(&f->arena, &f->upstream, &f->set, &f->set.groups), LT_OK);
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.loop = lt_loop_new(1 << 20);
    f.pools = lt_pools_new(f.loop, NULL);
    lt_arena_init(&f.arena, NULL, 0, (size_t)16 << 20);
    f.upstream = (struct lt_upstream){.name = LT_STR("app"),
                                      .set = &f.set,
                                      .state = &f.upstream_state,
                                      .balance = {.half_life_us = 5000000}};
    f.set = (struct lt_server_set){.v = f.servers, .n = SERVERS};
    for (unsigned i = 0; i < SERVERS; i++) {
        f.states[i].id = i;
        f.states[i].inflight = &f.words[i];
        f.servers[i] = (struct lt_server){
            .upstream = &f.upstream, .weight = 1, .index = i, .state = &f.states[i]};
        snprintf(f.names[i], sizeof(f.names[i]), "127.0.0.1:%u", 8000 + i);
        f.servers[i].name = lt_str_c(f.names[i]);
    }
    arrange(&f);
    *state = &f;
    return f.loop != NULL && f.pools != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lt_pools_free(f->pools);
    lt_loop_free(f->loop);
    lt_arena_fini(&f->arena);
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
    f->upstream.balance.by = LT_BALANCE_ROUND_ROBIN;
    f->servers[2].weight = 3;
    arrange(f);
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
    struct lt_pick pick = {.upstream = &f->upstream, .hashed = true};
    for (unsigned i = 0; i < SERVERS; i++) {
        lt_pick_tried(&pick, &f->servers[i]);
    }
    for (int by = LT_BALANCE_P2C; by <= LT_BALANCE_RANDOM; by++) {
        f->upstream.balance.by = (enum lt_balance)by;
        arrange(f);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_NONE);
    }
}

/* Whatever the balancer: the one server that was not tried is found. */
static void the_last_one_left_is_found(void **state)
{
    struct fixture *f = *state;
    for (int by = LT_BALANCE_P2C; by <= LT_BALANCE_RANDOM; by++) {
        struct lt_pick pick = {.upstream = &f->upstream, .hashed = true};
        f->upstream.balance.by = (enum lt_balance)by;
        f->servers[0].weight = 1000;
        arrange(f);
        for (unsigned i = 0; i < SERVERS - 1; i++) {
            lt_pick_tried(&pick, &f->servers[i]);
        }
        for (unsigned k = 0; k < 50; k++) {
            assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
            assert_int_equal(pick.server->index, SERVERS - 1);
            lt_server_release(f->pools, pick.server);
        }
    }
}

static void no_two_turns_of_a_heavy_server_in_a_row_where_there_is_choice(void **state)
{
    struct fixture *f = *state;
    f->upstream.balance.by = LT_BALANCE_ROUND_ROBIN;
    f->servers[0].weight = 3;
    arrange(f);
    unsigned last = SERVERS, bunches = 0;
    for (unsigned k = 0; k < 60; k++) {
        struct lt_pick pick = {.upstream = &f->upstream};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        bunches += pick.server->index == 0 && last == 0;
        last = pick.server->index;
    }
    assert_in_range(bunches, 0, 20);
}

static void who_is_away_gets_no_credit_for_its_turns(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->upstream.balance.by = LT_BALANCE_ROUND_ROBIN;
    lt_server_connect_result(f->pools, &f->servers[3], false);
    pick_many(f, 300, counts);
    assert_int_equal(counts[3], 0);
    assert_int_equal(counts[0], 100);
    lt_server_connect_result(f->pools, &f->servers[3], true);
    pick_many(f, 400, counts);
    assert_in_range(counts[3], 99, 101);
}

static void draws_follow_the_weights(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->upstream.balance.by = LT_BALANCE_RANDOM;
    f->servers[0].weight = 5;
    f->servers[1].weight = 3;
    arrange(f);
    pick_many(f, 20000, counts);
    assert_in_range(counts[0], 9500, 10500);
    assert_in_range(counts[1], 5600, 6400);
    assert_in_range(counts[2], 1750, 2250);
}

/* Whoever is drawn by weight keeps what would make no difference: of idle servers the heaviest
 * doesn't get all, and with few exchanges all get some. */
static void weights_count_at_low_load_too(void **state)
{
    struct fixture *f = *state;
    static const enum lt_balance by[] = {LT_BALANCE_P2C, LT_BALANCE_PEAK_EWMA,
                                         LT_BALANCE_LEAST_REQUESTS};
    f->set.n = 2;
    f->servers[0].weight = 3;
    arrange(f);
    for (unsigned b = 0; b < lt_countof(by); b++) {
        f->upstream.balance.by = by[b];
        for (unsigned busy = 1; busy <= 4; busy++) {
            struct lt_server *held[4] = {NULL};
            unsigned heavy = 0;
            for (unsigned k = 0; k < 4000; k++) {
                struct lt_pick pick = {.upstream = &f->upstream};
                unsigned i = lt_rand_below(&f->loop->rand, busy);
                if (held[i] != NULL) {
                    lt_server_release(f->pools, held[i]);
                }
                assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
                held[i] = pick.server;
                heavy += pick.server->index == 0;
            }
            assert_in_range(heavy, 2600, 3500); /* 3000 by weight */
            for (unsigned i = 0; i < busy; i++) {
                lt_server_release(f->pools, held[i]);
            }
        }
    }
}

static void the_least_busy_is_taken_by_weight(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->upstream.balance.by = LT_BALANCE_LEAST_REQUESTS;
    f->servers[1].weight = 2;
    arrange(f);
    pick_many(f, 500, counts);
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_in_range(counts[i], i == 1 ? 199 : 99, i == 1 ? 201 : 101);
    }
}

/* Serves n exchanges one after another, each as long as its server takes. */
static void serve(struct fixture *f, unsigned n, const uint64_t us[SERVERS],
                  unsigned counts[SERVERS])
{
    memset(counts, 0, SERVERS * sizeof(counts[0]));
    for (unsigned k = 0; k < n; k++) {
        struct lt_pick pick = {.upstream = &f->upstream};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        unsigned i = pick.server->index;
        counts[i]++;
        f->loop->now_us += us[i];
        lt_latency_tell(f->pools, pick.server, us[i], true);
        lt_server_release(f->pools, pick.server);
    }
}

static void slow_servers_get_little(void **state)
{
    struct fixture *f = *state;
    static const uint64_t us[SERVERS] = {5000, 5000, 5000, 50000};
    static const enum lt_balance balancers[] = {LT_BALANCE_P2C, LT_BALANCE_PEAK_EWMA};
    for (unsigned k = 0; k < lt_countof(balancers); k++) {
        unsigned counts[SERVERS];
        f->upstream.balance.by = balancers[k];
        serve(f, 4000, us, counts);
        assert_in_range(counts[3], 0, 40);
    }
}

static void a_slow_server_is_tried_again(void **state)
{
    struct fixture *f = *state;
    static const uint64_t slow[SERVERS] = {5000, 5000, 5000, 500000};
    static const uint64_t well[SERVERS] = {5000, 5000, 5000, 5000};
    unsigned counts[SERVERS];
    serve(f, 100, slow, counts);
    f->loop->now_us += 60000000;
    serve(f, 2000, well, counts);
    assert_in_range(counts[3], 200, 1000);
}

static void a_peak_is_believed_at_once_and_forgotten_slowly(void **state)
{
    struct fixture *f = *state;
    const struct lt_pool *pool = lt_pool_get(f->pools, &f->states[0]);
    f->upstream.balance.by = LT_BALANCE_PEAK_EWMA;
    lt_latency_tell(f->pools, &f->servers[0], 1000, true);
    lt_latency_tell(f->pools, &f->servers[0], 80000, true);
    assert_int_equal(lt_latency_of(pool, 5000000, f->loop->now_us), 80000);
    assert_int_equal(lt_latency_of(pool, 5000000, f->loop->now_us + 5000000), 40000);
    assert_int_equal(lt_latency_of(pool, 5000000, f->loop->now_us + 7500000), 30000);
    assert_int_equal(lt_latency_of(pool, 5000000, f->loop->now_us + 500000000), 1);
}

static void quick_failures_attract_nothing(void **state)
{
    struct fixture *f = *state;
    const struct lt_pool *pool = lt_pool_get(f->pools, &f->states[0]);
    lt_latency_tell(f->pools, &f->servers[0], 1, false);
    assert_int_equal(pool->latency_us, 0);
    lt_latency_tell(f->pools, &f->servers[0], 40000, true);
    lt_latency_tell(f->pools, &f->servers[0], 1, false);
    assert_int_equal(pool->latency_us, 40000);
    lt_latency_tell(f->pools, &f->servers[0], 900000, false);
    assert_true(pool->latency_us > 40000);
}

static void backups_wait_until_no_other_is_up(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->servers[2].backup = f->servers[3].backup = true;
    arrange(f);
    for (int by = LT_BALANCE_P2C; by <= LT_BALANCE_RANDOM; by++) {
        f->upstream.balance.by = (enum lt_balance)by;
        pick_many(f, 40, counts);
        assert_int_equal(counts[0] + counts[1], 40);
    }
    lt_server_connect_result(f->pools, &f->servers[0], false);
    pick_many(f, 40, counts);
    assert_int_equal(counts[1], 40);
    lt_server_connect_result(f->pools, &f->servers[1], false);
    pick_many(f, 40, counts);
    assert_int_equal(counts[2] + counts[3], 40);
    lt_server_connect_result(f->pools, &f->servers[2], false);
    lt_server_connect_result(f->pools, &f->servers[3], false);
    pick_many(f, 40, counts);
    assert_int_equal(counts[0] + counts[1], 40);
}

static void a_full_server_is_no_reason_for_a_backup(void **state)
{
    struct fixture *f = *state;
    struct lt_pick pick = {.upstream = &f->upstream};
    for (unsigned i = 1; i < SERVERS; i++) {
        f->servers[i].backup = true;
    }
    f->servers[0].max = 1;
    arrange(f);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_BUSY);
    lt_server_release(f->pools, &f->servers[0]);
}

static void only_who_is_up_is_asked_where_that_is_wanted(void **state)
{
    struct fixture *f = *state;
    struct lt_pick pick = {.upstream = &f->upstream, .up_only = true};
    for (unsigned i = 0; i < SERVERS - 1; i++) {
        lt_server_connect_result(f->pools, &f->servers[i], false);
    }
    f->servers[SERVERS - 1].max = 1;
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
    assert_int_equal(pick.server->index, SERVERS - 1);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_BUSY);
    lt_server_release(f->pools, &f->servers[SERVERS - 1]);
    lt_server_connect_result(f->pools, &f->servers[SERVERS - 1], false);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_NONE);
}

static void a_thousand_servers_of_any_weight_are_balanced(void **state)
{
    struct fixture *f = *state;
    enum { MANY = 1024 };
    static struct lt_server servers[MANY];
    static struct lt_server_state states[MANY];
    static const enum lt_balance balancers[] = {LT_BALANCE_P2C, LT_BALANCE_ROUND_ROBIN,
                                                LT_BALANCE_LEAST_REQUESTS, LT_BALANCE_HASH};
    memset(states, 0, sizeof(states));
    for (unsigned i = 0; i < MANY; i++) {
        states[i].id = i;
        servers[i] = (struct lt_server){.upstream = &f->upstream,
                                        .name = LT_STR("x"),
                                        .weight = 1 + i % 3 * 32767,
                                        .index = i,
                                        .state = &states[i]};
    }
    f->set = (struct lt_server_set){.v = servers, .n = MANY};
    for (unsigned b = 0; b < lt_countof(balancers); b++) {
        f->upstream.balance.by = balancers[b];
        arrange(f);
        for (unsigned k = 0; k < 3000; k++) {
            struct lt_pick pick = {.upstream = &f->upstream, .hash = k};
            pick.hashed = balancers[b] == LT_BALANCE_HASH;
            assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
            lt_server_release(f->pools, pick.server);
        }
    }
}

static void nobody_is_asked_whom_the_operator_takes_out(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->upstream.balance.panic = 10000;
    f->states[1].admin_state = LT_SERVER_DRAIN;
    f->states[2].admin_state = LT_SERVER_MAINTENANCE;
    pick_many(f, 100, counts);
    assert_int_equal(counts[0] + counts[3], 100);
}

static void in_panic_all_are_asked(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    for (unsigned i = 0; i < 3; i++) {
        lt_server_connect_result(f->pools, &f->servers[i], false);
    }
    f->upstream.balance.by = LT_BALANCE_RANDOM;
    f->upstream.balance.panic = 2500;
    pick_many(f, 100, counts);
    assert_int_equal(counts[3], 100);
    f->loop->now_us += 1000; /* counted a moment ago: it goes by that */
    f->upstream.balance.panic = 5000;
    pick_many(f, 400, counts);
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_in_range(counts[i], 50, 150);
    }
}

/* The share that the first server gets, which came so long ago. */
static unsigned share_of_new(struct fixture *f, uint64_t past_us)
{
    unsigned counts[SERVERS] = {0};
    f->loop->now_us = f->states[0].up_since_us + past_us;
    for (unsigned k = 0; k < 8000; k++) {
        struct lt_pick pick = {.upstream = &f->upstream};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        counts[pick.server->index]++;
        lt_server_release(f->pools, pick.server);
    }
    return counts[0];
}

static void a_server_that_came_gets_a_growing_share(void **state)
{
    struct fixture *f = *state;
    static const enum lt_balance balancers[] = {LT_BALANCE_P2C, LT_BALANCE_ROUND_ROBIN,
                                                LT_BALANCE_LEAST_REQUESTS, LT_BALANCE_RANDOM};
    f->upstream.balance.slow_start_us = 10000000;
    f->states[0].up_since_us = f->loop->now_us;
    for (unsigned k = 0; k < lt_countof(balancers); k++) {
        f->upstream.balance.by = balancers[k];
        unsigned last = 0;
        for (uint64_t s = 1; s <= 9; s += 4) {
            unsigned n = share_of_new(f, s * 1000000);
            assert_in_range(n, 2000 * s / 10 * 70 / 100, 2000 * s / 10 * 170 / 100);
            assert_true(n > last);
            last = n;
        }
        assert_in_range(share_of_new(f, 10000000), 1800, 2200);
    }
}

static void servers_that_all_came_at_once_share_evenly(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS];
    f->upstream.balance.slow_start_us = 10000000;
    for (unsigned i = 0; i < SERVERS; i++) {
        f->states[i].up_since_us = f->loop->now_us;
    }
    pick_many(f, 400, counts);
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_in_range(counts[i], 70, 130);
    }
}

static void a_key_stays_at_its_server(void **state)
{
    struct fixture *f = *state;
    f->upstream.balance.by = LT_BALANCE_HASH;
    arrange(f);
    for (unsigned k = 0; k < 100; k++) {
        struct lt_pick pick = {
            .upstream = &f->upstream, .hashed = true, .hash = lt_hash_ring_next(k)};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        struct lt_server *first = pick.server;
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        assert_ptr_equal(pick.server, first);
        /* While it is away, at another one; then back. */
        lt_server_connect_result(f->pools, first, false);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        struct lt_server *second = pick.server;
        assert_ptr_not_equal(second, first);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        assert_ptr_equal(pick.server, second);
        lt_server_connect_result(f->pools, first, true);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        assert_ptr_equal(pick.server, first);
    }
}

static void no_server_goes_over_the_bound(void **state)
{
    struct fixture *f = *state;
    unsigned counts[SERVERS] = {0};
    f->upstream.balance.by = LT_BALANCE_HASH;
    f->upstream.balance.bound = 12500;
    arrange(f);
    for (unsigned k = 1; k <= 400; k++) { /* one key that everybody asks for */
        struct lt_pick pick = {.upstream = &f->upstream, .hashed = true, .hash = 7};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        counts[pick.server->index]++;
        for (unsigned i = 0; i < SERVERS; i++) {
            assert_true(counts[i] <= (125 * k + 100 * SERVERS - 1) / (100 * SERVERS));
        }
    }
}

static void a_client_comes_back_to_its_server(void **state)
{
    struct fixture *f = *state;
    f->upstream.balance.sticky.enabled = true;
    f->servers[3].backup = true;
    arrange(f);
    for (unsigned i = 0; i < 3; i++) {
        struct lt_pick pick = {.upstream = &f->upstream,
                               .sticky = lt_sticky_token(f->set.groups->sticky, i)};
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        assert_int_equal(pick.server->index, i);
        assert_false(pick.strange);
        lt_server_connect_result(f->pools, &f->servers[i], false);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        unsigned other = pick.server->index;
        assert_int_not_equal(other, i);
        assert_false(pick.strange);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        assert_int_equal(pick.server->index, other);
        lt_server_connect_result(f->pools, &f->servers[i], true);
        assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
        assert_int_equal(pick.server->index, i);
    }
    /* Neither nobody's token nor that of a backup keeps anybody anywhere. */
    struct lt_pick pick = {.upstream = &f->upstream, .sticky = LT_STR("nonsense")};
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
    assert_true(pick.strange);
    pick.sticky = lt_sticky_token(f->set.groups->sticky, 3);
    assert_int_equal(lt_upstream_pick(f->pools, &pick), LT_PICK_OK);
    assert_int_not_equal(pick.server->index, 3);
    assert_true(pick.strange);
}

static void without_memory_there_are_no_groups(void **state)
{
    struct fixture *f = *state;
    const struct lt_server_groups *groups;
    f->upstream.balance.by = LT_BALANCE_HASH;
    f->upstream.balance.sticky.enabled = true;
    f->servers[0].weight = 2;
    for (size_t max = 0; max <= 4096; max += 4096) {
        struct lt_arena arena;
        lt_arena_init(&arena, NULL, 0, max);
        assert_int_equal(lt_server_groups_new(&arena, &f->upstream, &f->set, &groups),
                         LT_ERR_NOMEM);
        lt_arena_fini(&arena);
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
        cmocka_unit_test_setup_teardown(the_last_one_left_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(
            no_two_turns_of_a_heavy_server_in_a_row_where_there_is_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_away_gets_no_credit_for_its_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(draws_follow_the_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_count_at_low_load_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_busy_is_taken_by_weight, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_servers_get_little, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_server_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peak_is_believed_at_once_and_forgotten_slowly, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(quick_failures_attract_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(backups_wait_until_no_other_is_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_server_is_no_reason_for_a_backup, setup, teardown),
        cmocka_unit_test_setup_teardown(only_who_is_up_is_asked_where_that_is_wanted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_thousand_servers_of_any_weight_are_balanced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_is_asked_whom_the_operator_takes_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(in_panic_all_are_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_came_gets_a_growing_share, setup, teardown),
        cmocka_unit_test_setup_teardown(servers_that_all_came_at_once_share_evenly, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_stays_at_its_server, setup, teardown),
        cmocka_unit_test_setup_teardown(no_server_goes_over_the_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_comes_back_to_its_server, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_there_are_no_groups, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
