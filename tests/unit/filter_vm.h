/* SPDX-License-Identifier: Apache-2.0 */
/* Runs text in a sandboxed state, for the unit tests of filters/. */
#ifndef LT_TESTS_UNIT_FILTER_VM_H
#define LT_TESTS_UNIT_FILTER_VM_H

#include "filters/sandbox.h"

#include <lauxlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define CPU_MS 20u
#define MEMORY ((size_t)8 << 20)

struct box {
    struct lt_budget budget;
    struct lt_vm *vm;
    unsigned cpu_ms;
    char result[256]; /* first result as text */
};

static void box_open(struct box *b, struct lt_budget_watch *watch, size_t memory)
{
    lt_budget_init(&b->budget);
    b->cpu_ms = CPU_MS;
    if (watch != NULL) {
        assert_true(lt_budget_attach(&b->budget, watch));
    }
    b->vm = lt_vm_new(&b->budget, memory);
    assert_non_null(b->vm);
    assert_true(lt_vm_setup(b->vm, lt_sandbox_open, NULL));
}

static void box_close(struct box *b)
{
    lt_vm_free(b->vm);
    lt_budget_detach(&b->budget);
}

struct box_call {
    const char *text;
    size_t len;
    lua_State *co;
    int ref;
};

static int box_prepare(lua_State *L)
{
    struct box_call *call = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    if (!lt_sandbox_load(co, lt_str(call->text, call->len), "=t")) {
        lua_xmove(co, L, 1);
        return lua_error(L);
    }
    call->ref = luaL_ref(L, LUA_REGISTRYINDEX); /* keeps it alive */
    call->co = co;
    return 0;
}

/* Runs len bytes of text; LT_VM_RAISED also when it can't be compiled. */
static enum lt_vm_end box_run_n(struct box *b, const char *text, size_t len)
{
    struct box_call call = {.text = text, .len = len};
    int n = 0;
    b->result[0] = '\0';
    if (!lt_vm_setup(b->vm, box_prepare, &call)) {
        return LT_VM_RAISED;
    }
    enum lt_vm_end end = lt_vm_resume(b->vm, call.co, 0, b->cpu_ms, &n);
    if (end == LT_VM_DONE && n > 0) {
        snprintf(b->result, sizeof(b->result), "%s",
                 lua_isstring(call.co, -n) ? lua_tostring(call.co, -n)
                                           : luaL_typename(call.co, -n));
    }
    luaL_unref(b->vm->L, LUA_REGISTRYINDEX, call.ref);
    return end;
}

static enum lt_vm_end box_run(struct box *b, const char *text)
{
    return box_run_n(b, text, strlen(text));
}

/* text raises an error whose text holds message. */
LT_UNUSED static void box_raises(struct box *b, const char *text, const char *message)
{
    if (box_run(b, text) != LT_VM_RAISED) {
        fail_msg("%s did not raise", text);
    }
    if (strstr(b->vm->error, message) == NULL) {
        fail_msg("%s raised \"%s\"", text, b->vm->error);
    }
}

#endif
