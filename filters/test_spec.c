/* SPDX-License-Identifier: Apache-2.0 */
/* What tests write, read: tables of Lua to settings of filters, requests and responses. */
#include <stdio.h>
#include <unistd.h>

#include "exchange/flow.h"
#include "filters/ctx.h"
#include "filters/excerpt.h"
#include "filters/lib.h"
#include "filters/test_impl.h"

#define CONF_DEPTH_MAX 8
#define SECONDS_MAX 9e8
#define WHY_MAX 600u

/* ---- a table of Lua as the node of a configuration ---- */

static struct lt_node *new_node(lua_State *L, struct lt_test_bed *bed, enum lt_node_kind kind)
{
    struct lt_node *node = lt_arena_new(&bed->arena, struct lt_node);
    if (node == NULL) {
        luaL_error(L, "out of memory");
    }
    node->kind = kind;
    node->pos = lt_load_nowhere();
    return node;
}

static struct lt_node *text_node(lua_State *L, struct lt_test_bed *bed, struct lt_str text)
{
    struct lt_node *node = new_node(L, bed, LT_NODE_SCALAR);
    if (!lt_arena_dup(&bed->arena, text, &node->text)) {
        luaL_error(L, "out of memory");
    }
    node->raw = node->text;
    node->quoted = true;
    return node;
}

static void add_pair(struct lt_node *map, struct lt_node *key, struct lt_node *value)
{
    map->pairs[map->n_pairs++] = (struct lt_node_pair){key, value};
}

static struct lt_node *to_node(lua_State *L, struct lt_test_bed *bed, int index, int depth);

/* n more pairs than the table at index has. */
static struct lt_node *table_node(lua_State *L, struct lt_test_bed *bed, int index, int depth)
{
    lua_Integer n_list = luaL_len(L, index);
    size_t n = 0;
    if (depth > CONF_DEPTH_MAX) {
        luaL_error(L, "conf is too deep");
    }
    luaL_checkstack(L, 4, NULL);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        n++;
    }
    struct lt_node *node = new_node(L, bed, n_list > 0 ? LT_NODE_LIST : LT_NODE_MAP);
    node->items = lt_arena_array(&bed->arena, struct lt_node *, n + 1);
    node->pairs = lt_arena_array(&bed->arena, struct lt_node_pair, n + 2);
    if (node->items == NULL || node->pairs == NULL) {
        luaL_error(L, "out of memory");
    }
    for (lua_Integer i = 1; i <= n_list; i++) {
        lua_geti(L, index, i);
        node->items[node->n_items++] = to_node(L, bed, lua_gettop(L), depth + 1);
        lua_pop(L, 1);
    }
    if (n_list > 0) {
        return node;
    }
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        struct lt_str key;
        luaL_checktype(L, -2, LUA_TSTRING);
        key.p = lua_tolstring(L, -2, &key.len);
        add_pair(node, text_node(L, bed, key), to_node(L, bed, lua_gettop(L), depth + 1));
    }
    return node;
}

static struct lt_node *to_node(lua_State *L, struct lt_test_bed *bed, int index, int depth)
{
    struct lt_str text;
    if (lua_istable(L, index)) {
        return table_node(L, bed, index, depth);
    }
    if (lua_isboolean(L, index)) {
        return text_node(L, bed, lua_toboolean(L, index) ? LT_STR("true") : LT_STR("false"));
    }
    if (!lua_isstring(L, index)) {
        luaL_error(L, "conf holds a %s", luaL_typename(L, index));
    }
    lua_pushvalue(L, index);
    text.p = lua_tolstring(L, -1, &text.len);
    struct lt_node *node = text_node(L, bed, text);
    lua_pop(L, 1);
    return node;
}

/* ---- the exchange ---- */

static struct lt_str text_field(lua_State *L, int index, const char *name, const char *fallback)
{
    struct lt_str text = lt_str_c(fallback);
    if (lua_getfield(L, index, name) != LUA_TNIL) {
        text.p = luaL_checklstring(L, -1, &text.len);
    }
    return text;
}

/* A filter beside the test file comes first. */
static struct lt_str filter_path(lua_State *L, struct lt_test *r, struct lt_str filter)
{
    struct lt_str beside;
    bool path = lt_str_chr(filter, '/', 0) != SIZE_MAX || lt_str_ends(filter, LT_STR(".lua"));
    if (!lt_arena_printf(&r->bed->arena, &beside, "%.*s/%.*s%s", LT_STR_ARG(r->dir),
                         LT_STR_ARG(filter), path ? "" : ".lua")) {
        luaL_error(L, "out of memory");
    }
    return (path && filter.p[0] != '/') || (!path && access(beside.p, F_OK) == 0) ? beside : filter;
}

/* The line of the filter's text that why speaks of. */
static void print_source(struct lt_test *r, struct lt_str filter, struct lt_str why,
                         struct lt_buf *out)
{
    struct lt_str ignored;
    struct lt_filter_file *file = lt_filter_file_find(&r->bed->load, filter, LT_STR_NONE, &ignored);
    struct lt_place place;
    size_t at = SIZE_MAX;
    char name[LT_PLACE_NAME_MAX * 2];
    if (file != NULL) {
        snprintf(name, sizeof(name), "%.*s.lua:", LT_STR_ARG(file->name));
        at = lt_str_find(why, lt_str_c(name));
    }
    if (at != SIZE_MAX && lt_place_read(lt_str_sub(why, at, why.len), &place)) {
        lt_excerpt_print(out, file->text, place.line, why, "");
    }
}

/* The filter can't be loaded: why, and what diags say. */
static void raise_load(lua_State *L, struct lt_test *r, const char *why)
{
    struct lt_buf out;
    lt_buf_init_fixed(&out, r->text, sizeof(r->text));
    lt_buf_printf(&out, "the filter can't be loaded%s%s\n", why[0] != '\0' ? ": " : "", why);
    lt_diags_print(&r->bed->diags, &out);
    print_source(r, filter_path(L, r, lt_lua_check_str(L, 1)), lt_str_c(why), &out);
    while (out.len > 0 && out.p[out.len - 1] == '\n') {
        out.len--;
    }
    lua_pushlstring(L, out.p, out.len);
    lua_error(L);
}

void lt_test_load_filter(lua_State *L, struct lt_test *r, int conf)
{
    struct lt_test_bed *bed = r->bed;
    struct lt_str filter = lt_lua_check_str(L, 1);
    char why[WHY_MAX];
    lt_test_bed_begin_load(bed);
    struct lt_node *settings;
    if (lua_isnil(L, conf)) {
        settings = new_node(L, bed, LT_NODE_MAP);
        settings->pairs = lt_arena_array(&bed->arena, struct lt_node_pair, 1);
    } else {
        luaL_checktype(L, conf, LUA_TTABLE);
        settings = table_node(L, bed, conf, 0);
    }
    struct lt_node *instances = new_node(L, bed, LT_NODE_MAP);
    instances->pairs = lt_arena_array(&bed->arena, struct lt_node_pair, 1);
    if (settings->kind != LT_NODE_MAP || settings->pairs == NULL || instances->pairs == NULL) {
        luaL_error(L, "conf is a table with named fields");
    }
    add_pair(settings, text_node(L, bed, LT_STR("filter")),
             text_node(L, bed, filter_path(L, r, filter)));
    add_pair(instances, text_node(L, bed, LT_STR("test")), settings);
    if (lt_test_bed_load(bed, instances, why, sizeof(why))) {
        return;
    }
    raise_load(L, r, why);
}

void lt_test_fill_headers(lua_State *L, struct lt_arena *arena, int index,
                          struct lt_headers *headers)
{
    if (lua_isnil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        luaL_checktype(L, -2, LUA_TSTRING);
        bool many = lua_istable(L, -1);
        lua_Integer n = many ? luaL_len(L, -1) : 1;
        for (lua_Integer i = 1; i <= n; i++) {
            struct lt_str name, value;
            name.p = lua_tolstring(L, -2, &name.len);
            if (many) {
                lua_geti(L, -1, i);
            } else {
                lua_pushvalue(L, -1);
            }
            value.p = luaL_checklstring(L, -1, &value.len);
            if (!lt_arena_dup(arena, name, &name) || !lt_arena_dup(arena, value, &value) ||
                lt_headers_add(headers, name, value) != LT_OK) {
                luaL_error(L, "too many headers");
            }
            lua_pop(L, 1);
        }
    }
}

/* The certificate that the client of the request at index has shown, if any. */
static void fill_cert(lua_State *L, int index, struct lt_test_request *request)
{
    static const char *const known[] = {"subject", "issuer",      "serial",
                                        "san",     "fingerprint", "not_after"};
    if (lua_getfield(L, index, "client_cert") == LUA_TNIL) {
        return;
    }
    int cert = lua_gettop(L);
    luaL_checktype(L, cert, LUA_TTABLE);
    lt_lua_check_keys(L, cert, "client_cert", known, lt_countof(known));
    request->cert = (struct lt_tls_info){
        .verified = true,
        .subject = text_field(L, cert, "subject", ""),
        .issuer = text_field(L, cert, "issuer", ""),
        .serial = text_field(L, cert, "serial", ""),
        .san = text_field(L, cert, "san", ""),
        .fingerprint = text_field(L, cert, "fingerprint", ""),
    };
    lua_getfield(L, cert, "not_after");
    request->cert.not_after = luaL_optinteger(L, -1, INT32_MAX);
}

/* The body on top of the stack: a text, or a list of the pieces in which it comes. */
static struct lt_str text_of_body(lua_State *L, struct lt_test_bed *bed, enum lt_side side)
{
    struct lt_test_bodies *b = bed->bodies;
    luaL_Buffer all;
    int list = lua_gettop(L);
    struct lt_str text;
    if (lua_istable(L, list)) {
        luaL_buffinit(L, &all);
        for (lua_Integer i = 1, n = luaL_len(L, list); i <= n; i++) {
            lua_geti(L, list, i);
            (void)luaL_checklstring(L, -1, &text.len);
            if (b->n_pieces[side] == LT_TEST_PIECES_MAX) {
                luaL_error(L, "a body comes in at most %d pieces", (int)LT_TEST_PIECES_MAX);
            }
            b->pieces[side][b->n_pieces[side]++] = text.len;
            luaL_addvalue(&all);
        }
        luaL_pushresult(&all);
    }
    text.p = luaL_checklstring(L, -1, &text.len);
    return text;
}

struct lt_exchange *lt_test_begin(lua_State *L, struct lt_test *r, int index)
{
    static const char *const known[] = {"method",  "path",        "host", "scheme", "client_ip",
                                        "headers", "client_cert", "body", "trusted"};
    if (lua_isnil(L, index)) {
        lua_newtable(L);
        lua_replace(L, index);
    }
    luaL_checktype(L, index, LUA_TTABLE);
    lt_lua_check_keys(L, index, "request", known, lt_countof(known));
    struct lt_test_request request = {
        .method = text_field(L, index, "method", "GET"),
        .target = text_field(L, index, "path", "/"),
        .host = text_field(L, index, "host", "example.com"),
        .client_ip = text_field(L, index, "client_ip", "192.0.2.1"),
        .tls = lt_str_eq_c(text_field(L, index, "scheme", "http"), "https"),
    };
    fill_cert(L, index, &request);
    struct lt_exchange *x = lt_test_bed_begin(r->bed, &request);
    if (x == NULL) {
        luaL_error(L, "request: the method, path or client_ip is malformed");
    }
    lua_getfield(L, index, "trusted");
    x->client.trusted = lua_toboolean(L, -1);
    lua_getfield(L, index, "headers");
    lt_test_fill_headers(L, &x->arena, lua_gettop(L), &x->req.headers);
    if (lua_getfield(L, index, "body") != LUA_TNIL) {
        struct lt_str body = text_of_body(L, r->bed, LT_SIDE_REQUEST);
        x->req.body = LT_BODY_LENGTH;
        x->req.content_length = body.len;
        enum lt_err err = lt_flow_open_request(x);
        struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
        if (flow != NULL) {
            err = lt_chain_append(&flow->in, body.p, body.len);
        } else if (err == LT_OK) {
            err = lt_spool_append(&x->spool, body.p, body.len);
        }
        if (err != LT_OK) {
            luaL_error(L, "out of memory");
        }
    }
    return x;
}

void lt_test_fill_user(lua_State *L, struct lt_exchange *x, int index)
{
    if (lua_isnil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        struct lt_str name;
        int top = lua_gettop(L);
        luaL_checktype(L, -2, LUA_TSTRING);
        name.p = lua_tolstring(L, -2, &name.len);
        lt_lua_set_user_field(L, x, name, top);
        lua_settop(L, top);
    }
}

void lt_test_take_response(lua_State *L, struct lt_test_bed *bed, int index)
{
    static const char *const known[] = {"status", "headers", "body"};
    struct lt_exchange *x = bed->x;
    x->response_ended = true;
    x->res = (struct lt_response){.status = 200, .version = 11};
    lt_headers_init(&x->res.headers, &x->arena, 200);
    if (lua_isnil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    int top = lua_gettop(L);
    lt_lua_check_keys(L, index, "response", known, lt_countof(known));
    lua_getfield(L, index, "status");
    lua_Integer status = luaL_optinteger(L, -1, 200);
    if (status < 200 || status > 599) {
        luaL_error(L, "response: a status is 200 to 599");
    }
    x->res.status = (unsigned)status;
    lua_getfield(L, index, "headers");
    lt_test_fill_headers(L, &x->arena, lua_gettop(L), &x->res.headers);
    if (lua_getfield(L, index, "body") != LUA_TNIL) {
        struct lt_str body = text_of_body(L, bed, LT_SIDE_RESPONSE);
        x->res.body = LT_BODY_LENGTH;
        x->res.content_length = body.len;
        if (lt_chain_append(&x->held, body.p, body.len) != LT_OK) {
            luaL_error(L, "out of memory");
        }
    }
    lua_settop(L, top);
    x->upstream_status = x->res.status;
}

void lt_test_take_upstreams(lua_State *L, struct lt_test_bed *bed, int index)
{
    bed->view.n_upstreams = 1;
    bed->upstreams[0].name = LT_STR("app");
    if (lua_isnil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    lua_Integer n = luaL_len(L, index);
    if (n < 1 || n > (lua_Integer)LT_TEST_UPSTREAMS_MAX) {
        luaL_error(L, "upstreams: 1 to %d names", (int)LT_TEST_UPSTREAMS_MAX);
    }
    for (unsigned i = 0; i < (unsigned)n; i++) {
        struct lt_str *name = &bed->upstreams[i].name;
        lua_geti(L, index, (lua_Integer)i + 1);
        name->p = luaL_checklstring(L, -1, &name->len);
        lua_pop(L, 1);
    }
    bed->view.n_upstreams = (unsigned)n;
}

uint64_t lt_test_seconds(lua_State *L, int index)
{
    double s = luaL_checknumber(L, index);
    if (!(s >= 0 && s <= SECONDS_MAX)) {
        luaL_error(L, "time goes forward, by less than 30 years");
    }
    return (uint64_t)(s * 1e6);
}

/* SECONDS or "500ms", {request = pieces}, {response = pieces} */
void lt_test_take_abort(lua_State *L, struct lt_test_bed *bed, int index)
{
    static const char *const sides[] = {"request", "response"};
    uint64_t ms;
    if (lua_isnil(L, index)) {
        return;
    }
    if (!lua_istable(L, index)) {
        if (!lt_lua_to_duration(L, index, (uint64_t)SECONDS_MAX, &ms)) {
            luaL_error(L, "abort: a time such as \"500ms\", or {request = N} or {response = N}, "
                          "after how many pieces of a body the client leaves");
        }
        bed->leaves_us = bed->loop->now_us + ms * 1000;
        return;
    }
    lt_lua_check_keys(L, index, "abort", sides, lt_countof(sides));
    for (int side = 0; side < 2; side++) {
        if (lua_getfield(L, index, sides[side]) != LUA_TNIL) {
            lua_Integer n = luaL_checkinteger(L, -1);
            if (n < 1 || n > (lua_Integer)LT_TEST_PIECES_MAX) {
                luaL_error(L, "abort: after 1 to %d pieces", (int)LT_TEST_PIECES_MAX);
            }
            bed->bodies->leave_after[side] = (unsigned)n;
        }
        lua_pop(L, 1);
    }
}
