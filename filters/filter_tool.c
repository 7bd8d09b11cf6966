/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel filter` (filter_tool.h). Main thread of a process of its own. */
#include "filters/filter_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "config/reference.h"
#include "filters/filter_doc.h"

#define OUTPUT_MAX ((size_t)4 << 20)
#define NAME_MAX_LEN 64u

static int usage(FILE *out)
{
    fputs("usage: lintel filter doc NAME [--markdown]\n"
          "       lintel filter schema NAME\n"
          "       lintel filter new NAME [FOLDER]\n"
          "\n"
          "doc prints what a filter is for, its settings and an example; schema prints a JSON "
          "Schema\n"
          "of its settings, for editors; new writes a filter that works and its test.\n"
          "NAME of doc and schema is as in a configuration: a shipped filter, or a path.\n",
          out);
    return out == stdout ? 0 : 2;
}

/* Writes out to f and frees it. */
static int put(struct lt_buf *out, FILE *f, int status)
{
    bool ok = !out->truncated && fwrite(out->p != NULL ? out->p : "", 1, out->len, f) == out->len;
    ok = fflush(f) == 0 && ok;
    if (!ok) {
        fputs("lintel: the output could not be written\n", stderr);
    }
    lt_buf_fini(out);
    return ok ? status : 1;
}

/* ---- doc and schema ---- */

enum form { TEXT, MARKDOWN, JSON_SCHEMA };

static int explain(const char *name, enum form form)
{
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_buf out;
    int status = 1;
    lt_arena_init(&arena, NULL, 0, LT_LOAD_ARENA_MAX);
    lt_diags_init(&diags, &arena);
    lt_load_init(&load, &arena, &diags);
    lt_buf_init(&out, OUTPUT_MAX);
    struct lt_filter_file *file = lt_filter_file_describe(&load, lt_str_c(name));
    if (file == NULL) {
        (void)lt_load_ok(&load); /* says when memory was short */
        lt_diags_print(&diags, &out);
        status = put(&out, stderr, 1);
    } else if (form == JSON_SCHEMA) {
        lt_config_json_schema(&file->schema, file->name.p, NULL, &out);
        status = put(&out, stdout, 0);
    } else {
        lt_filter_doc(file, lt_str_c(name), form == MARKDOWN, &out);
        status = put(&out, stdout, 0);
    }
    lt_arena_fini(&arena);
    return status;
}

/* ---- new ---- */

/* `@` stands for the name. */
static const char filter_text[] =
    "-- Says in a header of each response what the settings say. Change this line: it is what\n"
    "-- `lintel filter doc` prints.\n"
    "local M = { group = \"transform\" }\n"
    "\n"
    "M.schema = {\n"
    "  value = { type = \"string\", default = \"hello\", doc = \"What the header says.\" },\n"
    "}\n"
    "\n"
    "function M.response(ctx)\n"
    "  ctx.res.headers[\"x-@\"] = ctx.conf.value\n"
    "end\n"
    "\n"
    "return M\n";

static const char test_text[] = "local t = require \"lintel.test\"\n"
                                "\n"
                                "t.case(\"the response says it\", function()\n"
                                "  local r = t.run(\"@\", { conf = { value = \"hi\" } })\n"
                                "  t.eq(r.status, 200)\n"
                                "  t.eq(r.headers[\"x-@\"], \"hi\")\n"
                                "end)\n"
                                "\n"
                                "t.case(\"without settings it says hello\", function()\n"
                                "  t.eq(t.run(\"@\", {}).headers[\"x-@\"], \"hello\")\n"
                                "end)\n";

/* Header names have no `_`, which passes no server safely. */
static char in_header(char c)
{
    return c == '_' ? '-' : c;
}

static void fill_in(const char *text, const char *name, struct lt_buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text != '@') {
            lt_buf_char(out, *text);
            continue;
        }
        bool header = out->len >= 2 && memcmp(out->p + out->len - 2, "x-", 2) == 0;
        for (const char *p = name; *p != '\0'; p++) {
            lt_buf_char(out, header ? in_header(*p) : *p);
        }
    }
}

/* Writes a file that must not be there. False: said. */
static bool write_new(const char *path, const char *text, const char *name)
{
    struct lt_buf out;
    lt_buf_init(&out, OUTPUT_MAX);
    fill_in(text, name, &out);
    int fd = out.truncated ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write(fd, out.p, out.len) == (ssize_t)out.len;
    int error = errno;
    ok = (fd < 0 || close(fd) == 0) && ok;
    if (!ok) {
        fprintf(stderr, "lintel: %s: %s\n", path,
                error == EEXIST ? "is there already; nothing was written" : strerror(error));
        if (fd >= 0) {
            unlink(path);
        }
    }
    lt_buf_fini(&out);
    return ok;
}

static bool name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && name[n] == '\0' && n <= NAME_MAX_LEN && name[0] >= 'a';
}

static int make_new(const char *name, const char *folder)
{
    char filter[4096], test[4096];
    if (!name_ok(name)) {
        fprintf(stderr, "lintel: a filter's name is made of small letters, digits and '_' and "
                        "begins with a letter\n");
        return 2;
    }
    int n = snprintf(filter, sizeof(filter), "%s/%s.lua", folder, name);
    int m = snprintf(test, sizeof(test), "%s/%s_test.lua", folder, name);
    if (n < 0 || m < 0 || (size_t)m >= sizeof(test)) {
        fprintf(stderr, "lintel: the folder's name is too long\n");
        return 2;
    }
    if (!write_new(filter, filter_text, name)) {
        return 1;
    }
    if (!write_new(test, test_text, name)) {
        unlink(filter);
        return 1;
    }
    printf("wrote %s and %s\n"
           "\n"
           "Try it:            lintel test %s\n"
           "See it:            lintel run --dev %s\n"
           "                   (takes up what you save; ask http://127.0.0.1:8080/)\n"
           "Name an instance:  filters: {%s: {filter: \"%s\"}}\n"
           "                   (a path starts at the folder of the configuration)\n"
           "and use it:        filters: [%s] in a site or a route; then lintel check\n",
           filter, test, test, filter, name, filter, name);
    return 0;
}

int lt_cmd_filter(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        return usage(stdout);
    }
    if (argc < 3 || argv[2][0] == '-') {
        return usage(stderr);
    }
    bool markdown = argc == 4 && strcmp(argv[3], "--markdown") == 0;
    if (strcmp(what, "doc") == 0 && (argc == 3 || markdown)) {
        return explain(argv[2], markdown ? MARKDOWN : TEXT);
    }
    if (strcmp(what, "schema") == 0 && argc == 3) {
        return explain(argv[2], JSON_SCHEMA);
    }
    if (strcmp(what, "new") == 0 && argc <= 4) {
        return make_new(argv[2], argc == 4 ? argv[3] : ".");
    }
    return usage(stderr);
}
