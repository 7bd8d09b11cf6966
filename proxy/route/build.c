/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles sites and their routes and says everything that is wrong in one go. Hosts are in
 * build_host.c, the tree of paths and the order of routes in build_tree.c. Loader thread. */
#include "route/build.h"

#include <stdio.h>

#include "config/place.h"
#include "config/source.h"
#include "route/build_impl.h"
#include "route/compress_options.h"

#define NAMES_MAX ((size_t)1 << 20)
#define HINT_MAX 400u
#define NAMED_MAX 64u /* names that hints choose from */

void lt_route_say_both(struct lt_route_build *b, struct lt_pos pos, struct lt_pos other,
                       const char *what, struct lt_str name, const char *cure)
{
    char hint[512];
    struct lt_str file = other.source != NULL ? other.source->name : LT_STR_NONE;
    snprintf(hint, sizeof(hint), "the other one is at %.*s:%u:%u%s%s",
             LT_STR_ARG(lt_str_sub(file, 0, 300)), other.line, other.col, cure != NULL ? "; " : "",
             cure != NULL ? cure : "");
    lt_diag_error(b->diags, pos, hint, "\"%.*s\" %s", LT_STR_ARG(name), what);
}

/* Whether the value of a row can be used. */
static bool row_ok(const void *obj, const char *name)
{
    const struct lt_conf *conf = obj;
    for (size_t i = 0; i < conf->schema->n_rows; i++) {
        if (strcmp(conf->schema->rows[i].name, name) == 0) {
            return (conf->bad >> i & 1) == 0;
        }
    }
    return false;
}

static bool list_has(const struct lt_conf_list *list, struct lt_str name, size_t n)
{
    const struct lt_str *items = list->items;
    for (size_t i = 0; i < n; i++) {
        if (lt_str_eq(items[i], name)) {
            return true;
        }
    }
    return false;
}

/* ---- sites ---- */

static uint64_t all_listeners(const struct lt_route_build *b)
{
    return b->spec->n_listeners >= 64 ? UINT64_MAX : (UINT64_C(1) << b->spec->n_listeners) - 1;
}

/* The listener's bit, with those of numbers that had its name before; 0: there is none. */
static uint64_t listener_bits(const struct lt_route_build *b, struct lt_str name)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < b->spec->n_listeners; i++) {
        if (lt_str_eq(b->spec->listeners[i].name, name)) {
            bits |= UINT64_C(1) << i;
        }
    }
    return bits;
}

static void say_no_listener(struct lt_route_build *b, const struct lt_site_conf *site, size_t i,
                            struct lt_str name)
{
    const char *names[LT_ROUTER_LISTENERS_MAX];
    char hint[HINT_MAX];
    size_t n = 0;
    for (unsigned j = 0; j < b->spec->n_listeners; j++) {
        struct lt_str copy;
        if (lt_arena_dup(b->arena, b->spec->listeners[j].name, &copy)) {
            names[n++] = copy.p;
        }
    }
    lt_diag_error(b->diags, lt_site_conf_item_pos(site, "listeners", i),
                  lt_schema_hint(name, names, n, hint, sizeof(hint)),
                  "listeners: there is no listener \"%.*s\"", LT_STR_ARG(lt_str_sub(name, 0, 100)));
}

static uint64_t site_listeners(struct lt_route_build *b, const struct lt_site_conf *site)
{
    const struct lt_str *names = site->listeners.items;
    uint64_t mask = 0;
    if (site->listeners.n == 0) {
        return all_listeners(b);
    }
    for (size_t i = 0; i < site->listeners.n; i++) {
        uint64_t bits = listener_bits(b, names[i]);
        if (bits == 0 && names[i].len > 0) {
            say_no_listener(b, site, i, names[i]);
        }
        mask |= bits;
    }
    return mask;
}

/* Names in logs and metrics are of one site. */
static void add_site_name(struct lt_route_build *b, const struct lt_site_conf *site)
{
    struct lt_str name = lt_site_conf_name(site);
    const struct lt_site_conf *other = name.len > 0 ? lt_map_get(&b->sites, name) : NULL;
    const char *row = site->name.len > 0 ? "name" : "hosts";
    if (other != NULL) {
        struct lt_pos pos = lt_site_conf_item_pos(site, row, 0);
        struct lt_pos first =
            lt_site_conf_item_pos(other, other->name.len > 0 ? "name" : "hosts", 0);
        lt_route_say_both(b, pos, first, "is the name of two sites", name,
                          "give one of them a `name`");
    } else if (name.len > 0 && lt_map_set(&b->sites, name, (void *)(uintptr_t)site) != LT_OK) {
        lt_route_nomem(b);
    }
}

/* The names in a list of filters are there once, and not among those that ran before. */
static void check_twice(struct lt_route_build *b, const void *holder,
                        const struct lt_conf_list *filters, const struct lt_site_conf *site,
                        const struct lt_conf_list *without)
{
    const struct lt_str *names = filters->items;
    for (size_t i = 0; i < filters->n; i++) {
        const char *wrong = NULL;
        if (list_has(filters, names[i], i)) {
            wrong = "stands here twice";
        } else if (site != NULL && list_has(&site->filters, names[i], site->filters.n) &&
                   !list_has(without, names[i], without->n)) {
            wrong = "runs for the whole site already";
        }
        if (wrong != NULL) {
            lt_diag_error(b->diags, lt_site_conf_item_pos(holder, "filters", i),
                          "leave it out, or give a second instance a name of its own",
                          "filters: \"%.*s\" %s", LT_STR_ARG(names[i]), wrong);
        }
    }
}

static void check_without(struct lt_route_build *b, const struct lt_site_conf *site,
                          const struct lt_route_conf *route)
{
    const struct lt_str *names = route->without.items, *known = site->filters.items;
    for (size_t i = 0; i < route->without.n; i++) {
        const char *there[NAMED_MAX];
        char hint[HINT_MAX];
        size_t n = 0;
        if (list_has(&site->filters, names[i], site->filters.n)) {
            continue;
        }
        for (size_t j = 0; j < site->filters.n && n < lt_countof(there); j++) {
            if (known[j].p != NULL) {
                there[n++] = known[j].p;
            }
        }
        const char *close = lt_schema_hint(names[i], there, n, hint, sizeof(hint));
        lt_diag_error(b->diags, lt_site_conf_item_pos(route, "without", i),
                      close != NULL ? close : "leave it out: this site has no filters",
                      "without: \"%.*s\" is not among the filters of this site",
                      LT_STR_ARG(lt_str_sub(names[i], 0, 100)));
    }
}

/* ---- routes ---- */

static bool compile_match(struct lt_route_build *b, struct lt_route_compiled *c)
{
    const struct lt_match_conf *match = &c->conf->match;
    const char *row = match->regex.len > 0 ? "regex" : "path";
    const struct lt_node *node = lt_node_get(c->conf->conf.node, "match");
    c->pos = lt_schema_pos(c->conf, "match");
    if (node == NULL || match->conf.broken || !row_ok(match, row) ||
        (match->regex.len > 0) == (match->path.len > 0)) {
        return false;
    }
    if (node->kind != LT_NODE_SCALAR) {
        node = lt_node_get(node, row);
        c->pos = lt_schema_pos(match, row);
    }
    struct lt_pos pos = c->pos;
    bool exact = !node->substituted && node->raw.len <= node->text.len + 2;
    pos.col += exact && node->quoted;
    if (match->regex.len > 0
            ? !lt_pattern_compile_regex(b->arena, b->diags, pos, exact, match->regex, &c->pattern)
            : !lt_pattern_compile(b->arena, b->diags, pos, exact, match->path, &c->pattern)) {
        return false;
    }
    if (lt_schema_is_set(match, offsetof(struct lt_match_conf, method))) {
        if (c->pattern.method != LT_METHOD_UNKNOWN) {
            lt_diag_error(b->diags, lt_schema_pos(match, "method"), "leave one of them out",
                          "method: `path` has a method already");
            return false;
        }
        c->pattern.method = (enum lt_method)(match->method + 1);
    }
    const int *methods = c->conf->methods.items;
    for (size_t i = 0; i < c->conf->methods.n; i++) {
        c->methods |= UINT32_C(1) << (methods[i] + 1);
    }
    if (c->pattern.method != LT_METHOD_UNKNOWN) {
        if (c->methods != 0) {
            lt_diag_error(b->diags, lt_schema_pos(c->conf, "methods"), "leave one of them out",
                          "methods: `match` has a method already");
            return false;
        }
        c->methods = UINT32_C(1) << c->pattern.method;
    }
    c->when = c->conf->when;
    c->terms = c->when != NULL ? lt_expr_terms(c->when) : 0;
    c->priority = c->conf->priority;
    return true;
}

/* The match with whatever else tells this route from others. */
static bool name_route(struct lt_route_build *b, struct lt_route_compiled *c)
{
    struct lt_str *name = &c->route->name;
    struct lt_buf buf;
    const int *methods = c->conf->methods.items;
    lt_buf_init(&buf, LT_PATTERN_TEXT_MAX * 3);
    for (size_t i = 0; i < c->conf->methods.n; i++) {
        lt_buf_str(&buf, lt_method_name((enum lt_method)(methods[i] + 1)));
        lt_buf_char(&buf, i + 1 < c->conf->methods.n ? ',' : ' ');
    }
    if (lt_schema_is_set(&c->conf->match, offsetof(struct lt_match_conf, method))) {
        lt_buf_str(&buf, lt_method_name(c->pattern.method));
        lt_buf_char(&buf, ' ');
    }
    if (c->pattern.regex != NULL) {
        lt_buf_str(&buf, LT_STR("~ "));
    }
    lt_buf_str(&buf, c->pattern.regex != NULL ? c->conf->match.regex : c->conf->match.path);
    if (c->when != NULL) {
        lt_buf_str(&buf, LT_STR(" when "));
        lt_buf_str(&buf, lt_expr_source(c->when));
    }
    if (c->priority != 0) {
        lt_buf_printf(&buf, " priority %lld", (long long)c->priority);
    }
    bool ok = !buf.truncated && lt_arena_dup(b->arena, lt_buf_view(&buf), name);
    lt_buf_fini(&buf);
    return ok || lt_route_nomem(b);
}

static void set_target(struct lt_route_build *b, struct lt_route_target *target, struct lt_str name,
                       struct lt_pos pos, uint32_t share)
{
    bool known = lt_map_get(&b->upstreams, name) != NULL;
    *target = (struct lt_route_target){.name = name, .share = share};
    if (known && b->spec->find != NULL) {
        target->upstream = b->spec->find(b->spec->arg, name);
        known = target->upstream != NULL;
    }
    if (!known) {
        char space[HINT_MAX];
        const char *hint =
            lt_schema_hint(name, b->spec->upstreams, b->spec->n_upstreams, space, sizeof(space));
        lt_diag_error(b->diags, pos, hint != NULL ? hint : "define it at the top, in upstreams",
                      "to: there is no upstream \"%.*s\"", LT_STR_ARG(lt_str_sub(name, 0, 100)));
    }
}

static void set_targets(struct lt_route_build *b, struct lt_route *route,
                        const struct lt_route_to_conf *to)
{
    unsigned n = to->upstream.len > 0 ? 1 : (unsigned)to->split.n;
    uint32_t share = 0;
    if (to->conf.broken || n == 0) {
        return;
    }
    route->action = LT_ROUTE_TO;
    route->targets = lt_arena_array(b->arena, struct lt_route_target, n);
    route->n_targets = n;
    if (route->targets == NULL) {
        lt_route_nomem(b);
        return;
    }
    if (to->upstream.len > 0) {
        set_target(b, &route->targets[0], to->upstream, lt_schema_pos(to, "upstream"), 10000);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        uint32_t part = *(const uint32_t *)to->split.entries[i].value;
        share += part;
        set_target(b, &route->targets[i], to->split.entries[i].key,
                   to->split.entries[i].key_node->pos, share);
        route->targets[i].drawn = part > 0;
    }
}

static void set_strip(struct lt_route_build *b, struct lt_route_compiled *c)
{
    struct lt_str strip = c->conf->strip;
    if (strip.len > 0 && row_ok(c->conf, "strip")) {
        if (strip.p[0] != '/' || strip.p[strip.len - 1] == '/' ||
            !lt_pattern_has_prefix(&c->pattern, strip)) {
            lt_diag_error(b->diags, lt_schema_pos(c->conf, "strip"),
                          "write the first segments of `match`, as in /shop",
                          "strip: \"%.*s\" is not what `match` begins with",
                          LT_STR_ARG(lt_str_sub(strip, 0, 200)));
        }
        c->route->strip = strip;
        c->route->map_back = c->conf->map_back;
    }
}

static void set_template(struct lt_route_build *b, struct lt_route_compiled *c, const void *holder,
                         const char *row, struct lt_str text)
{
    bool rewrite = holder == c->conf;
    if (text.len > 0 && row_ok(holder, row) &&
        !lt_route_template_compile(b->arena, b->diags, lt_schema_pos(holder, row), rewrite, text,
                                   c) &&
        b->diags->errors == 0) {
        lt_route_nomem(b);
    }
}

static void set_action(struct lt_route_build *b, struct lt_route_compiled *c)
{
    struct lt_route *route = c->route;
    const struct lt_route_conf *conf = c->conf;
    set_strip(b, c);
    if (lt_schema_is_set(conf, offsetof(struct lt_route_conf, to))) {
        set_targets(b, route, &conf->to);
        set_template(b, c, conf, "rewrite", conf->rewrite);
        route->rewrites = conf->rewrite.len > 0;
        if (lt_schema_is_set(conf, offsetof(struct lt_route_conf, sticky_split))) {
            route->sticky = conf->sticky_split.name;
            route->sticky_age_s = conf->sticky_split.max_age_ms / 1000;
        }
    } else if (lt_schema_is_set(conf, offsetof(struct lt_route_conf, redirect))) {
        route->action = LT_ROUTE_REDIRECT;
        route->status = (unsigned)conf->redirect.status;
        route->location = conf->redirect.to;
        set_template(b, c, &conf->redirect, "to", route->location);
    } else {
        route->action = LT_ROUTE_RESPOND;
        route->status = (unsigned)conf->respond.status;
        route->body = conf->respond.body;
        route->content_type = conf->respond.content_type;
    }
}

#define SET(obj, type, member) lt_schema_is_set(obj, offsetof(type, member))

static void set_upgrade(struct lt_route *route, const struct lt_route_conf *conf)
{
    static const struct lt_str websocket = LT_STR_INIT("websocket");
    bool set = SET(conf, struct lt_route_conf, upgrade);
    route->upgrade = set ? conf->upgrade.items : &websocket;
    route->n_upgrade = set ? (unsigned)conf->upgrade.n : 1;
}

/* What holds for the route on each listener: its own value, else the site's, else the listener's.
 */
static bool set_options(struct lt_route_build *b, struct lt_route_compiled *c)
{
    const struct lt_route_conf *route = c->conf;
    const struct lt_site_conf *site = c->site_conf;
    bool route_body = SET(&route->body, struct lt_body_conf, max);
    bool site_body = SET(&site->body, struct lt_body_conf, max);
    bool route_stream = SET(&route->body, struct lt_body_conf, stream);
    bool site_stream = SET(&site->body, struct lt_body_conf, stream);
    bool route_first = SET(&route->timeouts, struct lt_route_timeouts_conf, first_byte_ms);
    bool site_first = SET(&site->timeouts, struct lt_route_timeouts_conf, first_byte_ms);
    bool route_tunnel = SET(&route->timeouts, struct lt_route_timeouts_conf, tunnel_ms);
    bool site_tunnel = SET(&site->timeouts, struct lt_route_timeouts_conf, tunnel_ms);
    bool route_slashes = SET(route, struct lt_route_conf, encoded_slashes);
    int slashes = route_slashes ? route->encoded_slashes : site->encoded_slashes;
    bool route_total = SET(&route->timeouts, struct lt_route_timeouts_conf, total_ms);
    bool site_total = SET(&site->timeouts, struct lt_route_timeouts_conf, total_ms);
    bool compress = lt_compress_conf_any(&route->compress) || lt_compress_conf_any(&site->compress);
    c->route->options = b->inherited;
    if (!route_body && !site_body && !route_first && !site_first && !route_tunnel && !site_tunnel &&
        !route_stream && !site_stream && !route_total && !site_total && !compress && slashes == 0) {
        return true;
    }
    struct lt_route_options *options =
        lt_arena_array(b->arena, struct lt_route_options, b->spec->n_listeners);
    if (options == NULL) {
        return lt_route_nomem(b);
    }
    struct lt_str first_byte_at =
        lt_config_place(b->arena, route_first ? (const void *)route : site, "timeouts.first_byte");
    struct lt_str total_at =
        lt_config_place(b->arena, route_total ? (const void *)route : site, "timeouts.total");
    for (unsigned i = 0; i < b->spec->n_listeners; i++) {
        options[i] = b->inherited[i];
        options[i].encoded_slashes = slashes != 0;
        if (route_body || site_body) {
            options[i].body_max = route_body ? route->body.max : site->body.max;
            options[i].body_max_at = route_body ? "route" : "site";
        }
        if (route_stream || site_stream) {
            options[i].body_stream = route_stream ? route->body.stream : site->body.stream;
        }
        if (route_first || site_first) {
            options[i].first_byte_ms =
                route_first ? route->timeouts.first_byte_ms : site->timeouts.first_byte_ms;
            options[i].first_byte_at = first_byte_at;
        }
        if (route_tunnel || site_tunnel) {
            options[i].tunnel_ms =
                route_tunnel ? route->timeouts.tunnel_ms : site->timeouts.tunnel_ms;
        }
        if (route_total || site_total) {
            options[i].total_ms = route_total ? route->timeouts.total_ms : site->timeouts.total_ms;
            options[i].total_at = total_at;
        }
    }
    if (compress) {
        lt_route_set_compress(b, c, options);
    }
    c->route->options = options;
    return true;
}

static void add_route(struct lt_route_build *b, struct lt_route_site *site,
                      const struct lt_route_conf *conf)
{
    struct lt_route_compiled *c = lt_arena_new(b->arena, struct lt_route_compiled);
    if (c == NULL) {
        lt_route_nomem(b);
        return;
    }
    c->route = &b->router->routes[b->router->n_routes];
    c->route->index = b->router->n_routes++;
    c->route->compiled = c;
    c->route->site = lt_site_conf_name(site->conf);
    c->site_conf = site->conf;
    c->conf = conf;
    check_twice(b, conf, &conf->filters, site->conf, &conf->without);
    check_without(b, site->conf, conf);
    if (!compile_match(b, c)) { /* what doesn't need it is checked still */
        if (b->diags->errors == 0) {
            lt_route_nomem(b);
        }
        if (SET(conf, struct lt_route_conf, to)) {
            set_targets(b, c->route, &conf->to);
        }
        lt_route_set_pages(b, site, c);
        return;
    }
    set_action(b, c);
    set_upgrade(c->route, conf);
    lt_route_set_pages(b, site, c);
    if (set_options(b, c) && name_route(b, c) && !conf->conf.broken) {
        lt_route_add_to_tree(b, site, c);
    }
}

static void add_site(struct lt_route_build *b, const struct lt_site_conf *conf)
{
    const struct lt_route_conf *routes = conf->routes.items;
    struct lt_route_site *site = lt_arena_new(b->arena, struct lt_route_site);
    if (site == NULL) {
        lt_route_nomem(b);
        return;
    }
    site->conf = conf;
    site->number = (unsigned)(conf - (const struct lt_site_conf *)b->spec->sites->items);
    site->listeners = site_listeners(b, conf);
    site->root.space = b->n_spaces++;
    add_site_name(b, conf);
    lt_route_add_pages(b, site);
    for (size_t i = 0; i < conf->hosts.n; i++) {
        lt_route_add_host(b, site, i);
    }
    if (conf->is_default) {
        lt_route_add_default(b, site);
    }
    check_twice(b, conf, &conf->filters, NULL, NULL);
    for (size_t i = 0; i < conf->routes.n && !b->load->nomem; i++) {
        if (routes[i].conf.schema != NULL && routes[i].conf.node != NULL) {
            add_route(b, site, &routes[i]);
        }
    }
}

/* ---- all ---- */

/* Counts what the table and the array of routes must hold. */
static void count(const struct lt_conf_list *sites, size_t *entries, size_t *routes)
{
    const struct lt_site_conf *site = sites->items;
    *entries = *routes = 0;
    for (size_t i = 0; i < sites->n; i++) {
        const struct lt_route_conf *route = site[i].routes.items;
        *entries += site[i].hosts.n;
        *routes += site[i].routes.n;
        for (size_t j = 0; j < site[i].routes.n; j++) {
            struct lt_str path = route[j].match.path;
            for (size_t k = 0; k < path.len; k++) {
                *entries += path.p[k] == '/';
            }
        }
    }
}

static bool init(struct lt_route_build *b)
{
    size_t entries, routes;
    const struct lt_router_spec *spec = b->spec;
    count(spec->sites, &entries, &routes);
    b->router = lt_arena_new(b->arena, struct lt_router);
    b->inherited = lt_arena_array(b->arena, struct lt_route_options, spec->n_listeners);
    b->compiled = lt_arena_array(b->arena, struct lt_route_compiled *, routes);
    if (b->router == NULL || b->inherited == NULL || b->compiled == NULL ||
        !lt_route_table_init(&b->router->table, b->arena, entries)) {
        return lt_route_nomem(b);
    }
    b->router->routes = lt_arena_array(b->arena, struct lt_route, routes);
    if (b->router->routes == NULL) {
        return lt_route_nomem(b);
    }
    for (unsigned i = 0; i < spec->n_listeners; i++) {
        b->inherited[i] = spec->listeners[i].options;
        if (spec->listeners[i].redirect_https) {
            b->router->redirect_https |= UINT64_C(1) << i;
        }
    }
    for (size_t i = 0; i < spec->n_upstreams; i++) {
        if (lt_map_set(&b->upstreams, lt_str_c(spec->upstreams[i]),
                       (void *)(uintptr_t)spec->upstreams[i]) != LT_OK) {
            return lt_route_nomem(b);
        }
    }
    return true;
}

struct lt_router *lt_router_build(struct lt_arena *arena, const struct lt_router_spec *spec)
{
    struct lt_route_build b = {.arena = arena,
                               .spec = spec,
                               .load = spec->load,
                               .diags = spec->load->diags,
                               .n_spaces = LT_ROUTE_SPACE_NODES};
    const struct lt_site_conf *sites = spec->sites->items;
    if (spec->n_listeners > LT_ROUTER_LISTENERS_MAX) {
        lt_diag_error(b.diags, lt_load_nowhere(), NULL, "more than %u listeners",
                      LT_ROUTER_LISTENERS_MAX);
        return NULL;
    }
    lt_map_init(&b.upstreams, spec->load->seed, NAMES_MAX);
    lt_map_init(&b.sites, spec->load->seed, NAMES_MAX);
    lt_map_init(&b.pages, spec->load->seed, NAMES_MAX);
    if (init(&b)) {
        lt_route_build_answers(&b);
        for (size_t i = 0; i < spec->sites->n && !b.load->nomem; i++) {
            if (sites[i].conf.schema != NULL && sites[i].conf.node != NULL) {
                add_site(&b, &sites[i]);
            }
        }
        lt_route_order(&b);
        lt_route_sort_names(&b);
    }
    lt_map_fini(&b.upstreams);
    lt_map_fini(&b.sites);
    lt_map_fini(&b.pages);
    return b.load->nomem || b.diags->errors > 0 ? NULL : b.router;
}

struct lt_route *lt_router_routes(struct lt_router *router, unsigned *n)
{
    *n = router->n_routes;
    return router->routes;
}

const struct lt_route_conf *lt_route_conf_of(const struct lt_route *route)
{
    const struct lt_route_compiled *c = route->compiled;
    return c->conf;
}

const struct lt_site_conf *lt_route_site_conf_of(const struct lt_route *route)
{
    const struct lt_route_compiled *c = route->compiled;
    return c->site_conf;
}
