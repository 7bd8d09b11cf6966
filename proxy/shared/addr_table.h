/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each client address has, over all workers: a table of fixed size without
 * locks.
 *
 *   bucket = 8 words = 1 cache line        word = 40-bit tag | 24-bit count; 0: free
 *
 * An address is IPv4 whole or the /64 of IPv6, which is what one host has. Each is one word in the
 * bucket that its keyed hash names; a word is free again when its count falls to 0. When all 8
 * words of a bucket belong to others, an address is let through uncounted. The table lives in the
 * memory of the gateway and dies with it, so that a crash leaves no wrong counts. Any thread. */
#ifndef LT_SHARED_ADDR_TABLE_H
#define LT_SHARED_ADDR_TABLE_H

#include "base/addr.h"
#include "base/hash.h"

struct lt_addr_bucket;

struct lt_addr_table {
    void *memory; /* owned */
    struct lt_addr_bucket *buckets;
    uint64_t mask; /* number of buckets - 1 */
    struct lt_hash_seed seed;
};

enum lt_addr_result {
    LT_ADDR_TAKEN,
    LT_ADDR_OVER,   /* the address has as many as it may */
    LT_ADDR_NO_ROOM /* its bucket is full of others: not counted */
};

/* Room for the addresses of that many connections at once; a bucket is full once in thousands even
 * when all come from different addresses. 32 to 64 bytes a connection. False without memory. */
bool lt_addr_table_init(struct lt_addr_table *table, uint32_t connections,
                        const struct lt_hash_seed *seed) LT_MUST_CHECK;
/* Also for a zeroed one. */
void lt_addr_table_fini(struct lt_addr_table *table);
/* Bytes that it takes. */
size_t lt_addr_table_bytes(const struct lt_addr_table *table);

/* What addr is counted under, never 0; 0 for a Unix socket, which has no address. */
uint64_t lt_addr_table_key(const struct lt_addr_table *table, const struct lt_addr *addr);

/* Counts one more under key (not 0) unless there are max already. Give back what was TAKEN. Two
 * threads that count the first connections of one address at once may both find room for the last.
 */
enum lt_addr_result lt_addr_table_take(struct lt_addr_table *table, uint64_t key,
                                       uint32_t max) LT_MUST_CHECK;
void lt_addr_table_give(struct lt_addr_table *table, uint64_t key);

/* How many are counted under key now. */
uint32_t lt_addr_table_count(const struct lt_addr_table *table, uint64_t key);

#endif
