/* SPDX-License-Identifier: Apache-2.0 */
/* A path that a server may read differently: one with an encoded slash, a parameter (";x"), an
 * encoded '+' or ';', or something that is encoded twice. It goes on as it is, but only if every
 * such reading leads to the same route, and says the same to the conditions of the route's filters:
 * a filter can't be walked around by writing a path so that another one is seen here than by the
 * server. */
#ifndef LT_ROUTE_READINGS_H
#define LT_ROUTE_READINGS_H

#include "route/router.h"

enum lt_readings {
    LT_READINGS_AGREE,
    LT_READINGS_DIFFER,        /* at least one leads to another route, to "method not allowed", or
                                * to other filters */
    LT_READINGS_ENCODED_SLASH, /* the route doesn't take encoded slashes */
    LT_READINGS_NO_MEMORY
};

/* To be asked after lt_router_find found `route` for req, with the same arguments. A path without
 * any of that costs two searches for a byte. req->path is another one while `get` is asked, and
 * itself again afterwards; params are left as they were. */
enum lt_readings lt_readings_check(const struct lt_router *router, unsigned listener,
                                   struct lt_request *req, lt_expr_get_fn get, void *source,
                                   struct lt_arena *arena, const struct lt_route *route,
                                   struct lt_route_params *params) LT_MUST_CHECK;

/* Whether a path in normal form has no other readings. A pattern that has some would match requests
 * that are refused because of it. */
bool lt_readings_may_match(struct lt_str path);

#endif
