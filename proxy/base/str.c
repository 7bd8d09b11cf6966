/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on borrowed text. Any thread. */
#include "base/str.h"

int lt_char_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lt_char_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool lt_str_eq_nocase(struct lt_str a, struct lt_str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lt_char_lower(a.p[i]) != lt_char_lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

int lt_str_cmp(struct lt_str a, struct lt_str b)
{
    size_t n = lt_min(a.len, b.len);
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0) {
        return c;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool lt_str_starts(struct lt_str s, struct lt_str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

bool lt_str_ends(struct lt_str s, struct lt_str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.p + s.len - suffix.len, suffix.p, suffix.len) == 0);
}

size_t lt_str_chr(struct lt_str s, char c, size_t from)
{
    if (from >= s.len) {
        return SIZE_MAX;
    }
    const char *hit = memchr(s.p + from, c, s.len - from);
    return hit != NULL ? (size_t)(hit - s.p) : SIZE_MAX;
}

size_t lt_str_rchr(struct lt_str s, char c)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.p[i - 1] == c) {
            return i - 1;
        }
    }
    return SIZE_MAX;
}

size_t lt_str_find(struct lt_str s, struct lt_str needle)
{
    if (needle.len == 0) {
        return 0;
    }
    if (s.len < needle.len) {
        return SIZE_MAX;
    }
    const char *hit = memmem(s.p, s.len, needle.p, needle.len);
    return hit != NULL ? (size_t)(hit - s.p) : SIZE_MAX;
}

struct lt_str lt_str_sub(struct lt_str s, size_t from, size_t to)
{
    to = lt_min(to, s.len);
    from = lt_min(from, to);
    return lt_str(s.p != NULL ? s.p + from : NULL, to - from);
}

struct lt_str lt_str_cut(struct lt_str s, size_t max)
{
    size_t n = max;
    if (s.len <= max) {
        return s;
    }
    while (n > 0 && max - n < 3 && ((unsigned char)s.p[n] & 0xc0) == 0x80) {
        n--;
    }
    /* What isn't UTF-8 is cut anywhere. */
    return lt_str(s.p, ((unsigned char)s.p[n] & 0xc0) == 0x80 ? max : n);
}

struct lt_str lt_str_trim(struct lt_str s)
{
    while (s.len > 0 && lt_char_is_space(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && lt_char_is_space(s.p[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool lt_str_next(struct lt_str *rest, char sep, struct lt_str *token)
{
    if (rest->p == NULL) {
        return false;
    }
    size_t at = lt_str_chr(*rest, sep, 0);
    if (at == SIZE_MAX) {
        *token = lt_str_trim(*rest);
        *rest = LT_STR_NONE;
    } else {
        *token = lt_str_trim(lt_str(rest->p, at));
        *rest = lt_str(rest->p + at + 1, rest->len - at - 1);
    }
    return true;
}

bool lt_str_to_u64(struct lt_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!lt_char_is_digit(s.p[i]) || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

static bool same_letter(struct lt_str a, size_t i, struct lt_str b, size_t j)
{
    return lt_char_lower(a.p[i]) == lt_char_lower(b.p[j]);
}

unsigned lt_str_distance(struct lt_str a, struct lt_str b, unsigned limit)
{
    /* Three rows of the table in turn; words longer than a row are simply far apart. */
    unsigned rows[3][64];
    if (a.len >= lt_countof(rows[0]) || b.len >= lt_countof(rows[0])) {
        return limit;
    }
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        const unsigned *above = rows[(i - 1) % 3], *second = rows[(i + 1) % 3];
        unsigned *row = rows[i % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = same_letter(a, i - 1, b, j - 1);
            row[j] = lt_min(lt_min(above[j] + 1, row[j - 1] + 1), above[j - 1] + !same);
            if (!same && i > 1 && j > 1 && same_letter(a, i - 1, b, j - 2) &&
                same_letter(a, i - 2, b, j - 1)) {
                row[j] = lt_min(row[j], second[j - 2] + 1);
            }
        }
    }
    return lt_min(rows[a.len % 3][b.len], limit);
}
