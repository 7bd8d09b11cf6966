/* SPDX-License-Identifier: Apache-2.0 */
/* Which failures of a server are worth another try. The worker's thread. */
#include "exchange/internal.h"

bool lt_retry_may(struct lt_exchange *x, const struct lt_back_failure *f)
{
    if (x->head_sent || x->response_begun || x->body_started || x->front == NULL) {
        return false;
    }
    /* A try on an idle connection that was gone does not count. */
    bool more = x->tries < x->upstream->attempts + (x->fresh ? 1u : 0u);
    if (!f->connected) {
        return more;
    }
    if (f->bytes_received > 0 || (!f->unread && !lt_method_idempotent(x->req.method))) {
        return false;
    }
    /* An idle connection that the server closed as we used it again: once more on a fresh one. A
     * fresh one that was reset: the request was not read whole, because the server stopped while it
     * waited in the listen queue, say. */
    return (f->reused && !x->fresh) || ((f->reset || f->unread) && more);
}

void lt_retry_note(struct lt_exchange *x, const struct lt_back_failure *f)
{
    if (f->connected && f->reused) {
        x->fresh = true;
    } else {
        lt_pick_tried(&x->pick, x->server);
        /* Another one first; but it may have refused for a moment only. */
        x->same_server_too = f->cause == LT_CAUSE_STREAM_REFUSED;
    }
}
