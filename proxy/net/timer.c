/* SPDX-License-Identifier: Apache-2.0 */
/* Lazy timers (net/loop.h): a deadline moves by a store. libev's heap is touched only when a
 * deadline comes before the time that libev's timer is armed for, or when that timer fires. The
 * loop's thread. */
#include "net/loop.h"

/* Keeps deadlines far from overflow. */
#define DELAY_MAX_MS (UINT64_C(10) * 366 * 86400 * 1000)

static void arm(struct lt_timer *t, uint64_t at_us)
{
    struct lt_loop *loop = t->loop;
    uint64_t delay_us = at_us > loop->now_us ? at_us - loop->now_us : 0;
    t->armed_us = at_us;
    ev_timer_stop(loop->ev, &t->ev);
    ev_timer_set(&t->ev, (double)delay_us / 1e6, 0.);
    ev_timer_start(loop->ev, &t->ev);
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_timer *t = lt_container_of(w, struct lt_timer, ev);
    t->armed_us = 0;
    if (t->deadline_us == 0) {
        return;
    }
    if (t->deadline_us > t->loop->now_us) {
        arm(t, t->deadline_us);
        return;
    }
    t->deadline_us = 0;
    t->fn(t->arg);
}

void lt_timer_init(struct lt_timer *t, struct lt_loop *loop, void (*fn)(void *), void *arg)
{
    *t = (struct lt_timer){.loop = loop, .fn = fn, .arg = arg};
    ev_timer_init(&t->ev, on_timer, 0., 0.);
}

void lt_timer_set(struct lt_timer *t, uint64_t delay_ms)
{
    t->deadline_us = t->loop->now_us + lt_min(delay_ms, DELAY_MAX_MS) * 1000u;
    if (t->armed_us == 0 || t->armed_us > t->deadline_us) {
        arm(t, t->deadline_us);
    }
}

void lt_timer_clear(struct lt_timer *t)
{
    t->deadline_us = 0;
}

void lt_timer_fini(struct lt_timer *t)
{
    if (t->loop != NULL) {
        ev_timer_stop(t->loop->ev, &t->ev);
    }
    t->deadline_us = t->armed_us = 0;
}
