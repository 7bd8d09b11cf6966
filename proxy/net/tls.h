/* SPDX-License-Identifier: Apache-2.0 */
/* TLS by OpenSSL (1.2 and 1.3). Certificates and keys are shared objects of the snapshot; there is
 * one SSL_CTX per policy and worker; the client-hello callback picks the certificate by server
 * name. */
#ifndef LT_NET_TLS_H
#define LT_NET_TLS_H

#include "base/arena.h"
#include "base/err.h"
#include "config/files.h"
#include "net/stream.h"

#include <openssl/ssl.h>

/* ---- Certificates: loaded once per snapshot, immutable, shared by all workers. ---- */

struct lt_tls_cert; /* a certificate chain and its key */

/* What is wrong with a file: a sentence (in arena) that names it and the reason, and what may help
 * (static, may be NULL). why is empty where nothing is. */
struct lt_tls_complaint {
    struct lt_str why;
    const char *hint;
};

struct lt_tls_wrong {
    struct lt_tls_complaint certificate, key;
};

/* Reads PEM files (from files, see config/files.h). On error *wrong tells it of each file:
 * unreadable (owner, mode, our uid), not PEM, a key that doesn't fit. When it is valid is the
 * caller's to judge. Returns owned, or NULL. */
struct lt_tls_cert *lt_tls_cert_load(struct lt_files *files, struct lt_arena *arena,
                                     struct lt_str cert_file, struct lt_str key_file,
                                     struct lt_tls_wrong *wrong) LT_MUST_CHECK;
void lt_tls_cert_free(struct lt_tls_cert *cert);
/* One more owner of the same certificate. */
struct lt_tls_cert *lt_tls_cert_ref(struct lt_tls_cert *cert);

/* Seconds since 1970 when it begins and ends to be valid. */
int64_t lt_tls_cert_not_before(const struct lt_tls_cert *cert);
int64_t lt_tls_cert_not_after(const struct lt_tls_cert *cert);

/* Names to certificates, exact and "*.suffix", several key types per name. */
struct lt_tls_store;

struct lt_tls_store *lt_tls_store_new(void) LT_MUST_CHECK;
void lt_tls_store_free(struct lt_tls_store *store);
/* Certificates for one host pattern of a site ("api.example.com", "*.example.com", "*"); borrowed
 * for the store's life. The first one added is used when the client names no server. */
enum lt_err lt_tls_store_add(struct lt_tls_store *store, struct lt_str host,
                             const struct lt_tls_cert *const *certs, size_t n) LT_MUST_CHECK;

/* ---- Ticket keys: in shared memory, so that they outlive a crash (shared/tickets.h). ---- */

#define LT_TLS_TICKET_NAME_LEN 16

struct lt_tls_ticket_key {
    unsigned char name[LT_TLS_TICKET_NAME_LEN];
    unsigned char aes[32], hmac[32];
};

/* name == NULL: the key to encrypt with. Else the key with that name. False: none. Lock-free. */
typedef bool (*lt_tls_ticket_fn)(void *keys, const unsigned char *name,
                                 struct lt_tls_ticket_key *out);

/* ---- The server side of one policy in one worker. ---- */

struct lt_tls_policy {
    int min_version;         /* TLS1_2_VERSION or TLS1_3_VERSION */
    bool h2;                 /* offer h2 by ALPN; http/1.1 always is */
    bool refuse_unknown;     /* unknown server names get unrecognized_name */
    unsigned char id[32];    /* session_id_context: digest of what defines the policy */
    lt_tls_ticket_fn ticket; /* NULL: no tickets */
    void *ticket_keys;
};

struct lt_tls_server;

/* One SSL_CTX; store and policy are borrowed for its life. NULL and *why (static) on error. */
struct lt_tls_server *lt_tls_server_new(const struct lt_tls_policy *policy,
                                        const struct lt_tls_store *store,
                                        const char **why) LT_MUST_CHECK;
void lt_tls_server_free(struct lt_tls_server *server);

/* ---- One connection. ---- */

/* The server side of a connection, for lt_stream_start_tls. NULL without memory. Holds a reference
 * on the SSL_CTX, so the server object may go first. */
struct lt_tls *lt_tls_accept(struct lt_tls_server *server) LT_MUST_CHECK;
void lt_tls_free(struct lt_tls *tls);

/* After the handshake. Texts live as long as the connection. */
struct lt_str lt_tls_sni(const struct lt_tls *tls);   /* empty: none */
struct lt_str lt_tls_alpn(const struct lt_tls *tls);  /* empty: none */
const char *lt_tls_version(const struct lt_tls *tls); /* "TLSv1.3" */
const char *lt_tls_cipher(const struct lt_tls *tls);
bool lt_tls_resumed(const struct lt_tls *tls);
/* Why the handshake failed, for people; static or owned by tls. */
const char *lt_tls_error(const struct lt_tls *tls);

/* ---- Used by stream.c only. ---- */
void lt_tls_attach(struct lt_tls *tls, struct lt_stream *s);    /* before anything else */
enum lt_err lt_tls_handshake(struct lt_tls *tls) LT_MUST_CHECK; /* LT_AGAIN: wait for bytes */
enum lt_err lt_tls_read(struct lt_tls *tls, void *buf, size_t cap, size_t *n) LT_MUST_CHECK;
enum lt_err lt_tls_write(struct lt_tls *tls, const struct iovec *iov, unsigned n) LT_MUST_CHECK;
bool lt_tls_has_pending(const struct lt_tls *tls); /* SSL_has_pending */
void lt_tls_close_notify(struct lt_tls *tls);

#endif
