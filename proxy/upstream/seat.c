/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/seat.h"

#include "base/mem.h"
#include "upstream/peers.h"
#include "upstream/queue.h"

/* As many as a worker is likely to hold at once. Seats move between workers, which a slab that
 * counts its own can't follow. */
#define SPARE_MAX 1024u

static struct lt_seat *seat_new(struct lt_pools *pools)
{
    struct lt_seat *seat = pools->spare;
    if (seat == NULL) {
        return lt_malloc(sizeof(*seat));
    }
    pools->spare = seat->next;
    pools->n_spare--;
    return seat;
}

static void seat_free(struct lt_pools *pools, struct lt_seat *seat)
{
    if (pools->n_spare >= SPARE_MAX) {
        lt_free(seat);
        return;
    }
    seat->next = pools->spare;
    pools->spare = seat;
    pools->n_spare++;
}

void lt_seats_free(struct lt_pools *pools)
{
    while (pools->spare != NULL) {
        struct lt_seat *seat = pools->spare;
        pools->spare = seat->next;
        lt_free(seat);
    }
    pools->n_spare = 0;
}

bool lt_seat_take(struct lt_pools *pools, struct lt_pool *pool, const struct lt_server *server)
{
    struct lt_seat *seat = seat_new(pools);
    if (seat == NULL) {
        return false;
    }
    if (!lt_server_acquire(server->state, server->max)) {
        seat_free(pools, seat);
        return false;
    }
    seat->server = server->state;
    seat->next = pool->seats;
    pool->seats = seat;
    return true;
}

static void on_arrival(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_seat *seat = lt_container_of(message, struct lt_seat, message);
    if (seat->to->closing) {
        lt_seat_drop(seat->to, seat);
    } else {
        lt_queue_grant(seat->to, seat);
    }
}

void lt_seat_pass(struct lt_pools *pools, struct lt_seat *seat)
{
    unsigned n = pools->peers != NULL ? pools->peers->n : 1;
    const struct lt_waiting *waiting = &seat->upstream->waiting;
    int to = lt_waiting_first(waiting, n);
    if (to < 0) {
        /* Who begins to wait now either sees the seat free, or is seen here. */
        lt_server_drop(seat->server);
        to = lt_waiting_first(waiting, n);
        if (to < 0 || !lt_server_acquire(seat->server, seat->max)) {
            lt_server_state_drop(seat->server);
            seat_free(pools, seat);
            return;
        }
    }
    if ((unsigned)to == pools->worker) {
        lt_queue_grant(pools, seat);
        return;
    }
    seat->to = pools->peers->v[to].pools;
    seat->message.fn = on_arrival;
    lt_mailbox_post(pools->peers->v[to].box, &seat->message);
}

void lt_seat_leave(struct lt_pools *pools, struct lt_pool *pool, const struct lt_server *server)
{
    struct lt_seat *seat = pool->seats;
    pool->seats = seat->next;
    seat->upstream = server->upstream->state;
    seat->max = server->max;
    if (LT_LIKELY(atomic_load_explicit(&seat->upstream->waiting.n, memory_order_relaxed) == 0)) {
        /* As in pass, but that the state needs no hold: the caller has the server. */
        lt_server_drop(seat->server);
        unsigned n = pools->peers != NULL ? pools->peers->n : 1;
        if (lt_waiting_first(&seat->upstream->waiting, n) < 0 ||
            !lt_server_acquire(seat->server, seat->max)) {
            seat_free(pools, seat);
            return;
        }
    }
    lt_server_state_hold(seat->server);
    lt_seat_pass(pools, seat);
}

void lt_seat_use(struct lt_pools *pools, struct lt_pool *pool, struct lt_seat *seat)
{
    (void)pools;
    lt_server_state_drop(seat->server);
    seat->next = pool->seats;
    pool->seats = seat;
}

void lt_seat_drop(struct lt_pools *pools, struct lt_seat *seat)
{
    lt_server_drop(seat->server);
    lt_server_state_drop(seat->server);
    seat_free(pools, seat);
}
