/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from text to pointer, seeded, insertion-ordered for iteration. Keys are borrowed: they
 * must live as long as the map. One thread at a time; reading is safe from many once built. */
#ifndef LT_BASE_MAP_H
#define LT_BASE_MAP_H

#include "base/err.h"
#include "base/hash.h"

struct lt_map_entry {
    struct lt_str key; /* p == NULL: a removed entry */
    uint64_t hash;
    void *value;
};

struct lt_map {
    struct lt_hash_seed seed;
    struct lt_map_entry *entries; /* in order of insertion; count of them used */
    uint32_t *index;              /* power-of-two table of entry number + 1, 0 = free */
    size_t count;                 /* entries used, removed ones included */
    size_t live;                  /* entries not removed */
    size_t capacity;              /* of entries; index has 2 * capacity */
    size_t max;                   /* limit for live entries */
};

/* max: the limit of entries. */
void lt_map_init(struct lt_map *map, struct lt_hash_seed seed, size_t max);
void lt_map_fini(struct lt_map *map);

/* Sets key to value; an existing value is replaced. LT_ERR_LIMIT or LT_ERR_NOMEM. */
enum lt_err lt_map_set(struct lt_map *map, struct lt_str key, void *value) LT_MUST_CHECK;

/* The value, or NULL. */
void *lt_map_get(const struct lt_map *map, struct lt_str key);

/* The value that was removed, or NULL. */
void *lt_map_remove(struct lt_map *map, struct lt_str key);

/* Iteration in order of insertion: start with *at = 0; NULL at the end. */
const struct lt_map_entry *lt_map_next(const struct lt_map *map, size_t *at);

#endif
