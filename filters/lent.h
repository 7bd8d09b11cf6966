/* SPDX-License-Identifier: Apache-2.0 */
/* Work that a filter lends to a thread of the pool, because a loop must not wait for it: it hashes
 * a password, or looks at a disk. The filter waits meanwhile, and hears that nobody came to it
 * a little before its time is up. Where there is no pool (`lintel test`), the end of the loop's
 * turn does the work. A worker's thread, but for `run`. Private to filters/. */
#ifndef LT_FILTERS_LENT_H
#define LT_FILTERS_LENT_H

#include "filters/task.h"
#include "net/work_pool.h"

/* Embedded in the operation. */
struct lt_lent {
    /* On a thread of the pool; touches nothing but the operation. */
    void (*run)(struct lt_lent *lent);
    /* It has run: pushes the results, says how many. May raise. */
    int (*push)(lua_State *L, const struct lt_lent *lent);
    /* Nobody has it any more. */
    void (*free)(struct lt_lent *lent);
    /* Those of lent.c. */
    struct lt_async wait;
    struct lt_work work;
    struct lt_deferred here; /* without a pool */
    bool away;               /* the pool has it; whoever gets it back then frees it if given up */
    bool given_up;
};

/* Lends it, with the three functions set and all else 0, for task, which runs on L with room for 4
 * values. What a C function returns: the results of push; or nil, "busy" and why. Takes lent. */
int lt_lent_wait(lua_State *L, struct lt_task *task, struct lt_lent *lent);

/* nil, reason and why. What a C function returns. */
int lt_lent_refuse(lua_State *L, const char *reason, const char *why);

#endif
