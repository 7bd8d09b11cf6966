/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `lintel test` share: test_runner.c runs files, test_exchange.c has t.run,
 * test_checks.c the rest of `lintel.test`. Private to filters/. */
#ifndef LT_FILTERS_TEST_IMPL_H
#define LT_FILTERS_TEST_IMPL_H

#include "filters/test_bed.h"

#include <lauxlib.h>

#define LT_TEST_LINES_MAX 100u

/* A run of `lintel test`, and the file of it that runs now. */
struct lt_test {
    struct lt_test_bed *bed;
    const char *path; /* of the test file */
    struct lt_str dir;
    unsigned passed, failed, in_file;
    char *lines[LT_TEST_LINES_MAX]; /* what filters logged in this exchange */
    unsigned n_lines;
    lua_State *L;         /* of the test that is in t.run */
    char http_error[400]; /* what was wrong with an answer of t.http or t.redis, or empty */
};

/* The one that runs: log lines come without an argument. */
extern struct lt_test *lt_test_current;

/* The test behind a function of lintel.test. */
struct lt_test *lt_test_of(lua_State *L);

void lt_test_forget_lines(struct lt_test *r);
/* Takes a line that the log writes. */
void lt_test_on_log_line(struct lt_str line);

/* The number of seconds at index, in microseconds; raises when it is none. */
uint64_t lt_test_seconds(lua_State *L, int index);

/* t.run(filter, {conf=, request=, response=, user=, now=}) */
int lt_test_run(lua_State *L);

/* t.http(request, answer), test_http.c. */
int lt_test_http(lua_State *L);
/* Forgets all answers, at the beginning of a case. */
void lt_test_http_forget(lua_State *L);
/* Around an exchange. End ends it, raises when a request had no answer, and else puts the requests
 * into the result on top of the stack. */
void lt_test_http_begin(lua_State *L, struct lt_test *r);
void lt_test_http_end(lua_State *L, struct lt_test *r);

/* t.redis(answer), test_redis.c; forget and begin as with t.http (before), end (after) puts the
 * commands into the result. */
int lt_test_redis(lua_State *L);
void lt_test_redis_forget(lua_State *L);
void lt_test_redis_begin(lua_State *L, struct lt_test *r);
void lt_test_redis_end(lua_State *L);

/* Adds name = "value" or {"a", "b"} of the table at index (or nil) to headers, copied to arena. */
void lt_test_fill_headers(lua_State *L, struct lt_arena *arena, int index,
                          struct lt_headers *headers);

/* t.every(filter, period [, {conf=, now=}]) */
int lt_test_every(lua_State *L);

/* Adds lintel.test to the table of loaded modules on top of the stack. */
int lt_test_open(lua_State *L);

#endif
