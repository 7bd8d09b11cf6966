/* SPDX-License-Identifier: Apache-2.0 */
/* Why a server could not be connected to, as text for the access log: what the file system says of
 * a Unix socket, how long was waited by which option. The worker's thread. */
#ifndef LT_UPSTREAM_DIAL_DETAIL_H
#define LT_UPSTREAM_DIAL_DETAIL_H

#include "upstream/upstream.h"

/* Writes to space (size bytes) and gives the text. sys_errno: of the failed connect, 0 if none was;
 * waited_us: since it began.
 * Looks at the socket's path, which connect() did a moment ago: only after a failure. */
struct lt_str lt_dial_detail(const struct lt_server *server, enum lt_cause cause, int sys_errno,
                             uint64_t waited_us, char *space, size_t size);

#endif
