/* SPDX-License-Identifier: Apache-2.0 */
/* What a client may not do too often: frames that cost us work and do none. Each kind is counted
 * within the current second; a legitimate client stays far below the limits. Frames that answer
 * DATA are paid for by it, so that a fast transfer with its many WINDOW_UPDATE (or the PING that
 * measure it) is none. The worker's thread. */
#include "front/front_h2_conn.h"

#define WINDOWS_PER_DATA 4u /* WINDOW_UPDATE that one of our DATA frames pays for */
#define MESSAGE_MIN 5u      /* bytes of DATA that pay for one more: a message of gRPC */
#define PAID_MAX 65536u     /* frames paid in advance */
#define FRAME_MAX 16384u    /* what we announced */

static unsigned limit_of(const struct lt_front_h2 *f, enum lt_front_h2_kind kind)
{
    const struct lt_front_h2_options *o = &lt_front_h2_options(f)->h2;
    switch (kind) {
#define X(id, name, limit)                                                                         \
    case LT_FRONT_H2_MANY_##id:                                                                    \
        return o->limit;
#include "front/front_h2_abuse.def"
#undef X
    case LT_FRONT_H2_KINDS:
        break;
    }
    return 0;
}

static const char *const kind_names[LT_FRONT_H2_KINDS] = {
#define X(id, name, limit) [LT_FRONT_H2_MANY_##id] = name,
#include "front/front_h2_abuse.def"
#undef X
};

void lt_front_h2_count(struct lt_front_h2 *f, enum lt_front_h2_kind kind)
{
    uint64_t second = f->fronts->env->loop->now_us / 1000000;
    if (second != f->second) {
        f->second = second;
        memset(f->counts, 0, sizeof(f->counts));
    }
    if (++f->counts[kind] > limit_of(f, kind)) {
        lt_front_h2_fail(f, NGHTTP2_ENHANCE_YOUR_CALM, LT_CAUSE_H2_ABUSE, kind_names[kind]);
    }
}

void lt_front_h2_pay_received(struct lt_front_h2 *f)
{
    f->pings_paid = lt_min(f->pings_paid + 1, PAID_MAX);
}

void lt_front_h2_pay_sent(struct lt_front_h2 *f, size_t n)
{
    unsigned windows = WINDOWS_PER_DATA + (unsigned)(n / MESSAGE_MIN);
    f->pings_paid = lt_min(f->pings_paid + 1, PAID_MAX);
    f->windows_paid = lt_min(f->windows_paid + windows, PAID_MAX);
}

static bool is_paid(unsigned *paid)
{
    if (*paid == 0) {
        return false;
    }
    (*paid)--;
    return true;
}

/* Of one head: nghttp2 would join any number. */
static void count_continuation(struct lt_front_h2 *f, const nghttp2_frame_hd *hd)
{
    if (hd->length > FRAME_MAX) {
        lt_front_h2_fail(f, NGHTTP2_FRAME_SIZE_ERROR, LT_CAUSE_H2_PROTOCOL_ERROR,
                         "CONTINUATION too long");
    } else if (++f->continuations > lt_front_h2_options(f)->h2.max_continuations) {
        lt_front_h2_fail(f, NGHTTP2_ENHANCE_YOUR_CALM, LT_CAUSE_H2_ABUSE, "CONTINUATION");
    } else if (hd->length == 0) {
        lt_front_h2_count(f, LT_FRONT_H2_MANY_EMPTY);
    }
}

void lt_front_h2_count_frame(struct lt_front_h2 *f, const nghttp2_frame_hd *hd)
{
    bool ack = (hd->flags & NGHTTP2_FLAG_ACK) != 0;
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_EMPTY);
        }
        break;
    case NGHTTP2_HEADERS:
        f->continuations = 0;
        if (hd->length == 0) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_EMPTY);
        }
        break;
    case NGHTTP2_CONTINUATION:
        count_continuation(f, hd);
        break;
    case NGHTTP2_RST_STREAM:
        lt_front_h2_count(f, LT_FRONT_H2_MANY_RESETS);
        break;
    case NGHTTP2_SETTINGS:
        lt_front_h2_count(f, LT_FRONT_H2_MANY_SETTINGS);
        break;
    case NGHTTP2_PING:
        if (!ack && !is_paid(&f->pings_paid)) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_PING);
        } else if (ack) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_UNKNOWN);
        }
        break;
    case NGHTTP2_PRIORITY:
    case NGHTTP2_PRIORITY_UPDATE:
        lt_front_h2_count(f, LT_FRONT_H2_MANY_PRIORITY);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (!is_paid(&f->windows_paid)) {
            lt_front_h2_count(f, LT_FRONT_H2_MANY_WINDOW_UPDATE);
        }
        break;
    default:
        lt_front_h2_count(f, LT_FRONT_H2_MANY_UNKNOWN);
        break; /* extensions that we don't know are passed over, in moderation */
    }
}
