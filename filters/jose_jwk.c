/* SPDX-License-Identifier: Apache-2.0 */
/* JWK Sets (RFC 7517) and the parameters of keys in them (RFC 7518 §6, RFC 8037 §2). */
#include <jansson.h>

#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base/base64.h"
#include "base/mem.h"
#include "filters/jose_impl.h"

/* Entries that are looked at. */
#define ENTRIES_MAX 1000u
/* Of the longest number: n of RSA with 8192 bits. */
#define NUMBER_MAX 1024u
#define SECRET_MAX 1024u

enum verdict { ADDED, PASSED_OVER, WRONG };

static struct lt_str text_of(const json_t *jwk, const char *name)
{
    const json_t *value = json_object_get(jwk, name);
    return json_is_string(value) ? lt_str(json_string_value(value), json_string_length(value))
                                 : LT_STR_NONE;
}

/* A number or bytes in base64url; false: it isn't there, malformed, or longer than max. */
static bool bytes_of(const json_t *jwk, const char *name, unsigned char *out, size_t max, size_t *n)
{
    struct lt_str text = text_of(jwk, name);
    return text.len > 0 && LT_BASE64_DECODED(text.len) <= max + 3 &&
           lt_base64_decode(LT_BASE64_URL, text, out, n) && *n > 0 && *n <= max;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || make == NULL || EVP_PKEY_fromdata_init(make) != 1 ||
        EVP_PKEY_fromdata(make, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(make);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    unsigned char n[NUMBER_MAX + 3], e[8 + 3];
    size_t n_len, e_len;
    EVP_PKEY *pkey = NULL;
    if (!bytes_of(jwk, "n", n, NUMBER_MAX, &n_len) || !bytes_of(jwk, "e", e, 8, &e_len) ||
        (e[e_len - 1] & 1) == 0 || (e_len == 1 && e[0] < 3)) {
        return NULL;
    }
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (modulus != NULL && exponent != NULL && build != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        pkey = from_params("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

static EVP_PKEY *read_ec(const json_t *jwk, const struct lt_jose_alg_info *alg)
{
    unsigned char point[1 + 2 * 66 + 3], *x = point + 1, y[66 + 3];
    size_t x_len, y_len;
    EVP_PKEY *pkey = NULL;
    point[0] = 4; /* uncompressed (SEC 1 §2.3.3) */
    if (!bytes_of(jwk, "x", x, 66, &x_len) || !bytes_of(jwk, "y", y, 66, &y_len) ||
        x_len != alg->coordinate || y_len != alg->coordinate) {
        return NULL;
    }
    memcpy(x + x_len, y, y_len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, alg->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + x_len + y_len) == 1) {
        pkey = from_params("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static EVP_PKEY *read_ed(const json_t *jwk, const char *curve)
{
    unsigned char x[57 + 3];
    size_t n;
    return bytes_of(jwk, "x", x, 57, &n) ? EVP_PKEY_new_raw_public_key_ex(NULL, curve, NULL, x, n)
                                         : NULL;
}

static bool read_secret(struct lt_jose_keys *keys, const json_t *jwk)
{
    unsigned char secret[SECRET_MAX + 3];
    size_t n;
    if (!bytes_of(jwk, "k", secret, SECRET_MAX, &n)) {
        return lt_jose_complain(keys, "`k` is no secret in base64url of at most 1024 bytes");
    }
    bool ok = lt_jose_put_secret(keys, lt_str((const char *)secret, n));
    OPENSSL_cleanse(secret, sizeof(secret));
    return ok;
}

static bool is_curve(struct lt_str curve, const struct lt_jose_alg_info **alg)
{
    for (unsigned i = LT_JOSE_ES256; i <= LT_JOSE_ES512; i++) {
        *alg = lt_jose_alg_info(i);
        if (lt_str_eq_c(curve, (*alg)->curve)) {
            return true;
        }
    }
    return false;
}

static bool put(struct lt_jose_keys *keys, EVP_PKEY *pkey)
{
    return pkey != NULL ? lt_jose_put_public(keys, pkey)
                        : lt_jose_complain(keys, "a parameter is missing or malformed");
}

/* Appends the key by its type. */
static enum verdict read_type(struct lt_jose_keys *keys, const json_t *jwk, bool local)
{
    const struct lt_jose_alg_info *alg;
    struct lt_str type = text_of(jwk, "kty"), curve = text_of(jwk, "crv");
    bool ok;
    if (lt_str_eq_c(type, "oct")) {
        if (!local) {
            return PASSED_OVER; /* what can be fetched is no secret */
        }
        ok = read_secret(keys, jwk);
    } else if (json_object_get(jwk, "d") != NULL) {
        ok = lt_jose_complain(keys, "a private key (`d`) has no place here");
    } else if (lt_str_eq_c(type, "RSA")) {
        ok = put(keys, read_rsa(jwk));
    } else if (lt_str_eq_c(type, "EC") && is_curve(curve, &alg)) {
        ok = put(keys, read_ec(jwk, alg));
    } else if (lt_str_eq_c(type, "OKP") && lt_str_eq_c(curve, "Ed25519")) {
        ok = put(keys, read_ed(jwk, "ED25519"));
    } else if (lt_str_eq_c(type, "OKP") && lt_str_eq_c(curve, "Ed448")) {
        ok = put(keys, read_ed(jwk, "ED448"));
    } else {
        return PASSED_OVER;
    }
    return ok ? ADDED : WRONG;
}

/* Whether it is for verifying signatures, as far as it says so (RFC 7517 §4.2, §4.3). */
static bool is_for_signatures(const json_t *jwk)
{
    const json_t *ops = json_object_get(jwk, "key_ops"), *op;
    bool found = ops == NULL;
    size_t i;
    json_array_foreach(ops, i, op)
    {
        found |= json_is_string(op) && strcmp(json_string_value(op), "verify") == 0;
    }
    return found &&
           (json_object_get(jwk, "use") == NULL || lt_str_eq_c(text_of(jwk, "use"), "sig"));
}

/* The last key gets its id. */
static bool set_id(struct lt_jose_key *key, struct lt_str kid)
{
    char *copy = lt_malloc(kid.len + 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, kid.p, kid.len);
    copy[kid.len] = '\0';
    key->kid = lt_str(copy, kid.len);
    return true;
}

static enum verdict read_jwk(struct lt_jose_keys *keys, const json_t *jwk, bool local)
{
    const json_t *kid = json_object_get(jwk, "kid"), *alg_text = json_object_get(jwk, "alg");
    if (!json_is_object(jwk) || (kid != NULL && !json_is_string(kid))) {
        (void)lt_jose_complain(keys, "this is no key");
        return WRONG;
    }
    enum lt_jose_alg alg = lt_jose_alg_find(text_of(jwk, "alg"));
    if (!is_for_signatures(jwk) || (alg_text != NULL && alg == LT_JOSE_ALGS)) {
        return PASSED_OVER;
    }
    enum verdict verdict = read_type(keys, jwk, local);
    if (verdict != ADDED) {
        return verdict;
    }
    struct lt_jose_key *key = &keys->at[keys->n - 1];
    key->from_jwks = true;
    if (alg_text != NULL) {
        key->algs &= 1u << alg;
    }
    if (key->algs == 0 || (kid != NULL && !set_id(key, text_of(jwk, "kid")))) {
        (void)lt_jose_complain(keys, key->algs == 0 ? "its `alg` is none that such a key, or one "
                                                      "of this length, can be used with"
                                                    : "out of memory");
        lt_jose_keys_cut(keys, keys->n - 1);
        return WRONG;
    }
    return ADDED;
}

static bool read_entries(struct lt_jose_keys *keys, const json_t *entries, bool local)
{
    unsigned before = keys->n;
    const json_t *jwk;
    size_t i;
    if (!json_is_array(entries) || json_array_size(entries) > ENTRIES_MAX) {
        return lt_jose_complain(keys, "a JWK Set is {\"keys\": [...]}, with at most 1000 of them");
    }
    json_array_foreach(entries, i, jwk)
    {
        if (read_jwk(keys, jwk, local) == WRONG && local) {
            char why[160];
            snprintf(why, sizeof(why), "key %u of the JWK Set: %.120s", (unsigned)i + 1, keys->why);
            return lt_jose_complain(keys, why);
        }
    }
    return keys->n > before ? lt_jose_without_id_ok(keys)
                            : lt_jose_complain(keys, "no key of the JWK Set is of use");
}

bool lt_jose_read_jwks(struct lt_jose_keys *keys, struct lt_str text, bool local)
{
    unsigned before = keys->n;
    json_error_t error;
    if (text.len > LT_JOSE_TEXT_MAX) {
        return lt_jose_complain(keys, "more than 256 KB");
    }
    json_t *set = json_loadb(text.len > 0 ? text.p : "", text.len, JSON_REJECT_DUPLICATES, &error);
    if (set == NULL) {
        char why[160];
        snprintf(why, sizeof(why), "no JSON: line %d: %.100s", error.line, error.text);
        return lt_jose_complain(keys, why);
    }
    bool ok = read_entries(keys, json_object_get(set, "keys"), local);
    json_decref(set);
    if (!ok) {
        lt_jose_keys_cut(keys, before);
    }
    ERR_clear_error();
    return ok;
}
