/* SPDX-License-Identifier: Apache-2.0 */
/* Opening one connection to a server, for the backs of all protocols: what failed comes out as a
 * cause, and passive health is told. The worker's thread. */
#ifndef LT_UPSTREAM_DIAL_H
#define LT_UPSTREAM_DIAL_H

#include "net/connect.h"
#include "upstream/upstream.h"

/* cause LT_CAUSE_NONE: the stream is open. Else it isn't; sys_errno 0 when no system call failed.
 */
typedef void (*lt_dial_fn)(void *owner, enum lt_cause cause, int sys_errno);

struct lt_dial {
    struct lt_pools *pools;
    struct lt_server *server; /* borrowed until fn was called */
    struct lt_connect connect;
    struct lt_stream *stream;
    const struct lt_stream_ops *ops;
    lt_dial_fn fn;
    void *owner;
    bool made_room; /* an idle connection was closed so that this one finds a descriptor */
};

/* Starts opening *stream to server, with ops and owner as its callbacks. d is embedded in its
 * owner. fn is called once, perhaps before this returns. */
void lt_dial_start(struct lt_dial *d, struct lt_pools *pools, struct lt_server *server,
                   struct lt_stream *stream, const struct lt_stream_ops *ops, lt_dial_fn fn,
                   void *owner);

/* Gives up; no callback follows. Also after it is over, and for one that is zeroed. */
void lt_dial_cancel(struct lt_dial *d);

#endif
