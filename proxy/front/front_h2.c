/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 front: the life of a client's connection. The worker's thread.
 *
 *   front_h1: handshake, ALPN or the client's preface -> lt_front_h2_take
 *   OPEN: on_readable -> nghttp2 -> front_h2_session.c -> exchanges
 *         exchanges -> front_h2_stream.c -> (end of turn) front_h2_send.c
 *   shutdown: notice and PING -> its answer or a second -> GOAWAY -> no stream -> LINGER
 *   fail: GOAWAY with an error, all that runs ends -> LINGER
 *   LINGER: the client reads our last words -> GONE */
#include "front/front_h2_conn.h"

#include "base/log.h"
#include "base/mem.h"

#define FRONTS_FREE_MAX 256
#define SESSION_BYTES 24576u      /* about what nghttp2 takes for a connection */
#define SESSION_STREAM_BYTES 512u /* and for each stream */
#define STREAMS_FREE_MAX 1024
#define LINGER_MS 2000u              /* how long we wait for the client to close first */
#define LINGER_BYTES_MAX (32u << 20) /* thrown away meanwhile */
#define CUT_LINGER_MS 500u           /* as LINGER_MS, when the time for draining is over */
#define NOTICE_MS 1000u              /* for requests on their way, if our PING isn't answered */
#define LOG_PER_SECOND 10u

const struct lt_front_options *lt_front_h2_options(const struct lt_front_h2 *f)
{
    const struct lt_view *view = f->fronts->env->view;
    /* A reload may have removed the listener: its connections end in order by the first one's. */
    return &view->listeners[f->listener < view->n_listeners ? f->listener : 0];
}

/* ---- Life and death. ---- */

struct lt_fronts_h2 *lt_fronts_h2_new(struct lt_exchange_env *env)
{
    struct lt_fronts_h2 *fronts = lt_calloc(1, sizeof(*fronts));
    if (fronts == NULL) {
        return NULL;
    }
    fronts->env = env;
    lt_slab_init(&fronts->slab, sizeof(struct lt_front_h2), FRONTS_FREE_MAX);
    lt_slab_init(&fronts->streams, sizeof(struct lt_front_h2_stream), STREAMS_FREE_MAX);
    lt_list_init(&fronts->list);
    fronts->callbacks = lt_front_h2_callbacks();
    fronts->out = lt_malloc(LT_FRONT_H2_OUT);
    if (fronts->callbacks == NULL || fronts->out == NULL) {
        lt_fronts_h2_free(fronts);
        return NULL;
    }
    return fronts;
}

void lt_fronts_h2_free(struct lt_fronts_h2 *fronts)
{
    if (fronts != NULL) {
        lt_slab_fini(&fronts->slab);
        lt_slab_fini(&fronts->streams);
        nghttp2_session_callbacks_del(fronts->callbacks);
        lt_free(fronts->out);
        lt_free(fronts);
    }
}

size_t lt_front_h2_size(void)
{
    return sizeof(struct lt_front_h2) + SESSION_BYTES;
}

size_t lt_front_h2_stream_size(void)
{
    return sizeof(struct lt_front_h2_stream) + SESSION_STREAM_BYTES;
}

unsigned lt_fronts_h2_count(const struct lt_fronts_h2 *fronts)
{
    return fronts->count;
}

/* Cancelled exchanges point here until they are gone: that is at the end of this turn, or when
 * their log hooks are done. */
static void free_now(void *arg)
{
    struct lt_front_h2 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    if (f->on_closed != NULL) {
        f->on_closed(f->owner, f->client);
        f->on_closed = NULL;
    }
    lt_timer_fini(&f->timer);
    f->freeable = true;
    lt_front_h2_unref(f);
}

void lt_front_h2_unref(struct lt_front_h2 *f)
{
    if (f->freeable && f->ghosts == 0) {
        LT_OBJ_FINI(f);
        lt_slab_put(&f->fronts->slab, f);
    }
}

static void end_streams(struct lt_front_h2 *f, enum lt_cause cause)
{
    lt_list_each(it, tmp, &f->streams)
    {
        lt_front_h2_stream_end(lt_container_of(it, struct lt_front_h2_stream, link), cause);
    }
}

static void drop_session(struct lt_front_h2 *f, enum lt_cause cause)
{
    end_streams(f, cause);
    nghttp2_session_del(f->session);
    f->session = NULL;
    lt_loop_cancel(&f->send);
    f->idle_us = f->block_us = f->shutdown_us = 0;
}

void lt_front_h2_close(struct lt_front_h2 *f, enum lt_cause cause)
{
    if (f->state == LT_FRONT_H2_GONE) {
        return;
    }
    f->state = LT_FRONT_H2_GONE;
    drop_session(f, cause);
    lt_stream_close(&f->stream);
    lt_list_remove(&f->link);
    f->fronts->count--;
    lt_metrics_add(f->fronts->env->metrics, LT_COUNTER_H2_CONNECTIONS, -1);
    lt_timer_clear(&f->timer);
    lt_loop_defer(f->fronts->env->loop, &f->freeing, free_now, f);
}

static void linger(struct lt_front_h2 *f, enum lt_cause cause)
{
    f->state = LT_FRONT_H2_LINGER;
    drop_session(f, cause);
    lt_stream_shutdown(&f->stream);
    if (f->stream.eof || f->stream.failed) {
        lt_front_h2_close(f, LT_CAUSE_CLIENT_GONE);
        return;
    }
    if (f->stream.pause_reasons != 0) {
        lt_stream_resume(&f->stream, f->stream.pause_reasons);
    }
    lt_front_h2_set(f, &f->linger_us, LINGER_MS);
}

/* ---- The end in order. ---- */

void lt_front_h2_shutdown(struct lt_front_h2 *f)
{
    if (f->state != LT_FRONT_H2_OPEN || f->shutdown != LT_FRONT_H2_SERVING) {
        return;
    }
    f->shutdown = LT_FRONT_H2_NOTICED;
    f->idle_us = 0;
    if (nghttp2_submit_shutdown_notice(f->session) != 0 ||
        nghttp2_submit_ping(f->session, NGHTTP2_FLAG_NONE, NULL) != 0) {
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
    }
    lt_front_h2_set(f, &f->shutdown_us, NOTICE_MS);
    lt_front_h2_schedule(f);
}

void lt_front_h2_shutdown_last(struct lt_front_h2 *f)
{
    f->shutdown = LT_FRONT_H2_LAST;
    f->shutdown_us = 0;
    if (nghttp2_submit_goaway(f->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(f->session), NGHTTP2_NO_ERROR,
                              NULL, 0) != 0) {
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
    }
    lt_front_h2_schedule(f);
}

/* ---- The end for a reason. ---- */

void lt_front_h2_fail(struct lt_front_h2 *f, uint32_t error, enum lt_cause cause, const char *why)
{
    if (f->error == NGHTTP2_NO_ERROR) {
        f->error = error;
        f->cause = cause;
        f->why = why;
        lt_front_h2_schedule(f);
    }
}

static void log_end(struct lt_front_h2 *f)
{
    struct lt_exchange_env *env = f->fronts->env;
    char peer[LT_ADDR_TEXT_MAX];
    bool abuse = f->cause == LT_CAUSE_H2_ABUSE;
    lt_metrics_add(env->metrics, abuse ? LT_COUNTER_H2_ABUSE : LT_COUNTER_H2_ERRORS, 1);
    uint64_t second = env->loop->now_us / 1000000;
    if (second != f->fronts->logged_s) {
        f->fronts->logged_s = second;
        f->fronts->logged = 0;
    }
    if (f->fronts->logged++ >= LOG_PER_SECOND) {
        return; /* the metric counts them all */
    }
    lt_log_warn("http2", abuse ? "abuse" : "connection_error",
                LT_KV_STR("client", lt_str(peer, lt_addr_print(&f->peer, peer))),
                LT_KV_CSTR("cause", lt_cause_info(f->cause)->name), LT_KV_CSTR("detail", f->why),
                LT_KV_CSTR("error", nghttp2_http2_strerror(f->error)),
                LT_KV_INT("requests", f->requests));
}

/* Sends what the session has for the client at the very end: GOAWAY. */
static void send_last(struct lt_front_h2 *f)
{
    const uint8_t *p;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(f->session, &p)) > 0) {
        if (lt_stream_put(&f->stream, p, (size_t)n) != LT_OK ||
            lt_stream_flush(&f->stream) != LT_OK) {
            return;
        }
    }
}

bool lt_front_h2_failed(struct lt_front_h2 *f)
{
    if (f->error == NGHTTP2_NO_ERROR || f->state != LT_FRONT_H2_OPEN) {
        return f->state != LT_FRONT_H2_OPEN;
    }
    log_end(f);
    /* Streams first: nothing more of them is sent. */
    lt_list_each(it, tmp, &f->streams)
    {
        struct lt_front_h2_stream *s = lt_container_of(it, struct lt_front_h2_stream, link);
        lt_front_h2_stream_drop(s, f->cause);
        lt_chain_clear(&s->out);
        s->ended = false;
    }
    if (lt_stream_unsent(&f->stream) == 0 &&
        nghttp2_submit_goaway(f->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(f->session), f->error,
                              (const uint8_t *)f->why, strlen(f->why)) == 0) {
        send_last(f);
    }
    linger(f, f->cause);
    return true;
}

void lt_front_h2_linger(struct lt_front_h2 *f)
{
    if (f->goaway != NGHTTP2_NO_ERROR) {
        f->error = f->goaway;
        f->cause = LT_CAUSE_H2_PROTOCOL_ERROR;
        f->why = f->last_fault != NULL ? f->last_fault : "frame";
        log_end(f);
    }
    linger(f, f->goaway != NGHTTP2_NO_ERROR ? f->cause : LT_CAUSE_CLIENT_GONE);
}

/* ---- Reading. ---- */

void lt_front_h2_end_turn(struct lt_front_h2 *f)
{
    struct lt_list *link;
    while ((link = lt_list_pop_front(&f->fed)) != NULL) {
        struct lt_front_h2_stream *s = lt_container_of(link, struct lt_front_h2_stream, fed_link);
        if (s->tunnel && (s->early.len > 0 || s->body_done)) {
            lt_front_h2_stream_early(s);
        }
        if (s->x != NULL && s->begun) {
            lt_exchange_request_turn(s->x);
        }
        if (s->x != NULL && !s->body_done && s->begun) {
            if (!s->x->req.must_switch) {
                lt_front_h2_watch_body(s);
            }
            size_t room = lt_exchange_request_room(s->x);
            (void)room; /* 0: it has paused us */
        }
        lt_front_h2_stream_consume(s);
    }
}

void lt_front_h2_judge_read(struct lt_front_h2 *f, ssize_t rv)
{
    switch (rv) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        lt_front_h2_fail(f, NGHTTP2_PROTOCOL_ERROR, LT_CAUSE_H2_PROTOCOL_ERROR, "preface");
        break;
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
        lt_front_h2_fail(f, NGHTTP2_ENHANCE_YOUR_CALM, LT_CAUSE_H2_ABUSE,
                         "frames that want an answer");
        break;
    case NGHTTP2_ERR_NOMEM:
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_OUT_OF_MEMORY, "memory");
        break;
    default:
        lt_front_h2_fail(f, NGHTTP2_INTERNAL_ERROR, LT_CAUSE_H2_PROTOCOL_ERROR,
                         nghttp2_strerror((int)rv));
        break;
    }
}

static void on_data(struct lt_front_h2 *f, const char *p, size_t n)
{
    lt_front_h2_frames(f, p, n);
    lt_front_h2_end_turn(f);
    if (!lt_front_h2_failed(f)) {
        lt_front_h2_schedule(f);
    }
}

static void on_readable(void *owner)
{
    struct lt_front_h2 *f = owner;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    struct lt_loop *loop = f->fronts->env->loop;
    for (unsigned i = 0; i < LT_STREAM_READS; i++) {
        size_t n = 0, room = lt_exchange_env_room(f->fronts->env);
        if (f->state == LT_FRONT_H2_GONE || f->stream.pause_reasons != 0) {
            return;
        }
        enum lt_err err =
            lt_stream_recv(&f->stream, loop->scratch, lt_min(room, (size_t)LT_SCRATCH_SIZE), &n);
        if (err == LT_AGAIN) {
            return;
        }
        if (err != LT_OK) {
            /* Streams have ends of their own: whoever ends the connection wants no answer. */
            lt_front_h2_close(f, LT_CAUSE_CLIENT_GONE);
            return;
        }
        if (f->state == LT_FRONT_H2_OPEN) {
            on_data(f, loop->scratch, n);
        } else if ((f->lingered += n) > LINGER_BYTES_MAX) {
            lt_front_h2_close(f, LT_CAUSE_CLIENT_GONE);
        }
    }
}

static void on_drained(void *owner)
{
    struct lt_front_h2 *f = owner;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    f->write_us = 0;
    if (f->state == LT_FRONT_H2_OPEN) {
        lt_front_h2_send(f);
    }
}

static void on_handshake(void *owner, enum lt_err err)
{
    (void)owner, (void)err; /* it was over before */
}

static const struct lt_stream_ops stream_ops = {
    .on_readable = on_readable,
    .on_drained = on_drained,
    .on_handshake = on_handshake,
};

enum lt_err lt_front_h2_take(struct lt_fronts_h2 *fronts, const struct lt_front_h2_start *start,
                             const char *p, size_t n)
{
    struct lt_front_h2 *f = lt_slab_get(&fronts->slab);
    if (f == NULL) {
        return LT_ERR_NOMEM;
    }
    memset(f, 0, sizeof(*f));
    LT_OBJ_INIT(f, LT_FRONT_H2_MAGIC);
    f->fronts = fronts;
    f->listener = start->listener;
    f->tls = start->tls;
    f->peer = *start->peer;
    f->via = *start->via;
    f->opened_us = start->opened_us;
    f->frame_left = strlen(LT_FRONT_H2_PREFACE);
    lt_list_init(&f->streams);
    lt_list_init(&f->fed);
    lt_list_init(&f->caught);
    if (!lt_front_h2_session(f)) {
        LT_OBJ_FINI(f);
        lt_slab_put(&fronts->slab, f);
        return LT_ERR_NOMEM;
    }
    f->on_closed = start->on_closed;
    f->owner = start->owner;
    f->client = start->client;
    lt_list_push_back(&fronts->list, &f->link);
    fronts->count++;
    lt_metrics_add(fronts->env->metrics, LT_COUNTER_H2_CONNECTIONS, 1);
    lt_metrics_add(fronts->env->metrics, LT_COUNTER_H2_CONNECTIONS_TOTAL, 1);
    lt_timer_init(&f->timer, fronts->env->loop, lt_front_h2_on_timer, f);
    lt_stream_move(&f->stream, start->stream, &stream_ops, f);
    lt_front_h2_watch_idle(f);
    if (n > 0) {
        on_data(f, p, n);
    } else {
        lt_front_h2_schedule(f);
    }
    return LT_OK;
}

/* ---- A reload, draining. ---- */

void lt_fronts_h2_tls_changed(struct lt_fronts_h2 *fronts,
                              bool (*fits)(void *arg, unsigned listener,
                                           const struct lt_tls_info *info),
                              void *arg)
{
    lt_list_each(it, tmp, &fronts->list)
    {
        struct lt_front_h2 *f = lt_container_of(it, struct lt_front_h2, link);
        LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
        const struct lt_tls_info *info = f->stream.tls != NULL ? lt_tls_info(f->stream.tls) : NULL;
        if (info != NULL && !fits(arg, f->listener, info) && f->state == LT_FRONT_H2_OPEN &&
            f->shutdown != LT_FRONT_H2_LAST) {
            lt_front_h2_shutdown_last(f); /* no notice: what is on its way isn't served */
        }
    }
}

/* Whoever has no response yet gets one that says why. */
static void cut(struct lt_front_h2 *f)
{
    lt_list_each(it, tmp, &f->streams)
    {
        struct lt_front_h2_stream *s = lt_container_of(it, struct lt_front_h2_stream, link);
        if (s->x != NULL && !s->tunnel && s != f->block_stream) {
            lt_front_h2_stream_fail(s, LT_CAUSE_DRAINING);
        }
        if (s->x != NULL) { /* a tunnel, or filters still think about that response */
            lt_front_h2_stream_drop(s, LT_CAUSE_DRAINING);
            lt_front_h2_stream_reset(s, NGHTTP2_CANCEL);
        }
    }
    if (f->shutdown != LT_FRONT_H2_LAST) {
        lt_front_h2_shutdown_last(f);
    }
    lt_front_h2_set(f, &f->linger_us, CUT_LINGER_MS);
}

void lt_fronts_h2_close(struct lt_fronts_h2 *fronts, bool all)
{
    lt_list_each(it, tmp, &fronts->list)
    {
        struct lt_front_h2 *f = lt_container_of(it, struct lt_front_h2, link);
        LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
        if (!all) {
            lt_front_h2_shutdown(f);
        } else if (f->state == LT_FRONT_H2_OPEN && f->n_streams > 0) {
            cut(f);
        } else {
            lt_front_h2_close(f, LT_CAUSE_DRAINING);
        }
    }
}
