/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel run --dev FILTER.lua`: a configuration for one filter in front of an echo. Before the
 * supervisor runs. */
#ifndef LT_SERVER_DEV_DEMO_H
#define LT_SERVER_DEV_DEMO_H

#include "base/defs.h"

#include <stddef.h>

#define LT_DEV_DEMO_SETTINGS_MAX 64u
#define LT_DEV_DEMO_ADDRESS "127.0.0.1:8080"

struct lt_dev_demo {
    const char *filter;                             /* path of the Lua file */
    const char *listen;                             /* address */
    const char *settings[LT_DEV_DEMO_SETTINGS_MAX]; /* "key=value" */
    size_t n_settings;
};

/* Writes it into memory that a gateway which is started by this process can open at path. False:
 * what is wrong was said on standard error. */
bool lt_dev_demo_write(const struct lt_dev_demo *demo, char *path, size_t size) LT_MUST_CHECK;

#endif
