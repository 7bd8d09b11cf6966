/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text to nodes, by libyaml's events. Strict: no duplicate keys, anchors, aliases, merge keys,
 * tags, second documents or depth over LT_YAML_DEPTH_MAX. Loader thread. */
#ifndef LT_CONFIG_YAML_H
#define LT_CONFIG_YAML_H

#include "config/load.h"

#define LT_YAML_DEPTH_MAX 32u

/* Reads source. NULL after a syntax error (load->syntax is set) or without memory. An empty file is
 * an empty mapping. */
struct lt_node *lt_yaml_read(struct lt_schema_load *load, const struct lt_source *source);

#endif
