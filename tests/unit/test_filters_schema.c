/* SPDX-License-Identifier: Apache-2.0 */
/* Records in the settings of filters: lists and maps of them, defaults, and where mistakes are. */
#include "filter_bed.h"

#define FIELDS                                                                                     \
    "fields = {path = {type = 'string', required = true, doc = 'Where.'}, "                        \
    "cost = {type = 'int', default = 1, min = 1}, tags = {type = 'list', of = 'string', "          \
    "default = {'a', 'b'}}, key = {type = 'secret'}, wait = {type = 'duration'}, "                 \
    "sub = {type = 'record', fields = {on = {type = 'bool', default = true}, "                     \
    "when = {type = 'enum', values = {'x', 'y'}}}}}"
#define SCHEMA                                                                                     \
    "schema = {rules = {type = 'list', of = 'record', max = 3, " FIELDS "}, "                      \
    "named = {type = 'map', " FIELDS "}, one = {type = 'record', " FIELDS "}, "                    \
    "given = {type = 'list', default = {{path = '/d', tags = {'t'}}}, " FIELDS "}}"

/* The request hook `body` with these settings gives a text in x-out. */
static void gives(const char *body, const char *settings, const char *result)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "return {" SCHEMA ", request = function(ctx) local c = ctx.conf "
             "local function f() %s end ctx.req.headers['x-out'] = tostring(f()) end}",
             body);
    load_one(text, settings);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-out"), result);
    lt_test_bed_end(bed);
}

static void test_records_reach_the_filter(void **state)
{
    (void)state;
    const char *rules = ", on_error: closed, rules: [{path: /a, cost: 5}, {path: /b, wait: 2s, "
                        "sub: {when: y}}], named: {n: {path: /n, tags: [z], key: k}}";
    gives("return #c.rules .. c.rules[1].path .. c.rules[1].cost .. c.rules[2].wait "
          ".. table.concat(c.rules[2].tags)",
          rules, "2/a52.0ab");
    gives("return c.named.n.path .. c.named.n.tags[1] .. c.named.n.key .. c.named.n.cost", rules,
          "/nzk1");
    gives("return tostring(c.rules[1].sub.on) .. tostring(c.rules[1].sub.when) "
          ".. c.rules[2].sub.when",
          rules, "truenily");
    gives("return c.one.cost .. tostring(c.one.path) .. #c.one.tags .. tostring(c.one.sub.on)",
          rules, "1nil2true");
    gives("return c.given[1].path .. c.given[1].tags[1] .. c.given[1].cost", rules, "/dt1");
    gives("return #c.given .. #c.rules", ", on_error: closed, given: []", "00");
    gives("return select(2, pcall(function() return c.rules[1].pth end))", rules,
          "a.lua:1: rules has no 'pth'; did you mean 'path'?");
    gives("return select(2, pcall(function() c.rules[1].path = 'x' end)):sub(1, 35)", rules,
          "a.lua:1: rules can't be changed");
    gives("local n = 0 for k, v in pairs(c.rules[1]) do n = n + 1 end return n", rules, "4");
}

static void wrong(const char *yaml, const char *message)
{
    char whole[1024];
    write_file("a.lua", "return {" SCHEMA ", request = function() end}");
    snprintf(whole, sizeof(whole), "a:\n  filter: \"@/a.lua\"\n%s", yaml);
    const char *said = load_yaml(whole);
    if (said == NULL || strstr(said, message) == NULL) {
        fail_msg("%s: says %s", yaml, said != NULL ? said : "nothing");
    }
}

static void test_mistakes_in_records_are_at_their_place(void **state)
{
    (void)state;
    wrong("  rules:\n    - {path: /a, csot: 3}\n",
          "t.yaml:4:18: error: unknown key \"csot\" in rules");
    wrong("  rules:\n    - {path: /a, csot: 3}\n", "did you mean \"cost\"?");
    wrong("  rules:\n    - {cost: 3}\n", "t.yaml:4:7: error: rules: \"path\" is missing");
    wrong("  named: {x: {path: /a, cost: 0}}\n", "t.yaml:3:31: error: cost: \"0\" is too small");
    wrong("  named: {x: {path: /a, sub: {when: z}}}\n", "t.yaml:3:37: error: when: \"z\" is not");
    wrong("  rules: {path: /a}\n", "a list is expected here, not a mapping");
    wrong("  rules: [/a]\n", "rules: a mapping is expected here, not text");
    wrong("  rules: [{path: 1}, {path: 2}, {path: 3}, {path: 4}]\n",
          "has 4 entries, the most is 3");
    wrong("  one: {cost: 2}\n", "one: \"path\" is missing");
}

static void test_schemas_of_records_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *row, *message;
    } cases[] = {
        {"{type = 'record'}", "a record needs `fields = {NAME"},
        {"{type = 'record', fields = {}}", "`fields` is empty"},
        {"{type = 'list', fields = {x = {type = 'txt'}}}", "`x`: \"txt\" is not a type"},
        {"{type = 'list', of = 'int', fields = {x = {type = 'int'}}}", "those of the type record"},
        {"{type = 'record', default = {}, fields = {x = {type = 'int'}}}", "fields of a record"},
        {"{type = 'record', min = 1, fields = {x = {type = 'int'}}}", "no `min` and `max`"},
        {"{type = 'list', default = {{y = 1}}, fields = {x = {type = 'int'}}}",
         "unknown key \"y\""},
        {"{type = 'list', default = {{}}, fields = {x = {type = 'int', required = true}}}",
         "\"x\" is missing"},
        {"{type = 'list', default = {{{{{{}}}}}}, fields = {x = {type = 'int'}}}", "too deep"},
        {"(function() local f = {type = 'int'} for i = 1, 6 do f = {type = 'record', "
         "fields = {x = f}} end return f end)()",
         "records are nested too deep"},
        {"(function() local t = {type = 'record', fields = {}} t.fields.x = t return t end)()",
         "records are nested too deep"},
        {"(function() local f = {} for i = 1, 50 do local g = {} for j = 1, 50 do "
         "g['g' .. j] = {type = 'int'} end f['f' .. i] = {type = 'record', fields = g} end "
         "return {type = 'record', fields = f} end)()",
         "more than 500 settings"},
    };
    char text[1024];
    for (size_t i = 0; i < lt_countof(cases); i++) {
        snprintf(text, sizeof(text), "return {request = function() end, schema = {a = %s}}",
                 cases[i].row);
        write_file("a.lua", text);
        const char *said = load_yaml("a: {filter: \"@/a.lua\"}\n");
        if (said == NULL || strstr(said, cases[i].message) == NULL) {
            fail_msg("%s: says %s", cases[i].row, said != NULL ? said : "nothing");
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_records_reach_the_filter),
        TEST(test_mistakes_in_records_are_at_their_place),
        TEST(test_schemas_of_records_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
