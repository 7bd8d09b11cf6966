/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 as bytes: what a head says, bodies, trailers, limits, and what is written. */
#include "http/h1.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/rand.h"
#include "tests/unit/h1_reader.h"
#include "tests/unit/unit.h"

#define END "\r\n\r\n"

static const size_t steps[] = {SIZE_MAX, 1, 2, 3, 7};

static void read_request(struct reader *r, const char *in, size_t step)
{
    reader_init(r);
    reader_run(r, in, strlen(in), step, NULL, false, LT_METHOD_UNKNOWN);
}

static void read_response(struct reader *r, const char *in, size_t step, enum lt_method method)
{
    reader_init(r);
    reader_run(r, in, strlen(in), step, NULL, true, method);
}

static void test_llhttp_is_the_strict_one(void **state)
{
    (void)state;
    /* The loose parser of version 8 takes both of these; nothing of the gate is in the way here. */
    static const char *const strict_only[] = {
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXY0\r\n\r\n",
        "GET / HTTP/1.1\r\nA:\rB: c\r\n\r\n",
    };
    static const llhttp_settings_t settings = {.on_url = NULL};
    for (size_t i = 0; i < lt_countof(strict_only); i++) {
        llhttp_t llhttp;
        llhttp_init(&llhttp, HTTP_REQUEST, &settings);
        assert_int_not_equal(llhttp_execute(&llhttp, strict_only[i], strlen(strict_only[i])),
                             HPE_OK);
    }
}

static void test_a_request_says(void **state)
{
    (void)state;
    for (size_t s = 0; s < lt_countof(steps); s++) {
        struct reader r;
        read_request(&r,
                     "GET /a/%7eb/../c?x=1 HTTP/1.1\r\nHOST: Ex.COM:8080\r\n"
                     "Accept:\t*/* \t\r\nEmpty:\r\nX-y:  a  b  " END "GET",
                     steps[s]);
        assert_int_equal(r.cause, LT_CAUSE_NONE);
        assert_true(r.complete);
        assert_int_equal(r.req.method, LT_METHOD_GET);
        assert_str(r.req.target, "/a/%7eb/../c?x=1");
        assert_str(r.req.path, "/a/c");
        assert_str(r.req.query, "x=1");
        assert_str(r.req.authority, "Ex.COM:8080");
        assert_str(r.req.host, "ex.com");
        assert_int_equal(r.req.version, 11);
        assert_int_equal(r.req.body, LT_BODY_NONE);
        assert_true(r.req.keep_alive);
        assert_false(r.req.upgrade);
        assert_int_equal(r.req.headers.n, 4);
        assert_str(r.req.headers.v[0].name, "HOST");
        assert_int_equal(r.req.headers.v[0].id, LT_HEADER_HOST);
        assert_str(r.req.headers.v[1].value, "*/*");
        assert_str(r.req.headers.v[2].value, "");
        assert_str(r.req.headers.v[3].value, "a  b");
        assert_int_equal(r.used, strlen("GET /a/%7eb/../c?x=1 HTTP/1.1\r\nHOST: Ex.COM:8080\r\n"
                                        "Accept:\t*/* \t\r\nEmpty:\r\nX-y:  a  b  " END));
        reader_fini(&r);
    }
}

static void test_absolute_form_becomes_origin_form(void **state)
{
    (void)state;
    static const struct {
        const char *in, *target, *path, *authority, *host;
    } v[] = {
        {"GET http://A.b:80/p?q HTTP/1.1\r\nHost: a.B" END, "/p?q", "/p", "a.B", "a.b"},
        {"GET http://a HTTP/1.1\r\nHost: a" END, "/", "/", "a", "a"},
        {"GET http://a?q=1 HTTP/1.1\r\nHost: a" END, "/?q=1", "/", "a", "a"},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a" END, "*", "*", "a", "a"},
        {"OPTIONS * HTTP/1.1\r\nHost: a" END, "*", "*", "a", "a"},
        {"GET http://a:81/ HTTP/1.0" END, "/", "/", "a:81", "a"},
        {"GET / HTTP/1.0" END, "/", "/", "", ""},
        {"GET / HTTP/1.1\r\nHost: a.b." END, "/", "/", "a.b.", "a.b"},
        {"GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80" END, "/", "/", "[2001:DB8::1]:80",
         "[2001:db8::1]"},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct reader r;
        read_request(&r, v[i].in, SIZE_MAX);
        assert_int_equal(r.cause, LT_CAUSE_NONE);
        assert_str(r.req.target, v[i].target);
        assert_str(r.req.path, v[i].path);
        assert_str(r.req.authority, v[i].authority);
        assert_str(r.req.host, v[i].host);
        reader_fini(&r);
    }
}

static void test_what_a_client_asks_for_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool keep_alive, upgrade, expect;
    } v[] = {
        {"GET / HTTP/1.1\r\nHost: a" END, true, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE" END, false, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close" END, false, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close" END, false, false,
         false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: enclosed" END, true, false, false},
        {"GET / HTTP/1.0" END, false, false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive" END, true, false, false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close" END, false, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c" END, true, true, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade" END, true, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c" END, true, false, false},
        {"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: upgrade\r\nUpgrade: x" END, true, false,
         false},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1" END "x", true,
         false, true},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue" END, true, false, false},
        {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1" END "x", false, false,
         false},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct reader r;
        read_request(&r, v[i].in, SIZE_MAX);
        assert_int_equal(r.cause, LT_CAUSE_NONE);
        assert_true(r.complete);
        assert_int_equal(r.req.keep_alive, v[i].keep_alive);
        assert_int_equal(r.req.upgrade, v[i].upgrade);
        assert_int_equal(r.req.expect_continue, v[i].expect);
        reader_fini(&r);
    }
}

static void test_an_upgrade_with_a_body_is_read_to_its_end(void **state)
{
    (void)state;
    static const char *const in[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 3" END
        "abcGET /smuggled",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"
        "Transfer-Encoding: chunked" END "3\r\nabc\r\n0" END "GET /smuggled",
    };
    for (size_t i = 0; i < lt_countof(in); i++) {
        for (size_t s = 0; s < lt_countof(steps); s++) {
            struct reader r;
            read_request(&r, in[i], steps[s]);
            assert_true(r.complete);
            assert_str(lt_buf_view(&r.body), "abc");
            assert_str(lt_str_c(in[i] + r.used), "GET /smuggled");
            reader_fini(&r);
        }
    }
}

static void test_content_length_loses_its_zeros(void **state)
{
    (void)state;
    static const struct {
        const char *in, *value;
        uint64_t length;
    } v[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005" END "hello", "5", 5},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000" END, "0", 0},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct reader r;
        read_request(&r, v[i].in, 1);
        assert_int_equal(r.req.body, LT_BODY_LENGTH);
        assert_int_equal(r.req.content_length, v[i].length);
        assert_str(lt_headers_value(&r.req.headers, LT_HEADER_CONTENT_LENGTH), v[i].value);
        assert_int_equal(r.body.len, v[i].length);
        assert_true(r.complete);
        reader_fini(&r);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const struct lt_h1_limits limits = {.head = 200, .headers = 3, .target = 20};
    static const struct {
        const char *in;
        enum lt_cause request, response;
    } v[] = {
        {"GET /234567890123456789 HTTP/1.1\r\nHost: a" END, LT_CAUSE_NONE, LT_CAUSE_NONE},
        {"GET /2345678901234567890 HTTP/1.1\r\nHost: a" END, LT_CAUSE_NONE, LT_CAUSE_NONE},
        {"GET /23456789012345678901 HTTP/1.1\r\nHost: a" END, LT_CAUSE_TARGET_TOO_LONG,
         LT_CAUSE_NONE},
        {"GET "
         "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         LT_CAUSE_TARGET_TOO_LONG, LT_CAUSE_NONE},
        {"GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c" END, LT_CAUSE_NONE, LT_CAUSE_NONE},
        {"GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c\r\nD: d" END, LT_CAUSE_HEAD_TOO_LARGE,
         LT_CAUSE_NONE},
        {"HTTP/1.1 200 OK\r\nA: a\r\nB: b\r\nC: c\r\nD: d" END, LT_CAUSE_NONE,
         LT_CAUSE_RESPONSE_HEAD_TOO_LARGE},
        {"HTTP/1.1 200 "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaa"
         "aaaaaaaaaaaaaaaa",
         LT_CAUSE_NONE, LT_CAUSE_RESPONSE_HEAD_TOO_LARGE},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        bool response = strncmp(v[i].in, "HTTP", 4) == 0;
        for (size_t s = 0; s < lt_countof(steps); s++) {
            struct reader r;
            reader_init(&r);
            reader_run(&r, v[i].in, strlen(v[i].in), steps[s], &limits, response, LT_METHOD_GET);
            assert_int_equal(r.cause, response ? v[i].response : v[i].request);
            reader_fini(&r);
        }
    }
}

static void test_a_head_of_exactly_the_limit_passes(void **state)
{
    (void)state;
    const char *in = "GET / HTTP/1.1\r\nHost: a" END;
    for (int over = 0; over < 2; over++) {
        struct lt_h1_limits limits = {.head = strlen(in) - (size_t)over, .headers = 1, .target = 9};
        for (size_t s = 0; s < lt_countof(steps); s++) {
            struct reader r;
            reader_init(&r);
            reader_run(&r, in, strlen(in), steps[s], &limits, false, LT_METHOD_UNKNOWN);
            assert_int_equal(r.cause, over ? LT_CAUSE_HEAD_TOO_LARGE : LT_CAUSE_NONE);
            reader_fini(&r);
        }
    }
}

static void test_bodies_of_responses(void **state)
{
    (void)state;
#define OK "HTTP/1.1 200 OK\r\n"
    static const struct {
        const char *in;
        enum lt_method method;
        enum lt_body_kind kind;
        const char *body, *rest;
        bool keep_alive;
    } v[] = {
        {OK "Content-Length: 5" END "helloX", LT_METHOD_GET, LT_BODY_LENGTH, "hello", "X", true},
        {OK "Content-Length: 0" END "X", LT_METHOD_GET, LT_BODY_LENGTH, "", "X", true},
        {OK "Transfer-Encoding: chunked" END "2\r\nab\r\n0" END "X", LT_METHOD_GET, LT_BODY_CHUNKED,
         "ab", "X", true},
        {OK "A: b" END "to the end", LT_METHOD_GET, LT_BODY_CLOSE, "to the end", "", false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive" END "all", LT_METHOD_GET, LT_BODY_CLOSE, "all",
         "", false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1" END "a", LT_METHOD_GET,
         LT_BODY_LENGTH, "a", "", true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1" END "a", LT_METHOD_GET, LT_BODY_LENGTH, "a", "",
         false},
        {OK "Connection: close\r\nContent-Length: 1" END "aX", LT_METHOD_GET, LT_BODY_LENGTH, "a",
         "X", false},
        {OK "Content-Length: 5" END "HTTP", LT_METHOD_HEAD, LT_BODY_NONE, "", "HTTP", true},
        {OK "Transfer-Encoding: chunked" END "HTTP", LT_METHOD_HEAD, LT_BODY_NONE, "", "HTTP",
         true},
        {OK "A: b" END "HTTP", LT_METHOD_HEAD, LT_BODY_NONE, "", "HTTP", true},
        {"HTTP/1.1 204 No Content" END "HTTP", LT_METHOD_GET, LT_BODY_NONE, "", "HTTP", true},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 0" END "HTTP", LT_METHOD_GET, LT_BODY_NONE, "",
         "HTTP", true},
        {"HTTP/1.1 205 Reset Content\r\nContent-Length: 0" END "", LT_METHOD_GET, LT_BODY_LENGTH,
         "", "", true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5" END "HTTP", LT_METHOD_GET, LT_BODY_NONE,
         "", "HTTP", true},
        {"HTTP/1.1 100 Continue" END "HTTP", LT_METHOD_POST, LT_BODY_NONE, "", "HTTP", true},
        {"HTTP/1.1 103 Early Hints\r\nLink: x" END "HTTP", LT_METHOD_GET, LT_BODY_NONE, "", "HTTP",
         true},
        {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x" END "raw",
         LT_METHOD_GET, LT_BODY_NONE, "", "raw", true},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        for (size_t s = 0; s < lt_countof(steps); s++) {
            struct reader r;
            read_response(&r, v[i].in, steps[s], v[i].method);
            assert_int_equal(r.cause, LT_CAUSE_NONE);
            assert_int_equal(r.res.body, v[i].kind);
            assert_str(lt_buf_view(&r.body), v[i].body);
            assert_str(lt_str_c(v[i].in + r.used), v[i].rest);
            assert_int_equal(r.res.keep_alive, v[i].keep_alive);
            assert_true(r.complete);
            assert_int_equal(lt_h1_eof_ends(&r.parser), v[i].kind == LT_BODY_CLOSE);
            reader_fini(&r);
        }
    }
}

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked" END

static void test_chunked_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *in, *body; /* NULL: refused */
    } v[] = {
        {"0" END, ""},
        {"5\r\nhello\r\n0" END, "hello"},
        {"A\r\n0123456789\r\n1\r\nx\r\n000" END, "0123456789x"},
        {"a\r\n0123456789\r\n0" END, "0123456789"},
        {"00005\r\nhello\r\n0" END, "hello"},
        {"1;a=b\r\nx\r\n0;c" END, "x"},
        {"1;a=\"b c\"\r\nx\r\n0" END, "x"},
        {"2\r\n\r\n\r\n0" END, "\r\n"},
        {"1 \r\nx\r\n0" END, NULL},
        {" 1\r\nx\r\n0" END, NULL},
        {"\t1\r\nx\r\n0" END, NULL},
        {"0x1\r\nx\r\n0" END, NULL},
        {"+1\r\nx\r\n0" END, NULL},
        {"-1\r\nx\r\n0" END, NULL},
        {"1_0\r\nx\r\n0" END, NULL},
        {"1g\r\nx\r\n0" END, NULL},
        {"\r\nx\r\n0" END, NULL},
        {";a\r\nx\r\n0" END, NULL},
        {"x" END, NULL},
        {"ffffffffffffffff\r\nx", NULL},
        {"fffffffffffffffe\r\nx", NULL},
        {"1000000000000001\r\nx", NULL},
        {"10000000000000001\r\nx\r\n0" END, NULL},
        {"1\nx\r\n0" END, NULL},
        {"1\r\nx\n0" END, NULL},
        {"1\r\nx\r\n0\n\r\n", NULL},
        {"1\r\nx\r\n0\r\n\n", NULL},
        {"1\r\nxy\r\n0" END, NULL},
        {"1\r\nx0\r\n", NULL},
        {"1\r\nx\rY0" END, NULL},
        {"1\rx\r\nx\r\n0" END, NULL},
        {"1\r\r\nx\r\n0" END, NULL},
        {"1;a\rb\r\nx\r\n0" END, NULL},
        {"1;a\nb\r\nx\r\n0" END, NULL},
        {"1;a=\x01\r\nx\r\n0" END, NULL},
        {"1;a=\"\x7f\"\r\nx\r\n0" END, NULL},
        {"1;\r\nx\r\n0" END, NULL},
        {"0\r\n\rX", NULL},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        for (size_t s = 0; s < lt_countof(steps); s++) {
            char in[256];
            struct reader r;
            snprintf(in, sizeof(in), CHUNKED "%s", v[i].in);
            read_request(&r, in, steps[s]);
            if (v[i].body != NULL) {
                assert_int_equal(r.cause, LT_CAUSE_NONE);
                assert_true(r.complete);
                assert_str(lt_buf_view(&r.body), v[i].body);
                assert_int_equal(r.used, strlen(in));
            } else if (r.complete ||
                       (r.cause != LT_CAUSE_CHUNK_INVALID && r.cause != LT_CAUSE_TRAILER_INVALID)) {
                fail_msg("\"%s\" was not refused: %s", v[i].in, lt_cause_info(r.cause)->name);
            }
            reader_fini(&r);
        }
    }
}

static void test_nul_in_chunk_framing(void **state)
{
    (void)state;
    static const char in[] = CHUNKED "1;a=\0\r\nx\r\n0" END;
    struct reader r;
    reader_init(&r);
    reader_run(&r, in, sizeof(in) - 1, 1, NULL, false, LT_METHOD_UNKNOWN);
    assert_int_equal(r.cause, LT_CAUSE_CHUNK_INVALID);
    reader_fini(&r);
}

/* A chunked request whose chunk lines carry extensions of `each` bytes, count chunks. */
static enum lt_cause read_extensions(size_t each, size_t count)
{
    size_t cap = strlen(CHUNKED) + count * (each + 32) + 32, n;
    char *in = lt_malloc(cap);
    assert_non_null(in);
    n = (size_t)snprintf(in, cap, CHUNKED);
    for (size_t i = 0; i < count; i++) {
        n += (size_t)snprintf(in + n, cap - n, "1;");
        memset(in + n, 'e', each - 1);
        n += each - 1;
        n += (size_t)snprintf(in + n, cap - n, "\r\nx\r\n");
    }
    n += (size_t)snprintf(in + n, cap - n, "0" END);
    struct reader r;
    reader_init(&r);
    reader_run(&r, in, n, 100, NULL, false, LT_METHOD_UNKNOWN);
    enum lt_cause cause = r.cause;
    assert_int_equal(r.complete, cause == LT_CAUSE_NONE);
    reader_fini(&r);
    lt_free(in);
    return cause;
}

static void test_extensions_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(read_extensions(2, 50000), LT_CAUSE_NONE);
    assert_int_equal(read_extensions(200, 50), LT_CAUSE_NONE);
    assert_int_equal(read_extensions(300, 1), LT_CAUSE_CHUNK_INVALID);
    assert_int_equal(read_extensions(200, 200), LT_CAUSE_CHUNK_INVALID);
}

static void test_trailers_are_kept_apart_and_filtered(void **state)
{
    (void)state;
    for (size_t s = 0; s < lt_countof(steps); s++) {
        struct reader r;
        read_request(&r,
                     CHUNKED "1\r\nx\r\n0\r\nX-Checksum:  abc \r\nContent-Length: 5\r\nHost: b\r\n"
                             "Cookie: c\r\nX_Y: z\r\nEmpty:\r\n"
                             "grpc-status: 0\r\n\r\nNEXT",
                     steps[s]);
        assert_int_equal(r.cause, LT_CAUSE_NONE);
        assert_true(r.complete);
        assert_int_equal(r.trailers.n, 3);
        assert_str(r.trailers.v[0].name, "X-Checksum");
        assert_str(r.trailers.v[0].value, "abc");
        assert_str(r.trailers.v[1].name, "Empty");
        assert_str(r.trailers.v[1].value, "");
        assert_str(r.trailers.v[2].name, "grpc-status");
        assert_str(r.trailers.v[2].value, "0");
        assert_int_equal(r.req.headers.n, 2);
        reader_fini(&r);
    }
}

static void test_trailers_follow_the_rules_of_headers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A: b\r\n c" END,
        "A: b\r\n\tc" END,
        " A: b" END,
        "A : b" END,
        ": b" END,
        "A" END,
        "A: b\n\r\n",
        "A: b\r\n\n",
        "A: b\x07"
        "c" END,
        "A: b\rc: d" END,
        "A:\rb: c" END,
        "A B: c" END,
        "A(: b" END,
        "A: \x7f" END,
    };
    for (size_t i = 0; i < lt_countof(bad); i++) {
        for (size_t s = 0; s < lt_countof(steps); s++) {
            char in[256];
            struct reader r;
            snprintf(in, sizeof(in), CHUNKED "1\r\nx\r\n0\r\n%s", bad[i]);
            read_request(&r, in, steps[s]);
            if (r.cause != LT_CAUSE_TRAILER_INVALID || r.complete) {
                fail_msg("\"%s\" was not refused: %s", bad[i], lt_cause_info(r.cause)->name);
            }
            reader_fini(&r);
        }
    }
}

static void test_trailers_are_bounded(void **state)
{
    (void)state;
    char in[1024];
    struct lt_h1_limits limits = {.head = 200, .headers = 5, .target = 100};
    for (int many = 0; many < 2; many++) {
        size_t n = (size_t)snprintf(in, sizeof(in), CHUNKED "0\r\n");
        for (int i = 0; i < (many ? 6 : 1); i++) {
            n += (size_t)snprintf(in + n, sizeof(in) - n, "A: %0*d\r\n", many ? 1 : 300, 0);
        }
        n += (size_t)snprintf(in + n, sizeof(in) - n, "\r\n");
        struct reader r;
        reader_init(&r);
        reader_run(&r, in, n, 10, &limits, false, LT_METHOD_UNKNOWN);
        assert_int_equal(r.cause, LT_CAUSE_TRAILER_INVALID);
        reader_fini(&r);
    }
}

static void test_trailers_that_nobody_wants_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum lt_h1_event event;
    } v[] = {{"0\r\nA: b" END, LT_H1_END}, {"0\r\nA: \x01" END, LT_H1_FAULT}};
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct reader r;
        read_request(&r, CHUNKED, SIZE_MAX);
        size_t used;
        struct lt_str piece;
        enum lt_cause cause;
        assert_int_equal(
            lt_h1_body(&r.parser, v[i].in, strlen(v[i].in), &used, &piece, NULL, &cause),
            v[i].event);
        if (v[i].event == LT_H1_FAULT) {
            /* It stays refused, whatever comes. */
            assert_int_equal(lt_h1_body(&r.parser, "0" END, 5, &used, &piece, NULL, &cause),
                             LT_H1_FAULT);
            assert_int_equal(cause, LT_CAUSE_TRAILER_INVALID);
        }
        reader_fini(&r);
    }
}

static void test_the_end_comes_again_and_takes_nothing(void **state)
{
    (void)state;
    struct reader r;
    read_request(&r, CHUNKED "0" END, SIZE_MAX);
    size_t used = 1;
    struct lt_str piece;
    enum lt_cause cause;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lt_h1_body(&r.parser, "GET", 3, &used, &piece, NULL, &cause), LT_H1_END);
        assert_int_equal(used, 0);
    }
    reader_fini(&r);
}

static void test_chunk_lines_are_written(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *line;
    } v[] = {{0, "0\r\n"},           {9, "9\r\n"},
             {10, "a\r\n"},          {16, "10\r\n"},
             {255, "ff\r\n"},        {16384, "4000\r\n"},
             {0x12345, "12345\r\n"}, {SIZE_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < lt_countof(v); i++) {
        char out[LT_H1_CHUNK_LINE_MAX];
        assert_str(lt_str(out, lt_h1_chunk_line(out, v[i].n)), v[i].line);
    }
}

static void test_heads_are_written(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_headers h;
    struct lt_str out;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    lt_headers_init(&h, &arena, 9);
    assert_int_equal(lt_headers_add(&h, LT_STR("Host"), LT_STR("a")), LT_OK);
    assert_int_equal(lt_headers_add(&h, LT_STR("x-empty"), LT_STR_NONE), LT_OK);
    assert_int_equal(lt_h1_write_request(&arena, LT_STR("GET"), LT_STR("/b?c"), &h, &out), LT_OK);
    assert_str(out, "GET /b?c HTTP/1.1\r\nHost: a\r\nx-empty: \r\n\r\n");
    assert_int_equal(lt_h1_write_response(&arena, 11, 404, &h, &out), LT_OK);
    assert_str(out, "HTTP/1.1 404 Not Found\r\nHost: a\r\nx-empty: \r\n\r\n");
    h.n = 0;
    assert_int_equal(lt_h1_write_response(&arena, 10, 299, &h, &out), LT_OK);
    assert_str(out, "HTTP/1.0 299 \r\n\r\n");
    lt_arena_fini(&arena);
}

static void test_nothing_written_breaks_out_of_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target, *name, *value;
    } bad[] = {
        {"GE T", "/", "a", "b"},   {"", "/", "a", "b"},          {"GET", "", "a", "b"},
        {"GET", "/ b", "a", "b"},  {"GET", "/\r\nX:", "a", "b"}, {"GET", "/", "", "b"},
        {"GET", "/", "a:", "b"},   {"GET", "/", "a\r\nb", "c"},  {"GET", "/", "a", "b\r\nc: d"},
        {"GET", "/", "a", "b\nc"}, {"GET", "/", "a", "b\rc"},    {"GET", "/\tx", "a", "b"},
    };
    for (size_t i = 0; i < lt_countof(bad); i++) {
        struct lt_arena arena;
        struct lt_headers h;
        struct lt_str out;
        lt_arena_init(&arena, NULL, 0, 1 << 20);
        lt_headers_init(&h, &arena, 9);
        assert_int_equal(lt_headers_add(&h, lt_str_c(bad[i].name), lt_str_c(bad[i].value)), LT_OK);
        assert_int_equal(
            lt_h1_write_request(&arena, lt_str_c(bad[i].method), lt_str_c(bad[i].target), &h, &out),
            LT_ERR_INVALID);
        lt_arena_fini(&arena);
    }
    struct lt_headers none = {.n = 0};
    struct lt_arena arena;
    struct lt_str out;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(lt_h1_write_response(&arena, 11, 99, &none, &out), LT_ERR_INVALID);
    assert_int_equal(lt_h1_write_response(&arena, 11, 1000, &none, &out), LT_ERR_INVALID);
    lt_arena_fini(&arena);
}

static void test_without_memory_a_message_is_refused_as_such(void **state)
{
    (void)state;
    static const char in[] = "GET http://a?x HTTP/1.1\r\nHost: A\r\nB: c" END;
    bool passed = false;
    for (unsigned n = 1; !passed; n++) {
        char first[256];
        struct lt_arena arena;
        struct lt_h1 p;
        struct lt_request req;
        enum lt_cause cause;
        char head[sizeof(in)];
        memcpy(head, in, sizeof(in));
        lt_arena_init(&arena, first, 16, 4096);
        lt_mem_fail_at(n);
        enum lt_err err =
            lt_h1_request(&p, &arena, head, sizeof(in) - 1, &reader_limits, &req, &cause);
        lt_mem_fail_at(0);
        passed = err == LT_OK;
        if (!passed) {
            assert_int_equal(err, LT_ERR_NOMEM);
            assert_int_equal(cause, LT_CAUSE_OUT_OF_MEMORY);
        }
        lt_arena_fini(&arena);
    }
    struct reader r;
    read_request(&r, CHUNKED, SIZE_MAX);
    struct lt_arena empty;
    struct lt_headers trailers;
    struct lt_str piece, out;
    size_t used;
    lt_arena_init(&empty, NULL, 0, 0);
    lt_headers_init(&trailers, &empty, 9);
    assert_int_equal(lt_h1_body(&r.parser, "0\r\nA: b" END, 11, &used, &piece, &trailers, &r.cause),
                     LT_H1_FAULT);
    assert_int_equal(r.cause, LT_CAUSE_OUT_OF_MEMORY);
    trailers.n = 0;
    assert_int_equal(lt_h1_write_request(&empty, LT_STR("GET"), LT_STR("/"), &trailers, &out),
                     LT_ERR_NOMEM);
    assert_int_equal(lt_h1_write_response(&empty, 11, 200, &trailers, &out), LT_ERR_NOMEM);
    lt_arena_fini(&empty);
    reader_fini(&r);
}

/* A request made of random parts, all of them valid. */
static size_t random_request(struct lt_rand *rand, char *out, size_t cap)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"};
    static const char *const targets[] = {"/",       "/a?b=c",       "/a//b/./c",
                                          "/%41%c3", "http://h/x?y", "/a;b=c/d?"};
    static const char *const fields[] = {"Accept: */*",
                                         "x-a:",
                                         "X-B:  spaced out\t ",
                                         "Cookie: a=b",
                                         "TE: trailers",
                                         "x-c: caf\xc3\xa9",
                                         "Connection: keep-alive, x-a"};
    size_t n = (size_t)snprintf(out, cap, "%s %s HTTP/1.1\r\nHost: h\r\n",
                                methods[lt_rand_below(rand, lt_countof(methods))],
                                targets[lt_rand_below(rand, lt_countof(targets))]);
    for (uint32_t i = lt_rand_below(rand, 40); i > 0; i--) {
        n += (size_t)snprintf(out + n, cap - n, "%s\r\n",
                              fields[lt_rand_below(rand, lt_countof(fields))]);
    }
    return n + (size_t)snprintf(out + n, cap - n, "\r\n");
}

static void test_what_is_written_reads_as_the_same_message(void **state)
{
    (void)state;
    struct lt_rand rand;
    lt_rand_init(&rand);
    for (int i = 0; i < 300; i++) {
        char in[4096];
        struct reader a, b;
        struct lt_str out;
        size_t n = random_request(&rand, in, sizeof(in));
        reader_init(&a);
        reader_run(&a, in, n, 1 + lt_rand_below(&rand, 50), NULL, false, LT_METHOD_UNKNOWN);
        assert_true(a.complete);
        assert_int_equal(lt_h1_write_request(&a.arena, lt_method_name(a.req.method), a.req.target,
                                             &a.req.headers, &out),
                         LT_OK);
        reader_init(&b);
        reader_run(&b, out.p, out.len, 1 + lt_rand_below(&rand, 50), NULL, false,
                   LT_METHOD_UNKNOWN);
        assert_true(b.complete);
        assert_int_equal(b.req.method, a.req.method);
        assert_true(lt_str_eq(b.req.target, a.req.target));
        assert_true(lt_str_eq(b.req.path, a.req.path));
        assert_int_equal(b.req.headers.n, a.req.headers.n);
        for (unsigned h = 0; h < a.req.headers.n; h++) {
            assert_true(lt_str_eq(b.req.headers.v[h].name, a.req.headers.v[h].name));
            assert_true(lt_str_eq(b.req.headers.v[h].value, a.req.headers.v[h].value));
        }
        reader_fini(&b);
        reader_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llhttp_is_the_strict_one),
        cmocka_unit_test(test_a_request_says),
        cmocka_unit_test(test_absolute_form_becomes_origin_form),
        cmocka_unit_test(test_what_a_client_asks_for_the_connection),
        cmocka_unit_test(test_an_upgrade_with_a_body_is_read_to_its_end),
        cmocka_unit_test(test_content_length_loses_its_zeros),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_head_of_exactly_the_limit_passes),
        cmocka_unit_test(test_bodies_of_responses),
        cmocka_unit_test(test_chunked_bodies),
        cmocka_unit_test(test_nul_in_chunk_framing),
        cmocka_unit_test(test_extensions_are_bounded),
        cmocka_unit_test(test_trailers_are_kept_apart_and_filtered),
        cmocka_unit_test(test_trailers_follow_the_rules_of_headers),
        cmocka_unit_test(test_trailers_are_bounded),
        cmocka_unit_test(test_trailers_that_nobody_wants_are_checked),
        cmocka_unit_test(test_the_end_comes_again_and_takes_nothing),
        cmocka_unit_test(test_chunk_lines_are_written),
        cmocka_unit_test(test_heads_are_written),
        cmocka_unit_test(test_nothing_written_breaks_out_of_its_place),
        cmocka_unit_test(test_without_memory_a_message_is_refused_as_such),
        cmocka_unit_test(test_what_is_written_reads_as_the_same_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
