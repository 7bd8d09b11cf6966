/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON Schema from the rows, for editors that check and complete YAML. Any scalar may be written
 * as a text with ${...} in it. Any thread. */
#include "config/reference.h"
#include "config/schema_impl.h"

#define VARIABLE "\"pattern\":\"\\\\$\\\\{\""

struct writer {
    struct lt_buf *out;
    const struct lt_json_schema_more *more; /* or NULL */
};

static void add_object(struct writer *w, const struct lt_schema *schema, unsigned level);

/* Numbers of bounds are only given where JSON has the same unit. */
static void add_int(const struct lt_row *row, struct lt_buf *out)
{
    lt_buf_str(out, LT_STR("\"anyOf\":[{\"type\":\"integer\""));
    if (row->min != NULL) {
        lt_buf_printf(out, ",\"minimum\":%s", row->min);
    }
    if (row->max != NULL) {
        lt_buf_printf(out, ",\"maximum\":%s", row->max);
    }
    lt_buf_char(out, '}');
    if (row->choices != NULL) {
        lt_buf_str(out, LT_STR(",{\"enum\":["));
        for (size_t i = 0; row->choices[i] != NULL; i++) {
            lt_buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", row->choices[i]);
        }
        lt_buf_str(out, LT_STR("]}"));
    }
    lt_buf_str(out, LT_STR(",{\"type\":\"string\"," VARIABLE "}]"));
}

static void add_enum(const struct lt_row *row, struct lt_buf *out)
{
    lt_buf_str(out, LT_STR("\"anyOf\":[{\"enum\":["));
    for (size_t i = 0; row->choices[i] != NULL; i++) {
        const char *choice = row->choices[i];
        /* 1.2 is a number to an editor. */
        bool number = lt_char_is_digit(choice[0]);
        lt_buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", choice);
        if (number) {
            lt_buf_printf(out, ",%s", choice);
        }
    }
    lt_buf_str(out, LT_STR("]},{\"type\":\"string\"," VARIABLE "}]"));
}

static void add_pattern(const char *pattern, struct lt_buf *out)
{
    lt_buf_printf(out, "\"type\":[\"string\",\"integer\"],\"pattern\":\"%s|\\\\$\\\\{\"", pattern);
}

/* The members that say what a value of type looks like. */
static void add_type(struct writer *w, const struct lt_row *row, enum lt_type type, unsigned level)
{
    struct lt_buf *out = w->out;
    switch (type) {
    case LT_T_STRING:
    case LT_T_REGEX:
    case LT_T_SECRET:
    case LT_T_EXPR:
    case LT_T_TEMPLATE:
    case LT_T_FILE:
    case LT_T_ADDRESS:
    case LT_T_ENDPOINT:
    case LT_T_CIDR:
    case LT_T_URL:
        lt_buf_str(out, LT_STR("\"type\":[\"string\",\"number\",\"boolean\"]"));
        break;
    case LT_T_INT:
        add_int(row, out);
        break;
    case LT_T_BOOL:
        lt_buf_str(out,
                   LT_STR("\"anyOf\":[{\"type\":\"boolean\"},{\"type\":\"string\"," VARIABLE "}]"));
        break;
    case LT_T_DURATION:
        add_pattern("^(0|[0-9]+(\\\\.[0-9]+)?(ms|s|m|h|d))$", out);
        break;
    case LT_T_SIZE:
        add_pattern("^[0-9]+(\\\\.[0-9]+)?[KMGT]?$", out);
        break;
    case LT_T_RATE:
        add_pattern("^[0-9]+/([0-9]+(\\\\.[0-9]+)?)?(ms|s|m|h|d)$", out);
        break;
    case LT_T_PERCENT:
        add_pattern("^[0-9]+(\\\\.[0-9]+)?%$", out);
        break;
    case LT_T_ENUM:
        add_enum(row, out);
        break;
    case LT_T_OBJECT:
        add_object(w, row->sub, row->sub_level != 0 ? row->sub_level : level);
        break;
    case LT_T_LIST:
        if ((row->flags & LT_ROW_ONE_OK) != 0) {
            lt_buf_str(out, LT_STR("\"anyOf\":[{"));
            add_type(w, row, row->item, level);
            lt_buf_str(out, LT_STR("},{"));
        }
        lt_buf_str(out, LT_STR("\"type\":\"array\",\"items\":{"));
        add_type(w, row, row->item, level);
        lt_buf_str(out,
                   (row->flags & LT_ROW_NONEMPTY) != 0 ? LT_STR("},\"minItems\":1") : LT_STR("}"));
        lt_buf_str(out, (row->flags & LT_ROW_ONE_OK) != 0 ? LT_STR("}]") : LT_STR(""));
        break;
    case LT_T_MAP:
        lt_buf_str(out, LT_STR("\"type\":\"object\",\"additionalProperties\":{"));
        add_type(w, row, row->item, level);
        lt_buf_char(out, '}');
        break;
    case LT_T_NODE:
        break;
    }
}

static bool is_key(const struct lt_row *row, unsigned level)
{
    return lt_schema_allows(row, level) && (row->flags & LT_ROW_RESERVED) == 0;
}

/* around: its rows may stand there as well; or NULL. */
static void add_properties(struct writer *w, const struct lt_schema *schema, unsigned level,
                           const struct lt_schema *around)
{
    const char *between = "";
    struct lt_buf *out = w->out;
    lt_buf_str(out, LT_STR("\"type\":\"object\",\"properties\":{"));
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (!is_key(row, level)) {
            continue;
        }
        lt_buf_printf(out, "%s\"%s\":{\"description\":", between, row->name);
        lt_buf_json_str(out, lt_str_c(row->doc));
        if (row->type != LT_T_NODE) {
            lt_buf_char(out, ',');
            add_type(w, row, row->type, level);
        }
        lt_buf_char(out, '}');
        between = ",";
    }
    for (size_t i = 0; around != NULL && i < around->n_rows; i++) {
        lt_buf_printf(out, "%s\"%s\":true", between, around->rows[i].name);
        between = ",";
    }
    lt_buf_str(out, LT_STR("},\"required\":["));
    between = "";
    for (size_t i = 0; i < schema->n_rows; i++) {
        if (is_key(&schema->rows[i], level) && (schema->rows[i].flags & LT_ROW_REQUIRED) != 0) {
            lt_buf_printf(out, "%s\"%s\"", between, schema->rows[i].name);
            between = ",";
        }
    }
    lt_buf_printf(out, "],\"additionalProperties\":%s", schema->open ? "true" : "false");
    if (w->more != NULL && w->more->of == schema) {
        w->more->add(w->more->arg, out);
    }
}

/* The short form in which a whole object may be written. */
static void add_short(struct writer *w, const struct lt_schema *schema, const char *name,
                      unsigned level)
{
    if (name != NULL) {
        const struct lt_row *row = &schema->rows[lt_schema_find(schema, lt_str_c(name))];
        lt_buf_str(w->out, LT_STR(",{"));
        add_type(w, row, row->type, level);
        lt_buf_char(w->out, '}');
    }
}

static void add_object(struct writer *w, const struct lt_schema *schema, unsigned level)
{
    struct lt_buf *out = w->out;
    bool brief = schema->shorthand != NULL || schema->shorthand_list != NULL ||
                 schema->shorthand_map != NULL;
    if (!brief) {
        add_properties(w, schema, level, NULL);
        return;
    }
    lt_buf_str(out, LT_STR("\"anyOf\":[{"));
    add_properties(w, schema, level, NULL);
    lt_buf_char(out, '}');
    add_short(w, schema, schema->shorthand, level);
    add_short(w, schema, schema->shorthand_list, level);
    add_short(w, schema, schema->shorthand_map, level);
    lt_buf_char(out, ']');
}

void lt_config_json_schema(const struct lt_schema *root, const char *title,
                           const struct lt_json_schema_more *more, struct lt_buf *out)
{
    struct writer w = {.out = out, .more = more};
    lt_buf_str(out, LT_STR("{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
                           "\"title\":"));
    lt_buf_json_str(out, lt_str_c(title));
    lt_buf_char(out, ',');
    add_object(&w, root, 0);
    lt_buf_str(out, LT_STR("}\n"));
}

void lt_config_json_schema_object(const struct lt_schema *schema, const struct lt_schema *around,
                                  struct lt_buf *out)
{
    struct writer w = {.out = out};
    add_properties(&w, schema, 0, around);
}
