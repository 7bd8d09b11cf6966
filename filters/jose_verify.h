/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a signature fits (RFC 7515 §5.2). No Lua in here. Private to filters/. */
#ifndef LT_FILTERS_JOSE_VERIFY_H
#define LT_FILTERS_JOSE_VERIFY_H

#include "filters/jose_keys.h"

/* Whether signature is one of data by key and alg; false too when key may not be used with alg.
 * Takes 30 to 300 µs for public keys. */
bool lt_jose_verify(struct lt_crypto *crypto, struct lt_jose_key *key, enum lt_jose_alg alg,
                    struct lt_str data, struct lt_str signature) LT_MUST_CHECK;

#endif
