/* SPDX-License-Identifier: Apache-2.0 */
/* Which server gets an exchange. The choice goes through passes, from the best servers to the worst
 * that may still be asked; in each pass the balancer looks at one group of servers and asks of each
 * one question, allowed(). So no balancer knows of health, max, retries or slow start. The worker's
 * thread.
 *
 *   pass (group, how fit) --> sticky server, else balancer --allowed?--> take: its slot
 *        ^------ nobody at all ------'
 */
#include "upstream/balance.h"

#include "upstream/connections.h"
#include "upstream/health.h"
#include "upstream/latency.h"
#include "upstream/queue.h"
#include "upstream/seat.h"
#include "upstream/server_set.h"
#include "upstream/standing.h"

/* Draws until the rest is looked through one by one. */
#define DRAWS 8u
/* Keys go on to their next place so often. */
#define JUMPS 64u
/* Of more servers than that, least_requests looks at as many as LEAST_DRAWS that are drawn. */
#define LEAST_SCAN 64u
#define LEAST_DRAWS 32u
/* Shorter latencies are too much noise to tell servers apart. */
#define LATENCY_FLOOR_US UINT64_C(5000)
#define LATENCY_UNIT_US UINT64_C(64) /* so that no product is over 64 bits */
#define LOAD_MAX (UINT64_C(1) << 16)
/* At first a server that came gets that much of its share. */
#define WARM_LEAST (LT_WARM_WHOLE / 64)

/* What one choice looks at. */
struct choice {
    struct lt_pools *pools;
    const struct lt_pick *pick;
    const struct lt_server_set *set;
    const struct lt_balance_options *options;
    struct lt_standing *standing;
    const struct lt_server_group *group;
    enum lt_server_group_kind kind;
    enum lt_fit worst; /* that is taken in this pass */
    bool lots;         /* servers that came a while ago have to draw */
    bool full;         /* one was left out since it is at its max */
    bool unlucky;      /* one was left out by lot */
    bool hashed;
    uint64_t hash;
};

/* ---- whether a server may be taken ---- */

void lt_pick_tried(struct lt_pick *pick, const struct lt_server *server)
{
    pick->tried[pick->n_tried++ % LT_PICK_TRIED_MAX] = server->state->id;
}

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

uint32_t lt_server_warmth(const struct lt_server *server, uint64_t now_us)
{
    uint64_t whole_us = server->upstream->balance.slow_start_us;
    if (whole_us == 0) {
        return LT_WARM_WHOLE;
    }
    uint64_t since = atomic_load_explicit(&server->state->up_since_us, memory_order_relaxed);
    if (since == 0 || now_us >= since + whole_us) {
        return LT_WARM_WHOLE;
    }
    uint64_t past = now_us > since ? now_us - since : 0;
    return (uint32_t)lt_max(past * LT_WARM_WHOLE / whole_us, WARM_LEAST);
}

/* A key draws the same lot each time, so it moves to a server that came once and stays. */
static bool is_lucky(const struct choice *c, const struct lt_server *server)
{
    uint32_t warmth = lt_server_warmth(server, c->pools->loop->now_us);
    if (warmth >= LT_WARM_WHOLE) {
        return true;
    }
    uint64_t lot =
        c->hashed ? lt_hash_ring_next(c->pick->hash) : lt_rand_u64(&c->pools->loop->rand);
    return lot % LT_WARM_WHOLE < warmth;
}

static bool allowed(struct choice *c, const struct lt_server *server)
{
    if (lt_pick_was_tried(c->pick, server) ||
        lt_server_fit(server, c->pools->loop->now_us) > c->worst) {
        return false;
    }
    if (server->max > 0 && lt_server_inflight(server->state) >= server->max) {
        c->full = true;
        return false;
    }
    if (server->max_connections > 0 && !lt_connections_room(c->pools, server)) {
        c->full = true;
        return false;
    }
    if (c->lots && !is_lucky(c, server)) {
        c->unlucky = true;
        return false;
    }
    return true;
}

/* ---- load ---- */

/* Exchanges of this worker at server; of one that is cold they count for more. */
static uint64_t busy_with(const struct choice *c, const struct lt_server *server,
                          const struct lt_pool *pool)
{
    uint64_t active = lt_min(pool->active, LOAD_MAX);
    return active * LT_WARM_WHOLE / lt_server_warmth(server, c->pools->loop->now_us);
}

/* The same with one more, per weight. */
static uint64_t load_of(const struct choice *c, const struct lt_server *server)
{
    const struct lt_pool *pool = lt_pool_get(c->pools, server->state);
    return pool != NULL ? ((busy_with(c, server, pool) + 1) << 24) / server->weight : UINT64_MAX;
}

/* Times of answers in units of each other; both 1 when they are close, or one is not known: else
 * the quicker one of two idle servers would get all. */
static void latencies(const struct choice *c, const struct lt_pool *pa, const struct lt_pool *pb,
                      uint64_t *la, uint64_t *lb)
{
    uint64_t now_us = c->pools->loop->now_us, half_life_us = c->options->half_life_us;
    *la = lt_latency_of(pa, half_life_us, now_us);
    *lb = lt_latency_of(pb, half_life_us, now_us);
    bool known = *la > 0 && *lb > 0;
    *la = lt_max(*la, LATENCY_FLOOR_US) / LATENCY_UNIT_US;
    *lb = lt_max(*lb, LATENCY_FLOOR_US) / LATENCY_UNIT_US;
    if (!known || (*la < 2 * *lb && *lb < 2 * *la)) {
        *la = *lb = 1;
    }
}

/* Whether b is to be preferred to a, which was drawn by weight: less exchanges per weight, as it is
 * and with one more, since neither alone is fair to few exchanges: the one makes nothing of the
 * weights, the other gives all to the heaviest. Where latencies tell, less latency times exchanges.
 */
static bool is_better(const struct choice *c, const struct lt_server *b, const struct lt_server *a,
                      bool by_latency)
{
    const struct lt_pool *pa = lt_pool_get(c->pools, a->state);
    const struct lt_pool *pb = lt_pool_get(c->pools, b->state);
    if (pa == NULL || pb == NULL) {
        return pa == NULL;
    }
    uint64_t la = 1, lb = 1, na = busy_with(c, a, pa), nb = busy_with(c, b, pb);
    if (by_latency) {
        latencies(c, pa, pb, &la, &lb);
    }
    return (nb + 1) * lb * a->weight < (na + 1) * la * b->weight &&
           (la != lb || nb * a->weight < na * b->weight);
}

/* ---- the balancers; each gives NULL when no server of the group is allowed ---- */

/* The first one allowed at or after from, going round once. */
static struct lt_server *next_allowed(struct choice *c, unsigned from)
{
    for (unsigned k = 0; k < c->group->n; k++) {
        struct lt_server *server = c->group->v[(from + k) % c->group->n];
        if (allowed(c, server)) {
            return server;
        }
    }
    return NULL;
}

/* One drawn by weight; not `other`, if there is another. */
static struct lt_server *pick_random(struct choice *c, const struct lt_server *other)
{
    struct lt_rand *rand = &c->pools->loop->rand;
    for (unsigned k = 0; k < DRAWS; k++) {
        struct lt_server *server = c->group->v[lt_server_group_draw(c->group, rand)];
        if (server != other && allowed(c, server)) {
            return server;
        }
    }
    if (other != NULL) {
        return NULL;
    }
    return next_allowed(c, lt_rand_below(rand, c->group->n));
}

/* Power of two choices. */
static struct lt_server *pick_p2c(struct choice *c)
{
    struct lt_server *a = pick_random(c, NULL);
    struct lt_server *b = a != NULL && c->group->n > 1 ? pick_random(c, a) : NULL;
    return b != NULL && is_better(c, b, a, true) ? b : a;
}

static struct lt_server *pick_least(struct choice *c)
{
    struct lt_rand *rand = &c->pools->loop->rand;
    bool all = c->group->n <= LEAST_SCAN;
    unsigned from = lt_server_group_draw(c->group, rand);
    struct lt_server *best = NULL;
    for (unsigned k = 0; k < (all ? c->group->n : LEAST_DRAWS); k++) {
        unsigned i = all ? (from + k) % c->group->n : lt_server_group_draw(c->group, rand);
        struct lt_server *server = c->group->v[i];
        if (allowed(c, server) && (best == NULL || is_better(c, server, best, false))) {
            best = server;
        }
    }
    return best != NULL || all ? best : next_allowed(c, from);
}

static struct lt_server *pick_round_robin(struct choice *c)
{
    struct lt_turns *turns = &c->standing->turns[c->kind];
    if (c->pick->n_tried > 0) {
        return pick_least(c); /* it had its turn */
    }
    for (unsigned k = 0; k < c->group->n; k++) {
        int i = lt_turns_next(turns, c->group, &c->pools->loop->rand);
        if (i < 0) {
            return NULL;
        }
        if (allowed(c, c->group->v[i])) {
            return c->group->v[i];
        }
    }
    /* Turns differ in number by weight: nobody may be passed over whose turn is far. */
    return next_allowed(c, 0);
}

/* Whether one more exchange keeps server within the bound: the average of those up, as far as this
 * worker knows, rounded up (consistent hashing with bounded loads). */
static bool has_room(const struct choice *c, const struct lt_server *server)
{
    const struct lt_pool *pool = lt_pool_get(c->pools, server->state);
    uint64_t weights = c->standing->up_weight[c->kind];
    if (c->options->bound == 0 || pool == NULL || weights == 0) {
        return true;
    }
    uint64_t whole = weights * 10000;
    uint64_t share = (uint64_t)c->options->bound * server->weight * (c->standing->active + 1);
    return pool->active < (share + whole - 1) / whole;
}

/* The first place of the key whose server may be taken. When all that were looked at are over the
 * bound, the least loaded of them. */
static struct lt_server *pick_hash(struct choice *c)
{
    uint64_t hash = c->hash;
    struct lt_server *best = NULL;
    uint64_t least = 0;
    for (unsigned k = 0; k < JUMPS; k++, hash = lt_hash_ring_next(hash)) {
        struct lt_server *server = c->group->v[lt_hash_ring_find(c->group->ring, hash)];
        if (!allowed(c, server)) {
            continue;
        }
        if (has_room(c, server)) {
            return server;
        }
        uint64_t load = load_of(c, server);
        if (best == NULL || load < least) {
            best = server;
            least = load;
        }
    }
    return best != NULL ? best : next_allowed(c, (unsigned)(hash % c->group->n));
}

static struct lt_server *pick_by(struct choice *c)
{
    if (c->hashed && c->group->ring != NULL) {
        return pick_hash(c);
    }
    switch (c->options->by) {
    case LT_BALANCE_ROUND_ROBIN:
        return pick_round_robin(c);
    case LT_BALANCE_LEAST_REQUESTS:
        return pick_least(c);
    case LT_BALANCE_RANDOM:
        return pick_random(c, NULL);
    case LT_BALANCE_P2C:
    case LT_BALANCE_PEAK_EWMA:
    case LT_BALANCE_HASH: /* without a key */
        return pick_p2c(c);
    }
    return NULL;
}

/* ---- passes ---- */

#define CALM_UP 2u
#define CALM 4u
#define PASSES 6u

/* First those when there is no panic, of which the first ask nobody who is not up; then those of
 * panic. */
static const struct {
    enum lt_server_group_kind kind;
    enum lt_fit worst;
} passes[PASSES] = {{LT_GROUP_ORDINARY, LT_FIT_UP},       {LT_GROUP_BACKUP, LT_FIT_UP},
                    {LT_GROUP_ORDINARY, LT_FIT_DOUBTFUL}, {LT_GROUP_BACKUP, LT_FIT_DOUBTFUL},
                    {LT_GROUP_ORDINARY, LT_FIT_DOWN},     {LT_GROUP_BACKUP, LT_FIT_DOWN}};

static bool take(struct lt_pools *pools, struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    if (pool == NULL || (server->max > 0 && !lt_seat_take(pools, pool, server))) {
        return false;
    }
    pool->active++;
    lt_server_hold(pools, server);
    return true;
}

/* The server of this pass; the one that the client is kept at, if it may be taken. */
static struct lt_server *choose(struct choice *c, struct lt_server *home)
{
    if (c->group->n == 0) {
        return NULL;
    }
    c->lots = false;
    if (home != NULL && (home->backup ? LT_GROUP_BACKUP : LT_GROUP_ORDINARY) == c->kind &&
        allowed(c, home)) {
        return home;
    }
    c->lots = c->options->slow_start_us > 0;
    c->unlucky = false;
    struct lt_server *server = pick_by(c);
    if (server == NULL && c->unlucky) {
        c->lots = false;
        server = pick_by(c);
    }
    return server;
}

/* One server of the pass, taken. A max may be reached between looking and taking: then once more,
 * and who loses so often takes it as full. */
static struct lt_server *try_pass(struct choice *c, struct lt_server *home)
{
    for (unsigned k = 0; k < DRAWS; k++) {
        struct lt_server *server = choose(c, home);
        if (server == NULL || take(c->pools, server)) {
            return server;
        }
        c->full = true;
    }
    return NULL;
}

/* The server of set that the client is kept at by its cookie; NULL: none. */
static struct lt_server *kept_at(const struct lt_pick *pick, const struct lt_server_set *set)
{
    if (set->groups->sticky == NULL || pick->sticky.len == 0) {
        return NULL;
    }
    int i = lt_sticky_find(set->groups->sticky, pick->sticky);
    return i >= 0 ? &set->v[i] : NULL;
}

/* The same, for c; while it is away, another that stays the same. */
static struct lt_server *home_of(struct choice *c, const struct lt_server_set *set)
{
    struct lt_server *home = kept_at(c->pick, set);
    if (home != NULL && !c->hashed) {
        c->hashed = true;
        c->hash = lt_hash_ring_key(c->pick->sticky);
    }
    return home;
}

bool lt_pick_is_strange(const struct lt_pick *pick, const struct lt_server *server)
{
    const struct lt_server *home = kept_at(pick, lt_upstream_set(pick->upstream));
    /* Who was sent to a backup comes back when the others do. */
    return home == NULL || (home->backup && !server->backup);
}

static bool in_panic(struct choice *c, const struct lt_server_set *set)
{
    const struct lt_balance_options *o = c->options;
    if (o->panic == 0 && o->bound == 0) {
        return false;
    }
    lt_standing_count(c->standing, set, c->pools->loop->now_us);
    return (uint64_t)c->standing->up * 10000 < (uint64_t)c->standing->n * o->panic;
}

static struct lt_server *try_passes(struct choice *c, struct lt_server *home, bool panic)
{
    struct lt_server *server = NULL;
    unsigned end = panic ? PASSES : c->pick->up_only ? CALM_UP : CALM;
    c->full = false;
    for (unsigned i = panic ? CALM : 0; i < end && server == NULL && !c->full; i++) {
        c->kind = passes[i].kind;
        c->worst = passes[i].worst;
        c->group = &c->set->groups->group[c->kind];
        server = try_pass(c, home);
    }
    return server;
}

/* All that might be taken are full: asks for connections to those that are so by their
 * max_connections. Whether there is one by now. */
static bool ask_for_connections(struct choice *c)
{
    bool room = false;
    for (unsigned i = 0; i < c->group->n; i++) {
        struct lt_server *server = c->group->v[i];
        if (server->max_connections > 0 && !lt_pick_was_tried(c->pick, server) &&
            lt_server_fit(server, c->pools->loop->now_us) <= c->worst &&
            !lt_connections_room(c->pools, server)) {
            room = lt_connections_ask(c->pools, server) || room;
        }
    }
    return room;
}

enum lt_pick_result lt_upstream_pick(struct lt_pools *pools, struct lt_pick *pick)
{
    const struct lt_server_set *set = lt_upstream_set(pick->upstream);
    struct choice c = {.pools = pools,
                       .pick = pick,
                       .set = set,
                       .options = &pick->upstream->balance,
                       .standing = lt_standing_get(pools, pick->upstream->state),
                       .hashed = pick->hashed,
                       .hash = pick->hash};
    if (set->n == 0 || c.standing == NULL) {
        return LT_PICK_NONE;
    }
    struct lt_server *home = home_of(&c, set);
    bool panic = in_panic(&c, set);
    struct lt_server *server = try_passes(&c, home, panic);
    if (server == NULL && c.full && ask_for_connections(&c)) {
        server = try_passes(&c, home, panic);
    }
    if (server == NULL) {
        return c.full ? LT_PICK_BUSY : LT_PICK_NONE;
    }
    c.standing->active++;
    pick->server = server;
    pick->strange = lt_pick_is_strange(pick, server);
    return LT_PICK_OK;
}

void lt_server_release(struct lt_pools *pools, struct lt_server *server)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    struct lt_standing *standing = lt_standing_get(pools, server->upstream->state);
    if (pool == NULL || standing == NULL) {
        return; /* who took it has made both */
    }
    pool->active--;
    standing->active--;
    if (server->max > 0) {
        lt_seat_leave(pools, pool, server);
    }
    if (server->max == 0 || server->max_connections > 0) {
        lt_queue_room(pools, server->upstream->state);
    }
}
