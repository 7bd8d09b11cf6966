/* SPDX-License-Identifier: Apache-2.0 */
/* Heads to fields of HTTP/2. What filters and configuration put into a head is judged here by the
 * rules for parsed heads. No state; any thread. */
#include "http/h2.h"

#define PSEUDO_MAX 5 /* of one head */

struct out {
    struct lt_arena *arena;
    struct lt_h2_fields *fields;
};

static void push(struct out *o, struct lt_str name, struct lt_str value)
{
    /* nghttp2 takes pointers to what it never writes to. */
    o->fields->v[o->fields->n++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                                                .value = (uint8_t *)(uintptr_t)value.p,
                                                .namelen = name.len,
                                                .valuelen = value.len};
}

static bool begin(struct out *o, struct lt_arena *arena, size_t n, struct lt_h2_fields *fields)
{
    o->arena = arena;
    o->fields = fields;
    fields->n = 0;
    fields->v = lt_arena_alloc(arena, lt_max(n, (size_t)1) * sizeof(*fields->v));
    return fields->v != NULL;
}

/* The name in lower case: of known ones there is one at hand. */
static bool lower(struct out *o, const struct lt_header *h, struct lt_str *name)
{
    if (h->id != LT_HEADER_OTHER) {
        *name = lt_header_name(h->id);
        return true;
    }
    size_t i = 0;
    while (i < h->name.len && h->name.p[i] == lt_char_lower(h->name.p[i])) {
        i++;
    }
    *name = h->name;
    if (i == h->name.len) {
        return true;
    }
    char *p = lt_arena_chars(o->arena, h->name.len);
    if (p == NULL) {
        return false;
    }
    for (i = 0; i < h->name.len; i++) {
        p[i] = lt_char_lower(h->name.p[i]);
    }
    *name = lt_str(p, h->name.len);
    return true;
}

/* Whether a field is about an HTTP/1 connection (RFC 9113 §8.2.2). */
static bool is_connection_field(const struct lt_header *h)
{
    switch (h->id) {
    case LT_HEADER_CONNECTION:
    case LT_HEADER_KEEP_ALIVE:
    case LT_HEADER_PROXY_CONNECTION:
    case LT_HEADER_TRANSFER_ENCODING:
    case LT_HEADER_UPGRADE:
    case LT_HEADER_HTTP2_SETTINGS:
        return true;
    case LT_HEADER_TE:
        return !lt_str_eq_nocase(h->value, LT_STR("trailers"));
    default:
        return false; /* the many others */
    }
}

static enum lt_err put_fields(struct out *o, const struct lt_headers *headers, bool host)
{
    for (unsigned i = 0; i < headers->n; i++) {
        const struct lt_header *h = &headers->v[i];
        struct lt_str name;
        if (is_connection_field(h) || (host && h->id == LT_HEADER_HOST)) {
            continue;
        }
        bool name_ok = h->id != LT_HEADER_OTHER || lt_header_name_ok(h->name);
        if (LT_UNLIKELY(!name_ok || !lt_header_value_ok(h->value))) {
            return LT_ERR_INVALID;
        }
        if (!lower(o, h, &name)) {
            return LT_ERR_NOMEM;
        }
        push(o, name, lt_str_trim(h->value));
    }
    return LT_OK;
}

enum lt_err lt_h2_write_response(struct lt_arena *arena, unsigned status,
                                 const struct lt_headers *headers, struct lt_h2_fields *out)
{
    struct out o;
    char *digits = lt_arena_chars(arena, 3);
    if (status < 100 || status > 599) {
        return LT_ERR_INVALID;
    }
    if (digits == NULL || !begin(&o, arena, headers->n + 1, out)) {
        return LT_ERR_NOMEM;
    }
    digits[0] = (char)('0' + status / 100);
    digits[1] = (char)('0' + status / 10 % 10);
    digits[2] = (char)('0' + status % 10);
    push(&o, LT_STR(":status"), lt_str(digits, 3));
    return put_fields(&o, headers, false);
}

enum lt_err lt_h2_write_trailers(struct lt_arena *arena, const struct lt_headers *trailers,
                                 struct lt_h2_fields *out)
{
    struct out o;
    *out = (struct lt_h2_fields){.n = 0};
    if (trailers == NULL || trailers->n == 0) {
        return LT_OK;
    }
    return begin(&o, arena, trailers->n, out) ? put_fields(&o, trailers, false) : LT_ERR_NOMEM;
}

/* A target is graphic ASCII; spaces would end it elsewhere. */
static bool target_ok(struct lt_str target)
{
    return target.len > 0 && lt_header_value_ok(target) && lt_str_chr(target, ' ', 0) == SIZE_MAX &&
           lt_str_chr(target, '\t', 0) == SIZE_MAX;
}

enum lt_err lt_h2_write_request(struct lt_arena *arena, struct lt_str method, struct lt_str scheme,
                                struct lt_str target, struct lt_str protocol,
                                const struct lt_headers *headers, struct lt_h2_fields *out)
{
    struct out o;
    const struct lt_header *host = lt_headers_get(headers, LT_HEADER_HOST);
    if (!lt_header_name_ok(method) || !target_ok(target) ||
        (protocol.len > 0 && !lt_header_name_ok(protocol)) ||
        (host != NULL && !lt_header_value_ok(host->value))) {
        return LT_ERR_INVALID;
    }
    if (!begin(&o, arena, headers->n + PSEUDO_MAX, out)) {
        return LT_ERR_NOMEM;
    }
    push(&o, LT_STR(":method"), protocol.len > 0 ? LT_STR("CONNECT") : method);
    push(&o, LT_STR(":scheme"), scheme);
    if (host != NULL && host->value.len > 0) {
        push(&o, LT_STR(":authority"), host->value);
    }
    push(&o, LT_STR(":path"), target);
    if (protocol.len > 0) {
        push(&o, LT_STR(":protocol"), protocol);
    }
    return put_fields(&o, headers, true);
}
