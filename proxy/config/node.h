/* SPDX-License-Identifier: Apache-2.0 */
/* The tree that config/yaml.c makes of YAML text: scalars stay text until a schema row types them.
 * Nodes live in the load's arena and never change once read. */
#ifndef LT_CONFIG_NODE_H
#define LT_CONFIG_NODE_H

#include "config/diag.h"

enum lt_node_kind { LT_NODE_SCALAR, LT_NODE_LIST, LT_NODE_MAP };

struct lt_node;

struct lt_node_pair {
    struct lt_node *key; /* a scalar */
    struct lt_node *value;
};

struct lt_node {
    enum lt_node_kind kind;
    struct lt_pos pos;
    struct lt_str text; /* scalar: the value after substitution of ${...}, NUL-terminated */
    struct lt_str raw;  /* scalar: as written */
    bool quoted;        /* scalar: written in quotes or as a block */
    bool substituted;   /* scalar: holds the value of a variable or file; dumps show raw instead */
    bool unresolved;    /* scalar: a variable or file in it is missing, which was said already */
    unsigned last_line; /* scalar: line of its last character */
    bool null;          /* scalar: nothing was written (or null, ~) */
    struct lt_node **items; /* list */
    size_t n_items;
    struct lt_node_pair *pairs; /* map, in order */
    size_t n_pairs;
};

/* The value under key, or NULL. */
struct lt_node *lt_node_get(const struct lt_node *map, const char *key);

#endif
