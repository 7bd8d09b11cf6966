/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 back's reading side: frames of a server become the events of its streams' exchanges.
 * The worker's thread.
 *
 *   HEADERS -> on_informational | on_head     DATA -> on_body     END_STREAM -> on_end
 *   RST_STREAM, GOAWAY, what breaks a rule -> on_fail             end of the turn -> on_turn,
 * credit
 *
 * nghttp2 judges frames and states, http/h2.h heads. A mistake in one response ends its stream, a
 * mistake in the protocol the connection. */
#include "upstream/back_h2_conn.h"

#include "http/upgrade.h"
#include "http/websocket.h"
#include "upstream/head_detail.h"

#define INFORMATIONAL_MAX 8 /* 1xx responses before the final one */
#define TRAILERS_MAX 32

static struct lt_back_h2_conn *from_arg(void *arg)
{
    struct lt_back_h2_conn *c = arg;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    return c;
}

/* What a callback answers: a connection that it closed reads no further. */
static int go_on(const struct lt_back_h2_conn *c)
{
    return c->state == LT_BACK_H2_CLOSED ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Its exchange hears of what came once the bytes of this turn are read. */
static void touch(struct lt_back_h2 *b)
{
    if (!lt_list_linked(&b->touch_link)) {
        lt_list_push_back(&b->conn->touched, &b->touch_link);
    }
}

static void reset_stream(struct lt_back_h2 *b, uint32_t code)
{
    struct lt_back_h2_conn *c = b->conn;
    if (nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, b->id, code) != 0) {
        lt_back_h2_conn_retire(c);
    }
    lt_back_h2_want_send(c);
}

/* The response broke a rule or isn't wanted any more. */
static void refuse(struct lt_back_h2 *b, enum lt_cause cause, uint32_t code, struct lt_str detail)
{
    reset_stream(b, code);
    lt_back_h2_fail(b, cause, false, detail);
}

/* ---- heads and trailers ---- */

static void begin_block(struct lt_back_h2 *b)
{
    struct lt_h2_limits limits = {.head = b->head_max, .headers = b->headers_max};
    struct lt_headers *headers = &b->trailer_fields;
    if (!b->head_done) {
        b->res = lt_arena_new(b->arena, struct lt_response);
        if (b->res == NULL) {
            refuse(b, LT_CAUSE_OUT_OF_MEMORY, NGHTTP2_CANCEL, LT_STR_NONE);
            return;
        }
        headers = &b->res->headers;
    } else {
        limits.headers = TRAILERS_MAX;
    }
    lt_headers_init(headers, b->arena, limits.headers + LT_H2_SPARE);
    lt_h2_begin(&b->block, headers, &limits);
}

static int on_begin_headers(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame,
                            void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b = lt_back_h2_of_stream(c, frame->hd.stream_id);
    if (b != NULL && c->state != LT_BACK_H2_CLOSED) {
        begin_block(b);
    }
    return go_on(c);
}

static int on_header(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
                     uint8_t flags LT_UNUSED, void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b = lt_back_h2_of_stream(c, frame->hd.stream_id);
    if (b != NULL) {
        b->bytes_received += name_len + value_len;
        lt_h2_field(&b->block, lt_str((const char *)name, name_len),
                    lt_str((const char *)value, value_len));
    }
    return go_on(c);
}

/* nghttp2 would leave such a field out and go on. */
static int on_invalid_header(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value LT_UNUSED,
                             size_t value_len LT_UNUSED, uint8_t flags LT_UNUSED, void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b = lt_back_h2_of_stream(c, frame->hd.stream_id);
    if (b != NULL) {
        lt_h2_field_invalid(&b->block, lt_str((const char *)name, name_len));
    }
    return go_on(c);
}

/* The server took the extended CONNECT: what a server of HTTP/1 says then (RFC 8441 §5). */
static enum lt_cause switch_protocols(struct lt_back_h2 *b, struct lt_response *res)
{
    struct lt_headers *headers = &res->headers;
    struct lt_str accept;
    lt_headers_remove(headers, LT_HEADER_CONTENT_LENGTH);
    lt_headers_remove_name(headers, LT_STR("sec-websocket-accept"));
    res->status = 101;
    res->body = LT_BODY_NONE;
    if (b->ws_key.len > 0) {
        if (!lt_websocket_accept(b->arena, b->ws_key, &accept) ||
            lt_headers_add(headers, LT_STR("Sec-WebSocket-Accept"), accept) != LT_OK) {
            return LT_CAUSE_OUT_OF_MEMORY;
        }
    }
    if (lt_headers_set_id(headers, LT_HEADER_UPGRADE, b->offer) != LT_OK) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    res->upgrade = b->offer;
    b->tunnel = true;
    return LT_CAUSE_NONE;
}

static void take_informational(struct lt_back_h2 *b, const struct lt_response *res)
{
    if (++b->n_informational > INFORMATIONAL_MAX) {
        refuse(b, LT_CAUSE_RESPONSE_INVALID, NGHTTP2_ENHANCE_YOUR_CALM,
               LT_STR("too many interim responses"));
        return;
    }
    b->events->on_informational(b->owner, res);
}

static void take_head(struct lt_back_h2 *b, bool ended)
{
    struct lt_response *res = b->res;
    enum lt_cause cause = lt_h2_response(&b->block, ended, b->method, res);
    if (cause == LT_CAUSE_NONE && res->status >= 200 && res->status < 300 && b->offer.len > 0 &&
        !ended) {
        cause = switch_protocols(b, res);
    }
    if (cause != LT_CAUSE_NONE) {
        refuse(b, cause, NGHTTP2_PROTOCOL_ERROR,
               lt_head_detail_h2(b->arena, b->upstream, &b->block));
        return;
    }
    if (res->status != 101 && res->status < 200) {
        take_informational(b, res);
        return;
    }
    b->head_done = true;
    touch(b);
    b->events->on_head(b->owner, res);
}

/* ---- the end of a stream ---- */

/* The response is whole. A server may answer before it has read all: the rest isn't sent then
 * (RFC 9113 §8.1). */
static void complete(struct lt_back_h2 *b)
{
    const struct lt_back_events *events = b->events;
    void *owner = b->owner;
    if (b->tunnel) {
        b->eof = true;
        touch(b);
        events->on_eof(owner);
        return;
    }
    if (!b->sent) {
        reset_stream(b, NGHTTP2_NO_ERROR);
    }
    lt_back_h2_detach(b);
    events->on_end(owner, &b->trailer_fields);
}

/* A body begins where none may be: the head was the whole response (RFC 9110 §6.4.1). Asked for
 * before nghttp2 sees the body, which it would call an error of the stream. */
static void drop_body(struct lt_back_h2 *b)
{
    lt_pools_count_dropped_body(b->pools);
    reset_stream(b, NGHTTP2_CANCEL);
    b->sent = true; /* what wasn't isn't wanted any more */
    complete(b);
}

static void take_headers(struct lt_back_h2 *b, bool ended)
{
    if (!b->head_done) {
        take_head(b, ended);
    } else if (b->tunnel || lt_h2_trailers(&b->block) != LT_CAUSE_NONE) {
        struct lt_str why = b->tunnel ? LT_STR("a head in a tunnel")
                                      : lt_head_detail_h2(b->arena, b->upstream, &b->block);
        refuse(b, LT_CAUSE_RESPONSE_INVALID, NGHTTP2_PROTOCOL_ERROR, why);
    }
}

static enum lt_cause reset_cause(const struct lt_back_h2 *b, uint32_t code)
{
    if (b->tunnel) {
        return LT_CAUSE_TUNNEL_CUT;
    }
    if (b->head_done) {
        return LT_CAUSE_RESPONSE_CUT;
    }
    return code == NGHTTP2_REFUSED_STREAM ? LT_CAUSE_STREAM_REFUSED : LT_CAUSE_STREAM_RESET;
}

static struct lt_str code_name(uint32_t code)
{
    return lt_str_c(nghttp2_http2_strerror(code));
}

/* The stream is no more: by a RST_STREAM of the server's, by its GOAWAY, or because nghttp2 judged
 * the response to be malformed. Streams that ended in order have let go of their back before. */
static int on_stream_close(nghttp2_session *session LT_UNUSED, int32_t id, uint32_t code,
                           void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b = lt_back_h2_of_stream(c, id);
    if (b == NULL || c->state == LT_BACK_H2_CLOSED) {
        return go_on(c);
    }
    if (b->tunnel && code == NGHTTP2_NO_ERROR && b->eof) {
        b->id = 0; /* both directions have ended, or the server takes no more */
        lt_chain_clear(&b->out);
        if (!lt_list_linked(&b->drain_link)) {
            lt_list_push_back(&c->drained, &b->drain_link);
        }
        return 0;
    }
    if (b->unsendable) {
        lt_back_h2_fail(b, LT_CAUSE_INTERNAL, false, b->detail);
        return go_on(c);
    }
    if (b->was_reset || !b->on_wire || code == NGHTTP2_REFUSED_STREAM) {
        bool refused = code == NGHTTP2_REFUSED_STREAM || !b->on_wire;
        uint32_t said = refused ? NGHTTP2_REFUSED_STREAM : code;
        lt_back_h2_fail(b, reset_cause(b, said), refused, code_name(said));
    } else {
        lt_back_h2_fail(
            b, b->head_done ? LT_CAUSE_RESPONSE_FRAMING_INVALID : LT_CAUSE_RESPONSE_INVALID, false,
            b->detail.len > 0 ? b->detail : code_name(code));
    }
    return go_on(c);
}

/* ---- frames ---- */

/* A body needs to be as long as the head says; nghttp2 has seen to that. */
static int on_data(nghttp2_session *session, uint8_t flags LT_UNUSED, int32_t id,
                   const uint8_t *data, size_t n, void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b = lt_back_h2_of_stream(c, id);
    /* The window of the connection must not depend on one slow client. */
    if (nghttp2_session_consume_connection(session, n) != 0) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (b == NULL || c->state == LT_BACK_H2_CLOSED) {
        return go_on(c);
    }
    if (!b->head_done) {
        refuse(b, LT_CAUSE_RESPONSE_FRAMING_INVALID, NGHTTP2_PROTOCOL_ERROR,
               LT_STR("a body before its head"));
        return go_on(c);
    }
    b->owed += n;
    b->bytes_received += n;
    touch(b);
    b->events->on_body(b->owner, (const char *)data, n);
    return go_on(c);
}

static void take_settings(struct lt_back_h2_conn *c)
{
    c->settings_seen = true;
    c->pool->h2_streams =
        nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    lt_list_each(it, tmp, &c->streams)
    {
        struct lt_back_h2 *b = lt_container_of(it, struct lt_back_h2, link);
        if (b->state == LT_BACK_H2_HELD) {
            lt_back_h2_go_on(b);
        }
    }
}

static void take_goaway(struct lt_back_h2_conn *c, const nghttp2_goaway *goaway)
{
    if (goaway->error_code != NGHTTP2_NO_ERROR) {
        c->detail = code_name(goaway->error_code);
    }
    lt_back_h2_conn_retire(c);
    lt_list_each(it, tmp, &c->streams)
    {
        struct lt_back_h2 *b = lt_container_of(it, struct lt_back_h2, link);
        if (b->state == LT_BACK_H2_HELD) {
            lt_back_h2_fail(b, LT_CAUSE_STREAM_REFUSED, true, LT_STR("GOAWAY"));
        }
    }
}

static int on_frame(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame, void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct lt_back_h2 *b =
        frame->hd.stream_id > 0 ? lt_back_h2_of_stream(c, frame->hd.stream_id) : NULL;
    if (c->state == LT_BACK_H2_CLOSED) {
        return go_on(c);
    }
    switch (frame->hd.type) { /* a default on purpose: the library acts upon the others */
    case NGHTTP2_DATA:
        if (frame->hd.length > 0 && frame->hd.length == frame->data.padlen && !ended) {
            lt_back_h2_count(c); /* nothing but padding */
        }
        break;
    case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
            take_settings(c);
        }
        break;
    case NGHTTP2_GOAWAY:
        take_goaway(c, &frame->goaway);
        break;
    case NGHTTP2_RST_STREAM:
        if (b != NULL) {
            b->was_reset = true; /* on_stream_close follows */
        }
        break;
    case NGHTTP2_HEADERS:
        if (b != NULL) {
            take_headers(b, ended);
        }
        break;
    default:
        break;
    }
    if (b != NULL && b->state == LT_BACK_H2_BUSY && ended &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
        complete(b);
    }
    return go_on(c);
}

static int on_begin_frame(nghttp2_session *session LT_UNUSED, const nghttp2_frame_hd *hd,
                          void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b =
        hd->type == NGHTTP2_DATA && hd->length > 0 ? lt_back_h2_of_stream(c, hd->stream_id) : NULL;
    lt_back_h2_count_frame(c, hd);
    if (c->state != LT_BACK_H2_CLOSED && b != NULL && b->head_done && !b->tunnel &&
        (b->method == LT_METHOD_HEAD || lt_status_bodiless(b->res->status))) {
        drop_body(b);
    }
    return go_on(c);
}

static int on_frame_sent(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame,
                         void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    lt_back_h2_pay(c, &frame->hd);
    if (frame->hd.type == NGHTTP2_HEADERS) {
        struct lt_back_h2 *b = lt_back_h2_of_stream(c, frame->hd.stream_id);
        if (b != NULL) {
            b->bytes_sent += frame->hd.length;
        }
        if (b != NULL && !b->on_wire) {
            b->on_wire = true;
            b->asked_us = c->pools->loop->now_us;
        }
    } else if (frame->hd.type == NGHTTP2_GOAWAY && c->detail.len == 0) {
        c->detail = code_name(frame->goaway.error_code); /* nghttp2's judgement */
    }
    return 0;
}

/* A request's head didn't leave: because the server says goodbye, or because it can't be written.
 */
static int on_frame_not_sent(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame,
                             int error, void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b =
        frame->hd.type == NGHTTP2_HEADERS ? lt_back_h2_of_stream(c, frame->hd.stream_id) : NULL;
    if (b != NULL && (error == NGHTTP2_ERR_FRAME_SIZE_ERROR || error == NGHTTP2_ERR_HEADER_COMP)) {
        b->unsendable = true; /* on_stream_close follows */
        b->detail = lt_str_c(nghttp2_strerror(error));
    }
    return 0;
}

/* Why nghttp2 gives the stream or the connection up. */
static int on_invalid_frame(nghttp2_session *session LT_UNUSED, const nghttp2_frame *frame,
                            int error, void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    struct lt_back_h2 *b =
        frame->hd.stream_id > 0 ? lt_back_h2_of_stream(c, frame->hd.stream_id) : NULL;
    struct lt_str *detail = b != NULL ? &b->detail : &c->detail;
    *detail = lt_str_c(nghttp2_strerror(error));
    if (b != NULL && error == NGHTTP2_ERR_HTTP_HEADER && c->broken_len > 0) {
        const struct lt_h2_block block = {.rule = LT_CAUSE_HEADER_INVALID,
                                          .broken = lt_str(c->broken, c->broken_len)};
        *detail = lt_head_detail_h2(b->arena, b->upstream, &block);
    }
    c->broken_len = 0;
    return 0;
}

/* Comes before that. Only its text has the field: "..., name: [NAME], value: [VALUE]". */
static int on_error(nghttp2_session *session LT_UNUSED, int error, const char *text, size_t len,
                    void *user_data)
{
    struct lt_back_h2_conn *c = from_arg(user_data);
    const struct lt_str before = LT_STR("name: [");
    struct lt_str name = lt_str(text, len);
    size_t begin = lt_str_find(name, before);
    c->broken_len = 0;
    if (error == NGHTTP2_ERR_HTTP_HEADER && begin != SIZE_MAX) {
        name = lt_str_sub(name, begin + before.len, len);
        name = lt_str_sub(name, 0, lt_str_find(name, LT_STR("], value: [")));
        c->broken_len = lt_min(name.len, sizeof(c->broken));
        memcpy(c->broken, name.p, c->broken_len);
    }
    return 0;
}

void lt_back_h2_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

/* ---- the end of a turn ---- */

void lt_back_h2_give_credit(struct lt_back_h2 *b)
{
    struct lt_back_h2_conn *c = b->conn;
    if (b->paused != 0 || b->owed == 0 || b->id == 0) {
        return;
    }
    if (!b->grown && c->options.window > LT_BACK_H2_WINDOW_FIRST) {
        b->grown = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, b->id,
                                                         (int32_t)c->options.window) == 0;
    }
    if (nghttp2_session_consume_stream(c->session, b->id, b->owed) != 0) {
        lt_back_h2_conn_retire(c); /* without memory: time limits end what stands still */
    }
    b->owed = 0;
    lt_back_h2_want_send(c);
}

void lt_back_h2_end_turn(struct lt_back_h2_conn *c)
{
    struct lt_list *node;
    while (c->state != LT_BACK_H2_CLOSED && (node = lt_list_pop_front(&c->touched)) != NULL) {
        struct lt_back_h2 *b = lt_container_of(node, struct lt_back_h2, touch_link);
        b->events->on_turn(b->owner);
        if (b->events != NULL && b->paused == 0 && b->events->on_room(b->owner) > 0) {
            lt_back_h2_give_credit(b);
        }
    }
}
