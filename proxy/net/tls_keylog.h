/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of sessions written to the file that SSLKEYLOGFILE names, so that captured traffic can be
 * read while looking for a fault. Only in builds made with --enable-key-log: whoever sets a
 * variable must not be able to read what others send. */
#ifndef LT_NET_TLS_KEYLOG_H
#define LT_NET_TLS_KEYLOG_H

#include <openssl/ssl.h>

#ifdef LT_KEY_LOG
/* Blocks on the file. */
void lt_tls_keylog(SSL_CTX *ctx);
#else
static inline void lt_tls_keylog(SSL_CTX *ctx)
{
    (void)ctx;
}
#endif

#endif
