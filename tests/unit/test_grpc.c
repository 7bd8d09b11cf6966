/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC as a gateway sees it. */
#include "unit.h"

#include "base/arena.h"
#include "base/mem.h"
#include "http/grpc.h"

static struct lt_arena arena;

static int setup(void **state)
{
    (void)state;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_arena_fini(&arena);
    return 0;
}

static bool is_call(unsigned version, const char *type)
{
    struct lt_request req = {.version = version};
    lt_headers_init(&req.headers, &arena, 4);
    if (type != NULL) {
        assert_int_equal(lt_headers_add_id(&req.headers, LT_HEADER_CONTENT_TYPE, lt_str_c(type)),
                         LT_OK);
    }
    return lt_grpc_is_call(&req);
}

static void calls_are_known_by_their_content_type(void **state)
{
    (void)state;
    assert_true(is_call(20, "application/grpc"));
    assert_true(is_call(20, "application/grpc+proto"));
    assert_true(is_call(20, "Application/gRPC;charset=x"));
    assert_false(is_call(20, "application/grpc-web"));
    assert_false(is_call(20, "application/grpcx"));
    assert_false(is_call(20, "application/grp"));
    assert_false(is_call(20, NULL));
    assert_false(is_call(11, "application/grpc"));
}

static void timeouts_have_eight_digits_and_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t us; /* 0: it is none */
    } v[] = {
        {"1H", UINT64_C(3600000000)},
        {"2M", 120000000},
        {"3S", 3000000},
        {"250m", 250000},
        {"7u", 7},
        {"1n", 1},
        {"1001n", 2},
        {"0S", 1},
        {"99999999H", UINT64_C(99999999) * UINT64_C(3600000000)},
        {"100000000S", 0},
        {"S", 0},
        {"", 0},
        {"5", 0},
        {"5s", 0},
        {"-5S", 0},
        {" 5S", 0},
        {"5 S", 0},
        {"5SS", 0},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
        uint64_t us = 0;
        bool ok = lt_grpc_timeout(lt_str_c(v[i].text), &us);
        assert_int_equal(ok, v[i].us > 0);
        if (ok) {
            assert_int_equal(us, v[i].us);
        }
    }
}

static void timeouts_are_written_without_being_longer(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        const char *text;
    } v[] = {
        {0, "1u"},
        {1, "1u"},
        {99999999, "99999999u"},
        {100000000, "100000m"},
        {UINT64_C(100000000999), "100000S"},
        {UINT64_C(3600000000) * 24 * 365, "31536000S"},
        {UINT64_MAX, "99999999H"},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
        char out[LT_GRPC_TIMEOUT_MAX + 1];
        size_t n = lt_grpc_write_timeout(v[i].us, out);
        if (v[i].us < UINT64_MAX) {
            assert_str(lt_str(out, n), v[i].text);
        }
        uint64_t us;
        assert_true(lt_grpc_timeout(lt_str(out, n), &us));
        assert_true(us <= (v[i].us > 0 ? v[i].us : 1));
    }
}

static void every_status_has_a_counterpart(void **state)
{
    (void)state;
    assert_int_equal(lt_grpc_status_of(400), LT_GRPC_INTERNAL);
    assert_int_equal(lt_grpc_status_of(401), LT_GRPC_UNAUTHENTICATED);
    assert_int_equal(lt_grpc_status_of(403), LT_GRPC_PERMISSION_DENIED);
    assert_int_equal(lt_grpc_status_of(404), LT_GRPC_UNIMPLEMENTED);
    assert_int_equal(lt_grpc_status_of(413), LT_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(lt_grpc_status_of(429), LT_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(lt_grpc_status_of(499), LT_GRPC_CANCELLED);
    for (unsigned s = 502; s <= 504; s++) {
        assert_int_equal(lt_grpc_status_of(s), LT_GRPC_UNAVAILABLE);
    }
    assert_int_equal(lt_grpc_status_of(302), LT_GRPC_UNKNOWN);
}

static void messages_are_graphic_ascii(void **state)
{
    (void)state;
    struct lt_str out;
    assert_true(lt_grpc_message(&arena, LT_STR("50% of\r\nw\xc3\xb6rk~"), &out));
    assert_str(out, "50%25 of%0D%0Aw%C3%B6rk~");
    assert_true(lt_grpc_message(&arena, LT_STR(""), &out));
    assert_int_equal(out.len, 0);
    lt_mem_fail_at(1);
    char many[8192] = {0};
    assert_false(lt_grpc_message(&arena, lt_str(many, sizeof(many)), &out));
    lt_mem_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_are_known_by_their_content_type, setup, teardown),
        cmocka_unit_test(timeouts_have_eight_digits_and_a_unit),
        cmocka_unit_test(timeouts_are_written_without_being_longer),
        cmocka_unit_test(every_status_has_a_counterpart),
        cmocka_unit_test_setup_teardown(messages_are_graphic_ascii, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
