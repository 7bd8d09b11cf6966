/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/route/site_conf.c: the rows of sites and routes. */
#include "route_env.h"

static const struct lt_site_conf *site(const struct route_env *r, size_t i)
{
    return (const struct lt_site_conf *)r->conf.sites.items + i;
}

static const struct lt_route_conf *route(const struct route_env *r, size_t i)
{
    return (const struct lt_route_conf *)site(r, 0)->routes.items + i;
}

static void test_everything_that_may_be_written(void **state LT_UNUSED)
{
    struct route_env r;
    route_init(&r);
    route_read(&r, "sites:\n"
                   "  - hosts: [a.test, '*.a.test']\n"
                   "    name: a\n"
                   "    default: true\n"
                   "    listeners: [public]\n"
                   "    filters: [one, two]\n"
                   "    body: {max: 10M}\n"
                   "    timeouts: {first_byte: 5s}\n"
                   "    routes:\n"
                   "      - {match: /a, to: app}\n"
                   "      - match: /b/*\n"
                   "        when: header.x == \"1\"\n"
                   "        priority: -3\n"
                   "        methods: [GET, POST]\n"
                   "        filters: [three]\n"
                   "        without: [one]\n"
                   "        to: {app: 95%, next: 5%}\n"
                   "        strip: /b\n"
                   "        body: {max: 0}\n"
                   "        timeouts: {first_byte: 5m}\n"
                   "      - {match: /c, redirect: {status: 301, to: /x}}\n"
                   "      - {match: /d, redirect: /y}\n"
                   "      - {match: /e, respond: {status: 404, body: no, content_type: a/b}}\n"
                   "      - {match: /f, respond: 204}\n"
                   "      - {match: /g, respond: {body: ok}}\n"
                   "  - {hosts: [b.test], routes: [{match: /*, to: app}]}\n");
    assert_string_equal(env_messages(&r.config), "");
    assert_int_equal(r.conf.sites.n, 2);
    assert_str(lt_site_conf_name(site(&r, 0)), "a");
    assert_str(lt_site_conf_name(site(&r, 1)), "b.test");
    assert_true(site(&r, 0)->is_default);
    assert_false(site(&r, 1)->is_default);
    assert_int_equal(site(&r, 0)->body.max, 10 << 20);
    assert_int_equal(site(&r, 0)->timeouts.first_byte_ms, 5000);
    assert_int_equal(site(&r, 0)->routes.n, 7);
    assert_str(route(&r, 0)->to.upstream, "app");
    assert_int_equal(route(&r, 0)->priority, 0);
    assert_null(route(&r, 0)->when);
    assert_int_equal(route(&r, 1)->priority, -3);
    assert_str(lt_expr_source(route(&r, 1)->when), "header.x == \"1\"");
    assert_int_equal(route(&r, 1)->methods.n, 2);
    assert_int_equal(((const int *)route(&r, 1)->methods.items)[1] + 1, LT_METHOD_POST);
    assert_int_equal(route(&r, 1)->to.split.n, 2);
    assert_int_equal(*(uint32_t *)route(&r, 1)->to.split.entries[0].value, 9500);
    assert_str(route(&r, 1)->strip, "/b");
    assert_int_equal(route(&r, 1)->timeouts.first_byte_ms, 300000);
    assert_int_equal(route(&r, 2)->redirect.status, 301);
    assert_str(route(&r, 3)->redirect.to, "/y");
    assert_int_equal(route(&r, 3)->redirect.status, 307);
    assert_int_equal(route(&r, 4)->respond.status, 404);
    assert_str(route(&r, 4)->respond.body, "no");
    assert_str(route(&r, 4)->respond.content_type, "a/b");
    assert_int_equal(route(&r, 5)->respond.status, 204);
    assert_int_equal(route(&r, 6)->respond.status, 200);
    assert_str(route(&r, 6)->respond.content_type, "text/plain; charset=utf-8");
    route_fini(&r);
}

static void test_filters_of_a_route_in_order(void **state LT_UNUSED)
{
    struct route_env r;
    struct lt_filter_ref *refs;
    size_t n;
    route_init(&r);
    route_read(&r, "sites:\n"
                   "  - hosts: [a]\n"
                   "    filters: [one, two, three]\n"
                   "    routes:\n"
                   "      - {match: /a, to: app}\n"
                   "      - {match: /b, to: app, filters: [four, five], without: [two]}\n");
    assert_true(lt_route_conf_filters(&r.arena, site(&r, 0), route(&r, 0), &refs, &n));
    assert_int_equal(n, 3);
    assert_str(refs[0].name, "one");
    assert_str(refs[2].name, "three");
    assert_true(lt_route_conf_filters(&r.arena, site(&r, 0), route(&r, 1), &refs, &n));
    assert_int_equal(n, 4);
    assert_str(refs[0].name, "one");
    assert_str(refs[1].name, "three");
    assert_int_equal(refs[1].pos.line, 3);
    assert_int_equal(refs[1].pos.col, 25);
    assert_str(refs[2].name, "four");
    assert_int_equal(refs[2].pos.line, 6);
    assert_str(refs[3].name, "five");
    assert_int_equal(refs[3].pos.col, 46);
    route_fini(&r);
}

#define SITE(route) "sites:\n  - hosts: [a]\n    routes:\n      - {match: /a, " route "}\n"

static void test_wrong_rows(void **state LT_UNUSED)
{
    static const struct {
        const char *yaml, *says, *at;
    } table[] = {
        {SITE("priority: 1"), "nothing says what to do with the request", "4:9"},
        {SITE("to: app, respond: 200"), "can't have both \"to\" and \"respond\"", "4:39"},
        {SITE("redirect: /x, to: app"), "can't have both \"to\" and \"redirect\"", "4:31"},
        {SITE("to: {app: 95%, next: 6%}"), "the shares are 101% together", "4:25"},
        {SITE("to: {app: 99.99%}"), "the shares are 99.99% together", "4:25"},
        {SITE("to: {app: 95, next: 5%}"), "\"95\" is not a percentage", "4:31"},
        {SITE("to: {app: 101%}"), "is not a percentage", "4:31"},
        {SITE("to: {}"), "to: ", "4:25"},
        {SITE("to: [app]"), "a mapping is expected here", "4:25"},
        {SITE("respond: 200, strip: /a"), "works only together with \"to\"", "4:42"},
        {SITE("redirect: {status: 200, to: /x}"), "200 is not the status of a redirect", "4:40"},
        {SITE("redirect: {status: 308}"), "redirect: \"to\" is missing", "4:31"},
        {SITE("respond: {status: 204, body: x}"), "status 204 has no body", "4:50"},
        {SITE("respond: 100"), "is too small", "4:30"},
        {SITE("respond: {content_type: \"a\\r\\nb\"}"), "no header field can hold", "4:45"},
        {SITE("to: app, methods: [get]"), "did you mean \"GET\"?", "4:40"},
        {SITE("to: app, methods: []"), "methods: may not be empty", "4:39"},
        {SITE("to: app, when: hedder.x"), "hedder", "4:36"},
        {SITE("to: app, priority: 5000"), "is too large", "4:40"},
        {SITE("to: app, sticky_split: cookie"), "works only together with \"to: {A: 95%", "4:44"},
        {SITE("to: {app: 100%}, sticky_split: cooky"), "did you mean \"cookie\"?", "4:52"},
        {SITE("to: {app: 100%}, sticky_split: {name: 'a b'}"), "can't be the name of a cookie",
         "4:59"},
        {SITE("respond: 204, rewrite: /x"), "works only together with \"to\"", "4:44"},
        {SITE("to: app, strip: /a, rewrite: /x"), "can't have both \"strip\" and \"rewrite\"",
         "4:50"},
        {SITE("to: app, timeout: {first_byte: 1s}"), "did you mean \"timeouts\"?", "4:30"},
        {SITE("to: app, body: {max: 1X}"), "is not a size", "4:42"},
        {"sites:\n  - hosts: [a]\n    routes: [{to: app}]\n", "\"match\" is missing", "3:14"},
        {"sites:\n  - hosts: [a]\n    routes: [{match: {regex: x, path: /x}, to: app}]\n",
         "one of a path and a regex is expected", "3:22"},
        {"sites:\n  - hosts: [a]\n    routes: [{match: {method: GET}, to: app}]\n",
         "one of a path and a regex is expected", "3:22"},
        {"sites:\n  - hosts: [a]\n    routes: [{match: {regexp: x}, to: app}]\n",
         "did you mean \"regex\"?", "3:23"},
        {"sites:\n  - hosts: []\n    routes: [{match: /, to: app}]\n", "hosts: may not be empty",
         "2:12"},
        {"sites:\n  - hosts: [a]\n    routes: []\n", "routes: may not be empty", "3:13"},
        {"sites:\n  - hosts: [a]\n", "site: \"routes\" is missing", "2:5"},
        {"sites:\n  - routes: [{match: /, to: app}]\n", "site: \"hosts\" is missing", "2:5"},
        {"sites:\n  - hosts: [a, '']\n    routes: [{match: /, to: app}]\n", "may not be empty",
         "2:16"},
    };
    for (size_t i = 0; i < lt_countof(table); i++) {
        struct route_env r;
        route_open_wrong(&r, table[i].yaml);
        route_expect_one(&r, table[i].says, table[i].at);
        route_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_that_may_be_written),
        cmocka_unit_test(test_filters_of_a_route_in_order),
        cmocka_unit_test(test_wrong_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
