/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's idle connections, kept per server. The worker's thread. */
#include "upstream/pool.h"

#include "base/mem.h"
#include "upstream/back_h1.h"
#include "upstream/back_h2.h"
#include "upstream/connections.h"
#include "upstream/queue.h"
#include "upstream/seat.h"
#include "upstream/standing.h"

#define BACKS_FREE_MAX 256
#define LOOK_US UINT64_C(250000)

struct lt_pools *lt_pools_new(struct lt_loop *loop, struct lt_metrics_worker *metrics)
{
    struct lt_pools *pools = lt_calloc(1, sizeof(*pools));
    if (pools == NULL) {
        return NULL;
    }
    pools->loop = loop;
    pools->metrics = metrics;
    pools->look_us = LOOK_US;
    lt_list_init(&pools->tls_clients);
    lt_slab_init(&pools->backs, lt_back_h1_size(), BACKS_FREE_MAX);
    lt_slab_init(&pools->h2_backs, lt_back_h2_size(), BACKS_FREE_MAX);
    return pools;
}

void lt_pools_set_worker(struct lt_pools *pools, unsigned worker)
{
    pools->worker = worker;
}

void lt_pools_set_ask(struct lt_pools *pools, void (*ask)(void *arg), void *arg)
{
    pools->ask = ask;
    pools->ask_arg = arg;
}

void lt_pools_set_peers(struct lt_pools *pools, const struct lt_peers *peers)
{
    pools->peers = peers;
}

void lt_pools_close(struct lt_pools *pools)
{
    pools->closing = true;
}

static void close_idle(struct lt_pool *pool)
{
    lt_list_each(it, tmp, &pool->idle)
    {
        lt_back_h1_close_idle(lt_back_h1_from_idle(it));
    }
}

void lt_pools_free(struct lt_pools *pools)
{
    if (pools == NULL) {
        return;
    }
    pools->closing = true;
    lt_queues_free(pools);
    for (uint32_t i = 0; i < pools->n; i++) {
        if (pools->v[i] != NULL) {
            close_idle(pools->v[i]);
            lt_back_h2_free_all(pools->v[i]);
            lt_tls_peer_fini(&pools->v[i]->tls);
            lt_connections_fini(pools->v[i]);
            lt_free(pools->v[i]);
        }
    }
    lt_seats_free(pools);
    lt_standings_free(pools);
    lt_slab_fini(&pools->backs);
    lt_slab_fini(&pools->h2_backs);
    lt_free(pools->budgets);
    lt_free(pools->v);
    lt_free(pools);
}

static void sweep(struct lt_pools *pools, struct lt_pool *pool)
{
    struct lt_server_state *state = pool->state;
    bool used = atomic_load_explicit(&state->users, memory_order_acquire) > 0;
    if (used && lt_server_admin(state) == LT_SERVER_READY) {
        lt_connections_yield(pool);
        return;
    }
    close_idle(pool);
    lt_back_h2_retire_all(pool);
    if (used) {
        return;
    }
    lt_tls_peer_fini(&pool->tls);
    if (pool->n_h2 == 0 && pool->active == 0) {
        pools->v[state->id] = NULL;
        lt_connections_fini(pool);
        lt_free(pool);
    } else {
        lt_server_state_keep(state);
    }
}

void lt_pools_sweep(struct lt_pools *pools)
{
    for (uint32_t i = 0; i < pools->n; i++) {
        if (pools->v[i] != NULL) {
            sweep(pools, pools->v[i]);
        }
    }
}

void lt_pools_count(const struct lt_pools *pools, uint32_t id, uint32_t *active, uint32_t *idle)
{
    const struct lt_pool *pool = id < pools->n ? pools->v[id] : NULL;
    *active = pool != NULL ? pool->active : 0;
    *idle = pool != NULL ? pool->n_idle : 0;
}

struct lt_tls_client *lt_pools_tls(struct lt_pools *pools, struct lt_tls_client_policy *policy,
                                   const char **why)
{
    return lt_tls_client_get(&pools->tls_clients, policy, why);
}

unsigned lt_pools_idle(const struct lt_pools *pools)
{
    return pools->idle;
}

struct lt_pool *lt_pool_get(struct lt_pools *pools, struct lt_server_state *state)
{
    uint32_t id = state->id;
    if (LT_UNLIKELY(id >= pools->n)) {
        uint32_t n = lt_max(id + 1, pools->n * 2);
        struct lt_pool **v = lt_realloc(pools->v, n, sizeof(struct lt_pool *));
        if (v == NULL) {
            return NULL;
        }
        for (uint32_t i = pools->n; i < n; i++) {
            v[i] = NULL;
        }
        pools->v = v;
        pools->n = n;
    }
    struct lt_pool *pool = pools->v[id];
    if (LT_UNLIKELY(pool == NULL)) {
        pool = lt_calloc(1, sizeof(*pool));
        if (pool == NULL) {
            return NULL;
        }
        lt_list_init(&pool->idle);
        lt_list_init(&pool->h2);
        pool->state = state;
        pool->pools = pools;
        lt_connections_init(pool);
        pools->v[id] = pool;
    }
    return pool;
}

bool lt_pools_close_one_idle(struct lt_pools *pools)
{
    for (uint32_t i = 0; i < pools->n; i++) {
        struct lt_pool *pool = pools->v[i];
        if (pool != NULL && !lt_list_empty(&pool->idle)) {
            lt_back_h1_close(lt_back_h1_from_idle(pool->idle.prev));
            return true;
        }
        if (pool != NULL && lt_back_h2_close_one_idle(pool)) {
            return true;
        }
    }
    return false;
}
