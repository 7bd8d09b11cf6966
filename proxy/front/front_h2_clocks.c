/* SPDX-License-Identifier: Apache-2.0 */
/* How long the HTTP/2 front waits for what. Connection and streams have deadlines, which are plain
 * numbers; one timer runs to the earliest of them and looks at all. A deadline that moved on since
 * costs nothing but that look. The worker's thread. */
#include "front/front_h2_conn.h"

#define DRAIN_IDLE_MS 1000u /* for a new connection's first request when draining */

static uint64_t now_us(const struct lt_front_h2 *f)
{
    return f->fronts->env->loop->now_us;
}

/* The timer must fire at the latest then. */
static void want(struct lt_front_h2 *f, uint64_t deadline_us)
{
    if (deadline_us != 0 && (f->timer.deadline_us == 0 || f->timer.deadline_us > deadline_us)) {
        uint64_t now = now_us(f);
        lt_timer_set(&f->timer, deadline_us > now ? (deadline_us - now + 999) / 1000 : 0);
    }
}

void lt_front_h2_set(struct lt_front_h2 *f, uint64_t *deadline_us, uint64_t ms)
{
    const uint64_t most_ms = UINT64_C(10) * 366 * 86400 * 1000;
    *deadline_us = now_us(f) + lt_min(ms, most_ms) * 1000;
    want(f, *deadline_us);
}

static uint64_t age_ms(const struct lt_front_h2 *f)
{
    return (now_us(f) - f->opened_us) / 1000;
}

bool lt_front_h2_is_old(const struct lt_front_h2 *f)
{
    uint64_t max_ms = lt_front_h2_options(f)->age_ms;
    return max_ms > 0 && age_ms(f) >= max_ms;
}

void lt_front_h2_watch_idle(struct lt_front_h2 *f)
{
    const struct lt_front_options *o = lt_front_h2_options(f);
    uint64_t ms = !f->greeted        ? o->head_ms
                  : f->requests == 0 ? lt_max(o->keepalive_ms, o->head_ms)
                                     : o->keepalive_ms;
    if (f->n_streams > 0) {
        return;
    }
    if (f->fronts->env->draining) {
        ms = lt_min(ms, (uint64_t)DRAIN_IDLE_MS);
    }
    if (o->age_ms > 0) {
        uint64_t age = age_ms(f);
        ms = lt_min(ms, o->age_ms > age ? o->age_ms - age : 0);
    }
    lt_front_h2_set(f, &f->idle_us, ms);
}

void lt_front_h2_watch_write(struct lt_front_h2 *f)
{
    f->taken = lt_stream_taken(&f->stream);
    lt_front_h2_set(f, &f->write_us, lt_front_h2_options(f)->write_ms);
}

/* ---- Request bodies: as lt_front_h1_watch_body; those of calls have no pace. ---- */

void lt_front_h2_watch_body(struct lt_front_h2_stream *s)
{
    const struct lt_front_options *o = lt_front_h2_options(s->f);
    uint64_t ms = o->body_ms, now = now_us(s->f);
    if (s->x != NULL && lt_exchange_is_call(s->x)) {
        return;
    }
    if (o->body_rate > 0) {
        uint64_t earned_us = (s->body_bytes - s->body_seen) * 1000000 / o->body_rate;
        uint64_t latest_us = now + lt_max(o->body_grace_ms, o->body_ms) * 1000;
        s->body_seen = s->body_bytes;
        s->rate_us = lt_min(s->rate_us + earned_us, latest_us);
        ms = lt_min(ms, s->rate_us > now ? (s->rate_us - now) / 1000 + 1 : 0);
    }
    lt_front_h2_set(s->f, &s->body_us, ms);
}

void lt_front_h2_begin_body(struct lt_front_h2_stream *s)
{
    s->body_seen = s->body_bytes;
    s->rate_us = now_us(s->f) + lt_front_h2_options(s->f)->body_grace_ms * 1000;
    lt_front_h2_watch_body(s);
}

static void late_body(struct lt_front_h2_stream *s)
{
    const struct lt_front_options *o = lt_front_h2_options(s->f);
    s->body_us = 0;
    if (s->x == NULL || s->body_done || s->pauses != 0 || lt_exchange_is_call(s->x)) {
        return; /* resume begins anew */
    }
    if (s->x->req.expect_continue) {
        lt_front_h2_set(s->f, &s->body_us, o->body_ms); /* it waits to be told to go on */
        return;
    }
    bool slow = o->body_rate > 0 && s->rate_us <= now_us(s->f);
    lt_front_h2_stream_fail(s, slow ? LT_CAUSE_BODY_TOO_SLOW : LT_CAUSE_BODY_TIMEOUT);
}

/* ---- The client takes nothing. ---- */

/* A stream whose window stays closed is given up. One that only waits for others isn't. */
static void late_window(struct lt_front_h2_stream *s)
{
    struct lt_front_h2 *f = s->f;
    s->write_us = 0;
    if (s->out.len == 0 && (s->x != NULL || s->end_sent)) {
        return;
    }
    bool closed = nghttp2_session_get_stream_remote_window_size(f->session, s->id) <= 0;
    bool starved =
        nghttp2_session_get_remote_window_size(f->session) <= 0 && f->data_out == s->data_out;
    if (!closed && !starved) {
        s->data_out = f->data_out;
        lt_front_h2_set(f, &s->write_us, lt_front_h2_options(f)->write_ms);
        return;
    }
    lt_front_h2_stream_drop(s, LT_CAUSE_CLIENT_WRITE_TIMEOUT);
    lt_front_h2_stream_reset(s, NGHTTP2_CANCEL);
}

static void look_at_stream(struct lt_front_h2_stream *s, uint64_t now)
{
    if (s->exchange_us != 0 && s->exchange_us <= now) {
        s->exchange_us = 0;
        if (s->x != NULL) {
            lt_exchange_timeout(s->x);
        }
    }
    if (s->body_us != 0 && s->body_us <= now) {
        late_body(s);
    }
    if (s->write_us != 0 && s->write_us <= now) {
        late_window(s);
    }
    want(s->f, s->exchange_us);
    want(s->f, s->body_us);
    want(s->f, s->write_us);
}

/* False: the connection was closed. */
static bool look_at_connection(struct lt_front_h2 *f, uint64_t now)
{
    if (f->linger_us != 0 && f->linger_us <= now) {
        lt_front_h2_close(f, LT_CAUSE_DRAINING);
        return false;
    }
    if (f->write_us != 0 && f->write_us <= now) {
        f->write_us = 0;
        if (lt_stream_unsent(&f->stream) > 0) {
            if (lt_stream_taken(&f->stream) == f->taken) {
                lt_front_h2_close(f, LT_CAUSE_CLIENT_WRITE_TIMEOUT);
                return false;
            }
            lt_front_h2_watch_write(f); /* it does read, slowly */
        }
    }
    if (f->block_us != 0 && f->block_us <= now) {
        f->block_us = 0;
        lt_front_h2_fail(f, NGHTTP2_ENHANCE_YOUR_CALM, LT_CAUSE_HEAD_TIMEOUT, "head");
    }
    if (f->idle_us != 0 && f->idle_us <= now) {
        f->idle_us = 0;
        lt_front_h2_shutdown(f);
    }
    if (f->shutdown_us != 0 && f->shutdown_us <= now) {
        lt_front_h2_shutdown_last(f);
    }
    return f->state == LT_FRONT_H2_LINGER || !lt_front_h2_failed(f);
}

void lt_front_h2_on_timer(void *arg)
{
    struct lt_front_h2 *f = arg;
    LT_OBJ_CHECK(f, LT_FRONT_H2_MAGIC);
    uint64_t now = now_us(f);
    if (f->state == LT_FRONT_H2_GONE || !look_at_connection(f, now)) {
        return;
    }
    want(f, f->linger_us);
    want(f, f->write_us);
    want(f, f->block_us);
    want(f, f->idle_us);
    want(f, f->shutdown_us);
    lt_list_each(it, tmp, &f->streams)
    {
        look_at_stream(lt_container_of(it, struct lt_front_h2_stream, link), now);
    }
}
