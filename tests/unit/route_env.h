/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of proxy/route share: sites as YAML text, the router built from them, requests. */
#ifndef LT_TESTS_UNIT_ROUTE_ENV_H
#define LT_TESTS_UNIT_ROUTE_ENV_H

#include "config_env.h"

#include "route/build.h"

/* As much of a configuration as sites need. */
struct sites_conf {
    struct lt_conf conf;
    struct lt_conf_list sites;
};

static const struct lt_row sites_rows[] = {
    {.name = "sites",
     .type = LT_T_LIST,
     .item = LT_T_OBJECT,
     .offset = offsetof(struct sites_conf, sites),
     .sub = &lt_site_schema,
     .sub_level = LT_LEVEL_SITE},
};

static const struct lt_schema sites_schema = {
    .name = "the top level",
    .rows = sites_rows,
    .n_rows = lt_countof(sites_rows),
    .size = sizeof(struct sites_conf),
};

static const char *const route_upstreams[] = {"app", "next", "admin"};

static const struct lt_router_listener route_listeners[] = {
    {.name = LT_STR_INIT("public"), .options = {.body_max = 1000, .first_byte_ms = 0}},
    {.name = LT_STR_INIT("inside"), .options = {.body_max = 2000, .first_byte_ms = 30}},
    {.name = LT_STR_INIT("plain"), .redirect_https = true},
};

struct route_env {
    struct env config;
    struct sites_conf conf;
    struct lt_arena arena; /* of the router and of requests */
    struct lt_router *router;
    struct lt_request req;
    /* Of the last find. */
    const struct lt_route *route;
    struct lt_route_params params;
    struct lt_str allow;
    const char *beta; /* value of the header x-beta, for `when` */
};

static inline void route_init(struct route_env *r)
{
    *r = (struct route_env){0};
    env_init(&r->config);
    lt_arena_init(&r->arena, NULL, 0, (size_t)64 << 20);
}

static inline void route_fini(struct route_env *r)
{
    lt_arena_fini(&r->arena);
    env_fini(&r->config);
}

/* Upstreams are their names. */
static inline struct lt_upstream *route_find_upstream(void *arg, struct lt_str name)
{
    (void)arg;
    for (size_t i = 0; i < lt_countof(route_upstreams); i++) {
        if (lt_str_eq_c(name, route_upstreams[i])) {
            return (struct lt_upstream *)(uintptr_t)route_upstreams[i];
        }
    }
    return NULL;
}

/* Reads the sites and fills them in; building is apart. */
static inline void route_read(struct route_env *r, const char *yaml)
{
    const struct lt_node *top = env_read(&r->config, yaml);
    lt_schema_read(&r->config.load, &sites_schema, top, 0, &r->conf);
    lt_schema_finish(&r->config.load, &r->conf);
}

static inline struct lt_router *route_build(struct route_env *r)
{
    const struct lt_router_spec spec = {
        .load = &r->config.load,
        .sites = &r->conf.sites,
        .listeners = route_listeners,
        .n_listeners = lt_countof(route_listeners),
        .upstreams = route_upstreams,
        .n_upstreams = lt_countof(route_upstreams),
        .find = route_find_upstream,
    };
    r->router = lt_router_build(&r->arena, &spec);
    return r->router;
}

/* A router from these sites, which must be right. */
static inline void route_open(struct route_env *r, const char *yaml)
{
    route_init(r);
    route_read(r, yaml);
    if (route_build(r) == NULL) {
        fail_msg("%s", env_messages(&r->config));
    }
}

/* Sites that are wrong: what is said about them. */
static inline void route_open_wrong(struct route_env *r, const char *yaml)
{
    route_init(r);
    route_read(r, yaml);
    assert_null(route_build(r));
}

/* Nothing but this one error is said, at this "line:column". */
static inline void route_expect_one(struct route_env *r, const char *says, const char *at)
{
    char text[32];
    snprintf(text, sizeof(text), "t.yaml:%s: ", at);
    env_expect(&r->config, says);
    env_expect(&r->config, text);
    env_expect(&r->config, "\n1 error\n");
}

/* Names that `when` may ask for. */
static inline bool route_get(void *source, enum lt_expr_name name, struct lt_str key,
                             struct lt_str *out)
{
    const struct route_env *r = source;
    if (name == LT_EXPR_HEADER && lt_str_eq_c(key, "x-beta") && r->beta != NULL) {
        *out = lt_str_c(r->beta);
        return true;
    }
    if (name == LT_EXPR_PATH_PARAM) {
        *out = lt_route_param(&r->params, key);
        return out->p != NULL;
    }
    if (name == LT_EXPR_PATH) {
        *out = r->req.path;
        return true;
    }
    if (name == LT_EXPR_METHOD) {
        *out = lt_method_name(r->req.method);
        return true;
    }
    return false;
}

/* Finds the route for "METHOD host/path?query" on a listener. */
static inline enum lt_route_result route_find_on(struct route_env *r, unsigned listener,
                                                 const char *request)
{
    struct lt_str text = lt_str_c(request);
    size_t space = lt_str_chr(text, ' ', 0);
    size_t slash = lt_str_chr(text, '/', 0);
    size_t mark = lt_str_chr(text, '?', slash);
    assert_true(space != SIZE_MAX && slash != SIZE_MAX);
    r->req = (struct lt_request){
        .method = lt_method_find(lt_str_sub(text, 0, space)),
        .host = lt_str_sub(text, space + 1, slash),
        .path = lt_str_sub(text, slash, lt_min(mark, text.len)),
    };
    if (mark != SIZE_MAX) {
        r->req.query = lt_str_sub(text, mark + 1, text.len);
    }
    return lt_router_find(r->router, listener, &r->req, route_get, r, &r->arena, &r->route,
                          &r->params, &r->allow);
}

static inline enum lt_route_result route_find(struct route_env *r, const char *request)
{
    return route_find_on(r, 0, request);
}

/* The request must be taken by the route with this name. */
#define assert_routed(r, request, expected)                                                        \
    do {                                                                                           \
        assert_int_equal(route_find(r, request), LT_ROUTE_FOUND);                                  \
        assert_str((r)->route->name, expected);                                                    \
    } while (0)

#endif
