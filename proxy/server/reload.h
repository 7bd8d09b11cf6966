/* SPDX-License-Identifier: Apache-2.0 */
/* Taking up a configuration, the first one as any later one: load (loader thread), sockets, prepare
 * on every worker, commit on all. Whatever fails, the old one stays. Main thread. */
#ifndef LT_SERVER_RELOAD_H
#define LT_SERVER_RELOAD_H

#include "base/buf.h"
#include "net/mailbox.h"

#include <pthread.h>

struct lt_gateway;
struct lt_snapshot;
struct lt_worker_view;

enum lt_reload_state {
    LT_RELOAD_IDLE,
    LT_RELOAD_LOADING,   /* the loader's thread runs */
    LT_RELOAD_PREPARING, /* workers make their views */
    LT_RELOAD_COMMITTING /* workers take them up */
};

struct lt_reload {
    struct lt_gateway *gateway;
    enum lt_reload_state state;
    bool again;     /* asked for while one was under way */
    unsigned count; /* of configurations tried */
    pthread_t thread;
    struct lt_message loaded; /* the loader's answer */
    struct lt_snapshot *next; /* NULL: it has errors */
    struct lt_files *files;   /* where it reads; keeps what was read */
    bool from_kept;           /* it reads what was kept, because the disk has errors */
    bool log_errors;          /* each one is a line of the error log too */
    struct lt_buf errors;     /* text for people */
    unsigned n_errors;
    struct lt_worker_view **views; /* of next, per worker */
    unsigned waiting;              /* answers that are missing */
    char why[1024];                /* a failure after the load; empty: none */
};

/* Starts reading the configuration; one that is under way is followed by another. */
void lt_reload_start(struct lt_gateway *g);

/* Waits for a loader that still runs and drops what it made. Before the gateway ends. */
void lt_reload_abandon(struct lt_gateway *g);

#endif
