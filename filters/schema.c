/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas of filters (schema.h). The loader's thread for rows, a worker's for values. */
#include "filters/schema.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "config/types.h"
#include "filters/lib.h"
#include "filters/sandbox.h"

#define ROWS_MAX 60
#define CHOICES_MAX 64
#define ALL_ROWS_MAX 500
#define NESTED_MAX 4u /* records in records, and levels of a default */
/* Where the first value of a struct lies, and the most that one of a list or map takes. */
#define STRUCT_HEAD ((sizeof(struct lt_conf) + 15) / 16 * 16)
#define VALUE_MAX sizeof(struct lt_conf_map)

/* What filters may write as `type` and `of`. */
static const struct {
    const char *name;
    enum lt_type type;
} types[] = {
    {"string", LT_T_STRING},     {"int", LT_T_INT},       {"bool", LT_T_BOOL},
    {"duration", LT_T_DURATION}, {"size", LT_T_SIZE},     {"rate", LT_T_RATE},
    {"percent", LT_T_PERCENT},   {"url", LT_T_URL},       {"enum", LT_T_ENUM},
    {"list", LT_T_LIST},         {"map", LT_T_MAP},       {"secret", LT_T_SECRET},
    {"expr", LT_T_EXPR},         {"record", LT_T_OBJECT}, {"template", LT_T_TEMPLATE},
    {"file", LT_T_FILE},
};

struct reader {
    lua_State *L;
    struct lt_schema_load *load;
    const char *name; /* of the row */
    unsigned depth;   /* records around it */
    size_t n_rows;    /* read so far */
};

static void out_of_memory(struct reader *r)
{
    r->load->nomem = true;
    luaL_error(r->L, "out of memory");
}

static const char *keep(struct reader *r, const char *text)
{
    struct lt_str copy;
    if (!lt_arena_dup(r->load->arena, lt_str_c(text), &copy)) {
        out_of_memory(r);
    }
    return copy.p;
}

static enum lt_type read_type(struct reader *r, const char *key)
{
    lua_State *L = r->L;
    if (lua_getfield(L, -1, key) != LUA_TSTRING) {
        luaL_error(L, "schema: `%s` has no `%s`", r->name, key);
    }
    const char *text = lua_tostring(L, -1);
    for (size_t i = 0; i < lt_countof(types); i++) {
        if (strcmp(text, types[i].name) == 0) {
            lua_pop(L, 1);
            return types[i].type;
        }
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < lt_countof(types); i++) {
        luaL_addstring(&b, i > 0 ? ", " : "");
        luaL_addstring(&b, types[i].name);
    }
    luaL_pushresult(&b);
    luaL_error(L, "schema: `%s`: \"%s\" is not a type; there are %s", r->name, text,
               lua_tostring(L, -1));
    return LT_T_STRING;
}

/* The text of a number, string or boolean at the top of the stack. */
static const char *scalar_text(struct reader *r, const char *key)
{
    lua_State *L = r->L;
    if (lua_isboolean(L, -1)) {
        return lua_toboolean(L, -1) ? "true" : "false";
    }
    if (!lua_isstring(L, -1)) {
        luaL_error(L, "schema: `%s`: `%s` is a %s", r->name, key, luaL_typename(L, -1));
    }
    lua_pushvalue(L, -1); /* a number under a table's own key must stay one */
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (strlen(text) != len) {
        luaL_error(L, "schema: `%s`: `%s` holds a NUL byte", r->name, key);
    }
    text = keep(r, text);
    lua_pop(L, 1);
    return text;
}

static const char *read_text(struct reader *r, const char *key)
{
    const char *text = NULL;
    if (lua_getfield(r->L, -1, key) != LUA_TNIL) {
        text = scalar_text(r, key);
    }
    lua_pop(r->L, 1);
    return text;
}

static struct lt_node *new_node(struct reader *r, enum lt_node_kind kind)
{
    struct lt_node *node = lt_arena_new(r->load->arena, struct lt_node);
    if (node == NULL) {
        out_of_memory(r);
    }
    node->kind = kind;
    node->pos = lt_load_nowhere();
    return node;
}

static struct lt_node *text_node(struct reader *r, const char *text)
{
    struct lt_node *node = new_node(r, LT_NODE_SCALAR);
    node->text = node->raw = lt_str_c(text);
    node->quoted = true;
    return node;
}

static struct lt_node *value_node(struct reader *r, unsigned depth);

/* The table on top of the stack as a list. */
static struct lt_node *list_node(struct reader *r, size_t n, unsigned depth)
{
    lua_State *L = r->L;
    struct lt_node *node = new_node(r, LT_NODE_LIST);
    node->items = lt_arena_array(r->load->arena, struct lt_node *, n + 1);
    if (node->items == NULL) {
        out_of_memory(r);
    }
    for (size_t i = 1; i <= n; i++) {
        lua_geti(L, -1, (lua_Integer)i);
        node->items[node->n_items++] = value_node(r, depth);
        lua_pop(L, 1);
    }
    return node;
}

/* The table on top of the stack as a mapping. */
static struct lt_node *map_node(struct reader *r, size_t n, unsigned depth)
{
    lua_State *L = r->L;
    struct lt_node *node = new_node(r, LT_NODE_MAP);
    node->pairs = lt_arena_array(r->load->arena, struct lt_node_pair, n + 1);
    if (node->pairs == NULL) {
        out_of_memory(r);
    }
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "schema: `%s`: a key of `default` is no string", r->name);
        }
        node->pairs[node->n_pairs++] = (struct lt_node_pair){
            .key = text_node(r, keep(r, lua_tostring(L, -2))),
            .value = value_node(r, depth),
        };
    }
    return node;
}

/* A default, or a part of one, as if it had been written: the value on top of the stack. */
static struct lt_node *value_node(struct reader *r, unsigned depth)
{
    lua_State *L = r->L;
    size_t n = 0;
    if (!lua_istable(L, -1)) {
        return text_node(r, scalar_text(r, "default"));
    }
    if (depth == 0) {
        luaL_error(L, "schema: `%s`: `default` is nested too deep", r->name);
    }
    luaL_checkstack(L, 4, NULL);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        n++;
    }
    bool list = n > 0 && lua_rawlen(L, -1) == n;
    return list ? list_node(r, n, depth - 1) : map_node(r, n, depth - 1);
}

/* The default of the list or map, which is the table on top of the stack. */
static const struct lt_node *read_fallback(struct reader *r, enum lt_type type)
{
    struct lt_node *node = value_node(r, NESTED_MAX);
    if (type == LT_T_LIST && node->kind == LT_NODE_MAP && node->n_pairs == 0) {
        node->kind = LT_NODE_LIST; /* {} */
    }
    if (type == LT_T_MAP && node->kind == LT_NODE_LIST) {
        luaL_error(r->L, "schema: `%s`: a key of `default` is no string", r->name);
    }
    return node;
}

static const char *const *read_choices(struct reader *r)
{
    lua_State *L = r->L;
    if (lua_getfield(L, -1, "values") != LUA_TTABLE) {
        luaL_error(L, "schema: `%s`: an enum needs `values = {\"a\", \"b\"}`", r->name);
    }
    size_t n = (size_t)luaL_len(L, -1);
    if (n == 0 || n > CHOICES_MAX) {
        luaL_error(L, "schema: `%s`: `values` has %d entries", r->name, (int)n);
    }
    const char **choices = lt_arena_array(r->load->arena, const char *, n + 1);
    if (choices == NULL) {
        out_of_memory(r);
    }
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, -1, (lua_Integer)i + 1);
        choices[i] = scalar_text(r, "values");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return choices;
}

/* Raises what the engine said about the row, if anything; key says what for. */
static void raise_said(struct reader *r, const char *key, const struct lt_diags *said)
{
    if (lt_list_empty(&said->list)) {
        return;
    }
    const struct lt_diag *d = lt_container_of(said->list.next, struct lt_diag, link);
    bool hint = d->hint.len > 0;
    luaL_error(r->L, "schema: `%s`: `%s`: %s%s%s%s", r->name, key, d->message.p, hint ? " (" : "",
               hint ? d->hint.p : "", hint ? ")" : "");
}

/* Raises unless the engine takes text, which may be NULL, as a value of the row; key says what it
 * is written for. */
static void check_text(struct reader *r, const struct lt_row *row, enum lt_type type,
                       const char *key, const char *text)
{
    union {
        max_align_t align;
        char bytes[256];
    } value;
    struct lt_schema_load *load = r->load;
    struct lt_diags *real = load->diags, tried;
    if (text == NULL) {
        return;
    }
    lt_diags_init(&tried, load->arena);
    load->diags = &tried;
    bool ok = lt_type_parse_text(load, row, type, text, &value);
    load->diags = real;
    if (!ok) {
        raise_said(r, key, &tried);
        luaL_error(r->L, "schema: `%s`: `%s`: \"%s\" does not do", r->name, key, text);
    }
}

/* Raises unless the engine takes the default of a list or map. */
static void check_fallback(struct reader *r, const struct lt_row *row)
{
    struct lt_schema_load *load = r->load;
    struct lt_diags *real = load->diags, tried;
    if (row->fallback == NULL) {
        return;
    }
    struct lt_row alone = *row;
    alone.offset = STRUCT_HEAD;
    const struct lt_schema schema = {
        .name = row->name, .doc = "", .rows = &alone, .n_rows = 1, .size = STRUCT_HEAD + VALUE_MAX};
    void *obj = lt_arena_zalloc(load->arena, 1, schema.size);
    if (obj == NULL) {
        out_of_memory(r);
    }
    lt_diags_init(&tried, load->arena);
    load->diags = &tried;
    lt_schema_read(load, &schema, NULL, 0, obj);
    lt_schema_finish(load, obj);
    load->diags = real;
    if (load->nomem) {
        out_of_memory(r);
    }
    raise_said(r, "default", &tried);
}

/* `min` and `max`: of the type itself, or a number of bytes or entries. */
static void check_bounds(struct reader *r, const struct lt_row *row)
{
    struct lt_row plain = {.name = row->name, .type = row->type};
    switch (row->type) {
    case LT_T_STRING:
    case LT_T_SECRET:
    case LT_T_LIST:
    case LT_T_MAP:
        plain.type = LT_T_INT;
        break;
    case LT_T_INT:
    case LT_T_DURATION:
    case LT_T_SIZE:
    case LT_T_PERCENT:
        break;
    default: /* a default on purpose: the rest has no order */
        if (row->min != NULL || row->max != NULL) {
            luaL_error(r->L, "schema: `%s`: values of this type have no `min` and `max`", r->name);
        }
        return;
    }
    check_text(r, &plain, plain.type, "max", row->max);
    plain.max = row->max;
    check_text(r, &plain, plain.type, "min", row->min);
}

/* The type of a list's or map's elements: `of`, or records because there are `fields`. */
static void read_item(struct reader *r, struct lt_row *row)
{
    lua_State *L = r->L;
    int of = lua_getfield(L, -1, "of");
    int fields = lua_getfield(L, -2, "fields");
    lua_pop(L, 2);
    row->item = of == LUA_TNIL && fields != LUA_TNIL ? LT_T_OBJECT : read_type(r, "of");
    if (!lt_type_is_scalar(row->item) && row->item != LT_T_OBJECT) {
        luaL_error(L, "schema: `%s`: `of` is one of the plain types, or record", r->name);
    }
}

static void read_schema(struct reader *r, struct lt_schema *schema);

/* The `fields` of records. */
static void read_fields(struct reader *r, struct lt_row *row)
{
    lua_State *L = r->L;
    struct lt_schema *sub = lt_arena_new(r->load->arena, struct lt_schema);
    const char *name = r->name;
    if (sub == NULL) {
        out_of_memory(r);
    }
    if (lua_getfield(L, -1, "fields") != LUA_TTABLE) {
        luaL_error(L, "schema: `%s`: a record needs `fields = {NAME = {type = ...}}`", name);
    }
    if (++r->depth > NESTED_MAX) {
        luaL_error(L, "schema: `%s`: records are nested too deep", name);
    }
    *sub = (struct lt_schema){.name = name, .doc = row->doc != NULL ? row->doc : ""};
    read_schema(r, sub);
    if (sub->n_rows == 0) {
        luaL_error(L, "schema: `%s`: `fields` is empty", name);
    }
    r->depth--;
    r->name = name;
    row->sub = sub;
    lua_pop(L, 1);
}

/* What the type of the row asks for besides. */
static void read_parts(struct reader *r, struct lt_row *row)
{
    lua_State *L = r->L;
    bool many = row->type == LT_T_LIST || row->type == LT_T_MAP;
    if (many) {
        read_item(r, row);
    }
    enum lt_type type = many ? row->item : row->type;
    if (type == LT_T_ENUM) {
        row->choices = read_choices(r);
    }
    bool fields = lua_getfield(L, -1, "fields") != LUA_TNIL;
    lua_pop(L, 1);
    if (type == LT_T_OBJECT) {
        read_fields(r, row);
    } else if (fields) {
        luaL_error(L, "schema: `%s`: `fields` are those of the type record", r->name);
    }
}

static void read_default(struct reader *r, struct lt_row *row)
{
    lua_State *L = r->L;
    bool many = row->type == LT_T_LIST || row->type == LT_T_MAP;
    int type = lua_getfield(L, -1, "default");
    if (type != LUA_TNIL && row->type == LT_T_OBJECT) {
        luaL_error(L, "schema: `%s`: the fields of a record have defaults, not it itself", r->name);
    } else if (many && type == LUA_TTABLE) {
        row->fallback = read_fallback(r, row->type);
    } else if (many && type != LUA_TNIL) {
        luaL_error(L, "schema: `%s`: `default` is no table", r->name);
    } else if (type != LUA_TNIL) {
        row->def = scalar_text(r, "default");
    }
    lua_pop(L, 1);
    if ((row->def != NULL || row->fallback != NULL) && (row->flags & LT_ROW_REQUIRED) != 0) {
        luaL_error(L, "schema: `%s`: what is required needs no default", r->name);
    }
}

/* The row from the description on top of the stack. */
static void read_row(struct reader *r, struct lt_row *row)
{
    lua_State *L = r->L;
    static const char *const known[] = {"type", "of",  "fields", "default", "required",
                                        "min",  "max", "values", "doc",     "single"};
    if (!lua_istable(L, -1)) {
        luaL_error(L, "schema: `%s` is no table such as {type = \"string\"}", r->name);
    }
    luaL_checkstack(L, 12, NULL);
    lt_lua_check_keys(L, -2, lua_pushfstring(L, "schema: `%s`", r->name), known, lt_countof(known));
    lua_pop(L, 1);
    row->type = read_type(r, "type");
    row->doc = read_text(r, "doc");
    row->min = read_text(r, "min");
    row->max = read_text(r, "max");
    read_parts(r, row);
    lua_getfield(L, -1, "required");
    row->flags = lua_toboolean(L, -1) ? LT_ROW_REQUIRED : LT_ROW_ABSENT_OK;
    lua_pop(L, 1);
    lua_getfield(L, -1, "single");
    if (lua_toboolean(L, -1)) {
        if (row->type != LT_T_LIST) {
            luaL_error(L, "schema: `%s`: `single` is for lists", r->name);
        }
        row->flags |= LT_ROW_ONE_OK;
    }
    lua_pop(L, 1);
    read_default(r, row);
    check_bounds(r, row);
    check_fallback(r, row);
    check_text(r, row, row->type, "default", row->def);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_setting_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && name[n] == '\0';
}

/* The names of the rows, at most ROWS_MAX, sorted: Lua's tables have no order. */
static size_t read_names(struct reader *r, const char **names)
{
    lua_State *L = r->L;
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "schema: a key is no string");
        }
        if (n == ROWS_MAX) {
            luaL_error(L, "schema: more than %d settings", ROWS_MAX);
        }
        names[n] = keep(r, lua_tostring(L, -2));
        if (!is_setting_name(names[n])) {
            luaL_error(L, "schema: `%s`: a name is made of small letters, digits and '_'",
                       names[n]);
        }
        if (r->depth == 0 && lt_filter_conf_reserved(lt_str_c(names[n]))) {
            luaL_error(L, "schema: `%s` is a key of every filter", names[n]);
        }
        n++;
    }
    qsort(names, n, sizeof(names[0]), by_name);
    return n;
}

/* The rows of the table on top of the stack; schema has its name and doc. */
static void read_schema(struct reader *r, struct lt_schema *schema)
{
    struct lt_arena *arena = r->load->arena;
    const char **names = lt_arena_array(arena, const char *, ROWS_MAX);
    if (names == NULL) {
        out_of_memory(r);
    }
    size_t n = read_names(r, names), size = STRUCT_HEAD;
    struct lt_row *rows = lt_arena_array(arena, struct lt_row, n + 1);
    if (rows == NULL) {
        out_of_memory(r);
    }
    r->n_rows += n;
    if (r->n_rows > ALL_ROWS_MAX) {
        luaL_error(r->L, "schema: more than %d settings, those of records included", ALL_ROWS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        r->name = rows[i].name = names[i];
        rows[i].since = "0.1";
        rows[i].offset = size;
        lua_getfield(r->L, -1, names[i]);
        read_row(r, &rows[i]);
        lua_pop(r->L, 1);
        size += (lt_type_size(rows[i].type, rows[i].sub) + 15) / 16 * 16;
    }
    schema->rows = rows;
    schema->n_rows = n;
    schema->size = size;
}

void lt_filter_schema_from_lua(lua_State *L, struct lt_schema_load *load,
                               struct lt_filter_file *file)
{
    struct reader r = {.L = L, .load = load};
    static const struct lt_row none;
    struct lt_schema schema = {.name = file->name.p, .doc = "", .rows = &none, .size = STRUCT_HEAD};
    if (!lua_isnil(L, -1)) {
        if (!lua_istable(L, -1)) {
            luaL_error(L, "`schema` is no table");
        }
        read_schema(&r, &schema);
    }
    file->schema = schema;
}
