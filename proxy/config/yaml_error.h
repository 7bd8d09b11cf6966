/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's terse syntax errors as diagnostics at the place where the cure is. Loader thread. */
#ifndef LT_CONFIG_YAML_ERROR_H
#define LT_CONFIG_YAML_ERROR_H

#include "config/load.h"

#include <yaml.h>

/* Says in diags what is wrong after yaml_parser_parse failed on source. */
void lt_yaml_error(struct lt_schema_load *load, const struct lt_source *source,
                   const yaml_parser_t *parser);

/* mark as a place in source. */
struct lt_pos lt_yaml_pos(const struct lt_source *source, const yaml_mark_t *mark);

#endif
