/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/standing.h"

#include "base/mem.h"
#include "upstream/health.h"
#include "upstream/pool.h"

#define ROUND (UINT64_C(1) << 32) /* in virtual time, between two turns of weight 1 */

struct lt_standing *lt_standing_get(struct lt_pools *pools, const struct lt_upstream_state *state)
{
    uint32_t id = state->id;
    if (LT_UNLIKELY(id >= pools->n_standings)) {
        uint32_t n = lt_max(id + 1, pools->n_standings * 2);
        struct lt_standing **v = lt_realloc(pools->standings, n, sizeof(*v));
        if (v == NULL) {
            return NULL;
        }
        for (uint32_t i = pools->n_standings; i < n; i++) {
            v[i] = NULL;
        }
        pools->standings = v;
        pools->n_standings = n;
    }
    if (LT_UNLIKELY(pools->standings[id] == NULL)) {
        pools->standings[id] = lt_calloc(1, sizeof(struct lt_standing));
    }
    return pools->standings[id];
}

void lt_standings_free(struct lt_pools *pools)
{
    for (uint32_t i = 0; i < pools->n_standings; i++) {
        if (pools->standings[i] != NULL) {
            for (unsigned k = 0; k < LT_GROUP_COUNT; k++) {
                lt_free(pools->standings[i]->turns[k].v);
            }
            lt_free(pools->standings[i]);
        }
    }
    lt_free(pools->standings);
    pools->standings = NULL;
    pools->n_standings = 0;
}

void lt_standing_count(struct lt_standing *s, const struct lt_server_set *set, uint64_t now_us)
{
    if (s->counted == set && now_us - s->counted_us < 1000000 / LT_STANDING_COUNTS) {
        return;
    }
    s->counted = set;
    s->counted_us = now_us;
    s->n = s->up = 0;
    s->up_weight[LT_GROUP_ORDINARY] = s->up_weight[LT_GROUP_BACKUP] = 0;
    for (unsigned i = 0; i < set->n; i++) {
        const struct lt_server *server = &set->v[i];
        enum lt_fit fit = lt_server_fit(server, now_us);
        s->n += fit != LT_FIT_OUT;
        if (fit == LT_FIT_UP) {
            s->up++;
            s->up_weight[server->backup ? LT_GROUP_BACKUP : LT_GROUP_ORDINARY] += server->weight;
        }
    }
}

/* ---- Turns. ---- */

static void sink(struct lt_turns *turns, unsigned i)
{
    struct lt_turn moved = turns->v[i];
    for (;;) {
        unsigned child = 2 * i + 1;
        if (child >= turns->n) {
            break;
        }
        if (child + 1 < turns->n && turns->v[child + 1].due < turns->v[child].due) {
            child++;
        }
        if (turns->v[child].due >= moved.due) {
            break;
        }
        turns->v[i] = turns->v[child];
        i = child;
    }
    turns->v[i] = moved;
}

/* Where the first round begins differs by worker, and the servers of one weight are spread over it,
 * so that neither workers nor weights come in bunches. */
static bool begin(struct lt_turns *turns, const struct lt_server_group *group, struct lt_rand *rand)
{
    if (turns->n != group->n || turns->v == NULL) {
        struct lt_turn *v = lt_realloc(turns->v, group->n, sizeof(*v));
        if (v == NULL) {
            return false;
        }
        turns->v = v;
        turns->n = group->n;
    }
    unsigned from = lt_rand_below(rand, group->n);
    for (unsigned i = 0; i < group->n; i++) {
        unsigned place = (i + from) % group->n;
        uint64_t step = ROUND / group->v[i]->weight;
        turns->v[i] = (struct lt_turn){.due = step / group->n * (place + 1), .member = i};
    }
    for (unsigned i = group->n / 2; i-- > 0;) {
        sink(turns, i);
    }
    turns->group = group;
    return true;
}

int lt_turns_next(struct lt_turns *turns, const struct lt_server_group *group, struct lt_rand *rand)
{
    if ((turns->group != group || turns->n != group->n) && !begin(turns, group, rand)) {
        return -1;
    }
    struct lt_turn *top = &turns->v[0];
    uint32_t member = top->member;
    top->due += ROUND / group->v[member]->weight;
    sink(turns, 0);
    return (int)member;
}
