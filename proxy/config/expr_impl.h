/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form of expressions: a tree in one array, shared by compiler and evaluator. Not for
 * others. */
#ifndef LT_CONFIG_EXPR_IMPL_H
#define LT_CONFIG_EXPR_IMPL_H

#include "base/addr.h"
#include "config/expr.h"
#include "config/regex.h"

/* Limits of one expression; they bound the steps of an evaluation too. */
#define LT_EXPR_TEXT_MAX 4096u
#define LT_EXPR_NODES_MAX 256u
#define LT_EXPR_DEPTH_MAX 32u

enum lt_expr_op {
    LT_EXPR_OP_NAME,   /* name, text = key */
    LT_EXPR_OP_TEXT,   /* literal: text */
    LT_EXPR_OP_NUMBER, /* literal: number */
    LT_EXPR_OP_BOOL,   /* literal: number 0 or 1 */
    LT_EXPR_OP_EQ,
    LT_EXPR_OP_NE,
    LT_EXPR_OP_MATCH,   /* left ~ regex */
    LT_EXPR_OP_IN,      /* left in items */
    LT_EXPR_OP_IN_NET,  /* left in nets: the literals are blocks of addresses */
    LT_EXPR_OP_IN_NAME, /* left is a member of right, a name */
    LT_EXPR_OP_AND,
    LT_EXPR_OP_OR,
    LT_EXPR_OP_NOT
};

struct lt_expr_node {
    enum lt_expr_op op;
    enum lt_expr_name name;
    uint16_t left, right; /* indices of the operands */
    struct lt_str text;
    int64_t number;
    const struct lt_regex *regex;
    const struct lt_expr_node *items; /* of IN: literals */
    const struct lt_cidr *nets;       /* of IN_NET */
    size_t n_items;
};

struct lt_expr {
    struct lt_str source;
    const struct lt_expr_node *nodes;
    uint16_t root, n_nodes;
    unsigned terms;
};

#endif
