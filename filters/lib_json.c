/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.json: decode by jansson, encode by ourselves. Depth and size are limited both ways. What
 * is decoded and encoded again stays the same data: decoded arrays are marked by a metatable, so
 * that empty ones are not taken for objects. A worker's thread. */
#include <jansson.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define DEPTH_MAX 64
#define POLL_ROUNDS 512u
#define WIDE_DIGITS 19u /* of the first integers that lua_Integer can't hold */
#define FEW_KEYS 16u    /* that are sorted without memory of Lua */
#define MEMBER_BYTES 4u /* of a member of an object, at least: "":0 */

/* JSON's null inside arrays and objects: lintel.json.null. */
static void push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

static bool is_null(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL;
}

static inline void poll(lua_State *L, size_t round)
{
    if (LT_UNLIKELY(round % POLL_ROUNDS == POLL_ROUNDS - 1)) {
        lt_vm_poll(L);
    }
}

/* By this address the registry has the metatable of decoded arrays: without metamethods, and
 * filters neither get nor replace it. */
static const char array_mark;

static void mark_array(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark);
    lua_setmetatable(L, -2);
}

static bool is_marked(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) {
        return false;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

/* ---- decode ---- */

static void push_json(lua_State *L, json_t *json, int depth)
{
    const char *key;
    json_t *value;
    size_t i, n = 0;
    if (depth > DEPTH_MAX) {
        luaL_error(L, "deeper than %d levels", DEPTH_MAX);
    }
    luaL_checkstack(L, 5, NULL);
    if (json_is_object(json) || json_is_array(json)) {
        lt_vm_poll(L);
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        lua_createtable(L, 0, (int)json_object_size(json));
        json_object_foreach(json, key, value)
        {
            poll(L, n++);
            lua_pushstring(L, key);
            push_json(L, value, depth + 1);
            lua_rawset(L, -3);
        }
        break;
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(json), 0);
        mark_array(L);
        json_array_foreach(json, i, value)
        {
            poll(L, i);
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

/* Bytes of the number, or the like, that text begins with. */
static size_t number_len(struct lt_str text)
{
    size_t n = 0;
    while (n < text.len && (lt_char_is_digit(text.p[n]) || memchr("+-.eE", text.p[n], 5) != NULL)) {
        n++;
    }
    return n;
}

/* Whether a number is an integer that lua_Integer can't hold. */
static bool is_wide(struct lt_str number)
{
    bool negative = number.len > 0 && number.p[0] == '-';
    struct lt_str digits = lt_str_sub(number, negative ? 1 : 0, number.len);
    for (size_t i = 0; i < digits.len; i++) {
        if (!lt_char_is_digit(digits.p[i])) {
            return false;
        }
    }
    const char *most = negative ? "9223372036854775808" : "9223372036854775807";
    return digits.len > WIDE_DIGITS ||
           (digits.len == WIDE_DIGITS && memcmp(digits.p, most, WIDE_DIGITS) > 0);
}

/* Pushes the text with ".0" behind each integer that is wide, which makes it a float. */
static struct lt_str push_widened(lua_State *L, struct lt_str text)
{
    char *out = lua_newuserdatauv(L, text.len + text.len / WIDE_DIGITS * 2, 0);
    size_t len = 0, n;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i += n) {
        const char *p = text.p + i;
        struct lt_str rest = lt_str_sub(text, i, text.len);
        size_t number = quoted ? 0 : number_len(rest);
        bool escape = quoted && *p == '\\' && rest.len > 1;
        n = number > 0 ? number : escape ? 2 : 1;
        quoted ^= *p == '"';
        memcpy(out + len, p, n);
        len += n;
        if (number > 0 && is_wide(lt_str(p, n))) {
            memcpy(out + len, ".0", 2);
            len += 2;
        }
    }
    return lt_str(out, len);
}

struct reading {
    struct lt_vm *vm;
    struct lt_str rest;
};

/* The next part of the text for the parser, which ends where the call has to. */
static size_t read_part(void *out, size_t size, void *arg)
{
    struct reading *r = arg;
    size_t n = lt_vm_must_stop(r->vm) ? 0 : lt_min(size, r->rest.len);
    memcpy(out, r->rest.p, n);
    r->rest = lt_str_sub(r->rest, n, r->rest.len);
    return n;
}

static json_t *parse_text(lua_State *L, struct lt_str text, json_error_t *error)
{
    struct reading r = {.vm = lt_vm_of(L), .rest = text};
    json_t *json = json_load_callback(
        read_part, &r, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, error);
    if (json == NULL) {
        lt_vm_poll(L); /* what was read so far is freed */
    }
    return json;
}

/* May push something. */
static json_t *parse(lua_State *L, struct lt_str text, json_error_t *error)
{
    json_t *json = parse_text(L, text, error);
    if (json == NULL && json_error_code(error) == json_error_numeric_overflow) {
        json = parse_text(L, push_widened(L, text), error);
    }
    return json;
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
    json_t *json = parse(L, text, &error);
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

/* Whether the table at index is a sequence: 1 to n and nothing else. Empty ones are objects, unless
 * they were decoded as arrays. */
static bool is_array(lua_State *L, int index, lua_Integer *n)
{
    size_t count = 0;
    *n = (lua_Integer)lua_rawlen(L, index);
    if (*n == 0 && !is_marked(L, index)) {
        return false;
    }
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        poll(L, count);
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > *n) {
            lua_pop(L, 2);
            return false;
        }
        count++;
    }
    return count == (size_t)*n;
}

/* Lets keys[i] sink in the heap keys[0..n-1]. */
static void sink(struct lt_str *keys, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && lt_str_cmp(keys[child], keys[child + 1]) < 0;
        if (lt_str_cmp(keys[i], keys[child]) >= 0) {
            return;
        }
        struct lt_str key = keys[i];
        keys[i] = keys[child];
        keys[child] = key;
    }
}

/* By bytes. A heap sort: nothing makes it slow, and it may be left by an error at any time. */
static void sort_keys(lua_State *L, struct lt_str *keys, size_t n)
{
    for (size_t i = n / 2; i-- > 0;) {
        poll(L, i);
        sink(keys, i, n);
    }
    for (size_t end = n; end-- > 1;) {
        struct lt_str key = keys[0];
        poll(L, end);
        keys[0] = keys[end];
        keys[end] = key;
        sink(keys, 0, end);
    }
}

/* Raises for a key that is no text. */
static size_t count_keys(lua_State *L, int index)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        poll(L, n++);
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L,
                       "json: a table is a list without gaps or has text for keys; this one has a "
                       "%s for a key",
                       luaL_typename(L, -2));
        }
    }
    return n;
}

/* Writes the keys of the table at index, sorted, to n places; the table keeps the texts. */
static void collect_keys(lua_State *L, int index, struct lt_str *keys, size_t n)
{
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), i++) {
        poll(L, i);
        keys[i].p = lua_tolstring(L, -2, &keys[i].len);
    }
    sort_keys(L, keys, n);
}

static void write_object(lua_State *L, int index, struct lt_buf *out, int depth)
{
    int top = lua_gettop(L);
    struct lt_str few[FEW_KEYS], *keys = few;
    size_t n = count_keys(L, index);
    if (n > (out->max - out->len) / MEMBER_BYTES) {
        out->truncated = true;
        return;
    }
    if (n > FEW_KEYS) {
        keys = lua_newuserdatauv(L, n * sizeof(*keys), 0);
    }
    collect_keys(L, index, keys, n);
    lt_buf_char(out, '{');
    for (size_t i = 0; i < n && !out->truncated; i++) {
        poll(L, i);
        if (i > 0) {
            lt_buf_char(out, ',');
        }
        lt_buf_json_str(out, keys[i]);
        lt_buf_char(out, ':');
        lt_lua_push_str(L, keys[i]);
        lua_rawget(L, index);
        write_value(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    lt_buf_char(out, '}');
    lua_settop(L, top);
}

static void write_table(lua_State *L, int index, struct lt_buf *out, int depth)
{
    lua_Integer n;
    if (depth > DEPTH_MAX) {
        luaL_error(L, "json: deeper than %d levels", DEPTH_MAX);
    }
    luaL_checkstack(L, 6, NULL);
    lt_vm_poll(L);
    if (!is_array(L, index, &n)) {
        write_object(L, index, out, depth);
        return;
    }
    lt_buf_char(out, '[');
    for (lua_Integer i = 1; i <= n && !out->truncated; i++) {
        poll(L, (size_t)i);
        if (i > 1) {
            lt_buf_char(out, ',');
        }
        lua_rawgeti(L, index, i);
        write_value(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    lt_buf_char(out, ']');
}

/* The shortest text that reads as the same float, and not as an integer. */
static void write_float(double v, struct lt_buf *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    lt_buf_printf(out, strpbrk(text, ".e") != NULL ? "%s" : "%s.0", text);
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
    write_float(v, out);
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
        out->truncated = text.len > out->max - out->len; /* a long one is not begun */
        if (!out->truncated) {
            lt_buf_json_str(out, text);
        }
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
     "Raises for what JSON can't hold. Keys are sorted. An empty table is an object, unless it was "
     "decoded as an array.",
     encode},
    {"decode", "(text: string): any value, string? why",
     "Nil and what is wrong when the text is malformed. At most 512 KB and 64 levels. Integers "
     "that 64 bits do not hold become floats. Arrays stay arrays when they are encoded again, "
     "empty or not: their metatable can't be replaced.",
     lt_lua_json_decode},
    LT_API_FIELD("null", "lightuserdata", "null in arrays and objects."),
    LT_API_FIELD("empty_array", "lightuserdata", "What encodes as `[]`."),
    LT_API_END,
};

static void open_json(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_mark);
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
