/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway says about itself: GET /status. Main thread. */
#include <unistd.h>

#include "base/clock.h"
#include "server/gateway.h"

static void put_key(struct lt_buf *out, const char *key)
{
    char last = out->p[out->len - 1];
    if (last != '{' && last != '[') {
        lt_buf_char(out, ',');
    }
    lt_buf_json_str(out, lt_str_c(key));
    lt_buf_char(out, ':');
}

static void put_num(struct lt_buf *out, const char *key, uint64_t n)
{
    put_key(out, key);
    lt_buf_u64(out, n);
}

static void put_str(struct lt_buf *out, const char *key, struct lt_str s)
{
    put_key(out, key);
    lt_buf_json_str(out, s);
}

static void put_bool(struct lt_buf *out, const char *key, bool b)
{
    put_key(out, key);
    lt_buf_printf(out, "%s", b ? "true" : "false");
}

static void put_time(struct lt_buf *out, const char *key, uint64_t wall_us)
{
    char time[LT_LOG_TIME_LEN];
    lt_clock_log_time(wall_us, time);
    put_str(out, key, lt_str(time, sizeof(time)));
}

/* A comma before all but the first element of a list. */
static void next_item(struct lt_buf *out)
{
    if (out->p[out->len - 1] != '[') {
        lt_buf_char(out, ',');
    }
}

static void put_config(struct lt_gateway *g, struct lt_buf *out)
{
    put_key(out, "config");
    lt_buf_char(out, '{');
    put_str(out, "file", lt_str_c(g->options->config));
    put_num(out, "number", g->current->number);
    put_str(out, "hash", lt_str(g->current->hash, LT_SNAPSHOT_HASH_LEN));
    put_time(out, "since", g->loaded_wall_us);
    put_num(out, "snapshots", g->snapshots);
    put_bool(out, "fallback", g->fallback);
    put_bool(out, "load_failed", g->load_failed);
    lt_buf_char(out, '}');
}

static void put_listeners(struct lt_gateway *g, struct lt_buf *out)
{
    put_key(out, "listeners");
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < g->slots.n; i++) {
        struct lt_slot *slot = &g->slots.v[i];
        uint32_t open = atomic_load_explicit(&slot->open, memory_order_relaxed);
        char text[LT_ADDR_TEXT_MAX];
        if (!slot->active && open == 0) {
            continue;
        }
        next_item(out);
        lt_buf_char(out, '{');
        put_str(out, "address", lt_str(text, lt_addr_print(&slot->bound, text)));
        put_bool(out, "tls", slot->options.tls);
        put_bool(out, "accepting", slot->active && g->drain.state < LT_DRAIN_FINISH);
        put_num(out, "connections", open);
        lt_buf_char(out, '}');
    }
    lt_buf_char(out, ']');
}

static void put_server(struct lt_gateway *g, struct lt_buf *out, const struct lt_server *server)
{
    const struct lt_server_state *state = server->state;
    uint64_t down_until = atomic_load_explicit(&state->down_until_us, memory_order_relaxed);
    next_item(out);
    lt_buf_char(out, '{');
    put_str(out, "address", server->name);
    if (server->max > 0) {
        put_num(out, "in_flight", lt_server_inflight(state));
        put_num(out, "max", server->max);
    }
    put_bool(out, "down", down_until > g->loop->now_us);
    put_num(out, "failures", atomic_load_explicit(&state->failures, memory_order_relaxed));
    lt_buf_char(out, '}');
}

static void put_upstreams(struct lt_gateway *g, struct lt_buf *out)
{
    put_key(out, "upstreams");
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < g->current->n_upstreams; i++) {
        const struct lt_upstream *u = &g->current->upstreams[i];
        next_item(out);
        lt_buf_char(out, '{');
        put_str(out, "name", u->name);
        put_key(out, "servers");
        lt_buf_char(out, '[');
        const struct lt_server_set *set = lt_upstream_set(u);
        for (unsigned j = 0; j < set->n; j++) {
            put_server(g, out, &set->v[j]);
        }
        lt_buf_add(out, "]}", 2);
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
}

void lt_gateway_status(struct lt_gateway *g, struct lt_buf *out)
{
    const char *state = g->ready ? "ready" : g->current == NULL ? "starting" : "draining";
    lt_gateway_refresh_metrics(g);
    lt_buf_char(out, '{');
    put_str(out, "version", LT_STR(PACKAGE_VERSION));
    put_str(out, "state", lt_str_c(state));
    put_num(out, "pid", (uint64_t)getpid());
    put_num(out, "generation", g->options->generation);
    put_time(out, "since", g->began_wall_us);
    put_num(out, "uptime_s", (lt_clock_us() - g->began_us) / 1000000);
    put_num(out, "workers", g->n_workers);
    put_num(out, "connections", atomic_load_explicit(&g->shared.connections, memory_order_relaxed));
    put_num(out, "exchanges", lt_metrics_sum(g->metrics, LT_COUNTER_EXCHANGES));
    put_num(out, "tunnels", lt_metrics_sum(g->metrics, LT_COUNTER_TUNNELS));
    put_num(out, "log_dropped", lt_metrics_sum(g->metrics, LT_COUNTER_LOG_DROPPED));
    if (g->current != NULL) {
        put_config(g, out);
        put_listeners(g, out);
        put_upstreams(g, out);
    }
    lt_buf_add(out, "}\n", 2);
}
