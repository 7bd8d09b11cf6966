/* SPDX-License-Identifier: Apache-2.0 */
/* The rate table: GCRA by compare-and-swap (see rate_table.h). Any thread of any process that maps
 * the memory.
 *
 * Memory order: every word is valid alone and nothing else is published through it, so all accesses
 * are relaxed. */
#include "shared/rate_table.h"

#include <stdatomic.h>

#define SLOTS 8u
#define TIME_BITS 42
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define TAG_MASK ((UINT64_C(1) << (64 - TIME_BITS)) - 1)
/* Tries against other threads before a request is let through uncounted: never seen, but a loop
 * without an end has no place here. */
#define TRIES_MAX 1000u

struct lt_rate_bucket {
    _Alignas(LT_CACHE_LINE) _Atomic(uint64_t) word[SLOTS];
};

_Static_assert(sizeof(struct lt_rate_bucket) == LT_CACHE_LINE, "a bucket is one cache line");

bool lt_rate_init(struct lt_rate_table *table, void *mem, size_t bytes,
                  const struct lt_hash_seed *seed)
{
    uint64_t n = bytes / sizeof(struct lt_rate_bucket);
    if (n == 0) {
        return false;
    }
    while ((n & (n - 1)) != 0) {
        n &= n - 1;
    }
    *table = (struct lt_rate_table){.buckets = mem, .mask = n - 1, .seed = *seed};
    return true;
}

bool lt_rate_limit_make(struct lt_rate_limit *limit, uint32_t count, uint64_t period_ms,
                        uint32_t burst)
{
    if (count == 0 || period_ms == 0 || period_ms > LT_RATE_WINDOW_MAX_US / 1000) {
        return false;
    }
    uint64_t capacity = (uint64_t)count + burst;
    uint64_t emission = period_ms * 1000 * 1024 / count;
    if (emission < 1024 || capacity > UINT32_MAX ||
        capacity > LT_RATE_WINDOW_MAX_US * 1024 / emission) {
        return false;
    }
    *limit = (struct lt_rate_limit){.emission = emission, .capacity = (uint32_t)capacity};
    return true;
}

/* How far the word's time lies ahead of now; 0 when it has passed, or is so far ahead that it is an
 * old one seen from behind the wrap of the clock. */
static inline uint64_t ahead(uint64_t word, uint64_t now)
{
    uint64_t d = (word - now) & TIME_MASK;
    return word != 0 && d <= LT_RATE_WINDOW_MAX_US ? d : 0;
}

/* The time of cost requests in whole microseconds. The fraction is rounded up as often as it is
 * large, by bits that the word happens to have: over many requests the rate is exact. (Bits of the
 * time would let those in who try again until they are lucky.) */
static inline uint64_t step_us(const struct lt_rate_limit *limit, uint32_t cost, uint64_t word)
{
    uint64_t all = limit->emission * lt_min(cost, limit->capacity); /* at most 7 days */
    uint64_t whole = all / 1024, part = all % 1024;
    if (part == 0) {
        return whole;
    }
    uint64_t bits = word * UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ bits >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return whole + (bits >> 54 < part);
}

/* So that no live word is 0, no tag is. */
static inline uint64_t tag_of(uint64_t hash)
{
    uint64_t tag = hash >> TIME_BITS & TAG_MASK;
    return tag + (tag == 0);
}

/* The slot for tag: its own (true), else a free one, else the one that ends first. */
static bool find(const struct lt_rate_bucket *b, uint64_t tag, uint64_t now, unsigned *at,
                 uint64_t words[SLOTS])
{
    uint64_t least = UINT64_MAX;
    bool found = false;
    for (unsigned i = 0; i < SLOTS; i++) {
        words[i] = atomic_load_explicit(&b->word[i], memory_order_relaxed);
        uint64_t d = ahead(words[i], now);
        if (words[i] >> TIME_BITS == tag && d > 0) {
            *at = i;
            return true;
        }
        if (d < least) {
            least = d;
            *at = i;
        }
    }
    return found;
}

/* Whether tag lives in a slot before `at` too: another thread, to which the bucket looked
 * different, put it there while we did. */
static bool is_double(const struct lt_rate_bucket *b, uint64_t tag, uint64_t now, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        uint64_t word = atomic_load_explicit(&b->word[i], memory_order_relaxed);
        if (word >> TIME_BITS == tag && ahead(word, now) > 0) {
            return true;
        }
    }
    return false;
}

/* How things are with used_us of the window taken, and `asked` (1/1024 us) refused or 0. */
static void describe(const struct lt_rate_limit *limit, uint64_t used_us, uint64_t asked,
                     struct lt_rate_result *result)
{
    uint64_t window = limit->emission * limit->capacity; /* in 1/1024 us; fits: at most 7 days */
    uint64_t used = used_us * 1024;
    result->reset_us = used_us;
    result->remaining = used < window ? (uint32_t)((window - used) / limit->emission) : 0;
    if (!result->allowed) {
        result->retry_after_us = used + asked > window ? (used + asked - window + 1023) / 1024 : 1;
    }
}

static inline uint64_t window_of(const struct lt_rate_limit *limit)
{
    return (limit->emission * limit->capacity + 1023) / 1024;
}

void lt_rate_take(struct lt_rate_table *table, uint64_t hash, uint64_t now_us,
                  const struct lt_rate_limit *limit, uint32_t cost, struct lt_rate_result *result)
{
    struct lt_rate_bucket *b = &table->buckets[hash & table->mask];
    uint64_t tag = tag_of(hash);
    uint64_t now = now_us & TIME_MASK;
    uint64_t window_us = window_of(limit);
    uint64_t words[SLOTS];
    unsigned at = 0;
    if (cost == 0) {
        lt_rate_look(table, hash, now_us, limit, 0, result);
        return;
    }
    *result = (struct lt_rate_result){.allowed = true};
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        bool found = find(b, tag, now, &at, words);
        /* A word further ahead than this limit reaches was written under a larger one. */
        uint64_t used = found ? lt_min(ahead(words[at], now), window_us) : 0;
        uint64_t step = step_us(limit, cost, words[at]), next = used + step;
        if (next > window_us) {
            result->allowed = false;
            describe(limit, used, limit->emission * lt_min(cost, limit->capacity), result);
            return;
        }
        uint64_t word = tag << TIME_BITS | ((now + next) & TIME_MASK);
        uint64_t old = words[at];
        if (!atomic_compare_exchange_strong_explicit(&b->word[at], &old, word, memory_order_relaxed,
                                                     memory_order_relaxed)) {
            continue;
        }
        if (!found && is_double(b, tag, now, at)) {
            atomic_compare_exchange_strong_explicit(&b->word[at], &word, 0, memory_order_relaxed,
                                                    memory_order_relaxed);
            continue;
        }
        result->evicted = !found && ahead(words[at], now) > 0;
        result->taken_us = step;
        describe(limit, next, 0, result);
        return;
    }
}

void lt_rate_look(const struct lt_rate_table *table, uint64_t hash, uint64_t now_us,
                  const struct lt_rate_limit *limit, uint32_t cost, struct lt_rate_result *result)
{
    uint64_t words[SLOTS], now = now_us & TIME_MASK, window_us = window_of(limit);
    unsigned at = 0;
    bool found = find(&table->buckets[hash & table->mask], tag_of(hash), now, &at, words);
    uint64_t used = found ? lt_min(ahead(words[at], now), window_us) : 0;
    uint64_t asked = limit->emission * lt_min(cost, limit->capacity);
    *result = (struct lt_rate_result){
        .allowed = cost == 0 || used + step_us(limit, cost, words[at]) <= window_us};
    describe(limit, used, asked, result);
}

void lt_rate_give(struct lt_rate_table *table, uint64_t hash, uint64_t now_us, uint64_t taken_us)
{
    struct lt_rate_bucket *b = &table->buckets[hash & table->mask];
    uint64_t words[SLOTS], now = now_us & TIME_MASK;
    unsigned at = 0;
    for (unsigned i = 0; i < TRIES_MAX && find(b, tag_of(hash), now, &at, words); i++) {
        uint64_t left = ahead(words[at], now);
        left -= lt_min(left, taken_us);
        uint64_t word = tag_of(hash) << TIME_BITS | ((now + left) & TIME_MASK);
        if (atomic_compare_exchange_strong_explicit(&b->word[at], &words[at], word,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            return;
        }
    }
}

void lt_rate_forget(struct lt_rate_table *table, uint64_t hash)
{
    struct lt_rate_bucket *b = &table->buckets[hash & table->mask];
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t word = atomic_load_explicit(&b->word[i], memory_order_relaxed);
        while (word >> TIME_BITS == tag_of(hash) &&
               !atomic_compare_exchange_weak_explicit(&b->word[i], &word, 0, memory_order_relaxed,
                                                      memory_order_relaxed)) {
        }
    }
}
