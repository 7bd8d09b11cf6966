/* SPDX-License-Identifier: Apache-2.0 */
/* Compression of a server's response on its way to the front (RFC 9110 §8.4). Decided once, before
 * the head is sent; then every body byte comes through lt_compress_send_body. Without it, a
 * response costs one branch here for its head and one for each piece of its body.
 *
 *   begin_relay -> begin | send_body ... turn ... | end | release
 */
#ifndef LT_EXCHANGE_COMPRESS_H
#define LT_EXCHANGE_COMPRESS_H

#include "exchange/exchange.h"

/* What lt_compress_begin does for routes that have compression. */
enum lt_err lt_compress_decide(struct lt_exchange *x) LT_MUST_CHECK;
/* What lt_compress_send_body and lt_compress_turn do for a response with an encoder. */
enum lt_err lt_compress_feed(struct lt_exchange *x, const char *p, size_t n) LT_MUST_CHECK;
enum lt_err lt_compress_flush(struct lt_exchange *x) LT_MUST_CHECK;

/* Before the head of a server's response goes to the front: decides, and changes the head's fields
 * accordingly. LT_ERR_NOMEM, LT_ERR_LIMIT: the head can't be sent. */
static inline enum lt_err lt_compress_begin(struct lt_exchange *x)
{
    return LT_LIKELY(x->route->options[x->listener].compress == NULL) ? LT_OK
                                                                      : lt_compress_decide(x);
}

/* Gives body bytes to the front, compressed if so decided, and counts what the client gets. Borrows
 * p until the front's next flush. On error the client can't be served any more. */
static inline enum lt_err lt_compress_send_body(struct lt_exchange *x, const char *p, size_t n)
{
    if (LT_UNLIKELY(x->compress.encoder != NULL)) {
        return lt_compress_feed(x, p, n);
    }
    x->bytes_out += n;
    return x->front->ops->send_body(x->front, p, n);
}

/* The server has no more for now: of a stream, all that came is given to the front. The caller
 * flushes it. */
static inline enum lt_err lt_compress_turn(struct lt_exchange *x)
{
    return LT_UNLIKELY(x->compress.stream) ? lt_compress_flush(x) : LT_OK;
}

/* The body is whole: gives the front what is left, and takes digests out of the trailers. The
 * caller flushes it, then releases. */
enum lt_err lt_compress_end(struct lt_exchange *x) LT_MUST_CHECK;

/* Lets go of the encoder, if there is one. No bytes of it wait in the front unflushed. */
void lt_compress_release(struct lt_exchange *x);

#endif
