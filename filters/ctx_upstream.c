/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.upstream: where the exchange goes, and in the hook `upstream` what a filter says about that.
 * A worker's thread. */
#include "config/schema.h"
#include "filters/absent.h"
#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/lib.h"
#include "upstream/hash_ring.h"

#define TIMEOUT_MAX_MS UINT64_C(86400000)

static int upstream_get(lua_State *L)
{
    const struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "name")) {
        if (x->upstream == NULL) {
            return 0;
        }
        lt_lua_push_str(L, x->upstream->name);
    } else if (lt_str_eq_c(key, "server")) {
        if (x->server == NULL) {
            return 0;
        }
        lt_lua_push_str(L, x->server->name);
    } else if (lt_str_eq_c(key, "status")) {
        if (x->upstream_status == 0) {
            return 0;
        }
        lua_pushinteger(L, x->upstream_status);
    } else {
        return lt_absent_field(L, &lt_api_upstream);
    }
    return 1;
}

/* Raises: there is no upstream of that name. */
static int unknown_pool(lua_State *L, const struct lt_view *view, struct lt_str name)
{
    const char **names = lua_newuserdatauv(L, (view->n_upstreams + 1) * sizeof(*names), 0);
    for (unsigned i = 0; i < view->n_upstreams; i++) {
        names[i] = view->upstreams[i].name.p;
    }
    const char *close = lt_schema_closest(name, names, view->n_upstreams);
    return luaL_error(L, "there is no upstream '%s'%s%s%s", name.p,
                      close != NULL ? ": did you mean '" : "", close != NULL ? close : "",
                      close != NULL ? "'?" : "");
}

static void set_pool(lua_State *L, struct lt_exchange *x)
{
    struct lt_str name = lt_lua_check_str(L, 3);
    for (unsigned i = 0; i < x->view->n_upstreams; i++) {
        if (lt_str_eq(x->view->upstreams[i].name, name)) {
            x->upstream = &x->view->upstreams[i];
            x->split_drawn = NULL; /* it was not the lot that decided: no cookie keeps it */
            return;
        }
    }
    unknown_pool(L, x->view, name);
}

static void set_hash_key(lua_State *L, struct lt_exchange *x)
{
    x->pick.hash = lt_hash_ring_key(lt_lua_check_str(L, 3));
    x->pick.hashed = x->pick.keyed = true;
}

static int upstream_set(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str key = lt_lua_check_str(L, 2);
    bool pool = lt_str_eq_c(key, "pool"), hash_key = lt_str_eq_c(key, "hash_key");
    if (!pool && !hash_key && !lt_str_eq_c(key, "timeout")) {
        return luaL_error(L, "ctx.upstream.%s can't be set: what can is pool, hash_key, timeout",
                          key.p);
    }
    if (runner->hook != LT_FILTER_UPSTREAM) {
        return luaL_error(L, "ctx.upstream.%s can be set in the hook `upstream` only", key.p);
    }
    if (pool) {
        set_pool(L, runner->x);
    } else if (hash_key) {
        set_hash_key(L, runner->x);
    } else {
        lt_exchange_set_deadline(runner->x, lt_lua_duration_ms(L, 3, TIMEOUT_MAX_MS));
    }
    return 0;
}

void lt_ctx_push_upstream(lua_State *L, int ctx)
{
    lt_ctx_closure(L, ctx, upstream_get);
    lt_ctx_object(L, ctx, upstream_set);
}
