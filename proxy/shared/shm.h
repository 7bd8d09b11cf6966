/* SPDX-License-Identifier: Apache-2.0 */
/* The shared memory: one memfd that the supervisor makes and every gateway generation maps. It
 * outlives a crash of the gateway, so no lock lives in it and every word is valid alone.
 *
 *   header | in-flight slots | in flight by key | rate table | ticket keys (a page of their own,
 * not in core dumps)
 */
#ifndef LT_SHARED_SHM_H
#define LT_SHARED_SHM_H

#include "base/err.h"
#include "base/hash.h"

#include <stdatomic.h>

#define LT_SHM_INFLIGHT_SLOTS 4096u
#define LT_SHM_HOLD_BYTES ((size_t)512 << 10) /* 65,536 keys (shared/hold_table.h) */
#define LT_SHM_RATE_BYTES ((size_t)8 << 20)
#define LT_SHM_TICKET_BYTES 4096u

struct lt_shm; /* one process' mapping */

/* One server's exchanges in flight: claimed by setting key, which never changes while it is not 0
 * and some generation lives that knows it. */
struct lt_shm_inflight {
    _Atomic(uint64_t) key;  /* keyed hash of the server's name; 0: free */
    _Atomic(uint64_t) word; /* a 16-bit lane per generation, see shared/server_state.h */
};

/* A new, zeroed area with a fresh hash seed; rate_bytes is rounded up to whole pages. NULL and
 * errno when the kernel refuses. Returns owned. Supervisor. */
struct lt_shm *lt_shm_create(size_t rate_bytes) LT_MUST_CHECK;

/* Maps the area behind fd (inherited; stays open and the caller's). *why (static) says what is
 * wrong with it: an area of another layout is refused. Returns owned. Gateway. */
struct lt_shm *lt_shm_attach(int fd, const char **why) LT_MUST_CHECK;

/* Unmaps; the supervisor's also closes the descriptor. NULL is fine. */
void lt_shm_close(struct lt_shm *shm);

/* The descriptor to hand on. */
int lt_shm_fd(const struct lt_shm *shm);

/* Of keys in the area, the same in every generation. */
const struct lt_hash_seed *lt_shm_seed(const struct lt_shm *shm);

/* The number of a gateway about to start, counted from 1. Supervisor. */
uint32_t lt_shm_next_generation(struct lt_shm *shm);

/* Gives back what a dead generation held in flight. Supervisor. */
void lt_shm_clear_generation(struct lt_shm *shm, uint32_t generation);

/* The areas; zeroed when the supervisor started. */
struct lt_shm_inflight *lt_shm_inflight(struct lt_shm *shm); /* LT_SHM_INFLIGHT_SLOTS of them */
void *lt_shm_hold_area(struct lt_shm *shm);                  /* LT_SHM_HOLD_BYTES, of a page */
void *lt_shm_rate_area(struct lt_shm *shm, size_t *bytes);   /* aligned to a page */
void *lt_shm_ticket_area(struct lt_shm *shm);                /* LT_SHM_TICKET_BYTES */

#endif
