/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of DNS for tests: an answer is written record by record. */
#ifndef LT_TESTS_UNIT_DNS_ENV_H
#define LT_TESTS_UNIT_DNS_ENV_H

#include "unit.h"

#include <arpa/inet.h>

#include "net/dns_answer.h"

struct message {
    unsigned char p[65536];
    size_t len;
};

static inline void put16(struct message *m, unsigned v)
{
    m->p[m->len++] = (unsigned char)(v >> 8);
    m->p[m->len++] = (unsigned char)v;
}

static inline void put_name(struct message *m, const char *name)
{
    while (*name != '\0') {
        size_t n = strcspn(name, ".");
        m->p[m->len++] = (unsigned char)n;
        memcpy(m->p + m->len, name, n);
        m->len += n;
        name += n + (name[n] == '.');
    }
    m->p[m->len++] = 0;
}

static inline void count_answer(struct message *m)
{
    unsigned n = ((unsigned)m->p[6] << 8 | m->p[7]) + 1;
    m->p[6] = (unsigned char)(n >> 8);
    m->p[7] = (unsigned char)n;
}

/* Header and question, as an answer without records. */
static inline void begin(struct message *m, const char *name, unsigned type)
{
    m->len = 0;
    put16(m, 1);      /* id */
    put16(m, 0x8180); /* a recursive answer */
    put16(m, 1);
    put16(m, 0);
    put16(m, 0);
    put16(m, 0);
    put_name(m, name);
    put16(m, type);
    put16(m, 1);
}

/* A record of the name in the question; its data follows. */
static inline void put_record(struct message *m, unsigned type, uint32_t ttl, unsigned data_len)
{
    count_answer(m);
    put16(m, 0xc00c);
    put16(m, type);
    put16(m, 1);
    put16(m, ttl >> 16);
    put16(m, ttl & 0xffff);
    put16(m, data_len);
}

static inline void put_a(struct message *m, const char *ip, uint32_t ttl)
{
    put_record(m, LT_DNS_A, ttl, 4);
    assert_int_equal(inet_pton(AF_INET, ip, m->p + m->len), 1);
    m->len += 4;
}

static inline void put_aaaa(struct message *m, const char *ip, uint32_t ttl)
{
    put_record(m, LT_DNS_AAAA, ttl, 16);
    assert_int_equal(inet_pton(AF_INET6, ip, m->p + m->len), 1);
    m->len += 16;
}

static inline void put_srv(struct message *m, unsigned priority, unsigned weight, unsigned port,
                           const char *target)
{
    put_record(m, LT_DNS_SRV, 60, 6);
    size_t at = m->len;
    put16(m, priority);
    put16(m, weight);
    put16(m, port);
    put_name(m, target);
    m->p[at - 1] = (unsigned char)(m->len - at);
}

#endif
