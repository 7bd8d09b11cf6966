/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar types of options: names and sizes, text to value. Loader thread. */
#include "config/types.h"

#include <limits.h>
#include <stdio.h>

#include "base/endpoint.h"
#include "config/expr.h"
#include "config/file.h"
#include "config/redact.h"
#include "config/template.h"
#include "config/units.h"

/* One value on its way: what the parsers below get. */
struct parse {
    struct lt_schema_load *load;
    const struct lt_row *row;
    const struct lt_node *node;
    struct lt_str text;
    const char *hint; /* set by a parser that refuses */
    bool secret;      /* set by a parser that refuses: the text is not to be shown */
    char space[160];  /* for hints that are put together */
};

/* Stores the value; on error gives what the text is not, for `"text" MESSAGE`. An empty message:
 * said already. */
typedef const char *(*parse_fn)(struct parse *p, void *out);

static const char nomem[] = "";

static const char *parse_string(struct parse *p, void *out)
{
    *(struct lt_str *)out = p->text;
    if ((p->row->flags & LT_ROW_NONEMPTY) != 0 && p->text.len == 0) {
        return "may not be empty";
    }
    return NULL;
}

static const char *parse_int(struct parse *p, void *out)
{
    struct lt_str digits = p->text;
    uint64_t v;
    for (int i = 0; p->row->choices != NULL && p->row->choices[i] != NULL; i++) {
        if (lt_str_eq_c(p->text, p->row->choices[i])) {
            *(int64_t *)out = -1 - i;
            return NULL;
        }
    }
    bool negative = digits.len > 0 && digits.p[0] == '-';
    if (negative) {
        digits = lt_str_sub(digits, 1, digits.len);
    }
    if (!lt_str_to_u64(digits, &v) || v > INT64_MAX) {
        if (p->row->choices != NULL) {
            snprintf(p->space, sizeof(p->space), "write a whole number or `%s`",
                     p->row->choices[0]);
            p->hint = p->space;
        }
        p->hint = p->hint != NULL ? p->hint : "write digits alone, as in 8";
        return "is not a whole number";
    }
    if (negative && p->row->choices != NULL) {
        snprintf(p->space, sizeof(p->space), "the least is %s",
                 p->row->min != NULL ? p->row->min : "0");
        p->hint = p->space;
        return "is too small"; /* negative numbers stand for the words */
    }
    *(int64_t *)out = negative ? -(int64_t)v : (int64_t)v;
    return NULL;
}

static const char *parse_bool(struct parse *p, void *out)
{
    static const char *const yes[] = {"yes", "on", "True", "TRUE", "1"};
    static const char *const no[] = {"no", "off", "False", "FALSE", "0"};
    *(bool *)out = lt_str_eq_c(p->text, "true");
    if (*(bool *)out || lt_str_eq_c(p->text, "false")) {
        return NULL;
    }
    p->hint = "write `true` or `false`";
    for (size_t i = 0; i < lt_countof(yes); i++) {
        if (lt_str_eq_c(p->text, yes[i])) {
            p->hint = "write `true`";
        } else if (lt_str_eq_c(p->text, no[i])) {
            p->hint = "write `false`";
        }
    }
    return "is neither true nor false";
}

static const char *parse_duration(struct parse *p, void *out)
{
    p->hint = "write a number and a unit, as in 500ms, 1.5s, 2m, 1h or 1d";
    return lt_units_duration(p->text, out) ? NULL : "is not a duration";
}

static const char *parse_size(struct parse *p, void *out)
{
    p->hint = "write bytes, or a number with K, M or G, as in 512, 64K or 10M";
    return lt_units_size(p->text, out) ? NULL : "is not a size";
}

static const char *parse_rate(struct parse *p, void *out)
{
    p->hint = "write a count and a time, as in 100/1m or 5/s";
    return lt_units_rate(p->text, out) ? NULL : "is not a rate";
}

static const char *parse_percent(struct parse *p, void *out)
{
    /* More than the whole is a percentage only where the row's bounds say so. */
    bool beyond = p->row->type == LT_T_PERCENT && p->row->max != NULL;
    p->hint = beyond ? "write a number with %, as in 125%"
                     : "write a number up to 100 with %, as in 95% or 0.5%";
    return lt_units_percent(p->text, out) && (beyond || *(uint32_t *)out <= 10000)
               ? NULL
               : "is not a percentage";
}

/* The file's own folder is where relative paths start. */
static bool absolute(struct parse *p, struct lt_str path, struct lt_str *out)
{
    struct lt_str dir = p->node->pos.source != NULL ? p->node->pos.source->dir : LT_STR_NONE;
    if (!lt_file_join(p->load->arena, dir, path, out)) {
        p->load->nomem = true;
        return false;
    }
    return true;
}

/* The text of an address with the path of a Unix socket made absolute; false without memory. */
static bool address_text(struct parse *p, struct lt_str *text)
{
    struct lt_str path;
    *text = p->text;
    if (!lt_str_starts(*text, LT_STR("unix:")) || text->len <= 5 || text->p[5] == '/' ||
        text->p[5] == '@') {
        return true;
    }
    if (!absolute(p, lt_str_sub(*text, 5, text->len), &path) ||
        !lt_arena_printf(p->load->arena, text, "unix:%.*s", LT_STR_ARG(path))) {
        p->load->nomem = true;
        return false;
    }
    return true;
}

static const char *not_an_address(struct parse *p, struct lt_str text, const char *why)
{
    size_t from = 0, to;
    p->secret = lt_redact_userinfo(text, &from, &to);
    p->hint = p->secret ? "write host and port alone, without user and password" : why;
    return "is not an address";
}

static const char *parse_address(struct parse *p, void *out)
{
    struct lt_str text;
    const char *why = NULL;
    if (!address_text(p, &text)) {
        return nomem;
    }
    return lt_addr_parse(text, out, &why) == LT_OK ? NULL : not_an_address(p, text, why);
}

static const char *parse_endpoint(struct parse *p, void *out)
{
    struct lt_str text;
    const char *why = NULL;
    if (!address_text(p, &text)) {
        return nomem;
    }
    return lt_endpoint_parse(text, out, &why) == LT_OK ? NULL : not_an_address(p, text, why);
}

static const char *parse_cidr(struct parse *p, void *out)
{
    const char *why = NULL;
    if (lt_cidr_parse(p->text, out, &why) != LT_OK) {
        p->hint = why;
        return "is not a block of addresses";
    }
    return NULL;
}

static const char *parse_url(struct parse *p, void *out)
{
    struct lt_str rest = p->text;
    p->hint = "write an absolute URL, as in https://host:8443/path";
    if (lt_str_starts(rest, LT_STR("https://"))) {
        rest = lt_str_sub(rest, 8, rest.len);
    } else if (lt_str_starts(rest, LT_STR("http://"))) {
        rest = lt_str_sub(rest, 7, rest.len);
    } else {
        return "is not an http or https URL";
    }
    for (size_t i = 0; i < rest.len; i++) {
        if ((unsigned char)rest.p[i] <= ' ' || (unsigned char)rest.p[i] >= 0x7f ||
            strchr("\"<>\\^`{|}", rest.p[i]) != NULL) {
            return "holds a character that a URL can't hold";
        }
    }
    size_t end = 0;
    while (end < rest.len && strchr("/?#", rest.p[end]) == NULL) {
        end++;
    }
    struct lt_str authority = lt_str_sub(rest, 0, end);
    if (authority.len == 0 || authority.p[0] == ':') {
        return "has no host";
    }
    if (lt_str_chr(authority, '@', 0) != SIZE_MAX) {
        return "may not hold a user or password";
    }
    *(struct lt_str *)out = p->text;
    return NULL;
}

static const char *parse_enum(struct parse *p, void *out)
{
    struct lt_buf all;
    size_t n = 0;
    for (; p->row->choices[n] != NULL; n++) {
        if (lt_str_eq_c(p->text, p->row->choices[n])) {
            *(int *)out = (int)n;
            return NULL;
        }
    }
    const char *close = lt_schema_closest(p->text, p->row->choices, n);
    lt_buf_init_fixed(&all, p->space, sizeof(p->space) - 1);
    if (close != NULL) {
        lt_buf_printf(&all, "did you mean \"%s\"?", close);
    } else {
        for (size_t i = 0; i < n; i++) {
            lt_buf_printf(&all, "%s%s", i == 0 ? "write one of: " : ", ", p->row->choices[i]);
        }
    }
    p->space[all.len] = '\0';
    p->hint = p->space;
    return "is not one of the choices";
}

static const char *parse_file(struct parse *p, void *out)
{
    if (p->text.len == 0) {
        return "is not a path";
    }
    return absolute(p, p->text, out) ? NULL : nomem;
}

static const char *parse_expr(struct parse *p, void *out)
{
    struct lt_pos pos = p->node->pos;
    pos.col += p->node->quoted;
    *(struct lt_expr **)out = lt_expr_compile(p->load->arena, p->load->diags, pos, p->text);
    return *(struct lt_expr **)out != NULL ? NULL : nomem;
}

static const char *parse_template(struct parse *p, void *out)
{
    struct lt_pos pos = p->node->pos;
    pos.col += p->node->quoted;
    *(struct lt_template **)out = lt_template_compile(p->load->arena, p->load->diags, pos, p->text);
    return *(struct lt_template **)out != NULL ? NULL : nomem;
}

static const struct {
    const char *name;
    size_t size;
    parse_fn parse; /* NULL: not a scalar */
} types[] = {
    [LT_T_STRING] = {"text", sizeof(struct lt_str), parse_string},
    [LT_T_INT] = {"whole number", sizeof(int64_t), parse_int},
    [LT_T_BOOL] = {"true or false", sizeof(bool), parse_bool},
    [LT_T_DURATION] = {"duration", sizeof(uint64_t), parse_duration},
    [LT_T_SIZE] = {"size", sizeof(uint64_t), parse_size},
    [LT_T_RATE] = {"rate", sizeof(struct lt_rate), parse_rate},
    [LT_T_PERCENT] = {"percentage", sizeof(uint32_t), parse_percent},
    [LT_T_ADDRESS] = {"address", sizeof(struct lt_addr), parse_address},
    [LT_T_ENDPOINT] = {"address", sizeof(struct lt_endpoint), parse_endpoint},
    [LT_T_CIDR] = {"block of addresses", sizeof(struct lt_cidr), parse_cidr},
    [LT_T_URL] = {"URL", sizeof(struct lt_str), parse_url},
    [LT_T_ENUM] = {"choice", sizeof(int), parse_enum},
    [LT_T_REGEX] = {"regular expression", sizeof(struct lt_str), parse_string},
    [LT_T_SECRET] = {"secret", sizeof(struct lt_str), parse_string},
    [LT_T_FILE] = {"file", sizeof(struct lt_str), parse_file},
    [LT_T_EXPR] = {"expression", sizeof(struct lt_expr *), parse_expr},
    [LT_T_TEMPLATE] = {"text with expressions", sizeof(struct lt_template *), parse_template},
    [LT_T_OBJECT] = {"mapping", 0, NULL},
    [LT_T_LIST] = {"list", sizeof(struct lt_conf_list), NULL},
    [LT_T_MAP] = {"mapping", sizeof(struct lt_conf_map), NULL},
    [LT_T_NODE] = {"any value", sizeof(struct lt_node *), NULL},
};

size_t lt_type_size(enum lt_type type, const struct lt_schema *sub)
{
    return type == LT_T_OBJECT ? sub->size : types[type].size;
}

const char *lt_type_name(enum lt_type type)
{
    return types[type].name;
}

bool lt_type_is_scalar(enum lt_type type)
{
    return types[type].parse != NULL;
}

/* The value as a number to compare with its bounds; strings count their bytes. */
static bool as_number(enum lt_type type, const void *value, int64_t *out)
{
    uint64_t v = 0;
    if (type == LT_T_INT) {
        *out = *(const int64_t *)value;
        return true;
    }
    if (type == LT_T_DURATION || type == LT_T_SIZE) {
        v = *(const uint64_t *)value;
    } else if (type == LT_T_PERCENT) {
        v = *(const uint32_t *)value;
    } else if (type == LT_T_STRING || type == LT_T_SECRET) {
        v = ((const struct lt_str *)value)->len;
    } else {
        return false;
    }
    *out = (int64_t)lt_min(v, (uint64_t)INT64_MAX);
    return true;
}

/* A bound of the row as a number. */
static int64_t bound(const struct parse *p, enum lt_type type, const char *text)
{
    union {
        int64_t i;
        uint64_t u;
        uint32_t percent;
        struct lt_str text; /* what the widest type takes */
    } v = {.text = LT_STR_NONE};
    int64_t n = 0;
    struct lt_row plain = *p->row;
    plain.choices = NULL;
    struct parse b = {.load = p->load, .row = &plain, .node = p->node, .text = lt_str_c(text)};
    if (type == LT_T_STRING || type == LT_T_SECRET) {
        type = LT_T_INT;
    }
    if (types[type].parse(&b, &v) == NULL) {
        as_number(type, &v, &n);
    }
    return n;
}

static const char *check_bounds(struct parse *p, enum lt_type type, const void *value)
{
    int64_t n;
    bool text = type == LT_T_STRING || type == LT_T_SECRET;
    bool word = type == LT_T_INT && p->row->choices != NULL && *(const int64_t *)value < 0;
    if (word || !as_number(type, value, &n)) {
        return NULL;
    }
    if (p->row->min != NULL && n < bound(p, type, p->row->min)) {
        snprintf(p->space, sizeof(p->space), "the least is %s%s", p->row->min,
                 text ? " bytes" : "");
        p->hint = p->space;
        return text ? "is too short" : "is too small";
    }
    if (p->row->max != NULL && n > bound(p, type, p->row->max)) {
        snprintf(p->space, sizeof(p->space), "the most is %s%s", p->row->max, text ? " bytes" : "");
        p->hint = p->space;
        return text ? "is too long" : "is too large";
    }
    return NULL;
}

bool lt_type_parse(struct lt_schema_load *load, const struct lt_row *row, enum lt_type type,
                   struct lt_str name, const struct lt_node *node, void *out)
{
    struct parse p = {.load = load, .row = row, .node = node, .text = node->text};
    const char *wrong = types[type].parse(&p, out);
    /* Bounds of lists and maps are those of their length, not of what is in them. */
    if (wrong == NULL && type != LT_T_ENUM && type == row->type) {
        p.hint = NULL;
        wrong = check_bounds(&p, type, out);
    }
    if (wrong == NULL) {
        return true;
    }
    if (wrong[0] == '\0') {
        return false;
    }
    if (type == LT_T_SECRET || (row->flags & LT_ROW_SECRET) != 0 || p.secret) {
        lt_diag_error(load->diags, node->pos, p.hint, "%.*s: the value %s", LT_STR_ARG(name),
                      wrong);
    } else {
        struct lt_str shown = lt_str_sub(node->raw, 0, 100);
        lt_diag_error(load->diags, node->pos, p.hint, "%.*s: \"%.*s\"%s %s", LT_STR_ARG(name),
                      LT_STR_ARG(shown), node->substituted ? " (once filled in)" : "", wrong);
    }
    return false;
}

bool lt_type_parse_text(struct lt_schema_load *load, const struct lt_row *row, enum lt_type type,
                        const char *text, void *out)
{
    struct lt_node node = {
        .kind = LT_NODE_SCALAR, .text = lt_str_c(text), .raw = lt_str_c(text), .quoted = true};
    return lt_type_parse(load, row, type, lt_str_c(row->name), &node, out);
}

void lt_type_print(const struct lt_row *row, enum lt_type type, const void *value,
                   struct lt_buf *out)
{
    char text[LT_ENDPOINT_TEXT_MAX];
    switch (type) {
    case LT_T_STRING:
    case LT_T_URL:
    case LT_T_REGEX:
    case LT_T_SECRET:
    case LT_T_FILE:
        lt_buf_str(out, *(const struct lt_str *)value);
        break;
    case LT_T_INT:
        if (row->choices != NULL && *(const int64_t *)value < 0) {
            lt_buf_str(out, lt_str_c(row->choices[-1 - *(const int64_t *)value]));
        } else {
            lt_buf_printf(out, "%lld", (long long)*(const int64_t *)value);
        }
        break;
    case LT_T_BOOL:
        lt_buf_str(out, *(const bool *)value ? LT_STR("true") : LT_STR("false"));
        break;
    case LT_T_DURATION:
        lt_units_print_duration(*(const uint64_t *)value, out);
        break;
    case LT_T_SIZE:
        lt_units_print_size(*(const uint64_t *)value, out);
        break;
    case LT_T_RATE: {
        const struct lt_rate *rate = value;
        lt_buf_printf(out, "%u/", rate->count);
        lt_units_print_duration(rate->period_ms, out);
        break;
    }
    case LT_T_PERCENT:
        lt_units_print_percent(*(const uint32_t *)value, out);
        break;
    case LT_T_ADDRESS:
        lt_buf_add(out, text, lt_addr_print(value, text));
        break;
    case LT_T_ENDPOINT:
        lt_buf_add(out, text, lt_endpoint_print(value, text));
        break;
    case LT_T_CIDR:
        lt_buf_add(out, text, lt_cidr_print(value, text));
        break;
    case LT_T_ENUM:
        lt_buf_str(out, lt_str_c(row->choices[*(const int *)value]));
        break;
    case LT_T_EXPR: {
        const struct lt_expr *expr = *(struct lt_expr *const *)value;
        lt_buf_str(out, expr != NULL ? lt_expr_source(expr) : LT_STR_NONE);
        break;
    }
    case LT_T_TEMPLATE: {
        const struct lt_template *t = *(struct lt_template *const *)value;
        lt_buf_str(out, t != NULL ? t->source : LT_STR_NONE);
        break;
    }
    case LT_T_OBJECT:
    case LT_T_LIST:
    case LT_T_MAP:
    case LT_T_NODE:
        break;
    }
}
