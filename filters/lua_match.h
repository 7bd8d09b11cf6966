/* SPDX-License-Identifier: Apache-2.0 */
/* string.find, match, gmatch and gsub with Lua's patterns (Lua manual §6.4.1) and a limit of steps:
 * Lua's own matcher runs for hours on some patterns, and nothing can stop it in between. */
#ifndef LT_FILTERS_LUA_MATCH_H
#define LT_FILTERS_LUA_MATCH_H

#include <lua.h>

int lt_lua_find(lua_State *L);
int lt_lua_match(lua_State *L);
int lt_lua_gmatch(lua_State *L);
int lt_lua_gsub(lua_State *L);

#endif
