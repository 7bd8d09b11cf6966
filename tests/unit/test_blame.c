/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "http/blame.h"

static void the_largest_field_is_found(void **state)
{
    static const struct {
        const char *head, *name;
        size_t bytes;
        unsigned line;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nA: b\r\nLarge: abcdef\r\nC: d\r\n\r\n", "Large", 15, 3},
        {"HTTP/1.1 200 OK\r\nA: b\r\nLarge: cut in the mid", "Large", 21, 3},
        {"HTTP/1.1 200 OK\r\nA: b\r\nno name at all\r\n\r\n", "", 16, 3},
        {"HTTP/1.1 200 OK\r\nA: b\r\nbad name: abcdef\r\n\r\n", "", 18, 3},
        {"HTTP/1.1 200 OK\r\n", "", 0, 0},
        {"HTTP/1.1", "", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_blame b = lt_blame_largest(lt_str_c(cases[i].head));
        assert_true(lt_str_eq_c(b.name, cases[i].name));
        assert_int_equal(b.bytes, cases[i].bytes);
        assert_int_equal(b.line, cases[i].line);
    }
}

static void the_line_that_breaks_a_rule_is_found(void **state)
{
    static const struct {
        const char *head;
        enum lt_cause rule;
        const char *name;
        unsigned line;
    } cases[] = {
        {"HTTP/9\r\nA: b\r\n\r\n", LT_CAUSE_REQUEST_LINE_INVALID, "", 1},
        {"HTTP/1.1 200 OK\r\nA: b\r\nX: \001\r\n\r\n", LT_CAUSE_HEADER_INVALID, "X", 3},
        {"HTTP/1.1 200 OK\r\nA: b\r\nX Y: z\r\n\r\n", LT_CAUSE_HEADER_INVALID, "", 3},
        {"HTTP/1.1 200 OK\r\nA: b\r\nnothing\r\n\r\n", LT_CAUSE_HEADER_INVALID, "", 3},
        {"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", LT_CAUSE_HEADER_INVALID, "", 0},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", LT_CAUSE_HEADER_FOLDED, "", 3},
        {"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", LT_CAUSE_LINE_END_INVALID, "A", 2},
        {"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", LT_CAUSE_LINE_END_INVALID, "A", 2},
        {"HTTP/1.1 200 OK\r\nA: b\r\nC", LT_CAUSE_LINE_END_INVALID, "", 3},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n",
         LT_CAUSE_CONTENT_LENGTH_INVALID, "content-length", 3},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\nA: b\r\n\r\n",
         LT_CAUSE_TRANSFER_ENCODING_INVALID, "Transfer-Encoding", 2},
        {"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", LT_CAUSE_TARGET_INVALID, "", 0},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_blame b = lt_blame_rule(lt_str_c(cases[i].head), cases[i].rule);
        if (!lt_str_eq_c(b.name, cases[i].name) || b.line != cases[i].line) {
            fail_msg("%zu: %.*s, line %u", i, LT_STR_ARG(b.name), b.line);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_field_is_found),
        cmocka_unit_test(the_line_that_breaks_a_rule_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
