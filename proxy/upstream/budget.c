/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/budget.h"

#include "base/mem.h"
#include "upstream/pool.h"

#define SLICE_US UINT64_C(5000000)

static void turn(struct lt_retry_budget *b, uint64_t now_us)
{
    uint64_t slice = now_us / SLICE_US, passed = slice - b->slice;
    if (LT_LIKELY(passed == 0)) {
        return;
    }
    b->slice = slice;
    b->requests[1] = passed == 1 ? b->requests[0] : 0;
    b->retries[1] = passed == 1 ? b->retries[0] : 0;
    b->requests[0] = b->retries[0] = 0;
}

void lt_retry_budget_request(struct lt_retry_budget *b, uint64_t now_us)
{
    turn(b, now_us);
    b->requests[0]++;
}

bool lt_retry_budget_take(struct lt_retry_budget *b, const struct lt_retry_options *o,
                          uint64_t now_us)
{
    turn(b, now_us);
    uint64_t requests = (uint64_t)b->requests[0] + b->requests[1];
    uint64_t may = lt_max(requests * o->budget / 10000, (uint64_t)o->budget_min);
    if ((uint64_t)b->retries[0] + b->retries[1] >= may) {
        return false;
    }
    b->retries[0]++;
    return true;
}

struct lt_retry_budget *lt_retry_budget_of(struct lt_pools *pools,
                                           const struct lt_upstream *upstream)
{
    uint32_t id = upstream->state->id;
    if (LT_UNLIKELY(id >= pools->n_budgets)) {
        uint32_t n = lt_max(id + 1, pools->n_budgets * 2);
        struct lt_retry_budget *v = lt_realloc(pools->budgets, n, sizeof(*v));
        if (v == NULL) {
            return NULL;
        }
        memset(v + pools->n_budgets, 0, (n - pools->n_budgets) * sizeof(*v));
        pools->budgets = v;
        pools->n_budgets = n;
    }
    return &pools->budgets[id];
}
