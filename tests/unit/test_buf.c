/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"

static void grows_up_to_its_limit_and_says_what_was_cut(void **state)
{
    (void)state;
    struct lt_buf b;
    lt_buf_init(&b, 300);
    for (int i = 0; i < 290; i++) {
        lt_buf_char(&b, 'x');
    }
    assert_false(b.truncated);
    lt_buf_printf(&b, "%s", "0123456789abcdef");
    assert_true(b.truncated);
    assert_int_equal(b.len, 300);
    lt_buf_fini(&b);
}

static void formats_long_text(void **state)
{
    (void)state;
    char big[1000];
    memset(big, 'y', sizeof(big) - 1);
    big[999] = '\0';
    struct lt_buf b;
    lt_buf_init(&b, 4096);
    lt_buf_printf(&b, "<%s>", big);
    lt_buf_u64(&b, UINT64_MAX);
    assert_int_equal(b.len, 1001 + 20);
    assert_memory_equal(b.p + 1001, "18446744073709551615", 20);
    lt_buf_fini(&b);
}

static void keeps_to_borrowed_memory(void **state)
{
    (void)state;
    char mem[8];
    struct lt_buf b;
    lt_buf_init_fixed(&b, mem, sizeof(mem));
    lt_buf_str(&b, LT_STR("123456789"));
    assert_true(b.truncated);
    assert_str(lt_buf_view(&b), "12345678");
    lt_buf_fini(&b);
}

static struct lt_str json(struct lt_buf *b, const char *p, size_t n)
{
    b->len = 0;
    lt_buf_json_str(b, lt_str(p, n));
    return lt_buf_view(b);
}

static void escapes_whatever_could_forge_a_log_line(void **state)
{
    (void)state;
    char mem[256];
    struct lt_buf b;
    lt_buf_init_fixed(&b, mem, sizeof(mem));
    assert_str(json(&b, "plain", 5), "\"plain\"");
    assert_str(json(&b, "a\"b\\c", 5), "\"a\\\"b\\\\c\"");
    assert_str(json(&b, "\r\n\0\x1b\x7f", 5), "\"\\u000d\\u000a\\u0000\\u001b\\u007f\"");
    assert_str(json(&b, "\xc3\xa4\xf0\x9f\x99\x82", 6), "\"\xc3\xa4\xf0\x9f\x99\x82\"");
    /* C1 control, overlong slash, surrogate, above U+10FFFF, cut sequence, lone continuation */
    assert_str(json(&b, "\xc2\x85", 2), "\"\\u0085\"");
    assert_str(json(&b, "\xc0\xaf", 2), "\"\\u00c0\\u00af\"");
    assert_str(json(&b, "\xed\xa0\x80", 3), "\"\\u00ed\\u00a0\\u0080\"");
    assert_str(json(&b, "\xf4\x90\x80\x80", 4), "\"\\u00f4\\u0090\\u0080\\u0080\"");
    assert_str(json(&b, "\xe2\x82", 2), "\"\\u00e2\\u0082\"");
    assert_str(json(&b, "\x80", 1), "\"\\u0080\"");
    assert_str(json(&b, NULL, 0), "\"\"");
}

static void is_cut_not_broken_without_memory(void **state)
{
    (void)state;
    struct lt_buf b;
    lt_buf_init(&b, 1000);
    lt_mem_fail_at(1);
    lt_buf_str(&b, LT_STR("abc"));
    lt_mem_fail_at(0);
    assert_true(b.truncated);
    assert_int_equal(b.len, 0);
    lt_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_up_to_its_limit_and_says_what_was_cut),
        cmocka_unit_test(formats_long_text),
        cmocka_unit_test(keeps_to_borrowed_memory),
        cmocka_unit_test(escapes_whatever_could_forge_a_log_line),
        cmocka_unit_test(is_cut_not_broken_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
