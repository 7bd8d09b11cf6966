/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the API (filters/api.h) against the API itself: what is in a live VM has a row, and
 * what has one exists. Fields that C functions answer for can't be listed from Lua; they are found
 * in the sources, by the call for one that isn't there: lt_absent_field(L, &lt_api_request). */
#include "filter_bed.h"

#include <lualib.h>

#include "filters/api.h"
#include "filters/sandbox.h"

/* Arguments: lintel, ctx, OBJECTS, rows by class, srcdir. Gives the differences as text. */
static const char compare[] =
    "local lintel, ctx, objects, classes, tree = ...\n"
    "local live, known, out = {}, {}, {}\n"
    /* Objects whose keys are the filter's or the client's, and not ours. */
    "local leaf = {['ctx.conf'] = true, ['ctx.state'] = true, ['ctx.vars'] = true, "
    "['ctx.user'] = true, ['ctx.req.headers'] = true, ['ctx.res.headers'] = true, "
    "['ctx.req.query'] = true, ['ctx.client.tls'] = true}\n"
    "local function walk(path, value)\n"
    "  local t, mt = value, debug.getmetatable(value)\n"
    "  while mt and type(mt.__index) == 'table' do "
    "t = mt.__index mt = debug.getmetatable(t) end\n"
    "  if type(t) ~= 'table' or leaf[path] then return end\n"
    "  for k, v in next, t do\n"
    "    local name = path .. '.' .. k\n"
    "    live[name] = true\n"
    "    if type(v) == 'table' or type(v) == 'userdata' then walk(name, v) end\n"
    "  end\n"
    "end\n"
    "walk('lintel', lintel) walk('ctx', ctx)\n"
    "for class, object in next, objects do walk(class, object) end\n"
    /* Fields by C functions. */
    "local as = {ctx = 'ctx', request = 'ctx.req', response = 'ctx.res', client = 'ctx.client', "
    "route = 'ctx.route', upstream = 'ctx.upstream'}\n"
    "local function read(path)\n"
    "  local f = assert(io.open(tree .. '/' .. path)) local text = f:read('a') f:close()\n"
    "  return text\n"
    "end\n"
    "for name in read('filters/local.mk'):gmatch('filters/(ctx%w*_?%w*)%.c') do\n"
    "  for body in read('filters/' .. name .. '.c'):gmatch('\\n(static[^;\\n]-%b()\\n%b{})') do\n"
    "    local path = as[body:match('lt_absent_field%(L, &lt_api_(%w+)%)')] "
    "or body:match('\"(ctx[%w_.]*)%.%%s can\\'t be set')\n"
    "    if path then for key in body:gmatch('lt_str_eq_c%(key, \"([%w_]+)\"%)') do "
    "live[path .. '.' .. key] = true end end\n"
    "  end\n"
    "end\n"
    "local function declared(path, class)\n"
    "  for k, type in next, class do\n"
    "    known[path .. '.' .. k] = true\n"
    "    if classes[type] and not leaf[path .. '.' .. k] then "
    "declared(path .. '.' .. k, classes[type]) end\n"
    "  end\n"
    "end\n"
    "declared('lintel', classes['lintel']) declared('ctx', classes['lintel.Ctx'])\n"
    "for class in next, objects do declared(class, classes[class] or {}) end\n"
    "for name in next, live do if not known[name] then "
    "out[#out + 1] = name .. ' exists and has no row' end end\n"
    "for name in next, known do if not live[name] then "
    "out[#out + 1] = name .. ' has a row and does not exist' end end\n"
    "table.sort(out) local n = 0 for _ in next, live do n = n + 1 end\n"
    "if n < 60 then out[#out + 1] = 'only ' .. n .. ' names were found' end\n"
    "return table.concat(out, '\\n')\n";

/* What functions of lintel give, by its class: objects with methods. Lua, run by init. */
#define OBJECTS                                                                                    \
    "{['lintel.Re'] = lintel.re.new('x'), "                                                        \
    "['lintel.Keys'] = lintel.jwt.keys {secret = ('x'):rep(32)}, "                                 \
    "['lintel.Redis'] = lintel.redis.new 'redis://localhost', "                                    \
    "['lintel.Limit'] = lintel.limit.new {in_flight = 1}, "                                        \
    "['lintel.Cache'] = lintel.cache.new {max = 1}, ['lintel.Shared'] = lintel.shared.open(), "    \
    "['lintel.CidrSet'] = lintel.cidr.set {}}"

static char differences[8192];

/* Pushes the classes: name to rows, which are name to type, that of functions being "". */
static void push_classes(lua_State *L)
{
    lua_newtable(L);
    for (size_t i = 0; i < lt_api_count; i++) {
        const struct lt_api *api = lt_api_all[i];
        lua_newtable(L);
        for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
            if (row->name[0] != '[') {
                lua_pushstring(L, strchr("(:", row->type[0]) != NULL ? "" : row->type);
                lua_setfield(L, -2, row->name);
            }
        }
        lua_setfield(L, -2, api->name);
    }
    lua_getfield(L, -1, "lintel");
    for (size_t i = 0; i < lt_api_count; i++) {
        if (lt_api_part(lt_api_all[i]) != NULL) {
            lua_pushstring(L, lt_api_all[i]->name);
            lua_setfield(L, -2, lt_api_part(lt_api_all[i]));
        }
    }
    lua_pop(L, 1);
}

static int run(lua_State *L)
{
    struct lt_runner *runner = lua_touserdata(L, 1);
    lua_newtable(L); /* the globals of `compare` */
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    lua_setmetatable(L, 2);
    lua_getmetatable(L, 2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_requiref(L, LUA_IOLIBNAME, luaopen_io, 0);
    lua_setfield(L, 2, LUA_IOLIBNAME);
    luaL_requiref(L, LUA_DBLIBNAME, luaopen_debug, 0);
    lua_setfield(L, 2, LUA_DBLIBNAME);
    luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 0);
    lua_setfield(L, 2, LUA_TABLIBNAME);
    if (luaL_loadstring(L, compare) != LUA_OK) {
        return lua_error(L);
    }
    lua_pushvalue(L, 2);
    lua_setupvalue(L, -2, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_getfield(L, -1, "lintel");
    lua_remove(L, -2);
    lua_pushvalue(runner->task.co, LT_RUNNER_CTX);
    lua_xmove(runner->task.co, L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, runner->task.unit->state_ref);
    push_classes(L);
    lua_pushstring(L, getenv("srcdir"));
    lua_call(L, 5, 1);
    snprintf(differences, sizeof(differences), "%s", lua_tostring(L, -1));
    return 0;
}

static void test_the_definitions_are_the_api(void **state)
{
    (void)state;
    assert_non_null(getenv("srcdir"));
    load_one("return {init = function() return " OBJECTS " end, request = function() end}",
             ", budget: {memory: 64M}");
    struct lt_filter_unit *unit = bed->filters->units[0];
    struct lt_runner *runner = lt_runner_get(unit);
    assert_non_null(runner);
    if (!lt_vm_setup(unit->fvm->vm, run, runner)) {
        fail_msg("%s", unit->fvm->vm->error);
    }
    lt_runner_put(runner);
    if (differences[0] != '\0') {
        fail_msg("mend the rows (filters/api.h):\n%s", differences);
    }
}

/* Whether brackets and quotes in text are closed. */
static bool balanced(const char *text)
{
    int depth = 0, quotes = 0;
    for (; *text != '\0'; text++) {
        depth += strchr("({[<", *text) != NULL;
        depth -= strchr(")}]>", *text) != NULL;
        quotes += *text == '"';
    }
    return depth == 0 && quotes % 2 == 0;
}

/* Each "lintel.Name" in text is a class. */
static void check_names(const char *name, const char *text)
{
    for (const char *p = text; (p = strstr(p, "lintel.")) != NULL;) {
        size_t n = 7 + strspn(p + 7, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        bool found = false;
        for (size_t i = 0; i < lt_api_count; i++) {
            found |= strlen(lt_api_all[i]->name) == n && memcmp(lt_api_all[i]->name, p, n) == 0;
        }
        if (!found) {
            fail_msg("%s: the type %.*s is no class", name, (int)n, p);
        }
        p += n;
    }
}

static void test_types_are_written_well(void **state)
{
    (void)state;
    for (size_t i = 0; i < lt_api_count; i++) {
        const struct lt_api *api = lt_api_all[i];
        assert_true(api->doc[0] != '\0' && api->doc[strlen(api->doc) - 1] == '.');
        for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
            size_t doc = strlen(row->doc);
            if (!balanced(row->type) || (doc > 0 && row->doc[doc - 1] != '.')) {
                fail_msg("%s.%s: brackets, or a text without its full stop", api->name, row->name);
            }
            check_names(row->name, row->type);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_are_written_well),
        cmocka_unit_test_setup_teardown(test_the_definitions_are_the_api, bed_setup, bed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
