/* SPDX-License-Identifier: Apache-2.0 */
/* Where a Redis is, as one writes it:
 *
 *   redis://[user:password@]host[:port][/db]            rediss://... with TLS
 *   unix:///path/sock[?db=N]
 *   redis+sentinel://[user:password@]host[:port],.../master[/db]     rediss+sentinel://...
 *   redis+cluster://[user:password@]host[:port],...                  rediss+cluster://...
 *
 * User and password are percent-encoded where they hold other than letters, digits and -._~ */
#ifndef LT_UPSTREAM_REDIS_URL_H
#define LT_UPSTREAM_REDIS_URL_H

#include "base/endpoint.h"

#define LT_REDIS_URL_MAX 1024u
#define LT_REDIS_SEEDS_MAX 16u /* servers that a URL names */
#define LT_REDIS_DB_MAX 65535u

enum lt_redis_kind { LT_REDIS_SINGLE, LT_REDIS_SENTINEL, LT_REDIS_CLUSTER };

/* A server of Redis. */
struct lt_redis_place {
    struct lt_str host;  /* lower case; IPv6 without brackets; empty: socket */
    struct lt_addr addr; /* of a literal or a socket; len 0: a name */
    unsigned port;
};

/* Points into itself: stays where it is. */
struct lt_redis_url {
    enum lt_redis_kind kind;
    bool tls;
    struct lt_str user, password; /* empty: none */
    struct lt_str master;         /* SENTINEL: its name */
    unsigned db;
    struct lt_redis_place seeds[LT_REDIS_SEEDS_MAX];
    unsigned n_seeds; /* >= 1 */
    size_t text_len;
    char text[LT_REDIS_URL_MAX + 1];                           /* as written */
    char parts[LT_REDIS_URL_MAX + 1 + LT_REDIS_SEEDS_MAX + 3]; /* that were decoded, with NULs */
};

/* Reads text into *out, which may hold anything. LT_ERR_INVALID: *why (static) says what to write;
 * it never repeats what may be a password. */
enum lt_err lt_redis_url_parse(struct lt_str text, struct lt_redis_url *out,
                               const char **why) LT_MUST_CHECK;

/* Reads a host (a name or an IP address), which is borrowed as far as it is lower case; space holds
 * LT_DNS_NAME_MAX + 1 bytes for its text otherwise. */
bool lt_redis_place_read(struct lt_str host, unsigned port, char *space,
                         struct lt_redis_place *out) LT_MUST_CHECK;

#endif
