/* SPDX-License-Identifier: Apache-2.0 */
/* From host, method and path to a route. Compiled once per snapshot (route/build.h), immutable,
 * read by all workers.
 * Host: exact, then longest "*.suffix", then "*", then the default site; the best host is final.
 * Path: where two patterns first differ, a literal segment beats a {segment} beats `*`, so exact
 * beats longer prefix beats shorter prefix; regular expressions come before the `*` at a site's
 * root, those with more literal text at their start first. Then method, then more terms in `when`,
 * then priority. A route whose method or `when` doesn't fit is passed over for less specific ones.
 * Order in the file never matters; what still ties is an error at load. */
#ifndef LT_ROUTE_ROUTER_H
#define LT_ROUTE_ROUTER_H

#include "base/arena.h"
#include "base/hash.h"
#include "config/expr.h"
#include "http/message.h"

struct lt_upstream;         /* upstream/upstream.h; only pointed to here */
struct lt_filter_chain;     /* filters/; only pointed to here */
struct lt_compress_options; /* route/compress_options.h */
struct lt_error_pages;      /* route/error_pages.h */

enum lt_route_action { LT_ROUTE_TO, LT_ROUTE_REDIRECT, LT_ROUTE_RESPOND };

#define LT_ROUTE_TOKEN_LEN 16u

struct lt_route_target {
    struct lt_upstream *upstream;
    struct lt_str name;             /* of the upstream */
    uint32_t share;                 /* upper end of its part of 0..10000 */
    bool drawn;                     /* its part isn't empty */
    char token[LT_ROUTE_TOKEN_LEN]; /* its upstream in cookies, see lt_route_set_tokens */
};

/* Timeouts and limits of a route on one listener, after inheritance (defaults < listener < site <
 * route). */
struct lt_route_options {
    uint64_t body_max;           /* bytes; 0 = none allowed */
    const char *body_max_at;     /* "route" or "site" that set it; NULL: the listener's. Static */
    bool body_stream;            /* request bodies go on as they come */
    uint64_t first_byte_ms;      /* 0: the upstream's */
    struct lt_str first_byte_at; /* where that was set, as lt_config_place says it */
    uint64_t tunnel_ms;          /* silence after an upgrade; 0: for ever */
    bool encoded_slashes;        /* "%2F" goes on as data of a segment */
    uint64_t total_ms;           /* a whole exchange; 0: for ever */
    struct lt_str total_at;      /* where that was set */
    const struct lt_compress_options *compress; /* NULL: responses are not compressed */
};

struct lt_route {
    struct lt_str name; /* for logs and metrics: the match as written, with methods, `when`
                         * and priority if there are any; unique within its site */
    struct lt_str site; /* name of its site */
    enum lt_route_action action;
    struct lt_route_target *targets; /* LT_ROUTE_TO: at least one, shares ascending to 10000 */
    unsigned n_targets;
    struct lt_str strip;    /* prefix taken off the path before it goes upstream; may be empty */
    bool map_back;          /* strip is put before the paths in responses */
    bool rewrites;          /* the path is made from a template */
    struct lt_str sticky;   /* name of the cookie that keeps clients at a target; may be empty */
    uint64_t sticky_age_s;  /* how long it is kept; 0: until the browser ends */
    unsigned status;        /* LT_ROUTE_REDIRECT and LT_ROUTE_RESPOND */
    struct lt_str location; /* LT_ROUTE_REDIRECT: template as written */
    struct lt_str body;     /* LT_ROUTE_RESPOND */
    struct lt_str content_type;   /* LT_ROUTE_RESPOND */
    const struct lt_str *upgrade; /* protocols that may be switched to */
    unsigned n_upgrade;
    struct lt_filter_chain *chain; /* NULL: no filters; set by the snapshot's builder */
    const struct lt_expr **guards; /* conditions of filters in it that ask for the path;
                                    * set by the snapshot's builder */
    unsigned n_guards;
    const struct lt_route_options *options; /* by number of the listener: options[x->listener] */
    const struct lt_error_pages *errors;    /* of the route, then of its site, then all; or NULL */
    unsigned index;                         /* number of the route within its snapshot, from 0 */
    uint32_t metrics_id; /* slot of its counters, set by the snapshot's builder */
    void *compiled;      /* private to router.c: pattern and parameter names */
};

#define LT_ROUTE_PARAMS_MAX 16

/* What {name} and {rest} caught; slices of the path. */
struct lt_route_params {
    unsigned n;
    struct {
        struct lt_str name, value;
    } v[LT_ROUTE_PARAMS_MAX];
};

struct lt_router;

enum lt_route_result {
    LT_ROUTE_FOUND,
    LT_ROUTE_NO_HOST,
    LT_ROUTE_NO_PATH,
    LT_ROUTE_NO_METHOD,      /* the path is known, with other methods: *allow lists them */
    LT_ROUTE_REDIRECT_HTTPS, /* the listener redirects plain HTTP */
    LT_ROUTE_FAILED          /* a pattern exceeded its limits: *route is the one it belongs to */
};

/* Finds the route for a request that came in on listener number `listener`. get and source evaluate
 * `when`; when they are asked for path.NAME, params are those of the route in question. *params is
 * always set, to slices of req->path and of the router's texts; *allow lives in arena and is empty
 * unless the result is LT_ROUTE_NO_METHOD. Never allocates otherwise. */
enum lt_route_result lt_router_find(const struct lt_router *router, unsigned listener,
                                    const struct lt_request *req, lt_expr_get_fn get, void *source,
                                    struct lt_arena *arena, const struct lt_route **route,
                                    struct lt_route_params *params, struct lt_str *allow);

/* Whether there is a route of that site and name. Cheap: a binary search. */
bool lt_router_has(const struct lt_router *router, struct lt_str site, struct lt_str name);

/* The pages for errors of requests that have no route: of the site that host has on the listener,
 * else those for all; or NULL. host as in struct lt_request; may be empty. */
const struct lt_error_pages *lt_router_errors(const struct lt_router *router, unsigned listener,
                                              struct lt_str host);

/* The number of the site that serves host on this listener, as in the configuration, from 0. False:
 * there is none. */
bool lt_router_site(const struct lt_router *router, unsigned listener, struct lt_str host,
                    unsigned *number);

/* The value of a parameter, percent-encoded as in the path; empty when there is none. */
struct lt_str lt_route_param(const struct lt_route_params *params, struct lt_str name);

/* The target to send upstream: the normal form of the path without `strip` or as `rewrite` makes
 * it, query kept. A slice of the request where possible, else in arena. LT_ERR_NOMEM;
 * LT_ERR_INVALID when `rewrite` would make a path with a segment `.` or `..` of what the request
 * holds. */
enum lt_err lt_route_rewrite(const struct lt_route *route, struct lt_arena *arena,
                             const struct lt_request *req, const struct lt_route_params *params,
                             struct lt_str *target) LT_MUST_CHECK;

/* The Location of a redirect from its template, in arena: only bytes that a URL can hold, never
 * another host than the template names. LT_ERR_NOMEM; LT_ERR_INVALID when the template wants {host}
 * and the request has none. */
enum lt_err lt_route_location(const struct lt_route *route, struct lt_arena *arena,
                              const struct lt_request *req, const struct lt_route_params *params,
                              struct lt_str *location) LT_MUST_CHECK;

/* Names the targets as the cookie of a sticky split does: by a keyed hash of the upstream's name,
 * so that a cookie is good for all workers, outlives reloads and tells nothing. */
void lt_route_set_tokens(struct lt_route *route, const struct lt_hash_seed *seed);

/* The target of a split for a number drawn from 0..9999. */
const struct lt_route_target *lt_route_pick(const struct lt_route *route, uint32_t draw);

#endif
