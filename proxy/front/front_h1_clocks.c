/* SPDX-License-Identifier: Apache-2.0 */
/* How long the HTTP/1 front waits for what: its one timer is that of the state it is in. The
 * worker's thread. */
#include "front/front_h1_conn.h"

/* How often to look whether a client is there that isn't read from. */
#define LOOK_MS 500u

void lt_front_h1_watch_write(struct lt_front_h1 *f)
{
    f->taken = lt_stream_taken(&f->stream);
    lt_timer_set(&f->timer, lt_front_h1_options(f)->write_ms);
}

static uint64_t age_us(const struct lt_front_h1 *f)
{
    return f->fronts->env->loop->now_us - f->opened_us;
}

bool lt_front_h1_is_old(const struct lt_front_h1 *f)
{
    uint64_t max_ms = lt_front_h1_options(f)->age_ms;
    return max_ms > 0 && age_us(f) >= max_ms * 1000;
}

void lt_front_h1_watch_idle(struct lt_front_h1 *f)
{
    const struct lt_front_options *o = lt_front_h1_options(f);
    uint64_t ms = o->keepalive_ms, age_ms = age_us(f) / 1000;
    if (o->age_ms > 0) {
        ms = lt_min(ms, o->age_ms > age_ms ? o->age_ms - age_ms : 0);
    }
    lt_timer_set(&f->timer, ms);
}

/* Sets when the next piece of the body must be there: after a pause at most, and sooner if the
 * client is behind the rate. What it is ahead counts for no longer than it might pause, or a fast
 * start would let it drip for hours. What waits for the client has its own rule. */
void lt_front_h1_watch_body(struct lt_front_h1 *f)
{
    const struct lt_front_options *o = lt_front_h1_options(f);
    uint64_t ms = o->body_ms, now = f->fronts->env->loop->now_us;
    if (o->body_rate > 0) {
        uint64_t earned_us = (f->stream.bytes_in - f->body_seen) * 1000000 / o->body_rate;
        uint64_t latest_us = now + lt_max(o->body_grace_ms, o->body_ms) * 1000;
        f->body_seen = f->stream.bytes_in;
        f->body_due_us = lt_min(f->body_due_us + earned_us, latest_us);
        if (lt_stream_unsent(&f->stream) == 0) {
            ms = lt_min(ms, f->body_due_us > now ? (f->body_due_us - now) / 1000 + 1 : 0);
        }
    }
    lt_timer_set(&f->timer, ms);
}

void lt_front_h1_begin_body(struct lt_front_h1 *f)
{
    f->body_seen = f->stream.bytes_in;
    f->body_due_us =
        f->fronts->env->loop->now_us + lt_front_h1_options(f)->body_grace_ms * UINT64_C(1000);
    lt_front_h1_watch_body(f);
}

void lt_front_h1_watch_client(struct lt_front_h1 *f)
{
    if (lt_stream_unsent(&f->stream) > 0) {
        lt_front_h1_watch_write(f);
    } else if (f->client_eof || f->end_seen) {
        lt_timer_set(&f->timer, lt_front_h1_options(f)->half_closed_ms);
    } else if ((f->stream.pause_reasons & LT_PAUSE_PIPE) != 0) {
        lt_timer_set(&f->timer, LOOK_MS);
    } else {
        lt_timer_clear(&f->timer);
    }
}

bool lt_front_h1_look(struct lt_front_h1 *f)
{
    if (f->client_eof || f->end_seen) {
        return false; /* it had its time */
    }
    switch (lt_stream_peer(&f->stream)) {
    case LT_STREAM_PEER_THERE:
        break;
    case LT_STREAM_PEER_ENDED:
        f->end_seen = true;
        break;
    case LT_STREAM_PEER_GONE:
        return false;
    }
    lt_front_h1_watch_client(f);
    return true;
}

enum lt_cause lt_front_h1_late_body(const struct lt_front_h1 *f)
{
    bool slow =
        lt_front_h1_options(f)->body_rate > 0 && f->body_due_us <= f->fronts->env->loop->now_us;
    return slow ? LT_CAUSE_BODY_TOO_SLOW : LT_CAUSE_BODY_TIMEOUT;
}
