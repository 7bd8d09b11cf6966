/* SPDX-License-Identifier: Apache-2.0 */
/* Runners and the `ctx` that filters see: this file has its frame, the client, the route,
 * and log; ctx_http.c has messages, vars and user, ctx_body.c bodies, ctx_upstream.c the
 * upstream, ctx_answer.c the answers. A
 * worker's thread.
 *
 * ctx is a userdata that holds the runner. What hangs on it (ctx.req, ctx.res.headers ...) are
 * small objects whose functions have ctx as upvalue; they are made once per runner, so that a call
 * makes no garbage but the values that it asks for. */
#include "filters/ctx.h"

#include <stdio.h>

#include "base/obj.h"
#include "filters/absent.h"
#include "filters/api.h"
#include "filters/flow.h"
#include "filters/host_impl.h"
#include "filters/job.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "net/tls_info.h"

#define RUNNER_MAGIC 0x7c0b0b1eu

static bool is_runner(const struct lt_runner *runner, size_t size)
{
    return runner != NULL && size == sizeof(*runner) && runner->magic == RUNNER_MAGIC;
}

static struct lt_runner *live(lua_State *L, struct lt_runner *runner)
{
    if (!runner->live) {
        luaL_error(L, "ctx was kept: it is valid during its own call only");
    }
    return runner;
}

struct lt_runner *lt_runner_of(lua_State *L)
{
    struct lt_runner *runner = lua_touserdata(L, lua_upvalueindex(1));
    LT_OBJ_CHECK(runner, RUNNER_MAGIC);
    return live(L, runner);
}

struct lt_runner *lt_runner_check(lua_State *L, int arg)
{
    struct lt_runner *runner = lua_touserdata(L, arg);
    if (!lua_isuserdata(L, arg) || !is_runner(runner, lua_rawlen(L, arg))) {
        luaL_argerror(L, arg, "ctx expected: is a colon missing, as in ctx:deny(...)?");
    }
    return live(L, runner);
}

struct lt_str lt_ctx_keep(lua_State *L, struct lt_runner *runner, struct lt_str text)
{
    struct lt_str copy;
    if (!lt_arena_dup(&runner->x->arena, text, &copy)) {
        luaL_error(L, "the exchange has no memory left");
    }
    return copy;
}

/* ---- objects ---- */

static int refuse_set(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING) {
        return luaL_error(L, "'%s' can't be set here", lua_tostring(L, 2));
    }
    return luaL_error(L, "this object can't be changed");
}

void lt_ctx_closure(lua_State *L, int ctx, lua_CFunction fn)
{
    lua_pushvalue(L, ctx);
    lua_pushcclosure(L, fn, 1);
}

void lt_ctx_object(lua_State *L, int ctx, lua_CFunction set)
{
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lt_ctx_closure(L, ctx, set != NULL ? set : refuse_set);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* ---- client, route ---- */

static int client_tls(lua_State *L, const struct lt_exchange *x)
{
    if (x->tls == NULL) {
        return 0;
    }
    lua_createtable(L, 0, 3);
    lua_pushstring(L, x->tls->version);
    lua_setfield(L, -2, "version");
    if (x->tls->sni.len > 0) {
        lt_lua_push_str(L, x->tls->sni);
        lua_setfield(L, -2, "sni");
    }
    if (x->tls->verified) {
        lt_ctx_push_cert(L, x->tls);
        lua_setfield(L, -2, "cert");
    }
    return 1;
}

static int client_get(lua_State *L)
{
    const struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "ip")) {
        lt_lua_push_str(L, x->client.ip);
    } else if (lt_str_eq_c(key, "port")) {
        lua_pushinteger(L, lt_addr_port(&x->client.peer));
    } else if (lt_str_eq_c(key, "peer_ip")) {
        char text[LT_ADDR_TEXT_MAX];
        lua_pushlstring(L, text, lt_addr_print_ip(&x->client.peer, text));
    } else if (lt_str_eq_c(key, "trusted")) {
        lua_pushboolean(L, x->client.trusted);
    } else if (lt_str_eq_c(key, "tls")) {
        return client_tls(L, x);
    } else {
        return lt_absent_field(L, &lt_api_client);
    }
    return 1;
}

static int route_get(lua_State *L)
{
    const struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "name")) {
        lt_lua_push_str(L, x->route->name);
    } else if (lt_str_eq_c(key, "site")) {
        lt_lua_push_str(L, x->route->site);
    } else {
        return lt_absent_field(L, &lt_api_route);
    }
    return 1;
}

/* ---- what is asked of the exchange each time ---- */

/* From LT_PRIORITY_HIGH on. */
static const char *const priorities[] = {"high", "normal", "low", NULL};

static int ctx_get(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    const struct lt_exchange *x = runner->x;
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "id")) {
        lt_lua_push_str(L, x->ids.request_id);
    } else if (lt_str_eq_c(key, "trace_id")) {
        lt_lua_push_str(L, x->ids.trace_id);
    } else if (lt_str_eq_c(key, "user")) {
        if (x->user == NULL) {
            return 0;
        }
        lua_pushvalue(L, lua_upvalueindex(2));
    } else if (lt_str_eq_c(key, "cause")) {
        lua_pushstring(L, lt_cause_info(x->cause)->name);
    } else if (lt_str_eq_c(key, "elapsed")) {
        lua_pushnumber(L, (double)(x->env->loop->now_us - x->began_us) / 1e6);
    } else if (lt_str_eq_c(key, "priority")) {
        lua_pushstring(L, priorities[x->pick.priority - LT_PRIORITY_HIGH]);
    } else if (lt_str_eq_c(key, "state")) {
        return 0; /* init gave nothing */
    } else {
        return lt_absent_field(L, &lt_api_ctx);
    }
    return 1;
}

/* ctx.id = text: what logs, the server and our own answers name the request by from here on. */
static void set_id(lua_State *L, struct lt_runner *runner)
{
    struct lt_str id = lt_lua_check_str(L, 3);
    if (runner->hook != LT_FILTER_REQUEST) {
        luaL_error(L, "ctx.id can be set in `request` only");
    }
    luaL_argcheck(L, lt_hop_request_id_ok(id), 3,
                  "a request id is 1 to 128 visible characters without '\"', '\\' and ','");
    runner->x->ids.request_id = lt_ctx_keep(L, runner, id);
}

static int ctx_set(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "user")) {
        lt_ctx_set_user(L, runner, 3);
        return 0;
    }
    if (lt_str_eq_c(key, "priority")) {
        runner->x->pick.priority = luaL_checkoption(L, 3, NULL, priorities) + LT_PRIORITY_HIGH;
        return 0;
    }
    if (lt_str_eq_c(key, "id")) {
        set_id(L, runner);
        return 0;
    }
    return luaL_error(L, "ctx.%s can't be set; ctx.vars is for what filters want to keep", key.p);
}

static void push_log(lua_State *L, int ctx)
{
    lua_createtable(L, 0, 3);
    lt_api_add(L, &lt_api_log, ctx);
    lt_absent_refuse(L, lt_api_log.as, &lt_api_log);
    lt_ctx_object(L, ctx, NULL);
}

/* ---- runners ---- */

static void push_part(lua_State *L, int ctx, lua_CFunction get)
{
    lt_ctx_closure(L, ctx, get);
    lt_ctx_object(L, ctx, NULL);
}

/* The table of what ctx has, behind ctx itself. */
static void push_fields(lua_State *L, int ctx, const struct lt_filter_unit *unit)
{
    static const struct {
        const char *name;
        void (*push)(lua_State *L, int ctx);
    } parts[] = {
        {"req", lt_ctx_push_req},   {"res", lt_ctx_push_res}, {"upstream", lt_ctx_push_upstream},
        {"vars", lt_ctx_push_vars}, {"log", push_log},        {"fields", lt_ctx_push_log_fields},
    };
    static const struct {
        const char *name;
        lua_CFunction get;
    } simple[] = {{"client", client_get}, {"route", route_get}};
    lua_createtable(L, 0, 16);
    for (size_t i = 0; i < lt_countof(parts); i++) {
        parts[i].push(L, ctx);
        lua_setfield(L, -2, parts[i].name);
    }
    for (size_t i = 0; i < lt_countof(simple); i++) {
        push_part(L, ctx, simple[i].get);
        lua_setfield(L, -2, simple[i].name);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, unit->conf_ref);
    lua_setfield(L, -2, "conf");
    lua_rawgeti(L, LUA_REGISTRYINDEX, unit->state_ref);
    lua_setfield(L, -2, "state");
    lt_lua_push_str(L, unit->instance->name);
    lua_setfield(L, -2, "name");
    lt_api_add(L, &lt_api_ctx, 0);
    /* What is not there is asked of the exchange; a state that is nil stays nil. */
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, ctx);
    lt_ctx_push_user(L, ctx);
    lua_pushcclosure(L, ctx_get, 2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

struct making {
    struct lt_filter_unit *unit;
    struct lt_runner *runner;
};

/* A function of the module on top of the stack, or nil. Raw: no code of the filter may run here. */
static void push_hook(lua_State *L, enum lt_filter_hook hook)
{
    if (hook < LT_FILTER_REQUEST_BODY) {
        lua_pushstring(L, lt_filter_hook_names[hook]);
        lua_rawget(L, -2);
        return;
    }
    lua_pushliteral(L, "body");
    lua_rawget(L, -2);
    bool request = hook == LT_FILTER_REQUEST_BODY;
    if (lua_istable(L, -1)) {
        lua_pushstring(L, request ? "request" : "response");
        lua_rawget(L, -2);
        lua_remove(L, -2);
    } else if (request) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

static int make_runner(lua_State *L)
{
    struct making *m = lua_touserdata(L, 1);
    luaL_checkstack(L, 20, NULL);
    lua_State *co = lua_newthread(L);                                    /* index 2 */
    struct lt_runner *runner = lua_newuserdatauv(L, sizeof(*runner), 0); /* index 3 */
    memset(runner, 0, sizeof(*runner));
    lua_createtable(L, 0, 3);
    push_fields(L, 3, m->unit);
    lua_setfield(L, -2, "__index");
    lt_ctx_closure(L, 3, ctx_set);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, 3);
    lt_filter_vm_push_module(L);
    if (!lua_checkstack(co, 16)) {
        return luaL_error(L, "not enough memory");
    }
    for (size_t i = 0; i < LT_FILTER_HOOKS; i++) {
        push_hook(L, (enum lt_filter_hook)i);
        lua_xmove(L, co, 1);
    }
    lua_pushvalue(L, 3);
    lua_xmove(L, co, 1);
    lt_ctx_closure(L, 3, lt_flow_next_chunk);
    lua_xmove(L, co, 1);
    lua_pushvalue(L, 2);
    runner->task = (struct lt_task){.unit = m->unit,
                                    .runner = runner,
                                    .co = co,
                                    .co_ref = luaL_ref(L, LUA_REGISTRYINDEX),
                                    .wall_us = UINT64_MAX};
    LT_OBJ_INIT(runner, RUNNER_MAGIC);
    m->runner = runner;
    return 0;
}

struct lt_runner *lt_runner_get(struct lt_filter_unit *unit)
{
    struct lt_runner *runner = unit->free;
    if (LT_LIKELY(runner != NULL)) {
        unit->free = runner->next;
        return runner;
    }
    struct lt_vm *vm = unit->fvm->vm;
    struct making m = {.unit = unit};
    if (unit->runners >= LT_RUNNERS_MAX) {
        snprintf(vm->error, sizeof(vm->error), "too many calls wait at the same time");
        return NULL;
    }
    if (!lt_vm_setup(vm, make_runner, &m)) {
        return NULL;
    }
    unit->runners++;
    lt_metrics_add(unit->fvm->host->spec.metrics, LT_COUNTER_FILTER_COROUTINES, 1);
    return m.runner;
}

void lt_runner_put(struct lt_runner *runner)
{
    LT_OBJ_CHECK(runner, RUNNER_MAGIC);
    struct lt_filter_unit *unit = runner->task.unit;
    lt_deferred_run(runner);
    lua_settop(runner->task.co, LT_RUNNER_BASE);
    runner->x = NULL;
    runner->staged = runner->denies = false;
    runner->stage = NULL;
    runner->next = unit->free;
    unit->free = runner;
}

void lt_runner_drop(struct lt_runner *runner)
{
    LT_OBJ_CHECK(runner, RUNNER_MAGIC);
    lt_deferred_run(runner);
    runner->x = NULL;
    runner->task.unit->runners--;
    lt_task_drop(&runner->task);
}
