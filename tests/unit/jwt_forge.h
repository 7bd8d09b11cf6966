/* SPDX-License-Identifier: Apache-2.0 */
/* Makes keys and tokens, good ones and others. */
#ifndef LT_TESTS_UNIT_JWT_FORGE_H
#define LT_TESTS_UNIT_JWT_FORGE_H

#include "unit.h"

#include <stdio.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "filters/jwt.h"

#define TOKEN_MAX 20000

static struct lt_crypto *crypto;

LT_UNUSED static int forge_setup(void **state)
{
    (void)state;
    crypto = lt_crypto_new();
    assert_non_null(crypto);
    return 0;
}

LT_UNUSED static int forge_teardown(void **state)
{
    (void)state;
    lt_crypto_free(crypto);
    assert_int_equal(ERR_peek_error(), 0); /* TLS connections of the thread must not find it */
    return 0;
}

/* The public key in PEM form, to be freed. */
LT_UNUSED static char *public_pem(EVP_PKEY *pkey)
{
    char *text, *copy;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    long n = BIO_get_mem_data(bio, &text);
    copy = strndup(text, (size_t)n);
    BIO_free(bio);
    return copy;
}

static size_t add_base64(char *token, size_t at, const void *p, size_t n)
{
    return at + lt_base64_encode(LT_BASE64_URL, lt_str(p, n), token + at);
}

/* R and S side by side out of DER. */
static size_t from_der(const unsigned char *der, size_t len, size_t coordinate, unsigned char *out)
{
    const BIGNUM *r, *s;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    assert_non_null(sig);
    ECDSA_SIG_get0(sig, &r, &s);
    assert_int_equal(BN_bn2binpad(r, out, (int)coordinate), coordinate);
    assert_int_equal(BN_bn2binpad(s, out + coordinate, (int)coordinate), coordinate);
    ECDSA_SIG_free(sig);
    return 2 * coordinate;
}

static size_t sign_public(enum lt_jose_alg alg, EVP_PKEY *pkey, const char *text, size_t n,
                          unsigned char *sig, size_t max)
{
    const struct lt_jose_alg_info *info = lt_jose_alg_info(alg);
    unsigned char der[1200];
    size_t len = sizeof(der);
    EVP_PKEY_CTX *more;
    EVP_MD_CTX *make = EVP_MD_CTX_new();
    const EVP_MD *md = info->kind == LT_JOSE_ED ? NULL : lt_crypto_md(crypto, info->hash);
    assert_true(max >= sizeof(der));
    assert_int_equal(EVP_DigestSignInit(make, &more, md, NULL, pkey), 1);
    if (info->kind == LT_JOSE_RSA_PSS) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(more, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(more, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(make, der, &len, (const unsigned char *)text, n), 1);
    EVP_MD_CTX_free(make);
    if (info->kind == LT_JOSE_EC) {
        return from_der(der, len, info->coordinate, sig);
    }
    memcpy(sig, der, len);
    return len;
}

/* header.payload, and the signature that alg gives; with pkey NULL an HMAC under secret. */
LT_UNUSED static const char *forge(enum lt_jose_alg alg, EVP_PKEY *pkey, struct lt_str secret,
                                   const char *header, const char *payload)
{
    static char token[TOKEN_MAX];
    unsigned char sig[1200];
    size_t n, len = add_base64(token, 0, header, strlen(header));
    token[len++] = '.';
    len = add_base64(token, len, payload, strlen(payload));
    if (pkey == NULL) {
        assert_true(lt_crypto_hmac(crypto, lt_jose_alg_info(alg)->hash, secret, lt_str(token, len),
                                   sig, &n));
    } else {
        n = sign_public(alg, pkey, token, len, sig, sizeof(sig));
    }
    token[len++] = '.';
    len = add_base64(token, len, sig, n);
    token[len] = '\0';
    return token;
}

#endif
