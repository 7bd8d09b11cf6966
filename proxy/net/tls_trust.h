/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities: who is believed when it says whose a certificate is. Read by the loader from PEM
 * files into memory, so that no handshake goes to a disk; immutable, shared by all workers. */
#ifndef LT_NET_TLS_TRUST_H
#define LT_NET_TLS_TRUST_H

#include "net/tls.h"

struct lt_tls_trust;

/* Reads the authorities in a PEM file. NULL and *out on error. Returns owned. */
struct lt_tls_trust *lt_tls_trust_load(struct lt_files *files, struct lt_arena *arena,
                                       struct lt_str file,
                                       struct lt_tls_complaint *out) LT_MUST_CHECK;

/* The file of the authorities that this machine trusts: what SSL_CERT_FILE says, else the first
 * that is there of the usual places. Empty: none is. Static or of the environment. */
struct lt_str lt_tls_trust_system(struct lt_files *files);

struct lt_tls_trust *lt_tls_trust_ref(struct lt_tls_trust *trust);
void lt_tls_trust_free(struct lt_tls_trust *trust);

#endif
