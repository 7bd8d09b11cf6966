/* SPDX-License-Identifier: Apache-2.0 */
/* What balancing needs of a set of servers, made with it and immutable afterwards: the ordinary
 * servers and the backups, each as a group with what its balancer looks things up in. */
#ifndef LT_UPSTREAM_SERVER_GROUPS_H
#define LT_UPSTREAM_SERVER_GROUPS_H

#include "upstream/hash_ring.h"
#include "upstream/sticky.h"
#include "upstream/upstream.h"

enum lt_server_group_kind { LT_GROUP_ORDINARY, LT_GROUP_BACKUP, LT_GROUP_COUNT };

struct lt_lot;

struct lt_server_group {
    struct lt_server **v;
    unsigned n;
    struct lt_lot *lots;             /* for draws by weight; NULL: all weights are the same */
    const struct lt_hash_ring *ring; /* NULL: nothing is hashed */
};

struct lt_server_groups {
    struct lt_server_group group[LT_GROUP_COUNT];
    const struct lt_sticky_table *sticky; /* by index within the set; NULL: no cookie */
};

/* The groups of set, whose servers are complete, by the options of upstream. In arena, which lives
 * as long as the set. LT_ERR_NOMEM. */
enum lt_err lt_server_groups_new(struct lt_arena *arena, const struct lt_upstream *upstream,
                                 const struct lt_server_set *set,
                                 const struct lt_server_groups **out) LT_MUST_CHECK;

/* A member drawn by weight; the group is not empty. */
unsigned lt_server_group_draw(const struct lt_server_group *group, struct lt_rand *rand);

#endif
