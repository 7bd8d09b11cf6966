/* SPDX-License-Identifier: Apache-2.0 */
/* Lists as one text (members.h). No memory is allocated. Any thread. */
#include "base/members.h"

static bool is_plain(struct lt_str member, size_t i)
{
    unsigned char c = (unsigned char)member.p[i];
    bool end = i == 0 || i + 1 == member.len;
    return c >= 0x20 && c != 0x7f && c != ',' && c != '%' && !(c == ' ' && end);
}

size_t lt_members_put(char *out, size_t n, struct lt_str member)
{
    static const char digits[] = "0123456789ABCDEF";
    if (n > 0 && member.len > 0) {
        out[n++] = ',';
    }
    for (size_t i = 0; i < member.len; i++) {
        unsigned char c = (unsigned char)member.p[i];
        if (is_plain(member, i)) {
            out[n++] = member.p[i];
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    return n;
}

bool lt_members_next(struct lt_str *list, struct lt_str *member)
{
    while (list->len > 0) {
        size_t end = lt_min(lt_str_chr(*list, ',', 0), list->len);
        *member = lt_str_trim(lt_str_sub(*list, 0, end));
        *list = lt_str_sub(*list, lt_min(end + 1, list->len), list->len);
        if (member->len > 0) {
            return true;
        }
    }
    return false;
}

/* The byte at *i, which moves behind it. */
static char next_byte(struct lt_str s, size_t *i)
{
    size_t at = (*i)++;
    if (s.p[at] != '%' || at + 2 >= s.len || lt_char_hex(s.p[at + 1]) < 0 ||
        lt_char_hex(s.p[at + 2]) < 0) {
        return s.p[at];
    }
    *i += 2;
    return (char)(lt_char_hex(s.p[at + 1]) << 4 | lt_char_hex(s.p[at + 2]));
}

size_t lt_member_decode(struct lt_str member, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < member.len;) {
        out[n++] = next_byte(member, &i);
    }
    return n;
}

static bool same(struct lt_str member, struct lt_str text)
{
    size_t i = 0, n = 0;
    while (i < member.len && n < text.len && next_byte(member, &i) == text.p[n]) {
        n++;
    }
    return i == member.len && n == text.len;
}

bool lt_members_have(struct lt_str list, struct lt_str text)
{
    struct lt_str member;
    while (lt_members_next(&list, &member)) {
        if (same(member, text)) {
            return true;
        }
    }
    return false;
}
