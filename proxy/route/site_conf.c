/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of sites and routes. Loader thread. */
#include "route/site_conf.h"

#include <stdio.h>

#include "config/load.h"
#include "http/upgrade.h"
#include "route/error_pages.h"

#define CLIENT_LEVELS (LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER | LT_LEVEL_SITE | LT_LEVEL_ROUTE)

/* ---- what sites and routes share ---- */

static const struct lt_row body_rows[] = {
    {.name = "max",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_body_conf, max),
     .max = "1T",
     .flags = LT_ROW_ABSENT_OK,
     .levels = CLIENT_LEVELS,
     .doc = "Largest request body. A larger one is answered with 413. Without it the site's, then "
            "the listener's value counts.",
     .since = "0.1"},
    {.name = "stream",
     .type = LT_T_BOOL,
     .offset = offsetof(struct lt_body_conf, stream),
     .flags = LT_ROW_ABSENT_OK,
     .levels = LT_LEVEL_SITE | LT_LEVEL_ROUTE,
     .doc = "Whether request bodies go to the server as they come, with back-pressure, instead of "
            "being collected first. The server is taken at once and held until the client has sent "
            "all; `Expect: 100-continue` is the server's to answer, and there is no other try once "
            "a byte was sent. Without it the site's value counts, else bodies are collected.",
     .since = "0.1"},
};

static const struct lt_schema body_schema = {
    .name = "body",
    .doc = "Request bodies.",
    .rows = body_rows,
    .n_rows = lt_countof(body_rows),
    .size = sizeof(struct lt_body_conf),
};

static const struct lt_row timeout_rows[] = {
    {.name = "first_byte",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_route_timeouts_conf, first_byte_ms),
     .min = "1ms",
     .max = "1d",
     .flags = LT_ROW_ABSENT_OK,
     .levels = CLIENT_LEVELS,
     .doc = "How long a server may take until its response begins. Without it the site's, then "
            "the listener's, then the upstream's value counts.",
     .since = "0.1"},
    {.name = "tunnel",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_route_timeouts_conf, tunnel_ms),
     .min = "100ms",
     .max = "7d",
     .flags = LT_ROW_ABSENT_OK,
     .levels = CLIENT_LEVELS,
     .doc = "How long a connection may be silent in both directions after an upgrade (WebSocket). "
            "Without it the site's, then the listener's value counts.",
     .since = "0.1"},
    {.name = "total",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_route_timeouts_conf, total_ms),
     .min = "1ms",
     .max = "1d",
     .flags = LT_ROW_ABSENT_OK,
     .levels = CLIENT_LEVELS,
     .doc = "How long a whole exchange may take, from the request's head to the end of the "
            "response: then the answer is 504, or the response is cut off. Without it the site's, "
            "then the listener's value counts. It ends with an upgrade.",
     .since = "0.1"},
};

static const struct lt_schema timeouts_schema = {
    .name = "route timeouts",
    .doc = "How long a response may take.",
    .rows = timeout_rows,
    .n_rows = lt_countof(timeout_rows),
    .size = sizeof(struct lt_route_timeouts_conf),
};

static const char *const encoded_slashes[] = {"refuse", "keep", NULL};

#define ENCODED_SLASHES_ROW(holder)                                                                \
    {                                                                                              \
        .name = "encoded_slashes", .type = LT_T_ENUM, .offset = offsetof(holder, encoded_slashes), \
        .flags = LT_ROW_ABSENT_OK, .levels = LT_LEVEL_SITE | LT_LEVEL_ROUTE,                       \
        .choices = encoded_slashes,                                                                \
        .doc = "What becomes of `%2F` in a path. `refuse`, and without this option: status 400. "  \
               "`keep`: it is data of its segment and goes on as `%2F`, as long as a server that " \
               "reads a slash there would be on the same route.",                                  \
        .since = "0.1"                                                                             \
    }

#define CLIENT_ROWS(holder)                                                                        \
    {.name = "body",                                                                               \
     .type = LT_T_OBJECT,                                                                          \
     .offset = offsetof(holder, body),                                                             \
     .levels = CLIENT_LEVELS,                                                                      \
     .sub = &body_schema,                                                                          \
     .doc = "Request bodies.",                                                                     \
     .since = "0.1"},                                                                              \
        LT_COMPRESS_ROW(holder, lt_compress_unset_schema, CLIENT_LEVELS),                          \
        LT_ERROR_PAGES_ROW(holder),                                                                \
    {                                                                                              \
        .name = "timeouts", .type = LT_T_OBJECT, .offset = offsetof(holder, timeouts),             \
        .levels = CLIENT_LEVELS, .sub = &timeouts_schema, .doc = "How long a response may take.",  \
        .since = "0.1"                                                                             \
    }

/* ---- to ---- */

static void check_to(struct lt_schema_load *load, void *obj)
{
    const struct lt_route_to_conf *to = obj;
    uint64_t sum = 0;
    bool split = lt_schema_is_set(to, offsetof(struct lt_route_to_conf, split));
    if (split == lt_schema_is_set(to, offsetof(struct lt_route_to_conf, upstream))) {
        lt_diag_error(load->diags, to->conf.node->pos, "write to: NAME or to: {A: 95%, B: 5%}",
                      "to: one upstream or a split is expected here");
        return;
    }
    for (size_t i = 0; i < to->split.n; i++) {
        sum += *(const uint32_t *)to->split.entries[i].value;
    }
    if (split && sum != 10000) {
        char hint[80];
        snprintf(hint, sizeof(hint), "%s %g%% %s one of them", sum > 10000 ? "take" : "add",
                 (sum > 10000 ? (double)(sum - 10000) : (double)(10000 - sum)) / 100,
                 sum > 10000 ? "from" : "to");
        lt_diag_error(load->diags, lt_schema_pos(to, "split"), hint,
                      "to: the shares are %g%% together, they must be 100%%", (double)sum / 100);
    }
}

static const struct lt_row to_rows[] = {
    {.name = "upstream",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_route_to_conf, upstream),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "Name of the upstream; `to: NAME` is the short form.",
     .since = "0.1"},
    {.name = "split",
     .type = LT_T_MAP,
     .offset = offsetof(struct lt_route_to_conf, split),
     .max = "64",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .item = LT_T_PERCENT,
     .doc = "Upstreams and the share of requests that each gets, 100% together; "
            "`to: {A: 95%, B: 5%}` is the short form.",
     .since = "0.1"},
};

static const struct lt_schema to_schema = {
    .name = "to",
    .doc = "Where requests go.",
    .rows = to_rows,
    .n_rows = lt_countof(to_rows),
    .size = sizeof(struct lt_route_to_conf),
    .shorthand = "upstream",
    .shorthand_map = "split",
    .check = check_to,
};

/* ---- redirect and respond ---- */

static void check_redirect_status(struct lt_schema_load *load, const struct lt_node *node,
                                  const void *value)
{
    int64_t status = *(const int64_t *)value;
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) {
        lt_diag_error(load->diags, node->pos, "write 301, 302, 303, 307 or 308",
                      "redirect: %lld is not the status of a redirect", (long long)status);
    }
}

static const struct lt_row redirect_rows[] = {
    {.name = "status",
     .type = LT_T_INT,
     .offset = offsetof(struct lt_redirect_conf, status),
     .def = "307",
     .check = check_redirect_status,
     .doc = "301 and 308 are permanent, 302, 303 and 307 are not. 307 and 308 keep the method.",
     .since = "0.1"},
    {.name = "to",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_redirect_conf, to),
     .max = "2000",
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .doc = "Where to: a path or an http(s) URL. `{rest}` is what `*` in `match` stands for, "
            "`{NAME}` the segment of that name, `{path}` the whole path, `{query}` the query "
            "without its `?`, `{host}` the host that was asked for.",
     .since = "0.1"},
};

static const struct lt_schema redirect_schema = {
    .name = "redirect",
    .doc = "An answer that sends the client elsewhere.",
    .rows = redirect_rows,
    .n_rows = lt_countof(redirect_rows),
    .size = sizeof(struct lt_redirect_conf),
    .shorthand = "to",
};

static void check_content_type(struct lt_schema_load *load, const struct lt_node *node,
                               const void *value)
{
    if (!lt_header_value_ok(*(const struct lt_str *)value)) {
        lt_diag_error(load->diags, node->pos, "write it as in text/html; charset=utf-8",
                      "content_type: holds a byte that no header field can hold");
    }
}

static void check_respond(struct lt_schema_load *load, void *obj)
{
    const struct lt_respond_conf *respond = obj;
    if (respond->body.len > 0 && lt_status_bodiless((unsigned)respond->status)) {
        lt_diag_error(load->diags, lt_schema_pos(obj, "body"), "leave the body out",
                      "respond: an answer with status %lld has no body",
                      (long long)respond->status);
    }
}

static const struct lt_row respond_rows[] = {
    {.name = "status",
     .type = LT_T_INT,
     .offset = offsetof(struct lt_respond_conf, status),
     .def = "200",
     .min = "200",
     .max = "599",
     .doc = "Status of the answer.",
     .since = "0.1"},
    {.name = "body",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_respond_conf, body),
     .def = "",
     .doc = "Body of the answer.",
     .since = "0.1"},
    {.name = "content_type",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_respond_conf, content_type),
     .def = "text/plain; charset=utf-8",
     .flags = LT_ROW_NONEMPTY,
     .check = check_content_type,
     .doc = "Type of the body.",
     .since = "0.1"},
};

static const struct lt_schema respond_schema = {
    .name = "respond",
    .doc = "A fixed answer.",
    .rows = respond_rows,
    .n_rows = lt_countof(respond_rows),
    .size = sizeof(struct lt_respond_conf),
    .shorthand = "status",
    .check = check_respond,
};

/* ---- match ---- */

/* In the order of enum lt_method, from the one after LT_METHOD_UNKNOWN. */
static const char *const methods[] = {
#define X(id, text, safe, idempotent) text,
#include "http/method.def"
#undef X
    NULL};

static void check_match(struct lt_schema_load *load, void *obj)
{
    const struct lt_match_conf *match = obj;
    if ((match->path.len > 0) == (match->regex.len > 0)) {
        lt_diag_error(load->diags, match->conf.node->pos,
                      "write match: /path or match: {regex: '^/path/'}",
                      "match: one of a path and a regex is expected here");
    }
}

static const struct lt_row match_rows[] = {
    {.name = "path",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_match_conf, path),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "`/path` exactly, `/path/*` and all below, with `{name}` for one segment; a method may "
            "stand before it: `GET /path`. `match: /path` is the short form.",
     .since = "0.1"},
    {.name = "regex",
     .type = LT_T_REGEX,
     .offset = offsetof(struct lt_match_conf, regex),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc =
         "A regular expression (PCRE2) that is looked for in the normal form of the path. Named "
         "groups `(?<name>...)` are used like `{name}`. It comes after every path with a segment "
         "of its own and before `/*`; of several, the one with more literal text after its `^` "
         "wins.",
     .since = "0.1"},
    {.name = "method",
     .type = LT_T_ENUM,
     .offset = offsetof(struct lt_match_conf, method),
     .flags = LT_ROW_ABSENT_OK,
     .choices = methods,
     .doc = "Which method; `methods` of the route takes several.",
     .since = "0.1"},
};

static const struct lt_schema match_schema = {
    .name = "match",
    .doc = "Which requests a route takes.",
    .rows = match_rows,
    .n_rows = lt_countof(match_rows),
    .size = sizeof(struct lt_match_conf),
    .shorthand = "path",
    .check = check_match,
};

/* ---- sticky_split ---- */

static const char *const sticky_kinds[] = {"cookie", NULL};

static void check_cookie_name(struct lt_schema_load *load, const struct lt_node *node,
                              const void *value)
{
    if (!lt_header_name_ok(*(const struct lt_str *)value)) {
        lt_diag_error(load->diags, node->pos, "write letters, digits, - and _",
                      "name: this can't be the name of a cookie");
    }
}

static const struct lt_row sticky_rows[] = {
    {.name = "by",
     .type = LT_T_ENUM,
     .offset = offsetof(struct lt_sticky_conf, by),
     .def = "cookie",
     .choices = sticky_kinds,
     .doc = "What tells clients apart. `cookie`: one that Lintel sets.",
     .since = "0.1"},
    {.name = "name",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_sticky_conf, name),
     .def = "lintel_split",
     .max = "64",
     .flags = LT_ROW_NONEMPTY,
     .check = check_cookie_name,
     .doc = "Name of the cookie. Routes that share it send a client to the same upstream of those "
            "that they have in common.",
     .since = "0.1"},
    {.name = "max_age",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_sticky_conf, max_age_ms),
     .min = "1s",
     .max = "400d",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "How long a client keeps the cookie. Without it, until its browser ends.",
     .since = "0.1"},
};

static const struct lt_schema sticky_schema = {
    .name = "sticky split",
    .doc = "What keeps a client at one upstream of a split.",
    .rows = sticky_rows,
    .n_rows = lt_countof(sticky_rows),
    .size = sizeof(struct lt_sticky_conf),
    .shorthand = "by",
};

/* ---- route ---- */

#undef AT
#define AT(member) offsetof(struct lt_route_conf, member)

static void check_action(struct lt_schema_load *load, const struct lt_route_conf *route)
{
    static const struct {
        const char *name;
        size_t offset;
    } actions[] = {{"to", AT(to)}, {"redirect", AT(redirect)}, {"respond", AT(respond)}};
    const char *first = NULL;
    for (size_t i = 0; i < lt_countof(actions); i++) {
        if (!lt_schema_is_set(route, actions[i].offset)) {
            continue;
        }
        if (first != NULL) {
            lt_diag_error(load->diags, lt_schema_pos(route, actions[i].name),
                          "leave one of the two out", "a route can't have both \"%s\" and \"%s\"",
                          first, actions[i].name);
        }
        first = actions[i].name;
    }
    if (first == NULL) {
        lt_diag_error(load->diags, route->conf.node->pos,
                      "add to: UPSTREAM, redirect: {to: URL} or respond: {status: N}",
                      "route: nothing says what to do with the request");
    }
}

static void check_upgrade(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *protocols = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (!lt_upgrade_may_allow(protocols[i])) {
            struct lt_pos pos = i < node->n_items ? node->items[i]->pos : node->pos;
            lt_diag_error(load->diags, pos, "write the name of a protocol that is not HTTP",
                          "upgrade: \"%.*s\" can't be allowed",
                          LT_STR_ARG(lt_str_sub(protocols[i], 0, 100)));
        }
    }
}

static void check_route(struct lt_schema_load *load, void *obj)
{
    const struct lt_route_conf *route = obj;
    check_action(load, route);
    static const struct {
        const char *name, *with;
        size_t offset, needs;
    } pairs[] = {{"strip", "to", AT(strip), AT(to)},
                 {"rewrite", "to", AT(rewrite), AT(to)},
                 {"sticky_split", "to: {A: 95%, B: 5%}", AT(sticky_split), AT(to.split)}};
    for (size_t i = 0; i < lt_countof(pairs); i++) {
        if (lt_schema_is_set(route, pairs[i].offset) && !lt_schema_is_set(route, pairs[i].needs)) {
            lt_diag_error(load->diags, lt_schema_pos(route, pairs[i].name), "leave it out",
                          "%s: works only together with \"%s\"", pairs[i].name, pairs[i].with);
        }
    }
    if (route->strip.len > 0 && route->rewrite.len > 0) {
        lt_diag_error(load->diags, lt_schema_pos(route, "rewrite"), "leave one of the two out",
                      "a route can't have both \"strip\" and \"rewrite\"");
    }
}

static const struct lt_row route_rows[] = {
    {.name = "match",
     .type = LT_T_OBJECT,
     .offset = AT(match),
     .flags = LT_ROW_REQUIRED,
     .sub = &match_schema,
     .doc = "Which requests: `/path` exactly, `/path/*` and all below, with `{name}` for one "
            "segment; a method may stand before it: `GET /path`; or `{regex: '^/v(?<n>[0-9]+)/'}`. "
            "The most specific match wins, order does not matter: segment by segment, text comes "
            "before `{name}` before `*`, then regular expressions, then `/*`.",
     .since = "0.1"},
    {.name = "when",
     .type = LT_T_EXPR,
     .offset = AT(when),
     .flags = LT_ROW_ABSENT_OK,
     .doc = "A condition. Of routes with the same match and methods, the one with more `and`ed "
            "terms wins.",
     .since = "0.1"},
    {.name = "priority",
     .type = LT_T_INT,
     .offset = AT(priority),
     .def = "0",
     .min = "-1000",
     .max = "1000",
     .doc = "Decides between routes that are equally specific: the higher one wins.",
     .since = "0.1"},
    {.name = "methods",
     .type = LT_T_LIST,
     .offset = AT(methods),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .choices = methods,
     .item = LT_T_ENUM,
     .doc = "Which methods, when they are several. GET serves HEAD too.",
     .since = "0.1"},
    {.name = "filters",
     .type = LT_T_LIST,
     .offset = AT(filters),
     .max = "64",
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_STRING,
     .doc = "Filters to run, in this order, after the site's.",
     .since = "0.1"},
    {.name = "without",
     .type = LT_T_LIST,
     .offset = AT(without),
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_STRING,
     .doc = "Filters of the site that this route does not run.",
     .since = "0.1"},
    {.name = "to",
     .type = LT_T_OBJECT,
     .offset = AT(to),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &to_schema,
     .doc = "The upstream, or several with the share of each. A route has one of `to`, "
            "`redirect` and `respond`.",
     .since = "0.1"},
    {.name = "redirect",
     .type = LT_T_OBJECT,
     .offset = AT(redirect),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &redirect_schema,
     .doc = "Sends the client elsewhere.",
     .since = "0.1"},
    {.name = "respond",
     .type = LT_T_OBJECT,
     .offset = AT(respond),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &respond_schema,
     .doc = "Answers at once.",
     .since = "0.1"},
    {.name = "strip",
     .type = LT_T_STRING,
     .offset = AT(strip),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "Beginning of the path that servers do not see: with `/shop`, `/shop/cart` becomes "
            "`/cart`. They are told it by X-Forwarded-Prefix.",
     .since = "0.1"},
    {.name = "map_back",
     .type = LT_T_BOOL,
     .offset = AT(map_back),
     .def = "true",
     .doc = "Whether `strip` is put before the paths in Location, Content-Location, Refresh and "
            "Set-Cookie of responses, where it is not there already.",
     .since = "0.1"},
    {.name = "rewrite",
     .type = LT_T_STRING,
     .offset = AT(rewrite),
     .max = "2000",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc =
         "The path that servers see, with the names of a redirect: `/new/{rest}`. The query goes "
         "on as it is, unless a `?` stands here.",
     .since = "0.1"},
    {.name = "sticky_split",
     .type = LT_T_OBJECT,
     .offset = AT(sticky_split),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &sticky_schema,
     .doc = "Keeps a client at the upstream of the split that it got first.",
     .since = "0.1"},
    {.name = "upgrade",
     .type = LT_T_LIST,
     .offset = AT(upgrade),
     .max = "16",
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_STRING,
     .check = check_upgrade,
     .doc = "Protocols that a client may switch to with `Upgrade`; without it `[websocket]`, and "
            "`[]` is none. A request for another protocol is served as if it asked for none. "
            "h2c can't be allowed.",
     .since = "0.1"},
    ENCODED_SLASHES_ROW(struct lt_route_conf),
    CLIENT_ROWS(struct lt_route_conf),
};

static const struct lt_schema route_schema = {
    .name = "route",
    .doc = "Which requests of a site go where.",
    .rows = route_rows,
    .n_rows = lt_countof(route_rows),
    .size = sizeof(struct lt_route_conf),
    .check = check_route,
};

/* ---- site ---- */

#undef AT
#define AT(member) offsetof(struct lt_site_conf, member)

static const struct lt_row site_rows[] = {
    {.name = "hosts",
     .type = LT_T_LIST,
     .offset = AT(hosts),
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .item = LT_T_STRING,
     .doc = "Host names: `api.example.com`, `\"*.example.com\"` for all names below "
            "`example.com`, `\"*\"` for any. The exact name wins, then the longest one with a `*`.",
     .since = "0.1"},
    {.name = "name",
     .type = LT_T_STRING,
     .offset = AT(name),
     .max = "253",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "What logs and metrics call the site. Without it, its first host.",
     .since = "0.1"},
    {.name = "default",
     .type = LT_T_BOOL,
     .offset = AT(is_default),
     .def = "false",
     .doc = "Whether requests for hosts that no site has come here. Without such a site they are "
            "answered with 421.",
     .since = "0.1"},
    {.name = "listeners",
     .type = LT_T_LIST,
     .offset = AT(listeners),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .item = LT_T_STRING,
     .doc = "Names of the listeners on which this site answers. Without it, on all.",
     .since = "0.1"},
    {.name = "tls",
     .type = LT_T_OBJECT,
     .offset = AT(tls),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &lt_tls_site_schema,
     .doc = "Certificates of the site's hosts.",
     .since = "0.1"},
    {.name = "filters",
     .type = LT_T_LIST,
     .offset = AT(filters),
     .max = "64",
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_STRING,
     .doc = "Filters to run for all routes of the site, in this order.",
     .since = "0.1"},
    {.name = "routes",
     .type = LT_T_LIST,
     .offset = AT(routes),
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .sub = &route_schema,
     .item = LT_T_OBJECT,
     .doc = "Which requests go where.",
     .since = "0.1",
     .sub_level = LT_LEVEL_ROUTE},
    ENCODED_SLASHES_ROW(struct lt_site_conf),
    CLIENT_ROWS(struct lt_site_conf),
};

const struct lt_schema lt_site_schema = {
    .name = "site",
    .doc = "Host names with their certificates and routes.",
    .rows = site_rows,
    .n_rows = lt_countof(site_rows),
    .size = sizeof(struct lt_site_conf),
};

struct lt_str lt_site_conf_name(const struct lt_site_conf *site)
{
    const struct lt_str *hosts = site->hosts.items;
    return site->name.len > 0 || site->hosts.n == 0 ? site->name : hosts[0];
}

/* ---- the chain of a route ---- */

static bool list_has(const struct lt_conf_list *list, struct lt_str name)
{
    const struct lt_str *items = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (lt_str_eq(items[i], name)) {
            return true;
        }
    }
    return false;
}

struct lt_pos lt_site_conf_item_pos(const void *holder, const char *row, size_t i)
{
    const struct lt_conf *conf = holder;
    const struct lt_node *node = lt_node_get(conf->node, row);
    return node != NULL && i < node->n_items ? node->items[i]->pos : lt_schema_pos(holder, row);
}

/* Adds the names in list, which is the row `filters` of holder, but for those in except. */
static size_t add_refs(struct lt_filter_ref *refs, const void *holder,
                       const struct lt_conf_list *list, const struct lt_conf_list *except)
{
    const struct lt_str *names = list->items;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (except == NULL || !list_has(except, names[i])) {
            refs[n++] = (struct lt_filter_ref){.name = names[i],
                                               .pos = lt_site_conf_item_pos(holder, "filters", i)};
        }
    }
    return n;
}

bool lt_route_conf_filters(struct lt_arena *arena, const struct lt_site_conf *site,
                           const struct lt_route_conf *route, struct lt_filter_ref **refs,
                           size_t *n)
{
    *refs = lt_arena_array(arena, struct lt_filter_ref, site->filters.n + route->filters.n);
    *n = 0;
    if (*refs == NULL) {
        return false;
    }
    *n = add_refs(*refs, site, &site->filters, &route->without);
    *n += add_refs(*refs + *n, route, &route->filters, NULL);
    return true;
}
