/* SPDX-License-Identifier: Apache-2.0 */
/* Which failures of a server are worth another try. Two rules decide, apart from each other:
 *
 *   may it?    nothing of an answer went to the client, the request can be sent again whole, and it
 *              can't act twice: the server didn't read all of it, or the method is idempotent, or
 *              the operator takes that upon him (retry.unsafe)
 *   should it? an idle connection that died as we used it: always, once, on a fresh one. All else:
 *              retry.when names it, and retry.attempts and retry.budget leave one. A server that
 *              ends without a byte may have been killed by the request: that is tried once more at
 *              most, and not after a long while
 *
 * The worker's thread. */
#include "exchange/internal.h"
#include "upstream/budget.h"
#include "upstream/health.h"

/* A server that is killed over a request is killed late: by a time-out, or as its memory is full.
 */
#define END_LATE_US UINT64_C(5000000)

/* What may become a tunnel has no end that could be waited for before it acts. */
static bool may_act_twice(const struct lt_exchange *x)
{
    return (lt_method_idempotent(x->req.method) && x->req.offer.len == 0) ||
           x->upstream->retry.unsafe;
}

static bool can_be_sent_again(const struct lt_exchange *x)
{
    return x->front != NULL && !x->head_sent && !x->response_begun && !x->body_started;
}

/* A try on an idle connection that was gone does not count. */
static bool attempts_left(const struct lt_exchange *x)
{
    return x->tries < x->upstream->retry.attempts + (x->raced ? 1u : 0u);
}

/* A further try of what a server has seen takes its part of the budget. */
static bool pay(struct lt_exchange *x)
{
    struct lt_retry_budget *budget = lt_retry_budget_of(x->env->pools, x->upstream);
    x->budget_spent =
        budget == NULL || !lt_retry_budget_take(budget, &x->upstream->retry, x->env->loop->now_us);
    return !x->budget_spent;
}

/* The word of retry.when for a failure; 0: none. */
static unsigned word_of(const struct lt_back_failure *f)
{
    if (!f->connected) {
        return LT_RETRY_CONNECT;
    }
    if (f->cause == LT_CAUSE_STREAM_REFUSED) {
        return LT_RETRY_REFUSED_STREAM;
    }
    bool ended = f->reset || f->unread || f->cause == LT_CAUSE_CLOSED_BEFORE_RESPONSE ||
                 f->cause == LT_CAUSE_RESPONSE_CUT;
    return ended ? LT_RETRY_RESET : 0;
}

/* An idle connection that ended as we used it, without a byte. */
static bool is_race(const struct lt_exchange *x, const struct lt_back_failure *f)
{
    return f->connected && f->reused && f->bytes_received == 0 && !x->raced;
}

/* The server may have had the request, and ended without a byte. */
static bool ended_silently(const struct lt_back_failure *f)
{
    return f->connected && !f->unread &&
           (f->cause == LT_CAUSE_CLOSED_BEFORE_RESPONSE ||
            f->cause == LT_CAUSE_RESET_BEFORE_RESPONSE);
}

/* The same of a new connection, which wasn't about to close. Over HTTP/1 a reset says that the
 * request was not read whole, more or less; over HTTP/2, where others use the connection, it says
 * nothing. */
static bool ended_new(const struct lt_exchange *x, const struct lt_back_failure *f)
{
    return ended_silently(f) && !f->reused &&
           (f->cause == LT_CAUSE_CLOSED_BEFORE_RESPONSE || x->upstream->protocol != LT_PROTOCOL_H1);
}

/* Whether that end may be the request's own doing: it took long, or it is the second one. */
static bool may_have_killed(const struct lt_exchange *x, const struct lt_back_failure *f)
{
    return (ended_silently(f) && x->env->loop->now_us - x->try_us > END_LATE_US) ||
           (ended_new(x, f) && x->ended_new);
}

bool lt_retry_may(struct lt_exchange *x, const struct lt_back_failure *f)
{
    bool harmless = !f->connected || f->unread;
    x->budget_spent = false;
    if (!can_be_sent_again(x) || (!harmless && !may_act_twice(x)) || may_have_killed(x, f)) {
        return false;
    }
    if (is_race(x, f)) {
        return true;
    }
    return (x->upstream->retry.when & word_of(f)) != 0 && attempts_left(x) && (harmless || pay(x));
}

enum lt_cause lt_retry_spent(struct lt_exchange *x, enum lt_cause cause)
{
    const struct lt_retry_options *o = &x->upstream->retry;
    if (!lt_arena_printf(&x->arena, &x->detail,
                         "%s; retry.budget is %u.%02u%% and retry.budget_min is %u",
                         lt_cause_info(cause)->name, (unsigned)o->budget / 100,
                         (unsigned)o->budget % 100, o->budget_min)) {
        x->detail = LT_STR_NONE;
    }
    return LT_CAUSE_RETRY_BUDGET_SPENT;
}

static void note(struct lt_exchange *x, enum lt_cause cause, unsigned status)
{
    if (x->tries_met == LT_CAUSE_NONE && x->tries_status == 0) {
        x->tries_met = cause;
        x->tries_status = status;
    }
}

/* Whether a server is up that wasn't tried. */
static bool others_up(const struct lt_exchange *x)
{
    const struct lt_server_set *set = lt_upstream_set(x->upstream);
    for (unsigned i = 0; i < set->n; i++) {
        const struct lt_server *s = &set->v[i];
        if (s->state != x->server->state && !lt_pick_was_tried(&x->pick, s) &&
            lt_server_up(s, x->env->loop->now_us)) {
            return true;
        }
    }
    return false;
}

void lt_retry_note(struct lt_exchange *x, const struct lt_back_failure *f)
{
    note(x, f->cause, 0);
    x->ended_new |= ended_new(x, f);
    if (is_race(x, f)) {
        x->raced = true;
        return;
    }
    bool others = others_up(x);
    x->tried_alive |= f->connected;
    if (x->tried_alive && !others) {
        x->pick.n_tried = 0; /* behind one socket there may be several processes */
    }
    if (others || !f->connected) {
        lt_pick_tried(&x->pick, x->server);
    }
}

/* Lets go of a server that answers, if at all, what another one may do better. */
static void leave_server(struct lt_exchange *x, enum lt_cause cause, unsigned status)
{
    note(x, cause, status);
    lt_pick_tried(&x->pick, x->server);
    x->cause = cause;
    lt_relay_drop_back(x);
    lt_exchange_set_timer(x, 0);
    lt_exchange_goto(x, LT_STEP_PICK);
}

bool lt_retry_status(struct lt_exchange *x, const struct lt_response *res)
{
    if (!lt_retry_has_status(&x->upstream->retry, res->status)) {
        return false;
    }
    /* Too many requests of this client, and it is told when to come back: that is for it. */
    bool for_client =
        res->status == 429 && lt_headers_get(&res->headers, LT_HEADER_RETRY_AFTER) != NULL;
    if (for_client || !can_be_sent_again(x) || !may_act_twice(x) || !attempts_left(x) ||
        !others_up(x) || !pay(x)) {
        return false;
    }
    x->response_begun = true; /* for the server's health, it was an answer */
    x->upstream_status = res->status;
    lt_verdict_tell(x, LT_CAUSE_NONE);
    x->response_begun = false;
    x->upstream_status = 0;
    leave_server(x, LT_CAUSE_NONE, res->status);
    return true;
}

uint64_t lt_retry_first_byte_ms(struct lt_exchange *x, uint64_t ms)
{
    uint64_t per_try = x->upstream->retry.per_try_ms;
    x->try_limited = false;
    if (per_try == 0 || (ms > 0 && ms <= per_try)) {
        return ms;
    }
    if (x->try_over) {
        return ms > 0 ? ms - per_try : 0;
    }
    x->try_limited = can_be_sent_again(x) && may_act_twice(x) && attempts_left(x);
    return x->try_limited ? per_try : ms;
}

bool lt_retry_timeout(struct lt_exchange *x)
{
    bool limited = x->try_limited;
    if (x->step != LT_STEP_RESPONSE_HEAD ||
        (!limited && !(x->upstream->retry.when & LT_RETRY_TIMEOUT))) {
        return false;
    }
    if (can_be_sent_again(x) && may_act_twice(x) && attempts_left(x) && others_up(x) && pay(x)) {
        leave_server(x, LT_CAUSE_FIRST_BYTE_TIMEOUT, 0);
        return true;
    }
    if (limited) {
        x->try_over = true; /* this one has the rest of the time */
        lt_relay_watch_response(x);
    }
    return limited;
}

void lt_retry_begun(struct lt_exchange *x)
{
    x->try_over = x->try_limited = false;
    if (x->tries > 1) {
        lt_metrics_add(x->env->metrics, LT_COUNTER_UPSTREAM_RETRIES, 1);
        return;
    }
    struct lt_retry_budget *budget = lt_retry_budget_of(x->env->pools, x->upstream);
    if (budget != NULL) {
        lt_retry_budget_request(budget, x->env->loop->now_us);
    }
}

void lt_retry_answered(struct lt_exchange *x)
{
    x->recovered = x->tries_met != LT_CAUSE_NONE || x->tries_status != 0;
    if (x->raced) {
        lt_metrics_add(x->env->metrics, LT_COUNTER_KEEPALIVE_RACE_RECOVERED, 1);
    }
}
