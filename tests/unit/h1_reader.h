/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one HTTP/1 message the way the owner of a connection does, in steps of any size. For the
 * unit tests and the fuzz targets of proxy/http. */
#ifndef LT_TESTS_H1_READER_H
#define LT_TESTS_H1_READER_H

#include "base/buf.h"
#include "http/h1.h"

struct reader {
    struct lt_arena arena;
    struct lt_h1 parser;
    struct lt_request req;
    struct lt_response res;
    struct lt_headers trailers;
    struct lt_buf body;
    enum lt_cause cause; /* NONE: nothing was refused */
    enum lt_cause rule;  /* for responses: which rule was broken */
    bool head_done;
    bool complete; /* the end of the message was reached */
    size_t used;   /* bytes of input that belong to the message, as far as it was read */
};

static const struct lt_h1_limits reader_limits = {.head = 32768, .headers = 100, .target = 8192};

static inline void reader_init(struct reader *r)
{
    memset(r, 0, sizeof(*r));
    lt_arena_init(&r->arena, NULL, 0, 16 << 20);
    lt_headers_init(&r->trailers, &r->arena, 100);
    lt_buf_init(&r->body, 16 << 20);
}

static inline void reader_fini(struct reader *r)
{
    lt_buf_fini(&r->body);
    lt_arena_fini(&r->arena);
}

/* Finds the head; false when it isn't there or was refused. */
static inline bool reader_scan(struct reader *r, const char *in, size_t len, size_t step,
                               const struct lt_h1_limits *limits, bool response, size_t *head_len)
{
    struct lt_h1_scan scan = {.response = response};
    enum lt_err err = LT_AGAIN;
    for (size_t at = 0; err == LT_AGAIN && at < len;) {
        at += lt_min(step, len - at);
        err = lt_h1_scan(&scan, in, at, limits, head_len, &r->cause);
    }
    r->rule = scan.rule;
    return err == LT_OK;
}

static inline void reader_body(struct reader *r, const char *in, size_t len, size_t step)
{
    size_t available = 0;
    for (;;) {
        size_t used;
        struct lt_str piece = LT_STR_NONE;
        enum lt_h1_event event =
            lt_h1_body(&r->parser, in + r->used, available, &used, &piece, &r->trailers, &r->cause);
        r->used += used;
        available -= used;
        switch (event) {
        case LT_H1_MORE:
            available = lt_min(step, len - r->used);
            if (available == 0) {
                r->complete = lt_h1_eof_ends(&r->parser);
                return;
            }
            break;
        case LT_H1_DATA:
            lt_buf_str(&r->body, piece);
            break;
        case LT_H1_END:
            r->complete = true;
            return;
        case LT_H1_FAULT:
            r->rule = r->parser.rule;
            return;
        }
    }
}

/* response: to a request with method. limits may be NULL: the usual ones. */
static inline void reader_run(struct reader *r, const char *in, size_t len, size_t step,
                              const struct lt_h1_limits *limits, bool response,
                              enum lt_method method)
{
    size_t head_len;
    limits = limits != NULL ? limits : &reader_limits;
    if (!reader_scan(r, in, len, step, limits, response, &head_len)) {
        return;
    }
    char *head = lt_arena_chars(&r->arena, head_len);
    if (head == NULL) {
        r->cause = LT_CAUSE_OUT_OF_MEMORY;
        return;
    }
    memcpy(head, in, head_len);
    enum lt_err err =
        response ? lt_h1_response(&r->parser, &r->arena, head, head_len, limits, method, &r->res,
                                  &r->cause)
                 : lt_h1_request(&r->parser, &r->arena, head, head_len, limits, &r->req, &r->cause);
    r->used = head_len;
    r->rule = r->parser.rule;
    if (err == LT_OK) {
        r->head_done = true;
        reader_body(r, in, len, step);
    }
}

#endif
