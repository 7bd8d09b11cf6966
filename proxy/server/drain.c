/* SPDX-License-Identifier: Apache-2.0 */
/* Draining, one state after the other. */
#include "server/drain.h"

#include "base/log.h"
#include "server/gateway.h"

/* How long connections may take to go once they were closed. */
#define CUT_MS 1000u

static void cut(struct lt_gateway *g, const char *why);

static void end(struct lt_gateway *g)
{
    g->drain.state = LT_DRAIN_OVER;
    lt_timer_clear(&g->drain.timer);
    lt_dns_servers_hurry(g->dns);
    /* Workers hold views of a reload that is under way, or have a part in taking up filters: that
     * ends first. */
    if (g->reload.state != LT_RELOAD_PREPARING && g->reload.state != LT_RELOAD_COMMITTING &&
        !lt_filter_swap_holds_workers(g)) {
        lt_gateway_end(g, 0);
    }
}

static void stop_accepting(struct lt_gateway *g)
{
    g->drain.state = LT_DRAIN_FINISH;
    g->drain.accepting = g->drain.busy = g->n_workers;
    for (unsigned i = 0; i < g->n_workers; i++) {
        lt_worker_drain(g->workers[i]);
    }
    lt_timer_set(&g->drain.timer, g->current->root->conf->drain.timeout_ms);
}

static void on_timer(void *arg)
{
    struct lt_gateway *g = arg;
    switch (g->drain.state) {
    case LT_DRAIN_DELAY:
        stop_accepting(g);
        break;
    case LT_DRAIN_FINISH:
        cut(g, "drain.timeout");
        break;
    case LT_DRAIN_CUT:
        end(g);
        break;
    case LT_DRAIN_NONE:
    case LT_DRAIN_OVER:
        break;
    }
}

static void cut(struct lt_gateway *g, const char *why)
{
    lt_log_warn("drain", "cut", LT_KV_CSTR("why", why),
                LT_KV_INT("connections",
                          atomic_load_explicit(&g->shared.connections, memory_order_relaxed)));
    g->drain.state = LT_DRAIN_CUT;
    for (unsigned i = 0; i < g->n_workers; i++) {
        lt_worker_cut(g->workers[i]);
    }
    lt_timer_set(&g->drain.timer, CUT_MS);
}

void lt_drain_start(struct lt_gateway *g, const char *why)
{
    if (g->drain.state != LT_DRAIN_NONE) {
        return;
    }
    g->ready = false;
    lt_timer_init(&g->drain.timer, g->loop, on_timer, g);
    if (g->current == NULL) {
        end(g); /* nothing was served yet */
        return;
    }
    const struct lt_drain_conf *conf = &g->current->root->conf->drain;
    lt_log_info("drain", "draining", LT_KV_CSTR("why", why), LT_KV_INT("delay_ms", conf->delay_ms),
                LT_KV_INT("timeout_ms", conf->timeout_ms),
                LT_KV_INT("connections",
                          atomic_load_explicit(&g->shared.connections, memory_order_relaxed)));
    g->drain.state = LT_DRAIN_DELAY;
    if (conf->delay_ms > 0) {
        lt_timer_set(&g->drain.timer, conf->delay_ms);
    } else {
        stop_accepting(g);
    }
}

void lt_drain_hurry(struct lt_gateway *g)
{
    lt_drain_start(g, "asked to end at once");
    if (g->drain.state == LT_DRAIN_DELAY) {
        stop_accepting(g);
    }
    if (g->drain.state == LT_DRAIN_FINISH) {
        cut(g, "asked to end at once");
    }
}

void lt_drain_on_stopped(struct lt_gateway *g)
{
    if (--g->drain.accepting == 0) {
        /* As long as one process has them open, the kernel takes connections that nobody serves. */
        for (unsigned i = 0; i < g->slots.n; i++) {
            lt_slot_close(&g->slots.v[i]);
        }
        lt_gateway_tell(g, LT_CONTROL_STOPPED, 0, -1);
    }
}

void lt_drain_on_idle(struct lt_gateway *g)
{
    if (--g->drain.busy == 0) {
        end(g);
    }
}

uint64_t lt_drain_limit_ms(const struct lt_gateway *g)
{
    const struct lt_drain_conf *conf = &g->current->root->conf->drain;
    return conf->delay_ms + conf->timeout_ms + CUT_MS;
}
