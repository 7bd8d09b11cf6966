/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: what they mean, and where their mistakes are said to be. */
#include "config_env.h"

#include "base/mem.h"
#include "config/expr.h"
#include "config/regex.h"

/* A request as the expressions below see it. */
static bool get(void *source, enum lt_expr_name name, struct lt_str key, struct lt_str *out)
{
    static const struct {
        enum lt_expr_name name;
        const char *key, *value;
    } request[] = {
        {LT_EXPR_METHOD, "", "GET"},
        {LT_EXPR_PATH, "", "/v1/users"},
        {LT_EXPR_HOST, "", "example.com"},
        {LT_EXPR_CLIENT_IP, "", "10.1.2.3"},
        {LT_EXPR_CLIENT_PORT, "", "4711"},
        {LT_EXPR_HEADER, "x-beta", "1"},
        {LT_EXPR_HEADER, "x-empty", ""},
        {LT_EXPR_QUERY, "Page", "12"},
        {LT_EXPR_COOKIE, "a.b", "c"},
        {LT_EXPR_PATH_PARAM, "id", "42"},
        {LT_EXPR_TLS_CLIENT_SUBJECT, "", "CN=x"},
        {LT_EXPR_TLS_CLIENT_ISSUER, "", "CN=ca"},
        {LT_EXPR_TLS_CLIENT_SERIAL, "", "0A1B"},
        {LT_EXPR_USER, "groups", "ops,CN=a%2COU=b"},
        {LT_EXPR_HEADER, "x-methods", "HEAD, GET"},
    };
    (void)source;
    for (size_t i = 0; i < lt_countof(request); i++) {
        if (request[i].name == name && lt_str_eq_c(key, request[i].key)) {
            *out = lt_str_c(request[i].value);
            return true;
        }
    }
    return false;
}

static struct lt_expr *compile(struct env *e, const char *text)
{
    struct lt_expr *expr = lt_expr_compile(&e->arena, &e->diags, lt_load_nowhere(), lt_str_c(text));
    if (expr == NULL) {
        fail_msg("%s: %s", text, env_messages(e));
    }
    return expr;
}

static void tests_conditions(void **state)
{
    static const struct {
        const char *text;
        bool result;
    } cases[] = {
        {"method == \"GET\"", true},
        {"method == 'POST'", false},
        {"method != 'POST'", true},
        {"header.x-beta == '1'", true},
        {"header.X-Beta == 1", true},
        {"header.x-none == '1'", false},
        {"header.x-none != '1'", true},
        {"header.x-none", false},
        {"header.x-empty", true},
        {"not header.x-none", true},
        {"not not header.x-none", false},
        {"not not not header.x-none", true},
        {"query.Page == 12", true},
        {"query.Page != 12", false},
        {"12 == query.Page", true},
        {"query.Page == -12", false},
        {"method == 12", false},
        {"cookie.a.b == 'c'", true},
        {"path.id in ['41', '42']", true},
        {"path.id in [41, 42]", true},
        {"path.id in [1]", false},
        {"path.none in ['x']", false},
        {"method in ['GET', 'HEAD'] and host == 'example.com'", true},
        {"method == 'GET' and host == 'x' or path == '/v1/users'", true},
        {"method == 'GET' and (host == 'x' or path == '/x')", false},
        {"not (method == 'GET')", false},
        {"path ~ '^/v[0-9]+/'", true},
        {"path ~ \"^/v\\d+/users$\"", true},
        {"path ~ '\\\\d'", false},
        {"path ~ '^users'", false},
        {"header.x-none ~ '.'", false},
        {"client.ip in ['10.0.0.0/8', '::1']", true},
        {"client.ip in ['192.168.0.0/16']", false},
        {"client.ip == '10.1.2.3'", true},
        {"client.port == 4711", true},
        {"tls.client.subject == 'CN=x'", true},
        {"tls.sni", false},
        {"tls.client.issuer == 'CN=ca' and tls.client.serial == '0A1B'", true},
        {"'ops' in user.groups", true},
        {"'CN=a,OU=b' in user.groups", true},
        {"'op' in user.groups", false},
        {"'' in user.groups", false},
        {"method in header.x-methods", true},
        {"header.x-none in user.groups", false},
        {"'ops' in header.x-none", false},
        {"12 in query.Page", false},
        {"not 'dev' in user.groups and true", true},
        {"true", true},
        {"false", false},
        {"(method == 'GET') == true", true},
        {"method == true", false},
        {"'a\\'b' == \"a'b\"", true},
        {"'a\\\\b' == \"a\\b\"", true},
        {"header.x-none == header.x-none", false},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct env e;
        env_init(&e);
        struct lt_expr *expr = compile(&e, cases[i].text);
        bool failed = false;
        if (lt_expr_test(expr, get, NULL, &failed) != cases[i].result || failed) {
            fail_msg("%s should be %d", cases[i].text, cases[i].result);
        }
        assert_str(lt_expr_source(expr), cases[i].text);
        env_fini(&e);
    }
}

static void gives_texts(void **state)
{
    static const struct {
        const char *text, *value; /* NULL: absent */
    } cases[] = {
        {"user.id or client.ip", "10.1.2.3"},
        {"header.x-beta or client.ip", "1"},
        {"user.id", NULL},
        {"user.id or user.name", NULL},
        {"-5", "-5"},
        {"method == 'GET'", "true"},
        {"method == 'X'", "false"},
        {"user.id or 'none'", "none"},
        {"header.x-empty or 'none'", ""},
        {"method == 'GET' and path", "/v1/users"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct env e;
        struct lt_str out;
        char scratch[32];
        env_init(&e);
        struct lt_expr *expr = compile(&e, cases[i].text);
        assert_int_equal(lt_expr_text(expr, get, NULL, scratch, &out), cases[i].value != NULL);
        if (cases[i].value != NULL) {
            assert_str(out, cases[i].value);
        }
        env_fini(&e);
    }
}

static void counts_terms(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    assert_int_equal(lt_expr_terms(compile(&e, "header.a")), 1);
    assert_int_equal(lt_expr_terms(compile(&e, "header.a and header.b")), 2);
    assert_int_equal(lt_expr_terms(compile(&e, "header.a and (header.b and header.c)")), 3);
    assert_int_equal(lt_expr_terms(compile(&e, "header.a and header.b or header.c")), 1);
    env_fini(&e);
}

static void tells_what_each_term_says_of_the_path(void **state)
{
    static const struct {
        const char *text;
        bool asks, told;
        uint64_t bits;
    } cases[] = {
        {"method == 'GET'", false, true, 0},
        {"path == '/v1/users'", true, true, 1 << 2 | 1 << 0},
        {"path == '/v2'", true, true, 1 << 0},
        {"not (user.id and path ~ '^/v1')", true, true, 1 << 1 | 1 << 2},
        {"path.no in ['a'] or path.id", true, true, 1 << 2},
        {"client.port == 4711 and path == header.x-beta", true, false, 0},
        {"(path or method) ~ '^/'", true, false, 0},
    };
    struct env e;
    (void)state;
    env_init(&e);
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_expr_path_terms terms;
        const struct lt_expr *expr = compile(&e, cases[i].text);
        assert_int_equal(lt_expr_asks_path(expr), cases[i].asks);
        assert_int_equal(lt_expr_path_terms(expr, get, NULL, &terms), cases[i].told);
        if (cases[i].told && terms.bits[0] != cases[i].bits) {
            fail_msg("%s: %llx", cases[i].text, (unsigned long long)terms.bits[0]);
        }
    }
    env_fini(&e);
}

static void says_what_is_wrong_and_where(void **state)
{
    static const struct {
        const char *text, *column, *message, *hint;
    } cases[] = {
        {"methd == 'GET'", ":1:7:", "unknown name methd", "did you mean method?"},
        {"client.ipp", ":1:7:", "unknown name client.ipp", "did you mean client.ip?"},
        {"hedaer.x", ":1:7:", "unknown name hedaer.x", "did you mean header.x?"},
        {"header", ":1:7:", "unknown name header", "write header.NAME"},
        {"header.", ":1:7:", "unknown name header.", ""},
        {"host == example.com", ":1:15:", "unknown name example.com", "'example.com'"},
        {"method ==", ":1:16:", "ends too early", ""},
        {"", ":1:7:", "is empty", ""},
        {"method = 'GET'", ":1:14:", "should have ended", "`and`"},
        {"method == 'GET", ":1:17:", "quote is not closed", ""},
        {"(method", ":1:7:", "\"(\" is not closed", ""},
        {"method in 'GET'", ":1:17:", "a list or a name is expected", "['GET', 'HEAD']"},
        {"method in ['GET'", ":1:17:", "\"[\" is not closed", ""},
        {"method in [GET]", ":1:18:", "text in quotes or a number", ""},
        {"method in []", ":1:18:", "text in quotes or a number", ""},
        {"path ~ x", ":1:14:", "pattern in quotes", "path ~"},
        {"path ~ 'a(b'", ":1:18:", "the pattern is wrong: missing closing parenthesis", ""},
        {"client.ip in ['10.0.0.1/8']", ":1:20:", "no address", ""},
        {"client.ip in [5]", ":1:20:", "no address", "['10.0.0.0/8', '::1']"},
        {"client.ip == '10.0.0.0/8'", ":1:17:", "no address", "client.ip in"},
        {"method and and path", ":1:18:", "a value is expected", ""},
        {"not", ":1:10:", "ends too early", ""},
        {"method == 99999999999999999999", ":1:17:", "too large", ""},
        {"method ; path", ":1:14:", "should have ended", ""},
        {"; path", ":1:7:", "a value is expected", ""},
        {"'é' == methd", ":1:14:", "unknown name methd", ""},
    };
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct env e;
        struct lt_source *source;
        env_init(&e);
        source = lt_source_new(&e.arena, LT_STR("t.yaml"), LT_STR(""), LT_STR("when: "));
        struct lt_pos pos = {.source = source, .line = 1, .col = 7, .width = 1};
        assert_null(lt_expr_compile(&e.arena, &e.diags, pos, lt_str_c(cases[i].text)));
        if (!env_says(&e, cases[i].column) || !env_says(&e, cases[i].message) ||
            !env_says(&e, cases[i].hint) || !env_says(&e, "\n1 error\n")) {
            print_error("for: %s\n", cases[i].text);
            wrong++;
        }
        env_fini(&e);
    }
    assert_int_equal(wrong, 0);
}

static void refuses_what_is_too_large(void **state)
{
    struct env e;
    struct lt_buf text;
    (void)state;
    env_init(&e);
    lt_buf_init(&text, 1 << 20);
    for (int i = 0; i < 40; i++) {
        lt_buf_char(&text, '(');
    }
    assert_null(lt_expr_compile(&e.arena, &e.diags, lt_load_nowhere(), lt_buf_view(&text)));
    env_expect(&e, "nested too deep");
    text.len = 0;
    for (int i = 0; i < 200; i++) {
        lt_buf_str(&text, LT_STR("path and "));
    }
    lt_buf_str(&text, LT_STR("path"));
    assert_null(lt_expr_compile(&e.arena, &e.diags, lt_load_nowhere(), lt_buf_view(&text)));
    env_expect(&e, "the expression is too long");
    text.len = 0;
    lt_buf_str(&text, LT_STR("path in [1"));
    for (int i = 0; i < 300; i++) {
        lt_buf_str(&text, LT_STR(",1"));
    }
    lt_buf_str(&text, LT_STR("]"));
    assert_null(lt_expr_compile(&e.arena, &e.diags, lt_load_nowhere(), lt_buf_view(&text)));
    env_expect(&e, "the list is too long");
    for (int i = 0; i < 5000; i++) {
        lt_buf_str(&text, LT_STR(" "));
    }
    assert_null(lt_expr_compile(&e.arena, &e.diags, lt_load_nowhere(), lt_buf_view(&text)));
    env_expect(&e, "longer than 4096 bytes");
    lt_buf_fini(&text);
    env_fini(&e);
}

/* A pattern that would try for ages gives up; a thread's first match needs memory, later ones none.
 */
static void patterns_are_limited(void **state)
{
    struct env e;
    size_t offset;
    struct lt_str why;
    char subject[64];
    (void)state;
    env_init(&e);
    memset(subject, 'a', sizeof(subject));
    struct lt_regex *regex = lt_regex_compile(&e.arena, LT_STR("^(a+)+$"), &offset, &why);
    assert_non_null(regex);
    assert_int_equal(lt_regex_match(regex, lt_str(subject, 10), NULL, 0), LT_REGEX_YES);
    subject[63] = '!';
    lt_mem_fail_at(1);
    assert_int_equal(lt_regex_match(regex, lt_str(subject, 5), NULL, 0), LT_REGEX_YES);
    assert_int_equal(lt_regex_match(regex, LT_STR("b"), NULL, 0), LT_REGEX_NO);
    assert_int_equal(lt_regex_match(regex, lt_str(subject, sizeof(subject)), NULL, 0),
                     LT_REGEX_FAILED);
    lt_mem_fail_at(0);
    assert_null(lt_regex_compile(&e.arena, LT_STR("a\\C"), &offset, &why));
    assert_true(why.len > 0);
    env_fini(&e);
}

static void survives_lack_of_memory(void **state)
{
    bool ok = false;
    (void)state;
    for (unsigned n = 1; !ok; n++) {
        struct lt_arena arena;
        struct lt_diags diags;
        assert_true(n < 100);
        /* No room to begin with: each step of the compiler is one that may fail. */
        lt_arena_init(&arena, NULL, 0, (size_t)64 * n);
        lt_diags_init(&diags, &arena);
        ok = lt_expr_compile(&arena, &diags, lt_load_nowhere(),
                             LT_STR("path ~ '^/x' and client.ip in ['::1'] or user.id")) != NULL;
        assert_int_equal(ok, diags.errors == 0);
        lt_arena_fini(&arena);
        lt_mem_fail_at(n);
        lt_arena_init(&arena, NULL, 0, (size_t)1 << 20);
        lt_diags_init(&diags, &arena);
        lt_expr_compile(&arena, &diags, lt_load_nowhere(), LT_STR("path ~ '^/x'"));
        lt_mem_fail_at(0);
        lt_arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_conditions),
        cmocka_unit_test(gives_texts),
        cmocka_unit_test(counts_terms),
        cmocka_unit_test(tells_what_each_term_says_of_the_path),
        cmocka_unit_test(says_what_is_wrong_and_where),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(patterns_are_limited),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
