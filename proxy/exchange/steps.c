/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of an exchange, in the order in which they run. Each answers NEXT, WAIT, FAIL or OVER,
 * and is called again after WAIT. The worker's thread.
 *
 *   route -> request_hooks -> body -> upstream_hooks -> pick -> connect -> send -> response_head
 *                 |                    | answers itself  ^         |                    |
 *                 | answers itself     |                 '- retry -'                    v
 *                 '--------------------'----> (reply) ---------------------> response_hooks
 *                                    done <- log <- relay <-----------------------------'
 *                                             '- tunnel <- after a 101
 */
#include "exchange/challenge.h"
#include "exchange/compress.h"
#include "exchange/tunnel.h"
#include "route/readings.h"

enum lt_step_result lt_step_fail(struct lt_exchange *x, enum lt_cause cause)
{
    x->cause = cause;
    x->reply.ready = false;
    return LT_STEP_FAIL;
}

/* The head step is the front's: an exchange gets here only with its request. */
static enum lt_step_result step_head(struct lt_exchange *x LT_UNUSED)
{
    return LT_STEP_NEXT;
}

static enum lt_step_result redirect_to_https(struct lt_exchange *x)
{
    if (x->req.host.len == 0) {
        return lt_step_fail(x, LT_CAUSE_HOST_INVALID); /* HTTP/1.0: nobody knows where to */
    }
    struct lt_reply *reply = lt_exchange_reply(x, 308, LT_STR("redirect_https"));
    bool server_wide = lt_str_eq_c(x->req.target, "*");
    struct lt_str target = server_wide ? LT_STR("/") : x->req.target, location;
    if (reply == NULL || !lt_arena_printf(&x->arena, &location, "https://%.*s%.*s",
                                          LT_STR_ARG(x->req.host), LT_STR_ARG(target))) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    if (lt_headers_add_id(&reply->headers, LT_HEADER_LOCATION, location) != LT_OK) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    reply->body = LT_STR("");
    return LT_STEP_FAIL;
}

/* OPTIONS and TRACE may say how far they want to get. When that is here, we are who answers: what
 * is asked about is Lintel then, which has no options and echoes nothing. */
static enum lt_step_result count_forwards(struct lt_exchange *x)
{
    bool may;
    if (lt_hop_count(&x->req, &may) != LT_OK) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    if (may) {
        return LT_STEP_NEXT;
    }
    unsigned status = x->req.method == LT_METHOD_OPTIONS ? 204 : 501;
    struct lt_reply *reply = lt_exchange_reply(x, status, LT_STR("max_forwards"));
    if (reply == NULL) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    reply->body = LT_STR("");
    return LT_STEP_FAIL;
}

static enum lt_step_result step_route(struct lt_exchange *x)
{
    enum lt_step_result challenged = lt_challenge_step(x);
    if (challenged != LT_STEP_NEXT) {
        return challenged;
    }
    enum lt_route_result found =
        lt_router_find(x->view->router, x->listener, &x->req, lt_exchange_expr_get, x, &x->arena,
                       &x->route, &x->params, &x->allow);
    if (found != LT_ROUTE_REDIRECT_HTTPS && lt_exchange_misdirected(x, x->view)) {
        x->route = NULL; /* nothing of the site is told, its error pages neither */
        return lt_step_fail(x, LT_CAUSE_MISDIRECTED);
    }
    switch (found) {
    case LT_ROUTE_FOUND:
        lt_deadline_begin(x);
        break;
    case LT_ROUTE_NO_HOST:
        return lt_step_fail(x, LT_CAUSE_HOST_UNKNOWN);
    case LT_ROUTE_NO_PATH:
        return lt_step_fail(x, LT_CAUSE_ROUTE_UNKNOWN);
    case LT_ROUTE_NO_METHOD:
        return lt_step_fail(x, LT_CAUSE_METHOD_NOT_ALLOWED);
    case LT_ROUTE_REDIRECT_HTTPS:
        return redirect_to_https(x);
    case LT_ROUTE_FAILED:
        return lt_step_fail(x, LT_CAUSE_PATTERN_LIMIT);
    }
    switch (lt_readings_check(x->view->router, x->listener, &x->req, lt_exchange_expr_get, x,
                              &x->arena, x->route, &x->params)) {
    case LT_READINGS_AGREE:
        break;
    case LT_READINGS_DIFFER:
        return lt_step_fail(x, LT_CAUSE_PATH_AMBIGUOUS);
    case LT_READINGS_ENCODED_SLASH:
        return lt_step_fail(x, LT_CAUSE_PATH_ENCODED_SLASH);
    case LT_READINGS_NO_MEMORY:
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    if (x->req.body == LT_BODY_LENGTH &&
        x->req.content_length > x->route->options[x->listener].body_max && !x->grpc) {
        lt_exchange_note_body_max(x);
        return lt_step_fail(x, LT_CAUSE_BODY_TOO_LARGE);
    }
    x->streams = x->route->options[x->listener].body_stream || x->grpc;
    if (!x->streams && x->route->action == LT_ROUTE_TO && !lt_collect_fits(x)) {
        return lt_step_fail(x, LT_CAUSE_BODY_NEVER_FITS);
    }
    enum lt_cause cause = lt_tunnel_offer(x);
    if (cause == LT_CAUSE_NONE && lt_flow_open_request(x) != LT_OK) {
        cause = LT_CAUSE_OUT_OF_MEMORY;
    }
    return cause == LT_CAUSE_NONE ? LT_STEP_NEXT : lt_step_fail(x, cause);
}

static enum lt_step_result hook(struct lt_exchange *x,
                                enum lt_step_result (*fn)(struct lt_exchange *))
{
    if (x->route == NULL || x->route->chain == NULL) {
        return LT_STEP_NEXT;
    }
    /* A wake that isn't the hook's own (a body byte, say) must not enter it again. */
    if (x->hooks_waiting) {
        return LT_STEP_WAIT;
    }
    enum lt_step_result result = fn(x);
    x->hooks_waiting = result == LT_STEP_WAIT;
    return result;
}

static enum lt_step_result answer_by_route(struct lt_exchange *x)
{
    struct lt_reply *reply = lt_exchange_reply(x, x->route->status, LT_STR_NONE);
    if (reply == NULL) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    if (x->route->action == LT_ROUTE_RESPOND) {
        reply->body = x->route->body;
        reply->content_type = x->route->content_type;
        return LT_STEP_FAIL;
    }
    struct lt_str location;
    enum lt_err err = lt_route_location(x->route, &x->arena, &x->req, &x->params, &location);
    if (err == LT_OK) {
        err = lt_headers_add_id(&reply->headers, LT_HEADER_LOCATION, location);
    }
    if (err != LT_OK) {
        /* The template asks for a host and the request names none. */
        return lt_step_fail(x,
                            err == LT_ERR_INVALID ? LT_CAUSE_HOST_INVALID : LT_CAUSE_OUT_OF_MEMORY);
    }
    reply->body = LT_STR("");
    return LT_STEP_FAIL;
}

static enum lt_step_result step_request_hooks(struct lt_exchange *x)
{
    x->request_hooked = true;
    enum lt_step_result result = hook(x, x->env->hooks->request);
    if (result != LT_STEP_NEXT) {
        return result;
    }
    if (x->route->action != LT_ROUTE_TO) {
        return answer_by_route(x);
    }
    return lt_flow_ask_plain(x) == LT_OK ? count_forwards(x)
                                         : lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
}

/* Collects the body, so that a slow client doesn't hold a server; a streamed one goes on as it
 * comes. */
static enum lt_step_result step_body(struct lt_exchange *x)
{
    if (LT_UNLIKELY(x->flow[LT_SIDE_REQUEST] != NULL)) {
        enum lt_step_result result = lt_flow_begin_request(x);
        if (result != LT_STEP_NEXT) {
            return result;
        }
    }
    if (x->streams) {
        return LT_STEP_NEXT;
    }
    if (x->request_done) {
        x->req.expect_continue = false; /* answered here, or nobody waited for it */
        lt_collect_ready(x);
        return LT_STEP_NEXT;
    }
    lt_body_invite(x);
    return LT_STEP_WAIT;
}

/* Once, however many servers are tried: a retry goes to pick. */
static enum lt_step_result step_upstream_hooks(struct lt_exchange *x)
{
    if (x->route->chain == NULL) {
        return LT_STEP_NEXT;
    }
    if (x->upstream == NULL) {
        x->upstream = lt_address_split(x);
    }
    return hook(x, x->env->hooks->upstream);
}

static enum lt_step_result step_connect(struct lt_exchange *x)
{
    if (x->connected) {
        x->cause = LT_CAUSE_NONE;
        x->cause_errno = 0;
        x->detail = LT_STR_NONE;
        lt_queue_reached(x->env->pools, &x->waiter);
        return LT_STEP_NEXT;
    }
    if (x->back != NULL) {
        return LT_STEP_WAIT;
    }
    bool idempotent = lt_method_idempotent(x->req.method);
    bool fresh = x->raced || x->req.offer.len > 0; /* what may become a tunnel was nothing else */
    if (lt_back_open(x->env->pools, x->server, x->req.method, idempotent, fresh, &x->arena,
                     &lt_exchange_back_events, x, &x->back) != LT_OK) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    /* A result that was there at once has woken us. */
    return LT_STEP_WAIT;
}

static enum lt_step_result step_send(struct lt_exchange *x)
{
    enum lt_err err = lt_relay_make_head(x);
    if (err == LT_OK && !lt_explain_takes(x)) {
        return lt_step_fail(x, LT_CAUSE_SERVER_HEAD_LIMIT);
    }
    switch (err == LT_OK ? lt_relay_send_request(x) : err) {
    case LT_OK:
        return LT_STEP_NEXT;
    case LT_ERR_NOMEM:
    case LT_ERR_LIMIT:
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    case LT_ERR_STORE:
        x->cause_errno = x->spool.sys_errno;
        return lt_step_fail(x, LT_CAUSE_BODY_BUFFER_IO);
    case LT_ERR_INVALID:
        return lt_step_fail(x, LT_CAUSE_INTERNAL); /* a head that must not be sent got this far */
    default:
        /* The server may have answered already before it closed: what it says or that it is gone
         * comes by reading. */
        return LT_STEP_NEXT;
    }
}

/* Waits for the final head; on_head goes on to the response hooks. */
static enum lt_step_result step_response_head(struct lt_exchange *x)
{
    lt_relay_watch_response(x);
    return LT_STEP_WAIT;
}

static enum lt_step_result step_response_hooks(struct lt_exchange *x)
{
    lt_exchange_set_timer(x, 0);
    if (!x->request_hooked) {
        return LT_STEP_NEXT;
    }
    x->response_hooked = true;
    return hook(x, x->env->hooks->response);
}

static enum lt_step_result send_reply(struct lt_exchange *x)
{
    const struct lt_front_ops *front = x->front->ops;
    bool bodiless = x->req.method == LT_METHOD_HEAD || lt_status_bodiless(x->res.status) ||
                    x->res.body == LT_BODY_NONE;
    enum lt_err err = front->send_head(x->front, &x->res, bodiless);
    x->head_sent = true;
    if (err == LT_OK && !bodiless) {
        err = front->send_body(x->front, x->reply.body.p, x->reply.body.len);
        x->bytes_out += x->reply.body.len;
    }
    if (err == LT_OK) {
        err = front->send_end(x->front, NULL);
    }
    if (err == LT_OK) {
        err = front->flush(x->front);
    }
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
    }
    x->response_done = err == LT_OK;
    return LT_STEP_NEXT;
}

static enum lt_step_result begin_relay(struct lt_exchange *x)
{
    bool bodiless = x->req.method == LT_METHOD_HEAD || lt_status_bodiless(x->res.status);
    enum lt_step_result result = lt_flow_begin_response(x);
    if (result != LT_STEP_NEXT) {
        return result;
    }
    enum lt_err err = lt_compress_begin(x);
    if (err == LT_OK) {
        err = x->front->ops->send_head(x->front, &x->res, bodiless);
    }
    x->head_sent = true;
    if (err == LT_OK && LT_LIKELY(x->flow[LT_SIDE_RESPONSE] == NULL)) {
        err = lt_relay_send_held(x);
    }
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
        return LT_STEP_NEXT;
    }
    /* Else it is the server's turn, whose end tells the flow: a filter that fails at once may still
     * be answered for. */
    if (x->back == NULL || x->response_paused) {
        lt_flow_moved(x, LT_SIDE_RESPONSE);
    }
    return x->response_done || x->front == NULL ? LT_STEP_NEXT : LT_STEP_WAIT;
}

static enum lt_step_result relay(struct lt_exchange *x)
{
    if (x->front == NULL || x->response_done) {
        return LT_STEP_NEXT;
    }
    if (x->head_sent) {
        return LT_STEP_WAIT;
    }
    if (x->res.upgrade.len > 0) {
        return lt_tunnel_begin(x);
    }
    return x->replied_here ? send_reply(x) : begin_relay(x);
}

static enum lt_step_result step_relay(struct lt_exchange *x)
{
    enum lt_step_result result = relay(x);
    if (result == LT_STEP_NEXT && x->tunnel == NULL) {
        x->step = LT_STEP_TUNNEL; /* passed over */
    }
    return result;
}

/* The log hooks run first, so that no tunnel keeps the filters of an old configuration alive. */
static enum lt_step_result step_tunnel(struct lt_exchange *x)
{
    struct lt_tunnel *t = x->tunnel;
    if (t->logging) {
        if (hook(x, x->env->hooks->log) == LT_STEP_WAIT) {
            return LT_STEP_WAIT;
        }
        t->logging = false;
    }
    if (x->front == NULL || t->over) {
        return LT_STEP_NEXT;
    }
    lt_tunnel_let_go(x);
    return LT_STEP_WAIT;
}

static enum lt_step_result step_log(struct lt_exchange *x)
{
    lt_flow_release(x);
    if (x->front != NULL) {
        struct lt_front *front = x->front;
        x->front = NULL;
        front->ops->finish(front, x->response_done);
    }
    lt_relay_drop_back(x);
    return x->request_hooked ? hook(x, x->env->hooks->log) : LT_STEP_NEXT;
}

static enum lt_step_result step_done(struct lt_exchange *x)
{
    struct lt_exchange_env *env = x->env;
    /* A tunnel's time is that to its 101: how long it was open says nothing about the server. */
    uint64_t end_us = x->step_us[x->tunnel != NULL ? LT_STEP_TUNNEL : LT_STEP_LOG];
    uint64_t upstream_end_us = x->tunnel != NULL ? end_us : x->upstream_end_us;
    const struct lt_metrics_exchange m = {
        .route_id = x->route != NULL ? x->route->metrics_id : 0,
        .server_id = x->server != NULL ? x->server->metrics_id : 0,
        .status = x->res.status,
        .cause = x->cause,
        .duration_us = end_us - x->began_us,
        .upstream_us = x->upstream_us > 0 ? upstream_end_us - x->upstream_us : 0,
        .bytes_in = x->bytes_in,
        .bytes_out = x->bytes_out,
    };
    lt_metrics_add_exchange(env->metrics, &m);
    if (env->access_log != NULL && x->view->log.access) {
        env->access_log(x);
    }
    return LT_STEP_OVER;
}

enum lt_step_result lt_step_call(struct lt_exchange *x)
{
    static enum lt_step_result (*const steps[LT_STEP_COUNT])(struct lt_exchange *) = {
        [LT_STEP_HEAD] = step_head,
        [LT_STEP_ROUTE] = step_route,
        [LT_STEP_REQUEST_HOOKS] = step_request_hooks,
        [LT_STEP_BODY] = step_body,
        [LT_STEP_UPSTREAM_HOOKS] = step_upstream_hooks,
        [LT_STEP_PICK] = lt_pick_step,
        [LT_STEP_CONNECT] = step_connect,
        [LT_STEP_SEND] = step_send,
        [LT_STEP_RESPONSE_HEAD] = step_response_head,
        [LT_STEP_RESPONSE_HOOKS] = step_response_hooks,
        [LT_STEP_RELAY] = step_relay,
        [LT_STEP_TUNNEL] = step_tunnel,
        [LT_STEP_LOG] = step_log,
        [LT_STEP_DONE] = step_done,
    };
    return steps[x->step](x);
}

void lt_step_failed(struct lt_exchange *x)
{
    lt_flow_release(x);
    lt_relay_drop_back(x);
    lt_exchange_set_timer(x, 0);
    if (x->front == NULL) {
        x->step = LT_STEP_LOG;
        return;
    }
    if (x->head_sent && !x->front->ops->take_back(x->front)) {
        if (lt_grpc_end(x)) {
            x->step = LT_STEP_LOG;
            return;
        }
        struct lt_front *front = x->front;
        x->front = NULL;
        front->ops->abort(front, x->cause);
        x->step = LT_STEP_LOG;
        return;
    }
    lt_compress_release(x);
    x->head_sent = false;
    x->bytes_out = 0;
    lt_reply_prepare(x);
    /* Response hooks see our answers too, but not one that they made themselves. */
    x->step = x->response_hooked || !x->request_hooked ? LT_STEP_RELAY : LT_STEP_RESPONSE_HOOKS;
}
