/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway changes in heads that pass. */
#include "http/hop.h"

#include <stdio.h>

#include "tests/unit/h1_reader.h"
#include "tests/unit/unit.h"

#define END "\r\n\r\n"

struct fixture {
    struct reader r;
    struct lt_client_info client;
    struct lt_hop_ids ids;
    struct lt_cidr trust[2];
    struct lt_str text; /* what the server gets */
};

static struct lt_addr address(const char *text)
{
    struct lt_addr addr;
    const char *why;
    assert_int_equal(lt_addr_parse(lt_str_c(text), &addr, &why), LT_OK);
    return addr;
}

static void read_in(struct fixture *f, const char *in)
{
    const char *why;
    reader_init(&f->r);
    reader_run(&f->r, in, strlen(in), SIZE_MAX, NULL, false, LT_METHOD_UNKNOWN);
    assert_true(f->r.head_done);
    assert_int_equal(lt_cidr_parse(LT_STR("10.0.0.0/8"), &f->trust[0], &why), LT_OK);
    assert_int_equal(lt_cidr_parse(LT_STR("fd00::/8"), &f->trust[1], &why), LT_OK);
}

static void decide_client(struct fixture *f, const char *peer, bool tls)
{
    struct lt_addr addr = address(peer);
    assert_int_equal(
        lt_hop_client(&f->r.arena, &f->r.req.headers, &addr, tls, 8443, f->trust, 2, &f->client),
        LT_OK);
}

/* Reads a request from a peer and writes what a server gets. */
static void pass(struct fixture *f, const char *in, const char *peer, bool tls)
{
    struct lt_rand rand = {{1, 2, 3, 4}};
    read_in(f, in);
    decide_client(f, peer, tls);
    assert_int_equal(lt_hop_ids(&f->r.arena, &rand, &f->r.req.headers, f->client.trusted, &f->ids),
                     LT_OK);
    assert_int_equal(lt_hop_request(&f->r.req, f->r.req.authority, &f->client, &f->ids), LT_OK);
    assert_int_equal(lt_h1_write_request(&f->r.arena, lt_method_name(f->r.req.method),
                                         f->r.req.target, &f->r.req.headers, &f->text),
                     LT_OK);
}

static void assert_has(const struct fixture *f, const char *line)
{
    char text[512];
    size_t n = (size_t)snprintf(text, sizeof(text), "\r\n%s\r\n", line);
    if (lt_str_find(f->text, lt_str(text, n)) == SIZE_MAX) {
        fail_msg("no line \"%s\" in\n%.*s", line, LT_STR_ARG(f->text));
    }
}

/* No field of that name at all. */
static void assert_lacks(const struct fixture *f, const char *name)
{
    if (lt_headers_get_name(&f->r.req.headers, lt_str_c(name)) != NULL) {
        fail_msg("\"%s\" in\n%.*s", name, LT_STR_ARG(f->text));
    }
}

static void test_a_plain_request(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f, "GET /a HTTP/1.1\r\nAccept: x\r\nHost: Ex.com\r\nConnection: keep-alive" END,
         "192.0.2.7:5000", true);
    char want[1024];
    snprintf(want, sizeof(want),
             "GET /a HTTP/1.1\r\nhost: Ex.com\r\nAccept: x\r\nx-forwarded-for: 192.0.2.7\r\n"
             "x-forwarded-proto: https\r\nx-forwarded-host: Ex.com\r\nx-forwarded-port: 8443\r\n"
             "forwarded: for=192.0.2.7;proto=https;host=Ex.com\r\nvia: 1.1 lintel\r\n"
             "x-request-id: %.*s\r\ntraceparent: %.*s\r\n\r\n",
             LT_STR_ARG(f.ids.request_id), LT_STR_ARG(f.ids.traceparent));
    assert_str(f.text, want);
    assert_int_equal(f.ids.request_id.len, 32);
    reader_fini(&f.r);
}

static void test_hop_by_hop_fields_go(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f,
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, X-B , close, etag, Upgrade\r\n"
         "Connection: HTTP2-Settings\r\nX-A: 1\r\nx-b: 2\r\nX-Ab: 3\r\nETag: e\r\nUpgrade: h2c\r\n"
         "HTTP2-Settings: s\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\n"
         "Proxy-Connection: x\r\nProxy-Authorization: x\r\nExpect: 100-continue" END,
         "192.0.2.7:5000", false);
    const char *const gone[] = {"connection",
                                "x-a",
                                "x-b",
                                "etag",
                                "upgrade",
                                "te",
                                "trailer",
                                "http2-settings",
                                "keep-alive",
                                "expect",
                                "proxy-connection",
                                "proxy-authorization"};
    for (size_t i = 0; i < lt_countof(gone); i++) {
        assert_lacks(&f, gone[i]);
    }
    assert_has(&f, "X-Ab: 3");
    reader_fini(&f.r);
}

static void test_connection_names_nothing_away_that_matters(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f,
         "POST / HTTP/1.1\r\nHost: a\r\nConnection: host, authorization, content-length, cookie, "
         "x-forwarded-for, x-request-id, via, content-type, forwarded, x-real-ip\r\n"
         "Authorization: k\r\nCookie: c\r\nContent-Type: t\r\nContent-Length: 03" END "abc",
         "192.0.2.7:5000", false);
    assert_has(&f, "host: a");
    assert_has(&f, "Authorization: k");
    assert_has(&f, "Cookie: c");
    assert_has(&f, "Content-Type: t");
    assert_has(&f, "content-length: 3");
    assert_has(&f, "x-forwarded-for: 192.0.2.7");
    assert_has(&f, "via: 1.1 lintel");
    reader_fini(&f.r);
}

#define FORGED                                                                                     \
    "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"           \
    "X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /p\r\nX-Forwarded-Ssl: on\r\nX-Real-IP: "          \
    "1.1.1.1\r\n"                                                                                  \
    "Forwarded: for=1.1.1.1\r\nX-Request-Id: theirs\r\nVia: 1.0 other\r\n"

static void test_strangers_are_not_believed(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f, "GET / HTTP/1.1\r\nHost: a\r\n" FORGED "\r\n", "192.0.2.7:5000", false);
    assert_has(&f, "x-forwarded-for: 192.0.2.7");
    assert_has(&f, "x-forwarded-proto: http");
    assert_has(&f, "x-forwarded-host: a");
    assert_has(&f, "x-forwarded-port: 8443");
    assert_has(&f, "forwarded: for=192.0.2.7;proto=http;host=a");
    assert_has(&f, "Via: 1.0 other");
    assert_lacks(&f, "x-forwarded-prefix");
    assert_lacks(&f, "x-forwarded-ssl");
    assert_lacks(&f, "x-real-ip");
    assert_int_equal(lt_str_find(f.text, LT_STR("1.1.1.1")), SIZE_MAX);
    assert_int_equal(lt_str_find(f.text, LT_STR("evil")), SIZE_MAX);
    assert_int_equal(lt_str_find(f.text, LT_STR("theirs")), SIZE_MAX);
    assert_str(f.client.ip, "192.0.2.7");
    reader_fini(&f.r);
}

static void test_trusted_peers_are_continued(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f,
         "GET / HTTP/1.1\r\nHost: a\r\n" FORGED "X-Forwarded-For: 10.2.2.2\r\n"
         "Forwarded: for=2.2.2.2\r\n\r\n",
         "10.0.0.1:5000", false);
    assert_has(&f, "x-forwarded-for: 1.1.1.1, 10.2.2.2, 10.0.0.1");
    assert_has(&f, "x-forwarded-proto: https");
    assert_has(&f, "x-forwarded-host: evil");
    assert_has(&f, "x-forwarded-port: 1");
    assert_has(&f, "X-Forwarded-Prefix: /p");
    assert_has(&f, "forwarded: for=1.1.1.1;proto=https;host=evil, for=10.2.2.2, "
                   "for=10.0.0.1;proto=https;host=evil");
    assert_lacks(&f, "for=2.2.2.2");
    assert_has(&f, "x-request-id: theirs");
    assert_str(f.client.ip, "1.1.1.1");
    assert_str(f.client.scheme, "https");
    assert_int_equal(f.client.port, 1);
    reader_fini(&f.r);
}

static void test_client_addresses_by_trust(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *fields, *ip;
    } v[] = {
        {"192.0.2.7:1", "X-Forwarded-For: 1.1.1.1", "192.0.2.7"},
        {"10.0.0.1:1", "A: b", "10.0.0.1"},
        {"10.0.0.1:1", "X-Forwarded-For: 1.1.1.1", "1.1.1.1"},
        {"10.0.0.1:1", "X-Forwarded-For: 2.2.2.2, 1.1.1.1", "1.1.1.1"},
        {"10.0.0.1:1", "X-Forwarded-For: 2.2.2.2, 10.9.9.9", "2.2.2.2"},
        {"10.0.0.1:1", "X-Forwarded-For: 10.7.7.7, 10.9.9.9", "10.7.7.7"},
        {"10.0.0.1:1", "X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-For: 10.9.9.9", "2.2.2.2"},
        {"10.0.0.1:1", "X-Forwarded-For: 2.2.2.2, nonsense, 10.9.9.9", "10.9.9.9"},
        {"10.0.0.1:1", "X-Forwarded-For: 1.1.1.1:8080", "1.1.1.1"},
        {"10.0.0.1:1", "X-Forwarded-For: [2001:db8::1]:80", "2001:db8::1"},
        {"10.0.0.1:1", "X-Forwarded-For: 2001:DB8::1", "2001:db8::1"},
        {"[fd00::1]:1", "X-Forwarded-For: ::ffff:1.1.1.1", "1.1.1.1"},
        {"[::ffff:10.0.0.1]:1", "X-Forwarded-For: 1.1.1.1,", "10.0.0.1"},
        {"unix:/s", "X-Forwarded-For: 1.1.1.1", "unix"},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct fixture f;
        char in[256];
        snprintf(in, sizeof(in), "GET / HTTP/1.1\r\nHost: a\r\n%s" END, v[i].fields);
        read_in(&f, in);
        decide_client(&f, v[i].peer, false);
        assert_str(f.client.ip, v[i].ip);
        reader_fini(&f.r);
    }
}

static void test_scheme_and_port_by_trust(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *scheme;
        unsigned port;
    } v[] = {
        {"A: b", "http", 8443},
        {"X-Forwarded-Proto: HTTPS", "https", 443},
        {"X-Forwarded-Proto: http", "http", 80},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-Port: 444", "https", 444},
        {"X-Forwarded-Proto: https, http", "http", 8443},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http", "http", 8443},
        {"X-Forwarded-Proto: gopher", "http", 8443},
        {"X-Forwarded-Port: 70000", "http", 8443},
        {"X-Forwarded-Port: 0", "http", 8443},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct fixture f;
        char in[256];
        snprintf(in, sizeof(in), "GET / HTTP/1.1\r\nHost: a\r\n%s" END, v[i].fields);
        read_in(&f, in);
        decide_client(&f, "10.0.0.1:1", false);
        assert_str(f.client.scheme, v[i].scheme);
        assert_int_equal(f.client.port, v[i].port);
        reader_fini(&f.r);
    }
}

/* A balancer that sets X-Forwarded-For alone passes its clients' Forwarded on. */
static void test_forwarded_says_what_the_others_say(void **state)
{
    static const struct {
        const char *fields, *forwarded, *host;
    } v[] = {
        {"X-Forwarded-For: 1.1.1.1",
         "for=1.1.1.1;proto=http;host=a, for=10.0.0.1;proto=http;host=a", "a"},
        {"Forwarded: for=6.6.6.6;host=evil;proto=https", "for=10.0.0.1;proto=http;host=a", "a"},
        {"X-Forwarded-For: 1.1.1.1\r\nForwarded: for=6.6.6.6;host=evil",
         "for=1.1.1.1;proto=http;host=a, for=10.0.0.1;proto=http;host=a", "a"},
        {"X-Forwarded-For: 1.1.1.1:80, 2001:db8::1,[2001:db8::2]:80, \"a;b, x",
         "for=\"1.1.1.1:80\";proto=http;host=a, for=\"[2001:db8::1]\", for=\"[2001:db8::2]:80\", "
         "for=unknown, for=unknown, for=10.0.0.1;proto=http;host=a",
         "a"},
        {"X-Forwarded-Host: evil.example, b.example:81",
         "for=10.0.0.1;proto=http;host=\"b.example:81\"", "b.example:81"},
        {"X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: b", "for=10.0.0.1;proto=http;host=b",
         "b"},
        {"X-Forwarded-Host: a b\";x", "for=10.0.0.1;proto=http;host=a", "a"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct fixture f;
        char in[512], field[512];
        snprintf(in, sizeof(in), "GET / HTTP/1.1\r\nHost: a\r\n%s" END, v[i].fields);
        pass(&f, in, "10.0.0.1:1", false);
        snprintf(field, sizeof(field), "forwarded: %s", v[i].forwarded);
        assert_has(&f, field);
        snprintf(field, sizeof(field), "x-forwarded-host: %s", v[i].host);
        assert_has(&f, field);
        assert_int_equal(lt_str_find(f.text, LT_STR("6.6.6.6")), SIZE_MAX);
        assert_int_equal(lt_str_find(f.text, LT_STR("evil")), SIZE_MAX);
        reader_fini(&f.r);
    }
}

static void test_forwarded_quotes_what_is_no_token(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f, "GET / HTTP/1.1\r\nHost: [::1]:8443" END, "[2001:db8::7]:5000", true);
    assert_has(&f, "forwarded: for=\"[2001:db8::7]\";proto=https;host=\"[::1]:8443\"");
    assert_has(&f, "x-forwarded-for: 2001:db8::7");
    reader_fini(&f.r);
    pass(&f, "GET / HTTP/1.0" END, "unix:/s", false);
    assert_has(&f, "forwarded: for=unknown;proto=http");
    assert_has(&f, "via: 1.0 lintel");
    assert_lacks(&f, "x-forwarded-for");
    assert_lacks(&f, "x-forwarded-host");
    reader_fini(&f.r);
}

static void test_names_that_wsgi_confuses_go(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f,
         "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nScript_Name: /x\r\n"
         "REMOTE_USER: root\r\nA_b: c\r\nA-b: d" END,
         "10.0.0.1:1", false);
    assert_lacks(&f, "X_Forwarded_For");
    assert_lacks(&f, "script_name");
    assert_lacks(&f, "remote_user");
    assert_lacks(&f, "a_b");
    assert_has(&f, "A-b: d");
    reader_fini(&f.r);
}

static void test_framing_is_ours(void **state)
{
    (void)state;
    struct fixture f;
    pass(&f, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked" END "0" END, "192.0.2.7:1",
         false);
    assert_has(&f, "transfer-encoding: chunked");
    assert_lacks(&f, "content-length");
    assert_int_equal(lt_str_find(f.text, LT_STR("Chunked")), SIZE_MAX);
    reader_fini(&f.r);
    pass(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000" END, "192.0.2.7:1", false);
    assert_has(&f, "content-length: 0");
    reader_fini(&f.r);
    pass(&f, "POST / HTTP/1.1\r\nHost: a" END, "192.0.2.7:1", false);
    assert_lacks(&f, "content-length");
    assert_lacks(&f, "transfer-encoding");
    reader_fini(&f.r);
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"

static void test_trace_ids(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *flags; /* NULL: replaced */
    } v[] = {
        {"00-" TRACE "-b7ad6b7169203331-00", "00"},
        {"00-" TRACE "-b7ad6b7169203331-03", "03"},
        {"cc-" TRACE "-b7ad6b7169203331-03", "01"},
        {"cc-" TRACE "-b7ad6b7169203331-02-more", "00"},
        {"00-" TRACE "-b7ad6b7169203331-01-more", NULL},
        {"cc-" TRACE "-b7ad6b7169203331-01.more", NULL},
        {"ff-" TRACE "-b7ad6b7169203331-01", NULL},
        {"00-" TRACE "-0000000000000000-01", NULL},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", NULL},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", NULL},
        {"00-" TRACE "-b7ad6b7169203331-0", NULL},
        {"00_" TRACE "-b7ad6b7169203331-01", NULL},
        {"", NULL},
        {"00-" TRACE "-b7ad6b7169203331-01\r\ntraceparent: 00-" TRACE "-b7ad6b7169203331-01", NULL},
    };
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct fixture f;
        char in[512];
        snprintf(in, sizeof(in),
                 "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: %s\r\ntracestate: a=b" END, v[i].value);
        pass(&f, in, "192.0.2.7:1", false);
        bool kept = v[i].flags != NULL;
        assert_int_equal(f.ids.continued, kept);
        assert_int_equal(f.ids.traceparent.len, 55);
        assert_true(lt_str_eq(f.ids.trace_id, lt_str(f.ids.traceparent.p + 3, 32)));
        assert_int_equal(lt_str_eq_c(f.ids.trace_id, TRACE), kept);
        assert_str(lt_str_sub(f.ids.traceparent, 53, 55), kept ? v[i].flags : "01");
        assert_str(lt_str_sub(f.ids.traceparent, 0, 3), "00-");
        assert_int_equal(lt_str_find(f.text, LT_STR("b7ad6b7169203331")), SIZE_MAX);
        assert_int_equal(lt_headers_get(&f.r.req.headers, LT_HEADER_TRACESTATE) != NULL, kept);
        reader_fini(&f.r);
    }
}

static void test_request_ids_of_trusted_peers_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool kept;
    } v[] = {{"abc-123_/+=", true}, {"", false}, {"a b", false}, {"a\"b", false}, {"a,b", false}};
    for (size_t i = 0; i < lt_countof(v); i++) {
        struct fixture f;
        char in[256];
        snprintf(in, sizeof(in), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: %s" END, v[i].value);
        pass(&f, in, "10.0.0.1:1", false);
        assert_int_equal(lt_str_eq_c(f.ids.request_id, v[i].value), v[i].kept);
        reader_fini(&f.r);
    }
}

static void test_a_response_loses_its_hop_by_hop_fields(void **state)
{
    (void)state;
    static const char in[] = "HTTP/1.0 200 OK\r\nConnection: x-a, set-cookie, keep-alive, age\r\n"
                             "X-A: 1\r\nSet-Cookie: s\r\nKeep-Alive: timeout=5\r\nAge: 1\r\n"
                             "X-B: 2\r\nContent-Length: 02" END "ab";
    struct reader r;
    struct lt_str out;
    reader_init(&r);
    reader_run(&r, in, sizeof(in) - 1, SIZE_MAX, NULL, true, LT_METHOD_GET);
    assert_int_equal(lt_hop_response(&r.res), LT_OK);
    assert_int_equal(lt_h1_write_response(&r.arena, 11, r.res.status, &r.res.headers, &out), LT_OK);
    assert_str(out, "HTTP/1.1 200 OK\r\nSet-Cookie: s\r\nX-B: 2\r\nContent-Length: 2\r\n"
                    "via: 1.0 lintel\r\n\r\n");
    reader_fini(&r);
}

static void test_without_memory_or_room(void **state)
{
    (void)state;
    static const char in[] = "POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n"
                             "Forwarded: for=1.1.1.1\r\nContent-Length: 1" END "x";
    bool passed = false;
    /* Arenas of growing size fail at every allocation in turn. */
    for (size_t size = 0; !passed; size += 16) {
        struct fixture f;
        char first[4096];
        struct lt_arena arena;
        struct lt_rand rand = {{1, 2, 3, 4}};
        read_in(&f, in);
        lt_arena_init(&arena, first, size, 0);
        f.r.req.headers.arena = &arena;
        struct lt_addr peer = address("10.0.0.1:1");
        enum lt_err err =
            lt_hop_client(&arena, &f.r.req.headers, &peer, true, 443, f.trust, 2, &f.client);
        if (err == LT_OK) {
            err = lt_hop_ids(&arena, &rand, &f.r.req.headers, true, &f.ids);
        }
        if (err == LT_OK) {
            err = lt_hop_request(&f.r.req, LT_STR("a"), &f.client, &f.ids);
        }
        passed = err == LT_OK;
        assert_true(passed || err == LT_ERR_NOMEM);
        assert_true(size < sizeof(first));
        reader_fini(&f.r);
    }
    struct fixture f;
    read_in(&f, in);
    decide_client(&f, "10.0.0.1:1", false);
    struct lt_rand rand = {{1, 2, 3, 4}};
    assert_int_equal(lt_hop_ids(&f.r.arena, &rand, &f.r.req.headers, true, &f.ids), LT_OK);
    f.r.req.headers.max = f.r.req.headers.n;
    assert_int_equal(lt_hop_request(&f.r.req, LT_STR("a"), &f.client, &f.ids), LT_ERR_LIMIT);
    assert_int_equal(f.r.req.headers.n, 4);
    reader_fini(&f.r);
}

static void test_max_forwards(void **state LT_UNUSED)
{
    static const struct {
        const char *method, *value, *after; /* NULL: it may go no further */
    } rows[] = {
        {"OPTIONS", "3", "2"},
        {"TRACE", "1", "0"},
        {"OPTIONS", "0", NULL},
        {"TRACE", "00", NULL},
        {"GET", "0", "0"},
        {"OPTIONS", "-1", "-1"},
        {"TRACE", "1 1", "1 1"},
        {"TRACE", "", ""},
        {"TRACE", "18446744073709551616", "18446744073709551616"},
    };
    for (size_t i = 0; i < lt_countof(rows); i++) {
        struct fixture f;
        char in[200];
        bool may;
        snprintf(in, sizeof(in), "%s / HTTP/1.1\r\nHost: a\r\nMax-Forwards: %s" END, rows[i].method,
                 rows[i].value);
        read_in(&f, in);
        assert_int_equal(lt_hop_count(&f.r.req, &may), LT_OK);
        assert_int_equal(may, rows[i].after != NULL);
        if (may) {
            assert_str(lt_headers_value(&f.r.req.headers, LT_HEADER_MAX_FORWARDS), rows[i].after);
        }
        reader_fini(&f.r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_request),
        cmocka_unit_test(test_max_forwards),
        cmocka_unit_test(test_hop_by_hop_fields_go),
        cmocka_unit_test(test_connection_names_nothing_away_that_matters),
        cmocka_unit_test(test_strangers_are_not_believed),
        cmocka_unit_test(test_trusted_peers_are_continued),
        cmocka_unit_test(test_client_addresses_by_trust),
        cmocka_unit_test(test_scheme_and_port_by_trust),
        cmocka_unit_test(test_forwarded_says_what_the_others_say),
        cmocka_unit_test(test_forwarded_quotes_what_is_no_token),
        cmocka_unit_test(test_names_that_wsgi_confuses_go),
        cmocka_unit_test(test_framing_is_ours),
        cmocka_unit_test(test_trace_ids),
        cmocka_unit_test(test_request_ids_of_trusted_peers_are_checked),
        cmocka_unit_test(test_a_response_loses_its_hop_by_hop_fields),
        cmocka_unit_test(test_without_memory_or_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
