/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's side of all servers: idle connections and balancing state, found by the small id of
 * the server's long-lived state. Shared by balance.c, pool.c and back_h1.c. */
#ifndef LT_UPSTREAM_POOL_H
#define LT_UPSTREAM_POOL_H

#include "base/list.h"
#include "base/slab.h"
#include "net/loop.h"
#include "upstream/budget.h"
#include "upstream/upstream.h"

struct lt_back_h1;
struct lt_back_h2_conn;
struct lt_standing;

/* What this worker's requests showed of a server and isn't in the shared sums yet. */
struct lt_tally {
    uint32_t tries, bad, breaker_bad;
    uint64_t first_us; /* times to the first byte, summed */
    uint64_t told_us;  /* when the sums were brought up to date */
};

/* One server as this worker sees it. */
struct lt_pool {
    struct lt_list idle; /* struct lt_back_h1, used last first */
    unsigned n_idle;
    struct lt_list h2;      /* struct lt_back_h2_conn that take streams, oldest first */
    unsigned n_h2;          /* all to this server, those that end too */
    unsigned n_h2_ending;   /* of them, which take no new streams */
    uint32_t h2_streams;    /* that the server said it takes on one connection; 0: not known */
    unsigned active;        /* exchanges of this worker at the server */
    struct lt_tally tally;  /* of health.c */
    bool adds_bodies;       /* it was seen to send bodies where none may be */
    uint64_t latency_us;    /* of answers of late, by upstream/latency.h; 0: none came yet */
    uint64_t latency_at_us; /* when that was learnt */
    struct lt_tls_peer tls; /* sessions to resume, of the settings used last */
    struct lt_server_state *state;
    struct lt_pools *pools;
    struct lt_upstream_state *upstream; /* of connections.c, as the rest; NULL: not known yet */
    uint32_t connections_max;           /* the server's max_connections as last seen; 0: none */
    unsigned rights;                    /* to open connections, that came and weren't used yet */
    bool swaps;                         /* what is closed now makes room for one of our own */
    struct lt_timer unused;             /* of rights */
    uint64_t asked_us;                  /* when the others were asked to look last */
    uint64_t yielded_us;                /* when a connection of HTTP/2 was retired for others */
    struct lt_seat *seats; /* in use by this worker's exchanges; of a server with a max */
};

struct lt_pools {
    struct lt_loop *loop;
    struct lt_metrics_worker *metrics; /* may be NULL */
    unsigned worker;                   /* number of the worker */
    struct lt_slab backs;              /* struct lt_back_h1 */
    struct lt_slab h2_backs;           /* struct lt_back_h2 */
    struct lt_pool **v;                /* by lt_server_state.id; NULL: never used here */
    uint32_t n;
    struct lt_standing **standings; /* by lt_upstream_state.id; NULL: never used here */
    uint32_t n_standings;
    void (*ask)(void *arg); /* has the other workers look for connections to yield; NULL: nobody */
    void *ask_arg;
    unsigned idle;                   /* all idle connections */
    struct lt_retry_budget *budgets; /* by lt_upstream_state.id (budget.h) */
    uint32_t n_budgets;
    struct lt_list tls_clients; /* struct lt_tls_client, one for each kind of settings in use */

    const struct lt_peers *peers; /* the other workers; NULL: there are none */
    bool closing;                 /* the workers end: what comes is for nobody */
    struct lt_queue **queues;     /* by lt_upstream_state.id; NULL: nobody ever waited */
    uint32_t n_queues;
    struct lt_seat *spare; /* seats that nobody has, kept for the next */
    unsigned n_spare;
    uint64_t look_us; /* how often who waits looks around for what nobody tells */
};

/* The pool of a server, made on first use; NULL without memory. */
struct lt_pool *lt_pool_get(struct lt_pools *pools, struct lt_server_state *state) LT_MUST_CHECK;

/* A server sent a body where none may be, which nobody gets. */
static inline void lt_pools_count_dropped_body(struct lt_pools *pools)
{
    if (pools->metrics != NULL) {
        lt_metrics_add(pools->metrics, LT_COUNTER_BODIES_DROPPED, 1);
    }
}

/* Closes an idle connection to any server, for its descriptor; false: there is none. */
bool lt_pools_close_one_idle(struct lt_pools *pools);

#endif
