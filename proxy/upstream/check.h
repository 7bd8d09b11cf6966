/* SPDX-License-Identifier: Apache-2.0 */
/* One health check of one server: over the same connections, TLS and protocols as requests, each on
 * a connection of its own. Whose thread it is decides the pools: main's.
 *
 *   lt_check_start -> connect, TLS -> [request -> response: status, body] -> fn(ok, why)
 */
#ifndef LT_UPSTREAM_CHECK_H
#define LT_UPSTREAM_CHECK_H

#include "base/arena.h"
#include "base/buf.h"
#include "upstream/dial.h"

#define LT_CHECK_TEXT_MAX 160

/* why: what was wrong, empty if ok; borrowed until return. Another check may be started. */
typedef void (*lt_check_fn)(void *owner, bool ok, struct lt_str why);

/* Embedded in its owner and zeroed at first; all is private. */
struct lt_check {
    uint32_t magic;
    struct lt_pools *pools;
    const struct lt_check_options *options;
    struct lt_upstream upstream; /* as the server's, but for what differs for a check */
    struct lt_server server;
    struct lt_back *back;
    struct lt_dial dial; /* TCP: without a back */
    struct lt_stream stream;
    struct lt_timer timer;
    struct lt_deferred deferred;
    struct lt_arena arena;
    struct lt_buf body;
    unsigned status; /* of the response; 0: none yet */
    int64_t grpc;    /* its grpc-status; -1: none */
    bool connected;
    bool over, failed; /* it is decided, and how */
    char text[LT_CHECK_TEXT_MAX];
    lt_check_fn fn;
    void *owner;
};

/* Starts checking server, whose upstream says how. What the upstream points to is borrowed until
 * fn, which is called once and never before this returns; server itself only until then. */
void lt_check_start(struct lt_check *c, struct lt_pools *pools, const struct lt_server *server,
                    lt_check_fn fn, void *owner);

/* Gives up: it has failed, if it wasn't over. fn follows as ever. */
void lt_check_cancel(struct lt_check *c);

/* What an answer of grpc.health.v1.Health/Check says (a message with its prefix): its status, or -1
 * if it is none. 1 is SERVING. */
int lt_check_grpc_status(struct lt_str body);

#endif
