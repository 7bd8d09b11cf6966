/* SPDX-License-Identifier: Apache-2.0 */
/* Periodic work of filters (every.h).
 *
 *   start -> run -> (waits ...) -> over -> the timer: a period after the last run began, give or
 *            ^                              |          take a little, and never while it is on
 *            '------------------------------'
 */
#include "filters/every.h"

#include <stdio.h>

#include "base/mem.h"
#include "filters/host_impl.h"
#include "filters/report.h"

/* Time of one run, unless the instance's wall budget is longer: nobody waits for it. */
#define WALL_MS UINT64_C(30000)
/* The period is changed by up to so much each time, in parts of a thousand: or all instances would
 * ask the same service at the same moment. */
#define JITTER 50

static struct lt_filters *host_of(const struct lt_every *e)
{
    return e->unit->fvm->host;
}

/* Unless it was stopped. */
static void set_timer(struct lt_every *e)
{
    struct lt_loop *loop = host_of(e)->spec.loop;
    uint64_t ms = e->period->ms, range = 2 * ms * JITTER / 1000;
    ms = ms - range / 2 + lt_rand_below(&loop->rand, (uint32_t)range + 1);
    uint64_t gone = (loop->now_us - e->began_us) / 1000;
    if (e->on) {
        lt_timer_set(&e->timer, ms > gone ? ms - gone : 0);
    }
}

/* The run is over; end: NONE when it returned. */
static void over(struct lt_every *e, enum lt_cause cause)
{
    if (cause == LT_CAUSE_NONE) {
        lt_job_put(e->job);
    } else {
        char name[64];
        snprintf(name, sizeof(name), "every %.*s", LT_STR_ARG(e->period->text));
        lt_filter_failed(e->unit, name, LT_STR_NONE, cause, e->unit->fvm->vm->error);
        lt_job_drop(e->job);
    }
    e->job = NULL;
    e->last = cause;
    set_timer(e);
}

static void resume(struct lt_every *e, int n_args)
{
    int n;
    enum lt_vm_end end = lt_task_resume(&e->job->task, n_args, &n);
    if (end != LT_VM_WAITS) {
        over(e, end == LT_VM_DONE ? LT_CAUSE_NONE : lt_filter_cause(end));
    }
}

static void go_on(struct lt_task *task)
{
    struct lt_every *e = lt_container_of(task, struct lt_job, task)->owner;
    if (task->late) {
        struct lt_vm *vm = task->unit->fvm->vm;
        lt_vm_where(task->co, vm->error, sizeof(vm->error));
        over(e, LT_CAUSE_FILTER_WALL);
    } else {
        resume(e, 0);
    }
}

/* The function and the state. Raw access: no code of the filter may run here. */
static int push_call(lua_State *L)
{
    const struct lt_every *e = lua_touserdata(L, 1);
    lt_filter_vm_push_module(L);
    lua_pushliteral(L, "every");
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        return luaL_error(L, "`every` is gone");
    }
    lt_lua_push_str(L, e->period->text);
    if (lua_rawget(L, -2) != LUA_TFUNCTION) {
        return luaL_error(L, "`every` has no function for \"%s\" any more", e->period->text.p);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->unit->state_ref);
    lua_xmove(L, e->job->task.co, 2);
    return 0;
}

void lt_every_run(struct lt_every *e)
{
    const struct lt_filter_instance *instance = e->unit->instance;
    e->began_us = host_of(e)->spec.loop->now_us;
    if (lt_filter_is_quarantined(e->unit)) {
        set_timer(e);
        return;
    }
    e->job = lt_job_get(e->unit);
    if (e->job == NULL) {
        lt_filter_not_begun(e->unit, "every", LT_STR_NONE, LT_CAUSE_FILTER_MEMORY,
                            e->unit->fvm->vm->error);
        set_timer(e);
        return;
    }
    e->job->owner = e;
    e->job->task.go_on = go_on;
    e->job->task.wall_us = e->began_us + lt_max(instance->wall_ms, WALL_MS) * 1000;
    if (!lt_vm_setup(e->unit->fvm->vm, push_call, e)) {
        over(e, LT_CAUSE_FILTER_ERROR);
        return;
    }
    resume(e, 1);
}

static void on_timer(void *arg)
{
    lt_every_run(arg);
}

bool lt_every_init(struct lt_filter_vm *fvm)
{
    const struct lt_filter_file *file = fvm->file;
    unsigned n = fvm->n_units * file->n_every;
    if (n == 0) {
        return true;
    }
    fvm->every = lt_calloc(n, sizeof(*fvm->every));
    if (fvm->every == NULL) {
        return false;
    }
    for (; fvm->n_every < n; fvm->n_every++) {
        struct lt_every *e = &fvm->every[fvm->n_every];
        e->unit = &fvm->units[fvm->n_every / file->n_every];
        e->period = &file->every[fvm->n_every % file->n_every];
        lt_timer_init(&e->timer, fvm->host->spec.loop, on_timer, e);
    }
    return true;
}

void lt_every_fini(struct lt_filter_vm *fvm)
{
    lt_every_stop(fvm);
    for (unsigned i = 0; i < fvm->n_every; i++) {
        lt_timer_fini(&fvm->every[i].timer);
    }
    lt_free(fvm->every);
    fvm->every = NULL;
    fvm->n_every = 0;
}

void lt_every_start(struct lt_filter_vm *fvm)
{
    for (unsigned i = 0; i < fvm->n_every; i++) {
        fvm->every[i].on = true;
        lt_timer_set(&fvm->every[i].timer, 0);
    }
}

void lt_every_stop(struct lt_filter_vm *fvm)
{
    for (unsigned i = 0; i < fvm->n_every; i++) {
        struct lt_every *e = &fvm->every[i];
        e->on = false;
        lt_timer_clear(&e->timer);
        if (e->job != NULL) {
            lt_job_drop(e->job);
            e->job = NULL;
        }
    }
}
