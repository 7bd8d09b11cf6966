/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers behind a cause: x->detail, for the access log. Nothing is decided here, and a detail
 * that there is no memory for is left out. The worker's thread. */
#include <stdio.h>

#include "exchange/internal.h"
#include "upstream/breaker.h"
#include "upstream/health.h"

#define DURATION_MAX 32u

/* "35.0 s" or "300 ms". */
static const char *duration(uint64_t us, char space[DURATION_MAX])
{
    uint64_t ms = us / 1000;
    if (ms < 10000) {
        snprintf(space, DURATION_MAX, "%llu ms", (unsigned long long)ms);
    } else {
        snprintf(space, DURATION_MAX, "%llu.%llu s", (unsigned long long)(ms / 1000),
                 (unsigned long long)(ms % 1000 / 100));
    }
    return space;
}

static uint64_t since(const struct lt_exchange *x, uint64_t us)
{
    return us > 0 && x->env->loop->now_us > us ? x->env->loop->now_us - us : 0;
}

/* What was printed to x->detail, or nothing. */
static void keep(struct lt_exchange *x, bool ok)
{
    if (!ok) {
        x->detail = LT_STR_NONE;
    }
}

bool lt_explain_takes(struct lt_exchange *x)
{
    static const char *const units[LT_TAKES_COUNT] = {
        [LT_TAKES_LINE] = "bytes of request line",
        [LT_TAKES_FIELDS] = "header fields",
        [LT_TAKES_FIELD] = "bytes of one header field",
        [LT_TAKES_HEAD] = "bytes of target, names and values",
    };
    bool h2 = x->upstream->protocol != LT_PROTOCOL_H1;
    const struct lt_takes_excess e =
        lt_takes_judge(&x->upstream->takes, &x->req, x->target_sent, h2);
    if (e.row == LT_TAKES_COUNT) {
        return true;
    }
    keep(x, lt_arena_printf(
                &x->arena, &x->detail,
                "%zu %s%s, more than the %zu of %.*s; the largest field is %.*s with "
                "%zu bytes",
                e.is, units[e.row], h2 && e.row == LT_TAKES_HEAD ? LT_TAKES_H2_COUNTED : "", e.may,
                LT_STR_ARG(x->upstream->places.takes[e.row]), LT_STR_ARG(e.field), e.field_size));
    return false;
}

/* An error of the configuration's text never gets here: an empty place is one that nobody knows. */
static struct lt_str first_byte_place(const struct lt_exchange *x)
{
    const struct lt_route_options *o = &x->route->options[x->listener];
    return o->first_byte_ms > 0 ? o->first_byte_at : x->upstream->places.first_byte;
}

static uint64_t first_byte_us(const struct lt_exchange *x)
{
    const struct lt_route_options *o = &x->route->options[x->listener];
    return (o->first_byte_ms > 0 ? o->first_byte_ms : x->upstream->first_byte_ms) * 1000;
}

void lt_explain_timeout(struct lt_exchange *x, enum lt_cause cause)
{
    char space[DURATION_MAX];
    const struct lt_upstream *u = x->upstream;
    if (u == NULL || x->route == NULL) {
        return;
    }
    const char *idle = duration(u->idle_ms * 1000, space);
    if (cause == LT_CAUSE_RESPONSE_IDLE_TIMEOUT) {
        keep(x, lt_arena_printf(&x->arena, &x->detail,
                                "nothing came for %s after %llu bytes of the body, %.*s", idle,
                                (unsigned long long)x->bytes_out, LT_STR_ARG(u->places.idle)));
    } else if (cause == LT_CAUSE_CALL_SILENT) {
        keep(x, lt_arena_printf(&x->arena, &x->detail, "nothing was said for %s, timeouts.tunnel",
                                duration(lt_grpc_silence_ms(x) * 1000, space)));
    } else if (x->back != NULL && x->back->ops->unsent(x->back) > 0) {
        keep(x, lt_arena_printf(&x->arena, &x->detail,
                                "the server took nothing more of the request for %s, %.*s", idle,
                                LT_STR_ARG(u->places.idle)));
    } else {
        keep(x,
             lt_arena_printf(&x->arena, &x->detail, "waited %s for the first byte, %.*s",
                             duration(first_byte_us(x), space), LT_STR_ARG(first_byte_place(x))));
    }
}

void lt_explain_deadline(struct lt_exchange *x)
{
    char whole[DURATION_MAX], here[DURATION_MAX];
    uint64_t total_us = x->route->options[x->listener].total_ms * 1000;
    bool asked = total_us == 0 || x->deadline_us != x->began_us + total_us;
    struct lt_str place = x->deadline_filtered ? LT_STR("which a filter has set")
                          : asked              ? LT_STR("which the client's grpc-timeout asks for")
                                               : x->route->options[x->listener].total_at;
    keep(x, lt_arena_printf(&x->arena, &x->detail,
                            "the %s for the whole are over, %.*s; for %s it was in step %s",
                            duration(x->deadline_us - x->began_us, whole), LT_STR_ARG(place),
                            duration(since(x, x->step_us[x->step]), here), lt_step_name(x->step)));
}

void lt_explain_client_gone(struct lt_exchange *x)
{
    char all[DURATION_MAX], server[DURATION_MAX];
    const char *step = lt_step_name(x->step);
    if (x->upstream_us == 0) {
        keep(x, lt_arena_printf(&x->arena, &x->detail, "left after %s, in step %s",
                                duration(since(x, x->began_us), all), step));
    } else {
        keep(x, lt_arena_printf(&x->arena, &x->detail,
                                "left after %s, in step %s; it waited %s of them for the server",
                                duration(since(x, x->began_us), all), step,
                                duration(since(x, x->upstream_us), server)));
    }
}

void lt_explain_no_server(struct lt_exchange *x)
{
    const struct lt_server_set *set = lt_upstream_set(x->upstream);
    struct lt_fit_counts n = lt_fit_count(set, x->env->loop->now_us);
    keep(x,
         lt_arena_printf(&x->arena, &x->detail,
                         "of %u server%s of %.*s %u %s down by checks or ejected, %u drained or in "
                         "maintenance, %u failed to connect a moment ago; this request tried %u",
                         n.n, n.n == 1 ? "" : "s", LT_STR_ARG(x->upstream->name), n.down,
                         n.down == 1 ? "is" : "are", n.out, n.doubtful, x->tries));
}

void lt_explain_breaker(struct lt_exchange *x)
{
    const struct lt_breaker_options *o = &x->upstream->health.breaker;
    char window[DURATION_MAX];
    keep(x, lt_arena_printf(&x->arena, &x->detail,
                            "at least %u.%02u %% of %u requests or more failed within %s; the next "
                            "try is in %u s",
                            o->rate / 100, o->rate % 100, o->requests,
                            duration(o->window_ms * 1000, window),
                            lt_breaker_wait_s(x->upstream->state, x->env->loop->now_us)));
}

/* A connection that ended: what had gone over it, and when. */
static bool put_end(struct lt_exchange *x, const struct lt_back_failure *f)
{
    char took[DURATION_MAX];
    const char *kind = f->reused ? "a connection used before" : "a new connection";
    duration(since(x, x->try_us), took);
    if (f->cause != LT_CAUSE_RESPONSE_CUT) {
        return lt_arena_printf(
            &x->arena, &x->detail,
            "%s by the server %s after the exchange came to it, try %u, on %s; %llu bytes of the "
            "request were sent",
            f->reset ? "reset" : "closed", took, x->tries, kind, (unsigned long long)f->bytes_sent);
    }
    if (x->response_begun && x->res.body == LT_BODY_LENGTH) {
        return lt_arena_printf(&x->arena, &x->detail,
                               "%s by the server after %llu bytes, head included; Content-Length "
                               "is %llu",
                               f->reset ? "reset" : "closed", (unsigned long long)f->bytes_received,
                               (unsigned long long)x->res.content_length);
    }
    return lt_arena_printf(&x->arena, &x->detail, "%s by the server after %llu bytes, in its %s",
                           f->reset ? "reset" : "closed", (unsigned long long)f->bytes_received,
                           x->response_begun ? "body" : "head");
}

/* Who refused for all the time that a restart may take kept the client waiting. */
static bool put_wait(struct lt_exchange *x, const struct lt_back_failure *f)
{
    char waited[DURATION_MAX];
    if (f->connected || x->waiter.since_us == 0) {
        return lt_arena_dup(&x->arena, f->detail, &x->detail);
    }
    const struct lt_upstream *u = x->upstream;
    struct lt_str place =
        u->queue.wait_us < u->queue.restart_us ? u->places.queue_wait : u->places.restart;
    return lt_arena_printf(&x->arena, &x->detail, "%.*s; waited %s for it, %.*s",
                           LT_STR_ARG(f->detail), duration(since(x, x->waiter.since_us), waited),
                           LT_STR_ARG(place));
}

void lt_explain_failure(struct lt_exchange *x, const struct lt_back_failure *f)
{
    if (f->detail.len > 0) {
        keep(x, put_wait(x, f));
        return;
    }
    x->detail = LT_STR_NONE;
    if (f->cause == LT_CAUSE_CLOSED_BEFORE_RESPONSE || f->cause == LT_CAUSE_RESET_BEFORE_RESPONSE ||
        f->cause == LT_CAUSE_RESPONSE_CUT) {
        keep(x, put_end(x, f));
    }
}
