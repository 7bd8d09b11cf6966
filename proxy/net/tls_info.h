/* SPDX-License-Identifier: Apache-2.0 */
/* What a handshake agreed on, and who the client is if it showed a certificate. Made when the
 * handshake is over, immutable then. Counted, because exchanges may outlive their connection. One
 * worker's thread. */
#ifndef LT_NET_TLS_INFO_H
#define LT_NET_TLS_INFO_H

#include "net/tls_policy.h"

/* Bytes of a subject, and of all names: a certificate with longer ones is refused. */
#define LT_TLS_SUBJECT_MAX 1024u
#define LT_TLS_SAN_MAX 4096u

struct lt_tls_info {
    unsigned refs;
    bool resumed;
    bool asks;           /* the policy asks clients for certificates */
    bool verified;       /* the client has shown a valid one: what follows is its */
    const char *version; /* "TLSv1.3"; static */
    const char *cipher;  /* static */
    struct lt_str sni;   /* lower case, without the root's dot; empty: none */
    unsigned char policy[LT_TLS_POLICY_ID_LEN]; /* id of the policy of the handshake */
    unsigned tell;                              /* of the policy: enum lt_tls_tell */
    struct lt_str subject;                      /* RFC 4514, ASCII: "CN=one,O=Two"; may be empty */
    struct lt_str issuer;                       /* the subject of who issued it, likewise */
    struct lt_str serial;                       /* hex digits, "0A1B" */
    int64_t not_after;                          /* it ends then: seconds since 1970 */
    struct lt_str san;                          /* "DNS:a.test,URI:spiffe://x"; may be empty */
    struct lt_str fingerprint;                  /* SHA-256 of the certificate, hex digits */
    struct lt_str certificate;                  /* as RFC 9440 has it: ":base64 of the DER form:" */
};

/* What ssl agreed on under policy; sni is copied. NULL: the certificate can't be accepted though it
 * was verified, and *why (static) says why; or there is no memory, and *why is NULL. */
struct lt_tls_info *lt_tls_info_new(SSL *ssl, const struct lt_tls_policy *policy, struct lt_str sni,
                                    const char **why) LT_MUST_CHECK;
/* NULL is fine for both. */
struct lt_tls_info *lt_tls_info_ref(struct lt_tls_info *info);
void lt_tls_info_free(struct lt_tls_info *info);

#endif
