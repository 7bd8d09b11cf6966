/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies through filters: the exchange's part (flow.h). What filters do with the bytes is
 * filters/flow.c. The worker's thread. */
#include "exchange/flow.h"

#include "exchange/internal.h"

#define IOV_BATCH 8
/* Bytes of a request's body that was changed and is about to be collected, and those that wait
 * between two filters. */
#define COLLECT_AHEAD ((size_t)64 << 10)
#define BETWEEN_AHEAD ((size_t)64 << 10)

static struct lt_flow *new_flow(struct lt_exchange *x)
{
    struct lt_flow *flow = lt_arena_new(&x->arena, struct lt_flow);
    if (flow != NULL) {
        *flow = (struct lt_flow){.begun = false};
        lt_chain_init(&flow->in, &x->env->loop->blocks);
        lt_chain_init(&flow->out, &x->env->loop->blocks);
    }
    return flow;
}

static bool wanted(struct lt_exchange *x, enum lt_side side)
{
    return x->route->chain != NULL && x->env->hooks->flows(x, side);
}

/* ---- the request's ---- */

enum lt_err lt_flow_open_request(struct lt_exchange *x)
{
    struct lt_flow **flow = &x->flow[LT_SIDE_REQUEST];
    if (x->req.body == LT_BODY_NONE || x->route->action != LT_ROUTE_TO || x->req.offer.len > 0 ||
        !wanted(x, LT_SIDE_REQUEST)) {
        return LT_OK;
    }
    *flow = new_flow(x);
    if (*flow == NULL) {
        return LT_ERR_NOMEM;
    }
    (*flow)->in_ended = x->request_done;
    x->request_done = false; /* it is when the filters have given all of it */
    return LT_OK;
}

enum lt_err lt_flow_ask_plain(struct lt_exchange *x)
{
    struct lt_headers *h = &x->req.headers;
    if (x->req.offer.len > 0 || !wanted(x, LT_SIDE_RESPONSE)) {
        return LT_OK;
    }
    x->accepts = lt_arena_new(&x->arena, struct lt_headers);
    if (x->accepts == NULL) {
        return LT_ERR_NOMEM;
    }
    /* What we compress ourselves goes by what the client said. */
    lt_headers_init(x->accepts, &x->arena, h->max);
    for (unsigned i = 0; i < h->n; i++) {
        enum lt_err err = h->v[i].id == LT_HEADER_ACCEPT_ENCODING
                              ? lt_headers_add_id(x->accepts, h->v[i].id, h->v[i].value)
                              : LT_OK;
        if (err != LT_OK) {
            return err;
        }
    }
    lt_headers_remove(h, LT_HEADER_ACCEPT_ENCODING);
    lt_headers_remove_name(h, LT_STR("range"));
    lt_headers_remove_name(h, LT_STR("if-range"));
    return LT_OK;
}

/* Nobody wants to change it: it goes on as if nobody had been asked. */
static enum lt_step_result forget_request(struct lt_exchange *x, struct lt_flow *flow)
{
    x->request_done = flow->in_ended;
    flow->over = false;
    lt_chain_move(&flow->out, &flow->in);
    lt_flow_push(x, LT_SIDE_REQUEST);
    x->flow[LT_SIDE_REQUEST] = NULL;
    return LT_STEP_NEXT;
}

enum lt_step_result lt_flow_begin_request(struct lt_exchange *x)
{
    struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    if (flow == NULL || flow->begun) {
        return LT_STEP_NEXT;
    }
    flow->begun = true;
    enum lt_step_result result = x->env->hooks->flow_begin(x, LT_SIDE_REQUEST);
    if (result != LT_STEP_NEXT) {
        return result;
    }
    if (flow->stages == NULL) {
        return forget_request(x, flow);
    }
    x->req.body = LT_BODY_CHUNKED;
    lt_headers_remove(&x->req.headers, LT_HEADER_CONTENT_LENGTH);
    lt_body_strip_digests(&x->req.headers);
    lt_flow_moved(x, LT_SIDE_REQUEST);
    return LT_STEP_NEXT;
}

static void push_request(struct lt_exchange *x)
{
    struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    struct iovec iov[IOV_BATCH];
    bool any = flow->out.len > 0;
    while (flow->out.len > 0) {
        size_t n = lt_chain_peek(&flow->out, iov, IOV_BATCH), bytes = 0;
        for (size_t i = 0; i < n; i++) {
            lt_relay_request_bytes(x, iov[i].iov_base, iov[i].iov_len);
            if (x->flow[LT_SIDE_REQUEST] != flow) {
                return; /* x has failed */
            }
            bytes += iov[i].iov_len;
        }
        if (x->streaming) {
            lt_relay_request_flush(x); /* the slices are gone after this */
        }
        if (x->flow[LT_SIDE_REQUEST] != flow) {
            return;
        }
        lt_chain_consume(&flow->out, bytes);
    }
    if (flow->over) {
        x->flow[LT_SIDE_REQUEST] = NULL;
        lt_relay_request_whole(x);
        return;
    }
    if (any || x->request_paused) {
        lt_relay_watch_response(x);
    }
    if (x->request_paused && x->front != NULL &&
        lt_room(x, lt_flow_waiting(flow), x->view->request_ahead) > 0) {
        x->request_paused = false;
        x->front->ops->resume(x->front, LT_PAUSE_PEER);
    }
}

/* ---- the response's ---- */

static enum lt_err change_head(struct lt_exchange *x)
{
    bool weakened;
    return x->res.status == 304 ? lt_body_confirm(x, &weakened) : lt_body_changed_fields(x);
}

enum lt_step_result lt_flow_begin_response(struct lt_exchange *x)
{
    if (LT_LIKELY(x->route->chain == NULL) || !wanted(x, LT_SIDE_RESPONSE)) {
        return LT_STEP_NEXT;
    }
    if (!lt_body_of_response(x)) {
        return change_head(x) == LT_OK ? LT_STEP_NEXT : lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    struct lt_flow *flow = new_flow(x);
    if (flow == NULL) {
        return lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
    }
    x->flow[LT_SIDE_RESPONSE] = flow;
    flow->begun = true;
    flow->in_ended = x->response_ended;
    lt_chain_move(&flow->in, &x->held);
    enum lt_step_result result = x->env->hooks->flow_begin(x, LT_SIDE_RESPONSE);
    if (result != LT_STEP_NEXT) {
        return result;
    }
    if (flow->stages == NULL) {
        lt_chain_move(&x->held, &flow->in);
        x->flow[LT_SIDE_RESPONSE] = NULL;
        return LT_STEP_NEXT;
    }
    x->res.body = LT_BODY_CHUNKED;
    return change_head(x) == LT_OK ? LT_STEP_NEXT : lt_step_fail(x, LT_CAUSE_OUT_OF_MEMORY);
}

static void push_response(struct lt_exchange *x)
{
    if (x->front == NULL || !x->head_sent || x->response_done) {
        return;
    }
    enum lt_err err = lt_relay_send_held(x);
    if (err != LT_OK) {
        lt_relay_client_lost(x, err);
    }
    if (err != LT_OK || x->response_done) {
        lt_exchange_run(x);
        return;
    }
    lt_relay_response_relax(x);
}

/* ---- both ---- */

bool lt_flow_add(struct lt_flow *flow, const char *p, size_t n)
{
    return lt_chain_append(&flow->in, p, n) == LT_OK;
}

void lt_flow_moved(struct lt_exchange *x, enum lt_side side)
{
    struct lt_flow *flow = x->flow[side];
    if (flow != NULL && flow->begun) {
        x->env->hooks->flow_moved(x, side);
    }
}

void lt_flow_release(struct lt_exchange *x)
{
    for (int side = LT_SIDE_REQUEST; side <= LT_SIDE_RESPONSE; side++) {
        struct lt_flow *flow = x->flow[side];
        if (LT_LIKELY(flow == NULL)) {
            continue;
        }
        x->flow[side] = NULL;
        if (flow->stages != NULL) {
            x->env->hooks->flow_end(flow);
        }
        lt_chain_clear(&flow->in);
        lt_chain_clear(&flow->out);
    }
}

struct lt_chain *lt_flow_out(struct lt_exchange *x, enum lt_side side)
{
    return side == LT_SIDE_REQUEST ? &x->flow[side]->out : &x->held;
}

size_t lt_flow_room(const struct lt_exchange *x, enum lt_side side)
{
    if (side == LT_SIDE_RESPONSE) {
        size_t unsent = x->front != NULL ? x->front->ops->unsent(x->front) : 0;
        return lt_room(x, x->held.len + unsent, x->view->response_ahead);
    }
    size_t waiting = x->flow[side]->out.len;
    if (!x->streams) {
        return lt_room(x, waiting, COLLECT_AHEAD);
    }
    waiting += x->body.len + (x->streaming ? x->back->ops->unsent(x->back) : 0);
    return lt_room(x, waiting, x->view->request_ahead);
}

size_t lt_flow_room_between(const struct lt_exchange *x, size_t waiting)
{
    return lt_room(x, waiting, BETWEEN_AHEAD);
}

void lt_flow_fail(struct lt_exchange *x, enum lt_cause cause)
{
    lt_exchange_fail(x, cause);
}

void lt_flow_push(struct lt_exchange *x, enum lt_side side)
{
    if (side == LT_SIDE_REQUEST) {
        push_request(x);
    } else {
        push_response(x);
    }
}
