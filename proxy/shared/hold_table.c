/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in flight per key (hold_table.h). Any thread of any process that maps the memory.
 *
 * Memory order: every word is valid alone and nothing else is published through it, so all accesses
 * are relaxed. */
#include "shared/hold_table.h"

#define SLOTS 8u
#define LANES 4u
#define LANE_BITS 10u
#define LANE_MASK UINT64_C(0x3ff)
#define TAG_SHIFT (LANES * LANE_BITS)
#define LANES_MASK ((UINT64_C(1) << TAG_SHIFT) - 1)
/* Tries against other threads before a request goes uncounted: never seen, but a loop without an
 * end has no place here. */
#define TRIES_MAX 1000u

struct lt_hold_bucket {
    _Alignas(LT_CACHE_LINE) _Atomic(uint64_t) word[SLOTS];
};

_Static_assert(sizeof(struct lt_hold_bucket) == LT_CACHE_LINE, "a bucket is one cache line");
_Static_assert(LT_HOLD_MAX <= LANE_MASK, "one generation may hold all");

void lt_hold_init(struct lt_hold_table *table, void *mem, size_t bytes, uint32_t generation)
{
    uint64_t n = bytes / sizeof(struct lt_hold_bucket);
    while ((n & (n - 1)) != 0) {
        n &= n - 1;
    }
    *table = (struct lt_hold_table){.buckets = mem, .mask = n - 1, .lane = generation % LANES};
}

static inline uint64_t tag_of(uint64_t hash)
{
    return hash >> TAG_SHIFT;
}

static uint32_t sum(uint64_t word)
{
    uint32_t n = 0;
    for (unsigned lane = 0; lane < LANES; lane++) {
        n += (uint32_t)(word >> (lane * LANE_BITS) & LANE_MASK);
    }
    return n;
}

/* The slot of the key (true), else a free one, else SLOTS. */
static bool find(const struct lt_hold_bucket *b, uint64_t tag, unsigned *at, uint64_t *word)
{
    *at = SLOTS;
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t seen = atomic_load_explicit(&b->word[i], memory_order_relaxed);
        bool free_one = (seen & LANES_MASK) == 0;
        if (!free_one && seen >> TAG_SHIFT == tag) {
            *at = i;
            *word = seen;
            return true;
        }
        if (free_one && *at == SLOTS) {
            *at = i;
            *word = seen;
        }
    }
    return false;
}

/* Two threads that began with the same key at once may have put it into two slots: the later slot
 * gives way. */
static bool is_double(const struct lt_hold_bucket *b, uint64_t tag, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        uint64_t word = atomic_load_explicit(&b->word[i], memory_order_relaxed);
        if (word >> TAG_SHIFT == tag && (word & LANES_MASK) != 0) {
            return true;
        }
    }
    return false;
}

enum lt_hold_result lt_hold_take(const struct lt_hold_table *table, uint64_t hash, uint32_t max,
                                 struct lt_hold *hold)
{
    struct lt_hold_bucket *b = &table->buckets[hash & table->mask];
    uint64_t tag = tag_of(hash), one = UINT64_C(1) << (table->lane * LANE_BITS), word = 0;
    unsigned at;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        bool found = find(b, tag, &at, &word);
        if (at == SLOTS) {
            return LT_HOLD_NO_ROOM;
        }
        if (found && sum(word) >= lt_min(max, LT_HOLD_MAX)) {
            return LT_HOLD_FULL;
        }
        uint64_t next = found ? word + one : tag << TAG_SHIFT | one;
        if (!atomic_compare_exchange_strong_explicit(&b->word[at], &word, next,
                                                     memory_order_relaxed, memory_order_relaxed)) {
            continue;
        }
        *hold = (struct lt_hold){.table = table, .word = &b->word[at]};
        if (found || !is_double(b, tag, at)) {
            return LT_HOLD_TAKEN;
        }
        lt_hold_release(hold);
    }
    return LT_HOLD_NO_ROOM;
}

void lt_hold_release(const struct lt_hold *hold)
{
    unsigned shift = hold->table->lane * LANE_BITS;
    uint64_t seen = atomic_load_explicit(hold->word, memory_order_relaxed);
    do {
        if ((seen >> shift & LANE_MASK) == 0) {
            return; /* the lane was cleared: never borrow from the next one */
        }
    } while (!atomic_compare_exchange_weak_explicit(hold->word, &seen,
                                                    seen - (UINT64_C(1) << shift),
                                                    memory_order_relaxed, memory_order_relaxed));
}

uint32_t lt_hold_count(const struct lt_hold_table *table, uint64_t hash)
{
    uint64_t word = 0;
    unsigned at;
    return find(&table->buckets[hash & table->mask], tag_of(hash), &at, &word) ? sum(word) : 0;
}

void lt_hold_clear_generation(void *mem, size_t bytes, uint32_t generation)
{
    _Atomic(uint64_t) *words = mem;
    uint64_t lane = LANE_MASK << (generation % LANES * LANE_BITS);
    for (size_t i = 0; i < bytes / sizeof(words[0]); i++) {
        if ((atomic_load_explicit(&words[i], memory_order_relaxed) & lane) != 0) {
            atomic_fetch_and_explicit(&words[i], ~lane, memory_order_relaxed);
        }
    }
}
