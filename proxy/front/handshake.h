/* SPDX-License-Identifier: Apache-2.0 */
/* What all fronts do when a TLS handshake is over. */
#ifndef LT_FRONT_HANDSHAKE_H
#define LT_FRONT_HANDSHAKE_H

#include "exchange/env.h"
#include "net/tls.h"

/* Counts the handshake, and logs why it failed: each reason now and then, so that nobody fills the
 * log. err: LT_OK, what the stream said, or LT_ERR_TIMEOUT. */
void lt_front_tls_done(struct lt_exchange_env *env, const struct lt_addr *peer,
                       const struct lt_tls *tls, enum lt_err err);

#endif
