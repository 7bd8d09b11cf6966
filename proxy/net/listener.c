/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting in a worker. Out of descriptors or memory, a listening socket stays readable and accept
 * fails at once, which would spin: the watcher is stopped then, until a connection closes or a
 * timer fires. What waits stays in the kernel's queue. */
#include "net/listener.h"

#include <errno.h>

#include "base/log.h"
#include "base/obj.h"

#define LISTENER_MAGIC 0x6c697374u /* "list" */

/* Connections taken per turn, so that those that are served aren't starved. */
#define BUDGET 64
/* Taken when draining: more than any queue holds. */
#define DRAIN_BUDGET 70000

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 1000
#define LOG_INTERVAL_US (UINT64_C(10) * 1000 * 1000)

static void starve(struct lt_listener *l, int error)
{
    l->starved = true;
    l->starvations++;
    l->retry_ms = l->retry_ms == 0 ? RETRY_MIN_MS : lt_min(l->retry_ms * 2, RETRY_MAX_MS);
    ev_io_stop(l->loop->ev, &l->io);
    lt_timer_set(&l->retry, l->retry_ms);
    if (l->logged_us == 0 || l->loop->now_us - l->logged_us >= LOG_INTERVAL_US) {
        l->logged_us = l->loop->now_us;
        lt_log_error("net", "accept_failed", LT_KV_STR("listener", l->name),
                     LT_KV_CSTR("reason", strerrordesc_np(error)),
                     LT_KV_INT("starvations", l->starvations));
    }
}

/* Whether accept's error concerns that one connection only. */
static bool is_passing(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

/* Accepts up to budget connections; on_accept may stop the listener. */
static void accept_some(struct lt_listener *l, unsigned budget)
{
    for (; budget > 0 && l->magic == LISTENER_MAGIC; budget--) {
        struct lt_addr peer;
        peer.len = sizeof(peer.un);
        int fd = accept4(l->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->accepted++;
            l->retry_ms = 0;
            l->on_accept(l->owner, fd, &peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_passing(errno)) {
            starve(l, errno);
            return;
        }
    }
}

static void on_connection(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_listener *l = lt_container_of(w, struct lt_listener, io);
    LT_OBJ_CHECK(l, LISTENER_MAGIC);
    accept_some(l, BUDGET);
}

static void go_on(void *arg)
{
    struct lt_listener *l = arg;
    LT_OBJ_CHECK(l, LISTENER_MAGIC);
    l->starved = false;
    lt_timer_clear(&l->retry);
    ev_io_start(l->loop->ev, &l->io);
}

void lt_listener_start(struct lt_listener *l, struct lt_loop *loop, int fd, struct lt_str name,
                       lt_listener_accept_fn on_accept, void *owner)
{
    *l = (struct lt_listener){
        .fd = fd, .loop = loop, .name = name, .on_accept = on_accept, .owner = owner};
    LT_OBJ_INIT(l, LISTENER_MAGIC);
    lt_timer_init(&l->retry, loop, go_on, l);
    ev_io_init(&l->io, on_connection, fd, EV_READ);
    ev_io_start(loop->ev, &l->io);
}

static void on_never(struct ev_loop *ev LT_UNUSED, ev_io *w LT_UNUSED, int revents LT_UNUSED)
{
}

/* libev takes a stopped watcher out of epoll only when the next event comes for it, which may be
 * when somebody else has closed the descriptor, and used its number again. A listening socket is
 * never writable: a watcher for that hears nothing, once libev has told epoll so, in this turn. */
static void park(struct lt_listener *l)
{
    ev_io_stop(l->loop->ev, &l->io);
    ev_io_init(&l->io, on_never, l->fd, EV_WRITE);
    ev_io_start(l->loop->ev, &l->io);
    l->parked = true;
}

void lt_listener_stop(struct lt_listener *l, bool drain)
{
    if (l->magic != LISTENER_MAGIC) {
        return;
    }
    if (drain) {
        accept_some(l, DRAIN_BUDGET);
    }
    if (l->magic == LISTENER_MAGIC) {
        park(l);
        lt_timer_fini(&l->retry);
        l->fd = -1;
        LT_OBJ_FINI(l);
    }
}

void lt_listener_leave(struct lt_listener *l)
{
    if (l->parked) {
        l->parked = false;
        ev_io_stop(l->loop->ev, &l->io);
    }
}

void lt_listener_poke(struct lt_listener *l)
{
    if (l->magic == LISTENER_MAGIC && l->starved) {
        go_on(l);
    }
}
