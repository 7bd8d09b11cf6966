/* SPDX-License-Identifier: Apache-2.0 */
/* TLS by OpenSSL (1.2 and 1.3). Certificates, keys and policies are shared objects that all workers
 * read; there is one SSL_CTX per policy, listener and worker; the client-hello callback picks
 * certificate and policy by server name. */
#ifndef LT_NET_TLS_H
#define LT_NET_TLS_H

#include "base/arena.h"
#include "base/err.h"
#include "config/files.h"
#include "net/stream.h"
#include "net/tls_info.h"
#include "shared/metrics.h"

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
/* A self-signed certificate with a new key, to start with where there is none yet: no client trusts
 * it. Returns owned; NULL: OpenSSL failed, mostly for want of memory. */
struct lt_tls_cert *lt_tls_cert_temporary(void) LT_MUST_CHECK;
bool lt_tls_cert_is_temporary(const struct lt_tls_cert *cert);
void lt_tls_cert_free(struct lt_tls_cert *cert);
/* One more owner of the same certificate. */
struct lt_tls_cert *lt_tls_cert_ref(struct lt_tls_cert *cert);

/* Seconds since 1970 when it begins and ends to be valid. */
int64_t lt_tls_cert_not_before(const struct lt_tls_cert *cert);
int64_t lt_tls_cert_not_after(const struct lt_tls_cert *cert);

/* When each file was changed last, and which one it is: what a watcher compares. */
struct lt_tls_stamp {
    uint64_t device, inode, size;
    int64_t changed_ns, modified_ns; /* 0, 0: there is no file */
};

/* The stamp of the file at path now. May block. */
struct lt_tls_stamp lt_tls_stamp(const char *path);
bool lt_tls_stamp_eq(const struct lt_tls_stamp *a, const struct lt_tls_stamp *b);

/* Names to certificates and policies, exact and "*.suffix", several key types per name. Immutable
 * once its servers are made; shared by all workers. */
struct lt_tls_store;

struct lt_tls_store *lt_tls_store_new(void) LT_MUST_CHECK;
void lt_tls_store_free(struct lt_tls_store *store);
struct lt_tls_store *lt_tls_store_ref(const struct lt_tls_store *store);
/* Policy and certificates for one host pattern of a site ("api.example.com", "*.example.com", "*");
 * the store becomes one more owner of them. The first one added is used when the client names no
 * server and there is neither "*" nor a fallback. LT_ERR_EXISTS, LT_ERR_NOMEM; LT_ERR_LIMIT: more
 * than LT_TLS_POLICIES_MAX policies. */
enum lt_err lt_tls_store_add(struct lt_tls_store *store, struct lt_str host,
                             struct lt_tls_policy *policy, const struct lt_tls_cert *const *certs,
                             size_t n) LT_MUST_CHECK;
/* The same for names that no pattern fits: of the default site. */
enum lt_err lt_tls_store_add_fallback(struct lt_tls_store *store, struct lt_tls_policy *policy,
                                      const struct lt_tls_cert *const *certs,
                                      size_t n) LT_MUST_CHECK;
#define LT_TLS_POLICIES_MAX 256u

/* ---- Ticket keys: in shared memory, so that they outlive a crash (shared/tickets.h). ---- */

#define LT_TLS_TICKET_NAME_LEN 16

struct lt_tls_ticket_key {
    unsigned char name[LT_TLS_TICKET_NAME_LEN];
    unsigned char aes[32], hmac[32];
};

/* name == NULL: the key to encrypt with. Else the key with that name. False: none. Lock-free. */
typedef bool (*lt_tls_ticket_fn)(void *keys, const unsigned char *name,
                                 struct lt_tls_ticket_key *out);

/* ---- The server side of one listener in one worker. ---- */

struct lt_tls_options {
    bool h2;                /* offer h2 by ALPN; http/1.1 always is */
    bool refuse_unknown;    /* names that no pattern fits get unrecognized_name, also where there is
                             * a fallback */
    uint64_t ticket_life_s; /* how long a session may be resumed */
    lt_tls_ticket_fn ticket; /* NULL: no tickets */
    void *ticket_keys;
};

struct lt_tls_server;

/* An SSL_CTX for each policy in store; options are copied. NULL and *why (static) on error. */
struct lt_tls_server *lt_tls_server_new(const struct lt_tls_options *options,
                                        const struct lt_tls_store *store,
                                        const char **why) LT_MUST_CHECK;
void lt_tls_server_free(struct lt_tls_server *server);

/* From now on handshakes take another store; those in progress that have sent their hello end with
 * the one they began with. On error all stays as it was, and *why (static) says why. */
bool lt_tls_server_update(struct lt_tls_server *server, const struct lt_tls_store *store,
                          const char **why) LT_MUST_CHECK;

/* Whether a handshake like the one that info tells of would come under the same policy now. */
bool lt_tls_server_fits(const struct lt_tls_server *server, const struct lt_tls_info *info);

/* ---- One connection. ---- */

/* The server side of a connection, for lt_stream_start_tls. NULL without memory. Holds a reference
 * on the SSL_CTX, so the server object may go first. */
struct lt_tls *lt_tls_accept(struct lt_tls_server *server) LT_MUST_CHECK;
void lt_tls_free(struct lt_tls *tls);

/* After a handshake of the server side: what was agreed on. Borrowed for the connection's life, or
 * longer with a reference. NULL before. */
struct lt_tls_info *lt_tls_info(const struct lt_tls *tls);
struct lt_str lt_tls_alpn(const struct lt_tls *tls); /* empty: none; lives as the connection */
/* After the handshake, of either side. */
bool lt_tls_resumed(const struct lt_tls *tls);
/* Why the handshake or the connection failed, for people; static or owned by tls. */
const char *lt_tls_error(const struct lt_tls *tls);
/* What kind of failure that was, err being what the handshake gave (LT_ERR_TIMEOUT: its time was
 * over). */
enum lt_refusal lt_tls_refusal(const struct lt_tls *tls, enum lt_err err);

/* What kind of failure that was. */
enum lt_tls_fault {
    LT_TLS_FAULT_NONE,
    LT_TLS_FAULT_PROTOCOL,    /* they could not agree, or broke a rule */
    LT_TLS_FAULT_NO_TLS,      /* the peer speaks something else */
    LT_TLS_FAULT_ALERT,       /* the peer refused */
    LT_TLS_FAULT_OUR_CERT,    /* it refused our certificate, or wants one */
    LT_TLS_FAULT_EXPIRED,     /* its certificate's time is over or hasn't come */
    LT_TLS_FAULT_NAME,        /* its certificate is for somebody else */
    LT_TLS_FAULT_UNTRUSTED,   /* nobody we trust has issued its certificate */
    LT_TLS_FAULT_PIN,         /* its key is none of those expected */
    LT_TLS_FAULT_CERTIFICATE, /* another fault of its certificate */
    LT_TLS_FAULT_GONE         /* the connection ended */
};
enum lt_tls_fault lt_tls_fault(const struct lt_tls *tls);

/* Whether the peer's end came without its close_notify: anybody on the way may have made it. */
bool lt_tls_was_cut(const struct lt_tls *tls);

/* ---- Used by stream.c only. ---- */
void lt_tls_attach(struct lt_tls *tls, struct lt_stream *s);    /* before anything else */
enum lt_err lt_tls_handshake(struct lt_tls *tls) LT_MUST_CHECK; /* LT_AGAIN: wait for bytes */
enum lt_err lt_tls_read(struct lt_tls *tls, void *buf, size_t cap, size_t *n) LT_MUST_CHECK;
enum lt_err lt_tls_write(struct lt_tls *tls, const struct iovec *iov, unsigned n) LT_MUST_CHECK;
bool lt_tls_has_pending(const struct lt_tls *tls); /* SSL_has_pending */
void lt_tls_close_notify(struct lt_tls *tls);

#endif
