/* SPDX-License-Identifier: Apache-2.0 */
/* One server's checks: when, how many at once, and what follows from them. Main thread. */
#include "server/probe.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/gateway.h"
#include "server/probes.h"

/* ---- What is known. ---- */

const struct lt_server *lt_probe_server(const struct lt_probe *p)
{
    const struct lt_snapshot *s = p->probes->gateway->current;
    if (s == NULL || p->upstream >= s->n_upstreams) {
        return NULL;
    }
    const struct lt_server_set *set = lt_upstream_set(&s->upstreams[p->upstream]);
    return p->index < set->n && set->v[p->index].state == p->state ? &set->v[p->index] : NULL;
}

enum lt_probe_condition lt_probe_condition(const struct lt_probe *p, const struct lt_server *server)
{
    const struct lt_server_state *state = p->state;
    const struct lt_health_options *o = &server->upstream->health;
    uint64_t now_us = p->probes->gateway->loop->now_us;
    if (o->check.kind != LT_CHECK_NO &&
        atomic_load_explicit(&state->checked, memory_order_relaxed) == LT_CHECKED_DOWN) {
        return LT_PROBE_CHECK;
    }
    if (o->outliers.enabled &&
        atomic_load_explicit(&state->ejected_until_us, memory_order_relaxed) > now_us) {
        return LT_PROBE_EJECTED;
    }
    return atomic_load_explicit(&state->failures, memory_order_relaxed) > 0 ? LT_PROBE_CONNECT
                                                                            : LT_PROBE_UP;
}

static const char *reason(enum lt_probe_condition condition)
{
    switch (condition) {
    case LT_PROBE_UP:
        return "";
    case LT_PROBE_CHECK:
        return "its checks failed";
    case LT_PROBE_EJECTED:
        return "ejected for its requests";
    case LT_PROBE_CONNECT:
        return "it can't be connected to";
    }
    return "";
}

static struct lt_str detail(const struct lt_probe *p, enum lt_probe_condition condition)
{
    const struct lt_server_state *state = p->state;
    enum lt_cause cause =
        (enum lt_cause)atomic_load_explicit(&state->last_cause, memory_order_relaxed);
    switch (condition) {
    case LT_PROBE_UP:
        break;
    case LT_PROBE_CHECK:
        return lt_str_c(p->text);
    case LT_PROBE_EJECTED:
        return lt_str_c(lt_eject_why_name(
            (enum lt_eject_why)atomic_load_explicit(&state->ejected_for, memory_order_relaxed)));
    case LT_PROBE_CONNECT:
        /* Only a check met it so far. */
        return lt_str_c(cause != LT_CAUSE_NONE ? lt_cause_info(cause)->name : p->text);
    }
    return LT_STR_NONE;
}

void lt_probe_tell(struct lt_probe *p, const struct lt_server *server, bool log)
{
    enum lt_probe_condition condition = lt_probe_condition(p, server);
    uint64_t now_us = p->probes->gateway->loop->now_us;
    struct lt_str upstream = server->upstream->name;
    p->told_down = condition != LT_PROBE_UP;
    if (log && p->told_down) {
        lt_log_warn("health", "server_down", LT_KV_STR("upstream", upstream),
                    LT_KV_STR("server", server->name), LT_KV_CSTR("reason", reason(condition)),
                    LT_KV_STR("detail", detail(p, condition)));
    } else if (log) {
        lt_log_info("health", "server_up", LT_KV_STR("upstream", upstream),
                    LT_KV_STR("server", server->name),
                    LT_KV_INT("after_ms", p->down_us > 0 ? (now_us - p->down_us) / 1000 : 0));
    }
    p->down_us = now_us;
}

/* ---- Checks. ---- */

bool lt_probe_wanted(const struct lt_probe *p, const struct lt_server *server)
{
    return server->upstream->health.check.kind != LT_CHECK_NO &&
           lt_server_admin(p->state) != LT_SERVER_MAINTENANCE;
}

static void start_next(struct lt_probes *all);

/* The interval, longer or shorter by lot. */
static void set_timer(struct lt_probe *p, const struct lt_check_options *o)
{
    bool down = atomic_load_explicit(&p->state->checked, memory_order_relaxed) == LT_CHECKED_DOWN;
    uint64_t us = (down || !p->last_ok ? o->down_every_ms : o->every_ms) * 1000;
    uint64_t swing = lt_min(us / 10000 * o->jitter, (uint64_t)INT32_MAX);
    if (swing > 0) {
        us = us - swing + lt_rand_below(&p->probes->gateway->loop->rand, (uint32_t)swing * 2 + 1);
    }
    lt_timer_set(&p->timer, lt_max(us / 1000, UINT64_C(1)));
}

static void note(struct lt_probe *p, const struct lt_check_options *o, bool ok, struct lt_str why)
{
    struct lt_loop *loop = p->probes->gateway->loop;
    enum lt_checked before =
        (enum lt_checked)atomic_load_explicit(&p->state->checked, memory_order_relaxed);
    enum lt_checked after = lt_check_count(o, before, ok, &p->last_ok, &p->in_row);
    p->checks++;
    if (!ok) {
        p->told_down = p->told_down && !p->waits;
        p->failed++;
        p->failed_wall_us = loop->wall_us;
        memcpy(p->text, why.p, lt_min(why.len, sizeof(p->text) - 1));
        p->text[lt_min(why.len, sizeof(p->text) - 1)] = '\0';
    }
    p->waits = false;
    if (after != before) {
        lt_server_set_checked(p->state, after, loop->now_us);
        if (after == LT_CHECKED_UP) {
            /* Requests that wait for a server look again. */
            lt_server_sets_round(p->probes->gateway->sets, NULL);
        }
    }
}

static void on_checked(void *owner, bool ok, struct lt_str why)
{
    struct lt_probe_run *run = owner;
    struct lt_probes *all = run->probes;
    struct lt_probe *p = run->probe;
    if (p != NULL) {
        const struct lt_check_options *o = run->check.options;
        p->run = NULL;
        note(p, o, ok, why);
        set_timer(p, o);
    }
    all->n_runs--;
    lt_gateway_put_snapshot(all->gateway, run->snapshot);
    lt_free(run);
    start_next(all);
}

static void start(struct lt_probe *p)
{
    struct lt_probes *all = p->probes;
    const struct lt_server *server = lt_probe_server(p);
    if (server == NULL || !lt_probe_wanted(p, server)) {
        if (server != NULL) {
            lt_probe_leave(p, server);
        }
        p->active = false; /* the next look begins anew */
        return;
    }
    struct lt_probe_run *run = lt_calloc(1, sizeof(*run));
    if (run == NULL) {
        set_timer(p, &server->upstream->health.check);
        return;
    }
    run->probe = p;
    run->probes = all;
    run->snapshot = lt_gateway_hold_current(all->gateway);
    p->run = run;
    all->n_runs++;
    lt_check_start(&run->check, all->pools, server, on_checked, run);
}

static void start_next(struct lt_probes *all)
{
    struct lt_list *link;
    while (!all->stopped && all->n_runs < all->at_once &&
           (link = lt_list_pop_front(&all->waiting)) != NULL) {
        start(lt_container_of(link, struct lt_probe, link));
    }
}

void lt_probe_on_timer(void *probe)
{
    struct lt_probe *p = probe;
    if (p->active && p->run == NULL && !lt_list_linked(&p->link)) {
        lt_list_push_back(&p->probes->waiting, &p->link);
        start_next(p->probes);
    }
}

void lt_probe_stop(struct lt_probe *p)
{
    lt_timer_clear(&p->timer);
    lt_list_remove(&p->link);
    if (p->run != NULL) {
        p->run->probe = NULL;
        lt_check_cancel(&p->run->check);
        p->run = NULL;
    }
    if (p->active) {
        p->active = false;
        p->in_row = 0;
        p->last_ok = true;
    }
}

void lt_probe_leave(struct lt_probe *p, const struct lt_server *server)
{
    const struct lt_check_options *o = &server->upstream->health.check;
    bool active = p->active;
    lt_probe_stop(p);
    if (!active) {
        return;
    }
    if (o->kind == LT_CHECK_NO || o->init_down) {
        lt_server_set_checked(p->state, o->kind == LT_CHECK_NO ? LT_CHECKED_NOT : LT_CHECKED_DOWN,
                              p->probes->gateway->loop->now_us);
    }
    bool down = lt_probe_condition(p, server) != LT_PROBE_UP;
    p->waits = down && (p->waits || !p->told_down);
    p->told_down = down;
}
