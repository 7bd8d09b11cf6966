/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that servers read differently: which of them are taken, which are refused. */
#include "route/readings.h"

#include "base/mem.h"
#include "tests/unit/route_env.h"
#include "tests/unit/unit.h"

static const char sites[] = "sites:\n"
                            "  - hosts: [a]\n"
                            "    routes:\n"
                            "      - {match: '/*', to: app}\n"
                            "      - {match: '/admin/*', to: admin}\n"
                            "      - {match: '/c++/*', to: admin}\n"
                            "      - {match: '/keep/*', to: next, encoded_slashes: keep}\n"
                            "      - {match: '/keep/secret/*', to: admin}\n"
                            "      - {match: 'POST /keep/form', to: admin}\n"
                            "  - hosts: [b]\n"
                            "    encoded_slashes: keep\n"
                            "    routes:\n"
                            "      - {match: '/p/{id}', to: app}\n"
                            "      - {match: '/q/*', to: app, encoded_slashes: refuse}\n"
                            "      - {match: 'POST /p/x/y', to: app}\n";

static const struct {
    const char *request;
    enum lt_readings expected;
} cases[] = {
    {"GET a/plain/%C3%A9", LT_READINGS_AGREE},
    /* Parameters. */
    {"GET a/x;v=1/y", LT_READINGS_AGREE},
    {"GET a/admin;x", LT_READINGS_DIFFER},
    {"GET a/admin;x/y", LT_READINGS_DIFFER},
    {"GET a/;/admin/y", LT_READINGS_DIFFER},
    {"GET a/admin/y;x", LT_READINGS_AGREE},
    {"GET a/x;/admin", LT_READINGS_AGREE},
    {"GET a/admin%3Bx/y", LT_READINGS_DIFFER},
    {"GET a/keep/..%3Bx/admin", LT_READINGS_DIFFER},
    /* '+' */
    {"GET a/c%2B%2B/y", LT_READINGS_DIFFER},
    {"GET a/c+%2B/y", LT_READINGS_DIFFER},
    {"GET a/c++/y", LT_READINGS_AGREE},
    {"GET a/d%2B%2B", LT_READINGS_AGREE},
    /* Decoded twice. */
    {"GET a/%2561dmin", LT_READINGS_DIFFER},
    {"GET a/x/%252e%252e/admin", LT_READINGS_DIFFER},
    {"GET a/%252e%252e/admin", LT_READINGS_DIFFER},
    {"GET a/admin%252Fy", LT_READINGS_DIFFER},
    {"GET a/admin%253Bx/y", LT_READINGS_DIFFER},
    {"GET a/x%252Fy", LT_READINGS_AGREE},
    {"GET a/100%25", LT_READINGS_AGREE},
    {"GET a/%255C", LT_READINGS_AGREE},
    {"GET a/%255Cadmin", LT_READINGS_DIFFER},
    {"GET a/x/..%252fadmin", LT_READINGS_DIFFER},
    {"GET a/x/%252e%252e;/admin", LT_READINGS_DIFFER},
    {"GET a/%2561dmin;x%252F..%252Fy", LT_READINGS_DIFFER}, /* cut, then decoded twice */
    {"GET a/%2561dmin%3Bx%252F..%252Fy", LT_READINGS_DIFFER},
    {"GET a/%2500", LT_READINGS_AGREE},
    {"GET a/%25%20", LT_READINGS_AGREE},
    {"GET a/100%2541", LT_READINGS_AGREE},
    /* Encoded slashes. */
    {"GET a/x%2Fy", LT_READINGS_ENCODED_SLASH},
    {"GET a/admin%2Fy", LT_READINGS_ENCODED_SLASH},
    {"GET a/keep/x%2Fy", LT_READINGS_AGREE},
    {"GET a/keep/x%2F%2Fy", LT_READINGS_AGREE},
    {"GET a/keep/secret%2Fy", LT_READINGS_DIFFER},
    {"GET a/keep/%2Fsecret", LT_READINGS_DIFFER},
    {"GET a/keep/secret;x%2Fy", LT_READINGS_DIFFER},
    {"GET b/p/x%2Fz", LT_READINGS_AGREE}, /* no route reads /p/x/z */
    {"GET b/p/x%2Fy", LT_READINGS_DIFFER},
    {"GET b/q/x%2Fy", LT_READINGS_ENCODED_SLASH},
};

static enum lt_readings check(struct route_env *r)
{
    return lt_readings_check(r->router, 0, &r->req, route_get, r, &r->arena, r->route, &r->params);
}

static void test_a_path_is_taken_if_every_reading_is_of_the_same_route(void **state)
{
    (void)state;
    struct route_env r;
    route_open(&r, sites);
    for (size_t i = 0; i < lt_countof(cases); i++) {
        assert_int_equal(route_find(&r, cases[i].request), LT_ROUTE_FOUND);
        struct lt_str path = r.req.path;
        struct lt_route_params params = r.params;
        enum lt_readings result = check(&r);
        if (result != cases[i].expected) {
            fail_msg("%s: %d, not %d", cases[i].request, (int)result, (int)cases[i].expected);
        }
        assert_ptr_equal(r.req.path.p, path.p);
        if (result == LT_READINGS_AGREE) {
            assert_int_equal(r.params.n, params.n);
            assert_memory_equal(r.params.v, params.v, params.n * sizeof(params.v[0]));
        }
    }
    route_fini(&r);
}

static void test_without_memory_no_path_is_taken_on_trust(void **state)
{
    (void)state;
    struct route_env r;
    route_open(&r, sites);
    unsigned at = 1;
    enum lt_readings result = LT_READINGS_NO_MEMORY;
    for (; result == LT_READINGS_NO_MEMORY; at++) {
        struct lt_arena small, whole = r.arena;
        lt_arena_init(&small, NULL, 0, 1 << 16);
        assert_int_equal(route_find(&r, "GET a/x;v//%252561"), LT_ROUTE_FOUND);
        r.arena = small;
        lt_mem_fail_at(at);
        result = check(&r);
        lt_mem_fail_at(0);
        lt_arena_fini(&r.arena);
        r.arena = whole;
    }
    assert_int_equal(result, LT_READINGS_AGREE);
    assert_true(at > 2);
    route_fini(&r);
}

static void test_a_pattern_with_several_readings_is_an_error(void **state)
{
    (void)state;
    static const char *const wrong[] = {"/a;b/*", "/c%2B", "/a%3Bb", "/%2561"};
    for (size_t i = 0; i < lt_countof(wrong); i++) {
        struct route_env r;
        char text[200];
        snprintf(text, sizeof(text),
                 "sites:\n  - hosts: [a]\n    routes:\n      - {match: '%s', to: app}\n", wrong[i]);
        route_open_wrong(&r, text);
        route_expect_one(&r, "servers read such a path in several ways", "4:18");
        route_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_is_taken_if_every_reading_is_of_the_same_route),
        cmocka_unit_test(test_without_memory_no_path_is_taken_on_trust),
        cmocka_unit_test(test_a_pattern_with_several_readings_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
