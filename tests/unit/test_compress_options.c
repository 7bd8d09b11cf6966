/* SPDX-License-Identifier: Apache-2.0 */
/* How the levels of `compress` are joined, and which types fit. */
#include "route_env.h"

#include "base/mem.h"
#include "route/compress_options.h"

struct levels {
    struct lt_conf conf;
    struct lt_compress_conf route, site, listener;
};

static const struct lt_row rows[] = {
    {.name = "route",
     .type = LT_T_OBJECT,
     .offset = offsetof(struct levels, route),
     .sub = &lt_compress_unset_schema,
     .sub_level = LT_LEVEL_ROUTE},
    {.name = "site",
     .type = LT_T_OBJECT,
     .offset = offsetof(struct levels, site),
     .sub = &lt_compress_unset_schema,
     .sub_level = LT_LEVEL_SITE},
    {.name = "listener",
     .type = LT_T_OBJECT,
     .offset = offsetof(struct levels, listener),
     .sub = &lt_compress_schema,
     .sub_level = LT_LEVEL_LISTENER},
};

static const struct lt_schema schema = {
    .name = "levels", .rows = rows, .n_rows = lt_countof(rows), .size = sizeof(struct levels)};

struct joined {
    struct env config;
    struct levels levels;
    const struct lt_compress_options *options;
};

static bool join(struct joined *j)
{
    const struct lt_compress_conf *const all[] = {&j->levels.route, &j->levels.site,
                                                  &j->levels.listener};
    return lt_compress_options_make(&j->config.load, all, lt_countof(all), &j->options);
}

static void open_levels(struct joined *j, const char *yaml)
{
    *j = (struct joined){.options = NULL};
    env_init(&j->config);
    lt_schema_read(&j->config.load, &schema, env_read(&j->config, yaml), 0, &j->levels);
    lt_schema_finish(&j->config.load, &j->levels);
    assert_int_equal(j->config.diags.errors, 0);
    assert_true(join(j));
}

static void off_unless_a_level_says_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        bool on;
    } cases[] = {
        {"site: {min: 1}", false},
        {"listener: true", true},
        {"site: true", true},
        {"route: true", true},
        {"{listener: true, site: false}", false},
        {"{listener: true, site: false, route: {enabled: true}}", true},
        {"{site: true, route: false}", false},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct joined j;
        open_levels(&j, cases[i].yaml);
        assert_int_equal(j.options != NULL, cases[i].on);
        env_fini(&j.config);
    }
}

static void each_row_comes_from_the_nearest_level(void **state)
{
    (void)state;
    struct joined j;
    open_levels(&j, "{listener: {enabled: true, min: 5, level: small, types: [a/b]},\n"
                    " site: {min: 6, encodings: [gzip]}, route: {level: fast}}");
    assert_int_equal(j.options->min, 6);
    assert_int_equal(j.options->level, LT_ENCODER_FAST);
    assert_int_equal(j.options->n_types, 1);
    assert_int_equal(j.options->n_order, 1);
    assert_int_equal(j.options->order[0], LT_CODING_GZIP);
    env_fini(&j.config);
}

static void defaults(void **state)
{
    (void)state;
    struct joined j;
    open_levels(&j, "route: true");
    assert_int_equal(j.options->min, 1024);
    assert_int_equal(j.options->level, LT_ENCODER_BALANCED);
    assert_int_equal(j.options->n_order, 1 + LT_HAVE_BROTLI + LT_HAVE_ZSTD);
    assert_int_equal(j.options->order[j.options->n_order - 1], LT_CODING_GZIP);
    assert_false(lt_compress_conf_any(&j.levels.site));
    assert_true(lt_compress_conf_any(&j.levels.route));
    static const char *const yes[] = {
        "text/html",       "Text/HTML; charset=utf-8", "application/json ;x=y",
        "image/svg+xml",   "application/vnd.api+JSON", "text/event-stream",
        "application/wasm"};
    static const char *const no[] = {"",           "text",     "text/",           "image/png",
                                     "+json",      "; text/a", "application/js",  "video/mp4",
                                     "texts/html", "a/json",   "application/grpc"};
    for (size_t i = 0; i < lt_countof(yes); i++) {
        assert_true(lt_compress_type_fits(j.options, lt_str_c(yes[i])));
    }
    for (size_t i = 0; i < lt_countof(no); i++) {
        if (lt_compress_type_fits(j.options, lt_str_c(no[i]))) {
            fail_msg("\"%s\" fits", no[i]);
        }
    }
    assert_false(lt_compress_type_fits(j.options, LT_STR_NONE));
    env_fini(&j.config);
}

static void a_coding_that_is_not_built_in(void **state)
{
    (void)state;
    struct joined j;
    open_levels(&j, "route: {enabled: true, encodings: [br, zstd, gzip]}");
    unsigned missing = 2 - LT_HAVE_BROTLI - LT_HAVE_ZSTD;
    assert_int_equal(j.config.diags.errors, missing);
    if (missing > 0) {
        env_expect(&j.config, "this build does not have");
    }
    env_fini(&j.config);
}

static void memory_may_fail(void **state)
{
    (void)state;
    struct joined j;
    open_levels(&j, "route: false");
    j.levels.route.enabled = true;
    lt_mem_fail_at(1);
    bool ok = true;
    for (unsigned i = 0; i < 100000 && ok; i++) {
        ok = join(&j);
    }
    lt_mem_fail_at(0);
    assert_false(ok);
    assert_null(j.options);
    env_fini(&j.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_unless_a_level_says_otherwise),
        cmocka_unit_test(each_row_comes_from_the_nearest_level),
        cmocka_unit_test(defaults),
        cmocka_unit_test(a_coding_that_is_not_built_in),
        cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
