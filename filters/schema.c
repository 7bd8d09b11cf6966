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

/* What filters may write as `type` and `of`. */
static const struct {
    const char *name;
    enum lt_type type;
} types[] = {
    {"string", LT_T_STRING},     {"int", LT_T_INT},   {"bool", LT_T_BOOL},
    {"duration", LT_T_DURATION}, {"size", LT_T_SIZE}, {"rate", LT_T_RATE},
    {"percent", LT_T_PERCENT},   {"url", LT_T_URL},   {"enum", LT_T_ENUM},
    {"list", LT_T_LIST},         {"map", LT_T_MAP},   {"secret", LT_T_SECRET},
    {"expr", LT_T_EXPR},
};

struct reader {
    lua_State *L;
    struct lt_schema_load *load;
    const char *name; /* of the row */
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

/* The default of a list or map, the table at the top of the stack, as if it had been written. */
static struct lt_node *table_node(struct reader *r, bool is_map)
{
    lua_State *L = r->L;
    struct lt_node *node = new_node(r, is_map ? LT_NODE_MAP : LT_NODE_LIST);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        n++;
    }
    node->items = lt_arena_array(r->load->arena, struct lt_node *, n + 1);
    node->pairs = lt_arena_array(r->load->arena, struct lt_node_pair, n + 1);
    if (node->items == NULL || node->pairs == NULL) {
        out_of_memory(r);
    }
    if (!is_map) {
        for (size_t i = 1; i <= n; i++) {
            lua_geti(L, -1, (lua_Integer)i);
            node->items[node->n_items++] = text_node(r, scalar_text(r, "default"));
            lua_pop(L, 1);
        }
        return node;
    }
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "schema: `%s`: a key of `default` is no string", r->name);
        }
        node->pairs[node->n_pairs++] = (struct lt_node_pair){
            .key = text_node(r, keep(r, lua_tostring(L, -2))),
            .value = text_node(r, scalar_text(r, "default")),
        };
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
    if (ok) {
        return;
    }
    if (lt_list_empty(&tried.list)) {
        luaL_error(r->L, "schema: `%s`: `%s`: \"%s\" does not do", r->name, key, text);
    }
    const struct lt_diag *d = lt_container_of(tried.list.next, struct lt_diag, link);
    bool hint = d->hint.len > 0;
    luaL_error(r->L, "schema: `%s`: `%s`: %s%s%s%s", r->name, key, d->message.p, hint ? " (" : "",
               hint ? d->hint.p : "", hint ? ")" : "");
}

/* The elements of a list's or map's default. */
static void check_elements(struct reader *r, const struct lt_row *row, const struct lt_node *node)
{
    for (size_t i = 0; node != NULL && i < node->n_items; i++) {
        check_text(r, row, row->item, "default", node->items[i]->text.p);
    }
    for (size_t i = 0; node != NULL && i < node->n_pairs; i++) {
        check_text(r, row, row->item, "default", node->pairs[i].value->text.p);
    }
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

/* The row from the description on top of the stack; gives the node of a list's or map's default. */
static const struct lt_node *read_row(struct reader *r, struct lt_row *row)
{
    lua_State *L = r->L;
    static const char *const known[] = {"type", "of",  "default", "required",
                                        "min",  "max", "values",  "doc"};
    const struct lt_node *fallback = NULL;
    if (!lua_istable(L, -1)) {
        luaL_error(L, "schema: `%s` is no table such as {type = \"string\"}", r->name);
    }
    lt_lua_check_keys(L, -2, lua_pushfstring(L, "schema: `%s`", r->name), known, lt_countof(known));
    lua_pop(L, 1);
    row->type = read_type(r, "type");
    row->doc = read_text(r, "doc");
    row->min = read_text(r, "min");
    row->max = read_text(r, "max");
    bool many = row->type == LT_T_LIST || row->type == LT_T_MAP;
    if (many) {
        row->item = read_type(r, "of");
        if (!lt_type_is_scalar(row->item)) {
            luaL_error(L, "schema: `%s`: `of` is one of the plain types", r->name);
        }
    }
    if (row->type == LT_T_ENUM || (many && row->item == LT_T_ENUM)) {
        row->choices = read_choices(r);
    }
    lua_getfield(L, -1, "required");
    row->flags = lua_toboolean(L, -1) ? LT_ROW_REQUIRED : LT_ROW_ABSENT_OK;
    lua_pop(L, 1);
    int type = lua_getfield(L, -1, "default");
    if (many && type == LUA_TTABLE) {
        fallback = table_node(r, row->type == LT_T_MAP);
    } else if (type != LUA_TNIL) {
        if (many) {
            luaL_error(L, "schema: `%s`: `default` is no table", r->name);
        }
        row->def = scalar_text(r, "default");
    }
    lua_pop(L, 1);
    if ((row->def != NULL || fallback != NULL) && (row->flags & LT_ROW_REQUIRED) != 0) {
        luaL_error(L, "schema: `%s`: what is required needs no default", r->name);
    }
    check_bounds(r, row);
    check_elements(r, row, fallback);
    check_text(r, row, row->type, "default", row->def);
    return fallback;
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

/* The names of the rows, sorted: Lua's tables have no order. */
static size_t read_names(struct reader *r, const char *names[ROWS_MAX])
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
        if (lt_filter_conf_reserved(lt_str_c(names[n]))) {
            luaL_error(L, "schema: `%s` is a key of every filter", names[n]);
        }
        n++;
    }
    qsort(names, n, sizeof(names[0]), by_name);
    return n;
}

void lt_filter_schema_from_lua(lua_State *L, struct lt_schema_load *load,
                               struct lt_filter_file *file)
{
    struct reader r = {.L = L, .load = load};
    const char *names[ROWS_MAX];
    size_t n = 0, size = (sizeof(struct lt_conf) + 15) / 16 * 16;
    if (!lua_isnil(L, -1)) {
        if (!lua_istable(L, -1)) {
            luaL_error(L, "`schema` is no table");
        }
        n = read_names(&r, names);
    }
    struct lt_row *rows = lt_arena_array(load->arena, struct lt_row, n + 1);
    file->defaults = lt_arena_array(load->arena, const struct lt_node *, n + 1);
    if (rows == NULL || file->defaults == NULL) {
        out_of_memory(&r);
    }
    for (size_t i = 0; i < n; i++) {
        r.name = rows[i].name = names[i];
        rows[i].since = "0.1";
        rows[i].offset = size;
        lua_getfield(L, -1, names[i]);
        file->defaults[i] = read_row(&r, &rows[i]);
        lua_pop(L, 1);
        size += (lt_type_size(rows[i].type, NULL) + 15) / 16 * 16;
    }
    file->schema = (struct lt_schema){
        .name = file->name.p, .doc = "", .rows = rows, .n_rows = n, .size = size};
}

/* ---- values ---- */

static void push_value(lua_State *L, const struct lt_row *row, enum lt_type type,
                       const void *value);

static void push_list(lua_State *L, const struct lt_row *row, const struct lt_conf_list *list)
{
    size_t size = lt_type_size(row->item, NULL);
    lua_createtable(L, (int)list->n, 0);
    for (size_t i = 0; i < list->n; i++) {
        push_value(L, row, row->item, (const char *)list->items + i * size);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    lt_sandbox_freeze(L, "a setting");
}

static void push_map(lua_State *L, const struct lt_row *row, const struct lt_conf_map *map)
{
    lua_createtable(L, 0, (int)map->n);
    for (size_t i = 0; i < map->n; i++) {
        lua_pushlstring(L, map->entries[i].key.p, map->entries[i].key.len);
        push_value(L, row, row->item, map->entries[i].value);
        lua_rawset(L, -3);
    }
    lt_sandbox_freeze(L, "a setting");
}

static void push_text(lua_State *L, const struct lt_str *text)
{
    lua_pushlstring(L, text->p != NULL ? text->p : "", text->len);
}

static void push_value(lua_State *L, const struct lt_row *row, enum lt_type type, const void *value)
{
    luaL_checkstack(L, 8, NULL);
    switch (type) {
    case LT_T_STRING:
    case LT_T_URL:
    case LT_T_SECRET:
    case LT_T_REGEX:
    case LT_T_FILE:
        push_text(L, value);
        break;
    case LT_T_INT:
        lua_pushinteger(L, *(const int64_t *)value);
        break;
    case LT_T_BOOL:
        lua_pushboolean(L, *(const bool *)value);
        break;
    case LT_T_DURATION:
        lua_pushnumber(L, (double)*(const uint64_t *)value / 1000.0);
        break;
    case LT_T_SIZE:
        lua_pushinteger(L, (lua_Integer) * (const uint64_t *)value);
        break;
    case LT_T_PERCENT:
        lua_pushnumber(L, *(const uint32_t *)value / 10000.0);
        break;
    case LT_T_RATE:
        lt_lua_push_rate(L, value);
        break;
    case LT_T_ENUM:
        lua_pushstring(L, row->choices[*(const int *)value]);
        break;
    case LT_T_EXPR:
        lt_lua_push_expr(L, *(struct lt_expr *const *)value);
        break;
    case LT_T_LIST:
        push_list(L, row, value);
        break;
    case LT_T_MAP:
        push_map(L, row, value);
        break;
    case LT_T_ADDRESS:
    case LT_T_ENDPOINT:
    case LT_T_CIDR:
    case LT_T_OBJECT:
    case LT_T_NODE:
        luaL_error(L, "a setting of a type that filters don't have");
    }
}

/* conf.NAME of a setting that has no value: nil; of none in the schema: a typing error. Upvalue:
 * the schema. */
static int unset_setting(lua_State *L)
{
    const struct lt_schema *schema = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = luaL_checkstring(L, 2);
    for (size_t i = 0; i < schema->n_rows; i++) {
        if (strcmp(schema->rows[i].name, name) == 0) {
            return 0;
        }
    }
    return luaL_error(L, "conf has no `%s`: it is not in the schema", name);
}

void lt_filter_settings_push(lua_State *L, const struct lt_filter_instance *instance)
{
    const struct lt_schema *schema = &instance->file->schema;
    const struct lt_conf *conf = instance->settings;
    lua_createtable(L, 0, (int)schema->n_rows);
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        bool many = row->type == LT_T_LIST || row->type == LT_T_MAP;
        if (conf->origin[i].node == NULL && row->def == NULL && !many) {
            continue; /* not set: nil */
        }
        push_value(L, row, row->type, (const char *)instance->settings + row->offset);
        lua_setfield(L, -2, row->name);
    }
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)schema);
    lua_pushcclosure(L, unset_setting, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lt_sandbox_freeze(L, "ctx.conf");
}
