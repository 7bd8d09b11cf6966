/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "shared/metrics.h"

static struct lt_buf out;

static const char *text_of(const struct lt_metrics *m)
{
    out.len = 0;
    lt_metrics_write(m, &out);
    lt_buf_char(&out, '\0');
    assert_false(out.truncated);
    return out.p;
}

static int setup(void **state)
{
    (void)state;
    lt_buf_init(&out, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_buf_fini(&out);
    return 0;
}

#define assert_has(text, line) assert_non_null(strstr((text), "\n" line "\n"))

static void counters_are_summed_over_workers(void **state)
{
    (void)state;
    struct lt_metrics *m = lt_metrics_new(2, 4, 4);
    struct lt_metrics_worker *a = lt_metrics_for_worker(m, 0), *b = lt_metrics_for_worker(m, 1);
    assert_int_equal((uintptr_t)a % LT_CACHE_LINE, 0);
    assert_int_equal((uintptr_t)b % LT_CACHE_LINE, 0);
    assert_null(lt_metrics_for_worker(m, 2));
    lt_metrics_add(a, LT_COUNTER_CONNECTIONS, 3);
    lt_metrics_add(b, LT_COUNTER_CONNECTIONS, -1);
    assert_int_equal(lt_metrics_sum(m, LT_COUNTER_CONNECTIONS), 2);
    assert_has(text_of(m), "# TYPE lintel_connections gauge\nlintel_connections 2");
    lt_metrics_free(m);
}

static void an_exchange_shows_in_its_rows(void **state)
{
    (void)state;
    struct lt_metrics *m = lt_metrics_new(2, 4, 4);
    uint32_t route = lt_metrics_route_id(m, LT_STR("api"), LT_STR("/v1/*"));
    uint32_t server = lt_metrics_server_id(m, LT_STR("app"), LT_STR("unix:/s"));
    assert_int_equal(route, lt_metrics_route_id(m, LT_STR("api"), LT_STR("/v1/*")));
    struct lt_metrics_exchange e = {.route_id = route,
                                    .server_id = server,
                                    .status = 200,
                                    .duration_us = 1500,
                                    .upstream_us = 900,
                                    .bytes_in = 10,
                                    .bytes_out = 20};
    lt_metrics_add_exchange(lt_metrics_for_worker(m, 0), &e);
    e.status = 502;
    e.cause = LT_CAUSE_RESET_BEFORE_RESPONSE;
    e.duration_us = 60000000;
    lt_metrics_add_exchange(lt_metrics_for_worker(m, 1), &e);
    const char *text = text_of(m);
    assert_has(text, "lintel_requests_total{site=\"api\",route=\"/v1/*\",status=\"2xx\"} 1");
    assert_has(text, "lintel_requests_total{site=\"api\",route=\"/v1/*\",status=\"5xx\"} 1");
    assert_has(text, "lintel_causes_total{site=\"api\",route=\"/v1/*\","
                     "cause=\"reset_before_response\"} 1");
    assert_has(text, "lintel_request_duration_seconds_bucket{site=\"api\",route=\"/v1/*\","
                     "le=\"0.001\"} 0");
    assert_has(text, "lintel_request_duration_seconds_bucket{site=\"api\",route=\"/v1/*\","
                     "le=\"0.0025\"} 1");
    assert_has(text, "lintel_request_duration_seconds_bucket{site=\"api\",route=\"/v1/*\","
                     "le=\"+Inf\"} 2");
    assert_has(text, "lintel_request_duration_seconds_count{site=\"api\",route=\"/v1/*\"} 2");
    assert_has(text, "lintel_request_duration_seconds_sum{site=\"api\",route=\"/v1/*\"} 60.001500");
    assert_has(text, "lintel_response_body_bytes_total{site=\"api\",route=\"/v1/*\"} 40");
    assert_has(text, "lintel_upstream_failures_total{upstream=\"app\",server=\"unix:/s\"} 1");
    assert_has(text, "lintel_upstream_duration_seconds_count{upstream=\"app\","
                     "server=\"unix:/s\"} 2");
    lt_metrics_free(m);
}

static void turns_are_counted_and_the_longest_is_told(void **state)
{
    (void)state;
    struct lt_metrics *m = lt_metrics_new(2, 4, 4);
    struct lt_metrics_worker *a = lt_metrics_for_worker(m, 0), *b = lt_metrics_for_worker(m, 1);
    lt_metrics_add_turn(a, 400);
    lt_metrics_add_turn(a, 12000);
    lt_metrics_add_turn(a, 300);
    lt_metrics_add_turn(b, 800);
    const char *text = text_of(m);
    assert_has(text, "lintel_turn_seconds_bucket{le=\"0.0005\"} 2");
    assert_has(text, "lintel_turn_seconds_bucket{le=\"0.001\"} 3");
    assert_has(text, "lintel_turn_seconds_bucket{le=\"+Inf\"} 4");
    assert_has(text, "lintel_turn_seconds_sum 0.013500\nlintel_turn_seconds_count 4");
    assert_has(text, "lintel_turn_max_seconds{worker=\"0\"} 0.012000\n"
                     "lintel_turn_max_seconds{worker=\"1\"} 0.000800");
    lt_metrics_free(m);
}

static void a_client_that_leaves_is_no_failure_of_the_server(void **state)
{
    (void)state;
    struct lt_metrics *m = lt_metrics_new(1, 1, 1);
    struct lt_metrics_exchange e = {.server_id =
                                        lt_metrics_server_id(m, LT_STR("app"), LT_STR("s")),
                                    .cause = LT_CAUSE_CLIENT_GONE};
    lt_metrics_add_exchange(lt_metrics_for_worker(m, 0), &e);
    assert_null(strstr(text_of(m), "lintel_upstream_failures_total{"));
    lt_metrics_free(m);
}

static void what_exceeds_the_table_shares_one_row(void **state)
{
    (void)state;
    struct lt_metrics *m = lt_metrics_new(1, 2, 2);
    assert_int_equal(lt_metrics_route_id(m, LT_STR("s"), LT_STR("/1")), 1);
    assert_int_equal(lt_metrics_route_id(m, LT_STR("s"), LT_STR("/2")), 2);
    assert_int_equal(lt_metrics_route_id(m, LT_STR("s"), LT_STR("/3")), 0);
    struct lt_metrics_exchange e = {.route_id = 0, .status = 404};
    lt_metrics_add_exchange(lt_metrics_for_worker(m, 0), &e);
    e.route_id = 77; /* never given out */
    lt_metrics_add_exchange(lt_metrics_for_worker(m, 0), &e);
    assert_has(text_of(m),
               "lintel_requests_total{site=\"other\",route=\"other\",status=\"4xx\"} 2");
    lt_metrics_free(m);
}

static void a_name_can_not_forge_a_line(void **state)
{
    (void)state;
    struct lt_metrics *m = lt_metrics_new(1, 2, 2);
    struct lt_metrics_exchange e = {
        .route_id = lt_metrics_route_id(m, LT_STR("a\"} 9\nb"), LT_STR("c\\d")), .status = 200};
    lt_metrics_add_exchange(lt_metrics_for_worker(m, 0), &e);
    assert_has(text_of(m), "lintel_requests_total{site=\"a\\\"} 9?b\",route=\"c\\\\d\","
                           "status=\"2xx\"} 1");
    lt_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_summed_over_workers),
        cmocka_unit_test(an_exchange_shows_in_its_rows),
        cmocka_unit_test(turns_are_counted_and_the_longest_is_told),
        cmocka_unit_test(a_client_that_leaves_is_no_failure_of_the_server),
        cmocka_unit_test(what_exceeds_the_table_shares_one_row),
        cmocka_unit_test(a_name_can_not_forge_a_line),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
