/* SPDX-License-Identifier: Apache-2.0 */
/* Routes by their names, so that a reload finds out for each tunnel whether its route is still
 * there. Sorted by the loader, read by workers. */
#include <stdlib.h>

#include "route/build_impl.h"

static int compare_str(struct lt_str a, struct lt_str b)
{
    size_t n = lt_min(a.len, b.len);
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare(struct lt_str site, struct lt_str name, const struct lt_route *route)
{
    int order = compare_str(site, route->site);
    return order != 0 ? order : compare_str(name, route->name);
}

static int compare_routes(const void *a, const void *b)
{
    const struct lt_route *const *left = a, *const *right = b;
    return compare((*left)->site, (*left)->name, *right);
}

void lt_route_sort_names(struct lt_route_build *b)
{
    struct lt_router *router = b->router;
    router->by_name = lt_arena_array(b->arena, const struct lt_route *, router->n_routes);
    if (router->by_name == NULL) {
        lt_route_nomem(b);
        return;
    }
    for (unsigned i = 0; i < router->n_routes; i++) {
        router->by_name[i] = &router->routes[i];
    }
    if (router->n_routes > 1) {
        qsort(router->by_name, router->n_routes, sizeof(*router->by_name), compare_routes);
    }
}

bool lt_router_has(const struct lt_router *router, struct lt_str site, struct lt_str name)
{
    unsigned low = 0, high = router->n_routes;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = compare(site, name, router->by_name[middle]);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}
