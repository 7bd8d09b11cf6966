/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel filter doc` (filter_doc.h): all of it comes from the file's table and its first comment.
 */
#include "filters/filter_doc.h"

#include <stdio.h>

#include "config/reference.h"

static const char *const groups[] = {"auth", "limit", "transform", "observe"};
static const char *const policies[] = {"closed", "open"};

/* ---- the comment at the top ---- */

static void add_comment(const struct lt_filter_file *file, struct lt_buf *out)
{
    struct lt_str rest = file->text, line;
    bool any = false;
    /* Three dashes begin what is for the language server. */
    while (lt_str_next(&rest, '\n', &line) && lt_str_starts(line, LT_STR("--")) &&
           !lt_str_starts(line, LT_STR("---"))) {
        struct lt_str text = lt_str_trim(lt_str_sub(line, 2, line.len));
        if (!lt_str_starts(text, LT_STR("SPDX-")) && text.len > 0) {
            lt_buf_str(out, any ? LT_STR("\n") : LT_STR(""));
            lt_buf_str(out, text);
            any = true;
        }
    }
    lt_buf_str(out, any ? LT_STR("\n\n") : LT_STR(""));
}

/* ---- values as one would write them ---- */

static void add_scalar(struct lt_str text, struct lt_buf *out)
{
    bool plain = text.len > 0 && text.p[0] != '-';
    for (size_t i = 0; i < text.len; i++) {
        char c = lt_char_lower(text.p[i]);
        plain &= (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || strchr("._/%-", c) != NULL;
    }
    if (plain) {
        lt_buf_str(out, text);
    } else {
        lt_buf_json_str(out, text);
    }
}

static void add_node(const struct lt_node *node, struct lt_buf *out)
{
    switch (node->kind) {
    case LT_NODE_SCALAR:
        add_scalar(node->text, out);
        break;
    case LT_NODE_LIST:
        lt_buf_char(out, '[');
        for (size_t i = 0; i < node->n_items; i++) {
            lt_buf_str(out, i > 0 ? LT_STR(", ") : LT_STR(""));
            add_node(node->items[i], out);
        }
        lt_buf_char(out, ']');
        break;
    case LT_NODE_MAP:
        lt_buf_char(out, '{');
        for (size_t i = 0; i < node->n_pairs; i++) {
            lt_buf_str(out, i > 0 ? LT_STR(", ") : LT_STR(""));
            add_scalar(node->pairs[i].key->text, out);
            lt_buf_str(out, LT_STR(": "));
            add_node(node->pairs[i].value, out);
        }
        lt_buf_char(out, '}');
        break;
    }
}

/* "required", the default, or nothing. */
static void add_default(const struct lt_row *row, bool code, struct lt_buf *out)
{
    const char *tick = code ? "`" : "";
    bool secret = row->type == LT_T_SECRET || row->item == LT_T_SECRET;
    if ((row->flags & LT_ROW_REQUIRED) != 0) {
        lt_buf_str(out, LT_STR("required"));
    } else if (row->def != NULL || row->fallback != NULL) {
        lt_buf_str(out, lt_str_c(tick));
        if (secret) {
            lt_buf_str(out, LT_STR("<secret>"));
        } else if (row->def != NULL) {
            lt_buf_str(out, row->def[0] != '\0' ? lt_str_c(row->def) : LT_STR("\"\""));
        } else {
            add_node(row->fallback, out);
        }
        lt_buf_str(out, lt_str_c(tick));
    }
}

/* ---- settings ---- */

/* What a section of settings is made with. */
struct writer {
    struct lt_buf *out;
    bool markdown;
    char path[200]; /* of the records around */
};

static void add_settings(struct writer *w, const struct lt_schema *schema, size_t path_len);

static void add_text_row(struct writer *w, const struct lt_row *row)
{
    char space[256];
    struct lt_buf value;
    lt_buf_init_fixed(&value, space, sizeof(space));
    add_default(row, false, &value);
    lt_buf_printf(w->out, "  %s%s (", w->path, row->name);
    lt_config_describe(row, false, w->out);
    if ((row->flags & LT_ROW_REQUIRED) != 0) {
        lt_buf_str(w->out, LT_STR("; required"));
    } else if (value.len > 0) {
        lt_buf_printf(w->out, "; default %.*s", LT_STR_ARG(lt_buf_view(&value)));
    }
    lt_buf_printf(w->out, ")\n%s%s%s", row->doc != NULL ? "      " : "",
                  row->doc != NULL ? row->doc : "", row->doc != NULL ? "\n" : "");
}

/* Text in a cell of a table: `|` would end it. */
static void add_cell(struct lt_str text, struct lt_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '|') {
            lt_buf_char(out, '\\');
        }
        lt_buf_char(out, text.p[i] == '\n' ? ' ' : text.p[i]);
    }
}

static void add_markdown_row(struct writer *w, const struct lt_row *row)
{
    lt_buf_printf(w->out, "| `%s%s` | ", w->path, row->name);
    lt_config_describe(row, true, w->out);
    lt_buf_str(w->out, LT_STR(" | "));
    add_default(row, true, w->out);
    lt_buf_str(w->out, LT_STR(" | "));
    add_cell(lt_str_c(row->doc), w->out);
    lt_buf_str(w->out, LT_STR(" |\n"));
}

/* The row, and the fields of its records with its name before theirs. */
static void add_row(struct writer *w, const struct lt_row *row, size_t path_len)
{
    const char *mark = row->type == LT_T_LIST ? "[]." : row->type == LT_T_MAP ? ".*." : ".";
    w->markdown ? add_markdown_row(w, row) : add_text_row(w, row);
    if (row->sub != NULL) {
        int n = snprintf(w->path + path_len, sizeof(w->path) - path_len, "%s%s", row->name, mark);
        if (n > 0 && (size_t)n < sizeof(w->path) - path_len) {
            add_settings(w, row->sub, path_len + (size_t)n);
        }
        w->path[path_len] = '\0';
    }
}

static void add_settings(struct writer *w, const struct lt_schema *schema, size_t path_len)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        add_row(w, &schema->rows[i], path_len);
    }
}

/* ---- the example ---- */

static void add_sample(const struct lt_row *row, enum lt_type type, struct lt_buf *out);

/* The required settings as one line of YAML, after what stands before them. */
static void add_required(const struct lt_schema *schema, const char *between, struct lt_buf *out)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if ((row->flags & LT_ROW_REQUIRED) != 0) {
            lt_buf_printf(out, "%s%s: ", between, row->name);
            add_sample(row, row->type, out);
            between = ", ";
        }
    }
}

static void add_sample(const struct lt_row *row, enum lt_type type, struct lt_buf *out)
{
    static const char *const samples[] = {
        [LT_T_STRING] = "text",
        [LT_T_INT] = "1",
        [LT_T_BOOL] = "true",
        [LT_T_DURATION] = "1s",
        [LT_T_SIZE] = "1M",
        [LT_T_RATE] = "100/1m",
        [LT_T_PERCENT] = "50%",
        [LT_T_URL] = "\"https://example.com/\"",
        [LT_T_SECRET] = "\"${SECRET}\"",
        [LT_T_EXPR] = "client.ip",
        [LT_T_TEMPLATE] = "text",
        [LT_T_FILE] = "/path/of/a/file",
    };
    if (type == LT_T_ENUM) {
        add_scalar(lt_str_c(row->choices[0]), out);
    } else if (type == LT_T_LIST || type == LT_T_MAP) {
        lt_buf_str(out, type == LT_T_LIST ? LT_STR("[") : LT_STR("{name: "));
        add_sample(row, row->item, out);
        lt_buf_char(out, type == LT_T_LIST ? ']' : '}');
    } else if (type == LT_T_OBJECT) {
        lt_buf_char(out, '{');
        add_required(row->sub, "", out);
        lt_buf_char(out, '}');
    } else if (type == row->type && row->min != NULL &&
               (type == LT_T_INT || type == LT_T_DURATION || type == LT_T_SIZE ||
                type == LT_T_PERCENT)) {
        lt_buf_str(out, lt_str_c(row->min));
    } else {
        lt_buf_str(out, lt_str_c(samples[type]));
    }
}

static void add_example(const struct lt_filter_file *file, struct lt_str filter, bool markdown,
                        struct lt_buf *out)
{
    lt_buf_str(out, markdown ? LT_STR("```yaml\n") : LT_STR("Example:\n\n"));
    lt_buf_printf(out, "%sfilters:\n%s  my_%.*s: {filter: ", markdown ? "" : "  ",
                  markdown ? "" : "  ", LT_STR_ARG(file->name));
    add_scalar(filter, out);
    add_required(&file->schema, ", ", out);
    lt_buf_str(out, markdown ? LT_STR("}\n```\n") : LT_STR("}\n"));
}

void lt_filter_doc(const struct lt_filter_file *file, struct lt_str filter, bool markdown,
                   struct lt_buf *out)
{
    struct writer w = {.out = out, .markdown = markdown};
    lt_buf_printf(out, "%s%.*s\n\n", markdown ? "### " : "", LT_STR_ARG(file->name));
    add_comment(file, out);
    lt_buf_printf(out, "Group %s; on_error is %s by default. Hooks:", groups[file->group],
                  policies[file->on_error]);
    for (unsigned i = 0; i < LT_FILTER_HOOKS; i++) {
        lt_buf_printf(out, "%s%s", (file->hooks & 1u << i) != 0 ? " " : "",
                      (file->hooks & 1u << i) != 0 ? lt_filter_hook_names[i] : "");
    }
    for (unsigned i = 0; i < file->n_every; i++) {
        lt_buf_printf(out, " every %.*s", LT_STR_ARG(file->every[i].text));
    }
    lt_buf_str(out, LT_STR("\n\n"));
    if (file->schema.n_rows == 0) {
        lt_buf_str(out, LT_STR("It has no settings.\n"));
    } else if (markdown) {
        lt_buf_str(out, LT_STR("| setting | type | default | what |\n|---|---|---|---|\n"));
    } else {
        lt_buf_str(out, LT_STR("Settings:\n\n"));
    }
    add_settings(&w, &file->schema, 0);
    lt_buf_char(out, '\n');
    add_example(file, filter, markdown, out);
}
