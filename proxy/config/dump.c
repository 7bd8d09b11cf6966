/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a finished struct by its rows and writes it as YAML. Any thread that owns the load. */
#include "config/dump.h"

#include "config/schema_impl.h"
#include "config/types.h"

/* Column where the comments with origins start, if the value leaves room. */
#define COMMENT_COLUMN 48u
#define VALUE_MAX ((size_t)1 << 20)

struct dump {
    struct lt_buf *out;
    const struct lt_config_more *more; /* may be NULL */
    unsigned indent;                   /* blanks before a key */
    bool dash;                         /* the next key is the first of a list's element */
    size_t line_start;                 /* offset in out */
};

static void show_object(struct dump *d, const void *obj, unsigned level);

static void start_line(struct dump *d)
{
    d->line_start = d->out->len;
    for (unsigned i = d->dash ? 2 : 0; i < d->indent; i++) {
        lt_buf_char(d->out, ' ');
    }
    if (d->dash) {
        lt_buf_str(d->out, LT_STR("- "));
        d->dash = false;
    }
}

static void end_line(struct dump *d, const struct lt_origin *origin)
{
    const struct lt_source *source = origin->node != NULL ? origin->node->pos.source : NULL;
    if (source != NULL || origin->label != NULL) {
        do {
            lt_buf_char(d->out, ' ');
        } while (d->out->len - d->line_start < COMMENT_COLUMN && !d->out->truncated);
        lt_buf_str(d->out, LT_STR("# "));
        if (source != NULL) {
            lt_buf_str(d->out, source->name);
            lt_buf_printf(d->out, ":%u", origin->node->pos.line);
        } else {
            lt_buf_str(d->out, lt_str_c(origin->label));
        }
    }
    lt_buf_char(d->out, '\n');
}

/* Whether other readers of YAML take the plain text for a number, a truth value or nothing. */
static bool is_special(struct lt_str s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    bool number = true;
    for (size_t i = 0; i < s.len; i++) {
        number &= lt_char_is_digit(s.p[i]) || strchr(".-_eExX", s.p[i]) != NULL;
    }
    for (size_t i = 0; i < lt_countof(words); i++) {
        number |= lt_str_eq_nocase(s, lt_str_c(words[i]));
    }
    return number;
}

/* A text, quoted unless every reader of YAML takes it as the same text. */
static void add_scalar(struct lt_buf *out, struct lt_str s)
{
    bool plain = s.len > 0 && s.p[0] != '-' && s.p[0] != '%' && !is_special(s);
    for (size_t i = 0; i < s.len; i++) {
        char c = lt_char_lower(s.p[i]);
        plain &= (c >= 'a' && c <= 'z') || lt_char_is_digit(c) ||
                 (c != '\0' && strchr("_./%-", c) != NULL);
    }
    if (plain) {
        lt_buf_str(out, s);
    } else {
        lt_buf_json_str(out, s);
    }
}

/* As add_scalar for a value in which nothing is to be filled in: "${" is written "$${". */
static void add_text(struct lt_buf *out, struct lt_str s)
{
    struct lt_buf escaped;
    size_t at;
    lt_buf_init(&escaped, 2 * VALUE_MAX);
    while ((at = lt_str_find(s, LT_STR("${"))) != SIZE_MAX) {
        lt_buf_add(&escaped, s.p, at);
        lt_buf_str(&escaped, LT_STR("$${"));
        s = lt_str_sub(s, at + 2, s.len);
    }
    lt_buf_str(&escaped, s);
    out->truncated |= escaped.truncated;
    add_scalar(out, lt_buf_view(&escaped));
    lt_buf_fini(&escaped);
}

/* One value of a scalar type. node: what was written for it, or NULL. */
static void add_value(struct dump *d, const struct lt_row *row, enum lt_type type,
                      const struct lt_node *node, const void *value)
{
    struct lt_buf text;
    if (type == LT_T_SECRET || (row->flags & LT_ROW_SECRET) != 0) {
        lt_buf_str(d->out, LT_STR("<redacted>"));
        return;
    }
    if (node != NULL && node->kind == LT_NODE_SCALAR && node->substituted) {
        add_scalar(d->out, node->raw);
        return;
    }
    lt_buf_init(&text, VALUE_MAX);
    lt_type_print(row, type, value, &text);
    d->out->truncated |= text.truncated;
    if (type == LT_T_INT || type == LT_T_BOOL || type == LT_T_SIZE) {
        lt_buf_str(d->out, lt_buf_view(&text));
    } else {
        add_text(d->out, lt_buf_view(&text));
    }
    lt_buf_fini(&text);
}

static void add_key(struct dump *d, struct lt_str key)
{
    start_line(d);
    add_scalar(d->out, key);
    lt_buf_char(d->out, ':');
}

/* [a, b] on one line. */
static void add_flow_list(struct dump *d, const struct lt_row *row, const struct lt_origin *origin,
                          const struct lt_conf_list *list)
{
    const struct lt_node *node =
        origin->node != NULL && origin->node->kind == LT_NODE_LIST ? origin->node : NULL;
    size_t size = lt_type_size(row->item, row->sub);
    lt_buf_str(d->out, LT_STR(" ["));
    for (size_t i = 0; i < list->n; i++) {
        lt_buf_str(d->out, i > 0 ? LT_STR(", ") : LT_STR(""));
        add_value(d, row, row->item, node != NULL && i < node->n_items ? node->items[i] : NULL,
                  (const char *)list->items + i * size);
    }
    lt_buf_char(d->out, ']');
}

static void show_list(struct dump *d, const struct lt_row *row, const struct lt_origin *origin,
                      const struct lt_conf_list *list, unsigned level)
{
    if (row->item != LT_T_OBJECT || list->n == 0) {
        add_flow_list(d, row, origin, list);
        end_line(d, origin);
        return;
    }
    end_line(d, origin);
    d->indent += 4;
    for (size_t i = 0; i < list->n; i++) {
        d->dash = true;
        show_object(d, (const char *)list->items + i * row->sub->size, level);
        if (d->dash) {
            start_line(d);
            lt_buf_str(d->out, LT_STR("{}\n"));
        }
    }
    d->indent -= 4;
}

static void show_map(struct dump *d, const struct lt_row *row, const struct lt_origin *origin,
                     const struct lt_conf_map *map, unsigned level)
{
    lt_buf_str(d->out, map->n == 0 ? LT_STR(" {}") : LT_STR(""));
    end_line(d, origin);
    d->indent += 2;
    for (size_t i = 0; i < map->n; i++) {
        const struct lt_conf_entry *entry = &map->entries[i];
        const struct lt_origin own = {.node = entry->key_node};
        add_key(d, entry->key);
        if (row->item == LT_T_OBJECT) {
            end_line(d, &own);
            d->indent += 2;
            show_object(d, entry->value, level);
            d->indent -= 2;
        } else {
            const struct lt_node *written = origin->node != NULL && i < origin->node->n_pairs
                                                ? origin->node->pairs[i].value
                                                : NULL;
            lt_buf_char(d->out, ' ');
            add_value(d, row, row->item, written, entry->value);
            end_line(d, &own);
        }
    }
    d->indent -= 2;
}

static void show_row(struct dump *d, const struct lt_row *row, const struct lt_origin *origin,
                     const void *value, unsigned level)
{
    unsigned below = row->sub_level != 0 ? row->sub_level : level;
    if (row->type == LT_T_OBJECT) {
        /* An object of which nothing is set or has a default leaves no trace. */
        size_t before = d->out->len;
        bool dash = d->dash;
        add_key(d, lt_str_c(row->name));
        end_line(d, origin->node != NULL ? origin : &(struct lt_origin){0});
        size_t empty = d->out->len;
        d->indent += 2;
        show_object(d, value, below);
        d->indent -= 2;
        if (d->out->len == empty) {
            d->out->len = before;
            d->dash = dash;
        }
        return;
    }
    add_key(d, lt_str_c(row->name));
    if (row->type == LT_T_LIST) {
        show_list(d, row, origin, value, below);
    } else if (row->type == LT_T_MAP) {
        show_map(d, row, origin, value, below);
    } else if (row->type == LT_T_NODE) {
        lt_buf_str(d->out, LT_STR(" <redacted>"));
        end_line(d, origin);
    } else {
        lt_buf_char(d->out, ' ');
        add_value(d, row, row->type, origin->node, value);
        end_line(d, origin);
    }
}

/* Keys that are no rows: the module behind it knows them, we may ask. */
static void show_others(struct dump *d, const struct lt_conf *conf)
{
    const void *settings = d->more != NULL ? d->more->find(d->more->arg, conf) : NULL;
    if (settings != NULL) {
        show_object(d, settings, 0);
        return;
    }
    for (size_t i = 0; i < conf->node->n_pairs; i++) {
        const struct lt_node_pair *pair = &conf->node->pairs[i];
        const struct lt_origin origin = {.node = pair->key};
        if (lt_schema_find(conf->schema, pair->key->text) != SIZE_MAX) {
            continue;
        }
        add_key(d, pair->key->text);
        lt_buf_char(d->out, ' ');
        if (pair->value->kind == LT_NODE_SCALAR && pair->value->substituted) {
            add_scalar(d->out, pair->value->raw);
        } else {
            lt_buf_str(d->out, LT_STR("<redacted>"));
        }
        end_line(d, &origin);
    }
}

static void show_object(struct dump *d, const void *obj, unsigned level)
{
    const struct lt_conf *conf = obj;
    for (size_t i = 0; conf->schema != NULL && i < conf->schema->n_rows; i++) {
        const struct lt_row *row = &conf->schema->rows[i];
        const struct lt_origin *origin = &conf->origin[i];
        if ((row->flags & LT_ROW_RESERVED) != 0 || !lt_schema_allows(row, level)) {
            continue;
        }
        bool unset = origin->node == NULL &&
                     (origin->label == NULL || origin->label == lt_schema_default_label);
        bool empty = unset && (row->type == LT_T_OBJECT ? (row->flags & LT_ROW_ABSENT_OK) != 0
                                                        : row->def == NULL);
        if (!empty) {
            show_row(d, row, origin, lt_schema_value(obj, row), level);
        }
    }
    if (conf->schema != NULL && conf->schema->open && conf->node != NULL) {
        show_others(d, conf);
    }
}

void lt_config_show(const void *obj, unsigned level, const struct lt_config_more *more,
                    struct lt_buf *out)
{
    struct dump d = {.out = out, .more = more};
    show_object(&d, obj, level);
}
