/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/route: hosts, paths, methods, order, ties, and what a look-up costs. */
#include "route_env.h"

#include <time.h>

#include "base/mem.h"
#include "base/rand.h"

/* ---- hosts ---- */

#define ROUTE(name) "    routes: [{match: /*, respond: {body: " name "}}]\n"

static const char hosts_yaml[] =
    "sites:\n"
    "  - hosts: [a.example.com, A.Example.NET.]\n" ROUTE(
        "exact") "  - hosts: "
                 "['*.example.com']\n" ROUTE(
                     "wil"
                     "d") "  - hosts: ['*.b.example.com']\n" ROUTE("longer") "  - hosts: "
                                                                             "['[::1]', "
                                                                             "127.0.0.1]"
                                                                             "\n" ROUTE(
                                                                                 "addres"
                                                                                 "s") "  "
                                                                                      "- "
                                                                                      "ho"
                                                                                      "st"
                                                                                      "s:"
                                                                                      " ["
                                                                                      "re"
                                                                                      "st"
                                                                                      ".t"
                                                                                      "es"
                                                                                      "t]"
                                                                                      "\n"
                                                                                      "  "
                                                                                      "  "
                                                                                      "de"
                                                                                      "fa"
                                                                                      "ul"
                                                                                      "t:"
                                                                                      " t"
                                                                                      "ru"
                                                                                      "e"
                                                                                      "\n" ROUTE(
                                                                                          "defaul"
                                                                                          "t");

static void assert_site(struct route_env *r, const char *request, const char *expected)
{
    assert_int_equal(route_find(r, request), LT_ROUTE_FOUND);
    assert_str(r->route->body, expected);
}

static void test_hosts_by_precedence(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, hosts_yaml);
    assert_site(&r, "GET a.example.com/", "exact");
    assert_site(&r, "GET a.example.com./", "exact");
    assert_site(&r, "GET a.example.net/", "exact");
    assert_site(&r, "GET b.example.com/", "wild");
    assert_site(&r, "GET x.a.example.com/", "wild");
    assert_site(&r, "GET x.b.example.com/", "longer");
    assert_site(&r, "GET y.x.b.example.com/", "longer");
    assert_site(&r, "GET example.com/", "default");
    assert_site(&r, "GET com/", "default");
    assert_site(&r, "GET aexample.com/", "default");
    assert_site(&r, "GET [::1]/", "address");
    assert_site(&r, "GET 127.0.0.1/", "address");
    assert_site(&r, "GET unknown/", "default");
    assert_site(&r, "GET /", "default");
    assert_str(r.route->site, "rest.test");
    route_fini(&r);
}

static void test_star_host_comes_before_default(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, "sites:\n"
                   "  - hosts: ['*']\n" ROUTE(
                       "any") "  - hosts: [a.test]\n    default: true\n" ROUTE("a"));
    assert_site(&r, "GET a.test/", "a");
    assert_site(&r, "GET b.test/", "any");
    assert_site(&r, "GET /", "any");
    route_fini(&r);
}

static void test_unknown_host_is_refused_without_default(void **state LT_UNUSED)
{
    struct route_env r;
    char request[1200] = "GET ";
    route_open(&r, "sites:\n  - hosts: [a.test, '*.b.test']\n" ROUTE("a"));
    assert_int_equal(route_find(&r, "GET b.test/"), LT_ROUTE_NO_HOST);
    assert_int_equal(route_find(&r, "GET /"), LT_ROUTE_NO_HOST);
    assert_int_equal(route_find(&r, "GET ./"), LT_ROUTE_NO_HOST);
    assert_null(r.route);
    /* No name is that long: labels are not even looked at. */
    for (size_t i = 4; i < 1000; i += 2) {
        memcpy(request + i, "a.", 2);
    }
    memcpy(request + 1000, "b.test/", 8);
    assert_int_equal(route_find(&r, request), LT_ROUTE_NO_HOST);
    route_fini(&r);
}

static void test_sites_of_listeners(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r,
               "sites:\n"
               "  - hosts: [a.test]\n    listeners: [public]\n" ROUTE(
                   "public") "  - hosts: [a.test]\n    name: a inside\n    listeners: "
                             "[inside]\n" ROUTE("in") "  - hosts: [b.a.test]\n    listeners: "
                                                      "[inside]\n" ROUTE("b") "  - hosts: "
                                                                              "['*.a.test']"
                                                                              "\n" ROUTE("wild"));
    assert_int_equal(route_find_on(&r, 0, "GET a.test/"), LT_ROUTE_FOUND);
    assert_str(r.route->body, "public");
    assert_int_equal(route_find_on(&r, 1, "GET a.test/"), LT_ROUTE_FOUND);
    assert_str(r.route->body, "in");
    assert_str(r.route->site, "a inside");
    assert_int_equal(route_find_on(&r, 1, "GET b.a.test/"), LT_ROUTE_FOUND);
    assert_str(r.route->body, "b");
    assert_int_equal(route_find_on(&r, 0, "GET b.a.test/"), LT_ROUTE_FOUND);
    assert_str(r.route->body, "wild");
    route_fini(&r);
}

static void test_redirect_to_https_spares_acme(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, "sites:\n  - hosts: [a.test]\n" ROUTE("a"));
    assert_int_equal(route_find_on(&r, 2, "GET a.test/x"), LT_ROUTE_REDIRECT_HTTPS);
    assert_int_equal(route_find_on(&r, 2, "GET a.test/.well-known/acme-challenge"),
                     LT_ROUTE_REDIRECT_HTTPS);
    assert_int_equal(route_find_on(&r, 2, "GET a.test/.well-known/acme-challenge/tok"),
                     LT_ROUTE_FOUND);
    assert_int_equal(route_find_on(&r, 0, "GET a.test/x"), LT_ROUTE_FOUND);
    route_fini(&r);
}

/* ---- paths ---- */

static const char paths_yaml[] = "sites:\n"
                                 "  - hosts: [h]\n"
                                 "    routes:\n"
                                 "      - {match: /v1/*, to: app}\n"
                                 "      - {match: /v1/export, to: app}\n"
                                 "      - {match: /v1/users/*, to: app}\n"
                                 "      - {match: '/v1/users/{id}', to: app}\n"
                                 "      - {match: '/v1/users/{id}/posts/{post}', to: app}\n"
                                 "      - {match: '/v1/users/{uid}/*', to: app}\n"
                                 "      - {match: /v1/users/me, to: app}\n"
                                 "      - {match: /slash/, to: app}\n"
                                 "      - {match: /bare, to: app}\n"
                                 "      - {match: '/{any}/settings', to: app}\n"
                                 "      - {match: /admin/*, to: admin}\n"
                                 "      - {match: /caf\xc3\xa9, to: app}\n";

static void test_paths_by_precedence(void **state LT_UNUSED)
{
    static const struct {
        const char *request, *route; /* NULL: no path */
    } table[] = {
        {"GET h/v1", "/v1/*"},
        {"GET h/v1/", "/v1/*"},
        {"GET h/v1/x/y", "/v1/*"},
        {"GET h/v1/export", "/v1/export"},
        {"GET h/v1/export/", "/v1/*"},
        {"GET h/v1/exports", "/v1/*"},
        {"GET h/v1/users", "/v1/users/*"},
        {"GET h/v1/users/", "/v1/users/*"},
        {"GET h/v1/users/7", "/v1/users/{id}"},
        {"GET h/v1/users/me", "/v1/users/me"},
        {"GET h/v1/users/me/", "/v1/users/{uid}/*"},
        {"GET h/v1/users/7/", "/v1/users/{uid}/*"},
        {"GET h/v1/users/7/posts", "/v1/users/{uid}/*"},
        {"GET h/v1/users/7/posts/9", "/v1/users/{id}/posts/{post}"},
        {"GET h/v1/users/7/posts/9/x", "/v1/users/{uid}/*"},
        {"GET h/slash/", "/slash/"},
        {"GET h/slash", NULL},
        {"GET h/slash/x", NULL},
        {"GET h/bare", "/bare"},
        {"GET h/bare/", NULL},
        {"GET h/x/settings", "/{any}/settings"},
        {"GET h/admin/settings", "/admin/*"}, /* a literal comes before a {segment} */
        {"GET h/adminx", NULL},
        {"GET h/v12", NULL},
        {"GET h/v1/settings", "/v1/*"},
        {"GET h/V1/x", NULL},
        {"GET h/", NULL},
        {"GET h/caf%C3%A9", "/caf\xc3\xa9"},
    };
    struct route_env r;
    route_open(&r, paths_yaml);
    for (size_t i = 0; i < lt_countof(table); i++) {
        enum lt_route_result result = route_find(&r, table[i].request);
        if (table[i].route == NULL
                ? result != LT_ROUTE_NO_PATH
                : result != LT_ROUTE_FOUND || !lt_str_eq_c(r.route->name, table[i].route)) {
            fail_msg("%s: result %d, route %.*s", table[i].request, (int)result,
                     LT_STR_ARG(r.route != NULL ? r.route->name : LT_STR_NONE));
        }
    }
    route_fini(&r);
}

static void test_root_and_everything(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, "sites:\n  - hosts: [h]\n    routes:\n"
                   "      - {match: /, respond: 204}\n      - {match: /*, to: app}\n");
    assert_routed(&r, "GET h/", "/");
    assert_routed(&r, "GET h/x", "/*");
    assert_str(lt_route_param(&r.params, LT_STR("rest")), "x");
    r.req.path = LT_STR("*");
    assert_int_equal(
        lt_router_find(r.router, 0, &r.req, route_get, &r, &r.arena, &r.route, &r.params, &r.allow),
        LT_ROUTE_NO_PATH);
    route_fini(&r);
}

static void test_params(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, paths_yaml);
    assert_routed(&r, "GET h/v1/users/7%20/posts/x;y", "/v1/users/{id}/posts/{post}");
    assert_int_equal(r.params.n, 2);
    assert_str(lt_route_param(&r.params, LT_STR("id")), "7%20");
    assert_str(lt_route_param(&r.params, LT_STR("post")), "x;y");
    assert_null(lt_route_param(&r.params, LT_STR("rest")).p);
    assert_routed(&r, "GET h/v1/users/7/a/b/", "/v1/users/{uid}/*");
    assert_str(lt_route_param(&r.params, LT_STR("uid")), "7");
    assert_str(lt_route_param(&r.params, LT_STR("rest")), "a/b/");
    assert_routed(&r, "GET h/v1", "/v1/*");
    assert_int_equal(r.params.n, 1);
    assert_str(lt_route_param(&r.params, LT_STR("rest")), "");
    assert_int_equal(route_find(&r, "GET h/nothing/7"), LT_ROUTE_NO_PATH);
    assert_int_equal(r.params.n, 0);
    route_fini(&r);
}

/* A branch that leads nowhere is left again, and what it caught with it. */
static void test_search_backs_out_of_branches(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, "sites:\n  - hosts: [h]\n    routes:\n"
                   "      - {match: '/a/{x}/c', to: app}\n"
                   "      - {match: '/{y}/b/{z}', to: app}\n"
                   "      - {match: '/{y}/{w}/c/*', to: app}\n");
    assert_routed(&r, "GET h/a/b/c", "/a/{x}/c");
    assert_routed(&r, "GET h/a/b/d", "/{y}/b/{z}");
    assert_int_equal(r.params.n, 2);
    assert_str(lt_route_param(&r.params, LT_STR("y")), "a");
    assert_str(lt_route_param(&r.params, LT_STR("z")), "d");
    assert_routed(&r, "GET h/a/b/c/d", "/{y}/{w}/c/*");
    assert_str(lt_route_param(&r.params, LT_STR("w")), "b");
    assert_str(lt_route_param(&r.params, LT_STR("rest")), "d");
    route_fini(&r);
}

/* ---- against a plain search ---- */

#define RANDOM_PATTERNS 12u

/* Whether path is taken by pattern, both over the segments a, b and {x}, by looking at both from
 * the left; order says how the pattern compares with others: '0' text, '1' {x}, '2' end, '3' `*`.
 */
static bool plain_match(const char *pattern, const char *path, char order[16])
{
    size_t n = 0;
    for (;; n++) {
        if (strcmp(pattern, "/*") == 0) {
            memcpy(order + n, "3", 2);
            return true;
        }
        if (*pattern == '\0' || *path == '\0') {
            memcpy(order + n, "2", 2);
            return *pattern == *path;
        }
        bool param = pattern[1] == '{';
        if (path[1] == '\0' || path[1] == '/' || (!param && pattern[1] != path[1])) {
            return false;
        }
        order[n] = param ? '1' : '0';
        pattern += param ? 4 : 2;
        path += 2;
    }
}

/* A path of up to three segments, each one of the first n kinds. */
static void random_path(struct lt_rand *rand, char *out, uint32_t n)
{
    static const char *const kinds[] = {"/a", "/b", "/{x}", "/{y}", "/{z}"};
    uint32_t len = 1 + lt_rand_below(rand, 3);
    for (uint32_t i = 0; i < len; i++) {
        uint32_t kind = lt_rand_below(rand, n);
        out += snprintf(out, 5, "%s", kinds[kind == 2 ? 2 + i : kind]);
    }
}

static void test_random_patterns_as_a_plain_search(void **state LT_UNUSED)
{
    struct lt_rand rand;
    lt_rand_init(&rand);
    for (unsigned round = 0; round < 200; round++) {
        struct route_env r;
        char patterns[RANDOM_PATTERNS][24], yaml[2048], request[32] = "GET h";
        int len = snprintf(yaml, sizeof(yaml), "sites:\n  - hosts: [h]\n    routes:\n");
        unsigned n = 0;
        for (unsigned i = 0; i < RANDOM_PATTERNS; i++) {
            bool twice = false;
            random_path(&rand, patterns[n], 3);
            if (lt_rand_below(&rand, 2) == 0) {
                snprintf(patterns[n] + strlen(patterns[n]), 3, "/*");
            }
            for (unsigned j = 0; j < n; j++) {
                twice |= strcmp(patterns[n], patterns[j]) == 0;
            }
            if (!twice) {
                len += snprintf(yaml + len, sizeof(yaml) - (size_t)len,
                                "      - {match: '%s', to: app}\n", patterns[n++]);
            }
        }
        route_open(&r, yaml);
        for (unsigned i = 0; i < 50; i++) {
            const char *best = NULL;
            char order[16], best_order[16] = "9";
            random_path(&rand, request + 5, 2);
            for (unsigned j = 0; j < n; j++) {
                if (plain_match(patterns[j], request + 5, order) && strcmp(order, best_order) < 0) {
                    best = patterns[j];
                    memcpy(best_order, order, sizeof(order));
                }
            }
            enum lt_route_result result = route_find(&r, request);
            if (best == NULL ? result != LT_ROUTE_NO_PATH
                             : result != LT_ROUTE_FOUND || !lt_str_eq_c(r.route->name, best)) {
                fail_msg("%s: %.*s instead of %s among\n%s", request,
                         LT_STR_ARG(r.route != NULL ? r.route->name : LT_STR("none")),
                         best != NULL ? best : "none", yaml);
            }
        }
        route_fini(&r);
    }
}

/* ---- methods, when, priority ---- */

static const char order_yaml[] =
    "sites:\n"
    "  - hosts: [h]\n"
    "    routes:\n"
    "      - {match: /x, to: app}\n"
    "      - {match: /x, to: app, priority: -1}\n"
    "      - {match: /x, to: app, when: header.x-beta == \"1\"}\n"
    "      - {match: /x, to: app, when: header.x-beta == \"1\" and header.x-beta != \"2\"}\n"
    "      - {match: POST /x, to: app}\n"
    "      - {match: GET /m, to: app}\n"
    "      - {match: /m, methods: [POST, PUT], to: app}\n"
    "      - {match: HEAD /h, respond: 204}\n"
    "      - {match: GET /h, to: app}\n"
    "      - {match: DELETE /d/only, to: app}\n"
    "      - {match: PATCH /d/*, to: app}\n"
    "      - {match: GET /f/x, to: app}\n"
    "      - {match: /f/*, to: app}\n"
    "      - {match: '/p/{id}', to: app, when: path.id == \"7\"}\n"
    "      - {match: /w, to: app, when: header.x-beta}\n"
    "      - {match: GET /w2, to: app, when: header.x-beta}\n";

static void test_methods_when_priority(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, order_yaml);
    assert_routed(&r, "GET h/x", "/x");
    assert_routed(&r, "POST h/x", "POST /x");
    r.beta = "1";
    assert_routed(&r, "POST h/x", "POST /x"); /* method before when */
    assert_routed(&r, "GET h/x", "/x when header.x-beta == \"1\" and header.x-beta != \"2\"");
    r.beta = "2";
    assert_routed(&r, "GET h/x", "/x");
    assert_routed(&r, "PUT h/m", "POST,PUT /m");
    assert_routed(&r, "GET h/p/7", "/p/{id} when path.id == \"7\"");
    assert_int_equal(route_find(&r, "GET h/p/8"), LT_ROUTE_NO_PATH);
    r.beta = NULL;
    assert_int_equal(route_find(&r, "GET h/w"), LT_ROUTE_NO_PATH);
    route_fini(&r);
}

static void test_head_is_served_as_get(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, order_yaml);
    assert_routed(&r, "HEAD h/m", "GET /m");
    assert_routed(&r, "HEAD h/h", "HEAD /h");
    assert_routed(&r, "GET h/h", "GET /h");
    route_fini(&r);
}

static void test_other_methods_get_allow(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, order_yaml);
    assert_int_equal(route_find(&r, "DELETE h/m"), LT_ROUTE_NO_METHOD);
    assert_str(r.allow, "GET, HEAD, POST, PUT");
    assert_null(r.route);
    assert_int_equal(r.params.n, 0);
    assert_int_equal(route_find(&r, "GET h/d/only"), LT_ROUTE_NO_METHOD);
    assert_str(r.allow, "DELETE, PATCH"); /* of all patterns that fit */
    assert_int_equal(route_find(&r, "HEAD h/d/x"), LT_ROUTE_NO_METHOD);
    assert_str(r.allow, "PATCH");
    assert_routed(&r, "POST h/f/x", "/f/*"); /* a less specific route takes it */
    assert_str(r.allow, "");
    /* What `when` rules out allows nothing. */
    assert_int_equal(route_find(&r, "POST h/w2"), LT_ROUTE_NO_PATH);
    r.beta = "1";
    assert_int_equal(route_find(&r, "POST h/w2"), LT_ROUTE_NO_METHOD);
    assert_str(r.allow, "GET, HEAD");
    route_fini(&r);
}

/* The order in the file is of no account. */
static void test_order_in_the_file_is_of_no_account(void **state LT_UNUSED)
{
    static const char *const routes[] = {
        "{match: /a/*, to: app}",
        "{match: '/a/{x}', to: app}",
        "{match: /a/b, to: app}",
        "{match: GET /a/b, to: app}",
    };
    char yaml[512];
    for (unsigned first = 0; first < lt_countof(routes); first++) {
        struct route_env r;
        int n = snprintf(yaml, sizeof(yaml), "sites:\n  - hosts: [h]\n    routes:\n");
        for (unsigned i = 0; i < lt_countof(routes); i++) {
            n += snprintf(yaml + n, sizeof(yaml) - (size_t)n, "      - %s\n",
                          routes[(first + i) % lt_countof(routes)]);
        }
        route_open(&r, yaml);
        assert_routed(&r, "GET h/a/b", "GET /a/b");
        assert_routed(&r, "PUT h/a/b", "/a/b");
        assert_routed(&r, "PUT h/a/c", "/a/{x}");
        assert_routed(&r, "PUT h/a/c/d", "/a/*");
        route_fini(&r);
    }
}

/* ---- what is wrong ---- */

static void test_ties_are_errors(void **state LT_UNUSED)
{
    static const char *const ties[] = {
        "{match: /a, to: app}\n      - {match: /a, to: next}",
        "{match: '/a/{x}', to: app}\n      - {match: '/a/{y}', to: next}",
        "{match: '/a/*', to: app}\n      - {match: /a/*, to: next}",
        "{match: GET /a, to: app}\n      - {match: /a, methods: [POST, GET], to: next}",
        "{match: /a, to: app, when: header.x}\n      - {match: /a, to: app, when: header.y}",
        "{match: /a, to: app, priority: 3}\n      - {match: /a, to: app, priority: 3}",
    };
    char yaml[512];
    for (size_t i = 0; i < lt_countof(ties); i++) {
        struct route_env r;
        snprintf(yaml, sizeof(yaml), "sites:\n  - hosts: [h]\n    routes:\n      - %s\n", ties[i]);
        route_open_wrong(&r, yaml);
        env_expect(&r.config, "and another route take the same requests");
        env_expect(&r.config, "t.yaml:5:17");
        env_expect(&r.config, "the other one is at t.yaml:4:17");
        assert_int_equal(r.config.diags.errors, 1);
        route_fini(&r);
    }
}

static void test_no_ties_across_methods_and_sites(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, "sites:\n"
                   "  - hosts: [h]\n    routes:\n"
                   "      - {match: GET /a, to: app}\n"
                   "      - {match: POST /a, to: next}\n"
                   "      - {match: HEAD /a, to: next}\n"
                   "      - {match: /a/, to: next}\n"
                   "      - {match: /a/*, to: next}\n"
                   "  - hosts: [i]\n    routes:\n"
                   "      - {match: GET /a, to: app}\n");
    assert_routed(&r, "POST h/a", "POST /a");
    assert_routed(&r, "GET h/a/", "/a/");
    route_fini(&r);
}

#define WRONG_MATCH(text) "sites:\n  - hosts: [h]\n    routes: [{to: app, match: '" text "'}]\n"

static void test_wrong_patterns(void **state LT_UNUSED)
{
    static const struct {
        const char *yaml, *says, *at;
    } table[] = {
        {WRONG_MATCH("v1"), "a path that begins with / is missing", "3:32"},
        {WRONG_MATCH("GET"), "a path that begins with / is missing", "3:35"},
        {WRONG_MATCH("get /a"), "\"get\" is not a method", "3:32"},
        {WRONG_MATCH("PSOT /a"), "did you mean \"POST\"?", "3:32"},
        {WRONG_MATCH("/a/*/b"), "`*` may stand only alone at the end", "3:35"},
        {WRONG_MATCH("/a*"), "`*` may stand only alone at the end", "3:33"},
        {WRONG_MATCH("GET /a/x{id}"), "{name} must be a whole segment", "3:39"},
        {WRONG_MATCH("/a/{id}x"), "{name} must be a whole segment", "3:35"},
        {WRONG_MATCH("/a/{"), "{name} must be a whole segment", "3:35"},
        {WRONG_MATCH("/{}"), "is not a name", "3:33"},
        {WRONG_MATCH("/{Id}"), "is not a name", "3:33"},
        {WRONG_MATCH("/{rest}"), "has a meaning of its own", "3:33"},
        {WRONG_MATCH("/{a}/{a}"), "\"{a}\" is used twice", "3:37"},
        {WRONG_MATCH("/a//b"), "write /a/b", "3:32"},
        {WRONG_MATCH("/a/../b"), "write /b", "3:32"},
        {WRONG_MATCH("/a%2fb"), "can't be the path of a request", "3:32"},
        {WRONG_MATCH("/%61"), "write /a", "3:32"},
        {WRONG_MATCH("/a?b=1"), "a path ends before `?`", "3:34"},
        {WRONG_MATCH("/a#b"), "a path ends before `#`", "3:34"},
        {"sites:\n  - hosts: [h]\n    routes: [{to: app, match: GET /a, methods: [PUT]}]\n",
         "`match` has a method already", "3:48"},
        {"sites:\n  - hosts: [h]\n    routes: [{to: app, match: /a, methods: [PUTT]}]\n",
         "did you mean \"PUT\"?", "3:45"},
    };
    for (size_t i = 0; i < lt_countof(table); i++) {
        struct route_env r;
        route_open_wrong(&r, table[i].yaml);
        route_expect_one(&r, table[i].says, table[i].at);
        route_fini(&r);
    }
}

static void test_too_many_params_and_segments(void **state LT_UNUSED)
{
    struct route_env r;
    char path[512] = "", yaml[1024];
    for (char c = 'a'; c < 'a' + LT_ROUTE_PARAMS_MAX; c++) {
        snprintf(path + strlen(path), 6, "/{%c}", c);
    }
    snprintf(yaml, sizeof(yaml), "sites:\n  - {hosts: [h], routes: [{match: '%s', to: app}]}\n",
             path);
    route_open_wrong(&r, yaml);
    env_expect(&r.config, "is one {name} too many");
    route_fini(&r);
    /* One less is served, together with {rest}. */
    snprintf(path + strlen(path) - 4, 3, "/*");
    snprintf(yaml, sizeof(yaml), "sites:\n  - {hosts: [h], routes: [{match: '%s', to: app}]}\n",
             path);
    route_open(&r, yaml);
    assert_int_equal(route_find(&r, "GET h/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"),
                     LT_ROUTE_FOUND);
    assert_int_equal(r.params.n, LT_ROUTE_PARAMS_MAX);
    assert_str(lt_route_param(&r.params, LT_STR("o")), "15");
    assert_str(lt_route_param(&r.params, LT_STR("rest")), "16/17");
    route_fini(&r);
    memset(path, 0, sizeof(path));
    for (unsigned i = 0; i < 65; i++) {
        memcpy(path + 2 * (size_t)i, "/a", 2);
    }
    snprintf(yaml, sizeof(yaml), "sites:\n  - {hosts: [h], routes: [{match: %s, to: app}]}\n",
             path);
    route_open_wrong(&r, yaml);
    env_expect(&r.config, "more than 64 segments");
    route_fini(&r);
}

/* All that is wrong with sites and their parts is said in one go, each at its place. */
static void test_wrong_sites_all_at_once(void **state LT_UNUSED)
{
    struct route_env r;
    route_open_wrong(&r, "sites:\n"
                         "  - hosts: [a.test, 'http://b', 'c.test:80', 'x*.test', A.test]\n"
                         "    listeners: [publik]\n"
                         "    default: true\n"
                         "    filters: [one, one]\n"
                         "    routes: [{match: /, to: appp, without: [on], filters: [one]}]\n"
                         "  - hosts: [b.test, 'b\xc3\xbc.test']\n"
                         "    routes: [{match: /, to: {app: 50%, nxet: 50%}}]\n"
                         "  - hosts: [b.test]\n"
                         "    routes: [{match: /a/*, strip: /b, to: app}, {match: x, to: app}]\n");
    env_expect(&r.config, "hosts: \"http://b\" is not a host");
    env_expect(&r.config, "hosts: \"c.test:80\" has a port");
    env_expect(&r.config, "hosts: \"x*.test\" has a `*` that is not its whole first label");
    env_expect(&r.config, "there is no listener \"publik\"");
    env_expect(&r.config, "did you mean \"public\"?");
    env_expect(&r.config, "filters: \"one\" stands here twice");
    env_expect(&r.config, "filters: \"one\" runs for the whole site already");
    env_expect(&r.config, "without: \"on\" is not among the filters of this site");
    env_expect(&r.config, "did you mean \"one\"?");
    env_expect(&r.config, "there is no upstream \"appp\"");
    env_expect(&r.config, "did you mean \"app\"?");
    env_expect(&r.config, "there is no upstream \"nxet\"");
    env_expect(&r.config, "did you mean \"next\"?");
    env_expect(&r.config, "is not a host name in ASCII");
    env_expect(&r.config, "\"b.test\" is a host of two sites on the same listener");
    env_expect(&r.config, "the other one is at t.yaml:7:13");
    env_expect(&r.config, "\"b.test\" is the name of two sites");
    env_expect(&r.config, "strip: \"/b\" is not what `match` begins with");
    env_expect(&r.config, "a path that begins with / is missing");
    route_fini(&r);
}

static void test_wrong_twice_in_one_place(void **state LT_UNUSED)
{
    struct route_env r;
    route_open_wrong(&r, "sites:\n"
                         "  - hosts: [a.test, A.TEST, '*', '*']\n"
                         "    default: true\n" ROUTE("a") "  - hosts: [b.test]\n"
                                                          "    default: true\n" ROUTE("b"));
    env_expect(&r.config, "\"a.test\" stands twice among the hosts of this site");
    env_expect(&r.config, "\"*\" stands twice among the hosts of this site");
    env_expect(&r.config, "t.yaml:6:14");
    assert_int_equal(r.config.diags.errors, 3);
    route_fini(&r);
}

/* ---- what the snapshot's builder gets ---- */

static void test_routes_are_listed_with_their_options(void **state LT_UNUSED)
{
    struct route_env r;
    unsigned n;
    route_open(&r, "sites:\n"
                   "  - hosts: [h]\n"
                   "    body: {max: 5K}\n"
                   "    routes:\n"
                   "      - {match: /a, to: app}\n"
                   "      - {match: /b, to: {app: 0%, next: 94.5%, admin: 5.5%}, body: {max: 0}}\n"
                   "  - hosts: [i]\n"
                   "    routes:\n"
                   "      - {match: /c, to: app}\n"
                   "      - {match: /d, to: app, timeouts: {first_byte: 5m}}\n");
    struct lt_route *routes = lt_router_routes(r.router, &n);
    assert_int_equal(n, 4);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(routes[i].index, i);
        assert_str(lt_route_conf_of(&routes[i])->match.path, &"/a\0/b\0/c\0/d"[3 * i]);
    }
    assert_str(lt_site_conf_name(lt_route_site_conf_of(&routes[3])), "i");
    assert_int_equal(routes[0].options[0].body_max, 5120);
    assert_int_equal(routes[0].options[1].body_max, 5120);
    assert_int_equal(routes[0].options[0].first_byte_ms, 0);
    assert_int_equal(routes[0].options[1].first_byte_ms, 30);
    assert_int_equal(routes[1].options[0].body_max, 0);
    assert_int_equal(routes[2].options[0].body_max, 1000);
    assert_int_equal(routes[2].options[1].body_max, 2000);
    assert_int_equal(routes[3].options[0].first_byte_ms, 300000);
    assert_int_equal(routes[3].options[1].first_byte_ms, 300000);
    assert_int_equal(routes[3].options[1].body_max, 2000);
    for (unsigned i = 0; i < n; i++) {
        assert_true(lt_router_has(r.router, routes[i].site, routes[i].name));
        assert_int_equal(routes[i].n_upgrade, 1);
        assert_str(routes[i].upgrade[0], "websocket");
    }
    assert_false(lt_router_has(r.router, routes[0].site, routes[3].name));
    assert_false(lt_router_has(r.router, LT_STR("i"), LT_STR("")));
    assert_false(lt_router_has(r.router, LT_STR(""), LT_STR("/c")));
    assert_int_equal(routes[0].n_targets, 1);
    assert_ptr_equal(routes[0].targets[0].upstream, route_upstreams[0]);
    assert_int_equal(routes[0].targets[0].share, 10000);
    assert_int_equal(routes[1].n_targets, 3);
    assert_int_equal(routes[1].targets[0].share, 0);
    assert_int_equal(routes[1].targets[1].share, 9450);
    assert_int_equal(routes[1].targets[2].share, 10000);
    route_fini(&r);
}

/* Whichever allocation fails: no crash, no leak, no router, and the load knows. */
static void test_allocation_failure(void **state LT_UNUSED)
{
    unsigned failures = 0;
    for (unsigned at = 1; at < 1000; at++) {
        struct route_env r;
        route_init(&r);
        route_read(&r, order_yaml);
        lt_mem_fail_at(at);
        struct lt_router *router = route_build(&r);
        lt_mem_fail_at(0);
        bool done = router != NULL;
        assert_true(done || r.config.load.nomem);
        failures += !done;
        route_fini(&r);
        if (done) {
            assert_true(failures > 3);
            return;
        }
    }
    fail_msg("never built");
}

/* ---- cost ---- */

#define MANY 10000u
#define ROUNDS 5u

static double cpu_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* n sites with one route each, or one site with n routes. */
static char *many_yaml(unsigned n, bool hosts)
{
    size_t size = 200 + (size_t)n * 120, at;
    char *yaml = malloc(size);
    assert_non_null(yaml);
    at = (size_t)snprintf(yaml, size, hosts ? "sites:\n" : "sites:\n  - hosts: [h]\n    routes:\n");
    for (unsigned i = 0; i < n; i++) {
        at += (size_t)snprintf(yaml + at, size - at,
                               hosts ? "  - {hosts: [h%u.example.com, '*.w%u.example.com'], "
                                       "routes: [{match: /*, to: app}]}\n"
                                     : "      - {match: '/api/v%u/items%u/{id}', to: app}\n",
                               i, i);
    }
    return yaml;
}

/* CPU time to build a router over n hosts or paths, and to find each of MANY requests. */
static void measure(unsigned n, bool hosts, double *build, double *find)
{
    struct route_env r;
    char *yaml = many_yaml(n, hosts);
    route_init(&r);
    r.config.diags.max = 20;
    route_read(&r, yaml);
    double start = cpu_ms();
    if (route_build(&r) == NULL) {
        fail_msg("%s", env_messages(&r.config));
    }
    *build = cpu_ms() - start;
    struct lt_request *requests = calloc(MANY, sizeof(*requests));
    char(*text)[64] = calloc(MANY, sizeof(*text));
    assert_true(requests != NULL && text != NULL);
    for (unsigned i = 0; i < MANY; i++) {
        unsigned k = i % n;
        int len = hosts ? snprintf(text[i], sizeof(*text),
                                   i % 2 ? "h%u.example.com" : "x.w%u.example.com", k)
                        : snprintf(text[i], sizeof(*text), "/api/v%u/items%u/%u", k, k, i);
        requests[i].method = LT_METHOD_GET;
        requests[i].host = hosts ? lt_str(text[i], (size_t)len) : LT_STR("h");
        requests[i].path = hosts ? LT_STR("/x/y") : lt_str(text[i], (size_t)len);
    }
    *find = 1e9;
    for (unsigned round = 0; round < ROUNDS; round++) {
        start = cpu_ms();
        for (unsigned i = 0; i < MANY; i++) {
            assert_int_equal(lt_router_find(r.router, 0, &requests[i], route_get, &r, &r.arena,
                                            &r.route, &r.params, &r.allow),
                             LT_ROUTE_FOUND);
        }
        double took = cpu_ms() - start;
        *find = lt_min(*find, took);
    }
    free(text);
    free(requests);
    free(yaml);
    route_fini(&r);
}

static void check_cost(bool hosts, const char *what)
{
    double build, find, build_few, find_few;
    measure(10, hosts, &build_few, &find_few);
    measure(MANY, hosts, &build, &find);
    print_message("%u %s: built in %.1f ms; a look-up takes %.0f ns, with ten of them %.0f ns\n",
                  MANY, what, build, find * 1e6 / MANY, find_few * 1e6 / MANY);
    /* Far above what it takes, far below what a search through all would: MANY / 10 times as much.
     */
    assert_true(find < MANY / 10 / 10 * find_few);
    assert_true(build < MANY * 0.5);
}

static void test_cost_of_many_hosts(void **state LT_UNUSED)
{
    check_cost(true, "hosts");
}

static void test_cost_of_many_paths(void **state LT_UNUSED)
{
    check_cost(false, "paths");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_by_precedence),
        cmocka_unit_test(test_star_host_comes_before_default),
        cmocka_unit_test(test_unknown_host_is_refused_without_default),
        cmocka_unit_test(test_sites_of_listeners),
        cmocka_unit_test(test_redirect_to_https_spares_acme),
        cmocka_unit_test(test_paths_by_precedence),
        cmocka_unit_test(test_root_and_everything),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_search_backs_out_of_branches),
        cmocka_unit_test(test_random_patterns_as_a_plain_search),
        cmocka_unit_test(test_methods_when_priority),
        cmocka_unit_test(test_head_is_served_as_get),
        cmocka_unit_test(test_other_methods_get_allow),
        cmocka_unit_test(test_order_in_the_file_is_of_no_account),
        cmocka_unit_test(test_ties_are_errors),
        cmocka_unit_test(test_no_ties_across_methods_and_sites),
        cmocka_unit_test(test_wrong_patterns),
        cmocka_unit_test(test_too_many_params_and_segments),
        cmocka_unit_test(test_wrong_sites_all_at_once),
        cmocka_unit_test(test_wrong_twice_in_one_place),
        cmocka_unit_test(test_routes_are_listed_with_their_options),
        cmocka_unit_test(test_allocation_failure),
        cmocka_unit_test(test_cost_of_many_hosts),
        cmocka_unit_test(test_cost_of_many_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
