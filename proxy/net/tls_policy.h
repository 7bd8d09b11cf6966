/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS policy: what has to hold for a connection before requests for a site are taken from it.
 * Versions, ciphers and groups, and whose certificates clients have to show. Immutable; shared by
 * all threads. Two sites with the same settings have policies with the same id, and nothing else
 * makes connections and sessions of one good for the other. */
#ifndef LT_NET_TLS_POLICY_H
#define LT_NET_TLS_POLICY_H

#include "base/arena.h"
#include "base/err.h"
#include "config/files.h"

#include <openssl/ssl.h>

#define LT_TLS_POLICY_ID_LEN 32u
/* Bytes of a client's certificate with its chain; and what it takes in memory then, at most: as
 * OpenSSL keeps it, about three times as large, and our texts of it. */
#define LT_TLS_CLIENT_CHAIN_MAX 16384
#define LT_TLS_CLIENT_CHAIN_MEMORY ((size_t)5 * LT_TLS_CLIENT_CHAIN_MAX)

/* OpenSSL's lists, NUL-terminated. */
struct lt_tls_terms {
    int min_version, max_version; /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *ciphers;          /* of TLS 1.2, "A:B" */
    const char *suites;           /* of TLS 1.3 */
    const char *groups;
};

enum lt_tls_verify {
    LT_TLS_VERIFY_NONE,     /* clients are not asked for a certificate */
    LT_TLS_VERIFY_OPTIONAL, /* they may have none; one that isn't valid ends the handshake */
    LT_TLS_VERIFY_REQUIRED
};

/* What servers are told of a client's certificate: bits. */
enum lt_tls_tell {
    LT_TLS_TELL_SUBJECT = 1 << 0,
    LT_TLS_TELL_SAN = 1 << 1,
    LT_TLS_TELL_FINGERPRINT = 1 << 2,
    LT_TLS_TELL_CERTIFICATE = 1 << 3
};

struct lt_tls_policy_spec {
    struct lt_tls_terms terms;
    enum lt_tls_verify verify;
    unsigned depth;    /* intermediate authorities between a client's certificate and `trust` */
    X509_STORE *trust; /* authorities and CRLs; NULL without verify */
    unsigned tell;     /* enum lt_tls_tell; no part of the id */
};

struct lt_tls_policy {
    _Atomic unsigned refs;
    unsigned char id[LT_TLS_POLICY_ID_LEN]; /* digest of all that defines it; also the
                                             * session_id_context */
    struct lt_tls_policy_spec spec;         /* its own copies */
    STACK_OF(X509_NAME) * names;            /* of the authorities, told to clients */
};

/* spec is borrowed; trust gets one more owner. NULL without memory. */
struct lt_tls_policy *lt_tls_policy_new(const struct lt_tls_policy_spec *spec) LT_MUST_CHECK;
struct lt_tls_policy *lt_tls_policy_ref(struct lt_tls_policy *policy);
void lt_tls_policy_free(struct lt_tls_policy *policy);

/* Makes ctx follow policy. False: OpenSSL refuses, its error queue says why. */
bool lt_tls_policy_apply(const struct lt_tls_policy *policy, SSL_CTX *ctx) LT_MUST_CHECK;

/* In a client-hello callback: makes a connection that began under another policy follow this one,
 * whose SSL_CTX is ctx. */
bool lt_tls_policy_switch(const struct lt_tls_policy *policy, SSL *ssl, SSL_CTX *ctx) LT_MUST_CHECK;

#endif
