/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/health.h"

#include "upstream/pool.h"

/* A server that refused is tried last for this long, doubled with each failure in a row. */
#define DOWN_FIRST_US UINT64_C(100000)
#define DOWN_MAX_US UINT64_C(10000000)

bool lt_server_up(const struct lt_server *server, uint64_t now_us)
{
    return atomic_load_explicit(&server->state->down_until_us, memory_order_relaxed) <= now_us;
}

void lt_server_connect_result(struct lt_pools *pools, struct lt_server *server, bool ok)
{
    struct lt_server_state *state = server->state;
    if (ok) {
        /* Read first: in the steady state the shared line is not written. */
        if (atomic_load_explicit(&state->failures, memory_order_relaxed) > 0) {
            atomic_store_explicit(&state->failures, 0, memory_order_relaxed);
            atomic_store_explicit(&state->down_until_us, 0, memory_order_relaxed);
        }
        return;
    }
    uint32_t failures = atomic_fetch_add_explicit(&state->failures, 1, memory_order_relaxed);
    uint64_t us = failures < 7 ? DOWN_FIRST_US << failures : DOWN_MAX_US;
    atomic_store_explicit(&state->down_until_us, pools->loop->now_us + lt_min(us, DOWN_MAX_US),
                          memory_order_relaxed);
}
