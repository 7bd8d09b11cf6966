/* SPDX-License-Identifier: Apache-2.0 */
/* Takes texts with expressions apart (template.h). Loader thread. */
#include "config/template.h"

#include "config/source.h"

struct reader {
    struct lt_arena *arena;
    struct lt_diags *diags;
    struct lt_pos pos; /* of the text's first byte */
    struct lt_str text;
    struct lt_template_part parts[LT_TEMPLATE_PARTS_MAX];
    unsigned n;
    bool ok;
};

static struct lt_pos place(const struct reader *r, size_t at)
{
    struct lt_pos pos = r->pos;
    pos.col += lt_source_chars(lt_str_sub(r->text, 0, at));
    return pos;
}

static void add(struct reader *r, size_t at, struct lt_str text, struct lt_expr *expr)
{
    if (expr == NULL && text.len == 0) {
        return;
    }
    if (r->n == LT_TEMPLATE_PARTS_MAX) {
        lt_diag_error(r->diags, place(r, at), "split it into several",
                      "the text has more than %u parts", LT_TEMPLATE_PARTS_MAX);
        r->ok = false;
        return;
    }
    r->parts[r->n++] = (struct lt_template_part){.text = text, .expr = expr};
}

/* Where the expression that begins at `at` ends: at the next brace that stands in no quotes. */
static size_t find_end(struct lt_str text, size_t at)
{
    char quote = '\0';
    for (; at < text.len; at++) {
        char c = text.p[at];
        if (quote != '\0') {
            at += c == '\\' && at + 1 < text.len; /* what it escapes */
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '}') {
            return at;
        }
    }
    return SIZE_MAX;
}

/* The expression whose brace opens at `at`; gives where it is over. */
static size_t read_expr(struct reader *r, size_t at)
{
    size_t end = find_end(r->text, at + 1);
    if (end == SIZE_MAX) {
        lt_diag_error(r->diags, place(r, at), "write {EXPRESSION}, or {{ for a brace",
                      "a `{` is not closed");
        r->ok = false;
        return r->text.len;
    }
    struct lt_expr *expr =
        lt_expr_compile(r->arena, r->diags, place(r, at + 1), lt_str_sub(r->text, at + 1, end));
    r->ok = r->ok && expr != NULL;
    if (expr != NULL) {
        add(r, at, LT_STR_NONE, expr);
    }
    return end + 1;
}

struct lt_template *lt_template_compile(struct lt_arena *arena, struct lt_diags *diags,
                                        struct lt_pos pos, struct lt_str text)
{
    struct reader r = {.arena = arena, .diags = diags, .pos = pos, .text = text, .ok = true};
    size_t at = 0, exprs = 0;
    while (at < text.len && r.ok) {
        size_t open = lt_min(lt_str_chr(text, '{', at), text.len);
        bool brace = open + 1 < text.len && text.p[open + 1] == '{';
        add(&r, at, lt_str_sub(text, at, open + brace), NULL); /* with one brace of two */
        at = brace ? open + 2 : open;
        if (r.ok && !brace && open < text.len) {
            at = read_expr(&r, open);
            exprs++;
        }
    }
    size_t size = r.n * sizeof(struct lt_template_part);
    if (!r.ok) {
        return NULL;
    }
    struct lt_template *t = lt_arena_alloc(arena, sizeof(*t) + size);
    if (t == NULL) {
        lt_diag_error(diags, pos, NULL, "not enough memory for the text");
        return NULL;
    }
    *t = (struct lt_template){.source = text, .n = r.n, .plain = exprs == 0};
    memcpy(t->parts, r.parts, size);
    return t;
}
