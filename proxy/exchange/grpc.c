/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC calls, which differ from other requests in five things: their bodies are streams, which may
 * take any time, the client may set the deadline, errors of ours are told in the way their clients
 * understand, and what was sent of a body is kept for another try as long as it is little. The
 * worker's thread.
 *
 *   lt_grpc_begin -> [lt_grpc_keep ... lt_grpc_put_back] -> lt_grpc_reply | lt_grpc_end
 *
 * A call is known by its Content-Type (http/grpc.h); for all other exchanges nothing here runs. */
#include <stdio.h>

#include "exchange/compress.h"
#include "exchange/internal.h"
#include "http/grpc.h"

void lt_grpc_begin(struct lt_exchange *x)
{
    x->grpc = lt_grpc_is_call(&x->req);
}

bool lt_exchange_is_call(const struct lt_exchange *x)
{
    /* A server of HTTP/1 can't answer one: it is spared clients that only say so. */
    return x->grpc && x->upstream != NULL && x->upstream->protocol != LT_PROTOCOL_H1;
}

/* ---- time ---- */

uint64_t lt_grpc_deadline_us(const struct lt_exchange *x)
{
    const struct lt_header *h =
        x->grpc ? lt_headers_get_name(&x->req.headers, LT_STR("grpc-timeout")) : NULL;
    uint64_t us;
    return h != NULL && lt_grpc_timeout(h->value, &us) ? us : 0;
}

enum lt_err lt_grpc_tell_deadline(struct lt_exchange *x)
{
    char text[LT_GRPC_TIMEOUT_MAX + 1];
    uint64_t now_us = x->env->loop->now_us;
    struct lt_str value;
    if (!x->grpc || x->deadline_us == 0) {
        return LT_OK;
    }
    uint64_t left_us = x->deadline_us > now_us ? x->deadline_us - now_us : 1;
    if (!lt_arena_dup(&x->arena, lt_str(text, lt_grpc_write_timeout(left_us, text)), &value)) {
        return LT_ERR_NOMEM;
    }
    return lt_headers_set(&x->req.headers, LT_STR("grpc-timeout"), value);
}

uint64_t lt_grpc_silence_ms(const struct lt_exchange *x)
{
    /* A call may be silent for as long as a tunnel: it often waits for what happens. */
    return x->grpc ? x->route->options[x->listener].tunnel_ms : x->upstream->idle_ms;
}

bool lt_grpc_watch(struct lt_exchange *x)
{
    bool at_server = x->step == LT_STEP_RESPONSE_HEAD ||
                     (x->step == LT_STEP_RELAY && x->back != NULL && !x->response_paused);
    if (!at_server || !lt_exchange_is_call(x)) {
        return false;
    }
    lt_exchange_set_timer(x, lt_grpc_silence_ms(x));
    return true;
}

/* ---- another try ---- */

void lt_grpc_keep(struct lt_exchange *x, const char *p, size_t n)
{
    if (x->body_started || x->response_begun) {
        return;
    }
    if (!x->grpc || x->kept.len + n > x->view->request_ahead ||
        lt_chain_append(&x->kept, p, n) != LT_OK) {
        lt_chain_clear(&x->kept);
        x->body_started = true;
    }
}

void lt_grpc_put_back(struct lt_exchange *x)
{
    lt_chain_move(&x->kept, &x->body);
    lt_chain_move(&x->body, &x->kept);
}

/* ---- errors ---- */

static enum lt_grpc_status status_of(const struct lt_exchange *x, unsigned http_status)
{
    return x->cause == LT_CAUSE_DEADLINE ? LT_GRPC_DEADLINE_EXCEEDED
                                         : lt_grpc_status_of(http_status);
}

/* What happened, with the stable id by which the operator's log names it. */
static bool message(struct lt_exchange *x, struct lt_str reason, struct lt_str *out)
{
    const struct lt_cause_info *info = lt_cause_info(x->cause);
    struct lt_str text;
    if (reason.len == 0) {
        reason =
            lt_str_c(x->cause != LT_CAUSE_NONE ? info->name : lt_status_reason(x->reply.status));
    }
    bool told = x->cause != LT_CAUSE_NONE && x->cause != LT_CAUSE_FILTER_DENIED;
    bool ok = told ? lt_arena_printf(&x->arena, &text, "%s (%s)", info->text, info->name)
                   : lt_arena_printf(&x->arena, &text, "%.*s", LT_STR_ARG(reason));
    return ok && lt_grpc_message(&x->arena, text, out);
}

static enum lt_err add_status(struct lt_exchange *x, struct lt_headers *fields, unsigned status,
                              struct lt_str reason)
{
    struct lt_str code, text;
    if (!lt_arena_printf(&x->arena, &code, "%d", status_of(x, status)) ||
        !message(x, reason, &text)) {
        return LT_ERR_NOMEM;
    }
    enum lt_err err = lt_headers_set(fields, LT_STR("grpc-status"), code);
    return err == LT_OK ? lt_headers_set(fields, LT_STR("grpc-message"), text) : err;
}

void lt_grpc_reply(struct lt_exchange *x)
{
    struct lt_headers *fields = &x->res.headers;
    x->res.body = LT_BODY_NONE;
    x->res.status = 200;
    x->reply.body = LT_STR("");
    lt_headers_remove(fields, LT_HEADER_CONTENT_LENGTH);
    enum lt_err err = lt_headers_set_id(fields, LT_HEADER_CONTENT_TYPE, LT_STR("application/grpc"));
    err = err == LT_OK ? add_status(x, fields, x->reply.status, x->reply.reason) : err;
    (void)err; /* without grpc-status clients make an error of it themselves */
}

bool lt_grpc_end(struct lt_exchange *x)
{
    unsigned status = lt_cause_info(x->cause)->status;
    struct lt_headers *trailers;
    if (!x->grpc || x->compress.encoder != NULL || x->response_done ||
        (trailers = lt_arena_new(&x->arena, struct lt_headers)) == NULL) {
        return false;
    }
    lt_headers_init(trailers, &x->arena, 2);
    x->res_trailers = trailers;
    enum lt_err err = add_status(x, trailers, status > 0 ? status : 503, LT_STR_NONE);
    err = err == LT_OK ? x->front->ops->send_end(x->front, trailers) : err;
    err = err == LT_OK ? x->front->ops->flush(x->front) : err;
    x->response_done = err == LT_OK;
    return x->response_done;
}

struct lt_str lt_exchange_grpc_status(const struct lt_exchange *x)
{
    const struct lt_str name = LT_STR("grpc-status");
    const struct lt_header *h = NULL;
    if (x->grpc && x->res_trailers != NULL) {
        h = lt_headers_get_name(x->res_trailers, name);
    }
    if (x->grpc && h == NULL) {
        h = lt_headers_get_name(&x->res.headers, name); /* of one that is all trailers */
    }
    return h != NULL ? h->value : LT_STR_NONE;
}
