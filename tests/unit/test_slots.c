/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>

#include "server/cpus.h"
#include "server/slots.h"

static struct lt_slots slots;

static int assign(const char *address, const char *name, unsigned config)
{
    struct lt_addr addr;
    const char *why;
    assert_int_equal(lt_addr_parse(lt_str_c(address), &addr, &why), LT_OK);
    return lt_slots_assign(&slots, &addr, lt_str_c(name), config);
}

static int setup(void **state)
{
    (void)state;
    memset(&slots, 0, sizeof(slots));
    return 0;
}

static void two_new_listeners_get_two_numbers(void **state)
{
    (void)state;
    assert_int_equal(assign("127.0.0.1:80", "a", 1), 0);
    assert_int_equal(assign("127.0.0.1:81", "b", 1), 1);
    assert_int_equal(slots.n, 2);
}

static void an_address_keeps_its_number_whatever_it_is_called(void **state)
{
    (void)state;
    assert_int_equal(assign("127.0.0.1:80", "a", 1), 0);
    assert_int_equal(assign("127.0.0.1:81", "b", 1), 1);
    slots.v[0].active = slots.v[1].active = true;
    assert_int_equal(assign("127.0.0.1:81", "renamed", 2), 1);
    /* Ports that the kernel chooses are told apart by name. */
    assert_int_equal(assign("127.0.0.1:0", "x", 2), 2);
    assert_int_equal(assign("127.0.0.1:0", "y", 2), 3);
    assert_int_equal(assign("127.0.0.1:0", "x", 3), 2);
}

static void a_number_is_used_again_only_without_connections(void **state)
{
    (void)state;
    assert_int_equal(assign("127.0.0.1:80", "a", 1), 0);
    slots.v[0].open = 1;
    assert_int_equal(assign("127.0.0.1:81", "b", 2), 1);
    slots.v[0].open = 0;
    assert_int_equal(assign("127.0.0.1:82", "c", 2), 0);
}

static void numbers_run_out(void **state)
{
    (void)state;
    char address[32];
    for (int i = 0; i < (int)LT_SLOTS_MAX; i++) {
        snprintf(address, sizeof(address), "127.0.0.1:%d", 1000 + i);
        assert_int_equal(assign(address, "", 1), i);
    }
    assert_int_equal(assign("127.0.0.1:80", "", 1), -1);
    assert_int_equal(assign("127.0.0.1:80", "", 2), 0);
}

static void cpu_max_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(lt_cpus_parse_max(LT_STR("max 100000\n")), 0);
    assert_int_equal(lt_cpus_parse_max(LT_STR("150000 100000\n")), 2);
    assert_int_equal(lt_cpus_parse_max(LT_STR("50000 100000\n")), 1);
    assert_int_equal(lt_cpus_parse_max(LT_STR("400000 100000")), 4);
    assert_int_equal(lt_cpus_parse_max(LT_STR("100000 0\n")), 0);
    assert_int_equal(lt_cpus_parse_max(LT_STR("")), 0);
    assert_true(lt_cpus_usable() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_new_listeners_get_two_numbers, setup),
        cmocka_unit_test_setup(an_address_keeps_its_number_whatever_it_is_called, setup),
        cmocka_unit_test_setup(a_number_is_used_again_only_without_connections, setup),
        cmocka_unit_test_setup(numbers_run_out, setup),
        cmocka_unit_test(cpu_max_is_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
