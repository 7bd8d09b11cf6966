/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox (sandbox.h). What is listed here is all that filter code gets; everything else of Lua
 * is never opened or not passed on. Raises Lua errors. */
#include "filters/sandbox.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/str.h"
#include "filters/absent.h"
#include "filters/globals.h"
#include "filters/lua_match.h"
#include "filters/lua_table.h"

#define ENV "lintel.env"
#define REP_POLL_BYTES 262144u
#define QUOTE_MAX_BYTES 32768 /* that string.format quotes in one call */
/* Of a format of string.pack: its bytes, and the digits of a number in it. */
#define PACK_FORMAT_MAX 256
#define PACK_DIGITS_MAX 4

/* ---- views that can't be written to ---- */

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "%s can't be changed", lua_tostring(L, lua_upvalueindex(1)));
}

/* Upvalue: the table behind the view. Arguments: view, key. */
static int view_next(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1)) == 0) {
        lua_pushnil(L);
        return 1;
    }
    return 2;
}

static int view_pairs(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, view_next, 1);
    lua_pushvalue(L, 1);
    return 2;
}

static int view_len(lua_State *L)
{
    lua_pushinteger(L, luaL_len(L, lua_upvalueindex(1)));
    return 1;
}

void lt_sandbox_freeze(lua_State *L, const char *what)
{
    luaL_checkstack(L, 6, NULL);
    lua_newtable(L);          /* table view */
    lua_createtable(L, 0, 5); /* table view meta */
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    lua_pushcclosure(L, refuse_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, view_pairs, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, view_len, 1);
    lua_setfield(L, -2, "__len");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* ---- replaced functions ---- */

/* setmetatable without finalisers: hooks are off while those run. */
static int set_metatable(lua_State *L)
{
    static const char *const refused[] = {"__gc", "__close"};
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    if (lua_istable(L, 2)) {
        for (size_t i = 0; i < lt_countof(refused); i++) {
            lua_pushstring(L, refused[i]);
            if (lua_rawget(L, 2) != LUA_TNIL) {
                return luaL_error(L, "a filter may not use %s", refused[i]);
            }
            lua_pop(L, 1);
        }
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) {
        return luaL_error(L, "cannot change a protected metatable");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* string.rep(s, n [, sep]): Lua's own counts to n even when there is nothing to repeat, and copies
 * each byte of short texts by itself. */
static int string_rep(lua_State *L)
{
    size_t len, sep_len;
    luaL_Buffer b;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &sep_len);
    if (n <= 0 || len + sep_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((lua_Unsigned)n > (size_t)INT32_MAX / (len + sep_len)) {
        return luaL_error(L, "resulting string too large");
    }
    size_t total = (size_t)n * len + (size_t)(n - 1) * sep_len, unit = len + sep_len;
    char *out = luaL_buffinitsize(L, &b, total);
    memcpy(out, s, len);
    if (n > 1) {
        memcpy(out + len, sep, sep_len);
    }
    /* What is there already is repeated, from where its next byte is. */
    for (size_t at = unit, part; at < total; at += part) {
        part = lt_min(lt_min(at - at % unit, (size_t)REP_POLL_BYTES), total - at);
        memcpy(out + at, out + at % unit, part);
        lt_vm_poll(L);
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

/* string.format(...): Lua's own, upvalue 1; but what it quotes is bounded, since nothing can stop
 * it in between, and a control byte takes it as long as a hundred letters. */
static int string_format(lua_State *L)
{
    size_t len, quoted = 0;
    const char *format = luaL_checklstring(L, 1, &len);
    int n = lua_gettop(L);
    for (int i = 2; memmem(format, len, "%q", 2) != NULL && i <= n; i++) {
        quoted += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
    }
    if (quoted > QUOTE_MAX_BYTES) {
        return luaL_error(L, "string.format quotes (%%q) at most %d bytes", QUOTE_MAX_BYTES);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, 1);
    return 1;
}

/* string.pack, packsize and unpack: Lua's own, upvalue 1; but what nothing can stop in between is
 * bounded, the options of a format and how much one fills up. */
static int string_pack(lua_State *L)
{
    size_t len, digits = 0;
    const char *format = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len <= PACK_FORMAT_MAX, 1, "a format has at most 256 bytes");
    for (size_t i = 0; i < len; i++) {
        digits = lt_char_is_digit(format[i]) ? digits + 1 : 0;
        luaL_argcheck(L, digits <= PACK_DIGITS_MAX, 1, "a number in it has at most 4 digits");
    }
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

/* ---- globals ---- */

/* Opens a library of Lua and pushes a table with the functions named. */
static void take(lua_State *L, const char *name, lua_CFunction open, const char *const *names)
{
    luaL_requiref(L, name, open, 0);
    lua_newtable(L);
    for (; *names != NULL; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

static void open_base(lua_State *L)
{
    static const char *const names[] = {
        "assert", "error",  "getmetatable", "ipairs",   "next", "pairs",  "pcall",    "rawequal",
        "rawlen", "select", "tonumber",     "tostring", "type", "xpcall", "_VERSION", NULL};
    take(L, LUA_GNAME, luaopen_base, names);
    lua_pushcfunction(L, set_metatable);
    lua_setfield(L, -2, "setmetatable");
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
}

static void open_string(lua_State *L)
{
    static const char *const names[] = {"byte", "char",     "format",  "len",    "lower", "pack",
                                        "sub",  "packsize", "reverse", "unpack", "upper", NULL};
    static const luaL_Reg ours[] = {
        {"find", lt_lua_find}, {"match", lt_lua_match}, {"gmatch", lt_lua_gmatch},
        {"gsub", lt_lua_gsub}, {"rep", string_rep},     {NULL, NULL},
    };
    take(L, LUA_STRLIBNAME, luaopen_string, names);
    luaL_setfuncs(L, ours, 0);
    static const luaL_Reg bounded[] = {
        {"format", string_format},
        {"pack", string_pack},
        {"packsize", string_pack},
        {"unpack", string_pack},
    };
    for (size_t i = 0; i < lt_countof(bounded); i++) {
        lua_getfield(L, -1, bounded[i].name);
        lua_pushcclosure(L, bounded[i].func, 1);
        lua_setfield(L, -2, bounded[i].name);
    }
    /* ("x"):upper() finds the functions through the metatable that all strings share. */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    lt_absent_refuse(L, LUA_STRLIBNAME, NULL);
    lt_sandbox_freeze(L, "the library string");
    lua_setfield(L, -2, LUA_STRLIBNAME);
}

static void open_rest(lua_State *L)
{
    luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 0);
    lt_absent_refuse(L, LUA_MATHLIBNAME, NULL);
    lt_sandbox_freeze(L, "the library math");
    lua_setfield(L, -2, LUA_MATHLIBNAME);
    luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 0);
    lt_absent_refuse(L, LUA_UTF8LIBNAME, NULL);
    lt_sandbox_freeze(L, "the library utf8");
    lua_setfield(L, -2, LUA_UTF8LIBNAME);
    lt_lua_table_lib(L);
    lt_absent_refuse(L, LUA_TABLIBNAME, NULL);
    lt_sandbox_freeze(L, "the library table");
    lua_setfield(L, -2, LUA_TABLIBNAME);
}

int lt_sandbox_open(lua_State *L)
{
    open_base(L);
    open_string(L);
    open_rest(L);
    /* Nothing but the globals above; what is not there raises. */
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, lt_globals_undeclared_read);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    /* What chunks see as _ENV: empty itself, so that every write comes by __newindex. */
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, lt_globals_undeclared_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, ENV);
    return 0;
}

bool lt_sandbox_load(lua_State *L, struct lt_str text, const char *name)
{
    if (luaL_loadbufferx(L, text.p, text.len, name, "t") != LUA_OK) {
        return false;
    }
    if (!lt_globals_check(L, name)) {
        return false;
    }
    lua_getfield(L, LUA_REGISTRYINDEX, ENV);
    lua_setupvalue(L, -2, 1); /* the first upvalue of a main function is _ENV */
    return true;
}
