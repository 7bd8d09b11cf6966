/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test includes: cmocka with the headers it wants before itself. */
#ifndef LT_TESTS_UNIT_H
#define LT_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

/* Compares a struct lt_str with a C string. */
#define assert_str(s, expected)                                                                    \
    do {                                                                                           \
        struct lt_str got_ = (s);                                                                  \
        struct lt_str want_ = lt_str_c(expected);                                                  \
        if (!lt_str_eq(got_, want_)) {                                                             \
            fail_msg("got \"%.*s\", expected \"%.*s\"", LT_STR_ARG(got_), LT_STR_ARG(want_));      \
        }                                                                                          \
    } while (0)

#endif
