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

enum lt_regex_flag {
    LT_REGEX_CASELESS = 1 << 0,  /* letters match both cases */
    LT_REGEX_MULTILINE = 1 << 1, /* ^ and $ match at lines */
    LT_REGEX_DOTALL = 1 << 2,    /* . matches the end of a line, too */
    LT_REGEX_EXTENDED = 1 << 3,  /* white space and comments in the pattern mean nothing */
    LT_REGEX_WATCHED = 1 << 4    /* searches count their steps: lt_regex_search */
};

/* What a search in a long text may cost. The match limits hold for each place where a match may
 * begin; the steps of a pattern compiled as LT_REGEX_WATCHED are counted over all of them. */
struct lt_regex_watch {
    uint64_t steps_max;      /* with more the search fails */
    bool (*stop)(void *arg); /* asked every few thousand steps: whether to fail now */
    void *arg;
    uint64_t steps;    /* taken so far, of all searches with this watch; begins at 0 */
    uint64_t asked_at; /* private; begins at 0 */
    size_t at;         /* private */
};

/* Compiles pattern; the result lives in arena. NULL on error: *why (in arena) says what is wrong,
 * at byte *offset of the pattern; why is empty without memory. */
struct lt_regex *lt_regex_compile(struct lt_arena *arena, struct lt_str pattern, size_t *offset,
                                  struct lt_str *why);
/* As lt_regex_compile, with a sum of enum lt_regex_flag. */
struct lt_regex *lt_regex_compile_flags(struct lt_arena *arena, struct lt_str pattern,
                                        unsigned flags, size_t *offset, struct lt_str *why);

/* Bytes of memory that its program takes, outside of the arena. */
size_t lt_regex_size(const struct lt_regex *regex);

/* Whether it matches somewhere in subject. groups (may be NULL) gets the first n groups, at most
 * LT_REGEX_GROUPS_MAX, the whole match being number 0, as slices of subject; a group that took no
 * part has p == NULL. Allocates once per thread. */
enum lt_regex_result lt_regex_match(const struct lt_regex *regex, struct lt_str subject,
                                    struct lt_str *groups, unsigned n);

/* As lt_regex_match for a match that begins at `from` or later; what stands before it is seen by
 * look-behinds. nonempty: none that is empty and begins at `from`. watch may be NULL. */
enum lt_regex_result lt_regex_search(const struct lt_regex *regex, struct lt_str subject,
                                     size_t from, bool nonempty, struct lt_regex_watch *watch,
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
