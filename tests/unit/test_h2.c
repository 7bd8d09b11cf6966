/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 header blocks to heads and back, without a session: every rule of RFC 9113 §8 that a
 * decoder might leave to us. */
#include "http/h2.h"

#include "base/buf.h"

#include "tests/unit/unit.h"

struct bed {
    struct lt_arena arena;
    struct lt_rand rand;
    struct lt_h2_block block;
    struct lt_request req;
    struct lt_response res;
    struct lt_headers trailers;
};

static const struct lt_h2_limits limits = {.head = 2048, .headers = 20, .target = 200};

/* Fields as lines: "name=value\n"; a value may hold anything but a line feed. */
static void feed(struct bed *b, struct lt_headers *headers, const char *lines)
{
    struct lt_str rest = lt_str_c(lines);
    lt_headers_init(headers, &b->arena, limits.headers + LT_H2_SPARE);
    lt_h2_begin(&b->block, headers, &limits);
    while (rest.len > 0) {
        size_t end = lt_str_chr(rest, '\n', 0), mark = lt_str_chr(rest, '=', 0);
        lt_h2_field(&b->block, lt_str_sub(rest, 0, mark), lt_str_sub(rest, mark + 1, end));
        rest = end == SIZE_MAX ? LT_STR_NONE : lt_str_sub(rest, end + 1, rest.len);
    }
}

static void bed_init(struct bed *b)
{
    memset(b, 0, sizeof(*b));
    lt_arena_init(&b->arena, NULL, 0, 1 << 20);
    b->rand = (struct lt_rand){{1, 2, 3, 4}};
}

static enum lt_cause request(struct bed *b, const char *lines, bool ended)
{
    bed_init(b);
    feed(b, &b->req.headers, lines);
    return lt_h2_request(&b->block, ended, &b->rand, &b->req);
}

#define G ":method=GET\n:scheme=https\n:path=/\n:authority=a\n"
#define NO_PATH ":method=GET\n:scheme=https\n:authority=a\n"
#define CONNECT ":method=CONNECT\n:protocol=websocket\n:scheme=https\n:path=/c\n:authority=a\n"

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        enum lt_cause cause;
    } cases[] = {
        {G, LT_CAUSE_NONE},
        {G "te=trailers\n", LT_CAUSE_NONE},
        {G "te=Trailers\n", LT_CAUSE_NONE},
        {G "host=a\n", LT_CAUSE_NONE},
        {G "host=A:443\n", LT_CAUSE_NONE},
        {G "x=\n", LT_CAUSE_NONE},
        {":method=OPTIONS\n:scheme=https\n:path=*\n:authority=a\n", LT_CAUSE_NONE},
        {":method=GET\n:scheme=https\n:path=/\nhost=a\n", LT_CAUSE_NONE},
        /* Pseudo-headers: those that are known, once, before the others. */
        {"", LT_CAUSE_HEADER_INVALID},
        {":scheme=https\n:path=/\n:authority=a\n", LT_CAUSE_HEADER_INVALID},
        {":method=GET\n:path=/\n:authority=a\n", LT_CAUSE_HEADER_INVALID},
        {NO_PATH, LT_CAUSE_HEADER_INVALID},
        {G ":path=/\n", LT_CAUSE_HEADER_INVALID},
        {G ":status=200\n", LT_CAUSE_HEADER_INVALID},
        {G ":other=1\n", LT_CAUSE_HEADER_INVALID},
        {G ":protocol=websocket\n", LT_CAUSE_HEADER_INVALID},
        {NO_PATH "a=b\n:path=/\n", LT_CAUSE_HEADER_INVALID},
        {NO_PATH ":Path=/\n", LT_CAUSE_HEADER_INVALID},
        {":method=GET\n:scheme=ftp\n:path=/\n:authority=a\n", LT_CAUSE_TARGET_INVALID},
        {":method=FOO\n:scheme=https\n:path=/\n:authority=a\n", LT_CAUSE_METHOD_UNKNOWN},
        {":method=get\n:scheme=https\n:path=/\n:authority=a\n", LT_CAUSE_METHOD_UNKNOWN},
        {":method=G ET\n:scheme=https\n:path=/\n:authority=a\n", LT_CAUSE_HEADER_INVALID},
        {":method=\n:scheme=https\n:path=/\n:authority=a\n", LT_CAUSE_HEADER_INVALID},
        /* Paths that HTTP/1 would read otherwise. */
        {NO_PATH ":path=\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=*\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=x\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=http://b/\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=/ HTTP/1.1\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=/#a\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=/\xc3\xa4\n", LT_CAUSE_TARGET_INVALID},
        {NO_PATH ":path=/..\n", LT_CAUSE_PATH_INVALID},
        {NO_PATH ":path=/\r\n", LT_CAUSE_HEADER_INVALID},
        /* Hosts. */
        {":method=GET\n:scheme=https\n:path=/\n", LT_CAUSE_HOST_INVALID},
        {G "host=b\n", LT_CAUSE_HOST_INVALID},
        {G "host=a:80\n", LT_CAUSE_HOST_INVALID},
        {G "host=a\nhost=a\n", LT_CAUSE_HOST_INVALID},
        {":method=GET\n:scheme=https\n:path=/\n:authority=\n", LT_CAUSE_HOST_INVALID},
        {":method=GET\n:scheme=https\n:path=/\n:authority=u@a\n", LT_CAUSE_HOST_INVALID},
        {":method=GET\n:scheme=https\n:path=/\n:authority=a/b\n", LT_CAUSE_HOST_INVALID},
        /* Fields. */
        {G "X=1\n", LT_CAUSE_HEADER_INVALID},
        {G "Cookie=1\n", LT_CAUSE_HEADER_INVALID},
        {G "a b=1\n", LT_CAUSE_HEADER_INVALID},
        {G "=1\n", LT_CAUSE_HEADER_INVALID},
        {G "a:b=1\n", LT_CAUSE_HEADER_INVALID},
        {G "x= 1\n", LT_CAUSE_HEADER_INVALID},
        {G "x=1\t\n", LT_CAUSE_HEADER_INVALID},
        {G "x=1\x01\n", LT_CAUSE_HEADER_INVALID},
        {G "x=1\rb: 2\n", LT_CAUSE_LINE_END_INVALID},
        {G "connection=close\n", LT_CAUSE_HEADER_INVALID},
        {G "connection=x\nx=1\n", LT_CAUSE_HEADER_INVALID},
        {G "keep-alive=1\n", LT_CAUSE_HEADER_INVALID},
        {G "proxy-connection=1\n", LT_CAUSE_HEADER_INVALID},
        {G "upgrade=websocket\n", LT_CAUSE_HEADER_INVALID},
        {G "transfer-encoding=chunked\n", LT_CAUSE_HEADER_INVALID},
        {G "te=gzip\n", LT_CAUSE_HEADER_INVALID},
        {G "te=trailers, gzip\n", LT_CAUSE_HEADER_INVALID},
        {G "content-length=1\ntransfer-encoding=chunked\n", LT_CAUSE_FRAMING_CONFLICT},
        {G "content-length=1\ncontent-length=1\n", LT_CAUSE_CONTENT_LENGTH_INVALID},
        {G "content-length=+1\n", LT_CAUSE_CONTENT_LENGTH_INVALID},
        {G "content-length=1\n", LT_CAUSE_CONTENT_LENGTH_INVALID}, /* it has ended */
        {G "expect=200-ok\n", LT_CAUSE_EXPECT_UNSUPPORTED},
        /* CONNECT. */
        {":method=CONNECT\n:authority=a:443\n", LT_CAUSE_CONNECT_REFUSED},
        {":method=CONNECT\n:authority=a:443\n:path=/\n", LT_CAUSE_HEADER_INVALID},
        {":method=CONNECT\n", LT_CAUSE_HEADER_INVALID},
        {CONNECT, LT_CAUSE_NONE},
        {CONNECT "content-length=0\n", LT_CAUSE_UPGRADE_BODY},
        {CONNECT "upgrade=websocket\n", LT_CAUSE_HEADER_INVALID},
        {":method=CONNECT\n:protocol=web socket\n:scheme=https\n:path=/c\n:authority=a\n",
         LT_CAUSE_HEADER_INVALID},
        {":method=CONNECT\n:protocol=websocket\n:scheme=https\n:path=/c\nhost=a\n",
         LT_CAUSE_HEADER_INVALID},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct bed b;
        enum lt_cause cause = request(&b, cases[i].lines, true);
        if (cause != cases[i].cause) {
            fail_msg("%s: %s, not %s", cases[i].lines, lt_cause_info(cause)->name,
                     lt_cause_info(cases[i].cause)->name);
        }
        lt_arena_fini(&b.arena);
    }
}

static void test_request_is_complete(void **state)
{
    (void)state;
    struct bed b;
    assert_int_equal(request(&b,
                             ":method=POST\n:scheme=https\n:path=/A/./b?q\n:authority=Ex.Com:8443\n"
                             "cookie=a=1\nx-y=z\ncookie=b=2\ncookie=\ncookie=c=3\n",
                             false),
                     LT_CAUSE_NONE);
    assert_int_equal(b.req.version, 20);
    assert_int_equal(b.req.method, LT_METHOD_POST);
    assert_str(b.req.target, "/A/./b?q");
    assert_str(b.req.path, "/A/b");
    assert_str(b.req.query, "q");
    assert_str(b.req.host, "ex.com");
    assert_str(b.req.authority, "Ex.Com:8443");
    assert_int_equal(b.req.body, LT_BODY_CHUNKED);
    assert_str(lt_headers_value(&b.req.headers, LT_HEADER_HOST), "Ex.Com:8443");
    assert_str(lt_headers_value(&b.req.headers, LT_HEADER_COOKIE), "a=1; b=2; c=3");
    assert_false(b.req.upgrade);
    lt_arena_fini(&b.arena);
}

static void test_bodies_of_requests(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool ended;
        enum lt_body_kind body;
        bool expects;
    } cases[] = {
        {G, true, LT_BODY_NONE, false},
        {G, false, LT_BODY_CHUNKED, false},
        {G "content-length=5\n", false, LT_BODY_LENGTH, false},
        {G "content-length=0\n", true, LT_BODY_LENGTH, false},
        {G "expect=100-continue\n", false, LT_BODY_CHUNKED, true},
        {G "expect=100-continue\n", true, LT_BODY_NONE, false},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct bed b;
        assert_int_equal(request(&b, cases[i].lines, cases[i].ended), LT_CAUSE_NONE);
        assert_int_equal(b.req.body, cases[i].body);
        assert_int_equal(b.req.expect_continue, cases[i].expects);
        lt_arena_fini(&b.arena);
    }
}

static void test_extended_connect_asks_for_an_upgrade(void **state)
{
    (void)state;
    struct bed b;
    assert_int_equal(request(&b, CONNECT "sec-websocket-version=13\nsec-websocket-key=x\n", false),
                     LT_CAUSE_NONE);
    assert_int_equal(b.req.method, LT_METHOD_GET);
    assert_int_equal(b.req.body, LT_BODY_NONE);
    assert_true(b.req.upgrade && b.req.must_switch);
    assert_str(lt_headers_value(&b.req.headers, LT_HEADER_UPGRADE), "websocket");
    const struct lt_header *key = lt_headers_get_name(&b.req.headers, LT_STR("sec-websocket-key"));
    assert_int_equal(key->value.len, 24);
    assert_str(lt_str_sub(key->value, 22, 24), "==");
    assert_non_null(strchr("AQgw", key->value.p[21])); /* four bits of 22 digits are no key's */
    lt_arena_fini(&b.arena);
}

/* n fields "name=v" after a head. */
static enum lt_cause repeated(struct bed *b, const char *head, const char *field, unsigned n)
{
    char mem[4096];
    struct lt_buf text;
    lt_buf_init_fixed(&text, mem, sizeof(mem) - 1);
    lt_buf_str(&text, lt_str_c(head));
    for (unsigned i = 0; i < n; i++) {
        lt_buf_str(&text, lt_str_c(field));
    }
    mem[text.len] = '\0';
    return request(b, mem, true);
}

/* What is over a limit is refused by its own cause, and the rest only counted. */
static void test_limits(void **state)
{
    (void)state;
    struct bed b;
    assert_int_equal(repeated(&b, G "x=", "v", 2500), LT_CAUSE_HEAD_TOO_LARGE);
    assert_true(b.block.size > 2500);
    lt_arena_fini(&b.arena);
    assert_int_equal(repeated(&b, NO_PATH ":path=/", "p", 200), LT_CAUSE_TARGET_TOO_LONG);
    lt_arena_fini(&b.arena);
    assert_int_equal(repeated(&b, G, "x=1\n", 21), LT_CAUSE_HEAD_TOO_LARGE);
    lt_arena_fini(&b.arena);
    /* For a server all cookies are one field. */
    assert_int_equal(repeated(&b, G, "cookie=1\n", 100), LT_CAUSE_NONE);
    assert_int_equal(lt_headers_value(&b.req.headers, LT_HEADER_COOKIE).len, 298);
    lt_arena_fini(&b.arena);
}

/* Memory runs out at any point: it is said so, and nothing is read that isn't there. */
static void test_out_of_memory(void **state)
{
    (void)state;
    for (size_t max = 0; max < 12; max++) {
        struct bed b;
        char first[2048];
        bed_init(&b);
        lt_arena_fini(&b.arena);
        lt_arena_init(&b.arena, first, 16 + max * 160, 0);
        feed(&b, &b.req.headers, CONNECT "x-a=1\ncookie=a\ncookie=b\n");
        enum lt_cause cause = lt_h2_request(&b.block, false, &b.rand, &b.req);
        assert_true(cause == LT_CAUSE_OUT_OF_MEMORY || cause == LT_CAUSE_NONE);
        assert_true(max > 0 || cause == LT_CAUSE_OUT_OF_MEMORY);
        lt_arena_fini(&b.arena);
    }
}

static enum lt_cause response(struct bed *b, const char *lines, bool ended, enum lt_method method)
{
    bed_init(b);
    feed(b, &b->res.headers, lines);
    return lt_h2_response(&b->block, ended, method, &b->res);
}

static void test_responses(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool ended;
        enum lt_cause cause;
        enum lt_body_kind body;
    } cases[] = {
        {":status=200\n", false, LT_CAUSE_NONE, LT_BODY_CHUNKED},
        {":status=200\n", true, LT_CAUSE_NONE, LT_BODY_NONE},
        {":status=200\ncontent-length=3\n", false, LT_CAUSE_NONE, LT_BODY_LENGTH},
        {":status=200\ncontent-length=0\n", true, LT_CAUSE_NONE, LT_BODY_NONE},
        {":status=200\ncontent-length=3\n", true, LT_CAUSE_RESPONSE_FRAMING_INVALID, 0},
        {":status=304\ncontent-length=3\n", true, LT_CAUSE_NONE, LT_BODY_NONE},
        {":status=103\n", false, LT_CAUSE_NONE, LT_BODY_NONE},
        {":status=103\n", true, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=101\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=99\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=600\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=2000\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=+20\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {"", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=200\n:path=/\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=200\n:status=200\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {"a=b\n:status=200\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=200\nconnection=close\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=200\ntransfer-encoding=chunked\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
        {":status=200\ncontent-length=1\ncontent-length=2\n", false,
         LT_CAUSE_RESPONSE_FRAMING_INVALID, 0},
        {":status=200\nx=a\rb\n", false, LT_CAUSE_RESPONSE_INVALID, 0},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct bed b;
        enum lt_cause cause = response(&b, cases[i].lines, cases[i].ended, LT_METHOD_GET);
        if (cause != cases[i].cause) {
            fail_msg("%s: %s, not %s", cases[i].lines, lt_cause_info(cause)->name,
                     lt_cause_info(cases[i].cause)->name);
        }
        if (cause == LT_CAUSE_NONE) {
            assert_int_equal(b.res.body, cases[i].body);
            assert_int_equal(b.res.version, 20);
        }
        lt_arena_fini(&b.arena);
    }
    struct bed b;
    assert_int_equal(response(&b, ":status=200\ncontent-length=3\n", true, LT_METHOD_HEAD),
                     LT_CAUSE_NONE);
    assert_int_equal(b.res.body, LT_BODY_NONE);
    lt_arena_fini(&b.arena);
}

static void test_trailers(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    feed(&b, &b.trailers, "grpc-status=0\ncontent-length=5\nx_y=1\ncookie=a\nx-ok=1\n");
    assert_int_equal(lt_h2_trailers(&b.block), LT_CAUSE_NONE);
    assert_int_equal(b.trailers.n, 2);
    assert_str(b.trailers.v[0].name, "grpc-status");
    assert_str(b.trailers.v[1].name, "x-ok");
    static const char *const bad[] = {":status=200\n", "connection=x\n", "transfer-encoding=x\n",
                                      "X=1\n", "x=\rb\n"};
    for (size_t i = 0; i < lt_countof(bad); i++) {
        feed(&b, &b.trailers, bad[i]);
        assert_int_equal(lt_h2_trailers(&b.block), LT_CAUSE_TRAILER_INVALID);
    }
    lt_arena_fini(&b.arena);
}

/* Fields as text: "name=value;". */
static struct lt_str as_text(const struct lt_h2_fields *f, char *mem, size_t cap)
{
    struct lt_buf out;
    lt_buf_init_fixed(&out, mem, cap);
    for (size_t i = 0; i < f->n; i++) {
        lt_buf_add(&out, f->v[i].name, f->v[i].namelen);
        lt_buf_char(&out, '=');
        lt_buf_add(&out, f->v[i].value, f->v[i].valuelen);
        lt_buf_char(&out, ';');
    }
    return lt_buf_view(&out);
}

static void add(struct lt_headers *h, const char *name, const char *value)
{
    assert_int_equal(lt_headers_add(h, lt_str_c(name), lt_str_c(value)), LT_OK);
}

static void test_writing(void **state)
{
    (void)state;
    struct bed b;
    struct lt_headers h;
    struct lt_h2_fields f;
    char text[512];
    bed_init(&b);
    lt_headers_init(&h, &b.arena, 20);
    add(&h, "Host", "a");
    add(&h, "Content-Type", "text/plain");
    add(&h, "X-Thing", " 1");
    add(&h, "Connection", "close");
    add(&h, "Keep-Alive", "1");
    add(&h, "Transfer-Encoding", "chunked");
    add(&h, "Upgrade", "x");
    add(&h, "TE", "gzip");
    add(&h, "te", "trailers");
    assert_int_equal(lt_h2_write_response(&b.arena, 204, &h, &f), LT_OK);
    assert_str(as_text(&f, text, sizeof(text)),
               ":status=204;host=a;content-type=text/plain;x-thing=1;te=trailers;");
    assert_int_equal(lt_h2_write_request(&b.arena, LT_STR("GET"), LT_STR("https"), LT_STR("/x"),
                                         LT_STR_NONE, &h, &f),
                     LT_OK);
    assert_str(as_text(&f, text, sizeof(text)),
               ":method=GET;:scheme=https;:authority=a;:path=/x;content-type=text/plain;x-thing=1;"
               "te=trailers;");
    assert_int_equal(lt_h2_write_request(&b.arena, LT_STR("GET"), LT_STR("https"), LT_STR("/x"),
                                         LT_STR("websocket"), &h, &f),
                     LT_OK);
    assert_true(lt_str_starts(as_text(&f, text, sizeof(text)), LT_STR(":method=CONNECT;")));
    assert_int_equal(lt_h2_write_trailers(&b.arena, NULL, &f), LT_OK);
    assert_int_equal(f.n, 0);
    assert_int_equal(lt_h2_write_request(&b.arena, LT_STR("G T"), LT_STR("https"), LT_STR("/"),
                                         LT_STR_NONE, &h, &f),
                     LT_ERR_INVALID);
    assert_int_equal(lt_h2_write_request(&b.arena, LT_STR("GET"), LT_STR("https"), LT_STR("/ "),
                                         LT_STR_NONE, &h, &f),
                     LT_ERR_INVALID);
    add(&h, "x", "a\nb");
    assert_int_equal(lt_h2_write_response(&b.arena, 200, &h, &f), LT_ERR_INVALID);
    assert_int_equal(lt_h2_write_trailers(&b.arena, &h, &f), LT_ERR_INVALID);
    assert_int_equal(lt_h2_write_response(&b.arena, 99, &h, &f), LT_ERR_INVALID);
    lt_arena_fini(&b.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_request_is_complete),
        cmocka_unit_test(test_bodies_of_requests),
        cmocka_unit_test(test_extended_connect_asks_for_an_upgrade),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
