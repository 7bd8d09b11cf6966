/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Redis (redis_reply.h). Hiredis calls us back for each part of a reply in the order in
 * which they come, so that no tree has to be built. */
#include "upstream/redis_reply.h"

#include "base/err.h"
#include "base/mem.h"

#if LT_HAVE_HIREDIS
#include <hiredis/hiredis.h>
#endif

/* Capacity of the buffer of records that is kept from reply to reply. */
#define KEPT ((size_t)16 << 10)
/* ":1\r\n" are four bytes and become a record. */
#define RECORDS_MAX (LT_REDIS_REPLY_MAX / 4 * LT_REDIS_RECORD)

/* ---- records ---- */

void lt_redis_put_number(struct lt_buf *buf, enum lt_redis_type type, int64_t number)
{
    lt_buf_char(buf, (char)type);
    lt_buf_add(buf, &number, sizeof(number));
}

void lt_redis_put_text(struct lt_buf *buf, enum lt_redis_type type, struct lt_str text)
{
    lt_redis_put_number(buf, type, (int64_t)text.len);
    lt_buf_str(buf, text);
}

struct lt_redis_value lt_redis_value_next(struct lt_str records, size_t *at)
{
    const char *p = records.p + *at;
    struct lt_redis_value v = {.type = (enum lt_redis_type)p[0]};
    memcpy(&v.integer, p + 1, sizeof(v.integer));
    *at += LT_REDIS_RECORD;
    if (v.type <= LT_REDIS_ERROR_TEXT) {
        v.text = lt_str(p + LT_REDIS_RECORD, (size_t)v.integer);
        *at += v.text.len;
    }
    return v;
}

/* ---- commands ---- */

/* The number behind "*" or "$" at *at, which moves behind its line. */
static size_t take_number(struct lt_str text, size_t *at)
{
    size_t n = 0, i = *at + 1;
    for (; i < text.len && lt_char_is_digit(text.p[i]); i++) {
        n = n * 10 + (size_t)(text.p[i] - '0');
    }
    *at = i + 2;
    return n;
}

bool lt_redis_command_next(struct lt_str *text, struct lt_str *command)
{
    size_t at = 0;
    if (text->len == 0) {
        return false;
    }
    for (size_t left = take_number(*text, &at); left > 0; left--) {
        size_t n = take_number(*text, &at);
        at += n + 2;
    }
    *command = lt_str_sub(*text, 0, at);
    *text = lt_str_sub(*text, at, text->len);
    return true;
}

struct lt_str lt_redis_command_arg(struct lt_str command, unsigned i)
{
    size_t at = 0;
    for (size_t left = take_number(command, &at); left > 0; left--, i--) {
        size_t n = take_number(command, &at);
        if (i == 0) {
            return lt_str(command.p + at, n);
        }
        at += n + 2;
    }
    return LT_STR_NONE;
}

unsigned lt_redis_command_args(struct lt_str command)
{
    size_t at = 0;
    return (unsigned)take_number(command, &at);
}

/* ---- hiredis ---- */

#if LT_HAVE_HIREDIS

struct lt_redis_reader {
    redisReader *parser;
    struct lt_buf records; /* of the reply that comes */
    size_t fed;            /* bytes of it */
    bool too_deep;
};

bool lt_redis_supported(void)
{
    return true;
}

/* What stands for an object; NULL has hiredis end with "out of memory". */
static void *kept(struct lt_redis_reader *r)
{
    return r->records.truncated || r->too_deep ? NULL : r;
}

static void *on_text(const redisReadTask *task, char *p, size_t n)
{
    struct lt_redis_reader *r = task->privdata;
    enum lt_redis_type type = task->type == REDIS_REPLY_ERROR    ? LT_REDIS_ERROR_TEXT
                              : task->type == REDIS_REPLY_STATUS ? LT_REDIS_STATUS
                                                                 : LT_REDIS_STRING;
    lt_redis_put_text(&r->records, type, lt_str(p, n));
    return kept(r);
}

#if HIREDIS_MAJOR >= 1
static void *on_list(const redisReadTask *task, size_t n)
#else
static void *on_list(const redisReadTask *task, int n)
#endif
{
    struct lt_redis_reader *r = task->privdata;
    unsigned depth = 1;
    for (const redisReadTask *t = task->parent; t != NULL; t = t->parent) {
        depth++;
    }
    r->too_deep = depth > LT_REDIS_DEPTH_MAX;
    lt_redis_put_number(&r->records, LT_REDIS_LIST, (int64_t)n);
    return kept(r);
}

static void *on_integer(const redisReadTask *task, long long value)
{
    struct lt_redis_reader *r = task->privdata;
    lt_redis_put_number(&r->records, LT_REDIS_INTEGER, value);
    return kept(r);
}

static void *on_nil(const redisReadTask *task)
{
    struct lt_redis_reader *r = task->privdata;
    lt_redis_put_number(&r->records, LT_REDIS_NIL, 0);
    return kept(r);
}

static void on_free(void *object)
{
    (void)object; /* it is the reader */
}

/* Of RESP 2 alone: what else comes without having been asked for is malformed. */
static redisReplyObjectFunctions functions = {.createString = on_text,
                                              .createArray = on_list,
                                              .createInteger = on_integer,
                                              .createNil = on_nil,
                                              .freeObject = on_free};

struct lt_redis_reader *lt_redis_reader_new(void)
{
    struct lt_redis_reader *r = lt_calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->parser = redisReaderCreateWithFunctions(&functions);
    if (r->parser == NULL) {
        lt_free(r);
        return NULL;
    }
    r->parser->privdata = r;
    lt_buf_init(&r->records, RECORDS_MAX);
    return r;
}

void lt_redis_reader_free(struct lt_redis_reader *r)
{
    if (r != NULL) {
        redisReaderFree(r->parser);
        lt_buf_fini(&r->records);
        lt_free(r);
    }
}

static enum lt_err failure(const struct lt_redis_reader *r)
{
    if (r->too_deep) {
        return LT_ERR_LIMIT;
    }
    return r->records.truncated || r->parser->err == REDIS_ERR_OOM ? LT_ERR_NOMEM : LT_ERR_INVALID;
}

enum lt_err lt_redis_reader_feed(struct lt_redis_reader *r, const char *p, size_t n)
{
    r->fed += n;
    return redisReaderFeed(r->parser, p, n) == REDIS_OK ? LT_OK : failure(r);
}

/* The records of the reply before are forgotten. */
static void begin(struct lt_redis_reader *r)
{
    if (r->records.cap > KEPT) {
        lt_buf_fini(&r->records);
        lt_buf_init(&r->records, RECORDS_MAX);
    }
    r->records.len = 0;
}

enum lt_err lt_redis_reader_next(struct lt_redis_reader *r, struct lt_str *records)
{
    void *reply = NULL;
    if (r->parser->ridx < 0) {
        begin(r);
    }
    if (redisReaderGetReply(r->parser, &reply) != REDIS_OK) {
        return failure(r);
    }
    if (reply == NULL) {
        return r->fed > LT_REDIS_REPLY_MAX ? LT_ERR_LIMIT : LT_AGAIN;
    }
    r->fed = r->parser->len - r->parser->pos;
    *records = lt_buf_view(&r->records);
    return LT_OK;
}

size_t lt_redis_reader_pending(const struct lt_redis_reader *r)
{
    return r->fed;
}

#else

bool lt_redis_supported(void)
{
    return false;
}

struct lt_redis_reader *lt_redis_reader_new(void)
{
    return NULL;
}

void lt_redis_reader_free(struct lt_redis_reader *r)
{
    (void)r;
}

enum lt_err lt_redis_reader_feed(struct lt_redis_reader *r, const char *p, size_t n)
{
    (void)r, (void)p, (void)n;
    return LT_ERR_INVALID;
}

enum lt_err lt_redis_reader_next(struct lt_redis_reader *r, struct lt_str *records)
{
    (void)r, (void)records;
    return LT_ERR_INVALID;
}

size_t lt_redis_reader_pending(const struct lt_redis_reader *r)
{
    (void)r;
    return 0;
}

#endif
