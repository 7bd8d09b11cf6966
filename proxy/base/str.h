/* SPDX-License-Identifier: Apache-2.0 */
/* struct lt_str: a borrowed piece of text, pointer and length, not NUL-terminated. */
#ifndef LT_BASE_STR_H
#define LT_BASE_STR_H

#include "base/defs.h"

#include <string.h>

struct lt_str {
    const char *p; /* may be NULL when len is 0 */
    size_t len;    /* bytes */
};

#define LT_STR(literal) ((struct lt_str){.p = "" literal, .len = sizeof(literal) - 1})
#define LT_STR_INIT(literal)                                                                       \
    {                                                                                              \
        .p = "" literal, .len = sizeof(literal) - 1                                                \
    }
#define LT_STR_NONE ((struct lt_str){.p = NULL, .len = 0})
/* For printf("%.*s", LT_STR_ARG(s)). */
#define LT_STR_ARG(s) (int)(s).len, ((s).p != NULL ? (s).p : "")

static inline struct lt_str lt_str(const char *p, size_t len)
{
    return (struct lt_str){.p = p, .len = len};
}

static inline struct lt_str lt_str_c(const char *cstr)
{
    return (struct lt_str){.p = cstr, .len = cstr != NULL ? strlen(cstr) : 0};
}

static inline bool lt_str_eq(struct lt_str a, struct lt_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool lt_str_eq_c(struct lt_str a, const char *b)
{
    return lt_str_eq(a, lt_str_c(b));
}

static inline char lt_char_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool lt_char_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool lt_char_is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The value of a hexadecimal digit, or -1. */
int lt_char_hex(char c);

/* ASCII case-insensitive. */
bool lt_str_eq_nocase(struct lt_str a, struct lt_str b);

/* <0, 0, >0 by bytes, shorter first. */
int lt_str_cmp(struct lt_str a, struct lt_str b);

bool lt_str_starts(struct lt_str s, struct lt_str prefix);
bool lt_str_ends(struct lt_str s, struct lt_str suffix);

/* Index of the first c at or after from, or SIZE_MAX. */
size_t lt_str_chr(struct lt_str s, char c, size_t from);

/* Index of the last c, or SIZE_MAX. */
size_t lt_str_rchr(struct lt_str s, char c);

/* Index of needle, or SIZE_MAX. */
size_t lt_str_find(struct lt_str s, struct lt_str needle);

/* s[from, to), clamped to s. */
struct lt_str lt_str_sub(struct lt_str s, size_t from, size_t to);

/* The first max bytes of s, or up to 3 fewer, so that no UTF-8 sequence is cut in two. */
struct lt_str lt_str_cut(struct lt_str s, size_t max);

/* Without spaces and tabs at both ends. */
struct lt_str lt_str_trim(struct lt_str s);

/* Cuts the text before the next sep off *rest and gives it, trimmed, in *token. False when *rest is
 * used up. Empty tokens are given too. */
bool lt_str_next(struct lt_str *rest, char sep, struct lt_str *token);

/* The whole of s as a plain decimal (digits only, no sign). False on anything else or on overflow.
 */
bool lt_str_to_u64(struct lt_str s, uint64_t *out) LT_MUST_CHECK;

/* The number of single-character edits between a and b, or limit when there are at least so many.
 * For "did you mean". */
unsigned lt_str_distance(struct lt_str a, struct lt_str b, unsigned limit);

#endif
