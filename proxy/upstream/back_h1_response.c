/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 back's reading side: heads, informational ones too, and bodies of responses, and the
 * bytes of a tunnel. The worker's thread. */
#include "upstream/back_h1_conn.h"

#include "http/upgrade.h"
#include "upstream/idle.h"
#include "upstream/head_detail.h"

#define INFORMATIONAL_MAX 8 /* 1xx responses before the final one */
#define HEAD_BUF_FIRST 4096u

/* Keeps the beginning of a head that hasn't ended yet in the exchange's arena. */
static enum lt_err keep_head(struct lt_back_h1 *b, const char *p, size_t n, size_t max)
{
    if (n > b->head_cap - b->head_len) {
        size_t cap = lt_max(lt_max(b->head_cap * 2, (size_t)HEAD_BUF_FIRST), b->head_len + n);
        cap = lt_max(lt_min(cap, max), b->head_len + n);
        char *grown = lt_arena_chars(b->arena, cap);
        if (grown == NULL) {
            return LT_ERR_NOMEM;
        }
        if (b->head_len > 0) {
            memcpy(grown, b->head, b->head_len);
        }
        b->head = grown;
        b->head_cap = cap;
    }
    memcpy(b->head + b->head_len, p, n);
    b->head_len += n;
    return LT_OK;
}

/* A 101: the connection is a tunnel from here on, if the client asked for that. False: it failed.
 */
static bool switch_protocols(struct lt_back_h1 *b, struct lt_response *res)
{
    enum lt_cause cause = lt_upgrade_judge(res, b->offer);
    if (cause != LT_CAUSE_NONE) {
        lt_back_h1_fail(b, cause, 0, false);
        return false;
    }
    b->head_done = b->tunnel = true;
    b->server = NULL; /* the tunnel may outlive it */
    b->events->on_head(b->owner, res);
    return true;
}

/* The head is the whole response (RFC 9112 §6.3), but a sloppy server may send a body after it: one
 * that does so once keeps no such connection any more, since bytes that come later would be taken
 * for the next answer. */
static void take_bodiless(struct lt_back_h1 *b, const struct lt_response *res, size_t left)
{
    if (left > 0) {
        lt_back_h1_drop_body(b);
    }
    b->keep_alive = b->keep_alive && !b->pool->adds_bodies;
    b->bodiless = true;
    b->announced = b->method == LT_METHOD_HEAD || res->content_length > 0 ||
                   lt_headers_get(&res->headers, LT_HEADER_TRANSFER_ENCODING) != NULL;
}

/* Acts upon a head; left bytes came after it. As read_head. */
static enum lt_err take_head(struct lt_back_h1 *b, struct lt_response *res, size_t left)
{
    b->head_len = b->head_cap = 0;
    b->scan = (struct lt_h1_scan){.response = true};
    if (res->status == 101) {
        return switch_protocols(b, res) ? LT_OK : LT_ERR_INVALID;
    }
    if (res->status < 200) {
        if (++b->n_informational > INFORMATIONAL_MAX) {
            b->detail = LT_STR("too many interim responses");
            lt_back_h1_fail(b, LT_CAUSE_RESPONSE_INVALID, 0, false);
            return LT_ERR_INVALID;
        }
        b->events->on_informational(b->owner, res);
        return LT_OK;
    }
    b->head_done = true;
    b->keep_alive = res->keep_alive && res->body != LT_BODY_CLOSE;
    b->told_ms = lt_idle_told_ms(&res->headers);
    res->with_head = left;
    if (res->body == LT_BODY_NONE) {
        take_bodiless(b, res, left);
    }
    b->events->on_head(b->owner, res);
    return LT_OK;
}

/* Reads one head at *p if it is there whole. LT_OK: it was an informational or the final one and
 * *p, *n are what follows. LT_AGAIN: more is needed. LT_ERR_*: the exchange was told; b may be
 * gone. */
static enum lt_err read_head(struct lt_back_h1 *b, const char **p, size_t *n)
{
    const struct lt_upstream *u = b->server->upstream;
    struct lt_h1_limits limits = {.head = u->head_max, .headers = u->headers_max};
    enum lt_cause cause = LT_CAUSE_NONE;
    size_t head_len = 0;
    const char *all = *p;
    size_t all_len = *n;
    if (b->head_len > 0) {
        if (keep_head(b, *p, *n, u->head_max) != LT_OK) {
            lt_back_h1_fail(b, LT_CAUSE_OUT_OF_MEMORY, 0, false);
            return LT_ERR_NOMEM;
        }
        all = b->head;
        all_len = b->head_len;
    }
    enum lt_err err = lt_h1_scan(&b->scan, all, all_len, &limits, &head_len, &cause);
    if (err == LT_AGAIN) {
        if (b->head_len == 0 && keep_head(b, *p, *n, u->head_max) != LT_OK) {
            lt_back_h1_fail(b, LT_CAUSE_OUT_OF_MEMORY, 0, false);
            return LT_ERR_NOMEM;
        }
        return LT_AGAIN;
    }
    if (err != LT_OK) {
        b->detail = lt_head_detail_h1(b->arena, u, b->scan.rule, lt_str(all, all_len));
        lt_back_h1_fail(b, cause, 0, false);
        return err;
    }
    char *head = lt_arena_chars(b->arena, head_len);
    struct lt_response *res = head != NULL ? lt_arena_new(b->arena, struct lt_response) : NULL;
    if (res == NULL) {
        lt_back_h1_fail(b, LT_CAUSE_OUT_OF_MEMORY, 0, false);
        return LT_ERR_NOMEM;
    }
    memcpy(head, all, head_len);
    err = lt_h1_response(&b->parser, b->arena, head, head_len, &limits, b->method, res, &cause);
    if (err != LT_OK) {
        b->detail = lt_head_detail_h1(b->arena, u, b->parser.rule, lt_str(head, head_len));
        lt_back_h1_fail(b, cause, 0, false);
        return err;
    }
    *p = all + head_len;
    *n = all_len - head_len;
    return take_head(b, res, *n);
}

/* The response is whole; left bytes came after it. */
static void complete(struct lt_back_h1 *b, size_t left)
{
    const struct lt_back_events *events = b->events;
    void *owner = b->owner;
    if (left > 0) {
        b->keep_alive = false; /* bytes nobody asked for: never deliver them (RFC 9112 §9.2) */
    }
    lt_back_h1_retire(b);
    events->on_end(owner, &b->trailers);
}

/* Takes n bytes from the server. False: b is done with this exchange or gone. */
static bool feed(struct lt_back_h1 *b, const char *p, size_t n)
{
    while (!b->head_done) {
        if (n == 0) {
            return true;
        }
        enum lt_err err = read_head(b, &p, &n);
        if (err == LT_AGAIN) {
            return true;
        }
        if (err != LT_OK || b->events == NULL) {
            return false;
        }
    }
    if (b->tunnel) {
        if (n > 0) {
            b->events->on_body(b->owner, p, n);
        }
        return b->events != NULL;
    }
    for (;;) {
        size_t used = 0;
        struct lt_str piece = LT_STR_NONE;
        enum lt_cause cause = LT_CAUSE_NONE;
        enum lt_h1_event ev = lt_h1_body(&b->parser, p, n, &used, &piece, &b->trailers, &cause);
        p += used;
        n -= used;
        switch (ev) {
        case LT_H1_MORE:
            return true;
        case LT_H1_DATA:
            b->events->on_body(b->owner, piece.p, piece.len);
            if (b->events == NULL) {
                return false; /* cancelled from inside */
            }
            break;
        case LT_H1_END:
            complete(b, n);
            return false;
        case LT_H1_FAULT:
            b->detail =
                lt_head_detail_h1(b->arena, b->server->upstream, b->parser.rule, LT_STR_NONE);
            lt_back_h1_fail(b, cause, 0, false);
            return false;
        }
    }
}

static void on_end_of_stream(struct lt_back_h1 *b, enum lt_err err)
{
    /* What the kernel gives up by itself (no acknowledgement, no route) says nothing about what the
     * server has read. */
    bool reset = err == LT_ERR_RESET || (err == LT_EOF && b->bytes_received == 0 && !b->tunnel &&
                                         lt_stream_was_refused(&b->stream));
    if (b->tunnel) {
        if (err != LT_EOF) {
            lt_back_h1_fail(b, LT_CAUSE_TUNNEL_CUT, b->stream.sys_errno, true);
        } else {
            b->events->on_eof(b->owner);
        }
        return;
    }
    /* An end of TLS that anybody on the way may have made ends no message. */
    if (b->head_done && !reset && !lt_stream_was_cut(&b->stream) && lt_h1_eof_ends(&b->parser)) {
        complete(b, 0);
        return;
    }
    if (err == LT_EOF && b->bytes_received == 0 && !reset && lt_back_h1_await_reset(b)) {
        return;
    }
    if (err == LT_ERR_TLS) {
        b->detail = lt_str_c(lt_tls_error(b->stream.tls));
    }
    enum lt_cause cause = b->bytes_received > 0 ? LT_CAUSE_RESPONSE_CUT
                          : err == LT_ERR_TLS   ? lt_dial_tls_cause(b->pools, b->server, &b->stream)
                          : reset               ? LT_CAUSE_RESET_BEFORE_RESPONSE
                                                : LT_CAUSE_CLOSED_BEFORE_RESPONSE;
    lt_back_h1_fail(b, cause, b->stream.sys_errno, reset);
}

/* The server closed, or sent bytes nobody asked for. Either way it is of no more use; unless they
 * were TLS's own (tickets come after the handshake). */
static void idle_readable(struct lt_back_h1 *b)
{
    char some[64];
    size_t n = 0;
    enum lt_err err =
        b->state == LT_BACK_H1_IDLE ? lt_stream_recv(&b->stream, some, sizeof(some), &n) : LT_EOF;
    if (err == LT_AGAIN) {
        return;
    }
    if (err == LT_OK && b->bodiless) {
        lt_back_h1_drop_body(b);
    }
    lt_idle_seen(b->pool->state, b->pools->loop->now_us - b->idle_since_us, b->pools->loop->now_us);
    lt_back_h1_close(b);
}

static void on_readable(void *owner)
{
    struct lt_back_h1 *b = owner;
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    if (b->state != LT_BACK_H1_BUSY) {
        idle_readable(b);
        return;
    }
    struct lt_loop *loop = b->pools->loop;
    for (unsigned i = 0; i < LT_STREAM_READS && b->stream.pause_reasons == 0; i++) {
        size_t n = 0, room = b->events->on_room(b->owner);
        if (room == 0) {
            return;
        }
        enum lt_err err =
            lt_stream_recv(&b->stream, loop->scratch, lt_min(room, (size_t)LT_SCRATCH_SIZE), &n);
        if (err == LT_AGAIN) {
            break;
        }
        if (err != LT_OK) {
            on_end_of_stream(b, err);
            return;
        }
        b->bytes_received += n;
        if (!feed(b, loop->scratch, n)) {
            return;
        }
        /* What was put for the client lies in the scratch buffer: it must leave before the next
         * read. */
        b->events->on_turn(b->owner);
        if (b->events == NULL || b->state != LT_BACK_H1_BUSY) {
            return;
        }
    }
}

static void on_drained(void *owner)
{
    struct lt_back_h1 *b = owner;
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    if (b->state == LT_BACK_H1_BUSY && b->events != NULL) {
        b->events->on_drained(b->owner);
    }
}

const struct lt_stream_ops lt_back_h1_stream_ops = {
    .on_readable = on_readable,
    .on_drained = on_drained,
};
