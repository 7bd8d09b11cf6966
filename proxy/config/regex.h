/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions of the configuration: PCRE2 with its JIT, always with match limits, so that
 * no input makes a match slow. Compile on one thread; match from any. */
#ifndef LT_CONFIG_REGEX_H
#define LT_CONFIG_REGEX_H

#include "base/arena.h"

struct lt_regex;

/* Groups that a match can give back. */
#define LT_REGEX_GROUPS_MAX 32u

enum lt_regex_result {
    LT_REGEX_NO,
    LT_REGEX_YES,
    LT_REGEX_FAILED /* the limits were exceeded, or no memory: it is not known */
};

/* Compiles pattern; the result lives in arena. NULL on error: *why (in arena) says what is wrong,
 * at byte *offset of the pattern; why is empty without memory. */
struct lt_regex *lt_regex_compile(struct lt_arena *arena, struct lt_str pattern, size_t *offset,
                                  struct lt_str *why);

/* Whether it matches somewhere in subject. groups (may be NULL) gets the first n groups, at most
 * LT_REGEX_GROUPS_MAX, the whole match being number 0, as slices of subject; a group that took no
 * part has p == NULL. Allocates once per thread. */
enum lt_regex_result lt_regex_match(const struct lt_regex *regex, struct lt_str subject,
                                    struct lt_str *groups, unsigned n);

/* The groups of the pattern, the whole match included. */
unsigned lt_regex_groups(const struct lt_regex *regex);

/* The i-th of its named groups in alphabetical order, and its number; false when there are no more.
 * The name lives as long as the regex. */
bool lt_regex_name(const struct lt_regex *regex, unsigned i, struct lt_str *name, unsigned *group);

/* The text that every match begins with at the start of its subject: what stands after a leading
 * `^`, up to the first byte that means something. Empty without one. A slice of pattern, or in
 * arena; false without memory. */
bool lt_regex_prefix(struct lt_arena *arena, struct lt_str pattern,
                     struct lt_str *prefix) LT_MUST_CHECK;

#endif
