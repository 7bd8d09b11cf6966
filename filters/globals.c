/* SPDX-License-Identifier: Apache-2.0 */
/* Globals that are not there (globals.h). */
#include "filters/globals.h"

#include <lauxlib.h>

#include "config/schema.h"
#include "filters/absent.h"
#include "filters/lua_code.h"
#include "filters/sandbox.h"

#define NAME_MAX_LEN 60u

/* What to use for what people look for. */
static const struct {
    const char *name, *advice;
} advised[] = {
    {"print",
     "write lintel.log.info(text), or ctx.log.info(text) for a line with the request's id"},
    {"warn", "write lintel.log.warn(text), or ctx.log.warn(text) for a line with the request's id"},
    {"os", "lintel.now() is the time; an environment variable comes as a setting (`schema`), which "
           "the configuration gives as \"${NAME}\""},
    {"io",
     "filters read no files; a setting may hold one's text: \"${file:PATH}\" in the configuration"},
    {"coroutine", "any hook waits in plain code, and ctx:parallel runs functions side by side"},
    {"load", "`require \"name\"` takes name.lua from the filter's folder"},
    {"loadstring", "`require \"name\"` takes name.lua from the filter's folder"},
    {"loadfile", "`require \"name\"` takes name.lua from the filter's folder"},
    {"dofile", "`require \"name\"` takes name.lua from the filter's folder"},
    {"package", "`require \"name\"` takes name.lua from the filter's folder"},
    {"module", "a file returns a table: local M = {} ... return M"},
    {"debug", "errors come with their traceback, and lintel.log.info(text) shows what you want to "
              "see"},
    {"collectgarbage", "`budget.memory` bounds the memory"},
    {"rawget", "write t[key]"},
    {"rawset", "write t[key] = value"},
    {"unpack", "write table.unpack"},
    {"_G", "keep things in locals of the file, ctx.vars or lintel.shared"},
    {"ctx", "a hook has it as its argument: function M.request(ctx)"},
    {"conf", "a hook has the settings as ctx.conf, `init` as its argument: function M.init(conf)"},
    {"null", "write nil, or lintel.json.null for JSON"},
    {"ngx", "see \"Coming from OpenResty, Kong, HAProxy\" in the manual of filters"},
    {"kong", "see \"Coming from OpenResty, Kong, HAProxy\" in the manual of filters"},
};

/* The names of the globals that are there; they live in the table. */
static size_t known_names(lua_State *L, const char **names)
{
    size_t n = 0;
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING && n < LT_ABSENT_NAMES_MAX) {
            names[n++] = lua_tostring(L, -2);
        }
    }
    lua_pop(L, 1);
    return n;
}

/* Whether lintel has a part or a function of that name. */
static bool in_lintel(lua_State *L, const char *name)
{
    bool there = false;
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_pushliteral(L, "lintel");
    if (lua_rawget(L, -2) != LUA_TNIL && luaL_getmetafield(L, -1, "__index") == LUA_TTABLE) {
        lua_pushstring(L, name);
        there = lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 2);
    }
    lua_pop(L, 2);
    return there;
}

/* Pushes what is said of a name. */
static void push_read(lua_State *L, const char *name)
{
    const char *names[LT_ABSENT_NAMES_MAX];
    for (size_t i = 0; i < lt_countof(advised); i++) {
        if (strcmp(advised[i].name, name) == 0) {
            lua_pushfstring(L, "'%s' is not declared: %s", name, advised[i].advice);
            return;
        }
    }
    if (in_lintel(L, name)) {
        lua_pushfstring(L, "'%s' is not declared: write lintel.%s", name, name);
        return;
    }
    const char *close = lt_schema_closest(lt_str_c(name), names, known_names(L, names));
    if (close != NULL) {
        lua_pushfstring(L, "'%s' is not declared; did you mean '%s'?", name, close);
    } else {
        lua_pushfstring(L, "'%s' is not declared: no local and no part of Lintel's Lua", name);
    }
}

static void push_write(lua_State *L, const char *name)
{
    lua_pushfstring(L, "'%s' is not declared: write `local %s` to make it a variable", name, name);
}

static int refuse(lua_State *L, void (*push)(lua_State *L, const char *name))
{
    push(L, luaL_checkstring(L, 2));
    return luaL_error(L, "%s", lua_tostring(L, -1));
}

int lt_globals_undeclared_read(lua_State *L)
{
    return refuse(L, push_read);
}

int lt_globals_undeclared_write(lua_State *L)
{
    return refuse(L, push_write);
}

/* ---- looking through a file ---- */

struct search {
    const char *names[LT_ABSENT_NAMES_MAX];
    size_t n_names;
    size_t line; /* of the first that was found; 0: none */
    char name[NAME_MAX_LEN + 1];
    bool write;
};

static void on_global(void *arg, struct lt_str name, size_t line, bool write)
{
    struct search *s = arg;
    for (size_t i = 0; i < s->n_names && !write; i++) {
        if (lt_str_eq_c(name, s->names[i])) {
            return;
        }
    }
    if (name.len > 0 && (s->line == 0 || line < s->line)) {
        s->line = line;
        s->write = write;
        name = lt_str_sub(name, 0, NAME_MAX_LEN);
        memcpy(s->name, name.p, name.len);
        s->name[name.len] = '\0';
    }
}

bool lt_globals_check(lua_State *L, const char *name)
{
    struct search search = {.line = 0};
    const struct lt_lua_code_visit visit = {.arg = &search, .global = on_global};
    luaL_checkstack(L, 6, NULL);
    search.n_names = known_names(L, search.names);
    if (!lt_lua_code_walk(L, &visit) || search.line == 0) {
        return true; /* code of a form that we don't know: what is not there raises when it runs */
    }
    (search.write ? push_write : push_read)(L, search.name);
    lua_pushfstring(L, "%s:%d: %s", name + (name[0] == '='), (int)search.line, lua_tostring(L, -1));
    lua_replace(L, -3);
    lua_pop(L, 1);
    return false;
}
