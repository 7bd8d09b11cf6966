/* SPDX-License-Identifier: Apache-2.0 */
/* The server side of one listener in one worker: an SSL_CTX for each policy, and their callbacks. A
 * handshake passes
 *
 *     on_client_hello (server name -> certificates and policy, unknown names refused) -> on_alpn
 *     -> on_certificate (puts the shared objects into this SSL) -> on_ticket (both directions)
 *
 * A connection begins with the first policy's SSL_CTX and is switched once its name is known. */
#include "net/tls_impl.h"
#include "net/tls_keylog.h"

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

const struct lt_tls_entry *lt_tls_server_choose(const struct lt_tls_server *server,
                                                struct lt_str name)
{
    const struct lt_tls_store *store = server->store;
    const struct lt_tls_entry *entry = lt_tls_store_find(store, name);
    bool may_guess = name.len == 0 || !server->options.refuse_unknown;
    if (entry == NULL && may_guess) {
        entry = store->fallback;
    }
    return entry == NULL && name.len == 0 ? store->first : entry;
}

bool lt_tls_server_fits(const struct lt_tls_server *server, const struct lt_tls_info *info)
{
    const struct lt_tls_entry *entry = lt_tls_server_choose(server, info->sni);
    return entry != NULL && memcmp(entry->policy->id, info->policy, sizeof(info->policy)) == 0;
}

/* The handshake goes on with what entry says. There is a second hello after a retry request, and
 * the store may have been replaced in between. */
static bool take(struct lt_tls *tls, const struct lt_tls_entry *entry)
{
    struct lt_tls_server *server = tls->server;
    SSL_CTX *ctx = server->contexts[entry->policy_index];
    struct lt_tls_store *store = lt_tls_store_ref(server->store);
    lt_tls_store_free(tls->store);
    tls->store = store;
    tls->entry = entry;
    return SSL_get_SSL_CTX(tls->ssl) == ctx || lt_tls_policy_switch(entry->policy, tls->ssl, ctx);
}

static int refuse(struct lt_tls *tls, int *alert, int code, enum lt_refusal refusal,
                  const char *error)
{
    *alert = code;
    tls->refusal = refusal;
    tls->error = error;
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    struct lt_tls *tls = lt_tls_of(ssl);
    const unsigned char *p;
    size_t len;
    struct lt_str name;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) == 1) {
        if (!parse_server_name(p, len, &name)) {
            return refuse(tls, alert, SSL_AD_DECODE_ERROR, LT_REFUSAL_MALFORMED,
                          "malformed server name");
        }
        if (!lt_tls_set_sni(tls, name)) {
            return refuse(tls, alert, SSL_AD_INTERNAL_ERROR, LT_REFUSAL_INTERNAL, "out of memory");
        }
    }
    const struct lt_tls_entry *entry =
        lt_tls_server_choose(tls->server, lt_str(tls->sni, tls->sni_len));
    if (entry == NULL) {
        return refuse(tls, alert, SSL_AD_UNRECOGNIZED_NAME, LT_REFUSAL_UNKNOWN_NAME,
                      "unknown server name");
    }
    return take(tls, entry)
               ? SSL_CLIENT_HELLO_SUCCESS
               : refuse(tls, alert, SSL_AD_INTERNAL_ERROR, LT_REFUSAL_INTERNAL, "out of memory");
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
    bool h2 = lt_tls_of(ssl)->server->options.h2;
    const unsigned char *from = h2 ? offer : offer + 3;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, from, h2 ? 12 : 9, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        lt_tls_of(ssl)->error = "no application protocol in common";
        lt_tls_of(ssl)->refusal = LT_REFUSAL_NO_COMMON_ALPN;
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
    const struct lt_tls_options *options = &lt_tls_of(ssl)->server->options;
    struct lt_tls_ticket_key key, newest;
    int result = 0;
    if (!options->ticket(options->ticket_keys, encrypt ? NULL : name, &key)) {
        return 0;
    }
    if (encrypt) {
        memcpy(name, key.name, sizeof(key.name));
        result = RAND_bytes(iv, 16) == 1 && init_ticket(cipher, mac, iv, &key, 1) ? 1 : -1;
    } else if (!init_ticket(cipher, mac, iv, &key, 0)) {
        result = -1;
    } else {
        bool old = options->ticket(options->ticket_keys, NULL, &newest) &&
                   memcmp(newest.name, key.name, sizeof(key.name)) != 0;
        OPENSSL_cleanse(&newest, sizeof(newest));
        result = old || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

/* ---- Life ---- */

static bool set_up(SSL_CTX *ctx, const struct lt_tls_options *o, const struct lt_tls_policy *policy)
{
    uint64_t options = SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                       SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_TICKET |
                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
    if (o->ticket != NULL) {
        options &= ~SSL_OP_NO_TICKET;
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    }
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_options(ctx, options);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_LEN);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, (long)o->ticket_life_s);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    lt_tls_keylog(ctx);
    return SSL_CTX_set_num_tickets(ctx, o->ticket != NULL ? 2 : 0) == 1 &&
           lt_tls_policy_apply(policy, ctx);
}

static SSL_CTX *new_context(const struct lt_tls_options *o, const struct lt_tls_policy *policy,
                            const char **why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || !set_up(ctx, o, policy)) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        *why = reason != NULL ? reason : "OpenSSL refused the settings";
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* The one that server has for a policy of the same settings, or NULL. */
static SSL_CTX *known_context(const struct lt_tls_server *server,
                              const struct lt_tls_policy *policy)
{
    for (unsigned i = 0; server->store != NULL && i < server->store->n_policies; i++) {
        if (memcmp(server->store->policies[i]->id, policy->id, sizeof(policy->id)) == 0) {
            SSL_CTX_up_ref(server->contexts[i]);
            return server->contexts[i];
        }
    }
    return NULL;
}

static void free_contexts(SSL_CTX **contexts, unsigned n)
{
    for (unsigned i = 0; contexts != NULL && i < n; i++) {
        SSL_CTX_free(contexts[i]);
    }
    lt_free(contexts);
}

bool lt_tls_server_update(struct lt_tls_server *server, const struct lt_tls_store *store,
                          const char **why)
{
    *why = "out of memory";
    SSL_CTX **contexts = lt_calloc(lt_max(store->n_policies, 1u), sizeof(SSL_CTX *));
    for (unsigned i = 0; contexts != NULL && i < store->n_policies; i++) {
        contexts[i] = known_context(server, store->policies[i]);
        if (contexts[i] == NULL) {
            contexts[i] = new_context(&server->options, store->policies[i], why);
        }
        if (contexts[i] == NULL) {
            free_contexts(contexts, i);
            return false;
        }
    }
    if (contexts == NULL) {
        return false;
    }
    free_contexts(server->contexts, server->store != NULL ? server->store->n_policies : 0);
    lt_tls_store_free(server->store);
    server->contexts = contexts;
    server->store = lt_tls_store_ref(store);
    return true;
}

struct lt_tls_server *lt_tls_server_new(const struct lt_tls_options *options,
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
    server->options = *options;
    if (store->n_policies == 0 || !lt_tls_server_update(server, store, why)) {
        *why = store->n_policies == 0 ? "no site has a certificate" : *why;
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
        free_contexts(server->contexts, server->store != NULL ? server->store->n_policies : 0);
        lt_tls_store_free(server->store);
        LT_OBJ_FINI(server);
        lt_free(server);
    }
}
