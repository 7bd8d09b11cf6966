/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about a server beyond the life of a snapshot, shared by all workers: in-flight
 * count and when it last failed. Keyed by "upstream\0address". The registry lives in the gateway;
 * the in-flight words live in the shared memory, so that they survive a crash.
 *
 * An in-flight word has one 16-bit lane per gateway generation (generation modulo 4): the bound is
 * kept over all lanes by one compare-and-swap, and the supervisor zeroes the lane of a dead
 * generation. */
#ifndef LT_SHARED_SERVER_STATE_H
#define LT_SHARED_SERVER_STATE_H

#include "base/err.h"
#include "base/str.h"
#include "shared/waiting.h"

#include <stdatomic.h>

/* What the operator wants of a server. */
enum lt_server_admin {
    LT_SERVER_READY,
    LT_SERVER_DRAIN,      /* no new requests */
    LT_SERVER_MAINTENANCE /* neither requests nor checks of its health */
};

struct lt_server_state {
    /* Word in the shared memory; NULL: the server has no max. Changes only when a configuration
     * gives a max to a server that had none. */
    _Atomic(uint64_t) *_Atomic inflight;
    unsigned lane; /* of this gateway's generation */
    uint32_t id;   /* small number, its own as long as the state lives; index for pools */
    _Atomic(uint64_t) down_until_us; /* monotonic; connects failed: try others first until then */
    _Atomic(uint32_t) failures;      /* connects failed in a row */
    _Atomic(uint32_t) users;         /* sets, tunnels and others that hold it */
    /* Of upstream/connections.c: */
    _Atomic(uint32_t) connections;                 /* rights that are taken, all workers */
    _Atomic(uint64_t) asking[LT_WORKERS_MAX / 64]; /* workers that wait for one, a bit each */
    _Atomic(uint32_t) asked_last;                  /* the worker that got one so last */
    /* Of server/server_sets.c: */
    _Atomic(int) admin_state; /* enum lt_server_admin; main writes it */
    _Atomic(bool) kept;       /* a worker has connections to it, though nobody uses it */

    /* Health: upstream/health.h. Each word is valid alone, nothing is published by one: relaxed. */
    _Atomic(uint32_t) checked;     /* enum lt_checked: what the checks say */
    _Atomic(uint64_t) up_since_us; /* when it came or came back, or will by the clock; 0: never */
    _Atomic(uint64_t) ejected_until_us; /* 0: never was */
    _Atomic(uint32_t) ejected_for;      /* enum lt_eject_why, of the last time */
    _Atomic(uint32_t) ejections;        /* in a row: the next one's time */
    _Atomic(uint32_t) ejections_total;
    _Atomic(uint32_t) errors;               /* of requests in a row */
    _Atomic(uint32_t) last_cause;           /* enum lt_cause of the last request that failed */
    _Atomic(uint64_t) tries, bad, first_us; /* requests, errors, sum of times to the first byte */

    /* How long the server keeps idle connections (upstream/idle.c); 0: nothing known. */
    _Atomic(uint64_t) idle_seen;   /* age of one that it closed last in ms << 32 | when, ms */
    _Atomic(uint64_t) idle_learnt; /* the age at which it does in ms << 32 | until when, s */

    /* The queue's (upstream/queue.h): whether it restarts. Monotonic; 0: it doesn't refuse. */
    _Atomic(uint64_t) refused_since_us; /* it refuses connections, or has no socket */
    _Atomic(uint64_t) refused_last_us;
};

/* Any thread. */
static inline enum lt_server_admin lt_server_admin(const struct lt_server_state *state)
{
    /* Relaxed: publishes nothing; workers that must have seen it get a message. */
    return (enum lt_server_admin)atomic_load_explicit(&state->admin_state, memory_order_relaxed);
}

/* As files and the control API write it. find: false when text is none of them. */
const char *lt_server_admin_name(enum lt_server_admin admin);
bool lt_server_admin_find(struct lt_str text, enum lt_server_admin *admin);

struct lt_shm;
struct lt_server_registry;

/* generation: of this gateway. Borrows shm. Returns owned. */
struct lt_server_registry *lt_server_registry_new(struct lt_shm *shm,
                                                  uint32_t generation) LT_MUST_CHECK;
void lt_server_registry_free(struct lt_server_registry *reg);

/* The state for upstream and address, made if there was none; one more user. Thread-safe (builder
 * threads only, never on the request path). needs_slot: the server has a max. LT_ERR_LIMIT when the
 * shared memory has no slot left. */
enum lt_err lt_server_registry_get(struct lt_server_registry *reg, struct lt_str upstream,
                                   struct lt_str address, bool needs_slot,
                                   struct lt_server_state **out) LT_MUST_CHECK;
void lt_server_registry_put(struct lt_server_registry *reg, struct lt_server_state *state);

/* Gives back states that nobody uses any more, in three moves. Mark: those without users now. Then
 * each worker drops what it has of them, or keeps one by lt_server_state_keep. Reclaim, when all
 * workers have: frees those marked that still have no user and that nobody keeps; gives how many
 * were freed. A state that is asked for in between is no longer marked. */
void lt_server_registry_mark(struct lt_server_registry *reg);
void lt_server_state_keep(struct lt_server_state *state);
unsigned lt_server_registry_reclaim(struct lt_server_registry *reg);
/* All ids are below this. */
uint32_t lt_server_registry_ids(struct lt_server_registry *reg);

/* One more user, and one less, for what outlives the snapshot that holds state now. Any thread. */
void lt_server_state_hold(struct lt_server_state *state);
void lt_server_state_drop(struct lt_server_state *state);

/* Takes one in-flight slot if fewer than max are taken by all workers and generations. */
bool lt_server_acquire(struct lt_server_state *state, uint32_t max);
void lt_server_drop(struct lt_server_state *state);

/* Exchanges in flight at the server, all workers. */
uint32_t lt_server_inflight(const struct lt_server_state *state);

#endif
