/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's main thread: a loop without public listeners or Lua. It talks to the supervisor,
 * has snapshots built and taken up by the workers, rotates ticket keys, serves the admin socket,
 * drains.
 *
 *   supervisor --control--> main --messages--> workers      loader: builds one snapshot, then ends
 *                           main <--messages--- workers     log writer, watchdog
 */
#ifndef LT_SERVER_GATEWAY_H
#define LT_SERVER_GATEWAY_H

#include "server/snapshot_build.h"
#include "server/certs.h"
#include "server/dev.h"
#include "server/dns_servers.h"
#include "server/drain.h"
#include "server/filter_swap.h"
#include "server/probes.h"
#include "server/reload.h"
#include "server/server_files.h"
#include "server/server_sets.h"
#include "server/worker.h"

/* Commands that arrived while an answer was awaited. */
#define LT_GATEWAY_QUEUE_MAX 32u

struct lt_gateway;
struct lt_admin;

/* The admin socket, which lies above: proxy/main.c hands it over. */
struct lt_admin_ops {
    /* Serves on fd (taken) with the gateway's loop. NULL without memory. */
    struct lt_admin *(*start)(struct lt_gateway *gateway, int fd);
    void (*stop)(struct lt_admin *admin);
};

struct lt_gateway_options {
    const char *config; /* path */
    const char *user;   /* to become; NULL: stay who we are */
    int control, shm;   /* descriptors of the supervisor */
    int kept;           /* the last configuration that worked (config/files.h); -1: none */
    uint32_t generation;
    bool dev;        /* for developers: files are watched, errors shown */
    bool core_dumps; /* a crash may leave a core; it holds secrets */
    const struct lt_admin_ops *admin;
};

struct lt_gateway {
    const struct lt_gateway_options *options;
    struct lt_loop *loop;
    struct lt_mailbox *box; /* owner: this */
    struct lt_shm *shm;
    struct lt_server_registry *registry;
    struct lt_upstream_registry *upstreams;
    struct lt_server_sets *sets;
    struct lt_server_files *server_files;
    struct lt_dns_servers *dns;
    struct lt_metrics *metrics;
    struct lt_metrics_worker *own_metrics; /* main's rows */
    struct lt_log_writer *log;
    uint64_t log_dropped; /* as counted into own_metrics so far */
    struct lt_budget_watch *watch;
    struct lt_watchdog *watchdog;
    struct lt_slots slots;
    struct lt_workers_shared shared;
    struct lt_worker *workers[LT_WORKERS_MAX];
    unsigned n_workers;
    struct lt_snapshot *current; /* taken up by all workers; NULL: none yet */
    unsigned snapshots;          /* alive: the current one and those that old exchanges hold */
    struct lt_reload reload;
    struct lt_filter_swap filter_swap;
    struct lt_drain drain;
    struct lt_admin *admin;
    struct lt_dev *dev; /* NULL: not for developers */
    int kept;           /* options->kept until something serves; then -1 */
    int admin_fd;       /* -1: none, or given to admin */
    struct lt_certs certs;
    struct lt_probes *probes;
    ev_io control;
    ev_signal term;
    uint32_t queue[LT_GATEWAY_QUEUE_MAX]; /* enum lt_control_type */
    unsigned n_queue;
    struct lt_deferred queued;
    uint64_t began_us, began_wall_us;
    uint64_t loaded_wall_us; /* when the current snapshot was taken up */
    bool fallback;           /* current is not what is on the disk, which had errors at the start */
    bool load_failed;        /* the last look at the disk found errors */
    uint64_t memory_bound;   /* as logged last */
    bool ready;              /* serves and is not draining */
    int exit_code;
};

/* Runs a gateway until it has drained. Gives the exit code; 1: it could not start. */
int lt_gateway_run(const struct lt_gateway_options *options) LT_MUST_CHECK;

/* ---- Main thread: for reload and drain. ---- */

/* Asks the supervisor for sockets, waiting for the answer. *fds is owned. On failure *sys_errno. */
enum lt_err lt_gateway_listen(struct lt_gateway *g, const struct lt_control_message *request,
                              int **fds, unsigned *n, int *sys_errno) LT_MUST_CHECK;
void lt_gateway_unlisten(struct lt_gateway *g, const char *key);
/* Tells the supervisor how a start or reload went; kept: what was read for it, -1: nothing new. */
void lt_gateway_tell(struct lt_gateway *g, enum lt_control_type type, int sys_errno, int kept);
/* Starts workers and watchdog for the first snapshot. */
enum lt_err lt_gateway_start_workers(struct lt_gateway *g,
                                     const struct lt_snapshot *first) LT_MUST_CHECK;
/* Logs what the configuration lets us use at most, if that has changed. */
void lt_gateway_log_bounds(struct lt_gateway *g, const struct lt_snapshot *s);
/* A snapshot was taken up by all workers for the first time: admin socket, signals. */
void lt_gateway_serving(struct lt_gateway *g);
/* Ends main's loop. */
void lt_gateway_end(struct lt_gateway *g, int exit_code);
/* The current snapshot, which stays until lt_gateway_put_snapshot. */
struct lt_snapshot *lt_gateway_hold_current(struct lt_gateway *g);
/* Somebody has let go of a snapshot; frees it with the last one. */
void lt_gateway_put_snapshot(struct lt_gateway *g, struct lt_snapshot *snapshot);
/* One view of a snapshot is gone. */
void lt_gateway_put_view(struct lt_gateway *g, struct lt_worker_view *view);

/* ---- Main thread: for admin. ---- */

bool lt_gateway_is_ready(const struct lt_gateway *g);
/* Brings counters up to date that others keep. */
void lt_gateway_refresh_metrics(struct lt_gateway *g);
/* The gateway's own metrics, after those of lt_metrics_write. */
void lt_gateway_write_metrics(const struct lt_gateway *g, struct lt_buf *out);
/* The state of all as one JSON object, with the counts of the last round of server_sets;
 * docs/operations.md lists its members. */
void lt_gateway_status(struct lt_gateway *g, struct lt_buf *out);

#endif
