/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections a server has, over all workers, and its max_connections. A connection that
 * may be opened is a right: it is taken with the count, and given back with it. While another
 * worker waits for one, a right that is given back goes to it with its count, in turn among the
 * workers, and connections are given back sooner (lt_connections_due).
 *
 *   lt_connections_take --> connection --lt_connections_give--> nobody asks: the count goes down
 *        ^                                                '--> the next worker that asks
 *        '----- pool->rights <--------- its queue is woken <----------'
 *
 * docs/decisions/025-balancing.md has why no wake-up is lost. The worker's thread. */
#ifndef LT_UPSTREAM_CONNECTIONS_H
#define LT_UPSTREAM_CONNECTIONS_H

#include "upstream/pool.h"

/* Whether a request to server, which has a max_connections, finds a connection: one of this
 * worker's, or room for a new one. */
bool lt_connections_room(struct lt_pools *pools, const struct lt_server *server);
/* There is none, and somebody waits for one: this worker asks for it. Gives whether there is one
 * now: who gave it back meanwhile told nobody. */
bool lt_connections_ask(struct lt_pools *pools, const struct lt_server *server) LT_MUST_CHECK;

/* Takes the right to a connection that is about to be opened. False: the server is at its cap; then
 * one was asked for. */
bool lt_connections_take(struct lt_pool *pool, const struct lt_server *server) LT_MUST_CHECK;
/* It is closed, or wasn't opened. */
void lt_connections_give(struct lt_pool *pool);

/* Whether a connection that is open since since_us should be closed instead of being used again,
 * since another worker waits for one. needed: it is in use, as if somebody here waited for it. Who
 * has work for it keeps it for a short while, so that not each request opens one. */
bool lt_connections_due(struct lt_pool *pool, uint64_t since_us, bool needed);

/* Another worker has begun to ask: idle connections are closed for it, and one that is due. */
void lt_connections_yield(struct lt_pool *pool);

/* With the pool. fini gives rights back that weren't used. */
void lt_connections_init(struct lt_pool *pool);
void lt_connections_fini(struct lt_pool *pool);

#endif
