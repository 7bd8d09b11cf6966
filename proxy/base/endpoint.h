/* SPDX-License-Identifier: Apache-2.0 */
/* Where a server is, as one writes it: an address, or a name for which DNS has the addresses. */
#ifndef LT_BASE_ENDPOINT_H
#define LT_BASE_ENDPOINT_H

#include "base/addr.h"

/* A domain name in text, without a last dot (RFC 1035 section 2.3.4). */
#define LT_DNS_NAME_MAX 253u

enum lt_endpoint_kind {
    LT_ENDPOINT_ADDR, /* 127.0.0.1:8000, unix:/run/app.sock */
    LT_ENDPOINT_DNS,  /* dns:app.internal:8000: records A and AAAA */
    LT_ENDPOINT_SRV   /* dns+srv:_http._tcp.app.internal: SRV records, which carry the ports */
};

struct lt_endpoint {
    enum lt_endpoint_kind kind;
    struct lt_addr addr; /* of an address; else of length 0 */
    struct lt_str name;  /* of a name, as written: a last dot means that it is looked up as it is */
    unsigned port;       /* LT_ENDPOINT_DNS */
};

/* Reads text, which the name in *out then borrows. Upper case is kept. *why (static) on error. */
enum lt_err lt_endpoint_parse(struct lt_str text, struct lt_endpoint *out,
                              const char **why) LT_MUST_CHECK;

/* Longest text of one, NUL included. */
#define LT_ENDPOINT_TEXT_MAX (LT_DNS_NAME_MAX + 24)

/* As parse would read it; gives the length without NUL. */
size_t lt_endpoint_print(const struct lt_endpoint *endpoint, char out[LT_ENDPOINT_TEXT_MAX]);

/* Two zeroed ones, which are nowhere, are not equal. */
bool lt_endpoint_eq(const struct lt_endpoint *a, const struct lt_endpoint *b);

/* Who a server found under the name has to be, as a name for TLS and Host: without a last dot; for
 * an SRV name the domain that it is about (_http._tcp.app.internal: app.internal), since whoever
 * can forge an answer can also choose the target. */
struct lt_str lt_endpoint_host(const struct lt_endpoint *endpoint);

/* Whether name is a domain name: labels of letters, digits, "-" and "_", perhaps a last dot. */
bool lt_dns_name_ok(struct lt_str name);

#endif
