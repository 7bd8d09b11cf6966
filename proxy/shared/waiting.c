/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/waiting.h"

bool lt_waiting_enter(struct lt_waiting *w, uint32_t max)
{
    if (atomic_fetch_add_explicit(&w->n, 1, memory_order_relaxed) < max) {
        return true;
    }
    atomic_fetch_sub_explicit(&w->n, 1, memory_order_relaxed);
    return false;
}

void lt_waiting_return(struct lt_waiting *w)
{
    atomic_fetch_add_explicit(&w->n, 1, memory_order_relaxed);
}

void lt_waiting_leave(struct lt_waiting *w)
{
    atomic_fetch_sub_explicit(&w->n, 1, memory_order_relaxed);
}

void lt_waiting_tell(struct lt_waiting *w, unsigned worker, uint64_t urgency)
{
    uint64_t bit = UINT64_C(1) << (worker % 64);
    /* Relaxed: an older value only makes the order across workers less exact. */
    atomic_store_explicit(&w->urgency[worker], urgency, memory_order_relaxed);
    /* Nobody else writes our bit, so what we read of it is what it is. */
    if ((atomic_load_explicit(&w->mask[worker / 64], memory_order_relaxed) & bit) == 0) {
        atomic_fetch_or_explicit(&w->mask[worker / 64], bit, memory_order_seq_cst);
    }
}

void lt_waiting_end(struct lt_waiting *w, unsigned worker)
{
    uint64_t bit = UINT64_C(1) << (worker % 64);
    if ((atomic_load_explicit(&w->mask[worker / 64], memory_order_relaxed) & bit) != 0) {
        atomic_fetch_and_explicit(&w->mask[worker / 64], ~bit, memory_order_seq_cst);
    }
}

int lt_waiting_first(const struct lt_waiting *w, unsigned n_workers)
{
    int first = -1;
    uint64_t least = UINT64_MAX;
    for (unsigned base = 0; base < n_workers; base += 64) {
        uint64_t mask = atomic_load_explicit(&w->mask[base / 64], memory_order_seq_cst);
        for (; mask != 0; mask &= mask - 1) {
            unsigned worker = base + (unsigned)__builtin_ctzll(mask);
            uint64_t urgency = atomic_load_explicit(&w->urgency[worker], memory_order_relaxed);
            if (first < 0 || urgency < least) {
                first = (int)worker;
                least = urgency;
            }
        }
    }
    return first;
}
