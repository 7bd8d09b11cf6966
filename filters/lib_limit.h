/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lintel.limit share. Private to filters/. */
#ifndef LT_FILTERS_LIB_LIMIT_H
#define LT_FILTERS_LIB_LIMIT_H

#include "config/units.h"
#include "shared/rate_table.h"

#include <lua.h>

/* The rate at index: a setting of that type, or text as in "100/1m"; raises on anything else. */
void lt_lua_limit_rate(lua_State *L, int index, struct lt_rate *rate);
/* Raises when it can't be kept. */
void lt_lua_limit_make(lua_State *L, const struct lt_rate *rate, uint32_t burst,
                       struct lt_rate_limit *limit);

/* lintel.limit.new and the key of its objects' metatable (lib_limiter.c). */
#define LT_LIMITER_META "lintel.Limit"
int lt_lua_limiter_new(lua_State *L);

#endif
