/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that are right each by itself and can't work together, as far as numbers go: one of them
 * never comes to act. Warnings, no errors. Loader thread. */
#include "server/root_conf.h"

#include <stdio.h>

/* A request body is kept in memory and on disk: what `max` allows beyond that is refused. */
static void warn_body(struct lt_schema_load *load, const struct lt_limits_conf *limits,
                      struct lt_pos pos, uint64_t max)
{
    const struct lt_buffers_conf *b = &limits->buffers;
    if (max > b->memory && max - b->memory > b->disk) {
        lt_diag_warning(load->diags, pos,
                        "raise limits.buffers.disk, lower body.max, or set body: {stream: true}",
                        "body.max is %llu, but limits.buffers can't keep more than %llu: longer "
                        "bodies are refused",
                        (unsigned long long)max, (unsigned long long)(b->memory + b->disk));
    }
}

/* Bodies of a route that go to an upstream: where their largest size was set. *inherits: by a
 * listener. */
static void check_route_body(struct lt_schema_load *load, const struct lt_root_conf *root,
                             const struct lt_site_conf *site, const struct lt_route_conf *route,
                             bool *inherits)
{
    size_t max = offsetof(struct lt_body_conf, max), stream = offsetof(struct lt_body_conf, stream);
    bool streams = lt_schema_is_set(&route->body, stream) ? route->body.stream : site->body.stream;
    if (route->conf.broken || streams ||
        !lt_schema_is_set(route, offsetof(struct lt_route_conf, to))) {
        return;
    }
    if (lt_schema_is_set(&route->body, max)) {
        warn_body(load, &root->limits, lt_schema_pos(&route->body, "max"), route->body.max);
    } else if (!lt_schema_is_set(&site->body, max)) {
        *inherits = true;
    }
}

static void check_bodies(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    const struct lt_site_conf *sites = root->sites.items;
    const struct lt_listen_conf *listen = root->listen.items;
    bool inherits = false;
    for (size_t i = 0; i < root->sites.n; i++) {
        const struct lt_route_conf *routes = sites[i].routes.items;
        for (size_t j = 0; j < sites[i].routes.n; j++) {
            check_route_body(load, root, &sites[i], &routes[j], &inherits);
        }
        if (!sites[i].conf.broken && !sites[i].body.stream &&
            lt_schema_is_set(&sites[i].body, offsetof(struct lt_body_conf, max))) {
            warn_body(load, &root->limits, lt_schema_pos(&sites[i].body, "max"), sites[i].body.max);
        }
    }
    if (inherits && root->listen.n > 0 && !listen->conf.broken) {
        bool set = lt_schema_is_set(&listen->body, offsetof(struct lt_listen_body, max));
        warn_body(load, &root->limits,
                  set ? lt_schema_pos(&listen->body, "max")
                      : lt_schema_pos(&root->limits.buffers, "disk"),
                  listen->body.max);
    }
}

static void warn_above(struct lt_schema_load *load, struct lt_pos pos, const char *what,
                       uint64_t value, const char *limit, uint64_t most)
{
    if (value > most) {
        lt_diag_warning(load->diags, pos, "raise the second, or lower the first",
                        "%s is %llu, but %s is %llu", what, (unsigned long long)value, limit,
                        (unsigned long long)most);
    }
}

static void check_buffers(struct lt_schema_load *load, const struct lt_buffers_conf *b)
{
    warn_above(load, lt_schema_pos(b, "memory"), "memory of one body", b->memory,
               "limits.buffers.total", b->total);
    warn_above(load, lt_schema_pos(b, "response"), "response", b->response, "limits.buffers.total",
               b->total);
}

static void check_connections(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    const struct lt_limits_conf *limits = &root->limits;
    const struct lt_listen_conf *listen = root->listen.items;
    if (limits->connections <= 0) {
        return; /* auto: known at the start */
    }
    uint64_t most = (uint64_t)limits->connections;
    if (limits->connections_per_client > 0) {
        warn_above(load, lt_schema_pos(limits, "connections_per_client"), "connections_per_client",
                   (uint64_t)limits->connections_per_client, "limits.connections", most);
    }
    for (size_t i = 0; i < root->listen.n; i++) {
        if (!listen[i].conf.broken && listen[i].max_connections > 0) {
            warn_above(load, lt_schema_pos(&listen[i], "max_connections"), "max_connections",
                       (uint64_t)listen[i].max_connections, "limits.connections", most);
        }
    }
}

static void check_listener(struct lt_schema_load *load, const struct lt_listen_conf *listen)
{
    size_t target = offsetof(struct lt_listen_conf, limits.max_target);
    size_t total = offsetof(struct lt_listen_timeouts, total_ms);
    size_t first = offsetof(struct lt_listen_timeouts, first_byte_ms);
    const struct lt_listen_timeouts *t = &listen->timeouts;
    if (listen->conf.broken || t->conf.broken) {
        return;
    }
    if (lt_schema_is_set(listen, target)) {
        warn_above(load, lt_schema_pos(listen, "max_target"), "max_target",
                   listen->limits.max_target, "max_head", listen->limits.max_head);
    }
    if (lt_schema_is_set(t, total) && lt_schema_is_set(t, first) && t->total_ms > 0) {
        warn_above(load, lt_schema_pos(t, "first_byte"), "first_byte (ms)", t->first_byte_ms,
                   "total", t->total_ms);
    }
}

/* The time-outs of a site or route, as far as both are written there. */
static void check_route_timeouts(struct lt_schema_load *load,
                                 const struct lt_route_timeouts_conf *t)
{
    if (!t->conf.broken && t->total_ms > 0 &&
        lt_schema_is_set(t, offsetof(struct lt_route_timeouts_conf, total_ms)) &&
        lt_schema_is_set(t, offsetof(struct lt_route_timeouts_conf, first_byte_ms))) {
        warn_above(load, lt_schema_pos(t, "first_byte"), "first_byte (ms)", t->first_byte_ms,
                   "total", t->total_ms);
    }
}

static bool goes_to(const struct lt_route_conf *route, struct lt_str upstream)
{
    for (size_t i = 0; i < route->to.split.n; i++) {
        if (lt_str_eq(route->to.split.entries[i].key, upstream)) {
            return true;
        }
    }
    return route->conf.broken || lt_str_eq(route->to.upstream, upstream);
}

static bool is_used(const struct lt_root_conf *root, struct lt_str upstream)
{
    const struct lt_site_conf *sites = root->sites.items;
    for (size_t i = 0; i < root->sites.n; i++) {
        const struct lt_route_conf *routes = sites[i].routes.items;
        for (size_t j = 0; j < sites[i].routes.n; j++) {
            if (goes_to(&routes[j], upstream)) {
                return true;
            }
        }
        if (sites[i].conf.broken) {
            return true;
        }
    }
    return false;
}

static void check_upstreams(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    for (size_t i = 0; i < root->upstreams.n; i++) {
        const struct lt_conf_entry *entry = &root->upstreams.entries[i];
        if (!is_used(root, entry->key)) {
            lt_diag_warning(load->diags, entry->key_node->pos, "name it in `to:` of a route",
                            "no route goes to the upstream \"%.*s\"", LT_STR_ARG(entry->key));
        }
    }
}

void lt_root_check_limits(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    if (root->conf.broken || root->limits.conf.broken || root->limits.buffers.conf.broken) {
        return;
    }
    const struct lt_site_conf *sites = root->sites.items;
    const struct lt_listen_conf *listen = root->listen.items;
    check_bodies(load, root);
    check_buffers(load, &root->limits.buffers);
    check_connections(load, root);
    check_upstreams(load, root);
    for (size_t i = 0; i < root->listen.n; i++) {
        check_listener(load, &listen[i]);
    }
    for (size_t i = 0; i < root->sites.n; i++) {
        const struct lt_route_conf *routes = sites[i].routes.items;
        check_route_timeouts(load, &sites[i].timeouts);
        for (size_t j = 0; j < sites[i].routes.n; j++) {
            check_route_timeouts(load, &routes[j].timeouts);
        }
    }
}
