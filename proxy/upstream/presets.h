/* SPDX-License-Identifier: Apache-2.0 */
/* Presets: what suits an application server, by its name. One table of (preset, row, value, why)
 * that the loader applies and `lintel help preset` prints, so that neither can say what the other
 * doesn't do. Any thread; constant. */
#ifndef LT_UPSTREAM_PRESETS_H
#define LT_UPSTREAM_PRESETS_H

#include "base/buf.h"
#include "config/schema.h"

/* The application server that an upstream runs; the order of lt_preset_names. */
enum lt_upstream_preset {
    LT_PRESET_GENERIC,
    LT_PRESET_GUNICORN,
    LT_PRESET_GUNICORN_THREADS,
    LT_PRESET_UVICORN,
    LT_PRESET_HYPERCORN,
    LT_PRESET_NODE,
    LT_PRESET_COUNT
};

/* The choices of the row `preset`, ended by NULL. */
extern const char *const lt_preset_names[LT_PRESET_COUNT + 1];

/* Sets in upstream (an object of lt_upstream_schema) what the preset says and nobody wrote. */
void lt_preset_apply(struct lt_schema_load *load, void *upstream, enum lt_upstream_preset preset);

/* Appends all that the preset sets, each with why, and what to set on the server itself. False: out
 * says that there is none of this name. */
bool lt_preset_help(const char *name, struct lt_buf *out);

/* Appends the names with a line about each. */
void lt_preset_list(struct lt_buf *out);

/* Appends docs/presets.md. */
void lt_preset_manual(struct lt_buf *out);

#endif
