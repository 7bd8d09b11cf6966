/* SPDX-License-Identifier: Apache-2.0 */
/* From the sites of a configuration to a router. Loader thread. */
#ifndef LT_ROUTE_BUILD_H
#define LT_ROUTE_BUILD_H

#include "config/load.h"
#include "route/router.h"
#include "route/site_conf.h"

/* One bit of a word each. */
#define LT_ROUTER_LISTENERS_MAX 64u

/* What the router must know of a listener; its place in the array is its number. */
struct lt_router_listener {
    struct lt_str name;
    bool redirect_https;
    struct lt_route_options options;         /* for routes and sites that set none themselves; its
                                              * `compress` is set by the router's builder */
    const struct lt_compress_conf *compress; /* finished; NULL: off */
};

struct lt_router_spec {
    struct lt_schema_load *load;      /* for diags, and to note that memory is short */
    const struct lt_conf *defaults;   /* the holder of `errors`, or NULL */
    const struct lt_conf_map *errors; /* of `defaults`, or NULL */
    const struct lt_conf_list *sites; /* struct lt_site_conf, finished; parts that are broken are
                                       * left out, which was said already */
    const struct lt_router_listener *listeners;
    unsigned n_listeners;         /* at most LT_ROUTER_LISTENERS_MAX */
    const char *const *upstreams; /* names, for hints */
    size_t n_upstreams;
    /* The upstream called name, or NULL when there is none. find == NULL: names are checked against
     * `upstreams` and targets have no upstream (lintel check). */
    struct lt_upstream *(*find)(void *arg, struct lt_str name);
    void *arg;
};

/* Builds a router in arena. It points into the configuration, which must live as long. Everything
 * that is wrong with sites, hosts, patterns, templates, splits, listeners and names of filters that
 * a site has, and every two routes that tie, is said in the load's diags. NULL when something is,
 * or without memory. */
struct lt_router *lt_router_build(struct lt_arena *arena,
                                  const struct lt_router_spec *spec) LT_MUST_CHECK;

/* All routes in the order of their index, for what the snapshot's builder adds to them. */
struct lt_route *lt_router_routes(struct lt_router *router, unsigned *n);

/* Where a route comes from. */
const struct lt_route_conf *lt_route_conf_of(const struct lt_route *route);
const struct lt_site_conf *lt_route_site_conf_of(const struct lt_route *route);

#endif
