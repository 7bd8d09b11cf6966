/* SPDX-License-Identifier: Apache-2.0 */
/* What nghttp2 tells of a client's frames. It decodes, counts windows and judges messages as far as
 * RFC 9113 names them malformed (stream errors); here heads become exchanges. Nothing here frees
 * the session or sends: what has to end is noted (lt_front_h2_fail). The worker's thread. */
#include "front/front_h2_conn.h"

#define TRAILERS_MAX 32u
/* A head this much over its limit is no mistake any more: decoding it costs us, not the client. */
#define HEAD_ABUSE (256u * 1024u)

static struct lt_front_h2 *from_arg(void *arg)
{
    struct lt_front_h2 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    return f;
}

static struct lt_front_h2_stream *stream_of(const struct lt_front_h2 *f, int32_t id)
{
    struct lt_front_h2_stream *s = nghttp2_session_get_stream_user_data(f->session, id);
    if (s != NULL) {
        LT_OBJ_CHECK(s, LT_FRONT_H2_STREAM_MAGIC);
    }
    return s;
}

static int result(const struct lt_front_h2 *f)
{
    return f->error == NGHTTP2_NO_ERROR ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- Heads. ---- */

/* Refuses a new stream before anything is made for it; the client may try again (§8.7). */
static int refuse_stream(struct lt_front_h2 *f, int32_t id)
{
    lt_metrics_add(f->fronts->env->metrics, LT_COUNTER_H2_REFUSED, 1);
    if (nghttp2_submit_rst_stream(f->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM) != 0) {
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int begin_request(struct lt_front_h2 *f, int32_t id)
{
    const struct lt_front_options *o = lt_front_h2_options(f);
    const struct lt_h2_limits limits = {
        .head = o->head_max, .headers = o->headers_max, .target = o->target_max};
    struct lt_front_h2_stream *s = NULL;
    if (f->n_streams + f->ghosts < o->h2.streams &&
        f->fronts->streams.live < f->fronts->env->streams_max) {
        s = lt_front_h2_stream_new(f, id);
    }
    if (s == NULL) {
        return refuse_stream(f, id);
    }
    if (nghttp2_session_set_stream_user_data(f->session, id, s) != 0) {
        lt_front_h2_stream_end(s, LT_CAUSE_OUT_OF_MEMORY);
        lt_front_h2_watch_idle(f);
        return refuse_stream(f, id);
    }
    struct lt_request *req = &s->x->req;
    req->version = 20;
    lt_headers_init(&req->headers, &s->x->arena, limits.headers + LT_H2_SPARE);
    lt_h2_begin(&f->block, &req->headers, &limits);
    f->block_stream = s;
    lt_front_h2_set(f, &f->block_us, o->head_ms);
    return 0;
}

static void begin_trailers(struct lt_front_h2 *f, int32_t id)
{
    const struct lt_front_options *o = lt_front_h2_options(f);
    const struct lt_h2_limits limits = {.head = o->head_max, .headers = TRAILERS_MAX};
    struct lt_front_h2_stream *s = stream_of(f, id);
    f->block_stream = s != NULL && s->x != NULL ? s : NULL;
    if (f->block_stream != NULL) {
        s->x->req_trailers.n = 0;
        lt_h2_begin(&f->block, &s->x->req_trailers, &limits);
        lt_front_h2_set(f, &f->block_us, o->head_ms);
    }
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    struct lt_front_h2 *f = from_arg(arg);
    f->block_stream = NULL;
    f->block.size = 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        return begin_request(f, frame->hd.stream_id);
    }
    begin_trailers(f, frame->hd.stream_id);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    (void)session, (void)flags;
    struct lt_front_h2 *f = from_arg(arg);
    struct lt_front_h2_stream *s = f->block_stream;
    if (s == NULL || s->x == NULL || s->id != frame->hd.stream_id) {
        f->block.size += name_len + value_len + 4; /* its exchange may have ended: decoding costs */
    } else {
        lt_h2_field(&f->block, lt_str((const char *)name, name_len),
                    lt_str((const char *)value, value_len));
    }
    if (f->block.size > lt_max(4 * lt_front_h2_options(f)->head_max, (size_t)HEAD_ABUSE)) {
        lt_front_h2_fail(f, NGHTTP2_ENHANCE_YOUR_CALM, LT_CAUSE_H2_ABUSE, "header list");
    }
    return result(f);
}

/* Control bytes and the like: nghttp2 would only leave the field out. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
    (void)session, (void)frame, (void)name, (void)name_len;
    (void)value, (void)value_len, (void)flags, (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* a stream error */
}

/* The head is whole: lets its exchange run. */
static void start(struct lt_front_h2 *f, struct lt_front_h2_stream *s, bool ended)
{
    const struct lt_front_options *o = lt_front_h2_options(f);
    struct lt_exchange *x = s->x;
    if (x == NULL) {
        return;
    }
    enum lt_cause cause = lt_h2_request(&f->block, ended, &f->fronts->env->loop->rand, &x->req);
    f->requests++;
    s->body_done = ended;
    if ((o->requests_max > 0 && f->requests >= o->requests_max) || lt_front_h2_is_old(f) ||
        f->fronts->env->draining || f->listener >= f->fronts->env->view->n_listeners) {
        lt_front_h2_shutdown(f);
    }
    if (cause != LT_CAUSE_NONE) {
        s->begun = true;
        lt_exchange_refuse(x, cause, &f->peer, f->tls);
        return;
    }
    if (!ended && !x->req.must_switch) {
        lt_front_h2_begin_body(s);
    }
    /* No body was announced but it may still come: then nothing of the request is passed on. */
    if (ended || x->req.body != LT_BODY_LENGTH || x->req.content_length > 0) {
        s->begun = true;
        lt_exchange_begin(x, &f->peer, f->tls);
    }
}

/* ---- Bodies. ---- */

static void fed(struct lt_front_h2 *f, struct lt_front_h2_stream *s)
{
    if (!lt_list_linked(&s->fed_link)) {
        lt_list_push_back(&f->fed, &s->fed_link);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg)
{
    (void)flags;
    struct lt_front_h2 *f = from_arg(arg);
    struct lt_front_h2_stream *s = stream_of(f, id);
    if (s == NULL) {
        return nghttp2_session_consume(session, id, n) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    s->held += n;
    s->body_bytes += n;
    fed(f, s);
    if (s->x == NULL) {
        return 0;
    }
    if (s->x->req.must_switch && (!s->tunnel || s->early.len > 0)) {
        /* Not more than the window: it isn't given back yet. */
        if (lt_chain_append(&s->early, p, n) != LT_OK) {
            lt_exchange_request_fail(s->x, LT_CAUSE_OUT_OF_MEMORY);
        }
        return 0;
    }
    lt_exchange_request_body(s->x, (const char *)p, n);
    return 0;
}

static void end_request(struct lt_front_h2_stream *s)
{
    s->body_done = true;
    s->body_us = 0;
    if (s->x != NULL && !s->begun) { /* see start */
        s->begun = true;
        lt_exchange_begin(s->x, &s->f->peer, s->f->tls);
    } else if (s->x != NULL && (!s->x->req.must_switch || (s->tunnel && s->early.len == 0))) {
        lt_exchange_request_end(s->x);
    }
}

static void end_trailers(struct lt_front_h2 *f, struct lt_front_h2_stream *s)
{
    if (f->block_stream == s && s->x != NULL) {
        enum lt_cause cause = lt_h2_trailers(&f->block);
        if (cause != LT_CAUSE_NONE && !s->begun) {
            s->body_done = s->begun = true;
            lt_exchange_refuse(s->x, cause, &f->peer, f->tls);
            return;
        }
        if (cause != LT_CAUSE_NONE) {
            s->body_done = true;
            lt_exchange_request_fail(s->x, cause);
            return;
        }
    }
    end_request(s);
}

/* ---- Whole frames. ---- */

static void on_headers(struct lt_front_h2 *f, const nghttp2_frame *frame)
{
    struct lt_front_h2_stream *s = stream_of(f, frame->hd.stream_id);
    bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    f->block_us = 0;
    if (s == NULL) {
        return;
    }
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        start(f, s, ended);
    } else if (ended) {
        end_trailers(f, s);
    }
    f->block_stream = NULL;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    struct lt_front_h2 *f = from_arg(arg);
    struct lt_front_h2_stream *s;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        on_headers(f, frame);
        break;
    case NGHTTP2_DATA:
        lt_front_h2_pay_received(f);
        s = stream_of(f, frame->hd.stream_id);
        if (s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            end_request(s);
        } else if (frame->hd.length > 0 && frame->hd.length == frame->data.padlen) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_EMPTY);
        }
        break;
    case NGHTTP2_RST_STREAM:
        s = stream_of(f, frame->hd.stream_id);
        if (s != NULL) {
            s->reset = true;
        }
        break;
    case NGHTTP2_SETTINGS:
        if (!f->greeted) {
            f->greeted = true;
            lt_front_h2_watch_idle(f);
        }
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && f->shutdown == LT_FRONT_H2_NOTICED) {
            lt_front_h2_shutdown_last(f); /* nothing sent before our notice is on its way */
        }
        break;
    default:
        break; /* nghttp2's own business */
    }
    return result(f);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)session;
    struct lt_front_h2 *f = from_arg(arg);
    struct lt_front_h2_stream *s = stream_of(f, frame->hd.stream_id);
    bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        uint32_t code = frame->rst_stream.error_code;
        if (s != NULL) {
            s->reset_sent = true;
        } else {
            lt_front_h2_remember(f, frame->hd.stream_id, LT_FRONT_H2_RESET_BY_US);
        }
        if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_CANCEL && code != NGHTTP2_INTERNAL_ERROR &&
            code != NGHTTP2_CONNECT_ERROR) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_RESETS_CAUSED);
        }
    } else if (frame->hd.type == NGHTTP2_GOAWAY && f->error == NGHTTP2_NO_ERROR) {
        f->goaway = frame->goaway.error_code; /* nghttp2's own decision */
    } else if (message && s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        s->end_sent = true;
        if (!s->body_done && s->x == NULL) {
            lt_front_h2_stream_reset(s, NGHTTP2_NO_ERROR); /* the rest isn't wanted (§8.1) */
        }
    }
    return 0;
}

/* nghttp2 couldn't put a frame of a response together: the client isn't left waiting for it. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *arg)
{
    (void)session, (void)error;
    struct lt_front_h2 *f = from_arg(arg);
    struct lt_front_h2_stream *s = stream_of(f, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && s != NULL && !s->reset_sent) {
        lt_front_h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct lt_front_h2 *f = from_arg(arg);
    struct lt_front_h2_stream *s = stream_of(f, id);
    (void)error;
    if (s == NULL) { /* refused before it was one: its reset was noted */
        return 0;
    }
    lt_front_h2_remember(f, id,
                         s->reset        ? LT_FRONT_H2_RESET_BY_PEER
                         : s->reset_sent ? LT_FRONT_H2_RESET_BY_US
                                         : LT_FRONT_H2_ENDED);
    enum lt_cause cause = LT_CAUSE_CLIENT_GONE;
    if (!s->reset && s->x != NULL) {
        cause = LT_CAUSE_H2_MALFORMED;
        lt_metrics_add(f->fronts->env->metrics, LT_COUNTER_H2_MALFORMED, 1);
    }
    if (s->held > 0 && nghttp2_session_consume_connection(session, s->held) != 0) {
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
    }
    lt_front_h2_stream_end(s, cause);
    lt_front_h2_watch_idle(f);
    lt_front_h2_schedule(f);
    return 0;
}

/* A rule was broken: the session answers by itself, by a reset or the end. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg)
{
    (void)session, (void)frame;
    struct lt_front_h2 *f = from_arg(arg);
    f->last_fault = nghttp2_strerror(error);
    return 0;
}

nghttp2_session_callbacks *lt_front_h2_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c) != 0) {
        return NULL;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(c, lt_front_h2_on_send_data);
    return c;
}

/* ---- The session. ---- */

static nghttp2_option *options(const struct lt_front_h2_options *o)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0) {
        return NULL;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, o->header_table);
    nghttp2_option_set_max_send_header_block_length(option, LT_EXCHANGE_ARENA_MAX);
    nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
    /* These are counted here, with limits of their own, which come first. */
    nghttp2_option_set_max_continuations(option, o->max_continuations + 1u);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_C(1) << 40, UINT64_C(1) << 40);
    return option;
}

bool lt_front_h2_session(struct lt_front_h2 *f)
{
    const struct lt_front_options *o = lt_front_h2_options(f);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->h2.streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->h2.window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->head_max},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, o->h2.header_table},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_option *option = options(&o->h2);
    int rv = option != NULL
                 ? nghttp2_session_server_new2(&f->session, f->fronts->callbacks, f, option)
                 : NGHTTP2_ERR_NOMEM;
    nghttp2_option_del(option);
    if (rv != 0) {
        return false;
    }
    if (nghttp2_submit_settings(f->session, NGHTTP2_FLAG_NONE, settings, lt_countof(settings)) !=
            0 ||
        nghttp2_session_set_local_window_size(f->session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)o->h2.connection_window) != 0) {
        nghttp2_session_del(f->session);
        f->session = NULL;
        return false;
    }
    return true;
}
