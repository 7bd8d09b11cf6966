/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies that are collected before a server is taken, so that a slow client holds none; and
 * their way to the server, as fast as it takes them. What was sent can be sent again. Bodies of
 * routes with `body.stream` don't come here (relay.c). The worker's thread.
 *
 *   lt_collect_add ... -> x->spool -> lt_collect_ready | lt_collect_send, again when drained */
#include "exchange/internal.h"

#include <errno.h>

#define IOV_BATCH 8
/* Bytes of a body that may wait for a server, beside the body itself. */
#define SEND_AHEAD ((size_t)128 << 10)

void lt_exchange_note_body_max(struct lt_exchange *x)
{
    const struct lt_route_options *o = &x->route->options[x->listener];
    if (!lt_arena_printf(&x->arena, &x->detail, "body.max is %llu, set by the %s",
                         (unsigned long long)o->body_max,
                         o->body_max_at != NULL ? o->body_max_at : "listener or its defaults")) {
        x->detail = LT_STR_NONE;
    }
}

bool lt_collect_fits(struct lt_exchange *x)
{
    const struct lt_spool_limits *limits = &x->view->spool;
    if (x->req.body != LT_BODY_LENGTH || lt_spool_ever_fits(limits, x->req.content_length)) {
        return true;
    }
    if (!lt_arena_printf(&x->arena, &x->detail,
                         "limits.buffers.memory is %zu and limits.buffers.disk is %llu",
                         limits->memory, (unsigned long long)limits->disk)) {
        x->detail = LT_STR_NONE;
    }
    return false;
}

static enum lt_cause cause_of(const struct lt_exchange *x, enum lt_err err)
{
    if (err == LT_ERR_LIMIT) {
        return LT_CAUSE_BODY_BUFFER_FULL;
    }
    int e = x->spool.sys_errno;
    return e == EMFILE || e == ENFILE ? LT_CAUSE_NO_DESCRIPTORS : LT_CAUSE_BODY_BUFFER_IO;
}

static void store_failed(struct lt_exchange *x, enum lt_err err)
{
    x->cause_errno = err == LT_ERR_STORE ? x->spool.sys_errno : 0;
    lt_exchange_fail(x, cause_of(x, err));
}

void lt_collect_add(struct lt_exchange *x, const char *p, size_t n)
{
    enum lt_err err = lt_spool_append(&x->spool, p, n);
    if (err != LT_OK) {
        store_failed(x, err);
    }
}

void lt_collect_ready(struct lt_exchange *x)
{
    /* The length is known now, and not every application takes chunks. Trailers need them. */
    if (x->req.body == LT_BODY_CHUNKED && x->req_trailers.n == 0 && !x->hop_done) {
        x->req.body = LT_BODY_LENGTH;
        x->req.content_length = lt_spool_len(&x->spool);
    }
}

void lt_collect_rewind(struct lt_exchange *x)
{
    lt_spool_rewind(&x->spool);
    x->body_sent = false;
}

void lt_collect_release(struct lt_exchange *x)
{
    if (x->body_sent && x->response_begun) {
        lt_spool_clear(&x->spool); /* no other try can come */
    }
}

/* Puts at most max bytes for the server. */
static enum lt_err put_some(struct lt_exchange *x, size_t max)
{
    struct iovec iov[IOV_BATCH];
    size_t n = 0;
    enum lt_err err = lt_spool_peek(&x->spool, max, iov, IOV_BATCH, &n);
    for (size_t i = 0; i < n && err == LT_OK; i++) {
        err = x->back->ops->send_body(x->back, iov[i].iov_base, iov[i].iov_len);
        lt_spool_advance(&x->spool, iov[i].iov_len);
    }
    return err;
}

enum lt_err lt_collect_send(struct lt_exchange *x)
{
    struct lt_back *back = x->back;
    enum lt_err err = LT_OK;
    if (x->body_sent) {
        return LT_OK;
    }
    while (err == LT_OK && lt_spool_left(&x->spool) > 0) {
        size_t max = lt_room(x, back->ops->unsent(back), SEND_AHEAD);
        if (max > 0) {
            err = put_some(x, max);
            if (err == LT_OK && lt_spool_left(&x->spool) > 0) {
                err = back->ops->flush(back);
            }
            continue;
        }
        err = back->ops->flush(back);
        if (err != LT_OK || back->ops->unsent(back) > 0) {
            return err; /* on_drained goes on */
        }
    }
    if (err == LT_OK) {
        err = back->ops->send_end(back, &x->req_trailers);
    }
    if (err == LT_OK) {
        err = back->ops->flush(back);
    }
    x->body_sent = err == LT_OK;
    lt_collect_release(x);
    return err;
}

void lt_collect_go_on(struct lt_exchange *x)
{
    enum lt_err err = lt_collect_send(x);
    switch (err) { /* a default on purpose: all else came from the server's connection */
    case LT_OK:
        break;
    case LT_ERR_STORE:
        store_failed(x, err);
        break;
    case LT_ERR_NOMEM:
    case LT_ERR_LIMIT:
        lt_exchange_fail(x, LT_CAUSE_OUT_OF_MEMORY);
        break;
    default:
        x->streaming = false; /* it took no more: its answer or its end comes by reading */
    }
}
