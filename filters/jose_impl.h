/* SPDX-License-Identifier: Apache-2.0 */
/* What jose_keys.c and jose_jwk.c share. */
#ifndef LT_FILTERS_JOSE_IMPL_H
#define LT_FILTERS_JOSE_IMPL_H

#include "filters/jose_keys.h"

/* Notes what is wrong; gives false. */
bool lt_jose_complain(struct lt_jose_keys *keys, const char *what);

/* Frees all keys but the first n. */
void lt_jose_keys_cut(struct lt_jose_keys *keys, unsigned n);

/* The algorithms that a secret of so many bytes is long enough for. */
unsigned lt_jose_secret_algs(size_t len);

/* Append a key without id, or say what is wrong with it. put_public takes pkey. */
bool lt_jose_put_secret(struct lt_jose_keys *keys, struct lt_str secret) LT_MUST_CHECK;
bool lt_jose_put_public(struct lt_jose_keys *keys, EVP_PKEY *pkey) LT_MUST_CHECK;

/* Whether all keys without an id can be tried for a token. */
bool lt_jose_without_id_ok(struct lt_jose_keys *keys) LT_MUST_CHECK;

/* Appends the keys of a JWK Set; local: as lt_jose_add_jwks, else as lt_jose_replace_jwks. */
bool lt_jose_read_jwks(struct lt_jose_keys *keys, struct lt_str text, bool local) LT_MUST_CHECK;

#endif
