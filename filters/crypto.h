/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL objects that one Lua state uses again and again. Private to filters/. */
#ifndef LT_FILTERS_LIB_CRYPTO_H
#define LT_FILTERS_LIB_CRYPTO_H

struct lt_crypto;

/* NULL is fine. */
void lt_crypto_free(struct lt_crypto *crypto);

#endif
