/* SPDX-License-Identifier: Apache-2.0 */
/* The lintel program: its commands. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "admin/admin.h"
#include "admin/cmd_control.h"
#include "admin/cmd_limits.h"
#include "admin/cmd_status.h"
#include "base/str.h"
#include "config/reference.h"
#include "filters/filter_tool.h"
#include "filters/test_runner.h"
#include "server/cmd_config.h"
#include "server/dev_demo.h"
#include "server/gateway.h"
#include "server/root_conf.h"
#include "server/supervisor.h"
#include "server/usage.h"

static int usage(FILE *out)
{
    lt_usage_print(out);
    return out == stdout ? 0 : 2;
}

static int cmd_version(int argc, char **argv)
{
    (void)argv;
    puts(PACKAGE_STRING);
    return argc == 1 ? 0 : 2;
}

static int run_usage(void)
{
    fputs("usage: lintel run [-c FILE] [--user NAME] [--core-dumps] [--dev]\n"
          "       lintel run --dev FILTER.lua [--set KEY=VALUE]... [--listen ADDRESS]\n",
          stderr);
    return 2;
}

/* Takes an option of `run --dev FILTER.lua` at argv[*i]; false: it is none. */
static bool demo_option(struct lt_dev_demo *demo, int argc, char **argv, int *i)
{
    if (strcmp(argv[*i], "--set") == 0 && *i + 1 < argc &&
        demo->n_settings < LT_DEV_DEMO_SETTINGS_MAX) {
        demo->settings[demo->n_settings++] = argv[++*i];
    } else if (strcmp(argv[*i], "--listen") == 0 && *i + 1 < argc) {
        demo->listen = argv[++*i];
    } else if (argv[*i][0] != '-' && demo->filter == NULL) {
        demo->filter = argv[*i];
    } else {
        return false;
    }
    return true;
}

static int cmd_run(int argc, char **argv)
{
    struct lt_run_options options = {.config = NULL};
    struct lt_dev_demo demo = {.filter = NULL};
    char path[64];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            options.config = argv[++i];
        } else if (strcmp(argv[i], "--user") == 0 && i + 1 < argc) {
            options.user = argv[++i];
        } else if (strcmp(argv[i], "--dev") == 0) {
            options.dev = true;
        } else if (strcmp(argv[i], "--core-dumps") == 0) {
            options.core_dumps = true;
        } else if (!demo_option(&demo, argc, argv, &i)) {
            return run_usage();
        }
    }
    bool demos = demo.filter != NULL || demo.listen != NULL || demo.n_settings > 0;
    if (demos && (demo.filter == NULL || !options.dev || options.config != NULL)) {
        return run_usage();
    }
    if (demos) {
        demo.listen = demo.listen != NULL ? demo.listen : LT_DEV_DEMO_ADDRESS;
        if (!lt_dev_demo_write(&demo, path, sizeof(path))) {
            return 1;
        }
        options.config = path;
    } else if (options.config == NULL) {
        options.config = lt_cmd_config_path();
    }
    return lt_supervisor_run(&options);
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    return lt_str_to_u64(lt_str_c(text), out) && *out <= max;
}

/* What the supervisor starts; not for people. */
static int cmd_gateway(int argc, char **argv)
{
    struct lt_gateway_options options = {.admin = &lt_admin_ops, .kept = -1};
    uint64_t control = 0, shm = 0, generation = 0, kept = 0, core_dumps = 0, dev = 0;
    bool ok = argc % 2 == 1;
    for (int i = 1; ok && i < argc; i += 2) {
        if (strcmp(argv[i], "--control") == 0) {
            ok = number(argv[i + 1], INT32_MAX, &control);
        } else if (strcmp(argv[i], "--shm") == 0) {
            ok = number(argv[i + 1], INT32_MAX, &shm);
        } else if (strcmp(argv[i], "--generation") == 0) {
            ok = number(argv[i + 1], UINT32_MAX, &generation);
        } else if (strcmp(argv[i], "--core-dumps") == 0) {
            ok = number(argv[i + 1], 1, &core_dumps);
        } else if (strcmp(argv[i], "--dev") == 0) {
            ok = number(argv[i + 1], 1, &dev);
        } else if (strcmp(argv[i], "--kept") == 0) {
            ok = number(argv[i + 1], INT32_MAX, &kept);
            options.kept = (int)kept;
        } else if (strcmp(argv[i], "-c") == 0) {
            options.config = argv[i + 1];
        } else if (strcmp(argv[i], "--user") == 0) {
            options.user = argv[i + 1];
        } else {
            ok = false;
        }
    }
    if (!ok || control == 0 || shm == 0 || generation == 0 || options.config == NULL) {
        fputs("lintel: `gateway` is started by `lintel run`\n", stderr);
        return 2;
    }
    options.control = (int)control;
    options.shm = (int)shm;
    options.generation = (uint32_t)generation;
    options.core_dumps = core_dumps == 1;
    options.dev = dev == 1;
    return lt_gateway_run(&options);
}

static int cmd_help(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "test") == 0) {
        lt_cmd_test_help(stdout);
        return 0;
    }
    if (argc != 2) {
        return argc > 1 ? lt_cmd_help(argc, argv) : usage(stdout);
    }
    /* A name may be that of an option and of a command. */
    if (!lt_usage_command(argv[1], "usage: lintel COMMAND\n\n", stdout)) {
        return lt_cmd_help(argc, argv);
    }
    struct lt_buf out;
    lt_buf_init(&out, (size_t)1 << 20);
    if (lt_config_help(&lt_root_schema, argv[1], NULL, &out)) {
        printf("\nAs an option of the configuration:\n\n%.*s", LT_STR_ARG(lt_buf_view(&out)));
    }
    lt_buf_fini(&out);
    return 0;
}

/* What the running gateway shows lies above what files show. */
static int cmd_show(int argc, char **argv)
{
    bool running = argc > 1 && strcmp(argv[1], "upstreams") == 0;
    return running ? lt_cmd_show_upstreams(argc - 1, argv + 1) : lt_cmd_show(argc, argv);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    bool says; /* by itself which word it does not understand */
} commands[] = {
    {"run", cmd_run, false},
    {"gateway", cmd_gateway, true},
    {"check", lt_cmd_check, false},
    {"show", cmd_show, false},
    {"help", cmd_help, true},
    {"status", lt_cmd_status, false},
    {"drain", lt_cmd_server, false},
    {"maintenance", lt_cmd_server, false},
    {"ready", lt_cmd_server, false},
    {"remove", lt_cmd_server, false},
    {"add", lt_cmd_add, false},
    {"weight", lt_cmd_weight, false},
    {"pause", lt_cmd_pause, false},
    {"resume", lt_cmd_pause, false},
    {"filters", lt_cmd_filters, false},
    {"test", lt_cmd_test, true},
    {"filter", lt_cmd_filter, false},
    {"version", cmd_version, false},
    {"--version", cmd_version, false},
    {"--help", cmd_help, true},
    {"-h", cmd_help, true},
    {"limits", lt_cmd_limits, false},
};

int main(int argc, char **argv)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    for (size_t i = 0; argc > 1 && i < lt_countof(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            int status = commands[i].run(argc - 1, argv + 1);
            if (status == 2 && !commands[i].says) {
                lt_usage_stranger(argc - 1, argv + 1);
            }
            return status;
        }
    }
    if (argc > 1) {
        lt_usage_unknown(argv[1]);
        return 2;
    }
    return usage(stderr);
}
