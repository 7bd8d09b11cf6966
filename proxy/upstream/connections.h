/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections a server has, over all workers, and its max_connections. A worker at the cap
 * first closes an idle connection of its own; when it has none it asks main, which lets the workers
 * look (lt_pools_sweep), and the first that has an idle one closes it. The worker's thread. */
#ifndef LT_UPSTREAM_CONNECTIONS_H
#define LT_UPSTREAM_CONNECTIONS_H

#include "upstream/pool.h"

/* Whether a request to server finds a connection: one of this worker's, or room for a new one. When
 * not, somebody is asked to close an idle one. */
bool lt_connections_room(struct lt_pools *pools, const struct lt_server *server);

/* Counts a connection that is about to be opened; false: the server is at its cap. */
bool lt_connections_take(struct lt_pool *pool, const struct lt_server *server) LT_MUST_CHECK;
/* It is closed. */
void lt_connections_give(struct lt_pool *pool);

/* Closes an idle connection if another worker waits for one. */
void lt_connections_yield(struct lt_pool *pool);

#endif
