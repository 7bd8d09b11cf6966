/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "net/listener.h"

#define MAX_FDS 256

/* What on_accept saw. */
struct seen {
    struct lt_listener l;
    int fds[MAX_FDS];
    unsigned n;
    bool stop; /* on_accept stops the listener */
};

static struct lt_loop *loop;
static char folder[] = "/tmp/lt_listener_XXXXXX";
static const struct lt_listener_options tcp = {.backlog = 128, .reuseport = true};

static void on_accept(void *owner, int fd, const struct lt_addr *peer)
{
    struct seen *seen = owner;
    assert_true(seen->n < MAX_FDS);
    assert_true(peer->sa.sa_family == AF_INET || peer->sa.sa_family == AF_UNIX);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    seen->fds[seen->n++] = fd;
    if (seen->stop) {
        lt_listener_stop(&seen->l, false);
    }
}

static struct lt_addr address(const char *text)
{
    struct lt_addr addr;
    const char *why;
    assert_int_equal(lt_addr_parse(lt_str_c(text), &addr, &why), LT_OK);
    return addr;
}

static int open_at(struct lt_addr *addr)
{
    int fd = -1;
    const char *why = "";
    enum lt_err err = lt_listener_socket(addr, &tcp, &fd, &why);
    if (err != LT_OK) {
        fail_msg("%s", why);
    }
    assert_int_equal(lt_listener_address(fd, addr), LT_OK);
    return fd;
}

static int open_loopback(struct lt_addr *addr)
{
    *addr = address("127.0.0.1:0");
    return open_at(addr);
}

static int dial(const struct lt_addr *addr)
{
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, &addr->sa, addr->len) == 0 || errno == EINPROGRESS);
    return fd;
}

static void close_all(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
}

static struct seen *listen_with(int fd)
{
    static struct seen seen;
    lt_listener_leave(&seen.l); /* of the test before */
    memset(&seen, 0, sizeof(seen));
    lt_listener_start(&seen.l, loop, fd, LT_STR("test"), on_accept, &seen);
    return &seen;
}

/* ---- Opening ---- */

static void a_group_shares_the_port_that_the_kernel_chose(void **state)
{
    (void)state;
    struct lt_addr addr;
    int a = open_loopback(&addr);
    assert_true(lt_addr_port(&addr) != 0);
    struct lt_addr same = addr;
    int b = open_at(&same);
    assert_true(lt_addr_eq(&addr, &same));
    close(a);
    close(b);
}

static void tells_an_address_that_is_taken(void **state)
{
    (void)state;
    struct lt_addr addr;
    int other = -1, fd = open_loopback(&addr);
    const char *why = NULL;
    const struct lt_listener_options alone = {.backlog = 1};
    assert_true(lt_listener_taken(&addr));
    assert_int_equal(lt_listener_socket(&addr, &alone, &other, &why), LT_ERR_EXISTS);
    assert_int_equal(errno, EADDRINUSE);
    assert_string_equal(why, "Address already in use");
    close(fd);
    assert_false(lt_listener_taken(&addr));
}

static void all_addresses_are_ipv4_too(void **state)
{
    (void)state;
    struct lt_addr addr = address(":0");
    int fd = open_at(&addr);
    struct lt_addr v4 = address("127.0.0.1:0");
    lt_addr_set_port(&v4, lt_addr_port(&addr));
    int client = dial(&v4), accepted;
    RUN_UNTIL(loop, (accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    close(accepted);
    close(client);
    close(fd);
}

static void accepted_sockets_inherit_nodelay(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr), client = dial(&addr), nodelay = 0;
    socklen_t len = sizeof(nodelay);
    struct seen *seen = listen_with(fd);
    RUN_UNTIL(loop, seen->n == 1);
    assert_int_equal(getsockopt(seen->fds[0], IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    assert_int_equal(nodelay, 1);
    lt_listener_stop(&seen->l, false);
    close_all(seen->fds, 1);
    close(client);
    close(fd);
}

static struct lt_addr unix_address(const char *name)
{
    char text[128];
    snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
    return address(text);
}

static void a_stale_unix_socket_is_replaced_a_live_one_not(void **state)
{
    (void)state;
    const struct lt_listener_options options = {.backlog = 8, .unix_mode = 0606};
    struct lt_addr addr = unix_address("s");
    const char *why = NULL;
    struct stat st;
    int fd = -1, other = -1;
    mode_t mask = umask(077);
    assert_int_equal(lt_listener_socket(&addr, &options, &fd, &why), LT_OK);
    umask(mask);
    assert_int_equal(stat(addr.un.sun_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0606);
    assert_int_equal(lt_listener_socket(&addr, &options, &other, &why), LT_ERR_EXISTS);
    assert_string_equal(why, "another process serves this socket");
    close(fd);
    assert_int_equal(lt_listener_socket(&addr, &options, &fd, &why), LT_OK);
    int client = dial(&addr), accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(client);
    close(fd);
    unlink(addr.un.sun_path);
}

static void other_files_are_left_alone(void **state)
{
    (void)state;
    const struct lt_listener_options options = {.backlog = 8};
    struct lt_addr addr = unix_address("file");
    const char *why = NULL;
    int fd = -1, file = open(addr.un.sun_path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(lt_listener_socket(&addr, &options, &fd, &why), LT_ERR_EXISTS);
    assert_string_equal(why, "there is a file of that name which is not a socket");
    assert_int_equal(unlink(addr.un.sun_path), 0);

    addr = unix_address("no/such/folder");
    assert_int_equal(lt_listener_socket(&addr, &options, &fd, &why), LT_ERR_NOTFOUND);
    assert_string_equal(why, "No such file or directory");
}

/* ---- Accepting ---- */

static void accepts_all_that_wait(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr), clients[100];
    for (unsigned i = 0; i < 100; i++) {
        clients[i] = dial(&addr);
    }
    struct seen *seen = listen_with(fd);
    RUN_UNTIL(loop, seen->n == 100);
    assert_int_equal(seen->l.accepted, 100);
    assert_true(run_for(loop, 30) < 10);
    lt_listener_stop(&seen->l, false);
    close_all(seen->fds, seen->n);
    close_all(clients, 100);
    close(fd);
}

static void may_be_stopped_in_its_callback(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr), clients[3];
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = dial(&addr);
    }
    struct seen *seen = listen_with(fd);
    seen->stop = true;
    RUN_UNTIL(loop, seen->n == 1);
    run_for(loop, 20);
    assert_int_equal(seen->n, 1);
    lt_listener_stop(&seen->l, true); /* stopped already: accepts nothing */
    assert_int_equal(seen->n, 1);
    close_all(seen->fds, 1);
    close_all(clients, 3);
    close(fd);
}

/* Connections for a stopped listener, whose socket lives on elsewhere, must not wake us for ever.
 */
static void a_stopped_listener_sleeps(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr);
    int elsewhere = dup(fd), clients[2];
    struct seen *seen = listen_with(fd);
    run_for(loop, 10);
    lt_listener_stop(&seen->l, false);
    clients[0] = dial(&addr);
    assert_true(run_for(loop, 50) < 10);
    clients[1] = dial(&addr);
    assert_true(run_for(loop, 50) < 5);
    assert_int_equal(seen->n, 0);
    lt_listener_leave(&seen->l);
    lt_listener_start(&seen->l, loop, fd, LT_STR("test"), on_accept, seen);
    RUN_UNTIL(loop, seen->n == 2);
    lt_listener_stop(&seen->l, false);
    close_all(seen->fds, 2);
    close_all(clients, 2);
    close(elsewhere);
    close(fd);
}

static void draining_takes_what_waits(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr), clients[100];
    struct seen *seen = listen_with(fd);
    for (unsigned i = 0; i < 100; i++) {
        clients[i] = dial(&addr);
    }
    lt_listener_stop(&seen->l, true);
    assert_int_equal(seen->n, 100);
    close_all(seen->fds, seen->n);
    close_all(clients, 100);
    close(fd);
}

/* ---- Out of descriptors ---- */

static unsigned lines;

static void count_line(struct lt_str line)
{
    lines += lt_str_find(line, LT_STR("accept_failed")) != SIZE_MAX;
}

static struct rlimit limit_before;

/* Leaves no free descriptor below the limit. */
static unsigned exhaust(int *fillers, unsigned max)
{
    unsigned n = 0;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    limit = limit_before;
    limit.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (n < max && (fillers[n] = dup(0)) >= 0) {
        n++;
    }
    assert_true(n < max);
    return n;
}

static void no_descriptors_pause_the_listener(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr), fillers[128];
    int client = dial(&addr);
    lines = 0;
    lt_log_set_sink(count_line);
    unsigned n = exhaust(fillers, 128);
    struct seen *seen = listen_with(fd);
    RUN_UNTIL(loop, seen->l.starvations > 0);
    assert_true(run_for(loop, 250) < 20); /* it does not spin */
    assert_true(seen->l.starved);
    assert_in_range(seen->l.starvations, 2, 3); /* at once, after 100 ms, then 200 */
    assert_int_equal(lines, 1);

    close(fillers[--n]);
    lt_listener_poke(&seen->l); /* a connection closed: no need to wait */
    assert_false(seen->l.starved);
    one_turn(loop);
    one_turn(loop);
    assert_int_equal(seen->n, 1);

    close_all(fillers, n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
    lt_log_set_sink(NULL);
    lt_listener_stop(&seen->l, false);
    close_all(seen->fds, seen->n);
    close(client);
    close(fd);
}

static void a_paused_listener_goes_on_by_itself(void **state)
{
    (void)state;
    struct lt_addr addr;
    int fd = open_loopback(&addr), fillers[128];
    int client = dial(&addr);
    lt_log_set_sink(count_line);
    unsigned n = exhaust(fillers, 128);
    struct seen *seen = listen_with(fd);
    RUN_UNTIL(loop, seen->l.starved);
    close_all(fillers, n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
    RUN_UNTIL(loop, seen->n == 1);
    lt_log_set_sink(NULL);
    lt_listener_stop(&seen->l, false);
    close_all(seen->fds, seen->n);
    close(client);
    close(fd);
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
        cmocka_unit_test(a_group_shares_the_port_that_the_kernel_chose),
        cmocka_unit_test(tells_an_address_that_is_taken),
        cmocka_unit_test(all_addresses_are_ipv4_too),
        cmocka_unit_test(accepted_sockets_inherit_nodelay),
        cmocka_unit_test(a_stale_unix_socket_is_replaced_a_live_one_not),
        cmocka_unit_test(other_files_are_left_alone),
        cmocka_unit_test(accepts_all_that_wait),
        cmocka_unit_test(may_be_stopped_in_its_callback),
        cmocka_unit_test(a_stopped_listener_sleeps),
        cmocka_unit_test(draining_takes_what_waits),
        cmocka_unit_test(no_descriptors_pause_the_listener),
        cmocka_unit_test(a_paused_listener_goes_on_by_itself),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
