/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluates compiled expressions. No memory is allocated, depth and size are limited by the
 * compiler. Any thread. */
#include "config/expr_impl.h"

#include <stdio.h>

#include "base/members.h"

enum kind { ABSENT, TEXT, NUMBER, BOOL };

struct value {
    enum kind kind;
    struct lt_str text;
    int64_t number;
};

struct eval {
    const struct lt_expr *expr;
    lt_expr_get_fn get;
    void *source;
    bool *failed; /* NULL: nobody asks */
};

static struct value run(const struct eval *e, uint16_t at);

static struct value truth(bool b)
{
    return (struct value){.kind = BOOL, .number = b};
}

/* Absent and false are false; a text is true even when it is empty: it is there. */
static bool is_true(const struct value *v)
{
    return v->kind != ABSENT && (v->kind != BOOL || v->number != 0);
}

/* A value as a number, for comparing a text from the request with a number literal. */
static bool to_number(const struct value *v, int64_t *out)
{
    uint64_t u;
    if (v->kind == NUMBER || v->kind == BOOL) {
        *out = v->number;
        return true;
    }
    struct lt_str digits = v->text;
    bool negative = digits.len > 0 && digits.p[0] == '-';
    if (v->kind != TEXT || !lt_str_to_u64(lt_str_sub(digits, negative, digits.len), &u) ||
        u > INT64_MAX) {
        return false;
    }
    *out = negative ? -(int64_t)u : (int64_t)u;
    return true;
}

static bool equal(const struct value *a, const struct value *b)
{
    int64_t x, y;
    if (a->kind == ABSENT || b->kind == ABSENT) {
        return false;
    }
    if (a->kind == TEXT && b->kind == TEXT) {
        return lt_str_eq(a->text, b->text);
    }
    if ((a->kind == BOOL) != (b->kind == BOOL)) {
        return false;
    }
    return to_number(a, &x) && to_number(b, &y) && x == y;
}

static struct value literal(const struct lt_expr_node *node)
{
    switch (node->op) {
    case LT_EXPR_OP_TEXT:
        return (struct value){.kind = TEXT, .text = node->text};
    case LT_EXPR_OP_NUMBER:
        return (struct value){.kind = NUMBER, .number = node->number};
    case LT_EXPR_OP_BOOL:
        return truth(node->number != 0);
    case LT_EXPR_OP_NAME:
    case LT_EXPR_OP_EQ:
    case LT_EXPR_OP_NE:
    case LT_EXPR_OP_MATCH:
    case LT_EXPR_OP_IN:
    case LT_EXPR_OP_IN_NET:
    case LT_EXPR_OP_IN_NAME:
    case LT_EXPR_OP_AND:
    case LT_EXPR_OP_OR:
    case LT_EXPR_OP_NOT:
        break;
    }
    return (struct value){.kind = ABSENT};
}

static bool is_in(const struct lt_expr_node *node, const struct value *v)
{
    for (size_t i = 0; i < node->n_items; i++) {
        struct value item = literal(&node->items[i]);
        if (equal(v, &item)) {
            return true;
        }
    }
    return false;
}

static bool is_in_net(const struct lt_expr_node *node, const struct value *v)
{
    struct lt_addr addr;
    if (v->kind != TEXT || lt_addr_parse_ip(v->text, &addr) != LT_OK) {
        return false;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        if (lt_cidr_has(&node->nets[i], &addr)) {
            return true;
        }
    }
    return false;
}

static struct value get_name(const struct eval *e, const struct lt_expr_node *node)
{
    struct value v = {.kind = TEXT};
    if (!e->get(e->source, node->name, node->text, &v.text)) {
        v.kind = ABSENT;
    }
    return v;
}

static struct value run_pair(const struct eval *e, const struct lt_expr_node *node)
{
    struct value left = run(e, node->left);
    if (node->op == LT_EXPR_OP_AND) {
        return is_true(&left) ? run(e, node->right) : truth(false);
    }
    if (node->op == LT_EXPR_OP_OR) {
        return is_true(&left) ? left : run(e, node->right);
    }
    struct value right = run(e, node->right);
    return truth(equal(&left, &right) == (node->op == LT_EXPR_OP_EQ));
}

static struct value run_match(const struct eval *e, const struct lt_expr_node *node)
{
    struct value left = run(e, node->left);
    enum lt_regex_result result =
        left.kind == TEXT ? lt_regex_match(node->regex, left.text, NULL, 0) : LT_REGEX_NO;
    if (result == LT_REGEX_FAILED && e->failed != NULL) {
        *e->failed = true;
    }
    return truth(result == LT_REGEX_YES);
}

static struct value run_member(const struct eval *e, const struct lt_expr_node *node)
{
    struct value left = run(e, node->left), right = run(e, node->right);
    return truth(left.kind == TEXT && right.kind == TEXT && lt_members_have(right.text, left.text));
}

static struct value run(const struct eval *e, uint16_t at)
{
    const struct lt_expr_node *node = &e->expr->nodes[at];
    struct value left;
    switch (node->op) {
    case LT_EXPR_OP_NAME:
        return get_name(e, node);
    case LT_EXPR_OP_TEXT:
    case LT_EXPR_OP_NUMBER:
    case LT_EXPR_OP_BOOL:
        return literal(node);
    case LT_EXPR_OP_EQ:
    case LT_EXPR_OP_NE:
    case LT_EXPR_OP_AND:
    case LT_EXPR_OP_OR:
        return run_pair(e, node);
    case LT_EXPR_OP_MATCH:
        return run_match(e, node);
    case LT_EXPR_OP_IN:
        left = run(e, node->left);
        return truth(is_in(node, &left));
    case LT_EXPR_OP_IN_NET:
        left = run(e, node->left);
        return truth(is_in_net(node, &left));
    case LT_EXPR_OP_IN_NAME:
        return run_member(e, node);
    case LT_EXPR_OP_NOT:
        left = run(e, node->left);
        return truth(!is_true(&left));
    }
    return (struct value){.kind = ABSENT};
}

bool lt_expr_test(const struct lt_expr *expr, lt_expr_get_fn get, void *source, bool *failed)
{
    const struct eval e = {.expr = expr, .get = get, .source = source, .failed = failed};
    struct value v = run(&e, expr->root);
    return is_true(&v);
}

/* ---- what it says of the path ---- */

enum { ASKS_PATH = 1, ASKS_OTHER = 2 };

static bool is_path(const struct lt_expr_node *node)
{
    return node->op == LT_EXPR_OP_NAME &&
           (node->name == LT_EXPR_PATH || node->name == LT_EXPR_PATH_PARAM);
}

/* What the names at and below a node ask for. */
static unsigned asks(const struct lt_expr *expr, uint16_t at)
{
    const struct lt_expr_node *node = &expr->nodes[at];
    switch (node->op) {
    case LT_EXPR_OP_NAME:
        return is_path(node) ? ASKS_PATH : ASKS_OTHER;
    case LT_EXPR_OP_TEXT:
    case LT_EXPR_OP_NUMBER:
    case LT_EXPR_OP_BOOL:
        return 0;
    case LT_EXPR_OP_EQ:
    case LT_EXPR_OP_NE:
    case LT_EXPR_OP_IN_NAME:
    case LT_EXPR_OP_AND:
    case LT_EXPR_OP_OR:
        return asks(expr, node->left) | asks(expr, node->right);
    case LT_EXPR_OP_MATCH:
    case LT_EXPR_OP_IN:
    case LT_EXPR_OP_IN_NET:
    case LT_EXPR_OP_NOT:
        return asks(expr, node->left);
    }
    return 0;
}

/* Whether a node is a term: compares, or asks whether a name is there. */
static bool is_term(const struct lt_expr_node *node)
{
    switch (node->op) {
    case LT_EXPR_OP_NAME:
    case LT_EXPR_OP_EQ:
    case LT_EXPR_OP_NE:
    case LT_EXPR_OP_MATCH:
    case LT_EXPR_OP_IN:
    case LT_EXPR_OP_IN_NET:
    case LT_EXPR_OP_IN_NAME:
        return true;
    case LT_EXPR_OP_TEXT:
    case LT_EXPR_OP_NUMBER:
    case LT_EXPR_OP_BOOL:
    case LT_EXPR_OP_AND:
    case LT_EXPR_OP_OR:
    case LT_EXPR_OP_NOT:
        break;
    }
    return false;
}

bool lt_expr_asks_path(const struct lt_expr *expr)
{
    return (asks(expr, expr->root) & ASKS_PATH) != 0;
}

bool lt_expr_path_terms(const struct lt_expr *expr, lt_expr_get_fn get, void *source,
                        struct lt_expr_path_terms *out)
{
    bool failed = false;
    const struct eval e = {.expr = expr, .get = get, .source = source, .failed = &failed};
    _Static_assert(sizeof(out->bits) * 8 >= LT_EXPR_NODES_MAX, "a bit for each node");
    *out = (struct lt_expr_path_terms){{0}};
    for (uint16_t i = 0; i < expr->n_nodes && !failed; i++) {
        unsigned of = is_term(&expr->nodes[i]) ? asks(expr, i) : 0;
        if ((of & ASKS_PATH) != 0) {
            struct value v = run(&e, i);
            out->bits[i / 64] |= (uint64_t)is_true(&v) << (i % 64);
            failed |= (of & ASKS_OTHER) != 0;
        }
    }
    return !failed;
}

enum lt_expr_kind lt_expr_value(const struct lt_expr *expr, lt_expr_get_fn get, void *source,
                                char scratch[LT_EXPR_SCRATCH], struct lt_str *out, bool *failed)
{
    const struct eval e = {.expr = expr, .get = get, .source = source, .failed = failed};
    struct value v = run(&e, expr->root);
    if (v.kind == ABSENT) {
        return LT_EXPR_ABSENT;
    }
    if (v.kind == BOOL) {
        *out = v.number != 0 ? LT_STR("true") : LT_STR("false");
        return LT_EXPR_BOOL;
    }
    if (v.kind == TEXT) {
        *out = v.text;
    } else {
        int n = snprintf(scratch, LT_EXPR_SCRATCH, "%lld", (long long)v.number);
        *out = lt_str(scratch, (size_t)n);
    }
    return LT_EXPR_TEXT;
}

bool lt_expr_text(const struct lt_expr *expr, lt_expr_get_fn get, void *source,
                  char scratch[LT_EXPR_SCRATCH], struct lt_str *out)
{
    return lt_expr_value(expr, get, source, scratch, out, NULL) != LT_EXPR_ABSENT;
}

unsigned lt_expr_terms(const struct lt_expr *expr)
{
    return expr->terms;
}

struct lt_str lt_expr_source(const struct lt_expr *expr)
{
    return expr->source;
}
