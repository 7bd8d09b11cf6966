/* SPDX-License-Identifier: Apache-2.0 */
/* Counts by compare-and-swap (see addr_table.h). Any thread.
 *
 * Memory order: every word is valid alone and nothing else is published through it, so all accesses
 * are relaxed. */
#include "shared/addr_table.h"

#include <stdatomic.h>

#include "base/mem.h"

#define SLOTS 8u
#define COUNT_BITS 24
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define BUCKETS_MIN 128u
/* Tries against other threads before a connection is let through uncounted: never seen, but a loop
 * without an end has no place here. */
#define TRIES_MAX 1000u

struct lt_addr_bucket {
    _Alignas(LT_CACHE_LINE) _Atomic(uint64_t) word[SLOTS];
};

_Static_assert(sizeof(struct lt_addr_bucket) == LT_CACHE_LINE, "a bucket is one cache line");

bool lt_addr_table_init(struct lt_addr_table *table, uint32_t connections,
                        const struct lt_hash_seed *seed)
{
    uint64_t n = BUCKETS_MIN;
    while (n * 2 < connections) { /* so 2 to 4 words of 8 are used when all addresses differ */
        n *= 2;
    }
    char *memory = lt_calloc(n + 1, sizeof(struct lt_addr_bucket));
    if (memory == NULL) {
        return false;
    }
    uintptr_t skip = -(uintptr_t)memory % LT_CACHE_LINE;
    *table = (struct lt_addr_table){
        .memory = memory, .buckets = (void *)(memory + skip), .mask = n - 1, .seed = *seed};
    return true;
}

void lt_addr_table_fini(struct lt_addr_table *table)
{
    lt_free(table->memory);
    *table = (struct lt_addr_table){.memory = NULL};
}

size_t lt_addr_table_bytes(const struct lt_addr_table *table)
{
    return table->memory != NULL ? (table->mask + 2) * sizeof(struct lt_addr_bucket) : 0;
}

uint64_t lt_addr_table_key(const struct lt_addr_table *table, const struct lt_addr *addr)
{
    unsigned char text[9]; /* the family, so that no IPv4 address is some IPv6 network */
    size_t len = 0;
    if (addr->sa.sa_family == AF_INET) {
        text[0] = 4;
        memcpy(text + 1, &addr->in.sin_addr, 4);
        len = 5;
    } else if (addr->sa.sa_family == AF_INET6) {
        const unsigned char *ip = addr->in6.sin6_addr.s6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
        text[0] = mapped ? 4 : 6;
        len = mapped ? 5 : 9;
        memcpy(text + 1, mapped ? ip + 12 : ip, len - 1);
    } else {
        return 0;
    }
    uint64_t hash = lt_hash(&table->seed, lt_str((const char *)text, len));
    uint64_t tag = hash >> COUNT_BITS;
    return tag != 0 ? hash : hash | UINT64_C(1) << COUNT_BITS; /* no used word is 0 */
}

static struct lt_addr_bucket *bucket_of(const struct lt_addr_table *table, uint64_t key)
{
    return &table->buckets[key & table->mask];
}

static uint64_t look(struct lt_addr_bucket *b, unsigned i)
{
    return atomic_load_explicit(&b->word[i], memory_order_relaxed);
}

static bool swap(struct lt_addr_bucket *b, unsigned i, uint64_t old, uint64_t new)
{
    return atomic_compare_exchange_strong_explicit(&b->word[i], &old, new, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* What a bucket says about a tag. */
struct found {
    unsigned at;    /* its word, else a free one, else SLOTS */
    uint64_t word;  /* what stands there */
    uint64_t count; /* of all its words: threads that came first at once may have made several */
};

static struct found find(struct lt_addr_bucket *b, uint64_t tag)
{
    struct found f = {.at = SLOTS};
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t word = look(b, i);
        if (word != 0 && word >> COUNT_BITS == tag) {
            if (f.count == 0) {
                f.at = i;
                f.word = word;
            }
            f.count += word & COUNT_MASK;
        } else if (word == 0 && f.at == SLOTS) {
            f.at = i;
        }
    }
    return f;
}

enum lt_addr_result lt_addr_table_take(struct lt_addr_table *table, uint64_t key, uint32_t max)
{
    struct lt_addr_bucket *b = bucket_of(table, key);
    uint64_t tag = key >> COUNT_BITS;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        struct found f = find(b, tag);
        if (f.count >= lt_min((uint64_t)max, COUNT_MASK)) {
            return LT_ADDR_OVER;
        }
        if (f.at == SLOTS) {
            return LT_ADDR_NO_ROOM;
        }
        if (swap(b, f.at, f.word, (f.word != 0 ? f.word : tag << COUNT_BITS) + 1)) {
            return LT_ADDR_TAKEN;
        }
    }
    return LT_ADDR_NO_ROOM;
}

void lt_addr_table_give(struct lt_addr_table *table, uint64_t key)
{
    struct lt_addr_bucket *b = bucket_of(table, key);
    uint64_t tag = key >> COUNT_BITS;
    /* Each give has its take, so a word of ours is there; another thread that gives back takes it
     * from under us at times, never all of them. */
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        struct found f = find(b, tag);
        if (f.count > 0 && swap(b, f.at, f.word, (f.word & COUNT_MASK) > 1 ? f.word - 1 : 0)) {
            return;
        }
    }
    /* Others were faster each time: the address counts one too many, which is no reason to stop. */
}

uint32_t lt_addr_table_count(const struct lt_addr_table *table, uint64_t key)
{
    return (uint32_t)find(bucket_of(table, key), key >> COUNT_BITS).count;
}
