/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway says about its upstreams: in /status and to the control API. Main thread. */
#ifndef LT_SERVER_UPSTREAM_STATUS_H
#define LT_SERVER_UPSTREAM_STATUS_H

#include "base/buf.h"

struct lt_gateway;
struct lt_upstream;

/* One upstream as a JSON object, with the counts of the last round (server/server_sets.h). */
void lt_upstream_status(const struct lt_gateway *g, const struct lt_upstream *u,
                        struct lt_buf *out);

/* Those of the current snapshot as a JSON list. */
void lt_upstreams_status(const struct lt_gateway *g, struct lt_buf *out);

#endif
