/* SPDX-License-Identifier: Apache-2.0 */
/* What is told about the health of servers: status and metrics. Main thread. */
#include "base/clock.h"
#include "server/gateway.h"
#include "server/probe.h"
#include "server/probes.h"
#include "upstream/breaker.h"

/* Servers with rows of their own in the metrics. */
#define SERVERS_MAX 2000u

static const struct lt_probe *probe_of(const struct lt_probes *all, const struct lt_server *server)
{
    uint32_t id = server->state->id;
    return id < all->n ? all->v[id] : NULL;
}

/* ---- Status. ---- */

static const char *const conditions[] = {
    [LT_PROBE_UP] = "up",
    [LT_PROBE_CHECK] = "checks_failed",
    [LT_PROBE_EJECTED] = "ejected",
    [LT_PROBE_CONNECT] = "connect_failed",
};

static void put_check(const struct lt_probe *p, struct lt_buf *out)
{
    static const char *const names[] = {
        [LT_CHECKED_NOT] = "unknown", [LT_CHECKED_UP] = "up", [LT_CHECKED_DOWN] = "down"};
    char time[LT_LOG_TIME_LEN];
    lt_buf_printf(out, ",\"check\":{\"state\":\"%s\",\"checks\":%llu,\"failed\":%llu",
                  names[atomic_load_explicit(&p->state->checked, memory_order_relaxed)],
                  (unsigned long long)p->checks, (unsigned long long)p->failed);
    if (p->failed_wall_us > 0) {
        lt_clock_log_time(p->failed_wall_us, time);
        lt_buf_printf(out, ",\"last_error\":");
        lt_buf_json_str(out, lt_str_c(p->text));
        lt_buf_printf(out, ",\"last_error_at\":\"%.*s\"", (int)sizeof(time), time);
    }
    lt_buf_char(out, '}');
}

void lt_probes_put_server(const struct lt_probes *all, const struct lt_server *server,
                          struct lt_buf *out)
{
    const struct lt_probe *p = probe_of(all, server);
    const struct lt_server_state *state = server->state;
    uint64_t now_us = all->gateway->loop->now_us;
    uint64_t until_us = atomic_load_explicit(&state->ejected_until_us, memory_order_relaxed);
    if (p == NULL) {
        return;
    }
    enum lt_probe_condition condition = lt_probe_condition(p, server);
    lt_buf_printf(out, ",\"health\":\"%s\"", conditions[condition]);
    enum lt_cause cause =
        (enum lt_cause)atomic_load_explicit(&state->last_cause, memory_order_relaxed);
    if (condition == LT_PROBE_CHECK || cause != LT_CAUSE_NONE) {
        lt_buf_printf(out, ",\"last_error\":");
        lt_buf_json_str(
            out, lt_str_c(condition == LT_PROBE_CHECK ? p->text : lt_cause_info(cause)->name));
    }
    if (server->upstream->health.outliers.enabled) {
        lt_buf_printf(out, ",\"ejections\":%u,\"ejected_ms\":%llu",
                      atomic_load_explicit(&state->ejections_total, memory_order_relaxed),
                      (unsigned long long)(until_us > now_us ? (until_us - now_us) / 1000 : 0));
    }
    if (p->active) {
        put_check(p, out);
    }
}

void lt_probes_put_upstream(const struct lt_probes *all, const struct lt_upstream *upstream,
                            struct lt_buf *out)
{
    struct lt_fit_counts counts =
        lt_fit_count(lt_upstream_set(upstream), all->gateway->loop->now_us);
    lt_buf_printf(out, ",\"up\":%u", counts.up);
    if (upstream->health.breaker.enabled) {
        lt_buf_printf(out, ",\"breaker\":\"%s\"",
                      lt_breaker_name(lt_breaker_state(upstream->state)));
    }
}

/* ---- Metrics. ---- */

static void type_line(struct lt_buf *out, const char *name, const char *type, const char *doc)
{
    lt_buf_printf(out, "# HELP lintel_%s %s\n# TYPE lintel_%s %s\n", name, doc, name, type);
}

static void sample(struct lt_buf *out, const char *name, const struct lt_server *server,
                   uint64_t value)
{
    lt_buf_printf(out, "lintel_%s{upstream=\"", name);
    lt_metrics_label(out, server->upstream->name);
    lt_buf_printf(out, "\",server=\"");
    lt_metrics_label(out, server->name);
    lt_buf_printf(out, "\"} %llu\n", (unsigned long long)value);
}

static uint64_t up_of(const struct lt_probe *p, const struct lt_server *server)
{
    return lt_probe_condition(p, server) == LT_PROBE_UP &&
           lt_server_admin(p->state) == LT_SERVER_READY;
}

static uint64_t checks_of(const struct lt_probe *p, const struct lt_server *server LT_UNUSED)
{
    return p->checks;
}

static uint64_t failed_of(const struct lt_probe *p, const struct lt_server *server LT_UNUSED)
{
    return p->failed;
}

static uint64_t ejections_of(const struct lt_probe *p, const struct lt_server *server LT_UNUSED)
{
    return atomic_load_explicit(&p->state->ejections_total, memory_order_relaxed);
}

static void write_servers(const struct lt_probes *all, struct lt_buf *out, const char *name,
                          const char *type, const char *doc,
                          uint64_t (*value)(const struct lt_probe *p,
                                            const struct lt_server *server))
{
    const struct lt_snapshot *s = all->gateway->current;
    unsigned n = 0;
    type_line(out, name, type, doc);
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        const struct lt_server_set *set = lt_upstream_set(&s->upstreams[i]);
        for (unsigned j = 0; j < set->n && n < SERVERS_MAX; j++) {
            const struct lt_probe *p = probe_of(all, &set->v[j]);
            if (p != NULL) {
                sample(out, name, &set->v[j], value(p, &set->v[j]));
                n++;
            }
        }
    }
}

static void write_breakers(const struct lt_probes *all, struct lt_buf *out)
{
    const struct lt_snapshot *s = all->gateway->current;
    type_line(out, "breaker_state", "gauge", "0: closed, 1: open, 2: half open.");
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        if (s->upstreams[i].health.breaker.enabled) {
            lt_buf_printf(out, "lintel_breaker_state{upstream=\"");
            lt_metrics_label(out, s->upstreams[i].name);
            lt_buf_printf(out, "\"} %u\n", (unsigned)lt_breaker_state(s->upstreams[i].state));
        }
    }
    type_line(out, "breaker_opened_total", "counter", "times that the breaker opened.");
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        if (s->upstreams[i].health.breaker.enabled) {
            lt_buf_printf(out, "lintel_breaker_opened_total{upstream=\"");
            lt_metrics_label(out, s->upstreams[i].name);
            lt_buf_printf(
                out, "\"} %u\n",
                atomic_load_explicit(&s->upstreams[i].state->breaker_opened, memory_order_relaxed));
        }
    }
}

void lt_probes_write_metrics(const struct lt_probes *all, struct lt_buf *out)
{
    if (all->gateway->current == NULL) {
        return;
    }
    write_servers(all, out, "server_up", "gauge", "1: the server gets requests.", up_of);
    write_servers(all, out, "server_checks_total", "counter", "health checks made.", checks_of);
    write_servers(all, out, "server_checks_failed_total", "counter", "health checks that failed.",
                  failed_of);
    write_servers(all, out, "server_ejections_total", "counter",
                  "times that the server was ejected for what its requests showed.", ejections_of);
    write_breakers(all, out);
}
