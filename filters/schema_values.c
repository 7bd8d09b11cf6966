/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of an instance as Lua values (schema.h). A worker's thread, or the loader's. */
#include <lauxlib.h>

#include "config/types.h"
#include "filters/absent.h"
#include "filters/ctx.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/schema.h"

static void push_value(lua_State *L, const struct lt_row *row, enum lt_type type,
                       const void *value);
static void push_record(lua_State *L, const char *what, const struct lt_conf *conf);

static void push_list(lua_State *L, const struct lt_row *row, const struct lt_conf_list *list)
{
    size_t size = lt_type_size(row->item, row->sub);
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
    case LT_T_TEMPLATE:
        lt_lua_push_template(L, *(struct lt_template *const *)value);
        break;
    case LT_T_LIST:
        push_list(L, row, value);
        break;
    case LT_T_MAP:
        push_map(L, row, value);
        break;
    case LT_T_OBJECT:
        push_record(L, row->name, value);
        break;
    case LT_T_ADDRESS:
    case LT_T_ENDPOINT:
    case LT_T_CIDR:
    case LT_T_NODE:
        luaL_error(L, "a setting of a type that filters don't have");
    }
}

/* A setting that has no value: nil; none of the schema: a typing error. Upvalues: the schema, and
 * what it is of. */
static int unset_setting(lua_State *L)
{
    const struct lt_schema *schema = lua_touserdata(L, lua_upvalueindex(1));
    const char *names[LT_ABSENT_NAMES_MAX];
    struct lt_str name = LT_STR_NONE;
    if (lua_type(L, 2) == LUA_TSTRING) {
        name = lt_lua_check_str(L, 2);
    }
    size_t n = 0;
    for (size_t i = 0; i < schema->n_rows; i++) {
        if (lt_str_eq_c(name, schema->rows[i].name)) {
            return lt_lua_nil(L);
        }
        if (n < LT_ABSENT_NAMES_MAX) {
            names[n++] = schema->rows[i].name;
        }
    }
    if (n == 0) {
        return luaL_error(L, "conf has no '%s': it is not in the schema", name.p);
    }
    return lt_absent_raise(L, lua_tostring(L, lua_upvalueindex(2)), names, n);
}

/* Pushes the struct at conf as a table; `what` names it in messages. */
static void push_record(lua_State *L, const char *what, const struct lt_conf *conf)
{
    const struct lt_schema *schema = conf->schema;
    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, 0, (int)schema->n_rows);
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        bool whole = !lt_type_is_scalar(row->type);
        if (conf->origin[i].node == NULL && row->def == NULL && !whole) {
            continue; /* not set: nil */
        }
        push_value(L, row, row->type, (const char *)conf + row->offset);
        lua_setfield(L, -2, row->name);
    }
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)schema);
    lua_pushstring(L, what);
    lua_pushcclosure(L, unset_setting, 2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lt_sandbox_freeze(L, what);
}

void lt_filter_settings_push(lua_State *L, const struct lt_filter_instance *instance)
{
    push_record(L, "conf", instance->settings);
}
