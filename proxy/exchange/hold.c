/* SPDX-License-Identifier: Apache-2.0 */
/* Small responses are held until they are whole, so that one that is cut can be asked for again, or
 * be answered by a 502 that says why. Held is what names its length, which streams of events,
 * chunks and long downloads don't, and doesn't say X-Accel-Buffering: no; and only when not
 * all of it came with the head, so that in the usual case nothing is copied. The rest has hold.wait
 * to come: an application that sends slowly on purpose is delayed once, by that. The worker's
 * thread.
 *
 *   on_head -> lt_hold_begin -> [on_body: x->held] -> whole | hold.wait over | memory is short
 *                                    |                           '-> lt_hold_end -> response_hooks
 *                                    '- cut -> on_fail -> lt_retry_may -> pick */
#include "exchange/internal.h"

bool lt_hold_wanted(const struct lt_exchange *x, const struct lt_response *res)
{
    return res->body == LT_BODY_LENGTH && res->content_length > res->with_head &&
           res->content_length <= x->upstream->hold.size && !x->grpc &&
           !lt_str_eq_nocase(lt_headers_value(&res->headers, LT_HEADER_X_ACCEL_BUFFERING),
                             LT_STR("no"));
}

void lt_hold_begin(struct lt_exchange *x)
{
    x->holding = true;
    lt_exchange_set_timer(x, x->upstream->hold.wait_ms);
}

void lt_hold_end(struct lt_exchange *x)
{
    x->holding = false;
    if (x->back != NULL) {
        /* No turn of the server's ends now: relay flushes where it has to resume. */
        x->response_paused = true;
        x->back->ops->pause(x->back, LT_PAUSE_PEER);
    }
    lt_relay_accept(x);
}
