/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

static const char alphabets[][65] = {
    [LT_BASE64_PLAIN] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [LT_BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t lt_base64_encode(enum lt_base64 form, struct lt_str s, char *out)
{
    const char *digits = alphabets[form];
    size_t n = 0;
    for (size_t i = 0; i < s.len; i += 3) {
        size_t left = lt_min(s.len - i, (size_t)3);
        uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;
        v |= left > 1 ? (uint32_t)(unsigned char)s.p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(unsigned char)s.p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            if (k <= left) {
                out[n++] = digits[v >> (18 - 6 * k) & 63];
            } else if (form == LT_BASE64_PLAIN) {
                out[n++] = '=';
            }
        }
    }
    return n;
}

static int digit_value(enum lt_base64 form, char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (lt_char_is_digit(c)) {
        return c - '0' + 52;
    }
    return c == alphabets[form][62] ? 62 : c == alphabets[form][63] ? 63 : -1;
}

bool lt_base64_decode(enum lt_base64 form, struct lt_str s, unsigned char *out, size_t *n)
{
    uint32_t v = 0;
    unsigned bits = 0;
    *n = 0;
    if (form == LT_BASE64_PLAIN && s.len % 4 != 0) {
        return false;
    }
    for (unsigned i = 0; form == LT_BASE64_PLAIN && i < 2 && s.len > 0 && s.p[s.len - 1] == '=';
         i++) {
        s.len--;
    }
    if (s.len % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        int d = digit_value(form, s.p[i]);
        if (d < 0) {
            return false;
        }
        v = (v << 6 | (uint32_t)d) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[(*n)++] = (unsigned char)(v >> bits & 255);
        }
    }
    return (v & ((1u << bits) - 1)) == 0;
}
