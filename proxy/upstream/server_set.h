/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a set of servers: made whole, published by main, freed by main when no worker can
 * hold a server of it any more.
 *
 *   main: new -> publish --replaced--> each worker: nothing held of it, or not any more
 *                  main: the last one frees <--gone--'
 *
 * A worker counts what it holds of a set in a plain counter of its own; it is told once that the
 * set was replaced, and from then on takes no more of it. The set of an upstream whose snapshot
 * goes is freed with the snapshot. */
#ifndef LT_UPSTREAM_SERVER_SET_H
#define LT_UPSTREAM_SERVER_SET_H

#include "net/mailbox.h"
#include "upstream/upstream.h"

/* One server that is to be in a set. */
struct lt_server_spec {
    struct lt_addr address;
    uint32_t max;             /* exchanges at once over all workers; 0: no limit */
    uint32_t max_connections; /* over all workers; 0: no limit */
    uint32_t weight;          /* >= 1 */
    bool backup;              /* gets requests only when all others can't */
    enum lt_server_admin admin;
    struct lt_str host;   /* whose name it has, for TLS and Host; empty: its address */
    struct lt_str source; /* who named it; empty: the configuration */
};

/* What sets are made with; borrowed. */
struct lt_server_set_env {
    struct lt_server_registry *registry;
    struct lt_metrics *metrics;
    unsigned n_workers;
};

/* What one worker has of a set, on a cache line of its own. */
struct lt_server_set_holds {
    _Alignas(64) uint32_t n; /* servers held; that worker's */
    bool replaced;           /* it knows that there is a newer set; that worker's */
    struct lt_message message;
    struct lt_server_set *set;
    struct lt_mailbox *main; /* where "gone" is posted */
};

/* Makes a set of n servers with addresses that differ; n may be 0. Takes one user of each server's
 * state. Any thread that may use env. LT_ERR_NOMEM; LT_ERR_LIMIT: the shared memory has no count
 * for specs[*bad], or there are too many servers. */
enum lt_err lt_server_set_new(const struct lt_server_set_env *env, struct lt_upstream *upstream,
                              const struct lt_server_spec *specs, unsigned n,
                              struct lt_server_set **set, unsigned *bad) LT_MUST_CHECK;
/* Of a set that nobody holds, published or not. NULL is fine. */
void lt_server_set_free(struct lt_server_set *set);

/* Who may hold servers of published sets. */
struct lt_server_set_readers {
    struct lt_mailbox **boxes; /* of the workers, by their number */
    unsigned n;
    struct lt_mailbox *main;
    void (*on_freed)(void *owner); /* of main's box; a replaced set was freed; may be NULL */
};

/* Puts set (taken) in the place of the upstream's present one, which is freed when the readers let
 * go of it. Main. */
void lt_server_set_publish(struct lt_upstream *upstream, struct lt_server_set *set,
                           const struct lt_server_set_readers *readers);

/* Keeps server over turns of the loop, and no more. Each pick does the first; whoever picked does
 * the second when it has no more use for the server, its name and its upstream's settings included.
 * A worker's thread. */
void lt_server_hold(struct lt_pools *pools, struct lt_server *server);
void lt_server_let_go(struct lt_pools *pools, struct lt_server *server);

#endif
