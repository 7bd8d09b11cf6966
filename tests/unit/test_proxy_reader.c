/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/net/proxy_reader.c: headers from sockets, and what is left in them. */
#include "net_env.h"

#include "base/mem.h"
#include "net/proxy_reader.h"

#define LINE "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"

struct seen {
    unsigned calls;
    enum lt_cause cause;
    bool given;
    char source[LT_ADDR_TEXT_MAX];
    const char *why;
};

struct world {
    struct lt_loop *loop;
    struct lt_proxy_readers readers;
    int here, there; /* the reader's end, the test's */
    struct seen seen;
};

static void on_result(const struct lt_proxied *c, const struct lt_proxy_header *header,
                      enum lt_cause cause, const char *why)
{
    struct world *w = c->owner;
    assert_int_equal(c->fd, w->here);
    w->seen.calls++;
    w->seen.cause = cause;
    w->seen.given = header->given;
    w->seen.why = why;
    if (header->given) {
        lt_addr_print(&header->source, w->seen.source);
    }
}

static void begin(struct world *w, bool required, unsigned timeout_ms)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    w->loop = lt_loop_new(BLOCKS_MAX);
    assert_non_null(w->loop);
    w->here = fds[0];
    w->there = fds[1];
    w->seen = (struct seen){.calls = 0};
    lt_proxy_readers_init(&w->readers, w->loop);
    const struct lt_proxied c = {.fd = w->here, .owner = w};
    lt_loop_update_time(w->loop);
    assert_int_equal(lt_proxy_read(&w->readers, &c, required, timeout_ms, on_result), LT_OK);
    assert_int_equal(w->readers.count, 1);
}

/* Nothing waits any more, and `rest` lies in the socket untouched. */
static void end(struct world *w, const char *rest)
{
    char left[64];
    assert_int_equal(w->seen.calls, 1);
    assert_int_equal(w->readers.count, 0);
    run_for(w->loop, 1);
    ssize_t n = recv(w->here, left, sizeof(left), MSG_DONTWAIT);
    assert_int_equal(n > 0 ? n : 0, strlen(rest));
    assert_memory_equal(left, rest, strlen(rest));
    close(w->here);
    close(w->there);
    lt_proxy_readers_fini(&w->readers);
    lt_loop_free(w->loop);
}

static void say(struct world *w, const char *text)
{
    assert_int_equal(send(w->there, text, strlen(text), 0), strlen(text));
}

static void test_what_follows_the_header_stays_in_the_socket(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, true, 5000);
    say(&w, LINE "GET / HTTP/1.1\r\n");
    RUN_UNTIL(w.loop, w.seen.calls > 0);
    assert_int_equal(w.seen.cause, LT_CAUSE_NONE);
    assert_string_equal(w.seen.source, "192.0.2.1:4711");
    end(&w, "GET / HTTP/1.1\r\n");
}

static void test_a_header_may_come_byte_by_byte(void **state LT_UNUSED)
{
    for (int required = 0; required < 2; required++) {
        struct world w;
        begin(&w, required, 5000);
        for (const char *p = LINE; *p != '\0'; p++) {
            char one[2] = {*p, '\0'};
            say(&w, one);
            run_for(w.loop, 1);
        }
        RUN_UNTIL(w.loop, w.seen.calls > 0);
        assert_int_equal(w.seen.cause, LT_CAUSE_NONE);
        assert_true(w.seen.given);
        end(&w, "");
    }
}

static void test_a_connection_without_header_is_given_back_untouched(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, false, 5000);
    say(&w, "PRO");
    run_for(w.loop, 50);
    assert_int_equal(w.seen.calls, 0);
    say(&w, "PFIND / HTTP/1.1\r\n");
    RUN_UNTIL(w.loop, w.seen.calls > 0);
    assert_int_equal(w.seen.cause, LT_CAUSE_NONE);
    assert_false(w.seen.given);
    end(&w, "PROPFIND / HTTP/1.1\r\n");
}

static void test_bytes_that_could_be_either_do_not_make_the_loop_spin(void **state LT_UNUSED)
{
    for (int required = 0; required < 2; required++) {
        struct world w;
        begin(&w, required, 150);
        say(&w, "PRO");
        assert_true(run_for(w.loop, 100) < 20);
        assert_int_equal(w.seen.calls, 0);
        RUN_UNTIL(w.loop, w.seen.calls > 0);
        assert_int_equal(w.seen.cause, LT_CAUSE_PROXY_HEADER_TIMEOUT);
        end(&w, required ? "" : "PRO");
    }
}

static void test_silence_ends_in_time(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, false, 50);
    RUN_UNTIL(w.loop, w.seen.calls > 0);
    assert_int_equal(w.seen.cause, LT_CAUSE_PROXY_HEADER_TIMEOUT);
    end(&w, "");
}

static void test_a_required_header_that_is_missing(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, true, 5000);
    say(&w, "GET /");
    RUN_UNTIL(w.loop, w.seen.calls > 0);
    assert_int_equal(w.seen.cause, LT_CAUSE_PROXY_HEADER_MISSING);
    end(&w, "GET /");
}

static void test_a_malformed_header_says_why(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, false, 5000);
    say(&w, "PROXY TCP5 \r\n");
    RUN_UNTIL(w.loop, w.seen.calls > 0);
    assert_int_equal(w.seen.cause, LT_CAUSE_PROXY_HEADER_INVALID);
    assert_non_null(strstr(w.seen.why, "protocol"));
    end(&w, "PROXY TCP5 \r\n");
}

static void test_a_peer_that_goes_is_gone(void **state LT_UNUSED)
{
    for (int bytes = 0; bytes < 2; bytes++) {
        struct world w;
        begin(&w, true, 5000);
        say(&w, bytes ? "PROXY TC" : "");
        run_for(w.loop, 5);
        shutdown(w.there, SHUT_WR);
        RUN_UNTIL(w.loop, w.seen.calls > 0);
        assert_int_equal(w.seen.cause, LT_CAUSE_CLIENT_GONE);
        end(&w, "");
    }
}

static void test_all_that_wait_can_be_ended(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, true, 5000);
    lt_proxy_readers_end(&w.readers);
    assert_int_equal(w.seen.cause, LT_CAUSE_DRAINING);
    end(&w, "");
}

static void test_without_memory_nothing_is_taken(void **state LT_UNUSED)
{
    struct world w;
    begin(&w, true, 5000);
    const struct lt_proxied c = {.fd = w.here, .owner = &w};
    lt_mem_fail_at(1);
    assert_int_equal(lt_proxy_read(&w.readers, &c, true, 5000, on_result), LT_ERR_NOMEM);
    lt_mem_fail_at(0);
    assert_int_equal(w.readers.count, 1);
    lt_proxy_readers_end(&w.readers);
    end(&w, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_follows_the_header_stays_in_the_socket),
        cmocka_unit_test(test_a_header_may_come_byte_by_byte),
        cmocka_unit_test(test_a_connection_without_header_is_given_back_untouched),
        cmocka_unit_test(test_bytes_that_could_be_either_do_not_make_the_loop_spin),
        cmocka_unit_test(test_silence_ends_in_time),
        cmocka_unit_test(test_a_required_header_that_is_missing),
        cmocka_unit_test(test_a_malformed_header_says_why),
        cmocka_unit_test(test_a_peer_that_goes_is_gone),
        cmocka_unit_test(test_all_that_wait_can_be_ended),
        cmocka_unit_test(test_without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
