/* SPDX-License-Identifier: Apache-2.0 */
/* What a cache of lintel.cache holds: entries in order of use, within a number and a size. Loads
 * and the functions that filters see are in lib_cache.c. Private to filters/.
 *
 * A cache is a userdata with the entries and four tables as its user values: slot by key, value by
 * slot, key by slot, and the loads that run by key. So all of it counts as the file's memory and
 * nothing has to be freed. Functions take it and other values by their index on L's stack. */
#ifndef LT_FILTERS_CACHE_H
#define LT_FILTERS_CACHE_H

#include "filters/unit.h"

/* Its user values. */
enum {
    LT_CACHE_INDEX = 1,
    LT_CACHE_VALUES,
    LT_CACHE_KEYS,
    LT_CACHE_LOADS,
    LT_CACHE_TABLES = LT_CACHE_LOADS
};

struct lt_cache_entry {
    uint32_t newer, older; /* slots; 0: none. Of a free slot: newer is the next free one */
    uint32_t bytes;
    bool negative;               /* its value is why there is none, or false */
    uint64_t fresh_us, stale_us; /* monotonic, until when */
    uint64_t load_us;            /* stale: not loaded again before */
};

struct lt_cache {
    uint32_t magic; /* lib_cache.c's */
    uint32_t max, used;
    uint32_t unused, free; /* slots, from 1: the first that never held any; of those given back */
    uint32_t newest, oldest;
    unsigned loading; /* loads that run */
    uint64_t bytes, bytes_max;
    uint64_t ttl_us, negative_us, stale_us;
    struct lt_cache_entry e[]; /* e[0] is not used */
};

/* The slot of the key, or 0. */
uint32_t lt_cache_find(lua_State *L, int cache, int key);

/* Keeps the value for ttl_us in the place of what there is. One that is larger than all the cache
 * may hold is not kept. negative: value is false or the text of why there is none. May raise. */
void lt_cache_store(lua_State *L, int cache, int key, int value, bool negative, uint64_t ttl_us);

/* Allocates nothing. */
void lt_cache_forget(lua_State *L, int cache, uint32_t slot);

/* Pushes the value, or nil and why there is none; gives how many. The entry was used. */
int lt_cache_push(lua_State *L, int cache, uint32_t slot);

/* The clock of caches, also while a file is loaded; monotonic. */
uint64_t lt_cache_now_us(lua_State *L);

#endif
