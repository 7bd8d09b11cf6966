/* SPDX-License-Identifier: Apache-2.0 */
/* What tests are told: the result of t.run. */
#include "exchange/flow.h"
#include "filters/absent.h"
#include "filters/ctx.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"

/* Pushes a body as it is now. */
static void push_body(lua_State *L, struct lt_exchange *x, enum lt_side side)
{
    luaL_Buffer text;
    size_t len = lt_body_len(x, side);
    if (lt_body_copy(x, side, luaL_buffinitsize(L, &text, len)) != LT_OK) {
        luaL_error(L, "out of memory");
    }
    luaL_pushresultsize(&text, len);
}

/* Pushes the body on top of the stack cut into pieces: as it left the filters that changed it, else
 * as it came. */
static void push_pieces(lua_State *L, const struct lt_test_bodies *b, enum lt_side side)
{
    size_t len, at = 0;
    const char *text = lua_tolstring(L, -1, &len);
    bool flown = b->n_left[side] > 0;
    const size_t *sizes = flown ? b->left[side] : b->pieces[side];
    unsigned n = flown ? b->n_left[side] : b->n_pieces[side];
    size_t sum = 0;
    for (unsigned i = 0; i < n && sum < len; i++) {
        sum += sizes[i];
    }
    if (sum != len) {
        n = 0; /* another body was put in its place */
    }
    lua_newtable(L);
    for (unsigned i = 0; at < len; i++) {
        size_t size = i < n ? sizes[i] : len - at;
        if (size > 0) {
            lua_pushlstring(L, text + at, size);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        }
        at += size;
    }
}

/* Cuts the body on top of the stack to what the client got before it left. */
static void cut_body(lua_State *L, const struct lt_exchange *x, const struct lt_test_bodies *b)
{
    size_t got = 0, len;
    const char *text = lua_tolstring(L, -1, &len);
    unsigned n = b->leave_after[LT_SIDE_RESPONSE];
    if (x->cause != LT_CAUSE_CLIENT_GONE || n == 0 || b->n_left[LT_SIDE_RESPONSE] > 0) {
        return;
    }
    for (unsigned i = 0; i < lt_min(n, b->n_pieces[LT_SIDE_RESPONSE]); i++) {
        got += b->pieces[LT_SIDE_RESPONSE][i];
    }
    lua_pushlstring(L, text, lt_min(got, len));
    lua_replace(L, -2);
}

/* Sets `body` and `pieces`. */
static void set_body(lua_State *L, struct lt_test_bed *bed, enum lt_side side)
{
    push_body(L, bed->x, side);
    if (side == LT_SIDE_RESPONSE) {
        cut_body(L, bed->x, bed->bodies);
    }
    push_pieces(L, bed->bodies, side);
    lua_setfield(L, -3, "pieces");
    lua_setfield(L, -2, "body");
}

/* Pushes a table of the headers, names in lower case; of repeated ones the first. */
static void push_headers(lua_State *L, const struct lt_headers *headers)
{
    lua_newtable(L);
    for (unsigned i = headers->n; i-- > 0;) {
        lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
        lua_getfield(L, -1, "string");
        lua_getfield(L, -1, "lower");
        lua_replace(L, -3);
        lua_pop(L, 1);
        lt_lua_push_str(L, headers->v[i].name);
        lua_call(L, 1, 1);
        lt_lua_push_str(L, headers->v[i].value);
        lua_rawset(L, -3);
    }
}

static void push_user(lua_State *L, const struct lt_exchange *x)
{
    if (x->user == NULL) {
        lua_pushnil(L);
        return;
    }
    lua_newtable(L);
    for (const struct lt_user_field *f = x->user; f != NULL; f = f->next) {
        lt_lua_push_str(L, f->name);
        lt_lua_push_user_field(L, f);
        lua_rawset(L, -3);
    }
}

void lt_test_set_log(lua_State *L, const struct lt_test *r)
{
    lua_newtable(L);
    for (unsigned i = 0; i < r->n_lines; i++) {
        lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
        lua_getfield(L, -1, "lintel");
        lua_getfield(L, -1, "json");
        lua_getfield(L, -1, "decode");
        lua_pushstring(L, r->lines[i]);
        lua_call(L, 1, 1);
        lua_rawseti(L, -5, (lua_Integer)i + 1);
        lua_pop(L, 3);
    }
    lua_setfield(L, -2, "log");
}

void lt_test_set_str(lua_State *L, const char *name, struct lt_str value)
{
    if (value.len > 0) {
        lt_lua_push_str(L, value);
        lua_setfield(L, -2, name);
    }
}

/* What a result may have, and what a server got. */
static const char *const result_names[] = {
    "aborted",          "body",  "cause", "error",  "fields",
    "headers",          "http",  "id",    "log",    "pieces",
    "reason",           "redis", "slept", "status", "upstream_called",
    "upstream_request", "user"};
static const char *const asked_names[] = {"body",   "headers", "method",  "path",
                                          "pieces", "query",   "upstream"};

/* nil if the name at index 2 is one of these; raises if it is misspelt. */
static int look_up(lua_State *L, const char *what, const char *const *known, size_t n)
{
    const char *names[LT_ABSENT_NAMES_MAX];
    for (size_t i = 0; i < n; i++) {
        names[i] = known[i];
        if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), known[i]) == 0) {
            return lt_lua_nil(L);
        }
    }
    return lt_absent_raise(L, what, names, n);
}

int lt_test_absent(lua_State *L)
{
    return look_up(L, "the result of a test", result_names, lt_countof(result_names));
}

static int asked_absent(lua_State *L)
{
    return look_up(L, "upstream_request", asked_names, lt_countof(asked_names));
}

/* Gives the table on top of the stack an __index. */
static void set_index(lua_State *L, lua_CFunction fn)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

void lt_test_set_asked(lua_State *L, struct lt_test_bed *bed)
{
    struct lt_exchange *x = bed->x;
    lua_newtable(L);
    lt_test_set_str(L, "method", lt_method_name(x->req.method));
    lt_test_set_str(L, "path", x->req.path);
    lt_test_set_str(L, "query", x->req.query);
    push_headers(L, &x->req.headers);
    lua_setfield(L, -2, "headers");
    set_body(L, bed, LT_SIDE_REQUEST);
    lt_test_set_str(L, "upstream", x->upstream->name);
    set_index(L, asked_absent);
    lua_setfield(L, -2, "upstream_request");
}

void lt_test_set_outcome(lua_State *L, struct lt_test_bed *bed)
{
    struct lt_exchange *x = bed->x;
    if (x->res.status != 0) {
        lua_pushinteger(L, x->res.status);
        lua_setfield(L, -2, "status");
    }
    push_headers(L, &x->res.headers);
    lua_setfield(L, -2, "headers");
    lt_test_set_str(L, "reason", x->reply.reason);
    if (!x->replied_here || x->reply.body.p != NULL) {
        set_body(L, bed, LT_SIDE_RESPONSE);
    }
    if (x->cause != LT_CAUSE_NONE) {
        lt_test_set_str(L, "cause", lt_str_c(lt_cause_info(x->cause)->name));
    }
    lt_test_set_str(L, "error", x->detail);
    push_user(L, x);
    lua_setfield(L, -2, "user");
    lt_ctx_log_fields_table(L, x);
    lua_setfield(L, -2, "fields");
    lt_lua_push_str(L, x->ids.request_id);
    lua_setfield(L, -2, "id");
    set_index(L, lt_test_absent);
}
