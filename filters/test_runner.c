/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel test`: its options, and the files that it is to run (test_runner.h). Each test file runs
 * in a state of its own, in the sandbox that filters have, with `require "lintel.test"` besides. */
#include "filters/test_runner.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/test_impl.h"

#define FILES_MAX 10000u
#define DEPTH_MAX 32 /* of folders */
#define PATH_MAX_LEN 4096u

struct options {
    bool tap, coverage;
    const char *junit, *lcov;
    int paths; /* place of the first one in argv */
};

/* What is to be run, and beside it, for --coverage, what might have been. */
struct files {
    char *tests[FILES_MAX], *filters[FILES_MAX];
    size_t n_tests, n_filters;
};

void lt_cmd_test_help(FILE *out)
{
    fputs("usage: lintel test [OPTION...] FILE_test.lua|FOLDER ...\n"
          "\n"
          "Runs tests of filters, without a server and without a network. Of a folder: all\n"
          "*_test.lua files in it and in the folders below, sorted.\n"
          "\n"
          "  --filter PATTERN      only cases in whose \"FILE: NAME\" the pattern occurs;\n"
          "                        * ? [a-z] as in a shell\n"
          "  --list                print the names of the cases and run none\n"
          "  --tap                 print the results as TAP\n"
          "  --junit FILE          write them as JUnit XML besides\n"
          "  --coverage            print which lines of the filters did not run\n"
          "  --coverage=lcov:FILE  ... and write that for lcov, genhtml and editors\n"
          "\n"
          "Status: 0 all passed; 1 a case failed, or a file was broken; 2 wrong usage, or there\n"
          "was nothing to run. docs/filters/testing.md says how tests are written.\n",
          out);
}

static int usage(void)
{
    fputs("usage: lintel test [--filter PATTERN] [--list] [--tap] [--junit FILE]\n"
          "                   [--coverage[=lcov:FILE]] FILE_test.lua|FOLDER ...\n"
          "`lintel help test` says more\n",
          stderr);
    return 2;
}

static void say_unknown(const char *option)
{
    static const char *const known[] = {"--filter", "--list", "--tap", "--junit", "--coverage"};
    const char *close = lt_schema_closest(lt_str_c(option), known, lt_countof(known));
    bool alone = close != NULL && strcmp(close, option) == 0;
    fprintf(stderr,
            alone ? "lintel: test: \"%s\" needs a value" : "lintel: test: there is no \"%s\"",
            option);
    fprintf(stderr, close != NULL && !alone ? "; did you mean \"%s\"?\n" : "\n", close);
}

/* False: wrong usage. */
static bool read_options(int argc, char **argv, struct options *o, struct lt_test *r)
{
    static const char lcov[] = "--coverage=lcov:";
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
            r->filter = argv[++i];
        } else if (strcmp(argv[i], "--junit") == 0 && i + 1 < argc) {
            o->junit = argv[++i];
        } else if (strcmp(argv[i], "--list") == 0) {
            r->list = true;
        } else if (strcmp(argv[i], "--tap") == 0) {
            o->tap = true;
        } else if (strcmp(argv[i], "--coverage") == 0) {
            o->coverage = true;
        } else if (strncmp(argv[i], lcov, sizeof(lcov) - 1) == 0 &&
                   argv[i][sizeof(lcov) - 1] != '\0') {
            o->coverage = true;
            o->lcov = argv[i] + sizeof(lcov) - 1;
        } else if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        } else {
            say_unknown(argv[i]);
            return false;
        }
    }
    o->paths = i;
    for (int k = i; k < argc; k++) {
        if (strncmp(argv[k], "--", 2) == 0 && strcmp(argv[i - 1], "--") != 0) {
            fprintf(stderr, "lintel: test: options stand before the files: \"%s\"\n", argv[k]);
            return false;
        }
    }
    return i < argc && !(r->list && (o->tap || o->junit != NULL || o->coverage));
}

/* ---- files ---- */

static bool keep(char **list, size_t *n, const char *path)
{
    size_t len = strlen(path) + 1;
    char *copy = *n < FILES_MAX ? lt_malloc(len) : NULL;
    if (copy == NULL) {
        fprintf(stderr, "lintel: out of memory, or more than %u files\n", FILES_MAX);
        return false;
    }
    memcpy(copy, path, len);
    list[(*n)++] = copy;
    return true;
}

static bool add_folder(struct files *files, const char *path, int depth);

/* One entry of a folder: hidden ones are passed, and so are links to folders, which might lead
 * back.
 */
static bool add_entry(struct files *files, const char *folder, const char *name, int depth)
{
    char path[PATH_MAX_LEN];
    struct lt_str s = lt_str_c(name);
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (name[0] == '.' || n < 0 || (size_t)n >= sizeof(path) || lstat(path, &st) != 0) {
        return true;
    }
    if (S_ISDIR(st.st_mode)) {
        return depth >= DEPTH_MAX || add_folder(files, path, depth + 1);
    }
    if (lt_str_ends(s, LT_STR("_test.lua"))) {
        return keep(files->tests, &files->n_tests, path);
    }
    return !lt_str_ends(s, LT_STR(".lua")) || lt_str_ends(s, LT_STR(".d.lua")) ||
           keep(files->filters, &files->n_filters, path);
}

static bool add_folder(struct files *files, const char *path, int depth)
{
    DIR *dir = opendir(path);
    bool ok = true;
    if (dir == NULL) {
        fprintf(stderr, "lintel: %s: %s\n", path, strerror(errno));
        return false;
    }
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        ok = add_entry(files, path, e->d_name, depth);
    }
    closedir(dir);
    return ok;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The tests of one argument, sorted. */
static bool add_path(struct files *files, const char *path)
{
    char folder[PATH_MAX_LEN];
    struct stat st;
    size_t before = files->n_tests, len = strlen(path);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return keep(files->tests, &files->n_tests, path);
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    snprintf(folder, sizeof(folder), "%.*s", (int)lt_min(len, sizeof(folder) - 1), path);
    if (!add_folder(files, folder, 0)) {
        return false;
    }
    qsort(files->tests + before, files->n_tests - before, sizeof(*files->tests), by_text);
    if (files->n_tests == before) {
        fprintf(stderr, "lintel: there is no *_test.lua in %s\n", path);
    }
    return files->n_tests > before;
}

static void free_files(struct files *files)
{
    for (size_t i = 0; i < files->n_tests; i++) {
        lt_free(files->tests[i]);
    }
    for (size_t i = 0; i < files->n_filters; i++) {
        lt_free(files->filters[i]);
    }
    lt_free(files);
}

/* ---- the run ---- */

static int finish(struct lt_test *r, const struct options *o, const struct files *files)
{
    bool ok = true;
    if (o->coverage) {
        for (size_t i = 0; i < files->n_filters; i++) {
            lt_coverage_expect(files->filters[i]);
        }
        ok = lt_coverage_end(r->report, o->lcov);
    }
    unsigned failed = lt_test_report_failed(r->report);
    if (!r->list || failed > 0) {
        ok = lt_test_report_finish(r->report) && ok;
    }
    if (r->matched == 0 && failed == 0) {
        fputs("lintel: no case matches\n", stderr);
        return 2;
    }
    return failed > 0 || !ok ? 1 : 0;
}

static int run(struct lt_test *r, const struct options *o, const struct files *files)
{
    if (o->coverage && !lt_coverage_begin()) {
        return 2;
    }
    r->report = lt_test_report_new(o->tap, o->junit);
    r->bed = r->report != NULL ? lt_test_bed_new() : NULL;
    if (r->bed == NULL) {
        lt_test_report_free(r->report);
        return 2;
    }
    r->bed->filter_failed = lt_test_on_failure;
    lt_test_current = r;
    lt_log_set_sink(lt_test_on_log_line);
    for (size_t i = 0; i < files->n_tests; i++) {
        lt_test_run_file(r, files->tests[i]);
    }
    lt_log_set_sink(NULL);
    lt_test_forget_lines(r);
    lt_test_bed_free(r->bed);
    int status = finish(r, o, files);
    lt_test_report_free(r->report);
    lt_test_current = NULL;
    return status;
}

int lt_cmd_test(int argc, char **argv)
{
    struct lt_test *r = lt_calloc(1, sizeof(*r));
    struct files *files = lt_calloc(1, sizeof(*files));
    struct options o = {.paths = 0};
    int status = 0;
    if (r == NULL || files == NULL) {
        fputs("lintel: out of memory\n", stderr);
        status = 2;
    } else if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        lt_cmd_test_help(stdout);
    } else if (!read_options(argc, argv, &o, r)) {
        status = usage();
    } else {
        for (int i = o.paths; i < argc && status == 0; i++) {
            status = add_path(files, argv[i]) ? 0 : 2;
        }
        status = status == 0 ? run(r, &o, files) : status;
    }
    if (files != NULL) {
        free_files(files);
    }
    lt_free(r);
    return status;
}
