/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that wait for a server: because all are at their max, restart (they refuse connections
 * or their socket is missing, since a short while), are out of streams or connections, or because
 * the upstream is paused. A worker has its own waiters per upstream; shared/waiting.h joins them.
 * docs/decisions/023-the-queue.md. The worker's thread. */
#ifndef LT_UPSTREAM_QUEUE_H
#define LT_UPSTREAM_QUEUE_H

#include "base/buf.h"
#include "upstream/balance.h"
#include "upstream/pool.h"

struct lt_queue;
struct lt_seat;

#define LT_PRIORITY_HIGH (-1)
#define LT_PRIORITY_NORMAL 0
#define LT_PRIORITY_LOW 1

/* How a wait ended, or what came of asking. */
enum lt_wait {
    LT_WAIT_NONE,    /* it hasn't been asked */
    LT_WAIT_ON,      /* it waits; on_end comes */
    LT_WAIT_SERVED,  /* pick->server was taken, as by lt_upstream_pick */
    LT_WAIT_ALONE,   /* no server is left to try, and none is worth waiting for */
    LT_WAIT_BUSY,    /* all are at their max, and there is no queue */
    LT_WAIT_PAUSED,  /* the upstream is paused, and there is no queue */
    LT_WAIT_FULL,    /* the queue is full, or was and something more urgent came */
    LT_WAIT_LATE,    /* it waited for as long as may be */
    LT_WAIT_OVERLOAD /* it waited too long while others did too */
};

/* Embedded in who waits; zeroed before first use. */
struct lt_waiter {
    struct lt_list link;
    struct lt_queue *queue; /* NULL: does not wait */
    struct lt_pick *pick;   /* set it before asking */
    uint64_t since_us;      /* when it began to wait; 0: it never did */
    bool full;              /* the server that it got last had no stream left for it */
    /* The wait is over; never called from within lt_queue_pick or lt_queue_leave. */
    void (*on_end)(struct lt_waiter *w, enum lt_wait how);
};

/* A server for w->pick, or w waits for one. Who comes back after a server failed it keeps its
 * place. Costs nothing but two loads when nobody waits and there is room. */
enum lt_wait lt_queue_pick(struct lt_pools *pools, struct lt_waiter *w);
/* The same without waiting: any server that is left, whatever is known of it. */
enum lt_wait lt_queue_alone(struct lt_pools *pools, struct lt_waiter *w);
/* Whether w, which may have got a server meanwhile that failed it, has waited for as long as it
 * may. now_us: monotonic. */
bool lt_waiter_over(const struct lt_waiter *w, uint64_t now_us);
/* w waits no more; does nothing when it doesn't wait. */
void lt_queue_leave(struct lt_waiter *w);

/* The server refused a connection or has no socket: it may be restarting. True: another server of
 * its upstream is up, or one of them all is worth waiting for; never with queue.restart 0. */
bool lt_queue_refused(struct lt_pools *pools, struct lt_server *server);
/* w->pick->server let w in, over a connection that is new or was used before: it refuses nobody any
 * more, and if w had waited for it, others may follow. */
void lt_queue_reached(struct lt_pools *pools, struct lt_waiter *w);

/* Servers or upstreams were changed: who waits is to look again now. */
void lt_queues_look(struct lt_pools *pools);
/* A server without a max has one exchange less, or a connection may be had. */
void lt_queue_room(struct lt_pools *pools, struct lt_upstream_state *state);
/* Whether somebody waits here whom lt_queue_room would help. */
bool lt_queue_waits(const struct lt_pools *pools, const struct lt_upstream_state *state);
/* A seat for whoever waits here; takes it. */
void lt_queue_grant(struct lt_pools *pools, struct lt_seat *seat);

/* Seconds after which a client that was turned away may ask again: as long as who waits here has
 * waited. 1 to 60. */
unsigned lt_queue_retry_after(struct lt_pools *pools, const struct lt_upstream *upstream);
/* Appends what an upstream's servers and its queue are at, with numbers. */
void lt_queue_describe(struct lt_pools *pools, const struct lt_upstream *upstream,
                       struct lt_buf *out);

/* With the pools. Nobody waits any more. */
void lt_queues_free(struct lt_pools *pools);

#endif
