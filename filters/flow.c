/* SPDX-License-Identifier: Apache-2.0 */
/* The hook `body`. Each filter that takes part is a stage: a task that takes pieces of the body
 * from a queue and gives others to the next one's. Whoever finds its queue empty, or the next one's
 * full, waits. A worker's thread.
 *
 *   flow.in -> [stage: chunks() ... emit()] -> in -> [stage] -> lt_flow_out
 *
 * settle() looks what has changed and lets those go on that can: after events of the exchange and
 * after each time that a stage ran. Lua runs in go_on alone, at the end of a turn, and once in
 * begin: a hook that returns there without a look at the body has no share in it.
 *
 * What a stage was given and has not answered stays in its queue, up to HOLD_MAX, so that a filter
 * that fails before it gave anything can be passed over as if it weren't there. */
#include "filters/flow.h"

#include <stdio.h>

#include "exchange/flow.h"
#include "filters/call.h"
#include "filters/chain.h"
#include "filters/report.h"

#define CHUNK_MAX ((size_t)16 << 10)
#define HOLD_MAX CHUNK_MAX
#define IOV_BATCH 8
#define PASS_PIECE ((size_t)16 << 10)

enum waits { FOR_NOTHING, FOR_INPUT, FOR_ROOM };

struct lt_body_stage {
    struct lt_async wait;
    enum waits waits; /* what it waits for, when it waits for us */
    struct run *run;
    struct lt_filter_unit *unit;
    struct lt_runner *runner;   /* NULL: what comes passes as it is */
    struct lt_body_stage *next; /* NULL: the last */
    struct lt_chain *in;
    struct lt_chain own_in;
    size_t taken;   /* bytes of `in` that it has, and may still give back */
    bool in_ended;  /* no more comes to `in`; of the first: as the flow says */
    bool granted;   /* it may take a piece without a wait: one each time that it runs */
    bool emitted;   /* it gave something */
    bool committed; /* it was given more than is held: it can't be passed over any more */
    bool told;      /* who follows knows that no more comes */
    size_t off;     /* of the text that it gives, what was taken */
    uint64_t left_us;
};

/* The filters of one flow. */
struct run {
    struct lt_exchange *x;
    enum lt_side side;
    struct lt_flow *flow;
    struct lt_filter_call *call;
    struct lt_body_stage *first;
};

static enum lt_filter_hook hook_of(enum lt_side side)
{
    return side == LT_SIDE_REQUEST ? LT_FILTER_REQUEST_BODY : LT_FILTER_RESPONSE_BODY;
}

/* ---- queues ---- */

static size_t available(const struct lt_body_stage *s)
{
    return s->in->len - s->taken;
}

static bool no_more_comes(const struct lt_body_stage *s)
{
    return s == s->run->first ? s->run->flow->in_ended : s->in_ended;
}

static size_t room_behind(const struct lt_body_stage *s)
{
    const struct run *run = s->run;
    return s->next != NULL ? lt_flow_room_between(run->x, available(s->next))
                           : lt_flow_room(run->x, run->side);
}

static struct lt_chain *behind(const struct lt_body_stage *s)
{
    return s->next != NULL ? s->next->in : lt_flow_out(s->run->x, s->run->side);
}

static void set_taken(struct lt_body_stage *s, size_t taken)
{
    s->taken = taken;
    if (s == s->run->first) {
        s->run->flow->in_taken = taken;
    }
}

/* What it has is its own from here on. */
static void commit(struct lt_body_stage *s)
{
    lt_chain_consume(s->in, s->taken);
    set_taken(s, 0);
}

/* ---- what the hook calls ---- */

static struct lt_body_stage *stage_of(lua_State *L, struct lt_runner *runner)
{
    struct lt_body_stage *s = runner->stage;
    if (s == NULL) {
        luaL_error(L, "only the hook `body` takes and gives pieces of a body");
    }
    if (lt_task_check(L) != &runner->task) {
        luaL_error(L, "the hook itself takes and gives the pieces of a body, no branch of it");
    }
    return s;
}

/* Nothing is allocated for a wait: the stage is there as long as its task. */
static void end_wait(struct lt_async *wait)
{
    (void)wait;
}

static int wait_for(lua_State *L, struct lt_body_stage *s, enum waits what, lua_KFunction k)
{
    s->waits = what;
    s->wait.end = end_wait;
    s->left_us = lt_task_stop_clock(&s->runner->task);
    return lt_task_wait(L, &s->wait, k);
}

/* Pushes the next piece, or nothing at the end of the body. */
static int take(lua_State *L, struct lt_body_stage *s)
{
    struct iovec iov[IOV_BATCH];
    luaL_Buffer text;
    size_t n = lt_min(available(s), CHUNK_MAX), len = 0;
    if (n == 0) {
        return 0;
    }
    char *out = luaL_buffinitsize(L, &text, n);
    while (len < n) {
        size_t slices = lt_chain_peek_from(s->in, s->taken + len, iov, IOV_BATCH);
        for (size_t i = 0; i < slices && len < n; i++) {
            size_t part = lt_min(iov[i].iov_len, n - len);
            memcpy(out + len, iov[i].iov_base, part);
            len += part;
        }
    }
    luaL_pushresultsize(&text, n);
    s->granted = false;
    set_taken(s, s->taken + n);
    s->committed |= s->taken > HOLD_MAX;
    if (s->emitted || s->committed) {
        commit(s);
    }
    return 1;
}

static int next(lua_State *L, struct lt_body_stage *s);

static int took(lua_State *L, int status, lua_KContext k)
{
    struct lt_body_stage *s = lt_container_of((struct lt_async *)k, struct lt_body_stage, wait);
    (void)status;
    lt_task_start_clock(&s->runner->task, s->left_us);
    return next(L, s);
}

static int next(lua_State *L, struct lt_body_stage *s)
{
    bool ready = available(s) > 0 ? s->granted : no_more_comes(s);
    return ready ? take(L, s) : wait_for(L, s, FOR_INPUT, took);
}

int lt_flow_next_chunk(lua_State *L)
{
    return next(L, stage_of(L, lt_runner_of(L)));
}

static int give(lua_State *L, struct lt_body_stage *s);

static int gave(lua_State *L, int status, lua_KContext k)
{
    struct lt_body_stage *s = lt_container_of((struct lt_async *)k, struct lt_body_stage, wait);
    (void)status;
    lt_task_start_clock(&s->runner->task, s->left_us);
    return give(L, s);
}

/* Gives what is left of the text at index 2. */
static int give(lua_State *L, struct lt_body_stage *s)
{
    struct lt_str text = lt_lua_check_str(L, 2);
    size_t n = lt_min(text.len - s->off, room_behind(s));
    if (n > 0 && lt_chain_append(behind(s), text.p + s->off, n) != LT_OK) {
        return luaL_error(L, "there is no memory for the body");
    }
    s->off += n;
    return s->off < text.len ? wait_for(L, s, FOR_ROOM, gave) : 0;
}

int lt_flow_emit(lua_State *L)
{
    struct lt_runner *runner = lt_runner_check(L, 1);
    struct lt_body_stage *s = stage_of(L, runner);
    struct lt_str text = lt_lua_check_str(L, 2);
    if (text.len == 0) {
        return 0;
    }
    lua_settop(L, 2);
    s->emitted = true;
    commit(s);
    s->off = 0;
    return give(L, s);
}

/* ---- running ---- */

/* By its policy a filter that failed is passed over, as long as that is possible. False: the
 * exchange ends. */
static bool failed(struct lt_body_stage *s, enum lt_cause cause, const char *error)
{
    struct run *run = s->run;
    bool begun = s->runner != NULL;
    (begun ? lt_filter_failed : lt_filter_not_begun)(
        s->unit, lt_filter_hook_names[hook_of(run->side)], run->x->ids.request_id, cause, error);
    bool ignored = s->unit->instance->on_error == LT_FILTER_OPEN && !s->emitted && !s->committed;
    if (!ignored) {
        lt_call_refuse(run->call, s->unit, cause, error);
    }
    if (s->runner != NULL) {
        s->runner->stage = NULL;
        lt_runner_drop(s->runner);
        s->runner = NULL;
    }
    set_taken(s, 0);
    return ignored;
}

/* The hook returned: what it has not taken passes, what it has taken and not given is dropped. */
static bool done(struct lt_body_stage *s)
{
    struct lt_runner *runner = s->runner;
    int n_results = lua_gettop(runner->task.co) - LT_RUNNER_BASE;
    if (n_results > 1 || (n_results == 1 && !lua_isnil(runner->task.co, -1))) {
        return failed(s, LT_CAUSE_FILTER_ERROR, "`body` returned something: write ctx:emit(...)");
    }
    s->runner = NULL;
    runner->stage = NULL;
    lt_runner_put(runner);
    commit(s);
    return true;
}

static bool resume(struct lt_body_stage *s, int n_args)
{
    struct lt_vm *vm = s->unit->fvm->vm;
    int n;
    s->granted = true;
    s->waits = FOR_NOTHING;
    enum lt_vm_end end = lt_task_resume(&s->runner->task, n_args, &n);
    switch (end) {
    case LT_VM_DONE:
        return done(s);
    case LT_VM_WAITS:
        return true;
    case LT_VM_RAISED:
        return failed(s, LT_CAUSE_FILTER_ERROR, vm->error);
    case LT_VM_CPU:
        return failed(s, LT_CAUSE_FILTER_CPU, vm->error);
    case LT_VM_MEMORY:
        return failed(s, LT_CAUSE_FILTER_MEMORY, vm->error);
    }
    return true;
}

/* Moves what comes to a filter that has ended. True: something went on. */
static bool pass(struct lt_body_stage *s)
{
    size_t room = room_behind(s);
    if (s->in->len == 0 || room == 0) {
        return false;
    }
    if (s->in->len <= room) {
        lt_chain_move(behind(s), s->in);
        return true;
    }
    struct iovec iov = {.iov_len = 0};
    (void)lt_chain_peek(s->in, &iov, 1);
    size_t n = lt_min(lt_min(iov.iov_len, room), PASS_PIECE);
    if (lt_chain_append(behind(s), iov.iov_base, n) != LT_OK) {
        return false; /* memory is short: when what waits behind has left, there is some */
    }
    lt_chain_consume(s->in, n);
    return true;
}

/* Whoever follows one that has ended hears that no more comes. */
static bool tell_end(struct lt_body_stage *s)
{
    if (s->told || s->runner != NULL || s->in->len > 0 || !no_more_comes(s)) {
        return false;
    }
    s->told = true;
    if (s->next != NULL) {
        s->next->in_ended = true;
    } else {
        s->run->flow->over = true;
    }
    return true;
}

static bool can_go_on(const struct lt_body_stage *s)
{
    return s->waits == FOR_INPUT ? available(s) > 0 || no_more_comes(s)
                                 : s->waits == FOR_ROOM && room_behind(s) > 0;
}

static void settle(struct run *run)
{
    struct lt_exchange *x = run->x;
    struct lt_flow *flow = run->flow;
    bool moved = true;
    while (moved) {
        moved = false;
        for (struct lt_body_stage *s = run->first; s != NULL; s = s->next) {
            if (s->runner == NULL) {
                moved |= pass(s);
                moved |= tell_end(s);
            }
        }
        lt_flow_push(x, run->side);
        if (x->flow[run->side] != flow) {
            return; /* it is over, or x has failed */
        }
    }
    for (struct lt_body_stage *s = run->first; s != NULL; s = s->next) {
        if (s->runner != NULL && s->wait.task != NULL && can_go_on(s)) {
            lt_async_done(&s->wait);
        }
    }
}

/* The task may go on, with us or after another wait. */
static void go_on(struct lt_task *task)
{
    struct lt_body_stage *s = lt_container_of(task, struct lt_runner, task)->stage;
    struct run *run = s->run;
    bool ok;
    if (task->late) {
        struct lt_vm *vm = s->unit->fvm->vm;
        lt_vm_where(task->co, vm->error, sizeof(vm->error));
        ok = failed(s, LT_CAUSE_FILTER_WALL, vm->error);
    } else {
        ok = resume(s, 0);
    }
    if (ok) {
        settle(run);
    } else {
        run->call->host->spec.fail(run->x, run->x->cause);
    }
}

/* ---- beginning and end ---- */

bool lt_filter_flows(struct lt_exchange *x, enum lt_side side)
{
    const struct lt_filter_chain *chain = x->route->chain;
    const struct lt_filter_call *call = x->filter_state;
    unsigned bit = 1u << hook_of(side);
    const struct lt_filter_edition *edition =
        call != NULL ? call->edition : x->view->filters->edition;
    bool any = ((chain->hooks | edition->program->added) & bit) != 0;
    if (!any || call == NULL) {
        return any;
    }
    for (unsigned i = 0; i < chain->n; i++) {
        if ((lt_call_unit(call, chain, i)->instance->file->hooks & bit) != 0 &&
            lt_call_took_part(call, i)) {
            return true;
        }
    }
    return false;
}

/* Starts one: its hook runs until it waits for the first time. */
static bool start(struct lt_body_stage *s)
{
    struct run *run = s->run;
    struct lt_runner *runner = NULL;
    if (lt_filter_is_quarantined(s->unit)) {
        if (s->unit->instance->on_error == LT_FILTER_OPEN) {
            return true;
        }
        lt_call_refuse(run->call, s->unit, LT_CAUSE_FILTER_QUARANTINED, NULL);
        return false;
    }
    runner = lt_runner_get(s->unit);
    if (runner == NULL) {
        return failed(s, LT_CAUSE_FILTER_MEMORY, s->unit->fvm->vm->error);
    }
    s->runner = runner;
    runner->stage = s;
    runner->x = run->x;
    runner->hook = hook_of(run->side);
    runner->task.go_on = go_on;
    runner->task.wall_us = run->call->host->spec.loop->now_us + s->unit->instance->wall_ms * 1000;
    lua_pushvalue(runner->task.co, 1 + (int)runner->hook);
    lua_pushvalue(runner->task.co, LT_RUNNER_CTX);
    lua_pushvalue(runner->task.co, LT_RUNNER_CHUNKS);
    return resume(s, 2);
}

/* From the last to the first, so that each finds who follows it. */
static bool start_all(struct run *run, const struct lt_filter_chain *chain,
                      struct lt_body_stage *all)
{
    for (unsigned i = chain->n; i-- > 0;) {
        struct lt_filter_unit *unit = lt_call_unit(run->call, chain, i);
        struct lt_body_stage *s = &all[i];
        if ((unit->instance->file->hooks & 1u << hook_of(run->side)) == 0 ||
            !lt_call_took_part(run->call, i)) {
            continue;
        }
        *s = (struct lt_body_stage){.run = run, .unit = unit, .next = run->first};
        lt_chain_init(&s->own_in, run->flow->in.pool);
        s->in = &s->own_in;
        if (!start(s)) {
            return false;
        }
        if (s->runner != NULL || s->emitted) {
            run->first = s;
        }
    }
    return true;
}

enum lt_step_result lt_filter_flow_begin(struct lt_exchange *x, enum lt_side side)
{
    const struct lt_filter_chain *chain = x->route->chain;
    struct run *run = lt_arena_new(&x->arena, struct run);
    struct lt_body_stage *all = lt_arena_array(&x->arena, struct lt_body_stage, chain->n);
    struct lt_flow *flow = x->flow[side];
    if (run == NULL || all == NULL || x->filter_state == NULL) {
        x->cause = LT_CAUSE_OUT_OF_MEMORY;
        return LT_STEP_FAIL;
    }
    *run = (struct run){.x = x, .side = side, .flow = flow, .call = x->filter_state};
    flow->stages = run;
    if (!start_all(run, chain, all)) {
        return LT_STEP_FAIL;
    }
    if (run->first == NULL) {
        flow->stages = NULL;
    } else {
        run->first->in = &flow->in;
    }
    return LT_STEP_NEXT;
}

void lt_filter_flow_moved(struct lt_exchange *x, enum lt_side side)
{
    settle(x->flow[side]->stages);
}

void lt_filter_flow_end(struct lt_flow *flow)
{
    struct run *run = flow->stages;
    for (struct lt_body_stage *s = run->first; s != NULL; s = s->next) {
        if (s->runner != NULL) {
            s->runner->stage = NULL;
            lt_runner_drop(s->runner);
            s->runner = NULL;
        }
        lt_chain_clear(&s->own_in);
    }
    flow->stages = NULL;
}
