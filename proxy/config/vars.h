/* SPDX-License-Identifier: Apache-2.0 */
/* ${VAR}, ${VAR:-default} and ${file:/path} in scalar values; $${ stands for a literal ${. What is
 * put in is one value and never read as YAML. Loader thread. */
#ifndef LT_CONFIG_VARS_H
#define LT_CONFIG_VARS_H

#include "config/load.h"

/* Largest file that ${file:...} reads. */
#define LT_VARS_FILE_MAX ((size_t)1 << 20)

/* Sets node->text and node->substituted from node->raw. What is missing is said in diags, at its
 * place, and leaves the text as written. */
void lt_vars_expand(struct lt_schema_load *load, struct lt_node *node);

#endif
