/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about an upstream beyond the life of a snapshot, shared by all workers. Keyed by
 * its name; made once and kept as long as the gateway lives, since names of upstreams are few. */
#ifndef LT_SHARED_UPSTREAM_STATE_H
#define LT_SHARED_UPSTREAM_STATE_H

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "shared/waiting.h"

struct lt_upstream_state {
    uint32_t id; /* small number, stable for the life of the gateway */
    /* Of server/server_sets.c: */
    _Atomic(bool) paused; /* requests are held until it goes on; main writes it */
    /* Of server/dns_servers.c: */
    _Atomic(const char *) dns_why; /* static; why a name has no address; NULL: none has failed */

    _Atomic(uint64_t) dns_since_us; /* monotonic; since when a name is looked up of which nobody has
                                     * said yet what it has; 0: there is no such */

    /* Health. */
    _Atomic(bool) ejecting;           /* somebody counts and ejects: upstream/health.c */
    _Atomic(uint64_t) breaker;        /* its state: upstream/breaker.c */
    _Atomic(uint64_t) breaker_window; /* requests and errors of the current window: same place */
    _Atomic(uint32_t) breaker_opened; /* so often */

    /* The queue's (upstream/queue.h): */
    struct lt_waiting waiting;
};

/* Any thread. */
static inline bool lt_upstream_paused(const struct lt_upstream_state *state)
{
    /* Relaxed: publishes nothing; workers get a message after each change. */
    return atomic_load_explicit(&state->paused, memory_order_relaxed);
}

struct lt_upstream_registry;

/* seed: of the names' hash. Returns owned. */
struct lt_upstream_registry *lt_upstream_registry_new(struct lt_hash_seed seed) LT_MUST_CHECK;
void lt_upstream_registry_free(struct lt_upstream_registry *reg);

/* The state for name, made if there was none. Builder threads only, never on the request path.
 * LT_ERR_LIMIT, LT_ERR_NOMEM. */
enum lt_err lt_upstream_registry_get(struct lt_upstream_registry *reg, struct lt_str name,
                                     struct lt_upstream_state **out) LT_MUST_CHECK;

#endif
