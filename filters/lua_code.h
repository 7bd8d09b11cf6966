/* SPDX-License-Identifier: Apache-2.0 */
/* Looks through the code of a compiled file: its lines, and the globals that it names. */
#ifndef LT_FILTERS_LUA_CODE_H
#define LT_FILTERS_LUA_CODE_H

#include "base/str.h"

#include <lua.h>

struct lt_lua_code_visit {
    void *arg;
    /* A line with code that can be come to; again for each instruction. Or NULL. */
    void (*line)(void *arg, size_t line);
    /* Where a global is read or written; the name is valid for the call. Or NULL. */
    void (*global)(void *arg, struct lt_str name, size_t line, bool write);
};

/* Goes through the function on top of the stack and all within it, a function after those that it
 * holds. The callbacks may not raise. False: Lua's form of code is another one than we know, or
 * there is no memory; some may have been visited. */
bool lt_lua_code_walk(lua_State *L, const struct lt_lua_code_visit *visit) LT_MUST_CHECK;

#endif
