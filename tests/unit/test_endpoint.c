/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/endpoint.h"

static struct lt_endpoint parse(const char *text)
{
    struct lt_endpoint e;
    const char *why = NULL;
    if (lt_endpoint_parse(lt_str_c(text), &e, &why) != LT_OK) {
        fail_msg("%s: %s", text, why);
    }
    return e;
}

static void prints_what_it_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum lt_endpoint_kind kind;
    } all[] = {
        {"127.0.0.1:80", LT_ENDPOINT_ADDR},
        {"unix:/run/app.sock", LT_ENDPOINT_ADDR},
        {"dns:app.internal:8000", LT_ENDPOINT_DNS},
        {"dns:App_1.internal.:65535", LT_ENDPOINT_DNS},
        {"dns+srv:_http._tcp.app.internal", LT_ENDPOINT_SRV},
    };
    for (size_t i = 0; i < lt_countof(all); i++) {
        char out[LT_ENDPOINT_TEXT_MAX];
        struct lt_endpoint e = parse(all[i].text);
        assert_int_equal(e.kind, all[i].kind);
        assert_int_equal(lt_endpoint_print(&e, out), strlen(all[i].text));
        assert_string_equal(out, all[i].text);
        assert_true((e.addr.len == 0) == (e.kind != LT_ENDPOINT_ADDR));
    }
}

/* Each hint leads to what would be right. */
static void says_what_to_write_instead(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hint;
    } all[] = {
        {"app.internal:8000", "dns:app.internal:8000"},
        {"localhost", "`dns:`"},
        {"dns:app.internal", "a port must follow"},
        {"dns:app.internal:0", "1 to 65535"},
        {"dns:app.internal:http", "1 to 65535"},
        {"dns:10.0.0.1:80", "leave `dns:` out"},
        {"dns:[::1]:80", "leave `dns:` out"},
        {"dns:fd00::1:80", "leave `dns:` out"},
        {"dns:a..b:80", "domain name"},
        {"dns::80", "domain name"},
        {"dns:a b:80", "domain name"},
        {"dns+srv:_http._tcp.app.internal:80", "leave the port out"},
        {"dns+srv:app.internal", "_http._tcp."},
        {"dns+srv:_http.app.internal", "_http._tcp."},
        {"dns+srv:_http._tcp.", "_http._tcp."},
        {"1.2.3.4.5:80", "not an IP address"},
        {"http://app:80", "leave the scheme out"},
    };
    for (size_t i = 0; i < lt_countof(all); i++) {
        struct lt_endpoint e;
        const char *why = NULL;
        assert_int_equal(lt_endpoint_parse(lt_str_c(all[i].text), &e, &why), LT_ERR_INVALID);
        assert_non_null(why);
        if (strstr(why, all[i].hint) == NULL) {
            fail_msg("%s: %s", all[i].text, why);
        }
    }
}

static void names_have_limits(void **state)
{
    (void)state;
    char name[LT_DNS_NAME_MAX + 3];
    memset(name, 'a', sizeof(name));
    for (size_t i = 49; i < sizeof(name); i += 50) {
        name[i] = '.';
    }
    assert_true(lt_dns_name_ok(lt_str(name, LT_DNS_NAME_MAX)));
    name[LT_DNS_NAME_MAX] = '.';
    assert_true(lt_dns_name_ok(lt_str(name, LT_DNS_NAME_MAX + 1)));
    name[LT_DNS_NAME_MAX] = 'a';
    assert_false(lt_dns_name_ok(lt_str(name, LT_DNS_NAME_MAX + 1)));
    memset(name, 'a', 64);
    assert_true(lt_dns_name_ok(lt_str(name, 63)));
    assert_false(lt_dns_name_ok(lt_str(name, 64)));
    assert_false(lt_dns_name_ok(LT_STR(".")));
    assert_false(lt_dns_name_ok(LT_STR("")));
    assert_false(lt_dns_name_ok(LT_STR("a\n")));
}

static void knows_what_is_the_same(void **state)
{
    (void)state;
    struct lt_endpoint a = parse("dns:app.internal:80"), b = parse("dns:APP.internal.:80");
    struct lt_endpoint c = parse("dns:app.internal:81"), d = parse("127.0.0.1:80");
    struct lt_endpoint nowhere = {.kind = LT_ENDPOINT_ADDR};
    assert_true(lt_endpoint_eq(&a, &b));
    assert_false(lt_endpoint_eq(&a, &c));
    assert_false(lt_endpoint_eq(&a, &d));
    assert_true(lt_endpoint_eq(&d, &d));
    assert_false(lt_endpoint_eq(&nowhere, &nowhere));
}

static void tells_who_a_server_has_to_be(void **state)
{
    (void)state;
    struct lt_endpoint dns = parse("dns:app.internal.:80");
    struct lt_endpoint srv = parse("dns+srv:_http._tcp.app.internal");
    assert_true(lt_str_eq_c(lt_endpoint_host(&dns), "app.internal"));
    assert_true(lt_str_eq_c(lt_endpoint_host(&srv), "app.internal"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_what_it_read),
        cmocka_unit_test(says_what_to_write_instead),
        cmocka_unit_test(names_have_limits),
        cmocka_unit_test(knows_what_is_the_same),
        cmocka_unit_test(tells_who_a_server_has_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
