/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox: what filters can't reach, and that what they can reach works as in Lua. */
#include "filter_vm.h"

static struct box box;

static int setup(void **state)
{
    (void)state;
    box_open(&box, NULL, MEMORY);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

/* Runs `return EXPRESSION` and compares the result as text. */
static void gives(const char *expression, const char *result)
{
    char text[512];
    snprintf(text, sizeof(text), "return %s", expression);
    if (box_run(&box, text) != LT_VM_DONE) {
        fail_msg("%s raised: %s", expression, box.vm->error);
    }
    assert_string_equal(box.result, result);
}

static void raises(const char *text, const char *message)
{
    box_raises(&box, text, message);
}

static void test_dangerous_globals_are_not_there(void **state)
{
    (void)state;
    static const char *const names[] = {
        "io",         "os",       "debug",  "package", "coroutine",   "load",
        "loadstring", "loadfile", "dofile", "require", "print",       "warn",
        "rawset",     "rawget",   "_G",     "_ENV.io", "string.dump", "collectgarbage"};
    char text[64];
    for (size_t i = 0; i < lt_countof(names); i++) {
        snprintf(text, sizeof(text), "return %s == nil", names[i]);
        raises(text,
               strcmp(names[i], "string.dump") == 0 ? "string has no 'dump'" : "is not declared");
    }
}

static void test_undeclared_globals_raise_with_their_name(void **state)
{
    (void)state;
    raises("counter = 1", "t:1: 'counter' is not declared: write `local counter`");
    raises("\n\nreturn contuer", "t:3: 'contuer' is not declared");
    raises("string = 1", "'string' is not declared");
    raises("function helper() end", "'helper' is not declared");
    /* Also in code that does not run, in the first line. */
    raises("local f = function()\n return function() g() end end\nh()", "t:2: 'g' is not declared");
    raises("local x = 1\nlocal f = function() x = y end", "t:2: 'y' is not declared: no local");
    raises("if false then print(1) end", "'print' is not declared: write lintel.log.info");
    raises("return tostrin(1)", "'tostrin' is not declared; did you mean 'tostring'?");
    raises("return _ENV['a' .. 'b']", "'ab' is not declared");
    gives("(function() local s = tostring local _ENV = {a = 1} return a .. s(b == nil) end)()",
          "1true");
}

static void test_bytecode_is_refused(void **state)
{
    (void)state;
    static const char binary[] = "\x1bLuaT\0\x19\x93\r\n\x1a\n";
    assert_int_equal(box_run_n(&box, binary, sizeof(binary)), LT_VM_RAISED);
    assert_non_null(strstr(box.vm->error, "attempt to load a binary chunk"));
}

static void test_libraries_cannot_be_changed(void **state)
{
    (void)state;
    raises("string.rep = nil", "the library string can't be changed");
    raises("math.pi = 3", "the library math can't be changed");
    raises("table.x = 3", "the library table can't be changed");
    gives("getmetatable('')", "boolean");
    raises("getmetatable('').__index = {}", "attempt to index a boolean");
    gives("getmetatable(string)", "boolean");
    raises("setmetatable(string, {})", "protected");
    raises("for k in pairs(string) do string[k] = 1 end", "can't be changed");
    /* What pairs gives is not the table behind the view. */
    gives("(function() local _, t = pairs(string) return t == string end)()", "boolean");
    raises("local _, t = pairs(string) t.x = 1", "can't be changed");
}

static void test_finalisers_are_refused(void **state)
{
    (void)state;
    raises("setmetatable({}, {__gc = function() end})", "may not use __gc");
    raises("setmetatable({}, {__close = function() end})", "may not use __close");
    raises("local m = {} setmetatable({}, m) m.__gc = 1 setmetatable({}, m)", "may not use __gc");
    gives("setmetatable({}, {__index = {a = 'b'}}).a", "b");
    raises("setmetatable(setmetatable({}, {__metatable = 1}), {})", "protected");
}

static void test_string_library_works(void **state)
{
    (void)state;
    gives("('x'):rep(3, ',')", "x,x,x");
    gives("('x'):rep(0) .. ('x'):rep(-1) .. (''):rep(1e15)", "");
    gives("('%d %s'):format(7, 'a')", "7 a");
    gives("('abc'):upper():reverse()", "CBA");
    raises("return ('x'):rep(1e10)", "too large");
    gives("#('x'):rep(100000)", "100000");
    /* longer than what is copied in one go, and no multiple of it */
    gives("('abc'):rep(60000, '-;'):gsub('abc%-;', '')", "abc");
    gives("string.unpack('<I4', string.pack('<I4', 7))", "7");
    gives("string.packsize('c9999')", "9999");
    raises("string.pack(('b'):rep(257), 1)", "a format has at most 256 bytes");
    raises("string.unpack('c10000', 'x')", "at most 4 digits");
    raises("string.packsize('!4c99999')", "at most 4 digits");
    gives("('%q'):format(('x'):rep(30000)):sub(-3)", "xx\"");
    raises("return ('%q'):format(('x'):rep(40000))", "quotes (%q) at most 32768 bytes");
    gives("#('%s'):format(('x'):rep(40000))", "40000");
}

static void test_table_library_works(void **state)
{
    (void)state;
    gives("table.concat({1, 2, 3}, '-')", "1-2-3");
    gives("table.concat({1, 2, 3}, ',', 2, 3)", "2,3");
    gives("table.concat({'a'}, ',', math.maxinteger, math.mininteger)", "");
    gives("(function() local t = {1, 3} table.insert(t, 2, 2) table.insert(t, 4) "
          "return table.concat(t) end)()",
          "1234");
    gives("(function() local t = {1, 2, 3} local x = table.remove(t, 1) "
          "return x .. table.concat(t) .. table.remove(t) .. #t end)()",
          "12331");
    gives("table.remove({})", "nil");
    gives("select('#', table.unpack({1, nil, 3}, 1, 3))", "3");
    gives("table.pack(1, nil).n", "2");
    gives("table.concat(table.move({1, 2, 3}, 1, 3, 2))", "1123");
    gives("table.concat(table.move({1, 2, 3}, 2, 3, 1))", "233");
    gives("(function() local t = {5, 2, 8, 1, 9, 3} table.sort(t) return table.concat(t) end)()",
          "123589");
    gives("(function() local t = {5, 2, 8} table.sort(t, function(a, b) return a > b end) "
          "return table.concat(t) end)()",
          "852");
    raises("table.sort({1, 'a'})", "attempt to compare");
    raises("table.insert({}, 5, 1)", "position out of bounds");
    raises("table.insert({}, 1, 1, 1)", "wrong number");
    raises("table.concat({{}})", "invalid value (a table) at index 1");
    raises("table.unpack({}, 1, 1e8)", "too many results");
    raises("table.move({}, 1, math.maxinteger, 2)", "wrap around");
    raises("table.insert(setmetatable({}, {__len = function() return math.maxinteger end}), 1, 1)",
           "array too big");
    raises("table.remove(setmetatable({}, {__len = function() return math.maxinteger end}), 1)",
           "array too big");
}

static void test_views_read_like_tables(void **state)
{
    (void)state;
    gives("(function() local n = 0 for k, v in pairs(math) do n = n + 1 end return n > 20 end)()",
          "boolean");
    gives("math.type(1)", "integer");
    gives("utf8.char(228)", "\xc3\xa4");
}

static void test_pcall_and_errors_work(void **state)
{
    (void)state;
    gives("select(2, pcall(error, 'x'))", "x");
    gives("select(2, pcall(error, {}))", "table");
    gives("select(2, xpcall(error, function(m) return m .. '!' end, 'x'))", "x!");
    raises("error(setmetatable({}, {__tostring = function() while true do end end}))",
           "an error object of type table");
    raises("error()", "an error object of type nil");
    raises("local function f() error('deep') end\n f()", "deep (at t:1, called from t:2)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dangerous_globals_are_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_undeclared_globals_raise_with_their_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_bytecode_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_libraries_cannot_be_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finalisers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_string_library_works, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_library_works, setup, teardown),
        cmocka_unit_test_setup_teardown(test_views_read_like_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pcall_and_errors_work, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
