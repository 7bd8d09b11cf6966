/* SPDX-License-Identifier: Apache-2.0 */
/* Opening connections to servers. The worker's thread. */
#include "upstream/dial.h"

#include <errno.h>
#include <stdio.h>

#include "net/vanished.h"
#include "upstream/dial_detail.h"
#include "upstream/health.h"
#include "upstream/pool.h"

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

static void count(const struct lt_dial *d, enum lt_counter counter)
{
    if (d->pools->metrics != NULL) {
        lt_metrics_add(d->pools->metrics, counter, 1);
    }
}

static void fail(struct lt_dial *d, const struct lt_dial_failure *failure)
{
    /* Our own lack of descriptors or memory says nothing about the server. */
    if (failure->cause != LT_CAUSE_NO_DESCRIPTORS && failure->cause != LT_CAUSE_OUT_OF_MEMORY) {
        lt_server_connect_result(d->pools, d->server, false);
    }
    d->fn(d->owner, failure);
}

static void succeed(struct lt_dial *d)
{
    lt_server_connect_result(d->pools, d->server, true);
    count(d, LT_COUNTER_UPSTREAM_CONNECTS);
    d->fn(d->owner, NULL);
}

/* ---- TLS ---- */

static enum lt_cause tls_cause(enum lt_tls_fault fault)
{
    switch (fault) {
    case LT_TLS_FAULT_NO_TLS:
        return LT_CAUSE_SERVER_TLS_MISSING;
    case LT_TLS_FAULT_ALERT:
        return LT_CAUSE_SERVER_TLS_REFUSED;
    case LT_TLS_FAULT_OUR_CERT:
        return LT_CAUSE_SERVER_REFUSED_CERTIFICATE;
    case LT_TLS_FAULT_EXPIRED:
        return LT_CAUSE_SERVER_CERTIFICATE_EXPIRED;
    case LT_TLS_FAULT_NAME:
        return LT_CAUSE_SERVER_CERTIFICATE_NAME;
    case LT_TLS_FAULT_UNTRUSTED:
        return LT_CAUSE_SERVER_CERTIFICATE_UNTRUSTED;
    case LT_TLS_FAULT_PIN:
        return LT_CAUSE_SERVER_CERTIFICATE_PIN;
    case LT_TLS_FAULT_CERTIFICATE:
        return LT_CAUSE_SERVER_CERTIFICATE_INVALID;
    case LT_TLS_FAULT_NONE:
    case LT_TLS_FAULT_PROTOCOL:
    case LT_TLS_FAULT_GONE:
        break;
    }
    return LT_CAUSE_SERVER_TLS_FAILED;
}

enum lt_cause lt_dial_tls_cause(struct lt_pools *pools, struct lt_server *server,
                                const struct lt_stream *stream)
{
    enum lt_cause cause = tls_cause(lt_tls_fault(stream->tls));
    if (cause == LT_CAUSE_SERVER_REFUSED_CERTIFICATE) {
        lt_server_connect_result(pools, server, false);
    }
    return cause;
}

/* The stream is closed before anybody is told: who asks for another try may use its memory. */
static void tls_failed(struct lt_dial *d, enum lt_cause cause, const char *why, int sys_errno)
{
    struct lt_dial_failure failure = {.cause = cause, .sys_errno = sys_errno};
    struct lt_str name = lt_tls_client_policy_name(d->server->upstream->tls);
    int n = snprintf(d->detail, sizeof(d->detail), "%s (as %.*s)", why,
                     LT_STR_ARG(name.len > 0 ? name : d->server->ip));
    failure.detail = lt_str(d->detail, lt_min((size_t)n, sizeof(d->detail) - 1));
    lt_timer_fini(&d->timer);
    lt_stream_close(d->stream);
    count(d, LT_COUNTER_UPSTREAM_TLS_FAILED);
    fail(d, &failure);
}

/* Over TLS a server of HTTP/2 has to have chosen it (RFC 9113 §3.2). */
static bool agreed(const struct lt_dial *d)
{
    return d->server->upstream->protocol != LT_PROTOCOL_H2 ||
           lt_str_eq_c(lt_tls_alpn(d->stream->tls), "h2");
}

static void on_handshake(void *owner, enum lt_err err)
{
    struct lt_dial *d = owner;
    const struct lt_tls *tls = d->stream->tls;
    if (err != LT_OK) {
        bool ours = err == LT_ERR_NOMEM || err == LT_ERR_LIMIT;
        tls_failed(d, ours ? LT_CAUSE_OUT_OF_MEMORY : tls_cause(lt_tls_fault(tls)),
                   lt_tls_error(tls), d->stream->sys_errno);
        return;
    }
    if (!agreed(d)) {
        tls_failed(d, LT_CAUSE_SERVER_PROTOCOL, "it did not choose h2 by ALPN", 0);
        return;
    }
    lt_timer_fini(&d->timer);
    count(d, LT_COUNTER_UPSTREAM_TLS);
    if (lt_tls_resumed(tls)) {
        count(d, LT_COUNTER_UPSTREAM_TLS_RESUMED);
    }
    succeed(d);
}

static void on_drained(void *owner)
{
    struct lt_dial *d = owner;
    if (d->stream->failed) {
        tls_failed(d, LT_CAUSE_SERVER_TLS_FAILED, lt_err_text(d->stream->write_err),
                   d->stream->sys_errno);
    }
}

static void on_timeout(void *arg)
{
    struct lt_dial *d = arg;
    tls_failed(d, LT_CAUSE_SERVER_TLS_TIMEOUT, "the handshake was not over in time", 0);
}

static const struct lt_stream_ops handshake_ops = {.on_drained = on_drained,
                                                   .on_handshake = on_handshake};

static void start_tls(struct lt_dial *d)
{
    const struct lt_upstream *u = d->server->upstream;
    struct lt_pool *pool = lt_pool_get(d->pools, d->server->state);
    struct lt_tls *tls = NULL;
    const char *why = "out of memory";
    if (pool != NULL && lt_tls_peer_use(&pool->tls, &d->pools->tls_clients, u->tls, &why)) {
        tls = lt_tls_connect(&pool->tls, d->server->ip);
    }
    if (tls == NULL) {
        const struct lt_dial_failure failure = {.cause = LT_CAUSE_OUT_OF_MEMORY,
                                                .detail = lt_str_c(why)};
        lt_stream_close(d->stream);
        fail(d, &failure);
        return;
    }
    uint64_t used_ms = (d->pools->loop->now_us - d->began_us) / 1000;
    lt_timer_init(&d->timer, d->pools->loop, on_timeout, d);
    lt_timer_set(&d->timer, u->connect_ms > used_ms ? u->connect_ms - used_ms : 1);
    enum lt_err err = lt_stream_flush(d->stream);
    lt_stream_start_tls(d->stream, tls);
    if (err != LT_OK) {
        tls_failed(d, LT_CAUSE_SERVER_TLS_FAILED, lt_err_text(err), d->stream->sys_errno);
        return;
    }
    lt_stream_look(d->stream); /* we are the one who begins */
}

/* ---- Connecting ---- */

static void connect_now(struct lt_dial *d);

static void on_connect(void *owner, enum lt_err err, int fd, int sys_errno)
{
    struct lt_dial *d = owner;
    if ((sys_errno == EMFILE || sys_errno == ENFILE) && !d->made_room &&
        lt_pools_close_one_idle(d->pools)) {
        d->made_room = true;
        connect_now(d);
        return;
    }
    if (err != LT_OK) {
        struct lt_dial_failure failure = {.cause = connect_cause(err, sys_errno),
                                          .sys_errno = sys_errno};
        failure.detail =
            lt_dial_detail(d->server, failure.cause, sys_errno,
                           d->pools->loop->now_us - d->began_us, d->detail, sizeof(d->detail));
        fail(d, &failure);
        return;
    }
    if (!lt_addr_is_unix(&d->server->addr)) {
        lt_vanished_after(fd, d->server->upstream->vanished_ms);
    }
    lt_stream_open(d->stream, d->pools->loop, fd, &handshake_ops, d);
    enum lt_err put = lt_stream_put(d->stream, d->preface.p, d->preface.len);
    (void)put; /* the first on a new stream */
    if (d->server->upstream->tls != NULL) {
        start_tls(d);
    } else {
        succeed(d);
    }
}

static void connect_now(struct lt_dial *d)
{
    lt_connect_start(&d->connect, d->pools->loop, &d->server->addr, d->server->upstream->connect_ms,
                     on_connect, d);
}

bool lt_dial_reached(enum lt_cause cause)
{
    return cause == LT_CAUSE_SERVER_TLS_MISSING || cause == LT_CAUSE_SERVER_TLS_FAILED ||
           cause == LT_CAUSE_SERVER_TLS_REFUSED || cause == LT_CAUSE_SERVER_REFUSED_CERTIFICATE ||
           cause == LT_CAUSE_SERVER_CERTIFICATE_EXPIRED ||
           cause == LT_CAUSE_SERVER_CERTIFICATE_NAME ||
           cause == LT_CAUSE_SERVER_CERTIFICATE_UNTRUSTED ||
           cause == LT_CAUSE_SERVER_CERTIFICATE_PIN || cause == LT_CAUSE_SERVER_CERTIFICATE_INVALID;
}

void lt_dial_start(struct lt_dial *d, struct lt_pools *pools, struct lt_server *server,
                   struct lt_str preface, struct lt_stream *stream, lt_dial_fn fn, void *owner)
{
    *d = (struct lt_dial){.pools = pools,
                          .server = server,
                          .preface = preface,
                          .stream = stream,
                          .began_us = pools->loop->now_us,
                          .fn = fn,
                          .owner = owner};
    connect_now(d);
}

void lt_dial_cancel(struct lt_dial *d)
{
    lt_connect_cancel(&d->connect);
    lt_timer_fini(&d->timer);
    if (d->stream != NULL && d->stream->fd >= 0 && d->stream->owner == d) {
        lt_stream_close(d->stream);
    }
}

bool lt_dial_fits(const struct lt_stream *stream, const struct lt_server *server)
{
    const struct lt_tls_client_policy *policy = server->upstream->tls;
    if (policy == NULL || stream->tls == NULL) {
        return policy == NULL && stream->tls == NULL;
    }
    return lt_tls_obeys(stream->tls, policy);
}
