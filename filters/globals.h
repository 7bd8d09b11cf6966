/* SPDX-License-Identifier: Apache-2.0 */
/* Globals that a file names and the sandbox does not have: found when the file is loaded, and told
 * with what to write in their place. */
#ifndef LT_FILTERS_GLOBALS_H
#define LT_FILTERS_GLOBALS_H

#include "base/defs.h"

#include <lua.h>

/* __index and __newindex of what chunks see as _ENV, for names that come to be known only while
 * the chunk runs. They raise. */
int lt_globals_undeclared_read(lua_State *L);
int lt_globals_undeclared_write(lua_State *L);

/* Looks through the chunk on top of the stack, which was compiled under this name. False: it names
 * a global that is not there; the message is on the stack instead of it, with the first line. May
 * raise for want of memory. */
bool lt_globals_check(lua_State *L, const char *name) LT_MUST_CHECK;

#endif
