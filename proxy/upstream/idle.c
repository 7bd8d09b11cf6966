/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/idle.h"

/* Restarts close connections of every age, under load mostly young ones: they must not make us give
 * up keeping connections. */
#define AGE_MIN_MS 250u
/* Two closes are two if there is this much between them. */
#define APART_MS 200u
/* What was learnt is forgotten: then a close, whose request is repeated, teaches it again. */
#define HOLDS_S 600u

/* A pair of numbers in one word: each is valid alone, so that relaxed loads and stores do. */
static uint64_t pack(uint64_t age_ms, uint32_t when)
{
    return lt_min(age_ms, (uint64_t)UINT32_MAX) << 32 | when;
}

static uint64_t with_margin(uint64_t ms)
{
    uint64_t margin = lt_max(ms / 8, UINT64_C(50));
    return ms > margin ? ms - margin : 0;
}

uint64_t lt_idle_told_ms(const struct lt_headers *headers)
{
    const struct lt_header *h = lt_headers_get(headers, LT_HEADER_KEEP_ALIVE);
    struct lt_str rest = h != NULL ? h->value : LT_STR_NONE, part;
    while (lt_str_next(&rest, ',', &part)) {
        uint64_t s;
        part = lt_str_trim(part);
        if (part.len > 8 && lt_str_eq_nocase(lt_str_sub(part, 0, 8), LT_STR("timeout=")) &&
            lt_str_to_u64(lt_str_sub(part, 8, part.len), &s) && s <= UINT32_MAX) {
            return with_margin(s * 1000);
        }
    }
    return UINT64_MAX;
}

void lt_idle_seen(struct lt_server_state *state, uint64_t age_us, uint64_t now_us)
{
    uint64_t age = age_us / 1000;
    if (age < AGE_MIN_MS) {
        return;
    }
    uint32_t now_ms = (uint32_t)(now_us / 1000);
    uint64_t seen = atomic_load_explicit(&state->idle_seen, memory_order_relaxed);
    uint64_t before = seen >> 32;
    uint64_t apart = age > before ? age - before : before - age;
    if (before > 0 && now_ms - (uint32_t)seen < APART_MS) {
        return; /* of the same moment */
    }
    atomic_store_explicit(&state->idle_seen, pack(age, now_ms), memory_order_relaxed);
    if (before > 0 && apart <= before / 4) {
        atomic_store_explicit(&state->idle_learnt,
                              pack(lt_min(age, before), (uint32_t)(now_us / 1000000) + HOLDS_S),
                              memory_order_relaxed);
    }
}

uint64_t lt_idle_learnt_ms(const struct lt_server_state *state, uint64_t now_us)
{
    uint64_t learnt = atomic_load_explicit(&state->idle_learnt, memory_order_relaxed);
    if (LT_LIKELY(learnt == 0) || (uint32_t)learnt < now_us / 1000000) {
        return UINT64_MAX;
    }
    return with_margin(learnt >> 32);
}
