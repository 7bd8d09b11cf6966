/* SPDX-License-Identifier: Apache-2.0 */
/* A job: a function of a filter that runs as a task of its own, without being a hook. Branches of
 * lintel.parallel, loaders of caches, periodic work and clean-ups are jobs; each has an owner that
 * looks after its end. Kept by their unit and used again, as runners are. Private to filters/. */
#ifndef LT_FILTERS_JOB_H
#define LT_FILTERS_JOB_H

#include "filters/ctx.h"

/* Jobs that exist at the same time, per instance and worker. */
#define LT_JOBS_MAX 10000u
/* Values on a job's stack below those of its owner. */
#define LT_JOB_BASE 1

/* Lives in a userdata at the bottom of its own coroutine. */
struct lt_job {
    uint32_t magic;
    struct lt_task task;
    struct lt_job *next; /* in unit->free_jobs, or the owner's */
    void *owner;
};

/* A job for unit with an empty stack above LT_JOB_BASE and room for 16 values; its task belongs to
 * no call and has no end. Also while code of the filter runs. NULL: unit->fvm->vm->error says why.
 */
struct lt_job *lt_job_get(struct lt_filter_unit *unit) LT_MUST_CHECK;
/* After its function returned, or before it was called. */
void lt_job_put(struct lt_job *job);
/* After any other end, or while it waits: never resumed and never closed. */
void lt_job_drop(struct lt_job *job);

/* The call is over, however it ended: runs what it deferred, last first. Not while Lua runs. */
void lt_deferred_run(struct lt_runner *runner);

#endif
