/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a Lua file have code in them, for the coverage of tests. */
#include <lauxlib.h>

#include "filters/lua_code.h"
#include "filters/test_impl.h"

struct marks {
    bool *lines; /* from 1 */
    size_t n;
};

static void mark(void *arg, size_t line)
{
    const struct marks *m = arg;
    if (line >= 1 && line <= m->n) {
        m->lines[line - 1] = true;
    }
}

bool lt_lines_with_code(struct lt_str text, bool *lines, size_t n)
{
    struct marks marks = {.lines = lines, .n = n};
    const struct lt_lua_code_visit visit = {.arg = &marks, .line = mark};
    lua_State *L = luaL_newstate();
    bool ok = L != NULL && luaL_loadbufferx(L, text.p, text.len, "=file", "t") == LUA_OK &&
              lt_lua_code_walk(L, &visit);
    if (L != NULL) {
        lua_close(L);
    }
    return ok;
}
