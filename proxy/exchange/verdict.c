/* SPDX-License-Identifier: Apache-2.0 */
/* What a try says about the health of its server, told once when the server is given back. The
 * worker's thread. */
#include "exchange/internal.h"
#include "upstream/breaker.h"
#include "upstream/health.h"

bool lt_verdict_enter(struct lt_exchange *x)
{
    if (!x->breaker_passed) {
        x->breaker_passed = lt_breaker_enter(&x->upstream->health.breaker, x->upstream->state,
                                             x->env->loop->now_us, &x->breaker_trial);
    }
    return x->breaker_passed;
}

void lt_verdict_leave(struct lt_exchange *x)
{
    if (x->breaker_trial) {
        x->breaker_trial = false;
        lt_breaker_give_back(x->upstream->state);
    }
}

void lt_verdict_tell(struct lt_exchange *x, enum lt_cause cause)
{
    bool blamed = lt_health_blames(cause);
    if (x->verdict_told) {
        return;
    }
    x->verdict_told = true;
    if (!blamed && !x->response_begun) {
        lt_verdict_leave(x); /* it ended before the server could show anything */
        return;
    }
    const struct lt_try t = {
        .status = x->response_begun ? x->upstream_status : 0,
        .cause = blamed ? cause : LT_CAUSE_NONE,
        .first_us = x->response_begun && x->head_us > x->try_us ? x->head_us - x->try_us : 0,
        .trial = x->breaker_trial,
    };
    x->breaker_trial = false;
    lt_health_tell(x->env->pools, x->server, &t);
}
