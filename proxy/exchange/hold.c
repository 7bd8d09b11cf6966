/* SPDX-License-Identifier: Apache-2.0 */
/* Small responses are held until they are whole, so that one that is cut can be asked for again, or
 * be answered by a 502 that says why. Held is what names its length, which streams of events,
 * chunks and long downloads don't; and only when not all of it came with the head, so that in the
 * usual case nothing is copied. The rest has hold.wait to come: an application that sends slowly on
 * purpose is delayed once, by that. The worker's thread.
 *
 *   on_head -> lt_hold_begin -> [on_body: x->held] -> whole | hold.wait over | memory is short
 *                                    |                           '-> lt_hold_end -> response_hooks
 *                                    '- cut -> on_fail -> lt_retry_may -> pick */
#include "exchange/internal.h"

bool lt_hold_begin(struct lt_exchange *x)
{
    const struct lt_hold_options *o = &x->upstream->hold;
    if (x->res.body != LT_BODY_LENGTH || x->res.content_length <= x->res.with_head ||
        x->res.content_length > o->size || x->grpc || x->front == NULL) {
        return false;
    }
    x->holding = true;
    lt_exchange_set_timer(x, o->wait_ms);
    return true;
}

void lt_hold_end(struct lt_exchange *x)
{
    x->holding = false;
    lt_relay_accept(x);
}
