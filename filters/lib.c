/* SPDX-License-Identifier: Apache-2.0 */
/* The table `lintel`: now, uuid, log, header and the parts of the other lib_*.c; and the function
 * that settings of the type expr become. */
#include "filters/lib.h"

#include <stdio.h>

#include "base/rand.h"
#include "config/expr.h"
#include "config/units.h"
#include "filters/host_impl.h"
#include "filters/sandbox.h"

#define LOG_FIELDS_MAX 16
#define LOG_KEY_MAX 32u
#define LOG_TEXT_MAX 1000u

/* lintel.now(): seconds since 1970, with fractions. */
static int now(lua_State *L)
{
    const struct lt_filters *host = lt_filter_vm_of(L)->host;
    uint64_t us = host != NULL ? host->spec.loop->wall_us : lt_clock_wall_us();
    lua_pushnumber(L, (double)us / 1e6);
    return 1;
}

/* lintel.uuid(): a random UUID (RFC 9562 §5.4). */
static int uuid(lua_State *L)
{
    unsigned char r[16];
    char text[37];
    lt_rand_bytes(r, sizeof(r));
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    snprintf(text, sizeof(text),
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1],
             r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
             r[15]);
    lua_pushstring(L, text);
    return 1;
}

void lt_lua_check_keys(lua_State *L, int index, const char *what, const char *const *known,
                       size_t n)
{
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        bool found = false;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        for (size_t i = 0; i < n; i++) {
            found |= strcmp(key, known[i]) == 0;
        }
        if (!found) {
            const char *close = lt_schema_closest(lt_str_c(key), known, n);
            luaL_error(L, "%s: `%s` is not known here%s%s%s", what, key,
                       close != NULL ? ": did you mean `" : "", close != NULL ? close : "",
                       close != NULL ? "`?" : "");
        }
    }
}

bool lt_lua_to_duration(lua_State *L, int index, uint64_t max_ms, uint64_t *ms)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        return lt_units_duration(lt_lua_check_str(L, index), ms) && *ms <= max_ms;
    }
    double s = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
    bool ok = s >= 0 && s <= (double)max_ms / 1000;
    *ms = ok ? (uint64_t)(s * 1000 + 0.5) : 0;
    return ok;
}

uint64_t lt_lua_duration_ms(lua_State *L, int index, uint64_t max_ms)
{
    uint64_t ms;
    if (!lt_lua_to_duration(L, index, max_ms, &ms)) {
        luaL_argerror(L, index,
                      lua_pushfstring(L,
                                      "write seconds, between 0 and %d, or a duration as in "
                                      "\"50ms\"",
                                      (int)(max_ms / 1000)));
    }
    return ms;
}

int lt_lua_skip_ctx(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TUSERDATA) {
        return 1;
    }
    (void)lt_runner_check(L, 1);
    return 2;
}

/* ---- log ---- */

static bool is_log_key(const char *key)
{
    static const char *const taken[] = {"time",   "level",      "subsystem", "event",
                                        "filter", "request_id", "message",   "truncated"};
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++) {
        bool ok = (key[i] >= 'a' && key[i] <= 'z') || lt_char_is_digit(key[i]) || key[i] == '_';
        if (!ok) {
            return false;
        }
    }
    for (size_t i = 0; i < lt_countof(taken); i++) {
        if (strcmp(key, taken[i]) == 0) {
            return false;
        }
    }
    return n > 0 && n <= LOG_KEY_MAX;
}

/* The field whose key and value are on top of the stack; keys and texts live as long as they do. */
static struct lt_kv log_field(lua_State *L)
{
    if (lua_type(L, -2) != LUA_TSTRING || !is_log_key(lua_tostring(L, -2))) {
        luaL_error(L, "the name of a log field is made of small letters, digits and '_' (and none "
                      "of Lintel's own)");
    }
    const char *key = lua_tostring(L, -2);
    if (lua_isboolean(L, -1)) {
        return LT_KV_BOOL(key, lua_toboolean(L, -1));
    }
    if (lua_isinteger(L, -1)) {
        return LT_KV_INT(key, lua_tointeger(L, -1));
    }
    if (lua_type(L, -1) == LUA_TNUMBER) {
        return LT_KV_MS(key, lua_tonumber(L, -1));
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        luaL_error(L, "log field %s is a %s", key, luaL_typename(L, -1));
    }
    struct lt_str text;
    text.p = lua_tolstring(L, -1, &text.len);
    return LT_KV_STR(key, lt_str_sub(text, 0, LOG_TEXT_MAX));
}

int lt_lua_log(lua_State *L, int arg, enum lt_log_level level, struct lt_str id)
{
    struct lt_kv fields[LOG_FIELDS_MAX + 4];
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (lua_isuserdata(L, arg) || lua_istable(L, arg)) {
        return luaL_error(L, "write log.info(message, fields), with a dot and the message first");
    }
    struct lt_str message = lt_lua_check_str(L, arg);
    int n = 0;
    lua_settop(L, arg + 1);
    fields[n++] = LT_KV_STR("filter", fvm->running != NULL ? fvm->running->name : fvm->file->name);
    if (id.len > 0) {
        fields[n++] = LT_KV_STR("request_id", id);
    }
    fields[n++] = LT_KV_STR("message", lt_str_sub(message, 0, LOG_TEXT_MAX));
    if (!lua_isnil(L, arg + 1)) {
        luaL_checktype(L, arg + 1, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, arg + 1) != 0; lua_pop(L, 1)) {
            if (n == LOG_FIELDS_MAX + 3) {
                return luaL_error(L, "more than %d log fields", LOG_FIELDS_MAX);
            }
            fields[n++] = log_field(L);
        }
    }
    fields[n] = (struct lt_kv){.type = LT_KV_T_END};
    if (lt_log_enabled(level)) {
        lt_log_emit(level, "filter", "message", fields);
    }
    return 0;
}

static int log_info(lua_State *L)
{
    return lt_lua_log(L, 1, LT_LOG_INFO, LT_STR_NONE);
}

static int log_warn(lua_State *L)
{
    return lt_lua_log(L, 1, LT_LOG_WARN, LT_STR_NONE);
}

static int log_error(lua_State *L)
{
    return lt_lua_log(L, 1, LT_LOG_ERROR, LT_STR_NONE);
}

/* ---- headers ---- */

/* lintel.header.check(side, name [, value]): raises unless the headers of the request or response
 * can be given this field, or, without a value, be rid of it; for init. */
static int header_check(lua_State *L)
{
    static const char *const sides[] = {"request", "response", NULL};
    bool request = luaL_checkoption(L, 1, NULL, sides) == 0;
    lt_ctx_header_check(L, request, lt_lua_check_str(L, 2), 3);
    return 0;
}

/* ---- expressions ---- */

/* conf.key(ctx): the expression's value as text, or nil. Upvalue: the expression. */
static int evaluate(lua_State *L)
{
    const struct lt_expr *expr = lua_touserdata(L, lua_upvalueindex(1));
    struct lt_runner *runner = lt_runner_check(L, 1);
    char scratch[32];
    struct lt_str text;
    if (!lt_expr_text(expr, lt_exchange_expr_get, runner->x, scratch, &text)) {
        return lt_lua_nil(L);
    }
    lt_lua_push_str(L, text);
    return 1;
}

void lt_lua_push_expr(lua_State *L, const struct lt_expr *expr)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)expr);
    lua_pushcclosure(L, evaluate, 1);
}

/* ---- the table ---- */

void lt_lua_open_lintel(lua_State *L)
{
    static const luaL_Reg plain[] = {{"now", now},
                                     {"uuid", uuid},
                                     {"sleep", lt_lua_sleep},
                                     {"parallel", lt_lua_parallel},
                                     {NULL, NULL}};
    static const luaL_Reg log[] = {
        {"info", log_info}, {"warn", log_warn}, {"error", log_error}, {NULL, NULL}};
    static const luaL_Reg header[] = {{"check", header_check}, {NULL, NULL}};
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    luaL_newlib(L, plain);
    luaL_newlib(L, log);
    lt_sandbox_freeze(L, "lintel.log");
    lua_setfield(L, -2, "log");
    luaL_newlib(L, header);
    lt_sandbox_freeze(L, "lintel.header");
    lua_setfield(L, -2, "header");
    lt_lua_open_limit(L);
    lt_sandbox_freeze(L, "lintel.limit");
    lua_setfield(L, -2, "limit");
    lt_lua_open_crypto(L);
    lt_sandbox_freeze(L, "lintel.crypto");
    lua_setfield(L, -2, "crypto");
    lt_lua_open_json(L);
    lt_sandbox_freeze(L, "lintel.json");
    lua_setfield(L, -2, "json");
    lt_lua_open_http(L);
    lt_sandbox_freeze(L, "lintel.http");
    lua_setfield(L, -2, "http");
    lt_lua_open_jwt(L);
    lt_sandbox_freeze(L, "lintel.jwt");
    lua_setfield(L, -2, "jwt");
    lt_lua_open_cache(L);
    lt_sandbox_freeze(L, "lintel.cache");
    lua_setfield(L, -2, "cache");
    lt_lua_open_shared(L);
    lt_sandbox_freeze(L, "lintel.shared");
    lua_setfield(L, -2, "shared");
    lt_lua_open_re(L);
    lt_sandbox_freeze(L, "lintel.re");
    lua_setfield(L, -2, "re");
    lt_sandbox_freeze(L, "lintel");
    lua_setfield(L, -2, "lintel");
    lua_pop(L, 1);
}
