/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel test`. Each test file runs in a state of its own, in the sandbox that filters have, with
 * `require "lintel.test"` besides; t.run loads a filter into the test bed and sends one exchange
 * through it. */
#include "filters/test_runner.h"

#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"

#define FILES_MAX 10000u
#define CPU_MS 10000u /* of one file */
#define MEMORY ((size_t)64 << 20)

struct lt_test *lt_test_current;

/* ---- files ---- */

static void fail_file(struct lt_test *r, const char *why)
{
    r->failed++;
    printf("FAIL  %s\n      %s\n", r->path, why);
}

/* Runs one test file. It is no filter: what it returns doesn't matter. */
static int run_text(lua_State *L)
{
    const struct lt_filter_file *file = lua_touserdata(L, 1);
    if (!lt_sandbox_load(L, file->text, lua_pushfstring(L, "=%s.lua", file->name.p))) {
        return lua_error(L);
    }
    lua_call(L, 0, 0);
    return 0;
}

static void run_file(struct lt_test *r, const char *path)
{
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_budget budget;
    struct lt_str why;
    lt_arena_init(&arena, NULL, 0, LT_LOAD_ARENA_MAX);
    lt_diags_init(&diags, &arena);
    lt_load_init(&load, &arena, &diags);
    lt_budget_init(&budget);
    r->path = path;
    r->in_file = 0;
    struct lt_str shown_path = lt_str_c(path), local = shown_path;
    bool named =
        lt_str_chr(shown_path, '/', 0) != SIZE_MAX || lt_arena_printf(&arena, &local, "./%s", path);
    struct lt_filter_file *file =
        named ? lt_filter_file_find(&load, local, LT_STR_NONE, &why) : NULL;
    struct lt_filter_vm fvm = {
        .file = file, .load = &load, .record = file, .open_more = lt_test_open};
    if (file == NULL) {
        fail_file(r, named && why.len > 0 ? why.p : "out of memory");
    } else {
        r->dir = file->dir;
        if (!lt_filter_vm_open_text(&fvm, &budget, MEMORY, run_text, CPU_MS)) {
            fail_file(r, lt_filter_vm_error(&fvm));
        } else if (r->in_file == 0) {
            fail_file(r, "no t.case in it");
        }
        lt_filter_vm_close(&fvm);
    }
    lt_budget_detach(&budget);
    lt_arena_fini(&arena);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Runs the *_test.lua files of a folder, sorted. */
static void run_folder(struct lt_test *r, const char *path)
{
    DIR *dir = opendir(path);
    char **names = lt_calloc(FILES_MAX, sizeof(*names));
    size_t n = 0;
    r->path = path;
    if (dir == NULL || names == NULL) {
        fail_file(r, dir == NULL ? "can't read the folder" : "out of memory");
    }
    for (struct dirent *e; dir != NULL && names != NULL && (e = readdir(dir)) != NULL;) {
        size_t len = strlen(path) + strlen(e->d_name) + 2;
        if (n < FILES_MAX && lt_str_ends(lt_str_c(e->d_name), LT_STR("_test.lua")) &&
            (names[n] = lt_malloc(len)) != NULL) {
            snprintf(names[n++], len, "%s/%s", path, e->d_name);
        }
    }
    if (names != NULL) {
        qsort(names, n, sizeof(*names), by_text);
    }
    for (size_t i = 0; i < n; i++) {
        run_file(r, names[i]);
        lt_free(names[i]);
    }
    lt_free(names);
    if (dir != NULL) {
        closedir(dir);
    }
}

int lt_cmd_test(int argc, char **argv)
{
    struct lt_test r = {.passed = 0};
    struct stat st;
    if (argc < 2 || argv[1][0] == '-') {
        bool help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
        fprintf(help ? stdout : stderr,
                "usage: lintel test FILE_test.lua|FOLDER ...\n"
                "Runs tests of filters, without a server and without a network.\n");
        return help ? 0 : 2;
    }
    r.bed = lt_test_bed_new();
    if (r.bed == NULL) {
        fprintf(stderr, "lintel: out of memory\n");
        return 1;
    }
    lt_test_current = &r;
    lt_log_set_sink(lt_test_on_log_line);
    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            run_folder(&r, argv[i]);
        } else {
            run_file(&r, argv[i]);
        }
    }
    lt_log_set_sink(NULL);
    lt_test_forget_lines(&r);
    lt_test_bed_free(r.bed);
    lt_test_current = NULL;
    printf("%u passed, %u failed\n", r.passed, r.failed);
    return r.failed > 0 ? 1 : 0;
}
