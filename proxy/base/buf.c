/* SPDX-License-Identifier: Apache-2.0 */
/* Text builder with a limit. One thread at a time. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void lt_buf_init(struct lt_buf *buf, size_t max)
{
    *buf = (struct lt_buf){.max = max};
}

void lt_buf_init_fixed(struct lt_buf *buf, void *mem, size_t cap)
{
    *buf = (struct lt_buf){.p = mem, .cap = cap, .max = cap, .fixed = true};
}

void lt_buf_fini(struct lt_buf *buf)
{
    if (!buf->fixed) {
        lt_free(buf->p);
    }
    *buf = (struct lt_buf){0};
}

/* Makes room for n more bytes as far as the limit allows; gives how many of them fit. */
static size_t reserve(struct lt_buf *buf, size_t n)
{
    if (LT_LIKELY(n <= buf->cap - buf->len)) {
        return n;
    }
    if (!buf->fixed && buf->cap < buf->max) {
        size_t want = n > buf->max - buf->len ? buf->max : buf->len + n;
        size_t cap = lt_min(lt_max(want, lt_max(buf->cap * 2, (size_t)256)), buf->max);
        char *p = lt_realloc(buf->p, cap, 1);
        if (p != NULL) {
            buf->p = p;
            buf->cap = cap;
        }
    }
    size_t room = buf->cap - buf->len;
    if (n > room) {
        buf->truncated = true;
        n = room;
    }
    return n;
}

void lt_buf_add(struct lt_buf *buf, const void *p, size_t n)
{
    n = reserve(buf, n);
    if (n > 0) {
        memcpy(buf->p + buf->len, p, n);
        buf->len += n;
    }
}

void lt_buf_char(struct lt_buf *buf, char c)
{
    lt_buf_add(buf, &c, 1);
}

void lt_buf_printf(struct lt_buf *buf, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0) {
        buf->truncated = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        lt_buf_add(buf, small, (size_t)n);
        return;
    }
    /* vsnprintf wants room for a NUL that isn't counted as text. */
    if (reserve(buf, (size_t)n + 1) < (size_t)n + 1) {
        lt_buf_add(buf, small, sizeof(small) - 1);
        return;
    }
    va_start(ap, fmt);
    vsnprintf(buf->p + buf->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)n;
}

void lt_buf_u64(struct lt_buf *buf, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    lt_buf_add(buf, digits + at, sizeof(digits) - at);
}

/* Length of the valid UTF-8 sequence at p, or 0. C1 controls (U+0080 to U+009F) count as invalid.
 */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
               (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
               (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : len;
}

void lt_buf_json_text(struct lt_buf *buf, struct lt_str s)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)s.p;
    size_t plain = 0; /* start of the run not yet copied */
    size_t i = 0;
    while (i < s.len) {
        unsigned char c = p[i];
        if (LT_LIKELY(c >= 0x20 && c < 0x7f && c != '"' && c != '\\')) {
            i++;
            continue;
        }
        size_t seq = c >= 0x80 ? utf8_len(p + i, s.len - i) : 0;
        if (seq > 0) {
            i += seq;
            continue;
        }
        lt_buf_add(buf, p + plain, i - plain);
        if (c == 0xc2 && i + 1 < s.len && p[i + 1] >= 0x80 && p[i + 1] < 0xa0) {
            c = p[++i]; /* a C1 control is one letter, of two bytes */
        }
        if (c == '"' || c == '\\') {
            char two[2] = {'\\', (char)c};
            lt_buf_add(buf, two, 2);
        } else {
            char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            lt_buf_add(buf, six, 6);
        }
        if (LT_UNLIKELY(buf->truncated)) {
            return; /* the rest would be read for nothing */
        }
        plain = ++i;
    }
    lt_buf_add(buf, p != NULL ? p + plain : p, s.len - plain);
}

void lt_buf_json_str(struct lt_buf *buf, struct lt_str s)
{
    lt_buf_char(buf, '"');
    lt_buf_json_text(buf, s);
    lt_buf_char(buf, '"');
}
