/* SPDX-License-Identifier: Apache-2.0 */
/* A seat is the right to one exchange at a server with a max. It is an object, so that it can go to
 * a waiter on another worker without an allocation that might fail: it is made where the count of
 * the server was raised, and travels with that count until somebody lowers it.
 *
 *   lt_seat_take --> pool->seats --lt_seat_leave--> nobody waits: the count goes down, spare
 *        ^                                     '--> the worker with the most urgent waiter
 *        '------------------ lt_seat_use <------------------- lt_queue_grant <-'
 *
 * The worker's thread. */
#ifndef LT_UPSTREAM_SEAT_H
#define LT_UPSTREAM_SEAT_H

#include "net/mailbox.h"
#include "upstream/pool.h"

struct lt_seat {
    struct lt_message message;
    struct lt_seat *next;
    struct lt_server_state *server; /* held while the seat is nobody's */
    struct lt_upstream_state *upstream;
    uint32_t max;        /* by which it was taken */
    struct lt_pools *to; /* who gets it */
};

/* Takes a seat at server, which has a max, if fewer than that are taken. */
bool lt_seat_take(struct lt_pools *pools, struct lt_pool *pool, const struct lt_server *server);
/* Gives up one of ours at server: to who waits most urgently, or to nobody. */
void lt_seat_leave(struct lt_pools *pools, struct lt_pool *pool, const struct lt_server *server);

/* A seat that is nobody's and that this worker doesn't need goes on. */
void lt_seat_pass(struct lt_pools *pools, struct lt_seat *seat);
/* ... becomes one of ours. */
void lt_seat_use(struct lt_pools *pools, struct lt_pool *pool, struct lt_seat *seat);
/* ... is given up: nobody should use it. */
void lt_seat_drop(struct lt_pools *pools, struct lt_seat *seat);

/* Frees the spare ones. */
void lt_seats_free(struct lt_pools *pools);

#endif
