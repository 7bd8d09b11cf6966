/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of our own to a server that the test plays: limits, turns, origins, ends, and that
 * nothing is left whichever allocation fails. */
#include "upstream/fetch.h"

#include "service_env.h"
#include "upstream/origins.h"

#include <stdio.h>

static struct lt_origins *origins;

static int setup(void **state)
{
    (void)state;
    service_setup();
    origins = lt_origins_new(loop, addresses, NULL);
    return origins == NULL;
}

static int teardown(void **state)
{
    (void)state;
    lt_loop_settle(loop);
    lt_origins_free(origins);
    service_teardown();
    return 0;
}

struct asked {
    struct lt_fetch fetch;
    unsigned calls;
};

static void on_done(void *owner)
{
    ((struct asked *)owner)->calls++;
}

/* GET http://host:port/; port 0: the listener's. */
static void ask_at(struct asked *a, const char *host, unsigned at)
{
    char text[100];
    const char *why;
    a->calls = 0;
    lt_fetch_init(&a->fetch, origins);
    snprintf(text, sizeof(text), "http://%s:%u/", host, at != 0 ? at : port);
    enum lt_err err = lt_url_parse(&a->fetch.arena, lt_str_c(text), &a->fetch.url, &why);
    if (err == LT_OK) {
        err = lt_headers_add_id(&a->fetch.req.headers, LT_HEADER_HOST, a->fetch.url.authority);
    }
    a->fetch.timeout_ms = a->fetch.connect_ms = 10000;
    a->fetch.body_max = 100;
    if (err != LT_OK) {
        lt_fetch_fail(&a->fetch, LT_FETCH_BUSY, LT_STR("no memory for the test"));
        a->calls++;
        return;
    }
    lt_fetch_start(&a->fetch, on_done, a);
    assert_int_equal(a->calls, 0);
}

static void ask(struct asked *a)
{
    ask_at(a, "127.0.0.1", 0);
}

/* Reads a request and answers it. */
static void serve(int fd, const char *answer)
{
    char buf[4096];
    RUN_UNTIL(loop, recv(fd, buf, sizeof(buf), 0) > 0);
    assert_int_equal(send(fd, answer, strlen(answer), MSG_NOSIGNAL), (ssize_t)strlen(answer));
}

static const char ok_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void test_an_answer_and_the_connection_again(void **state)
{
    (void)state;
    static struct asked a;
    int fd = -1;
    for (int i = 0; i < 3; i++) {
        ask(&a);
        fd = i == 0 ? accept_one() : fd;
        serve(fd, ok_answer);
        RUN_UNTIL(loop, a.calls == 1);
        assert_int_equal(a.fetch.error, LT_FETCH_OK);
        assert_int_equal(a.fetch.res->status, 200);
        assert_str(lt_buf_view(&a.fetch.received), "ok");
        assert_int_equal(origins->held, 2);
        lt_fetch_fini(&a.fetch);
        assert_int_equal(origins->held, 0);
        assert_int_equal(lt_origins_idle(origins), 1);
    }
    assert_int_equal(lt_origins_count(origins), 1);
    close(fd);
    RUN_UNTIL(loop, lt_origins_idle(origins) == 0);
}

static void test_giving_up_closes_in_every_state(void **state)
{
    (void)state;
    static struct asked a;
    char buf[4096];
    ask_at(&a, "name.test", 0); /* waits for the name */
    assert_non_null(question);
    lt_fetch_fini(&a.fetch);
    ask(&a); /* connects */
    lt_fetch_fini(&a.fetch);
    ask(&a); /* waits for the answer */
    int fd = accept_one();
    for (int i = 0; i < 2; i++) { /* the one before was accepted by the kernel, too */
        ssize_t n = -1;
        RUN_UNTIL(loop, (n = recv(fd, buf, sizeof(buf), 0)) >= 0);
        if (n > 0) {
            break;
        }
        close(fd);
        fd = accept_one();
    }
    lt_fetch_fini(&a.fetch);
    RUN_UNTIL(loop, recv(fd, buf, sizeof(buf), 0) == 0);
    close(fd);
    ask(&a); /* half of the answer is there */
    fd = accept_one();
    serve(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    RUN_UNTIL(loop, a.fetch.received.len == 1);
    lt_fetch_fini(&a.fetch);
    RUN_UNTIL(loop, recv(fd, buf, sizeof(buf), 0) == 0);
    close(fd);
    assert_int_equal(origins->active, 0);
    assert_int_equal(origins->held, 0);
    assert_int_equal(a.calls, 0);
}

static void test_turns(void **state)
{
    (void)state;
    enum { ALL = LT_ORIGIN_FETCHES_MAX + LT_ORIGIN_WAITING_MAX };
    static struct asked v[ALL + 1];
    static int fds[ALL];
    for (unsigned i = 0; i < ALL + 1; i++) {
        ask(&v[i]);
    }
    RUN_UNTIL(loop, v[ALL].calls == 1);
    assert_int_equal(v[ALL].fetch.error, LT_FETCH_BUSY);
    assert_string_equal(lt_fetch_error_name(v[ALL].fetch.error), "busy");
    assert_int_equal(origins->active, LT_ORIGIN_FETCHES_MAX);
    lt_fetch_fini(&v[ALL].fetch);
    lt_fetch_fini(&v[LT_ORIGIN_FETCHES_MAX].fetch); /* one that waits leaves */
    for (unsigned i = 0; i < LT_ORIGIN_FETCHES_MAX; i++) {
        fds[i] = accept_one();
    }
    serve(fds[0], ok_answer); /* the next one has its turn, over the same connection */
    RUN_UNTIL(loop, origins->active == LT_ORIGIN_FETCHES_MAX &&
                        v[LT_ORIGIN_FETCHES_MAX + 1].fetch.running);
    assert_false(v[LT_ORIGIN_FETCHES_MAX + 2].fetch.running);
    for (unsigned i = 0; i < ALL; i++) {
        if (i != LT_ORIGIN_FETCHES_MAX) {
            lt_fetch_fini(&v[i].fetch);
        }
    }
    one_turn(loop);
    assert_int_equal(origins->active, 0);
    for (unsigned i = 0; i < LT_ORIGIN_FETCHES_MAX; i++) {
        close(fds[i]);
    }
}

static void test_the_oldest_origin_makes_room(void **state)
{
    (void)state;
    static struct asked busy, a;
    char host[32];
    ask(&busy);
    int fd = accept_one();
    for (unsigned i = 1; i < LT_ORIGINS_MAX + 20; i++) {
        snprintf(host, sizeof(host), "127.0.%u.%u", i / 200, 2 + i % 200);
        ask_at(&a, host, 1); /* nobody listens */
        RUN_UNTIL(loop, a.calls == 1);
        assert_int_equal(a.fetch.error, LT_FETCH_CONNECT_REFUSED);
        lt_fetch_fini(&a.fetch);
        assert_true(lt_origins_count(origins) <= LT_ORIGINS_MAX);
    }
    assert_int_equal(lt_origins_count(origins), LT_ORIGINS_MAX);
    serve(fd, ok_answer); /* the one in use stayed */
    RUN_UNTIL(loop, busy.calls == 1);
    assert_int_equal(busy.fetch.error, LT_FETCH_OK);
    lt_fetch_fini(&busy.fetch);
    close(fd);
}

static void test_memory_of_all_bodies_is_bounded(void **state)
{
    (void)state;
    static struct asked a;
    origins->held = LT_FETCH_HELD_MAX - 1;
    ask(&a);
    int fd = accept_one();
    serve(fd, ok_answer);
    RUN_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.fetch.error, LT_FETCH_BUSY);
    assert_str(a.fetch.detail, "responses hold too much memory");
    lt_fetch_fini(&a.fetch);
    assert_int_equal(origins->held, LT_FETCH_HELD_MAX - 1);
    origins->held = 0;
    close(fd);
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    static struct asked a;
    bool done = false;
    for (unsigned n = 1; n < 200 && !done; n++) {
        char buf[4096];
        int fd = -1, next;
        lt_loop_settle(loop);
        lt_origins_free(origins);
        origins = lt_origins_new(loop, addresses, NULL);
        lt_mem_fail_at(n);
        ask(&a);
        uint64_t end_us = lt_clock_us() + 10000000;
        while (a.calls == 0 && lt_clock_us() < end_us) {
            one_turn(loop);
            next = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            fd = next >= 0 ? next : fd;
            if (fd >= 0 && recv(fd, buf, sizeof(buf), 0) > 0) {
                assert_true(send(fd, ok_answer, strlen(ok_answer), MSG_NOSIGNAL) > 0);
            }
        }
        lt_mem_fail_at(0);
        assert_int_equal(a.calls, 1);
        done = a.fetch.error == LT_FETCH_OK;
        assert_true(done || a.fetch.detail.len > 0);
        lt_fetch_fini(&a.fetch);
        one_turn(loop);
        assert_int_equal(origins->active, 0);
        if (fd >= 0) {
            close(fd);
        }
    }
    assert_true(done);
}

static void test_names_of_errors(void **state)
{
    (void)state;
    for (int i = 1; i < LT_FETCH_ERRORS; i++) {
        const char *name = lt_fetch_error_name((enum lt_fetch_error)i);
        assert_int_equal(lt_fetch_error_find(lt_str_c(name)), i);
    }
    assert_int_equal(lt_fetch_error_find(LT_STR("bad luck")), LT_FETCH_OK);
    assert_string_equal(lt_fetch_error_name(LT_FETCH_OK), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_answer_and_the_connection_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_giving_up_closes_in_every_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_origin_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_all_bodies_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_allocation_may_fail, setup, teardown),
        cmocka_unit_test(test_names_of_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
