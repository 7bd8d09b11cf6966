/* SPDX-License-Identifier: Apache-2.0 */
/* The options of sites and routes as they are written. Read by the loader, checked one by one here
 * and as a whole by build.c; immutable afterwards. */
#ifndef LT_ROUTE_SITE_CONF_H
#define LT_ROUTE_SITE_CONF_H

#include "config/expr.h"
#include "config/schema.h"
#include "net/compress_conf.h"
#include "net/tls_conf.h"

/* What concerns the client's side and may stand in sites and routes. Listeners and `defaults` have
 * rows of the same names with the built-in defaults; here, what isn't set stays unset. */
struct lt_body_conf {
    struct lt_conf conf;
    uint64_t max; /* bytes */
    bool stream;  /* false: collected before a server is taken */
};

struct lt_route_timeouts_conf {
    struct lt_conf conf;
    uint64_t first_byte_ms;
    uint64_t tunnel_ms;
    uint64_t total_ms;
};

/* `to: app` or `to: {app: 95%, next: 5%}`. One of the two is set. */
struct lt_route_to_conf {
    struct lt_conf conf;
    struct lt_str upstream;
    struct lt_conf_map split; /* uint32_t: hundredths of a percent, 10000 in all */
};

/* `match: GET /path` or `match: {regex: '^/v(?<n>\d+)/'}`. One of path and regex is set. */
struct lt_match_conf {
    struct lt_conf conf;
    struct lt_str path; /* "[METHOD] /path" */
    struct lt_str regex;
    int method; /* enum lt_method - 1, when it is set */
};

/* `sticky_split: cookie`. */
struct lt_sticky_conf {
    struct lt_conf conf;
    int by; /* 0: a cookie */
    struct lt_str name;
    uint64_t max_age_ms; /* 0: until the browser ends */
};

struct lt_redirect_conf {
    struct lt_conf conf;
    int64_t status;
    struct lt_str to; /* template */
};

struct lt_respond_conf {
    struct lt_conf conf;
    int64_t status;
    struct lt_str body, content_type;
};

struct lt_route_conf {
    struct lt_conf conf;
    struct lt_match_conf match;
    struct lt_expr *when; /* NULL: always */
    int64_t priority;
    struct lt_conf_list methods; /* int: enum lt_method - 1 */
    struct lt_conf_list filters; /* struct lt_str: names */
    struct lt_conf_list without; /* struct lt_str: names of filters of the site */
    struct lt_route_to_conf to;  /* one of to, redirect and respond is set */
    struct lt_redirect_conf redirect;
    struct lt_respond_conf respond;
    struct lt_str strip;   /* empty: nothing */
    struct lt_str rewrite; /* template; empty: none */
    bool map_back;         /* what a response says of paths gets `strip` put before it */
    struct lt_sticky_conf sticky_split;
    struct lt_conf_list upgrade; /* struct lt_str: protocols; unset: websocket */
    int encoded_slashes;         /* 0: refuse, 1: keep */
    struct lt_body_conf body;
    struct lt_route_timeouts_conf timeouts;
    struct lt_compress_conf compress;
    struct lt_conf_map errors; /* struct lt_str: files, by status */
};

struct lt_site_conf {
    struct lt_conf conf;
    struct lt_conf_list hosts;     /* struct lt_str: "name", "*.suffix", "*" */
    struct lt_str name;            /* empty: the first host */
    bool is_default;               /* for hosts that no site has */
    struct lt_conf_list listeners; /* struct lt_str: names; empty: all */
    struct lt_tls_site_conf tls;
    struct lt_conf_list filters; /* struct lt_str: names */
    struct lt_conf_list routes;  /* struct lt_route_conf */
    int encoded_slashes;         /* 0: refuse, 1: keep */
    struct lt_body_conf body;
    struct lt_route_timeouts_conf timeouts;
    struct lt_compress_conf compress;
    struct lt_conf_map errors; /* struct lt_str: files, by status */
};

extern const struct lt_schema lt_site_schema;

/* What logs and metrics call the site. */
struct lt_str lt_site_conf_name(const struct lt_site_conf *site);

/* The place of element i of a list that is the row `row` of holder. */
struct lt_pos lt_site_conf_item_pos(const void *holder, const char *row, size_t i);

/* A name in a list of filters, and where it stands. */
struct lt_filter_ref {
    struct lt_str name;
    struct lt_pos pos;
};

/* The filters of a route in the order in which they run: the site's without those in `without`,
 * then its own. False without memory; the list lives in arena. */
bool lt_route_conf_filters(struct lt_arena *arena, const struct lt_site_conf *site,
                           const struct lt_route_conf *route, struct lt_filter_ref **refs,
                           size_t *n) LT_MUST_CHECK;

#endif
