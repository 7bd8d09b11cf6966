/* SPDX-License-Identifier: Apache-2.0 */
/* Error pages. Reading: loader thread. Finding and writing: workers. */
#include "route/error_pages.h"

#include "config/file.h"

#define ESCAPED_MAX 6 /* bytes that one byte of a value may become: \u00XX */

static const struct lt_str names[LT_ERROR_PAGE_NAMES] = {
    [LT_ERROR_PAGE_TEXT] = LT_STR_INIT(""),
    [LT_ERROR_PAGE_STATUS] = LT_STR_INIT("{status}"),
    [LT_ERROR_PAGE_REASON] = LT_STR_INIT("{reason}"),
    [LT_ERROR_PAGE_CAUSE] = LT_STR_INIT("{cause}"),
    [LT_ERROR_PAGE_REQUEST_ID] = LT_STR_INIT("{request_id}"),
};

static const struct {
    const char *ending;
    enum lt_error_page_type type;
    struct lt_str media_type, content_type;
} types[] = {
    {".html", LT_ERROR_PAGE_HTML, LT_STR_INIT("text/html"),
     LT_STR_INIT("text/html; charset=utf-8")},
    {".json", LT_ERROR_PAGE_JSON, LT_STR_INIT("application/json"), LT_STR_INIT("application/json")},
    {".txt", LT_ERROR_PAGE_PLAIN, LT_STR_INIT("text/plain"),
     LT_STR_INIT("text/plain; charset=utf-8")},
};

/* The index in types, or SIZE_MAX. */
static size_t find_type(struct lt_str path)
{
    for (size_t i = 0; i < lt_countof(types); i++) {
        if (lt_str_ends(path, lt_str_c(types[i].ending))) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* "404" or "5xx". */
static bool parse_key(struct lt_str key, unsigned *first, unsigned *last)
{
    uint64_t n;
    if (key.len != 3 || (key.p[0] != '4' && key.p[0] != '5')) {
        return false;
    }
    if (lt_str_eq_c(lt_str_sub(key, 1, 3), "xx")) {
        *first = 100 * (unsigned)(key.p[0] - '0');
        *last = *first + 99;
        return true;
    }
    if (!lt_str_to_u64(key, &n)) {
        return false;
    }
    *first = *last = (unsigned)n;
    return true;
}

/* The place of a map's value. */
static struct lt_pos value_pos(const struct lt_node *node, size_t i)
{
    return node != NULL && i < node->n_pairs ? node->pairs[i].value->pos : lt_load_nowhere();
}

void lt_error_pages_check(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value)
{
    const struct lt_conf_map *map = value;
    unsigned first, last;
    for (size_t i = 0; i < map->n; i++) {
        const struct lt_str *path = map->entries[i].value;
        if (!parse_key(map->entries[i].key, &first, &last)) {
            lt_diag_error(load->diags, map->entries[i].key_node->pos,
                          "write a status from 400 to 599, or 4xx or 5xx for all of a class",
                          "errors: \"%.*s\" is not the status of an error",
                          LT_STR_ARG(lt_str_sub(map->entries[i].key, 0, 100)));
        }
        if (find_type(*path) == SIZE_MAX) {
            lt_diag_error(load->diags, value_pos(node, i),
                          "its type is told by its name: use a file that ends in .html, .json or "
                          ".txt",
                          "errors: the type of %.*s is not known", LT_STR_ARG(*path));
        }
    }
}

/* ---- reading ---- */

/* The name that text begins with at `at`; TEXT: none. */
static enum lt_error_page_name name_at(struct lt_str text, size_t at)
{
    struct lt_str rest = lt_str_sub(text, at, text.len);
    for (unsigned i = LT_ERROR_PAGE_TEXT + 1; i < LT_ERROR_PAGE_NAMES; i++) {
        if (lt_str_starts(rest, names[i])) {
            return (enum lt_error_page_name)i;
        }
    }
    return LT_ERROR_PAGE_TEXT;
}

/* Takes text apart; parts == NULL: only counts. Any other brace is text: style sheets and JSON are
 * full of them. */
static size_t take_apart(struct lt_str text, struct lt_error_page_part *parts)
{
    size_t n = 0, from = 0;
    for (size_t at = 0; at <= text.len; at++) {
        enum lt_error_page_name name =
            at < text.len && text.p[at] == '{' ? name_at(text, at) : LT_ERROR_PAGE_TEXT;
        if (name == LT_ERROR_PAGE_TEXT && at < text.len) {
            continue;
        }
        if (at > from) {
            if (parts != NULL) {
                parts[n] = (struct lt_error_page_part){.text = lt_str_sub(text, from, at)};
            }
            n++;
        }
        if (name != LT_ERROR_PAGE_TEXT) {
            if (parts != NULL) {
                parts[n] = (struct lt_error_page_part){.name = name};
            }
            n++;
            from = at + names[name].len;
            at = from - 1;
        }
    }
    return n;
}

static const struct lt_error_file *read_file(struct lt_schema_load *load, struct lt_str path,
                                             struct lt_pos pos)
{
    struct lt_str text, why;
    size_t type = find_type(path);
    if (lt_file_read(load->files, load->arena, path.p, LT_ERROR_PAGE_MAX, &text, NULL, &why) !=
        LT_OK) {
        load->nomem |= why.len == 0;
        if (why.len > 0) {
            lt_diag_error(load->diags, pos, "a relative path starts at the folder of this file",
                          "errors: %.*s", LT_STR_ARG(why));
        }
        return NULL;
    }
    struct lt_error_file *file = lt_arena_new(load->arena, struct lt_error_file);
    size_t n = take_apart(text, NULL);
    struct lt_error_page_part *parts = lt_arena_array(load->arena, struct lt_error_page_part, n);
    if (file == NULL || parts == NULL) {
        load->nomem = true;
        return NULL;
    }
    *file = (struct lt_error_file){.type = types[type].type,
                                   .media_type = types[type].media_type,
                                   .content_type = types[type].content_type,
                                   .parts = parts,
                                   .n_parts = take_apart(text, parts)};
    return file;
}

static const struct lt_error_file *get_file(struct lt_schema_load *load, struct lt_map *files,
                                            struct lt_str path, struct lt_pos pos)
{
    const struct lt_error_file *file = lt_map_get(files, path);
    if (file == NULL) {
        file = read_file(load, path, pos);
        if (file != NULL && lt_map_set(files, path, (void *)(uintptr_t)file) != LT_OK) {
            load->nomem = true;
        }
    }
    return file;
}

const struct lt_error_pages *lt_error_pages_read(struct lt_schema_load *load, struct lt_map *files,
                                                 const struct lt_conf *holder,
                                                 const struct lt_conf_map *conf_map,
                                                 const struct lt_error_pages *outer)
{
    const struct lt_node *node = holder->node != NULL ? lt_node_get(holder->node, "errors") : NULL;
    if (conf_map->n == 0) {
        return outer;
    }
    struct lt_error_pages *pages = lt_arena_new(load->arena, struct lt_error_pages);
    struct lt_error_page *v = lt_arena_array(load->arena, struct lt_error_page, conf_map->n);
    if (pages == NULL || v == NULL) {
        load->nomem = true;
        return outer;
    }
    *pages = (struct lt_error_pages){.v = v, .outer = outer};
    for (unsigned classes = 0; classes < 2; classes++) {
        for (size_t i = 0; i < conf_map->n && !load->nomem; i++) {
            const struct lt_conf_entry *entry = &conf_map->entries[i];
            const struct lt_str *path = entry->value;
            struct lt_error_page page;
            if (!parse_key(entry->key, &page.first, &page.last) ||
                (page.first != page.last) != (classes == 1) || find_type(*path) == SIZE_MAX) {
                continue; /* what is wrong with it was said */
            }
            page.file = get_file(load, files, *path, value_pos(node, i));
            if (page.file != NULL) {
                v[pages->n++] = page;
            }
        }
    }
    return pages;
}

/* ---- use ---- */

const struct lt_error_file *lt_error_page_find(const struct lt_error_pages *pages, unsigned status)
{
    for (; pages != NULL; pages = pages->outer) {
        for (size_t i = 0; i < pages->n; i++) {
            if (status >= pages->v[i].first && status <= pages->v[i].last) {
                return pages->v[i].file;
            }
        }
    }
    return NULL;
}

void lt_html_escape(struct lt_buf *out, struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'') {
            lt_buf_printf(out, "&#%d;", c);
        } else {
            lt_buf_char(out, c);
        }
    }
}

static void write_value(struct lt_buf *out, enum lt_error_page_type type, struct lt_str value)
{
    switch (type) {
    case LT_ERROR_PAGE_HTML:
        lt_html_escape(out, value);
        break;
    case LT_ERROR_PAGE_JSON:
        lt_buf_json_text(out, value);
        break;
    case LT_ERROR_PAGE_PLAIN:
        lt_buf_str(out, value);
        break;
    }
}

struct lt_str lt_error_page_fill(const struct lt_error_file *file,
                                 const struct lt_str values[LT_ERROR_PAGE_NAMES],
                                 struct lt_arena *arena)
{
    struct lt_buf out;
    size_t size = 0;
    if (file->n_parts == 0) {
        return LT_STR("");
    }
    if (file->n_parts == 1 && file->parts[0].name == LT_ERROR_PAGE_TEXT) {
        return file->parts[0].text;
    }
    for (size_t i = 0; i < file->n_parts; i++) {
        const struct lt_error_page_part *part = &file->parts[i];
        size += part->text.len + ESCAPED_MAX * values[part->name].len;
    }
    char *mem = lt_arena_chars(arena, size);
    if (mem == NULL) {
        return LT_STR_NONE;
    }
    lt_buf_init_fixed(&out, mem, size);
    for (size_t i = 0; i < file->n_parts; i++) {
        if (file->parts[i].name == LT_ERROR_PAGE_TEXT) {
            lt_buf_str(&out, file->parts[i].text);
        } else {
            write_value(&out, file->type, values[file->parts[i].name]);
        }
    }
    return lt_buf_view(&out);
}
