/* SPDX-License-Identifier: Apache-2.0 */
/* The Lua side of filters on one thread: a state per file, a unit per instance. Used by workers
 * (host.c, call.c) and by the loader, which tries files out. Private to filters/. */
#ifndef LT_FILTERS_UNIT_H
#define LT_FILTERS_UNIT_H

#include "filters/program.h"
#include "filters/vm.h"

struct lt_filters;  /* filters/host.h */
struct lt_runner;   /* filters/ctx.h */
struct lt_job;      /* filters/job.h */
struct lt_task;     /* filters/task.h */
struct lt_crypto;   /* filters/crypto.h */
struct lt_patterns; /* lib_re.c */
struct lt_every;    /* filters/every.h */

/* Time that running a file, and init, may take. */
#define LT_FILTER_LOAD_CPU_MS 1000u

/* One file's state. */
struct lt_filter_vm {
    uint32_t magic;
    struct lt_vm *vm; /* NULL before open */
    const struct lt_filter_file *file;
    struct lt_filters *host; /* NULL in the loader */
    /* The loader only: where require reads files and what it adds them to. */
    struct lt_schema_load *load;
    struct lt_filter_file *record;
    const struct lt_filter_instance *running; /* whose code runs; NULL while the file is loaded */
    struct lt_task *task;                     /* that runs; NULL: nothing may wait (task.h) */
    struct lt_crypto *crypto;                 /* made at first use */
    struct lt_patterns *patterns;             /* made at first use */
    lua_CFunction open_more;                  /* `lintel test` opens its own library; may be NULL */
    /* A worker only. */
    unsigned refs;                /* of editions (host_impl.h) */
    struct lt_filter_unit *units; /* of the file's instances, in their order */
    unsigned n_units;             /* that were made: one is when its init has returned */
    struct lt_every *every;       /* per unit and function (every.h) */
    unsigned n_every;
};

/* One instance on this thread. */
struct lt_filter_unit {
    const struct lt_filter_instance *instance;
    struct lt_filter_vm *fvm;
    int conf_ref, state_ref; /* in the state's registry */
    struct lt_runner *free;  /* runners that wait for a call */
    unsigned runners;        /* that live, free ones included */
    struct lt_job *free_jobs;
    unsigned jobs;      /* that live, free ones included */
    uint64_t scope;     /* hash of the instance's name, mixed into keys of limits */
    uint64_t logged_us; /* when a failure was logged last */
    unsigned unlogged;  /* failures since then */
    uint64_t minute;    /* of which these are counted: */
    uint64_t calls;     /* since its first stop */
    uint64_t stops;     /* of them */
};

/* Opens the state and runs the file. False: fvm->vm->error (when there is a vm) says why; close it
 * in both cases. */
bool lt_filter_vm_open(struct lt_filter_vm *fvm, struct lt_budget *budget,
                       uint64_t memory) LT_MUST_CHECK;
/* As open, with `run` (argument: fvm->file) in the place of running the file as a filter. */
bool lt_filter_vm_open_text(struct lt_filter_vm *fvm, struct lt_budget *budget, uint64_t memory,
                            lua_CFunction run, uint64_t cpu_ms) LT_MUST_CHECK;
void lt_filter_vm_close(struct lt_filter_vm *fvm);

/* What went wrong last, for messages. */
const char *lt_filter_vm_error(const struct lt_filter_vm *fvm);

/* Calls fn(L, arg) in a coroutine under a budget: for code that touches tables of the filter. */
bool lt_filter_vm_run(struct lt_filter_vm *fvm, lua_CFunction fn, void *arg) LT_MUST_CHECK;

/* Pushes the table that the file returned. */
void lt_filter_vm_push_module(lua_State *L);

/* Makes the unit: settings, then init. */
bool lt_filter_unit_init(struct lt_filter_unit *unit, struct lt_filter_vm *fvm,
                         const struct lt_filter_instance *instance) LT_MUST_CHECK;

static inline struct lt_filter_vm *lt_filter_vm_of(lua_State *L)
{
    return lt_vm_of(L)->owner;
}

/* The unit whose code runs; NULL in the loader, while the file is loaded and in init. */
static inline struct lt_filter_unit *lt_filter_vm_unit(const struct lt_filter_vm *fvm)
{
    return fvm->running != NULL && fvm->running->nth < fvm->n_units ? &fvm->units[fvm->running->nth]
                                                                    : NULL;
}

#endif
