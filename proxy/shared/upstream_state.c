/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of upstreams. */
#include "shared/upstream_state.h"

#include <pthread.h>

#include "base/map.h"
#include "base/mem.h"

#define STATES_MAX 16384u

struct entry {
    struct lt_upstream_state state;
    char *name; /* owned; the map's key */
};

struct lt_upstream_registry {
    pthread_mutex_t lock; /* of all below */
    struct lt_map states; /* name to struct entry */
};

struct lt_upstream_registry *lt_upstream_registry_new(struct lt_hash_seed seed)
{
    struct lt_upstream_registry *reg = lt_calloc(1, sizeof(*reg));
    if (reg == NULL) {
        return NULL;
    }
    pthread_mutex_init(&reg->lock, NULL);
    lt_map_init(&reg->states, seed, STATES_MAX);
    return reg;
}

static void free_entry(struct entry *entry)
{
    if (entry != NULL) {
        lt_free(entry->name);
        lt_free(entry);
    }
}

void lt_upstream_registry_free(struct lt_upstream_registry *reg)
{
    if (reg == NULL) {
        return;
    }
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&reg->states, &at)) != NULL;) {
        free_entry(e->value);
    }
    lt_map_fini(&reg->states);
    pthread_mutex_destroy(&reg->lock);
    lt_free(reg);
}

static enum lt_err add(struct lt_upstream_registry *reg, struct lt_str name, struct entry **out)
{
    struct entry *entry = lt_calloc(1, sizeof(*entry));
    if (entry == NULL || (entry->name = lt_malloc(name.len + 1)) == NULL) {
        free_entry(entry);
        return LT_ERR_NOMEM;
    }
    memcpy(entry->name, name.p, name.len);
    entry->name[name.len] = '\0';
    entry->state.id = (uint32_t)reg->states.live;
    enum lt_err err = lt_map_set(&reg->states, lt_str(entry->name, name.len), entry);
    if (err != LT_OK) {
        free_entry(entry);
        return err;
    }
    *out = entry;
    return LT_OK;
}

enum lt_err lt_upstream_registry_get(struct lt_upstream_registry *reg, struct lt_str name,
                                     struct lt_upstream_state **out)
{
    enum lt_err err = LT_OK;
    pthread_mutex_lock(&reg->lock);
    struct entry *entry = lt_map_get(&reg->states, name);
    if (entry == NULL) {
        err = add(reg, name, &entry);
    }
    pthread_mutex_unlock(&reg->lock);
    if (err == LT_OK) {
        *out = &entry->state;
    }
    return err;
}
