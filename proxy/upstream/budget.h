/* SPDX-License-Identifier: Apache-2.0 */
/* How many further tries an upstream's servers get from one worker: a share of its exchanges of the
 * last five to ten seconds. The worker's thread. */
#ifndef LT_UPSTREAM_BUDGET_H
#define LT_UPSTREAM_BUDGET_H

#include "upstream/retry_conf.h"

struct lt_pools;
struct lt_upstream;

/* Counts in two slices of time, this one and the one before. Zeroed it is ready. */
struct lt_retry_budget {
    uint64_t slice;
    uint32_t requests[2], retries[2];
};

/* One more exchange begins. */
void lt_retry_budget_request(struct lt_retry_budget *b, uint64_t now_us);
/* Takes one further try if there is one left. */
bool lt_retry_budget_take(struct lt_retry_budget *b, const struct lt_retry_options *o,
                          uint64_t now_us);

/* The worker's budget of upstream; NULL without memory. */
struct lt_retry_budget *lt_retry_budget_of(struct lt_pools *pools,
                                           const struct lt_upstream *upstream) LT_MUST_CHECK;

#endif
