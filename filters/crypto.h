/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and HMAC with OpenSSL objects that are fetched once and used again and again: fetching
 * costs more than hashing a key. One Lua state has one of these; no Lua in here. One thread.
 * Private to filters/. */
#ifndef LT_FILTERS_CRYPTO_H
#define LT_FILTERS_CRYPTO_H

#include "base/str.h"

#include <openssl/evp.h>

enum lt_hash_name { LT_HASH_SHA1, LT_HASH_SHA256, LT_HASH_SHA384, LT_HASH_SHA512, LT_HASHES };

struct lt_crypto;

/* NULL: no memory, or the crypto library has no SHA-2. Returns owned. */
struct lt_crypto *lt_crypto_new(void) LT_MUST_CHECK;
/* NULL is fine. */
void lt_crypto_free(struct lt_crypto *crypto);

/* "sha1" to "sha512"; LT_HASHES: none of these. */
enum lt_hash_name lt_hash_find(struct lt_str name);

/* NULL: the crypto library does not have it. */
const EVP_MD *lt_crypto_md(const struct lt_crypto *crypto, enum lt_hash_name hash);

/* The digest of s in out, *n bytes. False: the crypto library fails or does not have it. */
bool lt_crypto_digest(struct lt_crypto *crypto, enum lt_hash_name hash, struct lt_str s,
                      unsigned char out[EVP_MAX_MD_SIZE], size_t *n) LT_MUST_CHECK;

/* The HMAC of s under key (RFC 2104), likewise. */
bool lt_crypto_hmac(struct lt_crypto *crypto, enum lt_hash_name hash, struct lt_str key,
                    struct lt_str s, unsigned char out[EVP_MAX_MD_SIZE], size_t *n) LT_MUST_CHECK;

#endif
