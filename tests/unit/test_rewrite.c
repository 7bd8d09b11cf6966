/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/route/rewrite.c: strip, redirects, splits. */
#include "route_env.h"

#include "base/mem.h"

static void assert_target(struct route_env *r, const char *request, const char *expected)
{
    struct lt_str target;
    assert_int_equal(route_find(r, request), LT_ROUTE_FOUND);
    assert_int_equal(lt_route_rewrite(r->route, &r->arena, &r->req, &r->params, &target), LT_OK);
    assert_str(target, expected);
    /* The same when path and query do not lie side by side, as after normalising. */
    assert_true(lt_arena_dup(&r->arena, r->req.path, &r->req.path));
    assert_int_equal(lt_route_rewrite(r->route, &r->arena, &r->req, &r->params, &target), LT_OK);
    assert_str(target, expected);
}

static void test_strip(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, "sites:\n  - hosts: [h]\n    routes:\n"
                   "      - {match: /shop/*, strip: /shop, to: app}\n"
                   "      - {match: '/a/b/{id}', strip: /a/b, to: app}\n"
                   "      - {match: /one, strip: /one, to: app}\n"
                   "      - {match: /keep/*, to: app}\n");
    assert_target(&r, "GET h/shop", "/");
    assert_target(&r, "GET h/shop/", "/");
    assert_target(&r, "GET h/shop?x=1", "/?x=1");
    assert_target(&r, "GET h/shop/?", "/?");
    assert_target(&r, "GET h/shop/cart/2?x=1&y=%20", "/cart/2?x=1&y=%20");
    assert_target(&r, "GET h/shop/shop", "/shop");
    assert_target(&r, "GET h/a/b/7", "/7");
    assert_target(&r, "GET h/one", "/");
    assert_target(&r, "GET h/keep/x?y", "/keep/x?y");
    assert_target(&r, "GET h/keep", "/keep");
    route_fini(&r);
}

/* What was sent goes on without a copy. */
static void test_unchanged_target_is_a_slice(void **state LT_UNUSED)
{
    struct route_env r;
    struct lt_str target;
    route_open(&r, "sites:\n  - {hosts: [h], routes: [{match: /*, to: app}]}\n");
    assert_int_equal(route_find(&r, "GET h/x?y=1"), LT_ROUTE_FOUND);
    assert_int_equal(lt_route_rewrite(r.route, &r.arena, &r.req, &r.params, &target), LT_OK);
    assert_ptr_equal(target.p, r.req.path.p);
    assert_str(target, "/x?y=1");
    route_fini(&r);
}

static void test_wrong_strip(void **state LT_UNUSED)
{
    static const char *const wrong[] = {"shop", "/shop/", "/sho", "/shop/x", "/", "/shop/{id}"};
    char yaml[256];
    for (size_t i = 0; i < lt_countof(wrong); i++) {
        struct route_env r;
        snprintf(yaml, sizeof(yaml),
                 "sites:\n  - hosts: [h]\n"
                 "    routes: [{match: '/shop/{id}/*', to: app, strip: '%s'}]\n",
                 wrong[i]);
        route_open_wrong(&r, yaml);
        route_expect_one(&r, "is not what `match` begins with", "3:54");
        route_fini(&r);
    }
}

/* ---- redirects ---- */

static const char redirect_yaml[] =
    "sites:\n"
    "  - hosts: [h, '*.h']\n"
    "    routes:\n"
    "      - {match: /old/*, redirect: {status: 308, to: '/v1/{rest}'}}\n"
    "      - {match: /go/*, redirect: '/{rest}'}\n"
    "      - {match: '/id/{id}/*', redirect: '/{rest}/{id}'}\n"
    "      - {match: '/q/{id}', redirect: '/n?id={id}&{query}'}\n"
    "      - {match: /s/*, redirect: 'https://{host}{path}?{query}'}\n"
    "      - {match: /p/*, redirect: 'https://other.test:8443/x{path}'}\n"
    "      - {match: /port/*, redirect: 'https://{host}:8443/{rest}'}\n"
    "      - {match: /self/*, redirect: '{path}#{rest}'}\n"
    "      - {match: /plain, redirect: https://other.test}\n"
    "      - {match: /b, respond: 204}\n";

static void assert_location(struct route_env *r, const char *request, const char *expected)
{
    struct lt_str location;
    assert_int_equal(route_find(r, request), LT_ROUTE_FOUND);
    assert_int_equal(lt_route_location(r->route, &r->arena, &r->req, &r->params, &location), LT_OK);
    assert_str(location, expected);
}

static void test_locations(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, redirect_yaml);
    assert_location(&r, "GET h/old/a/b", "/v1/a/b");
    assert_int_equal(r.route->status, 308);
    assert_location(&r, "GET h/old", "/v1/");
    assert_location(&r, "GET h/old/a?x=1", "/v1/a");
    assert_location(&r, "GET h/q/7?x=1", "/n?id=7&x=1");
    assert_int_equal(r.route->status, 307);
    assert_location(&r, "GET h/q/7", "/n?id=7");
    assert_location(&r, "GET h/s/a?b=c", "https://h/s/a?b=c");
    assert_location(&r, "GET x.h/s/a", "https://x.h/s/a");
    assert_location(&r, "GET h/p/a", "https://other.test:8443/x/p/a");
    assert_location(&r, "GET h/port/a", "https://h:8443/a");
    assert_location(&r, "GET h/self/a", "/self/a#a");
    assert_location(&r, "GET h/plain", "https://other.test");
    route_fini(&r);
}

/* Whatever the path holds, the Location stays on this host. */
static void test_no_open_redirect(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, redirect_yaml);
    assert_location(&r, "GET h/go//evil.test", "/evil.test");
    assert_location(&r, "GET h/go////evil.test", "/evil.test");
    assert_location(&r, "GET h/go/\\evil.test", "/evil.test");
    assert_location(&r, "GET h/go//\\/evil.test", "/evil.test");
    assert_location(&r, "GET h/go/\t/evil.test", "/%09/evil.test");
    assert_location(&r, "GET h/go/https://evil.test", "/https://evil.test");
    assert_location(&r, "GET h/go/@evil.test", "/@evil.test");
    assert_location(&r, "GET h/go", "/");
    assert_location(&r, "GET h/id/evil.test", "/evil.test");
    assert_location(&r, "GET h/id/evil.test/", "/evil.test");
    assert_location(&r, "GET h/port/@evil.test", "https://h:8443/@evil.test");
    route_fini(&r);
}

static void test_no_header_injection(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, redirect_yaml);
    assert_location(&r, "GET h/go/a\r\nSet-Cookie: x", "/a%0D%0ASet-Cookie:%20x");
    assert_location(&r, "GET h/go/a%0D%0Ab", "/a%0D%0Ab");
    assert_location(&r, "GET h/go/100%", "/100%25");
    assert_location(&r, "GET h/go/a\"<b>{c}\xff#", "/a%22%3Cb%3E%7Bc%7D%FF%23");
    assert_location(&r, "GET h/s/a?b=\r\nc\x7f#?", "https://h/s/a?b=%0D%0Ac%7F%23?");
    route_fini(&r);
}

static void test_location_without_host_or_memory(void **state LT_UNUSED)
{
    struct route_env r;
    struct lt_arena none;
    struct lt_str location, target;
    char query[] = "q"; /* not beside the path in memory: the target must be put together */
    route_open(&r, redirect_yaml);
    assert_int_equal(route_find(&r, "GET h/s/a"), LT_ROUTE_FOUND);
    r.req.host = LT_STR("");
    assert_int_equal(lt_route_location(r.route, &r.arena, &r.req, &r.params, &location),
                     LT_ERR_INVALID);
    r.req.host = LT_STR("h");
    lt_arena_init(&none, NULL, 0, 0);
    assert_int_equal(lt_route_location(r.route, &none, &r.req, &r.params, &location), LT_ERR_NOMEM);
    r.req.query = lt_str(query, 1);
    assert_int_equal(lt_route_rewrite(r.route, &none, &r.req, &r.params, &target), LT_ERR_NOMEM);
    lt_arena_fini(&none);
    route_fini(&r);
}

static void test_wrong_templates(void **state LT_UNUSED)
{
    static const struct {
        const char *to, *says;
    } table[] = {
        {"/{ret}", "did you mean {rest}?"},
        {"/{ix}", "did you mean {id}?"},
        {"/{nothing}", "redirect: {nothing} is not known"},
        {"/{rest}", "there is no {rest}, because `match` has no `*`"},
        {"/{id", "a `{` is not closed"},
        {"/a b", "holds a byte that a URL can't hold"},
        {"/a\\tb", "holds a byte that a URL can't hold"},
        {"/a\\r\\nX: y", "holds a byte that a URL can't hold"},
        {"/a\\\\b", "holds a byte that a URL can't hold"},
        {"/a\xc3\xa9", "holds a byte that a URL can't hold"},
        {"{id}", "begins neither with one / nor"},
        {"//evil.test", "begins neither with one / nor"},
        {"javascript:alert(1)", "begins neither with one / nor"},
        {"ftp://x/", "begins neither with one / nor"},
        {"https://{id}/", "the request could choose the host"},
        {"https://a.test{id}", "the request could choose the host"},
        {"https://a.test:{id}/", "the request could choose the host"},
        {"https://{host}{id}/", "the request could choose the host"},
        {"https://{host}.evil.test/", "the request could choose the host"},
        {"https://a.{host}/", "the request could choose the host"},
        {"https://user@a.test/", "the request could choose the host"},
        {"https://{host}@a.test/", "the request could choose the host"},
        {"https:///x", "the request could choose the host"},
        {"https://{path}", "the request could choose the host"},
        {"/a%2", "two hexadecimal digits"},
        {"/a%{id}", "two hexadecimal digits"},
    };
    char yaml[256];
    for (size_t i = 0; i < lt_countof(table); i++) {
        struct route_env r;
        snprintf(
            yaml, sizeof(yaml),
            "sites:\n  - hosts: [h]\n    routes: [{match: '/x/{id}', redirect: {to: \"%s\"}}]\n",
            table[i].to);
        route_open_wrong(&r, yaml);
        route_expect_one(&r, table[i].says, "3:48");
        route_fini(&r);
    }
}

/* ---- rewrite ---- */

static const char rewrite_yaml[] =
    "sites:\n"
    "  - hosts: [h]\n"
    "    routes:\n"
    "      - {match: /old/*, rewrite: '/new/{rest}', to: app}\n"
    "      - {match: '/u/{id}/*', rewrite: '/{rest}/{id}', to: app}\n"
    "      - {match: '/q/{id}', rewrite: '/find?id={id}&{query}', to: app}\n"
    "      - {match: /all/*, rewrite: '{path}/{host}', to: app}\n"
    "      - {match: /fix, rewrite: /other, to: app}\n"
    "      - {match: {regex: '^/f/(?<a>[^/]*?)-(?<b>.*)$'}, rewrite: '/{a}/{b}', to: app}\n";

static void test_rewrites(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, rewrite_yaml);
    assert_target(&r, "GET h/old/a/b?x=1", "/new/a/b?x=1");
    assert_target(&r, "GET h/old", "/new/");
    assert_target(&r, "GET h/old/a?", "/new/a?");
    assert_target(&r, "GET h/u/7/a", "/a/7");
    assert_target(&r, "GET h/u/7", "/7");
    assert_target(&r, "GET h/q/7?x=1", "/find?id=7&x=1");
    assert_target(&r, "GET h/q/7", "/find?id=7");
    assert_target(&r, "GET h/all/x", "/all/x/h");
    assert_target(&r, "GET h/fix?y", "/other?y");
    assert_target(&r, "GET h/f/x-y", "/x/y");
    assert_target(&r, "GET h/f/-y", "/y"); /* one normal form: no empty segment */
    /* What is encoded stays so, once; what divides values in a query is data. */
    assert_target(&r, "GET h/old/%2541%C3%A9?a=%41", "/new/%2541%C3%A9?a=%41");
    assert_target(&r, "GET h/q/a&b=c;d+e%26", "/find?id=a%26b%3Dc%3Bd%2Be%26");
    assert_target(&r, "GET h/f/%C-3%A9", "/%25C/3%A9");
    route_fini(&r);
}

/* A rewritten path does not climb out of where the template puts it. */
static void test_no_rewrite_makes_dot_segments(void **state LT_UNUSED)
{
    static const char *const paths[] = {"GET h/f/..-etc", "GET h/f/.-x", "GET h/f/a-..",
                                        "GET h/f/a-b/../c", "GET h/f/..;x-y"};
    struct route_env r;
    struct lt_str target;
    route_open(&r, rewrite_yaml);
    for (size_t i = 0; i < lt_countof(paths); i++) {
        assert_int_equal(route_find(&r, paths[i]), LT_ROUTE_FOUND);
        assert_int_equal(lt_route_rewrite(r.route, &r.arena, &r.req, &r.params, &target),
                         LT_ERR_INVALID);
    }
    route_fini(&r);
}

static void test_wrong_rewrites(void **state LT_UNUSED)
{
    static const struct {
        const char *to, *says;
    } table[] = {
        {"/{nothing}", "rewrite: {nothing} is not known"},
        {"/{ix}", "did you mean {id}?"},
        {"/{rest}", "rewrite: there is no {rest}"},
        {"/{id", "rewrite: a `{` is not closed"},
        {"/a b", "rewrite: holds a byte that a URL can't hold"},
        {"x/{id}", "a path that begins with / is expected"},
        {"https://a.test/", "a path that begins with / is expected"},
        {"{id}", "a path that begins with / is expected"},
        {"/a#{id}", "a path that begins with / is expected"},
        {"/a%2{id}", "two hexadecimal digits"},
        {"/a//b", "not the normal form"},
        {"/../{id}", "not the normal form"},
        {"/%2e%2e/{id}", "not the normal form"},
        {"/a%2Fb", "not the normal form"},
        {"//a/{id}", "not the normal form"},
    };
    char yaml[256];
    for (size_t i = 0; i < lt_countof(table); i++) {
        struct route_env r;
        snprintf(
            yaml, sizeof(yaml),
            "sites:\n  - hosts: [h]\n    routes: [{match: '/x/{id}', to: app, rewrite: \"%s\"}]\n",
            table[i].to);
        route_open_wrong(&r, yaml);
        route_expect_one(&r, table[i].says, "3:51");
        route_fini(&r);
    }
}

static void test_rewrite_without_memory(void **state LT_UNUSED)
{
    struct route_env r;
    struct lt_str target;
    enum lt_err err = LT_ERR_NOMEM;
    route_open(&r, rewrite_yaml);
    assert_int_equal(route_find(&r, "GET h/u/7?x=1"), LT_ROUTE_FOUND);
    unsigned at = 0;
    for (size_t max = 0; err == LT_ERR_NOMEM; max += 8) {
        struct lt_arena small;
        lt_arena_init(&small, NULL, 0, max);
        err = lt_route_rewrite(r.route, &small, &r.req, &r.params, &target);
        at += err == LT_ERR_NOMEM;
        lt_arena_fini(&small);
    }
    assert_int_equal(err, LT_OK);
    assert_true(at > 2);
    route_fini(&r);
}

/* The same name has the same token, whatever the route and its shares. */
static void test_tokens_of_targets(void **state LT_UNUSED)
{
    struct lt_hash_seed seed = {1, 2}, other = {3, 2};
    struct route_env r;
    unsigned n;
    route_open(&r, "sites:\n  - {hosts: [h], routes: [{match: /a, to: {app: 95%, next: 5%}}, "
                   "{match: /b, to: {next: 50%, app: 50%}}]}\n");
    struct lt_route *routes = lt_router_routes(r.router, &n);
    lt_route_set_tokens(&routes[0], &seed);
    lt_route_set_tokens(&routes[1], &seed);
    const char *app = routes[0].targets[0].token, *next = routes[0].targets[1].token;
    assert_memory_equal(app, routes[1].targets[1].token, LT_ROUTE_TOKEN_LEN);
    assert_memory_equal(next, routes[1].targets[0].token, LT_ROUTE_TOKEN_LEN);
    assert_memory_not_equal(app, next, LT_ROUTE_TOKEN_LEN);
    lt_route_set_tokens(&routes[1], &other);
    assert_memory_not_equal(app, routes[1].targets[1].token, LT_ROUTE_TOKEN_LEN);
    route_fini(&r);
}

static void test_pick_keeps_the_shares(void **state LT_UNUSED)
{
    struct route_env r;
    unsigned n, got[3] = {0};
    route_open(&r, "sites:\n  - {hosts: [h], routes: [{match: /*, to: {app: 94.5%, next: 0%, "
                   "admin: 5.5%}}, {match: /a, to: next}]}\n");
    const struct lt_route *routes = lt_router_routes(r.router, &n);
    for (uint32_t draw = 0; draw < 10000; draw++) {
        got[lt_route_pick(&routes[0], draw) - routes[0].targets]++;
    }
    assert_int_equal(got[0], 9450);
    assert_int_equal(got[1], 0);
    assert_int_equal(got[2], 550);
    assert_str(lt_route_pick(&routes[1], 9999)->name, "next");
    route_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strip),
        cmocka_unit_test(test_unchanged_target_is_a_slice),
        cmocka_unit_test(test_wrong_strip),
        cmocka_unit_test(test_locations),
        cmocka_unit_test(test_no_open_redirect),
        cmocka_unit_test(test_no_header_injection),
        cmocka_unit_test(test_location_without_host_or_memory),
        cmocka_unit_test(test_wrong_templates),
        cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_no_rewrite_makes_dot_segments),
        cmocka_unit_test(test_wrong_rewrites),
        cmocka_unit_test(test_rewrite_without_memory),
        cmocka_unit_test(test_tokens_of_targets),
        cmocka_unit_test(test_pick_keeps_the_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
