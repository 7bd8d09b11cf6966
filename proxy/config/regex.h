/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions of the configuration: PCRE2 with its JIT, always with match limits, so that
 * no input makes a match slow. Compile on one thread; match from any. */
#ifndef LT_CONFIG_REGEX_H
#define LT_CONFIG_REGEX_H

#include "base/arena.h"

struct lt_regex;

/* Compiles pattern; the result lives in arena. NULL on error: *why (in arena) says what is wrong,
 * at byte *offset of the pattern; why is empty without memory. */
struct lt_regex *lt_regex_compile(struct lt_arena *arena, struct lt_str pattern, size_t *offset,
                                  struct lt_str *why);

/* Whether it matches somewhere in subject. A match that would exceed the limits is none. Allocates
 * once per thread. */
bool lt_regex_test(const struct lt_regex *regex, struct lt_str subject);

#endif
