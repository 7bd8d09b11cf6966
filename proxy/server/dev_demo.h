/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel run --dev FILTER.lua`: a configuration for one filter in front of an echo. Before the
 * supervisor runs. */
#ifndef LT_SERVER_DEV_DEMO_H
#define LT_SERVER_DEV_DEMO_H

#include "base/str.h"

#include <stddef.h>

#define LT_DEV_DEMO_SETTINGS_MAX 64u
#define LT_DEV_DEMO_ADDRESS "127.0.0.1:8080"

struct lt_schema_load;

struct lt_dev_demo {
    const char *filter;                             /* path of the Lua file */
    const char *listen;                             /* address */
    const char *settings[LT_DEV_DEMO_SETTINGS_MAX]; /* "key=value" */
    size_t n_settings;
};

/* Writes it into memory that a gateway which is started by this process can open at path. False:
 * what is wrong was said on standard error. */
bool lt_dev_demo_write(const struct lt_dev_demo *demo, char *path, size_t size) LT_MUST_CHECK;

/* What a configuration at this path was made by, "lintel run --dev FILTER.lua", in space of
 * LT_DEV_DEMO_COMMAND_MAX bytes; empty if it is a file. */
struct lt_str lt_dev_demo_command(const char *config, char *space);
#define LT_DEV_DEMO_COMMAND_MAX 280u

/* Has messages about a configuration that was written so name the command instead of its lines. The
 * loader's thread. */
void lt_dev_demo_mark(struct lt_schema_load *load);

#endif
