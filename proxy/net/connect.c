/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing connections. The loop's thread. */
#include "net/connect.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* Stops everything and hands the descriptor out; c may be started anew afterwards. */
static int detach(struct lt_connect *c)
{
    int fd = c->fd;
    ev_io_stop(c->loop->ev, &c->io);
    lt_timer_fini(&c->timer);
    c->loop = NULL;
    c->fd = -1;
    return fd;
}

static void finish(struct lt_connect *c, int sys_errno)
{
    int fd = detach(c);
    if (sys_errno == 0) {
        c->fn(c->owner, LT_OK, fd, 0);
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
    enum lt_err err = lt_err_from_errno(sys_errno);
    /* EAGAIN of a Unix socket is a full backlog: a failure, nothing to wait for. */
    c->fn(c->owner, err == LT_AGAIN ? LT_ERR_REFUSED : err, -1, sys_errno);
}

/* A connect to a local port that nobody listens on can, by TCP's simultaneous open, end up
 * connected to itself when the kernel happens to choose that port as the source. */
static bool is_self(int fd)
{
    struct lt_addr here, there;
    here.len = there.len = sizeof(struct sockaddr_in6);
    return getpeername(fd, &there.sa, &there.len) == 0 && lt_addr_is_loopback(&there) &&
           getsockname(fd, &here.sa, &here.len) == 0 && lt_addr_eq(&here, &there);
}

static void on_writable(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_connect *c = lt_container_of(w, struct lt_connect, io);
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    } else if (error == 0 && is_self(c->fd)) {
        error = ECONNREFUSED;
    }
    finish(c, error);
}

static void on_timeout(void *arg)
{
    finish(arg, ETIMEDOUT);
}

/* errno of the attempt; EINPROGRESS: wait for the result. */
static int begin(struct lt_connect *c, const struct lt_addr *addr)
{
    c->fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return errno;
    }
    if (!lt_addr_is_unix(addr)) {
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (connect(c->fd, &addr->sa, addr->len) == 0) {
        return 0;
    }
    return errno == EINTR ? EINPROGRESS : errno;
}

void lt_connect_start(struct lt_connect *c, struct lt_loop *loop, const struct lt_addr *addr,
                      uint64_t timeout_ms,
                      void (*fn)(void *owner, enum lt_err err, int fd, int sys_errno), void *owner)
{
    *c = (struct lt_connect){.loop = loop, .fn = fn, .owner = owner, .fd = -1};
    lt_timer_init(&c->timer, loop, on_timeout, c);
    ev_io_init(&c->io, on_writable, -1, EV_WRITE);
    int error = begin(c, addr);
    if (error != EINPROGRESS) {
        finish(c, error);
        return;
    }
    ev_io_set(&c->io, c->fd, EV_WRITE);
    ev_io_start(loop->ev, &c->io);
    lt_timer_set(&c->timer, timeout_ms);
}

void lt_connect_cancel(struct lt_connect *c)
{
    if (c->loop != NULL) {
        int fd = detach(c);
        if (fd >= 0) {
            close(fd);
        }
    }
}
