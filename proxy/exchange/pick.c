/* SPDX-License-Identifier: Apache-2.0 */
/* The step that chooses a server. The worker's thread. */
#include "exchange/internal.h"

enum lt_step_result lt_pick_step(struct lt_exchange *x)
{
    if (x->target_sent.p == NULL) {
        enum lt_err err =
            lt_route_rewrite(x->route, &x->arena, &x->req, &x->params, &x->target_sent);
        if (err != LT_OK) {
            return lt_step_fail(x, err == LT_ERR_INVALID ? LT_CAUSE_REWRITE_INVALID
                                                         : LT_CAUSE_OUT_OF_MEMORY);
        }
    }
    if (x->upstream == NULL) {
        x->upstream = lt_address_split(x);
    }
    if (x->wait == LT_WAIT_NONE) {
        lt_follow(x);
    }
    if (!lt_verdict_enter(x)) {
        lt_explain_breaker(x);
        return lt_step_fail(x, LT_CAUSE_BREAKER_OPEN);
    }
    lt_choose_ask(x);
    return lt_wait_pick(x);
}
