/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.re: what it finds, what it refuses, and that no pattern and no text holds a worker. */
#include "filter_bed.h"

/* Runs statements in a request hook after `top` at the top of the file; a failure fails the test.
 */
static void lua(const char *top, const char *statements)
{
    static char text[8192];
    snprintf(text, sizeof(text),
             "local re = lintel.re\n"
             "local function eq(a, b) if a ~= b then error(('is %%s, should be %%s'):format("
             "tostring(a), tostring(b)), 2) end end\n"
             "local function raises(p, f, ...) local ok, e = pcall(f, ...) "
             "if ok or not e:find(p, 1, true) then error(ok and 'did not raise' or e, 2) end end\n"
             "%s\n"
             "return {request = function(ctx)\n%s\nend}",
             top, statements);
    load_one(text, ", on_error: closed, budget: {cpu: 10s, wall: 1m}");
    struct lt_exchange *x = begin();
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        fail_msg("%.*s", LT_STR_ARG(x->detail));
    }
    lt_test_bed_end(bed);
}

static void test_test_and_match(void **state)
{
    (void)state;
    lua("local v = re.new('^/v(?<n>\\\\d+)/(\\\\w+)(\\\\?.*)?$') local word = re.new('AB', 'i') "
        "local dot = re.new('a.b', 's') local lines = re.new('^b$', 'm') "
        "local loose = re.new('a b # c', 'x') local empty = re.new('')",
        "eq(v:test('/v12/items'), true) eq(v:test('/w'), false)\n"
        "local m = v:match('/v12/items') eq(m[0], '/v12/items') eq(m[1], '12') eq(m.n, '12') "
        "eq(m[2], 'items') eq(m[3], nil) eq(#m, 2)\n"
        "eq(v:match('/w'), nil) eq(select('#', v:match('/w')), 1)\n"
        "eq(word:test('xaBx'), true) eq(dot:test('a\\nb'), true) eq(lines:test('a\\nb\\nc'), true) "
        "eq(loose:test('ab'), true) eq(empty:test(''), true) eq(empty:match('x')[0], '')\n"
        "eq(re.new == nil, false) eq(word:test('a\\0b'), false) eq(dot:test('a\\0b'), true)");
}

static void test_replace(void **state)
{
    (void)state;
    lua("local d = re.new('(?<a>\\\\d)(\\\\d)?') local e = re.new('x*') local b = re.new('\\\\bc')",
        "local s, n = d:replace('a12b3', '<$2${a}$$$0>') eq(s, 'a<21$12>b<3$3>') eq(n, 2)\n"
        "eq(d:replace('a12b3', '', 1), 'ab3') eq(d:replace('a12', 'y', 0), 'a12')\n"
        "eq(d:replace('abc', 'y'), 'abc') eq(d:replace('', 'y'), '')\n"
        "eq(d:replace('12 3', function(m) return m[2] and m.a + m[2] end), '3 3')\n"
        "eq(d:replace('1', function() return false end), '1')\n"
        "eq(d:replace('1', function(m) return d:replace('22', 'z' .. m[0]) end), 'z1')\n"
        "eq(e:replace('axxb', '-'), '-a-b-') eq(b:replace('ac c', 'd'), 'ac d')\n"
        "raises('has no group \"3\"', d.replace, d, '', '$3') "
        "raises('has no group \"b\"', d.replace, d, '', '${b}')\n"
        "raises('after `$` stands', d.replace, d, '1', 'a$') "
        "raises('after `$` stands', d.replace, d, '1', '${a')\n"
        "raises('gave a table', d.replace, d, '1', function() return {} end)\n"
        "raises('mine', d.replace, d, '1', function() error('mine') end)");
}

static void test_split(void **state)
{
    (void)state;
    lua("local c = re.new('\\\\s*,\\\\s*') local e = re.new('')",
        "local function s(r, ...) return table.concat(r:split(...), '|') end\n"
        "eq(s(c, 'a , b,c'), 'a|b|c') eq(s(c, ''), '') eq(#c:split(''), 1) eq(s(c, ',a,'), '|a|')\n"
        "eq(s(c, 'a,b,c', 2), 'a|b,c') eq(s(c, 'a,b', 1), 'a,b') eq(s(e, 'abc'), 'a|b|c')\n"
        "raises('1 or more', c.split, c, 'a', 0)");
}

static void test_bad_patterns_say_where(void **state)
{
    (void)state;
    lua("raises('at byte 5 of the pattern: missing closing parenthesis', re.new, '(abc')\n"
        "raises('at byte 1', re.new, '*a') raises('flags are letters', re.new, 'a', 'g')\n"
        "raises('too long', re.new, ('a'):rep(5000)) raises('string expected', re.new)\n"
        "raises('more than 31 groups', re.new, ('()'):rep(32)) re.new(('()'):rep(31))\n"
        "raises('\\\\C', re.new, 'a\\\\C') raises('at byte', re.new, '(*UTF)a')\n"
        "raises(\"can't be changed\", function() re.new = nil end)\n"
        "raises('than 4 MB', function() for i = 1, 1e5 do re.new(('(a|b)'):rep(30)) end end)",
        "raises('compile patterns in `init`', re.new, 'a')");
}

static void test_misuse_raises(void **state)
{
    (void)state;
    lua("local p = re.new('a')",
        "raises('with a colon', p.test, 'a') raises('with a colon', p.match, {}, 'a')\n"
        "raises('string expected', p.test, p, {}) raises('string expected', p.replace, p, 'a')\n"
        "eq(getmetatable(p), false) raises('attempt to', function() p.x = 1 end)"
        "\n");
}

static void test_sizes_are_limited(void **state)
{
    (void)state;
    lua("local a = re.new('a') local e = re.new('')",
        "local long = ('a'):rep(524289)\n"
        "for _, f in ipairs{'test', 'match', 'split'} do "
        "local r, why = a[f](a, long) eq(r, nil) eq(why, 'too_large') end\n"
        "local r, why = a:replace(long, '') eq(r, nil) eq(why, 'too_large')\n"
        "r, why = a:replace(('a'):rep(1000), ('b'):rep(1000)) eq(r, nil) eq(why, 'too_large')\n"
        "r, why = a:replace('a' .. ('b'):rep(524000), ('c'):rep(1000)) eq(why, 'too_large')\n"
        "r, why = e:split(('b'):rep(20000)) eq(r, nil) eq(why, 'too_large')\n"
        "eq(a:test(('b'):rep(524288)), false)");
}

static void test_patterns_that_would_take_ages_give_up(void **state)
{
    (void)state;
    lua("local p = {re.new('^(a+)+$'), re.new('(a|aa)+$'), re.new('a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?"
        "a?a?a?a?a?a?a?a?aaaaaaaaaaaaaaaaaaaaaaaa$'), re.new('[^y]*[^y]*[^z]*(?:yx|wq)'), "
        "re.new('(.*)(.*)(.*)(.*)(.*)(?:\\\\1x|w)'), re.new('(?=(a+))a*(?:b|c)\\\\1')}",
        "for i, r in ipairs(p) do local s = ('a'):rep(i == 3 and 24 or 60000) .. '!'\n"
        "for _, f in ipairs{'test', 'match', 'split'} do local r, why = r[f](r, s) "
        "if r ~= nil or why ~= 'too_complex' then error(f .. i .. tostring(r)) end end\n"
        "local r, why = r:replace(s, '') eq(r, nil) eq(why, 'too_complex') end\n"
        "eq(p[1]:test('aaa'), true)");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_test_and_match),
        TEST(test_replace),
        TEST(test_split),
        TEST(test_bad_patterns_say_where),
        TEST(test_misuse_raises),
        TEST(test_sizes_are_limited),
        TEST(test_patterns_that_would_take_ages_give_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
