/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 back: one connection to a server, busy with one exchange or idle in its pool. Opened
 * through lt_back_open (upstream.h). */
#ifndef LT_UPSTREAM_BACK_H1_H
#define LT_UPSTREAM_BACK_H1_H

#include "upstream/pool.h"

/* For the slab that holds them. */
size_t lt_back_h1_size(void);

/* lt_back_open for servers that speak HTTP/1. */
enum lt_err lt_back_h1_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                            bool idempotent, bool fresh, struct lt_arena *arena,
                            const struct lt_back_events *events, void *owner,
                            struct lt_back **back) LT_MUST_CHECK;

/* The idle connection whose list node this is. */
struct lt_back_h1 *lt_back_h1_from_idle(struct lt_list *node);

/* Closes a connection that is idle in its pool. */
void lt_back_h1_close_idle(struct lt_back_h1 *back);

/* Closes a connection in any state; the object goes at the end of the turn. */
void lt_back_h1_close(struct lt_back_h1 *back);

#endif
