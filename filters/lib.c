/* SPDX-License-Identifier: Apache-2.0 */
/* The table `lintel`: now, uuid, log, header and the parts of the other lib_*.c. */
#include "filters/lib.h"

#include <stdio.h>

#include "base/rand.h"
#include "config/units.h"
#include "filters/absent.h"
#include "filters/api.h"
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

/* log.info(message [, fields]) and its like, of lintel and of ctx, whose functions have ctx as
 * upvalue. */
static int write_log(lua_State *L, enum lt_log_level level)
{
    struct lt_str id = LT_STR_NONE;
    if (!lua_isnoneornil(L, lua_upvalueindex(1))) {
        id = lt_runner_of(L)->x->ids.request_id;
    }
    struct lt_kv fields[LOG_FIELDS_MAX + 4];
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (lua_isuserdata(L, 1) || lua_istable(L, 1)) {
        return luaL_error(L, "write log.info(message, fields), with a dot and the message first");
    }
    struct lt_str message = lt_lua_check_str(L, 1);
    int n = 0;
    lua_settop(L, 2);
    fields[n++] = LT_KV_STR("filter", fvm->running != NULL ? fvm->running->name : fvm->file->name);
    if (id.len > 0) {
        fields[n++] = LT_KV_STR("request_id", id);
    }
    fields[n++] = LT_KV_STR("message", lt_str_sub(message, 0, LOG_TEXT_MAX));
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
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
    return write_log(L, LT_LOG_INFO);
}

static int log_warn(lua_State *L)
{
    return write_log(L, LT_LOG_WARN);
}

static int log_error(lua_State *L)
{
    return write_log(L, LT_LOG_ERROR);
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

/* ---- the table ---- */

static const struct lt_api_row lintel_rows[] = {
    {"now", "(): number", "Seconds since 1970, with fractions.", now},
    {"uuid", "(): string", "A random UUID.", uuid},
    {"sleep", "(duration: number|string)",
     "Waits so many seconds, or a time as in `\"50ms\"`, at most an hour. Other requests go on.",
     lt_lua_sleep},
    {"parallel", "(functions: (fun(): any)[]): any ...",
     "As `ctx:parallel`, also where there is no request.", lt_lua_parallel},
    {"jwks", "(url: string, options?: lintel.JwksOptions): lintel.Keys",
     "Keys that an issuer publishes, fetched in the background; in `init`.", lt_lua_jwks},
    LT_API_FIELD("log", "lintel.Log", "As `ctx.log`, without a request."),
    LT_API_END,
};

const struct lt_api lt_api_lintel = {
    .name = "lintel",
    .as = "lintel",
    .doc = "What filters may use. Functions that can fail in the world give nil, a stable reason "
           "and sometimes a text for people; those that are used wrongly raise.",
    .rows = lintel_rows,
};

#define LOG_TYPE "(message: string, fields?: table<string, string|number|boolean>)"

static const struct lt_api_row log_rows[] = {
    {"info", LOG_TYPE, "", log_info},
    {"warn", LOG_TYPE, "", log_warn},
    {"error", LOG_TYPE, "", log_error},
    LT_API_END,
};

const struct lt_api lt_api_log = {
    .name = "lintel.Log",
    .as = "ctx.log",
    .doc = "Lines in the error log with the name of the instance. Names of fields are small "
           "letters, digits and `_`; at most 16 fields, texts are cut after 1000 bytes.",
    .rows = log_rows,
};

static const struct lt_api_row header_rows[] = {
    {"check", "(side: \"request\"|\"response\", name: string, value?: string|number)",
     "For `init`: raises when headers of that side can't be given this field or, without a value, "
     "be rid of it.",
     header_check},
    LT_API_END,
};

const struct lt_api lt_api_header = {
    .name = "lintel.header",
    .as = "lintel.header",
    .doc = "For filters that get header fields by settings.",
    .rows = header_rows,
};

void lt_lua_open_lintel(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_newtable(L);
    lt_api_add(L, &lt_api_lintel, 0);
    lua_newtable(L);
    lt_api_add(L, &lt_api_log, 0);
    lt_absent_refuse(L, "lintel.log", NULL);
    lt_sandbox_freeze(L, "lintel.log");
    lua_setfield(L, -2, "log");
    for (size_t i = 0; i < lt_api_count; i++) {
        const struct lt_api *api = lt_api_all[i];
        if (lt_api_part(api) == NULL) {
            continue;
        }
        lua_newtable(L);
        lt_api_add(L, api, 0);
        if (api->open != NULL) {
            api->open(L);
        }
        lt_absent_refuse(L, api->name, NULL);
        lt_sandbox_freeze(L, api->name);
        lua_setfield(L, -2, lt_api_part(api));
    }
    lt_absent_refuse(L, "lintel", NULL);
    lt_sandbox_freeze(L, "lintel");
    lua_setfield(L, -2, "lintel");
    lua_pop(L, 1);
}
