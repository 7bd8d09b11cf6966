/* SPDX-License-Identifier: Apache-2.0 */
/* What the middle asks of the filter host. filters/ implements it; the worker hands it over, so
 * that exchange/ never includes filters/. */
#ifndef LT_EXCHANGE_HOOKS_H
#define LT_EXCHANGE_HOOKS_H

#include "exchange/flow.h"

struct lt_hooks {
    /* Run the hooks of x->route->chain. LT_STEP_NEXT: go on. LT_STEP_WAIT: a filter waits; later
     * lt_exchange_wake(x). LT_STEP_FAIL: x->cause is set (policy of a failed filter) or a reply was
     * prepared with lt_exchange_reply. */
    enum lt_step_result (*request)(struct lt_exchange *x);
    enum lt_step_result (*upstream)(struct lt_exchange *x); /* before the first server is chosen */
    enum lt_step_result (*response)(struct lt_exchange *x);
    /* After the client was answered. */
    enum lt_step_result (*log)(struct lt_exchange *x);
    /* x is given up while a hook waits: the hook never goes on. */
    void (*cancel)(struct lt_exchange *x);
    /* Called once when x->filter_state is set: x is over, or goes on without its view. Gives back
     * all that filters keep for it and clears it. */
    void (*release)(struct lt_exchange *x);

    /* Bodies that filters change as they pass (flow.h). Whether a filter of the route may change
     * that of this side; after the request hooks: one that takes part in the exchange. */
    bool (*flows)(struct lt_exchange *x, enum lt_side side);
    /* Starts the filters of x->flow[side]; its `stages` stay NULL when none of them wants it.
     * LT_STEP_NEXT, or LT_STEP_FAIL as above. */
    enum lt_step_result (*flow_begin)(struct lt_exchange *x, enum lt_side side);
    /* There is more in it, or more room behind it. Never from within lt_flow_push. */
    void (*flow_moved)(struct lt_exchange *x, enum lt_side side);
    /* It is given up: its filters never go on. */
    void (*flow_end)(struct lt_flow *flow);
};

#endif
