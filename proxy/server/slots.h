/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of listeners. A connection remembers the number of the listener that it came in on,
 * over reloads, so an address keeps its number as long as somebody is connected through it. Main
 * thread; the loader while it builds. */
#ifndef LT_SERVER_SLOTS_H
#define LT_SERVER_SLOTS_H

#include "exchange/env.h"
#include "route/router.h"
#include "server/control.h"

#include <stdatomic.h>

/* As many as a router can tell apart. */
#define LT_SLOTS_MAX 64u

struct lt_slot {
    char key[LT_CONTROL_KEY_MAX]; /* the address, which names the sockets; empty: free */
    bool active;                  /* some worker accepts here */
    unsigned wanted;              /* by the configuration of this number; 0: by none */
    /* Of the snapshot that had it last: */
    struct lt_front_options options;
    struct lt_route_options route;
    bool redirect_https;
    char name[LT_CONTROL_KEY_MAX]; /* of the listener */
    struct lt_addr bound;          /* with the port that the kernel chose */
    unsigned n_fds;                /* 0: no sockets yet */
    int *fds;                      /* owned; one per worker, or a single shared one */
    /* Connections that came in here and are open, all workers; relaxed: a count on its own. */
    _Atomic(uint32_t) open;
};

struct lt_slots {
    struct lt_slot v[LT_SLOTS_MAX];
    unsigned n; /* how many were ever used: numbers are below this */
};

/* The number for an address in configuration number `config`; name tells listeners apart whose port
 * the kernel chooses. -1: all numbers are taken. */
int lt_slots_assign(struct lt_slots *slots, const struct lt_addr *addr, struct lt_str name,
                    unsigned config);

/* The descriptor that a worker accepts on. */
int lt_slot_fd(const struct lt_slot *slot, unsigned worker);

/* Closes our copies of the sockets. */
void lt_slot_close(struct lt_slot *slot);

#endif
