/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 back: sends a request to a server and reads its response. The worker's thread.
 *
 *   lt_back_open --(idle connection)--> BUSY --response complete, both sides keep alive--> IDLE
 *        '------> CONNECTING ----------> BUSY --anything else--> closed              |     |
 *                                          ^-----------------lt_back_open------------'     v
 *                                                     peer closes, sends bytes, or idle too long
 *
 * A connection is used again only after a complete and unambiguous exchange in both directions, and
 * never after a 101: from then on it is a tunnel, bytes pass as they are until it is cancelled. */
#include "upstream/back_h1.h"

#include <errno.h>

#include "base/obj.h"
#include "http/h1.h"
#include "http/upgrade.h"
#include "net/connect.h"
#include "net/vanished.h"

#define MAGIC 0xbac40001u
#define TRAILERS_MAX 32
#define INFORMATIONAL_MAX 8 /* 1xx responses before the final one */
#define HEAD_BUF_FIRST 4096u
#define SMALL_REQUEST 8192u /* what application servers read at once */

enum state { STATE_CONNECTING, STATE_BUSY, STATE_IDLE, STATE_CLOSED };

struct lt_back_h1 {
    struct lt_back base;
    uint32_t magic;
    enum state state;
    struct lt_pools *pools;
    struct lt_pool *pool;
    struct lt_stream stream;
    struct lt_connect connect;
    struct lt_timer timer; /* idle time in the pool */
    struct lt_list idle_link;
    uint64_t idle_since_us;
    uint64_t idle_ms;            /* how long it may stay in the pool */
    struct lt_deferred deferred; /* free, or a failure to be told outside the caller's stack */
    bool reused;
    bool made_room; /* an idle connection was closed so that this one finds a descriptor */

    /* Of the exchange being served. */
    struct lt_server *server;
    const struct lt_back_events *events; /* NULL: none */
    void *owner;
    struct lt_arena *arena;
    enum lt_method method;
    bool chunked;        /* the request body is sent in chunks */
    bool request_done;   /* and was sent whole */
    bool head_done;      /* the response head was given out */
    bool keep_alive;     /* the server lets the connection live */
    bool tunnel;         /* a 101 came: what follows is neither read nor framed */
    struct lt_str offer; /* protocols that the server may switch to, in the arena */
    unsigned n_informational;
    char *head; /* beginning of a response head that came in pieces, in the arena */
    size_t head_len, head_cap;
    uint64_t bytes_sent, bytes_received;
    int fail_errno;
    unsigned writes;  /* of this request; one that was cut short counts twice */
    uint64_t wire_at; /* bytes that had left before it */
    unsigned line;    /* next of lines */
    char lines[LT_STREAM_IOV_MAX][LT_H1_CHUNK_LINE_MAX + 2]; /* chunk lines until the next flush */
    struct lt_headers trailers;                              /* of the response */
    struct lt_h1_scan scan;
    struct lt_h1 parser;
};

static const struct lt_stream_ops stream_ops;
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
    LT_OBJ_CHECK(b, MAGIC);
    return b;
}

/* ---- life and death ---- */

static void free_now(void *arg)
{
    struct lt_back_h1 *b = arg;
    LT_OBJ_CHECK(b, MAGIC);
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
static void close_conn(struct lt_back_h1 *b)
{
    if (b->state == STATE_CLOSED) {
        return;
    }
    leave_pool(b);
    if (b->state == STATE_CONNECTING) {
        lt_connect_cancel(&b->connect);
    }
    b->state = STATE_CLOSED;
    b->events = NULL;
    lt_timer_clear(&b->timer);
    lt_stream_close(&b->stream);
    lt_loop_cancel(&b->deferred);
    lt_loop_defer(b->pools->loop, &b->deferred, free_now, b);
}

void lt_back_h1_close_idle(struct lt_back_h1 *b)
{
    LT_OBJ_CHECK(b, MAGIC);
    leave_pool(b);
    b->state = STATE_CLOSED;
    lt_stream_close(&b->stream);
    free_now(b);
}

static void on_idle_timeout(void *arg)
{
    struct lt_back_h1 *b = arg;
    LT_OBJ_CHECK(b, MAGIC);
    if (b->state == STATE_IDLE) {
        close_conn(b);
    }
}

/* The exchange is over for this connection: it goes to its pool or is closed. */
static void retire(struct lt_back_h1 *b)
{
    const struct lt_upstream *u = b->server->upstream;
    bool keep = b->keep_alive && b->request_done && !b->stream.eof && !b->stream.failed &&
                lt_stream_unsent(&b->stream) == 0 && b->pool->n_idle < u->keepalive_max;
    b->events = NULL;
    b->owner = NULL;
    if (!keep) {
        close_conn(b);
        return;
    }
    b->state = STATE_IDLE;
    b->server = NULL;
    b->arena = NULL;
    b->head = NULL;
    b->idle_since_us = b->pools->loop->now_us;
    b->idle_ms = u->keepalive_ms;
    lt_list_push_front(&b->pool->idle, &b->idle_link);
    b->pool->n_idle++;
    b->pools->idle++;
    if (b->stream.pause_reasons != 0) {
        lt_stream_resume(&b->stream, b->stream.pause_reasons);
    }
    lt_timer_set(&b->timer, b->idle_ms);
}

/* Whether the server can't have read the request whole, so that it had no effect: nothing of it
 * left, or it left in one small write and was answered by a reset, which is what Linux makes of a
 * close with unread bytes. A longer one may have been acted upon before its end was read. */
static bool unread(const struct lt_back_h1 *b, bool reset)
{
    uint64_t left = b->stream.wire_out - b->wire_at;
    return left == 0 || (reset && b->request_done && b->writes == 1 && left == b->bytes_sent &&
                         left <= SMALL_REQUEST);
}

static void fail(struct lt_back_h1 *b, enum lt_cause cause, int sys_errno, bool reset)
{
    struct lt_back_failure failure = {
        .cause = cause,
        .sys_errno = sys_errno,
        .reused = b->reused,
        .connected = b->state != STATE_CONNECTING,
        .reset = reset,
        .unread = b->state != STATE_CONNECTING && unread(b, reset),
        .bytes_sent = b->bytes_sent,
        .bytes_received = b->bytes_received,
    };
    const struct lt_back_events *events = b->events;
    void *owner = b->owner;
    close_conn(b);
    if (events != NULL) {
        events->on_fail(owner, &failure);
    }
}

/* ---- opening ---- */

static enum lt_cause connect_cause(enum lt_err err, int sys_errno)
{
    switch (sys_errno) {
    case ETIMEDOUT:
        return LT_CAUSE_CONNECT_TIMEOUT;
    case ECONNREFUSED:
        return LT_CAUSE_CONNECT_REFUSED_BY_SERVER;
    case ENOENT:
        return LT_CAUSE_SOCKET_MISSING;
    case EACCES:
    case EPERM:
        return LT_CAUSE_SOCKET_PERMISSION;
    case EAGAIN:
        return LT_CAUSE_SOCKET_BACKLOG;
    case EMFILE:
    case ENFILE:
        return LT_CAUSE_NO_DESCRIPTORS;
    default:
        return err == LT_ERR_TIMEOUT ? LT_CAUSE_CONNECT_TIMEOUT : LT_CAUSE_CONNECT_FAILED;
    }
}

/* Closes an idle connection of any server; false: there is none. */
static bool close_one_idle(struct lt_pools *pools)
{
    for (uint32_t i = 0; i < pools->n; i++) {
        if (pools->v[i] != NULL && !lt_list_empty(&pools->v[i]->idle)) {
            close_conn(lt_back_h1_from_idle(pools->v[i]->idle.prev));
            return true;
        }
    }
    return false;
}

static void start_connect(struct lt_back_h1 *b);

static void on_connect(void *owner, enum lt_err err, int fd, int sys_errno)
{
    struct lt_back_h1 *b = owner;
    LT_OBJ_CHECK(b, MAGIC);
    if ((sys_errno == EMFILE || sys_errno == ENFILE) && !b->made_room && close_one_idle(b->pools)) {
        b->made_room = true;
        start_connect(b);
        return;
    }
    if (err != LT_OK) {
        enum lt_cause cause = connect_cause(err, sys_errno);
        /* Our own lack of descriptors says nothing about the server. */
        if (cause != LT_CAUSE_NO_DESCRIPTORS) {
            lt_server_connect_result(b->pools, b->server, false);
        }
        fail(b, cause, sys_errno, false);
        return;
    }
    lt_server_connect_result(b->pools, b->server, true);
    if (!lt_addr_is_unix(&b->server->addr)) {
        lt_vanished_after(fd, b->server->upstream->vanished_ms);
    }
    lt_stream_open(&b->stream, b->pools->loop, fd, &stream_ops, b);
    b->state = STATE_BUSY;
    if (b->pools->metrics != NULL) {
        lt_metrics_add(b->pools->metrics, LT_COUNTER_UPSTREAM_CONNECTS, 1);
    }
    b->events->on_connected(b->owner, false);
}

static void start_connect(struct lt_back_h1 *b)
{
    lt_connect_start(&b->connect, b->pools->loop, &b->server->addr, b->server->upstream->connect_ms,
                     on_connect, b);
}

/* The idle connection used last that may carry this request, or NULL. */
static struct lt_back_h1 *take_idle(struct lt_pools *pools, struct lt_pool *pool,
                                    const struct lt_upstream *u, bool idempotent)
{
    struct lt_back_h1 *b = NULL;
    while (b == NULL) {
        if (lt_list_empty(&pool->idle) || u->keepalive_max == 0) {
            return NULL;
        }
        b = lt_back_h1_from_idle(pool->idle.next);
        if (idempotent) {
            break;
        }
        if (pools->loop->now_us - b->idle_since_us > u->keepalive_post_ms * UINT64_C(1000)) {
            return NULL;
        }
        if (!lt_stream_is_silent(&b->stream)) {
            close_conn(b); /* its end is there and wasn't told yet */
            b = NULL;
        }
    }
    leave_pool(b);
    lt_timer_clear(&b->timer);
    b->reused = true;
    b->state = STATE_BUSY;
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
    LT_OBJ_INIT(b, MAGIC);
    b->base.ops = &back_ops;
    b->pools = pools;
    b->pool = pool;
    b->stream.fd = -1;
    b->state = STATE_CONNECTING;
    lt_timer_init(&b->timer, pools->loop, on_idle_timeout, b);
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
    b->offer = LT_STR_NONE;
    b->n_informational = 0;
    b->head = NULL;
    b->head_len = b->head_cap = 0;
    b->bytes_sent = b->bytes_received = 0;
    b->writes = 0;
    b->wire_at = b->stream.wire_out;
    b->fail_errno = 0;
    b->scan = (struct lt_h1_scan){.response = true};
    lt_headers_init(&b->trailers, arena, TRAILERS_MAX);
}

enum lt_err lt_back_open(struct lt_pools *pools, struct lt_server *server, enum lt_method method,
                         bool idempotent, bool fresh, struct lt_arena *arena,
                         const struct lt_back_events *events, void *owner, struct lt_back **back)
{
    struct lt_pool *pool = lt_pool_get(pools, server->state);
    if (pool == NULL) {
        return LT_ERR_NOMEM;
    }
    struct lt_back_h1 *b = fresh ? NULL : take_idle(pools, pool, server->upstream, idempotent);
    if (b != NULL) {
        begin_exchange(b, server, method, arena, events, owner);
        *back = &b->base;
        if (pools->metrics != NULL) {
            lt_metrics_add(pools->metrics, LT_COUNTER_UPSTREAM_REUSED, 1);
        }
        events->on_connected(owner, true);
        return LT_OK;
    }
    b = conn_new(pools, pool);
    if (b == NULL) {
        return LT_ERR_NOMEM;
    }
    begin_exchange(b, server, method, arena, events, owner);
    *back = &b->base;
    start_connect(b);
    return LT_OK;
}

/* ---- the request ---- */

static enum lt_err put(struct lt_back_h1 *b, const void *p, size_t n)
{
    b->bytes_sent += n;
    return lt_stream_put(&b->stream, p, n);
}

static enum lt_err send_preface(struct lt_back *base, const char *p, size_t n)
{
    return put(from_base(base), p, n);
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
    if (b->state == STATE_BUSY) {
        lt_stream_pause(&b->stream, reason);
    }
}

static void resume_back(struct lt_back *base, enum lt_pause reason)
{
    struct lt_back_h1 *b = from_base(base);
    if (b->state == STATE_BUSY) {
        lt_stream_resume(&b->stream, reason);
    }
}

static void cancel(struct lt_back *base)
{
    close_conn(from_base(base));
}

static const struct lt_back_ops back_ops = {
    .name = "HTTP/1.1",
    .send_preface = send_preface,
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .unsent = unsent,
    .pause = pause_back,
    .resume = resume_back,
    .cancel = cancel,
};

/* ---- the response ---- */

/* Keeps the beginning of a head that hasn't ended yet in the exchange's arena. */
static enum lt_err keep_head(struct lt_back_h1 *b, const char *p, size_t n, size_t max)
{
    if (n > b->head_cap - b->head_len) {
        size_t cap = lt_max(lt_max(b->head_cap * 2, (size_t)HEAD_BUF_FIRST), b->head_len + n);
        cap = lt_max(lt_min(cap, max), b->head_len + n);
        char *grown = lt_arena_chars(b->arena, cap);
        if (grown == NULL) {
            return LT_ERR_NOMEM;
        }
        if (b->head_len > 0) {
            memcpy(grown, b->head, b->head_len);
        }
        b->head = grown;
        b->head_cap = cap;
    }
    memcpy(b->head + b->head_len, p, n);
    b->head_len += n;
    return LT_OK;
}

/* A 101: the connection is a tunnel from here on, if the client asked for that. False: it failed.
 */
static bool switch_protocols(struct lt_back_h1 *b, struct lt_response *res)
{
    enum lt_cause cause = lt_upgrade_judge(res, b->offer);
    if (cause != LT_CAUSE_NONE) {
        fail(b, cause, 0, false);
        return false;
    }
    b->head_done = b->tunnel = true;
    b->server = NULL; /* the tunnel may outlive it */
    b->events->on_head(b->owner, res);
    return true;
}

/* Reads one head at *p if it is there whole. LT_OK: it was an informational or the final one and
 * *p, *n are what follows. LT_AGAIN: more is needed. LT_ERR_*: the exchange was told; b may be
 * gone. */
static enum lt_err read_head(struct lt_back_h1 *b, const char **p, size_t *n)
{
    const struct lt_upstream *u = b->server->upstream;
    struct lt_h1_limits limits = {.head = u->head_max, .headers = u->headers_max};
    enum lt_cause cause = LT_CAUSE_NONE;
    size_t head_len = 0;
    const char *all = *p;
    size_t all_len = *n;
    if (b->head_len > 0) {
        if (keep_head(b, *p, *n, u->head_max) != LT_OK) {
            fail(b, LT_CAUSE_OUT_OF_MEMORY, 0, false);
            return LT_ERR_NOMEM;
        }
        all = b->head;
        all_len = b->head_len;
    }
    enum lt_err err = lt_h1_scan(&b->scan, all, all_len, &limits, &head_len, &cause);
    if (err == LT_AGAIN) {
        if (b->head_len == 0 && keep_head(b, *p, *n, u->head_max) != LT_OK) {
            fail(b, LT_CAUSE_OUT_OF_MEMORY, 0, false);
            return LT_ERR_NOMEM;
        }
        return LT_AGAIN;
    }
    if (err != LT_OK) {
        fail(b, cause, 0, false);
        return err;
    }
    char *head = lt_arena_chars(b->arena, head_len);
    struct lt_response *res = head != NULL ? lt_arena_new(b->arena, struct lt_response) : NULL;
    if (res == NULL) {
        fail(b, LT_CAUSE_OUT_OF_MEMORY, 0, false);
        return LT_ERR_NOMEM;
    }
    memcpy(head, all, head_len);
    err = lt_h1_response(&b->parser, b->arena, head, head_len, &limits, b->method, res, &cause);
    if (err != LT_OK) {
        fail(b, cause, 0, false);
        return err;
    }
    *p = all + head_len;
    *n = all_len - head_len;
    b->head_len = b->head_cap = 0;
    b->scan = (struct lt_h1_scan){.response = true};
    if (res->status == 101) {
        return switch_protocols(b, res) ? LT_OK : LT_ERR_INVALID;
    }
    if (res->status < 200) {
        if (++b->n_informational > INFORMATIONAL_MAX) {
            fail(b, LT_CAUSE_RESPONSE_INVALID, 0, false);
            return LT_ERR_INVALID;
        }
        b->events->on_informational(b->owner, res);
        return LT_OK;
    }
    b->head_done = true;
    b->keep_alive = res->keep_alive && res->body != LT_BODY_CLOSE;
    b->events->on_head(b->owner, res);
    return LT_OK;
}

/* The response is whole; left bytes came after it. */
static void complete(struct lt_back_h1 *b, size_t left)
{
    const struct lt_back_events *events = b->events;
    void *owner = b->owner;
    if (left > 0) {
        b->keep_alive = false; /* bytes nobody asked for: never deliver them (RFC 9112 §9.2) */
    }
    retire(b);
    events->on_end(owner, &b->trailers);
}

/* Takes n bytes from the server. False: b is done with this exchange or gone. */
static bool feed(struct lt_back_h1 *b, const char *p, size_t n)
{
    while (!b->head_done) {
        if (n == 0) {
            return true;
        }
        enum lt_err err = read_head(b, &p, &n);
        if (err == LT_AGAIN) {
            return true;
        }
        if (err != LT_OK || b->events == NULL) {
            return false;
        }
    }
    if (b->tunnel) {
        if (n > 0) {
            b->events->on_body(b->owner, p, n);
        }
        return b->events != NULL;
    }
    for (;;) {
        size_t used = 0;
        struct lt_str piece = LT_STR_NONE;
        enum lt_cause cause = LT_CAUSE_NONE;
        enum lt_h1_event ev = lt_h1_body(&b->parser, p, n, &used, &piece, &b->trailers, &cause);
        p += used;
        n -= used;
        switch (ev) {
        case LT_H1_MORE:
            return true;
        case LT_H1_DATA:
            b->events->on_body(b->owner, piece.p, piece.len);
            if (b->events == NULL) {
                return false; /* cancelled from inside */
            }
            break;
        case LT_H1_END:
            complete(b, n);
            return false;
        case LT_H1_FAULT:
            fail(b, cause, 0, false);
            return false;
        }
    }
}

static void on_end_of_stream(struct lt_back_h1 *b, bool reset)
{
    if (b->tunnel) {
        if (reset) {
            fail(b, LT_CAUSE_TUNNEL_CUT, b->stream.sys_errno, true);
        } else {
            b->events->on_eof(b->owner);
        }
        return;
    }
    if (b->head_done && !reset && lt_h1_eof_ends(&b->parser)) {
        complete(b, 0);
        return;
    }
    enum lt_cause cause = b->bytes_received > 0 ? LT_CAUSE_RESPONSE_CUT
                          : reset               ? LT_CAUSE_RESET_BEFORE_RESPONSE
                                                : LT_CAUSE_CLOSED_BEFORE_RESPONSE;
    fail(b, cause, b->stream.sys_errno, reset);
}

static void on_readable(void *owner)
{
    struct lt_back_h1 *b = owner;
    LT_OBJ_CHECK(b, MAGIC);
    if (b->state != STATE_BUSY) {
        /* Idle: the server closed, or sent bytes nobody asked for. Either way it is of no more use.
         */
        close_conn(b);
        return;
    }
    struct lt_loop *loop = b->pools->loop;
    for (unsigned i = 0; i < LT_STREAM_READS && b->stream.pause_reasons == 0; i++) {
        size_t n = 0, room = b->events->on_room(b->owner);
        if (room == 0) {
            return;
        }
        enum lt_err err =
            lt_stream_recv(&b->stream, loop->scratch, lt_min(room, (size_t)LT_SCRATCH_SIZE), &n);
        if (err == LT_AGAIN) {
            break;
        }
        if (err != LT_OK) {
            on_end_of_stream(b, err != LT_EOF || (b->bytes_received == 0 && !b->tunnel &&
                                                  lt_stream_was_refused(&b->stream)));
            return;
        }
        b->bytes_received += n;
        if (!feed(b, loop->scratch, n)) {
            return;
        }
        /* What was put for the client lies in the scratch buffer: it must leave before the next
         * read. */
        b->events->on_turn(b->owner);
        if (b->events == NULL || b->state != STATE_BUSY) {
            return;
        }
    }
}

static void on_drained(void *owner)
{
    struct lt_back_h1 *b = owner;
    LT_OBJ_CHECK(b, MAGIC);
    if (b->state == STATE_BUSY && b->events != NULL) {
        b->events->on_drained(b->owner);
    }
}

static const struct lt_stream_ops stream_ops = {
    .on_readable = on_readable,
    .on_drained = on_drained,
};
