/* SPDX-License-Identifier: Apache-2.0 */
/* Text and lines of a configuration file. Loader thread. */
#include "config/source.h"

static bool index_lines(struct lt_arena *arena, struct lt_source *source)
{
    unsigned n = 1;
    for (size_t i = 0; i < source->text.len; i++) {
        n += source->text.p[i] == '\n';
    }
    source->lines = lt_arena_array(arena, uint32_t, n);
    if (source->lines == NULL) {
        return false;
    }
    source->n_lines = n;
    unsigned line = 1;
    for (size_t i = 0; i < source->text.len; i++) {
        if (source->text.p[i] == '\n') {
            source->lines[line++] = (uint32_t)i + 1;
        }
    }
    return true;
}

struct lt_source *lt_source_new(struct lt_arena *arena, struct lt_str name, struct lt_str dir,
                                struct lt_str text)
{
    struct lt_source *source = lt_arena_new(arena, struct lt_source);
    if (lt_str_starts(text, LT_STR("\xef\xbb\xbf"))) {
        text = lt_str_sub(text, 3, text.len);
    }
    if (source == NULL || text.len > LT_SOURCE_MAX || !lt_arena_dup(arena, name, &source->name) ||
        !lt_arena_dup(arena, dir, &source->dir) || !lt_arena_dup(arena, text, &source->text) ||
        !index_lines(arena, source)) {
        return NULL;
    }
    return source;
}

struct lt_str lt_source_line(const struct lt_source *source, unsigned line)
{
    if (line == 0 || line > source->n_lines) {
        return LT_STR_NONE;
    }
    size_t from = source->lines[line - 1];
    size_t to = line < source->n_lines ? source->lines[line] - 1 : source->text.len;
    if (to > from && source->text.p[to - 1] == '\r') {
        to--;
    }
    return lt_str_sub(source->text, from, to);
}

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

size_t lt_source_offset(struct lt_str s, unsigned chars)
{
    size_t i = 0;
    while (i < s.len && chars > 0) {
        i++;
        while (i < s.len && continues(s.p[i])) {
            i++;
        }
        chars--;
    }
    return i;
}

unsigned lt_source_chars(struct lt_str s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += !continues(s.p[i]);
    }
    return n;
}

void lt_source_locate(const struct lt_source *source, size_t offset, unsigned *line, unsigned *col)
{
    unsigned low = 0, high = source->n_lines - 1;
    while (low < high) {
        unsigned middle = (low + high + 1) / 2;
        if (source->lines[middle] <= offset) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    *line = low + 1;
    *col = lt_source_chars(lt_str_sub(source->text, source->lines[low], offset)) + 1;
}
