/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 front's reading side: bytes of a client to exchanges, and raw bytes to a tunnel. The
 * worker's thread.
 *
 *   on_readable -> on_data -> process -> take_head -> start_exchange | take_body
 *                                 '-- what can't be consumed yet: keep, go_on when it is its turn
 */
#include "front/front_h1_conn.h"

/* How much of what a lingering client still sends is thrown away: it reads our answer only once it
 * has sent what it is about to send, or at once when that fails. */
#define LINGER_BYTES_MAX (32u << 20)
#define HEADS_PER_TURN 8u   /* taken of one connection before others have their turn */
#define BEHIND_BYTES 65536u /* that wait for the client while it asks for more */

/* Whether so much waits for the client that no further request of it is taken now: one that asks
 * and asks and doesn't read may not fill the memory that all share. */
static bool is_behind(const struct lt_front_h1 *f)
{
    return f->stream.unsent.len > BEHIND_BYTES;
}

/* Takes no further request until what waits for the client has left. */
static void hold(struct lt_front_h1 *f)
{
    lt_stream_pause(&f->stream, LT_PAUSE_LIMIT);
    lt_front_h1_watch_write(f);
}

static struct lt_exchange *new_exchange(struct lt_front_h1 *f)
{
    struct lt_exchange *x = lt_exchange_new(f->fronts->env, &f->base, f->listener);
    if (x != NULL) {
        x->via = f->via;
        x->tls = f->stream.tls != NULL ? lt_tls_info_ref(lt_tls_info(f->stream.tls)) : NULL;
    }
    return x;
}

/* Keeps n bytes for later. Else the cause why not. */
static enum lt_cause keep(struct lt_front_h1 *f, const char *p, size_t n)
{
    struct lt_arena_total *heads = &f->fronts->env->heads;
    size_t had = f->in.cap;
    if (n > f->in.cap - f->in.len && (n > heads->max || heads->used > heads->max - n)) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    lt_buf_add(&f->in, p, n);
    heads->used += f->in.cap - had;
    if (!f->in.truncated) {
        return LT_CAUSE_NONE;
    }
    return f->in.cap < f->in.max ? LT_CAUSE_OUT_OF_MEMORY : LT_CAUSE_HEAD_TOO_LARGE;
}

/* Whether the connection may turn out to speak HTTP/2 without TLS. */
static bool may_begin_h2(const struct lt_front_h1 *f)
{
    return f->requests == 0 && !f->tls && lt_front_h1_options(f)->h2.cleartext;
}

void lt_front_h1_refuse(struct lt_front_h1 *f, enum lt_cause cause)
{
    if (f->x == NULL) {
        f->x = new_exchange(f);
    }
    if (f->x == NULL) {
        lt_front_h1_close(f);
        return;
    }
    if (cause == LT_CAUSE_REQUEST_LINE_INVALID && may_begin_h2(f)) {
        /* What it speaks isn't known: an answer of HTTP/1 would be a broken frame (RFC 9113 §3.4).
         */
        struct lt_exchange *x = f->x;
        f->x = NULL;
        lt_front_h1_close(f);
        lt_exchange_dismiss(x, cause, &f->peer, f->tls);
        return;
    }
    f->state = LT_FRONT_H1_EXCHANGE;
    f->keep_alive = false;
    lt_timer_clear(&f->timer);
    lt_exchange_refuse(f->x, cause, &f->peer, f->tls);
}

/* The head is head[0, len): copies it into a new exchange's arena, parses it and lets it run. */
static void start_exchange(struct lt_front_h1 *f, const char *head, size_t len)
{
    const struct lt_front_options *o = lt_front_h1_options(f);
    const struct lt_h1_limits limits = {
        .head = o->head_max, .headers = o->headers_max, .target = o->target_max};
    enum lt_cause cause = LT_CAUSE_NONE;
    struct lt_exchange *x = new_exchange(f);
    char *copy = x != NULL ? lt_arena_chars(&x->arena, len) : NULL;
    f->x = x;
    if (copy == NULL) {
        lt_front_h1_refuse(f, LT_CAUSE_OUT_OF_MEMORY);
        return;
    }
    memcpy(copy, head, len);
    if (lt_h1_request(&f->parser, &x->arena, copy, len, &limits, &x->req, &cause) != LT_OK) {
        lt_front_h1_refuse(f, cause);
        return;
    }
    f->state = LT_FRONT_H1_EXCHANGE;
    f->requests++;
    f->body_done = x->req.body == LT_BODY_NONE ||
                   (x->req.body == LT_BODY_LENGTH && x->req.content_length == 0);
    f->keep_alive = x->req.keep_alive && !f->fronts->env->draining && !f->outdated &&
                    (o->requests_max == 0 || f->requests < o->requests_max) &&
                    !lt_front_h1_is_old(f) && f->listener < f->fronts->env->view->n_listeners;
    if (f->body_done) {
        lt_timer_clear(&f->timer);
    } else {
        lt_front_h1_begin_body(f);
    }
    lt_exchange_begin(x, &f->peer, f->tls);
}

/* Whether a client without TLS begins with the preface of HTTP/2 where it may. */
static bool begins_h2(const struct lt_front_h1 *f, const char *p, size_t n)
{
    const size_t word = strlen("PRI ");
    return n >= word && memcmp(p, LT_FRONT_H2_PREFACE, word) == 0 && may_begin_h2(f);
}

/* Takes a head from p[0, n) if it is whole; gives how many bytes of it were used. */
static size_t take_head(struct lt_front_h1 *f, const char *p, size_t n)
{
    const struct lt_front_options *o = lt_front_h1_options(f);
    const struct lt_h1_limits limits = {
        .head = o->head_max, .headers = o->headers_max, .target = o->target_max};
    size_t head_len = 0;
    enum lt_cause cause = LT_CAUSE_NONE;
    if (LT_UNLIKELY(begins_h2(f, p, n))) {
        lt_front_h1_to_h2(f, p, n);
        return n;
    }
    switch (lt_h1_scan(&f->scan, p, n, &limits, &head_len, &cause)) {
    case LT_OK:
        f->scan = (struct lt_h1_scan){0};
        start_exchange(f, p, head_len);
        return head_len;
    case LT_AGAIN:
        if (f->state == LT_FRONT_H1_IDLE) {
            f->state = LT_FRONT_H1_HEAD;
            lt_timer_set(&f->timer, o->head_ms);
        }
        return 0;
    default:
        lt_front_h1_refuse(f, cause);
        return n;
    }
}

/* Takes body bytes from p[0, n); gives how many were used. The state may change underneath. */
static size_t take_body(struct lt_front_h1 *f, const char *p, size_t n)
{
    size_t at = 0;
    while (f->state == LT_FRONT_H1_EXCHANGE || f->state == LT_FRONT_H1_DISCARD) {
        size_t used = 0;
        struct lt_str piece = LT_STR_NONE;
        enum lt_cause cause = LT_CAUSE_NONE;
        enum lt_h1_event ev = lt_h1_body(&f->parser, p + at, n - at, &used, &piece,
                                         f->x != NULL ? &f->x->req_trailers : NULL, &cause);
        at += used;
        switch (ev) {
        case LT_H1_MORE:
            return at;
        case LT_H1_DATA:
            if (f->x != NULL) {
                lt_exchange_request_body(f->x, piece.p, piece.len);
            }
            break;
        case LT_H1_END:
            f->body_done = true;
            if (f->x != NULL) {
                lt_timer_clear(&f->timer);
                lt_exchange_request_end(f->x);
            } else if (f->state == LT_FRONT_H1_DISCARD) {
                lt_front_h1_go_idle(f);
            }
            return at;
        case LT_H1_FAULT:
            f->keep_alive = false;
            if (f->x != NULL) {
                lt_exchange_request_fail(f->x, cause);
            } else {
                lt_front_h1_close(f);
            }
            return n;
        }
    }
    return at;
}

/* Consumes p[0, n) as far as the connection is ready for it; gives how many bytes. */
static size_t process(struct lt_front_h1 *f, const char *p, size_t n)
{
    size_t at = 0;
    unsigned heads = 0;
    while (at < n) {
        switch (f->state) {
        case LT_FRONT_H1_IDLE:
        case LT_FRONT_H1_HEAD: {
            if (is_behind(f)) {
                hold(f);
                return at;
            }
            if (heads++ == HEADS_PER_TURN) {
                /* Exchanges that are over take memory until the end of the round. */
                lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
                lt_loop_defer(f->fronts->env->loop, &f->deferred, lt_front_h1_go_on, f);
                return at;
            }
            size_t used = take_head(f, p + at, n - at);
            if (used == 0) {
                return at;
            }
            at += used;
            break;
        }
        case LT_FRONT_H1_EXCHANGE:
        case LT_FRONT_H1_DISCARD:
            if (f->body_done) {
                return at; /* a pipelined request waits for its turn */
            }
            at += take_body(f, p + at, n - at);
            break;
        case LT_FRONT_H1_TUNNEL:
            lt_exchange_request_body(f->x, p + at, n - at);
            return n;
        case LT_FRONT_H1_LINGER:
        case LT_FRONT_H1_CLOSED:
            return n;
        case LT_FRONT_H1_HANDSHAKE:
            return at;
        }
    }
    return at;
}

/* What the exchange put for the server in this turn lies in memory that ends with it. */
static void end_turn(struct lt_front_h1 *f)
{
    if (f->x != NULL && f->state == LT_FRONT_H1_EXCHANGE && !f->body_done) {
        lt_front_h1_watch_body(f);
    }
    if (f->x != NULL) {
        lt_exchange_request_turn(f->x);
    }
}

/* What came while a request is under way is for later. */
static void wait_for_turn(struct lt_front_h1 *f)
{
    lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
    if (f->body_done) {
        lt_front_h1_watch_client(f);
    }
}

void lt_front_h1_go_on(void *arg)
{
    struct lt_front_h1 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    size_t used = process(f, f->in.p, f->in.len);
    end_turn(f);
    if (f->state == LT_FRONT_H1_LINGER || f->state == LT_FRONT_H1_CLOSED) {
        return;
    }
    f->in.len -= used;
    if (f->in.len > 0 && used > 0) {
        memmove(f->in.p, f->in.p + used, f->in.len);
    }
    lt_front_h1_release_in(f);
    if (f->in.len > 0 && f->state == LT_FRONT_H1_EXCHANGE) {
        wait_for_turn(f);
    } else if (!lt_list_linked(&f->deferred.link)) {
        /* What is left is the beginning of a head: its end is to be read. */
        lt_stream_resume(&f->stream, LT_PAUSE_PIPE);
    }
    if (f->client_eof && f->x == NULL) {
        lt_front_h1_linger(f);
    } else if (f->client_eof && f->state == LT_FRONT_H1_TUNNEL) {
        lt_exchange_request_end(f->x); /* it came before the 101 */
    }
}

/* What came can't be kept: a head is refused; a request that came too early ends the connection. */
static void not_kept(struct lt_front_h1 *f, enum lt_cause cause)
{
    struct lt_exchange *x = f->x;
    if (x == NULL && f->state == LT_FRONT_H1_HEAD) {
        lt_front_h1_refuse(f, cause);
        return;
    }
    f->x = NULL;
    lt_front_h1_close(f);
    if (x != NULL) {
        lt_exchange_front_gone(x, cause);
    }
}

static void on_data(struct lt_front_h1 *f, const char *p, size_t n)
{
    if (f->state == LT_FRONT_H1_LINGER) {
        f->lingered += n;
        if (f->lingered > LINGER_BYTES_MAX) {
            lt_front_h1_close(f);
        }
        return;
    }
    if (f->in.len > 0) {
        enum lt_cause cause = keep(f, p, n);
        if (cause != LT_CAUSE_NONE) {
            not_kept(f, cause);
            return;
        }
        lt_front_h1_go_on(f);
        return;
    }
    size_t used = process(f, p, n);
    end_turn(f);
    if (used < n && f->state != LT_FRONT_H1_LINGER && f->state != LT_FRONT_H1_CLOSED) {
        enum lt_cause cause = keep(f, p + used, n - used);
        if (cause != LT_CAUSE_NONE) {
            not_kept(f, cause);
        } else if (f->state == LT_FRONT_H1_EXCHANGE) {
            /* The exchange may be over already and its turn have been asked for; else no more is
             * read until it is. */
            wait_for_turn(f);
        }
    }
}

static void on_eof(struct lt_front_h1 *f, enum lt_err err)
{
    struct lt_exchange *x = f->x;
    f->client_eof = true;
    if (f->state == LT_FRONT_H1_EXCHANGE && x != NULL && err == LT_EOF && f->body_done &&
        lt_front_h1_options(f)->half_closed_ms > 0) {
        /* Half-closed: the client still wants its response, if it hasn't closed. */
        f->keep_alive = false;
        lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
        if (lt_stream_unsent(&f->stream) == 0) {
            lt_timer_set(&f->timer, lt_front_h1_options(f)->half_closed_ms);
        }
        return;
    }
    if (f->state == LT_FRONT_H1_TUNNEL && err == LT_EOF) {
        if (f->in.len == 0) {
            lt_exchange_request_end(x); /* else once what it sent before has gone on */
        }
        return;
    }
    if (f->state == LT_FRONT_H1_LINGER && lt_stream_unsent(&f->stream) > 0 && err == LT_EOF) {
        lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
        return;
    }
    if (x == NULL && lt_stream_unsent(&f->stream) > 0 && err == LT_EOF) {
        lt_front_h1_linger(f); /* the end of its last response still waits for it */
        return;
    }
    f->x = NULL;
    lt_front_h1_close(f);
    if (x != NULL) {
        lt_exchange_front_gone(x, LT_CAUSE_CLIENT_GONE);
    }
}

void lt_front_h1_on_readable(void *owner)
{
    struct lt_front_h1 *f = owner;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    struct lt_loop *loop = f->fronts->env->loop;
    for (unsigned i = 0; i < LT_STREAM_READS; i++) {
        if (f->state == LT_FRONT_H1_CLOSED || f->stream.pause_reasons != 0) {
            return;
        }
        size_t n = 0;
        size_t room = f->x != NULL && !f->body_done ? lt_exchange_request_room(f->x)
                                                    : lt_exchange_env_room(f->fronts->env);
        if (room == 0) {
            return;
        }
        enum lt_err err =
            lt_stream_recv(&f->stream, loop->scratch, lt_min(room, (size_t)LT_SCRATCH_SIZE), &n);
        if (err == LT_AGAIN) {
            return;
        }
        if (err != LT_OK) {
            on_eof(f, err);
            return;
        }
        on_data(f, loop->scratch, n);
    }
}
