/* SPDX-License-Identifier: Apache-2.0 */
/* A task: a coroutine that may wait, and what it waits for. Hooks are tasks (ctx.h), and so is
 * everything else that runs code of a filter at its own pace. One who runs a task is its owner.
 *
 * A function of the API that waits:
 *
 *     struct lt_task *task = lt_task_check(L);         raises where nothing may wait
 *     struct op *op = start(...);                      op embeds a struct lt_async
 *     return lt_task_wait(L, &op->wait, finished);     yields; the owner hears of it
 *
 * Later, from an event, op notes its result and calls lt_async_done. At the end of that turn the
 * owner's go_on is called, it resumes the task, `finished` runs with the op as its context and
 * pushes the result. Then, or when the task is given up before, wait->end gives back all that op
 * holds: it is called once, whatever happens. A worker's thread. Private to filters/. */
#ifndef LT_FILTERS_TASK_H
#define LT_FILTERS_TASK_H

#include "filters/unit.h"
#include "net/loop.h"

struct lt_task;

/* Embedded in an operation. */
struct lt_async {
    struct lt_task *task; /* NULL: done */
    /* Frees the operation; one that isn't done is stopped first. Runs no Lua. */
    void (*end)(struct lt_async *wait);
    /* CPU or MEMORY: what the task waited for was stopped over that budget, and so is the task; why
     * says where. DONE (0) otherwise. */
    enum lt_vm_end stop;
    const char *why;
};

/* What a task holds while it waits; the host keeps them to be used again. */
struct lt_parked {
    struct lt_list link; /* in host->parked */
    struct lt_task *task;
    struct lt_timer timer; /* the earlier of its wake-up and its end */
    struct lt_deferred deferred;
};

struct lt_task {
    struct lt_filter_unit *unit; /* whose code it is; NULL: dropped */
    struct lt_runner *runner;    /* the call that it is a part of, whose ctx it may use; or NULL */
    unsigned depth;              /* of lintel.parallel; 0: begun by an event */
    lua_State *co;
    int co_ref;                          /* keeps co alive, in the registry */
    void (*go_on)(struct lt_task *task); /* the owner's: it may be resumed, or is late */
    struct lt_async *wait;               /* the operation, also when it is done; or NULL */
    struct lt_parked *parked;            /* not NULL: it waits */
    uint64_t wake_us;                    /* monotonic: it sleeps until then; 0: it does not */
    uint64_t wall_us;                    /* monotonic: its time is up; UINT64_MAX: never */
    bool late;                           /* it is up: the owner gives the task up */
};

/* The task that runs on L; raises when there is none or when Lua can't yield here, which is to be
 * asked before an operation is begun. */
struct lt_task *lt_task_check(lua_State *L);

/* Yields until lt_async_done(wait), then calls k with wait as its context. wait->end is set. What a
 * C function returns. */
int lt_task_wait(lua_State *L, struct lt_async *wait, lua_KFunction k);

/* The operation is over. From an event, never while the task runs. */
void lt_async_done(struct lt_async *wait);

/* Yields for so long. What a C function returns; no results. */
int lt_task_sleep(lua_State *L, uint64_t us);

/* The clock of its wall budget stands still while it waits for a client or a server, whose pace is
 * not the filter's: stop gives what is left (to be called before lt_task_wait), start goes on with
 * that (first thing in the continuation). */
uint64_t lt_task_stop_clock(struct lt_task *task);
void lt_task_start_clock(struct lt_task *task, uint64_t left_us);

/* ms, or less where the task's time is up before: a little before that, so that the filter hears of
 * the time-out and can act upon it. */
uint64_t lt_task_within(const struct lt_task *task, uint64_t ms);

/* The wait that begins next ends that little before the task's time is up, if it has an end, also
 * when nothing called lt_async_done; its continuation must be able to tell. Before lt_task_wait. */
void lt_task_wake_within(struct lt_task *task);

/* Resumes it with n arguments on its stack, or after a wait with none. WAITS: it waits again, go_on
 * will be called. After anything but DONE and WAITS it must be dropped. *n_results as by
 * lt_vm_resume. */
enum lt_vm_end lt_task_resume(struct lt_task *task, int n, int *n_results) LT_MUST_CHECK;

/* Runs it to its end at once with n arguments on its stack; nothing in it may wait. For clean-ups.
 */
enum lt_vm_end lt_task_call(struct lt_task *task, int n, uint64_t cpu_ms) LT_MUST_CHECK;

/* Gives it up, whatever it does: never resumed and never closed. */
void lt_task_drop(struct lt_task *task);

/* When host is freed: no task waits any more. */
void lt_task_parked_free(struct lt_filters *host);

#endif
