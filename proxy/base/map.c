/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from text to pointer: an ordered array of entries and an open-addressing index. */
#include "base/map.h"

#include "base/mem.h"

void lt_map_init(struct lt_map *map, struct lt_hash_seed seed, size_t max)
{
    *map = (struct lt_map){.seed = seed, .max = lt_min(max, (size_t)UINT32_MAX / 4)};
}

void lt_map_fini(struct lt_map *map)
{
    lt_free(map->entries);
    lt_free(map->index);
    map->entries = NULL;
    map->index = NULL;
    map->count = map->live = map->capacity = 0;
}

static void index_add(struct lt_map *map, size_t entry)
{
    size_t mask = 2 * map->capacity - 1;
    size_t i = map->entries[entry].hash & mask;
    while (map->index[i] != 0) {
        i = (i + 1) & mask;
    }
    map->index[i] = (uint32_t)entry + 1;
}

/* Makes room for one more entry; removed entries are dropped on the way. */
static enum lt_err reserve(struct lt_map *map)
{
    if (map->count < map->capacity) {
        return LT_OK;
    }
    size_t capacity = map->capacity;
    if (capacity == 0 || map->live > capacity / 2) {
        capacity = capacity == 0 ? 8 : capacity * 2;
    }
    struct lt_map_entry *entries = lt_calloc(capacity, sizeof(*entries));
    uint32_t *index = lt_calloc(2 * capacity, sizeof(*index));
    if (entries == NULL || index == NULL) {
        lt_free(entries);
        lt_free(index);
        return LT_ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < map->count; i++) {
        if (map->entries[i].key.p != NULL) {
            entries[n++] = map->entries[i];
        }
    }
    lt_free(map->entries);
    lt_free(map->index);
    map->entries = entries;
    map->index = index;
    map->capacity = capacity;
    map->count = n;
    for (size_t i = 0; i < n; i++) {
        index_add(map, i);
    }
    return LT_OK;
}

static struct lt_map_entry *find(const struct lt_map *map, struct lt_str key, uint64_t hash)
{
    if (map->live == 0) {
        return NULL;
    }
    size_t mask = 2 * map->capacity - 1;
    for (size_t i = hash & mask; map->index[i] != 0; i = (i + 1) & mask) {
        struct lt_map_entry *e = &map->entries[map->index[i] - 1];
        if (e->hash == hash && e->key.p != NULL && lt_str_eq(e->key, key)) {
            return e;
        }
    }
    return NULL;
}

enum lt_err lt_map_set(struct lt_map *map, struct lt_str key, void *value)
{
    uint64_t hash = lt_hash(&map->seed, key);
    struct lt_map_entry *e = find(map, key, hash);
    if (e != NULL) {
        e->value = value;
        return LT_OK;
    }
    if (map->live >= map->max) {
        return LT_ERR_LIMIT;
    }
    enum lt_err err = reserve(map);
    if (err != LT_OK) {
        return err;
    }
    if (key.p == NULL) {
        key.p = "";
    }
    map->entries[map->count] = (struct lt_map_entry){.key = key, .hash = hash, .value = value};
    index_add(map, map->count);
    map->count++;
    map->live++;
    return LT_OK;
}

void *lt_map_get(const struct lt_map *map, struct lt_str key)
{
    struct lt_map_entry *e = find(map, key, lt_hash(&map->seed, key));
    return e != NULL ? e->value : NULL;
}

void *lt_map_remove(struct lt_map *map, struct lt_str key)
{
    struct lt_map_entry *e = find(map, key, lt_hash(&map->seed, key));
    if (e == NULL) {
        return NULL;
    }
    void *value = e->value;
    e->key.p = NULL;
    e->value = NULL;
    map->live--;
    return value;
}

const struct lt_map_entry *lt_map_next(const struct lt_map *map, size_t *at)
{
    while (*at < map->count) {
        const struct lt_map_entry *e = &map->entries[(*at)++];
        if (e->key.p != NULL) {
            return e;
        }
    }
    return NULL;
}
