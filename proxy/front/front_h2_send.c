/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 front's output. Whoever has something to send marks the connection; at the end of the
 * loop's turn the session is asked for frames, in the order of its priorities, until one buffer is
 * full, which leaves in one system call. While the socket doesn't take it, no frame is made: what
 * waits does so in the streams, where the exchange sees it. The worker's thread.
 *
 *   schedule ... end of turn: send -> fill (nghttp2: frames, on_send_data: bodies) -> put, flush
 */
#include "front/front_h2_conn.h"

#define FRAME_HEAD 9u
#define FRAME_ROOM (16384u + 256u) /* the largest piece that nghttp2 gives at once */
#define TURN_BYTES (1u << 20)      /* of one connection before others have their turn */
#define QUEUE_MAX 256u             /* control frames that may wait for a client that doesn't read */
#define IOV_BATCH 8

ssize_t lt_front_h2_on_read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                                 uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)buf, (void)arg;
    struct lt_front_h2_stream *s = source->ptr;
    LT_OBJ_CHECK(s, LT_FRONT_H2_STREAM_MAGIC);
    size_t n = lt_min(length, s->out.len);
    if (n == 0 && !s->ended) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == s->out.len && s->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers.n > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, s->trailers.v, s->trailers.n) != 0) {
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
            }
            s->trailers.n = 0;
        }
    }
    return (ssize_t)n;
}

/* What waited for the client has left: the exchange may go on, once nghttp2 is done. */
static void note_progress(struct lt_front_h2_stream *s, size_t n)
{
    struct lt_front_h2 *f = s->f;
    f->data_out += n;
    if (s->out.len > 0) {
        s->data_out = f->data_out;
        lt_front_h2_set(f, &s->write_us, lt_front_h2_options(f)->write_ms);
        return;
    }
    s->write_us = 0;
    if (s->was_unsent && !lt_list_linked(&s->caught_link)) {
        lt_list_push_back(&f->caught, &s->caught_link);
    }
}

int lt_front_h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                             size_t length, nghttp2_data_source *source, void *arg)
{
    (void)session, (void)frame;
    struct lt_front_h2 *f = arg;
    struct lt_front_h2_stream *s = source->ptr;
    struct lt_fronts_h2 *fronts = f->fronts;
    LT_OBJ_CHECK(s, LT_FRONT_H2_STREAM_MAGIC);
    if (LT_FRONT_H2_OUT - fronts->out_len < FRAME_HEAD + length) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (s->out.len < length) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* it was reset since the frame was begun */
    }
    char *at = fronts->out + fronts->out_len;
    memcpy(at, framehd, FRAME_HEAD);
    at += FRAME_HEAD;
    size_t left = length;
    fronts->out_len += FRAME_HEAD + left;
    while (left > 0) {
        struct iovec iov[IOV_BATCH];
        size_t n = lt_chain_peek(&s->out, iov, IOV_BATCH), bytes = 0;
        for (size_t i = 0; i < n && bytes < left; i++) {
            size_t len = lt_min(iov[i].iov_len, left - bytes);
            memcpy(at + bytes, iov[i].iov_base, len);
            bytes += len;
        }
        lt_chain_consume(&s->out, bytes);
        at += bytes;
        left -= bytes;
    }
    lt_front_h2_pay_sent(f, length);
    note_progress(s, length);
    return 0;
}

/* Fills the buffer with frames; gives how many bytes. */
static size_t fill(struct lt_front_h2 *f)
{
    struct lt_fronts_h2 *fronts = f->fronts;
    fronts->out_len = 0;
    while (LT_FRONT_H2_OUT - fronts->out_len >= FRAME_ROOM) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(f->session, &p);
        if (n < 0 || (size_t)n > LT_FRONT_H2_OUT - fronts->out_len) {
            n = -1;
            lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
        }
        if (n <= 0) {
            break;
        }
        memcpy(fronts->out + fronts->out_len, p, (size_t)n);
        fronts->out_len += (size_t)n;
    }
    return fronts->out_len;
}

/* Exchanges whose client has caught up. */
static void tell_caught_up(struct lt_front_h2 *f)
{
    struct lt_list *link;
    while ((link = lt_list_pop_front(&f->caught)) != NULL) {
        struct lt_front_h2_stream *s =
            lt_container_of(link, struct lt_front_h2_stream, caught_link);
        if (s->x != NULL && s->was_unsent && s->out.len == 0) {
            s->was_unsent = false;
            lt_exchange_front_drained(s->x);
        }
    }
}

/* A client that asks and asks for control frames and doesn't read them isn't read either. */
static void hold_or_go_on(struct lt_front_h2 *f)
{
    bool behind = lt_stream_unsent(&f->stream) > 0 &&
                  nghttp2_session_get_outbound_queue_size(f->session) > QUEUE_MAX;
    bool held = (f->stream.pause_reasons & LT_PAUSE_LIMIT) != 0;
    if (behind && !held) {
        lt_stream_pause(&f->stream, LT_PAUSE_LIMIT);
    } else if (!behind && held) {
        lt_stream_resume(&f->stream, LT_PAUSE_LIMIT);
    }
}

void lt_front_h2_schedule(struct lt_front_h2 *f)
{
    if (f->state == LT_FRONT_H2_OPEN) {
        lt_loop_defer(f->fronts->env->loop, &f->send, lt_front_h2_send, f);
    }
}

enum lt_err lt_front_h2_write(struct lt_front_h2 *f, size_t *sent)
{
    enum lt_err err = LT_OK;
    *sent = 0;
    while (err == LT_OK && lt_stream_unsent(&f->stream) == 0 && *sent < TURN_BYTES) {
        size_t n = fill(f);
        if (n == 0) {
            break;
        }
        *sent += n;
        err = lt_stream_put(&f->stream, f->fronts->out, n);
        err = err == LT_OK ? lt_stream_flush(&f->stream) : err;
    }
    return err;
}

void lt_front_h2_send(void *arg)
{
    struct lt_front_h2 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    size_t sent;
    if (f->state != LT_FRONT_H2_OPEN) {
        return;
    }
    lt_front_h2_end_turn(f);
    enum lt_err err = lt_front_h2_write(f, &sent);
    if (err != LT_OK) {
        lt_front_h2_close(f, err == LT_ERR_NOMEM || err == LT_ERR_LIMIT ? LT_CAUSE_OUT_OF_MEMORY
                                                                        : LT_CAUSE_CLIENT_GONE);
        return;
    }
    if (lt_stream_unsent(&f->stream) == 0) {
        f->write_us = 0;
    } else if (f->write_us == 0) {
        lt_front_h2_watch_write(f);
    }
    tell_caught_up(f);
    if (lt_front_h2_failed(f)) {
        return;
    }
    if (sent >= TURN_BYTES) {
        lt_front_h2_schedule(f);
    }
    hold_or_go_on(f);
    if (lt_stream_unsent(&f->stream) == 0 && nghttp2_session_want_write(f->session) == 0 &&
        nghttp2_session_want_read(f->session) == 0) {
        lt_front_h2_linger(f); /* GOAWAY has left, and all that was to be answered */
    }
}
