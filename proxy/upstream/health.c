/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/health.h"

#include "upstream/breaker.h"
#include "upstream/pool.h"

/* A server that refused is tried last for this long, doubled with each failure in a row. */
#define DOWN_FIRST_US UINT64_C(100000)
#define DOWN_MAX_US UINT64_C(10000000)

/* How old what a worker gathered gets before it goes into the shared sums. */
#define TELL_US UINT64_C(100000)

/* An ejection is at most this many times doubled. */
#define DOUBLINGS_MAX 20u

#define LOAD(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define STORE(word, value) atomic_store_explicit(&(word), (value), memory_order_relaxed)
#define ADD(word, value) atomic_fetch_add_explicit(&(word), (value), memory_order_relaxed)

/* ---- Asking. ---- */

static bool ejected(const struct lt_server_state *state, uint64_t now_us)
{
    return LOAD(state->ejected_until_us) > now_us;
}

enum lt_fit lt_server_fit(const struct lt_server *server, uint64_t now_us)
{
    const struct lt_server_state *state = server->state;
    const struct lt_health_options *health = &server->upstream->health;
    if (lt_server_admin(state) != LT_SERVER_READY) {
        return LT_FIT_OUT;
    }
    /* A configuration that has no checks, or ejects nobody, doesn't suffer from an older one. */
    if ((health->check.kind != LT_CHECK_NO && LOAD(state->checked) == LT_CHECKED_DOWN) ||
        (health->outliers.enabled && ejected(state, now_us))) {
        return LT_FIT_DOWN;
    }
    return LOAD(state->down_until_us) > now_us ? LT_FIT_DOUBTFUL : LT_FIT_UP;
}

bool lt_server_up(const struct lt_server *server, uint64_t now_us)
{
    return lt_server_fit(server, now_us) == LT_FIT_UP;
}

struct lt_fit_counts lt_fit_count(const struct lt_server_set *set, uint64_t now_us)
{
    struct lt_fit_counts counts = {.n = set->n};
    for (unsigned i = 0; i < set->n; i++) {
        switch (lt_server_fit(&set->v[i], now_us)) {
        case LT_FIT_UP:
            counts.up++;
            break;
        case LT_FIT_DOUBTFUL:
            counts.doubtful++;
            break;
        case LT_FIT_DOWN:
            counts.down++;
            break;
        case LT_FIT_OUT:
            counts.out++;
            break;
        }
    }
    return counts;
}

/* ---- Checks and connects. ---- */

void lt_health_begin(const struct lt_server *server)
{
    const struct lt_check_options *check = &server->upstream->health.check;
    struct lt_server_state *state = server->state;
    if (check->kind != LT_CHECK_NO && check->init_down && LOAD(state->users) == 1) {
        uint32_t none = LT_CHECKED_NOT;
        atomic_compare_exchange_strong_explicit(&state->checked, &none, LT_CHECKED_DOWN,
                                                memory_order_relaxed, memory_order_relaxed);
    }
}

enum lt_checked lt_check_count(const struct lt_check_options *o, enum lt_checked now, bool ok,
                               bool *last_ok, unsigned *in_row)
{
    *in_row = ok == *last_ok ? lt_min(*in_row, UINT32_MAX - 1) + 1 : 1;
    *last_ok = ok;
    switch (now) {
    case LT_CHECKED_NOT:
    case LT_CHECKED_UP:
        return !ok && *in_row >= o->fall ? LT_CHECKED_DOWN : ok ? LT_CHECKED_UP : now;
    case LT_CHECKED_DOWN:
        return ok && *in_row >= o->rise ? LT_CHECKED_UP : LT_CHECKED_DOWN;
    }
    return now;
}

void lt_server_set_checked(struct lt_server_state *state, enum lt_checked checked, uint64_t now_us)
{
    if (checked == LT_CHECKED_UP && LOAD(state->checked) == LT_CHECKED_DOWN) {
        STORE(state->up_since_us, lt_max(now_us, LOAD(state->ejected_until_us)));
    }
    STORE(state->checked, (uint32_t)checked);
}

void lt_server_connect_result(struct lt_pools *pools, struct lt_server *server, bool ok)
{
    struct lt_server_state *state = server->state;
    uint64_t now_us = pools->loop->now_us;
    if (ok) {
        /* Read first: in the steady state the shared line is not written. */
        if (LOAD(state->failures) > 0) {
            STORE(state->failures, 0);
            STORE(state->down_until_us, 0);
            STORE(state->up_since_us, lt_max(now_us, LOAD(state->ejected_until_us)));
        }
        return;
    }
    uint32_t failures = ADD(state->failures, 1);
    uint64_t us = failures < 7 ? DOWN_FIRST_US << failures : DOWN_MAX_US;
    STORE(state->down_until_us, now_us + lt_min(us, DOWN_MAX_US));
}

/* ---- Ejecting. ---- */

const char *lt_eject_why_name(enum lt_eject_why why)
{
    switch (why) {
    case LT_EJECT_ERRORS:
        return "errors";
    case LT_EJECT_RATE:
        return "rate";
    case LT_EJECT_LATENCY:
        return "latency";
    }
    return "";
}

/* Whether one more of them may be ejected. */
static bool has_room(const struct lt_server_set *set, uint32_t share, uint64_t now_us)
{
    uint64_t most = (uint64_t)set->n * share / 10000;
    unsigned n = 0;
    if (most == 0 && set->n > 1) {
        most = 1;
    }
    for (unsigned i = 0; i < set->n; i++) {
        n += ejected(set->v[i].state, now_us);
    }
    return n < most;
}

bool lt_server_eject(const struct lt_server *server, enum lt_eject_why why, uint64_t now_us)
{
    const struct lt_upstream *u = server->upstream;
    const struct lt_outlier_options *o = &u->health.outliers;
    struct lt_server_state *state = server->state;
    /* Acquire, and release below: who gets the flag next sees the ejections of who had it. Whoever
     * doesn't get it leaves it: the next error asks again. */
    if (atomic_exchange_explicit(&u->state->ejecting, true, memory_order_acquire)) {
        return false;
    }
    bool may = !ejected(state, now_us) && has_room(lt_upstream_set(u), o->share, now_us);
    if (may) {
        uint64_t last_us = LOAD(state->ejected_until_us);
        bool again = last_us > 0 && now_us - last_us < o->max_time_ms * 1000;
        uint32_t before = again ? LOAD(state->ejections) : 0;
        uint64_t ms = lt_min(o->time_ms << lt_min(before, DOUBLINGS_MAX), o->max_time_ms);
        STORE(state->ejections, before + 1);
        STORE(state->ejections_total, LOAD(state->ejections_total) + 1);
        STORE(state->ejected_for, (uint32_t)why);
        STORE(state->ejected_until_us, now_us + ms * 1000);
        STORE(state->up_since_us, now_us + ms * 1000);
        STORE(state->errors, 0);
    }
    atomic_store_explicit(&u->state->ejecting, false, memory_order_release);
    return may;
}

/* ---- What requests show. ---- */

bool lt_health_blames(enum lt_cause cause)
{
    switch (cause) {
    case LT_CAUSE_NONE:
    case LT_CAUSE_CLIENT_GONE:
    case LT_CAUSE_CLIENT_WRITE_TIMEOUT:
    case LT_CAUSE_NO_DESCRIPTORS:
    case LT_CAUSE_STREAMS_EXHAUSTED:
    case LT_CAUSE_STREAM_REFUSED: /* it says itself that it did nothing for it */
    case LT_CAUSE_UPGRADE_UNEXPECTED:
    case LT_CAUSE_UPGRADE_UNSUPPORTED:
    case LT_CAUSE_UPGRADE_REFUSED:
    case LT_CAUSE_TUNNEL_IDLE:
    case LT_CAUSE_CALL_SILENT: /* as for a tunnel: whose turn it was isn't known */
    case LT_CAUSE_TUNNEL_CUT:
    case LT_CAUSE_DEADLINE: /* who used the time up isn't known */
        return false;
    default:
        break; /* a default on purpose: the rest is told apart by its stage */
    }
    enum lt_stage stage = lt_cause_info(cause)->stage;
    return stage >= LT_STAGE_CONNECT && stage <= LT_STAGE_RELAY;
}

static void count_in_row(struct lt_server *server, bool bad, uint64_t now_us)
{
    const struct lt_outlier_options *o = &server->upstream->health.outliers;
    struct lt_server_state *state = server->state;
    if (!bad) {
        if (LOAD(state->errors) > 0) {
            STORE(state->errors, 0);
        }
        return;
    }
    uint32_t n = ADD(state->errors, 1) + 1;
    if (o->errors > 0 && n >= o->errors) {
        (void)lt_server_eject(server, LT_EJECT_ERRORS, now_us);
    }
}

/* Brings the shared sums up to date. */
static void tell_tally(struct lt_server *server, struct lt_tally *tally, uint64_t now_us)
{
    struct lt_server_state *state = server->state;
    const struct lt_upstream *u = server->upstream;
    if (u->health.outliers.enabled) {
        ADD(state->tries, tally->tries);
        ADD(state->bad, tally->bad);
        ADD(state->first_us, tally->first_us);
    }
    if (u->health.breaker.enabled) {
        lt_breaker_count(&u->health.breaker, u->state, tally->tries, tally->breaker_bad, now_us);
    }
    *tally = (struct lt_tally){.told_us = now_us};
}

void lt_health_tell(struct lt_pools *pools, struct lt_server *server, const struct lt_try *t)
{
    const struct lt_upstream *u = server->upstream;
    const struct lt_health_options *h = &u->health;
    struct lt_pool *pool;
    uint64_t now_us = pools->loop->now_us;
    bool failed = t->cause != LT_CAUSE_NONE;
    if (failed) {
        STORE(server->state->last_cause, (uint32_t)t->cause);
    }
    if ((!h->outliers.enabled && !h->breaker.enabled) ||
        (pool = lt_pool_get(pools, server->state)) == NULL) {
        return;
    }
    bool bad = failed || lt_status_set_has(&h->outliers.statuses, t->status);
    bool breaker_bad = failed || lt_status_set_has(&h->breaker.statuses, t->status);
    if (h->outliers.enabled) {
        count_in_row(server, bad, now_us);
    }
    if (t->trial) {
        lt_breaker_tried(&h->breaker, u->state, !breaker_bad, now_us);
    }
    struct lt_tally *tally = &pool->tally;
    tally->tries++;
    tally->bad += bad;
    tally->breaker_bad += breaker_bad;
    tally->first_us += t->first_us;
    if (bad || breaker_bad || now_us - tally->told_us >= TELL_US) {
        tell_tally(server, tally, now_us);
    }
}
