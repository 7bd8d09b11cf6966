/* SPDX-License-Identifier: Apache-2.0 */
/* The breaker's word: two bits of state; OPEN has the time until which it is; HALF the trials taken
 * (8 bits) and passed (8 bits), and when they began in milliseconds. The window's word: its number
 * (16 bits), errors and requests (24 bits each). Each word is valid alone and changes by
 * compare-and-swap, so all is relaxed. */
#include "upstream/breaker.h"

#define STATE_SHIFT 62
#define UNTIL_MASK ((UINT64_C(1) << STATE_SHIFT) - 1)
#define PASSED_SHIFT 8
#define SINCE_SHIFT 16
#define TRIALS_MASK UINT64_C(0xff)
#define SINCE_MASK ((UINT64_C(1) << (STATE_SHIFT - SINCE_SHIFT)) - 1)

#define COUNT_BITS 24
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define WINDOW_SHIFT (2 * COUNT_BITS)

static enum lt_breaker_state state_of(uint64_t word)
{
    return (enum lt_breaker_state)(word >> STATE_SHIFT);
}

static uint64_t open_word(const struct lt_breaker_options *o, uint64_t now_us)
{
    return (uint64_t)LT_BREAKER_OPEN << STATE_SHIFT | ((now_us + o->open_ms * 1000) & UNTIL_MASK);
}

static uint64_t half_word(uint64_t taken, uint64_t passed, uint64_t since_ms)
{
    return (uint64_t)LT_BREAKER_HALF << STATE_SHIFT | (since_ms & SINCE_MASK) << SINCE_SHIFT |
           passed << PASSED_SHIFT | taken;
}

static uint64_t taken_of(uint64_t word)
{
    return word & TRIALS_MASK;
}

static uint64_t passed_of(uint64_t word)
{
    return word >> PASSED_SHIFT & TRIALS_MASK;
}

static uint64_t since_ms_of(uint64_t word)
{
    return word >> SINCE_SHIFT & SINCE_MASK;
}

static bool change(struct lt_upstream_state *state, uint64_t *seen, uint64_t next)
{
    return atomic_compare_exchange_strong_explicit(&state->breaker, seen, next,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static void open_now(struct lt_upstream_state *state)
{
    atomic_fetch_add_explicit(&state->breaker_opened, 1, memory_order_relaxed);
}

bool lt_breaker_enter(const struct lt_breaker_options *o, struct lt_upstream_state *state,
                      uint64_t now_us, bool *trial)
{
    *trial = false;
    if (!o->enabled) {
        return true;
    }
    uint64_t seen = atomic_load_explicit(&state->breaker, memory_order_relaxed);
    for (;;) {
        uint64_t next = 0;
        switch (state_of(seen)) {
        case LT_BREAKER_CLOSED:
            return true;
        case LT_BREAKER_OPEN:
            if ((seen & UNTIL_MASK) > now_us) {
                return false;
            }
            next = half_word(1, 0, now_us / 1000);
            break;
        case LT_BREAKER_HALF:
            if (taken_of(seen) < o->trials) {
                next = half_word(taken_of(seen) + 1, passed_of(seen), since_ms_of(seen));
            } else if (now_us / 1000 - since_ms_of(seen) > o->open_ms) {
                next = half_word(1, 0, now_us / 1000); /* those hang: others try */
            } else {
                return false;
            }
            break;
        }
        if (change(state, &seen, next)) {
            *trial = true;
            return true;
        }
    }
}

void lt_breaker_tried(const struct lt_breaker_options *o, struct lt_upstream_state *state, bool ok,
                      uint64_t now_us)
{
    uint64_t seen = atomic_load_explicit(&state->breaker, memory_order_relaxed);
    while (state_of(seen) == LT_BREAKER_HALF) {
        bool all = ok && passed_of(seen) + 1 >= o->trials;
        uint64_t next = !ok   ? open_word(o, now_us)
                        : all ? 0
                              : half_word(taken_of(seen), passed_of(seen) + 1, since_ms_of(seen));
        if (all) {
            /* Before it closes: what was counted before it opened must not open it again. */
            atomic_store_explicit(&state->breaker_window, 0, memory_order_relaxed);
        }
        if (change(state, &seen, next)) {
            if (!ok) {
                open_now(state);
            }
            return;
        }
    }
}

void lt_breaker_give_back(struct lt_upstream_state *state)
{
    uint64_t seen = atomic_load_explicit(&state->breaker, memory_order_relaxed);
    while (state_of(seen) == LT_BREAKER_HALF && taken_of(seen) > 0) {
        if (change(state, &seen,
                   half_word(taken_of(seen) - 1, passed_of(seen), since_ms_of(seen)))) {
            return;
        }
    }
}

/* Adds to the window that now is; gives it. */
static uint64_t add_to_window(struct lt_upstream_state *state, uint64_t number, uint32_t tries,
                              uint32_t bad)
{
    uint64_t seen = atomic_load_explicit(&state->breaker_window, memory_order_relaxed);
    uint64_t next;
    do {
        uint64_t base = seen >> WINDOW_SHIFT == number ? seen : 0;
        uint64_t all = lt_min((base & COUNT_MASK) + tries, COUNT_MASK);
        uint64_t errors = lt_min((base >> COUNT_BITS & COUNT_MASK) + bad, COUNT_MASK);
        next = number << WINDOW_SHIFT | errors << COUNT_BITS | all;
    } while (!atomic_compare_exchange_weak_explicit(&state->breaker_window, &seen, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return next;
}

void lt_breaker_count(const struct lt_breaker_options *o, struct lt_upstream_state *state,
                      uint32_t tries, uint32_t bad, uint64_t now_us)
{
    uint64_t number = (now_us / 1000 / o->window_ms + 1) & UINT64_C(0xffff);
    uint64_t window = add_to_window(state, number, tries, bad);
    uint64_t all = window & COUNT_MASK, errors = window >> COUNT_BITS & COUNT_MASK;
    if (bad == 0 || all < o->requests || errors * 10000 < all * o->rate) {
        return;
    }
    uint64_t closed = 0;
    if (change(state, &closed, open_word(o, now_us))) {
        open_now(state);
    }
}

enum lt_breaker_state lt_breaker_state(const struct lt_upstream_state *state)
{
    return state_of(atomic_load_explicit(&state->breaker, memory_order_relaxed));
}

unsigned lt_breaker_wait_s(const struct lt_upstream_state *state, uint64_t now_us)
{
    uint64_t word = atomic_load_explicit(&state->breaker, memory_order_relaxed);
    uint64_t until_us = word & UNTIL_MASK;
    if (state_of(word) != LT_BREAKER_OPEN || until_us <= now_us) {
        return 1;
    }
    return (unsigned)lt_min((until_us - now_us + 999999) / 1000000, UINT64_C(3600));
}

const char *lt_breaker_name(enum lt_breaker_state state)
{
    switch (state) {
    case LT_BREAKER_CLOSED:
        return "closed";
    case LT_BREAKER_OPEN:
        return "open";
    case LT_BREAKER_HALF:
        return "half_open";
    }
    return "";
}
