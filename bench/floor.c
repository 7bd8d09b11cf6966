/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of the benchmark: a proxy that forwards bytes and understands none of them.
 *
 *   floor PORT BACKEND-PORT        (both on 127.0.0.1)
 *
 * Each client connection has a connection to the backend of its own, opened when the client is
 * accepted. A message costs one read and one write on each side, which is what any proxy that
 * reads and writes must pay to the kernel: what a real one costs above this is its own.
 *
 * One thread, level-triggered epoll. Bytes that a socket does not take at once wait in its half's
 * buffer, and the other side is not read until they are gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUF = 65536, EVENTS = 256 };

struct pair;

/* One socket of a pair. `held` bytes read from its peer wait in `buf` until it takes them. */
struct half {
    struct pair *pair;
    struct half *peer;
    int fd;
    uint32_t armed; /* what epoll watches here */
    size_t at, held;
    char buf[BUF];
};

struct pair {
    struct half client, server;
    struct pair *next_dead; /* freed at the end of the loop turn: later events may name it */
    bool dead;
};

static int epoll_fd;
static struct sockaddr_in backend = {.sin_family = AF_INET};
static struct pair *dead_pairs;
static char scratch[BUF];

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void pair_close(struct pair *p)
{
    if (!p->dead) {
        close(p->client.fd);
        close(p->server.fd);
        p->dead = true;
        p->next_dead = dead_pairs;
        dead_pairs = p;
    }
}

static void half_arm(struct half *h, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = h};

    if (h->armed != events) {
        h->armed = events;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, h->fd, &ev) != 0) {
            die("epoll_ctl");
        }
    }
}

/* Keeps what `to` did not take, and stops reading from its peer until it has. */
static void half_hold(struct half *to, const char *data, size_t len)
{
    memcpy(to->buf, data, len);
    to->at = 0;
    to->held = len;
    half_arm(to, to->armed | EPOLLOUT);
    half_arm(to->peer, to->peer->armed & ~(uint32_t)EPOLLIN);
}

static void on_readable(struct half *from)
{
    struct half *to = from->peer;
    ssize_t got = read(from->fd, scratch, sizeof(scratch));
    ssize_t put;

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            pair_close(from->pair);
        }
        return;
    }
    put = send(to->fd, scratch, (size_t)got, MSG_NOSIGNAL);
    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            pair_close(from->pair);
            return;
        }
        put = 0;
    }
    if (put < got) {
        half_hold(to, scratch + put, (size_t)(got - put));
    }
}

static void on_writable(struct half *to)
{
    ssize_t put = send(to->fd, to->buf + to->at, to->held, MSG_NOSIGNAL);

    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            pair_close(to->pair);
        }
        return;
    }
    to->at += (size_t)put;
    to->held -= (size_t)put;
    if (to->held == 0) {
        half_arm(to, to->armed & ~(uint32_t)EPOLLOUT);
        half_arm(to->peer, to->peer->armed | EPOLLIN);
    }
}

static void half_init(struct half *h, struct pair *p, struct half *peer, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = h};
    int one = 1;

    h->pair = p;
    h->peer = peer;
    h->fd = fd;
    h->armed = EPOLLIN;
    h->at = h->held = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        die("epoll_ctl");
    }
}

static void on_accept(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct pair *p = malloc(sizeof(*p));
        int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (p == NULL || server < 0) {
            die("new connection");
        }
        if (connect(server, (struct sockaddr *)&backend, sizeof(backend)) != 0 &&
            errno != EINPROGRESS) {
            die("connect");
        }
        p->dead = false;
        half_init(&p->client, p, &p->server, fd);
        half_init(&p->server, p, &p->client, server);
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        die("accept");
    }
}

static void on_event(struct half *h, uint32_t events)
{
    if (!h->pair->dead && (events & EPOLLOUT) != 0) {
        on_writable(h);
    }
    if (!h->pair->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        if ((h->armed & EPOLLIN) != 0) {
            on_readable(h);
        } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
            pair_close(h->pair);
        }
    }
}

static uint16_t port_of(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n == 0 || n > 65535) {
        errno = EINVAL;
        die(text);
    }
    return (uint16_t)n;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(fd, 1024) != 0) {
        die("listen");
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event events[EVENTS];
    struct rlimit files;
    int listener;

    if (argc != 3) {
        fprintf(stderr, "usage: floor PORT BACKEND-PORT\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    backend.sin_port = htons(port_of(argv[2]));
    backend.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = listen_on(port_of(argv[1]));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev) != 0) {
        die("epoll");
    }
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                on_accept(listener);
            } else {
                on_event(events[i].data.ptr, events[i].events);
            }
        }
        while (dead_pairs != NULL) {
            struct pair *p = dead_pairs;

            dead_pairs = p->next_dead;
            free(p);
        }
    }
}
