/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the tree of nodes. Any thread. */
#include "config/node.h"

struct lt_node *lt_node_get(const struct lt_node *map, const char *key)
{
    if (map == NULL || map->kind != LT_NODE_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->n_pairs; i++) {
        if (lt_str_eq_c(map->pairs[i].key->text, key)) {
            return map->pairs[i].value;
        }
    }
    return NULL;
}
