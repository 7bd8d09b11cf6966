/* SPDX-License-Identifier: Apache-2.0 */
/* The step that chooses a server. The worker's thread. */
#include "exchange/internal.h"

/* Whether there is no server because no address is known of its name; says so in x->detail. */
static bool has_no_address(struct lt_exchange *x)
{
    const struct lt_upstream *u = x->upstream;
    if (u->dns_names.len == 0 || lt_upstream_set(u)->n > 0) {
        return false;
    }
    /* Relaxed: the text is static. */
    const char *why = atomic_load_explicit(&u->state->dns_why, memory_order_relaxed);
    if (!lt_arena_printf(&x->arena, &x->detail, "%.*s: %s", LT_STR_ARG(u->dns_names),
                         why != NULL ? why : "no answer yet")) {
        x->detail = LT_STR_NONE;
    }
    return true;
}

enum lt_step_result lt_pick_step(struct lt_exchange *x)
{
    if (x->target_sent.p == NULL) {
        enum lt_err err =
            lt_route_rewrite(x->route, &x->arena, &x->req, &x->params, &x->target_sent);
        if (err != LT_OK) {
            return lt_step_fail(x, err == LT_ERR_INVALID ? LT_CAUSE_REWRITE_INVALID
                                                         : LT_CAUSE_OUT_OF_MEMORY);
        }
    }
    if (x->upstream == NULL) {
        x->upstream = lt_address_split(x);
    }
    if (x->upstream_us == 0) {
        x->upstream_us = x->env->loop->now_us;
    }
    if (!lt_verdict_enter(x)) {
        return lt_step_fail(x, LT_CAUSE_BREAKER_OPEN);
    }
    lt_choose_ask(x);
    switch (lt_upstream_pick(x->env->pools, &x->pick)) {
    case LT_PICK_OK:
        lt_exchange_take_server(x, x->pick.server);
        x->server_held = true;
        x->connected = false;
        x->tries++;
        x->try_us = x->env->loop->now_us;
        x->verdict_told = false;
        lt_retry_begun(x);
        return LT_STEP_NEXT;
    case LT_PICK_BUSY:
        return lt_step_fail(x, LT_CAUSE_SERVERS_BUSY);
    case LT_PICK_NONE:
        if (x->cause == LT_CAUSE_NONE && has_no_address(x)) {
            return lt_step_fail(x, LT_CAUSE_DNS_FAILED);
        }
        /* All were tried: what the last one said is the better explanation. */
        return lt_step_fail(x, x->cause != LT_CAUSE_NONE ? x->cause : LT_CAUSE_NO_SERVER);
    }
    return lt_step_fail(x, LT_CAUSE_NO_SERVER);
}
