/* SPDX-License-Identifier: Apache-2.0 */
/* The manual of all options, from the rows. Any thread. */
#include "config/reference.h"

#include "config/schema_impl.h"
#include "config/types.h"

#define PATH_LEN 128u

/* ---- one row in words ---- */

static void add_choices(const struct lt_row *row, bool code, struct lt_buf *out)
{
    const char *tick = code ? "`" : "";
    for (size_t i = 0; row->choices[i] != NULL; i++) {
        lt_buf_printf(out, "%s%s%s%s", i > 0 ? ", " : "", tick, row->choices[i], tick);
    }
}

static void add_type(const struct lt_row *row, enum lt_type type, bool code, struct lt_buf *out)
{
    if (type == LT_T_ENUM) {
        lt_buf_str(out, LT_STR("one of "));
        add_choices(row, code, out);
    } else if (type == LT_T_OBJECT) {
        lt_buf_str(out, LT_STR("mapping"));
    } else {
        lt_buf_str(out, lt_str_c(lt_type_name(type)));
    }
    if (type == LT_T_INT && row->choices != NULL) {
        lt_buf_str(out, LT_STR(" or "));
        add_choices(row, code, out);
    }
}

void lt_config_describe(const struct lt_row *row, bool code, struct lt_buf *out)
{
    const char *unit = "";
    if (row->type == LT_T_LIST) {
        lt_buf_str(out, LT_STR("list: "));
        add_type(row, row->item, code, out);
        unit = " entries";
    } else if (row->type == LT_T_MAP) {
        lt_buf_str(out, LT_STR("by name: "));
        add_type(row, row->item, code, out);
        unit = " entries";
    } else {
        add_type(row, row->type, code, out);
        unit = row->type == LT_T_STRING || row->type == LT_T_SECRET ? " bytes" : "";
    }
    if (row->min != NULL && row->max != NULL) {
        lt_buf_printf(out, ", %s to %s%s", row->min, row->max, unit);
    } else if (row->min != NULL) {
        lt_buf_printf(out, ", at least %s%s", row->min, unit);
    } else if (row->max != NULL) {
        lt_buf_printf(out, ", at most %s%s", row->max, unit);
    }
}

/* ---- the table of levels ---- */

static const struct {
    unsigned level;
    const char *name;
} levels[] = {
    {LT_LEVEL_DEFAULTS, "defaults"},
    {LT_LEVEL_LISTENER, "listen[]"},
    {LT_LEVEL_SITE, "sites[]"},
    {LT_LEVEL_ROUTE, "routes[]"},
    {LT_LEVEL_DEFAULTS_UPSTREAM, "defaults.upstream"},
    {LT_LEVEL_UPSTREAM, "upstreams.*"},
};

struct shared {
    char name[PATH_LEN];
    unsigned levels;
};

struct level_table {
    struct shared rows[128];
    size_t n;
};

static void note_level(struct level_table *table, struct lt_str name, unsigned level)
{
    size_t i = 0;
    while (i < table->n && !lt_str_eq_c(name, table->rows[i].name)) {
        i++;
    }
    if (i == table->n) {
        if (i == lt_countof(table->rows) || name.len >= PATH_LEN) {
            return;
        }
        memcpy(table->rows[i].name, name.p, name.len);
        table->rows[i].name[name.len] = '\0';
        table->n++;
    }
    table->rows[i].levels |= level;
}

/* Notes the rows below schema that several levels share; path is relative to the level. */
static void collect(struct level_table *table, const struct lt_schema *schema, unsigned level,
                    struct lt_buf *path, bool shared)
{
    size_t len = path->len;
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (!lt_schema_allows(row, level) || (row->flags & LT_ROW_RESERVED) != 0) {
            continue;
        }
        bool counts = shared || (row->levels & (row->levels - 1)) != 0;
        if (row->sub_level != 0 && row->sub_level != level) {
            path->len = 0;
            collect(table, row->sub, row->sub_level, path, false);
            path->len = len;
            continue;
        }
        lt_buf_printf(path, "%s%s", len > 0 ? "." : "", row->name);
        if (row->type == LT_T_OBJECT) {
            collect(table, row->sub, level, path, counts);
        } else if (counts) {
            note_level(table, lt_buf_view(path), level);
        }
        path->len = len;
    }
}

static void add_levels(const struct lt_schema *root, struct lt_buf *out)
{
    struct level_table table = {.n = 0};
    struct lt_buf path;
    char space[PATH_LEN];
    lt_buf_init_fixed(&path, space, sizeof(space));
    collect(&table, root, 0, &path, false);
    lt_buf_str(out, LT_STR("## Which key may stand where\n\n"
                           "Some keys may stand at several levels; the later one wins. On the "
                           "client's side: built-in default < `defaults` < listener < site < "
                           "route. On the servers' side: built-in default < `defaults.upstream` < "
                           "`preset` < upstream.\n\n| key |"));
    for (size_t i = 0; i < lt_countof(levels); i++) {
        lt_buf_printf(out, " `%s` |", levels[i].name);
    }
    lt_buf_str(out, LT_STR("\n|---|"));
    for (size_t i = 0; i < lt_countof(levels); i++) {
        lt_buf_str(out, LT_STR(":-:|"));
    }
    lt_buf_char(out, '\n');
    for (size_t i = 0; i < table.n; i++) {
        lt_buf_printf(out, "| `%s` |", table.rows[i].name);
        for (size_t j = 0; j < lt_countof(levels); j++) {
            bool may = (table.rows[i].levels & levels[j].level) != 0;
            lt_buf_str(out, may ? LT_STR(" x |") : LT_STR("  |"));
        }
        lt_buf_char(out, '\n');
    }
    lt_buf_char(out, '\n');
}

/* ---- the options ---- */

/* Text for a cell of a table. */
static void add_cell(struct lt_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        lt_buf_str(out, *text == '|' ? LT_STR("\\|") : lt_str(text, 1));
    }
}

/* Whether sub-objects of this level are described elsewhere: `defaults` repeats others' keys. */
static bool repeats(unsigned level)
{
    return level == LT_LEVEL_DEFAULTS || level == LT_LEVEL_DEFAULTS_UPSTREAM;
}

static void add_option(const struct lt_row *row, struct lt_buf *out)
{
    lt_buf_printf(out, "| `%s` | ", row->name);
    lt_config_describe(row, true, out);
    lt_buf_str(out, LT_STR(" | "));
    if ((row->flags & LT_ROW_REQUIRED) != 0) {
        lt_buf_str(out, LT_STR("required"));
    } else if (row->def != NULL) {
        lt_buf_printf(out, "`%s`", row->def[0] != '\0' ? row->def : "\"\"");
    }
    lt_buf_str(out, LT_STR(" | "));
    add_cell(out, row->doc);
    if ((row->flags & LT_ROW_RESTART) != 0) {
        lt_buf_str(out, LT_STR(" A change takes effect at the next start."));
    }
    lt_buf_printf(out, " | %s |\n", row->since);
}

static void add_shorthands(const struct lt_schema *schema, struct lt_buf *out)
{
    if (schema->shorthand != NULL) {
        lt_buf_printf(out, "A single value stands for `%s`. ", schema->shorthand);
    }
    if (schema->shorthand_list != NULL) {
        lt_buf_printf(out, "A list stands for `%s`. ", schema->shorthand_list);
    }
    if (schema->shorthand_map != NULL) {
        lt_buf_printf(out, "A mapping without these keys stands for `%s`. ", schema->shorthand_map);
    }
    if (schema->open) {
        lt_buf_str(out, LT_STR("Further keys are allowed. "));
    }
}

static void add_section(const struct lt_schema *schema, unsigned level, struct lt_buf *path,
                        struct lt_buf *out)
{
    size_t len = path->len;
    if (len > 0) {
        lt_buf_printf(out, "## `%.*s`\n\n", LT_STR_ARG(lt_buf_view(path)));
    } else {
        lt_buf_str(out, LT_STR("## Top level\n\n"));
    }
    lt_buf_printf(out, "%s ", schema->doc);
    add_shorthands(schema, out);
    while (out->len > 0 && out->p[out->len - 1] == ' ') {
        out->len--;
    }
    lt_buf_str(out,
               LT_STR("\n\n| key | value | default | meaning | since |\n|---|---|---|---|---|\n"));
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (lt_schema_allows(row, level) && (row->flags & LT_ROW_RESERVED) == 0) {
            add_option(row, out);
        }
    }
    lt_buf_char(out, '\n');
    for (size_t i = 0; i < schema->n_rows && !repeats(level); i++) {
        const struct lt_row *row = &schema->rows[i];
        if (row->sub == NULL || !lt_schema_allows(row, level) ||
            (row->flags & LT_ROW_RESERVED) != 0) {
            continue;
        }
        lt_buf_printf(path, "%s%s%s", len > 0 ? "." : "", row->name,
                      row->type == LT_T_LIST  ? "[]"
                      : row->type == LT_T_MAP ? ".*"
                                              : "");
        add_section(row->sub, row->sub_level != 0 ? row->sub_level : level, path, out);
        path->len = len;
    }
}

void lt_config_reference(const struct lt_schema *root, struct lt_buf *out)
{
    struct lt_buf path;
    char space[PATH_LEN];
    lt_buf_init_fixed(&path, space, sizeof(space));
    lt_buf_str(
        out,
        LT_STR(
            "# Configuration reference\n\n"
            "<!-- Made by `lintel show reference` from the rows in the source; do not edit. -->\n\n"
            "Every option there is. [configuration.md](configuration.md) is the guide that says "
            "how they work together; `lintel help OPTION` prints the lines about one option.\n\n"
            "`[]` stands for each element of a list, `*` for each name in a mapping.\n\n"
            "## Values\n\n"
            "| value | examples |\n|---|---|\n"
            "| text | `app`, `\"*.example.com\"` |\n"
            "| whole number | `8` |\n"
            "| true or false | `true`, `false`; nothing else |\n"
            "| duration | `500ms`, `1.5s`, `2m`, `1h`, `1d`, `0` |\n"
            "| size | `512`, `64K`, `10M`, `1G`: bytes, powers of 1024 |\n"
            "| rate | `100/1m`, `5/s` |\n"
            "| percentage | `95%`, `0.5%` |\n"
            "| address | `\":443\"`, `127.0.0.1:80`, `\"[::1]:443\"`, `unix:/run/app.sock` |\n"
            "| block of addresses | `10.0.0.0/8`, `\"::1\"` |\n"
            "| URL | `https://example.com/path` |\n"
            "| file | a path; a relative one starts from the folder of the file it is written "
            "in |\n"
            "| secret | text that is never shown; best written as `${NAME}` or "
            "`${file:/run/secrets/name}` |\n"
            "| expression | `header.x-beta == \"1\" and method in ['GET', 'HEAD']` |\n\n"));
    add_levels(root, out);
    add_section(root, 0, &path, out);
    while (out->len > 1 && out->p[out->len - 1] == '\n' && out->p[out->len - 2] == '\n') {
        out->len--;
    }
}
