/* SPDX-License-Identifier: Apache-2.0 */
/* Pages for errors: which one, and what becomes of it. */
#include "route_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "route/error_pages.h"

struct holder {
    struct lt_conf conf;
    struct lt_conf_map errors;
};

static const struct lt_row rows[] = {LT_ERROR_PAGES_ROW(struct holder)};
static const struct lt_schema schema = {
    .name = "holder", .rows = rows, .n_rows = lt_countof(rows), .size = sizeof(struct holder)};

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/lintel-pages-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

struct read {
    struct env config;
    struct lt_map files;
    const struct lt_error_pages *pages;
};

static void read_init(struct read *r)
{
    *r = (struct read){.pages = NULL};
    env_init(&r->config);
    lt_map_init(&r->files, r->config.load.seed, 100);
}

static void read_fini(struct read *r)
{
    lt_map_fini(&r->files);
    env_fini(&r->config);
}

/* Reads one level, around which the ones before stand. errors: a flow mapping. */
static void read_level(struct read *r, const char *errors)
{
    char text[512];
    struct holder *holder = lt_arena_new(&r->config.arena, struct holder);
    snprintf(text, sizeof(text), "errors: %s", errors);
    const struct lt_node *node =
        lt_load_text(&r->config.load, LT_STR("t.yaml"), lt_str_c(folder), lt_str_c(text));
    lt_schema_read(&r->config.load, &schema, node, LT_LEVEL_SITE, holder);
    lt_schema_finish(&r->config.load, holder);
    r->pages =
        lt_error_pages_read(&r->config.load, &r->files, &holder->conf, &holder->errors, r->pages);
}

static struct lt_str fill(struct read *r, unsigned status)
{
    static const struct lt_str values[LT_ERROR_PAGE_NAMES] = {
        [LT_ERROR_PAGE_STATUS] = LT_STR_INIT("502"),
        [LT_ERROR_PAGE_REASON] = LT_STR_INIT("Bad <&>"),
        [LT_ERROR_PAGE_CAUSE] = LT_STR_INIT("a\"b\\c'"),
        [LT_ERROR_PAGE_REQUEST_ID] = LT_STR_INIT("\xff\n"),
    };
    const struct lt_error_file *file = lt_error_page_find(r->pages, status);
    return file != NULL ? lt_error_page_fill(file, values, &r->config.arena) : LT_STR_NONE;
}

static void values_are_made_safe_for_the_type(void **state)
{
    (void)state;
    struct read r;
    static const char text[] = "{{status} {reason}{cause}|{request_id} {x {status";
    write_file("a.html", text);
    write_file("a.json", text);
    write_file("a.txt", text);
    read_init(&r);
    read_level(&r, "{400: a.html, 401: a.json, 402: a.txt}");
    assert_str(fill(&r, 400), "{502 Bad &#60;&#38;&#62;a&#34;b\\c&#39;|\xff\n {x {status");
    assert_str(fill(&r, 401), "{502 Bad <&>a\\\"b\\\\c'|\\u00ff\\u000a {x {status");
    assert_str(fill(&r, 402), "{502 Bad <&>a\"b\\c'|\xff\n {x {status");
    read_fini(&r);
    remove_file("a.html");
    remove_file("a.json");
    remove_file("a.txt");
}

static void the_nearest_level_wins_then_the_single_status(void **state)
{
    (void)state;
    struct read r;
    write_file("1.txt", "1");
    write_file("2.txt", "2");
    write_file("3.txt", "");
    read_init(&r);
    assert_null(lt_error_page_find(r.pages, 500));
    read_level(&r, "{404: 1.txt, 500: 1.txt, 4xx: 2.txt}");
    read_level(&r, "{5xx: 2.txt, 503: 3.txt}");
    assert_int_equal(r.config.diags.errors, 0);
    assert_str(fill(&r, 404), "1");
    assert_str(fill(&r, 400), "2");
    assert_str(fill(&r, 499), "2");
    assert_str(fill(&r, 500), "2");
    assert_str(fill(&r, 503), "");
    assert_ptr_equal(fill(&r, 599).p, fill(&r, 400).p); /* read once, and not copied */
    assert_null(fill(&r, 200).p);
    assert_null(fill(&r, 600).p);
    read_fini(&r);
    remove_file("1.txt");
    remove_file("2.txt");
    remove_file("3.txt");
}

static void what_is_wrong_is_said_at_its_place(void **state)
{
    (void)state;
    struct read r;
    read_init(&r);
    read_level(&r, "{404: none.txt, 505: a.php, 99: a.html, 5XX: a.html, '': a.html}");
    assert_int_equal(r.config.diags.errors, 5);
    env_expect(&r.config, "t.yaml:1:15: error: errors: can't read ");
    env_expect(&r.config, "t.yaml:1:30: error: errors: the type of ");
    env_expect(&r.config, "t.yaml:1:37: error: errors: \"99\" is not the status");
    assert_null(fill(&r, 404).p);
    read_fini(&r);
}

static void memory_may_fail_at_any_point(void **state)
{
    (void)state;
    static char large[100000];
    memset(large, 'x', sizeof(large) - 1);
    memcpy(large + 5, "{status}", 8);
    write_file("large.html", large);
    bool ok = false;
    for (unsigned n = 1; !ok; n++) {
        struct read r;
        struct holder holder = {.errors = {.n = 0}};
        assert_true(n < 1000);
        read_init(&r);
        lt_schema_read(&r.config.load, &schema,
                       lt_load_text(&r.config.load, LT_STR("t.yaml"), lt_str_c(folder),
                                    LT_STR("errors: {5xx: large.html}")),
                       LT_LEVEL_SITE, &holder);
        lt_mem_fail_at(n);
        r.pages = lt_error_pages_read(&r.config.load, &r.files, &holder.conf, &holder.errors, NULL);
        ok = !r.config.load.nomem && fill(&r, 500).p != NULL;
        lt_mem_fail_at(0);
        assert_int_equal(r.config.diags.errors, 0);
        read_fini(&r);
    }
    remove_file("large.html");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_made_safe_for_the_type),
        cmocka_unit_test(the_nearest_level_wins_then_the_single_status),
        cmocka_unit_test(what_is_wrong_is_said_at_its_place),
        cmocka_unit_test(memory_may_fail_at_any_point),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
