/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/crypto.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include "base/mem.h"

static const char *const names[LT_HASHES] = {"sha1", "sha256", "sha384", "sha512"};

struct lt_crypto {
    EVP_MD *md[LT_HASHES]; /* NULL: the library does not have it */
    EVP_MD_CTX *digest;
    EVP_MAC *hmac;
    EVP_MAC_CTX *mac[LT_HASHES]; /* with the digest set; NULL as md */
};

void lt_crypto_free(struct lt_crypto *c)
{
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < LT_HASHES; i++) {
        EVP_MAC_CTX_free(c->mac[i]);
        EVP_MD_free(c->md[i]);
    }
    EVP_MAC_free(c->hmac);
    EVP_MD_CTX_free(c->digest);
    lt_free(c);
}

/* Leaves it out where the library refuses, as one in FIPS mode may do with SHA-1. */
static void fetch(struct lt_crypto *c, enum lt_hash_name hash)
{
    char name[8];
    size_t len = strlen(names[hash]);
    memcpy(name, names[hash], len + 1);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    c->md[hash] = EVP_MD_fetch(NULL, name, NULL);
    c->mac[hash] = c->md[hash] != NULL ? EVP_MAC_CTX_new(c->hmac) : NULL;
    if (c->mac[hash] != NULL && !EVP_MAC_CTX_set_params(c->mac[hash], params)) {
        EVP_MAC_CTX_free(c->mac[hash]);
        c->mac[hash] = NULL;
    }
}

struct lt_crypto *lt_crypto_new(void)
{
    struct lt_crypto *c = lt_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->digest = EVP_MD_CTX_new();
    c->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    for (unsigned i = 0; i < LT_HASHES && c->hmac != NULL; i++) {
        fetch(c, i);
    }
    ERR_clear_error();
    if (c->digest == NULL || c->hmac == NULL || c->mac[LT_HASH_SHA256] == NULL) {
        lt_crypto_free(c);
        return NULL;
    }
    return c;
}

enum lt_hash_name lt_hash_find(struct lt_str name)
{
    unsigned i = 0;
    while (i < LT_HASHES && !lt_str_eq_c(name, names[i])) {
        i++;
    }
    return i;
}

const EVP_MD *lt_crypto_md(const struct lt_crypto *c, enum lt_hash_name hash)
{
    return c->md[hash];
}

bool lt_crypto_digest(struct lt_crypto *c, enum lt_hash_name hash, struct lt_str s,
                      unsigned char out[EVP_MAX_MD_SIZE], size_t *n)
{
    unsigned len = 0;
    bool ok = c->md[hash] != NULL && EVP_DigestInit_ex2(c->digest, c->md[hash], NULL) == 1 &&
              EVP_DigestUpdate(c->digest, s.p, s.len) == 1 &&
              EVP_DigestFinal_ex(c->digest, out, &len) == 1;
    *n = len;
    return ok;
}

bool lt_crypto_hmac(struct lt_crypto *c, enum lt_hash_name hash, struct lt_str key, struct lt_str s,
                    unsigned char out[EVP_MAX_MD_SIZE], size_t *n)
{
    /* No key at all would mean the one of the call before. */
    const unsigned char *p = (const unsigned char *)(key.len > 0 ? key.p : "");
    *n = 0;
    return c->mac[hash] != NULL && EVP_MAC_init(c->mac[hash], p, key.len, NULL) == 1 &&
           EVP_MAC_update(c->mac[hash], (const unsigned char *)s.p, s.len) == 1 &&
           EVP_MAC_final(c->mac[hash], out, n, EVP_MAX_MD_SIZE) == 1;
}
