/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.parallel and ctx:parallel: functions that run as tasks beside each other while their
 * parent waits. A worker's thread.
 *
 *   parallel -> a job for each, the parent waits -> (end of the turn) all begin -> one ends: its
 *   result stays on its stack -> all ended: the parent goes on and takes the results
 *                             '-> one failed: the others are given up, the parent gets the error
 *
 * The end of the operation gives up what still runs, so that children never outlive their parent
 * and the parent's time is theirs. */
#include <stdio.h>

#include "base/mem.h"
#include "filters/host_impl.h"
#include "filters/job.h"
#include "filters/lib.h"

#define BRANCHES_MAX 16u
/* Of calls of parallel within each other. */
#define DEPTH_MAX 3u

struct parallel {
    struct lt_async wait; /* of the parent */
    struct lt_deferred begin;
    struct lt_job *jobs[BRANCHES_MAX]; /* NULL: given up, or one that failed */
    unsigned n, running;
    struct lt_job *failed; /* its error is on its stack; or NULL */
    char why[LT_VM_TRACE_MAX];
};

static void give_up_others(struct parallel *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->jobs[i] != NULL && p->jobs[i] != p->failed) {
            lt_job_drop(p->jobs[i]);
        }
        p->jobs[i] = NULL;
    }
}

static void on_end(struct lt_async *wait)
{
    struct parallel *p = lt_container_of(wait, struct parallel, wait);
    lt_loop_cancel(&p->begin);
    if (p->failed == NULL && p->running == 0) {
        for (unsigned i = 0; i < p->n; i++) {
            lt_job_put(p->jobs[i]);
        }
    } else {
        give_up_others(p);
        if (p->failed != NULL) {
            lt_job_drop(p->failed);
        }
    }
    lt_free(p);
}

/* One branch came to an end. */
static void ended(struct parallel *p, struct lt_job *job, enum lt_vm_end end)
{
    if (end == LT_VM_DONE) {
        p->running--;
    } else {
        p->failed = job;
        if (end != LT_VM_RAISED) { /* over a budget: nothing is to catch that */
            p->wait.stop = end;
            p->wait.why = p->why;
        }
        snprintf(p->why, sizeof(p->why), "%s", job->task.unit->fvm->vm->error);
        give_up_others(p);
    }
    if (p->failed != NULL || p->running == 0) {
        lt_async_done(&p->wait);
    }
}

static void resume(struct parallel *p, struct lt_job *job)
{
    int n;
    enum lt_vm_end end = lt_task_resume(&job->task, 0, &n);
    if (end != LT_VM_WAITS) {
        ended(p, job, end);
    }
}

static void go_on(struct lt_task *task)
{
    struct lt_job *job = lt_container_of(task, struct lt_job, task);
    if (!task->late) { /* else so is the parent, whose owner gives all up */
        resume(job->owner, job);
    }
}

static void begin(void *arg)
{
    struct parallel *p = arg;
    for (unsigned i = 0; i < p->n && p->failed == NULL; i++) {
        resume(p, p->jobs[i]);
    }
}

/* The parent goes on: the first result of each, in their order. */
static int finished(lua_State *L, int status, lua_KContext k)
{
    struct parallel *p = (struct parallel *)k;
    (void)status;
    luaL_checkstack(L, (int)p->n + 1, NULL);
    if (p->failed != NULL) {
        lua_xmove(p->failed->task.co, L, 1);
        return lua_error(L);
    }
    for (unsigned i = 0; i < p->n; i++) {
        lua_State *co = p->jobs[i]->task.co;
        if (lua_gettop(co) > LT_JOB_BASE) {
            lua_pushvalue(co, LT_JOB_BASE + 1);
            lua_xmove(co, L, 1);
        } else {
            lua_pushnil(L);
        }
    }
    return (int)p->n;
}

/* How many functions the list at arg holds; raises when it holds anything else. */
static unsigned check_branches(lua_State *L, int arg)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, arg);
    if (n > BRANCHES_MAX) {
        luaL_error(L, "parallel: at most %d functions", (int)BRANCHES_MAX);
    }
    for (lua_Integer i = 1; i <= (lua_Integer)n; i++) {
        if (lua_rawgeti(L, arg, i) != LUA_TFUNCTION) {
            luaL_error(L, "parallel: element %d is a %s: write parallel{function() ... end, ...}",
                       (int)i, luaL_typename(L, -1));
        }
        lua_pop(L, 1);
    }
    return (unsigned)n;
}

static struct parallel *prepare(struct lt_task *parent, unsigned n)
{
    struct parallel *p = lt_calloc(1, sizeof(*p));
    if (p == NULL) {
        snprintf(parent->unit->fvm->vm->error, LT_VM_TRACE_MAX, "not enough memory");
        return NULL;
    }
    p->wait.end = on_end;
    for (; p->n < n; p->n++) {
        struct lt_job *job = lt_job_get(parent->unit);
        if (job == NULL) {
            on_end(&p->wait); /* none runs: they go back */
            return NULL;
        }
        job->owner = p;
        job->task.go_on = go_on;
        job->task.runner = parent->runner;
        job->task.depth = parent->depth + 1;
        job->task.wall_us = parent->wall_us;
        p->jobs[p->n] = job;
    }
    p->running = n;
    return p;
}

int lt_lua_parallel(lua_State *L)
{
    int arg = lt_lua_skip_ctx(L);
    struct lt_task *task = lt_task_check(L);
    unsigned n = check_branches(L, arg);
    if (n == 0) {
        return 0;
    }
    if (task->depth >= DEPTH_MAX) {
        return luaL_error(L, "parallel: at most %d within each other", (int)DEPTH_MAX);
    }
    struct parallel *p = prepare(task, n);
    if (p == NULL) {
        return luaL_error(L, "parallel: %s", task->unit->fvm->vm->error);
    }
    for (unsigned i = 0; i < n; i++) {
        lua_rawgeti(L, arg, (lua_Integer)i + 1);
        lua_xmove(L, p->jobs[i]->task.co, 1);
    }
    lt_loop_defer(task->unit->fvm->host->spec.loop, &p->begin, begin, p);
    return lt_task_wait(L, &p->wait, finished);
}
