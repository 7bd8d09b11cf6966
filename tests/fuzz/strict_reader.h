/* SPDX-License-Identifier: Apache-2.0 */
/* A second reader of HTTP/1 for the fuzz targets: it knows nothing of the project's parser, splits
 * at CRLF, is stricter than any server, and aborts on whatever it doesn't understand. What the
 * project's parser accepts, or its writer writes, this one has to read as the same message. */
#ifndef LT_TESTS_FUZZ_STRICT_READER_H
#define LT_TESTS_FUZZ_STRICT_READER_H

#include "base/str.h"

#include <stdlib.h>

#define STRICT_FIELDS_MAX 256

struct strict_field {
    struct lt_str name, value;
};

struct strict {
    const char *at, *end;
    struct lt_str words[3]; /* of the first line; the last one has all that is left of it */
    struct strict_field fields[STRICT_FIELDS_MAX];
    size_t n_fields;
    struct strict_field trailers[STRICT_FIELDS_MAX];
    size_t n_trailers;
    bool chunked, length_given;
    uint64_t length;
};

static inline void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* The text before the next CRLF, in which no CR or LF stands. */
static inline struct lt_str strict_line(struct strict *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at != '\r' && *s->at != '\n') {
        s->at++;
    }
    require(s->end - s->at >= 2 && s->at[0] == '\r' && s->at[1] == '\n');
    s->at += 2;
    return lt_str(start, (size_t)(s->at - 2 - start));
}

static inline bool strict_token(struct lt_str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || memchr(others, c, sizeof(others) - 1) == NULL)) {
            return false;
        }
    }
    return s.len > 0;
}

static inline struct strict_field strict_split(struct lt_str line)
{
    size_t colon = lt_str_chr(line, ':', 0);
    require(colon != SIZE_MAX);
    struct strict_field f = {.name = lt_str(line.p, colon),
                             .value = lt_str_trim(lt_str_sub(line, colon + 1, line.len))};
    require(strict_token(f.name));
    for (size_t i = 0; i < f.value.len; i++) {
        unsigned char c = (unsigned char)f.value.p[i];
        require((c >= 0x20 && c != 0x7f) || c == '\t');
    }
    return f;
}

static inline void strict_head(struct strict *s, const char *in, size_t len)
{
    memset(s, 0, sizeof(*s));
    s->at = in;
    s->end = in + len;
    struct lt_str line = strict_line(s);
    size_t first = lt_str_chr(line, ' ', 0);
    size_t second = first != SIZE_MAX ? lt_str_chr(line, ' ', first + 1) : SIZE_MAX;
    require(second != SIZE_MAX);
    s->words[0] = lt_str_sub(line, 0, first);
    s->words[1] = lt_str_sub(line, first + 1, second);
    s->words[2] = lt_str_sub(line, second + 1, line.len);
    for (line = strict_line(s); line.len > 0; line = strict_line(s)) {
        require(s->n_fields < STRICT_FIELDS_MAX);
        struct strict_field f = strict_split(line);
        if (lt_str_eq_nocase(f.name, LT_STR("transfer-encoding"))) {
            require(!s->chunked && lt_str_eq_nocase(f.value, LT_STR("chunked")));
            s->chunked = true;
        } else if (lt_str_eq_nocase(f.name, LT_STR("content-length"))) {
            require(!s->length_given && lt_str_to_u64(f.value, &s->length));
            s->length_given = true;
        }
        require(!s->chunked || !s->length_given);
        s->fields[s->n_fields++] = f;
    }
}

/* A chunked body with its trailers; it must be `body`. extensions: whether there may be any. */
static inline void strict_chunks(struct strict *s, struct lt_str body, bool extensions)
{
    size_t seen = 0;
    for (;;) {
        struct lt_str line = strict_line(s);
        size_t digits = 0, n = 0;
        while (digits < line.len && lt_char_hex(line.p[digits]) >= 0) {
            n = n * 16 + (size_t)lt_char_hex(line.p[digits++]);
        }
        require(digits > 0 && (digits == line.len || (extensions && line.p[digits] == ';')));
        if (n == 0) {
            break;
        }
        require((size_t)(s->end - s->at) >= n && body.len - seen >= n);
        require(memcmp(s->at, body.p + seen, n) == 0);
        s->at += n;
        seen += n;
        require(strict_line(s).len == 0);
    }
    require(seen == body.len);
    for (struct lt_str line = strict_line(s); line.len > 0; line = strict_line(s)) {
        require(s->n_trailers < STRICT_FIELDS_MAX);
        s->trailers[s->n_trailers++] = strict_split(line);
    }
}

/* A body of that many bytes; it must be `body`. */
static inline void strict_bytes(struct strict *s, struct lt_str body)
{
    require((size_t)(s->end - s->at) >= body.len);
    require(body.len == 0 || memcmp(s->at, body.p, body.len) == 0);
    s->at += body.len;
}

#endif
