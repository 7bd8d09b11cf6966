/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits by GCRA, one compare-and-swap on one 64-bit word per key. The words lie in memory
 * that the caller provides (zeroed at first; shared by workers and by generations of the gateway):
 * there is no lock, each word is valid alone, so a crash in the middle leaves nothing to mend.
 *
 *   bucket = 8 words = 1 cache line        word = 22-bit tag | 42-bit theoretical arrival time (us)
 *
 * The arrival time is that of the clock given by the caller, modulo 2^42 us (50 days). A word whose
 * time has passed says the same as no word at all, so nothing has to be swept. When all 8 words of
 * a bucket are live, the one that ends first makes room. Any thread. */
#ifndef LT_SHARED_RATE_TABLE_H
#define LT_SHARED_RATE_TABLE_H

#include "base/defs.h"
#include "base/hash.h"

struct lt_rate_bucket;

/* One process' view of the table; the words are in the caller's memory. */
struct lt_rate_table {
    struct lt_rate_bucket *buckets; /* borrowed */
    uint64_t mask;                  /* number of buckets - 1 */
    struct lt_hash_seed seed;       /* of keys; the same in every process that shares the memory */
};

/* How many requests: `capacity` at once, refilled one per `emission`. */
struct lt_rate_limit {
    uint64_t emission; /* time that one request takes, in 1/1024 us, > 0 */
    uint32_t capacity; /* requests that a key which was idle may make at once, > 0 */
};

struct lt_rate_result {
    bool allowed;
    bool evicted;            /* another key was forgotten to make room */
    uint32_t remaining;      /* requests that would be allowed right now */
    uint64_t retry_after_us; /* until one is allowed; 0 when allowed */
    uint64_t reset_us;       /* until the key may make `capacity` requests at once again */
    uint64_t taken_us;       /* for lt_rate_give */
};

/* Longest time that capacity requests may take: longer ones could not be told from old words. */
#define LT_RATE_WINDOW_MAX_US (UINT64_C(7) * 24 * 3600 * 1000000)

/* Uses the largest power of two of whole buckets in mem (aligned to a cache line, at least one
 * bucket). Does not touch the words: mem is zeroed when it is new. False when bytes is too small.
 */
bool lt_rate_init(struct lt_rate_table *table, void *mem, size_t bytes,
                  const struct lt_hash_seed *seed) LT_MUST_CHECK;

/* `count` requests per period and `burst` more at once: capacity is count + burst. False when it is
 * faster than 1,000,000 a second or takes longer than LT_RATE_WINDOW_MAX_US. */
bool lt_rate_limit_make(struct lt_rate_limit *limit, uint32_t count, uint64_t period_ms,
                        uint32_t burst) LT_MUST_CHECK;

/* Takes `cost` requests at once for the key with this hash (lt_hash with the table's seed), all of
 * them or none. What costs more than the capacity takes all of that. */
void lt_rate_take(struct lt_rate_table *table, uint64_t hash, uint64_t now_us,
                  const struct lt_rate_limit *limit, uint32_t cost, struct lt_rate_result *result);

/* What lt_rate_take would say, but `remaining` and `reset_us` are those of now. Takes nothing. */
void lt_rate_look(const struct lt_rate_table *table, uint64_t hash, uint64_t now_us,
                  const struct lt_rate_limit *limit, uint32_t cost, struct lt_rate_result *result);

/* Gives back what a take of the same key took (its result's taken_us). */
void lt_rate_give(struct lt_rate_table *table, uint64_t hash, uint64_t now_us, uint64_t taken_us);

/* The key is as one that was never seen. */
void lt_rate_forget(struct lt_rate_table *table, uint64_t hash);

#endif
