/* SPDX-License-Identifier: Apache-2.0 */
/* t.eq: whether two values are the same, and a line for each place where they are not:
 *
 *     .headers["x-user"]: is "bob", should be "alice"
 *     .list[3]: is missing, should be 7
 *
 * Raw access: nothing of the test runs. Raises without memory only. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "filters/ctx.h"
#include "filters/test_impl.h"

#define DEPTH_MAX 32 /* of tables that are compared */
#define DIFFERENCES_MAX 10
#define PATH_MAX_LEN 200u
#define SHOWN_MAX 160u /* bytes of a text */
#define SHOWN_DEPTH 3
#define SHOWN_KEYS 8

/* One comparison. */
struct diff {
    struct lt_buf *out;
    unsigned n; /* places that differ */
    char path[PATH_MAX_LEN];
};

/* ---- values for people ---- */

static void show_text(struct lt_str s, struct lt_buf *out)
{
    bool cut = s.len > SHOWN_MAX;
    size_t n = lt_min(s.len, (size_t)SHOWN_MAX);
    lt_buf_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\n') {
            lt_buf_printf(out, "\\n");
        } else if (c == '"' || c == '\\') {
            lt_buf_printf(out, "\\%c", c);
        } else if (c < ' ' || c == 0x7f) {
            lt_buf_printf(out, "\\x%02x", c);
        } else {
            lt_buf_char(out, (char)c);
        }
    }
    if (cut) {
        lt_buf_printf(out, "\"... (%zu bytes)", s.len);
    } else {
        lt_buf_char(out, '"');
    }
}

static bool is_name(struct lt_str s)
{
    bool name = s.len > 0 && !lt_char_is_digit(s.p[0]);
    for (size_t i = 0; i < s.len; i++) {
        name &= isalnum((unsigned char)s.p[i]) != 0 || s.p[i] == '_';
    }
    return name;
}

static void show(lua_State *L, int index, struct lt_buf *out, int depth);

static void show_table(lua_State *L, int index, struct lt_buf *out, int depth)
{
    lua_Integer listed = (lua_Integer)lua_rawlen(L, index), n = 0;
    const char *comma = "";
    if (depth >= SHOWN_DEPTH) {
        lt_buf_printf(out, "{...}");
        return;
    }
    luaL_checkstack(L, 6, NULL);
    lt_buf_char(out, '{');
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        int value = lua_gettop(L), key = value - 1;
        lt_buf_printf(out, "%s", comma);
        comma = ", ";
        if (++n > SHOWN_KEYS) {
            lt_buf_printf(out, "...");
            lua_pop(L, 2);
            break;
        }
        struct lt_str text = LT_STR_NONE;
        if (lua_type(L, key) == LUA_TSTRING) {
            text.p = lua_tolstring(L, key, &text.len);
        }
        if (is_name(text)) {
            lt_buf_printf(out, "%.*s = ", LT_STR_ARG(text));
        } else if (!lua_isinteger(L, key) || lua_tointeger(L, key) > listed) {
            lt_buf_char(out, '[');
            show(L, key, out, depth + 1);
            lt_buf_printf(out, "] = ");
        }
        show(L, value, out, depth + 1);
    }
    lt_buf_char(out, '}');
}

static void show(lua_State *L, int index, struct lt_buf *out, int depth)
{
    struct lt_str text;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        text.p = lua_tolstring(L, index, &text.len);
        show_text(text, out);
        return;
    case LUA_TTABLE:
        show_table(L, index, out, depth);
        return;
    case LUA_TNIL:
        lt_buf_printf(out, "nil");
        return;
    case LUA_TBOOLEAN:
        lt_buf_printf(out, "%s", lua_toboolean(L, index) ? "true" : "false");
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            lt_buf_printf(out, "%lld", (long long)lua_tointeger(L, index));
        } else {
            lt_buf_printf(out, "%.14g", lua_tonumber(L, index));
        }
        return;
    default:
        lt_buf_printf(out, "a %s", luaL_typename(L, index));
    }
}

void lt_test_show(lua_State *L, int index, struct lt_buf *out)
{
    show(L, lua_absindex(L, index), out, 0);
}

/* ---- differences ---- */

/* Where two texts of more than a few bytes part. */
static void show_parting(struct lt_str a, struct lt_str b, struct lt_buf *out)
{
    size_t at = 0, line = 1;
    while (at < a.len && at < b.len && a.p[at] == b.p[at]) {
        line += a.p[at++] == '\n';
    }
    size_t from = at > 10 ? at - 10 : 0;
    lt_buf_printf(out, "\n    they part at byte %zu", at + 1);
    if (line > 1) {
        lt_buf_printf(out, ", in line %zu", line);
    }
    lt_buf_printf(out, ": is ...");
    show_text(lt_str_sub(a, from, lt_min(a.len, at + 20)), out);
    lt_buf_printf(out, ", should be ...");
    show_text(lt_str_sub(b, from, lt_min(b.len, at + 20)), out);
}

static bool differs(lua_State *L, struct diff *d, int got, int wanted)
{
    struct lt_buf *out = d->out;
    if (++d->n > DIFFERENCES_MAX) {
        return false;
    }
    if (out->len > 0) {
        lt_buf_char(out, '\n');
    }
    if (d->path[0] != '\0') {
        lt_buf_printf(out, "  %s: ", d->path);
    }
    bool missing = d->path[0] != '\0' && lua_isnil(L, got);
    bool extra = d->path[0] != '\0' && lua_isnil(L, wanted);
    lt_buf_printf(out, missing ? "is missing" : "is ");
    if (!missing) {
        show(L, got, out, 0);
    }
    lt_buf_printf(out, extra ? ", should not be there" : ", should be ");
    if (!extra) {
        show(L, wanted, out, 0);
    }
    if (lua_isnumber(L, got) && lua_isnumber(L, wanted) &&
        lua_type(L, got) != lua_type(L, wanted)) {
        lt_buf_printf(out, " (a %s and a %s)", luaL_typename(L, got), luaL_typename(L, wanted));
    }
    if (lua_type(L, got) == LUA_TSTRING && lua_type(L, wanted) == LUA_TSTRING) {
        struct lt_str a, b;
        a.p = lua_tolstring(L, got, &a.len);
        b.p = lua_tolstring(L, wanted, &b.len);
        if (lt_max(a.len, b.len) > 40) {
            show_parting(a, b, out);
        }
    }
    return false;
}

/* Appends the key at index to the path; gives the length to go back to. */
static size_t enter(lua_State *L, struct diff *d, int key)
{
    size_t before = strlen(d->path);
    struct lt_buf out;
    struct lt_str text = LT_STR_NONE;
    lt_buf_init_fixed(&out, d->path + before, sizeof(d->path) - before - 1);
    if (lua_type(L, key) == LUA_TSTRING) {
        text.p = lua_tolstring(L, key, &text.len);
    }
    if (is_name(text)) {
        lt_buf_printf(&out, ".%.*s", LT_STR_ARG(text));
    } else {
        lt_buf_char(&out, '[');
        show(L, key, &out, SHOWN_DEPTH);
        lt_buf_char(&out, ']');
    }
    d->path[before + out.len] = '\0';
    return before;
}

static bool same(lua_State *L, struct diff *d, int got, int wanted, int depth);

static bool same_fields(lua_State *L, struct diff *d, int got, int wanted, int depth)
{
    bool equal = true;
    for (lua_pushnil(L); lua_next(L, got) != 0; lua_pop(L, 1)) {
        int value = lua_gettop(L);
        lua_pushvalue(L, value - 1);
        lua_rawget(L, wanted);
        size_t back = enter(L, d, value - 1);
        equal &= same(L, d, value, value + 1, depth + 1);
        d->path[back] = '\0';
        lua_settop(L, value);
    }
    for (lua_pushnil(L); lua_next(L, wanted) != 0; lua_pop(L, 1)) {
        int value = lua_gettop(L);
        lua_pushvalue(L, value - 1);
        if (lua_rawget(L, got) == LUA_TNIL) {
            size_t back = enter(L, d, value - 1);
            equal = differs(L, d, value + 1, value);
            d->path[back] = '\0';
        }
        lua_settop(L, value);
    }
    return equal;
}

static bool same(lua_State *L, struct diff *d, int got, int wanted, int depth)
{
    if (lua_rawequal(L, got, wanted)) {
        return true;
    }
    if (!lua_istable(L, got) || !lua_istable(L, wanted)) {
        return differs(L, d, got, wanted);
    }
    if (depth > DEPTH_MAX) {
        luaL_error(L, "t.eq: tables more than %d deep, or in a circle", DEPTH_MAX);
    }
    luaL_checkstack(L, 10, NULL);
    return same_fields(L, d, got, wanted, depth);
}

static int by_bytes(const void *a, const void *b)
{
    return lt_str_cmp(*(const struct lt_str *)a, *(const struct lt_str *)b);
}

/* Lua visits keys in an order that is another one each time: places are sorted. Each begins with
 * two spaces, what goes on with it with more. */
static void sort_places(struct lt_buf *out)
{
    char copy[LT_TEST_TEXT_MAX];
    struct lt_str places[DIFFERENCES_MAX], all = lt_str(copy, lt_min(out->len, sizeof(copy)));
    size_t n = 0;
    memcpy(copy, out->p, all.len);
    for (size_t at = 0, end; at < all.len && n < DIFFERENCES_MAX; at = end + 1) {
        end = lt_min(lt_str_chr(all, '\n', at), all.len);
        while (end + 3 < all.len && memcmp(copy + end, "\n   ", 4) == 0) {
            end = lt_min(lt_str_chr(all, '\n', end + 1), all.len);
        }
        places[n++] = lt_str_sub(all, at, end);
    }
    qsort(places, n, sizeof(places[0]), by_bytes);
    out->len = 0;
    for (size_t i = 0; i < n; i++) {
        lt_buf_printf(out, "%s%.*s", i > 0 ? "\n" : "", LT_STR_ARG(places[i]));
    }
}

bool lt_test_same(lua_State *L, int got, int wanted, struct lt_buf *out)
{
    struct diff d = {.out = out};
    bool equal = same(L, &d, got, wanted, 0);
    sort_places(out);
    if (d.n > DIFFERENCES_MAX) {
        lt_buf_printf(out, "\n  and %u more", d.n - DIFFERENCES_MAX);
    }
    return equal;
}
