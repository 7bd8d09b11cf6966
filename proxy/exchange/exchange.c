/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an exchange: made by a front, run step by step, ended once it is logged. The worker's
 * thread.
 *
 *        front                     exchange                         back
 *          | lt_exchange_new          |                               |
 *          | lt_exchange_begin ------>| run: step, step, ... WAIT     |
 *          |                          |   <---- events / hooks / timer|
 *          |                          | run: step, step, ... DONE     |
 *          |<-- ops->finish ----------|                               |
 *
 * A step that can't go on answers WAIT. Whatever it waits for calls lt_exchange_wake, which calls
 * the same step again, or lt_exchange_goto. Both only take a note while the loop runs further up
 * the stack. */
#include "exchange/challenge.h"
#include "exchange/tunnel.h"

#include "base/obj.h"
#include "exchange/compress.h"
#include "exchange/flow.h"
#include "http/uri.h"
#include "net/tls_info.h"
#include "upstream/server_set.h"

#define TRAILERS_MAX 32

const char *lt_step_name(enum lt_step step)
{
    static const char *const names[LT_STEP_COUNT] = {
#define X(id, name) name,
#include "exchange/step.def"
#undef X
    };
    return names[step];
}

void lt_exchange_timeout(struct lt_exchange *x)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->tunnel != NULL) {
        lt_tunnel_timeout(x);
        return;
    }
    if (x->challenge != NULL) {
        lt_challenge_forget(x);
        lt_exchange_run(x);
        return;
    }
    if (lt_deadline_over(x)) {
        lt_explain_deadline(x);
        x->deadline_us = 0; /* the answer that says so isn't under it */
        lt_exchange_fail(x, LT_CAUSE_DEADLINE);
        return;
    }
    if (x->holding) {
        lt_hold_end(x);
        return;
    }
    if (x->back != NULL && x->back->ops->doubt != NULL) {
        x->back->ops->doubt(x->back);
    }
    if (lt_retry_timeout(x)) {
        return;
    }
    enum lt_cause cause = x->grpc             ? LT_CAUSE_CALL_SILENT
                          : x->response_begun ? LT_CAUSE_RESPONSE_IDLE_TIMEOUT
                                              : LT_CAUSE_FIRST_BYTE_TIMEOUT;
    lt_explain_timeout(x, cause);
    lt_exchange_fail(x, cause);
}

struct lt_exchange *lt_exchange_new(struct lt_exchange_env *env, struct lt_front *front,
                                    unsigned listener)
{
    struct lt_exchange *x = lt_slab_get(&env->exchanges_slab);
    if (x == NULL) {
        return NULL;
    }
    memset(x, 0, offsetof(struct lt_exchange, arena_first));
    LT_OBJ_INIT(x, LT_EXCHANGE_MAGIC);
    x->env = env;
    x->view = lt_view_pin(env->view);
    x->front = front;
    x->listener = listener;
    x->began_us = env->loop->now_us;
    x->began_wall_us = env->loop->wall_us;
    x->step_us[LT_STEP_HEAD] = x->began_us;
    lt_arena_init(&x->arena, x->arena_first, sizeof(x->arena_first), LT_EXCHANGE_ARENA_MAX);
    x->arena.total = &env->heads;
    lt_headers_init(&x->req_trailers, &x->arena, TRAILERS_MAX);
    lt_chain_init(&x->body, &env->loop->blocks);
    lt_chain_init(&x->kept, &env->loop->blocks);
    lt_chain_init(&x->held, &env->loop->blocks);
    lt_spool_init(&x->spool, &env->spools, &x->view->spool);
    lt_list_push_back(&env->exchanges, &x->link);
    env->live++;
    lt_metrics_add(env->metrics, LT_COUNTER_EXCHANGES, 1);
    return x;
}

void lt_exchange_take_server(struct lt_exchange *x, struct lt_server *server)
{
    if (x->server != NULL) {
        lt_server_let_go(x->env->pools, x->server);
    }
    x->server = server;
}

static void free_now(void *arg)
{
    struct lt_exchange *x = arg;
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    struct lt_exchange_env *env = x->env;
    if (x->filter_state != NULL) {
        env->hooks->release(x);
    }
    lt_arena_fini(&x->arena);
    lt_tls_info_free(x->tls);
    if (x->view != NULL) {
        lt_view_unpin(x->view);
    }
    lt_follow_end(x);
    LT_OBJ_FINI(x);
    lt_slab_put(&env->exchanges_slab, x);
}

/* The last step has been left. Memory goes at the end of the turn: callers up the stack and slices
 * that were put may still point into it. */
static void end(struct lt_exchange *x)
{
    lt_chain_clear(&x->body);
    lt_chain_clear(&x->kept);
    lt_chain_clear(&x->held);
    lt_compress_release(x);
    lt_flow_release(x);
    lt_spool_clear(&x->spool);
    lt_list_remove(&x->link);
    x->env->live--;
    lt_metrics_add(x->env->metrics, LT_COUNTER_EXCHANGES, -1);
    lt_tunnel_end(x);
    if (x->server != NULL) {
        lt_server_let_go(x->env->pools, x->server);
    }
    lt_challenge_forget(x);
    lt_loop_defer(x->env->loop, &x->deferred, free_now, x);
}

void lt_exchange_run(struct lt_exchange *x)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->running) {
        x->woken = true;
        return;
    }
    x->running = true;
    for (;;) {
        enum lt_step step = x->step;
        if (x->step_us[step] == 0) {
            x->step_us[step] = x->env->loop->now_us;
        }
        switch (lt_step_call(x)) {
        case LT_STEP_NEXT:
            x->step++;
            x->woken = false;
            continue;
        case LT_STEP_FAIL:
            x->woken = false;
            lt_step_failed(x);
            continue;
        case LT_STEP_WAIT:
            if (x->woken) {
                x->woken = false;
                continue;
            }
            x->running = false;
            return;
        case LT_STEP_OVER:
            end(x);
            return;
        }
    }
}

void lt_exchange_wake(struct lt_exchange *x)
{
    x->hooks_waiting = false;
    lt_exchange_run(x);
}

void lt_exchange_goto(struct lt_exchange *x, enum lt_step step)
{
    x->step = step;
    lt_exchange_run(x);
}

void lt_exchange_fail(struct lt_exchange *x, enum lt_cause cause)
{
    if (x->step >= LT_STEP_LOG) {
        return;
    }
    if (x->hooks_waiting) {
        x->env->hooks->cancel(x);
        x->hooks_waiting = false;
    }
    x->cause = cause;
    x->reply.ready = false;
    lt_step_failed(x);
    lt_exchange_run(x);
}

/* Who asks, by trust, and the ids that go with the exchange. */
static bool identify(struct lt_exchange *x, const struct lt_addr *peer, bool tls)
{
    const struct lt_view *v = x->view;
    if (lt_hop_client(&x->arena, &x->req.headers, peer, tls, v->listeners[x->listener].port,
                      v->trust, v->n_trust, &x->client) != LT_OK) {
        return false;
    }
    lt_hop_distrust(&x->req.headers, x->client.trusted);
    /* Several are as good as one, and none of them is to be overlooked (RFC 9113 §8.2.3). */
    if (lt_headers_fold(&x->req.headers, LT_HEADER_COOKIE, LT_STR("; ")) != LT_OK) {
        return false;
    }
    return lt_hop_ids(&x->arena, &x->env->loop->rand, &x->req.headers, x->client.trusted,
                      &x->ids) == LT_OK;
}

void lt_exchange_begin(struct lt_exchange *x, const struct lt_addr *peer, bool tls)
{
    x->req_target = x->req.target;
    x->request_done = x->req.body == LT_BODY_NONE ||
                      (x->req.body == LT_BODY_LENGTH && x->req.content_length == 0);
    x->step = LT_STEP_ROUTE;
    lt_grpc_begin(x);
    if (!identify(x, peer, tls)) {
        lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
        return;
    }
    lt_exchange_run(x);
}

void lt_exchange_refuse(struct lt_exchange *x, enum lt_cause cause, const struct lt_addr *peer,
                        bool tls)
{
    /* What was parsed of the head can't be trusted: nothing of it is used but what kind of answer
     * is wanted, if it came that far. */
    struct lt_headers *h = &x->req.headers;
    unsigned kept = 0;
    for (unsigned i = 0; i < h->n; i++) {
        if (h->v[i].id == LT_HEADER_ACCEPT) {
            h->v[kept++] = h->v[i];
        }
    }
    h->n = kept;
    x->req.host = LT_STR_NONE;
    if (!identify(x, peer, tls)) {
        cause = LT_CAUSE_OUT_OF_MEMORY;
    }
    lt_exchange_fail(x, cause);
}

void lt_exchange_dismiss(struct lt_exchange *x, enum lt_cause cause, const struct lt_addr *peer,
                         bool tls)
{
    x->req.headers.n = 0;
    x->req.host = LT_STR_NONE;
    lt_exchange_front_gone(x, identify(x, peer, tls) ? cause : LT_CAUSE_OUT_OF_MEMORY);
}

void lt_exchange_front_gone(struct lt_exchange *x, enum lt_cause cause)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    x->front = NULL;
    if (cause == LT_CAUSE_CLIENT_GONE && x->step < LT_STEP_LOG) {
        lt_explain_client_gone(x);
    }
    lt_exchange_fail(x, cause);
}

void lt_exchange_end_all(struct lt_exchange_env *env, enum lt_cause cause)
{
    lt_list_each(it, tmp, &env->exchanges)
    {
        struct lt_exchange *x = lt_container_of(it, struct lt_exchange, link);
        LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
        if (x->step == LT_STEP_LOG) {
            env->hooks->cancel(x);
            lt_exchange_goto(x, LT_STEP_DONE);
        } else {
            lt_exchange_fail(x, cause);
        }
    }
}

/* ---- names for expressions, user fields ---- */

static struct lt_str copy_lower(struct lt_arena *arena, struct lt_str s)
{
    char *p = lt_arena_chars(arena, s.len);
    if (p == NULL) {
        return LT_STR_NONE;
    }
    for (size_t i = 0; i < s.len; i++) {
        p[i] = lt_char_lower(s.p[i]);
    }
    return lt_str(p, s.len);
}

static bool header_value(const struct lt_exchange *x, struct lt_str key, struct lt_str *out)
{
    return lt_headers_joined(&x->req.headers, key, LT_STR(", "), out) == LT_OK;
}

static struct lt_user_field *find_user(const struct lt_exchange *x, struct lt_str name)
{
    struct lt_user_field *f = x->user;
    while (f != NULL && !lt_str_eq(f->name, name)) {
        f = f->next;
    }
    return f;
}

const struct lt_user_field *lt_exchange_user(const struct lt_exchange *x, struct lt_str name)
{
    return find_user(x, name);
}

static bool user_value(const struct lt_exchange *x, struct lt_str key, struct lt_str *out)
{
    const struct lt_user_field *f = find_user(x, key);
    *out = f != NULL ? f->value : LT_STR_NONE;
    return f != NULL;
}

static bool port_text(struct lt_exchange *x, struct lt_str *out)
{
    return lt_arena_printf(&x->arena, out, "%u", lt_addr_port(&x->client.peer));
}

bool lt_exchange_expr_get(void *source, enum lt_expr_name name, struct lt_str key,
                          struct lt_str *out)
{
    struct lt_exchange *x = source;
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    *out = LT_STR_NONE;
    switch (name) {
    case LT_EXPR_METHOD:
        *out = lt_method_name(x->req.method);
        break;
    case LT_EXPR_PATH:
        *out = x->req.path;
        break;
    case LT_EXPR_HOST:
        *out = x->req.host;
        break;
    case LT_EXPR_SCHEME:
        *out = x->client.scheme;
        break;
    case LT_EXPR_CLIENT_IP:
        *out = x->client.ip;
        break;
    case LT_EXPR_CLIENT_PORT:
        return port_text(x, out);
    case LT_EXPR_TLS_SNI:
        *out = x->tls != NULL ? x->tls->sni : LT_STR_NONE;
        break;
    case LT_EXPR_TLS_CLIENT_SUBJECT:
        *out = x->tls != NULL ? x->tls->subject : LT_STR_NONE;
        break;
    case LT_EXPR_TLS_CLIENT_SAN:
        *out = x->tls != NULL ? x->tls->san : LT_STR_NONE;
        break;
    case LT_EXPR_TLS_CLIENT_ISSUER:
        *out = x->tls != NULL ? x->tls->issuer : LT_STR_NONE;
        break;
    case LT_EXPR_TLS_CLIENT_SERIAL:
        *out = x->tls != NULL ? x->tls->serial : LT_STR_NONE;
        break;
    case LT_EXPR_TLS_CLIENT_FINGERPRINT:
        *out = x->tls != NULL ? x->tls->fingerprint : LT_STR_NONE;
        break;
    case LT_EXPR_HEADER:
        return header_value(x, key, out);
    case LT_EXPR_QUERY:
        return lt_query_get(&x->arena, x->req.query, key, out);
    case LT_EXPR_COOKIE:
        return lt_cookie_get(lt_headers_value(&x->req.headers, LT_HEADER_COOKIE), key, out);
    case LT_EXPR_PATH_PARAM:
        *out = lt_route_param(&x->params, key);
        break;
    case LT_EXPR_USER:
        return user_value(x, key, out);
    case LT_EXPR_ROUTE:
        *out = x->route != NULL ? x->route->name : LT_STR_NONE;
        break;
    case LT_EXPR_UPSTREAM:
        *out = x->upstream != NULL ? x->upstream->name : LT_STR_NONE;
        break;
    }
    return out->len > 0;
}

enum lt_err lt_exchange_set_user(struct lt_exchange *x, struct lt_str name, struct lt_str value,
                                 bool list)
{
    struct lt_str copy;
    if (!lt_arena_dup(&x->arena, value, &copy)) {
        return LT_ERR_NOMEM;
    }
    struct lt_user_field *f = find_user(x, name);
    if (f != NULL) {
        f->value = copy;
        f->list = list;
        return LT_OK;
    }
    f = lt_arena_new(&x->arena, struct lt_user_field);
    struct lt_str key = copy_lower(&x->arena, name);
    if (f == NULL || (key.p == NULL && name.len > 0)) {
        return LT_ERR_NOMEM;
    }
    *f = (struct lt_user_field){.name = key, .value = copy, .list = list, .next = x->user};
    x->user = f;
    return LT_OK;
}
