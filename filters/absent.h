/* SPDX-License-Identifier: Apache-2.0 */
/* What code hears that reads a name which is not there: the name, and which was probably meant. All
 * functions raise Lua errors; none is called while a name is found. */
#ifndef LT_FILTERS_ABSENT_H
#define LT_FILTERS_ABSENT_H

#include <lua.h>
#include <stddef.h>

struct lt_api;

/* Names that a message chooses from. */
#define LT_ABSENT_NAMES_MAX 96u

/* Raises "WHAT has no 'NAME'; did you mean 'OTHER'?", the name being the value at index 2 as
 * __index has it. Of the n names one that is like it is meant, else all are listed; n is at most
 * LT_ABSENT_NAMES_MAX, and the list is sorted in place. */
int lt_absent_raise(lua_State *L, const char *what, const char **names, size_t n);

/* The same for objects of the class, by its rows. */
int lt_absent_field(lua_State *L, const struct lt_api *api);

/* From now on a read of what the table on top of the stack does not have raises so, by its own keys
 * and the rows of api, which may be NULL. what is to stay. */
void lt_absent_refuse(lua_State *L, const char *what, const struct lt_api *api);

#endif
