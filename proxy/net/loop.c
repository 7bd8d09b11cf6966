/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop. A turn of it:
 *
 *     wait (epoll) -> take the time (check) -> timers and I/O callbacks -> deferred calls (prepare)
 *
 * All functions are for the loop's own thread; other threads reach it by a mailbox. */
#include "net/loop.h"

#include "base/mem.h"
#include "base/obj.h"

#define LOOP_MAGIC 0x6c6f6f70u /* "loop" */

/* Rounds of deferred calls in one turn: what they defer in turn runs at once up to here, then in
 * the next turn, after events had their chance. */
#define DEFER_ROUNDS 8

void lt_loop_update_time(struct lt_loop *loop)
{
    ev_now_update(loop->ev);
    loop->now_us = lt_clock_us();
    loop->wall_us = lt_clock_wall_us();
}

static void on_check(struct ev_loop *ev, ev_check *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_loop *loop = w->data;
    LT_OBJ_CHECK(loop, LOOP_MAGIC);
    loop->now_us = lt_clock_us();
    loop->wall_us = lt_clock_wall_us();
    loop->turn_us = loop->now_us;
}

/* Calls what is on the list now; what these calls defer waits for the next round. */
static void run_round(struct lt_loop *loop)
{
    struct lt_list mark = {0};
    lt_list_push_back(&loop->deferred, &mark);
    for (;;) {
        struct lt_list *link = lt_list_pop_front(&loop->deferred);
        if (link == &mark) {
            return;
        }
        struct lt_deferred *d = lt_container_of(link, struct lt_deferred, link);
        d->fn(d->arg);
    }
}

static void run_deferred(struct lt_loop *loop)
{
    for (unsigned i = 0; i < DEFER_ROUNDS && !lt_list_empty(&loop->deferred); i++) {
        run_round(loop);
    }
}

void lt_loop_end_turn(struct lt_loop *loop)
{
    LT_OBJ_CHECK(loop, LOOP_MAGIC);
    run_deferred(loop);
}

static void on_prepare(struct ev_loop *ev, ev_prepare *w, int revents)
{
    (void)revents;
    struct lt_loop *loop = w->data;
    LT_OBJ_CHECK(loop, LOOP_MAGIC);
    run_deferred(loop);
    if (loop->metrics != NULL && loop->turn_us != 0) {
        lt_metrics_add_turn(loop->metrics, lt_clock_us() - loop->turn_us);
    }
    if (!lt_list_empty(&loop->deferred)) {
        ev_idle_start(ev, &loop->awake);
    } else if (ev_is_active(&loop->awake)) {
        ev_idle_stop(ev, &loop->awake);
    }
}

static void on_awake(struct ev_loop *ev, ev_idle *w, int revents)
{
    (void)ev, (void)w, (void)revents; /* that it is active is all it is for */
}

struct lt_loop *lt_loop_new(size_t blocks_max)
{
    struct lt_loop *loop = lt_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(loop, LOOP_MAGIC);
    lt_list_init(&loop->deferred);
    lt_block_pool_init(&loop->blocks, blocks_max);
    lt_rand_init(&loop->rand);
    loop->scratch = lt_malloc(LT_SCRATCH_SIZE);
    loop->ev = loop->scratch != NULL ? ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV) : NULL;
    if (loop->ev == NULL) {
        lt_loop_free(loop);
        return NULL;
    }
    ev_check_init(&loop->check, on_check);
    ev_prepare_init(&loop->prepare, on_prepare);
    ev_idle_init(&loop->awake, on_awake);
    loop->check.data = loop->prepare.data = loop;
    ev_set_priority(&loop->check, EV_MAXPRI);
    ev_set_priority(&loop->prepare, EV_MINPRI);
    ev_check_start(loop->ev, &loop->check);
    ev_prepare_start(loop->ev, &loop->prepare);
    lt_loop_update_time(loop);
    return loop;
}

/* Until nothing is left: what is deferred here is freeing. */
void lt_loop_settle(struct lt_loop *loop)
{
    while (!lt_list_empty(&loop->deferred)) {
        run_round(loop);
    }
}

void lt_loop_free(struct lt_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    LT_OBJ_CHECK(loop, LOOP_MAGIC);
    if (loop->ev != NULL) {
        lt_loop_settle(loop);
        ev_idle_stop(loop->ev, &loop->awake);
        ev_check_stop(loop->ev, &loop->check);
        ev_prepare_stop(loop->ev, &loop->prepare);
        ev_loop_destroy(loop->ev);
    }
    lt_block_pool_fini(&loop->blocks);
    lt_free(loop->tls_io);
    lt_free(loop->scratch);
    LT_OBJ_FINI(loop);
    lt_free(loop);
}

void lt_loop_run(struct lt_loop *loop)
{
    LT_OBJ_CHECK(loop, LOOP_MAGIC);
    lt_loop_update_time(loop);
    ev_run(loop->ev, 0);
    run_deferred(loop); /* of the turn that stopped it: objects wait to be freed */
}

void lt_loop_stop(struct lt_loop *loop)
{
    ev_break(loop->ev, EVBREAK_ALL);
}

struct lt_str lt_loop_http_date(struct lt_loop *loop)
{
    uint64_t now_s = loop->wall_us / 1000000u;
    if (now_s != loop->date_s) {
        lt_clock_http_date(now_s, loop->date);
        loop->date_s = now_s;
    }
    return lt_str(loop->date, sizeof(loop->date));
}

void lt_loop_defer(struct lt_loop *loop, struct lt_deferred *d, void (*fn)(void *), void *arg)
{
    if (!lt_list_linked(&d->link)) {
        d->fn = fn;
        d->arg = arg;
        lt_list_push_back(&loop->deferred, &d->link);
    }
}

void lt_loop_cancel(struct lt_deferred *d)
{
    lt_list_remove(&d->link);
}
