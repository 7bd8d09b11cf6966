/* SPDX-License-Identifier: Apache-2.0 */
/* Methods and statuses. */
#include "http/message.h"

#include "tests/unit/unit.h"

static void test_methods_are_found_by_their_exact_name(void **state)
{
    (void)state;
    for (unsigned m = LT_METHOD_UNKNOWN + 1; m < LT_METHOD_COUNT; m++) {
        assert_int_equal(lt_method_find(lt_method_name((enum lt_method)m)), m);
    }
    assert_int_equal(lt_method_find(LT_STR("get")), LT_METHOD_UNKNOWN);
    assert_int_equal(lt_method_find(LT_STR("GETS")), LT_METHOD_UNKNOWN);
    assert_int_equal(lt_method_find(LT_STR("")), LT_METHOD_UNKNOWN);
    assert_int_equal(lt_method_name(LT_METHOD_UNKNOWN).len, 0);
}

static void test_idempotent_methods(void **state)
{
    (void)state;
    assert_true(lt_method_idempotent(LT_METHOD_GET));
    assert_true(lt_method_idempotent(LT_METHOD_PUT));
    assert_true(lt_method_idempotent(LT_METHOD_DELETE));
    assert_false(lt_method_idempotent(LT_METHOD_POST));
    assert_false(lt_method_idempotent(LT_METHOD_PATCH));
    assert_false(lt_method_idempotent(LT_METHOD_UNKNOWN));
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(lt_status_reason(200), "OK");
    assert_string_equal(lt_status_reason(103), "Early Hints");
    assert_string_equal(lt_status_reason(511), "Network Authentication Required");
    assert_string_equal(lt_status_reason(299), "");
    assert_string_equal(lt_status_reason(0), "");
    assert_string_equal(lt_status_reason(4000000000u), "");
}

static void test_statuses_without_a_body(void **state)
{
    (void)state;
    const unsigned without[] = {100, 101, 103, 199, 204, 304};
    const unsigned with[] = {200, 205, 206, 301, 303, 400, 500, 599};
    for (size_t i = 0; i < lt_countof(without); i++) {
        assert_true(lt_status_bodiless(without[i]));
    }
    for (size_t i = 0; i < lt_countof(with); i++) {
        assert_false(lt_status_bodiless(with[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods_are_found_by_their_exact_name),
        cmocka_unit_test(test_idempotent_methods),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_statuses_without_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
