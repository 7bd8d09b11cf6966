/* SPDX-License-Identifier: Apache-2.0 */
/* The effective configuration as YAML: each value with where it came from, secrets redacted. */
#ifndef LT_CONFIG_DUMP_H
#define LT_CONFIG_DUMP_H

#include "config/schema.h"

#include "base/buf.h"

/* Appends obj (a struct that was read and finished) to out. level as for lt_schema_read. Values of
 * keys without a row (settings of filters) are redacted, since nothing says which are secret. */
void lt_config_show(const void *obj, unsigned level, struct lt_buf *out);

#endif
