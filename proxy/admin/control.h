/* SPDX-License-Identifier: Apache-2.0 */
/* The control API of the admin socket: upstreams and their servers, in JSON. docs/operations.md is
 * its manual. Main thread.
 *
 *   GET    /upstreams[?name=NAME]
 *   PUT    /upstreams?name=NAME                     {"paused": true}
 *   POST   /servers?upstream=NAME                   {"address": "127.0.0.1:8000", "weight": 2}
 *   PUT    /servers?upstream=NAME&address=ADDRESS   {"state": "drain", "weight": 1}
 *   DELETE /servers?upstream=NAME&address=ADDRESS
 *
 * Each answers with the upstream as it is when every worker has seen the change. */
#ifndef LT_ADMIN_CONTROL_H
#define LT_ADMIN_CONTROL_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"

struct lt_gateway;

struct lt_control_call {
    struct lt_gateway *gateway;
    struct lt_arena *arena; /* of the request */
    struct lt_str upstream; /* name; p == NULL: all */
    unsigned status;        /* of the answer */
    /* Writes the answer after a round (server/server_sets.h); may set another status. */
    void (*put)(struct lt_control_call *call, struct lt_buf *out);
};

/* Does what req with its body asks. True: call->put answers after a round. False: call->status and
 * out are the answer. */
bool lt_control_call(struct lt_control_call *call, const struct lt_request *req, struct lt_str body,
                     struct lt_buf *out) LT_MUST_CHECK;

#endif
