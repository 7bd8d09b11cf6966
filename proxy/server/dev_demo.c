/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration for one filter (dev_demo.h). */
#include "server/dev_demo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/load.h"
#include "config/source.h"

#define TEXT_MAX ((size_t)1 << 20)
#define FOLDER "/dev/fd/"
#define COMMAND "lintel run --dev "
#define NAME_SIZE 240 /* of a file in memory: the kernel takes 249 bytes */
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

/* The gateway inherits the descriptor; its name tells what the text was made of. */
static bool keep(const struct lt_dev_demo *demo, struct lt_str text, char *path, size_t size)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), COMMAND "%s", demo->filter);
    int fd = memfd_create(name, 0);
    if (fd < 0 || write(fd, text.p, text.len) != (ssize_t)text.len) {
        fprintf(stderr, "lintel: %s\n", strerror(errno));
        return false;
    }
    snprintf(path, size, FOLDER "%d", fd);
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
    bool ok = put_config(&text, demo, file) && !text.truncated &&
              keep(demo, lt_buf_view(&text), path, size);
    lt_buf_fini(&text);
    free(file);
    return ok;
}

struct lt_str lt_dev_demo_command(const char *config, char *space)
{
    static const char before[] = "/memfd:" COMMAND;
    bool demo = lt_str_starts(lt_str_c(config), LT_STR(FOLDER));
    ssize_t n = demo ? readlink(config, space, LT_DEV_DEMO_COMMAND_MAX) : -1;
    struct lt_str name = lt_str(space, n > 0 ? (size_t)n : 0);
    if (!lt_str_starts(name, lt_str_c(before))) {
        return LT_STR_NONE;
    }
    return lt_str_sub(name, sizeof("/memfd:") - 1, lt_str_rchr(name, '(') - 1);
}

void lt_dev_demo_mark(struct lt_schema_load *load)
{
    char space[LT_DEV_DEMO_COMMAND_MAX];
    lt_list_each(it, tmp, &load->sources)
    {
        struct lt_source *source = lt_container_of(it, struct lt_source, link);
        struct lt_str command = lt_dev_demo_command(source->name.p, space);
        if (command.len > 0 && lt_arena_dup(load->arena, command, &source->shown)) {
            source->advice = LT_STR("a setting is given as --set KEY=VALUE, the address as "
                                    "--listen ADDRESS");
        }
    }
}
