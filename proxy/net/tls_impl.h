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
    bool temporary;                /* made here */
};

/* What one host pattern selects. */
struct lt_tls_entry {
    struct lt_str host;           /* lower case; in the same allocation */
    struct lt_tls_policy *policy; /* a reference */
    unsigned policy_index;        /* of the store's policy with the same id */
    size_t n;
    struct lt_tls_cert *certs[]; /* references */
};

struct lt_tls_store {
    _Atomic unsigned refs;
    struct lt_map hosts;              /* pattern -> struct lt_tls_entry */
    struct lt_tls_entry *fallback;    /* owned; for names that no pattern fits; NULL: none */
    const struct lt_tls_entry *first; /* added first; NULL: empty store */
    struct lt_tls_policy *policies[LT_TLS_POLICIES_MAX]; /* references; no id is there twice */
    unsigned n_policies;
};

/* Exact, then the longest "*.suffix", then "*"; NULL: none. name is lower case. */
const struct lt_tls_entry *lt_tls_store_find(const struct lt_tls_store *store, struct lt_str name);

/* What a handshake with this server name (lower case; empty: none) gets. NULL: nothing, the name is
 * unknown. */
const struct lt_tls_entry *lt_tls_server_choose(const struct lt_tls_server *server,
                                                struct lt_str name);

/* The whole file in a BIO of this method, or NULL and *out. */
BIO *lt_tls_read_pem(struct lt_files *files, struct lt_arena *arena, struct lt_str file,
                     const BIO_METHOD *memory, struct lt_tls_complaint *out);

/* What is wrong with a file: `what`, with OpenSSL's newest error, which is taken off. */
void lt_tls_complain(struct lt_arena *arena, struct lt_tls_complaint *out, struct lt_str file,
                     const char *what, const char *hint);

/* Immutable but for the count, as for certificates. OpenSSL locks the store by itself. */
struct lt_tls_trust {
    _Atomic unsigned refs;
    X509_STORE *store;
    unsigned char id[32]; /* digest of its certificates */
};

/* One worker's; the count is for connections in their handshake. */
struct lt_tls_server {
    uint32_t magic;
    unsigned refs;
    struct lt_tls_options options;
    struct lt_tls_store *store; /* a reference */
    SSL_CTX **contexts;         /* store->n_policies of them, in the same order */
};

struct lt_tls {
    uint32_t magic;
    SSL *ssl;
    struct lt_stream *stream;         /* NULL until attached */
    struct lt_tls_server *server;     /* a reference, until the handshake is over */
    struct lt_tls_client *client;     /* a reference; of the client side alone */
    struct lt_tls_peer *peer;         /* whose sessions it uses; of the client side alone */
    struct lt_tls_store *store;       /* a reference, from the hello to the handshake's end */
    const struct lt_tls_entry *entry; /* what the server name chose; lives with store */
    char *sni;                        /* lower case, NULL: none; until the handshake is over */
    size_t sni_len;
    struct lt_tls_info *info; /* a reference; NULL during the handshake */
    const char *error;        /* why it failed; static */
    unsigned long code;       /* OpenSSL's error that was it; 0: none */
    enum lt_refusal refusal;  /* what kind of failure, where one of our callbacks knows */
    enum lt_err wire_err;     /* what the socket said to the last OpenSSL call; LT_OK: no failure */
    enum lt_err read_end;     /* found behind bytes that were given out: for the next read */
    size_t silent;            /* bytes taken since the last that held something for the reader */
    size_t silent_now;        /* of these, in this call */
    unsigned replies;         /* answers to control records sent while output waits */
    bool wire_eof;            /* the socket has ended */
    bool broken;              /* a fatal error: OpenSSL must not be called to shut down */
    bool cut;                 /* the end came without close_notify */
    enum lt_tls_fault fault;
};

/* A connection of ctx on no stream yet, in neither role. NULL without memory. */
struct lt_tls *lt_tls_new(SSL_CTX *ctx);

/* OpenSSL's callback: the connection of ssl. */
struct lt_tls *lt_tls_of(const SSL *ssl);

/* Remembers the server name of the client hello, in lower case. False without memory. */
bool lt_tls_set_sni(struct lt_tls *tls, struct lt_str name);

#endif
