/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards servers: whom we trust, the settings of one upstream, and what a worker makes of
 * them.
 *
 *   lt_tls_trust  -> lt_tls_client_policy -> lt_tls_client -> lt_tls_connect -> struct lt_tls
 *   (authorities)    (settings, snapshot)    (a worker's)     per lt_tls_peer
 *
 * The first two are immutable and shared by threads, the others belong to one worker. */
#ifndef LT_NET_TLS_CLIENT_H
#define LT_NET_TLS_CLIENT_H

#include "base/list.h"
#include "net/tls_trust.h"

#define LT_TLS_ID_LEN 32
#define LT_TLS_PIN_LEN 32
#define LT_TLS_PINS_MAX 16u
#define LT_TLS_SESSIONS_MAX 64u

/* ---- The settings of one upstream. ---- */

/* Protocols to offer, bits. */
enum lt_tls_offer { LT_TLS_OFFER_H1 = 1 << 0, LT_TLS_OFFER_H2 = 1 << 1 };

struct lt_tls_client_spec {
    struct lt_tls_trust *trust; /* borrowed; NULL: what the peer shows isn't verified */
    struct lt_tls_cert *cert;   /* what we show, borrowed; NULL: nothing */
    struct lt_str name;         /* of the servers: a host name or an IP address; empty: each by its
                                   own, see lt_tls_connect */
    const unsigned char (*pins)[LT_TLS_PIN_LEN]; /* SHA-256 of public keys, one has to fit */
    size_t n_pins;                               /* 0: any key will do */
    int min_version;                             /* TLS1_2_VERSION or TLS1_3_VERSION */
    unsigned offer;                              /* enum lt_tls_offer */
    unsigned sessions;                           /* kept for each server by each worker */
};

struct lt_tls_client_policy;

/* A counted copy of spec. NULL without memory. */
struct lt_tls_client_policy *
lt_tls_client_policy_new(const struct lt_tls_client_spec *spec) LT_MUST_CHECK;
struct lt_tls_client_policy *lt_tls_client_policy_ref(struct lt_tls_client_policy *policy);
void lt_tls_client_policy_free(struct lt_tls_client_policy *policy);
struct lt_str lt_tls_client_policy_name(const struct lt_tls_client_policy *policy);
/* LT_TLS_ID_LEN bytes that only policies with the same settings share. */
const unsigned char *lt_tls_client_policy_id(const struct lt_tls_client_policy *policy);

/* ---- A worker's part. ---- */

/* An SSL_CTX for one policy, or for others with the same settings. Counted; one thread. */
struct lt_tls_client;

/* The one in `list` (of this worker) that serves policy, else a new one, which is on the list while
 * it lives. Returns one reference. NULL and *why (static) on error. */
struct lt_tls_client *lt_tls_client_get(struct lt_list *list, struct lt_tls_client_policy *policy,
                                        const char **why) LT_MUST_CHECK;
void lt_tls_client_free(struct lt_tls_client *client);

/* One server and what is remembered of it: sessions to resume, oldest first. Embedded; zeroed is
 * empty. Has to outlive its connections. */
struct lt_tls_peer {
    struct lt_tls_client *client; /* whose sessions they are; a reference, NULL: none */
    SSL_SESSION **sessions;       /* owned; NULL: none yet */
    unsigned n;
};

/* From now on the peer is spoken to by policy: what was remembered under other settings is dropped.
 * False and *why (static): it failed. */
bool lt_tls_peer_use(struct lt_tls_peer *peer, struct lt_list *list,
                     struct lt_tls_client_policy *policy, const char **why) LT_MUST_CHECK;
void lt_tls_peer_fini(struct lt_tls_peer *peer);

/* A connection to peer, for lt_stream_start_tls; lt_stream_look begins the handshake. name (NUL
 * terminated) is who it has to be if the policy names nobody; a name that is no IP address is also
 * told to the server (SNI). NULL without memory. */
struct lt_tls *lt_tls_connect(struct lt_tls_peer *peer, struct lt_str name) LT_MUST_CHECK;

/* Whether the connection was opened under the settings of policy. */
bool lt_tls_obeys(const struct lt_tls *tls, const struct lt_tls_client_policy *policy);

#endif
