/* SPDX-License-Identifier: Apache-2.0 */
/* Work lent to a thread (lent.h). A worker's thread, but for `run`.
 *
 *   lt_lent_wait -> pool -> run -> on_back -> finished -> end, free
 *        |            '---- no thread in time ----> finished: busy -> end     on_back: free
 *        '-> queue is full: busy */
#include "filters/lent.h"

#include "filters/host_impl.h"

static void end(struct lt_async *wait)
{
    struct lt_lent *lent = lt_container_of(wait, struct lt_lent, wait);
    if (lent->away) {
        lent->given_up = true;
        atomic_store_explicit(&lent->work.unwanted, true, memory_order_relaxed);
        return;
    }
    lt_loop_cancel(&lent->here);
    lent->free(lent);
}

static void run(struct lt_work *work)
{
    struct lt_lent *lent = lt_container_of(work, struct lt_lent, work);
    lent->run(lent);
}

static void on_back(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_lent *lent = lt_container_of(message, struct lt_lent, work.message);
    lent->away = false;
    if (lent->given_up) {
        lent->free(lent);
    } else {
        lt_async_done(&lent->wait);
    }
}

static void run_here(void *arg)
{
    struct lt_lent *lent = arg;
    lent->run(lent);
    lent->work.ran = true;
    lt_async_done(&lent->wait);
}

int lt_lent_refuse(lua_State *L, const char *reason, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    lua_pushstring(L, why);
    return 3;
}

static int finished(lua_State *L, int status, lua_KContext k)
{
    (void)status;
    const struct lt_lent *lent = lt_container_of((struct lt_async *)k, struct lt_lent, wait);
    if (lent->away) {
        return lt_lent_refuse(L, "busy", "no thread was done with it in time");
    }
    if (!lent->work.ran) {
        return lt_lent_refuse(L, "busy", "Lintel ends");
    }
    return lent->push(L, lent);
}

int lt_lent_wait(lua_State *L, struct lt_task *task, struct lt_lent *lent)
{
    const struct lt_filters_spec *spec = &task->unit->fvm->host->spec;
    lent->wait.end = end;
    lent->work.run = run;
    lent->work.message.fn = on_back;
    lent->work.box = spec->box;
    atomic_init(&lent->work.unwanted, false);
    if (spec->pool == NULL) {
        lt_loop_defer(spec->loop, &lent->here, run_here, lent);
    } else if (lt_work_pool_put(spec->pool, &lent->work)) {
        lent->away = true;
        lt_task_wake_within(task);
    } else {
        lent->free(lent);
        return lt_lent_refuse(L, "busy", "too much waits for a thread");
    }
    return lt_task_wait(L, &lent->wait, finished);
}
