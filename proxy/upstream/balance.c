/* SPDX-License-Identifier: Apache-2.0 */
/* Which server gets an exchange. Two rules hold for every balancer: servers that failed to connect
 * a moment ago come last, and a server with a max is taken only together with an in-flight slot.
 * The worker's thread. */
#include "upstream/balance.h"

#include "upstream/health.h"
#include "upstream/pool.h"
#include "upstream/server_set.h"

/* What one choice looks at. */
struct choice {
    struct lt_pools *pools;
    const struct lt_pick *pick;
    const struct lt_server_set *set;
    uint64_t full; /* servers at their max, a bit per index */
    bool down_too; /* look at servers that are down as well */
};

bool lt_pick_was_tried(const struct lt_pick *pick, const struct lt_server *server)
{
    unsigned n = lt_min(pick->n_tried, LT_PICK_TRIED_MAX);
    for (unsigned i = 0; i < n; i++) {
        if (pick->tried[i] == server->state->id) {
            return true;
        }
    }
    return false;
}

void lt_pick_tried(struct lt_pick *pick, const struct lt_server *server)
{
    pick->tried[pick->n_tried++ % LT_PICK_TRIED_MAX] = server->state->id;
}

static bool usable(const struct choice *c, unsigned i)
{
    if ((i < 64 && (c->full >> i) & 1) || lt_pick_was_tried(c->pick, &c->set->v[i])) {
        return false;
    }
    if (lt_server_admin(c->set->v[i].state) != LT_SERVER_READY) {
        return false;
    }
    return c->down_too || lt_server_up(&c->set->v[i], c->pools->loop->now_us);
}

/* The first usable server at or after from, going round once; NULL: none. */
static struct lt_server *next_usable(const struct choice *c, unsigned from)
{
    unsigned n = c->set->n;
    for (unsigned k = 0; k < n; k++) {
        unsigned i = from + k < n ? from + k : from + k - n;
        if (usable(c, i)) {
            return &c->set->v[i];
        }
    }
    return NULL;
}

/* Exchanges of this worker at server, per weight. */
static uint64_t load_of(struct lt_pools *pools, const struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    return pool != NULL ? ((uint64_t)pool->active << 16) / server->weight : UINT64_MAX;
}

/* Power of two choices: the less loaded of two drawn at random. */
static struct lt_server *pick_p2c(const struct choice *c)
{
    unsigned n = c->set->n;
    struct lt_server *a = next_usable(c, lt_rand_below(&c->pools->loop->rand, n));
    if (a == NULL || n == 1) {
        return a;
    }
    /* The second draw leaves out the first server. */
    unsigned other = a->index + 1 + lt_rand_below(&c->pools->loop->rand, n - 1);
    struct lt_server *b = next_usable(c, other % n);
    return load_of(c->pools, b) < load_of(c->pools, a) ? b : a;
}

/* Smooth weighted round robin: every server gains its weight, the richest is taken and pays the
 * sum. */
static struct lt_server *pick_round_robin(const struct choice *c)
{
    struct lt_server *best = NULL;
    struct lt_pool *best_pool = NULL;
    int64_t total = 0;
    for (unsigned i = 0; i < c->set->n; i++) {
        struct lt_server *server = &c->set->v[i];
        struct lt_pool *pool = usable(c, i) ? lt_pool_get(c->pools, server->state) : NULL;
        if (pool == NULL) {
            continue;
        }
        pool->turn += server->weight;
        total += server->weight;
        if (best == NULL || pool->turn > best_pool->turn) {
            best = server;
            best_pool = pool;
        }
    }
    if (best != NULL) {
        best_pool->turn -= total;
    }
    return best;
}

static struct lt_server *pick_by(const struct choice *c)
{
    switch (c->pick->upstream->balance) {
    case LT_BALANCE_P2C:
        return pick_p2c(c);
    case LT_BALANCE_ROUND_ROBIN:
        return pick_round_robin(c);
    }
    return NULL;
}

static bool take(struct lt_pools *pools, struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    if (pool == NULL || (server->max > 0 && !lt_server_acquire(server->state, server->max))) {
        return false;
    }
    pool->active++;
    lt_server_hold(pools, server);
    return true;
}

enum lt_pick_result lt_upstream_pick(struct lt_pools *pools, struct lt_pick *pick)
{
    struct choice c = {.pools = pools, .pick = pick, .set = lt_upstream_set(pick->upstream)};
    bool busy = false;
    if (c.set->n == 0) {
        return LT_PICK_NONE;
    }
    /* Each server that is full is left out and the balancer asked again; at most every server once,
     * first among those that are up, then among all. */
    for (unsigned round = 0; round < 2 * c.set->n + 2; round++) {
        struct lt_server *s = pick_by(&c);
        if (s == NULL) {
            if (c.down_too) {
                break;
            }
            c.down_too = true;
            continue;
        }
        if (take(pools, s)) {
            pick->server = s;
            return LT_PICK_OK;
        }
        busy = true;
        if (s->index >= 64) {
            break;
        }
        c.full |= UINT64_C(1) << s->index;
    }
    return busy ? LT_PICK_BUSY : LT_PICK_NONE;
}

void lt_server_release(struct lt_pools *pools, struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    if (pool != NULL) {
        pool->active--;
    }
    if (server->max > 0) {
        lt_server_drop(server->state);
    }
}
