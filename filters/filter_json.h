/* SPDX-License-Identifier: Apache-2.0 */
/* What the JSON Schema of a configuration says of the settings of installed filters, so that
 * editors complete and check them. */
#ifndef LT_FILTERS_FILTER_JSON_H
#define LT_FILTERS_FILTER_JSON_H

#include "base/buf.h"
#include "config/load.h"

#define LT_FILTER_JSON_MAX 128u /* filters */

struct lt_filter_json {
    const struct lt_filter_file *files[LT_FILTER_JSON_MAX];
    size_t n;
};

/* Runs the files of all installed filters for their schemas, which live in load->arena. False when
 * one of them is broken: load->diags says why, or memory was short. */
bool lt_filter_json_load(struct lt_filter_json *json, struct lt_schema_load *load) LT_MUST_CHECK;

/* Adds what holds for a mapping that says `filter: NAME`; arg: struct lt_filter_json. For struct
 * lt_json_schema_more. */
void lt_filter_json_add(void *arg, struct lt_buf *out);

#endif
