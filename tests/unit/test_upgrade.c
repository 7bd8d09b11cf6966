/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of protocols in Upgrade. */
#include "unit.h"

#include "base/arena.h"
#include "http/upgrade.h"

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

static void no_http_may_be_allowed(void **state)
{
    (void)state;
    const char *no[] = {"h2c", "H2C", "h2", "http/2.0", "HTTP/1.1", "", "a b", "a/", "/a", "a,b"};
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
        assert_false(lt_upgrade_may_allow(lt_str_c(no[i])));
    }
    assert_true(lt_upgrade_may_allow(LT_STR("websocket")));
    assert_true(lt_upgrade_may_allow(LT_STR("TLS/1.0")));
    assert_true(lt_upgrade_may_allow(LT_STR("httpx")));
}

static void the_offer_is_what_both_want(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *more, *offer;
    } v[] = {
        {"websocket", NULL, "websocket"},
        {"WebSocket", NULL, "WebSocket"},
        {"h2c, websocket", NULL, "websocket"},
        {"h2c", NULL, ""},
        {"websocket/13", NULL, "websocket/13"},
        {"x,websocket,,irc/6.9", "irc/7", "websocket, irc/6.9"},
        {"irc", NULL, ""},
        {"websockets", NULL, ""},
        {"", NULL, ""},
        {",,,", NULL, ""},
    };
    const struct lt_str allowed[] = {LT_STR("websocket"), LT_STR("irc/6.9"), LT_STR("h2c")};
    for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
        struct lt_request req = {.version = 11, .upgrade = true};
        struct lt_str offer;
        lt_headers_init(&req.headers, &arena, 10);
        assert_int_equal(lt_headers_add_id(&req.headers, LT_HEADER_UPGRADE, lt_str_c(v[i].asked)),
                         LT_OK);
        if (v[i].more != NULL) {
            assert_int_equal(
                lt_headers_add_id(&req.headers, LT_HEADER_UPGRADE, lt_str_c(v[i].more)), LT_OK);
        }
        assert_int_equal(lt_upgrade_offer(&req, allowed, 3, &offer), LT_OK);
        assert_str(offer, v[i].offer);
        assert_int_equal(lt_upgrade_offer(&req, allowed, 0, &offer), LT_OK);
        assert_int_equal(offer.len, 0);
        req.version = 10;
        assert_int_equal(lt_upgrade_offer(&req, allowed, 3, &offer), LT_OK);
        assert_int_equal(offer.len, 0);
    }
}

static void a_101_must_name_what_was_offered(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *upgrade, *more, *length;
        bool coded;
        unsigned version;
        enum lt_cause cause;
    } v[] = {
        {"websocket", "WebSocket", NULL, NULL, false, 11, LT_CAUSE_NONE},
        {"websocket", "websocket", NULL, "0", false, 11, LT_CAUSE_NONE},
        {"a, b/1", "b/1, a", NULL, NULL, false, 11, LT_CAUSE_NONE},
        {"", "websocket", NULL, NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", "h2c", NULL, NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", "websocket, x", NULL, NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", "websocket", "websocket", NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", "", NULL, NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", ",", NULL, NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", NULL, NULL, NULL, false, 11, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", "websocket", NULL, NULL, false, 10, LT_CAUSE_UPGRADE_UNEXPECTED},
        {"websocket", "websocket", NULL, "3", false, 11, LT_CAUSE_RESPONSE_FRAMING_INVALID},
        {"websocket", "websocket", NULL, NULL, true, 11, LT_CAUSE_RESPONSE_FRAMING_INVALID},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
        struct lt_response res = {.status = 101, .version = v[i].version};
        enum lt_err err = LT_OK;
        lt_headers_init(&res.headers, &arena, 10);
        const char *values[] = {v[i].upgrade, v[i].more};
        for (int k = 0; k < 2 && err == LT_OK; k++) {
            if (values[k] != NULL) {
                err = lt_headers_add_id(&res.headers, LT_HEADER_UPGRADE, lt_str_c(values[k]));
            }
        }
        if (v[i].length != NULL && err == LT_OK) {
            err = lt_headers_add_id(&res.headers, LT_HEADER_CONTENT_LENGTH, lt_str_c(v[i].length));
        }
        if (v[i].coded && err == LT_OK) {
            err = lt_headers_add_id(&res.headers, LT_HEADER_TRANSFER_ENCODING, LT_STR("chunked"));
        }
        assert_int_equal(err, LT_OK);
        assert_int_equal(lt_upgrade_judge(&res, lt_str_c(v[i].offer)), v[i].cause);
        assert_int_equal(res.upgrade.len > 0, v[i].cause == LT_CAUSE_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_http_may_be_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_offer_is_what_both_want, setup, teardown),
        cmocka_unit_test_setup_teardown(a_101_must_name_what_was_offered, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
