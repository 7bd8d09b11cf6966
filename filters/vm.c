/* SPDX-License-Identifier: Apache-2.0 */
/* One Lua state with its allocator and its hook (vm.h). The worker's thread, or the loader's. */
#include "filters/vm.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"

#define MAGIC 0x10a57a7eu
/* Instructions between two looks at the clock where there is no watchdog. */
#define CLOCK_COUNT 1000

static void on_hook(lua_State *L, lua_Debug *ar);
/* Written once, before there are other threads; only read where there is no watchdog. */
static void (*on_line)(lua_State *L, lua_Debug *ar);

void lt_vm_watch_lines(void (*fn)(lua_State *L, lua_Debug *ar))
{
    on_line = fn;
}

/* lua_sethook is made to be called from a signal's action. */
void lt_vm_arm(lua_State *L)
{
    lua_sethook(L, on_hook, LUA_MASKCOUNT | LUA_MASKCALL, 1);
}

static void *allocate(void *arg, void *p, size_t old, size_t size)
{
    struct lt_vm *vm = arg;
    size_t had = p != NULL ? old : 0; /* without a block, old is a type */
    if (size == 0) {
        vm->used -= had;
        lt_free(p);
        return NULL;
    }
    if (size <= had) {
        void *smaller = lt_realloc(p, 1, size);
        vm->used -= had - size;
        return smaller != NULL ? smaller : p; /* shrinking may not fail */
    }
    void *bigger =
        size - had <= vm->max - lt_min(vm->used, vm->max) ? lt_realloc(p, 1, size) : NULL;
    if (bigger != NULL) {
        vm->used += size - had;
        vm->peak = lt_max(vm->peak, vm->used);
        return bigger;
    }
    if (++vm->refusals >= LT_VM_REFUSALS_MAX && vm->running != NULL) {
        vm->over_memory = true;
        lt_vm_arm(vm->running);
    }
    return NULL;
}

/* What the function of a level is called, by who called it. */
static void print_function(lua_Debug *ar, char *out, size_t size)
{
    if (ar->name != NULL) {
        snprintf(out, size, "in %s '%.60s'", ar->namewhat, ar->name);
    } else if (ar->what[0] == 'm') {
        snprintf(out, size, "in the file itself");
    } else {
        snprintf(out, size, "in function <%s:%d>", ar->short_src, ar->linedefined);
    }
}

/* Appends to a text of size bytes as far as it fits. */
LT_PRINTF(3, 4) static void append(char *out, size_t size, const char *fmt, ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, fmt);
    vsnprintf(out + len, size - len, fmt, args);
    va_end(args);
}

void lt_vm_where(lua_State *L, char *out, size_t size)
{
    struct lt_vm *vm = lt_vm_of(L);
    char function[160];
    lua_Debug ar;
    int shown = 0;
    out[0] = vm->trace[0] = '\0';
    for (int level = 0; shown < LT_VM_TRACE_LEVELS && lua_getstack(L, level, &ar) == 1; level++) {
        lua_getinfo(L, "Sln", &ar);
        if (ar.currentline < 0) {
            continue;
        }
        print_function(&ar, function, sizeof(function));
        append(out, size, "%s%s:%d", shown > 0 ? ", called from " : "", ar.short_src,
               ar.currentline);
        append(vm->trace, sizeof(vm->trace), "%s%s:%d %s", shown > 0 ? "\n" : "", ar.short_src,
               ar.currentline, function);
        shown++;
    }
}

static void note_stop(struct lt_vm *vm, lua_State *L)
{
    if (!vm->stopped) {
        vm->stopped = true;
        lt_vm_where(L, vm->error, sizeof(vm->error));
    }
}

/* Lua's own message for this makes it a memory error, the one kind that calls no message handler of
 * an xpcall: a handler would run while hooks are off, for ever if it likes. Nor is memory needed,
 * the text exists already. */
static int raise_stop(lua_State *L)
{
    lua_pushliteral(L, "not enough memory");
    return lua_error(L);
}

static bool must_stop(struct lt_vm *vm)
{
    return vm->over_memory || lt_budget_expired(vm->budget);
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
    struct lt_vm *vm = lt_vm_of(L);
    if (ar->event == LUA_HOOKLINE) {
        on_line(L, ar);
        return;
    }
    if (!must_stop(vm)) {
        return;
    }
    if (lua_gethookcount(L) != 1) {
        lt_vm_arm(L);
    }
    if (ar->event != LUA_HOOKCOUNT) {
        /* A Lua function counts instructions of its own; C functions don't. */
        lua_getinfo(L, "S", ar);
        if (ar->what[0] != 'C') {
            return;
        }
    }
    note_stop(vm, L);
    if (ar->event == LUA_HOOKCOUNT && lua_isyieldable(L)) {
        lua_yield(L, 0);
        return;
    }
    raise_stop(L);
}

bool lt_vm_must_stop(struct lt_vm *vm)
{
    return vm->running != NULL && must_stop(vm);
}

void lt_vm_poll(lua_State *L)
{
    struct lt_vm *vm = lt_vm_of(L);
    if (lt_vm_must_stop(vm)) {
        note_stop(vm, L);
        lt_vm_arm(L);
        raise_stop(L);
    }
}

/* Outside of every protected call: a mistake of ours, or no memory left for the state itself. */
static int on_panic(lua_State *L)
{
    struct lt_vm *vm = lt_vm_of(L);
    LT_OBJ_CHECK(vm, MAGIC);
    fprintf(stderr, "lintel: a Lua state failed outside of a protected call\n");
    return 0;
}

struct lt_vm *lt_vm_new(struct lt_budget *budget, size_t max)
{
    struct lt_vm *vm = lt_calloc(1, sizeof(*vm));
    if (vm == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(vm, MAGIC);
    vm->budget = budget;
    vm->max = max;
    vm->L = lua_newstate(allocate, vm);
    if (vm->L == NULL) {
        lt_free(vm);
        return NULL;
    }
    *(struct lt_vm **)lua_getextraspace(vm->L) = vm; /* new coroutines get a copy */
    lua_atpanic(vm->L, on_panic);
    return vm;
}

void lt_vm_free(struct lt_vm *vm)
{
    if (vm != NULL) {
        LT_OBJ_CHECK(vm, MAGIC);
        assert(vm->running == NULL);
        lua_close(vm->L);
        LT_OBJ_FINI(vm);
        lt_free(vm);
    }
}

/* The error on top of L as text; objects are not asked to describe themselves, that would run code
 * of the filter. */
static void note_error(struct lt_vm *vm, lua_State *L)
{
    int type = lua_type(L, -1);
    if (type == LUA_TSTRING) {
        snprintf(vm->error, sizeof(vm->error), "%s", lua_tostring(L, -1));
    } else {
        snprintf(vm->error, sizeof(vm->error), "an error object of type %s", lua_typename(L, type));
    }
}

/* Appends where co was when it raised, its stack is still there; unless the message says that. */
static void note_trace(struct lt_vm *vm, lua_State *co)
{
    char where[LT_VM_TRACE_MAX / 2];
    lt_vm_where(co, where, sizeof(where));
    size_t len = strlen(vm->error), n = strlen(where);
    bool said = strncmp(vm->error, where, n) == 0 && vm->error[n] == ':';
    if (n > 0 && !said && len < sizeof(vm->error) - 8) {
        append(vm->error, sizeof(vm->error), " (at %s)", where);
    }
}

/* Lua collects by itself when an allocation of its own is refused, but not for the buffers of its
 * library: garbage must not fill the space up to the cap. */
static void tidy(struct lt_vm *vm)
{
    if (vm->collect || (vm->used > vm->max / 2 && vm->used > vm->kept + vm->max / 4)) {
        lua_gc(vm->L, LUA_GCCOLLECT);
        vm->kept = vm->used;
        vm->collect = false;
    }
}

enum lt_vm_end lt_vm_resume(struct lt_vm *vm, lua_State *co, int n, uint64_t cpu_ms, int *n_results)
{
    LT_OBJ_CHECK(vm, MAGIC);
    struct lt_budget *budget = vm->budget;
    assert(vm->running == NULL); /* one at a time: who wants another defers it */
    tidy(vm);
    vm->refusals = 0;
    vm->over_memory = vm->stopped = false;
    vm->trace[0] = '\0';
    vm->running = co;
    *n_results = 0;
    if (budget->watch == NULL) {
        lua_sethook(co, on_hook, on_line != NULL ? LUA_MASKCOUNT | LUA_MASKLINE : LUA_MASKCOUNT,
                    CLOCK_COUNT);
    }
    lt_budget_begin(budget, co, cpu_ms * 1000000u);
    int status = lua_resume(co, NULL, n, n_results);
    lt_budget_end(budget);
    vm->running = NULL;
    if (LT_UNLIKELY(vm->stopped)) {
        vm->collect = true;
        return vm->over_memory ? LT_VM_MEMORY : LT_VM_CPU;
    }
    if (budget->watch == NULL || LT_UNLIKELY(budget->expired || vm->over_memory)) {
        lua_sethook(co, NULL, 0, 0); /* it came to its end just in time */
    }
    if (status == LUA_OK) {
        return LT_VM_DONE;
    }
    if (status == LUA_YIELD) {
        return LT_VM_WAITS;
    }
    note_error(vm, co);
    note_trace(vm, co);
    vm->collect |= status == LUA_ERRMEM;
    return status == LUA_ERRMEM ? LT_VM_MEMORY : LT_VM_RAISED;
}

bool lt_vm_setup(struct lt_vm *vm, lua_CFunction fn, void *arg)
{
    LT_OBJ_CHECK(vm, MAGIC);
    if (vm->running == NULL) { /* else they are those of the call that needs this */
        vm->refusals = 0;
    }
    int top = lua_gettop(vm->L);
    if (!lua_checkstack(vm->L, 4)) {
        snprintf(vm->error, sizeof(vm->error), "not enough memory");
        return false;
    }
    lua_pushcfunction(vm->L, fn); /* a light C function: no allocation */
    lua_pushlightuserdata(vm->L, arg);
    bool ok = lua_pcall(vm->L, 1, 0, 0) == LUA_OK;
    if (!ok) {
        note_error(vm, vm->L);
    }
    lua_settop(vm->L, top);
    return ok;
}
