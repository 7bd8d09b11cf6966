/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON Schema from the rows, for editors that check and complete YAML. Any scalar may be written
 * as a text with ${...} in it. Any thread. */
#include "config/reference.h"
#include "config/schema_impl.h"

#define VARIABLE "\"pattern\":\"\\\\$\\\\{\""

static void add_object(const struct lt_schema *schema, unsigned level, struct lt_buf *out);

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
static void add_type(const struct lt_row *row, enum lt_type type, unsigned level,
                     struct lt_buf *out)
{
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
        add_object(row->sub, row->sub_level != 0 ? row->sub_level : level, out);
        break;
    case LT_T_LIST:
        if ((row->flags & LT_ROW_ONE_OK) != 0) {
            lt_buf_str(out, LT_STR("\"anyOf\":[{"));
            add_type(row, row->item, level, out);
            lt_buf_str(out, LT_STR("},{"));
        }
        lt_buf_str(out, LT_STR("\"type\":\"array\",\"items\":{"));
        add_type(row, row->item, level, out);
        lt_buf_str(out,
                   (row->flags & LT_ROW_NONEMPTY) != 0 ? LT_STR("},\"minItems\":1") : LT_STR("}"));
        lt_buf_str(out, (row->flags & LT_ROW_ONE_OK) != 0 ? LT_STR("}]") : LT_STR(""));
        break;
    case LT_T_MAP:
        lt_buf_str(out, LT_STR("\"type\":\"object\",\"additionalProperties\":{"));
        add_type(row, row->item, level, out);
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

static void add_properties(const struct lt_schema *schema, unsigned level, struct lt_buf *out)
{
    const char *between = "";
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
            add_type(row, row->type, level, out);
        }
        lt_buf_char(out, '}');
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
}

/* The short form in which a whole object may be written. */
static void add_short(const struct lt_schema *schema, const char *name, unsigned level,
                      struct lt_buf *out)
{
    if (name != NULL) {
        const struct lt_row *row = &schema->rows[lt_schema_find(schema, lt_str_c(name))];
        lt_buf_str(out, LT_STR(",{"));
        add_type(row, row->type, level, out);
        lt_buf_char(out, '}');
    }
}

static void add_object(const struct lt_schema *schema, unsigned level, struct lt_buf *out)
{
    bool brief = schema->shorthand != NULL || schema->shorthand_list != NULL ||
                 schema->shorthand_map != NULL;
    if (!brief) {
        add_properties(schema, level, out);
        return;
    }
    lt_buf_str(out, LT_STR("\"anyOf\":[{"));
    add_properties(schema, level, out);
    lt_buf_char(out, '}');
    add_short(schema, schema->shorthand, level, out);
    add_short(schema, schema->shorthand_list, level, out);
    add_short(schema, schema->shorthand_map, level, out);
    lt_buf_char(out, ']');
}

void lt_config_json_schema(const struct lt_schema *root, const char *title, struct lt_buf *out)
{
    lt_buf_str(out, LT_STR("{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
                           "\"title\":"));
    lt_buf_json_str(out, lt_str_c(title));
    lt_buf_char(out, ',');
    add_object(root, 0, out);
    lt_buf_str(out, LT_STR("}\n"));
}
