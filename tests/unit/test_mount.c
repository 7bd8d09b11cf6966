/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/http/mount.c: addresses in responses, put into the client's terms. */
#include "unit.h"

#include "http/mount.h"

static const struct lt_mount shop = {
    .prefix = LT_STR_INIT("/shop"),
    .told = LT_STR_INIT("/outer/shop"),
    .scheme = LT_STR_INIT("https"),
    .asked = LT_STR_INIT("www.test"),
    .known = LT_STR_INIT("www.test"),
};

static const struct lt_mount renamed = {
    .sent = LT_STR_INIT("app.internal:8000"),
    .scheme = LT_STR_INIT("https"),
    .asked = LT_STR_INIT("www.test:8443"),
    .known = LT_STR_INIT("www.test:8443"),
};

static const struct lt_mount both = {
    .prefix = LT_STR_INIT("/shop"),
    .told = LT_STR_INIT("/shop"),
    .sent = LT_STR_INIT("app.internal"),
    .scheme = LT_STR_INIT("http"),
    .asked = LT_STR_INIT("inner.test"),
    .known = LT_STR_INIT("www.test"),
};

static const struct lt_mount nameless = {
    .prefix = LT_STR_INIT("/shop"),
    .sent = LT_STR_INIT("app.internal"),
    .scheme = LT_STR_INIT("http"),
};

struct row {
    const struct lt_mount *mount;
    const char *value, *expected; /* NULL: stays, without a copy */
};

static void check(enum lt_header_id id, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct lt_arena arena;
        struct lt_headers headers;
        lt_arena_init(&arena, NULL, 0, 1 << 16);
        lt_headers_init(&headers, &arena, 4);
        struct lt_str value = lt_str_c(rows[i].value);
        assert_int_equal(lt_headers_add_id(&headers, id, value), LT_OK);
        assert_int_equal(lt_mount_response(&headers, rows[i].mount), LT_OK);
        const char *expected = rows[i].expected != NULL ? rows[i].expected : rows[i].value;
        if (!lt_str_eq_c(headers.v[0].value, expected)) {
            fail_msg("%s: %.*s", rows[i].value, LT_STR_ARG(headers.v[0].value));
        }
        lt_arena_fini(&arena);
    }
}

static void test_locations(void **state LT_UNUSED)
{
    static const struct row rows[] = {
        {&shop, "/", "/shop/"},
        {&shop, "/cart?a=/x#y", "/shop/cart?a=/x#y"},
        {&shop, "/shopping", "/shop/shopping"},
        {&shop, "/shop", NULL},
        {&shop, "/shop/cart", NULL},
        {&shop, "/shop?x", NULL},
        {&shop, "/outer/shop/cart", NULL},
        {&shop, "/outer/cart", "/shop/outer/cart"},
        {&shop, "cart", NULL},
        {&shop, "../cart", NULL},
        {&shop, "?page=2", NULL},
        {&shop, "#x", NULL},
        {&shop, "", NULL},
        {&shop, "https://www.test/cart", "https://www.test/shop/cart"},
        {&shop, "HTTPS://WWW.test:443/cart", "HTTPS://WWW.test:443/shop/cart"},
        {&shop, "http://www.test/cart", "http://www.test/shop/cart"},
        {&shop, "https://www.test", "https://www.test/shop"},
        {&shop, "https://www.test?x", "https://www.test/shop?x"},
        {&shop, "https://www.test/shop/cart", NULL},
        {&shop, "//www.test/cart", "//www.test/shop/cart"},
        {&shop, "https://www.test:8443/cart", NULL},
        {&shop, "https://other.test/cart", NULL},
        {&shop, "https://www.test.evil.test/", NULL},
        {&shop, "https://user@www.test/", NULL},
        {&shop, "//other.test/", NULL},
        {&shop, "///x", NULL},
        {&shop, "mailto:a@b", NULL},
        {&shop, "ftp://www.test/x", NULL},
        {&shop, "/login?next=https://www.test/x", "/shop/login?next=https://www.test/x"},
        {&renamed, "http://app.internal:8000/x", "https://www.test:8443/x"},
        {&renamed, "//app.internal:8000/x", "//www.test:8443/x"},
        {&renamed, "http://APP.internal:8000", "https://www.test:8443"},
        {&renamed, "http://app.internal/x", NULL},
        {&renamed, "https://www.test:8443/x", NULL},
        {&renamed, "/x", NULL},
        {&both, "http://app.internal/x", "http://www.test/shop/x"},
        {&both, "https://app.internal/x", "http://www.test/shop/x"},
        {&both, "http://app.internal:80/x", "http://www.test/shop/x"},
        {&both, "http://inner.test/x", "http://inner.test/shop/x"},
        {&both, "http://www.test/x", "http://www.test/shop/x"},
        {&nameless, "/x", "/shop/x"},
        {&nameless, "http://app.internal/x", NULL},
    };
    check(LT_HEADER_LOCATION, rows, lt_countof(rows));
    check(LT_HEADER_CONTENT_LOCATION, rows, lt_countof(rows));
}

static void test_refresh(void **state LT_UNUSED)
{
    static const struct row rows[] = {
        {&shop, "5; url=/next", "5; url=/shop/next"},
        {&shop, "0;URL='/next'", "0;URL='/shop/next'"},
        {&shop, "0; url=\"https://www.test/\" x", "0; url=\"https://www.test/shop/\" x"},
        {&shop, "0; url=\"/next", "0; url=\"/shop/next"},
        {&shop, "5", NULL},
        {&shop, "5; url=", NULL},
        {&shop, "5; url=\"", NULL},
        {&shop, "5; url=/shop/x", NULL},
        {&shop, "", NULL},
        {&renamed, "1; url=http://app.internal:8000/", "1; url=https://www.test:8443/"},
    };
    check(LT_HEADER_REFRESH, rows, lt_countof(rows));
}

static void test_cookies(void **state LT_UNUSED)
{
    static const struct row rows[] = {
        {&shop, "a=b; Path=/; HttpOnly", "a=b; Path=/shop; HttpOnly"},
        {&shop, "a=b;path=/", "a=b; Path=/shop"},
        {&shop, "a=b; Path = /cart ; Secure", "a=b; Path=/shop/cart; Secure"},
        {&shop, "a=b; Path=/shop", NULL},
        {&shop, "a=b; Path=/shop/cart", NULL},
        {&shop, "a=b; Path=/outer/shop", NULL},
        {&shop, "a=b; Path=/a; Path=/b", "a=b; Path=/shop/a; Path=/shop/b"},
        {&shop, "a=b", NULL},
        {&shop, "a=b; Path=", NULL},
        {&shop, "a=b; Path", NULL},
        {&shop, "a=b; Path=x", NULL},
        {&shop, "a=b;", NULL},
        {&shop, "", NULL},
        {&shop, "a=\"Path=/\"; Max-Age=1", NULL},
        {&shop, "__Host-a=b; Secure; Path=/", NULL},
        {&shop, "__host-a=b; Secure; Path=/", NULL},
        {&shop, "__Secure-a=b; Secure; Path=/", "__Secure-a=b; Secure; Path=/shop"},
        {&shop, "a=b; Domain=www.test", NULL},
        {&renamed, "a=b; Domain=app.internal; Path=/", "a=b; Path=/"},
        {&renamed, "a=b; domain=.internal; Path=/", "a=b; Path=/"},
        {&renamed, "a=b; Domain=www.test", NULL},
        {&renamed, "a=b; Domain=test; Path=/", NULL},
        {&renamed, "a=b; Domain=other.test", NULL},
        {&renamed, "a=b; Domain=p.internal", NULL},
        {&renamed, "a=b; Domain=", NULL},
        {&both, "a=b; Domain=APP.internal; Path=/x", "a=b; Path=/shop/x"},
    };
    check(LT_HEADER_SET_COOKIE, rows, lt_countof(rows));
}

static void test_other_fields_stay(void **state LT_UNUSED)
{
    static const struct row rows[] = {{&both, "http://app.internal/x", NULL}};
    check(LT_HEADER_SERVER, rows, 1);
}

static void test_without_memory(void **state LT_UNUSED)
{
    static const struct {
        enum lt_header_id id;
        const char *value;
    } table[] = {{LT_HEADER_LOCATION, "/x"},
                 {LT_HEADER_LOCATION, "http://app.internal/"},
                 {LT_HEADER_REFRESH, "1; url=/x"},
                 {LT_HEADER_SET_COOKIE, "a=b; Path=/"}};
    for (size_t i = 0; i < lt_countof(table); i++) {
        struct lt_arena none;
        struct lt_header v = {.value = lt_str_c(table[i].value), .id = table[i].id};
        struct lt_headers headers = {.v = &v, .n = 1, .cap = 1, .max = 1, .arena = &none};
        lt_arena_init(&none, NULL, 0, 0);
        assert_int_equal(lt_mount_response(&headers, &both), LT_ERR_NOMEM);
        lt_arena_fini(&none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locations),      cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_cookies),        cmocka_unit_test(test_other_fields_stay),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
