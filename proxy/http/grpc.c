/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC as a gateway sees it. No state; any thread. */
#include "http/grpc.h"

#include <stdio.h>

#define TIMEOUT_DIGITS 8u
#define TIMEOUT_VALUE_MAX UINT64_C(99999999)

bool lt_grpc_is_call(const struct lt_request *req)
{
    const struct lt_str prefix = LT_STR("application/grpc");
    struct lt_str type = lt_headers_value(&req->headers, LT_HEADER_CONTENT_TYPE);
    if (req->version < 20 || type.len < prefix.len ||
        !lt_str_eq_nocase(lt_str_sub(type, 0, prefix.len), prefix)) {
        return false;
    }
    return type.len == prefix.len || type.p[prefix.len] == '+' || type.p[prefix.len] == ';';
}

/* Microseconds of a unit, or 0; nanoseconds are rounded up. */
static uint64_t unit_us(char unit)
{
    switch (unit) {
    case 'H':
        return UINT64_C(3600000000);
    case 'M':
        return 60000000;
    case 'S':
        return 1000000;
    case 'm':
        return 1000;
    case 'u':
    case 'n':
        return 1;
    default:
        return 0;
    }
}

bool lt_grpc_timeout(struct lt_str value, uint64_t *us)
{
    uint64_t n;
    if (value.len < 2 || value.len > TIMEOUT_DIGITS + 1 ||
        !lt_str_to_u64(lt_str(value.p, value.len - 1), &n)) {
        return false;
    }
    char unit = value.p[value.len - 1];
    uint64_t factor = unit_us(unit);
    n = unit == 'n' ? (n + 999) / 1000 : n;
    *us = lt_max(n * factor, UINT64_C(1));
    return factor > 0;
}

size_t lt_grpc_write_timeout(uint64_t us, char out[LT_GRPC_TIMEOUT_MAX + 1])
{
    static const char units[] = "umSMH";
    size_t i = 0;
    while (us / unit_us(units[i]) > TIMEOUT_VALUE_MAX && i + 2 < sizeof(units)) {
        i++;
    }
    uint64_t n = lt_min(us / unit_us(units[i]), TIMEOUT_VALUE_MAX);
    int len = snprintf(out, LT_GRPC_TIMEOUT_MAX + 1, "%llu%c",
                       (unsigned long long)lt_max(n, UINT64_C(1)), units[i]);
    return (size_t)len;
}

enum lt_grpc_status lt_grpc_status_of(unsigned status)
{
    switch (status) { /* a default on purpose: the rest has no counterpart */
    case 401:
        return LT_GRPC_UNAUTHENTICATED;
    case 403:
        return LT_GRPC_PERMISSION_DENIED;
    case 404:
    case 405:
    case 421:
    case 501:
    case 505:
        return LT_GRPC_UNIMPLEMENTED;
    case 413:
    case 414:
    case 429:
    case 431:
        return LT_GRPC_RESOURCE_EXHAUSTED;
    case 400:
    case 417:
    case 500:
        return LT_GRPC_INTERNAL;
    case 408:
    case 502:
    case 503:
    case 504:
        return LT_GRPC_UNAVAILABLE;
    case 499:
        return LT_GRPC_CANCELLED;
    default:
        return LT_GRPC_UNKNOWN;
    }
}

bool lt_grpc_message(struct lt_arena *arena, struct lt_str text, struct lt_str *out)
{
    static const char digits[] = "0123456789ABCDEF";
    char *p = lt_arena_chars(arena, text.len * 3), *at = p;
    if (p == NULL) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    *out = lt_str(p, (size_t)(at - p));
    return true;
}
