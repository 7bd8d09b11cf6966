/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.user: who it is, by filters for filters, expressions and the log. A field is a text or a list
 * of texts, which the exchange keeps as one text (base/members.h). A worker's thread. */
#include "base/members.h"
#include "filters/ctx.h"
#include "filters/lib.h"

#define ITEMS_MAX 1000

/* Pushes the members of a list. */
static void push_list(lua_State *L, struct lt_str list)
{
    struct lt_str member;
    lua_newtable(L);
    for (lua_Integer n = 1; lt_members_next(&list, &member); n++) {
        luaL_Buffer b;
        char *p = luaL_buffinitsize(L, &b, member.len);
        luaL_pushresultsize(&b, lt_member_decode(member, p));
        lua_rawseti(L, -2, n);
    }
}

void lt_lua_push_user_field(lua_State *L, const struct lt_user_field *field)
{
    if (field->list) {
        push_list(L, field->value);
    } else {
        lt_lua_push_str(L, field->value);
    }
}

static int user_get(lua_State *L)
{
    const struct lt_user_field *field =
        lt_exchange_user(lt_runner_of(L)->x, lt_lua_check_str(L, 2));
    if (field == NULL) {
        return 0;
    }
    lt_lua_push_user_field(L, field);
    return 1;
}

/* Puts the text of the value at index, or nil, in its place: numbers are written out. */
static bool to_text(lua_State *L, int index)
{
    if (lua_isboolean(L, index)) {
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
        lua_replace(L, index);
    }
    return lua_tostring(L, index) != NULL;
}

/* Pushes a table of the texts in the list at index, and gives how many bytes they may take as one
 * text. Looked at once: what the filter made may have other values at the next look. */
static size_t copy_items(lua_State *L, const char *name, int index)
{
    lua_Integer n = luaL_len(L, index);
    size_t size = 1;
    if (n > ITEMS_MAX) {
        luaL_error(L, "user.%s has more than %d values", name, ITEMS_MAX);
    }
    lua_pushnil(L);
    if (n == 0 && lua_next(L, index) != 0) {
        luaL_error(L, "user.%s is a table with names: write a list of texts", name);
    }
    lua_createtable(L, (int)lt_max(n, 0), 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, index, i);
        if (!to_text(L, lua_gettop(L))) {
            luaL_error(L, "user.%s: value %d is a %s: write a list of texts", name, (int)i,
                       luaL_typename(L, -1));
        }
        size += LT_MEMBER_BYTES_MAX(lua_rawlen(L, -1));
        lua_rawseti(L, -2, i);
    }
    return size;
}

static enum lt_err set_list(lua_State *L, struct lt_exchange *x, struct lt_str name, int index)
{
    size_t size = copy_items(L, name.p, index), n = 0;
    char *text = lt_arena_chars(&x->arena, size);
    lua_Integer items = (lua_Integer)lua_rawlen(L, -1);
    if (text == NULL) {
        return LT_ERR_NOMEM;
    }
    for (lua_Integer i = 1; i <= items; i++, lua_pop(L, 1)) {
        struct lt_str item;
        lua_rawgeti(L, -1, i);
        item.p = lua_tolstring(L, -1, &item.len);
        n = lt_members_put(text, n, item);
    }
    return lt_exchange_set_user(x, name, lt_str(text, n), true);
}

void lt_lua_set_user_field(lua_State *L, struct lt_exchange *x, struct lt_str name, int index)
{
    enum lt_err err;
    luaL_checkstack(L, 6, NULL);
    int type = lua_type(L, index);
    if (LT_LIKELY(type == LUA_TSTRING)) {
        err = lt_exchange_set_user(x, name, lt_lua_check_str(L, index), false);
    } else if (type == LUA_TTABLE) {
        err = set_list(L, x, name, index);
    } else {
        lua_pushvalue(L, index); /* a number must stay one where it is */
        if (!to_text(L, lua_gettop(L))) {
            luaL_error(L, "user.%s is a %s: fields of a user are texts, or lists of texts", name.p,
                       luaL_typename(L, index));
        }
        err = lt_exchange_set_user(x, name, lt_lua_check_str(L, lua_gettop(L)), false);
    }
    if (err != LT_OK) {
        luaL_error(L, "the exchange has no memory left");
    }
}

static int user_set(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    lt_lua_set_user_field(L, runner->x, lt_lua_check_str(L, 2), 3);
    return 0;
}

void lt_ctx_push_user(lua_State *L, int ctx)
{
    lt_ctx_closure(L, ctx, user_get);
    lt_ctx_object(L, ctx, user_set);
}

void lt_ctx_set_user(lua_State *L, struct lt_runner *runner, int index)
{
    runner->x->user = NULL;
    if (lua_isnil(L, index)) {
        return;
    }
    if (!lua_istable(L, index)) {
        luaL_error(L, "ctx.user is a table such as {id = \"alice\"}, not a %s",
                   luaL_typename(L, index));
    }
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_settop(L, index + 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "a field of the user has a name");
        }
        struct lt_str name;
        name.p = lua_tolstring(L, -2, &name.len);
        lt_lua_set_user_field(L, runner->x, name, lua_gettop(L));
    }
}
