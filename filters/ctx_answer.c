/* SPDX-License-Identifier: Apache-2.0 */
/* ctx:deny, ctx:respond, ctx:redirect: they prepare an answer and give a value that the hook has to
 * return; call.c makes it the exchange's. A worker's thread. */
#include "base/buf.h"
#include "filters/ctx.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define REASON_MAX 64u
#define ANSWER_HEADERS_MAX 64
#define BODY_MAX ((size_t)512 << 10)

static void begin(lua_State *L, struct lt_runner *runner, unsigned status)
{
    if (runner->hook == LT_FILTER_LOG) {
        luaL_error(L, "the client was answered already");
    }
    if (runner->stage != NULL) {
        luaL_error(L, "the hook `body` can't answer: `request` and `response` can");
    }
    runner->staged = true;
    runner->denies = false;
    runner->reply = (struct lt_reply){.ready = true, .status = status};
    lt_headers_init(&runner->reply.headers, &runner->x->arena, ANSWER_HEADERS_MAX);
}

/* What the hook returns: worth something only for the runner that it names. */
static int give(lua_State *L, struct lt_runner *runner)
{
    lua_pushlightuserdata(L, runner);
    return 1;
}

/* The table of headers at index, or nothing. */
static void take_headers(lua_State *L, struct lt_runner *runner, int index)
{
    struct lt_str name;
    if (lua_isnoneornil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    int top = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_settop(L, top + 1)) {
        if (lua_type(L, top + 1) != LUA_TSTRING) {
            luaL_error(L, "headers: a name is no string");
        }
        name.p = lua_tolstring(L, top + 1, &name.len);
        lt_ctx_header_write(L, runner, &runner->reply.headers, name, top + 2, false);
    }
    lua_settop(L, top);
}

/* A stable id: small letters, digits and '_', so that it needs no escaping anywhere. */
static struct lt_str check_reason(lua_State *L, struct lt_runner *runner, int arg)
{
    struct lt_str reason = lt_lua_check_str(L, arg);
    bool ok = reason.len > 0 && reason.len <= REASON_MAX;
    for (size_t i = 0; i < reason.len; i++) {
        char c = reason.p[i];
        ok = ok && ((c >= 'a' && c <= 'z') || lt_char_is_digit(c) || c == '_');
    }
    luaL_argcheck(L, ok, arg, "a reason is an id such as \"unknown_key\"");
    return lt_ctx_keep(L, runner, reason);
}

/* ctx:deny(status, reason [, headers]) */
int lt_ctx_deny(lua_State *L)
{
    struct lt_runner *runner = lt_runner_check(L, 1);
    lua_Integer status = luaL_checkinteger(L, 2);
    luaL_argcheck(L, status >= 400 && status <= 599, 2, "a refusal is 400 to 599");
    begin(L, runner, (unsigned)status);
    runner->denies = true;
    runner->reply.reason = check_reason(L, runner, 3);
    take_headers(L, runner, 4);
    return give(L, runner);
}

static void take_body(lua_State *L, struct lt_runner *runner, const char *type)
{
    struct lt_reply *reply = &runner->reply;
    bool typed = lt_headers_get(&reply->headers, LT_HEADER_CONTENT_TYPE) != NULL;
    if (reply->body.len > BODY_MAX) {
        luaL_error(L, "the body is larger than %d bytes", (int)BODY_MAX);
    }
    reply->body = lt_ctx_keep(L, runner, reply->body);
    if (!typed && reply->body.len > 0) {
        reply->content_type = lt_str_c(type);
    }
}

static void json_body(lua_State *L, struct lt_runner *runner, int index)
{
    char small[4096];
    luaL_Buffer space;
    struct lt_buf out;
    lt_buf_init_fixed(&out, small, sizeof(small));
    lt_lua_json_write(L, index, &out);
    if (out.truncated) {
        /* Lua's memory: an error in between leaves nothing behind. */
        char *large = luaL_buffinitsize(L, &space, LT_LUA_JSON_MAX);
        lt_buf_init_fixed(&out, large, LT_LUA_JSON_MAX);
        lt_lua_json_write(L, index, &out);
        if (out.truncated) {
            luaL_error(L, "the JSON text is larger than %d bytes", (int)LT_LUA_JSON_MAX);
        }
    }
    runner->reply.body = lt_buf_view(&out);
    take_body(L, runner, "application/json");
}

/* ctx:respond{status =, headers =, body = or json =} */
int lt_ctx_respond(lua_State *L)
{
    static const char *const known[] = {"status", "headers", "body", "json"};
    struct lt_runner *runner = lt_runner_check(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lt_lua_check_keys(L, 2, "respond", known, lt_countof(known));
    lua_getfield(L, 2, "status"); /* 3 */
    lua_Integer status = luaL_optinteger(L, 3, 200);
    if (status < 200 || status > 599) {
        return luaL_error(L, "respond: a status is 200 to 599");
    }
    begin(L, runner, (unsigned)status);
    lua_getfield(L, 2, "headers"); /* 4 */
    take_headers(L, runner, 4);
    lua_getfield(L, 2, "body"); /* 5 */
    lua_getfield(L, 2, "json"); /* 6 */
    runner->reply.body = LT_STR("");
    if (!lua_isnil(L, 5) && !lua_isnil(L, 6)) {
        return luaL_error(L, "respond: either `body` or `json`");
    }
    if (!lua_isnil(L, 6)) {
        json_body(L, runner, 6);
    } else if (!lua_isnil(L, 5)) {
        if (!lua_isstring(L, 5)) {
            return luaL_error(L, "respond: `body` is a string, not a %s: `json` is for values",
                              luaL_typename(L, 5));
        }
        runner->reply.body = lt_lua_check_str(L, 5);
        take_body(L, runner, "text/plain; charset=utf-8");
    }
    if (lt_status_bodiless((unsigned)status) && runner->reply.body.len > 0) {
        return luaL_error(L, "respond: a response with status %d has no body", (int)status);
    }
    return give(L, runner);
}

/* ctx:redirect(url [, status]) */
int lt_ctx_redirect(lua_State *L)
{
    struct lt_runner *runner = lt_runner_check(L, 1);
    luaL_checkstring(L, 2);
    lua_Integer status = luaL_optinteger(L, 3, 302);
    luaL_argcheck(L,
                  status == 301 || status == 302 || status == 303 || status == 307 || status == 308,
                  3, "a redirect is 301, 302, 303, 307 or 308");
    begin(L, runner, (unsigned)status);
    runner->reply.body = LT_STR("");
    lt_ctx_header_write(L, runner, &runner->reply.headers, LT_STR("location"), 2, false);
    return give(L, runner);
}
