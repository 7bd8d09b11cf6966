/* SPDX-License-Identifier: Apache-2.0 */
/* What supervisor and gateway say to each other, and the sockets that the supervisor keeps. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/control.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/sockets.h"

static char dir[] = "/tmp/lintel-sup-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

static void messages_carry_descriptors(void **state)
{
    (void)state;
    int ends[2], pipes[2], fds[LT_CONTROL_FDS_MAX];
    unsigned n = 9;
    assert_int_equal(lt_control_pair(ends), LT_OK);
    assert_int_equal(pipe(pipes), 0);
    struct lt_control_message sent = {.type = LT_CONTROL_LISTENING, .count = 2, .key = "a"}, got;
    assert_int_equal(lt_control_recv(ends[1], &got, fds, &n), LT_AGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(lt_control_send(ends[0], &sent, pipes, 2), LT_OK);
    assert_int_equal(lt_control_recv(ends[1], &got, fds, &n), LT_OK);
    assert_int_equal(n, 2);
    assert_int_equal(got.type, LT_CONTROL_LISTENING);
    assert_string_equal(got.key, "a");
    assert_int_equal(write(fds[1], "x", 1), 1);
    char c;
    assert_int_equal(read(pipes[0], &c, 1), 1);
    assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fds[0]);
    close(fds[1]);
    /* Anything else than a whole message is refused. */
    assert_int_equal(send(ends[0], "short", 5, 0), 5);
    assert_int_equal(lt_control_recv(ends[1], &got, fds, &n), LT_ERR_INVALID);
    close(ends[0]);
    assert_int_equal(lt_control_recv(ends[1], &got, fds, &n), LT_EOF);
    assert_int_equal(lt_control_send(ends[1], &sent, NULL, 0), LT_EOF);
    close(ends[1]);
    close(pipes[0]);
    close(pipes[1]);
}

static struct lt_sockets_request request_for(const char *address, unsigned count)
{
    struct lt_sockets_request r = {.key = lt_str_c(address),
                                   .count = count,
                                   .backlog = 16,
                                   .mode = 0660,
                                   .uid = (unsigned)-1,
                                   .gid = (unsigned)-1};
    const char *why;
    assert_int_equal(lt_addr_parse(lt_str_c(address), &r.addr, &why), LT_OK);
    return r;
}

static unsigned port_of(int fd)
{
    struct lt_addr addr = {.len = sizeof(addr.un)};
    assert_int_equal(getsockname(fd, &addr.sa, &addr.len), 0);
    return lt_addr_port(&addr);
}

static void tcp_sockets_share_a_port_and_are_kept(void **state)
{
    (void)state;
    struct lt_sockets *sockets = lt_sockets_new();
    struct lt_sockets_request r = request_for("127.0.0.1:0", 3);
    const int *fds, *again;
    unsigned n;
    int sys_errno;
    assert_int_equal(lt_sockets_open(sockets, &r, &fds, &n, &sys_errno), LT_OK);
    assert_int_equal(n, 3);
    unsigned port = port_of(fds[0]);
    assert_true(port > 0);
    assert_int_equal(port_of(fds[2]), port);
    assert_int_equal(lt_sockets_open(sockets, &r, &again, &n, &sys_errno), LT_OK);
    assert_ptr_equal(again, fds);
    /* Somebody else's port is refused, whoever they are. */
    char taken[32];
    snprintf(taken, sizeof(taken), "127.0.0.1:%u", port);
    struct lt_sockets_request other = request_for(taken, 2);
    assert_int_not_equal(lt_sockets_open(sockets, &other, &again, &n, &sys_errno), LT_OK);
    assert_int_equal(sys_errno, EADDRINUSE);
    lt_sockets_close(sockets, r.key);
    assert_int_equal(lt_sockets_open(sockets, &other, &again, &n, &sys_errno), LT_OK);
    assert_int_equal(n, 2);
    lt_sockets_free(sockets);
}

static void a_unix_socket_is_one_with_its_mode_and_goes_with_us(void **state)
{
    (void)state;
    struct lt_sockets *sockets = lt_sockets_new();
    char address[80];
    snprintf(address, sizeof(address), "unix:%s/s.sock", dir);
    struct lt_sockets_request r = request_for(address, 4);
    const int *fds;
    unsigned n;
    int sys_errno;
    assert_int_equal(lt_sockets_open(sockets, &r, &fds, &n, &sys_errno), LT_OK);
    assert_int_equal(n, 1);
    struct stat st;
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    lt_sockets_free(sockets);
    assert_int_not_equal(stat(address + 5, &st), 0);
}

static void a_path_that_became_somebody_elses_stays(void **state)
{
    (void)state;
    struct lt_sockets *sockets = lt_sockets_new();
    char address[80];
    snprintf(address, sizeof(address), "unix:%s/t.sock", dir);
    struct lt_sockets_request r = request_for(address, 1);
    const int *fds;
    unsigned n;
    int sys_errno;
    assert_int_equal(lt_sockets_open(sockets, &r, &fds, &n, &sys_errno), LT_OK);
    char moved[80];
    snprintf(moved, sizeof(moved), "%s.old", address + 5); /* keeps the file's number taken */
    assert_int_equal(rename(address + 5, moved), 0);
    int fd = open(address + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    lt_sockets_free(sockets);
    assert_int_equal(unlink(address + 5), 0);
    assert_int_equal(unlink(moved), 0);
}

static void the_service_manager_is_told(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/notify", dir);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    setenv("NOTIFY_SOCKET", un.sun_path, 1);
    lt_notify_init();
    assert_null(getenv("NOTIFY_SOCKET"));
    lt_notify("READY=1");
    char text[128];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    assert_int_equal(n, 7);
    assert_memory_equal(text, "READY=1", 7);
    lt_notify_reloading();
    n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "RELOADING=1\nMONOTONIC_USEC="));
    close(fd);
    unlink(un.sun_path);
    lt_notify_init(); /* nobody listens now */
    lt_notify("READY=1");
}

static void users_are_looked_up(void **state)
{
    (void)state;
    struct lt_user user;
    assert_int_equal(lt_user_find("root", &user), LT_OK);
    assert_int_equal(user.uid, 0);
    assert_int_equal(lt_user_find("no-such-user-here", &user), LT_ERR_NOTFOUND);
    assert_int_equal(lt_user_find("", &user), LT_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_carry_descriptors),
        cmocka_unit_test(tcp_sockets_share_a_port_and_are_kept),
        cmocka_unit_test(a_unix_socket_is_one_with_its_mode_and_goes_with_us),
        cmocka_unit_test(a_path_that_became_somebody_elses_stays),
        cmocka_unit_test(the_service_manager_is_told),
        cmocka_unit_test(users_are_looked_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
