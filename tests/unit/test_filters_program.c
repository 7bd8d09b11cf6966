/* SPDX-License-Identifier: Apache-2.0 */
/* Filter files are found, tried and checked when a configuration is loaded; what is wrong is said
 * with its place. */
#include "filter_bed.h"

#include "base/mem.h"

#include <sys/stat.h>

/* The file a.lua with this text can't be loaded, and the messages say so. */
static void refused(const char *text, const char *message)
{
    write_file("a.lua", text);
    const char *messages = load_yaml("one:\n  filter: \"@/a.lua\"\n");
    if (messages == NULL) {
        fail_msg("%s was loaded", text);
    }
    if (strstr(messages, message) == NULL || strstr(messages, "t.yaml:2:11: error") == NULL) {
        fail_msg("%s: %s", text, messages);
    }
}

static void test_files_with_mistakes_are_refused(void **state)
{
    (void)state;
    refused("return {", "a.lua:1: unexpected symbol");
    refused("x = 1 return {}", "'x' is not declared");
    refused("return nil", "a.lua returns nothing: a filter ends with `return` and its table");
    refused("", "returns nothing");
    refused("return 'x'", "returns string");
    refused("error('at load')", "a.lua:1: at load");
    refused("return {}", "none of the hooks");
    refused("return {request = 1}", "`request` is no function");
    refused("return {init = 1, request = function() end}", "`init` is no function");
    refused("return {body = {answer = tostring}}", "functions named `request` and `response`");
    refused("return {every = {}}", "none of the hooks");
    refused("return {every = 1}", "`every` is a table such as");
    refused("return {every = {['5'] = function() end}}", "a key is a time between \"1s\" and");
    refused("return {every = {['10ms'] = function() end}}", "a key is a time between \"1s\" and");
    refused("return {every = {['2d'] = function() end}}", "a key is a time between \"1s\" and");
    refused("return {every = {[30] = function() end}}", "a key is a time between \"1s\" and");
    refused("return {every = {['30s'] = 1}}", "`every`: [\"30s\"] is no function");
    refused("local e = {} for i = 1, 17 do e[i .. 's'] = function() end end return {every = e}",
            "`every` has more than 16 entries");
    refused("return {reqest = function() end}", "did you mean `request`?");
    refused("return {1, 2}", "fields have names");
    refused("return {group = 'x', request = function() end}", "`group` is one of");
    refused("return {on_error = 'x', request = function() end}", "`on_error` is closed or open");
    refused("return {name = 1, request = function() end}", "`name` is no string");
    refused("while true do end", "used more than its time while it was loaded: a.lua:1");
    refused("local t = {} while true do t[#t + 1] = {} end", "used more than its ");
    refused("\x1bLua", "binary chunk");
    refused("return setmetatable({request = function() end}, {__index = function() "
            "while true do end end})",
            "used more than its time");
    refused("return {request = function() end, schema = setmetatable({}, {__len = 1}), x = 1}",
            "no field `x`");
}

static void test_schemas_with_mistakes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *message;
    } cases[] = {
        {"1", "`schema` is no table"},
        {"{a = 1}", "`a` is no table such as"},
        {"{a = {}}", "`a` has no `type`"},
        {"{a = {type = 'text'}}", "\"text\" is not a type; there are string, int,"},
        {"{a = {type = 'string', defualt = 'x'}}",
         "`defualt` is not known here: did you mean `default`?"},
        {"{a = {type = 'int', default = 'x'}}", "`a`: `default`: a: \"x\" is not a whole number"},
        {"{a = {type = 'int', default = 5, max = 3}}",
         "`a`: `default`: a: \"5\" is too large (the most is 3)"},
        {"{a = {type = 'duration', default = 5.5}}",
         "`a`: `default`: a: \"5.5\" is not a duration"},
        {"{a = {type = 'expr', default = 'usr.id'}}", "`a`: `default`: unknown name usr.id"},
        {"{a = {type = 'string', default = {}}}", "`default` is a table"},
        {"{a = {type = 'list'}}", "`a` has no `of`"},
        {"{a = {type = 'list', of = 'map'}}", "one of the plain types"},
        {"{a = {type = 'list', of = 'int', default = 1}}", "`default` is no table"},
        {"{a = {type = 'map', of = 'int', default = {1}}}", "a key of `default` is no string"},
        {"{a = {type = 'enum'}}", "an enum needs `values"},
        {"{a = {type = 'enum', values = {}}}", "`values` has 0 entries"},
        {"{a = {type = 'enum', values = {'x'}, default = 'y'}}",
         "`a`: `default`: a: \"y\" is not one of"},
        {"{a = {type = 'int', required = true, default = 1}}", "needs no default"},
        {"{a = {type = 'list', of = 'int', default = {'x'}}}", "`a`: `default`: a: \"x\" is not a"},
        {"{a = {type = 'map', of = 'int', default = {b = 'x'}}}",
         "`a`: `default`: b: \"x\" is not"},
        {"{a = {type = 'int', min = 'x'}}", "`a`: `min`: a: \"x\" is not a whole number"},
        {"{a = {type = 'int', min = 5, max = 1}}",
         "`a`: `min`: a: \"5\" is too large (the most is 1)"},
        {"{a = {type = 'list', of = 'url', max = '1s'}}", "`a`: `max`: a: \"1s\" is not a whole"},
        {"{a = {type = 'bool', max = 1}}", "values of this type have no `min` and `max`"},
        {"{a = {type = 'string', default = 'a\\0b'}}", "`default` holds a NUL byte"},
        {"{['a b'] = {type = 'int'}}", "`a b`: a name is made of small letters"},
        {"{when = {type = 'int'}}", "`when` is a key of every filter"},
        {"{[1] = {type = 'int'}}", "a key is no string"},
    };
    char text[256];
    for (size_t i = 0; i < lt_countof(cases); i++) {
        snprintf(text, sizeof(text), "return {request = function() end, schema = %s}",
                 cases[i].schema);
        refused(text, cases[i].message);
    }
}

#define SCHEMA                                                                                     \
    "schema = {s = {type = 'string', default = 'x', max = 5}, i = {type = 'int', min = 1}, "       \
    "b = {type = 'bool', default = true}, d = {type = 'duration', default = '1.5s'}, "             \
    "z = {type = 'size', default = '2K'}, r = {type = 'rate', default = '100/1m'}, "               \
    "p = {type = 'percent', default = '5%'}, u = {type = 'url'}, "                                 \
    "e = {type = 'enum', values = {'red', 'blue'}, default = 'blue'}, "                            \
    "l = {type = 'list', of = 'int', default = {3, 4}}, "                                          \
    "m = {type = 'map', of = 'duration', default = {a = '2s'}}, "                                  \
    "k = {type = 'secret', default = 'hush'}, x = {type = 'expr', default = 'header.x-k'}, "       \
    "none = {type = 'list', of = 'string'}}"

#define SHOW                                                                                       \
    "request = function(ctx) local c = ctx.conf ctx.req.headers['x-conf'] = table.concat({c.s, "   \
    "tostring(c.i), tostring(c.b), c.d, c.z, c.r.count, c.r.seconds, c.p, tostring(c.u), c.e, "    \
    "#c.l, table.concat(c.l, '+'), c.m.a or c.m.b, c.k, tostring(c.x(ctx)), #c.none}, '|') end"

static void shows(const char *settings, const char *result)
{
    load_one("return {" SCHEMA ", " SHOW "}", settings);
    struct lt_exchange *x = begin();
    with_header(x, "X-K", "key");
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-conf"), result);
}

static void test_settings_reach_the_filter_with_their_types(void **state)
{
    (void)state;
    shows(", on_error: closed", "x|nil|true|1.5|2048|100|60.0|0.05|nil|blue|2|3+4|2.0|hush|key|0");
    shows(", s: abc, i: 7, b: false, d: 10ms, z: 1M, r: 5/s, p: 50%, u: \"https://a/\", e: red, "
          "l: [9], m: {b: 3s}, k: kk, x: method, none: [q, r]",
          "abc|7|false|0.01|1048576|5|1.0|0.5|https://a/|red|1|9|3.0|kk|GET|2");
}

static void test_settings_are_read_only(void **state)
{
    (void)state;
    load_one("return {" SCHEMA ", init = function(c) local function no(f) local ok, e = pcall(f) "
             "assert(not ok and e:find(\"can't be changed\"), e) end "
             "no(function() c.s = 1 end) no(function() c.l[1] = 1 end) "
             "no(function() c.m.a = 1 end) no(function() table.insert(c.l, 1) end) "
             "local n = 0 for k in pairs(c) do n = n + 1 end assert(n == 12, n) "
             "for i, v in ipairs(c.l) do assert(v == i + 2) end end, request = function() end}",
             "");
}

static void test_wrong_settings_are_said_at_their_place(void **state)
{
    (void)state;
    write_file("a.lua", "return {" SCHEMA ", request = function() end}");
    const char *messages = load_yaml("one: {filter: \"@/a.lua\", s: toolong, i: 0, b: maybe,\n"
                                     "  d: soon, l: [1, x], m: {a: b}, e: green, x: usr.id,\n"
                                     "  colour: 1, on_error: open}\n"
                                     "two: {filter: \"@/a.lua\", ii: 0}\n");
    assert_non_null(messages);
    static const char *const wanted[] = {"\"toolong\" is too long",
                                         "\"0\" is too small",
                                         "\"maybe\" is neither true nor false",
                                         "t.yaml:2:6: error: d: \"soon\" is not a duration",
                                         "\"x\" is not a whole number",
                                         "t.yaml:2:30: error: a: \"b\" is not a duration",
                                         "\"green\" is not one of the choices",
                                         "usr.id",
                                         "t.yaml:3:3: error: unknown key \"colour\"",
                                         "unknown key \"ii\"",
                                         "10 errors"};
    for (size_t i = 0; i < lt_countof(wanted); i++) {
        if (strstr(messages, wanted[i]) == NULL) {
            fail_msg("\"%s\" is not in: %s", wanted[i], messages);
        }
    }
}

static void test_init_is_tried_when_the_configuration_is_loaded(void **state)
{
    (void)state;
    write_file("a.lua", "return {init = function(conf) error('no luck', 0) end, "
                        "request = function() end}");
    const char *messages = load_yaml("one: {filter: \"@/a.lua\"}\n");
    assert_non_null(messages);
    assert_non_null(strstr(messages, "t.yaml:1:6: error: filter \"one\": init: no luck"));
    write_file("a.lua", "return {init = function() while true do pcall(error) end end, "
                        "request = function() end}");
    messages = load_yaml("one: {filter: \"@/a.lua\"}\n");
    assert_non_null(messages);
    assert_non_null(strstr(messages, "used more than its time"));
    write_file("a.lua", "return {init = function() lintel.limit.gcra('a', '1/s') end, "
                        "request = function() end}");
    messages = load_yaml("one: {filter: \"@/a.lua\"}\n");
    assert_non_null(strstr(messages, "limits are kept while requests are served"));
}

static void test_files_are_found_by_name_and_by_path(void **state)
{
    (void)state;
    write_file("b.lua", "return {request = function() end}");
    assert_int_equal(setenv("LINTEL_SCRIPTS", folder, 1), 0);
    assert_null(load_yaml("one: {filter: b}\ntwo: b\n"));
    assert_int_equal(bed->program->n_files, 1);
    assert_int_equal(bed->program->n_instances, 2);
    const char *messages = load_yaml("one: {filter: nothere}\n");
    assert_non_null(strstr(messages, "nothere.lua: No such file"));
    assert_non_null(strstr(messages, "a name is looked up in $LINTEL_SCRIPTS"));
    assert_non_null(strstr(messages, "hint: known names: "));
    write_file("t_test.lua", "");
    messages = load_yaml("one: {filter: bb}\n");
    assert_non_null(strstr(messages, "hint: known names: ")); /* "b" is too short to be meant */
    assert_null(strstr(messages, "t_test"));
    write_file("key_auth.lua", "return {request = function() end}");
    messages = load_yaml("one: {filter: key_auht}\n");
    assert_non_null(strstr(messages, "hint: did you mean \"key_auth\"?; a name is looked up"));
    assert_int_equal(unsetenv("LINTEL_SCRIPTS"), 0);
    assert_non_null(load_yaml("one: {filter: b}\n"));
    messages = load_yaml("one: {filter: \"@/nothere.lua\"}\n");
    assert_non_null(strstr(messages, "hint: the path starts at the folder of this file"));
    messages = load_yaml("one: {filter: a-b}\n");
    assert_non_null(strstr(messages, "\"a-b\" is not the name of a filter"));
    assert_non_null(strstr(messages, "1 error"));
    write_file("a.lua", "return {request = function() end}");
    messages = load_yaml("one: {filter: \"@/a.lua\", budget: {memory: much}, x: 1}\n");
    assert_non_null(strstr(messages, "\"much\" is not a size"));
    assert_non_null(strstr(messages, "unknown key \"x\""));
    assert_non_null(strstr(messages, "2 errors"));
    messages = load_yaml("one: {filter: \"@\"}\n");
    assert_non_null(strstr(messages, "it is a folder"));
}

static void test_modules_come_from_the_folder_of_the_filter(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/sub", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("sub/m.lua",
               "local M = {n = 0} function M.next() M.n = M.n + 1 return M.n end return M");
    load_one("local m = require 'sub.m'\nassert(m == require('sub.m'))\n"
             "return {request = function(ctx) ctx.req.headers['x-n'] = m.next() end}",
             ", on_error: closed");
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-n"), "1");
    refused("require '../a'", "is not a name of a file in the filter's folder");
    refused("require '/etc/passwd'", "is not a name of a file");
    refused("require 'a..b'", "is not a name of a file");
    refused("require '.a'", "is not a name of a file");
    refused("require ''", "is not a name of a file");
    refused("require 'nothere'", "nothere.lua: No such file");
    refused("require 'a'", "'a' requires itself");
    write_file("b.lua", "x = 1");
    refused("require 'b'", "b.lua:1: 'x' is not declared");
    write_file("b.lua", "return nil");
    refused("require 'b'", "'b' returns nothing");
    load_one("return {request = function(ctx) require 'sub.m' end}", ", on_error: closed");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_true(lt_str_find(x->detail, LT_STR("was not required while the file was loaded")) !=
                SIZE_MAX);
}

static void test_chains_are_made_of_names(void **state)
{
    (void)state;
    static const struct lt_str good[] = {LT_STR_INIT("two"), LT_STR_INIT("one"),
                                         LT_STR_INIT("two")};
    static const struct lt_str wrong[] = {LT_STR_INIT("one"), LT_STR_INIT("three")};
    struct lt_str many[LT_FILTER_CHAIN_MAX + 1];
    struct lt_filter_chain *chain;
    size_t bad;
    write_file("a.lua", "return {request = function() end}");
    write_file("b.lua", "return {log = function() end}");
    load_well("one: {filter: \"@/a.lua\"}\ntwo: {filter: \"@/b.lua\"}\n");
    assert_int_equal(lt_filter_chain_new(&bed->arena, bed->program, good, 3, &chain, &bad), LT_OK);
    assert_int_equal(chain->n, 3);
    assert_int_equal(chain->hooks, 1u << LT_FILTER_REQUEST | 1u << LT_FILTER_LOG);
    assert_str(chain->at[0]->name, "two");
    assert_int_equal(lt_filter_chain_new(&bed->arena, bed->program, wrong, 2, &chain, &bad),
                     LT_ERR_NOTFOUND);
    assert_int_equal(bad, 1);
    assert_int_equal(lt_filter_chain_new(&bed->arena, bed->program, NULL, 0, &chain, &bad), LT_OK);
    assert_null(chain);
    for (size_t i = 0; i < lt_countof(many); i++) {
        many[i] = LT_STR("one");
    }
    assert_int_equal(
        lt_filter_chain_new(&bed->arena, bed->program, many, lt_countof(many), &chain, &bad),
        LT_ERR_LIMIT);
}

/* Whatever allocation fails, a load ends with an error or well, and nothing leaks. */
static void test_short_memory_is_an_error(void **state)
{
    (void)state;
    bool loaded = false;
    write_file("a.lua", "local m = require 'b' return {init = function(c) return {c.k} end, "
                        "schema = {k = {type = 'map', of = 'secret', default = {a = 'b'}}}, "
                        "request = function(ctx) lintel.crypto.sha256('x') end}");
    write_file("b.lua", "return {}");
    for (unsigned n = 1; n < 5000 && !loaded; n += n < 200 ? 1 : 7) {
        lt_mem_fail_at(n);
        const char *messages = load_yaml("one: {filter: \"@/a.lua\"}\n");
        loaded = messages == NULL;
        if (loaded) {
            struct lt_exchange *x =
                lt_test_bed_begin(bed, &(struct lt_test_request){.method = LT_STR("GET"),
                                                                 .target = LT_STR("/"),
                                                                 .host = LT_STR("a"),
                                                                 .client_ip = LT_STR("192.0.2.1")});
            if (x != NULL) {
                (void)lt_test_bed_run(bed, LT_FILTER_REQUEST);
                lt_test_bed_end(bed);
            }
        }
        lt_mem_fail_at(0);
    }
    assert_true(loaded);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_files_with_mistakes_are_refused),
        TEST(test_schemas_with_mistakes_are_refused),
        TEST(test_settings_reach_the_filter_with_their_types),
        TEST(test_settings_are_read_only),
        TEST(test_wrong_settings_are_said_at_their_place),
        TEST(test_init_is_tried_when_the_configuration_is_loaded),
        TEST(test_files_are_found_by_name_and_by_path),
        TEST(test_modules_come_from_the_folder_of_the_filter),
        TEST(test_chains_are_made_of_names),
        TEST(test_short_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
