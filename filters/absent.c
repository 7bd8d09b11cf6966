/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are not there (absent.h). Raises Lua errors. */
#include "filters/absent.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "config/schema.h"
#include "filters/api.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Pushes "; it has a, b and c", or "" where there is nothing. */
static void push_list(lua_State *L, const char **names, size_t n)
{
    luaL_Buffer b;
    qsort(names, n, sizeof(*names), by_name);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, n > 0 ? "; it has " : "");
    for (size_t i = 0; i < n; i++) {
        luaL_addstring(&b, i == 0 ? "" : i + 1 < n ? ", " : " and ");
        luaL_addstring(&b, names[i]);
    }
    luaL_pushresult(&b);
}

/* Of the names that begin as name does or go on where it ends, the longest: "warn" for "warning".
 */
static const char *related(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]), both = lt_min(len, strlen(name));
        if (both >= 2 && strncmp(name, names[i], both) == 0 &&
            (best == NULL || len > strlen(best))) {
            best = names[i];
        }
    }
    return best;
}

int lt_absent_raise(lua_State *L, const char *what, const char **names, size_t n)
{
    if (lua_type(L, 2) != LUA_TSTRING) {
        return luaL_error(L, "%s has nothing under a %s", what, luaL_typename(L, 2));
    }
    const char *name = lua_tostring(L, 2);
    const char *close = lt_schema_closest(lt_str_c(name), names, n);
    close = close != NULL ? close : related(name, names, n);
    if (close != NULL) {
        return luaL_error(L, "%s has no '%s'; did you mean '%s'?", what, name, close);
    }
    push_list(L, names, n);
    return luaL_error(L, "%s has no '%s'%s", what, name, lua_tostring(L, -1));
}

static size_t add_name(const char **names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return n;
        }
    }
    if (n < LT_ABSENT_NAMES_MAX) {
        names[n++] = name;
    }
    return n;
}

static size_t add_rows(const char **names, size_t n, const struct lt_api *api)
{
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        n = add_name(names, n, row->name);
    }
    return n;
}

int lt_absent_field(lua_State *L, const struct lt_api *api)
{
    const char *names[LT_ABSENT_NAMES_MAX];
    return lt_absent_raise(L, api->as, names, add_rows(names, 0, api));
}

/* __index. Upvalues: what, the class or NULL. */
static int refuse(lua_State *L)
{
    const char *names[LT_ABSENT_NAMES_MAX];
    const struct lt_api *api = lua_touserdata(L, lua_upvalueindex(2));
    size_t n = 0;
    lua_settop(L, 2);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            n = add_name(names, n, lua_tostring(L, -2));
        }
    }
    n = api != NULL ? add_rows(names, n, api) : n;
    return lt_absent_raise(L, lua_touserdata(L, lua_upvalueindex(1)), names, n);
}

void lt_absent_refuse(lua_State *L, const char *what, const struct lt_api *api)
{
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)what);
    lua_pushlightuserdata(L, (void *)(uintptr_t)api);
    lua_pushcclosure(L, refuse, 2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}
