/* SPDX-License-Identifier: Apache-2.0 */
/* The queue under random arrivals, leaving clients and failing servers on several threads. A wait
 * that nobody ends is a lost wake-up: with servers that stay up the queue's own looking around is
 * switched off, so that it can't hide one.
 *
 * LINTEL_STRESS_SECONDS: how long each part runs; 2 if it isn't set. Build with
 * --enable-sanitizers=thread to have the memory orders looked at as well. */
#include "net_env.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/mailbox.h"
#include "upstream/connections.h"
#include "upstream/health.h"
#include "upstream/peers.h"
#include "upstream/queue.h"
#include "upstream/server_groups.h"

#define THREADS 4
#define CLIENTS 48 /* of each thread */
#define SERVERS 3
#define PLAYERS 2                 /* of rounds: threads that are to run at the same time */
#define LOST_US UINT64_C(5000000) /* a wait of this length was forgotten */

struct client {
    struct worker *worker;
    struct lt_waiter waiter;
    struct lt_pick pick;
    struct lt_timer timer;
    uint64_t asked_us;
    bool served, waits;
};

struct worker {
    struct lt_loop *loop;
    struct lt_pools *pools;
    struct lt_mailbox *box;
    pthread_t thread;
    struct lt_timer watch;
    struct client clients[CLIENTS];
    unsigned active; /* clients that haven't ended */
    uint64_t n_served, n_waited, n_left, n_failed, n_alone;
};

static struct {
    struct lt_upstream_state state;
    struct lt_upstream upstream;
    struct lt_arena arena;
    struct lt_server_set set;
    struct lt_server servers[SERVERS];
    struct lt_server_state states[SERVERS];
    _Atomic(uint64_t) words[SERVERS];
    _Atomic(uint32_t) at[SERVERS]; /* exchanges as the server sees them */
    _Atomic(uint64_t) down_until_us[SERVERS];
    struct lt_peers peers;
    struct worker workers[THREADS];
    uint32_t most; /* that a server takes at once */
    bool capped;   /* by its max_connections, else by its max */
    bool failing;
    bool classes; /* more and less urgent ones; not where those starve who are less so */
    uint64_t end_us;
    _Atomic(uint32_t) lost, over_max;
    _Atomic(uint32_t)
        done; /* workers without clients; they go on: rights may be on their way to them */
    _Atomic(uint32_t) finished, last_round; /* of rounds: exchanges, and the one to end with */
} t;

static unsigned below(struct client *c, unsigned n)
{
    return lt_rand_below(&c->worker->loop->rand, n);
}

static void pause_client(struct client *c, unsigned most_ms)
{
    lt_timer_set(&c->timer, below(c, most_ms + 1));
}

static void come(struct client *c);

static void go(struct client *c)
{
    atomic_fetch_sub(&t.at[c->pick.server->index], 1);
    c->served = false;
    if (t.capped) {
        lt_connections_give(lt_pool_get(c->worker->pools, c->pick.server->state));
    }
    lt_server_release(c->worker->pools, c->pick.server);
}

/* The server that was picked has a connection for c, or c lets go of it. */
static bool connects(struct client *c)
{
    struct lt_pools *pools = c->worker->pools;
    struct lt_server *server = c->pick.server;
    if (!t.capped || lt_connections_take(lt_pool_get(pools, server->state), server)) {
        return true;
    }
    lt_server_release(pools, server);
    c->waiter.full = true;
    c->worker->n_failed++;
    return false;
}

static void finish(struct client *c)
{
    memset(&c->waiter, 0, sizeof(c->waiter));
    memset(&c->pick, 0, sizeof(c->pick));
    if (c->worker->loop->now_us >= t.end_us) {
        if (--c->worker->active == 0) {
            atomic_fetch_add(&t.done, 1);
        }
        return;
    }
    pause_client(c, 2);
}

/* A server that is down fails each try; one that is up some of them, without being down for it. */
static void use(struct client *c)
{
    struct lt_server *server = c->pick.server;
    struct lt_pools *pools = c->worker->pools;
    if (!connects(c)) {
        come(c);
        return;
    }
    c->served = true;
    c->waits = false;
    c->worker->n_served++;
    if (atomic_fetch_add(&t.at[server->index], 1) >= t.most) {
        atomic_fetch_add(&t.over_max, 1);
    }
    bool down = atomic_load(&t.down_until_us[server->index]) > pools->loop->now_us;
    if (!down && below(c, 20) > 0) {
        lt_server_connect_result(pools, server, true);
        lt_queue_reached(pools, &c->waiter);
        pause_client(c, 2);
        return;
    }
    c->worker->n_failed++;
    if (down) {
        lt_server_connect_result(pools, server, false);
        (void)lt_queue_refused(pools, server);
    }
    go(c);
    lt_pick_tried(&c->pick, server);
    come(c);
}

static void ended(struct client *c, enum lt_wait how)
{
    if (how == LT_WAIT_SERVED) {
        use(c);
        return;
    }
    c->waits = false;
    c->worker->n_alone++;
    finish(c);
}

static void on_end(struct lt_waiter *w, enum lt_wait how)
{
    ended(lt_container_of(w, struct client, waiter), how);
}

static void come(struct client *c)
{
    enum lt_wait how = lt_queue_pick(c->worker->pools, &c->waiter);
    if (how != LT_WAIT_ON) {
        ended(c, how);
        return;
    }
    c->waits = true;
    c->asked_us = c->worker->loop->now_us;
    c->worker->n_waited++;
    if (below(c, 8) == 0) {
        pause_client(c, 3); /* it won't be that patient */
    }
}

static void on_timer(void *arg)
{
    struct client *c = arg;
    if (c->served) {
        go(c);
        finish(c);
    } else if (c->waits) {
        lt_queue_leave(&c->waiter);
        c->waits = false;
        c->worker->n_left++;
        finish(c);
    } else if (c->worker->loop->now_us >= t.end_us) {
        finish(c);
    } else {
        c->waiter = (struct lt_waiter){.pick = &c->pick, .on_end = on_end};
        c->pick.upstream = &t.upstream;
        c->pick.priority = t.classes ? (int)below(c, 3) - 1 : LT_PRIORITY_NORMAL;
        come(c);
    }
}

static void on_watch(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->waits && w->loop->now_us > c->asked_us + LOST_US) {
            atomic_fetch_add(&t.lost, 1);
            lt_queue_leave(&c->waiter);
            c->waits = false;
            finish(c);
        }
    }
    unsigned server = lt_rand_below(&w->loop->rand, SERVERS);
    if (t.failing && lt_rand_below(&w->loop->rand, 4) == 0) {
        atomic_store(&t.down_until_us[server],
                     w->loop->now_us + lt_rand_below(&w->loop->rand, 60000));
    }
    if (atomic_load(&t.done) == THREADS) {
        lt_loop_stop(w->loop);
        return;
    }
    lt_timer_set(&w->watch, 20);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    lt_loop_update_time(w->loop);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pause_client(&w->clients[i], 5);
    }
    lt_timer_set(&w->watch, 20);
    lt_loop_run(w->loop);
    return NULL;
}

static void make_worker(struct worker *w, unsigned number, uint64_t look_us)
{
    w->loop = lt_loop_new(1 << 20);
    assert_non_null(w->loop);
    w->pools = lt_pools_new(w->loop, NULL);
    w->box = lt_mailbox_new(w->loop, w);
    assert_true(w->pools != NULL && w->box != NULL);
    t.peers.v[number].box = w->box;
    t.peers.v[number].pools = w->pools;
    lt_pools_set_worker(w->pools, number);
    lt_pools_set_peers(w->pools, &t.peers);
    w->pools->look_us = look_us;
    w->active = CLIENTS;
    lt_timer_init(&w->watch, w->loop, on_watch, w);
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->clients[i].worker = w;
        lt_timer_init(&w->clients[i].timer, w->loop, on_timer, &w->clients[i]);
    }
}

static void free_worker(struct worker *w)
{
    lt_pools_close(w->pools);
    lt_mailbox_free(w->box);
    lt_pools_free(w->pools);
    lt_timer_fini(&w->watch);
    for (unsigned i = 0; i < CLIENTS; i++) {
        lt_timer_fini(&w->clients[i].timer);
    }
    lt_loop_free(w->loop);
}

static uint64_t seconds(void)
{
    const char *text = getenv("LINTEL_STRESS_SECONDS");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 0;
    return n > 0 ? n : 2;
}

static void make(unsigned n_servers, bool capped, unsigned most, uint64_t look_us)
{
    memset(&t, 0, sizeof(t));
    t.most = most;
    t.capped = capped;
    t.upstream = (struct lt_upstream){.name = LT_STR("app"),
                                      .set = &t.set,
                                      .state = &t.state,
                                      .balance = {.half_life_us = 5000000},
                                      .queue = {.size = 1000000,
                                                .wait_us = 3600000000,
                                                .restart_us = 3600000000,
                                                .target_us = 3600000000,
                                                .interval_us = 3600000000}};
    t.set = (struct lt_server_set){.v = t.servers, .n = n_servers};
    for (unsigned i = 0; i < n_servers; i++) {
        t.states[i].id = i;
        t.states[i].users = 1;
        t.states[i].inflight = &t.words[i];
        t.servers[i] = (struct lt_server){.upstream = &t.upstream,
                                          .weight = 1,
                                          .index = i,
                                          .max = capped ? 0 : most,
                                          .max_connections = capped ? most : 0,
                                          .state = &t.states[i]};
    }
    lt_arena_init(&t.arena, NULL, 0, (size_t)16 << 20);
    assert_int_equal(lt_server_groups_new(&t.arena, &t.upstream, &t.set, &t.set.groups), LT_OK);
    t.peers.n = THREADS;
    t.end_us = lt_clock_us() + seconds() * 1000000;
    for (unsigned i = 0; i < THREADS; i++) {
        make_worker(&t.workers[i], i, look_us);
    }
}

static void start_and_join(void *(*fn)(void *))
{
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&t.workers[i].thread, NULL, fn, &t.workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t.workers[i].thread, NULL), 0);
    }
}

static void free_and_check(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        free_worker(&t.workers[i]);
    }
    lt_arena_fini(&t.arena);
    assert_int_equal(t.lost, 0);
    assert_int_equal(t.over_max, 0);
    assert_int_equal(t.state.waiting.n, 0);
    assert_int_equal(lt_waiting_first(&t.state.waiting, LT_WORKERS_MAX), -1);
    for (unsigned i = 0; i < t.set.n; i++) {
        assert_int_equal(lt_server_inflight(&t.states[i]), 0);
        assert_int_equal(t.states[i].connections, 0);
        assert_int_equal(t.states[i].users, 1);
    }
}

static void stress(bool capped, unsigned most, bool classes, bool failing, uint64_t look_us)
{
    uint64_t served = 0, waited = 0, left = 0, failed = 0, alone = 0;
    make(SERVERS, capped, most, look_us);
    t.failing = failing;
    t.classes = classes;
    start_and_join(run);
    for (unsigned i = 0; i < THREADS; i++) {
        const struct worker *w = &t.workers[i];
        served += w->n_served;
        waited += w->n_waited;
        left += w->n_left;
        failed += w->n_failed;
        alone += w->n_alone;
    }
    print_message("%u at once: %llu served, %llu waited, %llu left, %llu failed, %llu alone\n",
                  most, (unsigned long long)served, (unsigned long long)waited,
                  (unsigned long long)left, (unsigned long long)failed, (unsigned long long)alone);
    assert_true(waited > 100 && left > 10 && failed > 10);
    free_and_check();
}

/* ---- rounds: one exchange of each worker, all at once, and nobody after them ---- */

static void on_round_end(struct lt_waiter *w, enum lt_wait how)
{
    struct client *c = lt_container_of(w, struct client, waiter);
    c->served = how == LT_WAIT_SERVED;
}

static void play(struct client *c)
{
    struct worker *w = c->worker;
    uint64_t end = lt_clock_us() + LOST_US;
    c->waiter = (struct lt_waiter){.pick = &c->pick, .on_end = on_round_end};
    c->pick = (struct lt_pick){.upstream = &t.upstream};
    do {
        enum lt_wait how = lt_queue_pick(w->pools, &c->waiter);
        c->served = how == LT_WAIT_SERVED;
        w->n_waited += how == LT_WAIT_ON;
        while (!c->served && lt_clock_us() < end) {
            one_turn(w->loop);
        }
    } while (c->served && !connects(c));
    if (!c->served) {
        lt_queue_leave(&c->waiter);
        atomic_fetch_add(&t.lost, 1);
        return;
    }
    w->n_served++;
    if (atomic_fetch_add(&t.at[0], 1) > 0) {
        atomic_fetch_add(&t.over_max, 1);
    }
    for (volatile unsigned busy = below(c, 2000); busy > 0; busy--) {
    }
    go(c);
}

static void *run_rounds(void *arg)
{
    struct worker *w = arg;
    bool leads = w == &t.workers[0];
    if (w >= &t.workers[PLAYERS]) {
        return NULL;
    }
    lt_loop_update_time(w->loop);
    for (unsigned round = 1;; round++) {
        for (volatile unsigned busy = below(&w->clients[0], 1000); busy > 0; busy--) {
        }
        play(&w->clients[0]);
        if (leads && (lt_clock_us() >= t.end_us || atomic_load(&t.lost) > 0)) {
            atomic_store(&t.last_round, round);
        }
        atomic_fetch_add(&t.finished, 1);
        for (unsigned i = 0; atomic_load(&t.finished) < round * PLAYERS; i++) {
            if (i % 64 == 63) {
                one_turn(w->loop); /* a seat may come for who isn't there any more */
                sched_yield();
            }
        }
        if (atomic_load(&t.last_round) == round) {
            return NULL;
        }
    }
}

/* With traffic that goes on, the next exchange makes good for a wake-up that was lost. Here nobody
 * comes who could. */
static void rounds(bool capped)
{
    uint64_t waited = 0;
    make(1, capped, 1, 3600000000);
    start_and_join(run_rounds);
    for (unsigned i = 0; i < THREADS; i++) {
        waited += t.workers[i].n_waited;
    }
    print_message("%u rounds, %llu waited\n", t.last_round, (unsigned long long)waited);
    free_and_check();
}

static void no_wake_up_is_lost_when_nobody_comes_after(void **state)
{
    (void)state;
    rounds(false);
}

static void no_connection_is_lost_when_nobody_comes_after(void **state)
{
    (void)state;
    rounds(true);
}

static void no_connection_is_lost_while_many_wait(void **state)
{
    (void)state;
    stress(true, 2, false, false, 3600000000);
}

static void no_wake_up_is_lost_with_one_seat_each(void **state)
{
    (void)state;
    stress(false, 1, false, false, 3600000000);
}

static void no_wake_up_is_lost_when_few_wait(void **state)
{
    (void)state;
    stress(false, THREADS * CLIENTS / SERVERS / 2, true, false, 3600000000);
}

static void servers_that_fail_lose_nobody(void **state)
{
    (void)state;
    stress(false, 2, false, true, 250000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_when_nobody_comes_after),
        cmocka_unit_test(no_connection_is_lost_when_nobody_comes_after),
        cmocka_unit_test(no_connection_is_lost_while_many_wait),
        cmocka_unit_test(no_wake_up_is_lost_with_one_seat_each),
        cmocka_unit_test(no_wake_up_is_lost_when_few_wait),
        cmocka_unit_test(servers_that_fail_lose_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
