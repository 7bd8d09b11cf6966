/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns into a site's tree of path segments, and the routes of each pattern in order of how
 * specific they are; what ties is said. Loader thread. */
#include <stdlib.h>

#include "route/build_impl.h"

static struct lt_route_node *new_node(struct lt_route_build *b)
{
    struct lt_route_node *node = lt_arena_new(b->arena, struct lt_route_node);
    if (node == NULL) {
        lt_route_nomem(b);
        return NULL;
    }
    node->space = b->n_spaces++;
    return node;
}

static struct lt_route_node *child_of(struct lt_route_build *b, struct lt_route_node *node,
                                      const struct lt_pattern_segment *segment)
{
    struct lt_route_node *child =
        segment->param ? node->any
                       : lt_route_table_get(&b->router->table, node->space, segment->text);
    if (child != NULL) {
        return child;
    }
    child = new_node(b);
    if (child != NULL && segment->param) {
        node->any = child;
    } else if (child != NULL) {
        lt_route_table_add(&b->router->table, node->space, segment->text, child);
        node->has_literals = true;
    }
    return child;
}

/* The place of regular expressions that begin with this text; those with longer ones come first. */
static struct lt_route_node *regexes_of(struct lt_route_build *b, struct lt_route_site *site,
                                        const struct lt_route_compiled *c)
{
    struct lt_str literal = c->pattern.literal;
    struct lt_route_regexes **at = &site->regexes, *made;
    if (site->n_regexes++ == LT_ROUTE_REGEXES_MAX) {
        lt_diag_error(b->diags, c->pos,
                      "they are asked one after the other; use paths where you can",
                      "more than %u regular expressions in one site", LT_ROUTE_REGEXES_MAX);
    }
    while (*at != NULL &&
           ((*at)->literal.len > literal.len ||
            ((*at)->literal.len == literal.len && !lt_str_eq((*at)->literal, literal)))) {
        at = &(*at)->next;
    }
    if (*at != NULL && lt_str_eq((*at)->literal, literal)) {
        return &(*at)->node;
    }
    made = lt_arena_new(b->arena, struct lt_route_regexes);
    if (made == NULL) {
        lt_route_nomem(b);
        return NULL;
    }
    made->literal = literal;
    made->node.space = b->n_spaces++;
    made->next = *at;
    *at = made;
    return &made->node;
}

void lt_route_add_to_tree(struct lt_route_build *b, struct lt_route_site *site,
                          struct lt_route_compiled *c)
{
    struct lt_route_node *node = c->pattern.regex != NULL ? regexes_of(b, site, c) : &site->root;
    for (unsigned i = 0; i < c->pattern.n_segments && node != NULL && c->pattern.regex == NULL;
         i++) {
        node = child_of(b, node, &c->pattern.segments[i]);
    }
    c->node = node;
    if (node != NULL) {
        b->compiled[b->n_compiled++] = c;
    }
}

/* ---- order ---- */

/* The more specific one first. Zero: they tie, if their methods overlap. */
static int compare_rank(const struct lt_route_compiled *a, const struct lt_route_compiled *b)
{
    if (a->node != b->node) {
        return a->node->space < b->node->space ? -1 : 1;
    }
    if (a->pattern.prefix != b->pattern.prefix) {
        return a->pattern.prefix ? 1 : -1;
    }
    if ((a->methods != 0) != (b->methods != 0)) {
        return a->methods != 0 ? -1 : 1;
    }
    if (a->terms != b->terms) {
        return a->terms > b->terms ? -1 : 1;
    }
    return a->priority > b->priority ? -1 : a->priority < b->priority;
}

static int compare(const void *a, const void *b)
{
    const struct lt_route_compiled *x = *(struct lt_route_compiled *const *)a;
    const struct lt_route_compiled *y = *(struct lt_route_compiled *const *)b;
    int rank = compare_rank(x, y);
    if (rank == 0) {
        rank = x->route->index < y->route->index ? -1 : 1;
    }
    return rank;
}

/* Two different regular expressions tie as well: whether a path can match both is not looked into.
 */
static void say_tie(struct lt_route_build *b, const struct lt_route_compiled *c,
                    const struct lt_route_compiled *other)
{
    if (c->pattern.regex != NULL && !lt_str_eq(c->pattern.path, other->pattern.path)) {
        lt_route_say_both(b, c->pos, other->pos,
                          "and another regex with the same beginning may take the same requests",
                          c->pattern.path,
                          "give one a `priority`, or write more literal text after its `^`");
        return;
    }
    lt_route_say_both(b, c->pos, other->pos, "and another route take the same requests",
                      c->pattern.regex != NULL ? c->pattern.path : c->conf->match.path,
                      "give them different methods or `when`, or one a `priority`");
}

/* Says which of the routes [from, to), equal in rank, take the same requests. */
static void check_ties(struct lt_route_build *b, unsigned from, unsigned to)
{
    uint32_t seen = 0;
    for (unsigned i = from; i < to; i++) {
        const struct lt_route_compiled *c = b->compiled[i];
        uint32_t methods = c->methods != 0 ? c->methods : UINT32_MAX;
        if ((seen & methods) != 0) {
            unsigned j = from;
            while (b->compiled[j]->methods != 0 && (b->compiled[j]->methods & methods) == 0) {
                j++;
            }
            say_tie(b, c, b->compiled[j]);
        }
        seen |= methods;
    }
}

void lt_route_order(struct lt_route_build *b)
{
    qsort(b->compiled, b->n_compiled, sizeof(struct lt_route_compiled *), compare);
    for (unsigned i = 0, to; i < b->n_compiled; i = to) {
        for (to = i + 1;
             to < b->n_compiled && compare_rank(b->compiled[i], b->compiled[to]) == 0;) {
            to++;
        }
        check_ties(b, i, to);
    }
    for (unsigned i = b->n_compiled; i > 0; i--) {
        struct lt_route_compiled *c = b->compiled[i - 1];
        struct lt_route_compiled **first = c->pattern.prefix ? &c->node->prefix : &c->node->exact;
        c->next = *first;
        *first = c;
    }
}
