/* SPDX-License-Identifier: Apache-2.0 */
/* The cookie that keeps a client at its server: tokens that name servers, made with a set and
 * immutable afterwards. A token is a keyed digest of the names of upstream and server, so that it
 * can't be made by others and tells nothing. Any thread. */
#ifndef LT_UPSTREAM_STICKY_H
#define LT_UPSTREAM_STICKY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

/* Hexadecimal digits of a token. */
#define LT_STICKY_TOKEN_LEN 32u

/* How the cookie is written; immutable, of the snapshot. */
struct lt_sticky_options {
    bool enabled;
    struct lt_str name;      /* of the cookie */
    struct lt_str path;      /* of the cookie */
    struct lt_str same_site; /* "Lax", "Strict", "None" */
    uint64_t ttl_s;          /* 0: until the browser ends */
    unsigned char key[32];   /* of the tokens */
};

struct lt_sticky_table;

/* Makes options->key from a secret of the configuration, or (secret empty) from seed, which is
 * random and outlives the gateway. LT_ERR_NOMEM. */
enum lt_err lt_sticky_set_key(struct lt_sticky_options *options, struct lt_str secret,
                              const struct lt_hash_seed *seed) LT_MUST_CHECK;

/* The tokens of n servers in arena. LT_ERR_NOMEM. */
enum lt_err lt_sticky_table_new(struct lt_arena *arena, const struct lt_sticky_options *options,
                                struct lt_str upstream, const struct lt_str *servers, unsigned n,
                                const struct lt_sticky_table **out) LT_MUST_CHECK;

/* The server that a client's cookie value names, as an index of servers; -1: none of them. */
int lt_sticky_find(const struct lt_sticky_table *table, struct lt_str value);

/* The token of a server, LT_STICKY_TOKEN_LEN digits that live as long as the table. */
struct lt_str lt_sticky_token(const struct lt_sticky_table *table, unsigned server);

/* The Set-Cookie value that gives a client this token, in arena. False without memory. */
bool lt_sticky_cookie(struct lt_arena *arena, const struct lt_sticky_options *options,
                      struct lt_str token, bool https, struct lt_str *out) LT_MUST_CHECK;

#endif
