/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 front: one client connection, many exchanges at a time (RFC 9113). It takes over from
 * the HTTP/1 front once ALPN or the client's preface has said what is spoken. */
#ifndef LT_FRONT_FRONT_H2_H
#define LT_FRONT_FRONT_H2_H

#include "exchange/env.h"
#include "net/tls.h"

/* All HTTP/2 fronts of a worker. */
struct lt_fronts_h2;

/* What every client's preface begins with (RFC 9113 §3.4); no method of HTTP/1 does. */
#define LT_FRONT_H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* What a connection was before. */
struct lt_front_h2_start {
    struct lt_stream *stream; /* open, past its handshake, nothing put */
    unsigned listener;
    bool tls;
    const struct lt_addr *peer, *via; /* via may have len 0 */
    uint64_t opened_us;
    void (*on_closed)(void *owner, uint64_t client);
    void *owner;
    uint64_t client;
};

/* env is borrowed. Returns owned, NULL without memory. */
struct lt_fronts_h2 *lt_fronts_h2_new(struct lt_exchange_env *env) LT_MUST_CHECK;
/* Every connection must be closed. */
void lt_fronts_h2_free(struct lt_fronts_h2 *fronts);

/* Moves the stream to a front of its own and goes on with p[0, n), which was read of it already.
 * on_closed as in lt_front_h1_accept. LT_ERR_NOMEM: nothing was taken. */
enum lt_err lt_front_h2_take(struct lt_fronts_h2 *fronts, const struct lt_front_h2_start *start,
                             const char *p, size_t n) LT_MUST_CHECK;

/* As lt_fronts_close: asks clients to send no more requests, and closes what has none. With `all`,
 * requests in progress end too. */
void lt_fronts_h2_close(struct lt_fronts_h2 *fronts, bool all);

/* As lt_fronts_tls_changed: such connections name their last request and end after it. */
void lt_fronts_h2_tls_changed(struct lt_fronts_h2 *fronts,
                              bool (*fits)(void *arg, unsigned listener,
                                           const struct lt_tls_info *info),
                              void *arg);

/* Bytes of one connection's objects, nghttp2's about, and of one stream's. */
size_t lt_front_h2_size(void);
size_t lt_front_h2_stream_size(void);

unsigned lt_fronts_h2_count(const struct lt_fronts_h2 *fronts);

#endif
