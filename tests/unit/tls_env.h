/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of TLS share: certificates made on the spot, ticket keys, and an OpenSSL client
 * that is pumped by hand over a socket, so that a test decides how the bytes arrive. */
#ifndef LT_TESTS_UNIT_TLS_ENV_H
#define LT_TESTS_UNIT_TLS_ENV_H

#include "net_env.h"

#include <stdio.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "net/tls.h"

/* ---- Certificates ---- */

struct made {
    EVP_PKEY *key;
    X509 *cert;
};

/* A self-signed certificate for name whose time ends so many days from now. */
static inline struct made make_cert(EVP_PKEY *key, const char *name, int days)
{
    struct made m = {.key = key, .cert = X509_new()};
    char san[128];
    X509V3_CTX v3;
    assert_non_null(key);
    X509_set_version(m.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(m.cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(m.cert), -100L * 86400);
    X509_gmtime_adj(X509_getm_notAfter(m.cert), days * 86400L);
    X509_set_pubkey(m.cert, key);
    X509_NAME *subject = X509_get_subject_name(m.cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(m.cert, subject);
    snprintf(san, sizeof(san), "DNS:%s", name);
    X509V3_set_ctx(&v3, m.cert, m.cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, san);
    assert_non_null(ext);
    X509_add_ext(m.cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(m.cert, key, EVP_sha256()) > 0);
    return m;
}

static inline void made_free(struct made *m)
{
    X509_free(m->cert);
    EVP_PKEY_free(m->key);
}

static inline void write_pem(const char *path, const struct made *m, bool key, const char *password)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (key) {
        assert_int_equal(
            PEM_write_PrivateKey(f, m->key, password != NULL ? EVP_aes_128_cbc() : NULL,
                                 (const unsigned char *)password,
                                 password != NULL ? (int)strlen(password) : 0, NULL, NULL),
            1);
    } else {
        assert_int_equal(PEM_write_X509(f, m->cert), 1);
    }
    fclose(f);
}

/* A revocation list of issuer that revokes nothing, good for so many days from now. */
static inline void write_crl(const char *path, const struct made *issuer, int days)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *time = ASN1_TIME_new();
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert));
    X509_gmtime_adj(time, -10L * 86400);
    X509_CRL_set1_lastUpdate(crl, time);
    X509_gmtime_adj(time, days * 86400L);
    X509_CRL_set1_nextUpdate(crl, time);
    assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
    fclose(f);
    ASN1_TIME_free(time);
    X509_CRL_free(crl);
}

/* A loaded certificate for name, by way of files in folder. */
static inline struct lt_tls_cert *load_made(const char *folder, EVP_PKEY *key, const char *name)
{
    char cert_file[256], key_file[256];
    struct lt_arena arena;
    struct lt_tls_wrong wrong;
    struct made m = make_cert(key, name, 30);
    snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", folder);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    write_pem(cert_file, &m, false, NULL);
    write_pem(key_file, &m, true, NULL);
    lt_arena_init(&arena, NULL, 0, 65536);
    struct lt_tls_cert *cert =
        lt_tls_cert_load(NULL, &arena, lt_str_c(cert_file), lt_str_c(key_file), &wrong);
    if (cert == NULL) {
        fail_msg("%.*s %.*s", LT_STR_ARG(wrong.certificate.why), LT_STR_ARG(wrong.key.why));
    }
    lt_arena_fini(&arena);
    unlink(cert_file);
    unlink(key_file);
    made_free(&m);
    return cert;
}

/* A policy that asks nobody for a certificate. */
static inline struct lt_tls_policy *make_policy(int min_version)
{
    const struct lt_tls_policy_spec spec = {
        .terms = {.min_version = min_version,
                  .max_version = TLS1_3_VERSION,
                  .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
                  .suites = "TLS_AES_128_GCM_SHA256",
                  .groups = "X25519:P-256"}};
    struct lt_tls_policy *policy = lt_tls_policy_new(&spec);
    assert_non_null(policy);
    return policy;
}

/* ---- Ticket keys ---- */

struct keys {
    struct lt_tls_ticket_key ring[2];
    unsigned current, n;
};

static inline void keys_init(struct keys *keys, unsigned n)
{
    memset(keys, 0, sizeof(*keys));
    keys->n = n;
    for (unsigned i = 0; i < n; i++) {
        memset(&keys->ring[i], 'a' + (int)i, sizeof(keys->ring[i]));
    }
}

static inline bool find_key(void *arg, const unsigned char *name, struct lt_tls_ticket_key *out)
{
    const struct keys *keys = arg;
    for (unsigned i = 0; i < keys->n; i++) {
        if (name == NULL ? i == keys->current
                         : memcmp(name, keys->ring[i].name, sizeof(out->name)) == 0) {
            *out = keys->ring[i];
            return true;
        }
    }
    return false;
}

/* ---- The client ---- */

struct client {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;        /* borrowed from ssl */
    size_t drip;          /* sends at most so many bytes per pump; 0: all */
    bool deaf;            /* takes nothing from the socket */
    bool closed;          /* the socket ended */
    int error;            /* errno of the socket, 0: none */
    SSL_SESSION *session; /* the newest ticket; owned */
};

static inline int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

/* A TLS client of exactly this version over fd; sni and session may be NULL. */
static inline void client_init(struct client *c, int fd, int version, const char *sni,
                               SSL_SESSION *session)
{
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(c->ctx, version);
    SSL_CTX_set_max_proto_version(c->ctx, version);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, keep_session);
    c->ssl = SSL_new(c->ctx);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(c->in, -1);
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_app_data(c->ssl, c);
    SSL_set_connect_state(c->ssl);
    if (sni != NULL) {
        SSL_set_tlsext_host_name(c->ssl, sni);
    }
    if (session != NULL) {
        assert_int_equal(SSL_set_session(c->ssl, session), 1);
    }
}

static inline void client_fini(struct client *c)
{
    SSL_SESSION_free(c->session);
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN); /* else its tickets are spoilt */
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    if (c->fd >= 0) {
        close(c->fd);
    }
}

/* Moves bytes between the client's TLS and its socket. */
static inline void pump(struct client *c)
{
    char buf[16384], *p;
    ssize_t n = 0;
    long left = BIO_get_mem_data(c->out, &p);
    if (left > 0) {
        size_t len = c->drip > 0 ? lt_min(c->drip, (size_t)left) : (size_t)left;
        n = send(c->fd, p, lt_min(len, sizeof(buf)), MSG_NOSIGNAL);
        if (n > 0) {
            BIO_read(c->out, buf, (int)n);
        }
    }
    while (!c->deaf && (n = recv(c->fd, buf, sizeof(buf), 0)) >= 0) {
        if (n == 0) {
            c->closed = true;
            break;
        }
        BIO_write(c->in, buf, (int)n);
    }
    if (!c->deaf && n < 0 && errno != EAGAIN) {
        c->error = errno;
    }
}

/* Whether the handshake is over, one step of it. */
static inline bool shake(struct client *c)
{
    pump(c);
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
    pump(c);
    return done == 1;
}

/* Reads what is there; gives SSL_get_error's word for the last read. */
static inline int client_read(struct client *c, char *to, size_t max, size_t *len)
{
    size_t n;
    pump(c);
    ERR_clear_error();
    while (*len < max && SSL_read_ex(c->ssl, to + *len, max - *len, &n) == 1) {
        *len += n;
    }
    return SSL_get_error(c->ssl, 0);
}

static inline void client_write(struct client *c, const char *p, size_t n)
{
    size_t written;
    assert_int_equal(SSL_write_ex(c->ssl, p, n, &written), 1);
    pump(c);
}

#endif
