/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 front: bytes of a client to exchanges, responses back to bytes. The worker's thread.
 *
 *   HANDSHAKE (TLS) -> IDLE --first byte--> HEAD --whole head--> EXCHANGE --finish--> IDLE ...
 *                        |                                          |  '-> DISCARD (rest of a body)
 *                        '--- time out, EOF, drain --> closed <-----'--> LINGER (client reads our
 * last words before the close)
 *
 * EXCHANGE --101--> TUNNEL --finish--> LINGER. What the client sent before its 101 waits in `in`.
 *
 * An idle connection holds no buffer: reads go into the worker's scratch memory, and only a head
 * that came in pieces or a pipelined request is kept in `in`. */
#include "front/front_h1.h"

#include "base/mem.h"
#include "front/front_h1_conn.h"

#define FRONTS_FREE_MAX 1024
#define LINGER_MS 2000u /* how long we wait for the client to close first */
/* ... and how much of what it still sends is thrown away: it reads our answer only once it has sent
 * what it is about to send, or at once when that fails. */
#define LINGER_BYTES_MAX (32u << 20)
#define GONE_CHECK_MS 1000u  /* how often to look whether a client that sends no more is there */
#define HEADS_PER_TURN 8u    /* taken of one connection before others have their turn */
#define BEHIND_BYTES 65536u  /* that wait for the client while it asks for more */
#define CUT_LINGER_MS 500u   /* as LINGER_MS, when the time for draining is over */
#define DRAIN_FRESH_MS 1000u /* how long a new connection may stay silent when draining */

static const struct lt_stream_ops stream_ops;

const struct lt_front_options *lt_front_h1_options(const struct lt_front_h1 *f)
{
    const struct lt_view *view = f->fronts->env->view;
    /* A reload may have removed the listener that a connection came in on: it ends after its
     * request, by the first one's limits. */
    return &view->listeners[f->listener < view->n_listeners ? f->listener : 0];
}

/* ---- life and death ---- */

size_t lt_front_h1_size(void)
{
    return sizeof(struct lt_front_h1);
}

struct lt_fronts *lt_fronts_new(struct lt_exchange_env *env)
{
    struct lt_fronts *fronts = lt_calloc(1, sizeof(*fronts));
    if (fronts != NULL) {
        fronts->env = env;
        lt_slab_init(&fronts->slab, sizeof(struct lt_front_h1), FRONTS_FREE_MAX);
        lt_list_init(&fronts->list);
    }
    return fronts;
}

void lt_fronts_free(struct lt_fronts *fronts)
{
    if (fronts != NULL) {
        lt_slab_fini(&fronts->slab);
        lt_free(fronts);
    }
}

unsigned lt_fronts_count(const struct lt_fronts *fronts)
{
    return fronts->count;
}

/* What is kept in `in` counts with the heads. */
static void drop_in(struct lt_front_h1 *f)
{
    f->fronts->env->heads.used -= f->in.cap;
    lt_buf_fini(&f->in);
}

static void free_now(void *arg)
{
    struct lt_front_h1 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    struct lt_fronts *fronts = f->fronts;
    f->on_closed(f->owner, f->client);
    lt_timer_fini(&f->timer);
    lt_timer_fini(&f->exchange_timer);
    drop_in(f);
    LT_OBJ_FINI(f);
    lt_slab_put(&fronts->slab, f);
}

static void forget(struct lt_front_h1 *f)
{
    f->state = LT_FRONT_H1_CLOSED;
    lt_list_remove(&f->link);
    f->fronts->count--;
    lt_timer_clear(&f->timer);
    lt_timer_clear(&f->exchange_timer);
    lt_loop_cancel(&f->deferred);
    lt_loop_defer(f->fronts->env->loop, &f->deferred, free_now, f);
}

void lt_front_h1_close(struct lt_front_h1 *f)
{
    if (f->state != LT_FRONT_H1_CLOSED) {
        lt_stream_close(&f->stream);
        forget(f);
    }
}

void lt_front_h1_reset(struct lt_front_h1 *f)
{
    if (f->state != LT_FRONT_H1_CLOSED) {
        lt_stream_reset(&f->stream);
        forget(f);
    }
}

/* Gives the memory of an empty `in` back. */
static void release_in(struct lt_front_h1 *f)
{
    if (f->in.len == 0) {
        drop_in(f);
        lt_buf_init(&f->in, lt_front_h1_options(f)->head_max + LT_SCRATCH_SIZE);
    }
}

void lt_front_h1_linger(struct lt_front_h1 *f)
{
    if (f->client_eof) {
        if (lt_stream_unsent(&f->stream) == 0) {
            lt_front_h1_close(f);
            return;
        }
    }
    f->state = LT_FRONT_H1_LINGER;
    f->in.len = 0;
    release_in(f);
    lt_stream_shutdown(&f->stream);
    if (!f->client_eof && f->stream.pause_reasons != 0) {
        lt_stream_resume(&f->stream, f->stream.pause_reasons);
    }
    if (lt_stream_unsent(&f->stream) > 0) {
        lt_front_h1_watch_write(f);
    } else {
        lt_timer_set(&f->timer, LINGER_MS);
    }
}

void lt_front_h1_go_idle(struct lt_front_h1 *f)
{
    f->state = LT_FRONT_H1_IDLE;
    f->scan = (struct lt_h1_scan){0};
    f->body_done = false;
    release_in(f);
    lt_front_h1_watch_idle(f);
}

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
    }
    return x;
}

/* ---- time ---- */

/* The client has ended its direction and nothing is sent to it now: whether it is there at all. */
static void look_after(struct lt_front_h1 *f)
{
    struct lt_exchange *x = f->x;
    if (!lt_stream_is_gone(&f->stream)) {
        lt_timer_set(&f->timer, GONE_CHECK_MS);
        return;
    }
    f->x = NULL;
    lt_front_h1_close(f);
    lt_exchange_front_gone(x, LT_CAUSE_CLIENT_GONE);
}

static void on_timer(void *arg)
{
    struct lt_front_h1 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    bool waiting = lt_stream_unsent(&f->stream) > 0;
    if (waiting && lt_stream_taken(&f->stream) != f->taken) {
        lt_front_h1_watch_write(f); /* the client does read, slowly */
        return;
    }
    switch (f->state) {
    case LT_FRONT_H1_HANDSHAKE:
    case LT_FRONT_H1_IDLE:
    case LT_FRONT_H1_DISCARD:
    case LT_FRONT_H1_LINGER:
        lt_front_h1_close(f);
        break;
    case LT_FRONT_H1_HEAD:
        f->x = new_exchange(f);
        if (f->x == NULL) {
            lt_front_h1_close(f);
            break;
        }
        f->state = LT_FRONT_H1_EXCHANGE;
        f->keep_alive = false;
        lt_exchange_refuse(f->x, LT_CAUSE_HEAD_TIMEOUT, &f->peer, f->tls);
        break;
    case LT_FRONT_H1_EXCHANGE:
    case LT_FRONT_H1_TUNNEL:
        if (waiting) {
            struct lt_exchange *x = f->x;
            f->x = NULL;
            lt_front_h1_reset(f);
            lt_exchange_front_gone(x, LT_CAUSE_CLIENT_WRITE_TIMEOUT);
        } else if (!f->body_done && f->x->req.expect_continue) {
            /* It waits to be told to go on: filters or the server take their time. */
            lt_timer_set(&f->timer, lt_front_h1_options(f)->body_ms);
        } else if (f->client_eof && f->state == LT_FRONT_H1_EXCHANGE) {
            look_after(f);
        } else if (!f->body_done && f->stream.pause_reasons == 0) {
            f->keep_alive = false;
            lt_exchange_request_fail(f->x, lt_front_h1_late_body(f));
        }
        break;
    case LT_FRONT_H1_CLOSED:
        break;
    }
}

static void on_exchange_timer(void *arg)
{
    struct lt_front_h1 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    if (f->x != NULL) {
        lt_exchange_timeout(f->x);
    }
}

/* ---- request: bytes to an exchange ---- */

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

static void refuse(struct lt_front_h1 *f, enum lt_cause cause)
{
    if (f->x == NULL) {
        f->x = new_exchange(f);
    }
    if (f->x == NULL) {
        lt_front_h1_close(f);
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
        refuse(f, LT_CAUSE_OUT_OF_MEMORY);
        return;
    }
    memcpy(copy, head, len);
    if (lt_h1_request(&f->parser, &x->arena, copy, len, &limits, &x->req, &cause) != LT_OK) {
        refuse(f, cause);
        return;
    }
    f->state = LT_FRONT_H1_EXCHANGE;
    f->requests++;
    f->body_done = x->req.body == LT_BODY_NONE ||
                   (x->req.body == LT_BODY_LENGTH && x->req.content_length == 0);
    f->keep_alive = x->req.keep_alive && !f->fronts->env->draining &&
                    (o->requests_max == 0 || f->requests < o->requests_max) &&
                    !lt_front_h1_is_old(f) && f->listener < f->fronts->env->view->n_listeners;
    if (f->body_done) {
        lt_timer_clear(&f->timer);
    } else {
        lt_front_h1_begin_body(f);
    }
    if (f->stream.tls != NULL) {
        x->sni = lt_tls_sni(f->stream.tls);
        x->tls_version = lt_tls_version(f->stream.tls);
    }
    lt_exchange_begin(x, &f->peer, f->tls);
}

/* Takes a head from p[0, n) if it is whole; gives how many bytes of it were used. */
static size_t take_head(struct lt_front_h1 *f, const char *p, size_t n)
{
    const struct lt_front_options *o = lt_front_h1_options(f);
    const struct lt_h1_limits limits = {
        .head = o->head_max, .headers = o->headers_max, .target = o->target_max};
    size_t head_len = 0;
    enum lt_cause cause = LT_CAUSE_NONE;
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
        refuse(f, cause);
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
    release_in(f);
    if (f->in.len > 0 && f->state == LT_FRONT_H1_EXCHANGE) {
        lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
    } else if (!lt_list_linked(&f->deferred.link)) {
        /* What is left is the beginning of a head: its end is to be read. */
        lt_stream_resume(&f->stream, LT_PAUSE_PIPE);
    }
    if (f->client_eof && f->x == NULL) {
        lt_front_h1_close(f);
    } else if (f->client_eof && f->state == LT_FRONT_H1_TUNNEL) {
        lt_exchange_request_end(f->x); /* it came before the 101 */
    }
}

/* What came can't be kept: a head is refused; a request that came too early ends the connection. */
static void not_kept(struct lt_front_h1 *f, enum lt_cause cause)
{
    struct lt_exchange *x = f->x;
    if (x == NULL && f->state == LT_FRONT_H1_HEAD) {
        refuse(f, cause);
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
            lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
        }
    }
}

static void on_eof(struct lt_front_h1 *f, enum lt_err err)
{
    struct lt_exchange *x = f->x;
    f->client_eof = true;
    if (f->state == LT_FRONT_H1_EXCHANGE && x != NULL && err == LT_EOF && f->body_done &&
        !lt_front_h1_options(f)->cancel_half_closed) {
        /* Half-closed: the client still wants its response, if it hasn't closed. */
        f->keep_alive = false;
        lt_stream_pause(&f->stream, LT_PAUSE_PIPE);
        lt_stream_probe(&f->stream);
        if (lt_stream_unsent(&f->stream) == 0) {
            lt_timer_set(&f->timer, GONE_CHECK_MS);
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
    f->x = NULL;
    lt_front_h1_close(f);
    if (x != NULL) {
        lt_exchange_front_gone(x, LT_CAUSE_CLIENT_GONE);
    }
}

static void on_readable(void *owner)
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

/* The client has caught up: what it asked for meanwhile is taken. */
static void take_on(struct lt_front_h1 *f)
{
    if ((f->stream.pause_reasons & LT_PAUSE_LIMIT) == 0) {
        return;
    }
    lt_stream_resume(&f->stream, LT_PAUSE_LIMIT);
    if (f->in.len > 0) {
        lt_loop_defer(f->fronts->env->loop, &f->deferred, lt_front_h1_go_on, f);
    }
}

static void on_drained(void *owner)
{
    struct lt_front_h1 *f = owner;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    switch (f->state) {
    case LT_FRONT_H1_EXCHANGE:
    case LT_FRONT_H1_TUNNEL:
        if (f->client_eof && f->state == LT_FRONT_H1_EXCHANGE) {
            lt_timer_set(&f->timer, GONE_CHECK_MS);
        } else if (f->body_done) {
            lt_timer_clear(&f->timer);
        }
        if (f->was_unsent && f->x != NULL) {
            f->was_unsent = false;
            lt_exchange_front_drained(f->x);
        }
        break;
    case LT_FRONT_H1_LINGER:
        if (f->client_eof) {
            lt_front_h1_close(f);
        } else {
            lt_timer_set(&f->timer, LINGER_MS);
        }
        break;
    case LT_FRONT_H1_IDLE:
        lt_front_h1_watch_idle(f);
        take_on(f);
        break;
    case LT_FRONT_H1_HEAD:
        take_on(f);
        break;
    case LT_FRONT_H1_HANDSHAKE:
    case LT_FRONT_H1_DISCARD:
    case LT_FRONT_H1_CLOSED:
        break;
    }
}

/* How long a new connection may take for its first request. */
static uint64_t first_head_ms(const struct lt_front_h1 *f)
{
    uint64_t ms = lt_front_h1_options(f)->head_ms;
    return f->fronts->env->draining ? lt_min(ms, (uint64_t)DRAIN_FRESH_MS) : ms;
}

static void on_handshake(void *owner, enum lt_err err)
{
    struct lt_front_h1 *f = owner;
    LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
    struct lt_metrics_worker *metrics = f->fronts->env->metrics;
    if (err != LT_OK) {
        lt_metrics_add(metrics, LT_COUNTER_TLS_FAILED, 1);
        lt_front_h1_close(f);
        return;
    }
    lt_metrics_add(metrics, LT_COUNTER_TLS_HANDSHAKES, 1);
    if (lt_tls_resumed(f->stream.tls)) {
        lt_metrics_add(metrics, LT_COUNTER_TLS_RESUMED, 1);
    }
    lt_front_h1_go_idle(f);
    lt_timer_set(&f->timer, first_head_ms(f));
}

static const struct lt_stream_ops stream_ops = {
    .on_readable = on_readable,
    .on_drained = on_drained,
    .on_handshake = on_handshake,
};

enum lt_err lt_front_h1_accept(struct lt_fronts *fronts, unsigned listener, int fd,
                               const struct lt_addr *peer, const struct lt_addr *via,
                               struct lt_tls *tls, uint64_t client,
                               void (*on_closed)(void *owner, uint64_t client), void *owner)
{
    struct lt_front_h1 *f = lt_slab_get(&fronts->slab);
    if (f == NULL) {
        return LT_ERR_NOMEM;
    }
    memset(f, 0, offsetof(struct lt_front_h1, scan));
    LT_OBJ_INIT(f, LT_FRONT_H1_MAGIC);
    f->base.ops = &lt_front_h1_ops;
    f->fronts = fronts;
    f->listener = listener;
    f->tls = tls != NULL;
    f->peer = *peer;
    if (via != NULL) {
        f->via = *via;
    }
    f->on_closed = on_closed;
    f->owner = owner;
    f->client = client;
    f->opened_us = fronts->env->loop->now_us;
    lt_list_push_back(&fronts->list, &f->link);
    fronts->count++;
    lt_timer_init(&f->timer, fronts->env->loop, on_timer, f);
    lt_timer_init(&f->exchange_timer, fronts->env->loop, on_exchange_timer, f);
    lt_stream_open(&f->stream, fronts->env->loop, fd, &stream_ops, f);
    lt_front_h1_go_idle(f);
    lt_timer_set(&f->timer, first_head_ms(f));
    if (tls != NULL) {
        f->state = LT_FRONT_H1_HANDSHAKE;
        lt_timer_set(&f->timer, lt_front_h1_options(f)->tls_ms);
        lt_stream_start_tls(&f->stream, tls);
    }
    return LT_OK;
}

/* A request that lies in the socket already is served, and a new connection gets a moment to speak:
 * closing them would break requests that came in time. */
static void end_idle(struct lt_front_h1 *f)
{
    lt_stream_look(&f->stream);
    if (f->state != LT_FRONT_H1_IDLE) {
        return;
    }
    if (f->requests == 0) {
        lt_timer_set(&f->timer, first_head_ms(f));
    } else if (lt_stream_unsent(&f->stream) > 0) {
        lt_front_h1_linger(f); /* the end of a response still waits for the client */
    } else {
        lt_front_h1_close(f);
    }
}

/* Whoever has no response yet gets one that says why. */
static void cut(struct lt_front_h1 *f)
{
    if (f->state == LT_FRONT_H1_TUNNEL) { /* nothing that has a length is cut */
        struct lt_exchange *x = f->x;
        f->x = NULL;
        lt_front_h1_close(f);
        lt_exchange_front_gone(x, LT_CAUSE_DRAINING);
        return;
    }
    lt_exchange_request_fail(f->x, LT_CAUSE_DRAINING);
    if (f->x != NULL) { /* filters still think about that response */
        struct lt_exchange *x = f->x;
        f->x = NULL;
        lt_front_h1_reset(f);
        lt_exchange_front_gone(x, LT_CAUSE_DRAINING);
    } else if (f->state == LT_FRONT_H1_LINGER) {
        lt_timer_set(&f->timer, CUT_LINGER_MS);
    }
}

void lt_fronts_close(struct lt_fronts *fronts, bool all)
{
    lt_list_each(it, tmp, &fronts->list)
    {
        struct lt_front_h1 *f = lt_container_of(it, struct lt_front_h1, link);
        LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
        f->keep_alive = false;
        if (all && f->x == NULL) {
            lt_front_h1_close(f);
        } else if (all) {
            cut(f);
        } else if (f->state == LT_FRONT_H1_IDLE) {
            end_idle(f);
        }
    }
}
