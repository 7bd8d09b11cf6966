/* SPDX-License-Identifier: Apache-2.0 */
/* The time that a whole exchange may take (timeouts.total, and what a gRPC client allows). The
 * exchange has one timer, which each step sets for what it waits for: here that is cut to what is
 * left of the whole. The worker's thread.
 *
 *   route: begin -> [each set_timer: cut] -> time is over: 504, or a visible cut after the head
 *                   [each try: tell the server what is left]
 *   101 or the end of the response: no deadline any more */
#include "exchange/internal.h"

static uint64_t left_ms(const struct lt_exchange *x)
{
    uint64_t now = x->env->loop->now_us;
    return x->deadline_us > now ? (x->deadline_us - now + 999) / 1000 : 0;
}

void lt_deadline_begin(struct lt_exchange *x)
{
    uint64_t us = x->route->options[x->listener].total_ms * 1000;
    uint64_t asked_us = lt_grpc_deadline_us(x);
    us = asked_us > 0 && (us == 0 || asked_us < us) ? asked_us : us;
    if (us > 0) {
        x->deadline_us = x->began_us + us;
        lt_exchange_set_timer(x, 0);
    }
}

void lt_exchange_set_deadline(struct lt_exchange *x, uint64_t ms)
{
    uint64_t until_us = x->env->loop->now_us + ms * 1000;
    if (x->deadline_us == 0 || until_us < x->deadline_us) {
        x->deadline_us = until_us;
        x->deadline_filtered = true;
        lt_exchange_set_timer(x, 0);
    }
}

uint64_t lt_deadline_cut(const struct lt_exchange *x, uint64_t ms)
{
    uint64_t left = lt_max(left_ms(x), UINT64_C(1)); /* 0 would clear the timer */
    return ms == 0 ? left : lt_min(ms, left);
}

bool lt_deadline_over(const struct lt_exchange *x)
{
    return x->deadline_us != 0 && left_ms(x) == 0;
}

enum lt_err lt_deadline_tell(struct lt_exchange *x)
{
    struct lt_str name = x->upstream->deadline_header, value;
    enum lt_err err = lt_grpc_tell_deadline(x);
    if (err != LT_OK || name.len == 0) {
        return err;
    }
    if (x->deadline_us == 0) {
        if (!x->client.trusted) {
            lt_headers_remove_name(&x->req.headers, name);
        }
        return LT_OK;
    }
    if (!lt_arena_printf(&x->arena, &value, "%llu", (unsigned long long)left_ms(x))) {
        return LT_ERR_NOMEM;
    }
    return lt_headers_set(&x->req.headers, name, value);
}
