/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows say, for people and for editors: the manual of all options in Markdown, a JSON
 * Schema, and help on single options. */
#ifndef LT_CONFIG_REFERENCE_H
#define LT_CONFIG_REFERENCE_H

#include "config/schema.h"

#include "base/buf.h"

/* docs/config-reference.md. */
void lt_config_reference(const struct lt_schema *root, struct lt_buf *out);

/* What a JSON Schema says besides of the objects that `of` reads: members of their schema, each
 * after a comma. */
struct lt_json_schema_more {
    const struct lt_schema *of;
    void (*add)(void *arg, struct lt_buf *out);
    void *arg;
};

/* A JSON Schema (draft 2020-12) of what root reads; more may be NULL. */
void lt_config_json_schema(const struct lt_schema *root, const char *title,
                           const struct lt_json_schema_more *more, struct lt_buf *out);

/* The members of a schema of the objects that `schema` reads, when rows of `around`, which are
 * checked elsewhere, may stand there as well. */
void lt_config_json_schema_object(const struct lt_schema *schema, const struct lt_schema *around,
                                  struct lt_buf *out);

/* What is known of an option, named by its path ("upstreams.*.balance"; names and numbers may stand
 * for stars and brackets, which may be left out) or by the end of it ("balance"). False when there
 * is none: then out says which may be meant, by its words in another order ("max_body" for
 * "body.max"), by its letters, or `other` (may be NULL), which is no option. An
 * option that is found may have a namesake with its words in another order, which is told too. */
bool lt_config_help(const struct lt_schema *root, const char *option, const char *other,
                    struct lt_buf *out);

/* "duration, 1s to 1m": what may be written for row. code: choices in backquotes. */
void lt_config_describe(const struct lt_row *row, bool code, struct lt_buf *out);

#endif
