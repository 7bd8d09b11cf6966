/* SPDX-License-Identifier: Apache-2.0 */
/* What servers take of a request's head. Each application server has limits of its own and answers
 * a larger head with a 400 or 431 that names no field; here the client is told which one, and the
 * server isn't bothered. Rows: loader thread; the rest: any. */
#ifndef LT_UPSTREAM_TAKES_H
#define LT_UPSTREAM_TAKES_H

#include "config/schema.h"
#include "http/message.h"

struct lt_takes_conf {
    struct lt_conf conf;
    uint64_t line;  /* bytes of the request line */
    int64_t fields; /* number */
    uint64_t field; /* bytes of one, its line end included */
    uint64_t head;  /* bytes of target, names and values; over HTTP/2 as RFC 9113 §6.5.2 counts */
};

extern const struct lt_schema lt_takes_schema;

/* The rows, in their order. */
enum lt_takes_row { LT_TAKES_LINE, LT_TAKES_FIELDS, LT_TAKES_FIELD, LT_TAKES_HEAD, LT_TAKES_COUNT };

/* 0: no limit. */
struct lt_takes {
    size_t may[LT_TAKES_COUNT];
};

struct lt_takes lt_takes_of(const struct lt_takes_conf *conf);

/* What a head is too large in. */
struct lt_takes_excess {
    enum lt_takes_row row; /* LT_TAKES_COUNT: in nothing */
    size_t is, may;        /* bytes, or fields */
    struct lt_str field;   /* the client's largest one's name; borrowed from the headers */
    size_t field_size;     /* bytes of it, its line end included */
};

/* Judges the head that a server would get, over HTTP/2 or not. */
struct lt_takes_excess lt_takes_judge(const struct lt_takes *takes, const struct lt_request *req,
                                      struct lt_str target, bool h2);

/* Whether Lintel sets the field towards servers: no client can make it smaller. */
bool lt_takes_ours(enum lt_header_id id);

#define LT_TAKES_H2_COUNTED " with 32 for each field"
#define LT_TAKES_H2_FIELD 32u /* what a field counts beside its bytes over HTTP/2 (§6.5.2) */

#endif
