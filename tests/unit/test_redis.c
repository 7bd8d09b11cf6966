/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of Redis to a server that the test plays: replies in pieces, malformed and giant ones,
 * order, limits, ends in every state, slots and redirections of a cluster, and that nothing is left
 * whichever allocation fails. */
#include "upstream/redis.h"

#include "service_env.h"
#include "upstream/redis_impl.h"

#include <stdio.h>

static struct lt_redis *redis;
static struct lt_redis_url url;

static void use(const char *format)
{
    char text[200];
    const char *why;
    snprintf(text, sizeof(text), format, port);
    assert_int_equal(lt_redis_url_parse(lt_str_c(text), &url, &why), LT_OK);
}

static int setup(void **state)
{
    (void)state;
    service_setup();
    redis = lt_redis_new(loop, addresses, NULL);
    use("redis://127.0.0.1:%u");
    return redis == NULL;
}

static int teardown(void **state)
{
    (void)state;
    lt_loop_settle(loop);
    lt_redis_free(redis);
    service_teardown();
    return 0;
}

/* ---- calls ---- */

struct asked {
    struct lt_redis_call call;
    unsigned calls;
};

static void on_done(void *owner)
{
    ((struct asked *)owner)->calls++;
}

static const char get_k[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
static const char ping[] = "*1\r\n$4\r\nPING\r\n";

static void ask_text(struct asked *a, const char *text, unsigned n, unsigned ms)
{
    a->calls = 0;
    lt_redis_call_init(&a->call, redis);
    a->call.url = &url;
    a->call.text = lt_str_c(text);
    a->call.n = n;
    a->call.timeout_ms = ms;
    a->call.connect_ms = 10000;
    lt_redis_call_start(&a->call, on_done, a);
    assert_int_equal(a->calls, 0);
}

static void ask(struct asked *a)
{
    ask_text(a, get_k, 1, 10000);
}

static void expect_error(struct asked *a, enum lt_redis_error error)
{
    RUN_UNTIL(loop, a->calls == 1);
    if (a->call.error != error) {
        fail_msg("error %s: %.*s", lt_redis_error_name(a->call.error), LT_STR_ARG(a->call.detail));
    }
    lt_redis_call_fini(&a->call);
}

/* The reply to command number i is this text. */
static void expect_reply(const struct asked *a, unsigned i, enum lt_redis_type type,
                         const char *text)
{
    size_t at = 0;
    if (a->call.error != LT_REDIS_OK) {
        fail_msg("error %s: %.*s", lt_redis_error_name(a->call.error), LT_STR_ARG(a->call.detail));
    }
    struct lt_redis_value v = lt_redis_value_next(lt_redis_call_reply(&a->call, i), &at);
    assert_int_equal(v.type, type);
    assert_str(v.text, text);
}

static void expect_text(struct asked *a, const char *text)
{
    RUN_UNTIL(loop, a->calls == 1);
    expect_reply(a, 0, LT_REDIS_STRING, text);
    lt_redis_call_fini(&a->call);
}

/* ---- the server ---- */

/* Reads exactly this. */
static void expect(int fd, const char *text)
{
    char buf[4096];
    size_t n = strlen(text), got = 0;
    while (got < n) {
        ssize_t part = -1;
        RUN_UNTIL(loop, (part = recv(fd, buf + got, n - got, 0)) > 0);
        got += (size_t)part;
    }
    buf[n] = '\0';
    assert_string_equal(buf, text);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int greeted(void)
{
    int fd = accept_one();
    expect(fd, ping);
    say(fd, "+PONG\r\n");
    return fd;
}

/* The connection was closed by us. */
static void expect_end(int fd)
{
    char c;
    RUN_UNTIL(loop, recv(fd, &c, 1, 0) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
    close(fd);
}

/* ---- replies ---- */

static void test_a_reply_in_single_bytes(void **state)
{
    (void)state;
    static struct asked a;
    static const char reply[] = "*4\r\n$5\r\nab\r\nc\r\n:-12\r\n$-1\r\n*2\r\n+OK\r\n-ERR x\r\n";
    ask(&a);
    int fd = greeted();
    expect(fd, get_k);
    for (const char *p = reply; *p != '\0'; p++) {
        assert_int_equal(a.calls, 0);
        assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
        one_turn(loop);
    }
    RUN_UNTIL(loop, a.calls == 1);
    struct lt_str records = lt_redis_call_reply(&a.call, 0);
    size_t at = 0;
    assert_int_equal(lt_redis_value_next(records, &at).integer, 4);
    assert_str(lt_redis_value_next(records, &at).text, "ab\r\nc");
    assert_int_equal(lt_redis_value_next(records, &at).integer, -12);
    assert_int_equal(lt_redis_value_next(records, &at).type, LT_REDIS_NIL);
    assert_int_equal(lt_redis_value_next(records, &at).type, LT_REDIS_LIST);
    assert_int_equal(lt_redis_value_next(records, &at).type, LT_REDIS_STATUS);
    assert_str(lt_redis_value_next(records, &at).text, "ERR x");
    assert_int_equal(at, records.len);
    lt_redis_call_fini(&a.call);
    assert_int_equal(redis->held, 0);
    close(fd);
    RUN_UNTIL(loop, lt_redis_connections(redis) == 0);
}

static void test_replies_have_the_order_of_the_commands(void **state)
{
    (void)state;
    static struct asked v[50];
    char text[64];
    int fd = -1;
    for (unsigned i = 0; i < 50; i++) {
        ask(&v[i]);
    }
    fd = greeted();
    for (unsigned i = 0; i < 50; i++) {
        expect(fd, get_k);
    }
    for (unsigned i = 10; i < 20; i++) {
        lt_redis_call_fini(&v[i].call); /* given up: its reply is for nobody */
    }
    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "$2\r\n%02u\r\n", i);
        say(fd, text);
    }
    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "%02u", i);
        if (i < 10 || i >= 20) {
            expect_text(&v[i], text);
        }
    }
    assert_int_equal(lt_redis_connections(redis), 1);
    close(fd);
}

static void test_what_is_malformed_ends_the_connection(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 400 no\r\n", "$x\r\n", "*99999999999999\r\n", "$-7\r\n", ":12a\r\n",
        "%1\r\n+a\r\n+b\r\n"};
    static struct asked a, b;
    for (size_t i = 0; i < lt_countof(replies); i++) {
        ask(&a);
        ask(&b);
        int fd = greeted();
        expect(fd, get_k);
        expect(fd, get_k);
        say(fd, replies[i]);
        expect_error(&a, LT_REDIS_MALFORMED);
        expect_error(&b, LT_REDIS_CLOSED);
        expect_end(fd);
    }
    ask(&a);
    int fd = greeted();
    expect(fd, get_k);
    say(fd, "+one\r\n+two\r\n"); /* one too many */
    RUN_UNTIL(loop, a.calls == 1);
    expect_reply(&a, 0, LT_REDIS_STATUS, "one");
    lt_redis_call_fini(&a.call);
    expect_end(fd);
}

static void test_giant_and_deep_replies_are_refused(void **state)
{
    (void)state;
    static struct asked a, b;
    static char part[65536];
    memset(part, 'x', sizeof(part));
    ask(&a);
    ask(&b);
    int fd = greeted();
    expect(fd, get_k);
    expect(fd, get_k);
    say(fd, "$9999999\r\n");
    while (a.calls == 0) {
        (void)!send(fd, part, sizeof(part), MSG_NOSIGNAL);
        one_turn(loop);
        assert_true(redis->held <= LT_REDIS_REPLY_MAX + 2 * sizeof(part));
    }
    expect_error(&a, LT_REDIS_TOO_LARGE);
    expect_error(&b, LT_REDIS_CLOSED);
    assert_int_equal(redis->held, 0);
    close(fd);
    for (unsigned depth = LT_REDIS_DEPTH_MAX; depth <= LT_REDIS_DEPTH_MAX + 2; depth++) {
        ask(&a);
        fd = greeted();
        expect(fd, get_k);
        for (unsigned i = 0; i < depth; i++) {
            say(fd, "*1\r\n");
        }
        say(fd, ":1\r\n");
        RUN_UNTIL(loop, a.calls == 1);
        bool fits = depth == LT_REDIS_DEPTH_MAX;
        assert_int_equal(a.call.error == LT_REDIS_OK, fits);
        lt_redis_call_fini(&a.call);
        close(fd);
        RUN_UNTIL(loop, lt_redis_connections(redis) == 0);
    }
}

static void test_a_list_that_only_promises_takes_no_memory(void **state)
{
    (void)state;
    static struct asked a;
    ask(&a);
    int fd = greeted();
    expect(fd, get_k);
    say(fd, "*2000000000\r\n:1\r\n");
    for (int i = 0; i < 20; i++) {
        one_turn(loop);
    }
    assert_true(redis->held < 100);
    assert_int_equal(a.calls, 0);
    close(fd);
    expect_error(&a, LT_REDIS_CLOSED);
}

/* ---- time ---- */

static struct lt_redis_node *main_node(void)
{
    return lt_container_of(redis->services.next, struct lt_redis_service, link)->main;
}

static void test_a_late_reply_is_for_nobody(void **state)
{
    (void)state;
    static struct asked a, b, c;
    ask_text(&a, get_k, 1, 50);
    ask(&b);
    int fd = greeted(), other;
    expect(fd, get_k);
    expect(fd, get_k);
    expect_error(&a, LT_REDIS_TIMEOUT);
    ask(&c); /* not over that one */
    other = greeted();
    expect(other, get_k);
    say(other, "$1\r\nc\r\n");
    expect_text(&c, "c");
    say(fd, "$1\r\na\r\n$1\r\nb\r\n");
    expect_text(&b, "b");
    expect_end(fd);
    assert_int_equal(lt_redis_connections(redis), 1);
    close(other);
}

static void test_a_server_that_is_down_is_tried_again(void **state)
{
    (void)state;
    static struct asked a;
    struct lt_addr address = {.in = {.sin_family = AF_INET}, .len = sizeof(address.in)};
    address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    lt_addr_set_port(&address, port);
    close(listener);
    ask(&a);
    expect_error(&a, LT_REDIS_UNREACHABLE);
    ask(&a);
    assert_int_equal(a.call.error, LT_REDIS_UNREACHABLE); /* told before anything was tried */
    expect_error(&a, LT_REDIS_UNREACHABLE);
    assert_int_equal(lt_redis_connections(redis), 0);
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(listener, &address.sa, address.len), 0);
    assert_int_equal(listen(listener, 10), 0);
    int fd = greeted(); /* by itself */
    RUN_UNTIL(loop, !main_node()->down);
    ask(&a);
    expect(fd, get_k);
    say(fd, "$1\r\nx\r\n");
    expect_text(&a, "x");
    close(fd);
}

static void test_what_nobody_wants_is_closed_and_not_tried(void **state)
{
    (void)state;
    static struct asked a;
    ask(&a);
    int fd = greeted();
    expect(fd, get_k);
    say(fd, "$1\r\nx\r\n");
    expect_text(&a, "x");
    struct lt_redis_node *node = main_node();
    node->timer.fn(node->timer.arg); /* too early */
    assert_int_equal(lt_redis_connections(redis), 1);
    lt_container_of(node->conns.next, struct lt_redis_conn, link)->used_us = 0;
    loop->now_us += LT_REDIS_IDLE_MS * 1000;
    node->timer.fn(node->timer.arg);
    assert_int_equal(lt_redis_connections(redis), 0);
    expect_end(fd);
    lt_redis_node_failed(node, LT_STR("for the test"));
    assert_true(node->down);
    node->asked_us = 0;
    loop->now_us += LT_REDIS_WANTED_MS * 1000;
    node->timer.fn(node->timer.arg);
    assert_false(node->down);
    assert_int_equal(lt_redis_connections(redis), 0);
}

static void test_a_greeting_that_is_refused(void **state)
{
    (void)state;
    static struct asked a;
    use("redis://me:pass@127.0.0.1:%u/3");
    ask(&a);
    int fd = accept_one();
    expect(fd, "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\npass\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    expect(fd, ping);
    say(fd, "+OK\r\n-ERR DB index is out of range\r\n");
    RUN_UNTIL(loop, a.calls == 1);
    assert_true(lt_str_find(a.call.detail, LT_STR("the database was refused: ERR DB index")) !=
                SIZE_MAX);
    expect_error(&a, LT_REDIS_UNREACHABLE);
    expect_end(fd);
    /* LOADING says that it will be there later. */
    fd = accept_one();
    expect(fd, "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\npass\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    expect(fd, ping);
    say(fd, "+OK\r\n+OK\r\n-LOADING Redis is loading\r\n");
    expect_end(fd);
    fd = accept_one();
    expect(fd, "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\npass\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    expect(fd, ping);
    say(fd, "+OK\r\n+OK\r\n-NOPERM this user has no permissions\r\n");
    RUN_UNTIL(loop, !main_node()->down);
    close(fd);
}

/* ---- ends and limits ---- */

static void test_giving_up_in_every_state(void **state)
{
    (void)state;
    static struct asked a, b;
    use("redis://name.test:%u");
    ask(&a); /* waits for the name */
    assert_non_null(question);
    lt_redis_call_fini(&a.call);
    use("redis://127.0.0.1:%u");
    ask(&a); /* connects */
    lt_redis_call_fini(&a.call);
    int fd = accept_one();
    ask(&a); /* greets */
    lt_redis_call_fini(&a.call);
    expect(fd, ping);
    ask(&a);
    say(fd, "+PONG\r\n");
    expect(fd, get_k); /* waits for its reply */
    lt_redis_call_fini(&a.call);
    ask(&b);
    expect(fd, get_k);
    say(fd, "$1\r\na\r\n$1\r\nb\r\n");
    RUN_UNTIL(loop, b.calls == 1);
    expect_reply(&b, 0, LT_REDIS_STRING, "b");
    lt_redis_call_fini(&b.call);
    assert_int_equal(redis->n_calls, 0);
    close(fd);
}

static void test_a_pipeline_stays_together(void **state)
{
    (void)state;
    static struct asked a;
    ask_text(&a, "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n", 2, 10000);
    int fd = greeted();
    expect(fd, "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n");
    say(fd, "-ERR one\r\n");
    say(fd, "$3\r\ntwo\r\n");
    RUN_UNTIL(loop, a.calls == 1);
    expect_reply(&a, 0, LT_REDIS_ERROR_TEXT, "ERR one");
    expect_reply(&a, 1, LT_REDIS_STRING, "two");
    lt_redis_call_fini(&a.call);
    close(fd);
}

static void test_what_is_in_flight_has_a_limit(void **state)
{
    (void)state;
    static struct asked v[LT_REDIS_CALLS_MAX + 1];
    static int fds[LT_REDIS_CONNS_MAX];
    for (unsigned i = 0; i < LT_REDIS_CALLS_MAX; i++) {
        ask(&v[i]);
        assert_int_equal(v[i].call.error, LT_REDIS_OK);
    }
    ask(&v[LT_REDIS_CALLS_MAX]);
    expect_error(&v[LT_REDIS_CALLS_MAX], LT_REDIS_BUSY);
    for (unsigned i = 0; i < LT_REDIS_CONNS_MAX; i++) {
        fds[i] = greeted(); /* each as soon as the one before is full */
    }
    assert_int_equal(lt_redis_connections(redis), LT_REDIS_CONNS_MAX);
    for (unsigned i = 0; i < LT_REDIS_CALLS_MAX; i++) {
        lt_redis_call_fini(&v[i].call);
    }
    assert_int_equal(redis->n_calls, 0);
    for (unsigned i = 0; i < LT_REDIS_CONNS_MAX; i++) {
        close(fds[i]);
    }
    RUN_UNTIL(loop, lt_redis_connections(redis) == 0);
}

static void test_services_make_room(void **state)
{
    (void)state;
    static struct asked a;
    char text[64];
    for (unsigned i = 0; i < LT_REDIS_SERVICES_MAX + 10; i++) {
        snprintf(text, sizeof(text), "redis://127.0.0.1:%%u/%u", i);
        use(text);
        ask(&a);
        lt_redis_call_fini(&a.call);
    }
    assert_int_equal(redis->by_key.live, LT_REDIS_SERVICES_MAX);
    assert_true(lt_redis_connections(redis) <= LT_REDIS_SERVICES_MAX);
}

static void play(void)
{
    static struct asked a;
    ask_text(&a, "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n", 2, 10000);
    int fd = -1;
    uint64_t end = lt_clock_us() + 10000000;
    bool done = false;
    while (a.calls == 0 && lt_clock_us() < end) {
        char buf[256];
        one_turn(loop);
        fd = fd < 0 ? accept4(listener, NULL, NULL, SOCK_NONBLOCK) : fd;
        if (fd >= 0 && recv(fd, buf, sizeof(buf), 0) > 0 && !done) {
            /* All replies at once: the next ones wait in the reader. */
            say(fd, "+PONG\r\n*1\r\n:1\r\n$1\r\nx\r\n");
            done = true;
        }
    }
    assert_int_equal(a.calls, 1);
    lt_redis_call_fini(&a.call);
    if (fd >= 0) {
        close(fd);
    }
}

static void test_nothing_is_left_whichever_allocation_fails(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 30; n++) {
        lt_redis_free(redis);
        redis = lt_redis_new(loop, addresses, NULL);
        assert_non_null(redis);
        lt_mem_fail_at(n);
        play();
        lt_mem_fail_at(0);
        assert_int_equal(redis->held, 0);
        assert_int_equal(redis->n_calls, 0);
    }
}

/* ---- URLs, commands, slots ---- */

static void test_urls(void **state)
{
    (void)state;
    struct lt_redis_url u;
    const char *why;
    static const char *const wrong[] = {
        "",
        "localhost",
        "http://localhost",
        "redis://",
        "redis://a b",
        "redis://h:70000",
        "redis://h:0",
        "redis://user@h",
        "redis://user:@h",
        "redis://:%zz@h",
        "redis://:%0@h",
        "redis://:a%00b@h",
        "redis://h/x",
        "redis://h/99999999",
        "redis://h?db=1",
        "redis://h#x",
        "redis://h1,h2",
        "redis://[h]",
        "redis://[::1",
        "redis://0.0.0.0",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h/m/x",
        "redis+cluster://h/1",
        "redis+cluster://h,,g",
        "redis+cluster://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
        "unix://rel/sock",
        "unix:///s?db=x",
        "unix:///s?x=1",
    };
    for (size_t i = 0; i < lt_countof(wrong); i++) {
        if (lt_redis_url_parse(lt_str_c(wrong[i]), &u, &why) == LT_OK) {
            fail_msg("taken: %s", wrong[i]);
        }
        assert_true(strlen(why) > 10);
    }
    assert_int_equal(lt_redis_url_parse(LT_STR("redis://Me:p%40%2f@HOST/7"), &u, &why), LT_OK);
    assert_str(u.user, "Me");
    assert_str(u.password, "p@/");
    assert_str(u.seeds[0].host, "host");
    assert_int_equal(u.seeds[0].port, 6379);
    assert_int_equal(u.db, 7);
    assert_false(u.tls);
    assert_int_equal(lt_redis_url_parse(LT_STR("rediss+sentinel://:x@[::1]:5,b/mine/2"), &u, &why),
                     LT_OK);
    assert_true(u.tls);
    assert_int_equal(u.n_seeds, 2);
    assert_str(u.seeds[0].host, "::1");
    assert_int_equal(u.seeds[0].port, 5);
    assert_int_equal(u.seeds[1].port, 26379);
    assert_str(u.master, "mine");
    assert_int_equal(u.db, 2);
    assert_int_equal(lt_redis_url_parse(LT_STR("unix:///run/a%20b?db=1"), &u, &why), LT_OK);
    assert_string_equal(u.seeds[0].addr.un.sun_path, "/run/a b");
    assert_int_equal(u.db, 1);
    assert_int_equal(lt_redis_url_parse(LT_STR("redis+cluster://a,b:7/"), &u, &why), LT_OK);
    assert_int_equal(u.seeds[1].port, 7);
}

static void test_slots(void **state)
{
    (void)state;
    assert_int_equal(lt_redis_slot(LT_STR("123456789")), 0x31c3 % LT_REDIS_SLOTS);
    assert_int_equal(lt_redis_slot(LT_STR("foo")), 12182);
    assert_int_equal(lt_redis_slot(LT_STR("{foo}bar")), 12182);
    assert_int_equal(lt_redis_slot(LT_STR("a{foo}{b}")), 12182);
    assert_true(lt_redis_slot(LT_STR("{}foo")) != 12182);
    assert_true(lt_redis_slot(LT_STR("{foo")) != 12182);
    static const struct {
        const char *command;
        unsigned slot;
    } cases[] = {
        {"*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n", 12182},
        {"*1\r\n$4\r\nPING\r\n", LT_REDIS_SLOTS},
        {"*4\r\n$4\r\neval\r\n$1\r\nx\r\n$1\r\n1\r\n$3\r\nfoo\r\n", 12182},
        {"*4\r\n$4\r\nEVAL\r\n$1\r\nx\r\n$1\r\n0\r\n$3\r\nfoo\r\n", LT_REDIS_SLOTS},
        {"*3\r\n$6\r\nOBJECT\r\n$4\r\nFREQ\r\n$3\r\nfoo\r\n", 12182},
        {"*4\r\n$5\r\nXREAD\r\n$7\r\nstreams\r\n$3\r\nfoo\r\n$1\r\n0\r\n", 12182},
        {"*2\r\n$5\r\nXREAD\r\n$7\r\nSTREAMS\r\n", LT_REDIS_SLOTS},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        assert_int_equal(lt_redis_command_slot(lt_str_c(cases[i].command)), cases[i].slot);
    }
}

/* ---- a cluster ---- */

static const char slots[] = "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";

static void say_map(int fd)
{
    char text[200];
    snprintf(
        text, sizeof(text),
        "*1\r\n*4\r\n:0\r\n:16383\r\n*3\r\n$0\r\n\r\n:%u\r\n$2\r\nid\r\n*2\r\n$1\r\na\r\n:1\r\n",
        port);
    say(fd, text);
}

/* As expect; the map may be asked for before. */
static void expect_in_cluster(int fd, const char *text)
{
    char buf[8] = "";
    RUN_UNTIL(loop, recv(fd, buf, sizeof(buf), MSG_PEEK) == (ssize_t)sizeof(buf));
    if (memcmp(buf, slots, sizeof(buf)) == 0) {
        expect(fd, slots);
        say_map(fd);
    }
    expect(fd, text);
}

static void test_a_cluster_that_says_later_or_elsewhere(void **state)
{
    (void)state;
    static struct asked a;
    char text[100];
    use("redis+cluster://127.0.0.1:%u");
    ask(&a);
    int fd = greeted();
    expect(fd, slots);
    say_map(fd);
    expect_in_cluster(fd, get_k);
    say(fd, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
    expect_in_cluster(fd, get_k);
    snprintf(text, sizeof(text), "-ASK 7629 127.0.0.1:%u\r\n", port);
    say(fd, text);
    expect_in_cluster(fd, "*1\r\n$6\r\nASKING\r\n");
    expect_in_cluster(fd, get_k);
    say(fd, "+OK\r\n-MOVED 7629 :");
    snprintf(text, sizeof(text), "%u\r\n", port);
    say(fd, text);
    expect_in_cluster(fd, get_k);
    say(fd, "$1\r\nx\r\n");
    expect_text(&a, "x");
    close(fd);
    RUN_UNTIL(loop, lt_redis_connections(redis) == 0);
}

static void test_redirections_come_to_an_end(void **state)
{
    (void)state;
    static struct asked a;
    static const char *const wrong[] = {"-MOVED x 127.0.0.1:1\r\n", "-MOVED 7629\r\n",
                                        "-MOVED 99999 127.0.0.1:1\r\n", "-ASK 7629 a b:1\r\n",
                                        "-MOVED 7629 127.0.0.1:99999\r\n"};
    char text[100];
    use("redis+cluster://127.0.0.1:%u");
    ask(&a);
    int fd = greeted();
    expect(fd, slots);
    say_map(fd);
    snprintf(text, sizeof(text), "-ASK 7629 127.0.0.1:%u\r\n", port);
    for (unsigned i = 0; i < 6; i++) {
        if (i > 0) {
            expect_in_cluster(fd, "*1\r\n$6\r\nASKING\r\n");
            say(fd, "+OK\r\n");
        }
        expect_in_cluster(fd, get_k);
        say(fd, text);
    }
    RUN_UNTIL(loop, a.calls == 1);
    text[strlen(text) - 2] = '\0';
    expect_reply(&a, 0, LT_REDIS_ERROR_TEXT, text + 1);
    lt_redis_call_fini(&a.call);
    for (size_t i = 0; i < lt_countof(wrong); i++) {
        ask(&a);
        expect_in_cluster(fd, get_k);
        say(fd, wrong[i]);
        RUN_UNTIL(loop, a.calls == 1);
        assert_int_equal(a.call.error, LT_REDIS_OK);
        lt_redis_call_fini(&a.call);
    }
    ask(&a);
    for (unsigned i = 0; i < 11; i++) {
        expect_in_cluster(fd, get_k);
        say(fd, "-CLUSTERDOWN Hash slot not served\r\n");
    }
    RUN_UNTIL(loop, a.calls == 1);
    expect_reply(&a, 0, LT_REDIS_ERROR_TEXT, "CLUSTERDOWN Hash slot not served");
    lt_redis_call_fini(&a.call);
    close(fd);
}

static void test_maps_that_make_no_sense(void **state)
{
    (void)state;
    static struct asked a;
    static const char *const maps[] = {
        "*0\r\n",
        "+OK\r\n",
        "$-1\r\n",
        "-ERR no\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*1\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$3\r\na b\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n$1\r\na\r\n",
    };
    int fd = -1;
    use("redis+cluster://127.0.0.1:%u");
    for (size_t i = 0; i < lt_countof(maps); i++) {
        ask(&a);
        fd = fd < 0 ? greeted() : fd;
        expect(fd, slots);
        say(fd, maps[i]);
        expect_error(&a, LT_REDIS_UNREACHABLE);
    }
    ask(&a); /* given up while it waits for the map */
    expect(fd, slots);
    lt_redis_call_fini(&a.call);
    say_map(fd);
    RUN_UNTIL(loop, redis->n_calls == 0);
    close(fd);
}

static void test_sentinels_that_make_no_sense(void **state)
{
    (void)state;
    static struct asked a;
    static const char question_text[] =
        "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$1\r\nm\r\n";
    static const char *const answers[] = {
        "*-1\r\n",
        "*1\r\n$1\r\na\r\n",
        "*2\r\n:1\r\n:2\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        "*2\r\n$3\r\na b\r\n$1\r\n1\r\n",
        "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
    };
    int fd = -1;
    use("redis+sentinel://127.0.0.1:%u/m");
    ask(&a);
    for (size_t i = 0; i < lt_countof(answers); i++) { /* tried again by itself */
        fd = fd < 0 ? greeted() : fd;
        expect(fd, question_text);
        say(fd, answers[i]);
        if (i == 0) {
            expect_error(&a, LT_REDIS_UNREACHABLE);
        }
    }
    expect(fd, question_text);
    char text[100], digits[12];
    int n = snprintf(digits, sizeof(digits), "%u", port);
    snprintf(text, sizeof(text), "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", n, digits);
    say(fd, text);
    int master = accept_one();
    expect(master, "*1\r\n$4\r\nROLE\r\n");
    say(master, "*2\r\n$5\r\nslave\r\n:0\r\n");
    expect_end(master);
    expect(fd, question_text);
    say(fd, text);
    master = accept_one();
    expect(master, "*1\r\n$4\r\nROLE\r\n");
    say(master, "*2\r\n$6\r\nmaster\r\n:0\r\n");
    RUN_UNTIL(loop, !main_node()->down);
    ask(&a);
    expect(master, get_k);
    say(master, "$1\r\nx\r\n");
    expect_text(&a, "x");
    close(fd);
    close(master);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_reply_in_single_bytes),
        T(test_replies_have_the_order_of_the_commands),
        T(test_what_is_malformed_ends_the_connection),
        T(test_giant_and_deep_replies_are_refused),
        T(test_a_list_that_only_promises_takes_no_memory),
        T(test_a_late_reply_is_for_nobody),
        T(test_a_server_that_is_down_is_tried_again),
        T(test_what_nobody_wants_is_closed_and_not_tried),
        T(test_a_greeting_that_is_refused),
        T(test_giving_up_in_every_state),
        T(test_a_pipeline_stays_together),
        T(test_what_is_in_flight_has_a_limit),
        T(test_services_make_room),
        T(test_nothing_is_left_whichever_allocation_fails),
        T(test_urls),
        T(test_slots),
        T(test_a_cluster_that_says_later_or_elsewhere),
        T(test_redirections_come_to_an_end),
        T(test_maps_that_make_no_sense),
        T(test_sentinels_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
