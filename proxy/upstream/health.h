/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers are fit to take requests. Any thread; what is known lies in the server's long-lived
 * state. */
#ifndef LT_UPSTREAM_HEALTH_H
#define LT_UPSTREAM_HEALTH_H

#include "upstream/upstream.h"

/* Whether server is to be preferred to one that isn't up. now_us: monotonic. */
bool lt_server_up(const struct lt_server *server, uint64_t now_us);

/* Tells how a connect ended: a server that refused is tried last for a short while, growing. */
void lt_server_connect_result(struct lt_pools *pools, struct lt_server *server, bool ok);

#endif
