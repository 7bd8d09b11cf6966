/* SPDX-License-Identifier: Apache-2.0 */
/* What filter code may see of Lua: no io, os, debug, package, coroutine, load, collectgarbage, no
 * finalisers; globals that nobody declared raise; library tables can't be changed. */
#ifndef LT_FILTERS_SANDBOX_H
#define LT_FILTERS_SANDBOX_H

#include "filters/vm.h"

/* Opens what is allowed. Raises; for lt_vm_setup. The table of globals then is at
 * LT_SANDBOX_GLOBALS in the registry: C code adds to it what filters may see besides. */
int lt_sandbox_open(lua_State *L);

#define LT_SANDBOX_GLOBALS "lintel.globals"

/* Replaces the table on top of the stack by a view of it that can't be written to; `what` names it
 * in the error. Reading, #, pairs and ipairs work as on the table. */
void lt_sandbox_freeze(lua_State *L, const char *what);

/* Compiles text (never bytecode) as a chunk that sees only the sandbox and pushes it as a function.
 * name is shown in messages. False: the message is on the stack instead; also of a global that the
 * text names and the sandbox does not have. May raise for want of memory. */
bool lt_sandbox_load(lua_State *L, struct lt_str text, const char *name);

#endif
