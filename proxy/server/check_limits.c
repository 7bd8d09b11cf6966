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

void lt_root_check_limits(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    if (root->conf.broken || root->limits.conf.broken || root->limits.buffers.conf.broken) {
        return;
    }
    check_bodies(load, root);
}
