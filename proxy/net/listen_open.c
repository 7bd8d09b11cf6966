/* SPDX-License-Identifier: Apache-2.0 */
/* Opens listening sockets. Supervisor; net/listener.h has the contract. */
#include "net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static enum lt_err fail(int fd, const char **why, const char *text)
{
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    *why = text != NULL ? text : strerrordesc_np(error);
    errno = error;
    enum lt_err err = lt_err_from_errno(error);
    return err == LT_OK || err == LT_AGAIN ? LT_ERR_IO : err;
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* ---- TCP ---- */

static bool is_any6(const struct lt_addr *addr)
{
    return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

/* A TCP socket bound to addr, or -1 and errno. Accepted sockets inherit TCP_NODELAY. */
static int bind_tcp(const struct lt_addr *addr, bool reuseport)
{
    int fd = new_socket(addr->sa.sa_family);
    if (fd < 0) {
        return -1;
    }
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
        (!reuseport || set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
        set(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
        (!is_any6(addr) || set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
        bind(fd, &addr->sa, addr->len) == 0) {
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* As bind_tcp; all addresses are all IPv4 ones where there is no IPv6. */
static int bind_any(const struct lt_addr *addr, bool reuseport)
{
    int fd = bind_tcp(addr, reuseport);
    if (fd >= 0 || !is_any6(addr) || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)) {
        return fd;
    }
    struct lt_addr any4 = {.in = {.sin_family = AF_INET, .sin_port = addr->in6.sin6_port},
                           .len = sizeof(any4.in)};
    return bind_tcp(&any4, reuseport);
}

bool lt_listener_taken(const struct lt_addr *addr)
{
    if (lt_addr_is_unix(addr)) {
        int fd = new_socket(AF_UNIX);
        bool taken = fd >= 0 && (connect(fd, &addr->sa, addr->len) == 0 || errno == EAGAIN);
        if (fd >= 0) {
            close(fd);
        }
        return taken;
    }
    int fd = bind_any(addr, false);
    if (fd < 0) {
        return errno == EADDRINUSE;
    }
    close(fd);
    return false;
}

/* ---- Unix ---- */

/* Makes room for a socket file at addr's path: removes one that nobody serves. */
static enum lt_err clear_path(const struct lt_addr *addr, const char **why)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) != 0) {
        return errno == ENOENT ? LT_OK : fail(-1, why, NULL);
    }
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return fail(-1, why, "there is a file of that name which is not a socket");
    }
    if (lt_listener_taken(addr)) {
        errno = EADDRINUSE;
        return fail(-1, why, "another process serves this socket");
    }
    return unlink(addr->un.sun_path) == 0 || errno == ENOENT ? LT_OK : fail(-1, why, NULL);
}

static enum lt_err bind_unix(const struct lt_addr *addr, unsigned mode, int *fd, const char **why)
{
    bool abstract = addr->un.sun_path[0] == '\0';
    enum lt_err err = abstract ? LT_OK : clear_path(addr, why);
    if (err != LT_OK) {
        return err;
    }
    *fd = new_socket(AF_UNIX);
    /* The mode before bind is what the file is born with, less the umask: never wider than asked.
     */
    if (*fd < 0 || (mode != 0 && !abstract && fchmod(*fd, mode) != 0) ||
        bind(*fd, &addr->sa, addr->len) != 0 ||
        (mode != 0 && !abstract && chmod(addr->un.sun_path, mode) != 0)) {
        return fail(*fd, why, NULL);
    }
    return LT_OK;
}

/* ---- Both ---- */

enum lt_err lt_listener_socket(const struct lt_addr *addr,
                               const struct lt_listener_options *options, int *fd, const char **why)
{
    if (lt_addr_is_unix(addr)) {
        enum lt_err err = bind_unix(addr, options->unix_mode, fd, why);
        if (err != LT_OK) {
            return err;
        }
    } else {
        *fd = bind_any(addr, options->reuseport);
        if (*fd < 0) {
            return fail(-1, why, NULL);
        }
    }
    return listen(*fd, options->backlog) == 0 ? LT_OK : fail(*fd, why, NULL);
}

enum lt_err lt_listener_address(int fd, struct lt_addr *out)
{
    memset(out, 0, sizeof(*out));
    out->len = sizeof(out->un);
    return getsockname(fd, &out->sa, &out->len) == 0 ? LT_OK : lt_err_from_errno(errno);
}
