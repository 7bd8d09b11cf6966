/* SPDX-License-Identifier: Apache-2.0 */
/* Watches the servers of all upstreams: makes their checks, compares what their requests show, logs
 * when one goes down or comes back. Main thread, on its loop and with its own connections.
 *
 *   every half a second: the servers as they are now --> a probe for each; gone ones end
 *   a probe's timer --> [line of those that wait] --> check --> verdict --> next time
 */
#ifndef LT_SERVER_PROBES_H
#define LT_SERVER_PROBES_H

#include "base/buf.h"

struct lt_gateway;
struct lt_probes;
struct lt_server;
struct lt_upstream;

/* Returns owned; NULL without memory. */
struct lt_probes *lt_probes_new(struct lt_gateway *gateway) LT_MUST_CHECK;

/* Ends all checks, for good; what they hold goes at the end of the turn. NULL is fine. */
void lt_probes_stop(struct lt_probes *probes);

/* After lt_probes_stop and the end of that turn. NULL is fine. */
void lt_probes_free(struct lt_probes *probes);

/* The servers may have changed: another snapshot is the current one, or an upstream got another
 * set. */
void lt_probes_look(struct lt_probes *probes);

/* Lets go of connections to servers that nobody uses any more; before their states are freed. NULL
 * is fine. */
void lt_probes_sweep(struct lt_probes *probes);

/* Members of a server's and of an upstream's object in the status, each preceded by a comma. */
void lt_probes_put_server(const struct lt_probes *probes, const struct lt_server *server,
                          struct lt_buf *out);
void lt_probes_put_upstream(const struct lt_probes *probes, const struct lt_upstream *upstream,
                            struct lt_buf *out);

void lt_probes_write_metrics(const struct lt_probes *probes, struct lt_buf *out);

#endif
