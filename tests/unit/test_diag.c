/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: their order, the line with its caret, long and odd lines, JSON. */
#include "config_env.h"

#include "base/mem.h"
#include "config/redact.h"

static struct lt_pos at(const struct lt_source *source, unsigned line, unsigned col, unsigned width)
{
    return (struct lt_pos){.source = source, .line = line, .col = col, .width = width};
}

static struct lt_source *source_of(struct env *e, const char *name, unsigned order,
                                   const char *text)
{
    struct lt_source *source = lt_source_new(&e->arena, lt_str_c(name), LT_STR(""), lt_str_c(text));
    assert_non_null(source);
    source->order = order;
    return source;
}

static void prints_sorted_without_repeats(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_source *a = source_of(&e, "a.yaml", 0, "one: 1\r\ntwo: [é, x]\n");
    struct lt_source *b = source_of(&e, "b.yaml", 1, "three\n");
    lt_diag_error(&e.diags, at(b, 1, 1, 5), NULL, "number %d", 4);
    lt_diag_error(&e.diags, at(a, 2, 10, 1), "look here", "number %d", 3);
    lt_diag_warning(&e.diags, at(a, 2, 7, 1), NULL, "number %d", 2);
    lt_diag_error(&e.diags, at(a, 2, 10, 1), "look here", "number %d", 3);
    lt_diag_error(&e.diags, lt_load_nowhere(), NULL, "number %d", 1);
    assert_string_equal(env_messages(&e), "error: number 1\n"
                                          "a.yaml:2:7: warning: number 2\n"
                                          "    2 | two: [é, x]\n"
                                          "      |       ^\n"
                                          "a.yaml:2:10: error: number 3\n"
                                          "    2 | two: [é, x]\n"
                                          "      |          ^\n"
                                          "      = hint: look here\n"
                                          "b.yaml:1:1: error: number 4\n"
                                          "    1 | three\n"
                                          "      | ^^^^^\n"
                                          "3 errors, 1 warning\n");
    env_fini(&e);
}

static void nothing_wrong_prints_nothing(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    assert_string_equal(env_messages(&e), "");
    e.text.len = 0;
    lt_diags_json(&e.diags, &e.text);
    assert_str(lt_buf_view(&e.text), "[]\n");
    env_fini(&e);
}

static void odd_lines_can_not_harm_the_terminal(void **state)
{
    struct env e;
    char text[400];
    (void)state;
    env_init(&e);
    struct lt_source *a = source_of(&e, "a\x1b.yaml", 0, "\tx: \x1b[31m\x7f\n");
    lt_diag_error(&e.diags, at(a, 1, 2, 99), NULL, "bad \x1b[0m value");
    assert_string_equal(env_messages(&e), "a?.yaml:1:2: error: bad ?[0m value\n"
                                          "    1 |  x: ?[31m?\n"
                                          "      |  ^^^^^^^^^\n"
                                          "1 error\n");
    env_fini(&e);
    env_init(&e);
    memset(text, 'x', sizeof(text));
    text[300] = 'Y';
    text[sizeof(text) - 1] = '\0';
    a = source_of(&e, "a.yaml", 0, text);
    lt_diag_error(&e.diags, at(a, 1, 301, 1), NULL, "far right");
    lt_diag_error(&e.diags, at(a, 1, 9999, 1), NULL, "beyond the line");
    lt_diag_error(&e.diags, at(a, 99, 1, 1), NULL, "beyond the file");
    const char *all = env_messages(&e);
    const char *line = strstr(all, "    1 | ...");
    assert_non_null(line);
    const char *caret = strstr(line, "\n") + 1;
    assert_int_equal(line[strchr(caret, '^') - caret], 'Y');
    assert_non_null(strstr(all, "beyond the file"));
    env_fini(&e);
}

static void keeps_only_so_many(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_source *a = source_of(&e, "a.yaml", 0, "x\n");
    for (unsigned i = 1; i <= 250; i++) {
        lt_diag_error(&e.diags, at(a, 1, i, 1), NULL, "number %u", i);
    }
    env_expect(&e, "and 50 more that are not shown\n250 errors\n");
    env_fini(&e);
}

static void json_has_all_members(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_source *a = source_of(&e, "a\"b.yaml", 0, "x\n");
    lt_diag_error(&e.diags, at(a, 1, 1, 1), "hint", "a \"word\"");
    lt_diag_warning(&e.diags, lt_load_nowhere(), NULL, "no place");
    e.text.len = 0;
    lt_diags_json(&e.diags, &e.text);
    assert_str(lt_buf_view(&e.text),
               "[{\"severity\":\"warning\",\"file\":null,\"line\":null,\"column\":null,"
               "\"message\":\"no place\",\"hint\":null},"
               "{\"severity\":\"error\",\"file\":\"a\\\"b.yaml\",\"line\":1,\"column\":1,"
               "\"message\":\"a \\\"word\\\"\",\"hint\":\"hint\"}]\n");
    env_fini(&e);
}

static void masked_lines_are_not_shown(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_source *a = source_of(&e, "a.yaml", 0, "x: 1\ny: s3cret\nz: 2\n");
    lt_diag_error(&e.diags, at(a, 2, 4, 1), NULL, "bad");
    lt_diag_error(&e.diags, at(a, 3, 4, 1), NULL, "bad");
    lt_diags_mask(&e.diags, at(a, 2, 4, 1), 2);
    assert_null(strstr(env_messages(&e), "s3cret"));
    assert_non_null(strstr(env_messages(&e), "z: 2"));
    env_fini(&e);
}

static void errors_count_without_memory(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    e.arena.max = e.arena.size;
    for (int i = 0; i < 100; i++) {
        lt_diag_error(&e.diags, lt_load_nowhere(), "hint", "number %d", i);
    }
    assert_int_equal(e.diags.errors, 100);
    lt_diags_mask(&e.diags, lt_load_nowhere(), 1);
    lt_mem_fail_at(1);
    struct lt_buf out;
    char text[8192];
    lt_buf_init_fixed(&out, text, sizeof(text));
    lt_diags_print(&e.diags, &out);
    lt_mem_fail_at(0);
    assert_true(lt_str_find(lt_buf_view(&out), LT_STR("100 errors\n")) != SIZE_MAX);
    env_fini(&e);
}

static void finds_lines_and_columns(void **state)
{
    struct env e;
    unsigned line, col;
    (void)state;
    env_init(&e);
    struct lt_source *a = source_of(&e, "a.yaml", 0, "é: 1\n\nlast");
    assert_int_equal(a->n_lines, 3);
    assert_str(lt_source_line(a, 1), "é: 1");
    assert_str(lt_source_line(a, 2), "");
    assert_str(lt_source_line(a, 3), "last");
    assert_str(lt_source_line(a, 4), "");
    assert_str(lt_source_line(a, 0), "");
    lt_source_locate(a, 3, &line, &col);
    assert_int_equal(line, 1);
    assert_int_equal(col, 3);
    lt_source_locate(a, 9, &line, &col);
    assert_int_equal(line, 3);
    assert_int_equal(col, 3);
    assert_int_equal(lt_source_offset(LT_STR("éa"), 1), 2);
    assert_int_equal(lt_source_offset(LT_STR("éa"), 9), 3);
    env_fini(&e);
}

static void passwords_of_addresses_are_not_shown(void **state)
{
    static const struct {
        const char *text, *from, *left;
    } cases[] = {
        {"http://joe:pa@ss@host/", "joe", "@host/"},
        {"\"joe:x@10.0.0.1:80\"", "joe", "@10.0.0.1:80\""},
        {"a b:c d:e@f", "d:", "@f"},
        {"unix:@name", NULL, NULL},
        {"unix:/run/a@b.sock", NULL, NULL},
        {"joe@host:80", NULL, NULL},
        {":x@host", NULL, NULL},
        {"", NULL, NULL},
        {"@", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_str text = lt_str_c(cases[i].text);
        size_t from = 0, to = 0;
        assert_int_equal(lt_redact_userinfo(text, &from, &to), cases[i].from != NULL);
        if (cases[i].from != NULL) {
            assert_true(lt_str_starts(lt_str_sub(text, from, text.len), lt_str_c(cases[i].from)));
            assert_true(lt_str_eq_c(lt_str_sub(text, to, text.len), cases[i].left));
        }
    }
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_buf out;
    lt_arena_init(&arena, NULL, 0, 65536);
    lt_diags_init(&diags, &arena);
    lt_buf_init(&out, 65536);
    lt_diag_error(&diags, (struct lt_pos){.source = NULL}, "not http://a:b@c", "a:b@c and d:e@f");
    lt_diags_print(&diags, &out);
    lt_buf_char(&out, '\0');
    assert_string_equal(out.p, "error: <redacted>@c and <redacted>@f\n"
                               "      = hint: not http://<redacted>@c\n1 error\n");
    lt_buf_fini(&out);
    lt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_of_addresses_are_not_shown),
        cmocka_unit_test(prints_sorted_without_repeats),
        cmocka_unit_test(nothing_wrong_prints_nothing),
        cmocka_unit_test(odd_lines_can_not_harm_the_terminal),
        cmocka_unit_test(keeps_only_so_many),
        cmocka_unit_test(json_has_all_members),
        cmocka_unit_test(masked_lines_are_not_shown),
        cmocka_unit_test(errors_count_without_memory),
        cmocka_unit_test(finds_lines_and_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
