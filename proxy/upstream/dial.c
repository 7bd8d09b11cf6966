/* SPDX-License-Identifier: Apache-2.0 */
/* Opening connections to servers. The worker's thread. */
#include "upstream/dial.h"

#include <errno.h>

#include "net/vanished.h"
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
        enum lt_cause cause = connect_cause(err, sys_errno);
        /* Our own lack of descriptors says nothing about the server. */
        if (cause != LT_CAUSE_NO_DESCRIPTORS) {
            lt_server_connect_result(d->pools, d->server, false);
        }
        d->fn(d->owner, cause, sys_errno);
        return;
    }
    lt_server_connect_result(d->pools, d->server, true);
    if (!lt_addr_is_unix(&d->server->addr)) {
        lt_vanished_after(fd, d->server->upstream->vanished_ms);
    }
    lt_stream_open(d->stream, d->pools->loop, fd, d->ops, d->owner);
    if (d->pools->metrics != NULL) {
        lt_metrics_add(d->pools->metrics, LT_COUNTER_UPSTREAM_CONNECTS, 1);
    }
    d->fn(d->owner, LT_CAUSE_NONE, 0);
}

static void connect_now(struct lt_dial *d)
{
    lt_connect_start(&d->connect, d->pools->loop, &d->server->addr, d->server->upstream->connect_ms,
                     on_connect, d);
}

void lt_dial_start(struct lt_dial *d, struct lt_pools *pools, struct lt_server *server,
                   struct lt_stream *stream, const struct lt_stream_ops *ops, lt_dial_fn fn,
                   void *owner)
{
    *d = (struct lt_dial){
        .pools = pools, .server = server, .stream = stream, .ops = ops, .fn = fn, .owner = owner};
    connect_now(d);
}

void lt_dial_cancel(struct lt_dial *d)
{
    lt_connect_cancel(&d->connect);
}
