/* SPDX-License-Identifier: Apache-2.0 */
/* t.redis: answers to lintel.redis in the place of a network.
 *
 *   t.redis{GET = "value", INCR = function(key) return 1 end}
 *   t.redis(function(command, ...) return "OK" end)
 *
 * A command for which there is no answer fails its case. */
#include <stdio.h>

#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/test_impl.h"

/* In the registry of the test's state: the answer, a table or a function; commands as they were
 * made. */
#define ANSWER "lintel.test.redis"
#define COMMANDS "lintel.test.redis.commands"

/* ---- the reply, for the filter ---- */

/* Writes the value at index as Redis would send it. */
static void put_value(lua_State *L, int index, struct lt_buf *out, unsigned depth)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 8, NULL);
    if (!lua_toboolean(L, index)) {
        lt_redis_put_number(out, LT_REDIS_NIL, 0);
    } else if (lua_type(L, index) == LUA_TSTRING) {
        lt_redis_put_text(out, LT_REDIS_STRING, lt_lua_check_str(L, index));
    } else if (lua_isinteger(L, index)) {
        lt_redis_put_number(out, LT_REDIS_INTEGER, lua_tointeger(L, index));
    } else if (!lua_istable(L, index) || depth == LT_REDIS_DEPTH_MAX) {
        luaL_error(L,
                   "t.redis: a reply is a string, an integer, nil, {err = \"ERR ...\"} or a "
                   "list, and not a %s",
                   luaL_typename(L, index));
    } else if (lua_getfield(L, index, "err") != LUA_TNIL) {
        lt_redis_put_text(out, LT_REDIS_ERROR_TEXT, lt_lua_check_str(L, -1));
        lua_pop(L, 1);
    } else {
        lua_Integer n = (lua_Integer)lua_rawlen(L, index);
        lt_redis_put_number(out, LT_REDIS_LIST, n);
        lua_pop(L, 1);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, index, i);
            put_value(L, -1, out, depth + 1);
            lua_pop(L, 1);
        }
    }
}

/* ---- asking the test ---- */

/* Pushes {"GET", "key"}. */
static void push_command(lua_State *L, struct lt_str command)
{
    unsigned n = lt_redis_command_args(command);
    lua_createtable(L, (int)n, 0);
    for (unsigned i = 0; i < n; i++) {
        lt_lua_push_str(L, lt_redis_command_arg(command, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* Pushes a list's elements from `from` on; gives how many. */
static int push_elements(lua_State *L, int list, lua_Integer from)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    luaL_checkstack(L, (int)n + 8, "too many arguments");
    for (lua_Integer i = from; i <= n; i++) {
        lua_rawgeti(L, list, i);
    }
    return (int)lt_max(n - from + 1, (lua_Integer)0);
}

static void push_upper(lua_State *L, struct lt_str s)
{
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, s.len);
    for (size_t i = 0; i < s.len; i++) {
        out[i] = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 'a' + 'A') : s.p[i];
    }
    luaL_pushresultsize(&b, s.len);
}

/* Pushes what the test answers to the command in the list at index: three values, as a function may
 * return nil, reason, detail. */
static void push_answer(lua_State *L, int command)
{
    lua_rawgeti(L, command, 1);
    push_upper(L, lt_lua_check_str(L, -1));
    int name = lua_gettop(L);
    int type = lua_getfield(L, LUA_REGISTRYINDEX, ANSWER);
    bool found = type != LUA_TNIL;
    lua_Integer from = 1;
    if (type == LUA_TTABLE) {
        lua_pushvalue(L, name);
        found = lua_rawget(L, -2) != LUA_TNIL;
        from = 2;
    }
    if (!found) {
        luaL_error(L, "the filter sent %s to Redis: write t.redis{%s = ...}", lua_tostring(L, name),
                   lua_tostring(L, name));
    }
    if (lua_isfunction(L, -1)) {
        lua_call(L, push_elements(L, command, from), 3);
    } else {
        lua_pushnil(L);
        lua_pushnil(L);
    }
}

/* Called with the call; raises what is wrong with the test. */
static int answer(lua_State *L)
{
    struct lt_redis_call *call = lua_touserdata(L, 1);
    struct lt_str rest = call->text, command;
    for (unsigned i = 0; lt_redis_command_next(&rest, &command); i++) {
        lua_settop(L, 1);
        push_command(L, command);
        lua_getfield(L, LUA_REGISTRYINDEX, COMMANDS);
        lua_pushvalue(L, 2);
        lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
        push_answer(L, 2);
        if (lua_isnil(L, -3) && lua_type(L, -2) == LUA_TSTRING) {
            enum lt_redis_error error = lt_redis_error_find(lt_lua_check_str(L, -2));
            if (error == LT_REDIS_OK || error == LT_REDIS_ERROR) {
                luaL_error(L, "t.redis: \"%s\" is no reason of lintel.redis without a reply",
                           lua_tostring(L, -2));
            }
            lt_redis_call_fail(
                call, error, lua_isstring(L, -1) ? lt_lua_check_str(L, -1) : LT_STR("by t.redis"));
            return 0;
        }
        lt_redis_call_begin(call, i);
        put_value(L, -3, &call->received, 0);
    }
    lt_redis_call_end(call);
    return 0;
}

/* At the end of a turn, within t.run: the test's state is the one that runs. */
static void on_call(void *arg, struct lt_redis_call *call)
{
    struct lt_test *r = arg;
    lua_State *L = r->L;
    if (L == NULL) { /* the case is over: a cache still loads */
        lt_redis_call_fail(call, LT_REDIS_UNREACHABLE, LT_STR("there is no network in tests"));
        return;
    }
    int top = lua_gettop(L);
    lua_pushcfunction(L, answer);
    lua_pushlightuserdata(L, call);
    r->in_mock = true;
    int status = lua_pcall(L, 1, 0, 0);
    r->in_mock = false;
    if (status != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        snprintf(r->http_error, sizeof(r->http_error), "%s", why != NULL ? why : "t.redis");
        lt_redis_call_fail(call, LT_REDIS_UNREACHABLE, LT_STR("there is no network in tests"));
    }
    lua_settop(L, top);
}

void lt_test_redis_begin(lua_State *L, struct lt_test *r)
{
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, COMMANDS);
    lt_redis_mock(r->bed->redis, on_call, r);
}

void lt_test_redis_end(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, COMMANDS);
    lua_setfield(L, -2, "redis");
}

void lt_test_redis_forget(lua_State *L)
{
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, ANSWER);
}

int lt_test_redis(lua_State *L)
{
    luaL_argcheck(L, lua_istable(L, 1) || lua_isfunction(L, 1), 1,
                  "write {GET = \"value\", INCR = function(key) ... end} or a function of the "
                  "command and its arguments");
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, ANSWER);
    return 0;
}
