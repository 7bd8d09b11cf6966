/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.json: decode by jansson, encode by ourselves. Depth and size are limited both ways. */
#include <jansson.h>

#include <math.h>

#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define DEPTH_MAX 64

/* JSON's null inside arrays and objects: lintel.json.null. */
static void push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

static bool is_null(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL;
}

/* ---- decode ---- */

static void push_json(lua_State *L, json_t *json, int depth)
{
    const char *key;
    json_t *value;
    size_t i;
    if (depth > DEPTH_MAX) {
        luaL_error(L, "deeper than %d levels", DEPTH_MAX);
    }
    luaL_checkstack(L, 4, NULL);
    if (json_is_object(json) || json_is_array(json)) {
        lt_vm_poll(L);
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        lua_createtable(L, 0, (int)json_object_size(json));
        json_object_foreach(json, key, value)
        {
            lua_pushstring(L, key);
            push_json(L, value, depth + 1);
            lua_rawset(L, -3);
        }
        break;
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(json), 0);
        json_array_foreach(json, i, value)
        {
            push_json(L, value, depth + 1);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(json));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(json));
        break;
    case JSON_NULL:
        push_null(L);
        break;
    }
}

static int push_protected(lua_State *L)
{
    push_json(L, lua_touserdata(L, 1), 0);
    return 1;
}

/* Pushes the value or an error and frees json: Lua may raise for want of memory, and json must not
 * be lost then. */
static int push_and_free(lua_State *L, json_t *json)
{
    lua_pushcfunction(L, push_protected);
    lua_pushlightuserdata(L, json);
    int status = lua_pcall(L, 1, 1, 0);
    json_decref(json);
    return status;
}

void lt_lua_json_push(lua_State *L, struct json_t *json)
{
    if (push_and_free(L, json) != LUA_OK) {
        lua_error(L);
    }
}

/* json.decode(text): the value, or nil and what is wrong. */
int lt_lua_json_decode(lua_State *L)
{
    struct lt_str text = lt_lua_check_str(L, 1);
    json_error_t error;
    if (text.len > LT_LUA_JSON_MAX) {
        lua_pushnil(L);
        lua_pushliteral(L, "the text is too long");
        return 2;
    }
    json_t *json = json_loadb(text.p, text.len,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (json == NULL) {
        lua_pushnil(L);
        lua_pushfstring(L, "line %d: %s", error.line, error.text);
        return 2;
    }
    int status = push_and_free(L, json);
    if (status == LUA_OK) {
        return 1;
    }
    if (status == LUA_ERRMEM) {
        return lua_error(L);
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* ---- encode ---- */

static void write_value(lua_State *L, int index, struct lt_buf *out, int depth);

/* Whether the table at index is a sequence: 1 to n and nothing else. Empty ones are objects. */
static bool is_array(lua_State *L, int index, lua_Integer *n)
{
    lua_Integer count = 0;
    *n = (lua_Integer)lua_rawlen(L, index);
    if (*n == 0) {
        return false;
    }
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > *n) {
            lua_pop(L, 2);
            return false;
        }
        count++;
    }
    return count == *n;
}

static void write_object(lua_State *L, int index, struct lt_buf *out, int depth)
{
    bool first = true;
    struct lt_str key;
    lt_buf_char(out, '{');
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L,
                       "json: a table is a list without gaps or has text for keys; this one has a "
                       "%s for a key",
                       luaL_typename(L, -2));
        }
        key.p = lua_tolstring(L, -2, &key.len);
        if (!first) {
            lt_buf_char(out, ',');
        }
        first = false;
        lt_buf_json_str(out, key);
        lt_buf_char(out, ':');
        write_value(L, lua_gettop(L), out, depth + 1);
    }
    lt_buf_char(out, '}');
}

static void write_table(lua_State *L, int index, struct lt_buf *out, int depth)
{
    lua_Integer n;
    if (depth > DEPTH_MAX) {
        luaL_error(L, "json: deeper than %d levels", DEPTH_MAX);
    }
    luaL_checkstack(L, 6, NULL);
    if (!is_array(L, index, &n)) {
        write_object(L, index, out, depth);
        return;
    }
    lt_buf_char(out, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1) {
            lt_buf_char(out, ',');
        }
        lua_rawgeti(L, index, i);
        write_value(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    lt_buf_char(out, ']');
}

static void write_number(lua_State *L, int index, struct lt_buf *out)
{
    if (lua_isinteger(L, index)) {
        lt_buf_printf(out, "%lld", (long long)lua_tointeger(L, index));
        return;
    }
    double v = lua_tonumber(L, index);
    if (!isfinite(v)) {
        luaL_error(L, "json: %f is no number of JSON", v);
    }
    lt_buf_printf(out, "%.17g", v);
}

/* Empty arrays: lintel.json.empty_array, told apart by its address. */
static const char empty_array;

static void write_value(lua_State *L, int index, struct lt_buf *out, int depth)
{
    struct lt_str text;
    if (out->truncated) {
        return; /* the caller says so */
    }
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        lt_buf_add(out, "null", 4);
        break;
    case LUA_TBOOLEAN:
        lt_buf_printf(out, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TNUMBER:
        write_number(L, index, out);
        break;
    case LUA_TSTRING:
        text.p = lua_tolstring(L, index, &text.len);
        lt_buf_json_str(out, text);
        break;
    case LUA_TTABLE:
        write_table(L, index, out, depth);
        break;
    case LUA_TLIGHTUSERDATA:
        if (is_null(L, index)) {
            lt_buf_add(out, "null", 4);
            break;
        }
        if (lua_touserdata(L, index) == &empty_array) {
            lt_buf_add(out, "[]", 2);
            break;
        }
        luaL_error(L, "json: this value has no form in JSON");
        break;
    default:
        luaL_error(L, "json: a %s has no form in JSON", luaL_typename(L, index));
    }
}

void lt_lua_json_write(lua_State *L, int index, struct lt_buf *out)
{
    write_value(L, lua_absindex(L, index), out, 0);
}

/* json.encode(value) */
static int encode(lua_State *L)
{
    char small[4096];
    luaL_Buffer space;
    struct lt_buf out;
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    lt_buf_init_fixed(&out, small, sizeof(small));
    lt_lua_json_write(L, 1, &out);
    if (!out.truncated) {
        lt_lua_push_str(L, lt_buf_view(&out));
        return 1;
    }
    lt_buf_init_fixed(&out, luaL_buffinitsize(L, &space, LT_LUA_JSON_MAX), LT_LUA_JSON_MAX);
    lt_lua_json_write(L, 1, &out);
    if (out.truncated) {
        return luaL_error(L, "json: the text is larger than %d bytes", (int)LT_LUA_JSON_MAX);
    }
    luaL_pushresultsize(&space, out.len);
    return 1;
}

static const struct lt_api_row rows[] = {
    {"encode", "(value: any): string",
     "Raises for what JSON can't hold. An empty table is an object.", encode},
    {"decode", "(text: string): any value, string? why",
     "Nil and what is wrong when the text is malformed. At most 512 KB and 64 levels.",
     lt_lua_json_decode},
    LT_API_FIELD("null", "lightuserdata", "null in arrays and objects."),
    LT_API_FIELD("empty_array", "lightuserdata", "What encodes as `[]`."),
    LT_API_END,
};

static void open_json(lua_State *L)
{
    push_null(L);
    lua_setfield(L, -2, "null");
    lua_pushlightuserdata(L, (void *)(uintptr_t)&empty_array);
    lua_setfield(L, -2, "empty_array");
}

const struct lt_api lt_api_json = {
    .name = "lintel.json",
    .as = "lintel.json",
    .doc = "JSON (RFC 8259).",
    .rows = rows,
    .open = open_json,
};
