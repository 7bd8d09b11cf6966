/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, authorities, paths, queries, cookies. */
#include "http/uri.h"

#include "base/mem.h"
#include "tests/unit/unit.h"

static void test_forms_of_targets(void **state)
{
    (void)state;
    struct lt_target t;
    assert_true(lt_target_parse(LT_STR("/a/b?x=1?y"), &t));
    assert_str(t.path, "/a/b");
    assert_str(t.query, "x=1?y");
    assert_int_equal(t.scheme.len, 0);
    assert_true(lt_target_parse(LT_STR("/a?"), &t));
    assert_non_null(t.query.p);
    assert_int_equal(t.query.len, 0);
    assert_true(lt_target_parse(LT_STR("/a"), &t));
    assert_null(t.query.p);
    assert_true(lt_target_parse(LT_STR("*"), &t));
    assert_str(t.path, "*");
    assert_true(lt_target_parse(LT_STR("HTTP://Ex.com:8080/p?q"), &t));
    assert_str(t.scheme, "HTTP");
    assert_str(t.authority, "Ex.com:8080");
    assert_str(t.path, "/p");
    assert_str(t.query, "q");
    assert_true(lt_target_parse(LT_STR("https://[::1]?q"), &t));
    assert_str(t.authority, "[::1]");
    assert_int_equal(t.path.len, 0);
    assert_str(t.query, "q");
}

static void test_targets_that_are_none(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",           "a",          "a/b",         "?x",           "/a#b",
        "/a b",       "/a\tb",      "/\x7f",       "/caf\xc3\xa9", "http:///x",
        "http://",    "http:/a",    "ftp://h/",    "//",           "://h/",
        "http://u@h", "http://h:x", "http://h:/",  "http//h/",     "example.com:80",
        "**",         "/\x01",      "http://h:0/", "http://[::1/",
    };
    struct lt_target t;
    for (size_t i = 0; i < lt_countof(bad); i++) {
        bool slashes = strcmp(bad[i], "//") == 0; /* an origin-form: its path is merged later */
        assert_int_equal(lt_target_parse(lt_str_c(bad[i]), &t), slashes);
    }
    assert_false(lt_target_parse(lt_str("/a\0b", 4), &t));
}

static void test_authorities(void **state)
{
    (void)state;
    struct lt_str host;
    unsigned port;
    assert_true(lt_authority_parse(LT_STR("Example.com"), &host, &port));
    assert_str(host, "Example.com");
    assert_int_equal(port, 0);
    assert_true(lt_authority_parse(LT_STR("127.0.0.1:08080"), &host, &port));
    assert_str(host, "127.0.0.1");
    assert_int_equal(port, 8080);
    assert_true(lt_authority_parse(LT_STR("[2001:db8::1]:65535"), &host, &port));
    assert_str(host, "[2001:db8::1]");
    assert_int_equal(port, 65535);
    assert_true(lt_authority_parse(LT_STR("a_b-c.d~"), &host, &port));
    assert_true(lt_authority_parse(LT_STR("a.b."), &host, &port));
    const char *const bad[] = {
        "",         ":80",         "a:",        "a:0",    "a:65536",  "a:8x",    "a:+8",
        "a:000080", "a b",         "u@h",       "u:p@h",  "a/b",      "a?x",     "a#x",
        "a,b",      "a%41",        "a%zz",      ".",      ".a",       "[::1",    "[]",
        "[::1]x",   "[::1]:",      "[1.2.3.4]", "[v1.x]", "[::1%lo]", "a:80:80", "::1",
        "a\tb",     "caf\xc3\xa9", "a;b",       "a\\b",   "a..",      "a..b",    "..",
    };
    for (size_t i = 0; i < lt_countof(bad); i++) {
        if (lt_authority_parse(lt_str_c(bad[i]), &host, &port)) {
            fail_msg("\"%s\" was taken for an authority", bad[i]);
        }
    }
    assert_false(lt_authority_parse(lt_str("a\0b", 3), &host, &port));
    assert_false(lt_authority_parse(lt_str("[::1\0/]", 7), &host, &port));
}

static const struct {
    const char *path, *normal; /* NULL: refused */
} paths[] = {
    {"/", "/"},
    {"/a", "/a"},
    {"/a/", "/a/"},
    {"/a/b.c", "/a/b.c"},
    {"/.well-known/x", "/.well-known/x"},
    {"/..a/...", "/..a/..."},
    {"/a;v=1/b", "/a;v=1/b"},
    {"/%C3%A9", "/%C3%A9"},
    {"/%c3%a9", "/%C3%A9"},
    {"/%41%7e%2D", "/A~-"},
    {"/%25", "/%25"},
    {"/%252e%252e", "/%252e%252e"},
    {"//", "/"},
    {"//a///b//", "/a/b/"},
    {"/a/./b/.", "/a/b/"},
    {"/a/../b", "/b"},
    {"/a/..", "/"},
    {"/a/b/../..", "/"},
    {"/a/b/../../c", "/c"},
    {"/a//../b", "/b"},
    {"/a/%2e%2E/b", "/b"},
    {"/a/.%2e", "/"},
    {"/%2e/a", "/a"},
    {"/..", NULL},
    {"/../a", NULL},
    {"/a/../../b", NULL},
    {"/%2e%2e/a", NULL},
    {"/a%2fb", NULL},
    {"/a%2Fb", NULL},
    {"/a%5cb", NULL},
    {"/a\\b", NULL},
    {"/a%00b", NULL},
    {"/a%", NULL},
    {"/a%4", NULL},
    {"/a%4g", NULL},
    {"/a%%41", NULL},
    {"/a/..;x=1/b", NULL},
    {"/a/.;/b", NULL},
    {"/a/%2e%2e;/b", NULL},
    {"/%40a%3Ab%2C%21", "/@a:b,!"},
    {"/a+b%2Bc;d%3be", "/a+b%2Bc;d%3Be"},
    {"/a\"b<c>[d]^e`f|{g}", "/a%22b%3Cc%3E%5Bd%5D%5Ee%60f%7C%7Bg%7D"},
    {"/a%22b", "/a%22b"},
    {"/a%20b", "/a%20b"},
    {"/a%0d%0aX", NULL},
    {"/a%09", NULL},
    {"/a%7f", NULL},
    {"/%c0%ae%c0%ae/b", NULL},
    {"/%C1%9C", NULL},
    {"/%e0%80%af", NULL},
    {"/%f0%80%80%af", NULL},
    {"/%c0", "/%C0"},
    {"/%e0%a0%80", "/%E0%A0%80"},
    {"", NULL},
    {"a", NULL},
    {"*", NULL},
};

static void test_paths_have_one_normal_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < lt_countof(paths); i++) {
        struct lt_arena arena;
        lt_arena_init(&arena, NULL, 0, 1 << 20);
        struct lt_str in = lt_str_c(paths[i].path), out, again;
        enum lt_err err = lt_path_normalise(&arena, in, 0, &out);
        if (paths[i].normal == NULL) {
            if (err != LT_ERR_INVALID) {
                fail_msg("\"%s\" was not refused", paths[i].path);
            }
        } else {
            assert_int_equal(err, LT_OK);
            assert_str(out, paths[i].normal);
            if (lt_str_eq(in, out)) {
                assert_ptr_equal(in.p, out.p);
            }
            /* A normal form is its own, and isn't copied. */
            assert_int_equal(lt_path_normalise(&arena, out, 0, &again), LT_OK);
            assert_ptr_equal(again.p, out.p);
            assert_int_equal(again.len, out.len);
        }
        lt_arena_fini(&arena);
    }
}

static void test_what_a_flag_allows(void **state)
{
    (void)state;
    static const struct {
        unsigned flags;
        const char *path, *normal; /* NULL: refused */
    } cases[] = {
        {LT_PATH_SLASHES, "/a%2fb", "/a%2Fb"},
        {LT_PATH_SLASHES, "/a%2Fb%2F", "/a%2Fb%2F"},
        {LT_PATH_SLASHES, "/https:%2F%2Fexample.com", "/https:%2F%2Fexample.com"},
        {LT_PATH_SLASHES, "/a/..%2Fb", NULL},
        {LT_PATH_SLASHES, "/a%2F..", NULL},
        {LT_PATH_SLASHES, "/a%2f%2e%2e%2fb", NULL},
        {LT_PATH_SLASHES, "/.%2Fb", NULL},
        {LT_PATH_SLASHES, "/..;x%2Fb", NULL},
        {LT_PATH_SLASHES, "/a%2F...", "/a%2F..."},
        {LT_PATH_SLASHES, "/../a", NULL},
        {LT_PATH_SLASHES, "/a%5cb", NULL},
        {LT_PATH_CLAMP, "/../a", "/a"},
        {LT_PATH_CLAMP, "/a/../../../b", "/b"},
        {LT_PATH_CLAMP, "/a%2Fb", NULL},
        {LT_PATH_BRACES, "/{a}/b", "/{a}/b"},
        {LT_PATH_BRACES, "/%7Ba%7D", "/%7Ba%7D"},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_arena arena;
        struct lt_str out;
        lt_arena_init(&arena, NULL, 0, 1 << 20);
        enum lt_err err = lt_path_normalise(&arena, lt_str_c(cases[i].path), cases[i].flags, &out);
        if (err != (cases[i].normal != NULL ? LT_OK : LT_ERR_INVALID)) {
            fail_msg("\"%s\": %d", cases[i].path, err);
        }
        if (cases[i].normal != NULL) {
            assert_str(out, cases[i].normal);
        }
        lt_arena_fini(&arena);
    }
    assert_true(lt_path_has_encoded_slash(LT_STR("/%20/a%2F")));
    assert_false(lt_path_has_encoded_slash(LT_STR("/%252F/a%2")));
}

static void test_without_memory_paths_and_queries_fail(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_str out;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    lt_mem_fail_at(1);
    assert_int_equal(lt_path_normalise(&arena, LT_STR("/a//b"), 0, &out), LT_ERR_NOMEM);
    assert_int_equal(lt_path_normalise(&arena, LT_STR("/a/b"), 0, &out), LT_OK);
    assert_false(lt_query_get(&arena, LT_STR("a=%41"), LT_STR("a"), &out));
    lt_mem_fail_at(0);
    lt_arena_fini(&arena);
}

static void test_query_parameters(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_str out;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    struct lt_str q = LT_STR("a=1&&b=x%20y+z&a=2&c&%64=e%2&=v");
    assert_true(lt_query_get(&arena, q, LT_STR("a"), &out));
    assert_str(out, "1");
    assert_true(lt_query_get(&arena, q, LT_STR("b"), &out));
    assert_str(out, "x y z");
    assert_true(lt_query_get(&arena, q, LT_STR("c"), &out));
    assert_str(out, "");
    assert_true(lt_query_get(&arena, q, LT_STR("d"), &out));
    assert_str(out, "e%2");
    assert_true(lt_query_get(&arena, q, LT_STR(""), &out));
    assert_str(out, "v");
    assert_false(lt_query_get(&arena, q, LT_STR("e"), &out));
    assert_false(lt_query_get(&arena, LT_STR_NONE, LT_STR("a"), &out));
    lt_arena_fini(&arena);
}

static void test_query_parameters_are_removed(void **state)
{
    static const struct {
        const char *query, *key, *left; /* NULL: nothing */
    } cases[] = {
        {"a=1&b=2&a=3&c", "a", "b=2&c"},
        {"a=1&b=2", "b", "a=1"},
        {"a=1", "a", NULL},
        {"a=1&", "a", NULL},
        {"a&b", "a", "b"},
        {"%61=1&b=%61", "a", "b=%61"},
        {"a=1&&b", "c", "a=1&&b"},
        {"a=1&&b", "b", "a=1&"},
        {"a=1", "A", "a=1"},
        {"x+y=1&b", "x y", "b"},
        {"=1&b", "", "b"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_arena arena;
        struct lt_str out;
        lt_arena_init(&arena, NULL, 0, 1 << 20);
        assert_true(
            lt_query_remove(&arena, lt_str_c(cases[i].query), lt_str_c(cases[i].key), &out));
        if (cases[i].left != NULL) {
            assert_str(out, cases[i].left);
        } else {
            assert_null(out.p);
        }
        lt_arena_fini(&arena);
    }
}

static void test_cookies(void **state)
{
    (void)state;
    struct lt_str out, field = LT_STR("a=1; b = x=y ;c; ab=\"q\"");
    assert_true(lt_cookie_get(field, LT_STR("a"), &out));
    assert_str(out, "1");
    assert_true(lt_cookie_get(field, LT_STR("b"), &out));
    assert_str(out, "x=y");
    assert_true(lt_cookie_get(field, LT_STR("ab"), &out));
    assert_str(out, "\"q\"");
    assert_false(lt_cookie_get(field, LT_STR("c"), &out));
    assert_false(lt_cookie_get(field, LT_STR("A"), &out));
    assert_false(lt_cookie_get(LT_STR_NONE, LT_STR("a"), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_targets),
        cmocka_unit_test(test_targets_that_are_none),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_paths_have_one_normal_form),
        cmocka_unit_test(test_what_a_flag_allows),
        cmocka_unit_test(test_without_memory_paths_and_queries_fail),
        cmocka_unit_test(test_query_parameters),
        cmocka_unit_test(test_query_parameters_are_removed),
        cmocka_unit_test(test_cookies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
