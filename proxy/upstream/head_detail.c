/* SPDX-License-Identifier: Apache-2.0 */
/* What was wrong with a response's head, as text. */
#include "upstream/head_detail.h"

#include "http/blame.h"

/* A field, or the line that it stands in. */
static struct lt_str field_text(struct lt_arena *arena, const struct lt_blame *blame)
{
    struct lt_str text = LT_STR_NONE;
    bool ok = blame->name.len > 0
                  ? lt_arena_printf(arena, &text, "field %.*s", LT_STR_ARG(blame->name))
                  : lt_arena_printf(arena, &text, "line %u", blame->line);
    return ok ? text : LT_STR_NONE;
}

static struct lt_str too_large(struct lt_arena *arena, const struct lt_upstream *u, size_t bytes,
                               const struct lt_blame *largest)
{
    struct lt_str text = LT_STR_NONE, field = field_text(arena, largest);
    bool by_bytes = bytes > u->head_max;
    struct lt_str place = by_bytes ? u->places.head_max : u->places.headers_max;
    if (!lt_arena_printf(
            arena, &text, "more than the %zu %s of %.*s; the largest is %.*s with %zu bytes",
            by_bytes ? u->head_max : (size_t)u->headers_max, by_bytes ? "bytes" : "fields",
            LT_STR_ARG(place), LT_STR_ARG(field), largest->bytes)) {
        return LT_STR_NONE;
    }
    return text;
}

static struct lt_str broken_rule(struct lt_arena *arena, enum lt_cause rule,
                                 const struct lt_blame *blame)
{
    const char *name = lt_cause_info(rule)->name;
    struct lt_str text = LT_STR_NONE;
    bool ok;
    if (blame->name.len > 0) {
        ok = lt_arena_printf(arena, &text, "%s: %.*s", name, LT_STR_ARG(blame->name));
    } else if (blame->line > 0) {
        ok = lt_arena_printf(arena, &text, "%s: line %u", name, blame->line);
    } else {
        ok = lt_arena_printf(arena, &text, "%s", name);
    }
    return ok ? text : LT_STR_NONE;
}

static bool is_ours(enum lt_cause rule)
{
    return rule == LT_CAUSE_NONE || rule == LT_CAUSE_OUT_OF_MEMORY;
}

struct lt_str lt_head_detail_h1(struct lt_arena *arena, const struct lt_upstream *u,
                                enum lt_cause rule, struct lt_str head)
{
    if (is_ours(rule)) {
        return LT_STR_NONE;
    }
    if (rule == LT_CAUSE_HEAD_TOO_LARGE) {
        const struct lt_blame largest = lt_blame_largest(head);
        return too_large(arena, u, head.len, &largest);
    }
    const struct lt_blame blame =
        head.len > 0 ? lt_blame_rule(head, rule) : (struct lt_blame){.line = 0};
    return broken_rule(arena, rule, &blame);
}

struct lt_str lt_head_detail_h2(struct lt_arena *arena, const struct lt_upstream *u,
                                const struct lt_h2_block *block)
{
    struct lt_str name = block->broken, plain = name;
    if (name.len > 0 && name.p[0] == ':') {
        plain = lt_str_sub(name, 1, name.len);
    }
    struct lt_blame blame = {.name = lt_header_name_ok(plain) ? name : LT_STR_NONE,
                             .bytes = block->broken_size};
    if (is_ours(block->rule)) {
        return LT_STR_NONE;
    }
    if (block->rule != LT_CAUSE_HEAD_TOO_LARGE) {
        return broken_rule(arena, block->rule, &blame);
    }
    for (unsigned i = 0; i < block->headers->n; i++) {
        const struct lt_header *h = &block->headers->v[i];
        if (h->name.len + h->value.len + 4 > blame.bytes) {
            blame = (struct lt_blame){.name = h->name, .bytes = h->name.len + h->value.len + 4};
        }
    }
    return too_large(arena, u, block->size, &blame);
}
