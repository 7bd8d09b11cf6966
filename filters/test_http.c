/* SPDX-License-Identifier: Apache-2.0 */
/* t.http: answers to lintel.http in the place of a network.
 *
 *   t.http("GET https://id.example.com/check", {status = 200, json = {...}})
 *   t.http("POST https://id.example.com*", function(request) return {...} end)
 *
 * The last one that fits answers. A request for which there is none fails its case. */
#include <stdio.h>

#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"
#include "upstream/fetch.h"

/* In the registry of the test's state: a list of {request, answer}; requests as they were made. */
#define ANSWERS "lintel.test.http"
#define REQUESTS "lintel.test.http.requests"

/* ---- the request, for the test ---- */

static void push_url(lua_State *L, const struct lt_fetch *f)
{
    lua_pushstring(L, f->url.tls ? "https://" : "http://");
    lt_lua_push_str(L, f->url.authority);
    lt_lua_push_str(L, f->url.target);
    lua_concat(L, 3);
}

static void push_lower(lua_State *L, struct lt_str s)
{
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, s.len);
    for (size_t i = 0; i < s.len; i++) {
        out[i] = lt_char_lower(s.p[i]);
    }
    luaL_pushresultsize(&b, s.len);
}

/* Of repeated headers the first. */
static void push_request(lua_State *L, const struct lt_fetch *f)
{
    char socket[LT_ADDR_TEXT_MAX];
    lua_newtable(L);
    lt_lua_push_str(L, lt_method_name(f->req.method));
    lua_setfield(L, -2, "method");
    push_url(L, f);
    lua_setfield(L, -2, "url");
    if (f->body.p != NULL) {
        lt_lua_push_str(L, f->body);
        lua_setfield(L, -2, "body");
    }
    if (f->socket.len > 0) {
        lua_pushlstring(L, socket, lt_addr_print(&f->socket, socket));
        lua_setfield(L, -2, "socket");
    }
    lua_newtable(L);
    for (unsigned i = f->req.headers.n; i-- > 0;) {
        push_lower(L, f->req.headers.v[i].name);
        lt_lua_push_str(L, f->req.headers.v[i].value);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "headers");
}

/* ---- finding the answer ---- */

/* Whether "METHOD URL" is what wanted says: the same, or the same up to a last '*'. */
static bool fits(struct lt_str wanted, struct lt_str asked)
{
    if (lt_str_ends(wanted, LT_STR("*"))) {
        return lt_str_starts(asked, lt_str_sub(wanted, 0, wanted.len - 1));
    }
    return lt_str_eq(wanted, asked);
}

/* Pushes the answer of the last rule that fits, or nil. */
static void push_rule(lua_State *L, struct lt_str asked)
{
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, ANSWERS);
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, top + 1); i > 0; i--) {
        struct lt_str wanted;
        lua_rawgeti(L, top + 1, i);
        lua_rawgeti(L, -1, 1);
        wanted.p = lua_tolstring(L, -1, &wanted.len);
        if (fits(wanted, asked)) {
            lua_rawgeti(L, -2, 2);
            lua_replace(L, top + 1);
            lua_settop(L, top + 1);
            return;
        }
        lua_settop(L, top + 1);
    }
    lua_pushnil(L);
    lua_replace(L, top + 1);
}

/* ---- the answer, for the filter ---- */

/* The text of `body` or `json` of the table at index, pushed. */
static struct lt_str push_body(lua_State *L, int index)
{
    struct lt_str body = LT_STR_NONE;
    if (lua_getfield(L, index, "json") != LUA_TNIL) {
        lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
        lua_getfield(L, -1, "lintel");
        lua_getfield(L, -1, "json");
        lua_getfield(L, -1, "encode");
        lua_pushvalue(L, -5);
        lua_call(L, 1, 1);
    } else {
        lua_getfield(L, index, "body");
    }
    if (!lua_isnil(L, -1)) {
        body.p = luaL_checklstring(L, -1, &body.len);
    }
    return body;
}

static void answer_by_table(lua_State *L, struct lt_fetch *f, int index)
{
    static const char *const known[] = {"status", "headers", "body", "json", "error"};
    struct lt_str error = LT_STR_NONE;
    lt_lua_check_keys(L, index, "t.http", known, lt_countof(known));
    if (lua_getfield(L, index, "error") != LUA_TNIL) {
        error.p = luaL_checklstring(L, -1, &error.len);
        if (lt_fetch_error_find(error) == LT_FETCH_OK) {
            luaL_error(L, "t.http: \"%s\" is no reason of lintel.http", error.p);
        }
        lt_fetch_fail(f, lt_fetch_error_find(error), LT_STR("by t.http"));
        return;
    }
    struct lt_response *res = lt_arena_new(&f->arena, struct lt_response);
    lua_getfield(L, index, "status");
    lua_Integer status = luaL_optinteger(L, -1, 200);
    if (status < 200 || status > 599 || res == NULL) {
        luaL_error(L, "t.http: a status is 200 to 599");
    }
    *res = (struct lt_response){.status = (unsigned)status, .version = 11};
    lt_headers_init(&res->headers, &f->arena, LT_FETCH_HEADERS_MAX);
    lua_getfield(L, index, "headers");
    lt_test_fill_headers(L, &f->arena, lua_gettop(L), &res->headers);
    struct lt_str body = push_body(L, index);
    lt_fetch_answer(f, res, body);
}

/* Called with the fetch; raises what is wrong with the test. */
static int answer(lua_State *L)
{
    struct lt_fetch *f = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, REQUESTS);
    push_request(L, f);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 2, (lua_Integer)lua_rawlen(L, 2) + 1);
    lt_lua_push_str(L, lt_method_name(f->req.method));
    lua_pushliteral(L, " ");
    push_url(L, f);
    lua_concat(L, 3);
    push_rule(L, lt_lua_check_str(L, 4));
    if (lua_isfunction(L, 5)) {
        lua_pushvalue(L, 3);
        lua_call(L, 1, 1);
    }
    if (lua_isnil(L, 5)) {
        return luaL_error(L, "the filter asked for %s: write t.http(\"%s\", {...})",
                          lua_tostring(L, 4), lua_tostring(L, 4));
    }
    luaL_checktype(L, 5, LUA_TTABLE);
    answer_by_table(L, f, 5);
    return 0;
}

/* At the end of a turn, within t.run: the test's state is the one that runs. */
static void on_fetch(void *arg, struct lt_fetch *f)
{
    struct lt_test *r = arg;
    lua_State *L = r->L;
    if (L == NULL) { /* the case is over: a cache still loads */
        lt_fetch_fail(f, LT_FETCH_CONNECT_REFUSED, LT_STR("there is no network in tests"));
        return;
    }
    int top = lua_gettop(L);
    lua_pushcfunction(L, answer);
    lua_pushlightuserdata(L, f);
    r->in_mock = true;
    int status = lua_pcall(L, 1, 0, 0);
    r->in_mock = false;
    if (status != LUA_OK) {
        const char *why = lua_tostring(L, -1);
        snprintf(r->http_error, sizeof(r->http_error), "%s", why != NULL ? why : "t.http");
        lt_fetch_fail(f, LT_FETCH_CONNECT_REFUSED, LT_STR("there is no network in tests"));
    }
    lua_settop(L, top);
}

void lt_test_http_begin(lua_State *L, struct lt_test *r)
{
    r->L = L;
    r->http_error[0] = '\0';
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, REQUESTS);
    lt_origins_mock(r->bed->origins, on_fetch, r);
}

void lt_test_http_end(lua_State *L, struct lt_test *r)
{
    lt_test_bed_end(r->bed);
    r->L = NULL;
    if (r->http_error[0] != '\0') {
        luaL_error(L, "%s", r->http_error);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, REQUESTS);
    lua_setfield(L, -2, "http");
}

void lt_test_http_forget(lua_State *L)
{
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, ANSWERS);
}

int lt_test_http(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_argcheck(L, lua_istable(L, 2) || lua_isfunction(L, 2), 2,
                  "write {status = ..., json = ...}, {error = \"timeout\"} or a function");
    lua_settop(L, 2);
    lua_getfield(L, LUA_REGISTRYINDEX, ANSWERS);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
    return 0;
}
