/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.http: requests to other services, in every hook (upstream/fetch.h). What Lua wrote is
 * checked first, which may raise, and lies on the stack, where it stays while the request is under
 * way; only then memory is taken that somebody has to free. A worker's thread. */
#include "filters/lib_http.h"

#include <lauxlib.h>

#include "base/mem.h"
#include "config/units.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"

#define TIMEOUT_MS 1000u
#define TIMEOUT_MAX_MS (UINT64_C(600) * 1000)
#define BODY_MAX ((uint64_t)1 << 20)
#define BODY_MAX_MAX ((uint64_t)16 << 20)
#define FIELDS_MAX 100
#define REDIRECTS_MAX 10

struct call {
    struct lt_async wait;
    struct lt_fetch fetch;
};

/* What Lua wrote; texts lie on its stack. */
struct wanted {
    enum lt_method method;
    struct lt_str url, socket, body; /* body.p NULL: none */
    bool json;
    uint64_t timeout_ms, connect_ms, max;
    unsigned redirects;
    int fields; /* index of a list name, value, name, value ... that nobody else has */
};

/* ---- What is wanted. ---- */

/* The duration in the field of the table at index: seconds, or a text as in "500ms". */
static uint64_t duration(lua_State *L, int index, const char *name, uint64_t fallback)
{
    uint64_t ms = fallback;
    int type = lua_getfield(L, index, name);
    if (type == LUA_TSTRING) {
        struct lt_str text;
        text.p = lua_tolstring(L, -1, &text.len);
        ms = lt_units_duration(text, &ms) ? ms : 0;
    } else if (type == LUA_TNUMBER) {
        double s = lua_tonumber(L, -1);
        ms = s > 0 && s * 1000 <= (double)TIMEOUT_MAX_MS ? (uint64_t)(s * 1000 + 0.5) : 0;
    } else if (type != LUA_TNIL) {
        ms = 0;
    }
    lua_pop(L, 1);
    if (ms == 0 || ms > TIMEOUT_MAX_MS) {
        luaL_error(L,
                   "lintel.http: %s is between 1ms and 10m: write seconds, or a duration as in "
                   "\"500ms\"",
                   name);
    }
    return ms;
}

static uint64_t body_max(lua_State *L, int index)
{
    uint64_t max = BODY_MAX;
    int type = lua_getfield(L, index, "max");
    if (type == LUA_TSTRING) {
        struct lt_str text;
        text.p = lua_tolstring(L, -1, &text.len);
        max = lt_units_size(text, &max) ? max : UINT64_MAX;
    } else if (type != LUA_TNIL) {
        lua_Integer n = lua_tointeger(L, -1);
        max = lua_isinteger(L, -1) && n >= 0 ? (uint64_t)n : UINT64_MAX;
    }
    lua_pop(L, 1);
    if (max > BODY_MAX_MAX) {
        luaL_error(L, "lintel.http: max is at most 16M: write bytes, or a size as in \"64K\"");
    }
    return max;
}

static unsigned redirects(lua_State *L, int index)
{
    int type = lua_getfield(L, index, "redirects");
    lua_Integer n = lua_tointeger(L, -1);
    if (type != LUA_TNIL && (!lua_isinteger(L, -1) || n < 0 || n > REDIRECTS_MAX)) {
        luaL_error(L, "lintel.http: redirects is how many are followed, 0 to %d", REDIRECTS_MAX);
    }
    lua_pop(L, 1);
    return (unsigned)n;
}

/* Those that say how long a message is and how its connection goes on are never the filter's. */
static void check_field(lua_State *L, struct lt_str name, struct lt_str value)
{
    enum lt_header_id id = lt_header_find_id(name);
    if (id == LT_HEADER_OTHER && !lt_header_name_ok(name)) {
        luaL_error(L, "lintel.http: '%s' is not a name of a header", name.p);
    }
    if ((lt_header_flags(id) & LT_HEADER_F_HOP) != 0 || id == LT_HEADER_CONTENT_LENGTH ||
        id == LT_HEADER_HOST || id == LT_HEADER_EXPECT) {
        luaL_error(L, "lintel.http: the header '%s' is Lintel's own", name.p);
    }
    if (!lt_header_value_ok(value)) {
        luaL_error(L,
                   "lintel.http: the value of the header '%s' holds CR, LF, NUL or another "
                   "control byte",
                   name.p);
    }
}

/* Appends the name at index name and the value on top of the stack, which is taken, to list. */
static void add_field(lua_State *L, int list, int name)
{
    struct lt_str n, v;
    lua_Integer len = (lua_Integer)lua_rawlen(L, list);
    if (len >= 2 * FIELDS_MAX) {
        luaL_error(L, "lintel.http: more than %d headers", FIELDS_MAX);
    }
    if (lua_type(L, name) != LUA_TSTRING || !lua_isstring(L, -1)) {
        luaL_error(L, "lintel.http: headers are written {name = \"value\"} or "
                      "{name = {\"value\", \"value\"}}");
    }
    n.p = lua_tolstring(L, name, &n.len);
    v.p = lua_tolstring(L, -1, &v.len); /* a number is written out */
    check_field(L, n, v);
    lua_rawseti(L, list, len + 2);
    lua_pushvalue(L, name);
    lua_rawseti(L, list, len + 1);
}

/* Pushes a list name, value, name, value ... of the headers of the table at index. */
static void push_fields(lua_State *L, int index)
{
    lua_newtable(L);
    int list = lua_gettop(L), fields = list + 1;
    if (lua_getfield(L, index, "headers") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    luaL_checktype(L, fields, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, fields) != 0; lua_settop(L, fields + 1)) {
        int name = fields + 1, value = fields + 2;
        if (!lua_istable(L, value)) {
            add_field(L, list, name);
            continue;
        }
        for (lua_Integer i = 1; lua_rawgeti(L, value, i) != LUA_TNIL; i++) {
            add_field(L, list, name);
        }
    }
    lua_settop(L, list);
}

/* Pushes the text of `body` or `json` of the table at index, or nil; *json: which one it was. */
static void push_body(lua_State *L, int index, bool *json)
{
    int type = lua_getfield(L, index, "body");
    *json = lua_getfield(L, index, "json") != LUA_TNIL;
    if (*json && type != LUA_TNIL) {
        luaL_error(L, "lintel.http: write body or json, not both");
    }
    if (*json) {
        lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
        lua_getfield(L, -1, "lintel");
        lua_getfield(L, -1, "json");
        lua_getfield(L, -1, "encode");
        lua_pushvalue(L, -5);
        lua_call(L, 1, 1);
        lua_replace(L, -6); /* the place of body */
        lua_pop(L, 4);
        return;
    }
    lua_pop(L, 1);
    if (type != LUA_TNIL && type != LUA_TSTRING) {
        luaL_error(L, "lintel.http: the body is a %s: write a string, or json = ...",
                   lua_typename(L, type));
    }
}

static struct lt_str text_field(lua_State *L, int index, const char *name)
{
    struct lt_str text = LT_STR_NONE;
    int type = lua_getfield(L, index, name);
    if (type == LUA_TSTRING) {
        text.p = lua_tolstring(L, -1, &text.len); /* stays on the stack */
    } else if (type != LUA_TNIL) {
        luaL_error(L, "lintel.http: %s is a %s: write a string", name, lua_typename(L, type));
    }
    return text;
}

static enum lt_method method_of(lua_State *L, struct lt_str name)
{
    enum lt_method method = lt_method_find(name);
    if (method == LT_METHOD_UNKNOWN || method == LT_METHOD_CONNECT) {
        luaL_error(L, "lintel.http: the method \"%s\" is not known: write \"GET\", \"POST\" ...",
                   name.p);
    }
    return method;
}

/* Reads the table at index; url and method, if given, are those of lintel.http.get and the like. */
static void read_wanted(lua_State *L, int index, struct lt_str url, const char *method,
                        struct wanted *w)
{
    lt_api_check_keys(L, index, "lintel.http", &lt_api_http_options);
    luaL_checkstack(L, 20, NULL);
    w->timeout_ms = duration(L, index, "timeout", TIMEOUT_MS);
    w->connect_ms = lt_min(duration(L, index, "connect_timeout", w->timeout_ms), w->timeout_ms);
    w->max = body_max(L, index);
    w->redirects = redirects(L, index);
    struct lt_str own_url = text_field(L, index, "url"), own = text_field(L, index, "method");
    if (method != NULL && (own_url.p != NULL || own.p != NULL)) {
        luaL_error(L, "lintel.http: url and method are given by the call already");
    }
    w->url = method != NULL ? url : own_url;
    if (w->url.p == NULL) {
        luaL_error(L, "lintel.http.request: write a url");
    }
    w->method = method_of(L, method != NULL  ? lt_str_c(method)
                             : own.p != NULL ? own
                                             : LT_STR("GET"));
    w->socket = text_field(L, index, "socket");
    push_body(L, index, &w->json);
    w->body = LT_STR_NONE;
    if (!lua_isnil(L, -1)) {
        w->body.p = lua_tolstring(L, -1, &w->body.len);
    }
    push_fields(L, index);
    w->fields = lua_gettop(L);
}

/* ---- Sending it: from here to the wait nothing raises while a call is held. ---- */

static enum lt_err add_unless(struct lt_headers *headers, enum lt_header_id id, const char *value)
{
    return lt_headers_get(headers, id) != NULL ? LT_OK
                                               : lt_headers_add_id(headers, id, lt_str_c(value));
}

static enum lt_err fill_headers(lua_State *L, struct lt_fetch *f, const struct wanted *w)
{
    struct lt_headers *headers = &f->req.headers;
    struct lt_str length;
    enum lt_err err = lt_headers_add_id(headers, LT_HEADER_HOST, f->url.authority);
    for (lua_Integer i = 1; err == LT_OK && lua_rawgeti(L, w->fields, i) != LUA_TNIL; i += 2) {
        struct lt_str name, value;
        lua_rawgeti(L, w->fields, i + 1);
        name.p = lua_tolstring(L, -2, &name.len);
        value.p = lua_tolstring(L, -1, &value.len);
        err = lt_headers_add(headers, name, lt_str_trim(value));
        lua_pop(L, 2); /* the list holds them */
    }
    err = err == LT_OK ? add_unless(headers, LT_HEADER_USER_AGENT, "lintel") : err;
    if (err == LT_OK && w->json) {
        err = add_unless(headers, LT_HEADER_CONTENT_TYPE, "application/json");
    }
    bool expected =
        w->method == LT_METHOD_POST || w->method == LT_METHOD_PUT || w->method == LT_METHOD_PATCH;
    if (err == LT_OK && (w->body.p != NULL || expected)) {
        if (!lt_arena_printf(&f->arena, &length, "%zu", w->body.len)) {
            return LT_ERR_NOMEM;
        }
        f->req.body = LT_BODY_LENGTH;
        f->req.content_length = w->body.len;
        err = lt_headers_add_id(headers, LT_HEADER_CONTENT_LENGTH, length);
    }
    return err;
}

/* Fills f in. LT_ERR_INVALID: *why (static) says what is wrong with what Lua wrote. LT_ERR_NOMEM.
 */
static enum lt_err fill(lua_State *L, struct lt_fetch *f, const struct wanted *w,
                        const struct lt_task *task, const char **why)
{
    enum lt_err err = lt_url_parse(&f->arena, w->url, &f->url, why);
    if (err == LT_OK && w->socket.p != NULL &&
        (lt_addr_parse(w->socket, &f->socket, why) != LT_OK || !lt_addr_is_unix(&f->socket))) {
        *why = "socket is a Unix socket, as in \"unix:/run/app.sock\"";
        return LT_ERR_INVALID;
    }
    f->req.method = w->method;
    f->timeout_ms = lt_task_within(task, w->timeout_ms);
    f->connect_ms = lt_min(w->connect_ms, f->timeout_ms);
    f->body_max = (size_t)w->max;
    f->redirects = w->redirects;
    f->body = w->body;
    f->tls = task->unit->instance->tls;
    return err == LT_OK ? fill_headers(L, f, w) : err;
}

static void end_call(struct lt_async *wait)
{
    struct call *call = lt_container_of(wait, struct call, wait);
    lt_fetch_fini(&call->fetch);
    lt_free(call);
}

static void on_done(void *owner)
{
    struct call *call = owner;
    lt_async_done(&call->wait);
}

static int push_failure(lua_State *L, enum lt_fetch_error error, struct lt_str detail)
{
    lua_pushnil(L);
    lua_pushstring(L, lt_fetch_error_name(error));
    lt_lua_push_str(L, detail);
    return 3;
}

static int finished(lua_State *L, int status, lua_KContext k)
{
    (void)status;
    const struct call *call = lt_container_of((struct lt_async *)k, struct call, wait);
    const struct lt_fetch *f = &call->fetch;
    if (f->error != LT_FETCH_OK) {
        return push_failure(L, f->error, f->detail);
    }
    lt_lua_push_http_response(L, f);
    return 1;
}

static int perform(lua_State *L, const struct wanted *w)
{
    struct lt_task *task = lt_task_check(L);
    struct lt_origins *origins = task->unit->fvm->host->spec.origins;
    struct call *call = lt_calloc(1, sizeof(*call));
    const char *why = "";
    if (call == NULL) {
        return push_failure(L, LT_FETCH_BUSY, LT_STR("out of memory"));
    }
    call->wait.end = end_call;
    lt_fetch_init(&call->fetch, origins);
    enum lt_err err = fill(L, &call->fetch, w, task, &why);
    bool trusts = !call->fetch.url.tls || call->fetch.tls != NULL || lt_origins_mocked(origins);
    if (err == LT_OK && trusts) {
        lt_fetch_start(&call->fetch, on_done, call);
        return lt_task_wait(L, &call->wait, finished);
    }
    end_call(&call->wait);
    if (err == LT_ERR_INVALID) {
        return luaL_error(L, "lintel.http: %s", why);
    }
    if (err != LT_OK) {
        return push_failure(L, LT_FETCH_BUSY, LT_STR("no memory for the request's head"));
    }
    return push_failure(L, LT_FETCH_TLS_FAILED,
                        LT_STR("nobody is trusted: write `lintel.http` in the filter's file, "
                               "install ca-certificates, or name a file with tls.ca"));
}

/* ---- The functions. ---- */

/* lintel.http.request{url=, method=, ...} */
static int request(lua_State *L)
{
    struct wanted w;
    (void)lt_task_check(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    read_wanted(L, 1, LT_STR_NONE, NULL, &w);
    return perform(L, &w);
}

/* lintel.http.METHOD(url [, {...}]) */
static int shortcut(lua_State *L, const char *method)
{
    struct wanted w;
    (void)lt_task_check(L);
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    read_wanted(L, 2, lt_lua_check_str(L, 1), method, &w);
    return perform(L, &w);
}

static int get(lua_State *L)
{
    return shortcut(L, "GET");
}

static int post(lua_State *L)
{
    return shortcut(L, "POST");
}

static const struct lt_api_row option_rows[] = {
    LT_API_FIELD("url", "string", "Of `request`: `http://` or `https://`."),
    LT_API_FIELD("method", "string", "Of `request`; `GET` without it."),
    LT_API_FIELD("headers", "table<string, string|string[]>", "At most 100."),
    LT_API_FIELD("body", "string", ""),
    LT_API_FIELD("json", "any",
                 "In place of `body`: a value, which is announced as `application/json`."),
    LT_API_FIELD(
        "socket", "string",
        "A Unix socket to connect to, as in `\"unix:/run/auth.sock\"`; the URL has Host and path."),
    LT_API_FIELD("timeout", "number|string",
                 "Of the whole, until the body is there: seconds or `\"500ms\"`, at most "
                 "`\"10m\"`; 1 second "
                 "without it."),
    LT_API_FIELD("connect_timeout", "number|string",
                 "Until there is a connection; as `timeout` without it."),
    LT_API_FIELD("redirects", "integer", "How many may be followed, at most 10; none without it."),
    LT_API_FIELD("max", "integer|string",
                 "Bytes of the response's body: `\"1M\"` without it, at most `\"16M\"`."),
    LT_API_END,
};

const struct lt_api lt_api_http_options = {
    .name = "lintel.HttpOptions",
    .doc = "Options of a request.",
    .page = "http.md",
    .rows = option_rows,
};

#define RESULT "lintel.HttpResponse?, string? reason, string? why"

static const struct lt_api_row rows[] = {
    {"get", "(url: string, options?: lintel.HttpOptions): " RESULT, "", get},
    {"post", "(url: string, options?: lintel.HttpOptions): " RESULT, "", post},
    {"request", "(options: lintel.HttpOptions): " RESULT, "With any method.", request},
    LT_API_END,
};

const struct lt_api lt_api_http = {
    .name = "lintel.http",
    .as = "lintel.http",
    .doc = "Asks another service, and waits for its answer. Any status is a response; without one "
           "it gives nil, a reason such as `timeout` or `connect_refused`, and a text for people.",
    .page = "http.md",
    .rows = rows,
    .open = lt_lua_open_http_response,
};
