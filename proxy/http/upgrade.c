/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of protocols in Upgrade. No state; any thread. */
#include "http/upgrade.h"

/* The name of "name/version". */
static struct lt_str name_of(struct lt_str protocol)
{
    size_t slash = lt_str_chr(protocol, '/', 0);
    return slash == SIZE_MAX ? protocol : lt_str(protocol.p, slash);
}

bool lt_upgrade_may_allow(struct lt_str protocol)
{
    struct lt_str name = name_of(protocol);
    bool versioned = name.len < protocol.len;
    struct lt_str version = lt_str_sub(protocol, name.len + (versioned ? 1 : 0), protocol.len);
    return lt_header_name_ok(name) && (!versioned || lt_header_name_ok(version)) &&
           !lt_str_eq_nocase(name, LT_STR("h2c")) && !lt_str_eq_nocase(name, LT_STR("h2")) &&
           !lt_str_eq_nocase(name, LT_STR("http"));
}

static bool is_allowed(struct lt_str protocol, const struct lt_str *allowed, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (lt_str_eq_nocase(allowed[i], protocol) ||
            lt_str_eq_nocase(allowed[i], name_of(protocol))) {
            return true;
        }
    }
    return false;
}

/* Bytes of all Upgrade fields, with room for what joins them. */
static size_t field_bytes(const struct lt_headers *headers)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < headers->n; i++) {
        if (headers->v[i].id == LT_HEADER_UPGRADE) {
            bytes += headers->v[i].value.len + 2;
        }
    }
    /* An element of one byte and its comma grow by a space. */
    return bytes * 2;
}

enum lt_err lt_upgrade_offer(const struct lt_request *req, const struct lt_str *allowed, unsigned n,
                             struct lt_str *offer)
{
    const struct lt_headers *headers = &req->headers;
    *offer = LT_STR_NONE;
    if (!req->upgrade || req->version < 11 || n == 0) {
        return LT_OK;
    }
    char *p = lt_arena_chars(headers->arena, field_bytes(headers));
    size_t len = 0;
    if (p == NULL) {
        return LT_ERR_NOMEM;
    }
    for (unsigned i = 0; i < headers->n; i++) {
        struct lt_str rest = headers->v[i].value, protocol;
        while (headers->v[i].id == LT_HEADER_UPGRADE && lt_str_next(&rest, ',', &protocol)) {
            if (!lt_upgrade_may_allow(protocol) || !is_allowed(protocol, allowed, n)) {
                continue;
            }
            if (len > 0) {
                memcpy(p + len, ", ", 2);
                len += 2;
            }
            memcpy(p + len, protocol.p, protocol.len);
            len += protocol.len;
        }
    }
    *offer = lt_str(p, len);
    return LT_OK;
}

static bool was_offered(struct lt_str protocol, struct lt_str offer)
{
    struct lt_str rest = offer, one;
    while (lt_str_next(&rest, ',', &one)) {
        if (lt_str_eq_nocase(one, protocol)) {
            return true;
        }
    }
    return false;
}

enum lt_cause lt_upgrade_judge(struct lt_response *res, struct lt_str offer)
{
    const struct lt_header *field = lt_headers_get(&res->headers, LT_HEADER_UPGRADE);
    unsigned fields = 0;
    for (unsigned i = 0; i < res->headers.n; i++) {
        fields += res->headers.v[i].id == LT_HEADER_UPGRADE;
    }
    if (offer.len == 0 || res->version < 11 || fields != 1 || field->value.len == 0) {
        return LT_CAUSE_UPGRADE_UNEXPECTED;
    }
    struct lt_str rest = field->value, protocol;
    while (lt_str_next(&rest, ',', &protocol)) {
        if (!was_offered(protocol, offer)) {
            return LT_CAUSE_UPGRADE_UNEXPECTED;
        }
    }
    struct lt_str length = lt_headers_value(&res->headers, LT_HEADER_CONTENT_LENGTH);
    if (lt_headers_get(&res->headers, LT_HEADER_TRANSFER_ENCODING) != NULL ||
        (length.len > 0 && !lt_str_eq_c(length, "0"))) {
        return LT_CAUSE_RESPONSE_FRAMING_INVALID;
    }
    res->upgrade = field->value;
    return LT_CAUSE_NONE;
}
