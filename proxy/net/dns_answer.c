/* SPDX-License-Identifier: Apache-2.0 */
/* Reading answers of DNS servers. Owners of records aren't compared with what was asked: a server
 * that may answer may also say that the one is an alias of the other. Main thread. */
#include "net/dns_answer.h"

#include <stdlib.h>

#include "base/mem.h"

enum { HEADER_LEN = 12, TYPE_CNAME = 5, CLASS_IN = 1 };

/* What is left of a message. */
struct reader {
    const unsigned char *message;
    size_t len, at;
};

static bool take(struct reader *r, size_t n, const unsigned char **out)
{
    if (n > r->len - r->at) {
        return false;
    }
    *out = r->message + r->at;
    r->at += n;
    return true;
}

static unsigned get16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* RFC 2181 section 8: with its top bit set a TTL is 0. */
static uint32_t get_ttl(const unsigned char *p)
{
    return (p[0] & 0x80) != 0 ? 0 : (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* A name ends with an empty label or with a pointer to the rest of it elsewhere. */
static bool skip_name(struct reader *r)
{
    const unsigned char *p;
    for (;;) {
        if (!take(r, 1, &p)) {
            return false;
        }
        if (p[0] == 0) {
            return true;
        }
        if ((p[0] & 0xc0) == 0xc0) {
            return take(r, 1, &p);
        }
        if ((p[0] & 0xc0) != 0 || !take(r, p[0], &p)) {
            return false;
        }
    }
}

/* The name at `at` as text. Pointers lead backwards only, so it comes to an end. What isn't a
 * domain name of a machine is refused: it would end up in logs and look-ups. "." gives "". */
static bool read_name(const struct reader *r, size_t at, char out[LT_DNS_NAME_MAX + 1])
{
    size_t n = 0, before = at;
    for (;;) {
        if (at >= r->len) {
            return false;
        }
        size_t len = r->message[at];
        if ((len & 0xc0) == 0xc0) {
            size_t to = at + 1 < r->len ? (len & 0x3f) << 8 | r->message[at + 1] : SIZE_MAX;
            if (to >= before) {
                return false;
            }
            at = before = to;
            continue;
        }
        if (len == 0) {
            out[n] = '\0';
            return n == 0 || lt_dns_name_ok(lt_str(out, n));
        }
        if (len > 63 || len > r->len - at - 1 || n + len + 1 > LT_DNS_NAME_MAX) {
            return false;
        }
        if (n > 0) {
            out[n++] = '.';
        }
        for (size_t i = 1; i <= len; i++) {
            out[n++] = lt_char_lower((char)r->message[at + i]);
        }
        at += len + 1;
    }
}

/* One record's data, the last thing that was read. */
static bool read_data(const struct reader *r, enum lt_dns_type type, const unsigned char *data,
                      size_t len, struct lt_dns_record *out)
{
    *out = (struct lt_dns_record){.port = 0};
    switch (type) {
    case LT_DNS_A:
        if (len != 4) {
            return false;
        }
        out->addr.in.sin_family = AF_INET;
        memcpy(&out->addr.in.sin_addr, data, 4);
        out->addr.len = sizeof(out->addr.in);
        return true;
    case LT_DNS_AAAA:
        if (len != 16) {
            return false;
        }
        out->addr.in6.sin6_family = AF_INET6;
        memcpy(&out->addr.in6.sin6_addr, data, 16);
        out->addr.len = sizeof(out->addr.in6);
        lt_addr_unmap(&out->addr);
        return true;
    case LT_DNS_SRV:
        break;
    }
    if (len < 7) {
        return false;
    }
    out->priority = (uint16_t)get16(data);
    out->weight = (uint16_t)get16(data + 2);
    out->port = (uint16_t)get16(data + 4);
    return read_name(r, (size_t)(data + 6 - r->message), out->target);
}

/* What no server can be reached by: addresses of nobody (connecting to 0.0.0.0 would reach this
 * machine) and of many, services without a target or port. */
static bool is_nothing(enum lt_dns_type type, const struct lt_dns_record *record)
{
    const struct lt_addr *a = &record->addr;
    if (type == LT_DNS_SRV) {
        return record->target[0] == '\0' || record->port == 0;
    }
    if (a->sa.sa_family == AF_INET) {
        return a->in.sin_addr.s_addr == INADDR_ANY || (ntohl(a->in.sin_addr.s_addr) >> 28) >= 14;
    }
    return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) || a->in6.sin6_addr.s6_addr[0] == 0xff;
}

/* All records of the answer section. */
static const char *read_answers(struct reader *r, unsigned n, enum lt_dns_type type,
                                struct lt_dns_records *out)
{
    const unsigned char *fixed, *data;
    out->ttl_s = UINT32_MAX;
    for (unsigned i = 0; i < n; i++) {
        if (!skip_name(r) || !take(r, 10, &fixed) || !take(r, get16(fixed + 8), &data)) {
            return "a record is cut off";
        }
        unsigned is = get16(fixed);
        if (get16(fixed + 2) != CLASS_IN || (is != TYPE_CNAME && is != (unsigned)type)) {
            continue;
        }
        out->ttl_s = lt_min(out->ttl_s, get_ttl(fixed + 4));
        if (is == TYPE_CNAME) {
            continue;
        }
        struct lt_dns_record *record = &out->v[out->n];
        if (!read_data(r, type, data, get16(fixed + 8), record)) {
            return "a record's data is malformed";
        }
        out->absent |= type == LT_DNS_SRV && record->target[0] == '\0';
        out->n += !is_nothing(type, record);
    }
    out->absent &= out->n == 0;
    return NULL;
}

enum lt_err lt_dns_answer_parse(const unsigned char *message, size_t len, enum lt_dns_type type,
                                struct lt_dns_records *out, const char **why)
{
    struct reader r = {.message = message, .len = len};
    const unsigned char *header;
    *out = (struct lt_dns_records){.v = NULL};
    *why = "the header is cut off";
    if (!take(&r, HEADER_LEN, &header)) {
        return LT_ERR_INVALID;
    }
    for (unsigned i = get16(header + 4); i > 0; i--) {
        const unsigned char *fixed;
        if (!skip_name(&r) || !take(&r, 4, &fixed)) {
            *why = "the question is cut off";
            return LT_ERR_INVALID;
        }
    }
    /* A record has at least an owner of one byte and ten more. */
    unsigned n = lt_min(get16(header + 6), (unsigned)((len - r.at) / 11) + 1);
    if (n > LT_DNS_RECORDS_MAX) {
        n = LT_DNS_RECORDS_MAX;
    }
    if (get16(header + 6) == 0) {
        return LT_OK;
    }
    out->v = lt_calloc(n, sizeof(*out->v));
    if (out->v == NULL) {
        *why = "out of memory";
        return LT_ERR_NOMEM;
    }
    *why = read_answers(&r, n, type, out);
    if (*why != NULL) {
        lt_dns_records_fini(out);
        return LT_ERR_INVALID;
    }
    lt_dns_records_sort(out);
    return LT_OK;
}

int lt_dns_record_cmp(const struct lt_dns_record *a, const struct lt_dns_record *b)
{
    if (a->priority != b->priority) {
        return a->priority < b->priority ? -1 : 1;
    }
    if (a->weight != b->weight) {
        return a->weight > b->weight ? -1 : 1;
    }
    int order = strcmp(a->target, b->target);
    if (order != 0) {
        return order;
    }
    if (a->port != b->port) {
        return a->port < b->port ? -1 : 1;
    }
    if (a->addr.len != b->addr.len) {
        return a->addr.len < b->addr.len ? -1 : 1;
    }
    return memcmp(&a->addr.sa, &b->addr.sa, a->addr.len);
}

static int compare(const void *a, const void *b)
{
    return lt_dns_record_cmp(a, b);
}

void lt_dns_records_sort(struct lt_dns_records *records)
{
    unsigned n = 0;
    if (records->n == 0) {
        return;
    }
    qsort(records->v, records->n, sizeof(*records->v), compare);
    for (unsigned i = 0; i < records->n; i++) {
        if (n == 0 || lt_dns_record_cmp(&records->v[n - 1], &records->v[i]) != 0) {
            records->v[n++] = records->v[i];
        }
    }
    records->n = n;
}

bool lt_dns_records_eq(const struct lt_dns_records *a, const struct lt_dns_records *b)
{
    bool same = a->n == b->n;
    for (unsigned i = 0; same && i < a->n; i++) {
        same = lt_dns_record_cmp(&a->v[i], &b->v[i]) == 0;
    }
    return same;
}

void lt_dns_records_fini(struct lt_dns_records *records)
{
    lt_free(records->v);
    *records = (struct lt_dns_records){.v = NULL};
}
