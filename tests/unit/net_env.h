/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of proxy/net share: a loop that runs until something holds, with a time limit. The
 * other end of a connection is driven by the test itself between the turns. */
#ifndef LT_TESTS_UNIT_NET_ENV_H
#define LT_TESTS_UNIT_NET_ENV_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "net/loop.h"

#define BLOCKS_MAX ((size_t)4 << 20)

static inline void tick(void *arg)
{
    struct lt_timer *t = arg;
    lt_timer_set(t, 5);
}

/* Turns the loop until cond holds; fails after 10 s. */
#define RUN_UNTIL(loop, cond)                                                                      \
    do {                                                                                           \
        bool came_;                                                                                \
        struct lt_timer tick_;                                                                     \
        uint64_t end_ = lt_clock_us() + 10000000;                                                  \
        lt_timer_init(&tick_, (loop), tick, &tick_);                                               \
        lt_loop_update_time(loop);                                                                 \
        lt_timer_set(&tick_, 5);                                                                   \
        while (!(came_ = (cond)) && lt_clock_us() < end_) {                                        \
            ev_run((loop)->ev, EVRUN_ONCE);                                                        \
        }                                                                                          \
        lt_timer_fini(&tick_);                                                                     \
        if (!came_) {                                                                              \
            fail_msg("never came true: %s", #cond);                                                \
        }                                                                                          \
    } while (0)

static inline void stop_loop(void *arg)
{
    lt_loop_stop(arg);
}

/* Runs the loop for some time; gives how many turns it made. A loop that spins makes thousands. */
static inline unsigned run_for(struct lt_loop *loop, unsigned ms)
{
    struct lt_timer end;
    unsigned before = ev_iteration(loop->ev);
    lt_timer_init(&end, loop, stop_loop, loop);
    lt_loop_update_time(loop);
    lt_timer_set(&end, ms);
    lt_loop_run(loop);
    lt_timer_fini(&end);
    return ev_iteration(loop->ev) - before;
}

/* One turn that doesn't wait. */
static inline void one_turn(struct lt_loop *loop)
{
    ev_run(loop->ev, EVRUN_NOWAIT);
}

/* Waits for what was just sent: the loopback may take a moment. */
static inline void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
}

static inline void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* A connected pair of TCP sockets over the loopback, with small buffers: they are full soon. */
static inline void make_tcp_pair(int fds[2])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int small = 32768;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(connect(fds[1], (struct sockaddr *)&in, len), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fds[0] >= 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

#endif
