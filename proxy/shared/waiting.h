/* SPDX-License-Identifier: Apache-2.0 */
/* Which workers have exchanges that wait for a server of one upstream. Shared by the workers of a
 * gateway; each writes only what is its own, all read.
 *
 * The rule that no wake-up is lost by (docs/decisions/023-the-queue.md): who waits says so first
 * and looks for a free seat then; who frees a seat does so first and looks for waiters then. These
 * four accesses and those to the count of lt_server_acquire and lt_server_drop are sequentially
 * consistent, so that one of the two sees the other. */
#ifndef LT_SHARED_WAITING_H
#define LT_SHARED_WAITING_H

#include "base/defs.h"

#include <stdatomic.h>

#define LT_WORKERS_MAX 256u

struct lt_waiting {
    _Atomic(uint32_t) n; /* exchanges that wait now, all workers; relaxed: a count on its own */
    _Atomic(uint64_t) mask[LT_WORKERS_MAX / 64]; /* workers that wait, a bit each */
    _Atomic(uint64_t) urgency[LT_WORKERS_MAX]; /* of a worker whose bit is set; less comes first */
};

/* One more exchange waits, unless max do. */
bool lt_waiting_enter(struct lt_waiting *w, uint32_t max);
/* One more waits, whatever the bound: it was let in before. */
void lt_waiting_return(struct lt_waiting *w);
void lt_waiting_leave(struct lt_waiting *w);

/* The worker has waiters, the first of this urgency. On that worker's thread. */
void lt_waiting_tell(struct lt_waiting *w, unsigned worker, uint64_t urgency);
/* The worker has none any more. On that worker's thread. */
void lt_waiting_end(struct lt_waiting *w, unsigned worker);

/* The worker below n_workers whose waiter is the most urgent; -1: nobody waits. */
int lt_waiting_first(const struct lt_waiting *w, unsigned n_workers);

#endif
