/* SPDX-License-Identifier: Apache-2.0 */
/* What one call of a filter consists of: a coroutine, the `ctx` object that it sees, and the answer
 * that it prepares. Runners are kept by their unit and used again; a filter that never waits makes
 * no new one. Private to filters/. */
#ifndef LT_FILTERS_CTX_H
#define LT_FILTERS_CTX_H

#include "exchange/body.h"
#include "filters/task.h"

#include <lauxlib.h>

/* Calls that may wait at the same time, per instance and worker. */
#define LT_RUNNERS_MAX 10000u

/* Lives in the userdata that Lua code sees as `ctx`. */
struct lt_runner {
    uint32_t magic;
    struct lt_exchange *x;   /* NULL: no call */
    bool live;               /* its code runs: `ctx` may be used */
    struct lt_task task;     /* on its coroutine's stack: the hooks, then ctx, which so lives on */
    struct lt_runner *next;  /* in unit->free */
    struct lt_job *deferred; /* clean-ups, last first (job.h) */
    unsigned n_deferred;
    enum lt_filter_hook hook;
    struct lt_body_stage *stage; /* in the hook `body` (flow.c), else NULL */
    bool staged;                 /* deny, respond or redirect was called */
    bool denies;                 /* and it was deny */
    struct lt_reply reply;       /* what it prepared; texts in x's arena */
};

/* A scratch value of ctx.vars: plain values are seen by all filters of the exchange, tables and
 * functions by those of the same file. */
struct lt_var {
    struct lt_str name;
    int type; /* LUA_T... */
    bool is_integer;
    union {
        bool boolean;
        lua_Integer integer;
        lua_Number number;
        struct lt_str text;
        int ref; /* in fvm's registry */
    };
    struct lt_filter_vm *fvm; /* of ref */
    struct lt_var *next;
};

/* What filters keep for one exchange; x->filter_state, in its arena. */
struct lt_filter_call {
    uint32_t magic;
    struct lt_exchange *x;
    struct lt_filters *host;
    struct lt_filter_edition *edition; /* pinned */
    enum lt_filter_hook hook;
    unsigned at;                /* place in the chain */
    uint64_t skipped;           /* bit per place: `when` did not hold */
    unsigned entered;           /* places that the request hooks came to */
    struct lt_runner *waits;    /* of the filter that waits, or NULL */
    struct lt_headers promised; /* fields that request hooks add to the response to come */
    struct lt_var *vars;
};

/* A runner for unit, from its free ones or new; NULL: unit->fvm->vm->error says why. */
struct lt_runner *lt_runner_get(struct lt_filter_unit *unit) LT_MUST_CHECK;
/* After a call that came to its end; runs its clean-ups, as drop does. */
void lt_runner_put(struct lt_runner *runner);
/* After any other: the coroutine is never resumed and never closed. */
void lt_runner_drop(struct lt_runner *runner);

/* Values on a coroutine's stack below those of a call: the hooks, ctx, and the iterator of
 * `body`. */
#define LT_RUNNER_CTX (LT_FILTER_HOOKS + 1)
#define LT_RUNNER_CHUNKS (LT_FILTER_HOOKS + 2)
#define LT_RUNNER_BASE LT_RUNNER_CHUNKS

/* The runner behind a closure's first upvalue; raises when its exchange is over. */
struct lt_runner *lt_runner_of(lua_State *L);
/* The runner of the ctx at index arg; raises when it is none or its exchange is over. */
struct lt_runner *lt_runner_check(lua_State *L, int arg);

/* The exchange is over: what its vars refer to is garbage. */
void lt_ctx_forget_vars(struct lt_filter_call *call);

/* Parts of ctx, each in a file of its own; ctx is at index `ctx`. All push one object. */
void lt_ctx_push_req(lua_State *L, int ctx);
void lt_ctx_push_res(lua_State *L, int ctx);
void lt_ctx_push_upstream(lua_State *L, int ctx);
void lt_ctx_push_vars(lua_State *L, int ctx);
void lt_ctx_push_user(lua_State *L, int ctx);
void lt_ctx_push_log_fields(lua_State *L, int ctx);
void lt_ctx_set_user(lua_State *L, struct lt_runner *runner, int index);
/* Functions of ctx, ctx.req and ctx.res; api_ctx.c says what they do. */
int lt_ctx_deny(lua_State *L);
int lt_ctx_respond(lua_State *L);
int lt_ctx_redirect(lua_State *L);
int lt_ctx_req_bearer(lua_State *L);
int lt_ctx_req_cookie(lua_State *L);
int lt_ctx_req_body(lua_State *L);
int lt_ctx_req_json(lua_State *L);
int lt_ctx_req_set_body(lua_State *L);
int lt_ctx_res_body(lua_State *L);
int lt_ctx_res_json(lua_State *L);
int lt_ctx_res_set_body(lua_State *L);
/* A field of the user as a text or a table of texts, and back from the value at index, an absolute
 * one; raises. */
void lt_lua_push_user_field(lua_State *L, const struct lt_user_field *field);
void lt_lua_set_user_field(lua_State *L, struct lt_exchange *x, struct lt_str name, int index);
/* What is known of a verified certificate of the client. */
void lt_ctx_push_cert(lua_State *L, const struct lt_tls_info *tls);

/* Raises unless the access log can have a member of this name. */
void lt_ctx_field_check(lua_State *L, struct lt_str name);
/* Pushes the members that filters have added, as a table; expressions by their values. */
void lt_ctx_log_fields_table(lua_State *L, struct lt_exchange *x);

/* Pushes a new object: __index is the value on top of the stack (taken; a table or a function),
 * __newindex is `set` with ctx as upvalue, or NULL: refused. */
void lt_ctx_object(lua_State *L, int ctx, lua_CFunction set);
/* Pushes a closure of fn with ctx as its upvalue. */
void lt_ctx_closure(lua_State *L, int ctx, lua_CFunction fn);

/* The list that a field which a filter adds to the response belongs in: in `request` it is kept
 * until there is one. Raises in `log`. */
struct lt_headers *lt_ctx_response_fields(lua_State *L, struct lt_runner *runner);

/* Copies text into x's arena; raises without memory. */
struct lt_str lt_ctx_keep(lua_State *L, struct lt_runner *runner, struct lt_str text);

/* Raises unless a filter may give the field of a request or a response this value, which is a
 * string, a number, or nil and none for its removal. Gives the name's id. */
enum lt_header_id lt_ctx_header_check(lua_State *L, bool request, struct lt_str name, int value);

/* Sets or adds a field that passes lt_ctx_header_check. value: nil deletes. */
void lt_ctx_header_write(lua_State *L, struct lt_runner *runner, struct lt_headers *headers,
                         struct lt_str name, int value, bool add);

static inline void lt_lua_push_str(lua_State *L, struct lt_str s)
{
    lua_pushlstring(L, s.p != NULL ? s.p : "", s.len);
}

/* A function's "not there": nil, where no value at all would surprise tostring and the like. */
static inline int lt_lua_nil(lua_State *L)
{
    lua_pushnil(L);
    return 1;
}

static inline struct lt_str lt_lua_check_str(lua_State *L, int arg)
{
    struct lt_str s;
    s.p = luaL_checklstring(L, arg, &s.len);
    return s;
}

#endif
