/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/addr.h"

static struct lt_addr parse(const char *text)
{
    struct lt_addr a;
    const char *why = NULL;
    if (lt_addr_parse(lt_str_c(text), &a, &why) != LT_OK) {
        fail_msg("%s: %s", text, why);
    }
    return a;
}

static void prints_what_it_read(void **state)
{
    (void)state;
    static const char *const same[] = {"127.0.0.1:80", "[::1]:443", "[2001:db8::1]:0",
                                       "unix:/run/app.sock", "unix:@name"};
    char out[LT_ADDR_TEXT_MAX];
    for (size_t i = 0; i < lt_countof(same); i++) {
        struct lt_addr a = parse(same[i]);
        assert_int_equal(lt_addr_print(&a, out), strlen(same[i]));
        assert_string_equal(out, same[i]);
    }
    struct lt_addr any = parse(":443");
    lt_addr_print(&any, out);
    assert_string_equal(out, "[::]:443");
    struct lt_addr mapped = parse("[::ffff:10.1.2.3]:5");
    struct lt_addr plain = parse("10.1.2.3:5");
    assert_true(lt_addr_eq(&mapped, &plain));
    lt_addr_print(&mapped, out);
    assert_string_equal(out, "10.1.2.3:5");
}

static void says_why_an_address_is_wrong(void **state)
{
    (void)state;
    static const char *const bad[] = {"80",           "localhost:80", "1.2.3.4:65536",
                                      "1.2.3.4:x",    "::1:80",       "[::1:80",
                                      "[1.2.3.4]:80", "unix:",        "unix:rel"};
    for (size_t i = 0; i < lt_countof(bad); i++) {
        struct lt_addr a;
        const char *why = NULL;
        assert_int_equal(lt_addr_parse(lt_str_c(bad[i]), &a, &why), LT_ERR_INVALID);
        assert_non_null(why);
    }
    char path[200] = "unix:/";
    memset(path + 6, 'x', 150);
    struct lt_addr a;
    const char *why = NULL;
    assert_int_equal(lt_addr_parse(lt_str_c(path), &a, &why), LT_ERR_INVALID);
}

static bool has(const char *block, const char *ip)
{
    struct lt_cidr c;
    struct lt_addr a;
    const char *why = NULL;
    assert_int_equal(lt_cidr_parse(lt_str_c(block), &c, &why), LT_OK);
    assert_int_equal(lt_addr_parse_ip(lt_str_c(ip), &a), LT_OK);
    return lt_cidr_has(&c, &a);
}

static void blocks_hold_their_addresses_only(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.0.1"));
    assert_false(has("10.0.0.0/8", "11.0.0.1"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_true(has("192.168.4.128/25", "192.168.4.200"));
    assert_false(has("192.168.4.128/25", "192.168.4.100"));
    assert_true(has("fd00::/8", "fd12::1"));
    assert_false(has("fd00::/8", "fe80::1"));
    assert_true(has("0.0.0.0/0", "9.9.9.9"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_true(has("::1", "::1"));
    struct lt_addr u = parse("unix:/x");
    struct lt_cidr all;
    const char *why = NULL;
    assert_int_equal(lt_cidr_parse(LT_STR("::/0"), &all, &why), LT_OK);
    assert_false(lt_cidr_has(&all, &u));
}

static void blocks_are_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "::/129",
                                      "x/8",        "10.0.0.0/",   ""};
    for (size_t i = 0; i < lt_countof(bad); i++) {
        struct lt_cidr c;
        const char *why = NULL;
        assert_int_equal(lt_cidr_parse(lt_str_c(bad[i]), &c, &why), LT_ERR_INVALID);
        assert_non_null(why);
    }
    struct lt_cidr c;
    const char *why = NULL;
    char out[LT_ADDR_TEXT_MAX];
    assert_int_equal(lt_cidr_parse(LT_STR("10.0.0.0/8"), &c, &why), LT_OK);
    lt_cidr_print(&c, out);
    assert_string_equal(out, "10.0.0.0/8");
    assert_int_equal(lt_cidr_parse(LT_STR("fd00::/8"), &c, &why), LT_OK);
    lt_cidr_print(&c, out);
    assert_string_equal(out, "fd00::/8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_what_it_read),
        cmocka_unit_test(says_why_an_address_is_wrong),
        cmocka_unit_test(blocks_hold_their_addresses_only),
        cmocka_unit_test(blocks_are_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
