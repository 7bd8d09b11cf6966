/* SPDX-License-Identifier: Apache-2.0 */
/* Collects and prints what is wrong with a configuration. Loader thread. */
#include "config/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/redact.h"
#include "config/source.h"

#define KEEP_MAX 200
/* Characters of a source line that are shown; of a longer one, the part around the caret. */
#define LINE_SHOWN 120u

void lt_diags_init(struct lt_diags *diags, struct lt_arena *arena)
{
    *diags = (struct lt_diags){.arena = arena, .max = KEEP_MAX};
    lt_list_init(&diags->list);
    lt_list_init(&diags->masks);
}

/* Passwords of addresses and URLs don't get into messages. */
static bool copy(struct lt_diags *diags, struct lt_str text, struct lt_str *out)
{
    struct lt_buf buf;
    char space[2048];
    size_t done = 0, from = 0, to;
    if (!lt_redact_userinfo(text, &from, &to)) {
        return lt_arena_dup(diags->arena, text, out);
    }
    lt_buf_init_fixed(&buf, space, sizeof(space));
    do {
        lt_buf_str(&buf, lt_str_sub(text, done, from));
        lt_buf_str(&buf, LT_STR("<redacted>"));
        done = from = to;
    } while (lt_redact_userinfo(text, &from, &to));
    lt_buf_str(&buf, lt_str_sub(text, done, text.len));
    return lt_arena_dup(diags->arena, lt_buf_view(&buf), out);
}

static void add(struct lt_diags *diags, enum lt_severity severity, struct lt_pos pos,
                const char *hint, const char *fmt, va_list ap)
{
    char text[1024];
    if (severity == LT_SEV_ERROR) {
        diags->errors++;
    } else {
        diags->warnings++;
    }
    if (diags->errors + diags->warnings - diags->lost > diags->max) {
        diags->lost++;
        return;
    }
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    struct lt_diag *diag = lt_arena_new(diags->arena, struct lt_diag);
    if (n < 0 || diag == NULL ||
        !copy(diags, lt_str(text, lt_min((size_t)n, sizeof(text) - 1)), &diag->message) ||
        !copy(diags, lt_str_c(hint), &diag->hint)) {
        diags->lost++;
        return;
    }
    diag->severity = severity;
    diag->pos = pos;
    lt_list_push_back(&diags->list, &diag->link);
}

void lt_diag_error(struct lt_diags *diags, struct lt_pos pos, const char *hint, const char *fmt,
                   ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(diags, LT_SEV_ERROR, pos, hint, fmt, ap);
    va_end(ap);
}

void lt_diag_warning(struct lt_diags *diags, struct lt_pos pos, const char *hint, const char *fmt,
                     ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(diags, LT_SEV_WARNING, pos, hint, fmt, ap);
    va_end(ap);
}

void lt_diags_mask(struct lt_diags *diags, struct lt_pos pos, unsigned last_line)
{
    struct lt_diag_mask *mask = lt_arena_new(diags->arena, struct lt_diag_mask);
    if (mask != NULL) {
        mask->source = pos.source;
        mask->from = pos.line;
        mask->to = last_line;
        lt_list_push_back(&diags->masks, &mask->link);
    }
}

static bool is_masked(const struct lt_diags *diags, struct lt_pos pos)
{
    lt_list_each(it, tmp, &diags->masks)
    {
        const struct lt_diag_mask *mask = lt_container_of(it, struct lt_diag_mask, link);
        if (mask->source == pos.source && pos.line >= mask->from && pos.line <= mask->to) {
            return true;
        }
    }
    return false;
}

/* By file, line and column; what has no place comes first. */
static int compare(const void *a, const void *b)
{
    const struct lt_diag *x = *(struct lt_diag *const *)a, *y = *(struct lt_diag *const *)b;
    int64_t fx = x->pos.source != NULL ? (int64_t)x->pos.source->order : -1;
    int64_t fy = y->pos.source != NULL ? (int64_t)y->pos.source->order : -1;
    if (fx != fy) {
        return fx < fy ? -1 : 1;
    }
    if (x->pos.line != y->pos.line) {
        return x->pos.line < y->pos.line ? -1 : 1;
    }
    if (x->pos.col != y->pos.col) {
        return x->pos.col < y->pos.col ? -1 : 1;
    }
    return lt_str_cmp(x->message, y->message);
}

/* Sorts the list and drops those said twice. Without memory the order stays as found. */
static void sort(struct lt_diags *diags)
{
    size_t n = 0;
    lt_list_each(it, tmp, &diags->list)
    {
        n++;
    }
    struct lt_diag **all = lt_calloc(n, sizeof(struct lt_diag *));
    if (all == NULL) {
        return;
    }
    n = 0;
    lt_list_each(it, tmp, &diags->list)
    {
        all[n++] = lt_container_of(it, struct lt_diag, link);
    }
    qsort(all, n, sizeof(struct lt_diag *), compare);
    lt_list_init(&diags->list);
    const struct lt_diag *last = NULL;
    for (size_t i = 0; i < n; i++) {
        if (last != NULL && compare(&last, &all[i]) == 0) {
            if (all[i]->severity == LT_SEV_ERROR) {
                diags->errors--;
            } else {
                diags->warnings--;
            }
            continue;
        }
        last = all[i];
        lt_list_push_back(&diags->list, &all[i]->link);
    }
    lt_free(all);
}

/* Text for a terminal: control bytes and DEL are shown as '?', tabs as one space. */
static void add_plain(struct lt_buf *out, struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        lt_buf_char(out, c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
}

/* The source line and below it the caret. */
static void add_line(const struct lt_diags *diags, struct lt_buf *out, struct lt_pos pos)
{
    struct lt_str line = lt_source_line(pos.source, pos.line);
    unsigned col = pos.col > 0 ? pos.col - 1 : 0;
    unsigned from = col > LINE_SHOWN - 40 ? col - (LINE_SHOWN - 40) : 0;
    struct lt_str tail = lt_str_sub(line, lt_source_offset(line, from), line.len);
    struct lt_str shown = lt_str(tail.p, lt_source_offset(tail, LINE_SHOWN));
    if (is_masked(diags, pos)) {
        lt_buf_printf(out, "%5u | <a secret stands in this line>\n", pos.line);
        return;
    }
    /* What may not be shown is cut off; the caret then stands at the mark. */
    size_t hidden = lt_redact_shown(pos.source, pos.line, diags->wary);
    size_t skipped = (size_t)(tail.p - line.p);
    bool cut = hidden < line.len && hidden < skipped + shown.len;
    if (cut) {
        shown.len = hidden > skipped ? hidden - skipped : 0;
        tail.len = shown.len;
    }
    unsigned room = lt_source_chars(shown);
    col -= from;
    col = cut && col >= room ? room + 1 : lt_min(col, room);
    lt_buf_printf(out, "%5u | %s", pos.line, from > 0 ? "..." : "");
    add_plain(out, shown);
    lt_buf_printf(out, "%s\n      | %*s",
                  cut                    ? " <redacted>"
                  : shown.len < tail.len ? "..."
                                         : "",
                  (int)(col + (from > 0 ? 3 : 0)), "");
    unsigned width = col < room ? lt_max(lt_min(pos.width, room - col), 1u) : 1u;
    for (unsigned i = 0; i < width; i++) {
        lt_buf_char(out, '^');
    }
    lt_buf_char(out, '\n');
}

static void add_hint(struct lt_buf *out, struct lt_str hint)
{
    if (hint.len > 0) {
        lt_buf_str(out, LT_STR("      = hint: "));
        add_plain(out, hint);
        lt_buf_char(out, '\n');
    }
}

static void print_one(const struct lt_diags *diags, const struct lt_diag *diag, struct lt_buf *out)
{
    const struct lt_source *source = diag->pos.source;
    bool made = source != NULL && source->shown.len > 0;
    if (made) {
        add_plain(out, source->shown);
        lt_buf_str(out, LT_STR(": "));
    } else if (source != NULL) {
        add_plain(out, source->name);
        lt_buf_printf(out, ":%u:%u: ", diag->pos.line, diag->pos.col);
    }
    lt_buf_printf(out, "%s: ", diag->severity == LT_SEV_ERROR ? "error" : "warning");
    add_plain(out, diag->message);
    lt_buf_char(out, '\n');
    if (source != NULL && !made && diag->pos.line > 0) {
        add_line(diags, out, diag->pos);
    }
    add_hint(out, diag->hint);
    add_hint(out, made ? source->advice : LT_STR_NONE);
}

void lt_diags_print(struct lt_diags *diags, struct lt_buf *out)
{
    sort(diags);
    lt_list_each(it, tmp, &diags->list)
    {
        print_one(diags, lt_container_of(it, struct lt_diag, link), out);
    }
    if (diags->lost > 0) {
        lt_buf_printf(out, "and %u more that are not shown\n", diags->lost);
    }
    if (diags->errors + diags->warnings > 0) {
        lt_buf_printf(out, "%u error%s", diags->errors, diags->errors == 1 ? "" : "s");
        if (diags->warnings > 0) {
            lt_buf_printf(out, ", %u warning%s", diags->warnings, diags->warnings == 1 ? "" : "s");
        }
        lt_buf_char(out, '\n');
    }
}

void lt_diags_json(struct lt_diags *diags, struct lt_buf *out)
{
    sort(diags);
    const char *between = "";
    lt_buf_char(out, '[');
    lt_list_each(it, tmp, &diags->list)
    {
        const struct lt_diag *diag = lt_container_of(it, struct lt_diag, link);
        lt_buf_printf(out, "%s{\"severity\":\"%s\",\"file\":", between,
                      diag->severity == LT_SEV_ERROR ? "error" : "warning");
        if (diag->pos.source != NULL) {
            lt_buf_json_str(out, diag->pos.source->name);
            lt_buf_printf(out, ",\"line\":%u,\"column\":%u", diag->pos.line, diag->pos.col);
        } else {
            lt_buf_str(out, LT_STR("null,\"line\":null,\"column\":null"));
        }
        lt_buf_str(out, LT_STR(",\"message\":"));
        lt_buf_json_str(out, diag->message);
        lt_buf_str(out, LT_STR(",\"hint\":"));
        if (diag->hint.len > 0) {
            lt_buf_json_str(out, diag->hint);
        } else {
            lt_buf_str(out, LT_STR("null"));
        }
        lt_buf_char(out, '}');
        between = ",";
    }
    lt_buf_str(out, LT_STR("]\n"));
}
