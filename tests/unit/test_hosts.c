/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/mem.h"
#include "net/hosts.h"

static const char text[] = "127.0.0.1\tlocalhost\n"
                           "# 10.9.9.9 app.internal\n"
                           "\n"
                           "10.0.0.2  app.internal app  # 10.9.9.8 app.internal\r\n"
                           "nonsense app.internal\n"
                           "10.0.0.1 other App.Internal\n"
                           "10.0.0.1 app.internal\n"
                           "fd00::1 six.internal\n"
                           "fd00::2 app.internal";

static unsigned find(const char *name, int family, bool *known, struct lt_dns_records *out)
{
    assert_int_equal(
        lt_hosts_find(lt_str(text, sizeof(text) - 1), lt_str_c(name), family, out, known), LT_OK);
    return out->n;
}

static void finds_all_addresses_of_a_name(void **state)
{
    (void)state;
    struct lt_dns_records out;
    bool known;
    char ip[LT_ADDR_TEXT_MAX];
    assert_int_equal(find("app.internal", AF_INET, &known, &out), 2);
    lt_addr_print_ip(&out.v[0].addr, ip);
    assert_string_equal(ip, "10.0.0.1");
    assert_int_equal(out.ttl_s, 0);
    lt_dns_records_fini(&out);
    assert_int_equal(find("APP.internal.", AF_INET6, &known, &out), 1);
    lt_dns_records_fini(&out);
    assert_int_equal(find("six.internal", AF_INET, &known, &out), 0);
    assert_true(known);
    assert_int_equal(find("ap", AF_INET, &known, &out), 0);
    assert_false(known);
    assert_int_equal(find("10.0.0.1", AF_INET, &known, &out), 0);
    assert_false(known);
}

static void localhost_needs_no_file(void **state)
{
    (void)state;
    static const char *const names[] = {"localhost", "LocalHost.", "app.localhost"};
    struct lt_dns_records out;
    bool known;
    char ip[LT_ADDR_TEXT_MAX];
    for (unsigned i = 0; i < lt_countof(names); i++) {
        for (unsigned six = 0; six < 2; six++) {
            assert_int_equal(lt_hosts_find(LT_STR_NONE, lt_str_c(names[i]),
                                           six ? AF_INET6 : AF_INET, &out, &known),
                             LT_OK);
            assert_true(known);
            assert_int_equal(out.n, 1);
            lt_addr_print_ip(&out.v[0].addr, ip);
            assert_string_equal(ip, six ? "::1" : "127.0.0.1");
            lt_dns_records_fini(&out);
        }
    }
    assert_int_equal(lt_hosts_find(LT_STR_NONE, LT_STR("notlocalhost"), AF_INET, &out, &known),
                     LT_OK);
    assert_false(known);
    /* What the file says comes first. */
    assert_int_equal(find("localhost", AF_INET6, &known, &out), 0);
    assert_true(known);
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    struct lt_dns_records out;
    bool known;
    for (unsigned n = 1; n <= 2; n++) {
        lt_mem_fail_at(n);
        assert_int_equal(
            lt_hosts_find(lt_str(text, sizeof(text) - 1), LT_STR("app"), AF_INET, &out, &known),
            n == 1 ? LT_ERR_NOMEM : LT_OK);
        lt_mem_fail_at(0);
        lt_dns_records_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_all_addresses_of_a_name),
        cmocka_unit_test(localhost_needs_no_file),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
