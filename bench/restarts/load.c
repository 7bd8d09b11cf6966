/* SPDX-License-Identifier: Apache-2.0 */
/* The client of bench/restarts/run: GET and POST mixed over keep-alive connections, each response
 * checked byte by byte, each failure printed with its number.
 *
 *     load ADDRESS PORT REQUESTS CLIENTS POST_PERCENT [RATE]
 *
 * GET /get/N has to be answered with 200 and "got N", POST /post/N (2 KiB) with 200 and "did N".
 * With RATE, requests are due at so many a second, whoever is ready to take them; times count from
 * when a request was due. Lines on standard output:
 *
 *     FAIL POST 123 502 closed_before_response 4.123     what failed, how, and when (s)
 *     DONE requests failed_gets failed_posts seconds p50_ms p99_ms max_ms inversions
 *
 * inversions: how many answers came more than 100 ms before that of a request that was due earlier.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BODY 2048
#define ANSWER_MAX 65536
#define CLIENTS_MAX 8192
#define PATIENCE_S 60.0 /* for one answer */

struct client {
    int fd; /* -1: closed */
    bool busy, fresh;
    long number;
    bool post;
    double due, sent;
    size_t len;
    char in[ANSWER_MAX];
};

static struct sockaddr_in server;
static struct client *clients;
static int n_clients, epoll_fd;
static long total, started, done, failed_gets, failed_posts;
static int post_percent;
static double rate, began;
static float *latency; /* by number, ms; < 0: failed */
static double *answered;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* A number from 0 to max; ends the program for anything else. */
static long number_of(const char *text, long max)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < 0 || n > max) {
        fprintf(stderr, "load: %s is no number from 0 to %ld\n", text, max);
        exit(2);
    }
    return n;
}

/* The same numbers are POSTs in every run. */
static bool is_post(long number)
{
    return (int)((unsigned long)number * 2654435761u % 4294967296u / 42949673u) < post_percent;
}

static void hang_up(struct client *c)
{
    close(c->fd);
    c->fd = -1;
}

static bool dial(struct client *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof(server)) != 0) {
        if (c->fd >= 0) {
            hang_up(c);
        }
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        die("epoll_ctl");
    }
    c->fresh = true;
    return true;
}

static void finish(struct client *c, int status, const char *how)
{
    double t = now();
    c->busy = false;
    done++;
    answered[c->number] = t;
    latency[c->number] = (float)((t - c->due) * 1e3);
    if (how != NULL) {
        latency[c->number] = -1;
        if (c->post) {
            failed_posts++;
        } else {
            failed_gets++;
        }
        printf("FAIL %s %ld %d %s %.3f\n", c->post ? "POST" : "GET", c->number, status, how,
               t - began);
    }
}

static void begin(struct client *c)
{
    static char body[BODY];
    char head[512];
    memset(body, 'x', sizeof(body));
    c->number = started++;
    c->post = is_post(c->number);
    c->sent = now();
    c->due = rate > 0 ? began + (double)c->number / rate : c->sent;
    c->busy = true;
    c->len = 0;
    if (c->fd < 0 && !dial(c)) {
        finish(c, 0, "connect");
        return;
    }
    int n =
        c->post
            ? snprintf(head, sizeof(head),
                       "POST /post/%ld HTTP/1.1\r\nHost: app.test\r\nContent-Type: text/plain\r\n"
                       "Content-Length: %d\r\n\r\n",
                       c->number, BODY)
            : snprintf(head, sizeof(head), "GET /get/%ld HTTP/1.1\r\nHost: app.test\r\n\r\n",
                       c->number);
    struct iovec iov[2] = {{head, (size_t)n}, {body, sizeof(body)}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = c->post ? 2 : 1};
    ssize_t want = n + (c->post ? BODY : 0), sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    if (sent != want) {
        /* Our own keep-alive race: the proxy has closed this connection while it was idle. */
        hang_up(c);
        if (c->fresh || !dial(c) || sendmsg(c->fd, &msg, MSG_NOSIGNAL) != want) {
            finish(c, 0, "send");
        }
    }
}

/* What a problem body (RFC 9457) of Lintel's says; empty for any other. */
static void copy_cause(const char *body, char *out, size_t max)
{
    const char *at = strstr(body, "\"cause\":\"");
    size_t n = 0;
    if (at != NULL) {
        at += 9;
        n = strcspn(at, "\"");
    }
    snprintf(out, max, "%.*s", (int)n, at != NULL ? at : "");
}

/* Whether the answer is whole; judges it then. */
static void judge(struct client *c, bool eof)
{
    char expected[64], cause[64] = "";
    c->in[c->len] = '\0';
    char *body = strstr(c->in, "\r\n\r\n");
    if (body == NULL) {
        if (eof) {
            hang_up(c);
            finish(c, 0, c->len > 0 ? "cut_head" : "closed");
        }
        return;
    }
    body += 4;
    int status = (int)strtol(c->in + 9, NULL, 10);
    char *length = strcasestr(c->in, "\r\ncontent-length:");
    size_t have = c->len - (size_t)(body - c->in);
    bool close_after = strcasestr(c->in, "\r\nconnection: close") != NULL;
    if (length == NULL || length > body) {
        hang_up(c);
        finish(c, status, "no_length");
        return;
    }
    size_t wanted = strtoul(length + 17, NULL, 10);
    if (have < wanted) {
        if (eof) {
            hang_up(c);
            finish(c, status, "cut_body");
        }
        return;
    }
    int n = snprintf(expected, sizeof(expected), "%s %ld", c->post ? "did" : "got", c->number);
    bool right = status == 200 && have == (size_t)n && memcmp(body, expected, have) == 0;
    if (!right) {
        if (status == 200) {
            snprintf(cause, sizeof(cause), "wrong_body");
        } else {
            copy_cause(body, cause, sizeof(cause));
        }
    }
    if (close_after || eof) {
        hang_up(c);
    }
    c->fresh = false;
    finish(c, status, right ? NULL : cause[0] != '\0' ? cause : "status");
}

static void read_some(struct client *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, c->in + c->len, ANSWER_MAX - 1 - c->len, 0);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (!c->busy) { /* the end of an idle connection */
            hang_up(c);
            return;
        }
        if (n <= 0) {
            judge(c, true);
            return;
        }
        c->len += (size_t)n;
        if (c->len == ANSWER_MAX - 1) {
            hang_up(c);
            finish(c, 0, "too_long");
            return;
        }
    }
    if (c->busy) {
        judge(c, false);
    }
}

static void start_some(void)
{
    for (int i = 0; i < n_clients && started < total; i++) {
        if (rate > 0 && now() < began + (double)started / rate) {
            return;
        }
        if (!clients[i].busy) {
            begin(&clients[i]);
        }
    }
}

static void give_up(void)
{
    double t = now();
    for (int i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        if (c->busy && t - c->sent > PATIENCE_S) {
            hang_up(c);
            finish(c, 0, "no_answer");
        }
    }
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Answers that overtook one that was due more than 100 ms earlier. */
static long count_inversions(void)
{
    long n = 0;
    double latest = 0;
    for (long i = 0; i < total; i++) {
        n += answered[i] < latest - 0.1;
        latest = answered[i] > latest ? answered[i] : latest;
    }
    return n;
}

static void report(double took)
{
    long inversions = count_inversions();
    qsort(latency, (size_t)total, sizeof(*latency), compare);
    long first = failed_gets + failed_posts, good = total - first;
    printf("DONE %ld %ld %ld %.1f %.2f %.2f %.2f %ld\n", total, failed_gets, failed_posts, took,
           good > 0 ? latency[first + good / 2] : 0,
           good > 0 ? latency[first + good * 99 / 100] : 0, good > 0 ? latency[total - 1] : 0,
           inversions);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: load ADDRESS PORT REQUESTS CLIENTS POST_PERCENT [RATE]\n");
        return 2;
    }
    struct rlimit files = {16384, 16384};
    setrlimit(RLIMIT_NOFILE, &files);
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)number_of(argv[2], 65535));
    total = number_of(argv[3], 100000000);
    n_clients = (int)number_of(argv[4], CLIENTS_MAX);
    post_percent = (int)number_of(argv[5], 100);
    rate = argc > 6 ? (double)number_of(argv[6], 1000000) : 0;
    latency = calloc((size_t)total, sizeof(*latency));
    answered = calloc((size_t)total, sizeof(*answered));
    clients = calloc((size_t)n_clients, sizeof(*clients));
    epoll_fd = epoll_create1(0);
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || n_clients < 1 || total < 1 ||
        latency == NULL || answered == NULL || clients == NULL || epoll_fd < 0) {
        die("start");
    }
    for (int i = 0; i < n_clients; i++) {
        clients[i].fd = -1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    began = now();
    while (done < total) {
        struct epoll_event events[256];
        start_some();
        int n = epoll_wait(epoll_fd, events, 256, rate > 0 ? 1 : 100);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c->fd >= 0) {
                read_some(c);
            }
        }
        give_up();
    }
    report(now() - began);
    return 0;
}
