/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of lintel.test, and the clock. A check raises; what it says begins with the place of
 * its caller. */
#include <math.h>

#include "filters/absent.h"
#include "filters/ctx.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"

/* Over the text of the run: nothing of it needs freeing when Lua raises. */
static struct lt_buf begin_text(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    struct lt_buf out;
    lt_buf_init_fixed(&out, r->text, sizeof(r->text) - 1);
    return out;
}

/* Raises what was written, after the check's own message (argument at index more) if it has one. */
static int fail(lua_State *L, const struct lt_buf *out, int more)
{
    luaL_where(L, 1);
    if (!lua_isnoneornil(L, more)) {
        lua_pushfstring(L, "%s: ", luaL_checkstring(L, more));
        lua_concat(L, 2);
    }
    lua_pushlstring(L, out->p, out->len);
    lua_concat(L, 2);
    return lua_error(L);
}

/* t.eq(got, wanted [, message]) */
static int eq(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_settop(L, 3);
    struct lt_buf diff = begin_text(L);
    if (lt_test_same(L, 1, 2, &diff)) {
        return 0;
    }
    if (lua_istable(L, 1) && lua_istable(L, 2)) { /* a line for each place that differs */
        luaL_where(L, 1);
        lua_pushliteral(L, "");
        if (!lua_isnil(L, 3)) {
            lua_pop(L, 1);
            lua_pushfstring(L, "%s: ", luaL_checkstring(L, 3));
        }
        lua_pushliteral(L, "the tables differ\n");
        lua_pushlstring(L, diff.p, diff.len);
        lua_concat(L, 4);
        return lua_error(L);
    }
    return fail(L, &diff, 3);
}

/* t.ne(got, unwanted [, message]) */
static int ne(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_settop(L, 3);
    struct lt_buf out = begin_text(L);
    if (!lt_test_same(L, 1, 2, &out)) {
        return 0;
    }
    out.len = 0;
    lt_test_show(L, 1, &out);
    lt_buf_printf(&out, " is what it should not be");
    return fail(L, &out, 3);
}

/* t.ok(value [, message]): gives the value. */
static int ok(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 2);
    if (!lua_toboolean(L, 1)) {
        struct lt_buf out = begin_text(L);
        lt_test_show(L, 1, &out);
        lt_buf_printf(&out, " is not true");
        return fail(L, &out, 2);
    }
    lua_settop(L, 1);
    return 1;
}

/* t.near(got, wanted, tolerance [, message]) */
static int near(lua_State *L)
{
    lua_Number wanted = luaL_checknumber(L, 2), tolerance = luaL_checknumber(L, 3);
    lua_settop(L, 4);
    if (lua_type(L, 1) == LUA_TNUMBER && fabs(lua_tonumber(L, 1) - wanted) <= tolerance) {
        return 0;
    }
    struct lt_buf out = begin_text(L);
    lt_buf_printf(&out, "is ");
    lt_test_show(L, 1, &out);
    lt_buf_printf(&out, ", should be within %.14g of %.14g", tolerance, wanted);
    return fail(L, &out, 4);
}

/* t.fail(message) */
static int fail_case(lua_State *L)
{
    return luaL_error(L, "%s", luaL_checkstring(L, 1));
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

/* Raises unless the value at index is a text that matches argument 2, which may be missing. */
static void must_match(lua_State *L, int index, const char *what)
{
    if (lua_isnil(L, 2) ||
        (lua_type(L, index) == LUA_TSTRING && (luaL_checkstring(L, 2), matches(L, index)))) {
        return;
    }
    struct lt_buf out = begin_text(L);
    lt_buf_printf(&out, "%s", what);
    lt_test_show(L, index, &out);
    lt_buf_printf(&out, " does not match ");
    lt_test_show(L, 2, &out);
    (void)fail(L, &out, 3);
}

/* t.match(text, pattern [, message]) */
static int match(lua_State *L)
{
    luaL_checkstring(L, 2);
    lua_settop(L, 3);
    must_match(L, 1, "");
    return 0;
}

/* t.raises(fn [, pattern [, message]]): gives what it raised. */
static int raises(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 3);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) {
        struct lt_buf out = begin_text(L);
        lt_buf_printf(&out, "did not raise");
        return fail(L, &out, 3);
    }
    must_match(L, 4, "raised ");
    lua_settop(L, 4);
    return 1;
}

/* t.error(result [, pattern [, message]]): its filter has failed; gives the error. */
static int failed(lua_State *L)
{
    luaL_argcheck(L, lua_istable(L, 1), 1,
                  "a result of t.run; for a function that raises write t.raises");
    lua_settop(L, 3);
    if (lua_getfield(L, 1, "error") == LUA_TNIL) {
        struct lt_buf out = begin_text(L);
        lt_buf_printf(&out, "no filter failed");
        return fail(L, &out, 3);
    }
    must_match(L, 4, "the error ");
    lua_settop(L, 4);
    return 1;
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

int lt_test_open(lua_State *L)
{
    static const luaL_Reg lib[] = {{"case", lt_test_case},
                                   {"run", lt_test_run},
                                   {"load", lt_test_load},
                                   {"every", lt_test_every},
                                   {"http", lt_test_http},
                                   {"redis", lt_test_redis},
                                   {"advance", advance},
                                   {"eq", eq},
                                   {"ne", ne},
                                   {"ok", ok},
                                   {"near", near},
                                   {"match", match},
                                   {"raises", raises},
                                   {"error", failed},
                                   {"fail", fail_case},
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
    lt_absent_refuse(L, "lintel.test", NULL);
    lt_sandbox_freeze(L, "lintel.test");
    lua_setfield(L, -2, "lintel.test");
    return 0;
}
