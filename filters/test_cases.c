/* SPDX-License-Identifier: Apache-2.0 */
/* t.case. A test file is run once, which registers its cases; then each of them runs in a coroutine
 * of its own under a budget of its own, so that one which never ends is stopped and the next one
 * begins. A case fails by what it raises, by a budget that it was given, and by a filter that
 * failed without the case asking for it. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "config/units.h"
#include "filters/excerpt.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/test_impl.h"

#define CASE_CPU_MS 10000u /* of its own code and of its filters */
#define FILE_CPU_MS 10000u /* of the file, before its cases */
#define FILE_MEMORY ((size_t)64 << 20)
#define NAME_MAX_LEN 200u
#define CASES_MAX 10000
#define CALLERS_MAX 4
#define REPORT_MAX ((size_t)16 << 10)
/* In the registry of the test's state: tables of cases; texts of failures of filters. */
#define CASES "lintel.test.cases"
#define FAILURES "lintel.test.failures"

struct lt_test *lt_test_current;

/* One case, taken out of the list. */
struct one_case {
    lua_Integer index;
    bool there;
    char name[NAME_MAX_LEN + 1];
    int line;
    uint64_t cpu_ns; /* may be used; 0: as much as the filters' own budgets allow */
    size_t memory;   /* the same */
    lua_State *co;
    int ref;
};

void lt_test_check_case(lua_State *L, const char *what)
{
    if (!lt_test_of(L)->in_case) {
        luaL_error(L, "%s: only within t.case", what);
    }
    if (lt_test_of(L)->in_mock) {
        luaL_error(L, "%s: not in a function that plays a service", what);
    }
}

/* ---- registering ---- */

/* "500us", or a time as filters have it; in nanoseconds. */
static uint64_t cpu_option(lua_State *L, int index)
{
    uint64_t ms;
    if (lua_isnil(L, index)) {
        return 0;
    }
    if (lua_type(L, index) == LUA_TSTRING) {
        char *end;
        const char *text = lua_tostring(L, index);
        double us = strtod(text, &end);
        if (end > text && strcmp(end, "us") == 0 && us >= 1 && us <= 1e9) {
            return (uint64_t)(us * 1e3);
        }
    }
    if (!lt_lua_to_duration(L, index, CASE_CPU_MS, &ms) || ms == 0) {
        luaL_error(L, "t.case: cpu: a time such as \"2ms\" or \"500us\", at most 10s");
    }
    return ms * 1000000;
}

static uint64_t memory_option(lua_State *L, int index)
{
    uint64_t bytes = 0;
    if (!lua_isnil(L, index) &&
        (!lua_isstring(L, index) || !lt_units_size(lt_str_c(lua_tostring(L, index)), &bytes) ||
         bytes == 0)) {
        luaL_error(L, "t.case: memory: a size such as \"1M\"");
    }
    return bytes;
}

static void check_name(lua_State *L, struct lt_str name)
{
    bool good = name.len > 0 && name.len <= NAME_MAX_LEN;
    for (size_t i = 0; i < name.len; i++) {
        good &= (unsigned char)name.p[i] >= ' ' && name.p[i] != 0x7f;
    }
    luaL_argcheck(L, good, 1, "a name is one line of text, of up to 200 bytes");
}

int lt_test_case(lua_State *L)
{
    static const char *const keys[] = {"cpu", "memory"};
    struct lt_test *r = lt_test_of(L);
    lua_Debug ar = {.currentline = 0};
    if (r->in_case) {
        return luaL_error(L, "t.case: not within another case");
    }
    check_name(L, lt_lua_check_str(L, 1));
    if (lua_gettop(L) == 2) {
        lua_newtable(L);
        lua_insert(L, 2);
    }
    lua_settop(L, 3);
    if (!lua_istable(L, 2) || !lua_isfunction(L, 3)) {
        return luaL_error(L, "write t.case(\"name\", function() ... end), with {cpu = ..., "
                             "memory = ...} between them or without");
    }
    lt_lua_check_keys(L, 2, "t.case", keys, lt_countof(keys));
    lua_getfield(L, 2, "cpu");
    uint64_t cpu_ns = cpu_option(L, 4);
    lua_getfield(L, 2, "memory");
    uint64_t memory = memory_option(L, 5);
    if (lua_getstack(L, 1, &ar) == 1) {
        lua_getinfo(L, "l", &ar);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, CASES);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    if (n >= CASES_MAX) {
        return luaL_error(L, "t.case: at most %d in a file", CASES_MAX);
    }
    lua_createtable(L, 5, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 3);
    lua_rawseti(L, -2, 2);
    lua_pushinteger(L, ar.currentline);
    lua_rawseti(L, -2, 3);
    lua_pushinteger(L, (lua_Integer)cpu_ns);
    lua_rawseti(L, -2, 4);
    lua_pushinteger(L, (lua_Integer)memory);
    lua_rawseti(L, -2, 5);
    lua_rawseti(L, -2, n + 1);
    return 0;
}

static lua_Integer take_integer(lua_State *L, int table, int n)
{
    lua_rawgeti(L, table, n);
    lua_Integer value = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* Argument: a struct one_case, to be filled in by its index. */
static int take_case(lua_State *L)
{
    struct one_case *c = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, CASES);
    c->there = lua_rawgeti(L, 2, c->index) == LUA_TTABLE;
    if (!c->there) {
        return 0;
    }
    lua_rawgeti(L, 3, 1);
    snprintf(c->name, sizeof(c->name), "%s", lua_tostring(L, -1));
    c->line = (int)take_integer(L, 3, 3);
    c->cpu_ns = (uint64_t)take_integer(L, 3, 4);
    c->memory = (size_t)take_integer(L, 3, 5);
    return 0;
}

/* Readies its coroutine; nothing of the case before is left. */
static int prepare_case(lua_State *L)
{
    struct one_case *c = lua_touserdata(L, 1);
    lt_test_http_forget(L);
    lt_test_redis_forget(L);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, FAILURES);
    lua_getfield(L, LUA_REGISTRYINDEX, CASES);
    lua_rawgeti(L, -1, c->index);
    lua_State *co = lua_newthread(L);
    lua_rawgeti(L, -2, 2);
    lua_xmove(L, co, 1);
    c->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    c->co = co;
    return 0;
}

/* ---- saying what failed ---- */

/* What a message says, without where: that is printed apart. */
static struct lt_str without_place(struct lt_str message, const struct lt_place *place)
{
    struct lt_str rest = lt_str_sub(message, place->end, message.len);
    size_t at = lt_str_find(rest, LT_STR(" (at "));
    if (rest.len > 0 && rest.p[0] == ',') { /* of a call that was stopped */
        return LT_STR_NONE;
    }
    return at != SIZE_MAX && rest.p[rest.len - 1] == ')' ? lt_str_sub(rest, 0, at) : rest;
}

/* Prints message with the place at its beginning as a path, the line there, and those who called,
 * by trace. */
static void print_error(const struct lt_filter_vm *fvm, struct lt_str message, struct lt_str trace,
                        struct lt_buf *out)
{
    struct lt_place said = {.line = 0}, place;
    struct lt_str text;
    char path[512];
    bool known =
        lt_place_read(message, &said) && lt_excerpt_file(fvm, said.name, &text, path, sizeof(path));
    if (known) {
        struct lt_str rest = without_place(message, &said);
        lt_buf_printf(out, "%s:%d%s%.*s\n", path, said.line, rest.len > 0 ? ": " : "",
                      LT_STR_ARG(rest));
        lt_excerpt_print(out, text, said.line, message, "");
    } else {
        said = (struct lt_place){.line = 0};
        lt_buf_printf(out, "%.*s\n", LT_STR_ARG(without_place(message, &said)));
    }
    for (int shown = 0; trace.len > 0 && shown < CALLERS_MAX;) {
        size_t end = lt_min(lt_str_chr(trace, '\n', 0), trace.len);
        struct lt_str line = lt_str_sub(trace, 0, end);
        trace = lt_str_sub(trace, end + 1, trace.len);
        if (!lt_place_read(line, &place) ||
            (known && place.line == said.line && lt_str_eq(place.name, said.name)) ||
            !lt_excerpt_file(fvm, place.name, &text, path, sizeof(path))) {
            continue;
        }
        struct lt_str rest = lt_str_sub(line, place.end, line.len);
        lt_buf_printf(out, "%s %s:%d%.*s\n", known || shown > 0 ? "called from" : "at", path,
                      place.line, LT_STR_ARG(rest));
        lt_excerpt_print(out, text, place.line, LT_STR_NONE, "");
        shown++;
    }
}

void lt_test_on_failure(struct lt_filter_unit *unit, const char *hook, enum lt_cause cause,
                        const char *error)
{
    struct lt_test *r = lt_test_current;
    struct lt_buf out;
    size_t len = strlen(r->failure);
    lt_buf_init_fixed(&out, r->failure + len, sizeof(r->failure) - 1 - len);
    lt_buf_printf(&out, "the filter %s in `%s` (%s), and the test does not look at it:\n",
                  cause == LT_CAUSE_FILTER_ERROR ? "failed" : "was stopped over its budget", hook,
                  lt_cause_info(cause)->name);
    print_error(unit->fvm, lt_str_c(error), lt_str_c(unit->fvm->vm->trace), &out);
    r->failure[len + out.len] = '\0';
    if (r->failed_as[0] == '\0') {
        snprintf(r->failed_as, sizeof(r->failed_as), "%s", error);
    }
}

/* __index of a result whose filter failed. Upvalues: its fields `error` and `cause`, the place of
 * the failure in the list. */
static int look_at_failure(lua_State *L)
{
    const char *key = lua_tostring(L, 2);
    if (key == NULL || (strcmp(key, "error") != 0 && strcmp(key, "cause") != 0)) {
        return lt_test_absent(L);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, FAILURES);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, lua_tointeger(L, lua_upvalueindex(3)));
    lua_pushvalue(L, lua_upvalueindex(key[0] == 'e' ? 1 : 2));
    return 1;
}

void lt_test_watch_failure(lua_State *L, struct lt_test *r, int result)
{
    if (r->failure[0] == '\0') {
        return;
    }
    lua_getfield(L, LUA_REGISTRYINDEX, FAILURES);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1) + 1;
    lua_pushstring(L, r->failure);
    lua_rawseti(L, -2, n);
    lua_pop(L, 1);
    lua_createtable(L, 0, 1); /* the metatable */
    if (lua_getfield(L, result, "error") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushstring(L, r->failed_as);
    }
    lua_getfield(L, result, "cause");
    lua_pushinteger(L, n);
    lua_pushcclosure(L, look_at_failure, 3);
    lua_setfield(L, -2, "__index");
    lua_pushnil(L);
    lua_setfield(L, result, "error");
    lua_pushnil(L);
    lua_setfield(L, result, "cause");
    lua_setmetatable(L, result);
}

/* Argument: a struct lt_buf, to which failures are added that nobody looked at. */
static int take_failures(lua_State *L)
{
    struct lt_buf *out = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, FAILURES);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_rawgeti(L, 2, i) == LUA_TSTRING) {
            lt_buf_printf(out, "%s", lua_tostring(L, -1));
        }
        lua_pop(L, 1);
    }
    return 0;
}

/* How the case's own code ended; nothing when it came to its end. */
static void print_end(const struct lt_test *r, lua_State *co, enum lt_vm_end end,
                      struct lt_buf *out)
{
    const struct lt_vm *vm = r->fvm->vm;
    struct lt_str message = lt_str_c(vm->error);
    switch (end) {
    case LT_VM_DONE:
        return;
    case LT_VM_RAISED:
        if (lua_type(co, -1) == LUA_TSTRING) {
            message.p = lua_tolstring(co, -1, &message.len); /* vm->error is cut */
        }
        print_error(r->fvm, message, lt_str_c(vm->trace), out);
        return;
    case LT_VM_WAITS:
        lt_buf_printf(out, "the test itself can't wait: t.advance moves the clock\n");
        return;
    case LT_VM_CPU:
        lt_buf_printf(out, "the test used more than %u s of processor time\n", CASE_CPU_MS / 1000);
        break;
    case LT_VM_MEMORY:
        lt_buf_printf(out, "the test file used more than %zu MB of memory\n", FILE_MEMORY >> 20);
        break;
    }
    print_error(r->fvm, message, lt_str_c(vm->trace), out);
}

static void print_case_place(const struct lt_test *r, const struct one_case *c, struct lt_buf *out)
{
    lt_buf_printf(out, "%s:%d:\n", r->path, c->line);
    lt_excerpt_print(out, r->fvm->file->text, c->line, LT_STR_NONE, "");
}

/* The budgets that the case was given. */
static void print_budgets(const struct lt_test *r, const struct one_case *c, struct lt_buf *out)
{
    uint64_t used = r->bed->budget.used_ns;
    if (c->cpu_ns != 0 && used > c->cpu_ns) {
        lt_buf_printf(out, "the filters used %.3f ms of processor time and may use %.3f ms\n",
                      (double)used / 1e6, (double)c->cpu_ns / 1e6);
        print_case_place(r, c, out);
    }
    if (c->memory != 0 && r->memory > c->memory) {
        lt_buf_printf(out, "the filters used %zu KB of memory and may use %zu KB\n",
                      r->memory >> 10, c->memory >> 10);
        print_case_place(r, c, out);
    }
}

/* ---- running ---- */

static void run_case(struct lt_test *r, struct one_case *c)
{
    static char space[REPORT_MAX];
    struct lt_vm *vm = r->fvm->vm;
    struct lt_buf out;
    int n;
    lt_buf_init_fixed(&out, space, sizeof(space) - 1);
    lt_test_bed_reset(r->bed);
    r->memory = 0;
    r->bed->budget.used_ns = 0;
    r->failure[0] = r->said[0] = '\0';
    uint64_t began_us = lt_clock_us();
    if (!lt_vm_setup(vm, prepare_case, c)) {
        lt_buf_printf(&out, "%s\n", vm->error);
    } else {
        r->in_case = true;
        enum lt_vm_end end = lt_vm_resume(vm, c->co, 0, CASE_CPU_MS, &n);
        r->in_case = false;
        print_end(r, c->co, end, &out);
        r->L = NULL;
        r->memory = lt_max(r->memory, lt_test_bed_memory(r->bed));
        if (!lt_vm_setup(vm, take_failures, &out)) {
            lt_buf_printf(&out, "%s\n", vm->error);
        }
        print_budgets(r, c, &out);
        if (out.len > 0 && r->said[0] != '\0') {
            lt_buf_printf(&out, "its filters logged:\n%s", r->said);
        }
        luaL_unref(vm->L, LUA_REGISTRYINDEX, c->ref);
    }
    lt_test_bed_begin_load(r->bed); /* a case that was stopped leaves an exchange behind */
    space[out.len] = '\0';
    const struct lt_test_result result = {.file = r->path,
                                          .name = c->name,
                                          .outcome = out.len > 0 ? LT_TEST_FAILED : LT_TEST_PASSED,
                                          .text = space,
                                          .cpu_ns = r->bed->budget.used_ns,
                                          .wall_ns = (lt_clock_us() - began_us) * 1000,
                                          .memory = r->memory};
    lt_test_report_case(r->report, &result);
}

static bool wanted(const struct lt_test *r, const struct one_case *c)
{
    char pattern[512], name[1024];
    if (r->filter == NULL) {
        return true;
    }
    snprintf(pattern, sizeof(pattern), "*%s*", r->filter);
    snprintf(name, sizeof(name), "%s: %s", r->path, c->name);
    return fnmatch(pattern, name, 0) == 0;
}

static void fail_file(struct lt_test *r, const char *why)
{
    const struct lt_test_result result = {
        .file = r->path, .name = "the file itself", .outcome = LT_TEST_BROKEN, .text = why};
    lt_test_report_case(r->report, &result);
}

static void run_cases(struct lt_test *r)
{
    struct one_case c = {.index = 1};
    char line[1024];
    for (; lt_vm_setup(r->fvm->vm, take_case, &c) && c.there; c.index++) {
        r->in_file++;
        if (!wanted(r, &c)) {
            continue;
        }
        r->matched++;
        if (r->list) {
            snprintf(line, sizeof(line), "%s: %s", r->path, c.name);
            lt_test_report_line(r->report, line);
        } else {
            run_case(r, &c);
        }
    }
    if (r->in_file == 0) {
        fail_file(r, "there is no t.case in it\n");
    }
}

/* It is no filter: what it returns doesn't matter. */
static int run_text(lua_State *L)
{
    const struct lt_filter_file *file = lua_touserdata(L, 1);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, CASES);
    if (!lt_sandbox_load(L, file->text, lua_pushfstring(L, "=%s.lua", file->name.p))) {
        return lua_error(L);
    }
    lua_call(L, 0, 0);
    return 0;
}

static void run_opened(struct lt_test *r, struct lt_filter_vm *fvm, struct lt_budget *budget)
{
    char space[LT_TEST_TEXT_MAX];
    struct lt_buf out;
    r->dir = fvm->file->dir;
    r->fvm = fvm;
    if (lt_filter_vm_open_text(fvm, budget, FILE_MEMORY, run_text, FILE_CPU_MS)) {
        run_cases(r);
    } else {
        lt_buf_init_fixed(&out, space, sizeof(space) - 1);
        print_error(fvm, lt_str_c(lt_filter_vm_error(fvm)),
                    fvm->vm != NULL ? lt_str_c(fvm->vm->trace) : LT_STR_NONE, &out);
        space[out.len] = '\0';
        fail_file(r, space);
    }
    lt_filter_vm_close(fvm);
    r->fvm = NULL;
}

void lt_test_run_file(struct lt_test *r, const char *path)
{
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_budget budget;
    struct lt_str why = LT_STR_NONE;
    lt_arena_init(&arena, NULL, 0, LT_LOAD_ARENA_MAX);
    lt_diags_init(&diags, &arena);
    lt_load_init(&load, &arena, &diags);
    lt_budget_init(&budget);
    r->path = path;
    r->in_file = 0;
    lt_test_report_begin(r->report, path);
    struct lt_str shown_path = lt_str_c(path), local = shown_path;
    bool named =
        lt_str_chr(shown_path, '/', 0) != SIZE_MAX || lt_arena_printf(&arena, &local, "./%s", path);
    struct lt_filter_file *file =
        named ? lt_filter_file_find(&load, local, LT_STR_NONE, &why) : NULL;
    if (file == NULL) {
        fail_file(r, why.len > 0 ? why.p : "out of memory");
    } else {
        struct lt_filter_vm fvm = {
            .file = file, .load = &load, .record = file, .open_more = lt_test_open};
        run_opened(r, &fvm, &budget);
    }
    lt_test_report_end(r->report);
    lt_budget_detach(&budget);
    lt_arena_fini(&arena);
}
