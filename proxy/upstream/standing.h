/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker stands with an upstream: what it has under way there, whose turn it is, and how many
 * servers were up a moment ago. Found by the small id of the upstream's long-lived state. The
 * worker's thread. */
#ifndef LT_UPSTREAM_STANDING_H
#define LT_UPSTREAM_STANDING_H

#include "upstream/server_groups.h"

struct lt_turn {
    uint64_t due; /* in virtual time: a server of weight w is due every 1/w */
    uint32_t member;
};

/* A heap of the members of a group, who is due first on top. */
struct lt_turns {
    const struct lt_server_group *group; /* that it was made for; only compared */
    struct lt_turn *v;
    unsigned n;
};

struct lt_standing {
    unsigned active; /* exchanges of this worker at all its servers */

    /* Counted at most LT_STANDING_COUNTS a second. */
    const struct lt_server_set *counted; /* only compared */
    uint64_t counted_us;
    unsigned n, up;                     /* servers that may be asked at all, and those up */
    uint64_t up_weight[LT_GROUP_COUNT]; /* of those up */

    struct lt_turns turns[LT_GROUP_COUNT];
};

#define LT_STANDING_COUNTS 10u

/* Made on first use; NULL without memory. */
struct lt_standing *lt_standing_get(struct lt_pools *pools,
                                    const struct lt_upstream_state *state) LT_MUST_CHECK;
void lt_standings_free(struct lt_pools *pools);

/* Counts the servers of set that are up, unless that was done a moment ago. */
void lt_standing_count(struct lt_standing *standing, const struct lt_server_set *set,
                       uint64_t now_us);

/* The member whose turn it is; from then on it is due again later. n members take a whole round.
 * -1 without memory. */
int lt_turns_next(struct lt_turns *turns, const struct lt_server_group *group,
                  struct lt_rand *rand);

#endif
