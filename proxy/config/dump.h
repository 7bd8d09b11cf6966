/* SPDX-License-Identifier: Apache-2.0 */
/* The effective configuration as YAML: each value with where it came from, secrets redacted. */
#ifndef LT_CONFIG_DUMP_H
#define LT_CONFIG_DUMP_H

#include "config/schema.h"

#include "base/buf.h"

/* Knows the values of keys without a row. */
struct lt_config_more {
    /* The struct that was read from the keys of conf that are no rows of its schema; NULL: unknown.
     */
    const void *(*find)(void *arg, const struct lt_conf *conf);
    void *arg;
};

/* Appends obj (a struct that was read and finished) to out. level as for lt_schema_read. What
 * stands behind keys without a row (settings of filters) is asked of more (may be NULL), and
 * redacted when it isn't known, since nothing says which are secret. */
void lt_config_show(const void *obj, unsigned level, const struct lt_config_more *more,
                    struct lt_buf *out);

#endif
