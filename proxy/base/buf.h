/* SPDX-License-Identifier: Apache-2.0 */
/* Text builder with a limit given at creation: growing on the heap, or over borrowed memory of
 * fixed size (log lines, no malloc). What doesn't fit is cut and `truncated` set; nothing else
 * fails. */
#ifndef LT_BASE_BUF_H
#define LT_BASE_BUF_H

#include "base/str.h"

struct lt_buf {
    char *p;
    size_t len, cap; /* bytes used, bytes there */
    size_t max;      /* limit for cap */
    bool fixed;      /* p is borrowed */
    bool truncated;  /* something did not fit or memory was short */
};

/* Grows up to max bytes. */
void lt_buf_init(struct lt_buf *buf, size_t max);
/* Borrows mem for as long as the buffer is used. */
void lt_buf_init_fixed(struct lt_buf *buf, void *mem, size_t cap);
void lt_buf_fini(struct lt_buf *buf);

void lt_buf_add(struct lt_buf *buf, const void *p, size_t n);
void lt_buf_char(struct lt_buf *buf, char c);
void lt_buf_printf(struct lt_buf *buf, const char *fmt, ...) LT_PRINTF(2, 3);
void lt_buf_u64(struct lt_buf *buf, uint64_t v);

static inline void lt_buf_str(struct lt_buf *buf, struct lt_str s)
{
    lt_buf_add(buf, s.p, s.len);
}

static inline struct lt_str lt_buf_view(const struct lt_buf *buf)
{
    return lt_str(buf->p, buf->len);
}

/* s as the inside of a JSON string (no quotes): control bytes, quotes, backslash, DEL, C1 and
 * invalid UTF-8 are escaped as \u00XX, so that a line can't be forged (RFC 8259 §7). */
void lt_buf_json_text(struct lt_buf *buf, struct lt_str s);

/* s as a JSON string with its quotes. */
void lt_buf_json_str(struct lt_buf *buf, struct lt_str s);

#endif
