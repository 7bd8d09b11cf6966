/* SPDX-License-Identifier: Apache-2.0 */
/* The list of everything that filters see, and its registration (api.h). A worker's thread. */
#include "filters/api.h"

#include <assert.h>
#include <lauxlib.h>
#include <string.h>

#include "filters/absent.h"
#include "filters/lib.h"

#define ROWS_MAX 32

const struct lt_api *const lt_api_all[] = {
    &lt_api_filter,        &lt_api_ctx,           &lt_api_request,
    &lt_api_response,      &lt_api_headers,       &lt_api_client,
    &lt_api_tls,           &lt_api_cert,          &lt_api_route,
    &lt_api_upstream,      &lt_api_answer,        &lt_api_lintel,
    &lt_api_log,           &lt_api_http,          &lt_api_http_options,
    &lt_api_http_response, &lt_api_json,          &lt_api_cache,
    &lt_api_cache_options, &lt_api_cache_object,  &lt_api_shared,
    &lt_api_space,         &lt_api_limit,         &lt_api_rate,
    &lt_api_jwt,           &lt_api_keys,          &lt_api_token_rules,
    &lt_api_jwks_options,  &lt_api_crypto,        &lt_api_re,
    &lt_api_pattern,       &lt_api_header,        &lt_api_fields,
    &lt_api_file,          &lt_api_redis,         &lt_api_redis_client,
    &lt_api_redis_options, &lt_api_limit_options, &lt_api_limiter,
    &lt_api_cidr,          &lt_api_cidr_set,
};
const size_t lt_api_count = lt_countof(lt_api_all);

const char *lt_api_part(const struct lt_api *api)
{
    const char *dot = strchr(api->name, '.');
    bool part = dot != NULL && api->as != NULL && strcmp(api->as, api->name) == 0;
    return part ? dot + 1 : NULL;
}

void lt_api_add(lua_State *L, const struct lt_api *api, int upvalue)
{
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        if (row->fn == NULL) {
            continue;
        }
        if (upvalue != 0) {
            lua_pushvalue(L, upvalue);
        }
        lua_pushcclosure(L, row->fn, upvalue != 0);
        lua_setfield(L, -2, row->name);
    }
}

void lt_api_metatable(lua_State *L, const char *name, const struct lt_api *api)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    lt_api_add(L, api, 0);
    lt_absent_refuse(L, api->as, api);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

static size_t names_of(const struct lt_api *api, const char *names[ROWS_MAX])
{
    size_t n = 0;
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        assert(n < ROWS_MAX);
        names[n++] = row->name;
    }
    return n;
}

void lt_api_check_keys(lua_State *L, int index, const char *what, const struct lt_api *api)
{
    const char *names[ROWS_MAX];
    lt_lua_check_keys(L, index, what, names, names_of(api, names));
}

const char *lt_api_closest(const struct lt_api *api, const char *name)
{
    const char *names[ROWS_MAX];
    return lt_schema_closest(lt_str_c(name), names, names_of(api, names));
}
