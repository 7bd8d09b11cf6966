/* SPDX-License-Identifier: Apache-2.0 */
/* What a server may not do too often: frames that cost us work and carry no message, counted within
 * the current second. Frames that others account for (a reset for each request, windows for the
 * bodies that we send, PINGs that measure a transfer) are none. The worker's thread. */
#include "upstream/back_h2_conn.h"

#define RESETS_PER_REQUEST 1u
#define WINDOWS_PER_REQUEST 2u /* a server may open each stream's window at once */
#define WINDOWS_PER_DATA 4u
#define MESSAGE_MIN 5u  /* bytes of DATA that pay for one more: a message of gRPC */
#define PAID_MAX 65536u /* frames paid in advance */

void lt_back_h2_count(struct lt_back_h2_conn *c)
{
    uint64_t second = c->pools->loop->now_us / 1000000;
    if (c->state == LT_BACK_H2_CLOSED) {
        return;
    }
    c->control = second == c->second ? c->control + 1 : 1;
    c->second = second;
    if (c->control > c->options.control_max) {
        lt_back_h2_conn_fail(c, LT_CAUSE_SERVER_FLOOD, 0, false);
    }
}

static void pay(unsigned *paid, unsigned n)
{
    *paid = lt_min(*paid + n, PAID_MAX);
}

void lt_back_h2_pay(struct lt_back_h2_conn *c, const nghttp2_frame_hd *hd)
{
    if (hd->type == NGHTTP2_HEADERS) {
        pay(&c->resets_paid, RESETS_PER_REQUEST);
        pay(&c->windows_paid, WINDOWS_PER_REQUEST);
    } else if (hd->type == NGHTTP2_DATA) {
        pay(&c->windows_paid, WINDOWS_PER_DATA + (unsigned)hd->length / MESSAGE_MIN);
        pay(&c->pings_paid, 1);
    }
}

static bool is_paid(unsigned *paid)
{
    if (*paid == 0) {
        return false;
    }
    (*paid)--;
    return true;
}

static bool is_control(struct lt_back_h2_conn *c, const nghttp2_frame_hd *hd)
{
    bool nothing = hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
    switch (hd->type) { /* a default on purpose: types that nobody knows are among them */
    case NGHTTP2_DATA:
        pay(&c->pings_paid, nothing ? 0 : 1);
        return nothing;
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION: /* counted by nghttp2 for each block */
        return false;
    case NGHTTP2_RST_STREAM:
        return !is_paid(&c->resets_paid);
    case NGHTTP2_PING:
        return !is_paid(&c->pings_paid);
    case NGHTTP2_WINDOW_UPDATE:
        return !is_paid(&c->windows_paid);
    default:
        return true;
    }
}

void lt_back_h2_count_frame(struct lt_back_h2_conn *c, const nghttp2_frame_hd *hd)
{
    if (is_control(c, hd)) {
        lt_back_h2_count(c);
    }
}
