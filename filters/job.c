/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs (job.h), and the clean-ups that ctx:defer leaves. A worker's thread. */
#include "filters/job.h"

#include <stdio.h>

#include "base/obj.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/report.h"

#define MAGIC 0x0b5e55edu
#define STACK 16
#define DEFERRED_MAX 8u
/* Processor time of one clean-up. */
#define DEFERRED_CPU_MS 5u

struct making {
    struct lt_filter_unit *unit;
    struct lt_job *job;
};

static int make(lua_State *L)
{
    struct making *m = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    struct lt_job *job = lua_newuserdatauv(L, sizeof(*job), 0);
    memset(job, 0, sizeof(*job));
    if (!lua_checkstack(co, STACK)) {
        return luaL_error(L, "not enough memory");
    }
    lua_xmove(L, co, 1);
    job->task.co = co;
    job->task.co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    LT_OBJ_INIT(job, MAGIC);
    m->job = job;
    return 0;
}

struct lt_job *lt_job_get(struct lt_filter_unit *unit)
{
    struct lt_vm *vm = unit->fvm->vm;
    struct lt_job *job = unit->free_jobs;
    if (job != NULL) {
        unit->free_jobs = job->next;
    } else {
        struct making m = {.unit = unit};
        if (unit->jobs >= LT_JOBS_MAX) {
            snprintf(vm->error, sizeof(vm->error), "too many tasks at the same time");
            return NULL;
        }
        if (!lt_vm_setup(vm, make, &m)) {
            return NULL;
        }
        unit->jobs++;
        job = m.job;
    }
    job->task = (struct lt_task){
        .unit = unit, .co = job->task.co, .co_ref = job->task.co_ref, .wall_us = UINT64_MAX};
    job->next = NULL;
    return job;
}

void lt_job_put(struct lt_job *job)
{
    LT_OBJ_CHECK(job, MAGIC);
    struct lt_filter_unit *unit = job->task.unit;
    lua_settop(job->task.co, LT_JOB_BASE);
    job->owner = NULL;
    job->next = unit->free_jobs;
    unit->free_jobs = job;
}

void lt_job_drop(struct lt_job *job)
{
    LT_OBJ_CHECK(job, MAGIC);
    job->task.unit->jobs--;
    lt_task_drop(&job->task);
}

/* ---- clean-ups ---- */

/* ctx:defer(fn): fn() runs when this call of the hook is over, whatever ends it. All that it needs
 * is got now. */
int lt_ctx_defer(lua_State *L)
{
    struct lt_runner *runner = lt_runner_check(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (lt_filter_vm_of(L)->task == NULL) {
        return luaL_error(L, "ctx:defer: a clean-up can't leave another one");
    }
    if (runner->n_deferred == DEFERRED_MAX) {
        return luaL_error(L, "ctx:defer: at most %d clean-ups in one call", (int)DEFERRED_MAX);
    }
    struct lt_job *job = lt_job_get(runner->task.unit);
    if (job == NULL) {
        return luaL_error(L, "ctx:defer: %s", runner->task.unit->fvm->vm->error);
    }
    lua_pushvalue(L, 2); /* there is room: no C function has less than 20 */
    lua_xmove(L, job->task.co, 1);
    job->task.runner = runner;
    job->next = runner->deferred;
    runner->deferred = job;
    runner->n_deferred++;
    return 0;
}

void lt_deferred_run(struct lt_runner *runner)
{
    struct lt_filter_unit *unit = runner->task.unit;
    while (LT_UNLIKELY(runner->deferred != NULL)) {
        struct lt_job *job = runner->deferred;
        runner->deferred = job->next;
        enum lt_vm_end end =
            lt_task_call(&job->task, 0, lt_min(unit->instance->cpu_ms, DEFERRED_CPU_MS));
        if (end == LT_VM_DONE) {
            lt_job_put(job);
        } else {
            lt_filter_failed(unit, "defer", runner->x->ids.request_id, lt_filter_cause(end),
                             unit->fvm->vm->error);
            lt_job_drop(job);
        }
    }
    runner->n_deferred = 0;
}
