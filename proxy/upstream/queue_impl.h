/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the queue share: queue.c (asking, and what others tell it), queue_line.c (who
 * waits, in which order), queue_serve.c (who is let go, and when). */
#ifndef LT_UPSTREAM_QUEUE_IMPL_H
#define LT_UPSTREAM_QUEUE_IMPL_H

#include "base/obj.h"
#include "upstream/queue.h"

#define LT_QUEUE_MAGIC 0x71756575u /* "queu" */
#define LT_QUEUE_CLASSES 3

enum lt_queue_why { LT_QUEUE_WHY_BUSY, LT_QUEUE_WHY_DOWN, LT_QUEUE_WHY_FULL };

struct lt_queue {
    uint32_t magic;
    struct lt_pools *pools;
    struct lt_upstream_state *state;
    struct lt_list waiting[LT_QUEUE_CLASSES]; /* struct lt_waiter, by since_us */
    unsigned n;
    struct lt_list refused; /* struct lt_waiter that had to make room, not told yet */
    enum lt_queue_why why;
    unsigned room;         /* FULL: exchanges that ended since the last turn */
    struct lt_seat *seats; /* that came, not given out yet */
    struct lt_deferred turn;
    struct lt_timer timer;
    uint64_t look_at_us;    /* when it looks around next */
    uint64_t pause_us;      /* DOWN: between two tries */
    uint64_t held_us;       /* until when nobody could be served at all: no sign of overload */
    uint64_t late_since_us; /* since when the oldest has waited for too long; 0: it hasn't */
    bool overloaded;
};

/* What can be hoped of an upstream's servers. */
enum lt_queue_hope {
    LT_QUEUE_HOPE_UP,       /* one is up */
    LT_QUEUE_HOPE_RESTARTS, /* none is, but one refuses since a short while only, or is looked up */
    LT_QUEUE_HOPE_NONE
};

static inline uint64_t lt_queue_now(const struct lt_queue *q)
{
    return q->pools->loop->now_us;
}

static inline void lt_queue_count(struct lt_pools *pools, enum lt_counter counter, int n)
{
    if (pools->metrics != NULL) {
        lt_metrics_add(pools->metrics, counter, n);
    }
}

static inline struct lt_waiter *lt_queue_waiter(struct lt_list *link)
{
    return lt_container_of(link, struct lt_waiter, link);
}

static inline const struct lt_queue_options *lt_queue_options_of(const struct lt_waiter *w)
{
    return &w->pick->upstream->queue;
}

/* As lt_upstream_pick; up_only: no server that isn't up. */
static inline enum lt_pick_result lt_queue_ask(struct lt_pools *pools, struct lt_pick *pick,
                                               bool up_only)
{
    pick->up_only = up_only;
    enum lt_pick_result result = lt_upstream_pick(pools, pick);
    pick->up_only = false;
    return result;
}

/* queue.c */

enum lt_queue_hope lt_queue_hope(const struct lt_upstream *upstream, uint64_t now_us);

/* queue_line.c */

/* Who waits for longest; NULL: nobody waits. */
struct lt_waiter *lt_queue_oldest(const struct lt_queue *q);
/* Whose turn it is; NULL: nobody waits. */
struct lt_waiter *lt_queue_next(const struct lt_queue *q);
/* Puts w, which was counted, in its place by age. */
void lt_queue_insert(struct lt_queue *q, struct lt_waiter *w);
/* w waits no more. */
void lt_queue_remove(struct lt_queue *q, struct lt_waiter *w);
/* What the waiters wait for. */
void lt_queue_set_why(struct lt_queue *q, enum lt_queue_why why);
/* The queue looks around that much later. */
void lt_queue_look_in(struct lt_queue *q, uint64_t us);
/* Sets the timer for what comes first: the next look, or the end of somebody's time. */
void lt_queue_set_timer(struct lt_queue *q);

/* queue_serve.c */

/* Timer and deferred call of a queue. */
void lt_queue_on_timer(void *arg);
void lt_queue_on_turn(void *arg);

static inline void lt_queue_turn_soon(struct lt_queue *q)
{
    lt_loop_defer(q->pools->loop, &q->turn, lt_queue_on_turn, q);
}

#endif
