/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities whose certificates are believed, from files. Loader and watcher threads. */
#ifndef LT_NET_TLS_CA_H
#define LT_NET_TLS_CA_H

#include "net/tls.h"

/* The authorities of a PEM file. NULL and *out. Returns owned. */
X509_STORE *lt_tls_ca_load(struct lt_files *files, struct lt_arena *arena, struct lt_str file,
                           struct lt_tls_complaint *out) LT_MUST_CHECK;

/* Adds the revocation lists of a PEM file: from now on each authority of a chain needs one that
 * isn't out of date. *next_update: when the first of them ends, in seconds since 1970. False and
 * *out. */
bool lt_tls_crl_load(X509_STORE *store, struct lt_files *files, struct lt_arena *arena,
                     struct lt_str file, int64_t *next_update,
                     struct lt_tls_complaint *out) LT_MUST_CHECK;

#endif
