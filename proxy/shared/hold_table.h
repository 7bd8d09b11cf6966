/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in flight per key, one compare-and-swap on one 64-bit word each. The words lie in the
 * shared memory, so that a gateway which drains and the one that follows it count together; a word
 * has a lane per gateway generation (modulo 4), and the supervisor zeroes the lane of a dead one.
 *
 *   bucket = 8 words = 1 cache line        word = 24-bit tag | four lanes of 10 bits
 *
 * A word whose lanes are all 0 is free. No key that holds something is ever forgotten: where a
 * bucket is full the newcomer goes uncounted, and its caller hears of it. Any thread. */
#ifndef LT_SHARED_HOLD_TABLE_H
#define LT_SHARED_HOLD_TABLE_H

#include "base/defs.h"

#include <stdatomic.h>

/* Most that one key may hold. */
#define LT_HOLD_MAX 1000u

struct lt_hold_bucket;

/* One gateway's view. */
struct lt_hold_table {
    struct lt_hold_bucket *buckets; /* borrowed */
    uint64_t mask;                  /* number of buckets - 1 */
    unsigned lane;
};

/* A place that is held: for release. */
struct lt_hold {
    const struct lt_hold_table *table;
    _Atomic(uint64_t) *word;
};

enum lt_hold_result {
    LT_HOLD_TAKEN,
    LT_HOLD_FULL,   /* the key holds max already */
    LT_HOLD_NO_ROOM /* too many keys: nothing was counted */
};

/* Uses the largest power of two of whole buckets in mem (aligned to a cache line, at least one
 * bucket; zeroed when it is new). */
void lt_hold_init(struct lt_hold_table *table, void *mem, size_t bytes, uint32_t generation);

/* Takes a place for the key with this hash unless all generations together hold max (at most
 * LT_HOLD_MAX). TAKEN: *hold is to be released once. */
enum lt_hold_result lt_hold_take(const struct lt_hold_table *table, uint64_t hash, uint32_t max,
                                 struct lt_hold *hold) LT_MUST_CHECK;
void lt_hold_release(const struct lt_hold *hold);

/* How many the key holds now. */
uint32_t lt_hold_count(const struct lt_hold_table *table, uint64_t hash);

/* Gives back what a dead generation held. Supervisor. */
void lt_hold_clear_generation(void *mem, size_t bytes, uint32_t generation);

#endif
