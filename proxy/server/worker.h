/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread with its loop, its view of the snapshot, its connections. It shares nothing
 * on the request path but the snapshot and counters. Main tells it what to do by messages. */
#ifndef LT_SERVER_WORKER_H
#define LT_SERVER_WORKER_H

#include "exchange/env.h"
#include "filters/budget.h"
#include "front/front_h1.h"
#include "net/listener.h"
#include "net/addresses.h"
#include "net/mailbox.h"
#include "net/proxy_reader.h"
#include "net/work_pool.h"
#include "server/snapshot.h"
#include "shared/addr_table.h"
#include "shared/limits.h"
#include "upstream/fetch.h"
#include "upstream/redis.h"
#include "shared/value_table.h"
#include "upstream/peers.h"

#include <pthread.h>

struct lt_log_writer;
struct lt_lookups;

/* As a message's function; owner is main's. */
typedef void (*lt_worker_done_fn)(struct lt_message *message, void *owner);

/* What workers share; set before they start. */
struct lt_workers_shared {
    struct lt_shm *shm;
    struct lt_metrics *metrics;
    struct lt_log_writer *log;
    struct lt_budget_watch *watch;
    struct lt_slots *slots;
    struct lt_rate_table rate;    /* in the shared memory */
    struct lt_limits *limits;     /* what the operator sees of them */
    struct lt_value_table values; /* of lintel.shared */
    struct lt_addr_table clients; /* connections by address */
    struct lt_mailbox *main;      /* where answers go */
    struct lt_work_pool *pool;    /* threads for slow hashes */
    const struct lt_hooks *hooks;
    bool shows_errors; /* of filters (--dev) */
    unsigned n_workers;
    struct lt_peers peers;         /* filled as they start */
    struct lt_lookups *lookups;    /* main's: answers workers' questions about names */
    struct lt_quota body_disk;     /* bytes in temporary files of bodies */
    _Atomic(uint32_t) connections; /* open now, all workers; relaxed */
    _Atomic(uint32_t) connections_max;
    lt_worker_done_fn on_released; /* main: gets a view that its worker let go of */
    lt_worker_done_fn on_stopped;  /* main: a draining worker accepts no more */
    lt_worker_done_fn on_wanted;   /* main: a worker wants an idle connection of others closed */
    lt_worker_done_fn on_idle;     /* main: a draining worker has nothing left to do */
};

/* One listener of one worker. */
struct lt_worker_listener {
    struct lt_worker *worker;
    unsigned slot;
    bool on;
    struct lt_listener listener;
};

struct lt_worker {
    uint32_t magic;
    unsigned number;
    struct lt_workers_shared *shared;
    pthread_t thread;
    struct lt_loop *loop;
    struct lt_mailbox *box;
    struct lt_exchange_env env;
    struct lt_fronts *fronts;
    struct lt_proxy_readers proxied; /* connections whose PROXY header is awaited */
    struct lt_pools *pools;
    struct lt_addresses *addresses; /* of names that filters ask */
    struct lt_origins *origins;     /* where filters' requests go */
    struct lt_redis *redis;         /* ... and their calls of Redis */
    struct lt_worker_listener listeners[LT_SLOTS_MAX];
    uint64_t refused_logged_us[2]; /* when a refusal was logged last: at any cap, of a client */
    uint64_t proxied_logged_us;    /* ... one for its PROXY header */
    struct lt_timer idle_check;    /* while draining: whether all is done */
    struct lt_timer trim;          /* when to look for memory to give back */
    /* For the watchdog: when the current turn of the loop began; 0: it waits for events. */
    _Atomic(uint64_t) busy_since_us;
    ev_check turn_begins;
    ev_prepare turn_ends;
    struct lt_budget budget; /* of the filters that run here */
    _Atomic(bool) wanting;   /* the wanted message is on its way */
    bool in_use;             /* at the end: connections or exchanges were left */
    /* One of each kind is on its way at most. */
    struct lt_message drain, cut, quit; /* main's orders */
    struct lt_message wanted;           /* what we ask of main */
    struct lt_message stopped, idle;    /* our answers to drain */
};

/* Makes a worker and starts its thread. Returns owned, NULL without memory or thread. Main, as all
 * below. */
struct lt_worker *lt_worker_start(struct lt_workers_shared *shared, unsigned number) LT_MUST_CHECK;

/* Post view to its worker; `done` gets it back on main, view->failed says whether prepare worked.
 */
void lt_worker_prepare(struct lt_worker_view *view, lt_worker_done_fn done);
/* From now on new requests take this view; listeners are started and stopped as it says. The old
 * view comes to shared->on_released when its last exchange is over. */
void lt_worker_commit(struct lt_worker_view *view, lt_worker_done_fn done);
/* The view isn't wanted: comes to shared->on_released. */
void lt_worker_discard(struct lt_worker_view *view);

/* Newer certificates and policies for one worker. Travels as its own message. */
struct lt_worker_renewal {
    struct lt_message message;
    struct lt_worker *worker;
    struct lt_tls_set *set;             /* a reference */
    const struct lt_snapshot *snapshot; /* the one it belongs to; only compared */
    bool policies;                      /* some policy is another one */
    lt_worker_done_fn done;
};

/* Has the worker's view take the renewal's set if it still is a view of its snapshot; `done` gets
 * it back on main. Connections whose policy has changed end after their exchanges. */
void lt_worker_renew(struct lt_worker *worker, struct lt_worker_renewal *renewal,
                     lt_worker_done_fn done);

/* Accepts what waits, then no more, and lets responses close their connections. shared->on_idle
 * comes when all are gone. */
void lt_worker_drain(struct lt_worker *worker);
/* After drain: closes what is still open. */
void lt_worker_cut(struct lt_worker *worker);

/* Ends the thread. False: something of it is still in use; then it can't be freed and the process
 * should end. */
bool lt_worker_stop(struct lt_worker *worker) LT_MUST_CHECK;
/* Frees a worker that was stopped, when all are: they send each other seats. NULL is fine. */
void lt_worker_free(struct lt_worker *worker);

#endif
