/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration file to a snapshot. Runs on a loader thread, so that nothing else stalls
 * while files are read, certificates parsed and filters compiled. */
#ifndef LT_SERVER_SNAPSHOT_BUILD_H
#define LT_SERVER_SNAPSHOT_BUILD_H

#include "server/snapshot.h"
#include "shared/metrics.h"
#include "upstream/server_set.h"
#include "upstream/upstream_conf.h"

/* Descriptors that are no client's and no server's: listeners, logs, files. */
#define LT_BUILD_OTHER_FDS UINT64_C(256)

/* What a snapshot is built with; borrowed until it is freed. */
struct lt_build_env {
    struct lt_shm *shm;
    struct lt_server_registry *registry;
    struct lt_upstream_registry *upstreams;
    struct lt_metrics *metrics;
    struct lt_slots *slots; /* the loader's alone while it builds */
    struct lt_files *files; /* where the configuration is read; NULL: the disk */
    unsigned n_workers;     /* that run; 0: none yet, the configuration says how many */
    bool log_errors;        /* each error is a line of the error log too */
    bool first;             /* nothing serves yet: sockets will be opened at their paths */
    bool kept;              /* what worked before: has to serve whatever the disk is like */
};

/* The servers that the configuration itself lists, in out (room for conf->servers.n); gives how
 * many.
 */
unsigned lt_build_specs(const struct lt_upstream_conf *conf, struct lt_server_spec *out);

/* Builds the configuration at path. NULL when it has errors: errors gets all of them as text for
 * people, n_errors how many. Warnings are added to errors in any case. */
struct lt_snapshot *lt_build(const char *path, unsigned number, const struct lt_build_env *env,
                             struct lt_buf *errors, unsigned *n_errors) LT_MUST_CHECK;

#endif
