/* SPDX-License-Identifier: Apache-2.0 */
/* What the middle asks of the filter host. filters/ implements it; the worker hands it over, so
 * that exchange/ never includes filters/. */
#ifndef LT_EXCHANGE_HOOKS_H
#define LT_EXCHANGE_HOOKS_H

#include "exchange/exchange.h"

struct lt_hooks {
    /* Run the hooks of x->route->chain. LT_STEP_NEXT: go on. LT_STEP_WAIT: a filter waits; later
     * lt_exchange_wake(x). LT_STEP_FAIL: x->cause is set (policy of a failed filter) or a reply was
     * prepared with lt_exchange_reply. */
    enum lt_step_result (*request)(struct lt_exchange *x);
    enum lt_step_result (*response)(struct lt_exchange *x);
    /* After the client was answered. */
    enum lt_step_result (*log)(struct lt_exchange *x);
    /* x is given up while a hook waits: the hook never goes on. */
    void (*cancel)(struct lt_exchange *x);
};

#endif
