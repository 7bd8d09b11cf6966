/* SPDX-License-Identifier: Apache-2.0 */
/* URLs that somebody wants fetched. */
#include "http/url.h"

#include "tests/unit/unit.h"

static struct lt_arena arena;
static struct lt_url url;

static void good(const char *text, bool tls, const char *host, unsigned port, const char *authority,
                 const char *target)
{
    const char *why;
    assert_int_equal(lt_url_parse(&arena, lt_str_c(text), &url, &why), LT_OK);
    assert_int_equal(url.tls, tls);
    assert_str(url.host, host);
    assert_int_equal(url.port, port);
    assert_str(url.authority, authority);
    assert_str(url.target, target);
}

static void bad(const char *text, const char *expected)
{
    const char *why;
    assert_int_equal(lt_url_parse(&arena, lt_str_c(text), &url, &why), LT_ERR_INVALID);
    if (strstr(why, expected) == NULL) {
        fail_msg("%s: %s", text, why);
    }
}

static void test_parts(void **state)
{
    (void)state;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    good("http://a.test/x?y=1", false, "a.test", 80, "a.test", "/x?y=1");
    assert_false(url.literal);
    good("HTTPS://Id.Test", true, "id.test", 443, "id.test", "/");
    good("https://id.test:443/", true, "id.test", 443, "id.test", "/");
    good("https://id.test:80/", true, "id.test", 80, "id.test:80", "/");
    good("http://id.test:8080?q#f", false, "id.test", 8080, "id.test:8080", "/?q");
    good("http://id.test#f/x", false, "id.test", 80, "id.test", "/");
    good("http://127.0.0.1:81//a", false, "127.0.0.1", 81, "127.0.0.1:81", "//a");
    assert_true(url.literal);
    good("http://[2001:DB8::1]:81/", false, "2001:db8::1", 81, "[2001:db8::1]:81", "/");
    assert_true(url.literal);
    good("http://0x7f000001/", false, "0x7f000001", 80, "0x7f000001", "/"); /* a name, no number */
    assert_false(url.literal);
    lt_arena_fini(&arena);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static char longer[LT_URL_MAX + 20];
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    static const char *const relative[] = {"",        "/x",   "x.test",   "ftp://x/",
                                           "http:/x", "//x/", "file:///x"};
    for (size_t i = 0; i < lt_countof(relative); i++) {
        bad(relative[i], "absolute URL");
    }
    static const char *const hosts[] = {"http://",        "http:///x",      "http://[::1",
                                        "http://::1/",    "http://x:0/",    "http://x:99999/",
                                        "http://x:1x/",   "http://a..b/",   "http://a%2fb/",
                                        "http://[1.2.3]", "http://[x.test]"};
    for (size_t i = 0; i < lt_countof(hosts); i++) {
        bad(hosts[i], "malformed");
    }
    bad("http://user:secret@x/", "password");
    bad("http://user@x/", "password");
    static const char *const bytes[] = {"http://x/ ", "http://x/\r\nHost: y", "http://x/\t",
                                        "http://x/\xc3\xa4", "http://x\n/"};
    for (size_t i = 0; i < lt_countof(bytes); i++) {
        bad(bytes[i], "%XX");
    }
    memset(longer, 'a', sizeof(longer) - 1);
    memcpy(longer, "http://x/", 9);
    bad(longer, "8192");
    lt_arena_fini(&arena);
    const char *why;
    lt_arena_init(&arena, NULL, 0, 0);
    assert_int_equal(lt_url_parse(&arena, LT_STR("http://x/"), &url, &why), LT_ERR_NOMEM);
    lt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
