/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 back: opens connections, keeps idle ones, sends requests; responses are read in
 * back_h1_response.c. The worker's thread.
 *
 *   lt_back_open --(idle connection)--> BUSY --response complete, both sides keep alive--> IDLE
 *        '------> CONNECTING ----------> BUSY --anything else--> closed              |     |
 *                                          ^-----------------lt_back_open------------'     v
 *                                                     peer closes, sends bytes, or idle too long
 *
 * A connection is used again only after a complete and unambiguous exchange in both directions, and
 * never after a 101: from then on it is a tunnel, bytes pass as they are until it is cancelled. */
#include "upstream/back_h1_conn.h"

#include "upstream/connections.h"
#include "upstream/idle.h"

#define TRAILERS_MAX 32
/* For a body where none may be to come and be noticed: one that the head tells of may be late, any
 * other one comes right behind its head. */
#define REST_ANNOUNCED_US UINT64_C(1000000)
#define REST_US UINT64_C(20000)
#define SMALL_REQUEST 8192u /* what application servers read at once */
/* Before the kernel's first keep-alive probe, whatever timeouts.vanished is (net/vanished.h). */
#define RESET_LATE_US UINT64_C(2500000)
#define RESET_WAIT_MS 16u /* twice that, in all, a reset after the end is waited for */

static const struct lt_back_ops back_ops;

size_t lt_back_h1_size(void)
{
    return sizeof(struct lt_back_h1);
}

struct lt_back_h1 *lt_back_h1_from_idle(struct lt_list *node)
{
    return lt_container_of(node, struct lt_back_h1, idle_link);
}

static struct lt_back_h1 *from_base(struct lt_back *base)
{
    struct lt_back_h1 *b = lt_container_of(base, struct lt_back_h1, base);
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    return b;
}

/* ---- life and death ---- */

static void free_now(void *arg)
{
    struct lt_back_h1 *b = arg;
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    lt_timer_fini(&b->timer);
    LT_OBJ_FINI(b);
    lt_slab_put(&b->pools->backs, b);
}

static void leave_pool(struct lt_back_h1 *b)
{
    if (lt_list_linked(&b->idle_link)) {
        lt_list_remove(&b->idle_link);
        b->pool->n_idle--;
        b->pools->idle--;
    }
}

/* Closes the connection; the object goes at the end of the turn, since callbacks of its stream may
 * be on the stack. */
void lt_back_h1_close(struct lt_back_h1 *b)
{
    if (b->state == LT_BACK_H1_CLOSED) {
        return;
    }
    leave_pool(b);
    lt_connections_give(b->pool);
    if (b->state == LT_BACK_H1_CONNECTING) {
        lt_dial_cancel(&b->dial);
    }
    b->state = LT_BACK_H1_CLOSED;
    b->events = NULL;
    lt_timer_clear(&b->timer);
    lt_stream_close(&b->stream);
    lt_loop_cancel(&b->deferred);
    lt_loop_defer(b->pools->loop, &b->deferred, free_now, b);
}

void lt_back_h1_close_idle(struct lt_back_h1 *b)
{
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    leave_pool(b);
    lt_connections_give(b->pool);
    b->state = LT_BACK_H1_CLOSED;
    lt_stream_close(&b->stream);
    free_now(b);
}

static void look_for_reset(struct lt_back_h1 *b)
{
    bool reset = lt_stream_was_refused(&b->stream);
    if (!reset && lt_back_h1_await_reset(b)) {
        return;
    }
    lt_back_h1_fail(b, reset ? LT_CAUSE_RESET_BEFORE_RESPONSE : LT_CAUSE_CLOSED_BEFORE_RESPONSE, 0,
                    reset);
}

bool lt_back_h1_await_reset(struct lt_back_h1 *b)
{
    if (b->reset_ms > RESET_WAIT_MS || !lt_back_h1_small(b) || lt_method_idempotent(b->method)) {
        return false;
    }
    b->reset_ms = b->reset_ms > 0 ? 2 * b->reset_ms : 1;
    lt_timer_set(&b->timer, b->reset_ms);
    return true;
}

/* Idle for too long, or time to look whether a reset has come. */
static void on_timer(void *arg)
{
    struct lt_back_h1 *b = arg;
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    if (b->state == LT_BACK_H1_IDLE) {
        lt_back_h1_close(b);
    } else if (b->state == LT_BACK_H1_BUSY && b->reset_ms > 0) {
        look_for_reset(b);
    }
}

/* How long the connection may be idle, by its settings and by what is known of its server. */
static uint64_t idle_ms(const struct lt_back_h1 *b, const struct lt_upstream *u)
{
    if (!u->keepalive_learn) {
        return u->keepalive_ms;
    }
    uint64_t learnt = lt_idle_learnt_ms(b->pool->state, b->pools->loop->now_us);
    return lt_min(u->keepalive_ms, lt_min(b->told_ms, learnt));
}

/* The exchange is over for this connection: it goes to its pool or is closed. */
void lt_back_h1_retire(struct lt_back_h1 *b)
{
    const struct lt_upstream *u = b->server->upstream;
    bool keep = b->keep_alive && b->request_done && !b->stream.eof && !b->stream.failed &&
                lt_stream_unsent(&b->stream) == 0 && b->pool->n_idle < u->keepalive_max &&
                lt_server_admin(b->server->state) == LT_SERVER_READY &&
                !lt_connections_due(b->pool, b->opened_us, false);
    uint64_t ms = keep ? idle_ms(b, u) : 0;
    b->events = NULL;
    b->owner = NULL;
    if (ms == 0) {
        lt_back_h1_close(b);
        return;
    }
    b->state = LT_BACK_H1_IDLE;
    b->server = NULL;
    b->arena = NULL;
    b->head = NULL;
    b->idle_since_us = b->pools->loop->now_us;
    b->rest_until_us = 0;
    if (b->bodiless) {
        b->rest_until_us = b->idle_since_us + (b->announced ? REST_ANNOUNCED_US : REST_US);
    }
    lt_list_push_front(&b->pool->idle, &b->idle_link);
    b->pool->n_idle++;
    b->pools->idle++;
    if (b->stream.pause_reasons != 0) {
        lt_stream_resume(&b->stream, b->stream.pause_reasons);
    }
    lt_timer_set(&b->timer, ms);
}

void lt_back_h1_drop_body(struct lt_back_h1 *b)
{
    b->keep_alive = false;
    b->pool->adds_bodies = true;
    lt_pools_count_dropped_body(b->pools);
}

/* Whether the server can't have read the request whole, so that it had no effect: nothing of it
 * left, or it left in one small write and was answered by a reset, which is what Linux makes of a
 * close with unread bytes. A longer one may have been acted upon before its end was read. TLS adds
 * to what leaves, and what it has not whole the server can't read at all. A reset that comes late
 * may be that of a machine that has forgotten the connection; on a new connection it is believed
 * only of servers that are known to read at once. */
static bool unread(const struct lt_back_h1 *b, bool reset)
{
    if (b->stream.wire_out == b->wire_at) {
        return true;
    }
    if (!reset || !lt_back_h1_small(b) || b->server == NULL ||
        (!b->reused && !b->server->upstream->retry.reset_new)) {
        return false;
    }
    return lt_addr_is_unix(&b->server->addr) ||
           b->pools->loop->now_us - b->written_us <= RESET_LATE_US;
}

bool lt_back_h1_small(const struct lt_back_h1 *b)
{
    return b->request_done && b->writes == 1 && b->stream.wire_out - b->wire_at >= b->bytes_sent &&
           b->bytes_sent <= SMALL_REQUEST;
}

void lt_back_h1_fail(struct lt_back_h1 *b, enum lt_cause cause, int sys_errno, bool reset)
{
    /* A server that refuses our certificate has read nothing, though the handshake seemed over. */
    bool refused = cause == LT_CAUSE_SERVER_REFUSED_CERTIFICATE && !b->reused;
    struct lt_back_failure failure = {
        .cause = cause,
        .sys_errno = sys_errno,
        .reused = b->reused,
        .connected = b->state != LT_BACK_H1_CONNECTING && !refused,
        .reset = reset,
        .unread = b->state != LT_BACK_H1_CONNECTING && unread(b, reset),
        .bytes_sent = b->bytes_sent,
        .bytes_received = b->bytes_received,
        .detail = b->detail,
    };
    const struct lt_back_events *events = b->events;
    void *owner = b->owner;
    if (b->reused && b->bytes_received == 0 && failure.unread) {
        lt_idle_seen(b->pool->state, b->idle_us, b->pools->loop->now_us);
    }
    lt_back_h1_close(b);
    if (events != NULL) {
        events->on_fail(owner, &failure);
    }
}

/* ---- opening ---- */

static void on_dialled(void *owner, const struct lt_dial_failure *failure)
{
    struct lt_back_h1 *b = owner;
    LT_OBJ_CHECK(b, LT_BACK_H1_MAGIC);
    if (failure != NULL) {
        b->detail = failure->detail;
        lt_back_h1_fail(b, failure->cause, failure->sys_errno, false);
        return;
    }
    lt_stream_own(&b->stream, &lt_back_h1_stream_ops, b);
    b->wire_at = b->stream.wire_out;
    b->opened_us = b->pools->loop->now_us;
    b->state = LT_BACK_H1_BUSY;
    b->events->on_connected(b->owner, false);
}

/* The idle connection used last that need not rest, or NULL. */
static struct lt_back_h1 *last_used(struct lt_pools *pools, struct lt_pool *pool)
{
    lt_list_each(it, tmp, &pool->idle)
    {
        struct lt_back_h1 *b = lt_back_h1_from_idle(it);
        if (LT_LIKELY(b->rest_until_us <= pools->loop->now_us)) {
            return b;
        }
    }
    return NULL;
}

/* The idle connection used last that may carry this request, or NULL. */
static struct lt_back_h1 *take_idle(struct lt_pools *pools, struct lt_pool *pool,
                                    const struct lt_server *server, bool idempotent)
{
    const struct lt_upstream *u = server->upstream;
    struct lt_back_h1 *b = NULL;
    while (b == NULL) {
        b = u->keepalive_max > 0 ? last_used(pools, pool) : NULL;
        if (b == NULL) {
            return NULL;
        }
        uint64_t age_us = pools->loop->now_us - b->idle_since_us;
        if (!lt_dial_fits(&b->stream, server) || age_us / 1000 >= idle_ms(b, u)) {
            /* Of other settings, or its timer is due: the server's may be, too. */
            lt_back_h1_close(b);
            b = NULL;
            continue;
        }
        if (!idempotent && age_us > u->keepalive_post_ms * UINT64_C(1000)) {
            return NULL;
        }
        if ((!idempotent || lt_stream_has_news(&b->stream)) && !lt_stream_is_silent(&b->stream)) {
            /* Its end is there and wasn't told yet, or bytes that nobody asked for: they would be
             * taken for the answer to this request. The socket itself is asked only for a request
             * that can't be repeated, or where the news may be TLS's own: that costs a system
             * call, and what a server says later than now can't be told from an answer anyway. */
            lt_idle_seen(pool->state, age_us, pools->loop->now_us);
            lt_back_h1_close(b);
            b = NULL;
        }
    }
    leave_pool(b);
    lt_timer_clear(&b->timer);
    b->idle_us = pools->loop->now_us - b->idle_since_us;
    b->reused = true;
    b->state = LT_BACK_H1_BUSY;
    return b;
}

static struct lt_back_h1 *conn_new(struct lt_pools *pools, struct lt_pool *pool)
{
    struct lt_back_h1 *b = lt_slab_get(&pools->backs);
    if (b == NULL) {
        return NULL;
    }
    /* The parser is set up by each response head; leave it out of the clearing. */
    memset(b, 0, offsetof(struct lt_back_h1, parser));
    LT_OBJ_INIT(b, LT_BACK_H1_MAGIC);
    b->base.ops = &back_ops;
    b->pools = pools;
    b->pool = pool;
    b->stream.fd = -1;
    b->state = LT_BACK_H1_CONNECTING;
    lt_timer_init(&b->timer, pools->loop, on_timer, b);
    return b;
}

static void begin_exchange(struct lt_back_h1 *b, struct lt_server *server, enum lt_method method,
                           struct lt_arena *arena, const struct lt_back_events *events, void *owner)
{
    b->server = server;
    b->method = method;
    b->arena = arena;
    b->events = events;
    b->owner = owner;
    b->chunked = b->request_done = b->head_done = b->keep_alive = b->tunnel = false;
    b->bodiless = b->announced = false;
    b->offer = LT_STR_NONE;
    b->n_informational = 0;
    b->head = NULL;
    b->head_len = b->head_cap = 0;
    b->bytes_sent = b->bytes_received = 0;
    b->writes = 0;
    b->reset_ms = 0;
    b->wire_at = b->stream.wire_out;
    b->fail_errno = 0;
    b->detail = LT_STR_NONE;
    b->scan = (struct lt_h1_scan){.response = true};
    lt_headers_init(&b->trailers, arena, TRAILERS_MAX);
}

enum lt_err lt_back_h1_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                            bool idempotent, bool fresh, struct lt_arena *arena,
                            const struct lt_back_events *events, void *owner, struct lt_back **back)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    if (pool == NULL) {
        return LT_ERR_NOMEM;
    }
    struct lt_back_h1 *b = fresh ? NULL : take_idle(pools, pool, server, idempotent);
    if (b != NULL) {
        begin_exchange(b, server, method, arena, events, owner);
        *back = &b->base;
        if (pools->metrics != NULL) {
            lt_metrics_add(pools->metrics, LT_COUNTER_UPSTREAM_REUSED, 1);
        }
        events->on_connected(owner, true);
        return LT_OK;
    }
    struct lt_str preface = LT_STR_NONE;
    if (!lt_connections_take(pool, server)) {
        *back = NULL;
        events->on_fail(owner, &(struct lt_back_failure){.cause = LT_CAUSE_SERVERS_BUSY});
        return LT_OK;
    }
    if (!events->on_preface(owner, &preface) || (b = conn_new(pools, pool)) == NULL) {
        lt_connections_give(pool);
        return LT_ERR_NOMEM;
    }
    begin_exchange(b, server, method, arena, events, owner);
    *back = &b->base;
    lt_dial_start(&b->dial, pools, server, preface, &b->stream, on_dialled, b);
    return LT_OK;
}

/* ---- the request ---- */

static enum lt_err put(struct lt_back_h1 *b, const void *p, size_t n)
{
    b->bytes_sent += n;
    return lt_stream_put(&b->stream, p, n);
}

static enum lt_err send_head(struct lt_back *base, const struct lt_request *req,
                             struct lt_str target)
{
    struct lt_back_h1 *b = from_base(base);
    struct lt_str head;
    enum lt_err err =
        lt_h1_write_request(b->arena, lt_method_name(req->method), target, &req->headers, &head);
    if (err != LT_OK) {
        return err;
    }
    b->chunked = req->body == LT_BODY_CHUNKED;
    b->offer = req->offer;
    return put(b, head.p, head.len);
}

static enum lt_err send_body(struct lt_back *base, const char *p, size_t n)
{
    struct lt_back_h1 *b = from_base(base);
    if (n == 0) {
        return LT_OK;
    }
    if (!b->chunked) {
        return put(b, p, n);
    }
    char *line = b->lines[b->line++ % LT_STREAM_IOV_MAX];
    size_t len = lt_h1_chunk_line(line, n);
    enum lt_err err = put(b, line, len);
    err = err == LT_OK ? put(b, p, n) : err;
    return err == LT_OK ? put(b, "\r\n", 2) : err;
}

static enum lt_err send_end(struct lt_back *base, const struct lt_headers *trailers)
{
    struct lt_back_h1 *b = from_base(base);
    struct lt_str end;
    b->request_done = true;
    if (b->tunnel) {
        lt_stream_shutdown(&b->stream);
        return b->stream.failed ? b->stream.write_err : LT_OK;
    }
    if (!b->chunked) {
        return LT_OK;
    }
    enum lt_err err = lt_h1_write_end(b->arena, trailers, &end);
    return err == LT_OK ? put(b, end.p, end.len) : err;
}

static enum lt_err flush(struct lt_back *base)
{
    struct lt_back_h1 *b = from_base(base);
    bool some = lt_stream_unsent(&b->stream) > 0;
    enum lt_err err = lt_stream_flush(&b->stream);
    b->writes += some + (lt_stream_unsent(&b->stream) > 0);
    b->written_us = b->pools->loop->now_us;
    b->fail_errno = b->stream.sys_errno;
    return err;
}

static size_t unsent(struct lt_back *base)
{
    return lt_stream_unsent(&from_base(base)->stream);
}

static void pause_back(struct lt_back *base, enum lt_pause reason)
{
    struct lt_back_h1 *b = from_base(base);
    if (b->state == LT_BACK_H1_BUSY) {
        lt_stream_pause(&b->stream, reason);
    }
}

static void resume_back(struct lt_back *base, enum lt_pause reason)
{
    struct lt_back_h1 *b = from_base(base);
    if (b->state == LT_BACK_H1_BUSY) {
        lt_stream_resume(&b->stream, reason);
    }
}

static void cancel(struct lt_back *base)
{
    lt_back_h1_close(from_base(base));
}

static const struct lt_back_ops back_ops = {
    .name = "HTTP/1.1",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .unsent = unsent,
    .pause = pause_back,
    .resume = resume_back,
    .cancel = cancel,
};
