/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for a server, and waiting for one in the upstream's queue. The worker's thread.
 *
 *   pick --> lt_queue_pick --SERVED------------------------------> connect --refused--.
 *    ^          '--ON: the step waits --on_end: served, late, ...                      |
 *    '-------------------------------------(may be back soon: place kept)-------------'
 */
#include "exchange/internal.h"

#define DETAIL_MAX 512

static void on_end(struct lt_waiter *w, enum lt_wait how)
{
    struct lt_exchange *x = lt_container_of(w, struct lt_exchange, waiter);
    x->wait = how;
    lt_exchange_wake(x);
}

/* Notes the numbers for the log: how long it waited, and what the queue and the servers are at. */
static void note(struct lt_exchange *x)
{
    const struct lt_queue_options *o = &x->upstream->queue;
    char *mem = lt_arena_chars(&x->arena, DETAIL_MAX);
    struct lt_buf out;
    if (mem == NULL) {
        return;
    }
    lt_buf_init_fixed(&out, mem, DETAIL_MAX);
    uint64_t since = x->waiter.since_us, now = x->env->loop->now_us;
    lt_buf_printf(&out, "waited %.1f s; ", since != 0 ? (double)(now - since) / 1e6 : 0.0);
    lt_queue_describe(x->env->pools, x->upstream, &out);
    lt_buf_printf(&out, "; queue: size %u, wait %.1f s", o->size, (double)o->wait_us / 1e6);
    if (x->wait == LT_WAIT_OVERLOAD) {
        lt_buf_printf(&out, ", target %.1f s, interval %.1f s", (double)o->target_us / 1e6,
                      (double)o->interval_us / 1e6);
    }
    x->detail = lt_buf_view(&out);
}

static enum lt_step_result turned_away(struct lt_exchange *x, enum lt_cause cause)
{
    note(x);
    x->cause_errno = 0;
    if (cause == LT_CAUSE_QUEUE_TIMEOUT) {
        lt_metrics_add(x->env->metrics, LT_COUNTER_QUEUE_TIMEOUT, 1);
    }
    return lt_step_fail(x, cause);
}

/* Whether there is no server because no address is known of its name; says so in x->detail. */
static bool has_no_address(struct lt_exchange *x)
{
    const struct lt_upstream *u = x->upstream;
    if (u->dns_names.len == 0 || lt_upstream_set(u)->n > 0) {
        return false;
    }
    /* Relaxed: the text is static. */
    const char *why = atomic_load_explicit(&u->state->dns_why, memory_order_relaxed);
    if (!lt_arena_printf(&x->arena, &x->detail, "%.*s: %s", LT_STR_ARG(u->dns_names),
                         why != NULL ? why : "no answer yet")) {
        x->detail = LT_STR_NONE;
    }
    return true;
}

static enum lt_step_result served(struct lt_exchange *x)
{
    lt_exchange_take_server(x, x->pick.server);
    x->server_held = true;
    x->connected = false;
    x->waiter.full = false;
    x->tries++;
    x->try_us = x->env->loop->now_us;
    x->upstream_us = x->upstream_us > 0 ? x->upstream_us : x->try_us;
    x->verdict_told = false;
    lt_retry_begun(x);
    return LT_STEP_NEXT;
}

enum lt_step_result lt_wait_pick(struct lt_exchange *x)
{
    if (lt_list_linked(&x->waiter.link)) {
        return LT_STEP_WAIT; /* woken by something else */
    }
    x->pick.upstream = x->upstream;
    x->waiter.pick = &x->pick;
    x->waiter.on_end = on_end;
    if (x->wait == LT_WAIT_NONE) {
        x->wait = lt_queue_pick(x->env->pools, &x->waiter);
    } else if (x->wait == LT_WAIT_ALONE) {
        x->wait = lt_queue_alone(x->env->pools, &x->waiter);
    }
    enum lt_wait how = x->wait;
    switch (how) {
    case LT_WAIT_NONE:
    case LT_WAIT_ON:
        x->wait = LT_WAIT_NONE;
        lt_exchange_set_timer(x, 0); /* the queue's own time runs, and the whole exchange's */
        return LT_STEP_WAIT;
    case LT_WAIT_SERVED:
        x->wait = LT_WAIT_NONE;
        return served(x);
    case LT_WAIT_ALONE:
        if (x->cause == LT_CAUSE_NONE && has_no_address(x)) {
            return lt_step_fail(x, LT_CAUSE_DNS_FAILED);
        }
        if (x->cause == LT_CAUSE_NONE && lt_waiter_over(&x->waiter, x->env->loop->now_us)) {
            return turned_away(x, LT_CAUSE_QUEUE_TIMEOUT);
        }
        /* All were tried: what the last one said is the better explanation. */
        if (x->cause == LT_CAUSE_NONE) {
            lt_explain_no_server(x);
        }
        return lt_step_fail(x, x->cause != LT_CAUSE_NONE ? x->cause : LT_CAUSE_NO_SERVER);
    case LT_WAIT_BUSY:
        return turned_away(x, LT_CAUSE_SERVERS_BUSY);
    case LT_WAIT_PAUSED:
        return turned_away(x, LT_CAUSE_UPSTREAM_PAUSED);
    case LT_WAIT_FULL:
        return turned_away(x, LT_CAUSE_QUEUE_FULL);
    case LT_WAIT_LATE:
        return turned_away(x, LT_CAUSE_QUEUE_TIMEOUT);
    case LT_WAIT_OVERLOAD:
        return turned_away(x, LT_CAUSE_QUEUE_OVERLOAD);
    }
    return lt_step_fail(x, LT_CAUSE_NO_SERVER);
}

bool lt_wait_may(struct lt_exchange *x, const struct lt_back_failure *f)
{
    if (f->connected || x->front == NULL || x->body_started || x->upstream->queue.size == 0) {
        return false; /* something of it may have been seen, or nobody waits */
    }
    if (lt_waiter_over(&x->waiter, x->env->loop->now_us)) {
        return false; /* that was the last try */
    }
    bool may = false;
    x->waiter.full = f->cause == LT_CAUSE_STREAMS_EXHAUSTED || f->cause == LT_CAUSE_SERVERS_BUSY;
    if ((f->cause == LT_CAUSE_CONNECT_REFUSED_BY_SERVER || f->cause == LT_CAUSE_SOCKET_MISSING) &&
        (x->upstream->retry.when & LT_RETRY_CONNECT) != 0) {
        may = lt_queue_refused(x->env->pools, x->server);
    }
    may = may || x->waiter.full;
    if (may) {
        x->tries--; /* nobody has seen it */
        /* What passes until a server is there is time without one. */
        x->step_us[LT_STEP_CONNECT] = x->step_us[LT_STEP_SEND] = 0;
        x->step_us[LT_STEP_RESPONSE_HEAD] = 0;
        x->upstream_us = x->tries > 0 ? x->upstream_us : 0;
    }
    return may;
}
