/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.test but for t.run: cases, checks, and the clock. */
#include <stdio.h>

#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"

#define DEPTH_MAX 8 /* of tables that are compared */

/* ---- cases and checks ---- */

/* t.case(name, fn) */
static int run_case(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lt_test_bed_reset(r->bed);
    lt_test_http_forget(L);
    lt_test_redis_forget(L);
    r->in_file++;
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) {
        r->passed++;
        printf("ok    %s: %s\n", r->path, name);
        return 0;
    }
    r->failed++;
    printf("FAIL  %s: %s\n      %s\n", r->path, name,
           lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error object");
    return 0;
}

/* A value for people to read. */
static const char *shown(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        return lua_pushfstring(L, "\"%s\"", lua_tostring(L, index));
    }
    return luaL_tolstring(L, index, NULL);
}

/* t.eq(a, b): tables by their contents. */
static bool same(lua_State *L, int a, int b, int depth)
{
    if (!lua_istable(L, a) || !lua_istable(L, b) || depth > DEPTH_MAX) {
        return lua_rawequal(L, a, b);
    }
    bool equal = true;
    luaL_checkstack(L, 8, NULL);
    for (lua_pushnil(L); equal && lua_next(L, a) != 0; lua_pop(L, 2)) {
        lua_pushvalue(L, -2);
        lua_gettable(L, b);
        int top = lua_gettop(L);
        equal = same(L, top - 1, top, depth + 1);
        if (!equal) {
            lua_pop(L, 3);
            return false;
        }
    }
    for (lua_pushnil(L); lua_next(L, b) != 0; lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        if (lua_gettable(L, a) == LUA_TNIL) {
            lua_pop(L, 3);
            return false;
        }
        lua_pop(L, 1);
    }
    return equal;
}

static int eq(lua_State *L)
{
    luaL_checkany(L, 2);
    if (!same(L, 1, 2, 0)) {
        const char *got = shown(L, 1), *wanted = shown(L, 2);
        return luaL_error(L, "is %s, should be %s", got, wanted);
    }
    return 0;
}

static int ok(lua_State *L)
{
    if (!lua_toboolean(L, 1)) {
        return luaL_error(L, "%s", luaL_optstring(L, 2, "is not true"));
    }
    return 0;
}

/* Whether the text at index matches the pattern at index 2, by the matcher of filters. */
static bool matches(lua_State *L, int index)
{
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_getfield(L, -1, "string");
    lua_getfield(L, -1, "find");
    lua_pushvalue(L, index);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    return !lua_isnil(L, -1);
}

static int match(lua_State *L)
{
    luaL_checkstring(L, 2);
    if (!lua_isstring(L, 1) || !matches(L, 1)) {
        const char *got = shown(L, 1);
        return luaL_error(L, "%s does not match \"%s\"", got, lua_tostring(L, 2));
    }
    return 0;
}

/* t.raises(fn [, pattern]) */
static int raises(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) {
        return luaL_error(L, "did not raise");
    }
    int error = lua_gettop(L);
    if (!lua_isnoneornil(L, 2) && error > 2 && (!lua_isstring(L, error) || !matches(L, error))) {
        const char *got = shown(L, error);
        return luaL_error(L, "raised %s, which does not match \"%s\"", got, lua_tostring(L, 2));
    }
    return 0;
}

/* t.advance(seconds) */
static int advance(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    uint64_t us = lt_test_seconds(L, 1);
    r->bed->loop->now_us += us;
    r->bed->loop->wall_us += us;
    return 0;
}

/* Adds lintel.test to the table of loaded modules on top of the stack. */
int lt_test_open(lua_State *L)
{
    static const luaL_Reg lib[] = {{"case", run_case},
                                   {"run", lt_test_run},
                                   {"every", lt_test_every},
                                   {"eq", eq},
                                   {"ok", ok},
                                   {"match", match},
                                   {"raises", raises},
                                   {"advance", advance},
                                   {"http", lt_test_http},
                                   {"redis", lt_test_redis},
                                   {NULL, NULL}};
    lt_test_http_forget(L);
    lt_test_redis_forget(L);
    luaL_newlibtable(L, lib);
    lua_pushlightuserdata(L, lt_test_current);
    luaL_setfuncs(L, lib, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_getfield(L, -1, "lintel");
    lua_getfield(L, -1, "crypto");
    lua_getfield(L, -1, "sha256_hex");
    lua_setfield(L, -5, "sha256");
    lua_pop(L, 3);
    lt_sandbox_freeze(L, "lintel.test");
    lua_setfield(L, -2, "lintel.test");
    return 0;
}
