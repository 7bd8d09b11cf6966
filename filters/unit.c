/* SPDX-License-Identifier: Apache-2.0 */
/* States and units (unit.h): opens the sandbox, runs a file, calls init. */
#include "filters/unit.h"

#include <lauxlib.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"
#include "config/file.h"
#include "filters/crypto.h"
#include "filters/lib.h"
#include "filters/lib_re.h"
#include "filters/sandbox.h"
#include "filters/schema.h"

#define MAGIC 0xf11e57a7u
#define MODULE "lintel.module"
#define LOADED "lintel.loaded"
#define MODULE_NAME_MAX 100u
#define MODULE_FILE_MAX ((size_t)1 << 20)

/* ---- require ---- */

/* a.b_c: parts of letters, digits and '_', so that no name leads out of the folder. */
static bool is_module_name(struct lt_str name)
{
    bool part = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = lt_char_lower(name.p[i]);
        bool word = (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || c == '_';
        if (!word && !(c == '.' && part)) {
            return false;
        }
        part = word;
    }
    return part && name.len <= MODULE_NAME_MAX;
}

static const struct lt_filter_module *known_module(const struct lt_filter_file *file,
                                                   struct lt_str name)
{
    for (const struct lt_filter_module *m = file->modules; m != NULL; m = m->next) {
        if (lt_str_eq(m->name, name)) {
            return m;
        }
    }
    return NULL;
}

/* Reads a module's file; the loader only. */
static const struct lt_filter_module *read_module(lua_State *L, struct lt_filter_vm *fvm,
                                                  struct lt_str name)
{
    struct lt_arena *arena = fvm->load->arena;
    struct lt_filter_module *m = lt_arena_new(arena, struct lt_filter_module);
    struct lt_str file, path, why = LT_STR_NONE;
    if (m == NULL || !lt_arena_dup(arena, name, &m->name) ||
        !lt_arena_printf(arena, &file, "%.*s.lua", LT_STR_ARG(name))) {
        luaL_error(L, "out of memory");
    }
    for (size_t i = 0; i < name.len; i++) {
        if (file.p[i] == '.') {
            ((char *)(uintptr_t)file.p)[i] = '/';
        }
    }
    if (!lt_file_join(arena, fvm->file->dir, file, &path)) {
        luaL_error(L, "out of memory");
    }
    m->path = path;
    if (lt_file_read(fvm->load->files, arena, path.p, MODULE_FILE_MAX, &m->text, NULL, &why) !=
        LT_OK) {
        luaL_error(L, "require: %s", why.len > 0 ? why.p : "out of memory");
    }
    m->next = fvm->record->modules;
    fvm->record->modules = m;
    return m;
}

/* require(name): files of the filter's folder, read when the configuration is loaded and never
 * later: a worker doesn't wait for a disk. */
static int require(lua_State *L)
{
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    struct lt_str name;
    name.p = luaL_checklstring(L, 1, &name.len);
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LOADED);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) != LUA_TNIL) {
        if (lua_isboolean(L, -1)) {
            return luaL_error(L, "require: '%s' requires itself", name.p);
        }
        return 1;
    }
    if (!is_module_name(name)) {
        return luaL_error(L, "require: '%s' is not a name of a file in the filter's folder",
                          name.p);
    }
    const struct lt_filter_module *m = known_module(fvm->file, name);
    if (m == NULL) {
        if (fvm->record == NULL) {
            return luaL_error(L, "require: '%s' was not required while the file was loaded",
                              name.p);
        }
        m = read_module(L, fvm, name);
    }
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 0); /* being loaded */
    lua_rawset(L, 2);
    if (!lt_sandbox_load(L, m->text, lua_pushfstring(L, "=%s.lua", name.p))) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1) || lua_isboolean(L, -1)) {
        return luaL_error(L, "require: '%s' returns nothing", name.p);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

/* ---- the state ---- */

static int open_libraries(lua_State *L)
{
    struct lt_filter_vm *fvm = lua_touserdata(L, 1);
    lt_sandbox_open(L);
    lua_getfield(L, LUA_REGISTRYINDEX, LT_SANDBOX_GLOBALS);
    lua_pushcfunction(L, require);
    lua_setfield(L, -2, "require");
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LOADED);
    lt_lua_open_lintel(L);
    if (fvm->open_more != NULL) {
        lua_getfield(L, LUA_REGISTRYINDEX, LOADED);
        fvm->open_more(L); /* adds modules to the table of those that are loaded */
    }
    return 0;
}

/* Makes a coroutine and puts fn and arg on its stack. */
struct start {
    lua_CFunction fn;
    void *arg;
    lua_State *co;
    int ref;
};

static int start_coroutine(lua_State *L)
{
    struct start *start = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    lua_pushcfunction(co, start->fn);
    lua_pushlightuserdata(co, start->arg);
    start->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    start->co = co;
    return 0;
}

static bool run_c(struct lt_filter_vm *fvm, lua_CFunction fn, void *arg, uint64_t cpu_ms)
{
    struct start start = {.fn = fn, .arg = arg};
    struct lt_vm *vm = fvm->vm;
    int n;
    if (!lt_vm_setup(vm, start_coroutine, &start)) {
        return false;
    }
    enum lt_vm_end end = lt_vm_resume(vm, start.co, 1, cpu_ms, &n);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, start.ref);
    if (end == LT_VM_CPU || end == LT_VM_MEMORY) {
        char where[LT_VM_TRACE_MAX];
        memcpy(where, vm->error, sizeof(where));
        snprintf(vm->error, sizeof(vm->error), "used more than its %s while it was loaded: %.400s",
                 end == LT_VM_CPU ? "time" : "memory", where);
    } else if (end == LT_VM_WAITS) {
        snprintf(vm->error, sizeof(vm->error), "can't wait while it is loaded");
    }
    return end == LT_VM_DONE;
}

bool lt_filter_vm_run(struct lt_filter_vm *fvm, lua_CFunction fn, void *arg)
{
    return run_c(fvm, fn, arg, LT_FILTER_LOAD_CPU_MS);
}

/* Runs the file and keeps what it returned. */
static int run_file(lua_State *L)
{
    const struct lt_filter_file *file = lua_touserdata(L, 1);
    if (!lt_sandbox_load(L, file->text, lua_pushfstring(L, "=%s.lua", file->name.p))) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1)) {
        return luaL_error(L, "%s.lua returns %s: a filter ends with `return` and its table",
                          file->name.p, lua_isnil(L, -1) ? "nothing" : luaL_typename(L, -1));
    }
    lua_setfield(L, LUA_REGISTRYINDEX, MODULE);
    return 0;
}

void lt_filter_vm_push_module(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, MODULE);
}

bool lt_filter_vm_open_text(struct lt_filter_vm *fvm, struct lt_budget *budget, uint64_t memory,
                            lua_CFunction run, uint64_t cpu_ms)
{
    LT_OBJ_INIT(fvm, MAGIC);
    fvm->vm = lt_vm_new(budget, memory);
    if (fvm->vm == NULL) {
        return false;
    }
    fvm->vm->owner = fvm;
    return lt_vm_setup(fvm->vm, open_libraries, fvm) &&
           run_c(fvm, run, (void *)(uintptr_t)fvm->file, cpu_ms);
}

bool lt_filter_vm_open(struct lt_filter_vm *fvm, struct lt_budget *budget, uint64_t memory)
{
    return lt_filter_vm_open_text(fvm, budget, memory, run_file, LT_FILTER_LOAD_CPU_MS);
}

void lt_filter_vm_close(struct lt_filter_vm *fvm)
{
    if (fvm->vm != NULL) {
        LT_OBJ_CHECK(fvm, MAGIC);
        lt_vm_free(fvm->vm);
        lt_crypto_free(fvm->crypto);
        lt_patterns_free(fvm->patterns);
        fvm->vm = NULL;
        fvm->crypto = NULL;
        fvm->patterns = NULL;
        LT_OBJ_FINI(fvm);
    }
}

const char *lt_filter_vm_error(const struct lt_filter_vm *fvm)
{
    return fvm->vm != NULL ? fvm->vm->error : "out of memory";
}

/* ---- units ---- */

/* init(conf); what it returns becomes ctx.state. */
static int init_unit(lua_State *L)
{
    struct lt_filter_unit *unit = lua_touserdata(L, 1);
    lt_filter_settings_push(L, unit->instance);
    lua_pushvalue(L, -1);
    unit->conf_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lt_filter_vm_push_module(L);
    if (lua_getfield(L, -1, "init") == LUA_TFUNCTION) {
        lua_pushvalue(L, -3);
        lua_call(L, 1, 1);
    }
    unit->state_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

bool lt_filter_unit_init(struct lt_filter_unit *unit, struct lt_filter_vm *fvm,
                         const struct lt_filter_instance *instance)
{
    *unit = (struct lt_filter_unit){
        .instance = instance, .fvm = fvm, .conf_ref = LUA_NOREF, .state_ref = LUA_NOREF};
    fvm->running = instance;
    bool ok = lt_filter_vm_run(fvm, init_unit, unit);
    fvm->running = NULL;
    return ok;
}
