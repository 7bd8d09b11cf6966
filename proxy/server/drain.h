/* SPDX-License-Identifier: Apache-2.0 */
/* The way out: readiness fails at once, drain.delay passes in service, then workers accept what
 * waits and no more, exchanges get drain.timeout to finish, the rest is cut. Main thread. */
#ifndef LT_SERVER_DRAIN_H
#define LT_SERVER_DRAIN_H

#include "net/loop.h"

struct lt_gateway;

enum lt_drain_state {
    LT_DRAIN_NONE,
    LT_DRAIN_DELAY,  /* not ready, still accepting */
    LT_DRAIN_FINISH, /* not accepting, exchanges finish */
    LT_DRAIN_CUT,    /* what is left was closed */
    LT_DRAIN_OVER
};

struct lt_drain {
    enum lt_drain_state state;
    struct lt_timer timer; /* end of the state */
    unsigned accepting;    /* workers that have not stopped yet */
    unsigned busy;         /* workers with connections or exchanges */
};

/* Starts, once; why is for the log. */
void lt_drain_start(struct lt_gateway *g, const char *why);

/* Ends at once: what is in progress is cut off, in order. Starts a drain if none runs. */
void lt_drain_hurry(struct lt_gateway *g);

/* A worker accepts no more; a worker has nothing left. */
void lt_drain_on_stopped(struct lt_gateway *g);
void lt_drain_on_idle(struct lt_gateway *g);

/* The longest that a drain may take by the current configuration, in milliseconds. */
uint64_t lt_drain_limit_ms(const struct lt_gateway *g);

#endif
