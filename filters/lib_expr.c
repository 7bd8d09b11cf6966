/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the types expr and template as filters see them: functions of ctx. A worker's thread.
 */
#include <lauxlib.h>

#include "config/expr.h"
#include "config/template.h"
#include "filters/ctx.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

enum lt_expr_kind lt_lua_expr_value(lua_State *L, const struct lt_expr *expr, struct lt_exchange *x,
                                    char scratch[LT_EXPR_SCRATCH], struct lt_str *text)
{
    bool failed = false;
    enum lt_expr_kind kind = lt_expr_value(expr, lt_exchange_expr_get, x, scratch, text, &failed);
    if (failed) {
        luaL_error(L, "a pattern in an expression takes more steps than a sane one would");
    }
    return kind;
}

void lt_lua_push_value(lua_State *L, const struct lt_expr *expr, struct lt_exchange *x)
{
    char scratch[LT_EXPR_SCRATCH];
    struct lt_str text;
    switch (lt_lua_expr_value(L, expr, x, scratch, &text)) {
    case LT_EXPR_ABSENT:
        lua_pushnil(L);
        break;
    case LT_EXPR_TEXT:
        lt_lua_push_str(L, text);
        break;
    case LT_EXPR_BOOL:
        lua_pushboolean(L, text.p[0] == 't');
        break;
    }
}

/* conf.key(ctx): the expression's value: text, a boolean where it is a condition, or nil. Upvalue:
 * the expression. */
static int evaluate(lua_State *L)
{
    const struct lt_expr *expr = lua_touserdata(L, lua_upvalueindex(1));
    lt_lua_push_value(L, expr, lt_runner_check(L, 1)->x);
    return 1;
}

const struct lt_expr *lt_lua_expr_of(lua_State *L, int index)
{
    const struct lt_expr *expr = NULL;
    if (lua_tocfunction(L, index) == evaluate && lua_getupvalue(L, index, 1) != NULL) {
        expr = lua_touserdata(L, -1);
        lua_pop(L, 1);
    }
    return expr;
}

void lt_lua_push_expr(lua_State *L, const struct lt_expr *expr)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)expr);
    lua_pushcclosure(L, evaluate, 1);
}

/* conf.value(ctx): the template's text, or nil. Upvalue: the template. */
static int fill(lua_State *L)
{
    const struct lt_template *t = lua_touserdata(L, lua_upvalueindex(1));
    struct lt_exchange *x = lt_runner_check(L, 1)->x;
    luaL_checkstack(L, (int)t->n + 4, NULL);
    for (unsigned i = 0; i < t->n; i++) {
        const struct lt_template_part *part = &t->parts[i];
        if (part->expr == NULL) {
            lt_lua_push_str(L, part->text);
            continue;
        }
        lt_lua_push_value(L, part->expr, x);
        if (lua_isnil(L, -1)) {
            return 1;
        }
        if (lua_isboolean(L, -1)) {
            lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
            lua_remove(L, -2);
        }
    }
    lua_concat(L, (int)t->n);
    return 1;
}

void lt_lua_push_template(lua_State *L, const struct lt_template *t)
{
    if (!t->plain) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)t);
        lua_pushcclosure(L, fill, 1);
        return;
    }
    luaL_checkstack(L, (int)t->n + 4, NULL);
    for (unsigned i = 0; i < t->n; i++) {
        lt_lua_push_str(L, t->parts[i].text);
    }
    lua_concat(L, (int)t->n);
}
