/* SPDX-License-Identifier: Apache-2.0 */
/* What a response says about where things are, put into the terms of the client: an application
 * that is mounted under a prefix, or asked by another Host, names paths and hosts as it sees them.
 * Pure text; one thread per list. */
#ifndef LT_HTTP_MOUNT_H
#define LT_HTTP_MOUNT_H

#include "http/headers.h"

struct lt_mount {
    struct lt_str prefix; /* taken off before the server saw the path, "/shop"; empty: nothing */
    struct lt_str told;   /* X-Forwarded-Prefix as the server got it; may be longer than prefix */
    struct lt_str sent;   /* the Host that the server got instead of the client's; or empty */
    struct lt_str scheme; /* "http" or "https", as the client used it */
    struct lt_str asked;  /* authority in the client's request; may be empty */
    struct lt_str known;  /* X-Forwarded-Host as the server got it; may be empty */
};

/* Maps Location, Content-Location, Refresh (URLs of this host and paths) and Set-Cookie (Path, and
 * a Domain that only suits `sent`) back, in place; texts go to the list's arena. Paths that begin
 * with prefix or told already stay, and so do URLs of other hosts and relative references.
 * LT_ERR_NOMEM.
 */
enum lt_err lt_mount_response(struct lt_headers *headers,
                              const struct lt_mount *mount) LT_MUST_CHECK;

#endif
