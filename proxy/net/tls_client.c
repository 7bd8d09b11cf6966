/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of TLS: an SSL_CTX for each policy in a worker, what it asks of a server's
 * certificate, and sessions to resume. tls_conn.c carries the bytes, as for the server's side.
 *
 * Sessions belong to a server under one policy. A TLS 1.3 ticket is used once (RFC 8446 appendix
 * C.4), so that nobody can tell from it who comes again; a server sends a new one each time. */
#include "net/tls_client.h"

#include <arpa/inet.h>
#include <stdatomic.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/obj.h"
#include "net/tls_impl.h"

#define CLIENT_MAGIC 0x746c736bu /* "tlsk" */

/* One recv fetches so much. */
#define READ_BUFFER_LEN (32 * 1024)

/* Forward secret and authenticated ones only. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS "X25519:P-256:P-384"

/* Immutable but for the count, which threads share, as in struct lt_tls_trust. */
struct lt_tls_client_policy {
    _Atomic unsigned refs;
    struct lt_tls_trust *trust; /* a reference or NULL */
    struct lt_tls_cert *cert;   /* a reference or NULL */
    size_t n_pins;
    int min_version;
    unsigned offer, sessions;
    unsigned char id[LT_TLS_ID_LEN]; /* digest of all that, the name included */
    unsigned char pins[LT_TLS_PINS_MAX][LT_TLS_PIN_LEN];
    char name[256]; /* empty: none */
};

struct lt_tls_client {
    uint32_t magic;
    unsigned refs;
    SSL_CTX *ctx;
    struct lt_tls_client_policy *policy; /* a reference */
    struct lt_list link;                 /* in the worker's list */
};

/* ---- The policy. ---- */

static bool digest_cert(EVP_MD_CTX *md, X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;
    return X509_digest(cert, EVP_sha256(), digest, &len) == 1 &&
           EVP_DigestUpdate(md, digest, len) == 1;
}

static bool digest_policy(struct lt_tls_client_policy *p)
{
    const unsigned words[] = {(unsigned)p->min_version, p->offer,        p->sessions,
                              p->trust != NULL,         p->cert != NULL, (unsigned)p->n_pins};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, words, sizeof(words)) == 1 &&
              EVP_DigestUpdate(md, p->name, sizeof(p->name)) == 1 &&
              EVP_DigestUpdate(md, p->pins, sizeof(p->pins)) == 1;
    if (ok && p->trust != NULL) {
        ok = EVP_DigestUpdate(md, p->trust->id, sizeof(p->trust->id)) == 1;
    }
    if (ok && p->cert != NULL) {
        ok = digest_cert(md, p->cert->leaf);
        for (int i = 0; ok && i < sk_X509_num(p->cert->chain); i++) {
            ok = digest_cert(md, sk_X509_value(p->cert->chain, i));
        }
    }
    ok = ok && EVP_DigestFinal_ex(md, p->id, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

struct lt_tls_client_policy *lt_tls_client_policy_new(const struct lt_tls_client_spec *spec)
{
    struct lt_tls_client_policy *p = lt_calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    atomic_init(&p->refs, 1);
    p->trust = spec->trust != NULL ? lt_tls_trust_ref(spec->trust) : NULL;
    p->cert = spec->cert != NULL ? lt_tls_cert_ref(spec->cert) : NULL;
    p->n_pins = lt_min(spec->n_pins, (size_t)LT_TLS_PINS_MAX);
    p->min_version = spec->min_version;
    p->offer = spec->offer;
    p->sessions = lt_min(spec->sessions, LT_TLS_SESSIONS_MAX);
    if (p->n_pins > 0) {
        memcpy(p->pins, spec->pins, p->n_pins * LT_TLS_PIN_LEN);
    }
    memcpy(p->name, spec->name.p != NULL ? spec->name.p : "",
           lt_min(spec->name.len, sizeof(p->name) - 1));
    if (!digest_policy(p)) {
        ERR_clear_error();
        lt_tls_client_policy_free(p);
        return NULL;
    }
    return p;
}

struct lt_tls_client_policy *lt_tls_client_policy_ref(struct lt_tls_client_policy *policy)
{
    atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
    return policy;
}

void lt_tls_client_policy_free(struct lt_tls_client_policy *policy)
{
    if (policy != NULL && atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) == 1) {
        lt_tls_trust_free(policy->trust);
        lt_tls_cert_free(policy->cert);
        lt_free(policy);
    }
}

struct lt_str lt_tls_client_policy_name(const struct lt_tls_client_policy *policy)
{
    return lt_str_c(policy->name);
}

const unsigned char *lt_tls_client_policy_id(const struct lt_tls_client_policy *policy)
{
    return policy->id;
}

/* ---- What is asked of a certificate. ---- */

static enum lt_tls_fault fault_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return LT_TLS_FAULT_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return LT_TLS_FAULT_NAME;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return LT_TLS_FAULT_UNTRUSTED;
    default: /* on purpose: OpenSSL has about a hundred of them */
        return LT_TLS_FAULT_CERTIFICATE;
    }
}

static bool is_pinned(const struct lt_tls_client_policy *policy, X509 *cert)
{
    unsigned char digest[LT_TLS_PIN_LEN], *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool found = false;
    if (len > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)len, digest, NULL) == 1) {
        for (size_t i = 0; i < policy->n_pins; i++) {
            found |= memcmp(digest, policy->pins[i], sizeof(digest)) == 0;
        }
    }
    OPENSSL_free(der);
    return found;
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    struct lt_tls *tls =
        lt_tls_of(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const struct lt_tls_client_policy *policy = tls->client->policy;
    if (policy->trust != NULL && X509_verify_cert(store) != 1) {
        int error = X509_STORE_CTX_get_error(store);
        tls->fault = fault_of(error);
        tls->error = X509_verify_cert_error_string(error);
        return 0;
    }
    if (policy->n_pins > 0 && !is_pinned(policy, X509_STORE_CTX_get0_cert(store))) {
        tls->fault = LT_TLS_FAULT_PIN;
        tls->error = "the public key is not a pinned one";
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* ---- Sessions. ---- */

static void forget(struct lt_tls_peer *peer)
{
    for (unsigned i = 0; i < peer->n; i++) {
        SSL_SESSION_free(peer->sessions[i]);
    }
    peer->n = 0;
}

static void take_out(struct lt_tls_peer *peer, unsigned i)
{
    peer->n--;
    memmove(&peer->sessions[i], &peer->sessions[i + 1], (peer->n - i) * sizeof(SSL_SESSION *));
}

/* OpenSSL's callback; 1: the session is ours now. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct lt_tls *tls = lt_tls_of(ssl);
    struct lt_tls_peer *peer = tls->peer;
    unsigned max = tls->client->policy->sessions;
    if (peer->client != tls->client || max == 0 || !SSL_SESSION_is_resumable(session)) {
        return 0; /* the settings have changed since */
    }
    if (peer->sessions == NULL) {
        peer->sessions = lt_calloc(max, sizeof(SSL_SESSION *));
        if (peer->sessions == NULL) {
            return 0;
        }
    }
    if (peer->n == max) {
        SSL_SESSION_free(peer->sessions[0]);
        take_out(peer, 0);
    }
    peer->sessions[peer->n++] = session;
    return 1;
}

/* Has ssl resume the newest session. */
static void resume(struct lt_tls_peer *peer, SSL *ssl)
{
    if (peer->n == 0) {
        return;
    }
    SSL_SESSION *session = peer->sessions[peer->n - 1];
    SSL_set_session(ssl, session); /* takes a reference; without it a full handshake follows */
    if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) {
        take_out(peer, peer->n - 1);
        SSL_SESSION_free(session);
    }
}

/* ---- The worker's SSL_CTX. ---- */

static bool set_offer(SSL_CTX *ctx, unsigned offer)
{
    static const unsigned char all[] = "\x02h2\x08http/1.1";
    const unsigned char *p = (offer & LT_TLS_OFFER_H2) != 0 ? all : all + 3;
    unsigned len =
        ((offer & LT_TLS_OFFER_H2) != 0 ? 3 : 0) + ((offer & LT_TLS_OFFER_H1) != 0 ? 9 : 0);
    return len == 0 || SSL_CTX_set_alpn_protos(ctx, p, len) == 0;
}

static bool set_up(SSL_CTX *ctx, const struct lt_tls_client_policy *policy)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_LEN);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    if (policy->trust != NULL) {
        SSL_CTX_set1_cert_store(ctx, policy->trust->store);
        /* What stands in `ca` is trusted, be it an intermediate authority or the server itself. */
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    }
    const struct lt_tls_cert *cert = policy->cert;
    return SSL_CTX_set_min_proto_version(ctx, policy->min_version) == 1 &&
           SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 && set_offer(ctx, policy->offer) &&
           (cert == NULL ||
            SSL_CTX_use_cert_and_key(ctx, cert->leaf, cert->key, cert->chain, 1) == 1);
}

static struct lt_tls_client *client_new(struct lt_tls_client_policy *policy, const char **why)
{
    struct lt_tls_client *client = lt_calloc(1, sizeof(*client));
    if (client == NULL) {
        *why = "out of memory";
        return NULL;
    }
    LT_OBJ_INIT(client, CLIENT_MAGIC);
    client->refs = 1;
    client->policy = lt_tls_client_policy_ref(policy);
    client->ctx = SSL_CTX_new(TLS_client_method());
    if (client->ctx == NULL || !set_up(client->ctx, policy)) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        *why = reason != NULL ? reason : "OpenSSL refused the settings";
        ERR_clear_error();
        lt_tls_client_free(client);
        return NULL;
    }
    return client;
}

struct lt_tls_client *lt_tls_client_get(struct lt_list *list, struct lt_tls_client_policy *policy,
                                        const char **why)
{
    lt_list_each(it, tmp, list)
    {
        struct lt_tls_client *client = lt_container_of(it, struct lt_tls_client, link);
        if (memcmp(client->policy->id, policy->id, LT_TLS_ID_LEN) == 0) {
            client->refs++;
            return client;
        }
    }
    struct lt_tls_client *client = client_new(policy, why);
    if (client != NULL) {
        lt_list_push_front(list, &client->link);
    }
    return client;
}

void lt_tls_client_free(struct lt_tls_client *client)
{
    if (client == NULL) {
        return;
    }
    LT_OBJ_CHECK(client, CLIENT_MAGIC);
    if (--client->refs == 0) {
        lt_list_remove(&client->link);
        SSL_CTX_free(client->ctx);
        lt_tls_client_policy_free(client->policy);
        LT_OBJ_FINI(client);
        lt_free(client);
    }
}

/* ---- One server. ---- */

bool lt_tls_peer_use(struct lt_tls_peer *peer, struct lt_list *list,
                     struct lt_tls_client_policy *policy, const char **why)
{
    if (peer->client != NULL && memcmp(peer->client->policy->id, policy->id, LT_TLS_ID_LEN) == 0) {
        return true;
    }
    struct lt_tls_client *client = lt_tls_client_get(list, policy, why);
    if (client == NULL) {
        return false;
    }
    lt_tls_peer_fini(peer);
    peer->client = client;
    return true;
}

void lt_tls_peer_fini(struct lt_tls_peer *peer)
{
    forget(peer);
    lt_free(peer->sessions);
    lt_tls_client_free(peer->client);
    *peer = (struct lt_tls_peer){.client = NULL};
}

/* Who the server has to be. */
static bool set_name(SSL *ssl, const char *name, bool verify)
{
    unsigned char ip[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1) {
        return !verify || X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return (!verify || X509_VERIFY_PARAM_set1_host(param, name, 0) == 1) &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct lt_tls *lt_tls_connect(struct lt_tls_peer *peer, struct lt_str name)
{
    const struct lt_tls_client_policy *policy = peer->client->policy;
    const char *who = policy->name[0] != '\0' ? policy->name : name.p;
    struct lt_tls *tls = lt_tls_new(peer->client->ctx);
    if (tls == NULL) {
        return NULL;
    }
    tls->client = peer->client;
    tls->client->refs++;
    tls->peer = peer;
    SSL_set_connect_state(tls->ssl);
    if (who != NULL && who[0] != '\0' && !set_name(tls->ssl, who, policy->trust != NULL)) {
        ERR_clear_error();
        lt_tls_free(tls);
        return NULL;
    }
    resume(peer, tls->ssl);
    return tls;
}

bool lt_tls_obeys(const struct lt_tls *tls, const struct lt_tls_client_policy *policy)
{
    return tls->client != NULL && memcmp(tls->client->policy->id, policy->id, LT_TLS_ID_LEN) == 0;
}
