/* SPDX-License-Identifier: Apache-2.0 */
/* The pattern matcher gives what the Lua manual says, refuses malformed patterns, and stops. */
#include "filter_vm.h"

static struct box box;

static int setup(void **state)
{
    (void)state;
    box_open(&box, NULL, MEMORY);
    box.cpu_ms = 10000; /* it is the limit of steps that is tested */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

/* All results of EXPRESSION, joined by '|'. */
static void gives(const char *expression, const char *result)
{
    char text[512];
    snprintf(text, sizeof(text),
             "local t = table.pack(%s) for i = 1, t.n do t[i] = tostring(t[i]) end "
             "return table.concat(t, '|')",
             expression);
    if (box_run(&box, text) != LT_VM_DONE) {
        fail_msg("%s raised: %s", expression, box.vm->error);
    }
    assert_string_equal(box.result, result);
}

static void raises(const char *expression, const char *message)
{
    char text[512];
    snprintf(text, sizeof(text), "return %s", expression);
    box_raises(&box, text, message);
}

static void test_find(void **state)
{
    (void)state;
    gives("('hello world'):find('wor')", "7|9");
    gives("('hello'):find('l')", "3|3");
    gives("('hello'):find('xyz')", "nil");
    gives("('hello'):find('')", "1|0");
    gives("('hello'):find('', 6)", "6|5");
    gives("('hello'):find('', 7)", "nil");
    gives("('a.b'):find('.', 1, true)", "2|2");
    for (int i = 65530; i <= 65540; i++) { /* where one look ends and the next one begins */
        char code[80], place[40];
        snprintf(code, sizeof(code), "(('x'):rep(%d) .. 'needle'):find('needle')", i);
        snprintf(place, sizeof(place), "%d|%d", i + 1, i + 6);
        gives(code, place);
    }
    gives("(('x'):rep(2e5) .. 'needle'):find('needle', 200002)", "nil");
    gives("(('x'):rep(1e5) .. ('y'):rep(7e4)):find(('y'):rep(7e4))", "100001|170000");
    gives("(('x'):rep(1e5) .. ('y'):rep(7e4)):find(('y'):rep(7e4) .. 'z')", "nil");
    gives("('a.b'):find('%.')", "2|2");
    gives("('hello'):find('l', -2)", "4|4");
    gives("('hello'):find('h', -100)", "1|1");
    gives("('key=value'):find('(%w+)=(%w+)')", "1|9|key|value");
    gives("('abc'):find('b()')", "2|2|3");
    gives("('a\\0b'):find('\\0')", "2|2");
    gives("('aXb'):find('%u')", "2|2");
    gives("('z\\0'):find('%z')", "2|2");
}

static void test_match(void **state)
{
    (void)state;
    gives("('Bearer abc.def'):match('^Bearer (%S+)$')", "abc.def");
    gives("('2026-11-23'):match('(%d+)-(%d+)-(%d+)')", "2026|11|23");
    gives("('  trim  '):match('^%s*(.-)%s*$')", "trim");
    gives("('x'):match('y?x')", "x");
    gives("('aaa'):match('a-')", "");
    gives("('aaab'):match('a-b')", "aaab");
    gives("('aaab'):match('a*ab')", "aaab");
    gives("('f(a(b)c)d'):match('%b()')", "(a(b)c)");
    gives("('THE (quick) fox'):find('%f[%a]%a+%f[%A]')", "1|3");
    gives("('\"x\" y'):match('([\"\\'])(.-)%1')", "\"|x");
    gives("('a]b'):match('[]]')", "]");
    gives("('a-b'):match('[a%-]+')", "a-");
    gives("('a-b'):match('[b-]+')", "-b");
    gives("('abc'):match('[^a]+')", "bc");
    gives("('x^y'):match('[x^]+')", "x^");
    gives("('a$'):match('$$')", "$");
    gives("('a$b'):match('a$b')", "a$b");
    gives("('deadBEEF'):match('^%x+$')", "deadBEEF");
    gives("('abc'):match('((a)(b))')", "ab|a|b");
    gives("('abc'):match('()c()')", "3|4");
    gives("('abc'):match('^b')", "nil");
    gives("('abc'):match('b', 3)", "nil");
    gives("(''):match('.*')", "");
    gives("('ab'):match('(a?)(b?)(c?)')", "a|b|");
    gives("('caab'):match('(a*)ab')", "a");
}

static void test_gmatch(void **state)
{
    (void)state;
    gives("(function() local r = {} for w in ('one two  three'):gmatch('%a+') do r[#r + 1] = w end "
          "return table.unpack(r) end)()",
          "one|two|three");
    gives("(function() local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do "
          "r[#r + 1] = k .. v end return table.unpack(r) end)()",
          "a1|b2");
    gives("(function() local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n end)()",
          "4");
    gives("(function() local r = '' for a in ('abc'):gmatch('%a*') do r = r .. a .. '.' end "
          "return r end)()",
          "abc.");
    raises("('a'):gmatch('^a')()", "can't start with '^'");
}

static void test_gsub(void **state)
{
    (void)state;
    gives("('hello'):gsub('l', 'L')", "heLLo|2");
    gives("('hello'):gsub('l', 'L', 1)", "heLlo|1");
    gives("('abc'):gsub('b', 'x%0y%%z%0')", "axby%zbc|1");
    gives("#('a'):rep(3000):gsub('a', ('y'):rep(100))", "300000");
    gives("('hello'):gsub('', '-')", "-h-e-l-l-o-|6");
    gives("('abc'):gsub('%w', '%0%0')", "aabbcc|3");
    gives("('a=b'):gsub('(%w)=(%w)', '%2=%1')", "b=a|1");
    gives("('$x $y'):gsub('%$(%w)', {x = 'X'})", "X $y|2");
    gives("('abc'):gsub('.', function(c) if c == 'b' then return '[b]' end end)", "a[b]c|3");
    gives("('abc'):gsub('^a', 'x')", "xbc|1");
    gives("('abc'):gsub('b*', '-')", "-a-c-|3");
    gives("('ab'):gsub('()', '%1')", "1a2b3|3");
    gives("('100%'):gsub('%%', '%%%%')", "100%%|1");
    raises("('a'):gsub('a', '%2')", "invalid capture index");
    raises("('a'):gsub('a', '%x')", "invalid use of '%'");
    raises("('a'):gsub('a', true)", "string/function/table expected");
    raises("('a'):gsub('a', function() return {} end)", "invalid replacement value (a table)");
}

static void test_malformed_patterns_raise(void **state)
{
    (void)state;
    raises("('a'):match('%')", "ends with '%'");
    raises("('a'):match('[a')", "missing ']'");
    raises("('a'):match('[]')", "missing ']'");
    raises("('a'):match('[%')", "missing ']'");
    raises("('a'):match('(a')", "unfinished capture");
    raises("('a'):match('a)')", "invalid pattern capture");
    raises("('a'):match('%1')", "invalid capture index");
    raises("('a'):match('(%1)')", "invalid capture index");
    raises("('a'):match('%b')", "missing arguments");
    raises("('a'):match('%f')", "missing '['");
    raises("('a'):match(('()'):rep(33))", "too many captures");
    raises("('a'):match(('a?'):rep(300))", "more than 200 items");
}

static void test_bombs_are_refused(void **state)
{
    (void)state;
    raises("('a'):rep(400):find('a-a-a-b')", "pattern too complex");
    raises("('a'):rep(8000):find('.-.-b')", "pattern too complex");
    raises("('a'):rep(24):match(('a?'):rep(24) .. ('a'):rep(25))", "pattern too complex");
    raises("('a'):rep(3000):gsub('a*a*a*b', '')", "pattern too complex");
    raises("('('):rep(8000):find('%b()')", "pattern too complex");
    gives("#('a'):rep(100000):match('a*')", "100000");
    gives("('a'):rep(100000):find('b')", "nil");
}

/* Longer than its budget, but within the limit of steps: the budget stops it. */
static void test_long_search_obeys_the_budget(void **state)
{
    (void)state;
    box.cpu_ms = CPU_MS;
    assert_int_equal(box_run(&box, "local s = ('a'):rep(1000000) return s:find('[^a]*[^b]-[%a]b')"),
                     LT_VM_CPU);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_match, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gmatch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gsub, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed_patterns_raise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bombs_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_search_obeys_the_budget, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
