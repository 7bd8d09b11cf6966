/* SPDX-License-Identifier: Apache-2.0 */
/* Whole bodies: ctx.req:body, json, set_body and the same of ctx.res (exchange/body.h). A worker's
 * thread. */
#include "base/mem.h"
#include "config/units.h"
#include "exchange/body.h"
#include "filters/ctx.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

/* Of a body that a filter asks for: when it says nothing, and at most. */
#define DEFAULT_MAX ((size_t)64 << 10)
#define BODY_MAX ((size_t)16 << 20)

/* A filter waits for a body. */
struct body_op {
    struct lt_async wait;
    struct lt_body_wait body;
    uint64_t left_us; /* of its task's wall budget, which doesn't pay for slow peers */
    bool json;
};

/* nil and the reason. */
static int refuse(lua_State *L, const char *reason)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
}

/* ---- reading ---- */

/* The text on top of the stack as a value, else nil, "malformed" and why. */
static int push_json(lua_State *L)
{
    int text = lua_gettop(L);
    lua_pushcfunction(L, lt_lua_json_decode);
    lua_pushvalue(L, text);
    lua_call(L, 1, 2);
    if (!lua_isnil(L, -2) || lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushliteral(L, "malformed");
    lua_pushvalue(L, -3);
    return 3;
}

static int push_body(lua_State *L, struct lt_exchange *x, enum lt_side side, bool json)
{
    luaL_Buffer text;
    size_t len = lt_body_len(x, side);
    char *out = luaL_buffinitsize(L, &text, len);
    if (lt_body_copy(x, side, out) != LT_OK) {
        return refuse(L, "unreadable");
    }
    luaL_pushresultsize(&text, len);
    return json ? push_json(L) : 1;
}

static int push_result(lua_State *L, struct lt_exchange *x, enum lt_side side, enum lt_body_is is,
                       bool json)
{
    switch (is) {
    case LT_BODY_IS_WHOLE:
        return push_body(L, x, side, json);
    case LT_BODY_IS_TOO_LARGE:
        return refuse(L, "too_large");
    case LT_BODY_IS_STREAM:
        return refuse(L, "stream");
    case LT_BODY_IS_NO_ROOM:
    case LT_BODY_IS_TO_COME:
        break;
    }
    return refuse(L, "no_memory");
}

static void end(struct lt_async *wait)
{
    struct body_op *op = lt_container_of(wait, struct body_op, wait);
    lt_body_forget(&op->body);
    lt_free(op);
}

static int finished(lua_State *L, int status, lua_KContext k)
{
    struct body_op *op = lt_container_of((struct lt_async *)k, struct body_op, wait);
    (void)status;
    lt_task_start_clock(lt_filter_vm_of(L)->task, op->left_us);
    return push_result(L, op->body.x, op->body.side, op->body.is, op->json);
}

static void on_body(struct lt_body_wait *w)
{
    lt_async_done(&lt_container_of(w, struct body_op, body)->wait);
}

static int await(lua_State *L, struct lt_exchange *x, enum lt_side side, size_t max, bool json)
{
    struct lt_task *task = lt_task_check(L);
    if (x->body_wait != NULL) {
        return luaL_error(L, "the body is waited for already");
    }
    struct body_op *op = lt_calloc(1, sizeof(*op));
    if (op == NULL) {
        return luaL_error(L, "not enough memory");
    }
    *op = (struct body_op){.wait.end = end,
                           .body = {.x = x, .side = side, .max = max, .done = on_body},
                           .left_us = lt_task_stop_clock(task),
                           .json = json};
    lt_body_ask(&op->body);
    return lt_task_wait(L, &op->wait, finished);
}

/* {max = bytes or "64K"} at index 2, or nothing. */
static size_t check_max(lua_State *L, size_t most)
{
    static const char *const known[] = {"max"};
    uint64_t max = DEFAULT_MAX;
    if (lua_isnoneornil(L, 2)) {
        return DEFAULT_MAX;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lt_lua_check_keys(L, 2, "body", known, lt_countof(known));
    lua_getfield(L, 2, "max");
    if (lua_type(L, -1) == LUA_TSTRING) {
        if (!lt_units_size(lt_lua_check_str(L, -1), &max)) {
            luaL_error(L, "body: `max` is a number of bytes, or a size as in \"64K\"");
        }
    } else if (!lua_isnil(L, -1)) {
        lua_Integer n = luaL_checkinteger(L, -1);
        max = n < 0 ? UINT64_MAX : (uint64_t)n;
    }
    if (max > most) {
        luaL_error(L, "body: `max` is at most %d bytes", (int)most);
    }
    return (size_t)max;
}

static struct lt_runner *check_hook(lua_State *L, enum lt_side side)
{
    struct lt_runner *runner = lt_runner_of(L);
    bool request = side == LT_SIDE_REQUEST;
    if (runner->hook != (request ? LT_FILTER_REQUEST : LT_FILTER_RESPONSE)) {
        luaL_error(L, request ? "the request's body can be used in `request` only"
                              : "the response's body can be used in `response` only");
    }
    return runner;
}

static bool is_encoded(const struct lt_exchange *x, enum lt_side side)
{
    const struct lt_headers *h = side == LT_SIDE_REQUEST ? &x->req.headers : &x->res.headers;
    struct lt_str coding = lt_headers_value(h, LT_HEADER_CONTENT_ENCODING);
    return coding.len > 0 && !lt_str_eq_nocase(coding, LT_STR("identity"));
}

static int get(lua_State *L, enum lt_side side, bool json)
{
    struct lt_runner *runner = check_hook(L, side);
    size_t max = check_max(L, json ? LT_LUA_JSON_MAX : BODY_MAX);
    if (json && is_encoded(runner->x, side)) {
        return refuse(L, "encoded");
    }
    enum lt_body_is is = lt_body_look(runner->x, side, max);
    return is == LT_BODY_IS_TO_COME ? await(L, runner->x, side, max, json)
                                    : push_result(L, runner->x, side, is, json);
}

/* ---- writing ---- */

static int set(lua_State *L, enum lt_side side)
{
    struct lt_runner *runner = check_hook(L, side);
    struct lt_str text = lt_lua_check_str(L, 2);
    if (text.len > BODY_MAX) {
        return luaL_error(L, "the body is larger than %d bytes", (int)BODY_MAX);
    }
    if (lt_body_is_call(runner->x, side)) {
        return luaL_error(L, "the body of a gRPC call or a tunnel can't be replaced");
    }
    if (runner->x->body_wait != NULL) {
        return luaL_error(L, "the body is waited for");
    }
    if (lt_body_replace(runner->x, side, text) != LT_OK) {
        return luaL_error(L, "there is no memory for the body");
    }
    return 0;
}

#define BODY_FUNCTIONS(name, side)                                                                 \
    int lt_ctx_##name##_body(lua_State *L)                                                         \
    {                                                                                              \
        return get(L, side, false);                                                                \
    }                                                                                              \
    int lt_ctx_##name##_json(lua_State *L)                                                         \
    {                                                                                              \
        return get(L, side, true);                                                                 \
    }                                                                                              \
    int lt_ctx_##name##_set_body(lua_State *L)                                                     \
    {                                                                                              \
        return set(L, side);                                                                       \
    }

BODY_FUNCTIONS(req, LT_SIDE_REQUEST)
BODY_FUNCTIONS(res, LT_SIDE_RESPONSE)
