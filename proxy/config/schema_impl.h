/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the schema engine share. Not for others. */
#ifndef LT_CONFIG_SCHEMA_IMPL_H
#define LT_CONFIG_SCHEMA_IMPL_H

#include "config/load.h"

/* Label of a value that is a built-in default; compared by pointer. */
extern const char lt_schema_default_label[];

/* The value of a row in obj. */
static inline void *lt_schema_value(const void *obj, const struct lt_row *row)
{
    return (char *)(uintptr_t)obj + row->offset;
}

/* Whether a row has a value from anywhere, defaults included. */
static inline bool lt_schema_has(const struct lt_conf *conf, size_t i)
{
    return conf->origin[i].node != NULL || conf->origin[i].label != NULL;
}

/* Sets row i of obj, a list or map, to the row's fallback. False: that is wrong, which was said. */
bool lt_schema_read_fallback(struct lt_schema_load *load, void *obj, size_t i);

/* Whether keys may stand at this level. */
static inline bool lt_schema_allows(const struct lt_row *row, unsigned level)
{
    return row->levels == 0 || level == 0 || (row->levels & level) != 0;
}

/* Index of the row called name, or SIZE_MAX. */
size_t lt_schema_find(const struct lt_schema *schema, struct lt_str name);

/* Says that key is no key of schema at this level, with what may be meant; marks the row that was
 * probably meant as bad. */
void lt_schema_unknown(struct lt_schema_load *load, const struct lt_schema *schema, unsigned level,
                       const struct lt_node *key, const struct lt_node *value,
                       struct lt_conf *conf);

/* Says that the row called name may not stand at this level, but elsewhere. */
void lt_schema_misplaced(struct lt_schema_load *load, const struct lt_schema *schema,
                         const struct lt_node *key);

/* Walks all rows below schema; path is "upstreams.*.keepalive" without the row's name. Stops when
 * fn gives false. */
typedef bool (*lt_schema_visit_fn)(void *arg, struct lt_str path, const struct lt_schema *schema,
                                   const struct lt_row *row, unsigned level);
bool lt_schema_walk(const struct lt_schema *schema, unsigned level, lt_schema_visit_fn fn,
                    void *arg);

#endif
