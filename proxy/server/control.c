/* SPDX-License-Identifier: Apache-2.0 */
/* Messages over the control socket. Supervisor and the gateway's main thread. */
#include "server/control.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define SEND_LIMIT_MS 5000

enum lt_err lt_control_pair(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0
               ? LT_OK
               : LT_ERR_IO;
}

union rights {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int) * LT_CONTROL_FDS_MAX)];
};

enum lt_err lt_control_send(int fd, const struct lt_control_message *message, const int *fds,
                            unsigned n)
{
    union rights rights;
    memset(&rights, 0, sizeof(rights));
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > LT_CONTROL_FDS_MAX) {
        return LT_ERR_LIMIT;
    }
    if (n > 0) {
        msg.msg_control = &rights;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * n);
    }
    for (;;) {
        if (sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0) {
            return LT_OK;
        }
        if (errno == EAGAIN) {
            struct pollfd pfd = {.fd = fd, .events = POLLOUT};
            if (poll(&pfd, 1, SEND_LIMIT_MS) == 0) {
                return LT_ERR_TIMEOUT;
            }
        } else if (errno != EINTR) {
            return errno == EPIPE || errno == ECONNRESET ? LT_EOF : LT_ERR_IO;
        }
    }
}

static void take_fds(struct msghdr *msg, int *fds, unsigned *n)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL; head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
            unsigned count = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(head), count * sizeof(int));
            *n = count;
        }
    }
}

enum lt_err lt_control_recv(int fd, struct lt_control_message *message, int *fds, unsigned *n)
{
    union rights rights;
    memset(&rights, 0, sizeof(rights));
    struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights)};
    ssize_t got;
    do {
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    *n = 0;
    if (got < 0) {
        return errno == EAGAIN ? LT_AGAIN : errno == ECONNRESET ? LT_EOF : LT_ERR_IO;
    }
    if (got == 0) {
        return LT_EOF;
    }
    take_fds(&msg, fds, n);
    if (got != sizeof(*message) || message->key[LT_CONTROL_KEY_MAX - 1] != '\0') {
        for (unsigned i = 0; i < *n; i++) {
            close(fds[i]);
        }
        *n = 0;
        return LT_ERR_INVALID;
    }
    return LT_OK;
}
