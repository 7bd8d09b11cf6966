/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the PROXY header of accepted connections, before TLS or HTTP sees a byte of them. One
 * worker. */
#ifndef LT_NET_PROXY_READER_H
#define LT_NET_PROXY_READER_H

#include "base/cause.h"
#include "base/slab.h"
#include "net/loop.h"
#include "net/proxy_protocol.h"

struct lt_tls;

/* A connection whose header is awaited, as its owner gets it back. */
struct lt_proxied {
    int fd;
    struct lt_addr peer; /* of the socket */
    struct lt_tls *tls;  /* as given; may be NULL */
    void *owner;
};

/* cause NONE: header says who the client is (if given), fd and tls belong to the callee, and what
 * followed the header is still in the socket. Else the header is malformed (why is static), missing
 * or late, the client is gone, or DRAINING; fd and tls are the callee's to close and free. c is
 * borrowed for the call. */
typedef void (*lt_proxied_fn)(const struct lt_proxied *c, const struct lt_proxy_header *header,
                              enum lt_cause cause, const char *why);

/* All of a worker. */
struct lt_proxy_readers {
    struct lt_loop *loop;
    struct lt_slab slab;
    struct lt_list list;
    unsigned count;
};

void lt_proxy_readers_init(struct lt_proxy_readers *readers, struct lt_loop *loop);
/* None may wait. */
void lt_proxy_readers_fini(struct lt_proxy_readers *readers);

/* Waits at most timeout_ms for c's header. required: one must come; else a connection that begins
 * with something else is given back at its first byte with header->given false. fn follows once,
 * never before this returns. LT_ERR_NOMEM: nothing was taken. */
enum lt_err lt_proxy_read(struct lt_proxy_readers *readers, const struct lt_proxied *c,
                          bool required, uint64_t timeout_ms, lt_proxied_fn fn) LT_MUST_CHECK;

/* Ends all that wait, with DRAINING. */
void lt_proxy_readers_end(struct lt_proxy_readers *readers);

#endif
