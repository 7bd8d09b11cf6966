/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the hooks of a route's filters for one exchange: one after another, each in a runner of its
 * unit. A filter that waits leaves its runner in the call; a timer wakes the exchange, which comes
 * back here. A worker's thread.
 *
 *   run_hook -> enter (when? quarantined?) -> resume -> finish   next filter, answer
 *                                               |-----> (waits)  the task wakes the exchange, later
 * again
 *                                               '-----> fail     policy of the filter */
#include <stdio.h>

#include "base/log.h"
#include "base/obj.h"
#include "filters/call.h"
#include "filters/excerpt.h"
#include "filters/flow.h"
#include "filters/host_impl.h"
#include "filters/report.h"
#include "http/hop.h"

/* Of an error that is shown: its excerpt, and the path of its file. */
#define SHOWN_MAX 600u
#define SHOWN_PATH_MAX 400u
#define CALL_MAGIC 0xca11f117u

enum outcome {
    GO_ON,
    WAITS,
    REFUSED /* x->cause or a reply is set */
};

static const struct lt_filter_chain *chain_of(const struct lt_exchange *x)
{
    return x->route != NULL ? x->route->chain : NULL;
}

static struct lt_filter_call *call_get(struct lt_exchange *x)
{
    struct lt_filter_call *call = x->filter_state;
    if (call == NULL) {
        call = lt_arena_new(&x->arena, struct lt_filter_call);
        if (call != NULL) {
            LT_OBJ_INIT(call, CALL_MAGIC);
            call->x = x;
            call->host = x->view->filters;
            call->edition = lt_filter_edition_pin(call->host);
            x->filter_state = call;
        }
        return call;
    }
    LT_OBJ_CHECK(call, CALL_MAGIC);
    return call;
}

/* ---- failures ---- */

/* Adds to x->detail the line of Lua that the error tells of, and where it was called from. */
static void show_line(struct lt_exchange *x, const struct lt_filter_vm *fvm, const char *error)
{
    char path[SHOWN_PATH_MAX], mem[SHOWN_MAX];
    const char *trace = fvm->vm->trace;
    struct lt_place place;
    struct lt_buf out;
    struct lt_str text, all;
    lt_buf_init_fixed(&out, mem, sizeof(mem));
    if ((lt_place_read(lt_str_c(error), &place) || lt_place_read(lt_str_c(trace), &place)) &&
        lt_excerpt_file(fvm, place.name, &text, path, sizeof(path))) {
        lt_excerpt_print(&out, text, place.line, lt_str_c(error), "");
    }
    if (lt_arena_printf(&x->arena, &all, "%.*s\n%.*s%s%s", LT_STR_ARG(x->detail),
                        LT_STR_ARG(lt_buf_view(&out)), trace[0] != '\0' ? "traceback:\n" : "",
                        trace)) {
        x->detail = all;
    }
}

void lt_call_refuse(struct lt_filter_call *call, struct lt_filter_unit *unit, enum lt_cause cause,
                    const char *error)
{
    struct lt_exchange *x = call->x;
    x->cause = cause;
    x->denied_by = unit->instance->name;
    x->reply.ready = false;
    if (error != NULL && !lt_arena_printf(&x->arena, &x->detail, "%.*s: %s",
                                          LT_STR_ARG(unit->instance->name), error)) {
        x->detail = LT_STR_NONE;
    }
    if (error != NULL && lt_exchange_shows_errors(x)) {
        show_line(x, unit->fvm, error);
    }
}

/* What the filter's policy says about cause; error may be NULL. */
static enum outcome policy(struct lt_filter_call *call, struct lt_filter_unit *unit,
                           enum lt_cause cause, const char *error)
{
    bool open = unit->instance->on_error == LT_FILTER_OPEN && !lt_exchange_shows_errors(call->x);
    if (open || call->hook == LT_FILTER_LOG) {
        return GO_ON;
    }
    lt_call_refuse(call, unit, cause, error);
    return REFUSED;
}

/* The runner is not used any more. NULL: there was no memory for one, because many calls wait; that
 * is no stop, and must not switch the instance off for those that have one. */
static enum outcome fail(struct lt_filter_call *call, struct lt_filter_unit *unit,
                         struct lt_runner *runner, enum lt_cause cause, const char *error)
{
    void (*report)(struct lt_filter_unit *, const char *, struct lt_str, enum lt_cause,
                   const char *) = runner != NULL ? lt_filter_failed : lt_filter_not_begun;
    report(unit, lt_filter_hook_names[call->hook], call->x->ids.request_id, cause, error);
    enum outcome outcome = policy(call, unit, cause, error);
    if (runner != NULL) {
        lt_runner_drop(runner);
    }
    return outcome;
}

/* ---- ends of a call ---- */

/* Makes what deny, respond or redirect prepared the exchange's answer. */
static enum outcome answer(struct lt_filter_call *call, struct lt_runner *runner)
{
    struct lt_exchange *x = call->x;
    const struct lt_reply staged = runner->reply;
    struct lt_reply *reply = lt_exchange_reply(x, staged.status, staged.reason);
    x->denied_by = runner->task.unit->instance->name;
    if (reply == NULL) {
        x->cause = LT_CAUSE_OUT_OF_MEMORY;
    } else {
        reply->headers = staged.headers;
        reply->body = staged.body;
        reply->content_type = staged.content_type;
        x->cause = runner->denies ? LT_CAUSE_FILTER_DENIED : LT_CAUSE_NONE;
        if (runner->denies && staged.status == 429) {
            lt_metrics_add(call->host->spec.metrics, LT_COUNTER_LIMITED, 1);
        }
    }
    lt_runner_put(runner);
    return REFUSED;
}

/* The hook returned what it may not; the message begins with where it is written. */
static enum outcome refuse_result(struct lt_filter_call *call, struct lt_runner *runner,
                                  const char *message)
{
    struct lt_vm *vm = runner->task.unit->fvm->vm;
    lua_Debug ar;
    lua_pushvalue(runner->task.co, 1 + (int)call->hook);
    lua_getinfo(runner->task.co, ">S", &ar);
    snprintf(vm->error, sizeof(vm->error), "%s:%d: `%s` %s", ar.short_src, ar.linedefined,
             lt_filter_hook_names[call->hook], message);
    return fail(call, runner->task.unit, runner, LT_CAUSE_FILTER_ERROR, vm->error);
}

/* The hook returned: nothing, or an answer of its own making. */
static enum outcome finish(struct lt_filter_call *call, struct lt_runner *runner)
{
    lua_State *co = runner->task.co;
    int n = lua_gettop(co) - LT_RUNNER_BASE;
    if (LT_LIKELY(n == 0 || (n == 1 && lua_isnil(co, -1)))) {
        if (LT_LIKELY(!runner->staged)) {
            lt_runner_put(runner);
            return GO_ON;
        }
        return refuse_result(call, runner,
                             "made an answer and did not return it: write `return ctx:deny(...)`");
    }
    if (n == 1 && runner->staged && lua_islightuserdata(co, -1) &&
        lua_touserdata(co, -1) == runner) {
        return answer(call, runner);
    }
    char message[160];
    snprintf(message, sizeof(message),
             "returned %s%s: a hook returns nothing, or what ctx:deny, ctx:respond or ctx:redirect "
             "gave",
             n > 1 ? "several values" : "a ", n > 1 ? "" : luaL_typename(co, -1));
    return refuse_result(call, runner, message);
}

static enum outcome resume(struct lt_filter_call *call, struct lt_filter_unit *unit,
                           struct lt_runner *runner, int n_args)
{
    struct lt_vm *vm = unit->fvm->vm;
    int n;
    enum lt_vm_end end = lt_task_resume(&runner->task, n_args, &n);
    switch (end) {
    case LT_VM_DONE:
        return finish(call, runner);
    case LT_VM_WAITS:
        call->waits = runner;
        return WAITS;
    case LT_VM_RAISED:
    case LT_VM_CPU:
    case LT_VM_MEMORY:
        break;
    }
    return fail(call, unit, runner, lt_filter_cause(end), vm->error);
}

/* The filter that waited may go on, or its time is up. */
static void wake(struct lt_task *task)
{
    struct lt_runner *runner = lt_container_of(task, struct lt_runner, task);
    task->unit->fvm->host->spec.wake(runner->x);
}

/* Goes on with the filter that waited. */
static enum outcome go_on(struct lt_filter_call *call, struct lt_filter_unit *unit)
{
    struct lt_runner *runner = call->waits;
    call->waits = NULL;
    if (runner->task.late) {
        struct lt_vm *vm = unit->fvm->vm;
        lt_vm_where(runner->task.co, vm->error, sizeof(vm->error));
        return fail(call, unit, runner, LT_CAUSE_FILTER_WALL, vm->error);
    }
    return resume(call, unit, runner, 0);
}

static enum outcome enter(struct lt_filter_call *call, struct lt_filter_unit *unit)
{
    struct lt_exchange *x = call->x;
    if (lt_filter_is_quarantined(unit)) {
        return policy(call, unit, LT_CAUSE_FILTER_QUARANTINED, NULL);
    }
    struct lt_runner *runner = lt_runner_get(unit);
    if (LT_UNLIKELY(runner == NULL)) {
        return fail(call, unit, NULL, LT_CAUSE_FILTER_MEMORY, unit->fvm->vm->error);
    }
    unit->calls++;
    runner->x = x;
    runner->hook = call->hook;
    runner->task.go_on = wake;
    runner->task.wall_us = call->host->spec.loop->now_us + unit->instance->wall_ms * 1000;
    lua_pushvalue(runner->task.co, 1 + (int)call->hook);
    lua_pushvalue(runner->task.co, LT_RUNNER_CTX);
    return resume(call, unit, runner, 1);
}

bool lt_call_took_part(const struct lt_filter_call *call, unsigned at)
{
    return at < call->entered && (call->skipped & UINT64_C(1) << at) == 0;
}

/* Whether the filter at this place takes part in the exchange: decided once, when the request comes
 * to it. */
static bool takes_part(struct lt_filter_call *call, const struct lt_filter_instance *instance)
{
    uint64_t bit = UINT64_C(1) << call->at;
    if (call->hook != LT_FILTER_REQUEST) {
        return lt_call_took_part(call, call->at);
    }
    /* One that can't be decided does not let a request past a filter. */
    bool failed = false;
    if (instance->when != NULL &&
        !lt_expr_test(instance->when, lt_exchange_expr_get, call->x, &failed) && !failed) {
        call->skipped |= bit;
        return false;
    }
    return true;
}

static enum outcome run_one(struct lt_filter_call *call, struct lt_filter_unit *unit)
{
    const struct lt_filter_instance *instance = unit->instance;
    if (call->waits != NULL) {
        return go_on(call, unit);
    }
    if (call->hook == LT_FILTER_REQUEST) {
        call->entered = call->at + 1;
    }
    if (!takes_part(call, instance) || (instance->file->hooks & 1u << call->hook) == 0) {
        return GO_ON;
    }
    return enter(call, unit);
}

/* What request hooks promised joins the response before response hooks see it. Short of room, the
 * response goes out without the rest: it is the server's, and whole. */
static void keep_promises(struct lt_exchange *x, const struct lt_headers *promised)
{
    enum lt_err err = LT_OK;
    for (unsigned i = 0; i < promised->n && err == LT_OK; i++) {
        const struct lt_header *h = &promised->v[i];
        err = lt_headers_add_as(&x->res.headers, h->id, h->name, h->value);
    }
}

/* Whether a file of the chain is not fit as it lies on the disk, and x is answered so. */
static bool is_broken(struct lt_filter_call *call, const struct lt_filter_chain *chain)
{
    const struct lt_filter_broken *broken = call->host->broken;
    if (!lt_exchange_shows_errors(call->x)) {
        return false;
    }
    for (unsigned i = 0; i < chain->n; i++) {
        struct lt_filter_unit *unit = lt_call_unit(call, chain, i);
        for (unsigned j = 0; j < broken->n; j++) {
            if (broken->files[j] == unit->instance->file->index) {
                lt_call_refuse(call, unit, LT_CAUSE_FILTER_ERROR, NULL);
                call->x->detail = lt_str_c(broken->text);
                if (!lt_arena_dup(&call->x->arena, call->x->detail, &call->x->detail)) {
                    call->x->detail = LT_STR_NONE;
                }
                return true;
            }
        }
    }
    return false;
}

static enum lt_step_result run_hook(struct lt_exchange *x, enum lt_filter_hook hook)
{
    const struct lt_filter_chain *chain = chain_of(x);
    if (chain == NULL) {
        return LT_STEP_NEXT;
    }
    struct lt_filter_call *call = x->filter_state;
    if (hook != LT_FILTER_REQUEST &&
        (call == NULL || ((chain->hooks | call->edition->program->added) & 1u << hook) == 0)) {
        return LT_STEP_NEXT;
    }
    call = call_get(x);
    if (call == NULL) {
        x->cause = LT_CAUSE_OUT_OF_MEMORY;
        return LT_STEP_FAIL;
    }
    if (call->waits == NULL) {
        call->hook = hook;
        call->at = 0;
        if (hook == LT_FILTER_REQUEST) {
            /* Before filters add fields: a client must not have those taken off by naming them in
             * its Connection field. */
            lt_hop_strip(&x->req.headers);
            if (LT_UNLIKELY(call->host->broken != NULL) && is_broken(call, chain)) {
                return LT_STEP_FAIL;
            }
        }
    }
    for (; call->at < chain->n; call->at++) {
        enum outcome outcome = run_one(call, lt_call_unit(call, chain, call->at));
        if (outcome == WAITS) {
            return LT_STEP_WAIT;
        }
        if (outcome == REFUSED) {
            return LT_STEP_FAIL;
        }
    }
    return LT_STEP_NEXT;
}

static enum lt_step_result on_request(struct lt_exchange *x)
{
    return run_hook(x, LT_FILTER_REQUEST);
}

static enum lt_step_result on_upstream(struct lt_exchange *x)
{
    return run_hook(x, LT_FILTER_UPSTREAM);
}

static enum lt_step_result on_response(struct lt_exchange *x)
{
    const struct lt_filter_call *call = x->filter_state;
    if (call != NULL && call->waits == NULL) {
        keep_promises(x, &call->promised);
    }
    return run_hook(x, LT_FILTER_RESPONSE);
}

static enum lt_step_result on_log(struct lt_exchange *x)
{
    enum lt_step_result result = run_hook(x, LT_FILTER_LOG);
    return result == LT_STEP_FAIL ? LT_STEP_NEXT : result;
}

static void on_cancel(struct lt_exchange *x)
{
    struct lt_filter_call *call = x->filter_state;
    if (call != NULL && call->waits != NULL) {
        LT_OBJ_CHECK(call, CALL_MAGIC);
        lt_runner_drop(call->waits);
        call->waits = NULL;
    }
}

static void on_release(struct lt_exchange *x)
{
    struct lt_filter_call *call = x->filter_state;
    LT_OBJ_CHECK(call, CALL_MAGIC);
    x->filter_state = NULL;
    lt_ctx_forget_vars(call);
    lt_filter_edition_unpin(call->edition);
}

const struct lt_hooks lt_filter_hooks = {
    .request = on_request,
    .upstream = on_upstream,
    .response = on_response,
    .log = on_log,
    .cancel = on_cancel,
    .release = on_release,
    .flows = lt_filter_flows,
    .flow_begin = lt_filter_flow_begin,
    .flow_moved = lt_filter_flow_moved,
    .flow_end = lt_filter_flow_end,
};
