/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor: the process that `lintel run` starts. It holds the listening sockets and the
 * shared memory, starts the gateway and starts it again when it dies; it parses no traffic and
 * reads no configuration.
 *
 *   supervisor --fork, exec--> gateway        control socket: listen, ready, reload, drain
 *       |                         |           shared memory: limits, in flight, ticket keys
 *       '--- listening sockets ---'           both outlive a gateway
 */
#ifndef LT_SERVER_SUPERVISOR_H
#define LT_SERVER_SUPERVISOR_H

#include "base/defs.h"

struct lt_run_options {
    const char *config; /* path */
    const char *user;   /* NULL: stay who we are */
    bool dev;           /* for developers: files are watched, errors shown */
    bool core_dumps;    /* the gateway may leave a core, which holds secrets */
};

/* Runs until it is told to stop by SIGTERM or SIGINT. Gives the exit code: 0 after a drain, 1 when
 * the first gateway could not start. */
int lt_supervisor_run(const struct lt_run_options *options) LT_MUST_CHECK;

#endif
