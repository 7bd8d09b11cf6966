/* SPDX-License-Identifier: Apache-2.0 */
/* Results of `lintel test`: for people or as TAP (version 13) to standard output, and as JUnit's
 * XML to a file. The XML has what both schemas in use ask for, that of Ant's task and that of
 * Jenkins: a suite is a test file; its counts stand before its cases, so the text is kept until the
 * end. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/test_impl.h"

#define XML_MAX ((size_t)64 << 20)

struct lt_test_report {
    bool tap;
    FILE *junit; /* or NULL */
    const char *junit_path;
    struct lt_buf xml;   /* of all suites that are over */
    struct lt_buf suite; /* cases of the one that is not */
    const char *file;
    unsigned suites, files;
    unsigned passed, failed;          /* of all */
    unsigned tests, failures, errors; /* of the suite */
    uint64_t suite_ns, began_us;
    char host[256];
};

struct lt_test_report *lt_test_report_new(bool tap, const char *junit)
{
    struct lt_test_report *r = lt_calloc(1, sizeof(*r));
    if (r == NULL) {
        fputs("lintel: out of memory\n", stderr);
        return NULL;
    }
    r->tap = tap;
    r->junit_path = junit;
    r->began_us = lt_clock_us();
    lt_buf_init(&r->xml, XML_MAX);
    lt_buf_init(&r->suite, XML_MAX);
    if (gethostname(r->host, sizeof(r->host) - 1) != 0 || r->host[0] == '\0') {
        snprintf(r->host, sizeof(r->host), "localhost");
    }
    if (junit != NULL && (r->junit = fopen(junit, "w")) == NULL) {
        fprintf(stderr, "lintel: %s: %s\n", junit, strerror(errno));
        lt_test_report_free(r);
        return NULL;
    }
    if (tap) {
        puts("TAP version 13");
    }
    return r;
}

void lt_test_report_free(struct lt_test_report *r)
{
    if (r != NULL) {
        if (r->junit != NULL) {
            fclose(r->junit);
        }
        lt_buf_fini(&r->xml);
        lt_buf_fini(&r->suite);
        lt_free(r);
    }
}

unsigned lt_test_report_failed(const struct lt_test_report *r)
{
    return r->failed;
}

/* ---- standard output ---- */

void lt_test_report_line(struct lt_test_report *r, const char *text)
{
    printf("%s%s\n", r->tap ? "# " : "", text);
}

/* The lines of text, each after indent. */
static void print_lines(const char *text, const char *indent)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        printf("%s%.*s\n", indent, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

/* What its filters used, if it ran any. */
static void print_use(const struct lt_test_result *c)
{
    if (c->memory > 0) {
        printf(" (%.2f ms, %zu KB)", (double)c->cpu_ns / 1e6, (c->memory + 1023) / 1024);
    }
}

static void print_plain(const struct lt_test_result *c)
{
    printf("%s%s: %s", c->outcome == LT_TEST_PASSED ? "ok    " : "FAIL  ", c->file, c->name);
    print_use(c);
    putchar('\n');
    if (c->outcome != LT_TEST_PASSED) {
        print_lines(c->text, "      ");
    }
}

/* In a description `#` begins a directive. */
static void print_tap(const struct lt_test_report *r, const struct lt_test_result *c)
{
    printf("%s %u - ", c->outcome == LT_TEST_PASSED ? "ok" : "not ok", r->passed + r->failed);
    for (const char *p = c->file; *p != '\0'; p++) {
        putchar(*p == '#' ? '_' : *p);
    }
    printf(": ");
    for (const char *p = c->name; *p != '\0'; p++) {
        putchar(*p == '#' ? '_' : *p);
    }
    putchar('\n');
    printf("  ---\n  cpu_ms: %.3f\n  memory_kb: %zu\n", (double)c->cpu_ns / 1e6,
           (c->memory + 1023) / 1024);
    if (c->outcome != LT_TEST_PASSED) {
        puts("  message: |");
        print_lines(c->text, "    ");
    }
    puts("  ...");
}

/* ---- XML ---- */

/* Length of the UTF-8 sequence at p, 0 for none. */
static size_t sequence(const unsigned char *p)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] > 0xf4 || (p[0] >= 0x80 && p[0] < 0xc2)) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) || (p[0] == 0xf0 && p[1] < 0x90) ||
               (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : len;
}

/* As text or the value of an attribute; what XML 1.0 can't hold becomes '?'. */
static void add_xml(struct lt_buf *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        size_t len = sequence(p);
        if (*p == '<' || *p == '>' || *p == '&' || *p == '"') {
            lt_buf_printf(out, "&#%u;", *p);
        } else if (len == 0 || (*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f) {
            lt_buf_char(out, '?');
        } else {
            lt_buf_add(out, p, len);
        }
        p += len > 0 ? len : 1;
    }
}

/* The first line of why it failed. */
static void add_message(struct lt_buf *out, const char *text)
{
    char first[512];
    snprintf(first, sizeof(first), "%.*s", (int)lt_min(strcspn(text, "\n"), sizeof(first) - 1),
             text);
    add_xml(out, first);
}

static void add_case(struct lt_test_report *r, const struct lt_test_result *c)
{
    struct lt_buf *out = &r->suite;
    lt_buf_printf(out, "    <testcase name=\"");
    add_xml(out, c->name);
    lt_buf_printf(out, "\" classname=\"");
    add_xml(out, c->file);
    lt_buf_printf(out, "\" time=\"%.6f\"", (double)c->wall_ns / 1e9);
    if (c->outcome == LT_TEST_PASSED) {
        lt_buf_printf(out, "/>\n");
        return;
    }
    const char *kind = c->outcome == LT_TEST_FAILED ? "failure" : "error";
    lt_buf_printf(out, ">\n      <%s type=\"%s\" message=\"", kind,
                  c->outcome == LT_TEST_FAILED ? "failed" : "broken");
    add_message(out, c->text);
    lt_buf_printf(out, "\">");
    add_xml(out, c->text);
    lt_buf_printf(out, "</%s>\n    </testcase>\n", kind);
}

static void add_suite(struct lt_test_report *r)
{
    struct lt_buf *out = &r->xml;
    char when[32];
    time_t now = (time_t)(lt_clock_wall_us() / 1000000);
    struct tm tm;
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &tm));
    lt_buf_printf(out, "  <testsuite name=\"");
    add_xml(out, r->file);
    lt_buf_printf(out, "\" package=\"lintel\" id=\"%u\" timestamp=\"%s\" hostname=\"", r->suites,
                  when);
    add_xml(out, r->host);
    lt_buf_printf(out, "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" time=\"%.6f\">\n", r->tests,
                  r->failures, r->errors, (double)r->suite_ns / 1e9);
    lt_buf_printf(out, "    <properties/>\n");
    lt_buf_str(out, lt_buf_view(&r->suite));
    out->truncated |= r->suite.truncated;
    lt_buf_printf(out, "    <system-out/>\n    <system-err/>\n  </testsuite>\n");
}

/* ---- in their order ---- */

void lt_test_report_begin(struct lt_test_report *r, const char *file)
{
    r->file = file;
    r->tests = r->failures = r->errors = 0;
    r->suite_ns = 0;
    r->suite.len = 0;
}

void lt_test_report_case(struct lt_test_report *r, const struct lt_test_result *c)
{
    r->tests++;
    r->suite_ns += c->wall_ns;
    r->passed += c->outcome == LT_TEST_PASSED;
    r->failed += c->outcome != LT_TEST_PASSED;
    r->failures += c->outcome == LT_TEST_FAILED;
    r->errors += c->outcome == LT_TEST_BROKEN;
    if (r->tap) {
        print_tap(r, c);
    } else {
        print_plain(c);
    }
    fflush(stdout);
    if (r->junit != NULL) {
        add_case(r, c);
    }
}

void lt_test_report_end(struct lt_test_report *r)
{
    if (r->tests == 0) {
        return; /* no case of it was wanted */
    }
    r->files++;
    if (r->junit != NULL) {
        add_suite(r);
        r->suites++;
    }
}

static bool write_junit(struct lt_test_report *r)
{
    FILE *f = r->junit;
    r->junit = NULL;
    bool ok = !r->xml.truncated &&
              fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", f) >= 0 &&
              fwrite(r->xml.p != NULL ? r->xml.p : "", 1, r->xml.len, f) == r->xml.len &&
              fputs("</testsuites>\n", f) >= 0;
    ok = fclose(f) == 0 && ok;
    if (!ok) {
        fprintf(stderr, "lintel: %s: can't be written\n", r->junit_path);
    }
    return ok;
}

bool lt_test_report_finish(struct lt_test_report *r)
{
    char line[160];
    if (r->tap) {
        printf("1..%u\n", r->passed + r->failed);
    }
    snprintf(line, sizeof(line), "%u passed, %u failed (%u file%s, %.2f s)", r->passed, r->failed,
             r->files, r->files == 1 ? "" : "s", (double)(lt_clock_us() - r->began_us) / 1e6);
    lt_test_report_line(r, line);
    bool ok = r->junit == NULL || write_junit(r);
    return fflush(stdout) == 0 && ok;
}
