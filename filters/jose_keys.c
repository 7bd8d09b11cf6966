/* SPDX-License-Identifier: Apache-2.0 */
/* Key sets: secrets, PEM, and what becomes of a key however it came (jose_keys.h). JWK Sets are
 * read by jose_jwk.c. */
#include "filters/jose_keys.h"

#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/mem.h"
#include "filters/jose_impl.h"

static const struct lt_jose_alg_info algs[LT_JOSE_ALGS] = {
    [LT_JOSE_HS256] = {"HS256", LT_JOSE_SECRET, LT_HASH_SHA256, NULL, NULL, 0},
    [LT_JOSE_HS384] = {"HS384", LT_JOSE_SECRET, LT_HASH_SHA384, NULL, NULL, 0},
    [LT_JOSE_HS512] = {"HS512", LT_JOSE_SECRET, LT_HASH_SHA512, NULL, NULL, 0},
    [LT_JOSE_RS256] = {"RS256", LT_JOSE_RSA, LT_HASH_SHA256, NULL, NULL, 0},
    [LT_JOSE_RS384] = {"RS384", LT_JOSE_RSA, LT_HASH_SHA384, NULL, NULL, 0},
    [LT_JOSE_RS512] = {"RS512", LT_JOSE_RSA, LT_HASH_SHA512, NULL, NULL, 0},
    [LT_JOSE_PS256] = {"PS256", LT_JOSE_RSA_PSS, LT_HASH_SHA256, NULL, NULL, 0},
    [LT_JOSE_PS384] = {"PS384", LT_JOSE_RSA_PSS, LT_HASH_SHA384, NULL, NULL, 0},
    [LT_JOSE_PS512] = {"PS512", LT_JOSE_RSA_PSS, LT_HASH_SHA512, NULL, NULL, 0},
    [LT_JOSE_ES256] = {"ES256", LT_JOSE_EC, LT_HASH_SHA256, "P-256", "prime256v1", 32},
    [LT_JOSE_ES384] = {"ES384", LT_JOSE_EC, LT_HASH_SHA384, "P-384", "secp384r1", 48},
    [LT_JOSE_ES512] = {"ES512", LT_JOSE_EC, LT_HASH_SHA512, "P-521", "secp521r1", 66},
    [LT_JOSE_EDDSA] = {"EdDSA", LT_JOSE_ED, LT_HASHES, NULL, NULL, 0},
};

#define RSA_ALGS                                                                                   \
    (1u << LT_JOSE_RS256 | 1u << LT_JOSE_RS384 | 1u << LT_JOSE_RS512 | 1u << LT_JOSE_PS256 |       \
     1u << LT_JOSE_PS384 | 1u << LT_JOSE_PS512)

const struct lt_jose_alg_info *lt_jose_alg_info(enum lt_jose_alg alg)
{
    return &algs[alg];
}

enum lt_jose_alg lt_jose_alg_find(struct lt_str name)
{
    unsigned i = 0;
    while (i < LT_JOSE_ALGS && !lt_str_eq_c(name, algs[i].name)) {
        i++;
    }
    return i;
}

/* ---- keys ---- */

static void key_fini(struct lt_jose_key *key)
{
    for (unsigned i = 0; i < LT_JOSE_ALGS; i++) {
        EVP_PKEY_CTX_free(key->ready[i]);
    }
    EVP_PKEY_free(key->pkey);
    if (key->secret != NULL) {
        OPENSSL_cleanse(key->secret, key->secret_len);
    }
    lt_free(key->secret);
    lt_free((void *)(uintptr_t)key->kid.p);
    *key = (struct lt_jose_key){.algs = 0};
}

struct lt_jose_keys *lt_jose_keys_new(void)
{
    return lt_calloc(1, sizeof(struct lt_jose_keys));
}

void lt_jose_keys_free(struct lt_jose_keys *keys)
{
    if (keys != NULL) {
        lt_jose_keys_cut(keys, 0);
        lt_free(keys);
    }
}

void lt_jose_keys_cut(struct lt_jose_keys *keys, unsigned n)
{
    while (keys->n > n) {
        key_fini(&keys->at[--keys->n]);
    }
}

bool lt_jose_complain(struct lt_jose_keys *keys, const char *what)
{
    snprintf(keys->why, sizeof(keys->why), "%s", what);
    ERR_clear_error();
    return false;
}

bool lt_jose_replace_jwks(struct lt_jose_keys *keys, struct lt_str text)
{
    struct lt_jose_keys *all = lt_jose_keys_new();
    if (all == NULL) {
        return lt_jose_complain(keys, "out of memory");
    }
    for (unsigned i = 0; i < keys->n; i++) {
        if (!keys->at[i].from_jwks) {
            all->at[all->n++] = keys->at[i]; /* lent until it is known who goes */
        }
    }
    unsigned kept = all->n;
    bool ok = lt_jose_read_jwks(all, text, false);
    if (ok) {
        for (unsigned i = 0; i < keys->n; i++) {
            if (keys->at[i].from_jwks) {
                key_fini(&keys->at[i]);
            }
        }
        *keys = *all;
        all->n = 0;
    } else {
        (void)lt_jose_complain(keys, all->why);
        lt_jose_keys_cut(all, kept);
    }
    lt_free(all);
    return ok;
}

/* ---- what may become a key ---- */

unsigned lt_jose_secret_algs(size_t len)
{
    return (len >= 32 ? 1u << LT_JOSE_HS256 : 0) | (len >= 48 ? 1u << LT_JOSE_HS384 : 0) |
           (len >= 64 ? 1u << LT_JOSE_HS512 : 0);
}

bool lt_jose_put_secret(struct lt_jose_keys *keys, struct lt_str secret)
{
    unsigned fits = lt_jose_secret_algs(secret.len);
    if (fits == 0) {
        return lt_jose_complain(keys, "a secret has at least 32 bytes for HS256, 48 for HS384, 64 "
                                      "for HS512: openssl rand -base64 48");
    }
    if (keys->n == LT_JOSE_KEYS_MAX) {
        return lt_jose_complain(keys, "more than 64 keys");
    }
    struct lt_jose_key *key = &keys->at[keys->n];
    key->secret = lt_malloc(secret.len);
    if (key->secret == NULL) {
        return lt_jose_complain(keys, "out of memory");
    }
    memcpy(key->secret, secret.p, secret.len);
    key->secret_len = secret.len;
    key->algs = fits;
    keys->n++;
    return true;
}

static unsigned group_algs(EVP_PKEY *pkey)
{
    char group[32], encoding[32];
    size_t n;
    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) != 1 ||
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING, encoding,
                                       sizeof(encoding), &n) != 1 ||
        strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0) {
        return 0;
    }
    for (unsigned i = LT_JOSE_ES256; i <= LT_JOSE_ES512; i++) {
        if (strcmp(group, algs[i].group) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

static bool check_point(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool ok = check != NULL && EVP_PKEY_public_check(check) == 1;
    EVP_PKEY_CTX_free(check);
    return ok;
}

/* The algorithms of a public key; 0: it can't be used, *why says so. */
static unsigned public_algs(EVP_PKEY *pkey, const char **why)
{
    int bits = EVP_PKEY_get_bits(pkey);
    unsigned fits;
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        *why = bits < LT_JOSE_RSA_BITS_MIN ? "an RSA key has at least 2048 bits"
                                           : "an RSA key has at most 8192 bits";
        return bits < LT_JOSE_RSA_BITS_MIN || bits > LT_JOSE_RSA_BITS_MAX ? 0 : RSA_ALGS;
    }
    if (EVP_PKEY_is_a(pkey, "EC")) {
        fits = group_algs(pkey);
        *why = fits == 0 ? "a curve is P-256, P-384 or P-521, by its name"
                         : "the point is not on the curve";
        return fits != 0 && check_point(pkey) ? fits : 0;
    }
    *why = "a public key is one of RSA, EC, Ed25519 or Ed448";
    return EVP_PKEY_is_a(pkey, "ED25519") || EVP_PKEY_is_a(pkey, "ED448") ? 1u << LT_JOSE_EDDSA : 0;
}

bool lt_jose_put_public(struct lt_jose_keys *keys, EVP_PKEY *pkey)
{
    const char *why = "more than 64 keys";
    unsigned fits = keys->n < LT_JOSE_KEYS_MAX ? public_algs(pkey, &why) : 0;
    if (fits == 0) {
        EVP_PKEY_free(pkey);
        return lt_jose_complain(keys, why);
    }
    keys->at[keys->n].algs = fits;
    keys->at[keys->n].pkey = pkey;
    keys->n++;
    return true;
}

bool lt_jose_without_id_ok(struct lt_jose_keys *keys)
{
    unsigned n = 0;
    for (unsigned i = 0; i < keys->n; i++) {
        n += keys->at[i].kid.p == NULL;
    }
    return n <= LT_JOSE_TRIES_MAX || lt_jose_complain(keys, "more than 8 keys without an id (kid)");
}

/* Takes the last key away again when there are too many. */
static bool settle(struct lt_jose_keys *keys, bool added)
{
    if (added && !lt_jose_without_id_ok(keys)) {
        lt_jose_keys_cut(keys, keys->n - 1);
        return false;
    }
    return added;
}

bool lt_jose_add_secret(struct lt_jose_keys *keys, struct lt_str secret)
{
    if (lt_str_find(secret, LT_STR("-----BEGIN ")) != SIZE_MAX) {
        return lt_jose_complain(keys, "this is a key in PEM form and no secret: write it as `pem`");
    }
    return settle(keys, lt_jose_put_secret(keys, secret));
}

/* ---- PEM ---- */

static EVP_PKEY *of_certificate(const unsigned char *p, long len)
{
    X509 *cert = d2i_X509(NULL, &p, len);
    EVP_PKEY *pkey = cert != NULL ? X509_get_pubkey(cert) : NULL;
    X509_free(cert);
    return pkey;
}

static EVP_PKEY *of_block(const char *name, const unsigned char *p, long len)
{
    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        return d2i_PUBKEY(NULL, &p, len);
    }
    if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0) {
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, len);
    }
    return strcmp(name, PEM_STRING_X509) == 0 ? of_certificate(p, len) : NULL;
}

/* Whether another block follows: of a chain, say, whose issuers must not become keys. */
static bool has_more(BIO *bio)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len;
    bool more = PEM_read_bio(bio, &name, &header, &data, &len) == 1;
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    ERR_clear_error();
    return more;
}

bool lt_jose_add_pem(struct lt_jose_keys *keys, struct lt_str text)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    bool ok = false;
    if (text.len > LT_JOSE_TEXT_MAX) {
        return lt_jose_complain(keys, "more than 256 KB");
    }
    BIO *bio = BIO_new_mem_buf(text.len > 0 ? text.p : "", (int)text.len);
    if (bio == NULL) {
        return lt_jose_complain(keys, "out of memory");
    }
    if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
        (void)lt_jose_complain(keys, "holds nothing in PEM form: it begins with -----BEGIN");
    } else if (strstr(name, "PRIVATE KEY") != NULL) {
        (void)lt_jose_complain(keys, "holds a private key, which has no place here: "
                                     "openssl pkey -pubout gives the public one");
    } else if (has_more(bio)) {
        (void)lt_jose_complain(keys, "holds more than one key or certificate: write a list");
    } else {
        EVP_PKEY *pkey = of_block(name, data, len);
        ok = pkey != NULL ? settle(keys, lt_jose_put_public(keys, pkey))
                          : lt_jose_complain(keys, "holds no public key and no certificate that "
                                                   "can be read");
    }
    OPENSSL_clear_free(data, data != NULL ? (size_t)len : 0);
    OPENSSL_free(header);
    OPENSSL_free(name);
    BIO_free(bio);
    return ok;
}

bool lt_jose_add_jwks(struct lt_jose_keys *keys, struct lt_str text)
{
    return lt_jose_read_jwks(keys, text, true);
}
