/* SPDX-License-Identifier: Apache-2.0 */
/* An absolute URL of the schemes http and https, as somebody writes it who wants it fetched (RFC
 * 3986, RFC 9110 section 4.2). */
#ifndef LT_HTTP_URL_H
#define LT_HTTP_URL_H

#include "base/arena.h"
#include "base/err.h"

#define LT_URL_MAX 8192u

struct lt_url {
    bool tls;
    struct lt_str host;      /* lower case; IPv6 without brackets */
    bool literal;            /* the host is an IP address, not a name */
    unsigned port;           /* of the scheme unless it is written */
    struct lt_str authority; /* what Host says: the port only if it isn't the scheme's */
    struct lt_str target;    /* path and query: "/" at least */
};

/* Reads url; texts are NUL-terminated and in arena. A fragment is left out. LT_ERR_INVALID: *why
 * (static) says what to write; user names and passwords are refused. LT_ERR_NOMEM. */
enum lt_err lt_url_parse(struct lt_arena *arena, struct lt_str url, struct lt_url *out,
                         const char **why) LT_MUST_CHECK;

#endif
