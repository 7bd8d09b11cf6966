/* SPDX-License-Identifier: Apache-2.0 */
/* Tunnels: what an exchange becomes after a 101. Bytes pass as they are in both directions, each
 * side paused while the other is too far behind; the end of one direction is passed on, the end of
 * both is the end of the exchange. The worker's thread.
 *
 *   route: lt_tunnel_offer -> ... 101 -> relay: lt_tunnel_begin -> tunnel: log hooks, then
 *   lt_tunnel_let_go: names and limits are copied, the snapshot goes -> both ends -> log, done
 *
 * A tunnel ends with neither side cut short: TCP tells them apart from a reset, so ends of ours
 * (silence, draining) are in order, and only a server's reset is passed on as one. */
#include "exchange/tunnel.h"

#include "base/obj.h"
#include "http/upgrade.h"

enum lt_cause lt_tunnel_offer(struct lt_exchange *x)
{
    struct lt_request *req = &x->req;
    if (!req->upgrade || x->route->action != LT_ROUTE_TO) {
        /* A redirect is an answer too. */
        return req->must_switch && x->route->action == LT_ROUTE_RESPOND
                   ? LT_CAUSE_UPGRADE_NOT_SERVED
                   : LT_CAUSE_NONE;
    }
    if (lt_upgrade_offer(req, x->route->upgrade, x->route->n_upgrade, &req->offer) != LT_OK) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    if (req->must_switch && req->offer.len == 0) {
        return LT_CAUSE_UPGRADE_NOT_SERVED;
    }
    bool body =
        req->body == LT_BODY_CHUNKED || (req->body == LT_BODY_LENGTH && req->content_length > 0);
    return req->offer.len > 0 && body ? LT_CAUSE_UPGRADE_BODY : LT_CAUSE_NONE;
}

/* ---- time ---- */

/* Silence that is allowed: once one direction has ended, no more than a response or a request body
 * may have. 0: for ever. */
static uint64_t silence_ms(const struct lt_exchange *x)
{
    const struct lt_tunnel *t = x->tunnel;
    uint64_t half_ms = t->client_ended ? x->upstream->idle_ms : t->server_ended ? t->body_ms : 0;
    return half_ms > 0 && (t->idle_ms == 0 || half_ms < t->idle_ms) ? half_ms : t->idle_ms;
}

/* A byte has passed or a limit has changed. While bytes wait for the client, its own time limit
 * counts. */
static void watch(struct lt_exchange *x)
{
    const struct lt_tunnel *t = x->tunnel;
    uint64_t ms = x->response_paused ? 0 : silence_ms(x), now_us = x->env->loop->now_us;
    if (t->drain_us > 0) {
        uint64_t left_ms = t->drain_us > now_us ? (t->drain_us - now_us + 999) / 1000 : 1;
        ms = ms > 0 ? lt_min(ms, left_ms) : left_ms;
    }
    lt_exchange_set_timer(x, ms);
}

/* The end in order: what waits for the client still leaves. */
static void finish(struct lt_exchange *x, enum lt_cause cause)
{
    if (x->step >= LT_STEP_LOG || x->front == NULL) {
        return;
    }
    x->cause = cause;
    x->tunnel->over = true;
    x->response_done = true;
    lt_exchange_run(x);
}

void lt_tunnel_timeout(struct lt_exchange *x)
{
    const struct lt_tunnel *t = x->tunnel;
    bool drained = t->drain_us > 0 && t->drain_us <= x->env->loop->now_us;
    finish(x, drained ? LT_CAUSE_DRAINING : LT_CAUSE_TUNNEL_IDLE);
}

/* ---- client to server ---- */

/* Both directions have ended and nothing waits for the server. */
static void look_for_end(struct lt_exchange *x)
{
    const struct lt_tunnel *t = x->tunnel;
    if (t->server_ended &&
        (!x->streaming || (t->client_ended && x->back->ops->unsent(x->back) == 0))) {
        finish(x, LT_CAUSE_NONE);
    }
}

/* The server takes no more: that it is gone comes by reading, unless that has ended. */
static void server_is_deaf(struct lt_exchange *x)
{
    x->streaming = false;
    look_for_end(x);
}

void lt_tunnel_client_bytes(struct lt_exchange *x, const char *p, size_t n)
{
    x->bytes_in += n;
    if (x->streaming && x->back->ops->send_body(x->back, p, n) != LT_OK) {
        server_is_deaf(x);
    }
}

void lt_tunnel_client_turn(struct lt_exchange *x)
{
    if (x->step >= LT_STEP_LOG || x->front == NULL || !x->streaming) {
        return;
    }
    if (x->back->ops->flush(x->back) != LT_OK) {
        server_is_deaf(x);
        return;
    }
    watch(x);
    if (lt_room(x, x->back->ops->unsent(x->back), x->view->request_ahead) == 0 &&
        !x->request_paused) {
        x->request_paused = true;
        x->front->ops->pause(x->front, LT_PAUSE_PEER);
    }
}

void lt_tunnel_client_end(struct lt_exchange *x)
{
    struct lt_tunnel *t = x->tunnel;
    if (t->client_ended || x->step >= LT_STEP_LOG) {
        return;
    }
    t->client_ended = true;
    if (x->streaming && x->back->ops->send_end(x->back, NULL) != LT_OK) {
        x->streaming = false;
    }
    watch(x);
    look_for_end(x);
}

void lt_tunnel_server_drained(struct lt_exchange *x)
{
    if (!x->streaming || x->front == NULL) {
        return;
    }
    if (x->back->ops->flush(x->back) != LT_OK) {
        x->streaming = false; /* nothing will ever wait again: the client's bytes are dropped */
    }
    if (x->request_paused) {
        x->request_paused = false;
        x->front->ops->resume(x->front, LT_PAUSE_PEER);
    }
    watch(x);
    look_for_end(x);
}

/* ---- server to client ---- */

static void client_is_lost(struct lt_exchange *x, enum lt_err err)
{
    lt_relay_client_lost(x, err);
    lt_exchange_run(x);
}

void lt_tunnel_server_bytes(struct lt_exchange *x, const char *p, size_t n)
{
    x->bytes_out += n;
    enum lt_err err = x->front->ops->send_body(x->front, p, n);
    if (err != LT_OK) {
        client_is_lost(x, err);
    }
}

/* Reading far ahead frees no server here, so that both directions hold as little. */
void lt_tunnel_server_turn(struct lt_exchange *x)
{
    enum lt_err err = x->front->ops->flush(x->front);
    if (err != LT_OK) {
        client_is_lost(x, err);
        return;
    }
    if (lt_room(x, x->front->ops->unsent(x->front), x->view->request_ahead) == 0 &&
        !x->response_paused) {
        x->response_paused = true;
        x->back->ops->pause(x->back, LT_PAUSE_PEER);
    }
    watch(x);
}

void lt_tunnel_server_end(struct lt_exchange *x)
{
    x->tunnel->server_ended = true;
    enum lt_err err = x->front->ops->send_end(x->front, NULL);
    if (err != LT_OK) {
        client_is_lost(x, err);
        return;
    }
    watch(x);
    look_for_end(x);
}

void lt_tunnel_client_drained(struct lt_exchange *x)
{
    if (x->response_paused && x->back != NULL) {
        x->response_paused = false;
        x->back->ops->resume(x->back, LT_PAUSE_PEER);
        watch(x);
    }
}

/* ---- the switch ---- */

enum lt_step_result lt_tunnel_begin(struct lt_exchange *x)
{
    struct lt_tunnel *t = lt_arena_new(&x->arena, struct lt_tunnel);
    if (t == NULL) {
        x->cause = LT_CAUSE_OUT_OF_MEMORY;
        return LT_STEP_FAIL;
    }
    t->idle_ms = x->route->options[x->listener].tunnel_ms;
    t->body_ms = x->view->listeners[x->listener].body_ms;
    t->logging = x->request_hooked;
    x->deadline_us = 0;
    x->request_hooked = false; /* the log hooks run now and not at the end */
    x->tunnel = t;
    lt_metrics_add(x->env->metrics, LT_COUNTER_TUNNELS, 1);
    x->head_sent = true;
    enum lt_err err = x->front->ops->send_head(x->front, &x->res, true);
    if (err == LT_OK) {
        err = lt_relay_send_held(x);
    }
    if (err == LT_OK) {
        err = x->front->ops->flush(x->front);
    }
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
    } else {
        watch(x);
    }
    return LT_STEP_NEXT;
}

/* A tunnel whose route this worker's configuration doesn't have any more gets its time limit, and
 * so does one over a connection that its site wouldn't be served on now. */
static void look_for_route(struct lt_exchange *x)
{
    struct lt_tunnel *t = x->tunnel;
    const struct lt_view *view = x->env->view;
    if (lt_router_has(view->router, x->route->site, x->route->name) &&
        !lt_exchange_misdirected(x, view)) {
        t->drain_us = 0;
    } else if (t->drain_us == 0) {
        t->drain_us = x->env->loop->now_us + view->drain_ms * 1000;
    }
    watch(x);
}

void lt_tunnels_reload(struct lt_exchange_env *env)
{
    lt_list_each(it, tmp, &env->exchanges)
    {
        struct lt_exchange *x = lt_container_of(it, struct lt_exchange, link);
        LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
        if (x->tunnel != NULL && x->step < LT_STEP_LOG) {
            look_for_route(x);
        }
    }
}

/* Copies of what log, metrics and limits need. */
static bool copy(struct lt_exchange *x, struct lt_tunnel *t)
{
    struct lt_arena *arena = &x->arena;
    t->view = (struct lt_view){.log = x->view->log, .request_ahead = x->view->request_ahead};
    t->route = (struct lt_route){.metrics_id = x->route->metrics_id};
    t->upstream =
        (struct lt_upstream){.state = x->upstream->state, .idle_ms = x->upstream->idle_ms};
    t->server = (struct lt_server){.upstream = &t->upstream,
                                   .max = x->server->max,
                                   .state = x->server->state,
                                   .metrics_id = x->server->metrics_id};
    return lt_arena_dup(arena, x->route->name, &t->route.name) &&
           lt_arena_dup(arena, x->route->site, &t->route.site) &&
           lt_arena_dup(arena, x->upstream->name, &t->upstream.name) &&
           lt_arena_dup(arena, x->server->name, &t->server.name);
}

void lt_tunnel_let_go(struct lt_exchange *x)
{
    struct lt_tunnel *t = x->tunnel;
    struct lt_view *view = x->view;
    if (t->settled) {
        return;
    }
    t->settled = true;
    lt_verdict_tell(
        x, LT_CAUSE_NONE); /* its server did what it should; how long it lasts says nothing */
    if (view->retired) {
        look_for_route(x); /* a reload came between the request and here */
    }
    /* Short of memory, the tunnel keeps its snapshot. */
    if (!copy(x, t) || (x->env->access_keep != NULL && !x->env->access_keep(x))) {
        return;
    }
    lt_server_state_hold(t->server.state);
    lt_exchange_take_server(x, &t->server);
    x->view = &t->view;
    x->route = &t->route;
    x->upstream = &t->upstream;
    x->params.n = 0;
    if (x->filter_state != NULL) {
        x->env->hooks->release(x);
    }
    lt_view_unpin(view);
    lt_follow_end(x);
}

void lt_tunnel_end(struct lt_exchange *x)
{
    struct lt_tunnel *t = x->tunnel;
    if (t == NULL) {
        return;
    }
    lt_metrics_add(x->env->metrics, LT_COUNTER_TUNNELS, -1);
    if (x->view == &t->view) {
        lt_server_state_drop(t->server.state);
        x->view = NULL;
    }
}
