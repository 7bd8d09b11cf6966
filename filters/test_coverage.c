/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel test --coverage`: which lines of filters and of the modules that they require ran, over
 * all states, those in which a file is tried out included. One run of the program, one thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/file.h"
#include "filters/excerpt.h"
#include "filters/test_impl.h"

#define FILES_MAX 2000u
#define PATH_MAX_LEN 1024u
#define TEXT_MAX ((size_t)1 << 20)
#define LINE_LEN 80u /* of a list of lines, before it goes on in the next one */

/* One file. */
struct covered {
    char *path;  /* as it was named */
    char *where; /* the same however it was named */
    size_t n;    /* lines */
    bool *code;  /* by line - 1 */
    unsigned *hits;
};

static struct {
    struct covered files[FILES_MAX];
    unsigned n;
    /* The file of the last line that ran: NULL when it isn't counted; and what it was found by, the
     * path of its state's file and its own name there. Copies: states come and go. */
    struct covered *last;
    char path[PATH_MAX_LEN], name[LUA_IDSIZE];
    bool failed; /* short of memory, or too many files */
} cover;

static size_t count_lines(struct lt_str text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++) {
        n += text.p[i] == '\n';
    }
    return n;
}

static struct covered *add(const char *path, char *where, struct lt_str text)
{
    struct covered *c = &cover.files[cover.n];
    if (cover.n == FILES_MAX) {
        cover.failed = true;
        free(where);
        return NULL;
    }
    *c = (struct covered){.where = where, .n = count_lines(text)};
    c->path = lt_malloc(strlen(path) + 1);
    c->code = lt_calloc(c->n, sizeof(*c->code));
    c->hits = lt_calloc(c->n, sizeof(*c->hits));
    cover.n++;
    if (c->path == NULL || c->code == NULL || c->hits == NULL) {
        cover.failed = true;
        return NULL;
    }
    memcpy(c->path, path, strlen(path) + 1);
    if (!lt_lines_with_code(text, c->code, c->n)) {
        memset(c->code, 0, c->n * sizeof(*c->code)); /* it can't be compiled: none ever runs */
    }
    return c;
}

static struct covered *find(const char *where)
{
    for (unsigned i = 0; i < cover.n; i++) {
        if (strcmp(cover.files[i].where, where) == 0) {
            return &cover.files[i];
        }
    }
    return NULL;
}

/* The file called name of a state; NULL: it isn't counted. */
static struct covered *find_file(const struct lt_filter_vm *fvm, struct lt_str name)
{
    char path[PATH_MAX_LEN];
    struct lt_str text;
    if (!lt_excerpt_file(fvm, name, &text, path, sizeof(path)) ||
        (lt_test_current->fvm == fvm && text.p == fvm->file->text.p)) {
        return NULL; /* nobody wants to know that of the test itself */
    }
    char *where = realpath(path, NULL);
    if (where == NULL) {
        return NULL;
    }
    struct covered *c = find(where);
    if (c != NULL) {
        free(where);
        return c;
    }
    return add(path[0] == '.' && path[1] == '/' ? path + 2 : path, where, text);
}

static void on_line(lua_State *L, lua_Debug *ar)
{
    const struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    lua_getinfo(L, "S", ar);
    struct lt_str path = fvm->file->path;
    if (ar->source[0] != '=' || path.len >= sizeof(cover.path)) {
        return;
    }
    if (!lt_str_eq_c(path, cover.path) || strcmp(ar->short_src, cover.name) != 0) {
        memcpy(cover.path, path.p, path.len);
        cover.path[path.len] = '\0';
        snprintf(cover.name, sizeof(cover.name), "%s", ar->short_src);
        cover.last = find_file(fvm, lt_str_c(ar->source + 1));
    }
    size_t line = (size_t)ar->currentline;
    if (cover.last != NULL && line >= 1 && line <= cover.last->n &&
        cover.last->hits[line - 1] < UINT32_MAX) {
        cover.last->hits[line - 1]++;
    }
}

bool lt_coverage_begin(void)
{
    static const char probe[] = "local function f(a)\n  return a\nend\nreturn f({\n})\n";
    bool code[6];
    memset(code, 0, sizeof(code));
    if (!lt_lines_with_code(lt_str_c(probe), code, lt_countof(code)) || code[0] || !code[1] ||
        !code[3] || code[4]) {
        fputs("lintel: this build's Lua writes its code in a form that --coverage does not know\n",
              stderr);
        return false;
    }
    lt_vm_watch_lines(on_line);
    return true;
}

void lt_coverage_expect(const char *path)
{
    struct lt_arena arena;
    struct lt_str text, why;
    char *where = realpath(path, NULL);
    if (where == NULL || find(where) != NULL) {
        free(where);
        return;
    }
    lt_arena_init(&arena, NULL, 0, TEXT_MAX * 2);
    if (lt_file_read(NULL, &arena, path, TEXT_MAX, &text, NULL, &why) == LT_OK) {
        (void)add(path, where, text);
    } else {
        free(where);
    }
    lt_arena_fini(&arena);
}

/* ---- the results ---- */

static void count(const struct covered *c, unsigned *lines, unsigned *ran)
{
    *lines = *ran = 0;
    for (size_t i = 0; i < c->n; i++) {
        *lines += c->code[i];
        *ran += c->code[i] && c->hits[i] > 0;
    }
}

static double percent(unsigned part, unsigned all)
{
    return all > 0 ? 100.0 * part / all : 100.0;
}

/* The lines that did not run, as "3, 7-9". Lines without code between two of them are passed. */
static void print_missed(struct lt_test_report *report, const struct covered *c)
{
    char text[512];
    struct lt_buf out;
    lt_buf_init_fixed(&out, text, sizeof(text) - 1);
    for (size_t i = 0; i < c->n; i++) {
        if (!c->code[i] || c->hits[i] > 0) {
            continue;
        }
        size_t last = i;
        for (size_t j = i + 1; j < c->n && !(c->code[j] && c->hits[j] > 0); j++) {
            last = c->code[j] ? j : last;
        }
        if (out.len > LINE_LEN) {
            text[out.len] = '\0';
            lt_test_report_line(report, text);
            out.len = 0;
        }
        lt_buf_printf(&out, "%s%zu", out.len == 0 ? "          not run: " : ", ", i + 1);
        if (last > i) {
            lt_buf_printf(&out, "-%zu", last + 1);
        }
        i = last;
    }
    if (out.len > 0) {
        text[out.len] = '\0';
        lt_test_report_line(report, text);
    }
}

static int by_path(const void *a, const void *b)
{
    const struct covered *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static void print_summary(struct lt_test_report *report)
{
    char line[PATH_MAX_LEN + 100];
    unsigned all = 0, all_ran = 0, lines, ran;
    lt_test_report_line(report, "");
    lt_test_report_line(report, "coverage (lines with code that ran)");
    for (unsigned i = 0; i < cover.n; i++) {
        const struct covered *c = &cover.files[i];
        count(c, &lines, &ran);
        all += lines;
        all_ran += ran;
        snprintf(line, sizeof(line), "  %5.1f %%  %s (%u of %u)", percent(ran, lines), c->path, ran,
                 lines);
        lt_test_report_line(report, line);
        print_missed(report, c);
    }
    snprintf(line, sizeof(line), "  %5.1f %%  in all (%u of %u)", percent(all_ran, all), all_ran,
             all);
    lt_test_report_line(report, line);
}

/* As geninfo(1) says. */
static bool write_lcov(const char *path)
{
    FILE *f = fopen(path, "w");
    unsigned lines, ran;
    for (unsigned i = 0; f != NULL && i < cover.n; i++) {
        const struct covered *c = &cover.files[i];
        fprintf(f, "TN:\nSF:%s\n", c->where);
        for (size_t n = 0; n < c->n; n++) {
            if (c->code[n]) {
                fprintf(f, "DA:%zu,%u\n", n + 1, c->hits[n]);
            }
        }
        count(c, &lines, &ran);
        fprintf(f, "LF:%u\nLH:%u\nend_of_record\n", lines, ran);
    }
    bool ok = f != NULL && fflush(f) == 0 && ferror(f) == 0;
    ok = (f == NULL || fclose(f) == 0) && ok;
    if (!ok) {
        fprintf(stderr, "lintel: %s: %s\n", path, strerror(errno));
    }
    return ok;
}

bool lt_coverage_end(struct lt_test_report *report, const char *lcov)
{
    lt_vm_watch_lines(NULL);
    bool ok = !cover.failed;
    if (ok) {
        qsort(cover.files, cover.n, sizeof(cover.files[0]), by_path);
        print_summary(report);
        ok = lcov == NULL || write_lcov(lcov);
    } else {
        fputs("lintel: out of memory, or too many files for --coverage\n", stderr);
    }
    for (unsigned i = 0; i < cover.n; i++) {
        struct covered *c = &cover.files[i];
        free(c->where);
        lt_free(c->path);
        lt_free(c->code);
        lt_free(c->hits);
    }
    memset(&cover, 0, sizeof(cover));
    return ok;
}
