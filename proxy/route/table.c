/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing: never more than half full, so a search always ends. Filled
 * by the loader thread, read by all workers. */
#include "route/table.h"

#define ENTRIES_MAX ((size_t)1 << 30)

bool lt_route_table_init(struct lt_route_table *table, struct lt_arena *arena, size_t n)
{
    size_t size = 8;
    if (n > ENTRIES_MAX) {
        return false;
    }
    while (size < 2 * n) {
        size *= 2;
    }
    table->seed = lt_hash_seed_random();
    table->mask = (uint32_t)(size - 1);
    table->slots = lt_arena_array(arena, struct lt_route_slot, size);
    return table->slots != NULL;
}

static uint32_t hash_of(const struct lt_route_table *table, uint32_t space, struct lt_str text)
{
    struct lt_hash_seed seed = table->seed;
    seed.k0 ^= space;
    return (uint32_t)lt_hash(&seed, text);
}

void lt_route_table_add(struct lt_route_table *table, uint32_t space, struct lt_str text,
                        void *value)
{
    uint32_t hash = hash_of(table, space, text);
    uint32_t i = hash & table->mask;
    while (table->slots[i].value != NULL) {
        i = (i + 1) & table->mask;
    }
    table->slots[i] = (struct lt_route_slot){hash, space, text, value};
}

void *lt_route_table_get(const struct lt_route_table *table, uint32_t space, struct lt_str text)
{
    uint32_t hash = hash_of(table, space, text);
    for (uint32_t i = hash & table->mask;; i = (i + 1) & table->mask) {
        const struct lt_route_slot *slot = &table->slots[i];
        if (slot->value == NULL ||
            (slot->hash == hash && slot->space == space && lt_str_eq(slot->text, text))) {
            return slot->value;
        }
    }
}
