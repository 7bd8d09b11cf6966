/* SPDX-License-Identifier: Apache-2.0 */
/* Consistent hashing: a ring of points per member, made with a set of servers and immutable
 * afterwards. Only the keys of a member that leaves move. Any thread. */
#ifndef LT_UPSTREAM_HASH_RING_H
#define LT_UPSTREAM_HASH_RING_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct lt_hash_ring;

/* Who stands on a ring: its name decides where, its weight compared with the largest how often. */
struct lt_hash_ring_member {
    struct lt_str name;
    uint32_t weight; /* >= 1 */
};

/* A ring of n >= 1 members in arena. LT_ERR_NOMEM. */
enum lt_err lt_hash_ring_new(struct lt_arena *arena, const struct lt_hash_ring_member *members,
                             unsigned n, const struct lt_hash_ring **out) LT_MUST_CHECK;

/* The member that hash falls to, as an index of members. */
unsigned lt_hash_ring_find(const struct lt_hash_ring *ring, uint64_t hash);

/* The hash of a key, the same on every machine. */
uint64_t lt_hash_ring_key(struct lt_str key);

/* The hash to go on with when the member of this one can't be taken. */
uint64_t lt_hash_ring_next(uint64_t hash);

#endif
