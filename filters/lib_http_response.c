/* SPDX-License-Identifier: Apache-2.0 */
/* What lintel.http gives back: a table with status, headers and body, and json() behind it. */
#include <lauxlib.h>

#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/lib.h"
#include "filters/lib_http.h"
#include "filters/sandbox.h"

#define RESPONSE "lintel.http.response"
#define FIELDS "lintel.http.headers"

/* ---- headers: a userdata whose first user value lists name, value, name, value ... ---- */

static void push_lower(lua_State *L, struct lt_str s)
{
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, s.len);
    for (size_t i = 0; i < s.len; i++) {
        out[i] = lt_char_lower(s.p[i]);
    }
    luaL_pushresultsize(&b, s.len);
}

/* headers:all(name) */
static int fields_all(lua_State *L)
{
    lua_Integer n = 0;
    luaL_checkudata(L, 1, FIELDS);
    push_lower(L, lt_lua_check_str(L, 2));
    int name = lua_gettop(L);
    lua_getiuservalue(L, 1, 1);
    int list = lua_gettop(L);
    lua_newtable(L);
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i += 2) {
        if (lua_rawequal(L, -1, name)) {
            lua_rawgeti(L, list, i + 1);
            lua_rawseti(L, list + 1, ++n);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, list + 1);
    return 1;
}

/* The first field of that name. Upvalue: all. */
static int fields_get(lua_State *L)
{
    luaL_checkudata(L, 1, FIELDS);
    struct lt_str name = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(name, "all")) {
        lua_pushvalue(L, lua_upvalueindex(1));
        return 1;
    }
    push_lower(L, name);
    lua_getiuservalue(L, 1, 1);
    for (lua_Integer i = 1; lua_rawgeti(L, 4, i) != LUA_TNIL; i += 2) {
        if (lua_rawequal(L, -1, 3)) {
            lua_rawgeti(L, 4, i + 1);
            return 1;
        }
        lua_pop(L, 1);
    }
    return 1;
}

static int fields_set(lua_State *L)
{
    return luaL_error(L, "the headers of a response that came can't be written");
}

/* Upvalues: the list, the index of the next name. */
static int fields_next(lua_State *L)
{
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
    lua_pushinteger(L, i + 2);
    lua_replace(L, lua_upvalueindex(2));
    if (lua_rawgeti(L, lua_upvalueindex(1), i) == LUA_TNIL) {
        return 1;
    }
    lua_rawgeti(L, lua_upvalueindex(1), i + 1);
    return 2;
}

static int fields_pairs(lua_State *L)
{
    luaL_checkudata(L, 1, FIELDS);
    lua_getiuservalue(L, 1, 1);
    lua_pushinteger(L, 1);
    lua_pushcclosure(L, fields_next, 2);
    return 1;
}

static void push_fields(lua_State *L, const struct lt_headers *headers)
{
    lua_newuserdatauv(L, 0, 1);
    lua_createtable(L, (int)headers->n * 2, 0);
    for (unsigned i = 0; i < headers->n; i++) {
        push_lower(L, headers->v[i].name);
        lua_rawseti(L, -2, 2 * (lua_Integer)i + 1);
        lt_lua_push_str(L, headers->v[i].value);
        lua_rawseti(L, -2, 2 * (lua_Integer)i + 2);
    }
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, FIELDS);
}

/* ---- the response ---- */

/* response:json(): the value, or nil and "malformed_json". */
static int json(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_getfield(L, 2, "lintel");
    lua_getfield(L, 3, "json");
    lua_getfield(L, 4, "decode");
    lua_getfield(L, 1, "body");
    luaL_checktype(L, -1, LUA_TSTRING);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2) && !lua_isnil(L, -1)) {
        lua_pushliteral(L, "malformed_json");
        lua_insert(L, -2);
        return 3;
    }
    lua_pop(L, 1);
    return 1;
}

void lt_lua_push_http_response(lua_State *L, const struct lt_fetch *fetch)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, fetch->res->status);
    lua_setfield(L, -2, "status");
    push_fields(L, &fetch->res->headers);
    lua_setfield(L, -2, "headers");
    lt_lua_push_str(L, lt_buf_view(&fetch->received));
    lua_setfield(L, -2, "body");
    luaL_setmetatable(L, RESPONSE);
}

static const struct lt_api_row rows[] = {
    LT_API_FIELD("status", "integer", ""),
    LT_API_FIELD("headers", "lintel.Headers", ""),
    LT_API_FIELD("body", "string", ""),
    {"json", ":(): any value, \"malformed_json\"|nil reason", "The value that the body holds.",
     json},
    LT_API_END,
};

const struct lt_api lt_api_http_response = {
    .name = "lintel.HttpResponse",
    .as = "response",
    .doc = "What `lintel.http` gives.",
    .page = "http.md",
    .rows = rows,
};

void lt_lua_open_http_response(lua_State *L)
{
    luaL_newmetatable(L, FIELDS);
    lua_pushcfunction(L, fields_all);
    lua_pushcclosure(L, fields_get, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, fields_set);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, fields_pairs);
    lua_setfield(L, -2, "__pairs");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lt_api_metatable(L, RESPONSE, &lt_api_http_response);
    lua_pop(L, 2);
}
