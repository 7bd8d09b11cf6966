/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's event loop: libev underneath, cached time, deferred calls at the end of a turn, lazy
 * timers, the scratch buffer that reads go into and the pool of blocks for what must be kept. */
#ifndef LT_NET_LOOP_H
#define LT_NET_LOOP_H

#include "base/chain.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/rand.h"
#include "base/str.h"
#include "shared/metrics.h"

#include <ev.h>

#define LT_SCRATCH_SIZE 65536u

struct lt_loop {
    uint32_t magic;
    struct ev_loop *ev;
    uint64_t now_us;                   /* monotonic, taken once per turn after waiting */
    uint64_t wall_us;                  /* wall clock, taken with now_us */
    uint64_t turn_us;                  /* when this turn began; 0: none has */
    struct lt_metrics_worker *metrics; /* that turns are counted in; NULL: they are not */
    struct lt_list deferred;           /* struct lt_deferred, run at the end of the turn */
    char *scratch;                     /* LT_SCRATCH_SIZE bytes; valid inside one callback */
    struct lt_block_pool blocks;
    struct lt_rand rand;
    uint64_t date_s; /* second for which date holds */
    char date[LT_HTTP_DATE_LEN];
    ev_check check;     /* takes the time, before all other callbacks of the turn */
    ev_prepare prepare; /* runs the deferred calls, last before the loop waits */
    ev_idle awake;      /* started while deferred calls are left: the loop must not sleep */
    void *tls_io;       /* net/tls_conn.c: buffers that all connections share */
};

/* blocks_max: limit in bytes of the block pool. Returns owned, NULL without memory or epoll. */
struct lt_loop *lt_loop_new(size_t blocks_max) LT_MUST_CHECK;
void lt_loop_free(struct lt_loop *loop);

/* Runs until lt_loop_stop is called on this thread. */
void lt_loop_run(struct lt_loop *loop);
void lt_loop_stop(struct lt_loop *loop);

/* Makes the deferred calls that are left, while the loop doesn't run: at its end, before what they
 * refer to is freed. */
void lt_loop_settle(struct lt_loop *loop);
/* Makes the deferred calls of a turn now, without a look at the clock and at events: for those who
 * move the clock themselves. */
void lt_loop_end_turn(struct lt_loop *loop);

/* Takes the time again: before the first turn and after something that may have taken long. */
void lt_loop_update_time(struct lt_loop *loop);

/* The current Date value; LT_HTTP_DATE_LEN bytes valid until the next call. */
struct lt_str lt_loop_http_date(struct lt_loop *loop);

/* A call at the end of this turn, once; for frees and for going on without deep recursion. Embedded
 * in its object, zeroed before first use. Deferring what is deferred already does nothing. */
struct lt_deferred {
    struct lt_list link;
    void (*fn)(void *arg);
    void *arg;
};

void lt_loop_defer(struct lt_loop *loop, struct lt_deferred *d, void (*fn)(void *), void *arg);
void lt_loop_cancel(struct lt_deferred *d);

/* A timer whose deadline may move as often as one likes at the cost of a store: libev's timer is
 * armed again only when it fires too early or must fire earlier than it is armed for. */
struct lt_timer {
    ev_timer ev;
    struct lt_loop *loop;
    uint64_t deadline_us; /* 0: not set */
    uint64_t armed_us;    /* when ev fires; 0: not armed */
    void (*fn)(void *arg);
    void *arg;
};

void lt_timer_init(struct lt_timer *t, struct lt_loop *loop, void (*fn)(void *), void *arg);
/* Fires once, delay_ms from now; replaces an earlier deadline. */
void lt_timer_set(struct lt_timer *t, uint64_t delay_ms);
/* Forgets the deadline; cheap, libev's timer may stay armed. */
void lt_timer_clear(struct lt_timer *t);
/* Before the object that embeds it is freed. */
void lt_timer_fini(struct lt_timer *t);

#endif
