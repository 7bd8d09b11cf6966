/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

static void compares(void **state)
{
    (void)state;
    assert_true(lt_str_eq(LT_STR(""), LT_STR_NONE));
    assert_true(lt_str_eq_nocase(LT_STR("HoSt"), LT_STR("hOsT")));
    assert_false(lt_str_eq_nocase(LT_STR("a["), LT_STR("a{")));
    assert_true(lt_str_cmp(LT_STR("a"), LT_STR("ab")) < 0);
    assert_true(lt_str_cmp(LT_STR("b"), LT_STR("ab")) > 0);
    assert_int_equal(lt_str_cmp(LT_STR("ab"), LT_STR("ab")), 0);
    assert_true(lt_str_starts(LT_STR("abc"), LT_STR("ab")));
    assert_true(lt_str_ends(LT_STR("abc"), LT_STR("bc")));
    assert_false(lt_str_ends(LT_STR("c"), LT_STR("bc")));
}

static void finds(void **state)
{
    (void)state;
    struct lt_str s = LT_STR("a,b,c");
    assert_int_equal(lt_str_chr(s, ',', 0), 1);
    assert_int_equal(lt_str_chr(s, ',', 2), 3);
    assert_true(lt_str_chr(s, ',', 9) == SIZE_MAX);
    assert_int_equal(lt_str_rchr(s, ','), 3);
    assert_int_equal(lt_str_find(s, LT_STR("b,c")), 2);
    assert_true(lt_str_find(s, LT_STR("x")) == SIZE_MAX);
    assert_str(lt_str_sub(s, 2, 99), "b,c");
    assert_str(lt_str_sub(s, 9, 99), "");
    assert_str(lt_str_trim(LT_STR(" \tx \t")), "x");
    assert_str(lt_str_cut(LT_STR("abc"), 3), "abc");
    assert_str(lt_str_cut(LT_STR("abcd"), 3), "abc");
    assert_str(lt_str_cut(LT_STR("ab\xc3\xa4"), 3), "ab");
    assert_str(lt_str_cut(LT_STR("ab\xc3\xa4x"), 4), "ab\xc3\xa4");
    assert_str(lt_str_cut(LT_STR("\xf0\x9f\x98\x80x"), 3), "");
    assert_str(lt_str_cut(LT_STR("\xf0\x9f\x98\x80x"), 4), "\xf0\x9f\x98\x80");
    assert_str(lt_str_cut(LT_STR("\x80\x80\x80\x80\x80\x80"), 5), "\x80\x80\x80\x80\x80");
    assert_str(lt_str_cut(LT_STR("ab"), 0), "");
}

static void takes_tokens_empty_ones_too(void **state)
{
    (void)state;
    struct lt_str rest = LT_STR(" a ,, b"), token;
    assert_true(lt_str_next(&rest, ',', &token));
    assert_str(token, "a");
    assert_true(lt_str_next(&rest, ',', &token));
    assert_str(token, "");
    assert_true(lt_str_next(&rest, ',', &token));
    assert_str(token, "b");
    assert_false(lt_str_next(&rest, ',', &token));
}

static void reads_plain_decimals_only(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_true(lt_str_to_u64(LT_STR("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_false(lt_str_to_u64(LT_STR("18446744073709551616"), &v));
    static const char *const bad[] = {"", "+1", "-1", " 1", "1 ", "0x1", "1.0"};
    for (size_t i = 0; i < lt_countof(bad); i++) {
        assert_false(lt_str_to_u64(lt_str_c(bad[i]), &v));
    }
    assert_int_equal(lt_char_hex('f'), 15);
    assert_int_equal(lt_char_hex('g'), -1);
}

static void measures_typing_errors(void **state)
{
    (void)state;
    assert_int_equal(lt_str_distance(LT_STR("adress"), LT_STR("address"), 9), 1);
    assert_int_equal(lt_str_distance(LT_STR("listne"), LT_STR("listen"), 9), 1);
    assert_int_equal(lt_str_distance(LT_STR("tlt"), LT_STR("ttl"), 9), 1);
    assert_int_equal(lt_str_distance(LT_STR("ca"), LT_STR("abc"), 9), 3);
    assert_int_equal(lt_str_distance(LT_STR("a"), LT_STR("xyz"), 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(finds),
        cmocka_unit_test(takes_tokens_empty_ones_too),
        cmocka_unit_test(reads_plain_decimals_only),
        cmocka_unit_test(measures_typing_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
