/* SPDX-License-Identifier: Apache-2.0 */
/* A filter's settings: from the `schema` of its Lua table to rows of the config engine, and from
 * the values that the engine read to Lua. */
#ifndef LT_FILTERS_SCHEMA_H
#define LT_FILTERS_SCHEMA_H

#include "filters/program.h"

#include <lua.h>

/* Fills file->schema from the schema table on top of the stack (or nil: no
 * settings). Raises a Lua error that says what is wrong. Loader thread. */
void lt_filter_schema_from_lua(lua_State *L, struct lt_schema_load *load,
                               struct lt_filter_file *file);

/* Pushes the settings as a table that can't be written to. */
void lt_filter_settings_push(lua_State *L, const struct lt_filter_instance *instance);

#endif
