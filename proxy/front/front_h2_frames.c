/* SPDX-License-Identifier: Apache-2.0 */
/* A client's frames before nghttp2 has them. Each is given to it alone, after its head was judged
 * here: counted against abuse, and by the rules that nghttp2 passes over in silence (frames on
 * streams that are closed, priorities of RFC 7540). The worker's thread. */
#include "front/front_h2_conn.h"

#define HEAD_LEN 9u     /* of a frame (RFC 9113 §4.1) */
#define PRIORITY_LEN 5u /* of PRIORITY's payload */

static uint32_t read_u31(const unsigned char *p)
{
    return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) & 0x7fffffffu;
}

/* ---- Streams that are closed (RFC 9113 §5.1). ---- */

void lt_front_h2_remember(struct lt_front_h2 *f, int32_t id, enum lt_front_h2_how how)
{
    unsigned at = f->n_closed++ % LT_FRONT_H2_CLOSED;
    f->closed[at].id = id;
    f->closed[at].how = how;
}

/* False: it isn't remembered. */
static bool how_it_closed(const struct lt_front_h2 *f, int32_t id, enum lt_front_h2_how *how)
{
    for (unsigned i = 0; i < lt_min(f->n_closed, LT_FRONT_H2_CLOSED); i++) {
        if (f->closed[i].id == id) {
            *how = f->closed[i].how;
            return true;
        }
    }
    return false;
}

/* DATA or HEADERS on a stream that was opened before and isn't open. */
static void judge_closed(struct lt_front_h2 *f, const nghttp2_frame_hd *hd)
{
    enum lt_front_h2_how how;
    if (!how_it_closed(f, hd->stream_id, &how)) {
        if (hd->type == NGHTTP2_HEADERS && f->shutdown != LT_FRONT_H2_LAST) {
            lt_front_h2_fail(f, NGHTTP2_PROTOCOL_ERROR, LT_CAUSE_H2_PROTOCOL_ERROR,
                             "HEADERS with the id of an earlier stream"); /* §5.1.1 */
        }
        lt_front_h2_count(f, LT_FRONT_H2_MANY_LATE);
        return;
    }
    switch (how) {
    case LT_FRONT_H2_ENDED:
        lt_front_h2_fail(f, NGHTTP2_STREAM_CLOSED, LT_CAUSE_H2_PROTOCOL_ERROR,
                         "frame on a closed stream");
        break;
    case LT_FRONT_H2_RESET_BY_PEER:
        if (nghttp2_submit_rst_stream(f->session, NGHTTP2_FLAG_NONE, hd->stream_id,
                                      NGHTTP2_STREAM_CLOSED) != 0) {
            lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
        }
        break;
    case LT_FRONT_H2_RESET_BY_US:
        lt_front_h2_count(f, LT_FRONT_H2_MANY_LATE); /* some were on their way when we did */
        break;
    }
}

static bool is_closed(nghttp2_session *session, int32_t id)
{
    nghttp2_stream *stream = nghttp2_session_find_stream(session, id);
    return stream == NULL || nghttp2_stream_get_state(stream) == NGHTTP2_STREAM_STATE_CLOSED;
}

/* As many streams are open as may be: what was reset and only waits to be told ends now, so that
 * those who make us reset are found out by that. */
static void make_room(struct lt_front_h2 *f)
{
    size_t sent;
    unsigned max = lt_front_h2_options(f)->h2.streams;
    if (f->n_streams < max) {
        return;
    }
    if (lt_front_h2_write(f, &sent) != LT_OK) {
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_CLIENT_GONE, "write");
    } else if (f->n_streams >= max && lt_stream_unsent(&f->stream) > 0) {
        lt_front_h2_fail(f, NGHTTP2_ENHANCE_YOUR_CALM, LT_CAUSE_H2_ABUSE,
                         "requests of a client that doesn't read");
    }
}

static void judge_stream(struct lt_front_h2 *f, const nghttp2_frame_hd *hd)
{
    bool message = hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_DATA;
    if (!message || hd->stream_id % 2 == 0) {
        return; /* nghttp2 knows what to say */
    }
    if (hd->stream_id > f->last_id) {
        make_room(f);
        f->last_id = hd->type == NGHTTP2_HEADERS ? hd->stream_id : f->last_id;
    } else if (is_closed(f->session, hd->stream_id)) {
        judge_closed(f, hd);
    }
}

/* ---- Priorities of RFC 7540 §5.3: not obeyed, but still frames with rules. ---- */

/* Whether the frame's first four bytes name the stream that it is about. */
static bool is_priority(const nghttp2_frame_hd *hd)
{
    return (hd->type == NGHTTP2_PRIORITY && hd->length == PRIORITY_LEN) ||
           (hd->type == NGHTTP2_PRIORITY_UPDATE && hd->length >= 4);
}

static void judge_priority(struct lt_front_h2 *f, const nghttp2_frame_hd *hd,
                           const unsigned char *payload)
{
    uint32_t about = read_u31(payload);
    if (hd->type == NGHTTP2_PRIORITY
            ? hd->stream_id == 0 || about == (uint32_t)hd->stream_id /* RFC 7540 §5.3.1 */
            : about == 0 /* RFC 9218 §7.1 */) {
        lt_front_h2_fail(f, NGHTTP2_PROTOCOL_ERROR, LT_CAUSE_H2_PROTOCOL_ERROR,
                         "PRIORITY of no stream or on itself");
    }
}

/* ---- Frame by frame. ---- */

static void read_head(const unsigned char *p, nghttp2_frame_hd *hd)
{
    *hd = (nghttp2_frame_hd){.length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
                             .type = p[3],
                             .flags = p[4],
                             .stream_id = (int32_t)read_u31(p + 5)};
}

/* How much of a frame has to be there before it is judged. */
static size_t wanted(const unsigned char *p, size_t n)
{
    nghttp2_frame_hd hd;
    if (n < HEAD_LEN) {
        return HEAD_LEN;
    }
    read_head(p, &hd);
    return is_priority(&hd) ? HEAD_LEN + 4 : HEAD_LEN;
}

static void judge(struct lt_front_h2 *f, const unsigned char *p, nghttp2_frame_hd *hd)
{
    read_head(p, hd);
    lt_front_h2_count_frame(f, hd);
    f->ends_block = (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION) &&
                    (hd->flags & NGHTTP2_FLAG_END_HEADERS) != 0;
    if (f->error == NGHTTP2_NO_ERROR && is_priority(hd)) {
        judge_priority(f, hd, p + HEAD_LEN);
    }
    if (f->error == NGHTTP2_NO_ERROR) {
        judge_stream(f, hd);
    }
}

static bool feed(struct lt_front_h2 *f, const unsigned char *p, size_t n)
{
    ssize_t rv = nghttp2_session_mem_recv(f->session, p, n);
    if (rv < 0) {
        lt_front_h2_judge_read(f, rv);
    }
    return f->error == NGHTTP2_NO_ERROR;
}

void lt_front_h2_frames(struct lt_front_h2 *f, const char *data, size_t n)
{
    const unsigned char *p = (const unsigned char *)data;
    nghttp2_frame_hd hd;
    while (n > 0) {
        size_t take = lt_min(n, f->frame_left);
        if (take == 0 && f->n_head == 0 && n >= wanted(p, n)) {
            /* The usual case: the head lies there whole. */
            judge(f, p, &hd);
            take = lt_min(n, HEAD_LEN + hd.length);
            f->frame_left = HEAD_LEN + hd.length;
        } else if (take == 0) {
            f->head[f->n_head++] = *p++;
            n--;
            if (f->n_head < wanted(f->head, f->n_head)) {
                continue;
            }
            judge(f, f->head, &hd);
            f->frame_left = HEAD_LEN + hd.length - f->n_head;
            take = f->n_head;
            f->n_head = 0;
            if (f->error != NGHTTP2_NO_ERROR || !feed(f, f->head, take)) {
                return;
            }
            continue;
        }
        if (f->error != NGHTTP2_NO_ERROR || !feed(f, p, take)) {
            return;
        }
        f->frame_left -= take;
        if (f->frame_left == 0 && f->ends_block) {
            f->block_us = 0; /* also of a head that nghttp2 says nothing more of */
            f->ends_block = false;
        }
        p += take;
        n -= take;
    }
}
