/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: what an answer of the health protocol of gRPC says, and that nothing is left whichever
 * allocation fails. */
#include "net_env.h"

#include "base/mem.h"
#include "upstream/check.h"
#include "upstream/pool.h"

static int status_of(const char *message, size_t n)
{
    char body[64] = {0, 0, 0, 0, (char)n};
    memcpy(body + 5, message, n);
    return lt_check_grpc_status(lt_str(body, 5 + n));
}

static void answers_of_the_health_protocol(void **state)
{
    (void)state;
    assert_int_equal(status_of("\x08\x01", 2), 1);
    assert_int_equal(status_of("\x08\x02", 2), 2);
    assert_int_equal(status_of("", 0), 0);                   /* the default is left out */
    assert_int_equal(status_of("\x12\x02xy\x08\x01", 6), 1); /* fields of the future */
    assert_int_equal(status_of("\x10\x07\x08\x01", 4), 1);
    assert_int_equal(status_of("\x08\x02\x08\x01", 4), 1); /* the last one holds */
    assert_int_equal(status_of("\x08", 1), -1);            /* cut */
    assert_int_equal(status_of("\x08\x81", 2), -1);
    assert_int_equal(status_of("\x12\x09x", 3), -1);
    assert_int_equal(status_of("\x0d\x01\x01\x01\x01", 5), -1); /* not what it is */
    assert_int_equal(status_of("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12), -1);
    assert_int_equal(lt_check_grpc_status(lt_str("\0\0\0\0", 4)), -1);
    assert_int_equal(lt_check_grpc_status(lt_str("\1\0\0\0\2\x08\x01", 7)), -1); /* compressed */
    assert_int_equal(lt_check_grpc_status(LT_STR_NONE), -1);
}

struct outcome {
    unsigned calls;
    bool ok;
    char why[LT_CHECK_TEXT_MAX];
};

static void on_checked(void *owner, bool ok, struct lt_str why)
{
    struct outcome *o = owner;
    o->calls++;
    o->ok = ok;
    memcpy(o->why, why.p, why.len + 1);
}

static int listener;

/* A check during which the n-th allocation and all later ones fail; 0: none does. */
static void check_once(struct lt_loop *loop, const struct lt_server *server, unsigned n,
                       struct outcome *out)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static struct lt_check check;
    struct lt_pools *pools = lt_pools_new(loop, NULL);
    char buf[1024];
    int peer = -1;
    assert_non_null(pools);
    *out = (struct outcome){.calls = 0};
    lt_loop_update_time(loop);
    lt_mem_fail_at(n);
    lt_check_start(&check, pools, server, on_checked, out);
    uint64_t end_us = lt_clock_us() + 10000000;
    while (out->calls == 0 && lt_clock_us() < end_us) {
        one_turn(loop);
        peer = peer < 0 ? accept(listener, NULL, NULL) : peer;
        if (peer >= 0 && recv(peer, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
            assert_true(send(peer, answer, sizeof(answer) - 1, MSG_NOSIGNAL) > 0);
        }
    }
    lt_mem_fail_at(0);
    one_turn(loop);
    assert_int_equal(out->calls, 1);
    lt_pools_free(pools);
    while (peer >= 0) {
        close(peer);
        peer = accept(listener, NULL, NULL);
    }
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    static struct lt_status_range ok[] = {{200, 299}};
    struct lt_addr address = {.in = {.sin_family = AF_INET}, .len = sizeof(address.in)};
    address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, &address.sa, address.len), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, &address.sa, &address.len), 0);
    struct lt_loop *loop = lt_loop_new(BLOCKS_MAX);
    struct lt_server_state server_state = {.id = 3};
    struct lt_upstream upstream = {.name = LT_STR("app"), .head_max = 4096, .headers_max = 50};
    upstream.health.check = (struct lt_check_options){.kind = LT_CHECK_HTTP,
                                                      .method = LT_METHOD_GET,
                                                      .target = LT_STR("/healthz"),
                                                      .expect = {ok, 1},
                                                      .body_max = 100,
                                                      .timeout_ms = 5000};
    struct lt_server server = {.upstream = &upstream,
                               .name = LT_STR("127.0.0.1:1"),
                               .addr = address,
                               .state = &server_state};
    struct outcome out = {.ok = false};
    unsigned n = 0;
    for (n = 1; n < 100 && !out.ok; n++) {
        check_once(loop, &server, n, &out);
        assert_true(out.ok || out.why[0] != '\0');
    }
    assert_in_range(n, 4, 99);
    check_once(loop, &server, 0, &out);
    assert_true(out.ok);
    assert_string_equal(out.why, "");
    lt_loop_free(loop);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_the_health_protocol),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
