/* SPDX-License-Identifier: Apache-2.0 */
/* All words are relaxed: they are counts that publish nothing. */
#include "upstream/connections.h"

#include "upstream/back_h1.h"
#include "upstream/back_h2.h"

#define LOAD(word) atomic_load_explicit(&(word), memory_order_relaxed)

static bool close_one_idle(struct lt_pool *pool)
{
    if (!lt_list_empty(&pool->idle)) {
        lt_back_h1_close(lt_back_h1_from_idle(pool->idle.prev));
        return true;
    }
    return lt_back_h2_close_one_idle(pool);
}

bool lt_connections_room(struct lt_pools *pools, const struct lt_server *server)
{
    struct lt_server_state *state = server->state;
    const struct lt_pool *pool = lt_pool_get(pools, state);
    if (pool == NULL || pool->n_idle > 0 || pool->n_h2 > 0 ||
        LOAD(state->connections) < server->max_connections) {
        return true;
    }
    if (LOAD(state->connections_wanted) < server->max_connections) {
        atomic_fetch_add_explicit(&state->connections_wanted, 1, memory_order_relaxed);
    }
    if (pools->ask != NULL) {
        pools->ask(pools->ask_arg);
    }
    return false;
}

bool lt_connections_take(struct lt_pool *pool, const struct lt_server *server)
{
    struct lt_server_state *state = pool->state;
    uint32_t n = LOAD(state->connections);
    do {
        while (server->max_connections > 0 && n >= server->max_connections) {
            if (!close_one_idle(pool)) {
                return false;
            }
            n = LOAD(state->connections);
        }
    } while (!atomic_compare_exchange_weak_explicit(&state->connections, &n, n + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void lt_connections_give(struct lt_pool *pool)
{
    atomic_fetch_sub_explicit(&pool->state->connections, 1, memory_order_relaxed);
}

void lt_connections_yield(struct lt_pool *pool)
{
    struct lt_server_state *state = pool->state;
    uint32_t wanted = LOAD(state->connections_wanted);
    while (wanted > 0 && close_one_idle(pool)) {
        while (wanted > 0 && !atomic_compare_exchange_weak_explicit(
                                 &state->connections_wanted, &wanted, wanted - 1,
                                 memory_order_relaxed, memory_order_relaxed)) {
        }
        wanted = LOAD(state->connections_wanted);
    }
}
