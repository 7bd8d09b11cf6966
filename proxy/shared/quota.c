/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that all workers take from one total. */
#include "shared/quota.h"

#include <stdatomic.h>

bool lt_quota_take(struct lt_quota *quota, uint64_t n, uint64_t max)
{
    uint64_t used = atomic_load_explicit(&quota->used, memory_order_relaxed);
    do {
        if (used > max || n > max - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&quota->used, &used, used + n,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void lt_quota_give(struct lt_quota *quota, uint64_t n)
{
    atomic_fetch_sub_explicit(&quota->used, n, memory_order_relaxed);
}

uint64_t lt_quota_used(struct lt_quota *quota)
{
    return atomic_load_explicit(&quota->used, memory_order_relaxed);
}
