/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker lends to its exchanges and fronts: loop, slabs, the current view of the snapshot,
 * counters, upstream pools. And the view itself: one worker's part of one snapshot. */
#ifndef LT_EXCHANGE_ENV_H
#define LT_EXCHANGE_ENV_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/slab.h"
#include "config/expr.h"
#include "exchange/spool.h"
#include "http/encoder.h"
#include "net/loop.h"
#include "shared/metrics.h"

struct lt_challenge; /* exchange/challenge.h */
struct lt_exchange;
struct lt_filters;    /* the worker's Lua VMs of one snapshot, filters/host.h */
struct lt_hooks;      /* exchange/hooks.h */
struct lt_tls_policy; /* net/tls_policy.h */
struct lt_router;     /* route/router.h */
struct lt_pools;      /* the worker's idle connections, upstream/pool.h */
struct lt_snapshot;   /* server/snapshot.h */
struct lt_upstream;   /* upstream/upstream.h */

/* When a kind of failed handshake was logged last, and how many weren't since. */
struct lt_handshake_log {
    uint64_t logged_us; /* monotonic; 0: never */
    uint64_t untold;
};

/* What HTTP/2 connections may do; as in net/http2_conf.h. */
struct lt_front_h2_options {
    bool alpn, cleartext;
    unsigned streams;
    uint32_t window, connection_window, header_table;
    unsigned max_resets, max_control, max_empty, max_continuations;
};

/* Limits and time-outs of one listener that fronts obey. */
struct lt_front_options {
    size_t head_max;         /* bytes */
    unsigned headers_max;    /* fields */
    size_t target_max;       /* bytes */
    uint64_t tls_ms;         /* whole TLS handshake */
    uint64_t head_ms;        /* whole request head, from its first byte (or the connection) */
    uint64_t body_ms;        /* between two pieces of a request body */
    uint64_t write_ms;       /* without progress while bytes wait for the client */
    uint64_t keepalive_ms;   /* idle between requests */
    uint64_t age_ms;         /* of a connection; 0: any */
    uint64_t body_rate;      /* bytes per second of a request body; 0: any */
    uint64_t body_grace_ms;  /* at first */
    unsigned requests_max;   /* per connection; 0: any number */
    uint64_t half_closed_ms; /* until a client that sends no more is gone */
    bool tls;
    unsigned port; /* for X-Forwarded-Port */
    struct lt_front_h2_options h2;
};

struct lt_log_options {
    bool access;      /* write access lines */
    uint64_t slow_ms; /* exchanges that took longer are marked; 0 = never */
};

/* One worker's part of one snapshot. Pinned by a plain counter; when it is no longer the current
 * one and the last pin goes, `on_unpinned` is called on this worker. */
struct lt_view {
    struct lt_snapshot *snapshot;
    const struct lt_router *router;
    const struct lt_front_options *listeners; /* by listener number */
    unsigned n_listeners;
    struct lt_upstream *upstreams;
    unsigned n_upstreams;
    const struct lt_cidr *trust;
    size_t n_trust;
    struct lt_log_options log;
    /* What each site asks of connections, by its number; NULL: it says nothing. No array: none says
     * anything. */
    const struct lt_tls_policy *const *policies;
    const struct lt_tls_policy *policy; /* the only one, if it asks nobody for a certificate */
    struct lt_filters *filters;         /* NULL: the snapshot has no filters */
    size_t response_ahead;              /* bytes of a response that may wait for one client */
    size_t request_ahead;         /* bytes of a streamed request body that may wait for a server */
    struct lt_spool_limits spool; /* of request bodies that are collected */
    bool shows_errors;            /* of filters, to peers whom that may be shown (--dev) */
    bool challenges;              /* there is a folder of ACME challenges */
    uint64_t drain_ms;            /* how long tunnels of a route that is gone may go on */
    size_t encoders_max;          /* bytes of memory for compressing responses */
    unsigned pins;
    bool retired;
    void (*on_unpinned)(struct lt_view *view);
    void *owner; /* the worker */
};

struct lt_exchange_env {
    struct lt_loop *loop;
    struct lt_view *view;          /* the current one */
    struct lt_slab exchanges_slab; /* struct lt_exchange */
    struct lt_list exchanges;      /* all that live, for drain and status */
    struct lt_spool_env spools;
    struct lt_arena_total heads; /* arenas of exchanges, and what fronts keep of heads */
    unsigned live;               /* how many */
    unsigned streams_max;        /* of HTTP/2 at once, this worker's part */
    const struct lt_hooks *hooks;
    struct lt_pools *pools;
    struct lt_encoders encoders;
    struct lt_metrics_worker *metrics; /* this worker's counters */
    struct lt_handshake_log handshakes[LT_REFUSAL_COUNT];
    bool draining; /* responses close their connections */
    /* Has c filled in elsewhere; lt_challenge_answer follows on this worker. */
    void (*challenge_ask)(struct lt_challenge *c);
    unsigned challenges; /* asked and not answered */
    /* Writes the access line; called in the done step. NULL: none. */
    void (*access_log)(struct lt_exchange *x);
    /* Makes what of the access line needs x->view, which is about to go. False without memory.
     * NULL: there is nothing. */
    bool (*access_keep)(struct lt_exchange *x);
};

/* How much may be read at once where it isn't known yet whose it is; less while memory is short,
 * never 0. (exchange/room.c) */
size_t lt_exchange_env_room(const struct lt_exchange_env *env);

static inline struct lt_view *lt_view_pin(struct lt_view *view)
{
    view->pins++;
    return view;
}

static inline void lt_view_unpin(struct lt_view *view)
{
    if (--view->pins == 0 && view->retired) {
        view->on_unpinned(view);
    }
}

#endif
