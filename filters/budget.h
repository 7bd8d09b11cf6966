/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of filter calls. A call that is in its budget pays two stores and nothing else:
 * the watchdog thread looks at each worker every few milliseconds, and when one call has used more
 * of its thread's time than it may, it signals that thread. The signal's action arms a hook on the
 * running Lua state, and the hook stops the filter (vm.h says how).
 *
 *   worker                watchdog                     signal on the worker
 *   running = 2n+1  --->  sees 2n+1, notes its time
 *   Lua runs ...          time is up: asked = 2n+1 --> asked == running: arm the hook
 *   running = 2n+2
 *
 * When no filter has run for some looks the watchdog rests, and the next call wakes it: a flag that
 * each call reads, and one system call after a pause.
 *
 * Where there is no watchdog (loading, `lintel test`, ThreadSanitizer, which delivers no signal to
 * a busy loop) a hook that stays armed reads the clock instead. */
#ifndef LT_FILTERS_BUDGET_H
#define LT_FILTERS_BUDGET_H

#include "base/defs.h"
#include "base/list.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

struct lua_State;
struct lt_budget_watch; /* what the watchdog thread looks at */

/* One thread that runs filters. */
struct lt_budget {
    uint32_t magic;
    /* Odd while a filter runs; every call has a number of its own. Released by the worker after
     * cpu_ns, acquired by the watchdog. */
    _Atomic(uint32_t) running;
    _Atomic(uint32_t) asked;       /* call that the watchdog wants stopped */
    _Atomic(uint64_t) cpu_ns;      /* limit of the running call */
    struct lua_State *volatile L;  /* runs now; read by the signal's action on the same thread */
    volatile sig_atomic_t expired; /* the running call is over its limit */
    uint64_t deadline_ns;          /* of the thread's clock; used without a watchdog */
    uint64_t used_ns;              /* by all calls so far; counted without a watchdog */
    struct lt_budget_watch *watch; /* NULL: the hook reads the clock */
    struct lt_list link;           /* in the watch; its lock */
    pthread_t thread;
    clockid_t clock;     /* of the thread's processor time */
    uint32_t seen;       /* the watchdog's: call it saw last, 0 = none */
    uint64_t seen_at_ns; /* the watchdog's: time that the thread had used then */
};

/* Installs the action of the signal that stops filters. Once per process, before threads start. */
bool lt_budget_signal_setup(void) LT_MUST_CHECK;

/* Returns owned; NULL without memory. */
struct lt_budget_watch *lt_budget_watch_new(void) LT_MUST_CHECK;
/* Every budget must have been detached. */
void lt_budget_watch_free(struct lt_budget_watch *watch);

/* lt_budget_watch_tick: nothing to look at until a call wakes the watchdog. */
#define LT_BUDGET_REST UINT32_MAX

/* Looks at all threads; called by the watchdog. Gives the milliseconds after which it wants to be
 * called again, or LT_BUDGET_REST. */
unsigned lt_budget_watch_tick(struct lt_budget_watch *watch);
/* Waits for that long, or until it is woken; the watchdog. */
void lt_budget_watch_wait(struct lt_budget_watch *watch, unsigned ms);
/* Ends the wait, or the next one. Any thread; never waits. */
void lt_budget_watch_wake(struct lt_budget_watch *watch);

/* A budget without a watchdog. */
void lt_budget_init(struct lt_budget *budget);

/* Puts the calling thread under the watchdog; only this thread uses budget from now on. Does
 * nothing in builds with ThreadSanitizer. False when the thread has no clock. */
bool lt_budget_attach(struct lt_budget *budget, struct lt_budget_watch *watch) LT_MUST_CHECK;
/* On the same thread, before it ends. */
void lt_budget_detach(struct lt_budget *budget);

/* Around each run of Lua code; L is the state that is resumed. */
void lt_budget_begin(struct lt_budget *budget, struct lua_State *L, uint64_t cpu_ns);
void lt_budget_end(struct lt_budget *budget);

/* Whether the running call is over its limit. Without a watchdog this reads the clock. */
bool lt_budget_expired(struct lt_budget *budget);

#endif
