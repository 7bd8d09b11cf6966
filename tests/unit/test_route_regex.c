/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of routes that match by a regular expression: what they catch, in which order they are
 * asked, what ties, and what happens when a pattern takes too long. */
#include "route_env.h"

#include "config/regex.h"

#define SITE(routes) "sites:\n  - hosts: [h]\n    routes:\n" routes

static void test_groups_are_parameters(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r,
               SITE("      - {match: {regex: '^/v(?<n>\\d+)/(?<what>[a-z]+)(/(?<id>.+))?$'}, to: "
                    "app}\n"));
    assert_routed(&r, "GET h/v12/items", "~ ^/v(?<n>\\d+)/(?<what>[a-z]+)(/(?<id>.+))?$");
    assert_str(lt_route_param(&r.params, LT_STR("n")), "12");
    assert_str(lt_route_param(&r.params, LT_STR("what")), "items");
    assert_null(lt_route_param(&r.params, LT_STR("id")).p);
    assert_int_equal(route_find(&r, "GET h/v1/items/7/8"), LT_ROUTE_FOUND);
    assert_str(lt_route_param(&r.params, LT_STR("id")), "7/8");
    assert_int_equal(route_find(&r, "GET h/vx/items"), LT_ROUTE_NO_PATH);
    assert_int_equal(r.params.n, 0);
    route_fini(&r);
}

static void test_order(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, SITE("      - {match: /*, to: app}\n"
                        "      - {match: {regex: '\\.php$'}, to: app}\n"
                        "      - {match: {regex: '^/a'}, to: app}\n"
                        "      - {match: {regex: '^/a/\\d+'}, to: app}\n"
                        "      - {match: {regex: '^/b/\\d+'}, to: app}\n"
                        "      - {match: {regex: '^/a/\\d+', method: PUT}, to: app}\n"
                        "      - {match: {regex: '^/a/\\w+'}, to: app, priority: -1}\n"
                        "      - {match: {regex: '^/a/(?<x>\\d+)'}, to: app, when: path.x == 7}\n"
                        "      - {match: {regex: '^/c'}, methods: [GET, POST], to: app}\n"
                        "      - {match: {regex: '^/c', method: HEAD}, to: next}\n"
                        "      - {match: /a/x/*, to: app}\n"
                        "      - {match: '/a/{id}/y', to: app}\n"));
    assert_routed(&r, "GET h/", "/*");
    assert_routed(&r, "GET h/x.php", "~ \\.php$");
    assert_routed(&r, "GET h/ab", "~ ^/a");
    assert_routed(&r, "GET h/a/1", "~ ^/a/\\d+");
    assert_routed(&r, "PUT h/a/1", "PUT ~ ^/a/\\d+");
    assert_routed(&r, "GET h/a/7", "~ ^/a/(?<x>\\d+) when path.x == 7");
    assert_routed(&r, "GET h/a/w.php", "~ ^/a/\\w+ priority -1");
    assert_routed(&r, "GET h/b/1", "~ ^/b/\\d+");
    assert_routed(&r, "GET h/a/x/1", "/a/x/*");
    assert_routed(&r, "GET h/a/1/y", "/a/{id}/y");
    assert_routed(&r, "HEAD h/c", "HEAD ~ ^/c");
    assert_routed(&r, "POST h/c", "GET,POST ~ ^/c");
    assert_routed(&r, "PUT h/c", "/*");
    route_fini(&r);
}

static void test_method_not_allowed(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, SITE("      - {match: {regex: '^/c'}, methods: [GET, POST], to: app}\n"));
    assert_int_equal(route_find(&r, "PUT h/c"), LT_ROUTE_NO_METHOD);
    assert_str(r.allow, "GET, HEAD, POST");
    assert_int_equal(route_find(&r, "PUT h/d"), LT_ROUTE_NO_PATH);
    route_fini(&r);
}

static void test_strip_below_the_literal_text(void **state LT_UNUSED)
{
    struct route_env r;
    struct lt_str target;
    route_open(&r, SITE("      - {match: {regex: '^/shop/\\w+$'}, strip: /shop, to: app}\n"));
    assert_int_equal(route_find(&r, "GET h/shop/x"), LT_ROUTE_FOUND);
    assert_int_equal(lt_route_rewrite(r.route, &r.arena, &r.req, &r.params, &target), LT_OK);
    assert_str(target, "/x");
    route_fini(&r);
}

/* Many letters can be divided among two nested repetitions in more ways than the limit allows. */
#define SLOW "^/s/(a+)+$"
#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"

/* A pattern that can't be decided does not let a request pass to another route. */
static void test_a_pattern_that_takes_too_long_takes_no_other_route(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, SITE("      - {match: {regex: '" SLOW "'}, to: app}\n"
                        "      - {match: /w/*, when: 'header.x-beta ~ \"(a+)+$\"', to: app}\n"
                        "      - {match: /w/*, to: next}\n"
                        "      - {match: /*, to: next}\n"));
    assert_routed(&r, "GET h/s/aaa", "~ " SLOW);
    assert_routed(&r, "GET h/s/ab", "/*");
    assert_int_equal(route_find(&r, "GET h/s/" LONG), LT_ROUTE_FAILED);
    assert_str(r.route->name, "~ " SLOW);
    assert_int_equal(r.params.n, 0);
    assert_routed(&r, "GET h/w/x", "/w/*");
    r.beta = LONG;
    assert_int_equal(route_find(&r, "GET h/w/x"), LT_ROUTE_FAILED);
    assert_str(r.route->site, "h");
    route_fini(&r);
}

static void test_ties(void **state LT_UNUSED)
{
    static const struct {
        const char *routes, *says;
    } ties[] = {
        {"{match: {regex: '^/a/\\d'}, to: app}\n      - {match: {regex: '^/a/\\w'}, to: app}",
         "another regex with the same beginning may take"},
        {"{match: {regex: 'x$'}, to: app}\n      - {match: {regex: '^(/a|/b)'}, to: app}",
         "another regex with the same beginning may take"},
        {"{match: {regex: '^/a/\\d'}, to: app}\n      - {match: {regex: '^/a/\\d'}, to: app}",
         "and another route take the same requests"},
        {"{match: {regex: '^/a\\d'}, to: app, when: header.x}\n      - {match: {regex: '^/a\\w'}, "
         "to: app, when: header.y}",
         "another regex with the same beginning may take"},
    };
    char yaml[512];
    for (size_t i = 0; i < lt_countof(ties); i++) {
        struct route_env r;
        snprintf(yaml, sizeof(yaml), SITE("      - %s\n"), ties[i].routes);
        route_open_wrong(&r, yaml);
        env_expect(&r.config, "t.yaml:5:25");
        env_expect(&r.config, "the other one is at t.yaml:4:25");
        route_expect_one(&r, ties[i].says, "5:25");
        route_fini(&r);
    }
}

static void test_no_ties(void **state LT_UNUSED)
{
    struct route_env r;
    route_open(&r, SITE("      - {match: {regex: '^/a/\\d'}, to: app}\n"
                        "      - {match: {regex: '^/b/\\d'}, to: app}\n"
                        "      - {match: {regex: '^/\\d', method: GET}, to: app}\n"
                        "      - {match: {regex: '^/\\w', method: PUT}, to: app}\n"
                        "      - {match: {regex: '^/\\s'}, priority: 1, to: app}\n"
                        "      - {match: {regex: '^/\\S'}, to: app}\n"));
    route_fini(&r);
}

#define WRONG(match) SITE("      - {to: app, match: " match "}\n")

static void test_wrong(void **state LT_UNUSED)
{
    static const struct {
        const char *yaml, *says, *at;
    } table[] = {
        {WRONG("{regex: '^/a('}"), "the pattern is wrong: missing closing parenthesis", "4:38"},
        {WRONG("{regex: '^/a[b'}"), "the pattern is wrong: missing terminating ]", "4:39"},
        {WRONG("{regex: '(?<Id>a)'}"), "the group \"Id\" is not a name", "4:35"},
        {WRONG("{regex: '(?<rest>a)'}"), "the group \"rest\" has a meaning of its own", "4:35"},
        {WRONG("{regex: '(?J)(?<a>a)|(?<a>b)'}"), "the group \"a\" is used twice", "4:35"},
        {WRONG("{regex: '(?<a>.)(?<b>.)(?<c>.)(?<d>.)(?<e>.)(?<f>.)(?<g>.)(?<h>.)(?<i>.)(?<j>.)"
               "(?<k>.)(?<l>.)(?<m>.)(?<n>.)(?<o>.)(?<p>.)(?<q>.)'}"),
         "is one group too many", "4:35"},
        {WRONG("{regex: '(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)"
               "(.)(.)(.)(.)(.)(.)(.)(?<a>.)'}"),
         "comes after too many groups", "4:35"},
        {WRONG("{regex: '\\C'}"), "the pattern is wrong", "4:36"},
        {WRONG("{path: GET /a, method: PUT}"), "`path` has a method already", "4:49"},
        {WRONG("{regex: x, method: GET}, methods: [PUT]"), "`match` has a method already", "4:60"},
        {WRONG("{regex: x}, strip: /x"), "is not what `match` begins with", "4:45"},
        {WRONG("{regex: '^/x'}, strip: /x"), "is not what `match` begins with", "4:49"},
        {WRONG("{regex: '^/(?<id>x)'}, rewrite: '/{ix}'"), "did you mean {id}?", "4:58"},
        {WRONG("{regex: '^/(?<id>x)'}, rewrite: '/{rest}'"), "there is no {rest}", "4:58"},
    };
    for (size_t i = 0; i < lt_countof(table); i++) {
        struct route_env r;
        route_open_wrong(&r, table[i].yaml);
        route_expect_one(&r, table[i].says, table[i].at);
        route_fini(&r);
    }
}

static void test_there_is_a_limit(void **state LT_UNUSED)
{
    struct route_env r;
    size_t size = 200000, at;
    char *yaml = malloc(size);
    assert_non_null(yaml);
    at = (size_t)snprintf(yaml, size, SITE(""));
    for (unsigned i = 0; i < 1001; i++) {
        at += (size_t)snprintf(yaml + at, size - at,
                               "      - {match: {regex: '^/x%u/'}, to: app}\n", i);
    }
    route_open_wrong(&r, yaml);
    route_expect_one(&r, "more than 1000 regular expressions in one site", "1004:25");
    route_fini(&r);
    free(yaml);
}

/* What a match surely begins with: never more than is sure. */
static void test_literal_beginnings(void **state LT_UNUSED)
{
    static const struct {
        const char *pattern, *prefix;
    } table[] = {
        {"", ""},
        {"/a", ""},
        {"^", ""},
        {"^/a", "/a"},
        {"^/a$", "/a"},
        {"^/a.b", "/a"},
        {"^/a\\.b", "/a.b"},
        {"^/a\\d", "/a"},
        {"^/a\\/b-c_d~", "/a/b-c_d~"},
        {"^/ab?", "/a"},
        {"^/ab*", "/a"},
        {"^/ab+", "/ab"},
        {"^/ab{0,2}", "/a"},
        {"^/a\\.?", "/a"},
        {"^/a|/b", ""},
        {"^/a(b|c)", "/a"},
        {"^/a(?:b|c)|d", ""},
        {"^/a[|]", "/a"},
        {"^/a[]|]", "/a"},
        {"^/a[^]|]", "/a"},
        {"^/a[\\]|]", "/a"},
        {"^/a[[:alpha:]|]", "/a"},
        {"^/a[[:^alpha:]|]", "/a"},
        {"^/a[[:]|b", ""},
        {"^/a[[:alpha]|b", ""},
        {"^/a\\|b", "/a|b"},
        {"^/a(?=b|c)", "/a"},
        {"^/a\\Q|\\E", ""},
        {"^/a(?x) # (\n|b", ""},
        {"^/a(?#()|b", ""},
        {"^/a[\\Q](\\E]|b", ""},
        {"^/a\\c(|b", ""},
        {"^/a(*MARK:()|b", ""},
        {"^/a(?C\"(\")|b", ""},
        {"^/a(?i-x:b)", ""},
        {"^/a(?<x>b)", "/a"},
        {"^/a(?i)b", "/a"},
        {"(?i)^/a", ""},
        {"^?/a", ""},
        {"^/a\\", "/a"},
        {"^/a[", "/a"},
        {"^/a(", "/a"},
        {"^/a)|b", ""},
    };
    struct lt_arena arena;
    struct lt_str prefix;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    for (size_t i = 0; i < lt_countof(table); i++) {
        assert_true(lt_regex_prefix(&arena, lt_str_c(table[i].pattern), &prefix));
        if (!lt_str_eq_c(prefix, table[i].prefix)) {
            fail_msg("%s: %.*s", table[i].pattern, LT_STR_ARG(prefix));
        }
    }
    lt_arena_fini(&arena);
    lt_arena_init(&arena, NULL, 0, 0);
    assert_false(lt_regex_prefix(&arena, LT_STR("^/a"), &prefix));
    lt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_parameters),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_method_not_allowed),
        cmocka_unit_test(test_strip_below_the_literal_text),
        cmocka_unit_test(test_a_pattern_that_takes_too_long_takes_no_other_route),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_no_ties),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_there_is_a_limit),
        cmocka_unit_test(test_literal_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
