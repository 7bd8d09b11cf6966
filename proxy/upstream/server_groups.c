/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, and draws by weight in constant time: each member has a column of the same height, filled
 * by its own weight and topped up by one other member (Vose's alias method). */
#include "upstream/server_groups.h"

struct lt_lot {
    uint32_t keep;  /* a number below this is the column's own; UINT32_MAX: any */
    uint32_t other; /* else this one */
};

static enum lt_err make_lots(struct lt_arena *arena, struct lt_server_group *g)
{
    uint64_t total = 0;
    bool same = true;
    for (unsigned i = 0; i < g->n; i++) {
        total += g->v[i]->weight;
        same = same && g->v[i]->weight == g->v[0]->weight;
    }
    if (same) {
        return LT_OK;
    }
    struct lt_lot *lots = lt_arena_zalloc(arena, g->n, sizeof(*lots));
    uint64_t *height = lt_arena_zalloc(arena, g->n, sizeof(*height));
    uint32_t *small = lt_arena_zalloc(arena, g->n, sizeof(*small));
    uint32_t *large = lt_arena_zalloc(arena, g->n, sizeof(*large));
    if (lots == NULL || height == NULL || small == NULL || large == NULL) {
        return LT_ERR_NOMEM;
    }
    unsigned n_small = 0, n_large = 0;
    for (unsigned i = 0; i < g->n; i++) {
        height[i] = (uint64_t)g->v[i]->weight * g->n; /* of total, which is a whole column */
        lots[i].keep = UINT32_MAX;
        if (height[i] < total) {
            small[n_small++] = i;
        } else {
            large[n_large++] = i;
        }
    }
    while (n_small > 0 && n_large > 0) {
        uint32_t low = small[--n_small], high = large[n_large - 1];
        lots[low].keep = (uint32_t)(((height[low] << 32) - height[low]) / total);
        lots[low].other = high;
        height[high] -= total - height[low];
        if (height[high] < total) {
            small[n_small++] = high;
            n_large--;
        }
    }
    g->lots = lots;
    return LT_OK;
}

unsigned lt_server_group_draw(const struct lt_server_group *g, struct lt_rand *rand)
{
    unsigned i = lt_rand_below(rand, g->n);
    if (g->lots == NULL || g->lots[i].keep == UINT32_MAX) {
        return i;
    }
    return (uint32_t)(lt_rand_u64(rand) >> 32) < g->lots[i].keep ? i : g->lots[i].other;
}

static enum lt_err make_ring(struct lt_arena *arena, struct lt_server_group *g)
{
    struct lt_hash_ring_member *members = lt_arena_zalloc(arena, g->n, sizeof(*members));
    if (members == NULL) {
        return LT_ERR_NOMEM;
    }
    for (unsigned i = 0; i < g->n; i++) {
        members[i] = (struct lt_hash_ring_member){.name = g->v[i]->name, .weight = g->v[i]->weight};
    }
    return lt_hash_ring_new(arena, members, g->n, &g->ring);
}

static enum lt_err make_group(struct lt_arena *arena, const struct lt_upstream *u,
                              const struct lt_server_set *set, bool backup,
                              struct lt_server_group *g)
{
    g->v = lt_arena_zalloc(arena, set->n, sizeof(struct lt_server *));
    if (g->v == NULL) {
        return LT_ERR_NOMEM;
    }
    for (unsigned i = 0; i < set->n; i++) {
        if (set->v[i].backup == backup) {
            g->v[g->n++] = &set->v[i];
        }
    }
    enum lt_err err = make_lots(arena, g);
    /* Clients whose server is away are hashed too. */
    bool hashed = u->balance.by == LT_BALANCE_HASH || u->balance.sticky.enabled;
    return err == LT_OK && hashed && g->n > 0 ? make_ring(arena, g) : err;
}

static enum lt_err make_tokens(struct lt_arena *arena, const struct lt_upstream *u,
                               const struct lt_server_set *set, struct lt_server_groups *groups)
{
    struct lt_str *names = lt_arena_zalloc(arena, set->n, sizeof(*names));
    if (names == NULL) {
        return LT_ERR_NOMEM;
    }
    for (unsigned i = 0; i < set->n; i++) {
        names[i] = set->v[i].name;
    }
    return lt_sticky_table_new(arena, &u->balance.sticky, u->name, names, set->n, &groups->sticky);
}

enum lt_err lt_server_groups_new(struct lt_arena *arena, const struct lt_upstream *upstream,
                                 const struct lt_server_set *set,
                                 const struct lt_server_groups **out)
{
    struct lt_server_groups *groups = lt_arena_zalloc(arena, 1, sizeof(*groups));
    enum lt_err err = groups != NULL ? LT_OK : LT_ERR_NOMEM;
    for (unsigned k = 0; k < LT_GROUP_COUNT && err == LT_OK; k++) {
        err = make_group(arena, upstream, set, k == LT_GROUP_BACKUP, &groups->group[k]);
    }
    if (err == LT_OK && upstream->balance.sticky.enabled) {
        err = make_tokens(arena, upstream, set, groups);
    }
    *out = groups;
    return err;
}
