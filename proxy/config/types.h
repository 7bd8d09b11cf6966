/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar types of options: text to value and back. Loader thread. */
#ifndef LT_CONFIG_TYPES_H
#define LT_CONFIG_TYPES_H

#include "config/load.h"

/* Bytes that a value of this type takes in a struct; sub for LT_T_OBJECT. */
size_t lt_type_size(enum lt_type type, const struct lt_schema *sub);

/* "duration", "list": as the manual calls it. */
const char *lt_type_name(enum lt_type type);

/* Whether values of it are one scalar. */
bool lt_type_is_scalar(enum lt_type type);

/* Reads the scalar node as a value of type into *out, with the row's choices, minimum and maximum.
 * False when it is wrong, which is said in diags under the name `name`. */
bool lt_type_parse(struct lt_schema_load *load, const struct lt_row *row, enum lt_type type,
                   struct lt_str name, const struct lt_node *node, void *out);

/* As lt_type_parse for text of our own: defaults, presets. Values point into text (static). */
bool lt_type_parse_text(struct lt_schema_load *load, const struct lt_row *row, enum lt_type type,
                        const char *text, void *out);

/* The value as one would write it (secrets too: the caller redacts). */
void lt_type_print(const struct lt_row *row, enum lt_type type, const void *value,
                   struct lt_buf *out);

#endif
