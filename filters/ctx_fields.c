/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.fields: members that a filter adds to the line of the access log. A worker's thread. */
#include <math.h>

#include "exchange/log_field.h"
#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define TEXT_MAX 4096u /* bytes of one value; what a line shows is less */

void lt_ctx_field_check(lua_State *L, struct lt_str name)
{
    if (lt_log_field_is_ours(name)) {
        luaL_error(L, "each line of the access log has '%s' already: choose another name", name.p);
    }
    if (!lt_log_field_name_ok(name)) {
        luaL_error(L,
                   "'%s' is no name for a member of the access log: small letters, digits, '_' and "
                   "'.', from a letter on, at most %d",
                   name.p, (int)LT_LOG_FIELD_NAME_MAX);
    }
}

/* Upvalue: ctx. */
static int fields_get(lua_State *L)
{
    return luaL_error(L, "ctx.fields is written, not read: ctx.vars is for what filters keep");
}

/* The value at index 3 as it stands in a line. */
static void fill(lua_State *L, struct lt_runner *runner, struct lt_str name,
                 struct lt_log_field *field)
{
    const struct lt_expr *expr = lt_lua_expr_of(L, 3);
    struct lt_str text;
    field->kind = LT_LOG_FIELD_TEXT;
    if (expr != NULL) {
        field->kind = LT_LOG_FIELD_EXPR;
        field->expr = expr;
        return;
    }
    if (lua_isboolean(L, 3)) {
        field->kind = LT_LOG_FIELD_PLAIN;
        field->text = lua_toboolean(L, 3) ? LT_STR("true") : LT_STR("false");
        return;
    }
    if (!lua_isstring(L, 3)) {
        luaL_error(L, "ctx.fields.%s is a %s: write text, a number, a boolean or an expression",
                   name.p, luaL_typename(L, 3));
    }
    if (lua_type(L, 3) == LUA_TNUMBER && isfinite(lua_tonumber(L, 3))) {
        field->kind = LT_LOG_FIELD_PLAIN; /* Lua writes numbers as JSON does */
    }
    text.p = lua_tolstring(L, 3, &text.len);
    field->text = lt_ctx_keep(L, runner, lt_str_sub(text, 0, TEXT_MAX));
}

static int fields_set(lua_State *L)
{
    struct lt_runner *runner = lt_runner_of(L);
    struct lt_str name = lt_lua_check_str(L, 2);
    luaL_checkany(L, 3);
    lt_ctx_field_check(L, name);
    if (lua_isnil(L, 3)) {
        lt_log_field_remove(runner->x, name);
        return 0;
    }
    struct lt_log_field *field = lt_log_field_put(runner->x, name);
    if (field == NULL) {
        return luaL_error(L, "more than %d ctx.fields, or the exchange has no memory left",
                          (int)LT_LOG_FIELDS_MAX);
    }
    fill(L, runner, name, field);
    return 0;
}

void lt_ctx_push_log_fields(lua_State *L, int ctx)
{
    lt_ctx_closure(L, ctx, fields_get);
    lt_ctx_object(L, ctx, fields_set);
}

void lt_ctx_log_fields_table(lua_State *L, struct lt_exchange *x)
{
    lua_newtable(L);
    for (const struct lt_log_field *f = x->log_fields; f != NULL; f = f->next) {
        lt_lua_push_str(L, f->name);
        if (f->kind == LT_LOG_FIELD_EXPR) {
            lt_lua_push_value(L, f->expr, x);
        } else if (f->kind == LT_LOG_FIELD_TEXT) {
            lt_lua_push_str(L, f->text);
        } else if (lua_stringtonumber(L, f->text.p) == 0) {
            lua_pushboolean(L, lt_str_eq_c(f->text, "true"));
        }
        lua_rawset(L, -3);
    }
}

/* lintel.fields.check(name): raises unless lines of the access log can have a member of this name
 * (ctx.fields); for init. */
static int fields_check(lua_State *L)
{
    lt_ctx_field_check(L, lt_lua_check_str(L, 1));
    return 0;
}

static const struct lt_api_row fields_rows[] = {
    {"check", "(name: string)",
     "For `init`: raises when lines of the access log can't have a member of this name.",
     fields_check},
    LT_API_END,
};

const struct lt_api lt_api_fields = {
    .name = "lintel.fields",
    .as = "lintel.fields",
    .doc = "For filters that get names of `ctx.fields` by settings.",
    .rows = fields_rows,
};
