/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of the admin socket, for the commands that ask a running gateway. A process of
 * its own; may block. */
#ifndef LT_ADMIN_CLIENT_H
#define LT_ADMIN_CLIENT_H

#include "base/addr.h"
#include "base/buf.h"

/* Where commands find the socket: what their -c FILE and --admin ADDRESS say. */
struct lt_admin_where {
    const char *config; /* path; the default one before options are read */
    const char *admin;  /* NULL: as the configuration says */
};

/* Takes -c FILE or --admin ADDRESS at argv[*i] and moves *i on; false: it is neither. */
bool lt_admin_option(struct lt_admin_where *where, int argc, char **argv, int *i);

/* Finds the socket. 0; else it was said why, and it is the exit status: 1 there is none, 2 the
 * address is wrong. */
int lt_admin_find(const struct lt_admin_where *where, struct lt_addr *addr);

/* A value of a target's query: all but unreserved characters are percent-encoded (RFC 3986 §2.1).
 */
void lt_admin_put_value(struct lt_buf *out, struct lt_str value);

/* Asks, and waits for the whole answer: its status, or 0 when there is none, which was said. body
 * of the answer points into out, which is the caller's, initialised. */
unsigned lt_admin_ask(const struct lt_addr *addr, const char *method, struct lt_str target,
                      struct lt_str request_body, struct lt_buf *out, struct lt_str *body);

#endif
