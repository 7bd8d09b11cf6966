/* SPDX-License-Identifier: Apache-2.0 */
/* The framing gate: every head that two servers could read differently, and what becomes of it,
 * with whichever llhttp is linked. Each one is read in one piece, byte by byte, and in steps of
 * seven. */
#include "http/framing.h"

#include "tests/unit/h1_reader.h"
#include "tests/unit/unit.h"

#define H "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"
#define END "\r\n\r\n"

struct verdict {
    const char *in;
    size_t len;
    enum lt_cause cause; /* NONE: it is accepted */
};

#define V(text, id)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1, LT_CAUSE_##id                                                      \
    }

static void assert_verdict(const struct verdict *v, size_t step, bool response,
                           enum lt_method method)
{
    struct reader r;
    reader_init(&r);
    reader_run(&r, v->in, v->len, step, NULL, response, method);
    bool refused = r.cause != LT_CAUSE_NONE;
    /* What is not refused has to be given out: nothing waits for more. */
    if (r.cause != v->cause || refused == r.head_done) {
        fail_msg("%.*s\n in steps of %zu: %s, not %s%s", (int)v->len, v->in, step,
                 lt_cause_info(r.cause)->name, lt_cause_info(v->cause)->name,
                 refused || r.head_done ? "" : " (waits for more)");
    }
    reader_fini(&r);
}

static void assert_verdicts(const struct verdict *v, size_t n, bool response, enum lt_method method)
{
    const size_t steps[] = {SIZE_MAX, 1, 7};
    for (size_t i = 0; i < n; i++) {
        for (size_t s = 0; s < lt_countof(steps); s++) {
            assert_verdict(&v[i], steps[s], response, method);
        }
    }
}

#define REQUESTS(table) assert_verdicts(table, lt_countof(table), false, LT_METHOD_UNKNOWN)
#define RESPONSES(table) assert_verdicts(table, lt_countof(table), true, LT_METHOD_GET)

static void test_line_ends(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V(H "\r\n", NONE),
        V("\r\n" H "\r\n", NONE),
        V("\r\n\r\n" H "\r\n", REQUEST_LINE_INVALID),
        V("\n" H "\r\n", LINE_END_INVALID),
        V("GET / HTTP/1.1\nHost: a" END, LINE_END_INVALID),
        V("GET / HTTP/1.1\r\nHost: a\n\r\n", LINE_END_INVALID),
        V("GET / HTTP/1.1\r\nHost: a\r\n\n", LINE_END_INVALID),
        V("GET / HTTP/1.1\r\n\nHost: a" END, LINE_END_INVALID),
        V("GET / HTTP/1.1\rHost: a" END, REQUEST_LINE_INVALID),
        V("GET /\r HTTP/1.1\r\nHost: a" END, LINE_END_INVALID),
        V("GET / HTTP/1.1\r\r\nHost: a" END, LINE_END_INVALID),
        V(H "A: x\ry" END, LINE_END_INVALID),
        V(H "A: x\r" END, LINE_END_INVALID),
        V(H "A: \rx: y" END, LINE_END_INVALID),
        V(H "A:\rContent-Length: 5" END, LINE_END_INVALID),
        V(H "A\rB: x" END, LINE_END_INVALID),
        V(H "\r\rGET / HTTP/1.1" END, LINE_END_INVALID),
        V(H "\rX: y" END, LINE_END_INVALID),
        V("GET / HTTP/1.1\rHost: a\r\rX", LINE_END_INVALID),
        V(H "\rX", LINE_END_INVALID),
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        /* Whether the bare CR or what it does to the line is seen first depends on the steps. */
        for (size_t step = 1; step < 40; step++) {
            struct reader r;
            reader_init(&r);
            reader_run(&r, v[i].in, v[i].len, step, NULL, false, LT_METHOD_UNKNOWN);
            assert_int_equal(r.cause == LT_CAUSE_NONE, v[i].cause == LT_CAUSE_NONE);
            assert_int_equal(r.head_done, v[i].cause == LT_CAUSE_NONE);
            reader_fini(&r);
        }
        assert_verdict(&v[i], SIZE_MAX, false, LT_METHOD_UNKNOWN);
    }
}

static void test_request_lines(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V("GET /\r\n\r\n", REQUEST_LINE_INVALID),
        V("GET /\r\n", REQUEST_LINE_INVALID), /* HTTP/0.9: nothing would follow */
        V("GET\r\n", REQUEST_LINE_INVALID),
        V("GET  / HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET /  HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTP/1.1 \r\nHost: a" END, REQUEST_LINE_INVALID),
        V(" GET / HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET\t/ HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / x HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTP/1.1x\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTP/01.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / http/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTP/1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTP/1.1\0\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTPS/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / RTSP/1.0\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("SOURCE / ICE/1.0\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("GET / HTTP/0.9\r\nHost: a" END, VERSION_UNSUPPORTED),
        V("GET / HTTP/1.2\r\nHost: a" END, VERSION_UNSUPPORTED),
        V("GET / HTTP/2.0\r\nHost: a" END, VERSION_UNSUPPORTED),
        V("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION_UNSUPPORTED),
        V("G\0T / HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("G(T / HTTP/1.1\r\nHost: a" END, REQUEST_LINE_INVALID),
        V("\x16\x03\x01", REQUEST_LINE_INVALID), /* TLS on a clear port */
        V("{\"a\":1}", REQUEST_LINE_INVALID),
        V("get / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("Get / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("FOO / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("QUERY / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("GETX / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("DESCRIBE / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("CONNECT a:80 HTTP/1.1\r\nHost: a" END, CONNECT_REFUSED),
        V("CONNECT /x HTTP/1.1\r\nHost: a" END, CONNECT_REFUSED),
        V("CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 3" END "abc", CONNECT_REFUSED),
        V("M-SEARCH / HTTP/1.1\r\nHost: a" END, METHOD_UNKNOWN),
        V("PROPFIND / HTTP/1.1\r\nHost: a" END, NONE),
    };
    REQUESTS(v);
}

static void test_targets(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V("GET /#a HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET /a\tb HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET /\x7f HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET /\0 HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET a HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET a:80 HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET * HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("OPTIONS * HTTP/1.1\r\nHost: a" END, NONE),
        V("GET http:///x HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET ftp://a/x HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET http://u@a/x HTTP/1.1\r\nHost: a" END, TARGET_INVALID),
        V("GET http://b/x HTTP/1.1\r\nHost: a" END, HOST_INVALID),
        V("GET http://a:81/x HTTP/1.1\r\nHost: a" END, HOST_INVALID),
        V("GET http://a/x HTTP/1.1\r\nHost: a:443" END, HOST_INVALID),
        V("GET http://a/x HTTP/1.1" END, HOST_INVALID),
        V("GET http://A:80/x HTTP/1.1\r\nHost: a" END, NONE),
        V("GET https://a/x HTTP/1.1\r\nHost: a:443" END, NONE),
        V("GET /../x HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /%2e%2e/x HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /a%2fx HTTP/1.1\r\nHost: a" END, NONE), /* its route decides */
        V("GET /a/..%2fx HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /a%0d%0aB:c HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /%c0%ae%c0%ae/x HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /a\\x HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /%00 HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /%4 HTTP/1.1\r\nHost: a" END, PATH_INVALID),
        V("GET /a?%2f%00%zz HTTP/1.1\r\nHost: a" END, NONE),
    };
    REQUESTS(v);
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V("GET / HTTP/1.1" END, HOST_INVALID),
        V("GET / HTTP/1.0" END, NONE),
        V("GET / HTTP/1.0\r\nHost: a\r\nHost: a" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a\r\nHost: a" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a\r\nhOST: b" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost:" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost:  " END, HOST_INVALID),
        V("GET / HTTP/1.0\r\nHost:" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: u@a" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a/b" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a?b" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a:8x" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a:99999" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a%zz" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a,b" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: a b" END, HOST_INVALID),
        V("GET / HTTP/1.1\r\nHost: [::1]:80" END, NONE),
        V("GET / HTTP/1.1\r\nHost: [::1" END, HOST_INVALID),
    };
    REQUESTS(v);
}

static void test_fields(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V(H "A: b\r\n c" END, HEADER_FOLDED),
        V(H "A: b\r\n\tc" END, HEADER_FOLDED),
        V(H "A:\r\n b" END, HEADER_FOLDED),
        V(H " A: b" END, HEADER_FOLDED),
        V("GET / HTTP/1.1\r\n Host: a" END, HEADER_FOLDED),
        V(P "Content-Length:\r\n 5" END "hello", HEADER_FOLDED),
        V(P "Transfer-Encoding:\r\n chunked" END, HEADER_FOLDED),
        V(P "X: y\r\n Content-Length: 5" END, HEADER_FOLDED),
        V(H "A : b" END, HEADER_INVALID),
        V(H "A\t: b" END, HEADER_INVALID),
        V(H "A B: c" END, HEADER_INVALID),
        V(H ": x" END, HEADER_INVALID),
        V(H ":" END, HEADER_INVALID),
        V(H "A" END, HEADER_INVALID),
        V(H "A(: x" END, HEADER_INVALID),
        V(H "A\0: x" END, HEADER_INVALID),
        V(H "A\x80: x" END, HEADER_INVALID),
        V(H "A: x\0y" END, HEADER_INVALID),
        V(H "A: x\x07y" END, HEADER_INVALID),
        V(H "A: x\x7fy" END, HEADER_INVALID),
        V(H "A: x\x0by" END, HEADER_INVALID),
        V(P "Transfer-Encoding : chunked" END "0" END, HEADER_INVALID),
        V(P "Transfer-Encoding:\x0b"
            "chunked" END "0" END,
          HEADER_INVALID),
        V(H "A: caf\xc3\xa9\t\xff" END, NONE),
        V(H "A:" END, NONE),
        V(H "A:x" END, NONE),
        V(H "A_B: x" END, NONE), /* dropped by lt_hop_request */
    };
    REQUESTS(v);
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V(P "Content-Length: 5" END "hello", NONE),
        V(P "Content-Length:   5  " END "hello", NONE),
        V(P "Content-Length: 005" END "hello", NONE),
        V(P "Content-Length: 0" END, NONE),
        V(P "Content-Length: 5\r\nContent-Length: 5" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5\r\nContent-Length: 6" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5, 5" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5,6" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: +5" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: -5" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 0x5" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5 5" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5_0" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5.0" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 5;" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: \"5\"" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length:" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: a" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 1152921504606846977" END, CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 9223372036854775808" END, CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 18446744073709551615" END, CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 18446744073709551616" END, CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 18446744073709551621" END "hello", CONTENT_LENGTH_INVALID),
        V(P "Content-Length: 99999999999999999999999999" END, CONTENT_LENGTH_INVALID),
    };
    REQUESTS(v);
}

static void test_codings(void **state)
{
    (void)state;
#define T "Transfer-Encoding: "
#define B END "0" END
    static const struct verdict v[] = {
        V(P T "chunked" B, NONE),
        V(P T "CHUNKED  " B, NONE),
        V(P T "xchunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunkedx" B, TRANSFER_ENCODING_INVALID),
        V(P T "gzip" B, TRANSFER_ENCODING_INVALID),
        V(P T "identity" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked;q=1" B, TRANSFER_ENCODING_INVALID),
        V(P T "\"chunked\"" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked, identity" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked, chunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked," B, TRANSFER_ENCODING_INVALID),
        V(P T ", chunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "identity, chunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "gzip, chunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked gzip" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked\r\n" T "chunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "identity\r\n" T "chunked" B, TRANSFER_ENCODING_INVALID),
        V(P T "chunked\r\n" T "identity" B, TRANSFER_ENCODING_INVALID),
        V(P T END "GET / HTTP/1.1\r\nHost: b" END, TRANSFER_ENCODING_INVALID),
        V(P T "\r\nContent-Length: 5" END "hello", FRAMING_CONFLICT),
        V(P T "chunked\r\nContent-Length: 5" B, FRAMING_CONFLICT),
        V(P "Content-Length: 5\r\n" T "chunked" B, FRAMING_CONFLICT),
        V(P "Content-Length: 0\r\n" T "chunked" B, FRAMING_CONFLICT),
        V(P "Content-Length: 5\r\n" T "xchunked" B, FRAMING_CONFLICT),
        V(P "Content-Length: 5\r\n" T "identity" B, FRAMING_CONFLICT),
        V("POST / HTTP/1.0\r\nHost: a\r\n" T "chunked" B, TRANSFER_ENCODING_INVALID),
        V(P "Transfer_Encoding: chunked" END, NONE), /* not framing; dropped by lt_hop_request */
    };
    REQUESTS(v);
}

static void test_expectations(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V(P "Content-Length: 1\r\nExpect: 100-Continue" END "x", NONE),
        V(P "Content-Length: 1\r\nExpect: 200-ok" END "x", EXPECT_UNSUPPORTED),
        V(P "Content-Length: 1\r\nExpect: 100-continue, x" END "x", EXPECT_UNSUPPORTED),
        V(P "Content-Length: 1\r\nExpect:" END "x", EXPECT_UNSUPPORTED),
        V(P "Content-Length: 1\r\nExpect: 100-continue\r\nExpect: 100-continue" END "x",
          EXPECT_UNSUPPORTED),
    };
    REQUESTS(v);
}

static void test_connection_fields_are_bounded(void **state)
{
    (void)state;
    char in[4096];
    for (unsigned n = 200; n <= 400; n += 100) {
        size_t len = sizeof(H) - 1;
        memcpy(in, H, len);
        memcpy(in + len, "Connection: ", 12);
        len += 12;
        for (unsigned i = 0; i < n; i++) {
            memcpy(in + len, "a, ", 3);
            len += 3;
        }
        memcpy(in + len, "b" END, 5);
        struct verdict v = {in, len + 5, n <= 300 ? LT_CAUSE_NONE : LT_CAUSE_HEADER_INVALID};
        assert_verdicts(&v, 1, false, LT_METHOD_UNKNOWN);
    }
}

static void test_status_lines(void **state)
{
    (void)state;
#define S "\r\nContent-Length: 0" END
    static const struct verdict v[] = {
        V("HTTP/1.1 200 OK" S, NONE),
        V("HTTP/1.1 200 " S, NONE),
        V("HTTP/1.1 200" S, NONE),
        V("HTTP/1.0 200 All right \xc3\xa9" S, NONE),
        V("HTTP/1.1 599 x" S, NONE),
        V("HTTP/1.1 99 x" S, RESPONSE_INVALID),
        V("HTTP/1.1 099 x" S, RESPONSE_INVALID),
        V("HTTP/1.1 600 x" S, RESPONSE_INVALID),
        V("HTTP/1.1 1000 x" S, RESPONSE_INVALID),
        V("HTTP/1.1 20 x" S, RESPONSE_INVALID),
        V("HTTP/1.1 -20 x" S, RESPONSE_INVALID),
        V("HTTP/1.1 2x0 x" S, RESPONSE_INVALID),
        V("HTTP/1.1  200 x" S, RESPONSE_INVALID),
        V("HTTP/1.1" S, RESPONSE_INVALID),
        V("HTTP/1.1 200\tOK" S, RESPONSE_INVALID),
        V("HTTP/1.1 200 a\0b" S, RESPONSE_INVALID),
        V("HTTP/1.1 200 a\x07" S, RESPONSE_INVALID),
        V("HTTP/1.1 200 a\rb" S, RESPONSE_INVALID),
        V("HTTP/0.9 200 OK" S, RESPONSE_INVALID),
        V("HTTP/2.0 200 OK" S, RESPONSE_INVALID),
        V("http/1.1 200 OK" S, RESPONSE_INVALID),
        V("ICY 200 OK" S, RESPONSE_INVALID),
        V("\r\nHTTP/1.1 200 OK" S, RESPONSE_INVALID),
        V("<html>", RESPONSE_INVALID),
        V("+PONG\r\n", RESPONSE_INVALID),
        V("HTTP/1.1 200 OK\nContent-Length: 0" END, RESPONSE_INVALID),
    };
    RESPONSES(v);
}

static void test_response_framing(void **state)
{
    (void)state;
#define R "HTTP/1.1 200 OK\r\n"
    static const struct verdict v[] = {
        V(R "Content-Length: 5" END "hello", NONE),
        V(R "Transfer-Encoding: chunked" B, NONE),
        V(R "A: b" END "until the end", NONE),
        V(R "Content-Length: 5\r\n" T "chunked" B, RESPONSE_FRAMING_INVALID),
        V(R T "chunked\r\nContent-Length: 5" B, RESPONSE_FRAMING_INVALID),
        V(R "Content-Length: 5\r\nContent-Length: 5" END "hello", RESPONSE_FRAMING_INVALID),
        V(R "Content-Length: 5\r\nContent-Length: 6" END "hello", RESPONSE_FRAMING_INVALID),
        V(R "Content-Length: x" END "hello", RESPONSE_FRAMING_INVALID),
        V(R "Content-Length: 18446744073709551615" END, RESPONSE_FRAMING_INVALID),
        V(R T "gzip" END "x", RESPONSE_FRAMING_INVALID),
        V(R T "chunked, gzip" END "x", RESPONSE_FRAMING_INVALID),
        V(R T "gzip, chunked" B, RESPONSE_FRAMING_INVALID),
        V(R T "" END "x", RESPONSE_FRAMING_INVALID),
        V("HTTP/1.0 200 OK\r\n" T "chunked" B, RESPONSE_FRAMING_INVALID),
        V(R "A: b\r\n c" END, RESPONSE_INVALID),
        V(R "A : b" END, RESPONSE_INVALID),
        V(R ": b" END, RESPONSE_INVALID),
        V(R "A: b\0" END, RESPONSE_INVALID),
        V(R "A: b\r\n\n", RESPONSE_INVALID),
    };
    RESPONSES(v);
}

static void test_a_refused_response_names_the_rule(void **state)
{
    (void)state;
    static const struct verdict v[] = {
        V(R "A: b\r\n c" END, HEADER_FOLDED),
        V(R "Content-Length: 5\r\n" T "chunked" B, FRAMING_CONFLICT),
        V(R "Content-Length: 5" END "hello", NONE),
        V(R T "chunked" END "x", CHUNK_INVALID),
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct reader r;
        reader_init(&r);
        reader_run(&r, v[i].in, v[i].len, SIZE_MAX, NULL, true, LT_METHOD_GET);
        assert_int_equal(r.rule, v[i].cause);
        reader_fini(&r);
    }
}

static void test_every_cause_of_a_client_has_one_for_servers(void **state)
{
    (void)state;
    assert_int_equal(lt_framing_server_cause(LT_CAUSE_NONE), LT_CAUSE_NONE);
    assert_int_equal(lt_framing_server_cause(LT_CAUSE_OUT_OF_MEMORY), LT_CAUSE_OUT_OF_MEMORY);
    assert_int_equal(lt_framing_server_cause(LT_CAUSE_HEAD_TOO_LARGE),
                     LT_CAUSE_RESPONSE_HEAD_TOO_LARGE);
    assert_int_equal(lt_framing_server_cause(LT_CAUSE_CHUNK_INVALID),
                     LT_CAUSE_RESPONSE_FRAMING_INVALID);
    assert_int_equal(lt_framing_server_cause(LT_CAUSE_TRAILER_INVALID), LT_CAUSE_RESPONSE_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_codings),
        cmocka_unit_test(test_expectations),
        cmocka_unit_test(test_connection_fields_are_bounded),
        cmocka_unit_test(test_status_lines),
        cmocka_unit_test(test_response_framing),
        cmocka_unit_test(test_a_refused_response_names_the_rule),
        cmocka_unit_test(test_every_cause_of_a_client_has_one_for_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
