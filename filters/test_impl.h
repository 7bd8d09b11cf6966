/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `lintel test` share. Private to filters/.
 *
 *   test_runner.c    the command: options, files and folders
 *   test_cases.c     t.case: runs the cases of a file, and says how one failed
 *   test_report.c    what is printed, TAP, JUnit; test_coverage.c, test_lines.c  lines that ran
 *   test_exchange.c  t.run and its like: loads filters, drives exchanges through their hooks
 *   test_spec.c      tables of Lua to settings, requests, responses; test_result.c  and back
 *   test_checks.c    t.eq and its like, the clock; test_diff.c  how two values differ
 *   test_http.c      t.http
 *   test_redis.c     t.redis
 */
#ifndef LT_FILTERS_TEST_IMPL_H
#define LT_FILTERS_TEST_IMPL_H

#include "filters/test_bed.h"
#include "filters/vm.h"

#include <lauxlib.h>

#define LT_TEST_LINES_MAX 100u
#define LT_TEST_TEXT_MAX 4096u

struct lt_filter_vm;
struct lt_test_report;

/* A run of `lintel test`, and the file of it that runs now. */
struct lt_test {
    struct lt_test_bed *bed;
    struct lt_test_report *report;
    const char *filter; /* of cases, by what is printed of them; NULL: all */
    bool list;          /* names only */
    const char *path;   /* of the test file */
    struct lt_str dir;
    struct lt_filter_vm *fvm; /* of the test file */
    unsigned matched;         /* cases, of all files */
    unsigned in_file;         /* cases of this one, whether they matched or not */
    bool in_case;
    bool in_mock;                   /* a function of the test plays a service */
    unsigned loaded;                /* counts what was loaded: objects of t.load go out of date */
    size_t memory;                  /* bytes: the most that the filters of this case used */
    char *lines[LT_TEST_LINES_MAX]; /* what filters logged in this exchange */
    unsigned n_lines;
    char said[LT_TEST_TEXT_MAX]; /* what filters logged in this case, for people: lines */
    lua_State *L;                /* of the test that is in t.run */
    char http_error[400];        /* what was wrong with an answer of t.http or t.redis, or empty */
    char failure[LT_TEST_TEXT_MAX];  /* of filters, in this exchange, for people; or empty */
    char failed_as[LT_VM_TRACE_MAX]; /* the first of these, in a line */
    char text[LT_TEST_TEXT_MAX];     /* of a check that fails */
};

/* The one that runs: log lines come without an argument. */
extern struct lt_test *lt_test_current;

/* The test behind a function of lintel.test. */
struct lt_test *lt_test_of(lua_State *L);

void lt_test_forget_lines(struct lt_test *r);
/* Takes a line that the log writes. */
void lt_test_on_log_line(struct lt_str line);

/* ---- test_cases.c ---- */

/* t.case(name [, {cpu=, memory=}], fn) */
int lt_test_case(lua_State *L);
/* Runs one test file: its text, then its cases. */
void lt_test_run_file(struct lt_test *r, const char *path);
/* Raises outside of cases; what: "t.run". */
void lt_test_check_case(lua_State *L, const char *what);
/* Told by the bed: a filter has failed. */
void lt_test_on_failure(struct lt_filter_unit *unit, const char *hook, enum lt_cause cause,
                        const char *error);
/* Makes the failure of the exchange that has ended the case's, unless its `error` or `cause` is
 * read: the result at index, which is a table. */
void lt_test_watch_failure(lua_State *L, struct lt_test *r, int result);

/* ---- test_report.c ---- */

enum lt_test_outcome {
    LT_TEST_PASSED,
    LT_TEST_FAILED, /* a check, a filter or the case's own code */
    LT_TEST_BROKEN  /* the file */
};

struct lt_test_result {
    const char *file;
    const char *name; /* of the case */
    enum lt_test_outcome outcome;
    const char *text;         /* why it failed: lines */
    uint64_t cpu_ns, wall_ns; /* of its filters; of all */
    size_t memory;            /* bytes; of its filters */
};

/* junit: where to write that, or NULL. NULL: said. Returns owned. */
struct lt_test_report *lt_test_report_new(bool tap, const char *junit) LT_MUST_CHECK;
void lt_test_report_free(struct lt_test_report *report);
void lt_test_report_begin(struct lt_test_report *report, const char *file);
void lt_test_report_case(struct lt_test_report *report, const struct lt_test_result *result);
void lt_test_report_end(struct lt_test_report *report);
/* A line for people that is no result. */
void lt_test_report_line(struct lt_test_report *report, const char *text);
/* Writes the summary and the file. False: that could not be written, which is said. */
bool lt_test_report_finish(struct lt_test_report *report) LT_MUST_CHECK;
unsigned lt_test_report_failed(const struct lt_test_report *report);

/* ---- test_coverage.c, test_lines.c ---- */

/* From now on lines are counted of all filters and modules. False without memory. */
bool lt_coverage_begin(void) LT_MUST_CHECK;
/* A file to be in the summary even if nothing of it ran. */
void lt_coverage_expect(const char *path);
/* Prints a line for each file; lcov: a file to write besides, or NULL. False: that failed, said. */
bool lt_coverage_end(struct lt_test_report *report, const char *lcov) LT_MUST_CHECK;

/* Marks the lines (from 1, up to n) of text that have code in them. False: it can't be compiled, or
 * Lua's form of code is another one than we know. */
bool lt_lines_with_code(struct lt_str text, bool *lines, size_t n) LT_MUST_CHECK;

/* ---- test_exchange.c ---- */

/* t.run(filter, spec), t.load(filter [, spec]), t.every(filter, period [, spec]) */
int lt_test_run(lua_State *L);
int lt_test_load(lua_State *L);
int lt_test_every(lua_State *L);

/* ---- test_spec.c ---- */

/* The number of seconds at index, in microseconds; raises when it is none. */
uint64_t lt_test_seconds(lua_State *L, int index);
/* Loads the filter that argument 1 names with the settings of the table at index conf (or nil). */
void lt_test_load_filter(lua_State *L, struct lt_test *r, int conf);
/* Names of the configuration's upstreams: list at index, or nil. The texts are to stay. */
void lt_test_take_upstreams(lua_State *L, struct lt_test_bed *bed, int index);
/* Begins the exchange that the table at index (or nil) describes. */
struct lt_exchange *lt_test_begin(lua_State *L, struct lt_test *r, int index);
/* The user that an earlier filter would have found: table at index, or nil. */
void lt_test_fill_user(lua_State *L, struct lt_exchange *x, int index);
/* The server's answer: table at index, or nil. */
void lt_test_take_response(lua_State *L, struct lt_test_bed *bed, int index);
/* When the client leaves: value at index, or nil. */
void lt_test_take_abort(lua_State *L, struct lt_test_bed *bed, int index);
/* Adds name = "value" or {"a", "b"} of the table at index (or nil) to headers, copied to arena. */
void lt_test_fill_headers(lua_State *L, struct lt_arena *arena, int index,
                          struct lt_headers *headers);

/* ---- test_result.c: each adds to the table on top of the stack ---- */

/* What a server would have got. */
void lt_test_set_asked(lua_State *L, struct lt_test_bed *bed);
/* What the client got, and what the filters left. */
void lt_test_set_outcome(lua_State *L, struct lt_test_bed *bed);
/* The lines that were logged, each as a table. */
void lt_test_set_log(lua_State *L, const struct lt_test *r);
void lt_test_set_str(lua_State *L, const char *name, struct lt_str value);
/* __index of a result: nil for a field that results may have; raises on another name. */
int lt_test_absent(lua_State *L);

/* ---- test_http.c ---- */

/* t.http(request, answer) */
int lt_test_http(lua_State *L);
/* Forgets all answers, at the beginning of a case. */
void lt_test_http_forget(lua_State *L);
/* Around exchanges. End ends them, raises when a request had no answer, and else puts the requests
 * into the result on top of the stack. */
void lt_test_http_begin(lua_State *L, struct lt_test *r);
void lt_test_http_end(lua_State *L, struct lt_test *r);

/* ---- test_redis.c ---- */

/* t.redis(answer); forget and begin as with t.http (before), end (after) puts the commands into the
 * result. */
int lt_test_redis(lua_State *L);
void lt_test_redis_forget(lua_State *L);
void lt_test_redis_begin(lua_State *L, struct lt_test *r);
void lt_test_redis_end(lua_State *L);

/* ---- test_checks.c, test_diff.c ---- */

/* Adds lintel.test to the table of loaded modules on top of the stack. */
int lt_test_open(lua_State *L);
/* Whether the values at these absolute indices are the same, tables by their contents; appends what
 * differs to out. */
bool lt_test_same(lua_State *L, int got, int wanted, struct lt_buf *out);
/* Appends a value as people read it. */
void lt_test_show(lua_State *L, int index, struct lt_buf *out);

#endif
