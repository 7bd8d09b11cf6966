/* SPDX-License-Identifier: Apache-2.0 */
/* lintel check, show and help. Main thread of a process of its own. */
#include "server/cmd_config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cause.h"
#include "config/dump.h"
#include "config/reference.h"
#include "filters/api.h"
#include "filters/filter_json.h"
#include "filters/program.h"
#include "server/privileges.h"
#include "server/root_conf.h"
#include "upstream/presets.h"

#define OUTPUT_MAX ((size_t)64 << 20)

enum { EXIT_WELL = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2 };

const char *lt_cmd_config_path(void)
{
    const char *path = getenv("LINTEL_CONFIG");
    return path != NULL && path[0] != '\0' ? path : LT_CONFIG_FILE;
}

static int usage(const char *text)
{
    fprintf(stderr, "usage: lintel %s\n", text);
    return EXIT_USAGE;
}

/* Writes out to f, frees it, and gives status, or EXIT_ERRORS when it could not be written whole.
 */
static int put(struct lt_buf *out, FILE *f, int status)
{
    bool ok = !out->truncated && fwrite(out->p != NULL ? out->p : "", 1, out->len, f) == out->len;
    ok = fflush(f) == 0 && ok;
    if (!ok) {
        fputs("lintel: the output could not be written\n", stderr);
    }
    lt_buf_fini(out);
    return ok ? status : EXIT_ERRORS;
}

/* What check and show config take. */
struct options {
    const char *path;
    bool json;
    const char *user; /* NULL: who we are */
};

/* -c FILE, and for check --json and --user NAME, from argv, which has nothing else. */
static bool options(int argc, char **argv, bool check, struct options *out)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"user", required_argument, NULL, 'u'},
                                          {0}};
    int c;
    *out = (struct options){.path = lt_cmd_config_path()};
    optind = 1;
    while ((c = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
        if (c == 'c') {
            out->path = optarg;
        } else if (c == 'j' && check) {
            out->json = true;
        } else if (c == 'u' && check) {
            out->user = optarg;
        } else {
            return false;
        }
    }
    return optind == argc;
}

static struct lt_root_load *load(const char *path)
{
    struct lt_root_load *root = lt_root_load_file(NULL, path);
    if (root == NULL) {
        fputs("lintel: out of memory\n", stderr);
    }
    return root;
}

/* Acts as the user that the gateway will run as. */
static bool act_as(const char *name)
{
    struct lt_user user;
    if (name == NULL) {
        return true;
    }
    if (lt_user_find(name, &user) != LT_OK) {
        fprintf(stderr, "lintel: there is no user \"%s\"\n", name);
        return false;
    }
    if (lt_privileges_lend(&user) != LT_OK) {
        fprintf(stderr, "lintel: can't act as %s: %s\n", name, strerror(errno));
        return false;
    }
    return true;
}

/* Reads and checks all that can be. As with `run --user`, the user reads and logs, and who starts
 * us makes the sockets. NULL: said. */
static struct lt_root_load *check(const struct options *o)
{
    struct lt_root_load *root = act_as(o->user) ? load(o->path) : NULL;
    if (root != NULL) {
        lt_root_check_files(root);
        lt_root_check_places(root, LT_PLACES_FILES);
        lt_privileges_return();
        lt_root_check_places(root, LT_PLACES_SOCKETS | LT_PLACES_SOCKETS_OURS);
    }
    return root;
}

int lt_cmd_check(int argc, char **argv)
{
    struct options o;
    struct lt_buf out;
    if (!options(argc, argv, true, &o)) {
        return usage("check [-c FILE] [--user NAME] [--json]");
    }
    struct lt_root_load *root = check(&o);
    if (root == NULL) {
        return EXIT_ERRORS;
    }
    lt_buf_init(&out, OUTPUT_MAX);
    int status = root->conf != NULL ? EXIT_WELL : EXIT_ERRORS;
    if (o.json) {
        lt_diags_json(&root->diags, &out);
        status = put(&out, stdout, status);
    } else {
        lt_diags_print(&root->diags, &out);
        status = put(&out, stderr, status);
        if (status == EXIT_WELL) {
            printf("%s: ok\n", o.path);
        }
    }
    lt_root_load_free(root);
    return status;
}

struct settings {
    const struct lt_root_load *root;
    const struct lt_filter_program *program;
};

/* The settings of the filter instance that conf is of. */
static const void *find_settings(void *arg, const struct lt_conf *conf)
{
    const struct settings *s = arg;
    const struct lt_conf_map *filters = &s->root->conf->filters;
    for (size_t i = 0; i < filters->n; i++) {
        if (filters->entries[i].value == conf) {
            const struct lt_filter_instance *instance =
                lt_filter_program_find(s->program, filters->entries[i].key);
            return instance != NULL ? instance->settings : NULL;
        }
    }
    return NULL;
}

static int show_config(int argc, char **argv)
{
    struct options o;
    struct lt_buf out;
    int status = EXIT_WELL;
    if (!options(argc, argv, false, &o)) {
        return usage("show config [-c FILE]");
    }
    struct lt_root_load *root = load(o.path);
    if (root == NULL) {
        return EXIT_ERRORS;
    }
    if (root->conf == NULL) {
        lt_root_check_files(root); /* all errors at once */
    }
    lt_buf_init(&out, OUTPUT_MAX);
    struct settings settings = {.root = root};
    if (root->conf != NULL && root->conf->filters.n > 0) {
        settings.program = lt_filter_program_new(&root->load, &root->conf->filters, false);
    }
    if (root->conf != NULL && lt_load_ok(&root->load)) {
        const struct lt_config_more more = {.find = find_settings, .arg = &settings};
        lt_config_show(root->conf, 0, &more, &out);
        status = put(&out, stdout, EXIT_WELL);
    } else {
        lt_diags_print(&root->diags, &out);
        status = put(&out, stderr, EXIT_ERRORS);
    }
    lt_root_load_free(root);
    return status;
}

/* The JSON Schema, with the settings of the filters that are installed here. */
static int show_schema(void)
{
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_filter_json filters;
    struct lt_buf out;
    lt_arena_init(&arena, NULL, 0, LT_LOAD_ARENA_MAX);
    lt_diags_init(&diags, &arena);
    lt_load_init(&load, &arena, &diags);
    lt_buf_init(&out, OUTPUT_MAX);
    int status = EXIT_WELL;
    if (lt_filter_json_load(&filters, &load)) {
        const struct lt_json_schema_more more = {&lt_filter_schema, lt_filter_json_add, &filters};
        lt_config_json_schema(&lt_root_schema, "Lintel configuration", &more, &out);
        status = put(&out, stdout, EXIT_WELL);
    } else {
        lt_diags_print(&diags, &out);
        status = put(&out, stderr, EXIT_ERRORS);
    }
    lt_arena_fini(&arena);
    return status;
}

int lt_cmd_show(int argc, char **argv)
{
    struct lt_buf out;
    struct lt_str what = lt_str_c(argc > 1 ? argv[1] : "");
    lt_buf_init(&out, OUTPUT_MAX);
    if (lt_str_eq_c(what, "config")) {
        return show_config(argc - 1, argv + 1);
    }
    if (argc == 2 && lt_str_eq_c(what, "schema")) {
        return show_schema();
    }
    if (argc == 2 && lt_str_eq_c(what, "reference")) {
        lt_config_reference(&lt_root_schema, &out);
        return put(&out, stdout, EXIT_WELL);
    }
    if (argc == 2 && lt_str_eq_c(what, "causes")) {
        lt_cause_manual(&out);
        return put(&out, stdout, EXIT_WELL);
    }
    if (argc == 2 && lt_str_eq_c(what, "presets")) {
        lt_preset_manual(&out);
        return put(&out, stdout, EXIT_WELL);
    }
    bool lua = argc == 3 && strcmp(argv[2], "--lua") == 0;
    if ((argc == 2 || lua) && lt_str_eq_c(what, "api")) {
        (lua ? lt_api_definitions : lt_api_markdown)(&out);
        return put(&out, stdout, EXIT_WELL);
    }
    return usage("show config [-c FILE] | schema | reference | causes | presets | api [--lua] | "
                 "upstreams");
}

int lt_cmd_help(int argc, char **argv)
{
    struct lt_buf out;
    bool preset = argc > 1 && strcmp(argv[1], "preset") == 0;
    if (argc != 2 && !(preset && argc == 3)) {
        return usage("help OPTION | CAUSE | preset [NAME], as in: lintel help upstreams.*.balance");
    }
    lt_buf_init(&out, OUTPUT_MAX);
    if (preset && argc == 3) {
        bool known = lt_preset_help(argv[2], &out);
        return put(&out, known ? stdout : stderr, known ? EXIT_WELL : EXIT_USAGE);
    }
    bool found = lt_cause_help(argv[1], &out) ||
                 lt_config_help(&lt_root_schema, argv[1], lt_cause_closest(argv[1]), &out);
    if (preset && found) {
        lt_buf_str(&out, LT_STR("\nThere are these; `lintel help preset NAME` says what one sets "
                                "and why:\n"));
        lt_preset_list(&out);
    }
    return put(&out, found ? stdout : stderr, found ? EXIT_WELL : EXIT_USAGE);
}
