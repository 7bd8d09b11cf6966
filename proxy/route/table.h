/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed hash table from (space, text) to pointer, built once in an arena and then only read: host
 * names and path segments of a snapshot are all in one. Seeded. Reading is safe from any thread. */
#ifndef LT_ROUTE_TABLE_H
#define LT_ROUTE_TABLE_H

#include "base/arena.h"
#include "base/hash.h"

struct lt_route_slot {
    uint32_t hash;
    uint32_t space;
    struct lt_str text; /* borrowed for the table's life */
    void *value;        /* NULL: the slot is free */
};

struct lt_route_table {
    struct lt_hash_seed seed;
    struct lt_route_slot *slots; /* a power of two of them, at most half used */
    uint32_t mask;
};

/* Room for n entries; false without memory, or for more than 2^30. */
bool lt_route_table_init(struct lt_route_table *table, struct lt_arena *arena,
                         size_t n) LT_MUST_CHECK;

/* Adds text, which isn't there yet. There must be no more of them than were asked for at init.
 * value isn't NULL. */
void lt_route_table_add(struct lt_route_table *table, uint32_t space, struct lt_str text,
                        void *value);

/* The value, or NULL. space tells equal texts of different kinds apart. */
void *lt_route_table_get(const struct lt_route_table *table, uint32_t space, struct lt_str text);

#endif
