/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that build a router share. Not for others. */
#ifndef LT_ROUTE_BUILD_IMPL_H
#define LT_ROUTE_BUILD_IMPL_H

#include "base/map.h"
#include "route/build.h"
#include "route/compiled.h"

struct lt_route_build {
    struct lt_arena *arena;
    const struct lt_router_spec *spec;
    struct lt_schema_load *load;
    struct lt_diags *diags;
    struct lt_router *router;
    struct lt_map upstreams;             /* known names */
    struct lt_map sites;                 /* name to struct lt_site_conf */
    struct lt_map pages;                 /* path to struct lt_error_file */
    struct lt_route_options *inherited;  /* of the listeners */
    struct lt_route_compiled **compiled; /* routes that are whole */
    unsigned n_compiled;
    uint32_t n_spaces;
};

static inline bool lt_route_nomem(struct lt_route_build *b)
{
    b->load->nomem = true;
    return false;
}

/* Says `"name" what` at pos and that the other one is at `other`; cure may be NULL. */
void lt_route_say_both(struct lt_route_build *b, struct lt_pos pos, struct lt_pos other,
                       const char *what, struct lt_str name, const char *cure);

/* Host number i of site. */
void lt_route_add_host(struct lt_route_build *b, const struct lt_route_site *site, size_t i);

/* site takes the hosts that no site has. */
void lt_route_add_default(struct lt_route_build *b, const struct lt_route_site *site);

/* Sets `compress` of what listeners have, and pages for all sites. */
void lt_route_build_answers(struct lt_route_build *b);
/* The pages of a site, and of a route. */
void lt_route_add_pages(struct lt_route_build *b, struct lt_route_site *site);
void lt_route_set_pages(struct lt_route_build *b, const struct lt_route_site *site,
                        struct lt_route_compiled *c);
/* Sets `compress` of a route whose own options are n_listeners from options on. */
void lt_route_set_compress(struct lt_route_build *b, const struct lt_route_compiled *c,
                           struct lt_route_options *options);

/* A route that is whole. */
void lt_route_add_to_tree(struct lt_route_build *b, struct lt_route_site *site,
                          struct lt_route_compiled *c);

/* Sorts the routes by their names, for lt_router_has (names.c). */
void lt_route_sort_names(struct lt_route_build *b);

/* Sorts all routes and hands them to their nodes. */
void lt_route_order(struct lt_route_build *b);

#endif
