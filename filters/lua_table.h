/* SPDX-License-Identifier: Apache-2.0 */
/* Lua's table library (Lua manual §6.6) with loops that can be stopped: Lua's own runs through
 * table.move({}, 1, 1e15, 2) or an insert below a made-up length without an end. */
#ifndef LT_FILTERS_LUA_TABLE_H
#define LT_FILTERS_LUA_TABLE_H

#include <lua.h>

/* Pushes a new table with the functions. */
int lt_lua_table_lib(lua_State *L);

#endif
