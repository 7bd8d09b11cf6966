/* SPDX-License-Identifier: Apache-2.0 */
/* Places in the texts of filters (excerpt.h). Pure functions. */
#include "filters/excerpt.h"

#include <stdio.h>

bool lt_place_read(struct lt_str message, struct lt_place *place)
{
    size_t at = lt_str_find(message, LT_STR(".lua:"));
    if (at == SIZE_MAX || at >= LT_PLACE_NAME_MAX * 4) {
        return false;
    }
    size_t i = at += 4; /* the colon */
    int line = 0;
    while (++i < message.len && lt_char_is_digit(message.p[i]) && line < 1000000) {
        line = line * 10 + (message.p[i] - '0');
    }
    if (line == 0 || memchr(message.p, '\n', at) != NULL) {
        return false;
    }
    *place = (struct lt_place){.name = lt_str_sub(message, 0, at), .line = line, .end = i};
    if (i + 1 < message.len && message.p[i] == ':' && message.p[i + 1] == ' ') {
        place->end = i + 2;
    }
    return true;
}

/* "a.b" is the file a/b.lua. */
static const struct lt_filter_module *find_module(const struct lt_filter_file *file,
                                                  struct lt_str name)
{
    for (const struct lt_filter_module *m = file->modules; m != NULL; m = m->next) {
        if (lt_str_eq(m->name, name)) {
            return m;
        }
    }
    return NULL;
}

bool lt_excerpt_file(const struct lt_filter_vm *fvm, struct lt_str name, struct lt_str *text,
                     char *path, size_t path_size)
{
    const struct lt_filter_file *file = fvm->file;
    if (file == NULL || !lt_str_ends(name, LT_STR(".lua"))) {
        return false;
    }
    struct lt_str stem = lt_str_sub(name, 0, name.len - 4);
    if (lt_str_eq(stem, file->name)) {
        *text = file->text;
        snprintf(path, path_size, "%.*s", LT_STR_ARG(file->path));
        return true;
    }
    const struct lt_filter_module *module = find_module(file, stem);
    if (module == NULL) {
        return false;
    }
    *text = module->text;
    int n =
        snprintf(path, path_size, "%.*s%s", LT_STR_ARG(file->dir), file->dir.len > 0 ? "/" : "");
    for (size_t i = 0; i < stem.len && n >= 0 && (size_t)n + 1 < path_size; i++) {
        path[n++] = stem.p[i] == '.' ? '/' : stem.p[i];
    }
    if (n >= 0 && (size_t)n < path_size) {
        snprintf(path + n, path_size - (size_t)n, ".lua");
    }
    return true;
}

struct lt_str lt_excerpt_line(struct lt_str text, int n)
{
    size_t from = 0;
    for (; n > 1 && from < text.len; n--) {
        size_t end = lt_str_chr(text, '\n', from);
        from = end == SIZE_MAX ? text.len : end + 1;
    }
    size_t end = lt_str_chr(text, '\n', from);
    struct lt_str line = lt_str_sub(text, from, end == SIZE_MAX ? text.len : end);
    while (line.len > 0 && (line.p[line.len - 1] == '\r' || line.p[line.len - 1] == ' ')) {
        line.len--;
    }
    return line;
}

struct lt_str lt_excerpt_brief(struct lt_str text, int n)
{
    struct lt_str line = lt_excerpt_line(text, n);
    while (line.len > 0 && lt_char_is_space(line.p[0])) {
        line = lt_str_sub(line, 1, line.len);
    }
    return lt_str_sub(line, 0, LT_EXCERPT_MAX);
}

/* ---- the caret ---- */

static bool is_word(char c)
{
    char lower = lt_char_lower(c);
    return (lower >= 'a' && lower <= 'z') || lt_char_is_digit(c) || c == '_';
}

/* What the message quotes behind one of the words that Lua uses for variables and tokens. */
static struct lt_str named(struct lt_str message)
{
    static const char *const before[] = {"local '",  "field '", "method '",  "upvalue '",
                                         "global '", "near '",  "constant '"};
    for (size_t i = 0; i < lt_countof(before); i++) {
        struct lt_str word = lt_str_c(before[i]);
        size_t at = lt_str_find(message, word);
        if (at != SIZE_MAX) {
            size_t from = at + word.len, end = lt_str_chr(message, '\'', from);
            return end == SIZE_MAX ? LT_STR_NONE : lt_str_sub(message, from, end);
        }
    }
    return LT_STR_NONE;
}

static bool stands_alone(struct lt_str line, size_t at, size_t len)
{
    bool before = at > 0 && is_word(line.p[at - 1]) && is_word(line.p[at]);
    bool behind = at + len < line.len && is_word(line.p[at + len]) && is_word(line.p[at + len - 1]);
    return !before && !behind;
}

size_t lt_excerpt_caret(struct lt_str line, struct lt_str message)
{
    struct lt_str word = named(message);
    size_t found = SIZE_MAX;
    for (size_t from = 0; word.len > 0 && from + word.len <= line.len; from++) {
        if (memcmp(line.p + from, word.p, word.len) != 0 || !stands_alone(line, from, word.len)) {
            continue;
        }
        if (found != SIZE_MAX) {
            return SIZE_MAX; /* which of them? */
        }
        found = from;
    }
    return found;
}

void lt_excerpt_print(struct lt_buf *out, struct lt_str text, int line, struct lt_str message,
                      const char *indent)
{
    struct lt_str shown = lt_excerpt_line(text, line);
    size_t caret = lt_excerpt_caret(shown, message);
    if (shown.len == 0) {
        return;
    }
    bool cut = shown.len > LT_EXCERPT_MAX;
    shown.len = lt_min(shown.len, (size_t)LT_EXCERPT_MAX);
    lt_buf_printf(out, "%s%6d | %.*s%s\n", indent, line, LT_STR_ARG(shown), cut ? " ..." : "");
    if (caret < shown.len) {
        lt_buf_printf(out, "%s       | ", indent);
        for (size_t i = 0; i < caret; i++) {
            lt_buf_char(out, shown.p[i] == '\t' ? '\t' : ' ');
        }
        lt_buf_str(out, LT_STR("^\n"));
    }
}
