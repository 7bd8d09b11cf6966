/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/connect.h"

struct attempt {
    struct lt_connect c;
    unsigned calls;
    enum lt_err err;
    int fd, sys_errno;
};

static struct lt_loop *loop;
static char folder[] = "/tmp/lt_connect_XXXXXX";

static void on_connected(void *owner, enum lt_err err, int fd, int sys_errno)
{
    struct attempt *a = owner;
    a->calls++;
    a->err = err;
    a->fd = fd;
    a->sys_errno = sys_errno;
}

static void start(struct attempt *a, const struct lt_addr *addr, unsigned ms)
{
    memset(a, 0, sizeof(*a));
    a->fd = -1;
    lt_loop_update_time(loop);
    lt_connect_start(&a->c, loop, addr, ms, on_connected, a);
}

/* A listening TCP socket on the loopback and its address. */
static int listen_tcp(struct lt_addr *addr, int backlog)
{
    *addr = (struct lt_addr){.in = {.sin_family = AF_INET}, .len = sizeof(addr->in)};
    addr->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &addr->sa, addr->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, &addr->sa, &addr->len), 0);
    return fd;
}

static int listen_unix(struct lt_addr *addr, const char *name, int backlog)
{
    *addr = (struct lt_addr){.un = {.sun_family = AF_UNIX}, .len = sizeof(addr->un)};
    snprintf(addr->un.sun_path, sizeof(addr->un.sun_path), "%s/%s", folder, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &addr->sa, addr->len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void connects_over_tcp(void **state)
{
    (void)state;
    struct lt_addr addr;
    struct attempt a;
    int listener = listen_tcp(&addr, 4), nodelay = 0;
    socklen_t len = sizeof(nodelay);
    start(&a, &addr, 1000);
    RUN_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.err, LT_OK);
    assert_int_equal(getsockopt(a.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    assert_int_equal(nodelay, 1);
    assert_true((fcntl(a.fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(a.fd, F_GETFD) & FD_CLOEXEC) != 0);
    lt_connect_cancel(&a.c); /* over: does nothing */
    assert_int_equal(write(a.fd, "x", 1), 1);
    close(a.fd);
    close(listener);
    run_for(loop, 20);
    assert_int_equal(a.calls, 1);
}

static void a_closed_port_is_refused(void **state)
{
    (void)state;
    struct lt_addr addr;
    struct attempt a;
    close(listen_tcp(&addr, 4));
    start(&a, &addr, 1000);
    RUN_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.err, LT_ERR_REFUSED);
    assert_int_equal(a.sys_errno, ECONNREFUSED);
    assert_int_equal(a.fd, -1);
}

/* When the kernel happens to choose the destination as the source port, TCP connects a socket to
 * itself. It goes through its ports in turn, so enough attempts at one of them meet that case. */
static void never_connects_to_itself(void **state)
{
    (void)state;
    struct lt_addr addr = {.in = {.sin_family = AF_INET}, .len = sizeof(addr.in)};
    unsigned low = 0, high = 0;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u %u", &low, &high), 2);
    fclose(f);
    int probe = -1;
    addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned port = low + (high - low) / 4 * 2; probe < 0 && port < high; port += 2) {
        probe = socket(AF_INET, SOCK_STREAM, 0); /* connect prefers ports of low's parity */
        lt_addr_set_port(&addr, port);
        if (bind(probe, &addr.sa, addr.len) != 0) {
            close(probe);
            probe = -1;
        }
    }
    assert_true(probe >= 0);
    close(probe);
    for (unsigned i = 0; i <= (high - low) / 2; i++) {
        struct attempt a;
        start(&a, &addr, 1000);
        while (a.calls == 0) {
            ev_run(loop->ev, EVRUN_ONCE);
        }
        assert_int_equal(a.err, LT_ERR_REFUSED);
        assert_int_equal(a.sys_errno, ECONNREFUSED);
    }
}

/* Fills the queue of a listener that never accepts; then SYNs get no answer. */
static void gives_up_after_the_time_limit(void **state)
{
    (void)state;
    struct lt_addr addr;
    struct attempt a;
    int listener = listen_tcp(&addr, 0), fillers[8];
    for (unsigned i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(connect(fillers[i], &addr.sa, addr.len) == 0 || errno == EINPROGRESS);
    }
    uint64_t before = lt_clock_us();
    start(&a, &addr, 60);
    RUN_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.err, LT_ERR_TIMEOUT);
    assert_int_equal(a.sys_errno, ETIMEDOUT);
    assert_true(lt_clock_us() - before >= 60000);
    for (unsigned i = 0; i < 8; i++) {
        close(fillers[i]);
    }
    close(listener);
}

static void no_callback_comes_after_cancel(void **state)
{
    (void)state;
    struct lt_addr addr;
    struct attempt a;
    struct lt_connect zeroed = {0};
    int listener = listen_tcp(&addr, 4);
    start(&a, &addr, 20);
    lt_connect_cancel(&a.c);
    lt_connect_cancel(&a.c);
    lt_connect_cancel(&zeroed);
    run_for(loop, 60);
    assert_int_equal(a.calls, 0);
    close(listener);
}

static void unix_sockets_answer_at_once(void **state)
{
    (void)state;
    struct lt_addr addr;
    struct attempt a;
    int listener = listen_unix(&addr, "ok", 4);
    start(&a, &addr, 1000);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, LT_OK);
    close(a.fd);
    close(listener);

    start(&a, &addr, 1000); /* the file is there, nobody listens */
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, LT_ERR_REFUSED);
    unlink(addr.un.sun_path);

    start(&a, &addr, 1000);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, LT_ERR_NOTFOUND);
    assert_int_equal(a.sys_errno, ENOENT);
}

static void a_full_unix_backlog_is_a_failure_at_once(void **state)
{
    (void)state;
    struct lt_addr addr;
    struct attempt a[8];
    int listener = listen_unix(&addr, "full", 1);
    unsigned connected = 0;
    for (; connected < 8; connected++) {
        start(&a[connected], &addr, 1000);
        assert_int_equal(a[connected].calls, 1);
        if (a[connected].err != LT_OK) {
            break;
        }
    }
    assert_in_range(connected, 1, 7);
    assert_int_equal(a[connected].err, LT_ERR_REFUSED);
    assert_int_equal(a[connected].sys_errno, EAGAIN);
    for (unsigned i = 0; i < connected; i++) {
        close(a[i].fd);
    }
    close(listener);
    unlink(addr.un.sun_path);
}

struct chain {
    struct attempt a;
    const struct lt_addr *next;
};

static void on_first(void *owner, enum lt_err err, int fd, int sys_errno)
{
    struct chain *c = owner;
    assert_int_equal(err, LT_ERR_REFUSED);
    assert_int_equal(fd, -1);
    assert_int_equal(sys_errno, ECONNREFUSED);
    lt_connect_start(&c->a.c, loop, c->next, 1000, on_connected, &c->a);
}

static void may_be_started_anew_in_its_callback(void **state)
{
    (void)state;
    struct lt_addr closed, open;
    static struct chain c;
    close(listen_tcp(&closed, 4));
    int listener = listen_tcp(&open, 4);
    c.next = &open;
    lt_connect_start(&c.a.c, loop, &closed, 1000, on_first, &c);
    RUN_UNTIL(loop, c.a.calls == 1);
    assert_int_equal(c.a.err, LT_OK);
    close(c.a.fd);
    close(listener);
}

static int setup(void **state)
{
    (void)state;
    loop = lt_loop_new(BLOCKS_MAX);
    return loop == NULL || mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    lt_loop_free(loop);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_over_tcp),
        cmocka_unit_test(a_closed_port_is_refused),
        cmocka_unit_test(never_connects_to_itself),
        cmocka_unit_test(gives_up_after_the_time_limit),
        cmocka_unit_test(no_callback_comes_after_cancel),
        cmocka_unit_test(unix_sockets_answer_at_once),
        cmocka_unit_test(a_full_unix_backlog_is_a_failure_at_once),
        cmocka_unit_test(may_be_started_anew_in_its_callback),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
