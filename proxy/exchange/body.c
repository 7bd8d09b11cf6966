/* SPDX-License-Identifier: Apache-2.0 */
/* Whole bodies for filters (body.h). The worker's thread.
 *
 * Where the bytes are: a request's in x->spool, those of a streamed one in x->body; a response's in
 * x->held. All that is added here is somebody who waits, which lets these hold as much as he takes,
 * and the replacement, which lies where the body would. */
#include "exchange/flow.h"

#include "base/str.h"
#include "exchange/internal.h"

#define IOV_BATCH 8

/* ---- fields ---- */

/* Fields that hold for these very bytes only (RFC 9530, RFC 1864). */
static const struct lt_str digests[] = {LT_STR_INIT("content-digest"), LT_STR_INIT("repr-digest"),
                                        LT_STR_INIT("digest"), LT_STR_INIT("content-md5")};

bool lt_body_is_digested(const struct lt_headers *h)
{
    bool found = false;
    for (size_t i = 0; i < lt_countof(digests); i++) {
        found |= lt_headers_get_name(h, digests[i]) != NULL;
    }
    return found;
}

void lt_body_strip_digests(struct lt_headers *h)
{
    for (size_t i = 0; i < lt_countof(digests); i++) {
        lt_headers_remove_name(h, digests[i]);
    }
}

enum lt_err lt_body_weaken_etag(struct lt_exchange *x)
{
    struct lt_header *etag = lt_headers_get(&x->res.headers, LT_HEADER_ETAG);
    struct lt_str value;
    if (etag == NULL || lt_str_starts(etag->value, LT_STR("W/"))) {
        return LT_OK;
    }
    if (!lt_arena_printf(&x->arena, &value, "W/%.*s", LT_STR_ARG(etag->value))) {
        return LT_ERR_NOMEM;
    }
    etag->value = value;
    return LT_OK;
}

enum lt_err lt_body_changed_fields(struct lt_exchange *x)
{
    struct lt_headers *h = &x->res.headers;
    enum lt_err err = lt_body_weaken_etag(x);
    if (err == LT_OK) {
        lt_headers_remove(h, LT_HEADER_CONTENT_LENGTH);
        /* A range would be one of the bytes before the change. */
        lt_headers_remove_name(h, LT_STR("accept-ranges"));
        lt_body_strip_digests(h);
    }
    return err;
}

/* Whether a tag is among those of If-None-Match, written just so. */
static bool asked_for(const struct lt_exchange *x, struct lt_str tag)
{
    const struct lt_headers *h = &x->req.headers;
    for (unsigned i = 0; i < h->n; i++) {
        struct lt_str rest = h->v[i].value, part;
        if (!lt_str_eq_nocase(h->v[i].name, LT_STR("if-none-match"))) {
            continue;
        }
        while (lt_str_next(&rest, ',', &part)) {
            if (lt_str_eq(part, tag)) {
                return true;
            }
        }
    }
    return false;
}

enum lt_err lt_body_confirm(struct lt_exchange *x, bool *weakened)
{
    struct lt_str tag = lt_headers_value(&x->res.headers, LT_HEADER_ETAG), weak;
    *weakened = false;
    if (tag.len == 0 || lt_str_starts(tag, LT_STR("W/"))) {
        return LT_OK;
    }
    if (!lt_arena_printf(&x->arena, &weak, "W/%.*s", LT_STR_ARG(tag))) {
        return LT_ERR_NOMEM;
    }
    if (!asked_for(x, weak) || asked_for(x, tag)) {
        return LT_OK;
    }
    *weakened = true;
    return lt_body_weaken_etag(x);
}

enum lt_err lt_body_strip_trailers(struct lt_exchange *x)
{
    if (x->res_trailers == NULL || !lt_body_is_digested(x->res_trailers)) {
        return LT_OK;
    }
    struct lt_headers *copy = lt_arena_new(&x->arena, struct lt_headers);
    if (copy == NULL) {
        return LT_ERR_NOMEM;
    }
    *copy = *x->res_trailers;
    lt_body_strip_digests(copy);
    x->res_trailers = copy;
    return LT_OK;
}

/* ---- looking ---- */

bool lt_body_of_response(const struct lt_exchange *x)
{
    return x->req.method != LT_METHOD_HEAD && !lt_status_bodiless(x->res.status) &&
           x->res.status != 205;
}

bool lt_body_is_call(const struct lt_exchange *x, enum lt_side side)
{
    if (side == LT_SIDE_RESPONSE) {
        return !x->replied_here && (x->grpc || x->res.upgrade.len > 0);
    }
    return x->grpc || x->req.offer.len > 0 || x->req.must_switch;
}

/* What has no end that could be waited for. */
static bool is_stream(const struct lt_exchange *x, enum lt_side side)
{
    const struct lt_str events = LT_STR("text/event-stream");
    if (lt_body_is_call(x, side)) {
        return true;
    }
    struct lt_str type = lt_headers_value(&x->res.headers, LT_HEADER_CONTENT_TYPE);
    return side == LT_SIDE_RESPONSE && !x->replied_here && type.len >= events.len &&
           lt_str_eq_nocase(lt_str_sub(type, 0, events.len), events);
}

/* Where the bytes of the request's body are; NULL: in x->spool. */
static const struct lt_chain *request_chain(const struct lt_exchange *x)
{
    const struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    return flow != NULL ? &flow->in : x->streams ? &x->body : NULL;
}

static bool request_whole(const struct lt_exchange *x)
{
    const struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    return flow != NULL ? flow->in_ended : x->request_done;
}

size_t lt_body_len(const struct lt_exchange *x, enum lt_side side)
{
    if (side == LT_SIDE_REQUEST) {
        const struct lt_chain *chain = request_chain(x);
        return chain != NULL ? chain->len : (size_t)lt_spool_len(&x->spool);
    }
    if (!lt_body_of_response(x)) {
        return 0;
    }
    return x->replied_here ? x->reply.body.len : x->held.len;
}

enum lt_body_is lt_body_look(const struct lt_exchange *x, enum lt_side side, size_t max)
{
    bool request = side == LT_SIDE_REQUEST;
    bool whole = request ? request_whole(x)
                         : x->replied_here || x->response_ended || !lt_body_of_response(x);
    bool known = (request ? x->req.body : x->res.body) == LT_BODY_LENGTH;
    uint64_t length = request ? x->req.content_length : x->res.content_length;
    if (is_stream(x, side)) {
        return LT_BODY_IS_STREAM;
    }
    if (lt_body_len(x, side) > max || (!whole && known && length > max)) {
        return LT_BODY_IS_TOO_LARGE;
    }
    return whole ? LT_BODY_IS_WHOLE : LT_BODY_IS_TO_COME;
}

/* ---- waiting ---- */

static void finish(struct lt_body_wait *w, enum lt_body_is is)
{
    struct lt_exchange *x = w->x;
    lt_body_forget(w);
    if (w->side == LT_SIDE_RESPONSE) {
        lt_exchange_set_timer(x, 0); /* nothing is asked of the server while a filter thinks */
    }
    w->is = is;
    w->done(w);
}

void lt_body_moved(struct lt_exchange *x)
{
    struct lt_body_wait *w = x->body_wait;
    if (LT_LIKELY(w == NULL) || lt_list_linked(&w->deferred.link)) {
        return; /* or it is about to be looked */
    }
    enum lt_body_is is = lt_body_look(x, w->side, w->max);
    if (is != LT_BODY_IS_TO_COME) {
        finish(w, is);
    }
}

void lt_body_stuck(struct lt_exchange *x, enum lt_side side)
{
    struct lt_body_wait *w = x->body_wait;
    if (LT_UNLIKELY(w != NULL) && w->side == side && !lt_list_linked(&w->deferred.link)) {
        enum lt_body_is is = lt_body_look(x, side, w->max);
        finish(w, is == LT_BODY_IS_TO_COME ? LT_BODY_IS_NO_ROOM : is);
    }
}

void lt_body_invite(struct lt_exchange *x)
{
    if (x->req.expect_continue && x->bytes_in == 0 && x->front != NULL) {
        x->req.expect_continue = false;
        x->front->ops->send_informational(x->front, 100, NULL);
    }
}

/* The end of the turn in which somebody asked: his side moves on, now that nothing of Lua is on the
 * stack. */
static void begin(void *arg)
{
    struct lt_body_wait *w = arg;
    struct lt_exchange *x = w->x;
    lt_body_moved(x);
    if (x->body_wait != w) {
        return;
    }
    if (w->side == LT_SIDE_REQUEST) {
        lt_body_invite(x);
        if (x->request_paused && x->front != NULL) {
            x->request_paused = false;
            x->front->ops->resume(x->front, LT_PAUSE_PEER);
        }
    } else if (x->back != NULL) {
        lt_exchange_set_timer(x, x->upstream->idle_ms);
        if (x->response_paused) {
            x->response_paused = false;
            x->back->ops->resume(x->back, LT_PAUSE_PEER);
        }
    }
}

void lt_body_ask(struct lt_body_wait *w)
{
    w->x->body_wait = w;
    w->is = LT_BODY_IS_TO_COME;
    lt_loop_defer(w->x->env->loop, &w->deferred, begin, w);
}

void lt_body_forget(struct lt_body_wait *w)
{
    lt_loop_cancel(&w->deferred);
    if (w->x->body_wait == w) {
        w->x->body_wait = NULL;
    }
}

/* ---- reading ---- */

static void copy_chain(const struct lt_chain *chain, char *out)
{
    struct iovec iov[IOV_BATCH];
    for (size_t at = 0; at < chain->len;) {
        size_t n = lt_chain_peek_from(chain, at, iov, IOV_BATCH);
        for (size_t i = 0; i < n; i++) {
            memcpy(out + at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
        }
    }
}

static enum lt_err copy_spool(struct lt_spool *s, char *out)
{
    struct iovec iov[IOV_BATCH];
    enum lt_err err = LT_OK;
    lt_spool_rewind(s);
    while (err == LT_OK && lt_spool_left(s) > 0) {
        size_t n;
        err = lt_spool_peek(s, SIZE_MAX, iov, IOV_BATCH, &n);
        for (size_t i = 0; i < n; i++) {
            memcpy(out, iov[i].iov_base, iov[i].iov_len);
            out += iov[i].iov_len;
            lt_spool_advance(s, iov[i].iov_len);
        }
    }
    lt_spool_rewind(s);
    return err;
}

enum lt_err lt_body_copy(struct lt_exchange *x, enum lt_side side, char *out)
{
    const struct lt_chain *chain = request_chain(x);
    if (lt_body_len(x, side) == 0) {
        return LT_OK;
    }
    if (side == LT_SIDE_REQUEST && chain == NULL) {
        return copy_spool(&x->spool, out);
    }
    if (side == LT_SIDE_REQUEST) {
        copy_chain(chain, out);
    } else if (x->replied_here) {
        memcpy(out, x->reply.body.p, x->reply.body.len);
    } else {
        copy_chain(&x->held, out);
    }
    return LT_OK;
}

/* ---- replacing ---- */

static enum lt_err replace_chain(struct lt_chain *chain, struct lt_str text)
{
    struct lt_chain other;
    lt_chain_init(&other, chain->pool);
    enum lt_err err = text.len > 0 ? lt_chain_append(&other, text.p, text.len) : LT_OK;
    if (err == LT_OK) {
        lt_chain_clear(chain);
        lt_chain_move(chain, &other);
    }
    return err;
}

static enum lt_err replace_collected(struct lt_exchange *x, struct lt_str text)
{
    struct lt_spool spool;
    lt_spool_init(&spool, &x->env->spools, &x->view->spool);
    enum lt_err err = lt_spool_append(&spool, text.p, text.len);
    if (err != LT_OK) {
        lt_spool_clear(&spool);
        return err;
    }
    lt_spool_clear(&x->spool);
    lt_chain_clear(&x->body);
    x->spool = spool;
    x->streams = false;
    x->request_done = true;
    return LT_OK;
}

static enum lt_err replace_request(struct lt_exchange *x, struct lt_str text)
{
    struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    enum lt_err err = flow != NULL ? replace_chain(&flow->in, text) : replace_collected(x, text);
    if (err != LT_OK) {
        return err;
    }
    if (flow != NULL) {
        flow->in_ended = true;
    }
    x->body_replaced = true;
    x->req.expect_continue = false;
    x->req_trailers.n = 0;
    if (text.len > 0 || x->req.body != LT_BODY_NONE) {
        x->req.body = LT_BODY_LENGTH;
        x->req.content_length = text.len;
    }
    lt_headers_remove(&x->req.headers, LT_HEADER_CONTENT_LENGTH);
    lt_headers_remove(&x->req.headers, LT_HEADER_CONTENT_ENCODING);
    lt_body_strip_digests(&x->req.headers);
    return LT_OK;
}

/* The server's own body is not waited for: with it goes its connection, unless it is whole. */
static enum lt_err replace_held(struct lt_exchange *x, struct lt_str text)
{
    enum lt_err err = replace_chain(&x->held, text);
    if (err != LT_OK) {
        return err;
    }
    if (!x->response_ended) {
        x->response_ended = true;
        lt_relay_drop_back(x);
    }
    x->res_trailers = NULL;
    x->res.body = LT_BODY_LENGTH;
    x->res.content_length = text.len;
    return LT_OK;
}

static enum lt_err replace_response(struct lt_exchange *x, struct lt_str text)
{
    enum lt_err err = LT_OK;
    if (lt_body_of_response(x) && x->replied_here) {
        if (!lt_arena_dup(&x->arena, text, &x->reply.body)) {
            return LT_ERR_NOMEM;
        }
        x->res.content_length = text.len;
    } else if (lt_body_of_response(x)) {
        err = replace_held(x, text);
    }
    if (err == LT_OK) {
        lt_headers_remove(&x->res.headers, LT_HEADER_CONTENT_ENCODING);
        err = lt_body_changed_fields(x);
    }
    return err;
}

enum lt_err lt_body_replace(struct lt_exchange *x, enum lt_side side, struct lt_str text)
{
    return side == LT_SIDE_REQUEST ? replace_request(x, text) : replace_response(x, text);
}
