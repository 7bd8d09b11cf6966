/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <pthread.h>

#include "base/mem.h"
#include "net/mailbox.h"
#include "shared/shm.h"
#include "upstream/balance.h"
#include "upstream/server_set.h"

#define WORKERS 2

/* Two workers and main, all on this thread: their boxes deliver when their loops turn. */
struct fixture {
    struct lt_shm *shm;
    struct lt_server_registry *registry;
    struct lt_metrics *metrics;
    struct lt_loop *loops[WORKERS], *main_loop;
    struct lt_mailbox *boxes[WORKERS], *main;
    struct lt_pools *pools[WORKERS];
    struct lt_upstream upstream;
    struct lt_upstream_state upstream_state;
    unsigned freed;
};

static void on_freed(void *owner)
{
    ((struct fixture *)owner)->freed++;
}

static struct lt_server_set *make(struct fixture *f, unsigned n, const char *const *addresses)
{
    const struct lt_server_set_env env = {
        .registry = f->registry, .metrics = f->metrics, .n_workers = WORKERS};
    struct lt_server_spec specs[4] = {{.weight = 0}};
    struct lt_server_set *set = NULL;
    const char *why;
    unsigned bad;
    for (unsigned i = 0; i < n; i++) {
        specs[i].weight = i + 1;
        assert_int_equal(lt_addr_parse(lt_str_c(addresses[i]), &specs[i].address, &why), LT_OK);
    }
    assert_int_equal(lt_server_set_new(&env, &f->upstream, specs, n, &set, &bad), LT_OK);
    return set;
}

static void publish(struct fixture *f, struct lt_server_set *set)
{
    const struct lt_server_set_readers readers = {
        .boxes = f->boxes, .n = WORKERS, .main = f->main, .on_freed = on_freed};
    lt_server_set_publish(&f->upstream, set, &readers);
}

static void turn(struct lt_loop *loop)
{
    ev_run(loop->ev, EVRUN_NOWAIT);
}

static const char *const two[] = {"10.0.0.1:80", "10.0.0.2:80"};
static const char *const other[] = {"10.0.0.2:80", "10.0.0.3:80"};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.shm = lt_shm_create(0);
    f.registry = lt_server_registry_new(f.shm, 1);
    f.metrics = lt_metrics_new(WORKERS, 10, 10);
    f.main_loop = lt_loop_new(0);
    f.main = lt_mailbox_new(f.main_loop, &f);
    f.upstream = (struct lt_upstream){.name = LT_STR("app"),
                                      .host = LT_STR("client"),
                                      .state = &f.upstream_state,
                                      .balance = {.half_life_us = 5000000}};
    for (unsigned i = 0; i < WORKERS; i++) {
        f.loops[i] = lt_loop_new(0);
        f.boxes[i] = lt_mailbox_new(f.loops[i], NULL);
        f.pools[i] = lt_pools_new(f.loops[i], NULL);
        lt_pools_set_worker(f.pools[i], i);
    }
    atomic_init(&f.upstream.set, make(&f, 2, two));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < WORKERS; i++) {
        lt_mailbox_free(f->boxes[i]);
        lt_pools_free(f->pools[i]);
        lt_loop_free(f->loops[i]);
    }
    lt_mailbox_free(f->main);
    lt_loop_free(f->main_loop);
    lt_server_set_free(lt_upstream_set(&f->upstream));
    lt_metrics_free(f->metrics);
    lt_server_registry_free(f->registry);
    lt_shm_close(f->shm);
    return 0;
}

static struct lt_server *pick(struct fixture *f, unsigned worker)
{
    struct lt_pick p = {.upstream = &f->upstream};
    assert_int_equal(lt_upstream_pick(f->pools[worker], &p), LT_PICK_OK);
    return p.server;
}

static void give_back(struct fixture *f, unsigned worker, struct lt_server *server)
{
    lt_server_release(f->pools[worker], server);
    lt_server_let_go(f->pools[worker], server);
}

static void turn_all(struct fixture *f)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        turn(f->loops[i]);
    }
    turn(f->main_loop);
}

static void a_set_that_nobody_holds_goes_when_all_have_seen_the_new_one(void **state)
{
    struct fixture *f = *state;
    publish(f, make(f, 2, other));
    turn(f->loops[0]);
    turn(f->main_loop);
    assert_int_equal(f->freed, 0); /* the second worker may have read the old one just now */
    turn(f->loops[1]);
    turn(f->main_loop);
    assert_int_equal(f->freed, 1);
}

static void a_held_server_keeps_its_set(void **state)
{
    struct fixture *f = *state;
    struct lt_server *held = pick(f, 0), *also = pick(f, 0);
    publish(f, make(f, 2, other));
    turn_all(f);
    assert_int_equal(f->freed, 0);
    assert_int_equal(held->state->users > 0, 1);
    give_back(f, 0, held);
    turn_all(f);
    assert_int_equal(f->freed, 0);
    assert_true(also->name.len > 0);
    give_back(f, 0, also);
    turn_all(f);
    assert_int_equal(f->freed, 1);
}

static void a_server_is_let_go_before_its_worker_is_told(void **state)
{
    struct fixture *f = *state;
    struct lt_server *held = pick(f, 1);
    publish(f, make(f, 2, other));
    give_back(f, 1, held);
    turn_all(f);
    assert_int_equal(f->freed, 1);
}

static void sets_follow_each_other_faster_than_workers_look(void **state)
{
    struct fixture *f = *state;
    struct lt_server *held = pick(f, 0);
    for (unsigned i = 0; i < 5; i++) {
        publish(f, make(f, i % 3, i % 2 == 0 ? other : two));
    }
    turn_all(f);
    assert_int_equal(f->freed, 4);
    give_back(f, 0, held);
    turn_all(f);
    assert_int_equal(f->freed, 5);
}

static void an_upstream_without_servers_gives_none(void **state)
{
    struct fixture *f = *state;
    publish(f, make(f, 0, NULL));
    struct lt_pick p = {.upstream = &f->upstream};
    assert_int_equal(lt_upstream_pick(f->pools[0], &p), LT_PICK_NONE);
}

static void what_is_known_of_a_server_outlives_its_set(void **state)
{
    struct fixture *f = *state;
    struct lt_server_state *known = lt_upstream_set(&f->upstream)->v[1].state;
    publish(f, make(f, 2, other));
    turn_all(f);
    assert_ptr_equal(lt_upstream_set(&f->upstream)->v[0].state, known);
    assert_int_equal(known->users, 1);
}

static void a_drained_server_is_not_picked(void **state)
{
    struct fixture *f = *state;
    struct lt_server_set *set = lt_upstream_set(&f->upstream);
    atomic_store(&set->v[0].state->admin_state, LT_SERVER_DRAIN);
    for (unsigned i = 0; i < 20; i++) {
        struct lt_server *s = pick(f, 0);
        assert_int_equal(s->index, 1);
        give_back(f, 0, s);
    }
    atomic_store(&set->v[1].state->admin_state, LT_SERVER_MAINTENANCE);
    struct lt_pick p = {.upstream = &f->upstream};
    assert_int_equal(lt_upstream_pick(f->pools[0], &p), LT_PICK_NONE);
}

static void a_swept_pool_lets_its_state_go(void **state)
{
    struct fixture *f = *state;
    struct lt_server *s = pick(f, 0);
    give_back(f, 0, s);
    uint32_t active, idle;
    lt_pools_count(f->pools[0], s->state->id, &active, &idle);
    assert_int_equal(active, 0);
    publish(f, make(f, 0, NULL));
    turn_all(f);
    assert_int_equal(f->freed, 1);
    lt_server_registry_mark(f->registry);
    for (unsigned i = 0; i < WORKERS; i++) {
        lt_pools_sweep(f->pools[i]);
    }
    assert_int_equal(lt_server_registry_reclaim(f->registry), 2);
}

static void without_memory_nothing_is_left_behind(void **state)
{
    struct fixture *f = *state;
    const struct lt_server_set_env env = {
        .registry = f->registry, .metrics = f->metrics, .n_workers = WORKERS};
    struct lt_server_spec spec = {.weight = 1, .host = LT_STR("app.internal")};
    struct lt_server_set *set = NULL;
    const char *why;
    unsigned bad, n = 0;
    enum lt_err err = LT_ERR_NOMEM;
    assert_int_equal(lt_addr_parse(LT_STR("10.0.0.9:80"), &spec.address, &why), LT_OK);
    while (err != LT_OK) {
        lt_mem_fail_at(++n);
        err = lt_server_set_new(&env, &f->upstream, &spec, 1, &set, &bad);
        lt_mem_fail_at(0);
        assert_true(err == LT_OK || err == LT_ERR_NOMEM);
    }
    assert_true(n > 2);
    lt_server_set_free(set);
}

static void hosts_follow_the_policy(void **state)
{
    struct fixture *f = *state;
    static const char *const plain[] = {"10.0.0.1:80", "10.0.0.1:8000", "[::1]:80", "unix:/a"};
    static const char *const hosts[] = {"10.0.0.1", "10.0.0.1:8000", "[::1]", "app"};
    f->upstream.host = LT_STR("upstream");
    struct lt_server_set *set = make(f, 4, plain);
    for (unsigned i = 0; i < 4; i++) {
        assert_str(set->v[i].host, hosts[i]);
    }
    lt_server_set_free(set);
    f->upstream.host = LT_STR("app.internal");
    set = make(f, 1, plain);
    assert_str(set->v[0].host, "app.internal");
    lt_server_set_free(set);
}

/* A worker's thread that picks, holds and lets go while main replaces the set again and again. */
struct busy {
    struct fixture *f;
    unsigned number;
    _Atomic(bool) stop;
};

static void *run_busy(void *arg)
{
    struct busy *b = arg;
    struct lt_server *held[8] = {NULL};
    for (unsigned i = 0; !atomic_load(&b->stop); i++) {
        struct lt_server **at = &held[i % 8];
        if (*at != NULL) {
            assert_true((*at)->name.len > 0);
            give_back(b->f, b->number, *at);
        }
        *at = pick(b->f, b->number);
        turn(b->f->loops[b->number]);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (held[i] != NULL) {
            give_back(b->f, b->number, held[i]);
        }
    }
    return NULL;
}

static void sets_are_replaced_under_threads(void **state)
{
    struct fixture *f = *state;
    struct busy busy[WORKERS];
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        busy[i] = (struct busy){.f = f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_busy, &busy[i]), 0);
    }
    for (unsigned i = 0; i < 300; i++) {
        publish(f, make(f, 1 + i % 2, i % 3 == 0 ? other : two));
        turn(f->main_loop);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        atomic_store(&busy[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    turn_all(f);
    assert_int_equal(f->freed, 300);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_set_that_nobody_holds_goes_when_all_have_seen_the_new_one),
        T(a_held_server_keeps_its_set),
        T(a_server_is_let_go_before_its_worker_is_told),
        T(sets_follow_each_other_faster_than_workers_look),
        T(an_upstream_without_servers_gives_none),
        T(what_is_known_of_a_server_outlives_its_set),
        T(a_drained_server_is_not_picked),
        T(a_swept_pool_lets_its_state_go),
        T(without_memory_nothing_is_left_behind),
        T(hosts_follow_the_policy),
        T(sets_are_replaced_under_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
