/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway says about itself: GET /status. Main thread. */
#include <unistd.h>

#include "base/clock.h"
#include "server/gateway.h"
#include "server/json.h"
#include "server/upstream_status.h"

static void put_config(struct lt_gateway *g, struct lt_buf *out)
{
    lt_json_key(out, "config");
    lt_buf_char(out, '{');
    lt_json_str(out, "file", lt_str_c(g->options->config));
    lt_json_num(out, "number", g->current->number);
    lt_json_str(out, "hash", lt_str(g->current->hash, LT_SNAPSHOT_HASH_LEN));
    lt_json_time(out, "since", g->loaded_wall_us);
    lt_json_num(out, "snapshots", g->snapshots);
    lt_json_bool(out, "fallback", g->fallback);
    lt_json_bool(out, "load_failed", g->load_failed);
    lt_buf_char(out, '}');
}

static void put_listeners(struct lt_gateway *g, struct lt_buf *out)
{
    lt_json_key(out, "listeners");
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < g->slots.n; i++) {
        struct lt_slot *slot = &g->slots.v[i];
        uint32_t open = atomic_load_explicit(&slot->open, memory_order_relaxed);
        char text[LT_ADDR_TEXT_MAX];
        if (!slot->active && open == 0) {
            continue;
        }
        lt_json_item(out);
        lt_buf_char(out, '{');
        lt_json_str(out, "address", lt_str(text, lt_addr_print(&slot->bound, text)));
        lt_json_bool(out, "tls", slot->options.tls);
        lt_json_bool(out, "accepting", slot->active && g->drain.state < LT_DRAIN_FINISH);
        lt_json_num(out, "connections", open);
        lt_buf_char(out, '}');
    }
    lt_buf_char(out, ']');
}

static void put_gauge(struct lt_buf *out, const char *name, const char *help, uint64_t value)
{
    lt_buf_printf(out, "# HELP lintel_%s %s\n# TYPE lintel_%s gauge\nlintel_%s %llu\n", name, help,
                  name, name, (unsigned long long)value);
}

void lt_gateway_write_metrics(const struct lt_gateway *g, struct lt_buf *out)
{
    put_gauge(out, "config_load_failed", "1: the last look at the configuration file found errors.",
              g->load_failed);
    put_gauge(out, "config_fallback",
              "1: in use is the last configuration that worked, since the file had errors when the "
              "gateway was started again.",
              g->fallback);
    lt_certs_write_metrics(&g->certs, out);
    lt_dns_servers_write_metrics(g->dns, out);
    lt_probes_write_metrics(g->probes, out);
    lt_limits_write_metrics(g->shared.limits, out);
}

void lt_gateway_status(struct lt_gateway *g, struct lt_buf *out)
{
    const char *state = g->ready ? "ready" : g->current == NULL ? "starting" : "draining";
    lt_gateway_refresh_metrics(g);
    lt_buf_char(out, '{');
    lt_json_str(out, "version", LT_STR(PACKAGE_VERSION));
    lt_json_str(out, "state", lt_str_c(state));
    lt_json_num(out, "pid", (uint64_t)getpid());
    lt_json_num(out, "generation", g->options->generation);
    lt_json_time(out, "since", g->began_wall_us);
    lt_json_num(out, "uptime_s", (lt_clock_us() - g->began_us) / 1000000);
    lt_json_num(out, "workers", g->n_workers);
    lt_json_num(out, "connections",
                atomic_load_explicit(&g->shared.connections, memory_order_relaxed));
    lt_json_num(out, "exchanges", lt_metrics_sum(g->metrics, LT_COUNTER_EXCHANGES));
    lt_json_num(out, "tunnels", lt_metrics_sum(g->metrics, LT_COUNTER_TUNNELS));
    lt_json_num(out, "log_dropped", lt_metrics_sum(g->metrics, LT_COUNTER_LOG_DROPPED));
    if (g->current != NULL) {
        put_config(g, out);
        put_listeners(g, out);
        lt_json_key(out, "upstreams");
        lt_upstreams_status(g, out);
        lt_dns_servers_write_status(g->dns, out);
    }
    lt_buf_add(out, "}\n", 2);
}
