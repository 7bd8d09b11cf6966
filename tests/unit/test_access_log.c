/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdlib.h>

#include <jansson.h>

#include "exchange/log_field.h"
#include "server/access_log.h"
#include "server/snapshot.h"

static char memory[LT_ACCESS_LINE_MAX];
static struct lt_exchange x;
static struct lt_view view;
static struct lt_route route;
static struct lt_upstream upstream;
static struct lt_server server;

static int setup(void **state)
{
    (void)state;
    memset(&x, 0, sizeof(x));
    x.magic = 0xe8c4a6e1u; /* as exchange.c makes it */
    memset(&view, 0, sizeof(view));
    view.log.slow_ms = 100;
    route.site = LT_STR("api");
    route.name = LT_STR("/v1/*");
    upstream.name = LT_STR("app");
    server.name = LT_STR("unix:/run/app.sock");
    x.view = &view;
    x.ids.request_id = LT_STR("0123");
    x.ids.trace_id = LT_STR("abcd");
    x.client.ip = LT_STR("192.0.2.1");
    x.req.method = LT_METHOD_GET;
    x.req.host = LT_STR("api.example.com");
    x.req_target = LT_STR("/v1/x?token=secret");
    x.res.status = 200;
    x.began_us = 1000000;
    x.began_wall_us = UINT64_C(1700000000000000);
    x.step_us[LT_STEP_HEAD] = 1000000;
    x.step_us[LT_STEP_ROUTE] = 1000500;
    x.step_us[LT_STEP_CONNECT] = 1002000;
    x.step_us[LT_STEP_LOG] = 1012345;
    return 0;
}

/* The line as JSON; checks that it is one line. */
static json_t *line_of(const struct lt_snapshot_field *fields, size_t n,
                       const struct lt_str *redact, size_t n_redact, size_t cap)
{
    struct lt_buf out;
    lt_buf_init_fixed(&out, memory, cap);
    lt_access_line(&out, &x, fields, n, redact, n_redact);
    assert_true(out.len > 2);
    assert_ptr_equal(memchr(out.p, '\n', out.len), out.p + out.len - 1);
    json_error_t error;
    json_t *root = json_loadb(out.p, out.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fail_msg("%s: %.*s", error.text, LT_STR_ARG(lt_buf_view(&out)));
    }
    return root;
}

static const char *text(json_t *root, const char *key)
{
    return json_string_value(json_object_get(root, key));
}

static void a_plain_exchange(void **state)
{
    (void)state;
    x.route = &route;
    x.upstream = &upstream;
    x.server = &server;
    x.tries = 2;
    x.upstream_status = 200;
    x.bytes_in = 5;
    x.bytes_out = 7;
    struct lt_tls_info tls = {.refs = 1, .version = "TLSv1.3"};
    x.tls = &tls;
    json_t *root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_string_equal(text(root, "time"), "2023-11-14T22:13:20.000000Z");
    assert_string_equal(text(root, "method"), "GET");
    assert_string_equal(text(root, "path"), "/v1/x"); /* never the query */
    assert_string_equal(text(root, "site"), "api");
    assert_string_equal(text(root, "route"), "/v1/*");
    assert_string_equal(text(root, "upstream"), "app");
    assert_string_equal(text(root, "server"), "unix:/run/app.sock");
    assert_string_equal(text(root, "tls"), "TLSv1.3");
    assert_int_equal(json_integer_value(json_object_get(root, "status")), 200);
    assert_int_equal(json_integer_value(json_object_get(root, "tries")), 2);
    assert_true(json_number_value(json_object_get(root, "duration_ms")) == 12.345);
    json_t *steps = json_object_get(root, "steps");
    assert_true(json_number_value(json_object_get(steps, "head")) == 0.5);
    assert_true(json_number_value(json_object_get(steps, "route")) == 1.5);
    assert_true(json_number_value(json_object_get(steps, "connect")) == 10.345);
    assert_null(json_object_get(steps, "relay"));
    assert_null(json_object_get(root, "cause"));
    assert_null(json_object_get(root, "slow"));
    json_decref(root);
}

static void who_connected_is_told_where_it_is_not_the_client(void **state)
{
    (void)state;
    const char *why;
    assert_int_equal(lt_addr_parse(LT_STR("192.0.2.1:5"), &x.client.peer, &why), LT_OK);
    json_t *root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_null(json_object_get(root, "peer"));
    json_decref(root);
    x.client.ip = LT_STR("198.51.100.7"); /* by X-Forwarded-For */
    root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_string_equal(text(root, "peer"), "192.0.2.1");
    json_decref(root);
    assert_int_equal(lt_addr_parse(LT_STR("[2001:db8::1]:5"), &x.via, &why), LT_OK);
    root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_string_equal(text(root, "peer"), "2001:db8::1");
    json_decref(root);
}

static void what_went_wrong(void **state)
{
    (void)state;
    x.res.status = 401;
    x.cause = LT_CAUSE_FILTER_DENIED;
    x.denied_by = LT_STR("partner");
    x.reply.reason = LT_STR("missing_api_key");
    x.step_us[LT_STEP_LOG] = 1200000;
    json_t *root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_string_equal(text(root, "cause"), "filter_denied");
    assert_string_equal(text(root, "stage"), "request_hooks");
    assert_string_equal(text(root, "denied_by"), "partner");
    assert_string_equal(text(root, "reason"), "missing_api_key");
    assert_true(json_is_true(json_object_get(root, "slow")));
    json_decref(root);
}

static void a_client_can_not_forge_a_line(void **state)
{
    (void)state;
    x.req_target = LT_STR("/a\"}\n{\"status\":200,\"x\":\"\xff\x01");
    x.req.host = LT_STR("h\\\r\n");
    json_t *root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_int_equal(json_integer_value(json_object_get(root, "status")), 200);
    assert_null(json_object_get(root, "x"));
    assert_string_equal(text(root, "host"), "h\\\r\n");
    json_decref(root);
}

static void a_line_that_is_too_long_is_still_json(void **state)
{
    (void)state;
    static char path[8192];
    memset(path, 1, sizeof(path)); /* six bytes each when escaped */
    path[0] = '/';
    x.req_target = lt_str(path, sizeof(path));
    x.detail = lt_str(path, sizeof(path));
    json_t *root = line_of(NULL, 0, NULL, 0, sizeof(memory));
    assert_int_equal(strlen(text(root, "path")), 2048);
    assert_true(json_is_true(json_object_get(root, "truncated")));
    json_decref(root);
    for (size_t cap = 200; cap < 1000; cap += 7) {
        root = line_of(NULL, 0, NULL, 0, cap);
        assert_true(json_is_true(json_object_get(root, "truncated")));
        json_decref(root);
    }
}

static void redacted_headers_stay_hidden_in_further_members(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_diags diags;
    lt_arena_init(&arena, NULL, 0, 65536);
    lt_diags_init(&diags, &arena);
    struct lt_pos nowhere = {.source = NULL};
    struct lt_snapshot_field fields[3] = {
        {LT_STR("agent"), lt_expr_compile(&arena, &diags, nowhere, LT_STR("header.user-agent"))},
        {LT_STR("key"), lt_expr_compile(&arena, &diags, nowhere, LT_STR("header.x-api-key"))},
        {LT_STR("sid"), lt_expr_compile(&arena, &diags, nowhere, LT_STR("cookie.sid"))}};
    assert_non_null(fields[0].expr);
    assert_non_null(fields[1].expr);
    assert_non_null(fields[2].expr);
    struct lt_str redact[2] = {LT_STR("x-api-key"), LT_STR("cookie")};
    lt_headers_init(&x.req.headers, &arena, 8);
    assert_int_equal(lt_headers_add(&x.req.headers, LT_STR("User-Agent"), LT_STR("me")), LT_OK);
    assert_int_equal(lt_headers_add(&x.req.headers, LT_STR("X-API-Key"), LT_STR("k1")), LT_OK);
    assert_int_equal(lt_headers_add_id(&x.req.headers, LT_HEADER_COOKIE, LT_STR("sid=s1")), LT_OK);
    json_t *root = line_of(fields, 3, redact, 2, sizeof(memory));
    assert_string_equal(text(root, "agent"), "me");
    assert_string_equal(text(root, "key"), "[redacted]");
    assert_string_equal(text(root, "sid"), "[redacted]");
    json_decref(root);
    lt_arena_fini(&arena);
}

/* Those of filters come after those of the configuration, whose names are theirs alone. */
static void members_of_filters(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_diags diags;
    lt_arena_init(&arena, NULL, 0, 65536);
    lt_diags_init(&diags, &arena);
    lt_arena_init(&x.arena, NULL, 0, 65536);
    struct lt_pos nowhere = {.source = NULL};
    struct lt_snapshot_field fields[1] = {
        {LT_STR("agent"), lt_expr_compile(&arena, &diags, nowhere, LT_STR("header.user-agent"))}};
    struct lt_expr *key = lt_expr_compile(&arena, &diags, nowhere, LT_STR("header.x-api-key"));
    struct lt_str redact[1] = {LT_STR("x-api-key")};
    lt_headers_init(&x.req.headers, &arena, 8);
    assert_int_equal(lt_headers_add(&x.req.headers, LT_STR("User-Agent"), LT_STR("me")), LT_OK);
    assert_int_equal(lt_headers_add(&x.req.headers, LT_STR("X-API-Key"), LT_STR("k1")), LT_OK);
    static char longest[3000];
    memset(longest, 'x', sizeof(longest));
    *lt_log_field_put(&x, LT_STR("agent")) =
        (struct lt_log_field){.name = LT_STR("agent"), .text = LT_STR("mine")};
    struct lt_log_field *f = lt_log_field_put(&x, LT_STR("n"));
    f->kind = LT_LOG_FIELD_PLAIN;
    f->text = LT_STR("1.5");
    f = lt_log_field_put(&x, LT_STR("key"));
    f->kind = LT_LOG_FIELD_EXPR;
    f->expr = key;
    f = lt_log_field_put(&x, LT_STR("long"));
    f->text = lt_str(longest, sizeof(longest));
    struct lt_user_field user = {.name = LT_STR("id"), .value = LT_STR("al\"ice")};
    x.user = &user;
    json_t *root = line_of(fields, 1, redact, 1, sizeof(memory));
    assert_string_equal(text(root, "agent"), "me");
    assert_true(json_real_value(json_object_get(root, "n")) == 1.5);
    assert_string_equal(text(root, "key"), "[redacted]");
    assert_int_equal(strlen(text(root, "long")), 2048);
    assert_true(json_is_true(json_object_get(root, "truncated")));
    assert_string_equal(text(root, "user"), "al\"ice");
    json_decref(root);
    lt_arena_fini(&x.arena);
    lt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_plain_exchange, setup),
        cmocka_unit_test_setup(who_connected_is_told_where_it_is_not_the_client, setup),
        cmocka_unit_test_setup(what_went_wrong, setup),
        cmocka_unit_test_setup(a_client_can_not_forge_a_line, setup),
        cmocka_unit_test_setup(a_line_that_is_too_long_is_still_json, setup),
        cmocka_unit_test_setup(members_of_filters, setup),
        cmocka_unit_test_setup(redacted_headers_stay_hidden_in_further_members, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
