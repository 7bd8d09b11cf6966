/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of our own (fetch.h). Its server is one made for the occasion: a copy that nobody
 * balances over, whose state is the origin's. */
#include "upstream/fetch.h"

#include <stdio.h>

#include "base/obj.h"
#include "upstream/dial.h"
#include "upstream/origins.h"

#define MAGIC 0x66746368u /* "ftch" */
#define ARENA_MAX ((size_t)512 << 10)
#define PIECE ((size_t)64 << 10) /* of a request's body that is written at once */
#define POST_MS UINT64_C(1000)   /* how long idle a connection may be for what can't be repeated */
#define VANISHED_MS UINT64_C(30000)

static const char *const names[] = {
    "",
#define X(id, name, doc) name,
#include "upstream/fetch.def"
#undef X
};

const char *lt_fetch_error_name(enum lt_fetch_error error)
{
    return names[error];
}

enum lt_fetch_error lt_fetch_error_find(struct lt_str name)
{
    for (int i = 1; i < LT_FETCH_ERRORS; i++) {
        if (lt_str_eq_c(name, names[i])) {
            return (enum lt_fetch_error)i;
        }
    }
    return LT_FETCH_OK;
}

static struct lt_fetch *from_owner(void *owner)
{
    struct lt_fetch *f = owner;
    LT_OBJ_CHECK(f, MAGIC);
    return f;
}

/* ---- The end. ---- */

static void count(const struct lt_fetch *f)
{
    struct lt_metrics_worker *metrics = f->origins->metrics;
    if (metrics == NULL) {
        return;
    }
    lt_metrics_add(metrics, LT_COUNTER_FETCHES, 1);
    lt_metrics_add(metrics, LT_COUNTER_FETCH_ERRORS, f->error != LT_FETCH_OK);
    lt_metrics_add(metrics, LT_COUNTER_FETCH_MS, (f->origins->loop->now_us - f->began_us) / 1000);
}

static void tell(void *arg)
{
    struct lt_fetch *f = from_owner(arg);
    count(f);
    f->fn(f->owner);
}

/* Lets go of all but what came. */
static void stop(struct lt_fetch *f)
{
    struct lt_back *back = f->back;
    f->back = NULL;
    lt_timer_clear(&f->timer);
    lt_address_wait_cancel(&f->wait);
    if (back != NULL) {
        back->ops->cancel(back);
    }
    if (f->origin != NULL) {
        lt_origin_leave(f->origins, f);
        f->origin = NULL;
    }
}

static void end(struct lt_fetch *f)
{
    f->over = true;
    stop(f);
    lt_loop_defer(f->origins->loop, &f->deferred, tell, f);
}

void lt_fetch_fail(struct lt_fetch *f, enum lt_fetch_error error, struct lt_str detail)
{
    if (f->over) {
        return;
    }
    f->error = error;
    f->res = NULL;
    size_t n = lt_min(detail.len, sizeof(f->text) - 1);
    memcpy(f->text, detail.p != NULL ? detail.p : "", n);
    f->detail = lt_str(f->text, n);
    end(f);
}

void lt_fetch_fini(struct lt_fetch *f)
{
    LT_OBJ_CHECK(f, MAGIC);
    stop(f);
    lt_loop_cancel(&f->deferred);
    lt_timer_fini(&f->timer);
    f->origins->held -= f->received.len;
    lt_buf_fini(&f->received);
    lt_arena_fini(&f->arena);
    LT_OBJ_FINI(f);
}

/* ---- What failed. ---- */

static enum lt_fetch_error error_of(enum lt_cause cause)
{
    switch (cause) { /* a default on purpose: of the rest none comes from a back of HTTP/1 */
    case LT_CAUSE_CONNECT_REFUSED_BY_SERVER:
    case LT_CAUSE_SOCKET_MISSING:
        return LT_FETCH_CONNECT_REFUSED;
    case LT_CAUSE_CONNECT_TIMEOUT:
    case LT_CAUSE_SERVER_TLS_TIMEOUT:
        return LT_FETCH_CONNECT_TIMEOUT;
    case LT_CAUSE_SERVER_TLS_MISSING:
    case LT_CAUSE_SERVER_TLS_FAILED:
    case LT_CAUSE_SERVER_TLS_REFUSED:
    case LT_CAUSE_SERVER_REFUSED_CERTIFICATE:
    case LT_CAUSE_SERVER_CERTIFICATE_EXPIRED:
    case LT_CAUSE_SERVER_CERTIFICATE_NAME:
    case LT_CAUSE_SERVER_CERTIFICATE_UNTRUSTED:
    case LT_CAUSE_SERVER_CERTIFICATE_PIN:
    case LT_CAUSE_SERVER_CERTIFICATE_INVALID:
        return LT_FETCH_TLS_FAILED;
    case LT_CAUSE_CLOSED_BEFORE_RESPONSE:
    case LT_CAUSE_RESET_BEFORE_RESPONSE:
    case LT_CAUSE_RESPONSE_CUT:
        return LT_FETCH_CLOSED_EARLY;
    case LT_CAUSE_RESPONSE_HEAD_TOO_LARGE:
        return LT_FETCH_TOO_LARGE;
    case LT_CAUSE_OUT_OF_MEMORY:
    case LT_CAUSE_NO_DESCRIPTORS:
    case LT_CAUSE_SERVERS_BUSY:
        return LT_FETCH_BUSY;
    case LT_CAUSE_SOCKET_PERMISSION:
    case LT_CAUSE_SOCKET_BACKLOG:
    case LT_CAUSE_CONNECT_FAILED:
        return LT_FETCH_CONNECT_FAILED;
    default:
        return LT_FETCH_MALFORMED;
    }
}

static void fail_by(struct lt_fetch *f, const struct lt_back_failure *failure)
{
    struct lt_str detail = failure->detail;
    if (detail.len == 0) {
        detail = failure->sys_errno != 0 ? lt_str_c(strerrordesc_np(failure->sys_errno))
                                         : lt_str_c(lt_cause_info(failure->cause)->name);
    }
    lt_fetch_fail(f, error_of(failure->cause), detail);
}

/* ---- Sending. ---- */

/* Puts what may leave now, in the beginning behind the head, which leaves with it. Whether it
 * leaves reading tells: a server may answer and close. */
static void send_more(struct lt_fetch *f)
{
    struct lt_back *back = f->back;
    enum lt_err err;
    do {
        size_t n = lt_min(f->body.len - f->sent, PIECE);
        err = n > 0 ? back->ops->send_body(back, f->body.p + f->sent, n) : LT_OK;
        f->sent += n;
        f->request_done = f->sent == f->body.len;
        if (err == LT_OK && f->request_done) {
            err = back->ops->send_end(back, NULL);
        }
        err = err == LT_OK ? back->ops->flush(back) : err;
    } while (err == LT_OK && !f->request_done && back->ops->unsent(back) == 0);
    if (err == LT_ERR_NOMEM || err == LT_ERR_LIMIT) {
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("no memory for the request"));
    }
}

static void on_connected(void *owner, bool reused LT_UNUSED)
{
    struct lt_fetch *f = from_owner(owner);
    f->connected = true;
    f->sent = 0;
    lt_timer_set(&f->timer, (f->end_us - lt_min(f->end_us, f->origins->loop->now_us)) / 1000 + 1);
    if (f->back->ops->send_head(f->back, &f->req, f->url.target) == LT_OK) {
        send_more(f);
    } else {
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("the request's head has no room"));
    }
}

static void on_drained(void *owner)
{
    struct lt_fetch *f = from_owner(owner);
    if (f->connected && !f->request_done) {
        send_more(f);
    }
}

/* ---- What comes. ---- */

static bool on_preface(void *owner LT_UNUSED, struct lt_str *out)
{
    *out = LT_STR_NONE;
    return true;
}

static void on_informational(void *owner LT_UNUSED, const struct lt_response *res LT_UNUSED)
{
}

static void fail_too_large(struct lt_fetch *f)
{
    char text[80];
    int n = snprintf(text, sizeof(text), "the body has more than %zu bytes", f->body_max);
    lt_fetch_fail(f, LT_FETCH_TOO_LARGE, lt_str(text, (size_t)n));
}

static void on_head(void *owner, struct lt_response *res)
{
    struct lt_fetch *f = from_owner(owner);
    f->res = res;
    if (res->body == LT_BODY_LENGTH && res->content_length > f->body_max) {
        fail_too_large(f);
    }
}

static void on_body(void *owner, const char *p, size_t n)
{
    struct lt_fetch *f = from_owner(owner);
    if (n > f->body_max - f->received.len) {
        fail_too_large(f);
        return;
    }
    if (n > LT_FETCH_HELD_MAX - f->origins->held) {
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("responses hold too much memory"));
        return;
    }
    size_t before = f->received.len;
    lt_buf_add(&f->received, p, n);
    f->origins->held += f->received.len - before;
    if (f->received.truncated) {
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("out of memory"));
    }
}

static size_t on_room(void *owner LT_UNUSED)
{
    return LT_SCRATCH_SIZE; /* on_body ends what becomes too much */
}

static void go_to(void *arg);

/* The response is there whole. Nothing new begins on the stack of its connection. */
static void arrived(struct lt_fetch *f)
{
    if (lt_fetch_redirect(f)) {
        stop(f);
        lt_loop_defer(f->origins->loop, &f->deferred, go_to, f);
    } else {
        end(f);
    }
}

static void on_end(void *owner, const struct lt_headers *trailers LT_UNUSED)
{
    struct lt_fetch *f = from_owner(owner);
    f->back = NULL;
    arrived(f);
}

static void on_nothing(void *owner LT_UNUSED)
{
}

static void open_next(struct lt_fetch *f, bool fresh);

/* Another address is tried where nobody was reached; and a request that met the end of an idle
 * connection is sent once more on a new one, if it had no effect or may be repeated. */
static void on_fail(void *owner, const struct lt_back_failure *failure)
{
    struct lt_fetch *f = from_owner(owner);
    f->back = NULL;
    enum lt_fetch_error error = error_of(failure->cause);
    bool reached = failure->connected || lt_dial_reached(failure->cause);
    if (!reached && f->n_addrs > 1 && error != LT_FETCH_BUSY) {
        f->n_addrs--;
        memmove(&f->addrs[0], &f->addrs[1], f->n_addrs * sizeof(f->addrs[0]));
        open_next(f, true);
    } else if (failure->reused && failure->bytes_received == 0 && !f->repeated &&
               (failure->unread || lt_method_idempotent(f->req.method))) {
        f->repeated = true;
        f->connect_end_us = lt_min(f->end_us, f->origins->loop->now_us + f->connect_ms * 1000);
        open_next(f, true);
    } else {
        fail_by(f, failure);
    }
}

static const struct lt_back_events events = {
    .on_preface = on_preface,
    .on_connected = on_connected,
    .on_informational = on_informational,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_end = on_end,
    .on_eof = on_nothing, /* tunnels only */
    .on_turn = on_nothing,
    .on_drained = on_drained,
    .on_fail = on_fail,
};

/* ---- Opening. ---- */

/* Each address gets its part of the time for connecting; of the last, our own timer tells. */
static void open_next(struct lt_fetch *f, bool fresh)
{
    struct lt_pools *pools = f->origins->pools;
    uint64_t now = f->origins->loop->now_us;
    uint64_t left = f->connect_end_us > now ? (f->connect_end_us - now) / 1000 : 0;
    f->connected = f->request_done = false;
    f->upstream.connect_ms = f->n_addrs > 1 ? lt_max(left / f->n_addrs, UINT64_C(1)) : left + 1000;
    f->upstream.keepalive_max =
        lt_pools_idle(pools) < LT_FETCH_IDLE_ALL_MAX ? LT_FETCH_IDLE_MAX : 0;
    f->server.addr = f->addrs[0];
    if (lt_back_open(pools, &f->server, f->req.method, lt_method_idempotent(f->req.method), fresh,
                     &f->arena, &events, f, &f->back) != LT_OK) {
        f->back = NULL;
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("out of memory"));
    }
}

/* Those who have several addresses for their name want to be asked at all of them. */
static void on_addresses(void *owner, const struct lt_addr *v, unsigned n, const char *why)
{
    struct lt_fetch *f = from_owner(owner);
    unsigned same = 0;
    if (n == 0) {
        lt_fetch_fail(f, LT_FETCH_DNS_FAILED, lt_str_c(why));
        return;
    }
    while (same < n && v[same].sa.sa_family == v[0].sa.sa_family) {
        same++;
    }
    uint32_t first = lt_rand_below(&f->origins->loop->rand, same);
    for (unsigned i = 0; i < n; i++) {
        f->addrs[i] = i < same ? v[(first + i) % same] : v[i];
        lt_addr_set_port(&f->addrs[i], f->url.port);
    }
    f->n_addrs = n;
    open_next(f, false);
}

void lt_fetch_begin(struct lt_fetch *f)
{
    struct lt_addr addr = f->socket;
    if (f->socket.len > 0) {
        on_addresses(f, &addr, 1, NULL);
    } else if (f->url.literal) {
        enum lt_err err = lt_addr_parse_ip(f->url.host, &addr);
        on_addresses(f, &addr, err == LT_OK, "no address");
    } else {
        lt_addresses_find(f->origins->addresses, &f->wait, f->url.host, on_addresses, f);
    }
}

static void on_timeout(void *arg)
{
    struct lt_fetch *f = from_owner(arg);
    char text[120];
    const char *what = !f->running       ? "its turn did not come"
                       : f->n_addrs == 0 ? "no answer about its name"
                       : !f->connected   ? "no connection"
                       : f->res == NULL  ? "no answer"
                                         : "the response was not over";
    bool whole = f->origins->loop->now_us + 1000 >= f->end_us;
    int n = snprintf(text, sizeof(text), "%s after %llu ms", what,
                     (unsigned long long)(whole ? f->timeout_ms : f->connect_ms));
    lt_fetch_fail(f,
                  !f->running       ? LT_FETCH_BUSY
                  : f->n_addrs == 0 ? LT_FETCH_DNS_FAILED
                  : whole           ? LT_FETCH_TIMEOUT
                                    : LT_FETCH_CONNECT_TIMEOUT,
                  lt_str(text, (size_t)n));
}

/* ---- Starting. ---- */

static void mock(void *arg)
{
    struct lt_fetch *f = from_owner(arg);
    f->origins->mock(f->origins->mock_arg, f);
}

void lt_fetch_answer(struct lt_fetch *f, struct lt_response *res, struct lt_str body)
{
    f->res = res;
    on_body(f, body.p, body.len);
    if (!f->over) {
        arrived(f);
    }
}

void lt_fetch_init(struct lt_fetch *f, struct lt_origins *origins)
{
    memset(f, 0, sizeof(*f));
    LT_OBJ_INIT(f, MAGIC);
    f->origins = origins;
    lt_arena_init(&f->arena, NULL, 0, ARENA_MAX);
    f->arena.total = &origins->heads;
    lt_timer_init(&f->timer, origins->loop, on_timeout, f);
    f->req = (struct lt_request){.method = LT_METHOD_GET, .version = 11};
    lt_headers_init(&f->req.headers, &f->arena, LT_FETCH_HEADERS_MAX);
}

/* The server that the back is to see. */
static void make_server(struct lt_fetch *f)
{
    struct lt_upstream *u = &f->upstream;
    struct lt_str host = f->url.host;
    u->protocol = LT_PROTOCOL_H1;
    u->tls = f->url.tls ? f->tls : NULL;
    u->vanished_ms = VANISHED_MS;
    u->keepalive_ms = LT_FETCH_IDLE_MS;
    u->keepalive_post_ms = POST_MS;
    u->keepalive_learn = true;
    u->head_max = LT_FETCH_HEAD_MAX;
    u->headers_max = LT_FETCH_HEADERS_MAX;
    u->name = f->url.authority;
    u->places.head_max = u->places.headers_max = LT_STR("a head");
    u->places.connect = LT_STR("which is its part of connect_timeout");
    f->server = (struct lt_server){.upstream = u,
                                   .name = f->url.authority,
                                   .host = f->url.authority,
                                   .ip = host,
                                   .state = &f->origin->state,
                                   .weight = 1};
}

/* Begins with f->url, in what is left of the time. */
static void go_to(void *arg)
{
    struct lt_fetch *f = from_owner(arg);
    struct lt_origins *o = f->origins;
    uint64_t now_us = o->loop->now_us;
    o->held -= f->received.len;
    f->received.len = 0;
    f->res = NULL;
    f->n_addrs = 0;
    f->repeated = false;
    if (o->mock != NULL) {
        lt_loop_defer(o->loop, &f->deferred, mock, f);
        return;
    }
    f->connect_end_us = lt_min(f->end_us, now_us + f->connect_ms * 1000);
    lt_timer_set(&f->timer, f->connect_end_us > now_us ? (f->connect_end_us - now_us) / 1000 : 0);
    f->origin = lt_origin_get(o, f);
    if (f->origin == NULL) {
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("too many places are spoken to"));
        return;
    }
    make_server(f);
    if (!lt_origin_enter(o, f)) {
        f->origin = NULL;
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("too many requests wait for it"));
    }
}

void lt_fetch_start(struct lt_fetch *f, lt_fetch_fn fn, void *owner)
{
    f->fn = fn;
    f->owner = owner;
    f->began_us = f->origins->loop->now_us;
    f->end_us = f->began_us + f->timeout_ms * 1000;
    lt_buf_init(&f->received, lt_max(f->body_max, (size_t)1));
    go_to(f);
}
