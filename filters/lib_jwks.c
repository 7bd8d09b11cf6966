/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.jwks: keys that an issuer publishes (jwks.h). */
#include "base/arena.h"
#include "config/units.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/lib_jwt.h"
#include "http/url.h"

#define DAY_MS (UINT64_C(24) * 3600 * 1000)
#define REFRESH_MS (UINT64_C(15) * 60 * 1000)
#define RETRY_MS UINT64_C(10000)
#define TIMEOUT_MS UINT64_C(5000)
#define WAIT_MS UINT64_C(3000)
#define SIZE ((uint64_t)64 << 10)

/* A time from min_ms to max_ms in the table at index 2. */
static uint64_t time_option(lua_State *L, const char *name, uint64_t fallback, uint64_t min_ms,
                            uint64_t max_ms)
{
    uint64_t ms = fallback;
    if (lua_getfield(L, 2, name) != LUA_TNIL &&
        (!lt_lua_to_duration(L, -1, max_ms, &ms) || ms < min_ms)) {
        luaL_error(L,
                   "lintel.jwks: `%s` is a time from %ds to %ds: seconds, or a text as in \"5m\"",
                   name, (int)(min_ms / 1000), (int)(max_ms / 1000));
    }
    lua_pop(L, 1);
    return ms;
}

static size_t size_option(lua_State *L)
{
    uint64_t size = SIZE;
    int type = lua_getfield(L, 2, "max");
    if (type == LUA_TSTRING) {
        size = lt_units_size(lt_lua_check_str(L, -1), &size) ? size : 0;
    } else if (type != LUA_TNIL) {
        size =
            lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0 ? (uint64_t)lua_tointeger(L, -1) : 0;
    }
    lua_pop(L, 1);
    if (size == 0 || size > LT_JOSE_TEXT_MAX) {
        luaL_error(L, "lintel.jwks: `max` is at most 256K: write bytes, or a size as in \"64K\"");
    }
    return (size_t)size;
}

static bool discover_option(lua_State *L)
{
    int type = lua_getfield(L, 2, "discover");
    bool on = lua_toboolean(L, -1);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        luaL_error(L, "lintel.jwks: `discover` is true or false");
    }
    lua_pop(L, 1);
    return on;
}

static void check_url(lua_State *L, struct lt_str text)
{
    struct lt_arena arena;
    struct lt_url url;
    const char *why = "out of memory";
    lt_arena_init(&arena, NULL, 0, (size_t)4 * LT_URL_MAX);
    enum lt_err err = lt_url_parse(&arena, text, &url, &why);
    lt_arena_fini(&arena);
    if (err != LT_OK) {
        luaL_error(L, "lintel.jwks: %s", why);
    }
}

/* lintel.jwks(url [, options]): keys as jwt.keys gives them. */
int lt_lua_jwks(lua_State *L)
{
    struct lt_jwks_terms terms = {.url = lt_lua_check_str(L, 1)};
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lt_api_check_keys(L, 2, "lintel.jwks", &lt_api_jwks_options);
    check_url(L, terms.url);
    terms.discover = discover_option(L);
    terms.refresh_ms = time_option(L, "refresh", REFRESH_MS, 1000, DAY_MS);
    terms.retry_ms = time_option(L, "retry", RETRY_MS, 1000, DAY_MS);
    terms.stale_ms = time_option(L, "stale", DAY_MS, 0, 365 * DAY_MS);
    terms.timeout_ms = time_option(L, "timeout", TIMEOUT_MS, 1, 60000);
    terms.wait_ms = time_option(L, "wait", WAIT_MS, 0, 60000);
    terms.max = size_option(L);
    struct lt_lua_keys *keys = lt_lua_new_keys(L, "lintel.jwks");
    keys->fetched = true;
    if (fvm->host != NULL) { /* `lintel check` fetches nothing */
        if (fvm->running == NULL) {
            return luaL_error(L, "lintel.jwks: ask for keys in `init`");
        }
        keys->source = lt_jwks_new(&fvm->units[fvm->running->nth], keys->set, &terms);
        if (keys->source == NULL) {
            return luaL_error(L, "out of memory");
        }
    }
    return 1;
}

static const struct lt_api_row option_rows[] = {
    LT_API_FIELD("discover", "boolean",
                 "The URL is an issuer's, whose `/.well-known/openid-configuration` says where the "
                 "keys are."),
    LT_API_FIELD(
        "refresh", "number|string",
        "How long keys are fresh; `15m` without it. `Cache-Control: max-age` may say less, "
        "down to a minute."),
    LT_API_FIELD("retry", "number|string",
                 "Between two fetches because of keys that are not there: `10s` without it."),
    LT_API_FIELD("stale", "number|string",
                 "How long old keys serve while the issuer doesn't answer: `1d` without it."),
    LT_API_FIELD("timeout", "number|string", "Of one fetch: `5s` without it, at most a minute."),
    LT_API_FIELD("wait", "number|string",
                 "For which `lintel.jwt.verify` waits for a fetch: `3s` without it, and a little "
                 "less than what is left of `budget.wall`."),
    LT_API_FIELD("max", "integer|string", "Bytes of an answer: `64K` without it, at most 256K."),
    LT_API_END,
};

const struct lt_api lt_api_jwks_options = {
    .name = "lintel.JwksOptions",
    .doc = "Options of `lintel.jwks`.",
    .page = "tokens.md",
    .rows = option_rows,
};
