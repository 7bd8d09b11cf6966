/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 front: one client connection, one exchange at a time, in order (RFC 9112 §9.3). */
#ifndef LT_FRONT_FRONT_H1_H
#define LT_FRONT_FRONT_H1_H

#include "exchange/env.h"
#include "net/tls.h"

struct lt_front_h1;

/* All fronts of a worker: each begins here, those of HTTP/2 go on in front_h2.h. */
struct lt_fronts;

/* env is borrowed. Returns owned. */
/* Bytes of one connection's object. */
size_t lt_front_h1_size(void);

struct lt_fronts *lt_fronts_new(struct lt_exchange_env *env) LT_MUST_CHECK;
/* Every connection must be closed. */
void lt_fronts_free(struct lt_fronts *fronts);

/* Takes fd (accepted, non-blocking) and tls (NULL: plain) and serves the connection of peer. via:
 * the socket's own address where a PROXY header named peer; else NULL. Both are borrowed.
 * on_closed(owner, client) is called once when the connection is gone, never before this returns.
 * client is the caller's, what it counts the connection under. LT_ERR_NOMEM: nothing was taken. */
enum lt_err lt_front_h1_accept(struct lt_fronts *fronts, unsigned listener, int fd,
                               const struct lt_addr *peer, const struct lt_addr *via,
                               struct lt_tls *tls, uint64_t client,
                               void (*on_closed)(void *owner, uint64_t client),
                               void *owner) LT_MUST_CHECK;

/* Draining: closes the connections that are idle between requests, once a request that lies in
 * their socket has been served; new ones get a moment to send one. With `all`, ends those in
 * progress too: with 503 where no response has begun, else by a reset. */
void lt_fronts_close(struct lt_fronts *fronts, bool all);

/* Policies have changed: ends the TLS connections for which fits(arg, listener, info) is false,
 * after their current exchanges. */
void lt_fronts_tls_changed(struct lt_fronts *fronts,
                           bool (*fits)(void *arg, unsigned listener,
                                        const struct lt_tls_info *info),
                           void *arg);

/* Connections open now. */
unsigned lt_fronts_count(const struct lt_fronts *fronts);

#endif
