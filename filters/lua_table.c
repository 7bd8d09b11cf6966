/* SPDX-License-Identifier: Apache-2.0 */
/* The table library with loops that can be stopped (lua_table.h). Raises Lua errors. */
#include "filters/lua_table.h"

#include <lauxlib.h>

#include "base/defs.h"
#include "filters/vm.h"

#define POLL_ROUNDS 512u

static inline void poll(lua_State *L, lua_Integer round)
{
    if (LT_UNLIKELY(round % POLL_ROUNDS == 0)) {
        lt_vm_poll(L);
    }
}

/* Of the table at 1; never the largest integer, so that the position behind the end is one, too. */
static lua_Integer length(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 1);
    luaL_argcheck(L, n < LUA_MAXINTEGER, 1, "array too big");
    return n;
}

/* insert(t, [pos,] value) */
static int insert(lua_State *L)
{
    lua_Integer n = length(L), at = n + 1;
    int top = lua_gettop(L);
    if (top != 2 && top != 3) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    if (top == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
        for (lua_Integer i = n + 1; i > at; i--) {
            poll(L, i);
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
    }
    lua_seti(L, 1, at);
    return 0;
}

/* remove(t [, pos]) */
static int remove_at(lua_State *L)
{
    lua_Integer n = length(L);
    lua_Integer at = luaL_optinteger(L, 2, n);
    if (!lua_isnoneornil(L, 2)) {
        luaL_argcheck(L, (at >= 1 && at <= n + 1) || (n == 0 && at == 0), 2,
                      "position out of bounds");
    }
    lua_geti(L, 1, at);
    for (; at < n; at++) {
        poll(L, at);
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

/* move(a1, from, to, at [, a2]) */
static int move(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    lua_Integer at = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, target, LUA_TTABLE);
    if (to >= from) {
        luaL_argcheck(L, from > 0 || to < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer n = to - from + 1;
        luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        bool up = at > to || at <= from || target != 1;
        for (lua_Integer i = 0; i < n; i++) {
            lua_Integer k = up ? i : n - 1 - i;
            poll(L, i);
            lua_geti(L, 1, from + k);
            lua_seti(L, target, at + k);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

/* concat(t [, sep [, from [, to]]]) */
static int concat(lua_State *L)
{
    luaL_Buffer b;
    size_t sep_len;
    lua_Integer n = length(L);
    const char *sep = luaL_optlstring(L, 2, "", &sep_len);
    lua_Integer from = luaL_optinteger(L, 3, 1), to = luaL_optinteger(L, 4, n);
    luaL_buffinit(L, &b);
    for (lua_Integer i = from; i <= to; i++) {
        poll(L, i);
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1)) {
            return luaL_error(L, "invalid value (a %s) at index %I in table for 'concat'",
                              luaL_typename(L, -1), (LUAI_UACINT)i);
        }
        luaL_addvalue(&b);
        if (i == to) {
            break; /* to may be the largest integer */
        }
        luaL_addlstring(&b, sep, sep_len);
    }
    luaL_pushresult(&b);
    return 1;
}

/* pack(...) */
static int pack(lua_State *L)
{
    int n = lua_gettop(L);
    lua_createtable(L, n, 1);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--) {
        lua_seti(L, 1, i);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, 1, "n");
    return 1;
}

/* unpack(t [, from [, to]]) */
static int unpack(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 2, 1);
    lua_Integer to = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
    if (from > to) {
        return 0;
    }
    lua_Unsigned n = (lua_Unsigned)to - (lua_Unsigned)from;
    if (n >= LUAI_MAXSTACK || !lua_checkstack(L, (int)n + 1)) {
        return luaL_error(L, "too many results to unpack");
    }
    for (lua_Unsigned i = 0; i <= n; i++) {
        lua_geti(L, 1, from + (lua_Integer)i);
    }
    return (int)n + 1;
}

/* Whether t[i] < t[j], by the function at index 2 if there is one. */
static bool less(lua_State *L, lua_Integer i, lua_Integer j)
{
    bool yes;
    lua_geti(L, 1, i);
    lua_geti(L, 1, j);
    if (lua_isnil(L, 2)) {
        yes = lua_compare(L, -2, -1, LUA_OPLT);
        lua_pop(L, 2);
        return yes;
    }
    lua_pushvalue(L, 2);
    lua_insert(L, -3);
    lua_call(L, 2, 1);
    yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static void swap(lua_State *L, lua_Integer i, lua_Integer j)
{
    lua_geti(L, 1, i);
    lua_geti(L, 1, j);
    lua_seti(L, 1, i);
    lua_seti(L, 1, j);
}

/* Lets t[i] sink in the heap t[1..n]. */
static void sink(lua_State *L, lua_Integer i, lua_Integer n)
{
    for (;;) {
        lua_Integer child = 2 * i;
        if (child > n) {
            return;
        }
        child += child < n && less(L, child, child + 1);
        if (!less(L, i, child)) {
            return;
        }
        swap(L, i, child);
        i = child;
    }
}

/* sort(t [, less]): a heap sort, which no input and no comparator makes slow. */
static int sort(lua_State *L)
{
    lua_Integer n = length(L);
    luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TFUNCTION);
    }
    lua_settop(L, 2);
    for (lua_Integer i = n / 2; i >= 1; i--) {
        poll(L, i);
        sink(L, i, n);
    }
    for (lua_Integer end = n; end > 1; end--) {
        poll(L, end);
        swap(L, 1, end);
        sink(L, 1, end - 1);
    }
    return 0;
}

int lt_lua_table_lib(lua_State *L)
{
    static const luaL_Reg lib[] = {
        {"concat", concat},    {"insert", insert}, {"move", move},     {"pack", pack},
        {"remove", remove_at}, {"sort", sort},     {"unpack", unpack}, {NULL, NULL},
    };
    luaL_newlib(L, lib);
    return 1;
}
