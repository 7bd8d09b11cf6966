/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of DNS servers: a message to records with their TTL (RFC 1035, 2782, 3596). Pure: bytes
 * in, values out; whoever sends them may be hostile. */
#ifndef LT_NET_DNS_ANSWER_H
#define LT_NET_DNS_ANSWER_H

#include "base/endpoint.h"

/* Types of records, as in messages. */
enum lt_dns_type { LT_DNS_A = 1, LT_DNS_AAAA = 28, LT_DNS_SRV = 33 };

/* More of them don't fit into a message. */
#define LT_DNS_RECORDS_MAX 4096u

struct lt_dns_record {
    struct lt_addr addr;              /* A, AAAA: without a port; SRV: of length 0 */
    uint16_t priority, weight, port;  /* SRV */
    char target[LT_DNS_NAME_MAX + 1]; /* SRV: lower case, without a last dot; else empty */
};

/* Those of one type, sorted, none twice. */
struct lt_dns_records {
    struct lt_dns_record *v; /* owned; NULL: none */
    unsigned n;
    uint32_t ttl_s; /* the least of the records and the aliases that led to them */
    bool absent;    /* SRV: none, since the service is decidedly not there (RFC 2782, target ".") */
};

/* Reads the records of type in the answer section of message. LT_OK also when there is none;
 * LT_ERR_INVALID: malformed, *why (static) says how; LT_ERR_NOMEM. On error out is empty. */
enum lt_err lt_dns_answer_parse(const unsigned char *message, size_t len, enum lt_dns_type type,
                                struct lt_dns_records *out, const char **why) LT_MUST_CHECK;

/* <0, 0, >0: the order that records are in; SRV by priority, then the larger weight first. */
int lt_dns_record_cmp(const struct lt_dns_record *a, const struct lt_dns_record *b);
/* Sorts and drops what is there twice. */
void lt_dns_records_sort(struct lt_dns_records *records);
bool lt_dns_records_eq(const struct lt_dns_records *a, const struct lt_dns_records *b);
void lt_dns_records_fini(struct lt_dns_records *records);

#endif
