/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions and templates in the settings of filters, and what filters say to the access log. */
#include "filter_bed.h"

#include "config/template.h"
#include "exchange/log_field.h"

#define SCHEMA                                                                                     \
    "schema = {e = {type = 'expr'}, t = {type = 'template'}, "                                     \
    "m = {type = 'map', of = 'template'}, l = {type = 'list', of = 'expr'}, "                      \
    "r = {type = 'list', fields = {k = {type = 'expr'}, v = {type = 'template'}}}}"

static const char tell[] =
    "return {" SCHEMA ", request = function(ctx) local c = ctx.conf "
    "local function s(v) if type(v) == 'function' then v = v(ctx) end return tostring(v) end "
    "ctx.req.headers['x-e'] = s(c.e) ctx.req.headers['x-t'] = s(c.t) "
    "ctx.req.headers['x-type'] = type(c.t) end}";

static struct lt_exchange *run(const char *settings)
{
    load_one(tell, settings);
    struct lt_exchange *x = begin();
    with_header(x, "X-Key", "k1");
    with_header(x, "X-Empty", "");
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    return x;
}

static void test_values_of_expressions(void **state)
{
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"client.ip", "192.0.2.7"},
        {"method == 'GET'", "true"},
        {"method == 'PUT'", "false"},
        {"not header.x-no", "true"},
        {"header.x-key", "k1"},
        {"header.x-no", "nil"},
        {"header.x-empty", ""},
        {"header.x-no or 7", "7"},
        {"method in ['PUT']", "false"},
        {"method ~ '^G'", "true"},
        {"client.ip in ['192.0.2.0/24']", "true"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        char settings[128];
        snprintf(settings, sizeof(settings), ", on_error: closed, e: \"%s\"", cases[i].text);
        assert_str(req_header(run(settings), "x-e"), cases[i].value);
    }
}

static void test_texts_of_templates(void **state)
{
    static const struct {
        const char *text, *value, *type;
    } cases[] = {
        {"plain", "plain", "string"},
        {"", "", "string"},
        {"a {{b} }", "a {b} }", "string"},
        {"{{", "{", "string"},
        {"{header.x-key}", "k1", "function"},
        {"<{header.x-key}|{method == 'GET'}|{5}>", "<k1|true|5>", "function"},
        {"{{{method}}", "{GET}", "function"},
        {"{header.x-no}", "nil", "function"},
        {"is {header.x-no or '}'}", "is }", "function"},
        {"{header.x-no or 'it\\\\'s }'}!", "it's }!", "function"},
        {"a{header.x-empty}b", "ab", "function"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        char settings[128];
        snprintf(settings, sizeof(settings), ", on_error: closed, t: \"%s\"", cases[i].text);
        struct lt_exchange *x = run(settings);
        assert_str(req_header(x, "x-t"), cases[i].value);
        assert_str(req_header(x, "x-type"), cases[i].type);
    }
}

/* Where in the file, and what. */
static void test_mistakes_have_their_place(void **state)
{
    static const struct {
        const char *settings, *place, *message;
    } cases[] = {
        {"e: methd", "t.yaml:1:%u", "unknown name methd"},
        {"e: \"a\"", "t.yaml:1:%u", "unknown name a"},
        {"l: [path, 'path =']", "t.yaml:1:%u", "should have ended"},
        {"t: \"for {methd}\"", "t.yaml:1:%u", "unknown name methd"},
        {"t: '\xc3\xa9{method'", "t.yaml:1:%u", "a `{` is not closed"},
        {"m: {a: 'x{}'}", "t.yaml:1:%u", "the expression is empty"},
        {"r: [{k: path}, {v: '{nope}'}]", "t.yaml:1:%u", "unknown name nope"},
        {"r: [{k: nope}]", "t.yaml:1:%u", "unknown name nope"},
    };
    static const unsigned columns[] = {3, 4, 16, 9, 5, 10, 21, 8};
    (void)state;
    write_file("a.lua", "return {" SCHEMA ", request = function() end}");
    for (size_t i = 0; i < lt_countof(cases); i++) {
        char yaml[256], place[64];
        int start = snprintf(yaml, sizeof(yaml), "a: {filter: \"@/a.lua\", ");
        snprintf(yaml + start, sizeof(yaml) - (size_t)start, "%s}\n", cases[i].settings);
        unsigned shift = (unsigned)strlen(folder) - 1; /* `@` became the folder */
        snprintf(place, sizeof(place), cases[i].place, columns[i] + (unsigned)start + shift + 1);
        const char *messages = load_yaml(yaml);
        if (messages == NULL || strstr(messages, place) == NULL ||
            strstr(messages, cases[i].message) == NULL) {
            fail_msg("%s: wanted %s, %s: %s", yaml, place, cases[i].message, messages);
        }
    }
}

static void test_a_template_has_a_limit(void **state)
{
    char yaml[1024];
    (void)state;
    write_file("a.lua", "return {" SCHEMA ", request = function() end}");
    int n = snprintf(yaml, sizeof(yaml), "a: {filter: \"@/a.lua\", t: \"");
    for (unsigned i = 0; i <= LT_TEMPLATE_PARTS_MAX; i++) {
        n += snprintf(yaml + n, sizeof(yaml) - (size_t)n, "{path}");
    }
    snprintf(yaml + n, sizeof(yaml) - (size_t)n, "\"}\n");
    const char *messages = load_yaml(yaml);
    assert_non_null(messages);
    assert_non_null(strstr(messages, "more than 32 parts"));
}

/* What the condition is isn't known then, and nobody may act as if it were. */
static void test_a_pattern_beyond_its_limits_raises(void **state)
{
    static char long_text[3000];
    (void)state;
    load_one(tell, ", on_error: closed, e: \"header.x-a ~ '(a+)+$'\"");
    struct lt_exchange *x = begin();
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 2] = 'b';
    with_header(x, "x-a", long_text);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    assert_non_null(strstr(x->detail.p, "more steps than a sane one"));
}

/* ---- ctx.fields, ctx.id ---- */

static struct lt_exchange *request(const char *code, const char *settings)
{
    char text[1024];
    snprintf(text, sizeof(text), "return {" SCHEMA ", request = function(ctx) %s end}", code);
    load_one(text, settings);
    struct lt_exchange *x = begin();
    enum lt_step_result result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
    assert_int_equal(result, x->cause == LT_CAUSE_NONE ? LT_STEP_NEXT : LT_STEP_FAIL);
    return x;
}

static void raises(const char *code, const char *message)
{
    struct lt_exchange *x = request(code, ", on_error: closed");
    if (x->cause != LT_CAUSE_FILTER_ERROR || x->detail.p == NULL ||
        strstr(x->detail.p, message) == NULL) {
        fail_msg("%s: wanted %s: %.*s", code, message, LT_STR_ARG(x->detail));
    }
}

static void test_fields_of_the_access_line(void **state)
{
    (void)state;
    struct lt_exchange *x =
        request("local f = ctx.fields f.a = 'text' f.b = 1.5 f.c = false f.d = 7 f.e = ctx.conf.e "
                "f.gone = 'x' f.gone = nil f.never = nil f.a = 'other' f.inf = math.huge",
                ", on_error: closed, e: client.ip");
    static const struct {
        const char *name;
        enum lt_log_field_kind kind;
        const char *text;
    } wanted[] = {
        {"a", LT_LOG_FIELD_TEXT, "other"},  {"b", LT_LOG_FIELD_PLAIN, "1.5"},
        {"c", LT_LOG_FIELD_PLAIN, "false"}, {"d", LT_LOG_FIELD_PLAIN, "7"},
        {"e", LT_LOG_FIELD_EXPR, NULL},     {"inf", LT_LOG_FIELD_TEXT, "inf"},
    };
    const struct lt_log_field *f = x->log_fields;
    for (size_t i = 0; i < lt_countof(wanted); i++, f = f->next) {
        assert_non_null(f);
        assert_str(f->name, wanted[i].name);
        assert_int_equal(f->kind, wanted[i].kind);
        if (wanted[i].text != NULL) {
            assert_str(f->text, wanted[i].text);
        } else {
            assert_non_null(f->expr);
        }
    }
    assert_null(f);
    assert_null(lt_log_field_find(x, LT_STR("gone")));
    assert_non_null(lt_log_field_find(x, LT_STR("d")));
}

static void test_wrong_use_of_fields_raises(void **state)
{
    (void)state;
    raises("ctx.fields.status = 1", "has 'status' already");
    raises("ctx.fields.user = 'x'", "has 'user' already");
    raises("ctx.fields['A b'] = 1", "is no name for a member");
    raises("ctx.fields['1a'] = 1", "is no name for a member");
    raises("ctx.fields[('x'):rep(65)] = 1", "is no name for a member");
    raises("ctx.fields[''] = 1", "is no name for a member");
    raises("ctx.fields.a = {}", "ctx.fields.a is a table");
    raises("ctx.fields.a = function() end", "ctx.fields.a is a function");
    raises("return ctx.fields.a", "is written, not read");
    raises("for i = 1, 33 do ctx.fields['f' .. i] = i end", "more than 32 ctx.fields");
    raises("ctx.fields = {}", "ctx.fields can't be set");
    raises("lintel.fields.check('tries')", "has 'tries' already");
}

static void test_the_id_of_a_request(void **state)
{
    (void)state;
    struct lt_exchange *x = request("ctx.id = 'abc-' .. #ctx.trace_id", ", on_error: closed");
    assert_str(x->ids.request_id, "abc-32");
    raises("ctx.id = ''", "a request id is 1 to 128");
    raises("ctx.id = 'a b'", "a request id is 1 to 128");
    raises("ctx.id = ('x'):rep(129)", "a request id is 1 to 128");
    raises("ctx.trace_id = 'x'", "can't be set");
    load_one("return {response = function(ctx) ctx.id = 'x' end}", ", on_error: closed");
    x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_FAIL);
    assert_non_null(strstr(x->detail.p, "can be set in `request` only"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_values_of_expressions),
        TEST(test_texts_of_templates),
        TEST(test_mistakes_have_their_place),
        TEST(test_a_template_has_a_limit),
        TEST(test_a_pattern_beyond_its_limits_raises),
        TEST(test_fields_of_the_access_line),
        TEST(test_wrong_use_of_fields_raises),
        TEST(test_the_id_of_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
