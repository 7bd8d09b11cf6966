/* SPDX-License-Identifier: Apache-2.0 */
/* The look-up: host to site, path down the site's tree of segments, routes at a node in order of
 * how specific they are. Costs a few hashes of short texts, however many hosts and paths there are.
 * Workers; reads only. */
#include "route/router.h"

#include "route/compiled.h"

#define HOST_MAX 253u

_Static_assert(LT_METHOD_COUNT <= 32, "methods are bits of a uint32_t");

/* ---- host ---- */

static const struct lt_route_site *on_listener(const struct lt_route_binding *binding,
                                               uint64_t listener)
{
    for (; binding != NULL; binding = binding->next) {
        if ((binding->site->listeners & listener) != 0) {
            return binding->site;
        }
    }
    return NULL;
}

/* The longest "*.suffix" that host ends with. Suffixes with more labels than any that was
 * configured are not looked up. */
static const struct lt_route_site *find_wildcard(const struct lt_router *router, uint64_t listener,
                                                 struct lt_str host)
{
    unsigned labels = 0;
    for (size_t dot = lt_str_chr(host, '.', 0); dot != SIZE_MAX; dot = lt_str_chr(host, '.', dot)) {
        labels++;
        dot++;
    }
    for (; labels > 0; labels--) {
        host = lt_str_sub(host, lt_str_chr(host, '.', 0) + 1, host.len);
        if (labels <= router->wildcard_labels) {
            const struct lt_route_site *site = on_listener(
                lt_route_table_get(&router->table, LT_ROUTE_SPACE_WILDCARD, host), listener);
            if (site != NULL) {
                return site;
            }
        }
    }
    return NULL;
}

static const struct lt_route_site *find_site(const struct lt_router *router, uint64_t listener,
                                             struct lt_str host)
{
    const struct lt_route_site *site = NULL;
    if (host.len > 0 && host.p[host.len - 1] == '.') {
        host.len--; /* the root's dot */
    }
    if (host.len > 0 && host.len <= HOST_MAX) {
        site = on_listener(lt_route_table_get(&router->table, LT_ROUTE_SPACE_HOST, host), listener);
        if (site == NULL && router->wildcard_labels > 0) {
            site = find_wildcard(router, listener, host);
        }
    }
    if (site == NULL) {
        site = on_listener(router->any_host, listener);
    }
    return site != NULL ? site : on_listener(router->default_host, listener);
}

/* ---- path ---- */

/* One search. values are the segments caught by {segment}s on the way down. */
struct search {
    const struct lt_router *router;
    const struct lt_request *req;
    lt_expr_get_fn get;
    void *source;
    struct lt_route_params *params;
    struct lt_str values[LT_ROUTE_PARAMS_MAX];
    unsigned n_values;
    uint32_t allowed; /* methods of routes that failed by their method alone */
    const struct lt_route_compiled *failed; /* a pattern of it exceeded its limits */
};

static void fill_params(const struct search *s, const struct lt_pattern *pattern,
                        struct lt_str rest)
{
    struct lt_route_params *params = s->params;
    params->n = 0;
    for (unsigned i = 0; pattern->n_params > params->n; i++) {
        if (pattern->segments[i].param) {
            params->v[params->n].name = pattern->segments[i].text;
            params->v[params->n].value = s->values[params->n];
            params->n++;
        }
    }
    if (pattern->prefix) {
        params->v[params->n].name = LT_STR("rest");
        params->v[params->n].value = rest;
        params->n++;
    }
}

/* Whether c matches by its path; then params are set. */
static bool path_fits(struct search *s, const struct lt_route_compiled *c, struct lt_str rest)
{
    struct lt_str found[LT_REGEX_GROUPS_MAX];
    if (c->pattern.regex != NULL) {
        switch (lt_regex_match(c->pattern.regex, s->req->path, found, LT_REGEX_GROUPS_MAX)) {
        case LT_REGEX_NO:
            return false;
        case LT_REGEX_FAILED:
            s->failed = c;
            return false;
        case LT_REGEX_YES:
            break;
        }
        for (unsigned i = 0; i < c->pattern.n_params; i++) {
            s->values[i] = found[c->pattern.groups[i]];
        }
    }
    fill_params(s, &c->pattern, rest);
    return true;
}

static bool when_holds(struct search *s, const struct lt_route_compiled *c)
{
    bool failed = false;
    bool holds = c->when == NULL || lt_expr_test(c->when, s->get, s->source, &failed);
    if (failed) {
        s->failed = c;
    }
    return holds;
}

/* The first route from c on that takes the request. methods_only: routes without methods are left
 * out. */
static const struct lt_route *try_methods(struct search *s, const struct lt_route_compiled *c,
                                          struct lt_str rest, uint32_t method, bool methods_only)
{
    for (; c != NULL; c = c->next) {
        if (c->methods == 0 && methods_only) {
            return NULL; /* they come last */
        }
        if (!path_fits(s, c, rest) || !when_holds(s, c)) {
            continue;
        }
        if (c->methods == 0 || (c->methods & method) != 0) {
            return c->route;
        }
        s->allowed |= c->methods;
    }
    return NULL;
}

/* HEAD is served by a route of its own, else as GET, else by a route for any method. */
static const struct lt_route *try_routes(struct search *s, const struct lt_route_compiled *first,
                                         struct lt_str rest)
{
    uint32_t method = UINT32_C(1) << s->req->method;
    const struct lt_route *route = NULL;
    if (s->req->method == LT_METHOD_HEAD && first != NULL && first->next != NULL) {
        route = try_methods(s, first, rest, method, true);
    }
    if (s->req->method == LT_METHOD_HEAD) {
        method |= UINT32_C(1) << LT_METHOD_GET;
    }
    return route != NULL ? route : try_methods(s, first, rest, method, false);
}

static const struct lt_route *descend(struct search *s, const struct lt_route_node *node,
                                      size_t at);

/* Searches the children of node for what follows in the path from `at`, the byte after a slash. */
static const struct lt_route *below(struct search *s, const struct lt_route_node *node, size_t at)
{
    struct lt_str path = s->req->path;
    const struct lt_route *route = NULL;
    if (node->has_literals || node->any != NULL) {
        size_t end = lt_min(lt_str_chr(path, '/', at), path.len);
        struct lt_str segment = lt_str_sub(path, at, end);
        if (node->has_literals) {
            const struct lt_route_node *child =
                lt_route_table_get(&s->router->table, node->space, segment);
            route = child != NULL ? descend(s, child, end + 1) : NULL;
        }
        if (route == NULL && node->any != NULL && segment.len > 0) {
            s->values[s->n_values++] = segment;
            route = descend(s, node->any, end + 1);
            s->n_values--;
        }
    }
    return route;
}

/* Searches at node and below; at is beyond the path when nothing follows. Goes as deep as patterns
 * have segments. */
static const struct lt_route *descend(struct search *s, const struct lt_route_node *node, size_t at)
{
    struct lt_str path = s->req->path;
    const struct lt_route *route = NULL;
    if (at > path.len) {
        route = try_routes(s, node->exact, LT_STR_NONE);
        return route != NULL ? route : try_routes(s, node->prefix, LT_STR(""));
    }
    route = below(s, node, at);
    return route != NULL ? route : try_routes(s, node->prefix, lt_str_sub(path, at, path.len));
}

/* All of a site: paths with segments of their own, then regular expressions, then the `*` at its
 * root, which takes what nothing else does. */
static const struct lt_route *search_site(struct search *s, const struct lt_route_site *site)
{
    struct lt_str path = s->req->path;
    const struct lt_route *route = below(s, &site->root, 1);
    for (const struct lt_route_regexes *r = site->regexes; r != NULL && route == NULL;
         r = r->next) {
        if (lt_str_starts(path, r->literal)) {
            route = try_routes(s, r->node.exact, LT_STR_NONE);
        }
    }
    return route != NULL ? route : try_routes(s, site->root.prefix, lt_str_sub(path, 1, path.len));
}

/* "GET, HEAD, POST" of the methods in mask; empty without memory. */
static struct lt_str list_methods(struct lt_arena *arena, uint32_t mask)
{
    size_t n = 0;
    if ((mask >> LT_METHOD_GET & 1) != 0) {
        mask |= UINT32_C(1) << LT_METHOD_HEAD;
    }
    for (unsigned i = 1; i < LT_METHOD_COUNT; i++) {
        n += (mask >> i & 1) != 0 ? lt_method_name((enum lt_method)i).len + 2 : 0;
    }
    char *text = lt_arena_chars(arena, n);
    if (text == NULL) {
        return LT_STR_NONE;
    }
    n = 0;
    for (unsigned i = 1; i < LT_METHOD_COUNT; i++) {
        struct lt_str name = lt_method_name((enum lt_method)i);
        if ((mask >> i & 1) == 0) {
            continue;
        }
        if (n > 0) {
            text[n++] = ',';
            text[n++] = ' ';
        }
        memcpy(text + n, name.p, name.len);
        n += name.len;
    }
    return lt_str(text, n);
}

enum lt_route_result lt_router_find(const struct lt_router *router, unsigned listener,
                                    const struct lt_request *req, lt_expr_get_fn get, void *source,
                                    struct lt_arena *arena, const struct lt_route **route,
                                    struct lt_route_params *params, struct lt_str *allow)
{
    uint64_t bit = UINT64_C(1) << listener;
    struct search s = {
        .router = router, .req = req, .get = get, .source = source, .params = params};
    *route = NULL;
    *allow = LT_STR_NONE;
    params->n = 0;
    if ((router->redirect_https & bit) != 0 &&
        !lt_str_starts(req->path, LT_STR("/.well-known/acme-challenge/"))) {
        return LT_ROUTE_REDIRECT_HTTPS;
    }
    const struct lt_route_site *site = find_site(router, bit, req->host);
    if (site == NULL) {
        return LT_ROUTE_NO_HOST;
    }
    if (req->path.len > 0 && req->path.p[0] == '/') {
        *route = search_site(&s, site);
    }
    if (s.failed != NULL) {
        /* It may have been the one, and may have filters that guard it: no other route is taken. */
        *route = s.failed->route;
        params->n = 0;
        return LT_ROUTE_FAILED;
    }
    if (*route != NULL) {
        return LT_ROUTE_FOUND;
    }
    params->n = 0;
    if (s.allowed == 0) {
        return LT_ROUTE_NO_PATH;
    }
    *allow = list_methods(arena, s.allowed);
    return LT_ROUTE_NO_METHOD;
}

const struct lt_error_pages *lt_router_errors(const struct lt_router *router, unsigned listener,
                                              struct lt_str host)
{
    const struct lt_route_site *site = find_site(router, UINT64_C(1) << listener, host);
    return site != NULL ? site->errors : router->errors;
}

bool lt_router_site(const struct lt_router *router, unsigned listener, struct lt_str host,
                    unsigned *number)
{
    const struct lt_route_site *site = find_site(router, UINT64_C(1) << listener, host);
    *number = site != NULL ? site->number : 0;
    return site != NULL;
}

struct lt_str lt_route_param(const struct lt_route_params *params, struct lt_str name)
{
    for (unsigned i = 0; i < params->n; i++) {
        if (lt_str_eq(params->v[i].name, name)) {
            return params->v[i].value;
        }
    }
    return LT_STR_NONE;
}
