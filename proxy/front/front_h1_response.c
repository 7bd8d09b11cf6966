/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 front's answers: frames the response of an exchange and sends it (RFC 9112 §6, §7.1,
 * §9.3). The worker's thread. */
#include "front/front_h1_conn.h"

#include "net/listener.h"

#define DISCARD_MAX 65536u /* rest of a refused body that is read rather than closed upon */

static struct lt_front_h1 *from_base(struct lt_front *base)
{
    struct lt_front_h1 *f = lt_container_of(base, struct lt_front_h1, base);
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    return f;
}

static enum lt_err put(struct lt_front_h1 *f, const void *p, size_t n)
{
    return lt_stream_put(&f->stream, p, n);
}

static void send_informational(struct lt_front *base, unsigned status,
                               const struct lt_headers *headers)
{
    struct lt_front_h1 *f = from_base(base);
    struct lt_headers none;
    struct lt_str head;
    if (headers == NULL) {
        lt_headers_init(&none, &f->x->arena, 0);
        headers = &none;
    }
    if (f->x->req.version < 11 ||
        lt_h1_write_response(&f->x->arena, 11, status, headers, &head) != LT_OK ||
        put(f, head.p, head.len) != LT_OK) {
        return;
    }
    if (status == 100 && !f->body_done) {
        lt_front_h1_begin_body(f); /* it was for us to ask until now */
    }
    /* A failure shows again with the final response. */
    enum lt_err err = lt_stream_flush(&f->stream);
    (void)err;
}

/* Whether what is left of the request body is little enough to be read and thrown away. */
static bool may_discard(const struct lt_front_h1 *f)
{
    const struct lt_request *req = &f->x->req;
    return req->body == LT_BODY_LENGTH && req->content_length <= DISCARD_MAX &&
           !req->expect_continue;
}

/* How the response is delimited and whether the connection lives on (RFC 9112 §6, §9.3). */
static enum lt_err add_framing(struct lt_front_h1 *f, struct lt_response *res, bool bodiless)
{
    struct lt_headers *h = &res->headers;
    bool http10 = f->x->req.version < 11;
    enum lt_err err = LT_OK;
    f->chunked = f->until_close = false;
    if (res->body == LT_BODY_LENGTH && !lt_status_bodiless(res->status)) {
        /* To HEAD too, when the answer is our own: the length that GET would have got. */
        struct lt_str length;
        if (!lt_arena_printf(&f->x->arena, &length, "%llu",
                             (unsigned long long)res->content_length)) {
            return LT_ERR_NOMEM;
        }
        err = lt_headers_set_id(h, LT_HEADER_CONTENT_LENGTH, length);
    } else if (!bodiless && res->body == LT_BODY_NONE) {
        err = lt_headers_set_id(h, LT_HEADER_CONTENT_LENGTH, LT_STR("0"));
    } else if (!bodiless) {
        lt_headers_remove(h, LT_HEADER_CONTENT_LENGTH);
        f->chunked = !http10;
        f->until_close = http10;
        if (f->chunked) {
            err = lt_headers_set_id(h, LT_HEADER_TRANSFER_ENCODING, LT_STR("chunked"));
        }
    } else if (res->status == 204 || res->status < 200) {
        lt_headers_remove(h, LT_HEADER_CONTENT_LENGTH);
    }
    if (f->until_close || f->fronts->env->draining || lt_front_h1_is_old(f) ||
        (!f->body_done && !may_discard(f))) {
        f->keep_alive = false;
    }
    if (err == LT_OK && !f->keep_alive) {
        err = lt_headers_set_id(h, LT_HEADER_CONNECTION, LT_STR("close"));
    } else if (err == LT_OK && http10) {
        err = lt_headers_set_id(h, LT_HEADER_CONNECTION, LT_STR("keep-alive"));
    }
    if (err == LT_OK && res->wants.len > 0 && !http10) { /* RFC 9110 §15.5.22 */
        err = lt_headers_add_id(h, LT_HEADER_CONNECTION, LT_STR("upgrade"));
        err = err == LT_OK ? lt_headers_add_id(h, LT_HEADER_UPGRADE, res->wants) : err;
    }
    return err;
}

/* A 101 (RFC 9110 §7.8): bytes pass as they are from here on, first those that came already. */
static enum lt_err begin_tunnel(struct lt_front_h1 *f, struct lt_response *res)
{
    lt_headers_remove(&res->headers, LT_HEADER_CONTENT_LENGTH);
    f->chunked = f->until_close = f->keep_alive = false;
    f->state = LT_FRONT_H1_TUNNEL;
    if (f->in.len > 0 || f->client_eof) {
        lt_loop_defer(f->fronts->env->loop, &f->deferred, lt_front_h1_go_on, f);
    }
    enum lt_err err = lt_headers_set_id(&res->headers, LT_HEADER_CONNECTION, LT_STR("upgrade"));
    return err == LT_OK ? lt_headers_set_id(&res->headers, LT_HEADER_UPGRADE, res->upgrade) : err;
}

static enum lt_err send_head(struct lt_front *base, struct lt_response *res, bool bodiless)
{
    struct lt_front_h1 *f = from_base(base);
    struct lt_str head;
    bool tunnel = res->status == 101;
    enum lt_err err = tunnel ? begin_tunnel(f, res) : add_framing(f, res, bodiless);
    f->head_put = f->stream.n_put;
    f->head_at = tunnel ? UINT64_MAX : f->stream.bytes_out;
    if (err == LT_OK) {
        err = lt_h1_write_response(&f->x->arena, 11, res->status, &res->headers, &head);
    }
    return err == LT_OK ? put(f, head.p, head.len) : err;
}

static enum lt_err send_body(struct lt_front *base, const char *p, size_t n)
{
    struct lt_front_h1 *f = from_base(base);
    if (n == 0) {
        return LT_OK;
    }
    if (!f->chunked) {
        return put(f, p, n);
    }
    if (f->lines == NULL) {
        f->lines = lt_arena_alloc(&f->x->arena, LT_STREAM_IOV_MAX * sizeof(*f->lines));
        if (f->lines == NULL) {
            return LT_ERR_NOMEM;
        }
    }
    char *line = f->lines[f->line++ % LT_STREAM_IOV_MAX];
    size_t len = lt_h1_chunk_line(line, n);
    enum lt_err err = put(f, line, len);
    err = err == LT_OK ? put(f, p, n) : err;
    return err == LT_OK ? put(f, "\r\n", 2) : err;
}

static enum lt_err send_end(struct lt_front *base, const struct lt_headers *trailers)
{
    struct lt_front_h1 *f = from_base(base);
    struct lt_str end;
    if (f->state == LT_FRONT_H1_TUNNEL) {
        lt_stream_shutdown(&f->stream);
        return f->stream.failed ? f->stream.write_err : LT_OK;
    }
    if (!f->chunked) {
        return LT_OK;
    }
    enum lt_err err = lt_h1_write_end(&f->x->arena, trailers, &end);
    return err == LT_OK ? put(f, end.p, end.len) : err;
}

static enum lt_err flush(struct lt_front *base)
{
    struct lt_front_h1 *f = from_base(base);
    enum lt_err err = lt_stream_flush(&f->stream);
    if (err == LT_OK && lt_stream_unsent(&f->stream) > 0) {
        /* The timer may run for a client that may be gone. */
        if (f->timer.deadline_us == 0 || (f->body_done && !f->was_unsent)) {
            lt_front_h1_watch_write(f);
        }
        f->was_unsent = true;
    } else if (err == LT_OK && LT_UNLIKELY(f->client_eof || f->end_seen)) {
        lt_timer_set(&f->timer, lt_front_h1_options(f)->half_closed_ms); /* for what comes next */
    }
    return err;
}

static size_t unsent(struct lt_front *base)
{
    return lt_stream_unsent(&from_base(base)->stream);
}

static bool take_back(struct lt_front *base)
{
    struct lt_front_h1 *f = from_base(base);
    if (f->stream.bytes_out != f->head_at) {
        return false;
    }
    lt_stream_unput(&f->stream, f->head_put);
    return true;
}

static void abort_front(struct lt_front *base, enum lt_cause cause LT_UNUSED)
{
    struct lt_front_h1 *f = from_base(base);
    f->x = NULL;
    lt_front_h1_reset(f);
}

static void finish(struct lt_front *base, bool response_ok)
{
    struct lt_front_h1 *f = from_base(base);
    f->x = NULL;
    f->lines = NULL; /* all was flushed */
    f->was_unsent = false;
    lt_timer_clear(&f->exchange_timer);
    if (!response_ok) {
        lt_front_h1_reset(f);
        return;
    }
    if (!f->keep_alive || f->fronts->env->draining) {
        lt_front_h1_linger(f);
        return;
    }
    if (f->stream.pause_reasons != 0) {
        lt_stream_resume(&f->stream, f->stream.pause_reasons & ~(unsigned)LT_PAUSE_PIPE);
    }
    if (!f->body_done) {
        f->state = LT_FRONT_H1_DISCARD;
        lt_timer_set(&f->timer, lt_front_h1_options(f)->body_ms);
    } else {
        lt_front_h1_go_idle(f);
    }
    if (f->in.len > 0 || f->client_eof) {
        lt_loop_defer(f->fronts->env->loop, &f->deferred, lt_front_h1_go_on, f);
    } else {
        lt_stream_resume(&f->stream, LT_PAUSE_PIPE);
    }
}

static void pause_front(struct lt_front *base, enum lt_pause reason)
{
    lt_stream_pause(&from_base(base)->stream, reason);
}

static void resume_front(struct lt_front *base, enum lt_pause reason)
{
    struct lt_front_h1 *f = from_base(base);
    lt_stream_resume(&f->stream, reason);
    if (!f->body_done) {
        lt_front_h1_begin_body(f);
    }
}

static void set_timer(struct lt_front *base, uint64_t ms)
{
    struct lt_front_h1 *f = from_base(base);
    if (ms > 0) {
        lt_timer_set(&f->exchange_timer, ms);
    } else {
        lt_timer_clear(&f->exchange_timer);
    }
}

static void local(struct lt_front *base, struct lt_addr *out)
{
    if (lt_listener_address(from_base(base)->stream.fd, out) != LT_OK) {
        out->len = 0;
    }
}

const struct lt_front_ops lt_front_h1_ops = {
    .name = "HTTP/1.1",
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
