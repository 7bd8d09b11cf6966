/* SPDX-License-Identifier: Apache-2.0 */
/* What the TLS files know of each other; nobody else includes this. */
#ifndef LT_NET_TLS_IMPL_H
#define LT_NET_TLS_IMPL_H

#include "base/map.h"
#include "net/tls.h"

/* Immutable but for the count, which threads share: a snapshot's stores hold certificates, servers
 * of all workers hold stores. Relaxed increments, release/acquire on the way to zero. */
struct lt_tls_cert {
    _Atomic unsigned refs;
    X509 *leaf;
    STACK_OF(X509) * chain; /* intermediates, may be empty */
    EVP_PKEY *key;
    int64_t not_before, not_after; /* seconds since 1970 */
};

/* The certificates of one host pattern. */
struct lt_tls_entry {
    struct lt_str host; /* lower case; in the same allocation */
    size_t n;
    struct lt_tls_cert *certs[]; /* references */
};

struct lt_tls_store {
    _Atomic unsigned refs;
    struct lt_map hosts;        /* pattern -> struct lt_tls_entry */
    struct lt_tls_entry *first; /* for clients that name no server; NULL: empty store */
};

struct lt_tls_store *lt_tls_store_ref(const struct lt_tls_store *store);

/* Exact, then the longest "*.suffix", then "*"; NULL: none. name is lower case. */
const struct lt_tls_entry *lt_tls_store_find(const struct lt_tls_store *store, struct lt_str name);

/* One worker's; the count is for connections in their handshake. */
struct lt_tls_server {
    uint32_t magic;
    unsigned refs;
    SSL_CTX *ctx;
    struct lt_tls_policy policy; /* a copy */
    struct lt_tls_store *store;  /* a reference */
};

struct lt_tls {
    uint32_t magic;
    SSL *ssl;
    struct lt_stream *stream;         /* NULL until attached */
    struct lt_tls_server *server;     /* a reference, until the handshake is over */
    const struct lt_tls_entry *entry; /* what the server name chose; lives with server */
    char *sni;                        /* lower case, NULL: none */
    size_t sni_len;
    const char *error;    /* why it failed; static */
    enum lt_err wire_err; /* what the socket said to the last OpenSSL call; LT_OK: no failure */
    enum lt_err read_end; /* found behind bytes that were given out: for the next read */
    unsigned replies;     /* answers to control records sent while output waits */
    bool wire_eof;        /* the socket has ended */
    bool broken;          /* a fatal error: OpenSSL must not be called to shut down */
};

/* OpenSSL's callback: the connection of ssl. */
struct lt_tls *lt_tls_of(const SSL *ssl);

/* Remembers the server name of the client hello, in lower case. False without memory. */
bool lt_tls_set_sni(struct lt_tls *tls, struct lt_str name);

#endif
