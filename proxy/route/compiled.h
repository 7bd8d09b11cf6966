/* SPDX-License-Identifier: Apache-2.0 */
/* What build.c makes of sites and routes, and router.c and rewrite.c read. Not for others.
 *
 *   host ──table──> bindings ──listener──> site ──> node ──table──> node ... ──> list ──> route
 */
#ifndef LT_ROUTE_COMPILED_H
#define LT_ROUTE_COMPILED_H

#include "route/pattern.h"
#include "route/router.h"
#include "route/site_conf.h"
#include "route/table.h"

/* Spaces of the table; nodes are numbered from LT_ROUTE_SPACE_NODES on. */
enum { LT_ROUTE_SPACE_HOST, LT_ROUTE_SPACE_WILDCARD, LT_ROUTE_SPACE_NODES };

enum lt_route_part_kind {
    LT_ROUTE_PART_TEXT,
    LT_ROUTE_PART_PARAM, /* text: its name; {rest} too */
    LT_ROUTE_PART_PATH,
    LT_ROUTE_PART_QUERY,
    LT_ROUTE_PART_HOST
};

/* A piece of the template of a redirect or rewrite. */
struct lt_route_part {
    enum lt_route_part_kind kind;
    struct lt_str text;
};

struct lt_route_node;

struct lt_route_compiled {
    struct lt_route *route;
    const struct lt_site_conf *site_conf;
    const struct lt_route_conf *conf;
    struct lt_pos pos; /* of its match */
    struct lt_pattern pattern;
    uint32_t methods;           /* a bit per enum lt_method; 0: any */
    const struct lt_expr *when; /* NULL: always */
    unsigned terms;             /* of when */
    int64_t priority;
    struct lt_route_compiled *next; /* the next less specific route with this pattern */
    struct lt_route_node *node;     /* where its pattern ends */
    struct lt_route_part *parts; /* LT_ROUTE_REDIRECT: of its location; LT_ROUTE_TO: of rewrite */
    size_t n_parts;
    bool own_query; /* rewrite says what the query is */
};

/* A place in the tree of a site's paths: after some number of segments. */
struct lt_route_node {
    uint32_t space;                   /* of its literal children in the table */
    bool has_literals;                /* there are some */
    struct lt_route_node *any;        /* child for a {segment}, or NULL */
    struct lt_route_compiled *exact;  /* patterns that end here, the most specific first */
    struct lt_route_compiled *prefix; /* patterns that go on with a `*` */
};

/* The regular expressions of a site that begin with the same literal text; in node->exact. */
struct lt_route_regexes {
    struct lt_str literal;
    struct lt_route_node node;
    struct lt_route_regexes *next; /* with a literal that is as long or shorter */
};

/* Most regular expressions of one site: they are asked one after the other. */
#define LT_ROUTE_REGEXES_MAX 1000u

struct lt_route_site {
    const struct lt_site_conf *conf;
    unsigned number;    /* among the sites of the configuration, from 0 */
    uint64_t listeners; /* a bit per listener */
    const struct lt_error_pages *errors;
    struct lt_route_node root;
    struct lt_route_regexes *regexes; /* the longest literal first */
    unsigned n_regexes;
};

/* The sites of one host name; on each listener at most one. */
struct lt_route_binding {
    const struct lt_route_site *site;
    struct lt_pos pos; /* where the name stands */
    struct lt_route_binding *next;
};

struct lt_router {
    struct lt_route_table table;
    unsigned wildcard_labels;              /* most labels after a "*." */
    struct lt_route_binding *any_host;     /* "*" */
    struct lt_route_binding *default_host; /* default: true */
    uint64_t redirect_https;               /* a bit per listener */
    const struct lt_error_pages *errors;   /* for all sites, and for requests without one */
    struct lt_route *routes;
    unsigned n_routes;
    const struct lt_route **by_name; /* the same, sorted by site and name */
};

/* Takes the template of a redirect or rewrite apart. What is wrong is said in diags at pos; false
 * then, or without memory. compiled->pattern is there already. */
bool lt_route_template_compile(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                               bool rewrite, struct lt_str text,
                               struct lt_route_compiled *compiled) LT_MUST_CHECK;

#endif
