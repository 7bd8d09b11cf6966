/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams over sockets, plain or TLS. The loop's thread.
 *
 *           on_readable                    put, put, flush
 *                ^                                |
 *   recv <- [lt_tls_read] <- wire_recv     [lt_tls_write] -> wire_send -> socket
 *                                                                |  what it doesn't take
 *                                                              unsent -> on_write -> socket,
 * on_drained
 *
 * EV_READ stays armed while nothing pauses the stream; EV_WRITE is armed only while something
 * waits. Every callback may close the stream; its memory stays until the end of the turn, so that
 * what comes back from a callback looks at fd first. */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/obj.h"
#include "net/tls.h"

#define STREAM_MAGIC 0x73747265u /* "stre" */

/* Slices of one system call when sending what waited. */
#define SEND_IOV_MAX 64

static bool is_open(const struct lt_stream *s)
{
    return s->magic == STREAM_MAGIC && s->fd >= 0;
}

static void stop_reading(struct lt_stream *s)
{
    ev_io_stop(s->loop->ev, &s->rd);
    lt_loop_cancel(&s->again);
}

/* Nothing can be sent any more. Reading goes on: an answer may lie in the socket still. */
static enum lt_err write_failed(struct lt_stream *s, enum lt_err err)
{
    s->failed = true;
    s->write_err = err;
    s->n_put = 0;
    lt_chain_clear(&s->unsent);
    ev_io_stop(s->loop->ev, &s->wr);
    return err;
}

static enum lt_err write_errno(struct lt_stream *s)
{
    s->sys_errno = errno;
    enum lt_err err = lt_err_from_errno(errno);
    return write_failed(s, err == LT_AGAIN ? LT_ERR_IO : err);
}

/* ---- Reading ---- */

static void read_on(void *arg);

/* Tells the owner, and takes care that what it leaves inside TLS is not forgotten: no event of the
 * socket would come for it. */
static void tell_readable(struct lt_stream *s)
{
    s->ops->on_readable(s->owner);
    if (is_open(s) && s->read_again && s->pause_reasons == 0) {
        lt_loop_defer(s->loop, &s->again, read_on, s);
    }
}

static void read_on(void *arg)
{
    struct lt_stream *s = arg;
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    if (s->pause_reasons == 0 && s->read_again) {
        tell_readable(s);
    }
}

static void shake_hands(struct lt_stream *s)
{
    enum lt_err err = lt_tls_handshake(s->tls);
    if (err == LT_AGAIN) {
        return;
    }
    if (err != LT_OK) {
        stop_reading(s);
        s->ops->on_handshake(s->owner, err);
        return;
    }
    s->handshaking = false;
    s->read_again = lt_tls_has_pending(s->tls);
    s->ops->on_handshake(s->owner, LT_OK);
    if (is_open(s) && s->read_again && s->pause_reasons == 0) {
        tell_readable(s);
    }
}

static void on_read(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    lt_stream_look(lt_container_of(w, struct lt_stream, rd));
}

void lt_stream_look(struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    s->drained_socket = false;
    if (s->handshaking) {
        shake_hands(s);
    } else {
        tell_readable(s);
    }
}

enum lt_err lt_stream_wire_recv(struct lt_stream *s, void *buf, size_t cap, size_t *n)
{
    if (s->drained_socket) {
        return LT_AGAIN;
    }
    ssize_t got;
    do {
        got = recv(s->fd, buf, cap, 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        *n = (size_t)got;
        s->drained_socket = *n < cap;
        return LT_OK;
    }
    if (got == 0) {
        /* After a failed write this is how a reset shows: its error was given to the write. */
        return s->failed && s->write_err == LT_ERR_RESET ? LT_ERR_RESET : LT_EOF;
    }
    if (errno == EAGAIN) {
        s->drained_socket = true;
        return LT_AGAIN;
    }
    s->sys_errno = errno;
    return lt_err_from_errno(errno);
}

static enum lt_err tls_recv(struct lt_stream *s, void *buf, size_t cap, size_t *n)
{
    if (s->handshaking || (s->drained_socket && !s->read_again)) {
        return LT_AGAIN;
    }
    enum lt_err err = lt_tls_read(s->tls, buf, cap, n);
    s->read_again = err == LT_OK && lt_tls_has_pending(s->tls);
    return err;
}

enum lt_err lt_stream_recv(struct lt_stream *s, void *buf, size_t cap, size_t *n)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    assert(cap > 0);
    *n = 0;
    if (s->eof) {
        return LT_EOF;
    }
    enum lt_err err =
        s->tls != NULL ? tls_recv(s, buf, cap, n) : lt_stream_wire_recv(s, buf, cap, n);
    if (LT_LIKELY(err == LT_OK)) {
        s->bytes_in += *n;
    } else if (err != LT_AGAIN) {
        s->eof = err == LT_EOF;
        stop_reading(s); /* the socket stays readable for ever */
    }
    return err;
}

bool lt_stream_is_silent(struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    char byte;
    size_t n;
    if (s->eof || s->failed) {
        return false;
    }
    if (!s->read_again && recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
        return true;
    }
    s->drained_socket = false;
    return s->tls != NULL && lt_stream_recv(s, &byte, 1, &n) == LT_AGAIN;
}

enum lt_stream_peer lt_stream_peer(const struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    struct pollfd p = {.fd = s->fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) <= 0) {
        return LT_STREAM_PEER_THERE;
    }
    return (p.revents & (POLLERR | POLLHUP)) != 0 ? LT_STREAM_PEER_GONE : LT_STREAM_PEER_ENDED;
}

bool lt_stream_was_cut(const struct lt_stream *s)
{
    return s->tls != NULL && lt_tls_was_cut(s->tls);
}

bool lt_stream_has_news(const struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    return s->eof || s->read_again || ev_is_pending(&s->rd);
}

bool lt_stream_was_refused(const struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    int error = 0;
    socklen_t len = sizeof(error);
    return s->fd >= 0 && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
           lt_err_from_errno(error) == LT_ERR_RESET;
}

void lt_stream_pause(struct lt_stream *s, unsigned reason)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    if (s->pause_reasons == 0) {
        stop_reading(s);
    }
    s->pause_reasons |= reason;
}

void lt_stream_resume(struct lt_stream *s, unsigned reason)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    bool was_paused = s->pause_reasons != 0;
    s->pause_reasons &= ~reason;
    if (!was_paused || s->pause_reasons != 0 || s->eof) {
        return;
    }
    ev_io_start(s->loop->ev, &s->rd);
    if (s->read_again) {
        lt_loop_defer(s->loop, &s->again, read_on, s);
    }
}

/* ---- Writing ---- */

static void end_direction(struct lt_stream *s)
{
    s->end_wanted = false;
    shutdown(s->fd, SHUT_WR);
}

/* One sendmsg; EINTR is tried again. */
static ssize_t send_slices(int fd, struct iovec *iov, size_t n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent;
    do {
        sent = n == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                      : sendmsg(fd, &msg, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

/* Sends what waits until it is gone or the socket is full. */
static enum lt_err send_unsent(struct lt_stream *s)
{
    struct iovec iov[SEND_IOV_MAX];
    while (s->unsent.len > 0) {
        size_t want = 0, n = lt_chain_peek(&s->unsent, iov, SEND_IOV_MAX);
        for (size_t i = 0; i < n; i++) {
            want += iov[i].iov_len;
        }
        ssize_t sent = send_slices(s->fd, iov, n);
        if (sent < 0) {
            return errno == EAGAIN ? LT_AGAIN : write_errno(s);
        }
        s->wire_out += (size_t)sent;
        lt_chain_consume(&s->unsent, (size_t)sent);
        if ((size_t)sent < want) {
            return LT_AGAIN;
        }
    }
    return LT_OK;
}

static void on_write(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)revents;
    struct lt_stream *s = lt_container_of(w, struct lt_stream, wr);
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    enum lt_err err = send_unsent(s);
    if (err == LT_AGAIN) {
        return;
    }
    ev_io_stop(ev, &s->wr);
    if (err == LT_OK && s->end_wanted) {
        end_direction(s);
    }
    s->ops->on_drained(s->owner);
}

/* Copies what is left of the slices after the first `sent` bytes and watches for room. */
static enum lt_err keep_rest(struct lt_stream *s, const struct iovec *iov, unsigned n, size_t sent)
{
    for (unsigned i = 0; i < n; i++) {
        size_t skip = lt_min(sent, iov[i].iov_len);
        sent -= skip;
        enum lt_err err =
            lt_chain_append(&s->unsent, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
        if (err != LT_OK) {
            return write_failed(s, err);
        }
    }
    ev_io_start(s->loop->ev, &s->wr);
    return LT_OK;
}

enum lt_err lt_stream_wire_send(struct lt_stream *s, struct iovec *iov, unsigned n)
{
    if (s->failed) {
        return s->write_err;
    }
    if (s->unsent.len > 0) {
        return keep_rest(s, iov, n, 0);
    }
    size_t want = 0;
    for (unsigned i = 0; i < n; i++) {
        want += iov[i].iov_len;
    }
    ssize_t sent = send_slices(s->fd, iov, n);
    s->wire_out += sent > 0 ? (size_t)sent : 0;
    if (LT_LIKELY(sent >= 0 && (size_t)sent == want)) {
        return LT_OK;
    }
    if (sent < 0 && errno != EAGAIN) {
        return write_errno(s);
    }
    return keep_rest(s, iov, n, sent > 0 ? (size_t)sent : 0);
}

static size_t put_bytes(const struct lt_stream *s)
{
    size_t n = 0;
    for (unsigned i = 0; i < s->n_put; i++) {
        n += s->put[i].iov_len;
    }
    return n;
}

enum lt_err lt_stream_flush(struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    if (s->failed) {
        return s->write_err;
    }
    unsigned n = s->n_put;
    if (n == 0) {
        return LT_OK;
    }
    s->bytes_out += put_bytes(s);
    s->n_put = 0;
    if (s->tls == NULL) {
        return lt_stream_wire_send(s, s->put, n);
    }
    enum lt_err err = lt_tls_write(s->tls, s->put, n);
    return err == LT_OK || s->failed ? err : write_failed(s, err);
}

enum lt_err lt_stream_put(struct lt_stream *s, const void *p, size_t n)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    if (s->failed) {
        return s->write_err;
    }
    if (n == 0) {
        return LT_OK;
    }
    if (s->n_put == LT_STREAM_IOV_MAX) {
        enum lt_err err = lt_stream_flush(s);
        if (err != LT_OK) {
            return err;
        }
    }
    s->put[s->n_put++] = (struct iovec){.iov_base = (void *)p, .iov_len = n};
    return LT_OK;
}

void lt_stream_unput(struct lt_stream *s, unsigned n)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    s->n_put = lt_min(s->n_put, n);
}

size_t lt_stream_unsent(const struct lt_stream *s)
{
    return s->unsent.len + put_bytes(s);
}

uint64_t lt_stream_taken(const struct lt_stream *s)
{
    int queued = 0;
    if (s->fd < 0 || ioctl(s->fd, SIOCOUTQ, &queued) != 0) {
        queued = 0;
    }
    return s->wire_out - (uint64_t)queued;
}

void lt_stream_shutdown(struct lt_stream *s)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    if (lt_stream_flush(s) != LT_OK || s->end_wanted) {
        return;
    }
    if (s->tls != NULL) {
        lt_tls_close_notify(s->tls);
    }
    if (s->unsent.len > 0) {
        s->end_wanted = true;
    } else {
        end_direction(s);
    }
}

/* ---- Life ---- */

void lt_stream_open(struct lt_stream *s, struct lt_loop *loop, int fd,
                    const struct lt_stream_ops *ops, void *owner)
{
    memset(s, 0, sizeof(*s));
    LT_OBJ_INIT(s, STREAM_MAGIC);
    s->fd = fd;
    s->loop = loop;
    s->ops = ops;
    s->owner = owner;
    lt_chain_init(&s->unsent, &loop->blocks);
    ev_io_init(&s->rd, on_read, fd, EV_READ);
    ev_io_init(&s->wr, on_write, fd, EV_WRITE);
    ev_io_start(loop->ev, &s->rd);
}

void lt_stream_start_tls(struct lt_stream *s, struct lt_tls *tls)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    s->tls = tls;
    s->handshaking = true;
    lt_tls_attach(tls, s);
}

void lt_stream_close(struct lt_stream *s)
{
    if (!is_open(s)) {
        return;
    }
    if (s->tls != NULL && !s->handshaking && !s->failed && s->unsent.len == 0) {
        lt_tls_close_notify(s->tls);
    }
    lt_tls_free(s->tls);
    s->tls = NULL;
    stop_reading(s);
    ev_io_stop(s->loop->ev, &s->wr);
    lt_chain_clear(&s->unsent);
    s->n_put = 0;
    close(s->fd);
    s->fd = -1;
    LT_OBJ_FINI(s);
}

void lt_stream_reset(struct lt_stream *s)
{
    if (is_open(s)) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        s->failed = true; /* no close_notify: the message was cut */
        lt_stream_close(s);
    }
}

void lt_stream_move(struct lt_stream *to, struct lt_stream *from, const struct lt_stream_ops *ops,
                    void *owner)
{
    LT_OBJ_CHECK(from, STREAM_MAGIC);
    assert(from->n_put == 0);
    stop_reading(from);
    ev_io_stop(from->loop->ev, &from->wr);
    *to = *from;
    to->ops = ops;
    to->owner = owner;
    ev_io_init(&to->rd, on_read, to->fd, EV_READ);
    ev_io_init(&to->wr, on_write, to->fd, EV_WRITE);
    if (to->tls != NULL) {
        lt_tls_attach(to->tls, to);
    }
    if (to->pause_reasons == 0 && !to->eof) {
        ev_io_start(to->loop->ev, &to->rd);
        if (to->read_again) {
            lt_loop_defer(to->loop, &to->again, read_on, to);
        }
    }
    if (to->unsent.len > 0) {
        ev_io_start(to->loop->ev, &to->wr);
    }
    from->tls = NULL;
    from->fd = -1;
    LT_OBJ_FINI(from);
}

void lt_stream_own(struct lt_stream *s, const struct lt_stream_ops *ops, void *owner)
{
    LT_OBJ_CHECK(s, STREAM_MAGIC);
    s->ops = ops;
    s->owner = owner;
}
