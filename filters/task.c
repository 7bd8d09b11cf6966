/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks and waiting (task.h). A worker's thread. */
#include "filters/task.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>

#include "base/mem.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define SLEEP_MAX_MS UINT64_C(3600000)
/* Of the exchange's memory, what filters can't use up: a server's head or our own answer, written
 * out, have to fit in. */
#define ARENA_RESERVE ((size_t)256 << 10)

struct lt_task *lt_task_check(lua_State *L)
{
    struct lt_task *task = lt_filter_vm_of(L)->task;
    if (task == NULL) {
        luaL_error(L, "a filter can't wait while it is loaded, nor in `init` and in clean-ups");
    }
    if (task->co != L || !lua_isyieldable(L)) {
        luaL_error(L, "a filter can't wait here: not in what table.sort and string.gsub call back");
    }
    return task;
}

int lt_task_wait(lua_State *L, struct lt_async *wait, lua_KFunction k)
{
    struct lt_task *task = lt_filter_vm_of(L)->task;
    assert(task != NULL && task->wait == NULL && wait->end != NULL);
    wait->task = task;
    task->wait = wait;
    return lua_yieldk(L, 0, (lua_KContext)wait, k);
}

uint64_t lt_task_stop_clock(struct lt_task *task)
{
    uint64_t now = task->unit->fvm->host->spec.loop->now_us, until = task->wall_us;
    task->wall_us = UINT64_MAX;
    return until == UINT64_MAX ? until : until - lt_min(now, until);
}

void lt_task_start_clock(struct lt_task *task, uint64_t left_us)
{
    uint64_t now = task->unit->fvm->host->spec.loop->now_us;
    task->wall_us = left_us == UINT64_MAX ? left_us : now + left_us;
}

uint64_t lt_task_within(const struct lt_task *task, uint64_t ms)
{
    uint64_t now_us = task->unit->fvm->host->spec.loop->now_us;
    if (task->wall_us == UINT64_MAX) {
        return ms;
    }
    uint64_t left = task->wall_us > now_us ? (task->wall_us - now_us) / 1000 : 0;
    return lt_max(lt_min(ms, left - left / 20), UINT64_C(1));
}

void lt_task_wake_within(struct lt_task *task)
{
    if (task->wall_us != UINT64_MAX) {
        task->wake_us = task->unit->fvm->host->spec.loop->now_us +
                        lt_task_within(task, UINT64_MAX / 1000) * 1000;
    }
}

static int slept(lua_State *L, int status, lua_KContext k)
{
    (void)L, (void)status, (void)k;
    return 0;
}

int lt_task_sleep(lua_State *L, uint64_t us)
{
    struct lt_task *task = lt_task_check(L);
    task->wake_us = task->unit->fvm->host->spec.loop->now_us + us;
    return lua_yieldk(L, 0, 0, slept);
}

/* lintel.sleep(seconds), ctx:sleep(seconds); or "50ms" */
int lt_lua_sleep(lua_State *L)
{
    int arg = lt_lua_skip_ctx(L);
    return lt_task_sleep(L, lt_lua_duration_ms(L, arg, SLEEP_MAX_MS) * 1000);
}

/* ---- parked tasks ---- */

/* The end of a turn: nothing of Lua is on the stack. */
static void go_on(void *arg)
{
    struct lt_parked *parked = arg;
    struct lt_task *task = parked->task;
    task->go_on(task);
}

void lt_async_done(struct lt_async *wait)
{
    struct lt_task *task = wait->task;
    assert(task != NULL && task->wait == wait && task->parked != NULL);
    wait->task = NULL;
    lt_loop_defer(task->unit->fvm->host->spec.loop, &task->parked->deferred, go_on, task->parked);
}

static void on_timer(void *arg)
{
    struct lt_parked *parked = arg;
    struct lt_task *task = parked->task;
    if (lt_list_linked(&parked->deferred.link)) {
        return; /* done in this very turn: in time */
    }
    task->late = task->wake_us == 0 || task->wake_us > task->wall_us;
    task->go_on(task);
}

static bool park(struct lt_task *task)
{
    struct lt_filters *host = task->unit->fvm->host;
    struct lt_loop *loop = host->spec.loop;
    struct lt_list *link = lt_list_pop_front(&host->free_parked);
    struct lt_parked *parked = link != NULL ? lt_container_of(link, struct lt_parked, link) : NULL;
    if (parked == NULL) {
        parked = lt_calloc(1, sizeof(*parked));
        if (parked == NULL) {
            return false;
        }
        lt_timer_init(&parked->timer, loop, on_timer, parked);
    }
    parked->task = task;
    lt_list_push_back(&host->parked, &parked->link);
    uint64_t until = task->wake_us != 0 ? lt_min(task->wake_us, task->wall_us) : task->wall_us;
    if (until != UINT64_MAX) {
        lt_timer_set(&parked->timer,
                     until > loop->now_us ? (until - loop->now_us + 999) / 1000 : 0);
    }
    task->parked = parked;
    return true;
}

static void unpark(struct lt_task *task)
{
    struct lt_parked *parked = task->parked;
    if (parked != NULL) {
        lt_timer_clear(&parked->timer);
        lt_loop_cancel(&parked->deferred);
        lt_list_remove(&parked->link);
        lt_list_push_front(&task->unit->fvm->host->free_parked, &parked->link);
        parked->task = NULL;
        task->parked = NULL;
    }
    task->wake_us = 0;
}

void lt_task_parked_free(struct lt_filters *host)
{
    assert(lt_list_empty(&host->parked));
    lt_list_each(it, tmp, &host->free_parked)
    {
        struct lt_parked *parked = lt_container_of(it, struct lt_parked, link);
        lt_timer_fini(&parked->timer);
        lt_free(parked);
    }
}

/* ---- running ---- */

/* ctx is there for the call's own code and only while that runs. */
static void enter(struct lt_task *task)
{
    task->unit->fvm->running = task->unit->instance;
    if (task->runner != NULL) {
        task->runner->live = true;
        task->runner->x->arena.max -= ARENA_RESERVE;
    }
}

static void leave(struct lt_task *task)
{
    task->unit->fvm->running = NULL;
    if (task->runner != NULL) {
        task->runner->live = false;
        task->runner->x->arena.max += ARENA_RESERVE;
    }
}

static void end_wait(struct lt_async *wait)
{
    if (wait != NULL) {
        wait->end(wait);
    }
}

enum lt_vm_end lt_task_resume(struct lt_task *task, int n, int *n_results)
{
    struct lt_filter_vm *fvm = task->unit->fvm;
    struct lt_async *before = task->wait;
    unpark(task);
    task->wait = NULL;
    if (before != NULL && before->stop != LT_VM_DONE) {
        enum lt_vm_end stop = before->stop;
        snprintf(fvm->vm->error, sizeof(fvm->vm->error), "%s", before->why);
        end_wait(before);
        return stop;
    }
    fvm->task = task;
    enter(task);
    enum lt_vm_end end = lt_vm_resume(fvm->vm, task->co, n, fvm->running->cpu_ms, n_results);
    leave(task);
    fvm->task = NULL;
    end_wait(before);
    if (end == LT_VM_WAITS && !park(task)) {
        snprintf(fvm->vm->error, sizeof(fvm->vm->error), "out of memory");
        return LT_VM_MEMORY;
    }
    return end;
}

enum lt_vm_end lt_task_call(struct lt_task *task, int n, uint64_t cpu_ms)
{
    int n_results;
    enter(task);
    enum lt_vm_end end = lt_vm_resume(task->unit->fvm->vm, task->co, n, cpu_ms, &n_results);
    leave(task);
    return end;
}

void lt_task_drop(struct lt_task *task)
{
    lua_State *L = task->unit->fvm->vm->L;
    struct lt_async *wait = task->wait;
    task->wait = NULL;
    if (wait != NULL) {
        wait->task = NULL;
    }
    end_wait(wait);
    unpark(task);
    task->unit = NULL;
    /* The last reference: the collector takes co. */
    luaL_unref(L, LUA_REGISTRYINDEX, task->co_ref);
}
