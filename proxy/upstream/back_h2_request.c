/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 back's sending side: what an exchange puts becomes a stream's frames, as fast as the
 * server's windows let them. The worker's thread.
 *
 *   send_head, send_body ..., flush: submitted --turn ends--> HEADERS, DATA ... END_STREAM
 *
 * Body bytes are copied: when they leave is decided by windows and by the other streams. */
#include "upstream/back_h2_conn.h"

/* Bytes of a head that any server is believed to take before its SETTINGS are there. */
#define HEAD_FIRST 8192u

static struct lt_back_h2 *from_base(struct lt_back *base)
{
    struct lt_back_h2 *b = lt_container_of(base, struct lt_back_h2, base);
    LT_OBJ_CHECK(b, LT_BACK_H2_MAGIC);
    return b;
}

/* ---- the stream's data ---- */

/* Takes up to cap bytes of what waits. */
static size_t take(struct lt_back_h2 *b, uint8_t *buf, size_t cap)
{
    struct iovec iov[4];
    size_t n = 0;
    while (n < cap && b->out.len > 0) {
        size_t slices = lt_chain_peek(&b->out, iov, lt_countof(iov)), taken = 0;
        for (size_t i = 0; i < slices && n < cap; i++) {
            size_t len = lt_min(iov[i].iov_len, cap - n);
            memcpy(buf + n, iov[i].iov_base, len);
            n += len;
            taken += len;
        }
        lt_chain_consume(&b->out, taken);
    }
    return n;
}

static ssize_t on_data_wanted(nghttp2_session *session, int32_t id, uint8_t *buf, size_t cap,
                              uint32_t *flags, nghttp2_data_source *source LT_UNUSED,
                              void *user_data)
{
    struct lt_back_h2_conn *c = user_data;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    struct lt_back_h2 *b = lt_back_h2_of_stream(c, id);
    if (b == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled: its RST_STREAM is on its way */
    }
    size_t n = take(b, buf, cap);
    if (b->out.len == 0 && n > 0 && !lt_list_linked(&b->drain_link)) {
        lt_list_push_back(&c->drained, &b->drain_link);
    }
    if (b->out.len > 0 || !b->ended) {
        return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    b->sent = true;
    if (b->trailers.n > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, b->trailers.v, b->trailers.n) != 0) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)n;
}

/* ---- opening the stream ---- */

static enum lt_err submit(struct lt_back_h2 *b)
{
    struct lt_back_h2_conn *c = b->conn;
    nghttp2_data_provider body = {.read_callback = on_data_wanted};
    bool bodiless = b->ended && b->out.len == 0 && b->trailers.n == 0 && b->offer.len == 0;
    int32_t id =
        nghttp2_submit_request(c->session, NULL, b->head.v, b->head.n, bodiless ? NULL : &body, b);
    if (id < 0) {
        return LT_ERR_NOMEM;
    }
    b->id = id;
    b->sent = bodiless;
    b->state = LT_BACK_H2_BUSY;
    return LT_OK;
}

static bool may_connect(const struct lt_back_h2_conn *c)
{
    return nghttp2_session_get_remote_settings(c->session,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

/* What the server says it takes of a head, and what that is (RFC 9113 §6.5.2). One that gets more
 * may give up the connection, and with it the streams of others. */
static bool head_fits(struct lt_back_h2 *b, size_t *size, uint32_t *max)
{
    *max = nghttp2_session_get_remote_settings(b->conn->session,
                                               NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
    *size = 0;
    for (size_t i = 0; i < b->head.n; i++) {
        *size += b->head.v[i].namelen + b->head.v[i].valuelen + LT_TAKES_H2_FIELD;
    }
    return *size <= (b->conn->settings_seen ? *max : HEAD_FIRST);
}

/* The client's largest field; empty: there is none. */
static struct lt_str largest(const struct lt_h2_fields *fields, size_t *bytes)
{
    struct lt_str found = LT_STR_NONE;
    *bytes = 0;
    for (size_t i = 0; i < fields->n; i++) {
        const nghttp2_nv *f = &fields->v[i];
        struct lt_str name = lt_str((const char *)f->name, f->namelen);
        if (f->namelen + f->valuelen > *bytes && !lt_takes_ours(lt_header_find_id(name))) {
            *bytes = f->namelen + f->valuelen;
            found = name;
        }
    }
    return found;
}

static void refuse_head(struct lt_back_h2 *b, size_t size, uint32_t max)
{
    struct lt_str detail;
    size_t bytes;
    struct lt_str field = largest(&b->head, &bytes);
    if (!lt_arena_printf(b->arena, &detail,
                         "%zu bytes of target, names and values" LT_TAKES_H2_COUNTED
                         ", more than the %u that the server announces in its SETTINGS "
                         "(MAX_HEADER_LIST_SIZE); the largest field is %.*s with %zu bytes",
                         size, (unsigned)max, LT_STR_ARG(field), bytes)) {
        detail = LT_STR_NONE;
    }
    b->unsendable = true;
    lt_back_h2_fail(b, LT_CAUSE_SERVER_HEAD_LIMIT, false, detail);
}

void lt_back_h2_go_on(struct lt_back_h2 *b)
{
    size_t size;
    uint32_t max;
    if (!head_fits(b, &size, &max)) {
        refuse_head(b, size, max);
    } else if (b->offer.len > 0 && !may_connect(b->conn)) {
        lt_back_h2_fail(b, LT_CAUSE_UPGRADE_UNSUPPORTED, false, LT_STR_NONE);
    } else if (submit(b) != LT_OK) {
        lt_back_h2_fail(b, LT_CAUSE_OUT_OF_MEMORY, false, LT_STR_NONE);
    } else {
        lt_back_h2_want_send(b->conn);
    }
}

static void go_on_later(void *arg)
{
    struct lt_back_h2 *b = arg;
    LT_OBJ_CHECK(b, LT_BACK_H2_MAGIC);
    lt_back_h2_go_on(b);
}

/* Whether the server speaks the protocol at all is in its SETTINGS (RFC 8441 §3), and how large a
 * head it takes. */
static void hold(struct lt_back_h2 *b)
{
    b->state = LT_BACK_H2_HELD;
    if (b->conn->settings_seen) {
        lt_loop_defer(b->pools->loop, &b->deferred, go_on_later, b); /* a failure tells no caller */
    }
}

/* ---- what exchanges call ---- */

/* The fields of a request as HTTP/2 has them: TE is between neighbours, so what the client said
 * goes on as our own wish; a WebSocket's key has no use there (RFC 8441 §5), it is kept for the
 * answer. */
static bool fields_of(struct lt_back_h2 *b, const struct lt_request *req, struct lt_headers *out)
{
    const struct lt_str key_name = LT_STR("sec-websocket-key");
    const struct lt_headers *all = &req->headers;
    *out = *all;
    if (req->offer.len == 0 && !req->te_trailers) {
        return true;
    }
    out->cap = out->max = all->n + 1;
    out->v = lt_arena_alloc(b->arena, out->cap * sizeof(*out->v));
    if (out->v == NULL) {
        return false;
    }
    memcpy(out->v, all->v, all->n * sizeof(*all->v));
    const struct lt_header *key = req->offer.len > 0 ? lt_headers_get_name(out, key_name) : NULL;
    if (key != NULL) {
        b->ws_key = key->value;
        lt_headers_remove_name(out, key_name);
    }
    return !req->te_trailers || lt_headers_set_id(out, LT_HEADER_TE, LT_STR("trailers")) == LT_OK;
}

static enum lt_err send_head(struct lt_back *base, const struct lt_request *req,
                             struct lt_str target)
{
    struct lt_back_h2 *b = from_base(base);
    struct lt_str scheme = b->conn->stream.tls != NULL ? LT_STR("https") : LT_STR("http");
    struct lt_headers fields;
    b->offer = req->offer;
    return fields_of(b, req, &fields)
               ? lt_h2_write_request(b->arena, lt_method_name(req->method), scheme, target,
                                     b->offer, &fields, &b->head)
               : LT_ERR_NOMEM;
}

static enum lt_err send_body(struct lt_back *base, const char *p, size_t n)
{
    struct lt_back_h2 *b = from_base(base);
    if (b->tunnel && b->id == 0) {
        return LT_ERR_RESET; /* the server takes no more */
    }
    b->bytes_sent += n;
    return lt_chain_append(&b->out, p, n);
}

static enum lt_err flush(struct lt_back *base)
{
    struct lt_back_h2 *b = from_base(base);
    enum lt_err err = b->tunnel && b->id == 0 ? LT_ERR_RESET : LT_OK;
    if (b->state == LT_BACK_H2_READY) {
        size_t size;
        uint32_t max;
        if (b->offer.len > 0 || !head_fits(b, &size, &max)) {
            hold(b);
            return LT_OK;
        }
        err = submit(b);
    } else if (b->state == LT_BACK_H2_BUSY && b->id > 0 && !b->sent &&
               (b->out.len > 0 || b->ended) &&
               nghttp2_session_resume_data(b->conn->session, b->id) == NGHTTP2_ERR_NOMEM) {
        err = LT_ERR_NOMEM;
    }
    lt_back_h2_want_send(b->conn);
    return err;
}

static enum lt_err send_end(struct lt_back *base, const struct lt_headers *trailers)
{
    struct lt_back_h2 *b = from_base(base);
    if (b->offer.len > 0 && !b->tunnel) {
        return LT_OK; /* what follows the head is no body */
    }
    enum lt_err err = lt_h2_write_trailers(b->arena, trailers, &b->trailers);
    b->ended = err == LT_OK;
    /* A tunnel's end is no part of a message that somebody flushes. */
    return err == LT_OK && b->tunnel ? flush(base) : err;
}

static size_t unsent(struct lt_back *base)
{
    return from_base(base)->out.len;
}

static void pause_back(struct lt_back *base, enum lt_pause reason)
{
    from_base(base)->paused |= reason;
}

static void resume_back(struct lt_back *base, enum lt_pause reason)
{
    struct lt_back_h2 *b = from_base(base);
    b->paused &= ~(unsigned)reason;
    lt_back_h2_give_credit(b);
}

static void cancel(struct lt_back *base)
{
    struct lt_back_h2 *b = from_base(base);
    struct lt_back_h2_conn *c = b->conn;
    /* For as long as an answer to a PING may take, nothing has come: the connection may hang. */
    if (b->on_wire && !b->head_done &&
        c->pools->loop->now_us - lt_max(b->asked_us, c->read_us) >=
            c->options.pong_ms * UINT64_C(1000)) {
        c->doubted = true;
    }
    if (b->id > 0 &&
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, b->id, NGHTTP2_CANCEL) != 0) {
        lt_back_h2_conn_retire(c); /* without memory: its end will tell */
    }
    lt_back_h2_detach(b);
    lt_back_h2_want_send(c);
}

/* The connection may hang, or only this stream: what came since it was asked tells. */
static void doubt(struct lt_back *base)
{
    struct lt_back_h2 *b = from_base(base);
    struct lt_back_h2_conn *c = b->conn;
    if (b->on_wire && c->read_us <= b->asked_us) {
        lt_back_h2_conn_retire(c);
    } else if (c->state == LT_BACK_H2_OPEN && !c->pinged) {
        lt_back_h2_ping(c);
    }
}

const struct lt_back_ops lt_back_h2_ops = {
    .name = "HTTP/2",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .unsent = unsent,
    .pause = pause_back,
    .resume = resume_back,
    .doubt = doubt,
    .cancel = cancel,
};
