/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 back: one stream of a connection that many exchanges share (RFC 9113). Opened through
 * lt_back_open (upstream.h). */
#ifndef LT_UPSTREAM_BACK_H2_H
#define LT_UPSTREAM_BACK_H2_H

#include "upstream/pool.h"

/* For the slab that holds backs. */
size_t lt_back_h2_size(void);

/* lt_back_open for servers that speak HTTP/2. */
enum lt_err lt_back_h2_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                            struct lt_arena *arena, const struct lt_back_events *events,
                            void *owner, struct lt_back **back) LT_MUST_CHECK;

/* Closes an idle connection of the pool; false: there is none. The object goes at the end of the
 * turn. */
bool lt_back_h2_close_one_idle(struct lt_pool *pool);

/* Whether an open connection of the pool takes one more stream to server. */
bool lt_back_h2_has_room(struct lt_pool *pool, const struct lt_server *server);

/* Another worker waits for a connection: one that is due takes no new streams and ends with its
 * last one. */
void lt_back_h2_yield(struct lt_pool *pool);

/* The server is in no snapshot any more: its connections take no new streams and end with their
 * last one. */
void lt_back_h2_retire_all(struct lt_pool *pool);

/* Closes and frees all connections of the pool at once; they have no streams. */
void lt_back_h2_free_all(struct lt_pool *pool);

#endif
