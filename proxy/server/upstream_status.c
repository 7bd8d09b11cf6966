/* SPDX-License-Identifier: Apache-2.0 */
#include "server/upstream_status.h"

#include "server/gateway.h"
#include "server/json.h"
#include "upstream/health.h"

static const char *state_name(const struct lt_gateway *g, const struct lt_server *server)
{
    switch (lt_server_admin(server->state)) {
    case LT_SERVER_READY:
        break;
    case LT_SERVER_DRAIN:
        return lt_server_sets_empty(g->sets, server) ? "drained" : "draining";
    case LT_SERVER_MAINTENANCE:
        break;
    }
    return lt_server_admin_name(lt_server_admin(server->state));
}

static void put_server(const struct lt_gateway *g, const struct lt_server *server,
                       struct lt_buf *out)
{
    const struct lt_server_state *state = server->state;
    enum lt_fit fit = lt_server_fit(server, g->loop->now_us);
    uint64_t requests, us;
    struct lt_server_count count = lt_server_sets_count(g->sets, state);
    lt_json_item(out);
    lt_buf_char(out, '{');
    lt_json_str(out, "address", server->name);
    lt_json_str(out, "source", server->source.len > 0 ? server->source : LT_STR("configuration"));
    lt_json_str(out, "state", lt_str_c(state_name(g, server)));
    if (lt_server_admin(state) != LT_SERVER_READY) {
        lt_json_bool(out, "empty", lt_server_sets_empty(g->sets, server));
    }
    lt_json_num(out, "weight", server->weight);
    if (server->backup) {
        lt_json_bool(out, "backup", true);
    }
    lt_json_num(out, "in_flight",
                server->max > 0 ? lt_server_inflight(state) : (uint64_t)count.active);
    if (server->max > 0) {
        lt_json_num(out, "max", server->max);
    }
    lt_json_num(out, "idle", count.idle);
    lt_json_bool(out, "down", fit == LT_FIT_DOUBTFUL || fit == LT_FIT_DOWN);
    lt_json_num(out, "failures", atomic_load_explicit(&state->failures, memory_order_relaxed));
    lt_probes_put_server(g->probes, server, out);
    lt_metrics_server_time(g->metrics, server->metrics_id, &requests, &us);
    lt_json_num(out, "requests", requests);
    if (requests > 0) {
        lt_json_key(out, "latency_ms");
        lt_buf_printf(out, "%.3f", (double)us / (double)requests / 1000);
    }
    lt_buf_char(out, '}');
}

void lt_upstream_status(const struct lt_gateway *g, const struct lt_upstream *u, struct lt_buf *out)
{
    const struct lt_server_set *set = lt_upstream_set(u);
    lt_json_item(out);
    lt_buf_char(out, '{');
    lt_json_str(out, "name", u->name);
    lt_json_bool(out, "paused", lt_upstream_paused(u->state));
    lt_probes_put_upstream(g->probes, u, out);
    lt_json_num(out, "queued", atomic_load_explicit(&u->state->waiting.n, memory_order_relaxed));
    lt_json_key(out, "servers");
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < set->n; i++) {
        put_server(g, &set->v[i], out);
    }
    lt_buf_add(out, "]}", 2);
}

void lt_upstreams_status(const struct lt_gateway *g, struct lt_buf *out)
{
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < g->current->n_upstreams; i++) {
        lt_upstream_status(g, &g->current->upstreams[i], out);
    }
    lt_buf_char(out, ']');
}
