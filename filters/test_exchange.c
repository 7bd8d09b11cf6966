/* SPDX-License-Identifier: Apache-2.0 */
/* t.run, t.load and t.every: load filters into the test bed and send exchanges through their hooks,
 * one or several at once; what the filters did comes back as tables.
 *
 *   t.load -> object -> :run, :parallel -> drive: [request -> body -> upstream] -> served ->
 *                    '-> :every                   [response -> body] -> log
 */
#include <jansson.h>

#include "base/mem.h"
#include "exchange/flow.h"
#include "filters/ctx.h"
#include "filters/every.h"
#include "filters/lib.h"
#include "filters/test_impl.h"

/* Exchanges at the same time. */
#define PARALLEL_MAX 32u

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

/* Adds a line that a filter wrote to what is shown of the case: "info: its message key=value". */
static void note_said(struct lt_test *r, json_t *line)
{
    static const char *const ours[] = {"time",   "level",      "subsystem", "event",
                                       "filter", "request_id", "message"};
    struct lt_buf out;
    const char *key, *event = json_string_value(json_object_get(line, "event"));
    json_t *value;
    size_t len = strlen(r->said);
    if (event == NULL || strcmp(event, "message") != 0) {
        return;
    }
    lt_buf_init_fixed(&out, r->said + len, sizeof(r->said) - 1 - len);
    lt_buf_printf(&out, "  %s: %s", json_string_value(json_object_get(line, "level")),
                  json_string_value(json_object_get(line, "message")));
    json_object_foreach(line, key, value)
    {
        bool own = true;
        for (size_t i = 0; i < lt_countof(ours); i++) {
            own = own && strcmp(key, ours[i]) != 0;
        }
        char *text = own ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
        lt_buf_printf(&out, text != NULL ? " %s=%s" : "", key, text);
        free(text);
    }
    lt_buf_char(&out, '\n');
    r->said[len + (out.truncated ? 0 : out.len)] = '\0'; /* whole lines, as many as there is room */
}

void lt_test_on_log_line(struct lt_str line)
{
    struct lt_test *r = lt_test_current;
    json_t *parsed = r->in_case ? json_loadb(line.p, line.len, 0, NULL) : NULL;
    if (parsed != NULL) {
        note_said(r, parsed);
        json_decref(parsed);
    }
    char *copy = r->n_lines < LT_TEST_LINES_MAX ? lt_malloc(line.len + 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, line.p, line.len);
        copy[line.len] = '\0';
        r->lines[r->n_lines++] = copy;
    }
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

/* ---- exchanges under way ---- */

enum stage { REQUEST, UPSTREAM, RESPONSE, LOG, DONE };

/* Lives on the stack of t.run, as what it points to does. */
struct one {
    struct lt_exchange *x;
    struct lt_test_bodies *bodies; /* a userdata */
    int result, response;          /* tables, indices on the stack */
    enum stage stage;
    uint64_t leaves_us, slept_us; /* slept: by the bed's count when it began */
    bool busy, aborted;
};

/* Makes it the one that the bed looks at. */
static struct lt_exchange *look_at(struct lt_test_bed *bed, const struct one *one)
{
    bed->x = one->x;
    bed->bodies = one->bodies;
    bed->leaves_us = one->leaves_us;
    bed->busy = one->busy;
    bed->failed = bed->gone = false;
    return one->x;
}

/* The client has left. */
static void leave(struct lt_test_bed *bed, struct one *one)
{
    struct lt_exchange *x = look_at(bed, one);
    lt_filter_hooks.cancel(x);
    lt_flow_release(x);
    x->hooks_waiting = false;
    x->cause = LT_CAUSE_CLIENT_GONE;
    one->aborted = true;
    one->stage = LOG;
}

static void refused(struct one *one)
{
    take_reply(one->x);
    one->stage = RESPONSE;
}

/* The request is ready to leave: its body passes the filters of the hook `body`. */
static enum lt_step_result send_body(lua_State *L, struct lt_test_bed *bed)
{
    if (lt_flow_ask_plain(bed->x) != LT_OK) {
        luaL_error(L, "out of memory");
    }
    return lt_test_bed_flow(bed, LT_SIDE_REQUEST);
}

static void served(lua_State *L, struct lt_test_bed *bed, struct one *one)
{
    lua_pushvalue(L, one->result);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "upstream_called");
    lt_test_set_asked(L, bed);
    lua_pop(L, 1);
    lt_test_take_response(L, bed, one->response);
    one->stage = RESPONSE;
}

static enum lt_step_result receive(struct lt_test_bed *bed, enum lt_step_result result)
{
    if (result == LT_STEP_NEXT && !bed->x->replied_here) {
        result = lt_test_bed_flow(bed, LT_SIDE_RESPONSE);
    }
    if (result == LT_STEP_FAIL && !bed->gone) {
        take_reply(bed->x);
    }
    return result;
}

/* One step further; x->hooks_waiting says whether it waits now. */
static void advance(lua_State *L, struct lt_test_bed *bed, struct one *one)
{
    static const enum lt_filter_hook hooks[] = {LT_FILTER_REQUEST, LT_FILTER_UPSTREAM,
                                                LT_FILTER_RESPONSE, LT_FILTER_LOG};
    look_at(bed, one);
    enum lt_step_result result = lt_test_bed_step(bed, hooks[one->stage]);
    if (result == LT_STEP_WAIT) {
        return;
    }
    switch (one->stage) {
    case REQUEST:
        if (result == LT_STEP_NEXT) {
            result = send_body(L, bed);
        }
        one->stage = UPSTREAM;
        break;
    case UPSTREAM:
        if (result == LT_STEP_NEXT) {
            served(L, bed, one);
        }
        break;
    case RESPONSE:
        (void)receive(bed, result);
        result = LT_STEP_NEXT;
        one->stage = LOG;
        break;
    case LOG:
        one->stage = DONE;
        return;
    case DONE:
        return;
    }
    if (bed->gone) {
        leave(bed, one);
    } else if (result != LT_STEP_NEXT) {
        refused(one);
    }
}

static void finish(lua_State *L, struct lt_test *r, struct one *one)
{
    struct lt_test_bed *bed = r->bed;
    look_at(bed, one);
    lua_pushvalue(L, one->result);
    lt_test_set_outcome(L, bed);
    lua_pushboolean(L, one->aborted);
    lua_setfield(L, -2, "aborted");
    lua_pushnumber(L, (double)(bed->slept_us - one->slept_us) / 1e6);
    lua_setfield(L, -2, "slept");
    lua_pop(L, 1);
    lt_test_bed_end(bed);
    bed->bodies = &bed->own;
    one->x = NULL;
}

/* Lets time pass until one goes on, or its client leaves. */
static void wait(lua_State *L, struct lt_test_bed *bed, struct one *all, unsigned n)
{
    uint64_t next = lt_test_bed_next_us(bed);
    struct one *leaves = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct one *one = &all[i];
        if (one->x != NULL && one->stage < LOG && one->leaves_us != 0 && one->leaves_us < next &&
            (leaves == NULL || one->leaves_us < leaves->leaves_us)) {
            leaves = one;
        }
    }
    if (leaves != NULL) {
        lt_test_bed_wait_until(bed, leaves->leaves_us);
        leave(bed, leaves);
    } else if (next != UINT64_MAX) {
        lt_test_bed_go_on(bed);
    } else {
        luaL_error(L, "a filter waits for what never comes");
    }
}

/* Runs all to their ends, those that wait beside each other. */
static void drive(lua_State *L, struct lt_test *r, struct one *all, unsigned n)
{
    for (unsigned left = n; left > 0;) {
        bool moved = false;
        for (unsigned i = 0; i < n; i++) {
            struct one *one = &all[i];
            while (one->x != NULL && !one->x->hooks_waiting) {
                moved = true;
                advance(L, r->bed, one);
                if (one->stage == DONE) {
                    finish(L, r, one);
                    left--;
                }
            }
        }
        if (!moved) {
            lt_test_bed_turn(r->bed);
            bool woken = false;
            for (unsigned i = 0; i < n; i++) {
                woken |= all[i].x != NULL && !all[i].x->hooks_waiting;
            }
            if (!woken) {
                wait(L, r->bed, all, n);
            }
        }
    }
}

/* ---- what tests call ---- */

/* `now` at index: seconds since the case began, or nil. */
static void take_clock(lua_State *L, struct lt_test_bed *bed, int index)
{
    if (!lua_isnil(L, index)) {
        uint64_t us = lt_test_seconds(L, index);
        bed->loop->now_us = bed->start_us + us;
        bed->loop->wall_us = bed->start_wall_us + us;
    }
}

static void begin_exchanges(lua_State *L, struct lt_test *r)
{
    lt_test_forget_lines(r);
    r->failure[0] = r->failed_as[0] = '\0';
    lt_test_http_begin(L, r);
    lt_test_redis_begin(L, r);
}

/* Puts what belongs to all that ran into the table on top of the stack. */
static void end_exchanges(lua_State *L, struct lt_test *r)
{
    lt_test_set_log(L, r);
    lt_test_http_end(L, r);
    lt_test_redis_end(L);
    r->memory = lt_max(r->memory, lt_test_bed_memory(r->bed));
}

/* Begins one by the table at index spec; pushes what it needs and leaves that there. */
static void start_one(lua_State *L, struct lt_test *r, int spec, const char *const *keys,
                      size_t n_keys, struct one *one)
{
    struct lt_test_bed *bed = r->bed;
    luaL_checktype(L, spec, LUA_TTABLE);
    lt_lua_check_keys(L, spec, "run", keys, n_keys);
    luaL_checkstack(L, 60, NULL);
    bed->bodies = lua_newuserdatauv(L, sizeof(*bed->bodies), 0);
    lua_newtable(L);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "upstream_called");
    int result = lua_gettop(L);
    lua_getfield(L, spec, "response");
    lua_getfield(L, spec, "now");
    take_clock(L, bed, result + 2);
    lua_getfield(L, spec, "request");
    struct lt_exchange *x = lt_test_begin(L, r, result + 3);
    lua_getfield(L, spec, "user");
    lt_test_fill_user(L, x, lua_gettop(L));
    lua_getfield(L, spec, "busy");
    bool busy = lua_toboolean(L, -1) != 0;
    lua_getfield(L, spec, "abort");
    lt_test_take_abort(L, bed, lua_gettop(L));
    *one = (struct one){.x = x,
                        .bodies = bed->bodies,
                        .result = result,
                        .response = result + 1,
                        .leaves_us = bed->leaves_us,
                        .busy = busy,
                        .slept_us = bed->slept_us};
    /* What was pushed stays: texts are borrowed from it. */
}

/* Loads the filter that argument 1 names; conf and upstreams as in the table at index spec, or nil.
 */
static void load(lua_State *L, struct lt_test *r, int spec)
{
    int top = lua_gettop(L);
    uint64_t used = r->bed->budget.used_ns;
    r->memory = lt_max(r->memory, lt_test_bed_memory(r->bed));
    r->loaded++;
    lua_getfield(L, spec, "conf");
    lt_test_load_filter(L, r, top + 1);
    lua_getfield(L, spec, "upstreams");
    lt_test_take_upstreams(L, r->bed, top + 2);
    lua_settop(L, top);
    r->bed->budget.used_ns = used; /* loading is not what a case is about */
}

/* Makes argument i a table if it is nothing, and checks its keys. */
static void check_spec(lua_State *L, int i, const char *what, const char *const *keys, size_t n)
{
    if (lua_isnoneornil(L, i)) {
        lua_newtable(L);
        lua_replace(L, i);
    }
    luaL_checktype(L, i, LUA_TTABLE);
    lt_lua_check_keys(L, i, what, keys, n);
}

static const char *const run_keys[] = {"conf", "upstreams", "request", "response",
                                       "user", "now",       "busy",    "abort"};
#define OWN_KEYS 2 /* of these, what the object of t.load has */

/* Runs one by the table at index spec; its result is pushed. */
static int run_one(lua_State *L, struct lt_test *r, int spec, size_t skip)
{
    struct one one;
    begin_exchanges(L, r);
    start_one(L, r, spec, run_keys + skip, lt_countof(run_keys) - skip, &one);
    drive(L, r, &one, 1);
    lua_pushvalue(L, one.result);
    end_exchanges(L, r);
    lt_test_watch_failure(L, r, lua_gettop(L));
    return 1;
}

/* t.run(filter, {conf=, upstreams=, request=, response=, user=, now=, abort=}) */
int lt_test_run(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    lt_test_check_case(L, "t.run");
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    luaL_checktype(L, 2, LUA_TTABLE);
    check_spec(L, 2, "t.run", run_keys, lt_countof(run_keys));
    lua_getfield(L, 2, "now");
    take_clock(L, r->bed, 3);
    load(L, r, 2);
    return run_one(L, r, 2, 0);
}

/* Raises unless argument 1 is an object of t.load whose filter is still there. */
static void check_object(lua_State *L, const struct lt_test *r, const char *method)
{
    lt_test_check_case(L, method);
    if (!lua_istable(L, 1) || lua_getfield(L, 1, "loaded") != LUA_TNUMBER) {
        luaL_error(L, "write filter:%s(...) with a colon, filter being what t.load gave", method);
    }
    if (lua_tointeger(L, -1) != (lua_Integer)r->loaded) {
        luaL_error(L, "another filter was loaded meanwhile: there is one at a time");
    }
    lua_pop(L, 1);
}

static int object_run(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    check_object(L, r, "run");
    lua_settop(L, 2);
    check_spec(L, 2, "run", run_keys + OWN_KEYS, lt_countof(run_keys) - OWN_KEYS);
    return run_one(L, r, 2, OWN_KEYS);
}

/* filter:parallel{spec, ...}: gives the results, in a list. */
static int object_parallel(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    struct one all[PARALLEL_MAX];
    check_object(L, r, "parallel");
    lua_settop(L, 2);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 2);
    if (n < 1 || n > (lua_Integer)PARALLEL_MAX) {
        return luaL_error(L, "parallel: 1 to %d requests", (int)PARALLEL_MAX);
    }
    begin_exchanges(L, r);
    for (lua_Integer i = 1; i <= n; i++) {
        luaL_checkstack(L, 2, NULL);
        lua_geti(L, 2, i);
        start_one(L, r, lua_gettop(L), run_keys + OWN_KEYS, lt_countof(run_keys) - OWN_KEYS,
                  &all[i - 1]);
    }
    drive(L, r, all, (unsigned)n);
    lua_createtable(L, (int)n, 2);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_pushvalue(L, all[i - 1].result);
        lua_rawseti(L, -2, i);
    }
    end_exchanges(L, r);
    int list = lua_gettop(L);
    int failed = 1; /* under the policy `open` none of them knows */
    for (int i = (int)n; i > 0; i--) {
        lua_rawgeti(L, list, i);
        failed = lua_getfield(L, -1, "error") != LUA_TNIL ? i : failed;
        lua_settop(L, list);
    }
    lua_rawgeti(L, list, failed);
    lt_test_watch_failure(L, r, list + 1);
    lua_settop(L, list);
    return 1;
}

/* Runs what the filter does every `period` (argument 2) once; pushes the result. */
static int run_every(lua_State *L, struct lt_test *r)
{
    struct lt_str period = lt_lua_check_str(L, 2);
    begin_exchanges(L, r);
    const struct lt_every *e = lt_test_bed_every(r->bed, period);
    if (e == NULL) {
        return luaL_error(L, "the filter has no function in `every` for \"%s\"", period.p);
    }
    lua_newtable(L);
    if (e->last != LT_CAUSE_NONE) {
        lt_test_set_str(L, "cause", lt_str_c(lt_cause_info(e->last)->name));
        lt_test_set_str(L, "error", lt_str_c(e->unit->fvm->vm->error));
    }
    lua_pushnumber(L, (double)r->bed->slept_us / 1e6);
    lua_setfield(L, -2, "slept");
    end_exchanges(L, r);
    lt_test_watch_failure(L, r, lua_gettop(L));
    return 1;
}

static int object_every(lua_State *L)
{
    struct lt_test *r = lt_test_of(L);
    check_object(L, r, "every");
    lua_settop(L, 2);
    return run_every(L, r);
}

/* t.load(filter [, {conf=, upstreams=, now=}]) */
int lt_test_load(lua_State *L)
{
    static const char *const keys[] = {"conf", "upstreams", "now"};
    static const luaL_Reg methods[] = {
        {"run", object_run}, {"parallel", object_parallel}, {"every", object_every}, {NULL, NULL}};
    struct lt_test *r = lt_test_of(L);
    lt_test_check_case(L, "t.load");
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    check_spec(L, 2, "t.load", keys, lt_countof(keys));
    lua_getfield(L, 2, "now");
    take_clock(L, r->bed, 3);
    begin_exchanges(L, r); /* what it does while it is loaded is its own */
    load(L, r, 2);
    luaL_newlibtable(L, methods);
    lua_pushlightuserdata(L, r);
    luaL_setfuncs(L, methods, 1);
    lua_pushinteger(L, (lua_Integer)r->loaded);
    lua_setfield(L, -2, "loaded");
    lua_getfield(L, 2, "upstreams"); /* the bed has its texts */
    lua_setfield(L, -2, "upstreams");
    return 1;
}

/* t.every(filter, period [, {conf=, now=}]) */
int lt_test_every(lua_State *L)
{
    static const char *const keys[] = {"conf", "now"};
    struct lt_test *r = lt_test_of(L);
    lt_test_check_case(L, "t.every");
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 3);
    check_spec(L, 3, "t.every", keys, lt_countof(keys));
    lua_getfield(L, 3, "now");
    take_clock(L, r->bed, 4);
    load(L, r, 3);
    return run_every(L, r);
}
