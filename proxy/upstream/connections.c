/* SPDX-License-Identifier: Apache-2.0 */
/* What asks and what gives back touch the count and the mask of who asks in opposite orders, all
 * sequentially consistent: one of the two sees the other (docs/decisions/025-balancing.md). */
#include "upstream/connections.h"

#include "base/mem.h"
#include "upstream/back_h1.h"
#include "upstream/back_h2.h"
#include "upstream/peers.h"
#include "upstream/queue.h"

/* A worker keeps a connection for that long while it has work for it and others wait. */
#define TURN_US UINT64_C(100000)
/* Who still waits has the others look again so often. */
#define ASK_AGAIN_US UINT64_C(200000)
/* A right that came and that nobody has used so long is given back. */
#define UNUSED_MS 250u

/* A right on its way to another worker. */
struct right {
    struct lt_message message;
    struct lt_server_state *server; /* held */
    struct lt_pools *to;
};

/* ---- who asks ---- */

static uint64_t bit_of(unsigned worker)
{
    return UINT64_C(1) << (worker % 64);
}

static unsigned n_workers(const struct lt_pool *pool)
{
    return pool->pools->peers != NULL ? pool->pools->peers->n : 0;
}

static bool asks(const struct lt_pool *pool, unsigned worker)
{
    return (atomic_load_explicit(&pool->state->asking[worker / 64], memory_order_seq_cst) &
            bit_of(worker)) != 0;
}

/* Takes the worker out of those who ask; false: it doesn't ask, or another one has. */
static bool strike(const struct lt_pool *pool, unsigned worker)
{
    return asks(pool, worker) && (atomic_fetch_and_explicit(&pool->state->asking[worker / 64],
                                                            ~bit_of(worker), memory_order_seq_cst) &
                                  bit_of(worker)) != 0;
}

/* Whether a worker asks; others: this one doesn't count. */
static bool anybody_asks(const struct lt_pool *pool, bool others)
{
    unsigned own = pool->pools->worker;
    for (unsigned base = 0; base < n_workers(pool); base += 64) {
        uint64_t mask = atomic_load_explicit(&pool->state->asking[base / 64], memory_order_seq_cst);
        if ((mask & ~(others && base == own / 64 * 64 ? bit_of(own) : 0)) != 0) {
            return true;
        }
    }
    return false;
}

/* Whether somebody waits here whom a connection would help. */
static bool has_waiters(const struct lt_pool *pool)
{
    return pool->upstream != NULL && lt_queue_waits(pool->pools, pool->upstream);
}

static void ask(struct lt_pool *pool)
{
    struct lt_pools *pools = pool->pools;
    if (n_workers(pool) < 2) {
        return;
    }
    if (!asks(pool, pools->worker)) {
        atomic_fetch_or_explicit(&pool->state->asking[pools->worker / 64], bit_of(pools->worker),
                                 memory_order_seq_cst);
    } else if (pools->loop->now_us < pool->asked_us + ASK_AGAIN_US) {
        return; /* all have looked since, or will */
    }
    pool->asked_us = pools->loop->now_us;
    if (pools->ask != NULL) {
        pools->ask(pools->ask_arg);
    }
}

/* ---- rights ---- */

static bool count_up(struct lt_server_state *state, uint32_t max)
{
    uint32_t n = atomic_load_explicit(&state->connections, memory_order_seq_cst);
    do {
        if (max > 0 && n >= max) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&state->connections, &n, n + 1,
                                                    memory_order_seq_cst, memory_order_seq_cst));
    return true;
}

static void count_down(struct lt_server_state *state)
{
    atomic_fetch_sub_explicit(&state->connections, 1, memory_order_seq_cst);
}

/* A right for who waits here. */
static void arrive(struct lt_pool *pool)
{
    if (!has_waiters(pool)) {
        lt_connections_give(pool); /* they were served otherwise, or have left */
        return;
    }
    pool->rights++;
    lt_timer_set(&pool->unused, UNUSED_MS);
    lt_queue_room(pool->pools, pool->upstream);
}

static void on_arrival(struct lt_message *message, void *owner)
{
    (void)owner;
    struct right *right = lt_container_of(message, struct right, message);
    struct lt_server_state *state = right->server;
    struct lt_pool *pool = right->to->closing ? NULL : lt_pool_get(right->to, state);
    lt_free(right);
    if (pool != NULL) {
        arrive(pool);
    } else {
        count_down(state);
    }
    lt_server_state_drop(state);
}

/* Hands a right that this worker gives back to the next one that asks. False: nobody does. Without
 * memory nobody is told either, who asks finds the room when it looks around. */
static bool pass(struct lt_pool *pool)
{
    struct lt_server_state *state = pool->state;
    unsigned n = n_workers(pool), own = pool->pools->worker;
    unsigned last = atomic_load_explicit(&state->asked_last, memory_order_relaxed);
    for (unsigned k = 1; k <= n; k++) {
        unsigned to = (last + k) % n;
        if (!strike(pool, to) || (to == own && !has_waiters(pool))) {
            continue;
        }
        /* Relaxed: turns are fair as long as most of them are seen. */
        atomic_store_explicit(&state->asked_last, to, memory_order_relaxed);
        if (to == own) {
            arrive(pool);
            return true;
        }
        struct right *right = lt_malloc(sizeof(*right));
        if (right == NULL) {
            return false;
        }
        lt_server_state_hold(state);
        *right = (struct right){
            .message = {.fn = on_arrival}, .server = state, .to = pool->pools->peers->v[to].pools};
        lt_mailbox_post(pool->pools->peers->v[to].box, &right->message);
        return true;
    }
    return false;
}

void lt_connections_give(struct lt_pool *pool)
{
    struct lt_server_state *state = pool->state;
    uint32_t max = pool->connections_max;
    if (pool->swaps) {
        pool->rights++;
        return;
    }
    if (pool->pools->closing) {
        count_down(state);
        return;
    }
    do {
        /* More than max are open after a reload that lowers it. */
        if (max > 0 && atomic_load_explicit(&state->connections, memory_order_relaxed) <= max &&
            pass(pool)) {
            return;
        }
        count_down(state);
        /* Who asks now either sees the lower count, or is seen here. */
    } while (max > 0 && anybody_asks(pool, false) && count_up(state, max));
}

static void give_unused(void *arg)
{
    struct lt_pool *pool = arg;
    unsigned n = pool->rights;
    pool->rights = 0;
    for (unsigned i = 0; i < n; i++) {
        lt_connections_give(pool);
    }
}

void lt_connections_init(struct lt_pool *pool)
{
    lt_timer_init(&pool->unused, pool->pools->loop, give_unused, pool);
}

void lt_connections_fini(struct lt_pool *pool)
{
    give_unused(pool);
    lt_timer_fini(&pool->unused);
}

/* ---- connections ---- */

static bool close_one_idle(struct lt_pool *pool)
{
    if (!lt_list_empty(&pool->idle)) {
        lt_back_h1_close(lt_back_h1_from_idle(pool->idle.prev));
        return true;
    }
    return lt_back_h2_close_one_idle(pool);
}

/* What this worker knows of the server's settings; they may change with a reload. */
static void learn(struct lt_pool *pool, const struct lt_server *server)
{
    pool->upstream = server->upstream->state;
    pool->connections_max = server->max_connections;
}

static bool is_below(const struct lt_server *server)
{
    return atomic_load_explicit(&server->state->connections, memory_order_seq_cst) <
           server->max_connections;
}

bool lt_connections_room(struct lt_pools *pools, const struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    return pool == NULL || pool->n_idle > 0 || pool->rights > 0 || is_below(server) ||
           lt_back_h2_has_room(pool, server);
}

bool lt_connections_ask(struct lt_pools *pools, const struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    if (pool != NULL) {
        learn(pool, server);
        ask(pool);
    }
    return is_below(server);
}

bool lt_connections_take(struct lt_pool *pool, const struct lt_server *server)
{
    learn(pool, server);
    if (pool->rights == 0 && count_up(pool->state, server->max_connections)) {
        return true;
    }
    if (pool->rights == 0) { /* one of our own idle ones makes room */
        pool->swaps = true;
        (void)close_one_idle(pool);
        pool->swaps = false;
    }
    if (pool->rights > 0) {
        pool->rights--;
        return true;
    }
    ask(pool);
    return count_up(pool->state, server->max_connections);
}

bool lt_connections_due(struct lt_pool *pool, uint64_t since_us, bool needed)
{
    if (pool->connections_max == 0 || !anybody_asks(pool, true)) {
        return false;
    }
    bool waits = has_waiters(pool);
    if (!waits) {
        (void)strike(pool, pool->pools->worker);
    }
    return (!waits && !needed) || pool->pools->loop->now_us >= since_us + TURN_US;
}

void lt_connections_yield(struct lt_pool *pool)
{
    while (pool->connections_max > 0 && anybody_asks(pool, true) && close_one_idle(pool)) {
    }
    lt_back_h2_yield(pool);
}
