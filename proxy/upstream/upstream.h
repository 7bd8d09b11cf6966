/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams: named pools of servers. An lt_upstream is the snapshot's part (immutable settings);
 * what lives longer (in-flight counts, failures, idle connections) is keyed by stable names outside
 * of it: struct lt_server_state in shared/server_state.h, idle connections in the worker's struct
 * lt_pools. */
#ifndef LT_UPSTREAM_UPSTREAM_H
#define LT_UPSTREAM_UPSTREAM_H

#include "base/addr.h"
#include "http/sides.h"
#include "net/loop.h"
#include "net/proxy_protocol.h"
#include "net/tls_client.h"
#include "shared/metrics.h"
#include "shared/server_state.h"
#include "shared/upstream_state.h"
#include "upstream/balance_options.h"
#include "upstream/health_options.h"
#include "upstream/retry_conf.h"
#include "upstream/takes.h"

/* What servers are spoken to in. */
enum lt_upstream_protocol {
    LT_PROTOCOL_H1,
    LT_PROTOCOL_H2, /* over TLS, by ALPN */
    LT_PROTOCOL_H2C /* over TCP, without asking first (RFC 9113 §3.3) */
};

/* How connections of HTTP/2 are used; a connection keeps those that it was opened with. */
struct lt_back_h2_options {
    unsigned streams_max;     /* exchanges at once on one connection */
    unsigned connections_max; /* to one server by one worker */
    uint32_t window;          /* bytes that a server may be ahead on one stream */
    unsigned control_max;     /* frames a second that carry no message */
    uint64_t idle_ms;         /* without a stream, until it is closed */
    uint64_t ping_ms;         /* without a byte from the server, until it is asked; 0: never */
    uint64_t pong_ms;         /* until it must have answered */
};

/* Who may wait for a server, and how long; size 0: nobody. */
struct lt_queue_options {
    uint32_t size;        /* at once, over all workers */
    uint64_t wait_us;     /* in all, from the first moment on */
    uint64_t restart_us;  /* how long a server that refuses is expected to come back */
    uint64_t target_us;   /* a wait of this length is too long ... */
    uint64_t interval_us; /* ... if it lasts for this time */
};

struct lt_server_set;

/* Where options that a failure may be about were set, as lt_config_place says it. */
struct lt_upstream_places {
    struct lt_str connect, first_byte, idle, queue_wait, restart, head_max, headers_max,
        takes[LT_TAKES_COUNT];
};

struct lt_server {
    struct lt_upstream *upstream;
    struct lt_server_set *set; /* that it is in; NULL: a copy, which nobody counts */
    struct lt_str name;        /* address as written */
    struct lt_addr addr;
    struct lt_str host;            /* the Host that it gets; empty: the client's */
    uint32_t max;                  /* exchanges at once over all workers; 0 = no limit */
    uint32_t max_connections;      /* over all workers; 0 = no limit */
    uint32_t weight;               /* >= 1 */
    bool backup;                   /* gets requests only when all others can't */
    unsigned index;                /* within its set */
    struct lt_server_state *state; /* outlives the snapshot */
    uint32_t metrics_id;           /* slot of its counters */
    struct lt_str ip; /* its certificate is for that if nobody says otherwise: its IP, or the name
                         that led to it; empty for a Unix socket */
    struct lt_str source; /* who named it; empty: the configuration */
};

struct lt_server_set_holds; /* upstream/server_set.h */
struct lt_server_groups;

/* The servers of an upstream at one moment; immutable once published. There may be none. */
struct lt_server_set {
    struct lt_server *v;
    unsigned n;
    struct lt_server_set_holds *holds;     /* by worker */
    const struct lt_server_groups *groups; /* for balancing */
};

struct lt_upstream {
    struct lt_str name;
    struct lt_server_set *_Atomic set; /* read it by lt_upstream_set, once per decision */
    struct lt_upstream_state *state;   /* outlives the snapshot */
    struct lt_str dns_names; /* its servers that are names, as written; empty: there are none */
    struct lt_str host;      /* "client", "upstream" or what servers get as Host */
    struct lt_balance_options balance;
    enum lt_upstream_protocol protocol;
    struct lt_back_h2_options h2;
    struct lt_tls_client_policy *tls;     /* owned; NULL: plain */
    enum lt_proxy_version proxy_protocol; /* of the header sent first, if any */
    struct lt_retry_options retry;
    struct lt_hold_options hold;
    struct lt_queue_options queue;
    uint64_t connect_ms, first_byte_ms, idle_ms;
    uint64_t vanished_ms;          /* unacknowledged until a connection counts as lost */
    struct lt_str deadline_header; /* a field that tells what is left of the time; empty: none */
    unsigned keepalive_max;        /* idle connections per server and worker; 0 = no pooling */
    uint64_t keepalive_ms;         /* idle time after which a pooled connection is closed */
    uint64_t keepalive_post_ms; /* how long idle a connection may be for non-idempotent requests */
    bool keepalive_learn;       /* closes them earlier where a server says or shows so */
    size_t head_max;            /* of responses, bytes */
    unsigned headers_max;
    struct lt_health_options health;
    struct lt_takes takes; /* of requests */
    struct lt_upstream_places places;
};
/* The servers as they are now. Any thread that holds the snapshot. */
static inline struct lt_server_set *lt_upstream_set(const struct lt_upstream *upstream)
{
    /* Acquire: what was written into the set before it was published. */
    return atomic_load_explicit(&upstream->set, memory_order_acquire);
}

/* The worker's idle connections and balancing state for all upstreams, keyed by lt_server_state. */
struct lt_pools;

/* metrics: the worker's counters, borrowed; may be NULL. Returns owned. */
struct lt_pools *lt_pools_new(struct lt_loop *loop,
                              struct lt_metrics_worker *metrics) LT_MUST_CHECK;
/* The worker's number, 0 unless told. Before anything is picked. */
void lt_pools_set_worker(struct lt_pools *pools, unsigned worker);
/* Whom to call when another worker should close an idle connection. */
void lt_pools_set_ask(struct lt_pools *pools, void (*ask)(void *arg), void *arg);
/* Who the other workers are, which stays where it is. Before the worker's thread starts. */
struct lt_peers; /* upstream/peers.h */
void lt_pools_set_peers(struct lt_pools *pools, const struct lt_peers *peers);
/* No worker runs any more: what they still have sent each other is for nobody. */
void lt_pools_close(struct lt_pools *pools);
/* Closes all idle connections. */
void lt_pools_free(struct lt_pools *pools);
/* Closes the idle connections of servers that take no requests by the operator's wish or that no
 * set has any more (shared/server_state.h), and forgets those of the latter to which there are no
 * connections; of the others it says so to the registry. */
void lt_pools_sweep(struct lt_pools *pools);
/* What this worker has at the server with that id: exchanges under way and idle connections. */
void lt_pools_count(const struct lt_pools *pools, uint32_t id, uint32_t *active, uint32_t *idle);
/* Makes what the worker needs for TLS by policy (not NULL) and gives one reference on it: while it
 * is held, opening a connection has nothing left to make. NULL and *why (static) on error. */
struct lt_tls_client *lt_pools_tls(struct lt_pools *pools, struct lt_tls_client_policy *policy,
                                   const char **why) LT_MUST_CHECK;
/* Idle connections held now. */
unsigned lt_pools_idle(const struct lt_pools *pools);

/* Opens a back to server in the upstream's protocol, on a connection that is there or a new one.
 * Calls on_connected or on_fail of events, perhaps before it returns. idempotent: whether an idle
 * connection may be used whatever its age. fresh: never use an idle one. The back in *back belongs
 * to the callee of events until on_end, on_fail or cancel. HTTP/2 heeds neither idempotent nor
 * fresh: what a server hasn't seen it says. LT_ERR_NOMEM. */
enum lt_err lt_back_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                         bool idempotent, bool fresh, struct lt_arena *arena,
                         const struct lt_back_events *events, void *owner,
                         struct lt_back **back) LT_MUST_CHECK;

#endif
