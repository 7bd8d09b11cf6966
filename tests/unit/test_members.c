/* SPDX-License-Identifier: Apache-2.0 */
/* Lists as one text. */
#include "base/members.h"
#include "unit.h"

static void every_list_comes_back(void **state)
{
    static const char *const texts[] = {"admin", "Domain Admins", "CN=a,OU=b", " edge ", "100%",
                                        "%2C",   "a\nb\x7f",      "\xc3\xa4",  " ",      ",",
                                        "%",     "a%2",           "x"};
    char form[400], text[100];
    struct lt_str list, member;
    size_t n = 0, i = 0;
    (void)state;
    for (i = 0; i < lt_countof(texts); i++) {
        n = lt_members_put(form, n, lt_str_c(texts[i]));
        n = lt_members_put(form, n, LT_STR_NONE); /* left out */
    }
    list = lt_str(form, n);
    assert_str(lt_str_sub(list, 0, 40), "admin,Domain Admins,CN=a%2COU=b,%20edge%");
    for (i = 0; lt_members_next(&list, &member); i++) {
        size_t len = lt_member_decode(member, text);
        assert_true(i < lt_countof(texts));
        assert_str(lt_str(text, len), texts[i]);
        assert_true(lt_members_have(lt_str(form, n), lt_str_c(texts[i])));
    }
    assert_int_equal(i, lt_countof(texts));
}

static void a_member_is_the_whole_of_it(void **state)
{
    static const struct {
        const char *list, *text;
        bool result;
    } cases[] = {
        {"admin,ops", "admin", true},
        {"admin,ops", "ops", true},
        {"admin, ops ", "ops", true},
        {"admin,ops", "adm", false},
        {"admin,ops", "admins", false},
        {"admin,ops", "", false},
        {"", "", false},
        {"", "a", false},
        {",,a,", "a", true},
        {",", "", false},
        {"a%2Cb", "a,b", true},
        {"a%2Cb", "a", false},
        {"a%2cb", "a,b", true},
        {"a%2Cb", "a%2Cb", false},
        {"a%zz", "a%zz", true},
        {"a%2", "a%2", true},
        {"a%", "a%", true},
        {"a%00", "a", false},
        {"Admin", "admin", false},
        {"admin,ops", "admin,ops", false},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        if (lt_members_have(lt_str_c(cases[i].list), lt_str_c(cases[i].text)) != cases[i].result) {
            fail_msg("'%s' in '%s'", cases[i].text, cases[i].list);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list_comes_back),
        cmocka_unit_test(a_member_is_the_whole_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
