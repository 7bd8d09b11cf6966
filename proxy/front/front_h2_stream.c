/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 front's side of one exchange: its response goes into the session's queue (the head)
 * and the stream's (the body); what leaves when is front_h2_send.c's. The worker's thread.
 *
 *   send_head, send_body, send_end: kept here until flush | flush: the head goes to the session
 *   finish: the exchange is over, the stream lives on until all has left */
#include "front/front_h2_conn.h"

#include "net/listener.h"

#define IOV_BATCH 8

static struct lt_front_h2_stream *from_base(struct lt_front *base)
{
    struct lt_front_h2_stream *s = lt_container_of(base, struct lt_front_h2_stream, base);
    LT_OBJ_CHECK(s, LT_FRONT_H2_STREAM_MAGIC);
    return s;
}

static nghttp2_session *session_of(const struct lt_front_h2_stream *s)
{
    return s->f->session;
}

/* ---- Life. ---- */

struct lt_front_h2_stream *lt_front_h2_stream_new(struct lt_front_h2 *f, int32_t id)
{
    struct lt_exchange_env *env = f->fronts->env;
    struct lt_front_h2_stream *s = lt_slab_get(&f->fronts->streams);
    if (s == NULL) {
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    LT_OBJ_INIT(s, LT_FRONT_H2_STREAM_MAGIC);
    s->base.ops = &lt_front_h2_ops;
    s->f = f;
    s->id = id;
    lt_chain_init(&s->out, &env->loop->blocks);
    lt_chain_init(&s->early, &env->loop->blocks);
    lt_arena_init(&s->arena, NULL, 0, LT_EXCHANGE_ARENA_MAX);
    s->arena.total = &env->heads;
    s->x = lt_exchange_new(env, &s->base, f->listener);
    if (s->x == NULL) {
        LT_OBJ_FINI(s);
        lt_slab_put(&f->fronts->streams, s);
        return NULL;
    }
    s->x->via = f->via;
    s->x->tls = f->stream.tls != NULL ? lt_tls_info_ref(lt_tls_info(f->stream.tls)) : NULL;
    lt_list_push_back(&f->streams, &s->link);
    f->n_streams++;
    f->idle_us = 0;
    return s;
}

static void on_exchange_gone(void *arg)
{
    struct lt_front_h2 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    f->ghosts--;
    lt_front_h2_unref(f);
}

void lt_front_h2_stream_drop(struct lt_front_h2_stream *s, enum lt_cause cause)
{
    struct lt_front_h2 *f = s->f;
    struct lt_exchange *x = s->x;
    if (x == NULL) {
        return;
    }
    s->x = NULL;
    s->exchange_us = s->body_us = 0;
    /* Short of memory it isn't counted on. */
    if (lt_arena_on_fini(&x->arena, on_exchange_gone, f)) {
        f->ghosts++;
    }
    if (s->begun) {
        lt_exchange_front_gone(x, cause);
    } else {
        lt_exchange_dismiss(x, cause, &f->peer, f->tls);
    }
}

void lt_front_h2_stream_end(struct lt_front_h2_stream *s, enum lt_cause cause)
{
    struct lt_front_h2 *f = s->f;
    lt_front_h2_stream_drop(s, cause);
    if (f->block_stream == s) {
        f->block_stream = NULL;
    }
    lt_list_remove(&s->link);
    lt_list_remove(&s->fed_link);
    lt_list_remove(&s->caught_link);
    f->n_streams--;
    lt_chain_clear(&s->out);
    lt_chain_clear(&s->early);
    lt_arena_fini(&s->arena);
    LT_OBJ_FINI(s);
    lt_slab_put(&f->fronts->streams, s);
}

void lt_front_h2_stream_fail(struct lt_front_h2_stream *s, enum lt_cause cause)
{
    if (s->begun) {
        lt_exchange_request_fail(s->x, cause);
    } else {
        s->begun = true;
        lt_exchange_refuse(s->x, cause, &s->f->peer, s->f->tls);
    }
}

void lt_front_h2_stream_reset(struct lt_front_h2_stream *s, uint32_t error)
{
    lt_chain_clear(&s->out);
    s->ended = true;
    s->write_us = 0;
    /* Without memory the session is of no more use. */
    if (nghttp2_submit_rst_stream(session_of(s), NGHTTP2_FLAG_NONE, s->id, error) != 0) {
        lt_front_h2_fail(s->f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
    }
    lt_front_h2_schedule(s->f);
}

void lt_front_h2_stream_consume(struct lt_front_h2_stream *s)
{
    if (s->held > 0 && s->pauses == 0 && s->early.len == 0) {
        if (nghttp2_session_consume(session_of(s), s->id, s->held) != 0) {
            lt_front_h2_fail(s->f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
        }
        s->held = 0;
        lt_front_h2_schedule(s->f);
    }
}

/* ---- The response. ---- */

static void submit_informational(struct lt_front_h2_stream *s, unsigned status,
                                 const struct lt_headers *headers)
{
    struct lt_h2_fields fields;
    struct lt_headers none;
    if (headers == NULL) {
        lt_headers_init(&none, &s->x->arena, 0);
        headers = &none;
    }
    if (s->submitted || s->ended ||
        lt_h2_write_response(&s->x->arena, status, headers, &fields) != LT_OK) {
        return;
    }
    /* A failure shows again with the final response. */
    int rv = nghttp2_submit_headers(session_of(s), NGHTTP2_FLAG_NONE, s->id, NULL, fields.v,
                                    fields.n, NULL);
    (void)rv;
    lt_front_h2_schedule(s->f);
}

static void send_informational(struct lt_front *base, unsigned status,
                               const struct lt_headers *headers)
{
    struct lt_front_h2_stream *s = from_base(base);
    submit_informational(s, status, headers);
    if (status == 100 && !s->body_done) {
        lt_front_h2_begin_body(s); /* it was for us to ask until now */
    }
}

/* The length where it is known; a body is framed by its stream (RFC 9113 §8.1). */
static enum lt_err set_length(struct lt_front_h2_stream *s, struct lt_response *res, bool bodiless)
{
    struct lt_headers *h = &res->headers;
    if (res->body == LT_BODY_LENGTH && !lt_status_bodiless(res->status)) {
        struct lt_str length;
        if (!lt_arena_printf(&s->x->arena, &length, "%llu",
                             (unsigned long long)res->content_length)) {
            return LT_ERR_NOMEM;
        }
        return lt_headers_set_id(h, LT_HEADER_CONTENT_LENGTH, length);
    }
    if (!bodiless && res->body == LT_BODY_NONE) {
        return lt_headers_set_id(h, LT_HEADER_CONTENT_LENGTH, LT_STR("0"));
    }
    if (!bodiless || res->status == 204 || res->status < 200) {
        lt_headers_remove(h, LT_HEADER_CONTENT_LENGTH);
    }
    return LT_OK;
}

void lt_front_h2_stream_early(struct lt_front_h2_stream *s)
{
    struct lt_chain early;
    lt_chain_init(&early, &s->f->fronts->env->loop->blocks);
    lt_chain_move(&early, &s->early); /* the end of the exchange clears the stream's own */
    while (early.len > 0 && s->x != NULL) {
        struct iovec iov[IOV_BATCH];
        size_t n = lt_chain_peek(&early, iov, IOV_BATCH), bytes = 0;
        for (size_t i = 0; i < n && s->x != NULL; i++) {
            lt_exchange_request_body(s->x, iov[i].iov_base, iov[i].iov_len);
            bytes += iov[i].iov_len;
        }
        if (s->x != NULL) {
            lt_exchange_request_turn(s->x);
        }
        lt_chain_consume(&early, bytes);
    }
    lt_chain_clear(&early);
    if (s->x != NULL && s->body_done) {
        lt_exchange_request_end(s->x);
    }
    lt_front_h2_stream_consume(s);
}

/* The answer to an extended CONNECT: 200, and bytes pass in DATA from here on (RFC 8441 §5). */
static enum lt_err begin_tunnel(struct lt_front_h2_stream *s, struct lt_response *res)
{
    lt_headers_remove(&res->headers, LT_HEADER_CONTENT_LENGTH);
    lt_headers_remove_name(&res->headers, LT_STR("sec-websocket-accept"));
    s->tunnel = true;
    /* What came already is for the exchange as soon as it is back here. */
    if (!lt_list_linked(&s->fed_link)) {
        lt_list_push_back(&s->f->fed, &s->fed_link);
    }
    return lt_h2_write_response(&s->x->arena, 200, &res->headers, &s->head);
}

static enum lt_err send_head(struct lt_front *base, struct lt_response *res, bool bodiless)
{
    struct lt_front_h2_stream *s = from_base(base);
    if (res->status == 101) {
        return begin_tunnel(s, res);
    }
    if (s->x->req.must_switch && res->status / 100 == 2) {
        return LT_ERR_INVALID; /* to the client it would mean that there is a tunnel */
    }
    enum lt_err err = set_length(s, res, bodiless);
    s->bodiless = bodiless || res->body == LT_BODY_NONE ||
                  (res->body == LT_BODY_LENGTH && res->content_length == 0);
    return err == LT_OK ? lt_h2_write_response(&s->x->arena, res->status, &res->headers, &s->head)
                        : err;
}

static enum lt_err send_body(struct lt_front *base, const char *p, size_t n)
{
    struct lt_front_h2_stream *s = from_base(base);
    return s->bodiless || n == 0 ? LT_OK : lt_chain_append(&s->out, p, n);
}

/* Copies what the exchange's end would take with it. */
static bool keep_trailers(struct lt_front_h2_stream *s, const struct lt_h2_fields *from)
{
    struct lt_h2_fields *to = &s->trailers;
    to->v = lt_arena_array(&s->arena, nghttp2_nv, from->n);
    for (size_t i = 0; to->v != NULL && i < from->n; i++) {
        struct lt_str name, value;
        if (!lt_arena_dup(&s->arena, lt_str((char *)from->v[i].name, from->v[i].namelen), &name) ||
            !lt_arena_dup(&s->arena, lt_str((char *)from->v[i].value, from->v[i].valuelen),
                          &value)) {
            return false;
        }
        to->v[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                                .value = (uint8_t *)(uintptr_t)value.p,
                                .namelen = name.len,
                                .valuelen = value.len};
        to->n++;
    }
    return to->v != NULL;
}

static enum lt_err submit(struct lt_front_h2_stream *s)
{
    nghttp2_data_provider body = {.source = {.ptr = s}, .read_callback = lt_front_h2_on_read_data};
    int rv = nghttp2_submit_response(session_of(s), s->id, s->head.v, s->head.n,
                                     s->bodiless ? NULL : &body);
    s->submitted = true;
    s->head = (struct lt_h2_fields){.n = 0};
    return rv == 0 ? LT_OK : LT_ERR_NOMEM;
}

static bool is_window_shut(const struct lt_front_h2_stream *s)
{
    return nghttp2_session_get_stream_remote_window_size(session_of(s), s->id) <= 0 ||
           nghttp2_session_get_remote_window_size(session_of(s)) <= 0;
}

static enum lt_err flush(struct lt_front *base)
{
    struct lt_front_h2_stream *s = from_base(base);
    if (s->f->stream.failed) {
        return s->f->stream.write_err;
    }
    if (!s->submitted && s->head.n > 0) {
        enum lt_err err = submit(s);
        if (err != LT_OK) {
            return err;
        }
    } else if (s->deferred && (s->out.len > 0 || s->ended)) {
        if (nghttp2_session_resume_data(session_of(s), s->id) != 0) {
            return LT_ERR_NOMEM;
        }
        s->deferred = false;
    }
    if (s->submitted && s->ended && s->out.len == 0 && s->trailers.n > 0 && is_window_shut(s)) {
        /* nghttp2 would wait for the window, which trailers need not (RFC 9113 §5.2.1). */
        if (nghttp2_submit_trailer(session_of(s), s->id, s->trailers.v, s->trailers.n) != 0) {
            return LT_ERR_NOMEM;
        }
        s->trailers.n = 0;
    }
    if (s->out.len > 0) {
        s->was_unsent = true;
        if (s->write_us == 0) {
            s->data_out = s->f->data_out;
            lt_front_h2_set(s->f, &s->write_us, lt_front_h2_options(s->f)->write_ms);
        }
    }
    lt_front_h2_schedule(s->f);
    return LT_OK;
}

static enum lt_err send_end(struct lt_front *base, const struct lt_headers *trailers)
{
    struct lt_front_h2_stream *s = from_base(base);
    struct lt_h2_fields fields;
    if (trailers != NULL && trailers->n > 0 && !s->bodiless && !s->tunnel) {
        enum lt_err err = lt_h2_write_trailers(&s->x->arena, trailers, &fields);
        if (err != LT_OK || (fields.n > 0 && !keep_trailers(s, &fields))) {
            return err != LT_OK ? err : LT_ERR_NOMEM;
        }
    }
    s->ended = true;
    return s->tunnel ? flush(base) : LT_OK; /* of a tunnel nobody else does */
}

static size_t unsent(struct lt_front *base)
{
    return from_base(base)->out.len;
}

static bool take_back(struct lt_front *base)
{
    struct lt_front_h2_stream *s = from_base(base);
    if (s->submitted || s->tunnel) {
        return false;
    }
    lt_chain_clear(&s->out);
    s->head = s->trailers = (struct lt_h2_fields){.n = 0};
    s->ended = s->bodiless = false;
    return true;
}

/* What the client learns about a response that was cut. */
static uint32_t reset_code(const struct lt_front_h2_stream *s, enum lt_cause cause)
{
    switch (cause) {
    case LT_CAUSE_CLIENT_GONE:
    case LT_CAUSE_CLIENT_WRITE_TIMEOUT:
    case LT_CAUSE_BODY_TIMEOUT:
    case LT_CAUSE_BODY_TOO_SLOW:
    case LT_CAUSE_DRAINING:
        return NGHTTP2_CANCEL;
    case LT_CAUSE_TRAILER_INVALID:
        return NGHTTP2_PROTOCOL_ERROR;
    default:
        return s->tunnel ? NGHTTP2_CONNECT_ERROR : NGHTTP2_INTERNAL_ERROR;
    }
}

static void let_go(struct lt_front_h2_stream *s)
{
    s->x = NULL;
    s->exchange_us = s->body_us = 0;
    s->was_unsent = false;
    s->pauses = 0;
    lt_chain_clear(&s->early);
    lt_front_h2_stream_consume(s);
    if (!s->end_sent && s->write_us == 0) { /* its end may wait for the window */
        s->data_out = s->f->data_out;
        lt_front_h2_set(s->f, &s->write_us, lt_front_h2_options(s->f)->write_ms);
    }
}

static void abort_front(struct lt_front *base, enum lt_cause cause)
{
    struct lt_front_h2_stream *s = from_base(base);
    let_go(s);
    lt_front_h2_stream_reset(s, reset_code(s, cause));
}

static void finish(struct lt_front *base, bool response_ok)
{
    struct lt_front_h2_stream *s = from_base(base);
    let_go(s);
    if (!response_ok) {
        lt_front_h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (!s->ended) { /* a tunnel that we end */
        s->ended = true;
        if (s->deferred) {
            s->deferred = false;
            int rv = nghttp2_session_resume_data(session_of(s), s->id);
            (void)rv; /* the stream may be closing: then nothing is left to do */
        }
        lt_front_h2_schedule(s->f);
    }
    if (s->end_sent && !s->body_done) {
        lt_front_h2_stream_reset(s, NGHTTP2_NO_ERROR); /* RFC 9113 §8.1 */
    }
}

static void pause_front(struct lt_front *base, enum lt_pause reason)
{
    from_base(base)->pauses |= reason;
}

static void resume_front(struct lt_front *base, enum lt_pause reason)
{
    struct lt_front_h2_stream *s = from_base(base);
    s->pauses &= ~(unsigned)reason;
    lt_front_h2_stream_consume(s);
    if (!s->body_done) {
        lt_front_h2_begin_body(s);
    }
}

static void set_timer(struct lt_front *base, uint64_t ms)
{
    struct lt_front_h2_stream *s = from_base(base);
    if (ms > 0) {
        lt_front_h2_set(s->f, &s->exchange_us, ms);
    } else {
        s->exchange_us = 0;
    }
}

static void local(struct lt_front *base, struct lt_addr *out)
{
    if (lt_listener_address(from_base(base)->f->stream.fd, out) != LT_OK) {
        out->len = 0;
    }
}

const struct lt_front_ops lt_front_h2_ops = {
    .name = "HTTP/2",
    .send_informational = send_informational,
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .unsent = unsent,
    .take_back = take_back,
    .abort = abort_front,
    .finish = finish,
    .pause = pause_front,
    .resume = resume_front,
    .set_timer = set_timer,
    .local = local,
};
