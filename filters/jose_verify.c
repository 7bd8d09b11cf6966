/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of tokens (RFC 7518 §3, RFC 8037 §3.1). What OpenSSL needs for a key and an algorithm
 * is set up once and kept by the key. */
#include "filters/jose_verify.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

/* A signature of P-521 in DER: two numbers of 66 bytes and a sign byte, and their heads. */
#define DER_MAX (3 + 2 * (2 + 1 + 66))

static bool check_secret(struct lt_crypto *crypto, const struct lt_jose_key *key,
                         enum lt_hash_name hash, struct lt_str data, struct lt_str signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t n;
    return lt_crypto_hmac(crypto, hash, lt_str((const char *)key->secret, key->secret_len), data,
                          mac, &n) &&
           signature.len == n && CRYPTO_memcmp(signature.p, mac, n) == 0;
}

static bool check_ed(const struct lt_jose_key *key, struct lt_str data, struct lt_str signature)
{
    EVP_MD_CTX *check = EVP_MD_CTX_new();
    bool ok = check != NULL && EVP_DigestVerifyInit(check, NULL, NULL, NULL, key->pkey) == 1 &&
              EVP_DigestVerify(check, (const unsigned char *)signature.p, signature.len,
                               (const unsigned char *)data.p, data.len) == 1;
    EVP_MD_CTX_free(check);
    return ok;
}

/* The number in big-endian bytes as an INTEGER; gives the place behind it. */
static unsigned char *put_integer(unsigned char *at, const char *p, size_t n)
{
    while (n > 1 && *p == 0) {
        p++, n--;
    }
    bool sign = ((unsigned char)*p & 0x80) != 0;
    *at++ = 0x02;
    *at++ = (unsigned char)(n + sign);
    if (sign) {
        *at++ = 0;
    }
    memcpy(at, p, n);
    return at + n;
}

/* Two numbers side by side (RFC 7518 §3.4) as OpenSSL wants them; gives the length. */
static size_t to_der(struct lt_str signature, unsigned char out[DER_MAX])
{
    unsigned char body[DER_MAX];
    size_t half = signature.len / 2, head = 0;
    unsigned char *end = put_integer(body, signature.p, half);
    end = put_integer(end, signature.p + half, half);
    size_t n = (size_t)(end - body);
    out[head++] = 0x30;
    if (n > 127) {
        out[head++] = 0x81;
    }
    out[head++] = (unsigned char)n;
    memcpy(out + head, body, n);
    return head + n;
}

static bool set_up_pss(EVP_PKEY_CTX *check, const EVP_MD *md)
{
    return EVP_PKEY_CTX_set_rsa_padding(check, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(check, md) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(check, md) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(check, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static EVP_PKEY_CTX *set_up(const struct lt_jose_key *key, enum lt_jose_kind kind, const EVP_MD *md)
{
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    bool ok = check != NULL && EVP_PKEY_verify_init(check) == 1;
    if (kind == LT_JOSE_RSA_PSS) {
        ok = ok && set_up_pss(check, md);
    } else {
        ok = ok &&
             (kind == LT_JOSE_EC || EVP_PKEY_CTX_set_rsa_padding(check, RSA_PKCS1_PADDING) == 1);
        ok = ok && EVP_PKEY_CTX_set_signature_md(check, md) == 1;
    }
    if (!ok) {
        EVP_PKEY_CTX_free(check);
        return NULL;
    }
    return check;
}

static bool check_digest(struct lt_crypto *crypto, struct lt_jose_key *key, enum lt_jose_alg alg,
                         struct lt_str data, struct lt_str signature)
{
    const struct lt_jose_alg_info *info = lt_jose_alg_info(alg);
    unsigned char md[EVP_MAX_MD_SIZE], der[DER_MAX];
    const unsigned char *sig = (const unsigned char *)signature.p;
    size_t md_len, sig_len = signature.len;
    if (info->kind == LT_JOSE_EC) {
        if (signature.len != 2 * info->coordinate) {
            return false;
        }
        sig_len = to_der(signature, der);
        sig = der;
    }
    if (!lt_crypto_digest(crypto, info->hash, data, md, &md_len)) {
        return false;
    }
    if (key->ready[alg] == NULL) {
        key->ready[alg] = set_up(key, info->kind, lt_crypto_md(crypto, info->hash));
    }
    return key->ready[alg] != NULL &&
           EVP_PKEY_verify(key->ready[alg], sig, sig_len, md, md_len) == 1;
}

bool lt_jose_verify(struct lt_crypto *crypto, struct lt_jose_key *key, enum lt_jose_alg alg,
                    struct lt_str data, struct lt_str signature)
{
    const struct lt_jose_alg_info *info = lt_jose_alg_info(alg);
    bool ok = false;
    if ((key->algs & 1u << alg) == 0 || signature.len == 0) {
        return false;
    }
    switch (info->kind) {
    case LT_JOSE_SECRET:
        ok = check_secret(crypto, key, info->hash, data, signature);
        break;
    case LT_JOSE_ED:
        ok = check_ed(key, data, signature);
        break;
    case LT_JOSE_RSA:
    case LT_JOSE_RSA_PSS:
    case LT_JOSE_EC:
        ok = check_digest(crypto, key, alg, data, signature);
        break;
    }
    if (!ok) {
        ERR_clear_error(); /* the thread's TLS connections must not find it */
    }
    return ok;
}
