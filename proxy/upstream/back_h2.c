/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 back's connections: opened when the others are full, shared by all exchanges of a
 * worker with one server, closed when they were idle for long. The worker's thread.
 *
 *   lt_back_h2_open --(one with room)--------------------> stream ---END_STREAM, RST_STREAM---.
 *        '--> CONNECTING: streams wait --> OPEN ------------^                                 v
 *                                           |                                     the others, or
 * idle GOAWAY, no memory   '--> RETIRING: no new ones --last one--> closed
 *
 * nghttp2 keeps the protocol's state; everything it wants to send leaves once at the end of the
 * loop's turn. It may not be called from inside its own callbacks but to submit; objects that a
 * callback ends go at the end of the turn. */
#include "upstream/back_h2_conn.h"

#include "base/mem.h"
#include "upstream/connections.h"

/* Bytes that may wait in the socket before no more are asked for from the streams. */
#define SEND_AHEAD ((size_t)64 << 10)
/* All connections to a server, those that end too, are at most so many times as many as may take
 * streams. */
#define ENDING_FACTOR 4u
/* One that was retired for another worker and has ended by then is not waited for. */
#define YIELD_US UINT64_C(1000000)

size_t lt_back_h2_size(void)
{
    return sizeof(struct lt_back_h2);
}

static struct lt_back_h2 *from_link(struct lt_list *node)
{
    return lt_container_of(node, struct lt_back_h2, link);
}

static struct lt_back_h2_conn *conn_from_link(struct lt_list *node)
{
    return lt_container_of(node, struct lt_back_h2_conn, link);
}

struct lt_back_h2 *lt_back_h2_of_stream(struct lt_back_h2_conn *c, int32_t id)
{
    struct lt_back_h2 *b = nghttp2_session_get_stream_user_data(c->session, id);
    if (b != NULL) {
        LT_OBJ_CHECK(b, LT_BACK_H2_MAGIC);
    }
    return b;
}

/* ---- life and death of connections ---- */

static void free_conn(void *arg)
{
    struct lt_back_h2_conn *c = arg;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    nghttp2_session_del(c->session);
    lt_timer_fini(&c->timer);
    LT_OBJ_FINI(c);
    lt_free(c);
}

static void count(const struct lt_pools *pools, enum lt_counter counter, int n)
{
    if (pools->metrics != NULL) {
        lt_metrics_add(pools->metrics, counter, n);
    }
}

static void leave_idle(struct lt_back_h2_conn *c)
{
    if (c->idle) {
        c->idle = false;
        c->pools->idle--;
    }
}

/* The socket is closed now; what calls back into nghttp2 may be on the stack. */
static void close_conn(struct lt_back_h2_conn *c)
{
    if (c->state == LT_BACK_H2_CLOSED) {
        return;
    }
    lt_dial_cancel(&c->dial);
    c->pool->n_h2--;
    c->pool->n_h2_ending -= c->state == LT_BACK_H2_RETIRING;
    c->state = LT_BACK_H2_CLOSED;
    leave_idle(c);
    lt_list_remove(&c->link);
    count(c->pools, LT_COUNTER_UPSTREAM_H2, -1);
    lt_connections_give(c->pool);
    lt_timer_clear(&c->timer);
    lt_loop_cancel(&c->sending);
    lt_stream_close(&c->stream);
    lt_loop_defer(c->pools->loop, &c->deferred, free_conn, c);
}

/* Fills the socket with what nghttp2 has. False: the connection is of no more use. */
static bool fill(struct lt_back_h2_conn *c)
{
    char *out = c->pools->loop->scratch; /* nobody reads at the end of a turn */
    size_t n = 0;
    enum lt_err err = LT_OK;
    while (lt_stream_unsent(&c->stream) < SEND_AHEAD && err == LT_OK) {
        const uint8_t *frame;
        ssize_t len = nghttp2_session_mem_send(c->session, &frame);
        if (c->state == LT_BACK_H2_CLOSED) {
            return false; /* by whoever heard of the end of a stream */
        }
        if (len <= 0) {
            err = len < 0 ? LT_ERR_NOMEM : LT_OK;
            break;
        }
        if ((size_t)len > LT_SCRATCH_SIZE - n) {
            err = lt_stream_put(&c->stream, out, n);
            err = err == LT_OK ? lt_stream_flush(&c->stream) : err;
            n = 0;
        }
        memcpy(out + n, frame, (size_t)len);
        n += (size_t)len;
    }
    err = err == LT_OK ? lt_stream_put(&c->stream, out, n) : err;
    err = err == LT_OK ? lt_stream_flush(&c->stream) : err;
    if (err == LT_ERR_NOMEM || err == LT_ERR_LIMIT) {
        lt_back_h2_conn_fail(c, LT_CAUSE_OUT_OF_MEMORY, 0, false);
        return false;
    }
    c->deaf = err != LT_OK;
    return true;
}

static void tell_drained(struct lt_back_h2_conn *c)
{
    struct lt_list *node;
    while (c->state != LT_BACK_H2_CLOSED && (node = lt_list_pop_front(&c->drained)) != NULL) {
        struct lt_back_h2 *b = lt_container_of(node, struct lt_back_h2, drain_link);
        b->events->on_drained(b->owner);
    }
}

static void send_now(void *arg)
{
    struct lt_back_h2_conn *c = arg;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    if (c->state == LT_BACK_H2_CLOSED || c->state == LT_BACK_H2_CONNECTING || c->deaf || !fill(c)) {
        return;
    }
    tell_drained(c);
    if (c->state == LT_BACK_H2_CLOSED) {
        return;
    }
    if (nghttp2_session_want_read(c->session) == 0 && nghttp2_session_want_write(c->session) == 0) {
        /* nghttp2 found a mistake of the server's and has said goodbye. */
        lt_back_h2_conn_fail(c, LT_CAUSE_SERVER_PROTOCOL, 0, false);
    } else if (c->state == LT_BACK_H2_RETIRING && c->n_streams == 0) {
        close_conn(c);
    }
}

void lt_back_h2_want_send(struct lt_back_h2_conn *c)
{
    if (c->state != LT_BACK_H2_CLOSED) {
        lt_loop_defer(c->pools->loop, &c->sending, send_now, c);
    }
}

void lt_back_h2_conn_retire(struct lt_back_h2_conn *c)
{
    if (c->state == LT_BACK_H2_OPEN) {
        c->state = LT_BACK_H2_RETIRING;
        leave_idle(c);
        lt_list_remove(&c->link);
        c->pool->n_h2_ending++;
        lt_back_h2_want_send(c);
    }
}

/* Says goodbye as far as the socket takes it, and closes. */
static void close_politely(struct lt_back_h2_conn *c)
{
    if (c->state == LT_BACK_H2_OPEN &&
        nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0) == 0) {
        if (!fill(c)) {
            return;
        }
    }
    close_conn(c);
}

void lt_back_h2_conn_fail(struct lt_back_h2_conn *c, enum lt_cause cause, int sys_errno, bool reset)
{
    if (c->state == LT_BACK_H2_CLOSED) {
        return;
    }
    /* A server that refuses our certificate has read nothing, though the handshake seemed over. */
    bool connected = c->state != LT_BACK_H2_CONNECTING &&
                     (c->heard || cause != LT_CAUSE_SERVER_REFUSED_CERTIFICATE);
    struct lt_list *lists[] = {&c->streams, &c->waiting};
    close_conn(c);
    for (size_t i = 0; i < lt_countof(lists); i++) {
        while (!lt_list_empty(lists[i])) {
            struct lt_back_h2 *b = from_link(lists[i]->next);
            struct lt_back_failure failure = {
                .cause = cause != LT_CAUSE_NONE  ? cause
                         : b->tunnel             ? LT_CAUSE_TUNNEL_CUT
                         : b->bytes_received > 0 ? LT_CAUSE_RESPONSE_CUT
                         : reset                 ? LT_CAUSE_RESET_BEFORE_RESPONSE
                                                 : LT_CAUSE_CLOSED_BEFORE_RESPONSE,
                .sys_errno = sys_errno,
                .reused = b->reused,
                .connected = connected,
                .reset = reset,
                .unread = connected && !b->on_wire,
                .bytes_sent = b->bytes_sent,
                .bytes_received = b->bytes_received,
                .detail = c->detail,
            };
            const struct lt_back_events *events = b->events;
            void *owner = b->owner;
            lt_back_h2_detach(b);
            events->on_fail(owner, &failure);
        }
    }
}

/* ---- streams come and go ---- */

static void free_back(void *arg)
{
    struct lt_back_h2 *b = arg;
    LT_OBJ_CHECK(b, LT_BACK_H2_MAGIC);
    struct lt_pools *pools = b->pools;
    LT_OBJ_FINI(b);
    lt_slab_put(&pools->h2_backs, b);
}

/* An answer that is waited for has a time of its own. */
static void watch(struct lt_back_h2_conn *c)
{
    uint64_t ms = c->n_streams == 0 ? c->options.idle_ms : c->options.ping_ms;
    if (c->pinged) {
        return;
    }
    if (ms > 0) {
        lt_timer_set(&c->timer, ms);
    } else {
        lt_timer_clear(&c->timer);
    }
}

/* Makes way for another worker that waits for a connection, one at a time. */
static void yield_if_due(struct lt_back_h2_conn *c)
{
    struct lt_pool *pool = c->pool;
    uint64_t now = c->pools->loop->now_us;
    if (c->state == LT_BACK_H2_OPEN &&
        (pool->n_h2_ending == 0 || now >= pool->yielded_us + YIELD_US) &&
        lt_connections_due(pool, c->opened_us, c->n_streams > 0)) {
        pool->yielded_us = now;
        lt_back_h2_conn_retire(c);
    }
}

void lt_back_h2_detach(struct lt_back_h2 *b)
{
    struct lt_back_h2_conn *c = b->conn;
    lt_list_remove(&b->link);
    lt_list_remove(&b->touch_link);
    lt_list_remove(&b->drain_link);
    lt_chain_clear(&b->out);
    if (b->id > 0) {
        nghttp2_session_set_stream_user_data(c->session, b->id, NULL);
    }
    b->state = LT_BACK_H2_OVER;
    b->events = NULL;
    b->conn = NULL;
    lt_loop_cancel(&b->deferred);
    lt_loop_defer(b->pools->loop, &b->deferred, free_back, b);
    c->n_streams--;
    yield_if_due(c);
    if (c->n_streams > 0) {
        if (c->state == LT_BACK_H2_CONNECTING) {
            /* Only exchanges hold their servers: the dial speaks of one that somebody waits for. */
            c->dial.server = from_link(c->waiting.next)->server;
        }
        return;
    }
    if (c->state == LT_BACK_H2_OPEN) {
        c->idle = true;
        c->pools->idle++;
        watch(c);
    } else if (c->state == LT_BACK_H2_CONNECTING) {
        close_conn(c); /* nobody waits for it any more */
    } else {
        lt_back_h2_want_send(c); /* a retiring one closes when all has left */
    }
}

void lt_back_h2_fail(struct lt_back_h2 *b, enum lt_cause cause, bool unread, struct lt_str detail)
{
    const struct lt_back_events *events = b->events;
    void *owner = b->owner;
    struct lt_back_failure failure = {
        .cause = cause,
        /* A connection that was in use says goodbye: not the server refused, another try gets a new
         * one. */
        .reused = b->reused && unread && b->conn->state == LT_BACK_H2_RETIRING,
        .connected = true,
        .reset = b->was_reset && unread, /* else the server has acted, and says that it failed */
        .unread = (unread || !b->on_wire) && !b->unsendable,
        .bytes_sent = b->bytes_sent,
        .bytes_received = b->bytes_received,
        .detail = detail,
    };
    lt_back_h2_detach(b);
    events->on_fail(owner, &failure);
}

/* ---- what the socket tells ---- */

static enum lt_cause cause_of(int h2_error)
{
    return h2_error == NGHTTP2_ERR_NOMEM     ? LT_CAUSE_OUT_OF_MEMORY
           : h2_error == NGHTTP2_ERR_FLOODED ? LT_CAUSE_SERVER_FLOOD
                                             : LT_CAUSE_SERVER_PROTOCOL;
}

static void on_end_of_stream(struct lt_back_h2_conn *c, enum lt_err err)
{
    enum lt_cause cause = LT_CAUSE_NONE;
    if (err == LT_ERR_TLS) {
        c->detail = lt_str_c(lt_tls_error(c->stream.tls));
    }
    if (err == LT_ERR_TLS && !c->heard && !lt_list_empty(&c->streams)) {
        struct lt_server *server = from_link(c->streams.next)->server;
        cause = lt_dial_tls_cause(c->pools, server, &c->stream);
    }
    bool reset = err != LT_EOF || lt_stream_was_refused(&c->stream);
    lt_back_h2_conn_fail(c, cause, c->stream.sys_errno, reset);
}

/* Something came. That alone doesn't keep an idle connection open. */
static void note_life(struct lt_back_h2_conn *c)
{
    c->heard = true;
    c->doubted = false;
    c->read_us = c->pools->loop->now_us;
    if (c->pinged || c->n_streams > 0) {
        c->pinged = false;
        watch(c);
    }
}

static void on_readable(void *owner)
{
    struct lt_back_h2_conn *c = owner;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    char *scratch = c->pools->loop->scratch;
    for (unsigned i = 0; i < LT_STREAM_READS; i++) {
        size_t n = 0;
        enum lt_err err = lt_stream_recv(&c->stream, scratch, LT_SCRATCH_SIZE, &n);
        if (err == LT_AGAIN) {
            break;
        }
        if (err != LT_OK) {
            on_end_of_stream(c, err);
            return;
        }
        note_life(c);
        ssize_t used = nghttp2_session_mem_recv(c->session, (const uint8_t *)scratch, n);
        if (c->state == LT_BACK_H2_CLOSED) {
            return;
        }
        if (used < 0) {
            c->detail = c->detail.len > 0 ? c->detail : lt_str_c(nghttp2_strerror((int)used));
            lt_back_h2_conn_fail(c, cause_of((int)used), 0, false);
            return;
        }
        /* What was put for clients lies in the scratch buffer: it must leave before the next read.
         */
        lt_back_h2_end_turn(c);
        if (c->state == LT_BACK_H2_CLOSED) {
            return;
        }
    }
    lt_back_h2_want_send(c);
}

static void on_drained(void *owner)
{
    struct lt_back_h2_conn *c = owner;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    lt_back_h2_want_send(c);
}

static const struct lt_stream_ops stream_ops = {
    .on_readable = on_readable,
    .on_drained = on_drained,
};

void lt_back_h2_ping(struct lt_back_h2_conn *c)
{
    /* Without memory it is tried again. */
    c->pinged = nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL) == 0;
    lt_timer_set(&c->timer, c->options.pong_ms);
    lt_back_h2_want_send(c);
}

/* Idle for too long; or silent for too long while streams are open. */
static void on_timer(void *arg)
{
    struct lt_back_h2_conn *c = arg;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    if (c->pinged && c->n_streams > 0 && c->options.ping_ms == 0) {
        lt_back_h2_conn_retire(c); /* its streams have their own limits */
    } else if (c->pinged) {
        c->detail = LT_STR("no answer to a PING");
        lt_back_h2_conn_fail(c, LT_CAUSE_SERVER_SILENT, 0, false);
    } else if (c->n_streams == 0) {
        close_politely(c);
    } else {
        lt_back_h2_ping(c);
    }
}

static void on_dialled(void *owner, const struct lt_dial_failure *failure)
{
    struct lt_back_h2_conn *c = owner;
    LT_OBJ_CHECK(c, LT_BACK_H2_CONN_MAGIC);
    struct lt_list *node;
    if (failure != NULL) {
        c->detail = failure->detail;
        lt_back_h2_conn_fail(c, failure->cause, failure->sys_errno, false);
        return;
    }
    lt_stream_own(&c->stream, &stream_ops, c);
    c->opened_us = c->pools->loop->now_us;
    c->state = LT_BACK_H2_OPEN;
    watch(c);
    lt_back_h2_want_send(c);
    while (c->state != LT_BACK_H2_CLOSED && (node = lt_list_pop_front(&c->waiting)) != NULL) {
        struct lt_back_h2 *b = from_link(node);
        lt_list_push_back(&c->streams, node);
        b->state = LT_BACK_H2_READY;
        b->events->on_connected(b->owner, b->reused);
    }
}

/* ---- opening ---- */

static struct lt_back_h2_conn *conn_new(struct lt_pools *pools, struct lt_pool *pool,
                                        const struct lt_upstream *u)
{
    struct lt_back_h2_conn *c = lt_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(c, LT_BACK_H2_CONN_MAGIC);
    c->pools = pools;
    c->pool = pool;
    c->options = u->h2;
    c->head_max = u->head_max;
    c->stream.fd = -1;
    lt_list_init(&c->waiting);
    lt_list_init(&c->streams);
    lt_list_init(&c->touched);
    lt_list_init(&c->drained);
    lt_timer_init(&c->timer, pools->loop, on_timer, c);
    if (!lt_back_h2_start_session(c)) {
        free_conn(c);
        return NULL;
    }
    lt_list_push_back(&pool->h2, &c->link);
    pool->n_h2++;
    count(pools, LT_COUNTER_UPSTREAM_H2, 1);
    return c;
}

/* Streams that the connection takes at once: as we want and as the server allows; a new one as many
 * as the one before. */
static uint32_t streams_max(const struct lt_back_h2_conn *c)
{
    uint32_t theirs = c->pool->h2_streams > 0 ? c->pool->h2_streams : LT_BACK_H2_STREAMS_FIRST;
    if (c->settings_seen) {
        theirs = nghttp2_session_get_remote_settings(c->session,
                                                     NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    }
    return lt_min(theirs, (uint32_t)c->options.streams_max);
}

/* Whether a new connection to server would be such a one: a reload may have changed its upstream.
 */
static bool fits(const struct lt_back_h2_conn *c, const struct lt_server *server)
{
    const struct lt_back_h2_options *was = &c->options, *is = &server->upstream->h2;
    return was->streams_max == is->streams_max && was->window == is->window &&
           was->control_max == is->control_max && was->idle_ms == is->idle_ms &&
           was->ping_ms == is->ping_ms && was->pong_ms == is->pong_ms &&
           c->head_max == server->upstream->head_max &&
           (c->state == LT_BACK_H2_CONNECTING || lt_dial_fits(&c->stream, server));
}

/* Whether the connection takes one more stream to server. */
static bool has_room(struct lt_back_h2_conn *c, const struct lt_server *server)
{
    /* Of settings that a reload has changed, or out of stream numbers. */
    if (!fits(c, server) ||
        (c->state == LT_BACK_H2_OPEN && nghttp2_session_check_request_allowed(c->session) == 0)) {
        lt_back_h2_conn_retire(c);
        return false;
    }
    return c->n_streams < streams_max(c);
}

static bool may_open(const struct lt_pool *pool, const struct lt_server *server)
{
    uint64_t max = server->upstream->h2.connections_max;
    return pool->n_h2 - pool->n_h2_ending < max && pool->n_h2 < max * ENDING_FACTOR;
}

/* The oldest connection with room, so that few are filled and the rest becomes idle; else NULL. An
 * idle one that has something to say may say goodbye, and one that owes a sign of life may hang:
 * these are taken only if no more may be opened. */
static struct lt_back_h2_conn *find_room(struct lt_pool *pool, const struct lt_server *server,
                                         bool more)
{
    struct lt_back_h2_conn *talking = NULL;
    lt_list_each(it, tmp, &pool->h2)
    {
        struct lt_back_h2_conn *c = conn_from_link(it);
        if (has_room(c, server)) {
            if (!c->pinged && !c->doubted && (!c->idle || lt_stream_is_silent(&c->stream))) {
                return c;
            }
            talking = c;
        }
    }
    return more ? NULL : talking;
}

static struct lt_back_h2 *back_new(struct lt_pools *pools, struct lt_back_h2_conn *c,
                                   const struct lt_upstream *u)
{
    struct lt_back_h2 *b = lt_slab_get(&pools->h2_backs);
    if (b == NULL) {
        return NULL;
    }
    *b = (struct lt_back_h2){.base.ops = &lt_back_h2_ops,
                             .pools = pools,
                             .conn = c,
                             .upstream = u,
                             .head_max = u->head_max,
                             .headers_max = u->headers_max,
                             .reused = c->served > 0};
    LT_OBJ_INIT(b, LT_BACK_H2_MAGIC);
    lt_chain_init(&b->out, &pools->loop->blocks);
    c->n_streams++;
    c->served++;
    leave_idle(c);
    return b;
}

enum lt_err lt_back_h2_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                            struct lt_arena *arena, const struct lt_back_events *events,
                            void *owner, struct lt_back **back)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    *back = NULL;
    if (pool == NULL) {
        return LT_ERR_NOMEM;
    }
    bool more = may_open(pool, server), fresh = false;
    struct lt_back_h2_conn *c = find_room(pool, server, more);
    if (c == NULL && more) {
        fresh = lt_connections_take(pool, server);
        c = fresh ? NULL : find_room(pool, server, false);
    }
    if (c == NULL && !fresh) {
        enum lt_cause cause = more ? LT_CAUSE_SERVERS_BUSY : LT_CAUSE_STREAMS_EXHAUSTED;
        events->on_fail(owner, &(struct lt_back_failure){.cause = cause});
        return LT_OK;
    }
    c = fresh ? conn_new(pools, pool, server->upstream) : c;
    struct lt_back_h2 *b = c != NULL ? back_new(pools, c, server->upstream) : NULL;
    if (b == NULL) {
        if (fresh && c != NULL) {
            close_conn(c);
        } else if (fresh) {
            lt_connections_give(pool);
        }
        return LT_ERR_NOMEM;
    }
    b->server = server;
    b->method = method;
    b->arena = arena;
    b->events = events;
    b->owner = owner;
    *back = &b->base;
    if (c->state == LT_BACK_H2_OPEN) {
        lt_list_push_back(&c->streams, &b->link);
        b->state = LT_BACK_H2_READY;
        count(pools, LT_COUNTER_UPSTREAM_REUSED, 1);
        if (c->n_streams == 1) {
            watch(c);
        }
        events->on_connected(owner, true);
        return LT_OK;
    }
    lt_list_push_back(&c->waiting, &b->link);
    if (fresh) {
        lt_dial_start(&c->dial, pools, server, LT_STR_NONE, &c->stream, on_dialled, c);
    }
    return LT_OK;
}

/* ---- for pools ---- */

bool lt_back_h2_close_one_idle(struct lt_pool *pool)
{
    lt_list_each(it, tmp, &pool->h2)
    {
        struct lt_back_h2_conn *c = conn_from_link(it);
        if (c->idle) {
            close_conn(c); /* somebody may be reading: goodbye would need the scratch buffer */
            return true;
        }
    }
    return false;
}

bool lt_back_h2_has_room(struct lt_pool *pool, const struct lt_server *server)
{
    return pool->n_h2 > pool->n_h2_ending && find_room(pool, server, false) != NULL;
}

void lt_back_h2_yield(struct lt_pool *pool)
{
    lt_list_each(it, tmp, &pool->h2)
    {
        yield_if_due(conn_from_link(it));
    }
}

void lt_back_h2_retire_all(struct lt_pool *pool)
{
    lt_list_each(it, tmp, &pool->h2)
    {
        lt_back_h2_conn_retire(conn_from_link(it));
    }
}

void lt_back_h2_free_all(struct lt_pool *pool)
{
    lt_list_each(it, tmp, &pool->h2)
    {
        struct lt_back_h2_conn *c = conn_from_link(it);
        close_conn(c);
        lt_loop_cancel(&c->deferred);
        free_conn(c);
    }
}
