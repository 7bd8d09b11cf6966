/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/latency.h"

#define ONE 65536u                 /* the whole, of weights */
#define US_MAX UINT64_C(100000000) /* nobody waits longer than for this */

/* What fails sooner tells nothing of how long an answer takes. */
#define FAILURE_US UINT64_C(10000)

/* A sample counts for at least this part of the half-life, so that many in a moment count too. */
#define SAMPLE_PART 64u

/* What is left of a weight of ONE after us: halved with each half-life, straight in between. */
static uint64_t fade(uint64_t us, uint64_t half_life_us)
{
    uint64_t halves = us / half_life_us;
    if (halves >= 16) {
        return 0;
    }
    uint64_t left = ONE >> halves;
    return left - left * (us % half_life_us) / half_life_us / 2;
}

void lt_latency_tell(struct lt_pools *pools, const struct lt_server *server, uint64_t us, bool ok)
{
    const struct lt_balance_options *o = &server->upstream->balance;
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    uint64_t now_us = pools->loop->now_us;
    if (pool == NULL || (!ok && us <= lt_max(pool->latency_us, FAILURE_US))) {
        return;
    }
    us = lt_max(lt_min(us, US_MAX), 1);
    uint64_t past_us = lt_max(now_us - pool->latency_at_us, o->half_life_us / SAMPLE_PART);
    if (pool->latency_us == 0 || (o->by == LT_BALANCE_PEAK_EWMA && us > pool->latency_us)) {
        pool->latency_us = us;
    } else {
        uint64_t kept = fade(past_us, o->half_life_us);
        pool->latency_us = lt_max((pool->latency_us * kept + us * (ONE - kept)) / ONE, 1);
    }
    pool->latency_at_us = now_us;
}

uint64_t lt_latency_of(const struct lt_pool *pool, uint64_t half_life_us, uint64_t now_us)
{
    if (pool->active > 0 || pool->latency_us == 0) {
        return pool->latency_us;
    }
    return lt_max(pool->latency_us * fade(now_us - pool->latency_at_us, half_life_us) / ONE, 1);
}
