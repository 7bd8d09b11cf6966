/* SPDX-License-Identifier: Apache-2.0 */
/* Two readers for one request: this project's, and a second one here that knows nothing of it,
 * splits at CRLF and is stricter than any server. Whatever the first accepts the second must read
 * with the same framing: a difference would be a way to smuggle. The input is what follows a good
 * request line and Host, so that the fuzzer spends its time on framing. */
#include "tests/unit/h1_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define START "POST /p HTTP/1.1\r\nHost: a\r\n"

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct second {
    const char *at, *end;
    bool chunked;
    bool length_given;
    uint64_t length;
};

/* The text before the next CRLF, in which no CR or LF stands. */
static struct lt_str next_line(struct second *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at != '\r' && *s->at != '\n') {
        s->at++;
    }
    require(s->end - s->at >= 2 && s->at[0] == '\r' && s->at[1] == '\n');
    s->at += 2;
    return lt_str(start, (size_t)(s->at - 2 - start));
}

static void read_field(struct second *s, struct lt_str line)
{
    size_t colon = lt_str_chr(line, ':', 0);
    require(colon != SIZE_MAX && colon > 0 && line.p[0] != ' ' && line.p[0] != '\t');
    require(line.p[colon - 1] != ' ' && line.p[colon - 1] != '\t');
    struct lt_str name = lt_str(line.p, colon);
    struct lt_str value = lt_str_trim(lt_str_sub(line, colon + 1, line.len));
    if (lt_str_eq_nocase(name, LT_STR("transfer-encoding"))) {
        require(!s->chunked && lt_str_eq_nocase(value, LT_STR("chunked")));
        s->chunked = true;
    } else if (lt_str_eq_nocase(name, LT_STR("content-length"))) {
        require(!s->length_given && lt_str_to_u64(value, &s->length));
        s->length_given = true;
    }
    require(!s->chunked || !s->length_given);
}

static void read_head(struct second *s)
{
    struct lt_str line = next_line(s);
    for (line = next_line(s); line.len > 0; line = next_line(s)) {
        read_field(s, line);
    }
}

/* Reads a chunked body and compares it with the one that the first reader delivered. */
static void read_chunks(struct second *s, struct lt_str body)
{
    size_t seen = 0;
    for (;;) {
        struct lt_str line = next_line(s);
        size_t digits = 0, n = 0;
        while (digits < line.len && lt_char_hex(line.p[digits]) >= 0) {
            n = n * 16 + (size_t)lt_char_hex(line.p[digits++]);
        }
        require(digits > 0 && (digits == line.len || line.p[digits] == ';'));
        if (n == 0) {
            break;
        }
        require((size_t)(s->end - s->at) >= n && body.len - seen >= n);
        require(memcmp(s->at, body.p + seen, n) == 0);
        s->at += n;
        seen += n;
        require(next_line(s).len == 0);
    }
    require(seen == body.len);
    while (next_line(s).len > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = sizeof(START) - 1 + size;
    char *in = malloc(len);
    struct reader r;
    if (in == NULL) {
        return 0;
    }
    memcpy(in, START, sizeof(START) - 1);
    memcpy(in + sizeof(START) - 1, data, size);
    reader_init(&r);
    reader_run(&r, in, len, 5, NULL, false, LT_METHOD_UNKNOWN);
    if (r.head_done) {
        struct second s = {.at = in, .end = in + len};
        read_head(&s);
        require(s.chunked == (r.req.body == LT_BODY_CHUNKED));
        require(s.length_given == (r.req.body == LT_BODY_LENGTH));
        require(s.length == r.req.content_length);
        if (r.complete) {
            if (s.chunked) {
                read_chunks(&s, lt_buf_view(&r.body));
            } else {
                require((uint64_t)(s.end - s.at) >= s.length && r.body.len == s.length);
                s.at += s.length;
            }
            require(s.at == in + r.used);
        }
    }
    reader_fini(&r);
    free(in);
    return 0;
}
