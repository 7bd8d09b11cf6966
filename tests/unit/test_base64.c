/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/base64.h"

static void check_both(enum lt_base64 form, const char *bytes, size_t n, const char *text)
{
    char out[64];
    unsigned char back[64];
    size_t len = lt_base64_encode(form, lt_str(bytes, n), out);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(out, text, len);
    assert_true(lt_base64_decode(form, lt_str_c(text), back, &len));
    assert_int_equal(len, n);
    assert_memory_equal(back, bytes, n);
}

/* RFC 4648 §10. */
static void both_ways(void **state)
{
    (void)state;
    static const char *const plain[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < lt_countof(plain); i++) {
        check_both(LT_BASE64_PLAIN, plain[i][0], strlen(plain[i][0]), plain[i][1]);
    }
    check_both(LT_BASE64_PLAIN, "\xfb\xff", 2, "+/8=");
    check_both(LT_BASE64_URL, "\xfb\xff", 2, "-_8");
    check_both(LT_BASE64_URL, "\0", 1, "AA");
}

static void each_text_has_one_form(void **state)
{
    (void)state;
    static const char *const plain[] = {
        "Z", "Zg", "Zg=", "Zh==", "Z===", "====", "Zm-v", "Zg==Zg==", "Zm9v Yg==", "Zm9v\n"};
    static const char *const url[] = {"Z", "Zg==", "Zh", "Zm+v", "Zm9", "Zm9v\n", "Zm9v=", " Zm9v"};
    unsigned char out[64];
    size_t n;
    for (size_t i = 0; i < lt_countof(plain); i++) {
        assert_false(lt_base64_decode(LT_BASE64_PLAIN, lt_str_c(plain[i]), out, &n));
    }
    for (size_t i = 0; i < lt_countof(url); i++) {
        assert_false(lt_base64_decode(LT_BASE64_URL, lt_str_c(url[i]), out, &n));
    }
    assert_false(lt_base64_decode(LT_BASE64_URL, lt_str("Zm\0v", 4), out, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(each_text_has_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
