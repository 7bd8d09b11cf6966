/* SPDX-License-Identifier: Apache-2.0 */
/* The server side of one TLS policy in one worker: an SSL_CTX and its callbacks. A handshake passes
 *
 *     on_client_hello (server name -> certificates, unknown names refused) -> on_alpn
 *     -> on_certificate (puts the shared objects into this SSL) -> on_ticket (both directions)
 */
#include "net/tls_impl.h"

#include <pthread.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/mem.h"
#include "base/obj.h"

#define SERVER_MAGIC 0x746c7373u /* "tlss" */

/* One recv fetches so much; OpenSSL holds it only while records are incomplete or unread. */
#define READ_BUFFER_LEN (32 * 1024)

/* How long a ticket resumes. */
#define TICKET_LIFETIME_S 7200

/* The ciphers and groups that Mozilla calls "intermediate", without finite-field Diffie-Hellman:
 * all are forward secret and authenticated, so the client may choose what is fast on its side. */
#define TLS12_CIPHERS                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

/* ---- Callbacks ---- */

/* The one host name of a server_name extension (RFC 6066 §3); false: malformed. */
static bool parse_server_name(const unsigned char *p, size_t len, struct lt_str *name)
{
    if (len < 5 || ((size_t)p[0] << 8 | p[1]) != len - 2 || p[2] != 0) {
        return false;
    }
    size_t n = (size_t)p[3] << 8 | p[4];
    *name = lt_str((const char *)p + 5, n);
    return n == len - 5 && n > 0 && n <= 255 && memchr(p + 5, '\0', n) == NULL;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    struct lt_tls *tls = lt_tls_of(ssl);
    const struct lt_tls_store *store = tls->server->store;
    const unsigned char *p;
    size_t len;
    struct lt_str name;
    tls->entry = store->first;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) != 1) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    if (!parse_server_name(p, len, &name)) {
        *alert = SSL_AD_DECODE_ERROR;
        tls->error = "malformed server name";
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (!lt_tls_set_sni(tls, name)) {
        *alert = SSL_AD_INTERNAL_ERROR;
        tls->error = "out of memory";
        return SSL_CLIENT_HELLO_ERROR;
    }
    const struct lt_tls_entry *entry = lt_tls_store_find(store, lt_str(tls->sni, tls->sni_len));
    if (entry != NULL) {
        tls->entry = entry;
    } else if (tls->server->policy.refuse_unknown) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        tls->error = "unknown server name";
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_certificate(SSL *ssl, void *arg)
{
    (void)arg;
    const struct lt_tls_entry *entry = lt_tls_of(ssl)->entry;
    for (size_t i = 0; entry != NULL && i < entry->n; i++) {
        const struct lt_tls_cert *cert = entry->certs[i];
        if (SSL_use_cert_and_key(ssl, cert->leaf, cert->key, cert->chain, 1) != 1) {
            return 0;
        }
    }
    return entry != NULL;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    (void)arg;
    static const unsigned char offer[] = "\x02h2\x08http/1.1";
    bool h2 = lt_tls_of(ssl)->server->policy.h2;
    const unsigned char *from = h2 ? offer : offer + 3;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, from, h2 ? 12 : 9, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        lt_tls_of(ssl)->error = "no application protocol in common";
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Fetched once: an implicit fetch takes locks that all threads share. */
static EVP_CIPHER *ticket_cipher;

static void fetch(void)
{
    ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
}

static int init_ticket(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, unsigned char *iv,
                       struct lt_tls_ticket_key *key, int encrypt)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return ticket_cipher != NULL && EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex2(cipher, ticket_cipher, key->aes, iv, encrypt, NULL) == 1;
}

/* 0: no usable key, a full handshake follows. 1: fine. 2: fine, and a new ticket is sent. TLS 1.3
 * sends one only for 2, and its clients use each ticket once. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    const struct lt_tls_policy *policy = &lt_tls_of(ssl)->server->policy;
    struct lt_tls_ticket_key key, newest;
    int result = 0;
    if (!policy->ticket(policy->ticket_keys, encrypt ? NULL : name, &key)) {
        return 0;
    }
    if (encrypt) {
        memcpy(name, key.name, sizeof(key.name));
        result = RAND_bytes(iv, 16) == 1 && init_ticket(cipher, mac, iv, &key, 1) ? 1 : -1;
    } else if (!init_ticket(cipher, mac, iv, &key, 0)) {
        result = -1;
    } else {
        bool old = policy->ticket(policy->ticket_keys, NULL, &newest) &&
                   memcmp(newest.name, key.name, sizeof(key.name)) != 0;
        OPENSSL_cleanse(&newest, sizeof(newest));
        result = old || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

/* ---- Life ---- */

static bool set_up(SSL_CTX *ctx, const struct lt_tls_policy *policy)
{
    uint64_t options = SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                       SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_TICKET;
    if (policy->ticket != NULL) {
        options &= ~SSL_OP_NO_TICKET;
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    }
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_options(ctx, options);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_LEN);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TICKET_LIFETIME_S);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ctx, policy->min_version) == 1 &&
           SSL_CTX_set_num_tickets(ctx, policy->ticket != NULL ? 2 : 0) == 1 &&
           SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 &&
           SSL_CTX_set_session_id_context(ctx, policy->id, sizeof(policy->id)) == 1;
}

struct lt_tls_server *lt_tls_server_new(const struct lt_tls_policy *policy,
                                        const struct lt_tls_store *store, const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch);
    struct lt_tls_server *server = lt_calloc(1, sizeof(*server));
    if (server == NULL) {
        *why = "out of memory";
        return NULL;
    }
    LT_OBJ_INIT(server, SERVER_MAGIC);
    server->refs = 1;
    server->policy = *policy;
    server->store = lt_tls_store_ref(store);
    server->ctx = SSL_CTX_new(TLS_server_method());
    if (server->ctx == NULL || !set_up(server->ctx, policy)) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        *why = reason != NULL ? reason : "OpenSSL refused the settings";
        ERR_clear_error();
        lt_tls_server_free(server);
        return NULL;
    }
    return server;
}

void lt_tls_server_free(struct lt_tls_server *server)
{
    if (server == NULL) {
        return;
    }
    LT_OBJ_CHECK(server, SERVER_MAGIC);
    if (--server->refs == 0) {
        SSL_CTX_free(server->ctx);
        lt_tls_store_free(server->store);
        LT_OBJ_FINI(server);
        lt_free(server);
    }
}
