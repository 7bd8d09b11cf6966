/* SPDX-License-Identifier: Apache-2.0 */
/* Which back speaks with a server. The worker's thread. */
#include "upstream/back_h1.h"
#include "upstream/back_h2.h"

enum lt_err lt_back_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                         bool idempotent, bool fresh, struct lt_arena *arena,
                         const struct lt_back_events *events, void *owner, struct lt_back **back)
{
    switch (server->upstream->protocol) {
    case LT_PROTOCOL_H1:
        break;
    case LT_PROTOCOL_H2:
    case LT_PROTOCOL_H2C:
        return lt_back_h2_open(pools, server, method, arena, events, owner, back);
    }
    return lt_back_h1_open(pools, server, method, idempotent, fresh, arena, events, owner, back);
}
