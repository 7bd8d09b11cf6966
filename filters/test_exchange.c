/* SPDX-License-Identifier: Apache-2.0 */
/* t.run: loads a filter into the test bed and sends one exchange through it; what the filter did
 * comes back as a table. */

#include <unistd.h>

#include "base/mem.h"
#include "exchange/flow.h"
#include "filters/every.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"

#define CONF_DEPTH_MAX 8
#define SECONDS_MAX 9e8
#define WHY_MAX 600u

struct lt_test *lt_test_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* ---- the log ---- */

void lt_test_forget_lines(struct lt_test *r)
{
    while (r->n_lines > 0) {
        lt_free(r->lines[--r->n_lines]);
    }
}

void lt_test_on_log_line(struct lt_str line)
{
    struct lt_test *r = lt_test_current;
    char *copy = r->n_lines < LT_TEST_LINES_MAX ? lt_malloc(line.len + 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, line.p, line.len);
        copy[line.len] = '\0';
        r->lines[r->n_lines++] = copy;
    }
}

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

/* Loads the filter of argument 1 with the settings of the table at index conf (or none). */
static void load_filter(lua_State *L, struct lt_test *r, int conf)
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
    luaL_Buffer text;
    char space[4096];
    struct lt_buf out;
    lt_buf_init_fixed(&out, space, sizeof(space));
    lt_buf_printf(&out, "%s\n", why);
    lt_diags_print(&bed->diags, &out);
    luaL_buffinit(L, &text);
    luaL_addlstring(&text, out.p, out.len);
    luaL_pushresult(&text);
    luaL_error(L, "the filter can't be loaded: %s", lua_tostring(L, -1));
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
    static const char *const known[] = {"subject", "san", "fingerprint"};
    if (lua_getfield(L, index, "client_cert") == LUA_TNIL) {
        return;
    }
    int cert = lua_gettop(L);
    luaL_checktype(L, cert, LUA_TTABLE);
    lt_lua_check_keys(L, cert, "client_cert", known, lt_countof(known));
    request->subject = text_field(L, cert, "subject", "");
    request->san = text_field(L, cert, "san", "");
    request->fingerprint = text_field(L, cert, "fingerprint", "");
}

/* The body on top of the stack: a text, or a list of the pieces in which it comes. */
static struct lt_str text_of_body(lua_State *L, struct lt_test_bed *bed, enum lt_side side)
{
    luaL_Buffer all;
    int list = lua_gettop(L);
    struct lt_str text;
    if (lua_istable(L, list)) {
        luaL_buffinit(L, &all);
        for (lua_Integer i = 1, n = luaL_len(L, list); i <= n; i++) {
            lua_geti(L, list, i);
            (void)luaL_checklstring(L, -1, &text.len);
            if (bed->n_pieces[side] == LT_TEST_PIECES_MAX) {
                luaL_error(L, "a body comes in at most %d pieces", (int)LT_TEST_PIECES_MAX);
            }
            bed->pieces[side][bed->n_pieces[side]++] = text.len;
            luaL_addvalue(&all);
        }
        luaL_pushresult(&all);
    }
    text.p = luaL_checklstring(L, -1, &text.len);
    return text;
}

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

/* Begins the exchange that the table at index (or nil) describes. */
static struct lt_exchange *begin(lua_State *L, struct lt_test *r, int index)
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

/* The user that an earlier filter would have found: table at index, or nil. */
static void fill_user(lua_State *L, struct lt_exchange *x, int index)
{
    if (lua_isnil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        struct lt_str name, value;
        luaL_checktype(L, -2, LUA_TSTRING);
        name.p = lua_tolstring(L, -2, &name.len);
        value.p = luaL_checklstring(L, -1, &value.len);
        if (lt_exchange_set_user(x, name, value) != LT_OK) {
            luaL_error(L, "out of memory");
        }
    }
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
        lt_lua_push_str(L, f->value);
        lua_rawset(L, -3);
    }
}

/* The lines that were logged, each as a table. */
static void push_log(lua_State *L, const struct lt_test *r)
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
}

static void set_str(lua_State *L, const char *name, struct lt_str value)
{
    if (value.len > 0) {
        lt_lua_push_str(L, value);
        lua_setfield(L, -2, name);
    }
}

/* What a server would have got; on top of the stack is the result. */
static void set_upstream_request(lua_State *L, struct lt_exchange *x)
{
    lua_newtable(L);
    set_str(L, "method", lt_method_name(x->req.method));
    set_str(L, "path", x->req.path);
    push_headers(L, &x->req.headers);
    lua_setfield(L, -2, "headers");
    push_body(L, x, LT_SIDE_REQUEST);
    lua_setfield(L, -2, "body");
    set_str(L, "upstream", x->upstream->name);
    lua_setfield(L, -2, "upstream_request");
}

/* Turns a refusal into the response that the client would get. */
static void take_reply(struct lt_exchange *x)
{
    unsigned status = lt_cause_info(x->cause)->status;
    x->replied_here = true;
    x->res = (struct lt_response){.status = x->reply.ready ? x->reply.status : status};
    if (x->reply.ready) {
        x->res.headers = x->reply.headers;
        if (x->reply.content_type.len > 0 &&
            lt_headers_set_id(&x->res.headers, LT_HEADER_CONTENT_TYPE, x->reply.content_type) !=
                LT_OK) {
            x->res.headers.n = 0;
        }
    }
}

/* The server's answer: table at index, or nil. */
static void take_response(lua_State *L, struct lt_test_bed *bed, int index)
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

/* Runs all hooks in order; the result is on top of the stack. */
static void run_exchange(lua_State *L, struct lt_test_bed *bed, int response)
{
    struct lt_exchange *x = bed->x;
    enum lt_step_result result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
    if (result == LT_STEP_NEXT && lt_flow_ask_plain(x) != LT_OK) {
        luaL_error(L, "out of memory");
    }
    if (result == LT_STEP_NEXT) {
        result = lt_test_bed_flow(bed, LT_SIDE_REQUEST);
    }
    if (result == LT_STEP_NEXT) {
        result = lt_test_bed_run(bed, LT_FILTER_UPSTREAM);
    }
    lua_pushboolean(L, result == LT_STEP_NEXT);
    lua_setfield(L, -2, "upstream_called");
    if (result == LT_STEP_NEXT) {
        set_upstream_request(L, x);
        take_response(L, bed, response);
    } else {
        take_reply(x);
    }
    if (lt_test_bed_run(bed, LT_FILTER_RESPONSE) != LT_STEP_NEXT ||
        (!x->replied_here && lt_test_bed_flow(bed, LT_SIDE_RESPONSE) != LT_STEP_NEXT)) {
        take_reply(x);
    }
    (void)lt_test_bed_run(bed, LT_FILTER_LOG);
}

/* Names of the configuration's upstreams: list at index, or nil. Kept by the table of t.run. */
static void take_upstreams(lua_State *L, struct lt_test_bed *bed, int index)
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

/* The number of seconds at index, in microseconds. */
uint64_t lt_test_seconds(lua_State *L, int index)
{
    double s = luaL_checknumber(L, index);
    if (!(s >= 0 && s <= SECONDS_MAX)) {
        luaL_error(L, "time goes forward, by less than 30 years");
    }
    return (uint64_t)(s * 1e6);
}

/* `now` at index: seconds since the case began, or nil. */
static void set_clock(lua_State *L, struct lt_test_bed *bed, int index)
{
    if (!lua_isnil(L, index)) {
        uint64_t us = lt_test_seconds(L, index);
        bed->loop->now_us = bed->start_us + us;
        bed->loop->wall_us = bed->start_wall_us + us;
    }
}

/* t.every(filter, period [, {conf=, now=}]): runs what the filter does every `period` once. */
int lt_test_every(lua_State *L)
{
    static const char *const keys[] = {"conf", "now"};
    struct lt_test *r = lt_test_of(L);
    struct lt_test_bed *bed = r->bed;
    luaL_checkstring(L, 1);
    struct lt_str period = lt_lua_check_str(L, 2);
    lua_settop(L, 3);
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    lt_lua_check_keys(L, 3, "t.every", keys, lt_countof(keys));
    lua_getfield(L, 3, "conf"); /* index 4 */
    lua_getfield(L, 3, "now");  /* 5 */
    lt_test_forget_lines(r);
    set_clock(L, bed, 5);
    load_filter(L, r, 4);
    lt_test_http_begin(L, r);
    lt_test_redis_begin(L, r);
    const struct lt_every *e = lt_test_bed_every(bed, period);
    if (e == NULL) {
        return luaL_error(L, "the filter has no function in `every` for \"%s\"", period.p);
    }
    lua_newtable(L);
    if (e->last != LT_CAUSE_NONE) {
        set_str(L, "cause", lt_str_c(lt_cause_info(e->last)->name));
        set_str(L, "error", lt_str_c(e->unit->fvm->vm->error));
    }
    push_log(L, r);
    lua_setfield(L, -2, "log");
    lua_pushnumber(L, (double)bed->slept_us / 1e6);
    lua_setfield(L, -2, "slept");
    lt_test_http_end(L, r);
    lt_test_redis_end(L);
    return 1;
}

/* t.run(filter, {conf=, request=, response=, user=, now=}) */
int lt_test_run(lua_State *L)
{
    static const char *const keys[] = {"conf", "request", "response", "user", "now", "upstreams"};
    struct lt_test *r = lt_test_of(L);
    struct lt_test_bed *bed = r->bed;
    luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lt_lua_check_keys(L, 2, "t.run", keys, lt_countof(keys));
    for (size_t i = 0; i < lt_countof(keys); i++) { /* indices 3 to 8 */
        lua_getfield(L, 2, keys[i]);
    }
    lt_test_forget_lines(r);
    set_clock(L, bed, 7);
    load_filter(L, r, 3);
    take_upstreams(L, bed, 8);
    struct lt_exchange *x = begin(L, r, 4);
    lt_test_http_begin(L, r);
    lt_test_redis_begin(L, r);
    fill_user(L, x, 6);
    lua_newtable(L);
    run_exchange(L, bed, 5);
    lua_pushinteger(L, x->res.status);
    lua_setfield(L, -2, "status");
    push_headers(L, &x->res.headers);
    lua_setfield(L, -2, "headers");
    set_str(L, "reason", x->reply.reason);
    if (!x->replied_here || x->reply.body.p != NULL) {
        push_body(L, x, LT_SIDE_RESPONSE);
        lua_setfield(L, -2, "body");
    }
    if (x->cause != LT_CAUSE_NONE) {
        set_str(L, "cause", lt_str_c(lt_cause_info(x->cause)->name));
    }
    set_str(L, "error", x->detail);
    push_user(L, x);
    lua_setfield(L, -2, "user");
    lt_ctx_log_fields_table(L, x);
    lua_setfield(L, -2, "fields");
    lt_lua_push_str(L, x->ids.request_id);
    lua_setfield(L, -2, "id");
    push_log(L, r);
    lua_setfield(L, -2, "log");
    lua_pushnumber(L, (double)bed->slept_us / 1e6);
    lua_setfield(L, -2, "slept");
    lt_test_http_end(L, r);
    lt_test_redis_end(L);
    return 1;
}
