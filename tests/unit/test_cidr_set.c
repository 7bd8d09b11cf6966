/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of blocks of addresses. */
#include "base/cidr_set.h"
#include "unit.h"

static size_t fill(struct lt_addr_range *ranges, const char *const *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct lt_cidr cidr;
        const char *why;
        assert_int_equal(lt_cidr_parse(lt_str_c(blocks[i]), &cidr, &why), LT_OK);
        ranges[i] = lt_addr_range_of(&cidr);
    }
    return lt_addr_ranges_join(ranges, n);
}

static bool has(const struct lt_addr_range *ranges, size_t n, const char *ip)
{
    struct lt_addr addr;
    assert_int_equal(lt_addr_parse_ip(lt_str_c(ip), &addr), LT_OK);
    return lt_addr_ranges_have(ranges, n, &addr);
}

static void addresses_are_found(void **state)
{
    static const char *const blocks[] = {
        "192.0.2.7",     "10.0.0.0/8", "10.1.0.0/16",  "192.0.2.0/30",
        "2001:db8::/32", "fd00::1",    "192.0.2.4/31", "10.255.255.255",
    };
    static const struct {
        const char *ip;
        bool result;
    } cases[] = {
        {"10.0.0.0", true},         {"10.255.255.255", true},
        {"11.0.0.0", false},        {"9.255.255.255", false},
        {"192.0.2.3", true},        {"192.0.2.5", true},
        {"192.0.2.6", false},       {"192.0.2.7", true},
        {"192.0.2.8", false},       {"::ffff:10.2.3.4", true},
        {"::ffff:11.0.0.1", false}, {"::10.2.3.4", false},
        {"2001:db8::", true},       {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"2001:db9::", false},      {"fd00::1", true},
        {"fd00::2", false},
    };
    struct lt_addr_range ranges[lt_countof(blocks)];
    struct lt_addr unix_socket;
    const char *why;
    (void)state;
    size_t n = fill(ranges, blocks, lt_countof(blocks));
    assert_int_equal(n, 6); /* two lie in 10.0.0.0/8 */
    for (size_t i = 0; i < lt_countof(cases); i++) {
        if (has(ranges, n, cases[i].ip) != cases[i].result) {
            fail_msg("%s", cases[i].ip);
        }
    }
    assert_int_equal(lt_addr_parse(LT_STR("unix:/x"), &unix_socket, &why), LT_OK);
    assert_false(lt_addr_ranges_have(ranges, n, &unix_socket));
}

static void ranges_that_overlap_become_one(void **state)
{
    struct lt_addr_range ranges[3] = {
        {.first = {1}, .last = {5}}, {.first = {3}, .last = {9}}, {.first = {9}, .last = {9}}};
    (void)state;
    assert_int_equal(lt_addr_ranges_join(ranges, 3), 1);
    assert_int_equal(ranges[0].first[0], 1);
    assert_int_equal(ranges[0].last[0], 9);
    assert_int_equal(lt_addr_ranges_join(ranges, 0), 0);
    assert_false(has(ranges, 0, "::"));
}

static void the_whole_space_is_a_block(void **state)
{
    static const char *const all[] = {"::/0"}, *const four[] = {"0.0.0.0/0"};
    struct lt_addr_range ranges[1];
    (void)state;
    assert_int_equal(fill(ranges, all, 1), 1);
    assert_true(has(ranges, 1, "::") && has(ranges, 1, "10.0.0.1"));
    assert_int_equal(fill(ranges, four, 1), 1);
    assert_true(has(ranges, 1, "0.0.0.0") && has(ranges, 1, "255.255.255.255"));
    assert_false(has(ranges, 1, "::1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_found),
        cmocka_unit_test(ranges_that_overlap_become_one),
        cmocka_unit_test(the_whole_space_is_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
