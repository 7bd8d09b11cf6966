/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that signatures of tokens are verified with (JSON Web Signature, RFC 7515; algorithms, RFC
 * 7518 and 8037). A key knows the algorithms it may be used with: a token's header chooses among
 * those and can't add one. No Lua in here. One thread. Private to filters/. */
#ifndef LT_FILTERS_JOSE_KEYS_H
#define LT_FILTERS_JOSE_KEYS_H

#include "filters/crypto.h"

/* In one set. */
#define LT_JOSE_KEYS_MAX 64u
/* Keys that are tried for one token; so many may have no id. */
#define LT_JOSE_TRIES_MAX 8u
/* Largest text of keys. */
#define LT_JOSE_TEXT_MAX ((size_t)256 << 10)
/* Bits of RSA keys: RFC 7518 §3.3, and what a worker can afford. */
#define LT_JOSE_RSA_BITS_MIN 2048
#define LT_JOSE_RSA_BITS_MAX 8192

enum lt_jose_alg {
    LT_JOSE_HS256,
    LT_JOSE_HS384,
    LT_JOSE_HS512,
    LT_JOSE_RS256,
    LT_JOSE_RS384,
    LT_JOSE_RS512,
    LT_JOSE_PS256,
    LT_JOSE_PS384,
    LT_JOSE_PS512,
    LT_JOSE_ES256,
    LT_JOSE_ES384,
    LT_JOSE_ES512,
    LT_JOSE_EDDSA,
    LT_JOSE_ALGS
};
#define LT_JOSE_ALL ((1u << LT_JOSE_ALGS) - 1)

enum lt_jose_kind { LT_JOSE_SECRET, LT_JOSE_RSA, LT_JOSE_RSA_PSS, LT_JOSE_EC, LT_JOSE_ED };

struct lt_jose_alg_info {
    const char *name; /* as in `alg` */
    enum lt_jose_kind kind;
    enum lt_hash_name hash;
    const char *curve, *group; /* EC: as in `crv` and as OpenSSL calls it */
    size_t coordinate;         /* EC: bytes of one number of a signature or point */
};

struct lt_jose_key {
    struct lt_str kid; /* its id, owned; p is NULL: none */
    unsigned algs;     /* bit per enum lt_jose_alg: what it may be used with */
    bool from_jwks;
    EVP_PKEY *pkey; /* NULL: a secret */
    unsigned char *secret;
    size_t secret_len;
    EVP_PKEY_CTX *ready[LT_JOSE_ALGS]; /* set up at first use; RSA and EC */
};

struct lt_jose_keys {
    unsigned n;
    struct lt_jose_key at[LT_JOSE_KEYS_MAX];
    char why[200]; /* what was wrong last */
};

const struct lt_jose_alg_info *lt_jose_alg_info(enum lt_jose_alg alg);
/* LT_JOSE_ALGS: none of ours. */
enum lt_jose_alg lt_jose_alg_find(struct lt_str name);

/* An empty set. Returns owned, NULL without memory. */
struct lt_jose_keys *lt_jose_keys_new(void) LT_MUST_CHECK;
/* Wipes secrets. NULL is fine. */
void lt_jose_keys_free(struct lt_jose_keys *keys);

/* Each adds what the text holds; false: keys->why says what is wrong, and nothing was added. */

/* A secret for HMAC, at least as long as the digest (RFC 7518 §3.2). What looks like PEM is none:
 * a public key must never become one. */
bool lt_jose_add_secret(struct lt_jose_keys *keys, struct lt_str secret) LT_MUST_CHECK;
/* One public key or certificate in PEM form. Dates and issuers of certificates aren't looked at. */
bool lt_jose_add_pem(struct lt_jose_keys *keys, struct lt_str text) LT_MUST_CHECK;
/* A JWK Set (RFC 7517). Keys for other purposes and of kinds that we don't know are passed over,
 * ones that are malformed, weak or private are errors, and there has to be one that is of use. */
bool lt_jose_add_jwks(struct lt_jose_keys *keys, struct lt_str text) LT_MUST_CHECK;

/* The keys of text take the place of all that came from a JWK Set before. It comes from elsewhere,
 * so whatever is not of use in it, secrets too, is passed over. False: no key of it is of use; then
 * nothing has changed. */
bool lt_jose_replace_jwks(struct lt_jose_keys *keys, struct lt_str text) LT_MUST_CHECK;

#endif
