/* SPDX-License-Identifier: Apache-2.0 */
/* One Lua state: the one of a filter file on one worker, or the loader's. Memory goes through an
 * allocator with a cap, code runs in coroutines under a budget of processor time.
 *
 * How a filter is stopped: the hook that the watchdog's signal armed yields. The coroutine is never
 * resumed and never closed, only dropped, so that no pcall and no __close of the filter sees it.
 * Where it can't yield (inside a comparator of table.sort, say) the hook raises instead and stays
 * armed for the next instruction. C functions that loop ask lt_vm_poll. */
#ifndef LT_FILTERS_VM_H
#define LT_FILTERS_VM_H

#include "base/err.h"
#include "base/str.h"
#include "filters/budget.h"

#include <lua.h>

#define LT_VM_TRACE_MAX 600u
/* Levels of calls that are shown. */
#define LT_VM_TRACE_LEVELS 8
/* Refused allocations in one call after which it is stopped. */
#define LT_VM_REFUSALS_MAX 100u

enum lt_vm_end {
    LT_VM_DONE,   /* returned; results are on the stack */
    LT_VM_WAITS,  /* yielded; will be resumed */
    LT_VM_RAISED, /* raised an error: vm->error */
    LT_VM_CPU,    /* stopped: over its processor time */
    LT_VM_MEMORY  /* stopped: over its memory */
};

struct lt_vm {
    uint32_t magic;
    lua_State *L;                /* main state; runs no filter code itself */
    struct lt_budget *budget;    /* of the thread, borrowed */
    size_t used, max;            /* bytes */
    size_t peak;                 /* the most that was used */
    size_t kept;                 /* bytes that were left by the last full collection */
    bool collect;                /* collect before the next call */
    unsigned refusals;           /* allocations refused in this call */
    bool over_memory;            /* too many: the call is being stopped */
    bool stopped;                /* the hook stopped the call */
    lua_State *running;          /* coroutine that runs now, or NULL */
    void *owner;                 /* struct lt_filter_vm, the loader's or a test's */
    char trace[LT_VM_TRACE_MAX]; /* of the last call, if it failed: a line for each level */
    char error[LT_VM_TRACE_MAX]; /* of the last call: message and where, NUL-terminated */
};

/* A state with an allocator that gives at most max bytes; nothing is opened. Borrows budget. NULL
 * without memory. Returns owned. */
struct lt_vm *lt_vm_new(struct lt_budget *budget, size_t max) LT_MUST_CHECK;
void lt_vm_free(struct lt_vm *vm);

/* The vm that L belongs to. */
static inline struct lt_vm *lt_vm_of(lua_State *L)
{
    return *(struct lt_vm **)lua_getextraspace(L);
}

/* Resumes co (a coroutine of vm) with n arguments on its stack. *n_results: how many values are on
 * top of its stack afterwards. After anything but DONE and WAITS co must be dropped. */
enum lt_vm_end lt_vm_resume(struct lt_vm *vm, lua_State *co, int n, uint64_t cpu_ms,
                            int *n_results) LT_MUST_CHECK;

/* Writes where L is, or waits, as "file:line, called from file:line", and the traceback to
 * vm->trace: lines as "file:line in function 'name'"; allocates nothing. */
void lt_vm_where(lua_State *L, char *out, size_t size);

/* Makes the hook run at the next instruction of L. Safe in a signal's action. */
void lt_vm_arm(lua_State *L);

/* fn is told of each line that is about to run, in states without a watchdog; budgets go on to
 * hold. NULL: nobody is. For `lintel test`, before any state is opened. */
void lt_vm_watch_lines(void (*fn)(lua_State *L, lua_Debug *ar));

/* For C functions that loop, every few hundred rounds: raises when the call is to be stopped. */
void lt_vm_poll(lua_State *L);

/* For C functions whose loops call others that can't raise: whether the call that runs now is to be
 * stopped, by lt_vm_poll as soon as it can be. */
bool lt_vm_must_stop(struct lt_vm *vm);

/* Calls fn(L, arg) as a protected C function on the main state, for set-up: false when it raised
 * (vm->error says what). Not under a budget. */
bool lt_vm_setup(struct lt_vm *vm, lua_CFunction fn, void *arg) LT_MUST_CHECK;

#endif
