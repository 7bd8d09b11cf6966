/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include <errno.h>

#include "base/mem.h"
#include "net/mailbox.h"
#include "shared/shm.h"
#include "upstream/health.h"
#include "upstream/peers.h"
#include "upstream/queue.h"
#include "upstream/seat.h"
#include "upstream/server_groups.h"

#define SERVERS 3
#define WAITERS 40
#define FIRST_AGE_US UINT64_C(1000) /* waiters that come one after the other differ by that */

struct client {
    struct lt_waiter waiter;
    struct lt_pick pick;
    enum lt_wait how;    /* what asking gave, then how the wait ended */
    struct lt_pools *at; /* whose worker it is */
};

struct fixture {
    struct lt_loop *loop;
    struct lt_pools *pools;
    struct lt_upstream_state state;
    struct lt_upstream upstream;
    struct lt_arena arena;
    struct lt_server_set set;
    struct lt_server servers[SERVERS];
    struct lt_server_state states[SERVERS];
    _Atomic(uint64_t) words[SERVERS];
    struct client clients[WAITERS];
};

static struct client *order[WAITERS]; /* whose waits ended, in order */
static unsigned n_order;

static void on_end(struct lt_waiter *w, enum lt_wait how)
{
    struct client *c = lt_container_of(w, struct client, waiter);
    c->how = how;
    order[n_order++] = c;
}

static void use_servers(struct fixture *f, unsigned n)
{
    f->set.n = n;
    assert_int_equal(lt_server_groups_new(&f->arena, &f->upstream, &f->set, &f->set.groups), LT_OK);
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    n_order = 0;
    f.loop = lt_loop_new(1 << 20);
    f.pools = lt_pools_new(f.loop, NULL);
    f.pools->look_us = 3600000000; /* no wake-up may come from looking around */
    f.upstream = (struct lt_upstream){.name = LT_STR("app"),
                                      .set = &f.set,
                                      .state = &f.state,
                                      .balance = {.half_life_us = 5000000},
                                      .queue = {.size = 20,
                                                .wait_us = 3600000000,
                                                .restart_us = 3600000000,
                                                .target_us = 3600000000,
                                                .interval_us = 3600000000}};
    f.set = (struct lt_server_set){.v = f.servers, .n = SERVERS};
    lt_arena_init(&f.arena, NULL, 0, (size_t)16 << 20);
    for (unsigned i = 0; i < SERVERS; i++) {
        f.states[i].id = i;
        f.states[i].users = 1;
        f.states[i].inflight = &f.words[i];
        f.servers[i] = (struct lt_server){.upstream = &f.upstream,
                                          .name = LT_STR("one"),
                                          .weight = 1,
                                          .index = i,
                                          .max = 1,
                                          .state = &f.states[i]};
    }
    use_servers(&f, 1);
    for (unsigned i = 0; i < WAITERS; i++) {
        f.clients[i].waiter.pick = &f.clients[i].pick;
        f.clients[i].waiter.on_end = on_end;
        f.clients[i].pick.upstream = &f.upstream;
        f.clients[i].at = f.pools;
    }
    *state = &f;
    return f.loop != NULL && f.pools != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < WAITERS; i++) {
        lt_queue_leave(&f->clients[i].waiter);
        if (f->clients[i].how == LT_WAIT_SERVED) {
            lt_server_release(f->clients[i].at, f->clients[i].pick.server);
        }
    }
    one_turn(f->loop);
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_int_equal(lt_server_inflight(&f->states[i]), 0);
        assert_int_equal(f->states[i].users, 1);
    }
    assert_int_equal(f->state.waiting.n, 0);
    assert_int_equal(lt_waiting_first(&f->state.waiting, LT_WORKERS_MAX), -1);
    lt_pools_free(f->pools);
    lt_loop_free(f->loop);
    lt_arena_fini(&f->arena);
    return 0;
}

static enum lt_wait come(struct fixture *f, unsigned i)
{
    f->loop->now_us += FIRST_AGE_US;
    f->clients[i].how = lt_queue_pick(f->clients[i].at, &f->clients[i].waiter);
    return f->clients[i].how;
}

static void go(struct fixture *f, unsigned i)
{
    assert_int_equal(f->clients[i].how, LT_WAIT_SERVED);
    f->clients[i].how = LT_WAIT_NONE;
    lt_server_release(f->clients[i].at, f->clients[i].pick.server);
    one_turn(f->loop);
}

static void come_all(struct fixture *f, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        assert_int_equal(come(f, i), LT_WAIT_ON);
    }
}

static void seats_go_to_waiters_in_order(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 10);
    assert_int_equal(f->state.waiting.n, 9);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(n_order, i);
        go(f, i);
        assert_int_equal(lt_server_inflight(&f->states[0]), 1);
        assert_ptr_equal(order[i], &f->clients[i + 1]);
    }
    go(f, 9);
    assert_int_equal(lt_server_inflight(&f->states[0]), 0);
}

static void higher_classes_come_first(void **state)
{
    struct fixture *f = *state;
    static const int classes[] = {0, 1, 0, -1, 1, -1, 0};
    static const unsigned expected[] = {3, 5, 0, 2, 6, 1, 4};
    assert_int_equal(come(f, 20), LT_WAIT_SERVED);
    for (unsigned i = 0; i < 7; i++) {
        f->clients[i].pick.priority = classes[i];
        assert_int_equal(come(f, i), LT_WAIT_ON);
    }
    go(f, 20);
    for (unsigned i = 0; i < 6; i++) {
        assert_ptr_equal(order[i], &f->clients[expected[i]]);
        go(f, expected[i]);
    }
    assert_ptr_equal(order[6], &f->clients[4]);
}

static void who_leaves_is_passed_over(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 4);
    lt_queue_leave(&f->clients[1].waiter);
    assert_int_equal(f->state.waiting.n, 2);
    /* The seat is on its way already when the next leaves too. */
    f->clients[0].how = LT_WAIT_NONE;
    lt_server_release(f->pools, &f->servers[0]);
    lt_queue_leave(&f->clients[2].waiter);
    one_turn(f->loop);
    assert_int_equal(f->clients[3].how, LT_WAIT_SERVED);
    assert_int_equal(lt_server_inflight(&f->states[0]), 1);
    /* And when nobody is left at all. */
    come_all(f, 4, 5);
    f->clients[3].how = LT_WAIT_NONE;
    lt_server_release(f->pools, &f->servers[0]);
    lt_queue_leave(&f->clients[4].waiter);
    one_turn(f->loop);
    assert_int_equal(lt_server_inflight(&f->states[0]), 0);
}

static void a_full_queue_refuses_unless_less_urgent_ones_make_room(void **state)
{
    struct fixture *f = *state;
    f->upstream.queue.size = 3;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    f->clients[2].pick.priority = f->clients[3].pick.priority = LT_PRIORITY_LOW;
    come_all(f, 1, 4);
    f->clients[4].pick.priority = LT_PRIORITY_LOW;
    assert_int_equal(come(f, 4), LT_WAIT_FULL);
    assert_int_equal(come(f, 5), LT_WAIT_ON);
    f->clients[6].pick.priority = LT_PRIORITY_HIGH;
    assert_int_equal(come(f, 6), LT_WAIT_ON);
    assert_int_equal(f->state.waiting.n, 3);
    assert_int_equal(n_order, 0);
    lt_queue_leave(&f->clients[2].waiter); /* it had to make room, and left before it was told */
    one_turn(f->loop);
    assert_int_equal(n_order, 1);
    assert_ptr_equal(order[0], &f->clients[3]);
    assert_int_equal(f->clients[3].how, LT_WAIT_FULL);
    f->clients[7].pick.priority = LT_PRIORITY_HIGH;
    assert_int_equal(come(f, 7), LT_WAIT_ON);
    assert_int_equal(come(f, 8), LT_WAIT_FULL);
}

static void newcomers_do_not_overtake(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 3);
    f->clients[0].how = LT_WAIT_NONE;
    lt_server_release(f->pools, &f->servers[0]); /* the seat is on its way */
    assert_int_equal(come(f, 3), LT_WAIT_ON);
    one_turn(f->loop);
    assert_int_equal(f->clients[1].how, LT_WAIT_SERVED);
}

static void nobody_waits_without_a_queue(void **state)
{
    struct fixture *f = *state;
    f->upstream.queue.size = 0;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    assert_int_equal(come(f, 1), LT_WAIT_BUSY);
    f->state.paused = true;
    assert_int_equal(come(f, 1), LT_WAIT_PAUSED);
}

static void without_memory_nobody_waits(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 1; n < 10; n++) {
        lt_mem_fail_at(n);
        enum lt_wait how = come(f, 0);
        lt_mem_fail_at(0);
        if (how == LT_WAIT_SERVED) {
            break;
        }
        assert_true(how == LT_WAIT_FULL || how == LT_WAIT_ALONE);
        assert_int_equal(lt_server_inflight(&f->states[0]), 0);
    }
}

static void waits_end(void **state)
{
    struct fixture *f = *state;
    f->upstream.queue.wait_us = 60000;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 3);
    RUN_UNTIL(f->loop, n_order == 2);
    assert_int_equal(f->clients[1].how, LT_WAIT_LATE);
    assert_int_equal(f->clients[2].how, LT_WAIT_LATE);
    assert_true(f->loop->now_us - f->clients[2].waiter.since_us >= 60000);
}

static void waits_of_each_class_end_in_their_time(void **state)
{
    struct fixture *f = *state;
    struct lt_upstream dropped;
    memcpy(&dropped, &f->upstream, sizeof(dropped)); /* as an older configuration has it */
    dropped.queue.wait_us = 20000;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 2);
    f->clients[2].pick.upstream = &dropped;
    f->clients[2].pick.priority = LT_PRIORITY_HIGH;
    come_all(f, 2, 3);
    RUN_UNTIL(f->loop, n_order == 1);
    assert_int_equal(f->clients[2].how, LT_WAIT_LATE);
}

static void a_queue_that_only_grows_serves_the_youngest(void **state)
{
    struct fixture *f = *state;
    f->pools->look_us = 10000;
    f->upstream.queue.target_us = 1000000;
    f->upstream.queue.interval_us = 300000;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 4);
    run_for(f->loop, 700);
    lt_loop_update_time(f->loop);
    come_all(f, 4, 7);
    run_for(f->loop, 350);
    assert_int_equal(n_order, 0); /* too long, but not for long */
    RUN_UNTIL(f->loop, n_order >= 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(order[i], &f->clients[i + 1]);
        assert_int_equal(order[i]->how, LT_WAIT_OVERLOAD);
    }
    go(f, 0);
    assert_ptr_equal(order[3], &f->clients[6]);
    assert_int_equal(order[3]->how, LT_WAIT_SERVED);
    /* Once the oldest is young enough it is their turn again. */
    lt_queue_leave(&f->clients[4].waiter);
    lt_queue_leave(&f->clients[5].waiter);
    lt_loop_update_time(f->loop);
    come_all(f, 7, 10);
    go(f, 6);
    assert_ptr_equal(order[4], &f->clients[7]);
}

static void time_on_hold_is_no_overload(void **state)
{
    struct fixture *f = *state;
    f->pools->look_us = 10000;
    f->upstream.queue.target_us = 50000;
    f->upstream.queue.interval_us = 20000;
    f->state.paused = true;
    come_all(f, 0, 4);
    run_for(f->loop, 150);
    assert_int_equal(n_order, 0);
    f->state.paused = false;
    RUN_UNTIL(f->loop, n_order == 1);
    assert_ptr_equal(order[0], &f->clients[0]);
    assert_int_equal(order[0]->how, LT_WAIT_SERVED);
}

/* What an exchange does that is refused. */
static void refuse(struct fixture *f, unsigned i)
{
    struct client *c = &f->clients[i];
    assert_int_equal(c->how, LT_WAIT_SERVED);
    lt_server_connect_result(f->pools, c->pick.server, false);
    assert_true(lt_queue_refused(f->pools, c->pick.server));
    lt_server_release(f->pools, c->pick.server);
    lt_pick_tried(&c->pick, c->pick.server);
    c->how = lt_queue_pick(f->pools, &c->waiter);
}

static void servers_that_restart_are_waited_for(void **state)
{
    struct fixture *f = *state;
    f->pools->look_us = 20000;
    use_servers(f, 2);
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    refuse(f, 0);
    assert_int_equal(f->clients[0].how, LT_WAIT_SERVED); /* by the other one */
    refuse(f, 0);
    come_all(f, 1, 5);
    assert_int_equal(f->clients[0].how, LT_WAIT_ON);
    /* Each server gets one of them every now and then, and no more. */
    for (unsigned k = 0; k < 4; k++) {
        n_order = 0;
        unsigned turns = ev_iteration(f->loop->ev);
        RUN_UNTIL(f->loop, n_order == 2);
        assert_true(ev_iteration(f->loop->ev) - turns < 150);
        assert_ptr_equal(order[0], &f->clients[0]);
        assert_ptr_equal(order[1], &f->clients[1]);
        assert_ptr_not_equal(order[0]->pick.server, order[1]->pick.server);
        assert_int_equal(f->state.waiting.n, 3);
        refuse(f, 0);
        refuse(f, 1);
    }
    /* The first that gets in opens the way for the others. */
    n_order = 0;
    RUN_UNTIL(f->loop, n_order == 2);
    struct lt_server *back = f->clients[0].pick.server;
    lt_server_connect_result(f->pools, back, true);
    lt_queue_reached(f->pools, &f->clients[0].waiter);
    refuse(f, 1);
    for (unsigned i = 1; i < 5; i++) {
        n_order = 0;
        go(f, i - 1);
        RUN_UNTIL(f->loop, n_order == 1);
        assert_ptr_equal(order[0], &f->clients[i]);
        assert_ptr_equal(order[0]->pick.server, back);
        lt_server_connect_result(f->pools, back, true);
        lt_queue_reached(f->pools, &f->clients[i].waiter);
    }
}

static void names_that_are_not_answered_yet_are_waited_for(void **state)
{
    struct fixture *f = *state;
    char text[512];
    struct lt_buf out;
    f->pools->look_us = 10000;
    use_servers(f, 0);
    f->upstream.queue.restart_us = 50000;
    assert_int_equal(come(f, 0), LT_WAIT_ALONE); /* it has no names */
    f->upstream.dns_names = LT_STR("dns:app.internal:80");
    assert_int_equal(come(f, 0), LT_WAIT_ALONE); /* it is sure that they have none */
    f->state.dns_since_us = f->loop->now_us;
    assert_int_equal(come(f, 0), LT_WAIT_ON);
    lt_buf_init_fixed(&out, text, sizeof(text));
    lt_queue_describe(f->pools, &f->upstream, &out);
    assert_true(lt_str_find(lt_buf_view(&out),
                            LT_STR("no address of dns:app.internal:80 is known")) != SIZE_MAX);
    RUN_UNTIL(f->loop, n_order == 1); /* nobody has answered for too long */
    assert_int_equal(f->clients[0].how, LT_WAIT_ALONE);
    assert_true(f->loop->now_us >= f->state.dns_since_us + 50000);
    f->upstream.queue.restart_us = 3600000000;
    assert_int_equal(come(f, 1), LT_WAIT_ON);
    use_servers(f, 1);
    lt_queues_look(f->pools);
    RUN_UNTIL(f->loop, n_order == 2);
    assert_ptr_equal(order[1], &f->clients[1]);
    assert_int_equal(f->clients[1].how, LT_WAIT_SERVED);
}

static void nobody_waits_for_servers_that_are_gone(void **state)
{
    struct fixture *f = *state;
    f->pools->look_us = 10000;
    f->upstream.queue.restart_us = 50000;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    refuse(f, 0);
    come_all(f, 1, 3);
    for (unsigned alone = 0; alone < 3;) {
        n_order = 0;
        RUN_UNTIL(f->loop, n_order > 0);
        for (unsigned i = 0; i < n_order; i++) {
            struct client *c = order[i];
            while (c->how == LT_WAIT_SERVED) { /* refused; asks again */
                lt_server_connect_result(f->pools, c->pick.server, false);
                (void)lt_queue_refused(f->pools, c->pick.server);
                lt_server_release(f->pools, c->pick.server);
                lt_pick_tried(&c->pick, c->pick.server);
                c->how = lt_queue_pick(f->pools, &c->waiter);
            }
            alone += c->how == LT_WAIT_ALONE;
        }
    }
    f->clients[0].pick.n_tried = 0;
    assert_int_equal(lt_queue_alone(f->pools, &f->clients[0].waiter), LT_WAIT_SERVED);
    f->clients[0].how = LT_WAIT_SERVED;
    assert_false(lt_queue_refused(f->pools, &f->servers[0]));
}

static void a_server_that_let_somebody_in_may_restart_again(void **state)
{
    struct fixture *f = *state;
    use_servers(f, 2);
    f->upstream.queue.restart_us = 1000000;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    struct lt_server *old = f->clients[0].pick.server, *other = &f->servers[1 - old->index];
    assert_true(lt_queue_refused(f->pools, old));
    f->loop->now_us += 2000000;
    lt_server_connect_result(f->pools, old, false);
    lt_server_connect_result(f->pools, other, false);
    assert_false(lt_queue_refused(f->pools, old)); /* for too long by now, and nothing else is up */
    assert_true(lt_queue_refused(f->pools, other));
    assert_true(lt_queue_refused(f->pools, old)); /* the other one is worth waiting for */
    lt_queue_reached(f->pools, &f->clients[0].waiter);
    assert_int_equal(old->state->refused_since_us, 0);
    f->loop->now_us += 2000000;
    assert_true(lt_queue_refused(f->pools, old));
}

static void a_wait_for_a_restart_ends_with_a_last_try(void **state)
{
    struct fixture *f = *state;
    f->upstream.queue.wait_us = 50000;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    lt_server_connect_result(f->pools, &f->servers[0], false);
    assert_true(lt_queue_refused(f->pools, &f->servers[0]));
    f->pools->look_us = 20000;
    f->clients[0].how = LT_WAIT_NONE;
    lt_server_release(f->pools, &f->servers[0]);
    assert_int_equal(come(f, 1), LT_WAIT_ON);
    for (;;) {
        n_order = 0;
        RUN_UNTIL(f->loop, n_order == 1);
        if (f->clients[1].how == LT_WAIT_ALONE) {
            break;
        }
        refuse(f, 1);
    }
    assert_true(f->loop->now_us - f->clients[1].waiter.since_us >= 50000);
    assert_int_equal(lt_queue_pick(f->pools, &f->clients[1].waiter), LT_WAIT_SERVED);
    f->clients[1].how = LT_WAIT_SERVED;
}

static void full_connections_let_one_in_for_each_that_ends(void **state)
{
    struct fixture *f = *state;
    f->servers[0].max = 0;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(come(f, i), LT_WAIT_SERVED);
    }
    for (unsigned i = 2; i < 5; i++) {
        struct client *c = &f->clients[i];
        if (come(f, i) == LT_WAIT_SERVED) {
            lt_server_release(f->pools, c->pick.server);
            lt_pick_tried(&c->pick, c->pick.server);
            c->waiter.full = true;
            c->how = lt_queue_pick(f->pools, &c->waiter);
        }
        assert_int_equal(c->how, LT_WAIT_ON);
    }
    one_turn(f->loop);
    n_order = 0;
    while (f->clients[2].how == LT_WAIT_SERVED) { /* who came last made a try of its own */
        one_turn(f->loop);
    }
    go(f, 0);
    RUN_UNTIL(f->loop, n_order == 1);
    assert_ptr_equal(order[0], &f->clients[2]);
    one_turn(f->loop);
    assert_int_equal(n_order, 1);
    lt_queue_reached(f->pools, &f->clients[2].waiter);
    RUN_UNTIL(f->loop, n_order == 2);
    assert_ptr_equal(order[1], &f->clients[3]);
}

static void a_seat_that_is_for_nobody_is_given_up(void **state)
{
    struct fixture *f = *state;
    use_servers(f, 2);
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    assert_int_equal(come(f, 1), LT_WAIT_SERVED);
    come_all(f, 2, 4);
    unsigned down = f->clients[0].pick.server->index;
    lt_server_connect_result(f->pools, f->clients[0].pick.server, false);
    go(f, 0);
    assert_int_equal(n_order, 0);
    assert_int_equal(lt_server_inflight(&f->states[down]), 0);
    go(f, 1);
    assert_ptr_equal(order[0], &f->clients[2]);
}

static void a_backup_serves_nobody_once_the_others_are_back(void **state)
{
    struct fixture *f = *state;
    f->servers[1].backup = true;
    use_servers(f, 2);
    f->states[0].admin_state = LT_SERVER_DRAIN;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    assert_ptr_equal(f->clients[0].pick.server, &f->servers[1]);
    come_all(f, 1, 3);
    f->states[0].admin_state = LT_SERVER_READY;
    go(f, 0);
    assert_ptr_equal(order[0], &f->clients[1]);
    assert_ptr_equal(f->clients[1].pick.server, &f->servers[0]);
    assert_int_equal(n_order, 1);
    assert_int_equal(lt_server_inflight(&f->states[1]), 0);
    go(f, 1);
    assert_ptr_equal(f->clients[2].pick.server, &f->servers[0]);
}

static void a_backup_serves_whom_the_others_failed(void **state)
{
    struct fixture *f = *state;
    f->servers[1].backup = true;
    use_servers(f, 2);
    lt_pick_tried(&f->clients[0].pick, &f->servers[0]);
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    assert_ptr_equal(f->clients[0].pick.server, &f->servers[1]);
    lt_pick_tried(&f->clients[1].pick, &f->servers[0]);
    come_all(f, 1, 2);
    go(f, 0);
    assert_ptr_equal(f->clients[1].pick.server, &f->servers[1]);
}

static void a_seat_brings_a_cookie_to_who_has_none_that_is_valid(void **state)
{
    struct fixture *f = *state;
    f->upstream.balance.sticky.enabled = true;
    use_servers(f, 1);
    struct lt_str token = lt_sticky_token(f->set.groups->sticky, 0);
    f->clients[1].pick.sticky = LT_STR("00000000000000000000000000000000");
    f->clients[2].pick.sticky = token;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 4);
    for (unsigned i = 0; i < 3; i++) {
        go(f, i);
        assert_int_equal(f->clients[i + 1].pick.strange, i + 1 != 2);
    }
}

static void nobody_goes_while_it_is_paused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 3);
    f->state.paused = true;
    go(f, 0);
    assert_int_equal(n_order, 0);
    assert_int_equal(lt_server_inflight(&f->states[0]), 0);
    f->clients[5].waiter.since_us = 1;
    f->upstream.queue.wait_us = 1;
    assert_int_equal(come(f, 5), LT_WAIT_LATE);
    f->upstream.queue.wait_us = 3600000000;
    f->state.paused = false;
    lt_queues_look(f->pools);
    RUN_UNTIL(f->loop, n_order == 1);
    assert_ptr_equal(order[0], &f->clients[1]);
}

static void a_lower_max_holds_once_seats_come_back(void **state)
{
    struct fixture *f = *state;
    f->servers[0].max = 2;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    assert_int_equal(come(f, 1), LT_WAIT_SERVED);
    come_all(f, 2, 4);
    f->servers[0].max = 1;
    go(f, 0);
    assert_int_equal(n_order, 0);
    assert_int_equal(lt_server_inflight(&f->states[0]), 1);
    go(f, 1);
    assert_ptr_equal(order[0], &f->clients[2]);
}

static void who_tried_all_servers_lets_one_seat_pass_at_most(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    lt_pick_tried(&f->clients[1].pick, &f->servers[0]);
    use_servers(f, 2);
    assert_int_equal(come(f, 9), LT_WAIT_SERVED);
    lt_pick_tried(&f->clients[1].pick, &f->servers[1]);
    come_all(f, 2,
             3); /* so that the other one waits, too, instead of being told that it is alone */
    f->clients[1].waiter.since_us = f->loop->now_us - FIRST_AGE_US / 2;
    come_all(f, 1, 2);
    come_all(f, 3, 6);
    go(f, 0);
    assert_ptr_equal(order[0], &f->clients[2]);
    go(f, 2);
    assert_ptr_equal(order[1], &f->clients[1]);
}

static void who_tried_a_server_gets_another_one_if_it_can(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    lt_pick_tried(&f->clients[1].pick, &f->servers[0]);
    use_servers(f, 2);
    assert_int_equal(come(f, 5), LT_WAIT_SERVED);
    come_all(f, 1, 3);
    go(f, 0);
    assert_ptr_equal(order[0], &f->clients[2]);
    go(f, 5);
    assert_ptr_equal(order[1], &f->clients[1]);
}

/* ---- several workers ---- */

static void the_oldest_of_all_workers_gets_the_seat(void **state)
{
    struct fixture *f = *state;
    static struct lt_peers peers;
    struct lt_mailbox *boxes[3];
    struct lt_pools *pools[3] = {f->pools, lt_pools_new(f->loop, NULL),
                                 lt_pools_new(f->loop, NULL)};
    peers.n = 3;
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(pools[i]);
        boxes[i] = lt_mailbox_new(f->loop, pools[i]);
        assert_non_null(boxes[i]);
        peers.v[i].box = boxes[i];
        peers.v[i].pools = pools[i];
        lt_pools_set_worker(pools[i], i);
        lt_pools_set_peers(pools[i], &peers);
        pools[i]->look_us = 3600000000;
    }
    for (unsigned i = 0; i < 10; i++) {
        f->clients[i].at = pools[i % 3];
    }
    f->clients[8].pick.priority = LT_PRIORITY_HIGH;
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 10);
    static const unsigned expected[] = {8, 1, 2, 3, 4, 5, 6, 7, 9};
    unsigned last = 0;
    for (unsigned i = 0; i < 9; i++) {
        f->clients[last].how = LT_WAIT_NONE;
        lt_server_release(f->clients[last].at, f->clients[last].pick.server);
        RUN_UNTIL(f->loop, n_order == i + 1);
        assert_ptr_equal(order[i], &f->clients[expected[i]]);
        assert_int_equal(lt_server_inflight(&f->states[0]), 1);
        last = expected[i];
    }
    /* A seat that meets nobody any more goes on, and one that meets the end is given up. */
    come_all(f, 1, 3);
    f->clients[last].how = LT_WAIT_NONE;
    lt_server_release(f->clients[last].at, f->clients[last].pick.server);
    lt_queue_leave(&f->clients[1].waiter);
    RUN_UNTIL(f->loop, f->clients[2].how == LT_WAIT_SERVED);
    come_all(f, 3, 4);
    f->clients[2].how = LT_WAIT_NONE;
    lt_server_release(f->clients[2].at, f->clients[2].pick.server);
    lt_queue_leave(&f->clients[3].waiter);
    for (unsigned i = 0; i < 3; i++) {
        lt_pools_close(pools[i]);
        lt_mailbox_free(boxes[i]);
    }
    assert_int_equal(lt_server_inflight(&f->states[0]), 0);
    f->pools->peers = NULL;
    f->pools->worker = 0;
    lt_pools_free(pools[1]);
    lt_pools_free(pools[2]);
}

static void what_is_said_has_the_numbers(void **state)
{
    struct fixture *f = *state;
    char text[300];
    struct lt_buf out;
    assert_int_equal(lt_queue_retry_after(f->pools, &f->upstream), 1);
    assert_int_equal(come(f, 0), LT_WAIT_SERVED);
    come_all(f, 1, 3);
    f->state.paused = true;
    assert_true(lt_queue_refused(f->pools, &f->servers[0]));
    f->loop->now_us += 2500000;
    lt_buf_init_fixed(&out, text, sizeof(text));
    lt_queue_describe(f->pools, &f->upstream, &out);
    assert_str(lt_buf_view(&out), "2 wait for upstream app, 1 of 1 in flight, it is paused, one "
                                  "refuses connections for 2.5 s");
    assert_int_equal(lt_queue_retry_after(f->pools, &f->upstream), 3);
    f->loop->now_us += 1000000000;
    assert_int_equal(lt_queue_retry_after(f->pools, &f->upstream), 60);
    f->state.paused = false;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(seats_go_to_waiters_in_order),
        TEST(higher_classes_come_first),
        TEST(who_leaves_is_passed_over),
        TEST(a_full_queue_refuses_unless_less_urgent_ones_make_room),
        TEST(newcomers_do_not_overtake),
        TEST(nobody_waits_without_a_queue),
        TEST(without_memory_nobody_waits),
        TEST(waits_end),
        TEST(waits_of_each_class_end_in_their_time),
        TEST(a_queue_that_only_grows_serves_the_youngest),
        TEST(time_on_hold_is_no_overload),
        TEST(servers_that_restart_are_waited_for),
        TEST(names_that_are_not_answered_yet_are_waited_for),
        TEST(nobody_waits_for_servers_that_are_gone),
        TEST(a_server_that_let_somebody_in_may_restart_again),
        TEST(a_wait_for_a_restart_ends_with_a_last_try),
        TEST(full_connections_let_one_in_for_each_that_ends),
        TEST(a_seat_that_is_for_nobody_is_given_up),
        TEST(a_backup_serves_nobody_once_the_others_are_back),
        TEST(a_backup_serves_whom_the_others_failed),
        TEST(a_seat_brings_a_cookie_to_who_has_none_that_is_valid),
        TEST(nobody_goes_while_it_is_paused),
        TEST(a_lower_max_holds_once_seats_come_back),
        TEST(who_tried_a_server_gets_another_one_if_it_can),
        TEST(who_tried_all_servers_lets_one_seat_pass_at_most),
        TEST(the_oldest_of_all_workers_gets_the_seat),
        TEST(what_is_said_has_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
