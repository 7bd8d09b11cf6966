/* SPDX-License-Identifier: Apache-2.0 */
/* `every`: functions of a filter that are called again and again, for each instance, on one worker.
 * A worker's thread. Private to filters/. */
#ifndef LT_FILTERS_EVERY_H
#define LT_FILTERS_EVERY_H

#include "filters/host.h"
#include "filters/job.h"

/* One function of one instance. */
struct lt_every {
    struct lt_filter_unit *unit;
    const struct lt_filter_period *period;
    struct lt_timer timer; /* set: until the next run */
    struct lt_job *job;    /* the run that is on, or NULL */
    uint64_t began_us;     /* when the last one began */
    enum lt_cause last;    /* how it ended; NONE: it returned */
    bool on;               /* started and not stopped */
};

/* Makes fvm->every, at rest. False without memory. */
bool lt_every_init(struct lt_filter_vm *fvm) LT_MUST_CHECK;
/* Gives up what runs. Also for one that was never initialised. */
void lt_every_fini(struct lt_filter_vm *fvm);

/* The first runs begin at once. */
void lt_every_start(struct lt_filter_vm *fvm);
/* Gives up what runs; nothing begins any more. */
void lt_every_stop(struct lt_filter_vm *fvm);

/* A run begins now; e->job is NULL when it is over. Its failures are logged. */
void lt_every_run(struct lt_every *e);

#endif
