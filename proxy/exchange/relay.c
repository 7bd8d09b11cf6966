/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies, both ways, with back-pressure; and what backs tell. Nothing is read that can't be held: a
 * side that is ahead of the other by more than the view allows is paused until the other has
 * drained. The worker's thread.
 *
 *   client --request_body--> [x->body] --send_body--> server      paused: front (PEER)
 *   client <--send_body----- [x->held] <--on_body---- server      paused: back (PEER, STEP)
 *
 * x->body holds what came before a server was ready, x->held what came before the response hooks
 * were done. In the steady state both are empty and slices pass without a copy. */
#include "exchange/tunnel.h"

#include "base/obj.h"
#include "exchange/compress.h"
#include "exchange/flow.h"

#define IOV_BATCH 8

static struct lt_exchange *from_owner(void *owner)
{
    struct lt_exchange *x = owner;
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    return x;
}

/* cause: why the try ended, for the server's health. */
static void release_server(struct lt_exchange *x, enum lt_cause cause)
{
    if (x->server_held) {
        x->server_held = false;
        lt_verdict_tell(x, cause);
        x->upstream_end_us = x->env->loop->now_us;
        if (!x->response_begun) {
            lt_choose_tell(x, false);
        }
        lt_server_release(x->env->pools, x->server);
    }
}

void lt_relay_drop_back(struct lt_exchange *x)
{
    struct lt_back *back = x->back;
    x->back = NULL;
    x->streaming = false;
    x->connected = false;
    x->holding = false;
    lt_queue_leave(&x->waiter);
    if (back != NULL) {
        back->ops->cancel(back);
    }
    release_server(x, x->cause);
    lt_verdict_leave(x);
}

static enum lt_cause client_cause(enum lt_err err)
{
    switch (err) {
    case LT_ERR_NOMEM:
    case LT_ERR_LIMIT:
        return LT_CAUSE_OUT_OF_MEMORY;
    case LT_ERR_INVALID:
        return LT_CAUSE_INTERNAL; /* a head that must not be sent got this far */
    default:
        return LT_CAUSE_CLIENT_GONE;
    }
}

void lt_relay_client_lost(struct lt_exchange *x, enum lt_err err)
{
    struct lt_front *front = x->front;
    x->front = NULL;
    if (x->cause == LT_CAUSE_NONE) {
        x->cause = client_cause(err);
        if (x->cause == LT_CAUSE_CLIENT_GONE) {
            lt_explain_client_gone(x);
        }
    }
    front->ops->abort(front, x->cause);
    lt_relay_drop_back(x);
}

/* ---- request: client to server ---- */

void lt_relay_watch_response(struct lt_exchange *x)
{
    if (lt_grpc_watch(x) || x->step != LT_STEP_RESPONSE_HEAD || x->holding) {
        return;
    }
    bool sent = x->request_done && x->body.len == 0 && (x->streams || x->body_sent) &&
                x->back->ops->unsent(x->back) == 0;
    /* Or it was asked whether the body may come. */
    bool its_turn = sent || !x->streaming || (x->streams && x->req.expect_continue);
    uint64_t ms = 0;
    if (its_turn) {
        ms = x->route->options[x->listener].first_byte_ms;
        ms = lt_retry_first_byte_ms(x, ms > 0 ? ms : x->upstream->first_byte_ms);
    } else if (x->request_done || x->request_paused) {
        ms = x->upstream->idle_ms; /* the server has to take more */
    }                              /* else the client has to send more: its own time runs */
    lt_exchange_set_timer(x, ms);
}

/* Sends what waits in x->body; the blocks are given back once the back has copied or sent them. */
static enum lt_err send_collected(struct lt_exchange *x)
{
    struct lt_back *back = x->back;
    while (x->body.len > 0) {
        size_t room = lt_room(x, back->ops->unsent(back), x->view->request_ahead);
        enum lt_err err = LT_OK;
        if (room == 0) {
            err = back->ops->flush(back);
            if (err != LT_OK || back->ops->unsent(back) > 0) {
                return err; /* on_drained goes on */
            }
            continue;
        }
        struct iovec iov[IOV_BATCH];
        size_t n = lt_chain_peek(&x->body, iov, IOV_BATCH), bytes = 0;
        /* What the server doesn't take is kept twice for a moment. */
        for (size_t i = 0; i < n && err == LT_OK && bytes < room; i++) {
            size_t len = lt_min(iov[i].iov_len, room - bytes);
            lt_grpc_keep(x, iov[i].iov_base, len);
            err = back->ops->send_body(back, iov[i].iov_base, len);
            bytes += len;
        }
        if (err == LT_OK && bytes == x->body.len && x->request_done) {
            err = back->ops->send_end(back, &x->req_trailers);
        }
        if (err == LT_OK) {
            err = back->ops->flush(back);
        }
        if (err != LT_OK) {
            return err;
        }
        lt_chain_consume(&x->body, bytes);
        if (x->body.len == 0 && x->request_done) {
            return LT_OK;
        }
    }
    return back->ops->flush(back);
}

enum lt_err lt_relay_make_head(struct lt_exchange *x)
{
    enum lt_err err = lt_address_request(x);
    return err == LT_OK ? lt_deadline_tell(x) : err;
}

enum lt_err lt_relay_send_request(struct lt_exchange *x)
{
    enum lt_err err = x->back->ops->send_head(x->back, &x->req, x->target_sent);
    if (err != LT_OK) {
        return err;
    }
    x->streaming = true;
    if (!x->streams) {
        lt_collect_rewind(x);
        return lt_collect_send(x);
    }
    if (x->request_done && x->body.len == 0) {
        err = x->back->ops->send_end(x->back, &x->req_trailers);
        return err == LT_OK ? x->back->ops->flush(x->back) : err;
    }
    err = send_collected(x);
    if (err == LT_OK && x->body.len == 0 && x->request_paused && x->front != NULL) {
        x->request_paused = false;
        x->front->ops->resume(x->front, LT_PAUSE_PEER);
    }
    return err;
}

/* The server took no more: its answer or its end comes by reading. That we have no memory left to
 * keep bytes for it doesn't. */
static void send_failed(struct lt_exchange *x, enum lt_err err)
{
    x->streaming = false;
    if (err == LT_ERR_NOMEM || err == LT_ERR_LIMIT) {
        lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
}

void lt_exchange_request_body(struct lt_exchange *x, const char *p, size_t n)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->tunnel != NULL) {
        lt_tunnel_client_bytes(x, p, n);
        return;
    }
    x->bytes_in += n;
    x->req.expect_continue = false; /* it did not wait, or was told to go on */
    if (x->step >= LT_STEP_LOG || x->replied_here || x->response_ended) {
        return; /* nobody wants it any more */
    }
    if (x->route != NULL && x->bytes_in > x->route->options[x->listener].body_max &&
        !lt_exchange_is_call(x)) {
        lt_exchange_note_body_max(x);
        lt_exchange_fail(x, LT_CAUSE_BODY_TOO_LARGE);
        return;
    }
    struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    if (LT_UNLIKELY(x->body_replaced)) {
        return;
    }
    if (LT_LIKELY(flow == NULL)) {
        lt_relay_request_bytes(x, p, n);
    } else if (!lt_flow_add(flow, p, n)) {
        lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
}

void lt_relay_request_bytes(struct lt_exchange *x, const char *p, size_t n)
{
    if (!x->streams) {
        lt_collect_add(x, p, n);
        return;
    }
    if (x->streaming && x->body.len == 0) {
        lt_grpc_keep(x, p, n);
        enum lt_err err = x->back->ops->send_body(x->back, p, n);
        if (err != LT_OK) {
            send_failed(x, err);
        }
        return;
    }
    if (lt_chain_append(&x->body, p, n) != LT_OK) {
        lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
}

void lt_exchange_request_turn(struct lt_exchange *x)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->tunnel != NULL) {
        lt_tunnel_client_turn(x);
        return;
    }
    lt_body_moved(x);
    if (LT_UNLIKELY(x->flow[LT_SIDE_REQUEST] != NULL)) {
        lt_flow_moved(x, LT_SIDE_REQUEST);
    } else {
        lt_relay_request_flush(x);
    }
}

void lt_relay_request_flush(struct lt_exchange *x)
{
    if (x->step >= LT_STEP_LOG || x->front == NULL || !x->streams) {
        return;
    }
    if (x->streaming) {
        enum lt_err err = x->back->ops->flush(x->back);
        if (err != LT_OK) {
            send_failed(x, err);
            return;
        }
        lt_relay_watch_response(x);
    }
}

size_t lt_exchange_request_room(struct lt_exchange *x)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->tunnel != NULL) {
        return lt_exchange_env_room(x->env); /* it pauses after its turn */
    }
    const struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    if ((!x->streams && flow == NULL) || x->step >= LT_STEP_LOG || x->replied_here ||
        x->response_ended || x->body_replaced) {
        return SIZE_MAX; /* the spool keeps it, or nobody wants it any more */
    }
    size_t waiting = flow != NULL
                         ? lt_flow_waiting(flow)
                         : x->body.len + (x->streaming ? x->back->ops->unsent(x->back) : 0);
    size_t ahead = lt_body_ahead(x, LT_SIDE_REQUEST, x->view->request_ahead);
    size_t room = lt_room(x, waiting, ahead);
    if (room == 0) {
        lt_body_stuck(x, LT_SIDE_REQUEST);
        x->request_paused = true;
        x->front->ops->pause(x->front, LT_PAUSE_PEER);
        if (x->streaming) {
            lt_relay_watch_response(x);
        }
    }
    return room;
}

void lt_exchange_request_end(struct lt_exchange *x)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->tunnel != NULL) {
        lt_tunnel_client_end(x);
        return;
    }
    if (x->step >= LT_STEP_LOG || x->body_replaced) {
        return;
    }
    struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    lt_hop_trailers(&x->req_trailers);
    if (LT_LIKELY(flow == NULL)) {
        lt_relay_request_whole(x);
        return;
    }
    flow->in_ended = true;
    lt_body_moved(x);
    lt_flow_moved(x, LT_SIDE_REQUEST);
}

void lt_relay_request_whole(struct lt_exchange *x)
{
    x->request_done = true;
    lt_body_moved(x);
    if (x->streaming && x->body.len == 0) {
        enum lt_err err = x->back->ops->send_end(x->back, &x->req_trailers);
        if (err == LT_OK) {
            err = x->back->ops->flush(x->back);
        }
        if (err != LT_OK) {
            send_failed(x, err);
        }
    } else if (x->step == LT_STEP_BODY) {
        lt_exchange_run(x);
    }
    lt_relay_watch_response(x);
}

void lt_exchange_request_fail(struct lt_exchange *x, enum lt_cause cause)
{
    lt_exchange_fail(x, cause);
}

static void on_drained(void *owner)
{
    struct lt_exchange *x = from_owner(owner);
    if (x->tunnel != NULL) {
        lt_tunnel_server_drained(x);
        return;
    }
    if (!x->streaming) {
        return;
    }
    if (!x->streams) {
        lt_collect_go_on(x);
        lt_relay_watch_response(x);
        return;
    }
    enum lt_err err = x->body.len > 0 ? send_collected(x) : LT_OK;
    if (err != LT_OK) {
        send_failed(x, err);
        return;
    }
    if (LT_UNLIKELY(x->flow[LT_SIDE_REQUEST] != NULL)) {
        lt_flow_moved(x, LT_SIDE_REQUEST);
    } else if (x->request_paused && x->front != NULL && x->body.len == 0) {
        x->request_paused = false;
        x->front->ops->resume(x->front, LT_PAUSE_PEER);
    }
    lt_relay_watch_response(x);
}

/* ---- response: server to client ---- */

static bool on_preface(void *owner, struct lt_str *out)
{
    struct lt_exchange *x = from_owner(owner);
    *out = LT_STR_NONE;
    return x->upstream->proxy_protocol == LT_PROXY_NONE || lt_address_proxy_header(x, out);
}

static void on_connected(void *owner, bool reused LT_UNUSED)
{
    struct lt_exchange *x = from_owner(owner);
    x->connected = true;
    lt_exchange_run(x);
}

static void on_informational(void *owner, const struct lt_response *res)
{
    struct lt_exchange *x = from_owner(owner);
    /* HTTP/1.0 clients know none (RFC 9110 §15.2). */
    if (x->front == NULL || x->req.version < 11 || x->head_sent) {
        return;
    }
    /* 100 was ours to say, unless it was the server that was asked (RFC 9110 §10.1.1). */
    if (res->status == 100 && x->streams && x->req.expect_continue) {
        x->req.expect_continue = false;
        x->front->ops->send_informational(x->front, 100, NULL);
    }
    if (res->status == 103) {
        struct lt_response copy = *res;
        lt_hop_strip(&copy.headers);
        lt_headers_remove(&copy.headers, LT_HEADER_CONTENT_LENGTH); /* RFC 9110 §8.6 */
        x->front->ops->send_informational(x->front, res->status, &copy.headers);
    }
}

static void on_head(void *owner, struct lt_response *res)
{
    struct lt_exchange *x = from_owner(owner);
    x->head_us = x->env->loop->now_us;
    if (lt_retry_status(x, res)) {
        return;
    }
    x->res = *res;
    x->upstream_status = res->status;
    lt_choose_tell(x, res->status < 500);
    if (x->req.must_switch && res->status / 100 == 2) {
        lt_exchange_fail(x, LT_CAUSE_UPGRADE_REFUSED); /* the client would take it for the switch */
        return;
    }
    bool hold = lt_hold_wanted(x, &x->res);
    /* A word to proxies, not for clients. */
    lt_headers_remove(&x->res.headers, LT_HEADER_X_ACCEL_BUFFERING);
    if (lt_hop_response(&x->res) != LT_OK || lt_address_response(x) != LT_OK) {
        lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
        return;
    }
    if (hold) {
        lt_hold_begin(x);
    } else {
        lt_relay_accept(x);
    }
}

void lt_relay_accept(struct lt_exchange *x)
{
    x->response_begun = true;
    lt_collect_release(x);
    lt_chain_clear(&x->kept); /* no other try can come */
    lt_retry_answered(x);
    lt_exchange_goto(x, LT_STEP_RESPONSE_HOOKS);
}

static void on_body(void *owner, const char *p, size_t n)
{
    struct lt_exchange *x = from_owner(owner);
    struct lt_flow *flow = x->flow[LT_SIDE_RESPONSE];
    if (LT_UNLIKELY(flow != NULL)) {
        if (!lt_flow_add(flow, p, n)) {
            lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
        }
        return;
    }
    if (!x->head_sent || x->held.len > 0) {
        if (lt_chain_append(&x->held, p, n) != LT_OK) {
            lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
        }
        return;
    }
    if (x->tunnel != NULL) {
        lt_tunnel_server_bytes(x, p, n);
        return;
    }
    enum lt_err err = lt_compress_send_body(x, p, n);
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
        lt_exchange_run(x);
    }
}

static size_t response_room(const struct lt_exchange *x)
{
    size_t waiting = x->front->ops->unsent(x->front) + x->held.len;
    const struct lt_flow *flow = x->flow[LT_SIDE_RESPONSE];
    if (LT_UNLIKELY(flow != NULL)) {
        waiting += lt_flow_waiting(flow);
    }
    return lt_room(x, waiting, lt_body_ahead(x, LT_SIDE_RESPONSE, x->view->response_ahead));
}

/* How much of the response may be read now. While the client is too far behind, or memory is short,
 * the back is paused; the idle time of the server counts only while it may send. */
static size_t on_room(void *owner)
{
    struct lt_exchange *x = from_owner(owner);
    if (x->front == NULL || x->tunnel != NULL) {
        return lt_exchange_env_room(x->env); /* a tunnel pauses after its turn */
    }
    size_t room = response_room(x);
    if (room == 0 && x->holding) {
        lt_hold_end(x);
        if (x->back == NULL || x->front == NULL) {
            return 0;
        }
        room = response_room(x);
    }
    if (room == 0) {
        lt_body_stuck(x, LT_SIDE_RESPONSE);
    }
    if (room == 0 && !x->response_paused) {
        x->response_paused = true;
        x->back->ops->pause(x->back, LT_PAUSE_PEER);
        if (x->head_sent) {
            lt_exchange_set_timer(x, 0);
        }
    }
    return room;
}

static void on_turn(void *owner)
{
    struct lt_exchange *x = from_owner(owner);
    if (x->tunnel != NULL) {
        lt_tunnel_server_turn(x);
        return;
    }
    lt_body_moved(x);
    if (!x->head_sent) {
        if (x->body_wait != NULL) {
            lt_exchange_set_timer(x, x->upstream->idle_ms); /* a filter wants all of it */
        } else if (x->response_begun && !x->response_paused) {
            /* The hooks still think; enough is held. */
            x->response_paused = true;
            x->back->ops->pause(x->back, LT_PAUSE_PEER);
        }
        return;
    }
    lt_exchange_set_timer(x, lt_grpc_silence_ms(x));
    if (LT_UNLIKELY(x->flow[LT_SIDE_RESPONSE] != NULL)) {
        lt_flow_moved(x, LT_SIDE_RESPONSE);
        return;
    }
    enum lt_err err = lt_compress_turn(x);
    if (err == LT_OK) {
        err = x->front->ops->flush(x->front);
    }
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
        lt_exchange_run(x);
    }
}

/* The whole response went to the front. */
static enum lt_err finish_response(struct lt_exchange *x)
{
    enum lt_err err = x->flow[LT_SIDE_RESPONSE] != NULL ? lt_body_strip_trailers(x) : LT_OK;
    if (err == LT_OK) {
        err = lt_compress_end(x);
    }
    if (err == LT_OK) {
        err = x->front->ops->send_end(x->front, x->res_trailers);
    }
    if (err == LT_OK) {
        err = x->front->ops->flush(x->front);
    }
    lt_compress_release(x);
    x->response_done = err == LT_OK;
    return err;
}

/* Keeps the trailers: the back goes to its pool now, and may be busy with another exchange when the
 * client has caught up. */
static void keep_trailers(struct lt_exchange *x, const struct lt_headers *trailers)
{
    struct lt_headers *copy = trailers->n > 0 ? lt_arena_new(&x->arena, struct lt_headers) : NULL;
    if (copy != NULL) {
        *copy = *trailers;
        lt_hop_trailers(copy);
        x->res_trailers = copy;
    }
}

static void on_end(void *owner, const struct lt_headers *trailers)
{
    struct lt_exchange *x = from_owner(owner);
    keep_trailers(x, trailers);
    x->back = NULL;
    x->streaming = false;
    x->response_ended = true;
    x->response_begun = true; /* if it was held until now */
    release_server(x, LT_CAUSE_NONE);
    lt_exchange_set_timer(x, 0);
    lt_body_moved(x);
    if (x->holding) {
        lt_hold_end(x);
        return;
    }
    if (LT_UNLIKELY(x->flow[LT_SIDE_RESPONSE] != NULL)) {
        x->flow[LT_SIDE_RESPONSE]->in_ended = true;
        lt_flow_moved(x, LT_SIDE_RESPONSE);
        return;
    }
    if (!x->head_sent || x->held.len > 0) {
        return; /* relay sends it when it is its turn */
    }
    enum lt_err err = finish_response(x);
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
    }
    lt_exchange_run(x);
}

/* Sends what is held as far as the client takes it. */
static enum lt_err send_held(struct lt_exchange *x)
{
    struct lt_front *front = x->front;
    while (x->held.len > 0) {
        size_t room = lt_room(x, front->ops->unsent(front), x->view->response_ahead);
        struct iovec iov[IOV_BATCH];
        size_t n = room > 0 ? lt_chain_peek(&x->held, iov, IOV_BATCH) : 0, bytes = 0;
        for (size_t i = 0; i < n && bytes < room; i++) {
            size_t len = lt_min(iov[i].iov_len, room - bytes);
            enum lt_err err = lt_compress_send_body(x, iov[i].iov_base, len);
            if (err != LT_OK) {
                return err;
            }
            bytes += len;
        }
        enum lt_err err = front->ops->flush(front);
        lt_chain_consume(&x->held, bytes);
        if (err != LT_OK || (room == 0 && front->ops->unsent(front) > 0)) {
            return err; /* lt_exchange_front_drained goes on */
        }
    }
    return LT_OK;
}

enum lt_err lt_relay_send_held(struct lt_exchange *x)
{
    struct lt_front *front = x->front;
    bool any = x->held.len > 0;
    enum lt_err err = send_held(x);
    if (err != LT_OK || x->held.len > 0) {
        return err;
    }
    const struct lt_flow *flow = x->flow[LT_SIDE_RESPONSE];
    if (LT_UNLIKELY(flow != NULL && !flow->over)) {
        if (any) {
            err = lt_compress_turn(x);
        } else if (lt_flow_waiting(flow) > 0) {
            return LT_OK; /* a filter that fails at once may still be answered for */
        }
        return err == LT_OK ? front->ops->flush(front) : err;
    }
    if (x->response_ended) {
        return finish_response(x);
    }
    lt_exchange_set_timer(x, lt_grpc_silence_ms(x));
    if (x->response_paused) {
        x->response_paused = false;
        x->back->ops->resume(x->back, LT_PAUSE_PEER);
        /* A head without body bytes leaves now: the rest may take its time. */
        err = lt_compress_turn(x);
        return err == LT_OK ? front->ops->flush(front) : err;
    }
    return LT_OK;
}

void lt_exchange_front_drained(struct lt_exchange *x)
{
    LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
    if (x->tunnel != NULL) {
        lt_tunnel_client_drained(x);
        return;
    }
    if (LT_UNLIKELY(x->flow[LT_SIDE_RESPONSE] != NULL)) {
        lt_flow_push(x, LT_SIDE_RESPONSE);
        lt_flow_moved(x, LT_SIDE_RESPONSE);
        return;
    }
    if (x->step == LT_STEP_RELAY && x->held.len > 0) {
        enum lt_err err = lt_relay_send_held(x);
        if (err != LT_OK) {
            lt_relay_client_lost(x, err);
        }
        if (err != LT_OK || x->response_done) {
            lt_exchange_run(x);
        }
        return;
    }
    if (x->response_paused && x->back != NULL && x->head_sent) {
        x->response_paused = false;
        lt_exchange_set_timer(x, lt_grpc_silence_ms(x));
        x->back->ops->resume(x->back, LT_PAUSE_PEER);
    }
}

void lt_relay_response_relax(struct lt_exchange *x)
{
    if (x->response_paused && x->back != NULL && x->head_sent && response_room(x) > 0) {
        x->response_paused = false;
        lt_exchange_set_timer(x, lt_grpc_silence_ms(x));
        x->back->ops->resume(x->back, LT_PAUSE_PEER);
    }
}

/* ---- failure of a back ---- */

static void on_eof(void *owner)
{
    struct lt_exchange *x = from_owner(owner);
    if (x->tunnel != NULL) {
        lt_tunnel_server_end(x);
    } else {
        lt_exchange_fail(x, LT_CAUSE_RESPONSE_CUT); /* its 101 isn't on its way yet */
    }
}

static void on_fail(void *owner, const struct lt_back_failure *f)
{
    struct lt_exchange *x = from_owner(owner);
    bool retry = lt_retry_may(x, f);
    x->back = NULL;
    x->streaming = false;
    /* That an idle connection was gone is the way of idle connections. */
    release_server(x, f->reused && f->bytes_received == 0 ? LT_CAUSE_NONE : f->cause);
    lt_exchange_set_timer(x, 0);
    x->cause_errno = f->sys_errno;
    lt_explain_failure(x, f);
    x->holding = false;
    lt_chain_clear(&x->held);
    if (!lt_wait_may(x, f) && !retry) {
        lt_exchange_fail(x, x->budget_spent ? lt_retry_spent(x, f->cause) : f->cause);
        return;
    }
    x->cause = f->cause;
    x->res = (struct lt_response){0};
    x->upstream_status = 0;
    lt_grpc_put_back(x);
    lt_retry_note(x, f);
    lt_exchange_goto(x, LT_STEP_PICK);
}

const struct lt_back_events lt_exchange_back_events = {
    .on_preface = on_preface,
    .on_connected = on_connected,
    .on_informational = on_informational,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_end = on_end,
    .on_eof = on_eof,
    .on_turn = on_turn,
    .on_drained = on_drained,
    .on_fail = on_fail,
};
