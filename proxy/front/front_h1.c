/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 front: the life of a client's connection. Its bytes become exchanges in
 * front_h1_request.c, responses bytes in front_h1_response.c. The worker's thread.
 *
 *   HANDSHAKE (TLS) -> IDLE --first byte--> HEAD --whole head--> EXCHANGE --finish--> IDLE ...
 *                        |                                          |  '-> DISCARD (rest of a body)
 *                        '--- time out, EOF, drain --> closed <-----'--> LINGER
 *
 * LINGER: the client reads our last words before the close.
 *
 * EXCHANGE --101--> TUNNEL --finish--> LINGER. What the client sent before its 101 waits in `in`.
 *
 * An idle connection holds no buffer: reads go into the worker's scratch memory, and only a head
 * that came in pieces or a pipelined request is kept in `in`. */
#include "front/front_h1.h"

#include "base/mem.h"
#include "front/front_h1_conn.h"
#include "front/handshake.h"

#define FRONTS_FREE_MAX 1024
#define LINGER_MS 2000u      /* how long we wait for the client to close first */
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
        fronts->h2 = lt_fronts_h2_new(env);
        if (fronts->h2 == NULL) {
            lt_fronts_free(fronts);
            return NULL;
        }
    }
    return fronts;
}

void lt_fronts_free(struct lt_fronts *fronts)
{
    if (fronts != NULL) {
        lt_fronts_h2_free(fronts->h2);
        lt_slab_fini(&fronts->slab);
        lt_free(fronts);
    }
}

unsigned lt_fronts_count(const struct lt_fronts *fronts)
{
    return fronts->count + lt_fronts_h2_count(fronts->h2);
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
    if (f->on_closed != NULL) {
        f->on_closed(f->owner, f->client);
    }
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

void lt_front_h1_to_h2(struct lt_front_h1 *f, const char *p, size_t n)
{
    const struct lt_front_h2_start start = {
        .stream = &f->stream,
        .listener = f->listener,
        .tls = f->tls,
        .peer = &f->peer,
        .via = &f->via,
        .opened_us = f->opened_us,
        .on_closed = f->on_closed,
        .owner = f->owner,
        .client = f->client,
    };
    if (lt_front_h2_take(f->fronts->h2, &start, p, n) != LT_OK) {
        lt_front_h1_close(f);
        return;
    }
    f->on_closed = NULL; /* it is the other's to call */
    forget(f);
}

void lt_front_h1_release_in(struct lt_front_h1 *f)
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
    lt_front_h1_release_in(f);
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
    lt_front_h1_release_in(f);
    lt_front_h1_watch_idle(f);
}

/* ---- time ---- */

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
        lt_front_tls_done(f->fronts->env, &f->peer, f->stream.tls, LT_ERR_TIMEOUT);
        lt_front_h1_close(f);
        break;
    case LT_FRONT_H1_IDLE:
    case LT_FRONT_H1_DISCARD:
    case LT_FRONT_H1_LINGER:
        lt_front_h1_close(f);
        break;
    case LT_FRONT_H1_HEAD:
        lt_front_h1_refuse(f, LT_CAUSE_HEAD_TIMEOUT);
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
        } else if (f->body_done && f->state == LT_FRONT_H1_EXCHANGE && !lt_front_h1_look(f)) {
            struct lt_exchange *x = f->x;
            f->x = NULL;
            lt_front_h1_close(f);
            lt_exchange_front_gone(x, LT_CAUSE_CLIENT_GONE);
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

/* ---- what the stream tells ---- */

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
        if (f->body_done && f->state == LT_FRONT_H1_EXCHANGE) {
            lt_front_h1_watch_client(f);
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
    lt_front_tls_done(f->fronts->env, &f->peer, f->stream.tls, err);
    if (err != LT_OK) {
        lt_front_h1_close(f);
        return;
    }
    if (lt_str_eq_c(lt_tls_alpn(f->stream.tls), "h2")) {
        lt_front_h1_to_h2(f, NULL, 0);
        return;
    }
    lt_front_h1_go_idle(f);
    lt_timer_set(&f->timer, first_head_ms(f));
}

static const struct lt_stream_ops stream_ops = {
    .on_readable = lt_front_h1_on_readable,
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
    lt_fronts_h2_close(fronts->h2, all);
}

void lt_fronts_tls_changed(struct lt_fronts *fronts,
                           bool (*fits)(void *arg, unsigned listener,
                                        const struct lt_tls_info *info),
                           void *arg)
{
    lt_list_each(it, tmp, &fronts->list)
    {
        struct lt_front_h1 *f = lt_container_of(it, struct lt_front_h1, link);
        LT_OBJ_CHECK(f, LT_FRONT_H1_MAGIC);
        const struct lt_tls_info *info = f->stream.tls != NULL ? lt_tls_info(f->stream.tls) : NULL;
        if (info == NULL || fits(arg, f->listener, info)) {
            continue; /* plain, or in its handshake: then its first request is looked at */
        }
        f->outdated = true;
        f->keep_alive = false;
        if (f->state == LT_FRONT_H1_IDLE && f->requests > 0) {
            end_idle(f);
        } else if (f->state == LT_FRONT_H1_IDLE) {
            lt_front_h1_close(f);
        }
    }
    lt_fronts_h2_tls_changed(fronts->h2, fits, arg);
}
