/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of filters (chain.h). Loader thread. */
#include "filters/chain.h"

enum lt_err lt_filter_chain_new(struct lt_arena *arena, const struct lt_filter_program *program,
                                const struct lt_str *names, size_t n,
                                struct lt_filter_chain **chain, size_t *bad)
{
    *chain = NULL;
    *bad = 0;
    if (n == 0) {
        return LT_OK;
    }
    if (n > LT_FILTER_CHAIN_MAX) {
        return LT_ERR_LIMIT;
    }
    struct lt_filter_chain *made = lt_arena_new(arena, struct lt_filter_chain);
    const struct lt_filter_instance **at =
        lt_arena_array(arena, const struct lt_filter_instance *, n);
    if (made == NULL || at == NULL) {
        return LT_ERR_NOMEM;
    }
    made->n = (unsigned)n;
    made->at = at;
    for (size_t i = 0; i < n; i++) {
        at[i] = lt_filter_program_find(program, names[i]);
        if (at[i] == NULL) {
            *bad = i;
            return LT_ERR_NOTFOUND;
        }
        made->hooks |= at[i]->file->hooks;
    }
    *chain = made;
    return LT_OK;
}
