/* SPDX-License-Identifier: Apache-2.0 */
/* Opening one connection to a server, for the backs of all protocols: connecting and, where the
 * upstream has it, the TLS handshake, under one time limit. What failed comes out as a cause, and
 * passive health is told. The worker's thread.
 *
 *   lt_dial_start -> connect -> [TLS] -> fn: lt_stream_own, from there on the stream is its owner's
 */
#ifndef LT_UPSTREAM_DIAL_H
#define LT_UPSTREAM_DIAL_H

#include "net/connect.h"
#include "upstream/upstream.h"

struct lt_dial_failure {
    enum lt_cause cause;
    int sys_errno;        /* 0 when no system call failed */
    struct lt_str detail; /* more about the cause; borrowed until fn returns, may be empty */
};

#define LT_DIAL_DETAIL_MAX 400

/* failure NULL: the stream is open, and what was agreed by TLS can be asked: give it callbacks by
 * lt_stream_own at once. Else it isn't open. */
typedef void (*lt_dial_fn)(void *owner, const struct lt_dial_failure *failure);

/* Whether there is a server, whose TLS did not suit: another of its addresses would only tell
 * something else. */
bool lt_dial_reached(enum lt_cause cause);

struct lt_dial {
    struct lt_pools *pools;
    struct lt_server *server; /* borrowed until fn was called */
    struct lt_str preface;    /* what goes first; borrowed as the server, or until the next flush */
    struct lt_connect connect;
    struct lt_stream *stream;
    struct lt_timer timer; /* what is left of the time for TLS */
    uint64_t began_us;
    lt_dial_fn fn;
    void *owner;
    bool made_room; /* an idle connection was closed so that this one finds a descriptor */
    char detail[LT_DIAL_DETAIL_MAX];
};

/* Starts opening *stream to server. d is embedded in its owner and zeroed at first. What goes over
 * the connection first, preface, is put in plain before TLS; without TLS it waits for the first
 * flush. fn is called once, perhaps before this returns. */
void lt_dial_start(struct lt_dial *d, struct lt_pools *pools, struct lt_server *server,
                   struct lt_str preface, struct lt_stream *stream, lt_dial_fn fn, void *owner);

/* Gives up and closes the stream if it is being opened; no callback follows. Also after it is over,
 * and for one that is zeroed. */
void lt_dial_cancel(struct lt_dial *d);

/* Whether an open stream was opened as one to server would be now: a reload may have changed its
 * upstream's TLS. */
bool lt_dial_fits(const struct lt_stream *stream, const struct lt_server *server);

/* What LT_ERR_TLS of a stream means on which server has said nothing yet. With TLS 1.3 a server
 * refuses our certificate when the handshake is over on our side, before it reads what we sent:
 * SERVER_REFUSED_CERTIFICATE, and passive health is told. */
enum lt_cause lt_dial_tls_cause(struct lt_pools *pools, struct lt_server *server,
                                const struct lt_stream *stream);

#endif
