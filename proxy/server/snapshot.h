/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: one configuration, compiled and immutable. The loader builds it, each worker makes a
 * view of it (what can't be shared: Lua states, TLS objects), then all take it up at once.
 *
 *   loader: build -> main: sockets -> workers: prepare -> main: all well? -> workers: commit
 *                                                    '-> no: discard       '-> the old view goes
 * when its last exchange ends It is freed on main when every worker has let go of its view. */
#ifndef LT_SERVER_SNAPSHOT_H
#define LT_SERVER_SNAPSHOT_H

#include "exchange/env.h"
#include "net/mailbox.h"
#include "server/root_conf.h"
#include "server/slots.h"
#include "server/tls_set.h"
#include "upstream/server_set.h"
#include "upstream/upstream.h"

struct lt_filter_program; /* filters/program.h */
struct lt_worker;

/* One listener number of a snapshot. */
struct lt_snapshot_listener {
    bool active;            /* in this configuration; else kept for its old connections */
    struct lt_addr address; /* as configured */
    int backlog;
    uint32_t max_connections; /* 0: no limit of its own */
    int proxy_protocol;       /* enum lt_listen_proxy */
    uint64_t proxy_ms;        /* time for a PROXY header */
    uint64_t vanished_ms;     /* unacknowledged until a connection counts as lost */
    struct lt_str name;
    bool redirect_https;
    struct lt_route_options route; /* for routes that set none themselves */
    struct lt_tls_options tls;     /* where the listener speaks it: the set has a store for it */
};

/* A further member of access lines. */
struct lt_snapshot_field {
    struct lt_str name;
    const struct lt_expr *expr;
};

/* What an upstream's servers_file said at the load. */
struct lt_snapshot_file {
    bool named; /* there is such a file */
    struct lt_server_spec *v;
    unsigned n;
};

#define LT_SNAPSHOT_HASH_LEN 32

struct lt_snapshot {
    unsigned number;                 /* 1: the first of this gateway */
    char hash[LT_SNAPSHOT_HASH_LEN]; /* hex digits: the start of the files' SHA-256 */
    struct lt_root_load *root;       /* owned: what all else points into */
    unsigned n_workers;              /* that run, or are to be started with it */
    struct lt_router *router;
    struct lt_upstream *upstreams; /* in the order of root->conf->upstreams */
    unsigned n_upstreams;
    struct lt_snapshot_file *files; /* by number of the upstream */
    struct lt_snapshot_listener listeners[LT_SLOTS_MAX];
    struct lt_front_options fronts[LT_SLOTS_MAX];
    unsigned n_listeners;
    unsigned char order[LT_SLOTS_MAX]; /* numbers in the order of the file */
    unsigned n_order;
    struct lt_tls_set *tls; /* a reference, as the files were at the load; main has newer ones */
    struct lt_filter_program *filters; /* as the files are now (filter_swap.h), a reference; NULL:
                                          there are none. Main thread, once it is taken up */
    struct lt_snapshot_field *fields;
    unsigned n_fields;
    uint32_t connections_max;
    uint32_t client_max;  /* connections of one client address */
    bool client_loopback; /* that holds for clients on this machine too */
    unsigned views;       /* workers that have a view; main thread */
};

/* Gives everything back; NULL is fine. Main or loader thread, without views. */
void lt_snapshot_free(struct lt_snapshot *snapshot);

/* Which listeners speak TLS, for its sets; gives how many numbers there are. */
unsigned lt_snapshot_tls_listeners(const struct lt_snapshot *snapshot,
                                   struct lt_tls_set_listener listeners[LT_SLOTS_MAX]);

/* Room for why something can't be prepared: what Lua said, and of which filter. */
#define LT_WORKER_WHY_MAX 800u

/* One worker's part. Travels between main and the worker as its own message. */
struct lt_worker_view {
    struct lt_message message;
    struct lt_view view;
    struct lt_worker *worker;
    struct lt_snapshot *snapshot;
    struct lt_tls_set *set;                  /* a reference */
    struct lt_tls_server *tls[LT_SLOTS_MAX]; /* NULL: plain */
    struct lt_tls_client **tls_clients;      /* by number of the upstream; NULL: plain */
    struct lt_deferred deferred;
    struct lt_view *replaced; /* while it is taken up: the one before it, or NULL */
    void (*done)(struct lt_message *message, void *owner); /* main's answer to prepare and commit */
    bool failed;                                           /* prepare did not work */
    char why[LT_WORKER_WHY_MAX];                           /* then: the reason */
};

/* Makes the view: TLS objects and filters. False: view->why says why; undo with fini. The worker's
 * thread. */
bool lt_worker_view_init(struct lt_worker_view *view) LT_MUST_CHECK;
void lt_worker_view_fini(struct lt_worker_view *view);
/* Files of its configuration have changed: takes another set (borrowed), for all handshakes and
 * requests from now on. False: nothing changed, and *why (static) says why. */
bool lt_worker_view_renew(struct lt_worker_view *view, struct lt_tls_set *set,
                          const char **why) LT_MUST_CHECK;

#endif
