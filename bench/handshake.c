/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the benchmark for TLS handshakes: each connection asks once and is closed.
 *
 *   handshake PORT SECONDS CONNECTIONS full|resumed
 *
 * It keeps CONNECTIONS connections to 127.0.0.1:PORT busy for SECONDS, finishes those that are
 * under way and prints one line, "N answers, M resumed, TLSv1.3 CIPHER". A connection is: a TLS 1.3
 * handshake, a GET of /1k, the answer, the server's close. With `full` every session is new. With
 * `resumed` each connection comes back with the newest ticket of the one before it in its slot;
 * only the first of a slot, which has no ticket yet, is a full handshake.
 *
 * All servers do the same cryptography: the client offers X25519 and P-256 signatures alone.
 * Anything that isn't as said (an error, another answer than 200 with 1,024 bytes, a full handshake
 * where there was a ticket, a second cipher, ten seconds without an end) makes the exit status 1.
 *
 * One thread, level-triggered epoll, one connection a slot.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS_MAX = 1024,
    IN_MAX = 8192, /* the largest answer, head included */
    BODY = 1024,
    EVENTS = 256,
    PATIENCE_MS = 10000, /* for one connection */
};

/* One connection after the other. */
struct slot {
    SSL *ssl;             /* NULL: no connection */
    SSL_SESSION *session; /* owned: the newest ticket, NULL before there is one */
    int fd;
    uint32_t armed; /* what epoll watches */
    bool asked;     /* the handshake is over and the request is out */
    uint64_t began_ms;
    size_t len;
    char in[IN_MAX];
};

static const char request[] = "GET /1k HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n";

static struct slot slots[SLOTS_MAX];
static struct sockaddr_in server = {.sin_family = AF_INET};
static SSL_CTX *ctx;
static int epoll_fd;
static bool resume;
static const char *cipher; /* of the first connection; all others have the same */
static unsigned long answers, resumptions;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "handshake: %s: %s\n", what, why);
    exit(1);
}

/* Ends the program over a failed OpenSSL call, with the reason that OpenSSL has kept. */
static void die_tls(const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    die(what, reason != NULL ? reason : errno != 0 ? strerror(errno) : "ended by the server");
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Called by OpenSSL for each ticket; 1 takes the session. The last one of a connection stays. */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct slot *s = SSL_get_app_data(ssl);

    SSL_SESSION_free(s->session);
    s->session = session;
    return 1;
}

static void slot_open(struct slot *s)
{
    struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = s};
    int one = 1;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || setsockopt(s->fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        (connect(s->fd, (struct sockaddr *)&server, sizeof(server)) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) != 0) {
        die("connect", strerror(errno));
    }
    s->ssl = SSL_new(ctx);
    if (s->ssl == NULL || SSL_set_app_data(s->ssl, s) != 1 || SSL_set_fd(s->ssl, s->fd) != 1 ||
        SSL_set_tlsext_host_name(s->ssl, "bench.test") != 1 ||
        (s->session != NULL && SSL_set_session(s->ssl, s->session) != 1)) {
        die_tls("new connection");
    }
    s->armed = EPOLLOUT;
    s->asked = false;
    s->began_ms = now_ms();
    s->len = 0;
}

static void slot_arm(struct slot *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};

    if (s->armed != events) {
        s->armed = events;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) != 0) {
            die("epoll_ctl", strerror(errno));
        }
    }
}

/* Waits for what OpenSSL wants after `result`; ends the program if it is an error. */
static void slot_wait(struct slot *s, int result, const char *what)
{
    int error = SSL_get_error(s->ssl, result);

    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        die_tls(what);
    }
    slot_arm(s, error == SSL_ERROR_WANT_WRITE ? EPOLLOUT : EPOLLIN);
}

/* The handshake is over: was it of the kind that this run is about? */
static void check_handshake(struct slot *s)
{
    const char *name = SSL_get_cipher_name(s->ssl);
    bool reused = SSL_session_reused(s->ssl) == 1;

    if (cipher == NULL) {
        cipher = name;
    }
    if (strcmp(cipher, name) != 0) {
        die("cipher changed", name);
    }
    if (reused != (s->session != NULL)) {
        die("handshake", reused ? "resumed, nobody asked for that" : "full in spite of a ticket");
    }
    resumptions += reused;
}

/* The server has closed: was it the right answer? */
static void check_answer(struct slot *s)
{
    const char *end = memmem(s->in, s->len, "\r\n\r\n", 4);

    if (s->len < 12 || memcmp(s->in, "HTTP/1.1 200", 12) != 0) {
        die("answer", "not 200");
    }
    if (end == NULL || (size_t)(s->in + s->len - end) != 4 + BODY) {
        die("answer", "not 1,024 bytes");
    }
    if (resume && s->session == NULL) {
        die("answer", "came without a ticket");
    }
    answers++;
}

static void slot_close(struct slot *s)
{
    /* Nothing is sent, the server has closed already; without it SSL_free voids the ticket. */
    SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
    close(s->fd);
}

/* Reads what there is. True once the server has closed behind its answer. */
static bool slot_read(struct slot *s)
{
    for (;;) {
        int got;

        if (s->len == IN_MAX) {
            die("answer", "too long");
        }
        got = SSL_read(s->ssl, s->in + s->len, (int)(IN_MAX - s->len));
        if (got <= 0) {
            if (SSL_get_error(s->ssl, got) == SSL_ERROR_ZERO_RETURN) {
                check_answer(s);
                return true;
            }
            slot_wait(s, got, "read");
            return false;
        }
        s->len += (size_t)got;
    }
}

/* Goes on as far as possible. True once the connection is over. */
static bool slot_step(struct slot *s)
{
    int result;

    ERR_clear_error();
    errno = 0;
    if (!s->asked) {
        if (!SSL_is_init_finished(s->ssl)) {
            result = SSL_connect(s->ssl);
            if (result != 1) {
                slot_wait(s, result, "connect");
                return false;
            }
            check_handshake(s);
        }
        result = SSL_write(s->ssl, request, sizeof(request) - 1);
        if (result <= 0) {
            slot_wait(s, result, "write");
            return false;
        }
        s->asked = true;
        slot_arm(s, EPOLLIN);
        return false; /* the answer takes a moment: epoll says when */
    }
    if (!slot_read(s)) {
        return false;
    }
    slot_close(s);
    return true;
}

/* Ends the program if a connection has waited for too long. */
static void check_patience(unsigned n)
{
    uint64_t now = now_ms();

    for (unsigned i = 0; i < n; i++) {
        if (slots[i].ssl != NULL && now - slots[i].began_ms > PATIENCE_MS) {
            die("connection", "not over after ten seconds");
        }
    }
}

static void run(unsigned n, uint64_t end_ms)
{
    struct epoll_event events[EVENTS];
    uint64_t checked_ms = now_ms();
    unsigned open = n;

    for (unsigned i = 0; i < n; i++) {
        slot_open(&slots[i]);
    }
    while (open > 0) {
        int got = epoll_wait(epoll_fd, events, EVENTS, 1000);
        uint64_t now = now_ms();

        if (got < 0 && errno != EINTR) {
            die("epoll_wait", strerror(errno));
        }
        for (int i = 0; i < got; i++) {
            struct slot *s = events[i].data.ptr;

            if (slot_step(s)) {
                if (now < end_ms) {
                    slot_open(s);
                } else {
                    open--;
                }
            }
        }
        if (now - checked_ms >= 1000) {
            check_patience(n);
            checked_ms = now;
        }
    }
}

static void make_context(void)
{
    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519") != 1 ||
        SSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256") != 1) {
        die_tls("context");
    }
    /* HTTP says how long the answer is: a server may close without close_notify. */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (resume) {
        SSL_CTX_set_session_cache_mode(ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    }
}

static unsigned number(const char *text, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n == 0 || n > max) {
        die(text, "not a number in range");
    }
    return (unsigned)n;
}

int main(int argc, char **argv)
{
    unsigned seconds, n;

    if (argc != 5 || (strcmp(argv[4], "full") != 0 && strcmp(argv[4], "resumed") != 0)) {
        fprintf(stderr, "usage: handshake PORT SECONDS CONNECTIONS full|resumed\n");
        return 2;
    }
    server.sin_port = htons((uint16_t)number(argv[1], 65535));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    seconds = number(argv[2], 3600);
    n = number(argv[3], SLOTS_MAX);
    resume = strcmp(argv[4], "resumed") == 0;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        die("epoll", strerror(errno));
    }
    make_context();
    run(n, now_ms() + (uint64_t)seconds * 1000);
    for (unsigned i = 0; i < n; i++) {
        SSL_SESSION_free(slots[i].session);
    }
    printf("%lu answers, %lu resumed, TLSv1.3 %s\n", answers, resumptions, cipher);
    SSL_CTX_free(ctx);
    return 0;
}
