/* SPDX-License-Identifier: Apache-2.0 */
/* Variables and files in values, and what include puts together. */
#include "config_env.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/lintel-load-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    char path[256];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sites", dir);
    return mkdir(path, 0755);
}

static int teardown(void **state)
{
    static const char *const names[] = {"secret",       "crlf",         "nul",          "main.yaml",
                                        "sites/a.yaml", "sites/b.yaml", "sites/c.yaml", "sites"};
    char path[256];
    (void)state;
    for (size_t i = 0; i < lt_countof(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        remove(path);
    }
    return rmdir(dir);
}

/* The value of the key a in yaml. */
static struct lt_node *value(struct env *e, const char *yaml)
{
    struct lt_node *top = lt_load_text(&e->load, LT_STR("t.yaml"), lt_str_c(dir), lt_str_c(yaml));
    assert_non_null(top);
    return lt_node_get(top, "a");
}

static void puts_variables_in(void **state)
{
    static const struct {
        const char *yaml, *text;
    } cases[] = {
        {"a: ${LT_TEST_A}", "one: {two}"},
        {"a: x-${LT_TEST_A}-y", "x-one: {two}-y"},
        {"a: \"${LT_TEST_A}${LT_TEST_B}\"", "one: {two}b"},
        {"a: ${LT_TEST_NONE:-fallback}", "fallback"},
        {"a: ${LT_TEST_NONE:-}", ""},
        {"a: ${LT_TEST_EMPTY:-fallback}", "fallback"},
        {"a: \"${LT_TEST_EMPTY}\"", ""},
        {"a: $${LT_TEST_A}", "${LT_TEST_A}"},
        {"a: 5$", "5$"},
        {"a: $x", "$x"},
        {"a: '^/v(?<n>\\d+)$'", "^/v(?<n>\\d+)$"},
    };
    (void)state;
    setenv("LT_TEST_A", "one: {two}", 1);
    setenv("LT_TEST_B", "b", 1);
    setenv("LT_TEST_EMPTY", "", 1);
    unsetenv("LT_TEST_NONE");
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct env e;
        env_init(&e);
        struct lt_node *a = value(&e, cases[i].yaml);
        assert_true(lt_load_ok(&e.load));
        assert_str(a->text, cases[i].text);
        assert_int_equal(a->text.p[a->text.len], '\0');
        assert_int_equal(a->kind, LT_NODE_SCALAR);
        env_fini(&e);
    }
}

static void what_is_put_in_is_not_read_again(void **state)
{
    struct env e;
    (void)state;
    setenv("LT_TEST_A", "${LT_TEST_B}", 1);
    env_init(&e);
    struct lt_node *a = value(&e, "a: ${LT_TEST_A}");
    assert_str(a->text, "${LT_TEST_B}");
    assert_str(a->raw, "${LT_TEST_A}");
    assert_true(a->substituted);
    env_fini(&e);
}

static void keys_are_not_filled_in(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_node *top = env_read(&e, "${LT_TEST_NONE}: 1");
    assert_str(top->pairs[0].key->text, "${LT_TEST_NONE}");
    assert_true(lt_load_ok(&e.load));
    env_fini(&e);
}

static void reads_files_without_their_last_newline(void **state)
{
    struct env e;
    char yaml[300];
    (void)state;
    write_file("secret", "s3cret\n");
    write_file("crlf", "two\nlines\r\n");
    env_init(&e);
    snprintf(yaml, sizeof(yaml), "a: \"${file:%s/secret}\"", dir);
    assert_str(value(&e, yaml)->text, "s3cret");
    assert_str(value(&e, "a: \"<${file:crlf}>\"")->text, "<two\nlines>");
    assert_true(lt_load_ok(&e.load));
    env_fini(&e);
}

static void says_where_something_is_missing(void **state)
{
    static const struct {
        const char *yaml, *place, *message;
    } cases[] = {
        {"a: ${LT_TEST_NONE}", ":1:4:", "no variable LT_TEST_NONE"},
        {"a: [x, 'yy ${LT_TEST_NONE}']", ":1:12:", "no variable LT_TEST_NONE"},
        {"a: é${1A}", ":1:5:", "this is no name of a variable"},
        {"a: \"${}\"", ":1:5:", "this is no name"},
        {"a: x${LT", ":1:5:", "without its \"}\""},
        {"a: ${file:/nowhere/at/all}", ":1:4:", "can't read /nowhere/at/all: No such file"},
        {"a: ${file:}", ":1:4:", "a path must follow"},
        {"a: ${file:/}", ":1:4:", "it is a folder"},
        {"a: ${file:/dev/null}", ":1:4:", "not a regular file"},
        {"a: ${file:nul}", ":1:4:", "holds a NUL byte"},
        {"a: ${file:main.yaml}", ":1:4:", "larger than 1048576 bytes"},
    };
    char *big = malloc(1100000);
    char path[300];
    (void)state;
    assert_non_null(big);
    memset(big, 'x', 1099999);
    big[1099999] = '\0';
    write_file("main.yaml", big);
    free(big);
    snprintf(path, sizeof(path), "%s/nul", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputc('\0', f);
    fclose(f);
    unsetenv("LT_TEST_NONE");
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct env e;
        env_init(&e);
        struct lt_node *a = value(&e, cases[i].yaml);
        assert_false(lt_load_ok(&e.load));
        assert_true(a->unresolved || a->kind == LT_NODE_LIST);
        env_expect(&e, cases[i].place);
        env_expect(&e, cases[i].message);
        env_fini(&e);
    }
}

/* As root nothing is closed to us, so the test becomes somebody else for a while. */
static void closed_files_are_said_with_owner_and_mode(void **state)
{
    struct env e;
    char yaml[400], path[300];
    (void)state;
    write_file("secret", "s");
    snprintf(path, sizeof(path), "%s/secret", dir);
    assert_int_equal(chmod(path, 0200), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    bool root = geteuid() == 0;
    if (root) {
        assert_int_equal(seteuid(65534), 0);
    }
    env_init(&e);
    snprintf(yaml, sizeof(yaml), "a: ${file:%s}", path);
    value(&e, yaml);
    if (root) {
        assert_int_equal(seteuid(0), 0);
    }
    env_expect(&e, "it belongs to ");
    env_expect(&e, "with mode 0200, and we run as uid ");
    env_fini(&e);
}

/* ---- include ---- */

static const char *const mergeable[] = {"upstreams", "sites", NULL};

static struct lt_node *load_main(struct env *e, const char *main_text)
{
    char path[300];
    write_file("main.yaml", main_text);
    snprintf(path, sizeof(path), "%s/main.yaml", dir);
    e->load.mergeable = mergeable;
    return lt_load_file(&e->load, path);
}

static void joins_included_files_in_order_of_names(void **state)
{
    struct env e;
    (void)state;
    write_file("sites/b.yaml", "sites: [b1, b2]\nupstreams: {ub: 1}\n");
    write_file("sites/a.yaml", "sites: [a1]\ninclude: [c.yaml]\n");
    write_file("sites/c.yaml", "upstreams: {uc: 1}\n");
    env_init(&e);
    struct lt_node *top = load_main(&e, "include: [sites/*.yaml]\nupstreams: {u: 1}\n");
    assert_true(lt_load_ok(&e.load));
    struct lt_node *sites = lt_node_get(top, "sites");
    assert_int_equal(sites->n_items, 3);
    assert_str(sites->items[0]->text, "a1");
    assert_str(sites->items[2]->text, "b2");
    struct lt_node *upstreams = lt_node_get(top, "upstreams");
    assert_int_equal(upstreams->n_pairs, 3);
    assert_str(upstreams->pairs[0].key->text, "u");
    assert_non_null(lt_node_get(upstreams, "uc"));
    assert_true(upstreams->pairs[1].key->pos.source != upstreams->pairs[0].key->pos.source);
    env_fini(&e);
}

static void says_both_places_of_a_name_defined_twice(void **state)
{
    struct env e;
    (void)state;
    write_file("sites/a.yaml", "upstreams:\n  app: 1\n");
    env_init(&e);
    load_main(&e, "include: [sites/a.yaml]\nupstreams:\n\n  app: 2\n");
    env_expect(&e, "sites/a.yaml:2:3: error: \"app\" is defined twice");
    env_expect(&e, "the first one is at ");
    env_expect(&e, "main.yaml:4:3");
    env_fini(&e);
}

static void says_what_include_cannot_do(void **state)
{
    static const struct {
        const char *main_text, *a_text, *message;
    } cases[] = {
        {"include: [sites/none.yaml]", "", "can't read "},
        {"include: sites/a.yaml", "", "\"include\" needs a list"},
        {"include: [[a]]", "", "a file pattern is expected"},
        {"include: ['']", "", "a file pattern is expected"},
        {"include: [sites/a.yaml]", "workers: 3", "\"workers\" may not stand in an included file"},
        {"include: [sites/a.yaml]", "- a", "\"key: value\" pairs"},
        {"include: [sites/a.yaml]", "a: [", "is not closed"},
        {"include: [sites/a.yaml]", "include: [a.yaml]", "includes itself"},
        {"include: [sites/a.yaml]", "include: [../main.yaml]", "includes itself"},
        {"include: [sites/a.yaml]\nsites: {}", "sites: []", "not of the same kind"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct env e;
        env_init(&e);
        write_file("sites/a.yaml", cases[i].a_text);
        load_main(&e, cases[i].main_text);
        assert_false(lt_load_ok(&e.load));
        env_expect(&e, cases[i].message);
        env_expect(&e, "\n1 error\n");
        env_fini(&e);
    }
}

static void a_pattern_may_find_nothing_and_a_file_is_read_once(void **state)
{
    struct env e;
    (void)state;
    write_file("sites/a.yaml", "upstreams: {app: 1}\n");
    env_init(&e);
    struct lt_node *top =
        load_main(&e, "include: [none/*.yaml, sites/a.yaml, sites/a*.yaml]\nsites: [x]\n");
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(lt_node_get(top, "upstreams")->n_pairs, 1);
    env_fini(&e);
}

static void a_main_file_that_cannot_be_read_is_said(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    assert_null(lt_load_file(&e.load, "/nowhere/lintel.yaml"));
    env_expect(&e, "error: can't read /nowhere/lintel.yaml: No such file or directory\n"
                   "      = hint: name the configuration by -c FILE or by the variable "
                   "LINTEL_CONFIG\n1 error\n");
    env_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_variables_in),
        cmocka_unit_test(what_is_put_in_is_not_read_again),
        cmocka_unit_test(keys_are_not_filled_in),
        cmocka_unit_test(reads_files_without_their_last_newline),
        cmocka_unit_test(says_where_something_is_missing),
        cmocka_unit_test(closed_files_are_said_with_owner_and_mode),
        cmocka_unit_test(joins_included_files_in_order_of_names),
        cmocka_unit_test(says_both_places_of_a_name_defined_twice),
        cmocka_unit_test(says_what_include_cannot_do),
        cmocka_unit_test(a_pattern_may_find_nothing_and_a_file_is_read_once),
        cmocka_unit_test(a_main_file_that_cannot_be_read_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
