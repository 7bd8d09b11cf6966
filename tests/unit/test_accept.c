/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted lists of what a client accepts. */
#include "http/accept.h"

#include "tests/unit/unit.h"

/* A list with one field for each text up to the first NULL. */
static void with_fields(struct lt_arena *arena, struct lt_headers *h, enum lt_header_id id,
                        const char *const *values)
{
    lt_arena_init(arena, NULL, 0, 1 << 20);
    lt_headers_init(h, arena, 10);
    for (; *values != NULL; values++) {
        assert_int_equal(lt_headers_add_id(h, id, lt_str_c(*values)), LT_OK);
    }
}

static const enum lt_coding all[] = {LT_CODING_ZSTD, LT_CODING_BR, LT_CODING_GZIP};

static enum lt_coding coding_of(const char *first, const char *second, size_t n)
{
    const char *const values[] = {first, second, NULL};
    struct lt_arena arena;
    struct lt_headers h;
    with_fields(&arena, &h, LT_HEADER_ACCEPT_ENCODING, values);
    enum lt_coding coding = lt_accept_coding(&h, all + lt_countof(all) - n, n);
    lt_arena_fini(&arena);
    return coding;
}

static void test_the_best_coding(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum lt_coding coding;
    } cases[] = {
        {"", LT_CODING_IDENTITY},
        {"gzip", LT_CODING_GZIP},
        {"GZip", LT_CODING_GZIP},
        {"x-gzip", LT_CODING_GZIP},
        {"gzip, deflate, br", LT_CODING_BR},
        {"gzip, deflate, br, zstd", LT_CODING_ZSTD},
        {"gzip;q=1.0, br;q=0.9, zstd;q=0.900", LT_CODING_GZIP},
        {"gzip;q=0.001", LT_CODING_GZIP},
        {"gzip;q=0", LT_CODING_IDENTITY},
        {"gzip;q=0.000, br;q=0", LT_CODING_IDENTITY},
        {"*", LT_CODING_ZSTD},
        {"*;q=0", LT_CODING_IDENTITY},
        {"zstd;q=0, *", LT_CODING_BR},
        {"*;q=0.5, gzip", LT_CODING_GZIP},
        {"gzip, *;q=0", LT_CODING_GZIP},
        {"identity", LT_CODING_IDENTITY},
        {"identity;q=0", LT_CODING_IDENTITY},
        {"identity;q=0, gzip", LT_CODING_GZIP},
        {"identity, gzip;q=0.5", LT_CODING_IDENTITY},
        {"identity;q=0.5, gzip;q=0.5", LT_CODING_GZIP},
        {"identity;q=0.5, gzip;q=0.6, *;q=0", LT_CODING_GZIP},
        {"deflate, compress, aws-chunked", LT_CODING_IDENTITY},
        {"gzip ; q=0.5 , br ;\tq=0.6", LT_CODING_BR},
        {"gzip;Q=0.5, br;q=0.4", LT_CODING_GZIP},
        {"gzip;level=9;q=0.5, br;q=0.6", LT_CODING_BR},
        {",, gzip,,", LT_CODING_GZIP},
        {"gzip, gzip;q=0", LT_CODING_GZIP},
        /* Broken elements count as not written. */
        {"gzip;q=2", LT_CODING_IDENTITY},
        {"gzip;q=1.001", LT_CODING_IDENTITY},
        {"gzip;q=-1", LT_CODING_IDENTITY},
        {"gzip;q=", LT_CODING_IDENTITY},
        {"gzip;q=.5", LT_CODING_IDENTITY},
        {"gzip;q=0.1234", LT_CODING_IDENTITY},
        {"gzip;q=0,5, br;q=0.1", LT_CODING_BR},
        {"gzip;q=0x1", LT_CODING_IDENTITY},
        {"gzip;q=\"1\"", LT_CODING_IDENTITY},
        {"gzip;x=\"a,br\", zstd;q=0.2", LT_CODING_GZIP},
        {"gzip;x=\"unended, br", LT_CODING_GZIP},
        {"gzip;x=\"\\", LT_CODING_GZIP},
        {";q=1", LT_CODING_IDENTITY},
        {"gzipped", LT_CODING_IDENTITY},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        enum lt_coding got = coding_of(cases[i].accept, NULL, 3);
        if (got != cases[i].coding) {
            fail_msg("\"%s\" gives %s", cases[i].accept, lt_coding_name(got).p);
        }
    }
}

static void test_only_codings_that_we_offer(void **state)
{
    (void)state;
    assert_int_equal(coding_of("zstd, br, gzip;q=0.1", NULL, 1), LT_CODING_GZIP);
    assert_int_equal(coding_of("zstd, br", NULL, 1), LT_CODING_IDENTITY);
    assert_int_equal(coding_of("*;q=0.3, gzip;q=0.1", NULL, 1), LT_CODING_IDENTITY);
    assert_int_equal(coding_of("gzip", NULL, 0), LT_CODING_IDENTITY);
}

static void test_fields_are_one_list(void **state)
{
    (void)state;
    assert_int_equal(coding_of(NULL, NULL, 3), LT_CODING_IDENTITY);
    assert_int_equal(coding_of("gzip;q=0.5", "br;q=0.7", 3), LT_CODING_BR);
    assert_int_equal(coding_of("", "gzip", 3), LT_CODING_GZIP);
}

static unsigned weight_of(const char *accept, const char *type)
{
    const char *const values[] = {accept, NULL};
    struct lt_arena arena;
    struct lt_headers h;
    with_fields(&arena, &h, LT_HEADER_ACCEPT, values);
    unsigned weight = lt_accept_type(&h, lt_str_c(type));
    lt_arena_fini(&arena);
    return weight;
}

static void test_weights_of_types(void **state)
{
    (void)state;
    static const char browser[] = "text/html,application/xhtml+xml,application/xml;q=0.9,"
                                  "image/avif,image/webp,*/*;q=0.8";
    assert_int_equal(weight_of(NULL, "text/html"), 1000);
    assert_int_equal(weight_of("", "text/html"), 0);
    assert_int_equal(weight_of(browser, "text/html"), 1000);
    assert_int_equal(weight_of(browser, "application/problem+json"), 800);
    assert_int_equal(weight_of("*/*", "text/html"), 1000);
    assert_int_equal(weight_of("Text/HTML;q=0.25", "text/html"), 250);
    assert_int_equal(weight_of("text/html;charset=utf-8;q=0.5", "text/html"), 500);
    assert_int_equal(weight_of("application/json", "text/html"), 0);
    assert_int_equal(weight_of("text/*;q=0.3, */*;q=0.9", "text/html"), 300);
    assert_int_equal(weight_of("*/*;q=0.9, text/html;q=0, text/*", "text/html"), 0);
    assert_int_equal(weight_of("text/*;q=0.1, text/*;q=0.7", "text/html"), 700);
    assert_int_equal(weight_of("text/*", "textual/html"), 0);
    assert_int_equal(weight_of("text", "text/html"), 0);
    assert_int_equal(weight_of("*", "text/html"), 0);
    assert_int_equal(weight_of("text/html;q=nonsense, */*;q=0.4", "text/html"), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_coding),
        cmocka_unit_test(test_only_codings_that_we_offer),
        cmocka_unit_test(test_fields_are_one_list),
        cmocka_unit_test(test_weights_of_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
