/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 heads and chunk lines as bytes. The size is computed first, then all is copied once. What
 * filters and configuration put into a head is judged here by the rules for parsed heads. */
#include "http/h1.h"

/* Most texts are short: two words that may overlap are cheaper than a call. */
static inline char *put(char *at, struct lt_str s)
{
    if (s.len >= 8 && s.len <= 16) {
        uint64_t first, last;
        memcpy(&first, s.p, 8);
        memcpy(&last, s.p + s.len - 8, 8);
        memcpy(at, &first, 8);
        memcpy(at + s.len - 8, &last, 8);
    } else if (s.len > 0) {
        memcpy(at, s.p, s.len);
    }
    return at + s.len;
}

/* Bytes that the fields and the final empty line take; 0 when one is not fit to be sent. */
static size_t fields_size(const struct lt_headers *headers)
{
    size_t size = 2;
    for (unsigned i = 0; i < headers->n; i++) {
        const struct lt_header *h = &headers->v[i];
        bool name_ok = h->id != LT_HEADER_OTHER || lt_header_name_ok(h->name);
        if (LT_UNLIKELY(!name_ok || !lt_header_value_ok(h->value))) {
            return 0;
        }
        size += h->name.len + h->value.len + 4;
    }
    return size;
}

static char *put_fields(char *at, const struct lt_headers *headers)
{
    for (unsigned i = 0; i < headers->n; i++) {
        at = put(at, headers->v[i].name);
        *at++ = ':';
        *at++ = ' ';
        at = put(at, headers->v[i].value);
        *at++ = '\r';
        *at++ = '\n';
    }
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static bool target_ok(struct lt_str target)
{
    return target.len > 0 && lt_header_value_ok(target) && lt_str_chr(target, ' ', 0) == SIZE_MAX &&
           lt_str_chr(target, '\t', 0) == SIZE_MAX;
}

enum lt_err lt_h1_write_request(struct lt_arena *arena, struct lt_str method, struct lt_str target,
                                const struct lt_headers *headers, struct lt_str *out)
{
    const struct lt_str version = LT_STR(" HTTP/1.1\r\n");
    size_t size = fields_size(headers);
    if (size == 0 || !lt_header_name_ok(method) || !target_ok(target)) {
        return LT_ERR_INVALID;
    }
    size += method.len + 1 + target.len + version.len;
    char *p = lt_arena_chars(arena, size);
    if (p == NULL) {
        return LT_ERR_NOMEM;
    }
    char *at = put(p, method);
    *at++ = ' ';
    at = put(put(at, target), version);
    put_fields(at, headers);
    *out = lt_str(p, size);
    return LT_OK;
}

enum lt_err lt_h1_write_response(struct lt_arena *arena, unsigned version, unsigned status,
                                 const struct lt_headers *headers, struct lt_str *out)
{
    const struct lt_str start = version == 10 ? LT_STR("HTTP/1.0 ") : LT_STR("HTTP/1.1 ");
    const struct lt_str reason = lt_str_c(lt_status_reason(status));
    size_t size = fields_size(headers);
    if (size == 0 || status < 100 || status > 599) {
        return LT_ERR_INVALID;
    }
    size += start.len + 4 + reason.len + 2;
    char *p = lt_arena_chars(arena, size);
    if (p == NULL) {
        return LT_ERR_NOMEM;
    }
    char *at = put(p, start);
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = put(put(at, reason), LT_STR("\r\n"));
    put_fields(at, headers);
    *out = lt_str(p, size);
    return LT_OK;
}

enum lt_err lt_h1_write_end(struct lt_arena *arena, const struct lt_headers *trailers,
                            struct lt_str *out)
{
    size_t size = trailers != NULL && trailers->n > 0 ? fields_size(trailers) : 0;
    if (size == 0) {
        *out = LT_STR("0\r\n\r\n");
        return LT_OK;
    }
    char *p = lt_arena_chars(arena, size + 3);
    if (p == NULL) {
        return LT_ERR_NOMEM;
    }
    put_fields(put(p, LT_STR("0\r\n")), trailers);
    *out = lt_str(p, size + 3);
    return LT_OK;
}

size_t lt_h1_chunk_line(char out[LT_H1_CHUNK_LINE_MAX], size_t n)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = 1;
    while (len < 16 && n >> (4 * len) != 0) {
        len++;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = digits[(n >> (4 * (len - 1 - i))) & 15];
    }
    out[len] = '\r';
    out[len + 1] = '\n';
    return len + 2;
}
