/* SPDX-License-Identifier: Apache-2.0 */
/* Lines with code, read from the compiled form of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "filters/excerpt.h"
#include "filters/test_impl.h"

#define LINES_MAX 5000

/* The lines of text that have code, as "1 2 5". */
static void has_code(const char *text, const char *wanted)
{
    bool lines[100];
    char got[400] = "";
    memset(lines, 0, sizeof(lines));
    assert_true(lt_lines_with_code(lt_str_c(text), lines, lt_countof(lines)));
    for (size_t i = 0; i < lt_countof(lines); i++) {
        if (lines[i]) {
            size_t len = strlen(got);
            snprintf(got + len, sizeof(got) - len, "%s%zu", len > 0 ? " " : "", i + 1);
        }
    }
    assert_string_equal(got, wanted);
}

static void test_lines_are_those_that_may_run(void **state)
{
    (void)state;
    has_code("", "");
    has_code("-- nothing\n\n", "");
    has_code("local a = 1\n\n-- b\nreturn a\n", "1 4");
    /* At its end a function is made. The rest of a call that returns is not come to. */
    has_code("local M = {}\nfunction M.a(x)\n  if x then\n    return 1\n  end\nend\nreturn M\n",
             "1 2 3 4 6 7");
    has_code("local f = print\nlocal function g(x)\n  return f {\n    x = x,\n  }\nend\nreturn g\n",
             "1 3 4 6 7");
    has_code("while true do\n  break\nend\nlocal s = 'x' .. 1.5 .. 7\ngoto out\n::out::\n",
             "2 4 5");
    has_code("return function(...)\n  local all = {\n    ...,\n  }\n  return all\nend\n",
             "2 4 5 6");
}

static void test_what_cant_be_compiled_has_none(void **state)
{
    (void)state;
    bool lines[4];
    memset(lines, 0, sizeof(lines));
    assert_false(lt_lines_with_code(LT_STR("local x = = 1"), lines, lt_countof(lines)));
    assert_false(lt_lines_with_code(LT_STR("\x1bLua"), lines, lt_countof(lines)));
}

/* Lines far apart and functions of many instructions: both tables of lines are used. */
static void test_long_files(void **state)
{
    (void)state;
    static bool lines[LINES_MAX];
    struct lt_buf text;
    lt_buf_init(&text, 1 << 20);
    lt_buf_printf(&text, "local t = {}\n");
    for (int i = 1; i < LINES_MAX - 2; i++) {
        lt_buf_printf(&text,
                      i % 400 == 0 ? "t[%d] = t.x + %d\n"
                      : i > 2000   ? "\n"
                                   : "t.y%d = '%d'\n",
                      i, i);
    }
    lt_buf_printf(&text, "return t\n");
    assert_false(text.truncated);
    assert_true(lt_lines_with_code(lt_buf_view(&text), lines, LINES_MAX));
    for (int i = 0; i < LINES_MAX; i++) {
        bool code = i <= 2000 || (i < LINES_MAX - 2 && i % 400 == 0) || i == LINES_MAX - 2;
        assert_int_equal(lines[i], code && i < LINES_MAX - 1);
    }
    lt_buf_fini(&text);
}

static void test_places_and_carets(void **state)
{
    (void)state;
    struct lt_place place;
    assert_true(lt_place_read(LT_STR("a.b.lua:12: oops"), &place));
    assert_true(lt_str_eq_c(place.name, "a.b.lua"));
    assert_int_equal(place.line, 12);
    assert_int_equal(place.end, 12);
    assert_true(lt_place_read(LT_STR("a.lua:3, called from a.lua:9"), &place));
    assert_int_equal(place.end, 7);
    static const char *const none[] = {
        "", "oops", "a.lua", "a.lua:", "a.lua:x", "x\na.lua:3: y", "a.lua:0: x"};
    for (size_t i = 0; i < lt_countof(none); i++) {
        assert_false(lt_place_read(lt_str_c(none[i]), &place));
    }
    struct lt_str line = LT_STR("  return user.plan.name, username");
    assert_int_equal(lt_excerpt_caret(line, LT_STR("a nil value (field 'plan')")), 14);
    assert_int_equal(lt_excerpt_caret(line, LT_STR("a nil value (local 'user')")), 9);
    assert_int_equal(lt_excerpt_caret(line, LT_STR("near '.'")), SIZE_MAX);
    assert_int_equal(lt_excerpt_caret(line, LT_STR("near 'x")), SIZE_MAX);
    assert_int_equal(lt_excerpt_caret(line, LT_STR("oops")), SIZE_MAX);
    assert_true(lt_str_eq_c(lt_excerpt_line(LT_STR("a\nbc \r\nd"), 2), "bc"));
    assert_true(lt_str_eq_c(lt_excerpt_line(LT_STR("a\nb"), 2), "b"));
    assert_int_equal(lt_excerpt_line(LT_STR("a\nb"), 3).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_those_that_may_run),
        cmocka_unit_test(test_what_cant_be_compiled_has_none),
        cmocka_unit_test(test_long_files),
        cmocka_unit_test(test_places_and_carets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
