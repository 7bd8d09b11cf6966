/* SPDX-License-Identifier: Apache-2.0 */
/* Help on single options: finds the rows that a path means, written as people write it: with `*`
 * and
 * `[]`, with names and numbers in their place, or without either. Any thread. */
#include "config/reference.h"

#include <stdio.h>

#include "config/schema_impl.h"

#define PATH_LEN 256u
#define PARTS_MAX 48u
/* Options named for a word that is none. */
#define MENTIONS_MAX 4u

/* ---- paths ---- */

/* A path in its parts: keys, `*`, and each pair of brackets. */
struct parts {
    struct lt_str v[PARTS_MAX];
    unsigned n;
};

static bool add_part(struct parts *parts, struct lt_str part)
{
    if (part.len > 0 && parts->n == PARTS_MAX) {
        return false;
    }
    if (part.len > 0) {
        parts->v[parts->n++] = part;
    }
    return true;
}

/* False: the path has too many parts. */
static bool split(struct lt_str path, struct parts *out)
{
    size_t from = 0;
    out->n = 0;
    for (size_t i = 0; i < path.len; i++) {
        if (path.p[i] != '.' && path.p[i] != '[') {
            continue;
        }
        if (!add_part(out, lt_str_sub(path, from, i))) {
            return false;
        }
        from = i + 1;
        size_t end = path.p[i] == '[' ? lt_str_chr(path, ']', i) : SIZE_MAX;
        if (end != SIZE_MAX) {
            if (!add_part(out, lt_str_sub(path, i, end + 1))) {
                return false;
            }
            from = end + 1;
            i = end;
        }
    }
    return add_part(out, lt_str_sub(path, from, path.len));
}

/* 3, [3] or []. */
static bool is_index(struct lt_str part)
{
    if (part.p[0] == '[' && part.p[part.len - 1] == ']') {
        part = lt_str_sub(part, 1, part.len - 1);
    }
    for (size_t i = 0; i < part.len; i++) {
        if (!lt_char_is_digit(part.p[i])) {
            return false;
        }
    }
    return true;
}

/* Whether wanted means pattern, the path of a row. A name may have dots. */
static bool means(const struct lt_str *pattern, unsigned n_pattern, const struct lt_str *wanted,
                  unsigned n_wanted)
{
    if (n_pattern == 0) {
        return n_wanted == 0;
    }
    if (lt_str_eq_c(pattern[0], "*")) {
        for (unsigned i = 0; i <= n_wanted; i++) {
            if (means(pattern + 1, n_pattern - 1, wanted + i, n_wanted - i)) {
                return true;
            }
        }
        return false;
    }
    if (lt_str_eq_c(pattern[0], "[]")) {
        return means(pattern + 1, n_pattern - 1, wanted, n_wanted) ||
               (n_wanted > 0 && is_index(wanted[0]) &&
                means(pattern + 1, n_pattern - 1, wanted + 1, n_wanted - 1));
    }
    return n_wanted > 0 && lt_str_eq(pattern[0], wanted[0]) &&
           means(pattern + 1, n_pattern - 1, wanted + 1, n_wanted - 1);
}

/* Whether wanted means pattern or the end of it that begins with one of its keys. */
static bool means_end(const struct parts *pattern, const struct lt_str *wanted, unsigned n)
{
    for (unsigned i = 0; i < pattern->n && n > 0; i++) {
        bool key = !lt_str_eq_c(pattern->v[i], "*") && !lt_str_eq_c(pattern->v[i], "[]");
        if (key && means(pattern->v + i, pattern->n - i, wanted, n)) {
            return true;
        }
    }
    return false;
}

/* ---- looking ---- */

struct lookup {
    struct parts wanted;
    struct lt_buf *out;
    unsigned found;
    bool elements;     /* elements of lists and maps are looked for */
    const char *close; /* name that resembles the last part of wanted */
    unsigned distance;
    struct lt_str word; /* what was asked for, as it is */
    struct lt_buf mentions;
    const struct lt_row *mentioned[MENTIONS_MAX]; /* rows that speak of it */
    unsigned n_mentions;
    char swapped[PATH_LEN]; /* the same words in another order or cut in other places; or "" */
};

/* How many parts at the end of wanted name an element of row, whose path is pattern. 0: none do. */
static unsigned element_parts(const struct lookup *l, const struct parts *pattern,
                              const struct lt_row *row)
{
    const struct parts *w = &l->wanted;
    unsigned most = row->type == LT_T_MAP && row->sub == NULL ? w->n : 1;
    if (row->type != LT_T_MAP && row->type != LT_T_LIST) {
        return 0;
    }
    for (unsigned n = 1; n <= most && n < w->n; n++) {
        bool fits = row->type == LT_T_MAP || is_index(w->v[w->n - n]);
        if (fits && means(pattern->v, pattern->n, w->v, w->n - n)) {
            return n;
        }
    }
    return 0;
}

/* Whether wanted is a key below an element of row that no row describes. */
static bool is_open_key(const struct lookup *l, const struct parts *pattern,
                        const struct lt_row *row)
{
    struct parts element = *pattern;
    if (row->type != LT_T_MAP || row->sub == NULL || !row->sub->open ||
        !add_part(&element, LT_STR("*")) || l->wanted.n < element.n + 1) {
        return false;
    }
    return means(element.v, element.n, l->wanted.v, l->wanted.n);
}

static void add_row(struct lookup *l, struct lt_str path, const struct lt_row *row)
{
    lt_buf_printf(l->out, "%s%.*s\n    ", l->found++ > 0 ? "\n" : "", LT_STR_ARG(path));
    lt_config_describe(row, false, l->out);
    if ((row->flags & LT_ROW_REQUIRED) != 0) {
        lt_buf_str(l->out, LT_STR("; required"));
    } else if (row->def != NULL) {
        lt_buf_printf(l->out, "; default %s", row->def[0] != '\0' ? row->def : "\"\"");
    }
    lt_buf_printf(l->out, "; since %s\n    %s\n", row->since, row->doc);
    if ((row->flags & LT_ROW_RESTART) != 0) {
        lt_buf_str(l->out, LT_STR("    A change takes effect at the next start.\n"));
    }
}

static void note_close(struct lookup *l, const struct lt_row *row)
{
    struct lt_str last = l->wanted.n > 0 ? l->wanted.v[l->wanted.n - 1] : LT_STR_NONE;
    unsigned limit = lt_min(l->distance, last.len <= 3 ? 2u : 3u); /* as lt_schema_closest */
    unsigned d = lt_str_distance(last, lt_str_c(row->name), limit);
    if (d < limit && strlen(row->name) > d) {
        l->close = row->name;
        l->distance = d;
    }
}

static bool is_word_char(char c)
{
    return lt_char_is_digit(c) || (lt_char_lower(c) >= 'a' && lt_char_lower(c) <= 'z');
}

/* Whether text has word, in any case and with nothing of a word before or after it. */
static bool has_word(struct lt_str text, struct lt_str word)
{
    for (size_t i = 0; i + word.len <= text.len; i++) {
        size_t end = i + word.len;
        if ((i == 0 || !is_word_char(text.p[i - 1])) &&
            (end == text.len || !is_word_char(text.p[end])) &&
            lt_str_eq_nocase(lt_str_sub(text, i, end), word)) {
            return true;
        }
    }
    return false;
}

/* Notes an option that has the word among its values or in its text. */
static void note_mention(struct lookup *l, struct lt_str path, const struct lt_row *row)
{
    bool found = has_word(lt_str_c(row->doc), l->word);
    for (const char *const *c = row->choices; c != NULL && *c != NULL; c++) {
        found |= lt_str_eq_nocase(lt_str_c(*c), l->word);
    }
    for (unsigned i = 0; i < l->n_mentions; i++) {
        found &= l->mentioned[i] != row; /* at another level */
    }
    if (found && l->word.len > 1 && l->n_mentions < MENTIONS_MAX) {
        l->mentioned[l->n_mentions] = row;
        lt_buf_printf(&l->mentions, "%s%.*s", l->n_mentions++ > 0 ? ", " : "", LT_STR_ARG(path));
    }
}

#define WORDS_MAX 16u

/* The words of a path: "max_body" and "body.max" have the same two. False: too many. */
static bool add_words(struct lt_str text, struct lt_str words[WORDS_MAX], unsigned *n)
{
    size_t from = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i == text.len || text.p[i] == '.' || text.p[i] == '_') {
            if (i > from && *n == WORDS_MAX) {
                return false;
            }
            if (i > from) {
                words[(*n)++] = lt_str_sub(text, from, i);
            }
            from = i + 1;
        }
    }
    return true;
}

static bool same_words(struct lt_str a, struct lt_str b)
{
    struct lt_str theirs[WORDS_MAX], ours[WORDS_MAX];
    unsigned n_theirs = 0, n_ours = 0, found = 0;
    if (!add_words(a, theirs, &n_theirs) || !add_words(b, ours, &n_ours) || n_theirs != n_ours) {
        return false;
    }
    for (unsigned i = 0; i < n_theirs; i++) {
        for (unsigned j = 0; j < n_ours; j++) {
            if (ours[j].len > 0 && lt_str_eq(theirs[i], ours[j])) {
                ours[j] = LT_STR_NONE;
                found++;
                break;
            }
        }
    }
    return found == n_theirs;
}

/* max_body means body.max: the last keys of a path, in whatever order their words come. */
static void note_swapped(struct lookup *l, const struct parts *pattern)
{
    const struct parts *w = &l->wanted;
    char ours[PATH_LEN], theirs[PATH_LEN];
    struct lt_buf a, b;
    lt_buf_init_fixed(&a, theirs, sizeof(theirs));
    for (unsigned i = 0; i < w->n; i++) {
        lt_buf_printf(&a, "%s%.*s", i > 0 ? "." : "", LT_STR_ARG(w->v[i]));
    }
    for (unsigned n = 1; n <= 3 && n <= pattern->n && l->swapped[0] == '\0'; n++) {
        lt_buf_init_fixed(&b, ours, sizeof(ours));
        for (unsigned i = pattern->n - n; i < pattern->n; i++) {
            lt_buf_printf(&b, "%s%.*s", b.len > 0 ? "." : "", LT_STR_ARG(pattern->v[i]));
        }
        if (same_words(lt_buf_view(&a), lt_buf_view(&b))) {
            snprintf(l->swapped, sizeof(l->swapped), "%.*s", LT_STR_ARG(lt_buf_view(&b)));
        }
    }
}

static bool look_at(void *arg, struct lt_str path, const struct lt_schema *schema LT_UNUSED,
                    const struct lt_row *row, unsigned level LT_UNUSED)
{
    struct lookup *l = arg;
    struct parts pattern;
    struct lt_buf full;
    char space[2 * PATH_LEN];
    lt_buf_init_fixed(&full, space, sizeof(space));
    lt_buf_printf(&full, "%.*s%s%s", LT_STR_ARG(path), path.len > 0 ? "." : "", row->name);
    if (!split(lt_buf_view(&full), &pattern)) {
        return true;
    }
    if (l->elements) {
        if (element_parts(l, &pattern, row) > 0) {
            add_row(l, lt_buf_view(&full), row);
        } else if (is_open_key(l, &pattern, row)) {
            lt_buf_printf(l->out,
                          "%s%.*s.*.%.*s\n    A setting of the filter itself: its documentation, "
                          "or the schema in its file, says what it is.\n",
                          l->found++ > 0 ? "\n" : "", LT_STR_ARG(lt_buf_view(&full)),
                          LT_STR_ARG(l->wanted.v[pattern.n + 1]));
        }
    } else if (means_end(&pattern, l->wanted.v, l->wanted.n)) {
        add_row(l, lt_buf_view(&full), row);
    } else {
        note_close(l, row);
        note_mention(l, lt_buf_view(&full), row);
        note_swapped(l, &pattern);
    }
    return true;
}

bool lt_config_help(const struct lt_schema *root, const char *option, const char *other,
                    struct lt_buf *out)
{
    struct lookup l = {.out = out, .distance = 3, .word = lt_str_c(option)};
    struct lt_str wanted = lt_str_c(option);
    char space[MENTIONS_MAX * 2 * PATH_LEN];
    lt_buf_init_fixed(&l.mentions, space, sizeof(space));
    while (wanted.len > 0 && strchr("*[].", wanted.p[0]) != NULL) {
        wanted = lt_str_sub(wanted, 1, wanted.len); /* "[].hosts" is what ends so */
    }
    if (split(wanted, &l.wanted)) {
        lt_schema_walk(root, 0, look_at, &l);
        l.elements = true;
        if (l.found == 0) {
            lt_schema_walk(root, 0, look_at, &l);
        }
    }
    if (l.found == 0) {
        lt_buf_printf(out, "there is no option \"%.100s\"", option);
        const char *close = l.close != NULL ? l.close : other;
        if (l.swapped[0] != '\0') {
            lt_buf_printf(out, "; did you mean \"%s\"?", l.swapped);
        } else if (l.n_mentions > 0) {
            lt_buf_printf(out, "; these speak of it: %.*s", LT_STR_ARG(lt_buf_view(&l.mentions)));
        } else if (close != NULL) {
            lt_buf_printf(out, "; did you mean \"%s\"?", close);
        }
        lt_buf_char(out, '\n');
    } else if (l.swapped[0] != '\0') {
        lt_buf_printf(out, "\nSee also: %s\n", l.swapped);
    }
    return l.found > 0;
}
