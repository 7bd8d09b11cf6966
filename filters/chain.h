/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of one route in the order in which they run. Compiled with the snapshot, immutable,
 * shared by all workers. */
#ifndef LT_FILTERS_CHAIN_H
#define LT_FILTERS_CHAIN_H

#include "filters/program.h"

/* Bits of struct lt_filter_call.skipped. */
#define LT_FILTER_CHAIN_MAX 64u

struct lt_filter_chain {
    unsigned n;
    unsigned hooks;                             /* bit per enum lt_filter_hook that any has */
    const struct lt_filter_instance *const *at; /* n of them */
};

/* The chain of n names; lives in arena. *chain is NULL when n is 0. LT_ERR_NOTFOUND: *bad is the
 * number of a name that program doesn't have; LT_ERR_LIMIT: more than LT_FILTER_CHAIN_MAX. */
enum lt_err lt_filter_chain_new(struct lt_arena *arena, const struct lt_filter_program *program,
                                const struct lt_str *names, size_t n,
                                struct lt_filter_chain **chain, size_t *bad) LT_MUST_CHECK;

#endif
