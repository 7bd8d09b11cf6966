/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application of the benchmark: a small HTTP/1.1 server that costs little and never errs.
 *
 *   backend PORT|unix:PATH [COUNTER-FILE]
 *
 * It listens on 127.0.0.1 only (port 0 takes a free one) and prints one line, "listening ADDRESS".
 * The path gives the size of the answer: /1k, /64k, /1m, /512. /head answers with the request head
 * it got, which lets the runner see what a proxy really sent. Bodies of requests (Content-Length or
 * chunked) are read to their end and thrown away before the answer is sent.
 *
 * With a counter file its first eight bytes hold the number of answers so far, in host order, so
 * that the runner can count within a window without asking.
 *
 * One thread, level-triggered epoll: for a request in one piece one read and one write, nothing
 * else. No allocation after accept.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    IN_MAX = 16384,  /* the largest request head; what comes above gets 431 */
    HEAD_MAX = 256,  /* the largest response head */
    BLOCK = 1 << 20, /* bodies are written from this block, again and again */
    SIZE_MAX_BODY = 1 << 28,
    EVENTS = 256,
};

/* What is expected next from the client. The CHUNK states walk through a chunked body. */
enum step {
    HEAD,
    BODY, /* `left` bytes of a body with Content-Length */
    CHUNK_SIZE,
    CHUNK_EXT,
    CHUNK_DATA, /* `left` bytes, then CRLF */
    CHUNK_END,
    TRAILER_START, /* at the start of a trailer line; an empty one ends the body */
    TRAILER,
};

struct conn {
    int fd;
    enum step step;
    bool head_only; /* the request was HEAD */
    bool close;     /* close after this answer */
    bool echo;      /* answer with the request head, kept in `in` below `start` */
    bool writing;   /* an answer is only partly out: EPOLLOUT is armed, EPOLLIN is not */
    uint64_t left;  /* bytes of body (or chunk) still to be read */
    size_t size;    /* body size of the answer */
    size_t start;   /* first byte of `in` that is not consumed */
    size_t end;     /* behind the last byte of `in` */
    size_t sent;    /* bytes of the answer that are out, head included */
    size_t out_len; /* length of `out` */
    char in[IN_MAX];
    char out[HEAD_MAX + IN_MAX]; /* response head, with the body behind it when it is an echo */
};

static int epoll_fd;
static char block[BLOCK];
static uint64_t own_counter;
static uint64_t *counter = &own_counter;

static void die(const char *what)
{
    fprintf(stderr, "backend: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void conn_close(struct conn *c)
{
    close(c->fd);
    free(c);
}

static void conn_arm(struct conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0) {
        die("epoll_ctl");
    }
}

/* The size that a path asks for: "/64k?x" is 65536, anything without a number 0. */
static size_t path_size(const char *path)
{
    char *end;
    unsigned long long n;

    if (path[0] != '/' || path[1] < '0' || path[1] > '9') {
        return 0;
    }
    n = strtoull(path + 1, &end, 10);
    if (n > SIZE_MAX_BODY) {
        n = SIZE_MAX_BODY;
    }
    if (*end == 'k') {
        n <<= 10;
    } else if (*end == 'm') {
        n <<= 20;
    }
    return n > SIZE_MAX_BODY ? SIZE_MAX_BODY : (size_t)n;
}

/* Queues an answer that is not 200 and ends the connection behind it. */
static void answer_error(struct conn *c, const char *status)
{
    c->out_len = (size_t)snprintf(
        c->out, HEAD_MAX, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    c->size = 0;
    c->echo = false;
    c->close = true;
    c->sent = 0;
}

static void answer_ok(struct conn *c)
{
    int n = snprintf(c->out, HEAD_MAX,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                     "Content-Length: %zu\r\n%s\r\n",
                     c->size, c->close ? "Connection: close\r\n" : "");

    /* An echo was put behind the room for the head; move it up to the head. */
    if (c->echo && !c->head_only) {
        memmove(c->out + n, c->out + HEAD_MAX, c->size);
        c->out_len = (size_t)n + c->size;
        c->size = 0;
    } else {
        c->out_len = (size_t)n;
        if (c->head_only) {
            c->size = 0;
        }
    }
    c->sent = 0;
}

/* Writes what is left of the answer. 1: all is out, 0: the socket is full, -1: it is dead. */
static int answer_write(struct conn *c)
{
    size_t total = c->out_len + c->size;

    while (c->sent < total) {
        struct iovec iov[2];
        struct msghdr msg = {.msg_iov = iov};
        size_t n = 0;
        ssize_t got;

        if (c->sent < c->out_len) {
            iov[n].iov_base = c->out + c->sent;
            iov[n++].iov_len = c->out_len - c->sent;
        }
        if (c->size > 0) {
            size_t body_left = c->sent < c->out_len ? c->size : total - c->sent;

            iov[n].iov_base = block;
            iov[n++].iov_len = body_left < BLOCK ? body_left : BLOCK;
        }
        msg.msg_iovlen = n;
        got = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN ? 0 : -1;
        }
        c->sent += (size_t)got;
    }
    ++*counter;
    return 1;
}

/* The end of the head that starts at `p`, behind its empty line; NULL if it is not all here. */
static char *head_end(char *p, size_t len)
{
    char *e = memmem(p, len, "\r\n\r\n", 4);

    return e != NULL ? e + 4 : NULL;
}

/* True if the line's name is `name` (with its colon); `value` then points at the value. */
static bool line_is(const char *line, const char *name, size_t len, const char **value)
{
    if (strncasecmp(line, name, len) != 0) {
        return false;
    }
    *value = line + len + strspn(line + len, " \t");
    return true;
}
#define LINE_IS(line, name, value) line_is(line, name, sizeof(name) - 1, value)

/*
 * Reads the head in [p, end) and sets what comes next. The final CRLF has been replaced by a zero,
 * so that the string functions stop there. Returns false if it is not HTTP/1.x.
 */
static bool read_head(struct conn *c, char *p, const char *end)
{
    char *path = strchr(p, ' ');
    char *line = strstr(p, "\r\n");
    char *next;
    const char *value;
    bool chunked = false;
    bool expect = false;

    if (path == NULL || line == NULL || path > line - 9 || memcmp(line - 8, "HTTP/1.", 7) != 0) {
        return false;
    }
    path++;
    c->head_only = strncmp(p, "HEAD ", 5) == 0;
    c->close = line[-1] == '0';
    c->left = 0;
    c->size = path_size(path);
    c->echo = strncmp(path, "/head ", 6) == 0;
    if (c->echo) {
        c->size = (size_t)(end - p);
        memcpy(c->out + HEAD_MAX, p, c->size);
    }
    for (line += 2; *line != '\0'; line = next + 2) {
        next = strstr(line, "\r\n");
        if (next == NULL) {
            return false; /* a zero byte */
        }
        if (LINE_IS(line, "content-length:", &value)) {
            c->left = strtoull(value, NULL, 10);
        } else if (LINE_IS(line, "transfer-encoding:", &value)) {
            chunked = strncasecmp(value, "chunked", 7) == 0;
        } else if (LINE_IS(line, "connection:", &value)) {
            if (strncasecmp(value, "close", 5) == 0) {
                c->close = true;
            } else if (strncasecmp(value, "keep-alive", 10) == 0) {
                c->close = false;
            }
        } else if (LINE_IS(line, "expect:", &value)) {
            expect = true;
        }
    }
    c->step = chunked ? CHUNK_SIZE : c->left > 0 ? BODY : HEAD;
    if (chunked) {
        c->left = 0;
    }
    if (expect && c->step != HEAD && c->start == c->end) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

        if (send(c->fd, go_on, sizeof(go_on) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(go_on) - 1) {
            return false;
        }
    }
    return true;
}

static int hex(char ch)
{
    return ch >= '0' && ch <= '9'                     ? ch - '0'
           : (ch | 0x20) >= 'a' && (ch | 0x20) <= 'f' ? (ch | 0x20) - 'a' + 10
                                                      : -1;
}

/* Eats one byte of a chunked body outside the data itself. False if it may not stand there. */
static bool chunk_byte(struct conn *c, char ch)
{
    switch (c->step) {
    case CHUNK_SIZE:
        if (hex(ch) >= 0) {
            c->left = c->left << 4 | (uint64_t)hex(ch);
            return c->left < (UINT64_C(1) << 56);
        }
        c->step = CHUNK_EXT;
        /* fall through */
    case CHUNK_EXT:
        if (ch == '\n') {
            c->step = c->left > 0 ? CHUNK_DATA : TRAILER_START;
        }
        return true;
    case CHUNK_END:
        if (ch == '\n') {
            c->step = CHUNK_SIZE;
        }
        return ch == '\r' || ch == '\n';
    case TRAILER_START:
        if (ch == '\n') {
            c->step = HEAD;
        } else if (ch != '\r') {
            c->step = TRAILER;
        }
        return true;
    case TRAILER:
        if (ch == '\n') {
            c->step = TRAILER_START;
        }
        return true;
    case HEAD:
    case BODY:
    case CHUNK_DATA:
        break;
    }
    return false;
}

/* Throws away what is here of the body. 1: the body is complete, 0: more to come, -1: broken. */
static int read_body(struct conn *c)
{
    while (c->step != HEAD) {
        if (c->start == c->end) {
            return 0;
        }
        if (c->step == BODY || c->step == CHUNK_DATA) {
            uint64_t here = c->end - c->start;

            here = here < c->left ? here : c->left;
            c->start += (size_t)here;
            c->left -= here;
            if (c->left == 0) {
                c->step = c->step == BODY ? HEAD : CHUNK_END;
            }
        } else if (!chunk_byte(c, c->in[c->start++])) {
            return -1;
        }
    }
    return 1;
}

/* Consumes what was read and queues one answer. 1: an answer is queued, 0: more must be read. */
static int next_answer(struct conn *c)
{
    int done;

    if (c->step == HEAD) {
        char *p = c->in + c->start;
        char *end = head_end(p, c->end - c->start);

        if (end == NULL) {
            if (c->start == 0 && c->end == IN_MAX) {
                answer_error(c, "431 Request Header Fields Too Large");
                return 1;
            }
            return 0;
        }
        end[-2] = '\0';
        c->start = (size_t)(end - c->in);
        if (!read_head(c, p, end - 2)) {
            answer_error(c, "400 Bad Request");
            return 1;
        }
    }
    done = read_body(c);
    if (done < 0) {
        answer_error(c, "400 Bad Request");
        return 1;
    }
    if (done == 1) {
        answer_ok(c);
    }
    return done;
}

/* Answers all that is here; may close the connection. */
static void conn_serve(struct conn *c)
{
    while (c->start < c->end && next_answer(c) == 1) {
        int out = answer_write(c);

        if (out < 0 || (out == 1 && c->close)) {
            conn_close(c);
            return;
        }
        if (out == 0) {
            c->writing = true;
            conn_arm(c, EPOLLOUT);
            return;
        }
    }
    if (c->start == c->end) {
        c->start = c->end = 0;
    } else if (c->start > 0) {
        memmove(c->in, c->in + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
}

static void on_readable(struct conn *c)
{
    ssize_t got = read(c->fd, c->in + c->end, IN_MAX - c->end);

    if (got > 0) {
        c->end += (size_t)got;
        conn_serve(c);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_close(c);
    }
}

static void on_writable(struct conn *c)
{
    int out = answer_write(c);

    if (out < 0 || (out == 1 && c->close)) {
        conn_close(c);
    } else if (out == 1) {
        c->writing = false;
        conn_arm(c, EPOLLIN);
        conn_serve(c); /* what came behind the request while its answer was held up */
    }
}

static void on_accept(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = malloc(sizeof(*c));
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        int one = 1;

        if (c == NULL) {
            die("malloc");
        }
        memset(c, 0, offsetof(struct conn, in));
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on Unix sockets */
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
            die("epoll_ctl");
        }
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        die("accept");
    }
}

static int listen_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(un.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    memcpy(un.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 || listen(fd, 1024) != 0) {
        die(path);
    }
    printf("listening unix:%s\n", path);
    return fd;
}

static int listen_tcp(const char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    char *end;
    unsigned long n = strtoul(port, &end, 10);

    if (*port == '\0' || *end != '\0' || n > 65535) {
        errno = EINVAL;
        die(port);
    }
    in.sin_port = htons((uint16_t)n);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &len) != 0) {
        die(port);
    }
    printf("listening 127.0.0.1:%u\n", ntohs(in.sin_port));
    return fd;
}

static void open_counter(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    void *map;

    if (fd < 0 || ftruncate(fd, sizeof(*counter)) != 0) {
        die(path);
    }
    map = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        die(path);
    }
    close(fd);
    counter = map;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event events[EVENTS];
    int listener;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: backend PORT|unix:PATH [COUNTER-FILE]\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    memset(block, 'x', sizeof(block));
    if (argc == 3) {
        open_counter(argv[2]);
    }
    listener = strncmp(argv[1], "unix:", 5) == 0 ? listen_unix(argv[1] + 5) : listen_tcp(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev) != 0) {
        die("epoll");
    }
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (c == NULL) {
                on_accept(listener);
            } else if (c->writing) {
                on_writable(c);
            } else {
                on_readable(c);
            }
        }
    }
}
