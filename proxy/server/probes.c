/* SPDX-License-Identifier: Apache-2.0 */
/* A probe stays with a server's long-lived state over snapshots and sets; the server itself is
 * looked up in the set of the moment for each check. */
#include "server/probes.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/gateway.h"
#include "server/probe.h"
#include "upstream/breaker.h"
#include "upstream/health.h"
#include "upstream/pool.h"

#define LOOK_MS 500u
/* Log lines about servers in one look; the rest is counted in one more. */
#define LINES_MAX 20u

/* ---- The servers as they are now. ---- */

static bool make_room(struct lt_probes *all, uint32_t id)
{
    if (id < all->n) {
        return true;
    }
    uint32_t n = lt_max(id + 1, all->n * 2);
    struct lt_probe **v = lt_realloc(all->v, n, sizeof(struct lt_probe *));
    if (v == NULL) {
        return false;
    }
    memset(v + all->n, 0, (n - all->n) * sizeof(struct lt_probe *));
    all->v = v;
    all->n = n;
    return true;
}

static struct lt_probe *probe_new(struct lt_probes *all, struct lt_server_state *state)
{
    struct lt_probe *p = make_room(all, state->id) ? lt_calloc(1, sizeof(*p)) : NULL;
    if (p == NULL) {
        return NULL; /* the next look tries again */
    }
    p->probes = all;
    p->state = state;
    lt_server_state_hold(state);
    lt_timer_init(&p->timer, all->gateway->loop, lt_probe_on_timer, p);
    all->v[state->id] = p;
    p->last_ok = true;
    p->fresh = true;
    return p;
}

static void probe_free(struct lt_probe *p)
{
    struct lt_probes *all = p->probes;
    lt_probe_stop(p);
    lt_timer_fini(&p->timer);
    all->v[p->state->id] = NULL;
    atomic_store_explicit(&p->state->checked, LT_CHECKED_NOT, memory_order_relaxed);
    lt_server_state_drop(p->state);
    lt_free(p);
}

/* A probe for each server of the upstream; gives how many are new. */
static unsigned meet(struct lt_probes *all, unsigned number)
{
    const struct lt_upstream *u = &all->gateway->current->upstreams[number];
    const struct lt_server_set *set = lt_upstream_set(u);
    unsigned fresh = 0;
    for (unsigned i = 0; i < set->n; i++) {
        struct lt_server_state *state = set->v[i].state;
        struct lt_probe *p = state->id < all->n ? all->v[state->id] : NULL;
        p = p != NULL ? p : probe_new(all, state);
        if (p != NULL) {
            p->upstream = number;
            p->index = i;
            p->round = all->round;
            fresh += p->fresh;
        }
    }
    return fresh;
}

/* Whether the upstream still wants what the probe does; new ones begin, spread over the interval
 * when they are many. */
static void begin(struct lt_probes *all, unsigned number, unsigned fresh)
{
    const struct lt_upstream *u = &all->gateway->current->upstreams[number];
    const struct lt_server_set *set = lt_upstream_set(u);
    const struct lt_check_options *o = &u->health.check;
    unsigned at = 0;
    for (unsigned i = 0; i < set->n; i++) {
        struct lt_probe *p = set->v[i].state->id < all->n ? all->v[set->v[i].state->id] : NULL;
        if (p == NULL) {
            continue;
        }
        if (!lt_probe_wanted(p, &set->v[i])) {
            lt_probe_leave(p, &set->v[i]);
        } else if (!p->active) {
            bool spread = fresh > all->at_once;
            p->active = true;
            lt_timer_set(&p->timer, spread ? o->every_ms * at / fresh + 1 : 1);
            at++;
        }
        if (p->fresh) {
            enum lt_probe_condition condition = lt_probe_condition(p, &set->v[i]);
            p->told_down = condition != LT_PROBE_UP;
            p->waits = condition == LT_PROBE_CHECK;
            p->fresh = false;
        }
    }
}

static void meet_all(struct lt_probes *all)
{
    const struct lt_snapshot *s = all->gateway->current;
    all->round++;
    all->at_once = (unsigned)s->root->conf->limits.health_checks;
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        unsigned fresh = meet(all, i);
        begin(all, i, fresh);
    }
    for (uint32_t i = 0; i < all->n; i++) {
        if (all->v[i] != NULL && all->v[i]->round != all->round) {
            probe_free(all->v[i]);
        }
    }
}

void lt_probes_sweep(struct lt_probes *all)
{
    if (all != NULL) {
        lt_pools_sweep(all->pools);
    }
}

/* ---- What requests show. ---- */

static struct lt_probe *probe_of(const struct lt_probes *all, const struct lt_server *server)
{
    uint32_t id = server->state->id;
    return id < all->n ? all->v[id] : NULL;
}

static struct lt_outlier_sums totals(const struct lt_server_state *state)
{
    return (struct lt_outlier_sums){
        .tries = atomic_load_explicit(&state->tries, memory_order_relaxed),
        .bad = atomic_load_explicit(&state->bad, memory_order_relaxed),
        .first_us = atomic_load_explicit(&state->first_us, memory_order_relaxed)};
}

/* The median of the servers' latencies; 0: it can't be said. */
static uint64_t median(struct lt_probes *all, const struct lt_upstream *u)
{
    const struct lt_server_set *set = lt_upstream_set(u);
    const struct lt_outlier_options *o = &u->health.outliers;
    uint64_t *means = o->latency > 0 ? lt_calloc(lt_max(set->n, 1u), sizeof(*means)) : NULL;
    size_t n = 0;
    for (unsigned i = 0; means != NULL && i < set->n; i++) {
        const struct lt_probe *p = probe_of(all, &set->v[i]);
        struct lt_outlier_sums sum =
            p != NULL ? lt_outlier_sum(&p->window) : (struct lt_outlier_sums){.tries = 0};
        if (sum.tries >= o->requests) {
            means[n++] = sum.first_us / sum.tries;
        }
    }
    uint64_t result = means != NULL ? lt_outlier_median(means, n) : 0;
    lt_free(means);
    return result;
}

static void judge(struct lt_probes *all, const struct lt_upstream *u)
{
    const struct lt_server_set *set = lt_upstream_set(u);
    uint64_t middle_us = median(all, u);
    for (unsigned i = 0; i < set->n; i++) {
        struct lt_probe *p = probe_of(all, &set->v[i]);
        if (p == NULL) {
            continue;
        }
        struct lt_outlier_sums sum = lt_outlier_sum(&p->window);
        enum lt_outlier outlier = lt_outlier_judge(&u->health.outliers, &sum, middle_us);
        if (outlier != LT_OUTLIER_NO &&
            lt_server_eject(&set->v[i],
                            outlier == LT_OUTLIER_RATE ? LT_EJECT_RATE : LT_EJECT_LATENCY,
                            all->gateway->loop->now_us)) {
            lt_outlier_clear(&p->window);
        }
    }
}

/* Windows slide at their own pace: a tenth of them each. */
static void slide(struct lt_probes *all, const struct lt_upstream *u)
{
    const struct lt_server_set *set = lt_upstream_set(u);
    uint64_t step_us = u->health.outliers.window_ms * 1000 / LT_OUTLIER_STEPS;
    uint64_t now_us = all->gateway->loop->now_us;
    for (unsigned i = 0; i < set->n; i++) {
        struct lt_probe *p = probe_of(all, &set->v[i]);
        if (p == NULL || now_us - p->step_us < step_us) {
            continue;
        }
        struct lt_outlier_sums total = totals(p->state);
        if (now_us - p->step_us > step_us * LT_OUTLIER_STEPS) {
            lt_outlier_start(&p->window, &total); /* what is older is nobody's fault now */
        } else {
            lt_outlier_step(&p->window, &total);
        }
        p->step_us = now_us;
    }
}

static void compare(struct lt_probes *all)
{
    const struct lt_snapshot *s = all->gateway->current;
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        const struct lt_upstream *u = &s->upstreams[i];
        const struct lt_outlier_options *o = &u->health.outliers;
        if (o->enabled && (o->rate > 0 || o->latency > 0)) {
            slide(all, u);
            judge(all, u);
        }
    }
}

/* ---- Telling. ---- */

static void tell_changes(struct lt_probes *all)
{
    unsigned lines = 0, more = 0;
    for (uint32_t i = 0; i < all->n; i++) {
        struct lt_probe *p = all->v[i];
        const struct lt_server *server = p != NULL ? lt_probe_server(p) : NULL;
        if (server == NULL) {
            continue;
        }
        if ((lt_probe_condition(p, server) != LT_PROBE_UP) != p->told_down) {
            bool room = lines < LINES_MAX;
            lt_probe_tell(p, server, room);
            lines += room;
            more += !room;
        }
    }
    if (more > 0) {
        lt_log_warn("health", "servers_changed", LT_KV_INT("more", more),
                    LT_KV_CSTR("hint", "the status has the state of each"));
    }
}

static void tell_breakers(struct lt_probes *all)
{
    const struct lt_snapshot *s = all->gateway->current;
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        const struct lt_upstream *u = &s->upstreams[i];
        uint32_t id = u->state->id;
        bool open = u->health.breaker.enabled && lt_breaker_state(u->state) != LT_BREAKER_CLOSED;
        if (id >= LT_PROBES_BREAKERS_MAX || open == all->told_open[id]) {
            continue;
        }
        all->told_open[id] = open;
        if (open) {
            lt_log_warn("health", "breaker_opened", LT_KV_STR("upstream", u->name));
        } else {
            lt_log_info("health", "breaker_closed", LT_KV_STR("upstream", u->name));
        }
    }
}

void lt_probes_look(struct lt_probes *all)
{
    if (all->stopped || all->gateway->current == NULL) {
        return;
    }
    meet_all(all);
    compare(all);
    tell_changes(all);
    tell_breakers(all);
}

static void on_timer(void *arg)
{
    struct lt_probes *all = arg;
    lt_probes_look(all);
    lt_timer_set(&all->timer, LOOK_MS);
}

/* ---- Life. ---- */

struct lt_probes *lt_probes_new(struct lt_gateway *gateway)
{
    struct lt_probes *all = lt_calloc(1, sizeof(*all));
    if (all == NULL) {
        return NULL;
    }
    all->gateway = gateway;
    all->pools = lt_pools_new(gateway->loop, NULL);
    if (all->pools == NULL) {
        lt_free(all);
        return NULL;
    }
    lt_list_init(&all->waiting);
    lt_timer_init(&all->timer, gateway->loop, on_timer, all);
    lt_timer_set(&all->timer, LOOK_MS);
    return all;
}

void lt_probes_stop(struct lt_probes *all)
{
    if (all == NULL || all->stopped) {
        return;
    }
    all->stopped = true;
    lt_timer_clear(&all->timer);
    for (uint32_t i = 0; i < all->n; i++) {
        if (all->v[i] != NULL) {
            lt_probe_stop(all->v[i]);
        }
    }
}

void lt_probes_free(struct lt_probes *all)
{
    if (all == NULL) {
        return;
    }
    for (uint32_t i = 0; i < all->n; i++) {
        if (all->v[i] != NULL) {
            probe_free(all->v[i]);
        }
    }
    lt_timer_fini(&all->timer);
    lt_pools_free(all->pools);
    lt_free(all->v);
    lt_free(all);
}
