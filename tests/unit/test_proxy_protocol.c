/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/net/proxy_protocol.c: what is read, whole and in pieces, and written. */
#include "unit.h"

#include <stdlib.h>

#include "net/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb"

struct row {
    const char *name;
    struct lt_str text;
    enum lt_err err;
    const char *source, *target; /* NULL: not given */
};

#define ROW(name, text, ...)                                                                       \
    {                                                                                              \
        name, LT_STR_INIT(text), __VA_ARGS__                                                       \
    }
#define BAD(name, text) ROW(name, text, LT_ERR_INVALID, NULL, NULL)

static const struct row rows[] = {
    ROW("v1", "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n", LT_OK, "192.0.2.1:4711",
        "198.51.100.2:443"),
    ROW("v1 IPv6", "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", LT_OK, "[2001:db8::1]:0",
        "[::1]:65535"),
    ROW("v1 mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", LT_OK, "192.0.2.1:1", "[::1]:2"),
    ROW("v1 unknown", "PROXY UNKNOWN\r\n", LT_OK, NULL, NULL),
    ROW("v1 unknown with more", "PROXY UNKNOWN 1.2.3.4 junk\r\n", LT_OK, NULL, NULL),
    BAD("empty", "PROXY \r\n"),
    BAD("bare LF", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"),
    BAD("CR alone", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r \r\n"),
    BAD("two spaces", "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n"),
    BAD("space at the end", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n"),
    BAD("no second port", "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"),
    BAD("a third port", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"),
    BAD("large port", "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n"),
    BAD("signed port", "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n"),
    BAD("port with zero", "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n"),
    BAD("wrong family", "PROXY TCP4 ::1 ::1 1 2\r\n"),
    BAD("wrong family of the target", "PROXY TCP6 ::1 1.2.3.4 1 2\r\n"),
    BAD("short address", "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n"),
    BAD("octal address", "PROXY TCP4 010.2.3.4 5.6.7.8 1 2\r\n"),
    BAD("NUL in the address", "PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n"),
    BAD("scope", "PROXY TCP6 fe80::1%lo ::1 1 2\r\n"),
    BAD("lower case", "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n"),
    BAD("UDP", "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"),
    BAD("unknown and no space", "PROXY UNKNOWNS\r\n"),
    ROW("v2", SIGNATURE "\x21\x11\0\x0c" TCP4, LT_OK, "192.0.2.1:4711", "198.51.100.2:443"),
    ROW("v2 IPv6",
        SIGNATURE "\x21\x21\0\x24"
                  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                  "\0\x01\xff\xff",
        LT_OK, "[2001:db8::1]:1", "[::1]:65535"),
    ROW("v2 local", SIGNATURE "\x20\0\0\0", LT_OK, NULL, NULL),
    ROW("v2 local with more", SIGNATURE "\x20\x11\0\x0e" TCP4 "xy", LT_OK, NULL, NULL),
    ROW("v2 unspecified",
        SIGNATURE "\x21\0\0\x03"
                  "abc",
        LT_OK, NULL, NULL),
    ROW("v2 TLVs", SIGNATURE "\x21\x11\0\x15" TCP4 "\x02\0\x01x\x20\0\x02yz", LT_OK,
        "192.0.2.1:4711", "198.51.100.2:443"),
    ROW("v2 checksum", SIGNATURE "\x21\x11\0\x13" TCP4 "\x03\0\x04\x1e\xaf\x4b\xaa", LT_OK,
        "192.0.2.1:4711", "198.51.100.2:443"),
    BAD("v2 wrong checksum", SIGNATURE "\x21\x11\0\x13" TCP4 "\x03\0\x04\0\0\0\0"),
    BAD("v2 short checksum", SIGNATURE "\x21\x11\0\x12" TCP4 "\x03\0\x03\0\0\0"),
    BAD("v2 two checksums", SIGNATURE "\x21\x11\0\x1a" TCP4 "\x03\0\x04\0\0\0\0\x03\0\x04\0\0\0\0"),
    BAD("v2 short TLV", SIGNATURE "\x21\x11\0\x0e" TCP4 "\x02\0"),
    BAD("v2 TLV beyond the end", SIGNATURE "\x21\x11\0\x10" TCP4 "\x02\0\x02x"),
    BAD("v2 short addresses", SIGNATURE "\x21\x11\0\x0b\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\x01"),
    BAD("v2 IPv6 with IPv4's length", SIGNATURE "\x21\x21\0\x0c" TCP4),
    BAD("v2 Unix with IPv4's length", SIGNATURE "\x21\x31\0\x0c" TCP4),
    BAD("v2 datagrams", SIGNATURE "\x21\x12\0\x0c" TCP4),
    BAD("v2 bad family", SIGNATURE "\x21\x41\0\x0c" TCP4),
    BAD("v2 half a family", SIGNATURE "\x21\x10\0\x0c" TCP4),
    BAD("version 1 in binary", SIGNATURE "\x11\x11\0\x0c" TCP4),
    BAD("v2 bad command", SIGNATURE "\x22\x11\0\x0c" TCP4),
    ROW("v2 too long", SIGNATURE "\x21\x11\xff\xff" TCP4, LT_ERR_LIMIT, NULL, NULL),
    ROW("a request", "POST / HTTP/1.1\r\n", LT_ERR_NOTFOUND, NULL, NULL),
    ROW("a request that begins alike", "PROPFIND / HTTP/1.1\r\n", LT_ERR_NOTFOUND, NULL, NULL),
    ROW("lower case signature", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", LT_ERR_NOTFOUND, NULL, NULL),
    ROW("empty lines", "\r\n\r\nGET / HTTP/1.1\r\n", LT_ERR_NOTFOUND, NULL, NULL),
    ROW("TLS", "\x16\x03\x01\x02\0", LT_ERR_NOTFOUND, NULL, NULL),
};

static void check_address(const struct row *row, const struct lt_addr *addr, const char *expected)
{
    char text[LT_ADDR_TEXT_MAX];
    lt_addr_print(addr, text);
    if (strcmp(text, expected) != 0) {
        fail_msg("%s: %s instead of %s", row->name, text, expected);
    }
}

static enum lt_err parse(const char *p, size_t n, struct lt_proxy_header *out, size_t *used)
{
    const char *why = NULL;
    char *exact = malloc(n > 0 ? n : 1);
    assert_non_null(exact);
    memcpy(exact, p, n);
    enum lt_err err = lt_proxy_parse(exact, n, out, used, &why);
    free(exact);
    assert_true((err == LT_ERR_INVALID || err == LT_ERR_LIMIT) == (strlen(why) > 0));
    return err;
}

static void check(const struct row *row, struct lt_str text)
{
    struct lt_proxy_header h;
    size_t used;
    enum lt_err err = parse(text.p, text.len, &h, &used);
    if (err != row->err) {
        fail_msg("%s: %s", row->name, lt_err_text(err));
    }
    assert_int_equal(h.given, row->source != NULL);
    if (err == LT_OK) {
        assert_int_equal(used, row->text.len);
    }
    if (h.given) {
        check_address(row, &h.source, row->source);
        check_address(row, &h.target, row->target);
    }
}

static void test_headers_are_read_or_refused(void **state LT_UNUSED)
{
    for (size_t i = 0; i < lt_countof(rows); i++) {
        check(&rows[i], rows[i].text);
    }
}

static void test_what_follows_is_left(void **state LT_UNUSED)
{
    for (size_t i = 0; i < lt_countof(rows); i++) {
        char more[400];
        memcpy(more, rows[i].text.p, rows[i].text.len);
        memset(more + rows[i].text.len, 'G', sizeof(more) - rows[i].text.len);
        check(&rows[i], lt_str(more, sizeof(more)));
    }
}

static void test_every_truncation_waits_or_says_the_same(void **state LT_UNUSED)
{
    for (size_t i = 0; i < lt_countof(rows); i++) {
        size_t used = 0, sure = 0;
        for (size_t n = 0; n < rows[i].text.len; n++) {
            struct lt_proxy_header h;
            enum lt_err err = parse(rows[i].text.p, n, &h, &used);
            assert_false(h.given);
            if (err != LT_AGAIN) {
                assert_int_equal(err, rows[i].err);
                break;
            }
            assert_true(used == 0 || used == n);
            assert_true(used >= sure);
            assert_true(used == 0 || rows[i].err != LT_ERR_NOTFOUND);
            sure = used;
        }
    }
}

static void test_a_line_may_have_107_bytes(void **state LT_UNUSED)
{
    char line[120];
    struct lt_proxy_header h;
    size_t used;
    memset(line, 'a', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    line[105] = '\r';
    line[106] = '\n';
    assert_int_equal(parse(line, 107, &h, &used), LT_OK);
    assert_int_equal(used, 107);
    line[105] = 'a';
    line[106] = '\r';
    line[107] = '\n';
    assert_int_equal(parse(line, 106, &h, &used), LT_AGAIN);
    assert_int_equal(parse(line, 107, &h, &used), LT_ERR_LIMIT);
    assert_int_equal(parse(line, 108, &h, &used), LT_ERR_LIMIT);
}

static void test_a_block_may_have_2048_bytes(void **state LT_UNUSED)
{
    static char block[LT_PROXY_HEADER_MAX];
    struct lt_proxy_header h;
    size_t used;
    memcpy(block, SIGNATURE "\x21\x11\x07\xf0" TCP4 "\x04\x07\xe1", 31);
    assert_int_equal(parse(block, sizeof(block), &h, &used), LT_OK);
    assert_int_equal(used, sizeof(block));
    assert_int_equal(parse(block, sizeof(block) - 1, &h, &used), LT_AGAIN);
    block[15]++;
    assert_int_equal(parse(block, 16, &h, &used), LT_ERR_LIMIT);
}

static struct lt_addr address(const char *text)
{
    struct lt_addr addr = {.len = 0};
    const char *why;
    if (text != NULL) {
        assert_int_equal(lt_addr_parse(lt_str_c(text), &addr, &why), LT_OK);
    }
    return addr;
}

static void test_headers_are_written(void **state LT_UNUSED)
{
    static const struct {
        const char *source, *target, *line;
    } written[] = {
        {"192.0.2.1:4711", "198.51.100.2:443", "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"},
        {"[::ffff:192.0.2.1]:1", "198.51.100.2:2", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n"},
        {"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"},
        {"[2001:db8::1]:1", "127.0.0.1:2", "PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 1 2\r\n"},
        {"192.0.2.1:1", "[::1]:2", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"},
        {"192.0.2.1:1", NULL, "PROXY TCP4 192.0.2.1 0.0.0.0 1 0\r\n"},
        {"[::1]:1", "unix:/x", "PROXY TCP6 ::1 :: 1 0\r\n"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"},
        {NULL, "127.0.0.1:2", "PROXY UNKNOWN\r\n"},
        {"unix:/x", "127.0.0.1:2", "PROXY UNKNOWN\r\n"},
    };
    for (size_t i = 0; i < lt_countof(written); i++) {
        char v1[LT_PROXY_WRITE_MAX], v2[LT_PROXY_WRITE_MAX];
        struct lt_addr source = address(written[i].source), target = address(written[i].target);
        size_t n = lt_proxy_write(LT_PROXY_V1, &source, &target, v1), used;
        assert_int_equal(n, strlen(written[i].line));
        assert_memory_equal(v1, written[i].line, n);
        struct lt_proxy_header one, two;
        assert_int_equal(parse(v1, n, &one, &used), LT_OK);
        n = lt_proxy_write(LT_PROXY_V2, &source, &target, v2);
        assert_int_equal(parse(v2, n, &two, &used), LT_OK);
        assert_int_equal(used, n);
        assert_int_equal(one.given, two.given);
        assert_true(lt_addr_eq(&one.source, &two.source) && lt_addr_eq(&one.target, &two.target));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_are_read_or_refused),
        cmocka_unit_test(test_what_follows_is_left),
        cmocka_unit_test(test_every_truncation_waits_or_says_the_same),
        cmocka_unit_test(test_a_line_may_have_107_bytes),
        cmocka_unit_test(test_a_block_may_have_2048_bytes),
        cmocka_unit_test(test_headers_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
