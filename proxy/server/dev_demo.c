/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration for one filter (dev_demo.h). */
#include "server/dev_demo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"

#define TEXT_MAX ((size_t)1 << 20)
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./%+-"

/* A value as YAML: plain words, lists and maps as they are written, else as a text in quotes. */
static void put_value(struct lt_buf *out, const char *value)
{
    bool plain = value[0] != '\0' && value[strspn(value, PLAIN)] == '\0';
    if (plain || value[0] == '[' || value[0] == '{') {
        lt_buf_add(out, value, strlen(value));
    } else {
        lt_buf_json_str(out, lt_str_c(value));
    }
}

static bool put_setting(struct lt_buf *out, const char *setting)
{
    const char *equals = strchr(setting, '=');
    if (equals == NULL || equals == setting) {
        fprintf(stderr, "lintel: --set %s: write --set KEY=VALUE\n", setting);
        return false;
    }
    lt_buf_printf(out, "    ");
    lt_buf_json_str(out, lt_str(setting, (size_t)(equals - setting)));
    lt_buf_printf(out, ": ");
    put_value(out, equals + 1);
    lt_buf_char(out, '\n');
    return true;
}

static bool put_config(struct lt_buf *out, const struct lt_dev_demo *demo, const char *file)
{
    struct lt_str name = lt_str_c(file);
    name = lt_str_sub(name, lt_str_rchr(name, '/') + 1, name.len);
    if (lt_str_ends(name, LT_STR(".lua"))) {
        name = lt_str_sub(name, 0, name.len - 4);
    }
    lt_buf_printf(out,
                  "lintel: 1\nworkers: 1\nlisten:\n  - {name: dev, address: \"%s\"}\n"
                  "filters:\n  dev_echo: {filter: echo}\n  \"%.*s\":\n    filter: ",
                  demo->listen, LT_STR_ARG(name));
    lt_buf_json_str(out, lt_str_c(file));
    lt_buf_char(out, '\n');
    for (size_t i = 0; i < demo->n_settings; i++) {
        if (!put_setting(out, demo->settings[i])) {
            return false;
        }
    }
    lt_buf_printf(out,
                  "sites:\n  - hosts: [\"*\"]\n    filters: [\"%.*s\", dev_echo]\n    routes:\n"
                  "      - {match: \"/*\", respond: {status: 404}}\n",
                  LT_STR_ARG(name));
    return true;
}

/* The gateway inherits the descriptor. */
static bool keep(struct lt_str text, char *path, size_t size)
{
    int fd = memfd_create("lintel-dev", 0);
    if (fd < 0 || write(fd, text.p, text.len) != (ssize_t)text.len) {
        fprintf(stderr, "lintel: %s\n", strerror(errno));
        return false;
    }
    snprintf(path, size, "/dev/fd/%d", fd);
    return true;
}

bool lt_dev_demo_write(const struct lt_dev_demo *demo, char *path, size_t size)
{
    struct lt_buf text;
    char *file = realpath(demo->filter, NULL);
    if (file == NULL) {
        fprintf(stderr, "lintel: %s: %s\n", demo->filter, strerror(errno));
        return false;
    }
    lt_buf_init(&text, TEXT_MAX);
    bool ok =
        put_config(&text, demo, file) && !text.truncated && keep(lt_buf_view(&text), path, size);
    lt_buf_fini(&text);
    free(file);
    return ok;
}
