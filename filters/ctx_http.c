/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.req, ctx.res and their headers; ctx.vars. A worker's thread. */
#include "base/obj.h"
#include "filters/absent.h"
#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/host_impl.h"
#include "http/uri.h"

#define HEADER_ADDED_MAX 200u
#define VARS_MAX 100u

/* ---- headers ---- */

/* Whether a field is never the filter's: it decides where a message ends or how a connection goes
 * on, or lt_hop_request writes it anew for every server. */
static bool is_ours(enum lt_header_id id, bool request)
{
    if ((lt_header_flags(id) & LT_HEADER_F_HOP) != 0 || id == LT_HEADER_CONTENT_LENGTH) {
        return true;
    }
    return request && ((lt_header_flags(id) & LT_HEADER_F_OURS) != 0 || id == LT_HEADER_HOST ||
                       id == LT_HEADER_EXPECT || id == LT_HEADER_TRACEPARENT);
}

enum lt_header_id lt_ctx_header_check(lua_State *L, bool request, struct lt_str name, int value)
{
    enum lt_header_id id = lt_header_find_id(name);
    if (id == LT_HEADER_OTHER && !lt_header_name_ok(name)) {
        luaL_error(L, "'%s' is not a name of a header", name.p);
    }
    if (is_ours(id, request)) {
        luaL_error(L, "the header '%s' is Lintel's own", name.p);
    }
    if (lua_isnoneornil(L, value)) {
        return id;
    }
    if (request && lt_str_chr(name, '_', 0) != SIZE_MAX) {
        luaL_error(L, "the header '%s' reaches no server: '_' can't be told from '-' there",
                   name.p);
    }
    if (!lua_isstring(L, value)) {
        luaL_error(L, "the value of the header '%s' is a %s: write a string", name.p,
                   luaL_typename(L, value));
    }
    struct lt_str text;
    text.p = lua_tolstring(L, value, &text.len); /* a number is written out */
    if (!lt_header_value_ok(text)) {
        luaL_error(L, "the value of the header '%s' holds CR, LF, NUL or another control byte",
                   name.p);
    }
    return id;
}

void lt_ctx_header_write(lua_State *L, struct lt_runner *runner, struct lt_headers *headers,
                         struct lt_str name, int value, bool add)
{
    enum lt_header_id id = lt_ctx_header_check(L, headers == &runner->x->req.headers, name, value);
    if (lua_isnil(L, value)) {
        if (id != LT_HEADER_OTHER) {
            lt_headers_remove(headers, id);
        } else {
            lt_headers_remove_name(headers, name);
        }
        return;
    }
    struct lt_str text;
    text.p = lua_tolstring(L, value, &text.len);
    text = lt_ctx_keep(L, runner, lt_str_trim(text));
    enum lt_err err;
    if (id != LT_HEADER_OTHER) {
        err = add ? lt_headers_add_id(headers, id, text) : lt_headers_set_id(headers, id, text);
    } else {
        name = lt_ctx_keep(L, runner, name);
        err = add ? lt_headers_add(headers, name, text) : lt_headers_set(headers, name, text);
    }
    if (err != LT_OK) {
        luaL_error(L, err == LT_ERR_LIMIT ? "too many headers" : "the exchange has no memory left");
    }
}

static struct lt_headers *req_headers(lua_State *L, struct lt_runner *runner)
{
    (void)L;
    return &runner->x->req.headers;
}

static struct lt_filter_call *call_of(struct lt_runner *runner)
{
    return runner->x->filter_state;
}

static bool before_response(const struct lt_runner *runner)
{
    return runner->hook == LT_FILTER_REQUEST || runner->hook == LT_FILTER_UPSTREAM ||
           runner->hook == LT_FILTER_REQUEST_BODY;
}

static bool before_server(const struct lt_runner *runner)
{
    return runner->hook == LT_FILTER_REQUEST || runner->hook == LT_FILTER_UPSTREAM;
}

static const char no_request_write[] =
    "the request's headers can be written in `request` and `upstream` only";

struct lt_headers *lt_ctx_response_fields(lua_State *L, struct lt_runner *runner)
{
    struct lt_headers *headers =
        before_response(runner) ? &call_of(runner)->promised : &runner->x->res.headers;
    if (runner->hook == LT_FILTER_LOG || runner->hook == LT_FILTER_RESPONSE_BODY) {
        luaL_error(L, "the response has left already");
    }
    if (headers->arena == NULL) {
        lt_headers_init(headers, &runner->x->arena, HEADER_ADDED_MAX);
    }
    return headers;
}

static struct lt_headers *res_headers(lua_State *L, struct lt_runner *runner)
{
    if (before_response(runner)) {
        luaL_error(L, "there is no response yet");
    }
    struct lt_headers *headers = &runner->x->res.headers;
    if (headers->arena == NULL) {
        lt_headers_init(headers, &runner->x->arena, HEADER_ADDED_MAX);
    }
    return headers;
}

typedef struct lt_headers *(*headers_fn)(lua_State *L, struct lt_runner *runner);

/* headers:all(name): the values of all fields of that name. */
static int all(lua_State *L, headers_fn get)
{
    const struct lt_headers *headers = get(L, lt_runner_of(L));
    struct lt_str name = lt_lua_check_str(L, 2);
    lua_Integer n = 0;
    lua_newtable(L);
    for (unsigned i = 0; i < headers->n; i++) {
        if (lt_str_eq_nocase(headers->v[i].name, name)) {
            lt_lua_push_str(L, headers->v[i].value);
            lua_seti(L, -2, ++n);
        }
    }
    return 1;
}

/* In any other hook nobody would see what is written. */
static int set_field(lua_State *L, headers_fn get)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_headers *headers = get(L, runner);
    bool request = get == req_headers;
    luaL_checkany(L, 3);
    if (LT_UNLIKELY(request ? !before_server(runner) : runner->hook != LT_FILTER_RESPONSE)) {
        return luaL_error(L, request ? no_request_write
                                     : "the response's headers can be written in `response` only");
    }
    lt_ctx_header_write(L, runner, headers, lt_lua_check_str(L, 2), 3, false);
    return 0;
}

static int req_add(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    luaL_checkany(L, 3);
    if (!before_server(runner)) {
        return luaL_error(L, no_request_write);
    }
    lt_ctx_header_write(L, runner, &runner->x->req.headers, lt_lua_check_str(L, 2), 3, true);
    return 0;
}

/* In `request` the field waits for the response. */
static int res_add(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    luaL_checkany(L, 3);
    lt_ctx_header_write(L, runner, lt_ctx_response_fields(L, runner), lt_lua_check_str(L, 2), 3,
                        true);
    return 0;
}

/* Upvalues: ctx, all, add. */
static int field_get(lua_State *L, headers_fn get)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str name = lt_lua_check_str(L, 2);
    if (name.len == 3 && (memcmp(name.p, "all", 3) == 0 || memcmp(name.p, "add", 3) == 0)) {
        lua_pushvalue(L, lua_upvalueindex(name.p[1] == 'l' ? 2 : 3));
        return 1;
    }
    const struct lt_header *header = lt_headers_get_name(get(L, runner), name);
    if (header == NULL) {
        return 0;
    }
    lua_pushlstring(L, header->value.p != NULL ? header->value.p : "", header->value.len);
    return 1;
}

/* for name, value in pairs(headers): in order, names in lower case. Upvalues: ctx, number of the
 * next field. */
static int next_field(lua_State *L, headers_fn get)
{
    const struct lt_headers *headers = get(L, lt_runner_of(L));
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
    luaL_Buffer b;
    if (i >= (lua_Integer)headers->n) {
        return 0;
    }
    lua_pushinteger(L, i + 1);
    lua_replace(L, lua_upvalueindex(2));
    const struct lt_header *header = &headers->v[i];
    char *name = luaL_buffinitsize(L, &b, header->name.len);
    for (size_t k = 0; k < header->name.len; k++) {
        name[k] = lt_char_lower(header->name.p[k]);
    }
    luaL_pushresultsize(&b, header->name.len);
    lt_lua_push_str(L, header->value);
    return 2;
}

/* One set of functions for the request's headers, one for the response's. */
#define HEADER_FUNCTIONS(side)                                                                     \
    static int side##_all(lua_State *L)                                                            \
    {                                                                                              \
        return all(L, side##_headers);                                                             \
    }                                                                                              \
    static int side##_field(lua_State *L)                                                          \
    {                                                                                              \
        return field_get(L, side##_headers);                                                       \
    }                                                                                              \
    static int side##_set(lua_State *L)                                                            \
    {                                                                                              \
        return set_field(L, side##_headers);                                                       \
    }                                                                                              \
    static int side##_next(lua_State *L)                                                           \
    {                                                                                              \
        return next_field(L, side##_headers);                                                      \
    }                                                                                              \
    static int side##_pairs(lua_State *L)                                                          \
    {                                                                                              \
        lua_pushvalue(L, lua_upvalueindex(1));                                                     \
        lua_pushinteger(L, 0);                                                                     \
        lua_pushcclosure(L, side##_next, 2);                                                       \
        return 1;                                                                                  \
    }

HEADER_FUNCTIONS(req)
HEADER_FUNCTIONS(res)

struct header_functions {
    lua_CFunction all, add, field, set, pairs;
};

static void push_headers(lua_State *L, int ctx, const struct header_functions *f)
{
    lua_pushvalue(L, ctx);
    lt_ctx_closure(L, ctx, f->all);
    lt_ctx_closure(L, ctx, f->add);
    lua_pushcclosure(L, f->field, 3);
    lt_ctx_object(L, ctx, f->set);
    lua_getmetatable(L, -1);
    lt_ctx_closure(L, ctx, f->pairs);
    lua_setfield(L, -2, "__pairs");
    lua_pop(L, 1);
}

/* Turns the table on top of the stack into an object that asks `get` for what is not in it. */
static void push_parts(lua_State *L, int ctx, lua_CFunction get, lua_CFunction set)
{
    lua_createtable(L, 0, 1);
    lt_ctx_closure(L, ctx, get);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lt_ctx_object(L, ctx, set);
}

/* ---- the request ---- */

static int req_get(lua_State *L)
{
    const struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "method")) {
        lt_lua_push_str(L, lt_method_name(x->req.method));
    } else if (lt_str_eq_c(key, "path")) {
        lt_lua_push_str(L, x->req.path);
    } else if (lt_str_eq_c(key, "host")) {
        lt_lua_push_str(L, x->req.host);
    } else if (lt_str_eq_c(key, "scheme")) {
        lt_lua_push_str(L, x->client.scheme);
    } else if (lt_str_eq_c(key, "target")) {
        lt_lua_push_str(L, x->req_target);
    } else if (lt_str_eq_c(key, "http_version")) {
        lua_pushstring(L, x->req.version == 10 ? "1.0" : x->req.version == 11 ? "1.1" : "2");
    } else {
        return lt_absent_field(L, &lt_api_request);
    }
    return 1;
}

static int query_get(lua_State *L)
{
    struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str value;
    if (!lt_query_get(&x->arena, x->req.query, lt_lua_check_str(L, 2), &value)) {
        return 0;
    }
    lt_lua_push_str(L, value);
    return 1;
}

/* ctx.req.query.NAME = nil: takes the parameter off what the server gets. */
static int query_set(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_exchange *x = runner->x;
    struct lt_str key = lt_lua_check_str(L, 2);
    if (!lua_isnoneornil(L, 3)) {
        return luaL_error(L, "a query parameter can be removed, by nil, and not be set");
    }
    if (runner->hook != LT_FILTER_REQUEST) {
        return luaL_error(L, "a query parameter can be removed in `request` only");
    }
    if (!lt_query_remove(&x->arena, x->req.query, key, &x->req.query)) {
        return luaL_error(L, "the exchange has no memory left");
    }
    return 0;
}

/* req:bearer(): the token of "Authorization: Bearer TOKEN" (RFC 6750 §2.1), or nil. */
int lt_ctx_req_bearer(lua_State *L)
{
    const struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str value = lt_headers_value(&x->req.headers, LT_HEADER_AUTHORIZATION);
    if (value.len < 8 || !lt_str_eq_nocase(lt_str_sub(value, 0, 7), LT_STR("bearer "))) {
        return lt_lua_nil(L);
    }
    struct lt_str token = lt_str_trim(lt_str_sub(value, 7, value.len));
    if (token.len == 0 || lt_str_chr(token, ' ', 0) != SIZE_MAX) {
        return lt_lua_nil(L);
    }
    lt_lua_push_str(L, token);
    return 1;
}

/* req:cookie(name) */
int lt_ctx_req_cookie(lua_State *L)
{
    const struct lt_exchange *x = lt_runner_of(L)->x;
    struct lt_str value, name = lt_lua_check_str(L, 2);
    if (!lt_cookie_get(lt_headers_value(&x->req.headers, LT_HEADER_COOKIE), name, &value)) {
        return lt_lua_nil(L);
    }
    lt_lua_push_str(L, value);
    return 1;
}

void lt_ctx_push_req(lua_State *L, int ctx)
{
    static const struct header_functions functions = {req_all, req_add, req_field, req_set,
                                                      req_pairs};
    lua_createtable(L, 0, 4);
    push_headers(L, ctx, &functions);
    lua_setfield(L, -2, "headers");
    lt_ctx_closure(L, ctx, query_get);
    lt_ctx_object(L, ctx, query_set);
    lua_setfield(L, -2, "query");
    lt_api_add(L, &lt_api_request, ctx);
    push_parts(L, ctx, req_get, NULL);
}

/* ---- the response ---- */

static int res_get(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str key = lt_lua_check_str(L, 2);
    if (!lt_str_eq_c(key, "status")) {
        return lt_absent_field(L, &lt_api_response);
    }
    (void)res_headers(L, runner);
    lua_pushinteger(L, runner->x->res.status);
    return 1;
}

static int res_put(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str key = lt_lua_check_str(L, 2);
    if (!lt_str_eq_c(key, "status")) {
        return luaL_error(L, "ctx.res.%s can't be set: what can is status, and fields of headers",
                          key.p);
    }
    if (runner->hook != LT_FILTER_RESPONSE) {
        return luaL_error(L, "the status can be set in `response` only");
    }
    lua_Integer status = luaL_checkinteger(L, 3);
    unsigned old = runner->x->res.status;
    /* With or without a body was decided by the server's status. */
    luaL_argcheck(L, old >= 200, 3, "a change of protocol keeps its status");
    luaL_argcheck(L, status >= 200 && status <= 599, 3, "a status is 200 to 599");
    if (lt_status_bodiless((unsigned)status) != lt_status_bodiless(old)) {
        return luaL_error(L, "a response with a body can't get a status without one, or back");
    }
    runner->x->res.status = (unsigned)status;
    return 0;
}

void lt_ctx_push_res(lua_State *L, int ctx)
{
    static const struct header_functions functions = {res_all, res_add, res_field, res_set,
                                                      res_pairs};
    lua_createtable(L, 0, 1);
    push_headers(L, ctx, &functions);
    lua_setfield(L, -2, "headers");
    lt_api_add(L, &lt_api_response, ctx);
    push_parts(L, ctx, res_get, res_put);
}

/* ---- vars ---- */

static struct lt_var *find_var(struct lt_filter_call *call, struct lt_str name)
{
    for (struct lt_var *v = call->vars; v != NULL; v = v->next) {
        if (lt_str_eq(v->name, name)) {
            return v;
        }
    }
    return NULL;
}

static int vars_get(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    const struct lt_var *v = find_var(call_of(runner), lt_lua_check_str(L, 2));
    if (v == NULL) {
        return 0;
    }
    switch (v->type) {
    case LUA_TNIL:
        return 0;
    case LUA_TBOOLEAN:
        lua_pushboolean(L, v->boolean);
        return 1;
    case LUA_TNUMBER:
        if (v->is_integer) {
            lua_pushinteger(L, v->integer);
        } else {
            lua_pushnumber(L, v->number);
        }
        return 1;
    case LUA_TSTRING:
        lt_lua_push_str(L, v->text);
        return 1;
    default:
        break;
    }
    if (v->fvm != runner->task.unit->fvm) {
        return luaL_error(L,
                          "ctx.vars.%s is a %s of another filter: between filters only strings, "
                          "numbers and booleans are shared",
                          lua_tostring(L, 2), lua_typename(L, v->type));
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, v->ref);
    return 1;
}

static void forget(struct lt_var *v)
{
    if (v->fvm != NULL) {
        luaL_unref(v->fvm->vm->L, LUA_REGISTRYINDEX, v->ref);
        v->fvm = NULL;
    }
    v->type = LUA_TNIL;
}

void lt_ctx_forget_vars(struct lt_filter_call *call)
{
    for (struct lt_var *v = call->vars; v != NULL; v = v->next) {
        forget(v);
    }
}

static struct lt_var *new_var(lua_State *L, struct lt_runner *runner, struct lt_str name)
{
    struct lt_filter_call *call = call_of(runner);
    struct lt_var *v = lt_arena_new(&runner->x->arena, struct lt_var);
    unsigned n = 0;
    for (const struct lt_var *other = call->vars; other != NULL; other = other->next) {
        n++;
    }
    if (v == NULL || n >= VARS_MAX) {
        luaL_error(L, n >= VARS_MAX ? "too many ctx.vars" : "the exchange has no memory left");
    }
    v->name = lt_ctx_keep(L, runner, name);
    v->type = LUA_TNIL;
    v->next = call->vars;
    call->vars = v;
    return v;
}

static void keep_reference(lua_State *L, struct lt_runner *runner, struct lt_var *v)
{
    lua_pushvalue(L, 3);
    v->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    v->fvm = runner->task.unit->fvm;
}

static int vars_set(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str name = lt_lua_check_str(L, 2);
    struct lt_var *v = find_var(call_of(runner), name);
    luaL_checkany(L, 3);
    if (v == NULL) {
        v = new_var(L, runner, name);
    } else {
        forget(v);
    }
    int type = lua_type(L, 3);
    if (type == LUA_TBOOLEAN) {
        v->boolean = lua_toboolean(L, 3);
    } else if (type == LUA_TNUMBER) {
        v->is_integer = lua_isinteger(L, 3);
        if (v->is_integer) {
            v->integer = lua_tointeger(L, 3);
        } else {
            v->number = lua_tonumber(L, 3);
        }
    } else if (type == LUA_TSTRING) {
        v->text = lt_ctx_keep(L, runner, lt_lua_check_str(L, 3));
    } else if (type != LUA_TNIL) {
        keep_reference(L, runner, v);
    }
    v->type = type;
    return 0;
}

void lt_ctx_push_vars(lua_State *L, int ctx)
{
    lt_ctx_closure(L, ctx, vars_get);
    lt_ctx_object(L, ctx, vars_set);
}
