/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Redis (RESP 2): read by hiredis' parser out of pieces as they come, kept as records in
 * one buffer, in the order in which they came: a list is followed by its elements. */
#ifndef LT_UPSTREAM_REDIS_REPLY_H
#define LT_UPSTREAM_REDIS_REPLY_H

#include "base/buf.h"

#define LT_REDIS_REPLY_MAX ((size_t)4 << 20) /* bytes of one reply as it comes */
#define LT_REDIS_DEPTH_MAX 7u                /* of lists in lists, as hiredis has it */
#define LT_REDIS_RECORD 9u                   /* bytes of a record besides its text */

enum lt_redis_type {
    LT_REDIS_STRING,
    LT_REDIS_STATUS,
    LT_REDIS_ERROR_TEXT,
    LT_REDIS_INTEGER,
    LT_REDIS_NIL,
    LT_REDIS_LIST
};

struct lt_redis_value {
    enum lt_redis_type type;
    int64_t integer;    /* INTEGER; LIST: how many elements follow */
    struct lt_str text; /* STRING, STATUS, ERROR_TEXT; borrowed from the buffer */
};

/* Reads the record at *at, which must be one, and moves *at behind it. */
struct lt_redis_value lt_redis_value_next(struct lt_str records, size_t *at);

/* Appends a record; buf->truncated says when memory was short. */
void lt_redis_put_text(struct lt_buf *buf, enum lt_redis_type type, struct lt_str text);
void lt_redis_put_number(struct lt_buf *buf, enum lt_redis_type type, int64_t number);

/* ---- Reading. ---- */

struct lt_redis_reader;

/* Whether Lintel was built with hiredis: without, new gives NULL. */
bool lt_redis_supported(void);

/* Returns owned; NULL without memory. */
struct lt_redis_reader *lt_redis_reader_new(void) LT_MUST_CHECK;
/* NULL is fine. */
void lt_redis_reader_free(struct lt_redis_reader *r);

/* Gives it n bytes that came. LT_ERR_NOMEM, or LT_ERR_INVALID once what came was malformed. */
enum lt_err lt_redis_reader_feed(struct lt_redis_reader *r, const char *p, size_t n) LT_MUST_CHECK;

/* The next whole reply: its records, borrowed until the next call. LT_AGAIN: none yet.
 * LT_ERR_LIMIT: it is too large, or nested too deeply. LT_ERR_INVALID, LT_ERR_NOMEM. */
enum lt_err lt_redis_reader_next(struct lt_redis_reader *r, struct lt_str *records) LT_MUST_CHECK;

/* Bytes that came of a reply that isn't whole. */
size_t lt_redis_reader_pending(const struct lt_redis_reader *r);

/* ---- Writing. ---- */

/* The next command of text, which is some as lt_redis writes them ("*2\r\n$3\r\nGET\r\n..."). False
 * at the end. */
bool lt_redis_command_next(struct lt_str *text, struct lt_str *command);

/* The argument number i of a command (0: its name); p NULL: it has none. */
struct lt_str lt_redis_command_arg(struct lt_str command, unsigned i);

/* How many arguments it has, with its name. */
unsigned lt_redis_command_args(struct lt_str command);

#endif
