/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proxy/exchange/address.c: what a server is told, which side of a split a client
 * gets, and what becomes of the response. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "exchange/internal.h"

struct world {
    struct lt_loop loop;
    struct lt_exchange_env env;
    struct lt_upstream app, next;
    struct lt_server server;
    struct lt_route_target targets[2];
    struct lt_route route;
    struct lt_exchange x;
};

/* A request to a stripped route with a split, with `memory` bytes for it. */
static struct world *make(size_t memory, const char *cookie)
{
    struct world *w = calloc(1, sizeof(*w));
    struct lt_hash_seed seed = {1, 2};
    assert_non_null(w);
    w->env.loop = &w->loop;
    lt_rand_init(&w->loop.rand);
    w->app.name = LT_STR("app");
    w->next.name = LT_STR("next");
    w->targets[0] = (struct lt_route_target){
        .upstream = &w->app, .name = LT_STR("app"), .share = 10000, .drawn = true};
    w->targets[1] =
        (struct lt_route_target){.upstream = &w->next, .name = LT_STR("next"), .share = 10000};
    w->route = (struct lt_route){.targets = w->targets,
                                 .n_targets = 2,
                                 .strip = LT_STR("/shop"),
                                 .map_back = true,
                                 .sticky = LT_STR("side"),
                                 .sticky_age_s = 60};
    lt_route_set_tokens(&w->route, &seed);
    w->server.host = LT_STR("app.internal");
    w->x.env = &w->env;
    w->x.route = &w->route;
    w->x.upstream = &w->app;
    w->x.server = &w->server;
    w->x.client = (struct lt_client_info){.scheme = LT_STR("https"), .trusted = true};
    w->x.ids.request_id = w->x.ids.traceparent = LT_STR("1");
    w->x.req = (struct lt_request){.version = 11, .authority = LT_STR("www.test")};
    /* What the test itself needs is not counted. */
    lt_arena_init(&w->x.arena, NULL, 0, 1 << 20);
    lt_headers_init(&w->x.req.headers, &w->x.arena, 20);
    lt_headers_init(&w->x.res.headers, &w->x.arena, 4);
    assert_int_equal(
        lt_headers_add_id(&w->x.req.headers, LT_HEADER_X_FORWARDED_PREFIX, LT_STR("/outer")),
        LT_OK);
    if (cookie != NULL) {
        assert_int_equal(lt_headers_add_id(&w->x.req.headers, LT_HEADER_COOKIE, lt_str_c(cookie)),
                         LT_OK);
    }
    assert_int_equal(lt_headers_add_id(&w->x.res.headers, LT_HEADER_LOCATION, LT_STR("/x")), LT_OK);
    w->x.arena.max = w->x.arena.size + memory;
    w->x.arena.cur = w->x.arena.end;
    return w;
}

static void drop(struct world *w)
{
    lt_arena_fini(&w->x.arena);
    free(w);
}

static enum lt_err both_ways(struct world *w)
{
    w->x.upstream = lt_address_split(&w->x);
    enum lt_err err = lt_address_request(&w->x);
    return err == LT_OK ? lt_address_response(&w->x) : err;
}

static void test_a_request_and_its_response(void **state LT_UNUSED)
{
    struct world *w = make(1 << 16, "a=b");
    assert_int_equal(both_ways(w), LT_OK);
    assert_ptr_equal(w->x.upstream, &w->app);
    assert_str(lt_headers_value(&w->x.req.headers, LT_HEADER_HOST), "app.internal");
    assert_str(lt_headers_value(&w->x.req.headers, LT_HEADER_X_FORWARDED_HOST), "www.test");
    assert_str(lt_headers_value(&w->x.req.headers, LT_HEADER_X_FORWARDED_PREFIX), "/outer/shop");
    assert_str(lt_headers_value(&w->x.res.headers, LT_HEADER_LOCATION), "/shop/x");
    char cookie[128];
    snprintf(cookie, sizeof(cookie),
             "side=%.16s; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60", w->targets[0].token);
    assert_str(lt_headers_value(&w->x.res.headers, LT_HEADER_SET_COOKIE), cookie);
    /* Another try at a server with another host: nothing is added twice. */
    unsigned n = w->x.req.headers.n;
    w->server.host = LT_STR("");
    assert_int_equal(lt_address_request(&w->x), LT_OK);
    assert_str(lt_headers_value(&w->x.req.headers, LT_HEADER_HOST), "www.test");
    assert_int_equal(w->x.req.headers.n, n);
    drop(w);
}

static void test_without_a_host_the_upstream_names_itself(void **state LT_UNUSED)
{
    struct world *w = make(1 << 16, NULL);
    w->server.host = w->x.req.authority = LT_STR("");
    assert_int_equal(lt_address_request(&w->x), LT_OK);
    assert_str(lt_headers_value(&w->x.req.headers, LT_HEADER_HOST), "app");
    drop(w);
}

/* Which upstream, and how many choices the new cookie holds; 0: there is none. */
static void check_choice(const char *cookie, bool next_drawn, const char *upstream, unsigned kept)
{
    struct world *w = make(1 << 16, cookie);
    w->targets[1].drawn = next_drawn;
    assert_int_equal(both_ways(w), LT_OK);
    assert_str(w->x.upstream->name, upstream);
    struct lt_str made = lt_headers_value(&w->x.res.headers, LT_HEADER_SET_COOKIE);
    size_t end = lt_min(lt_str_chr(made, ';', 0), made.len);
    assert_int_equal(end, kept > 0 ? 5 + kept * (LT_ROUTE_TOKEN_LEN + 1) - 1 : 0);
    drop(w);
}

static void test_choices(void **state LT_UNUSED)
{
    struct world *w = make(1 << 16, NULL);
    char app[17], next[17], cookie[400];
    snprintf(app, sizeof(app), "%.16s", w->targets[0].token);
    snprintf(next, sizeof(next), "%.16s", w->targets[1].token);
    drop(w);
#define OTHER "0123456789abcdef"
#define CHECK(drawn, upstream, kept, ...)                                                          \
    snprintf(cookie, sizeof(cookie), __VA_ARGS__);                                                 \
    check_choice(cookie, drawn, upstream, kept)
    CHECK(true, "next", 0, "side=%s", next);
    CHECK(true, "app", 0, "x=y; side=%s.%s", app, next);
    CHECK(true, "next", 0, "side=%s.%s", OTHER, next);
    CHECK(false, "app", 2, "side=%s", next); /* no longer drawn */
    CHECK(true, "app", 2, "side=%s", OTHER);
    CHECK(true, "app", 1, "side=");
    CHECK(true, "app", 1, "side=..x." OTHER "0.");
    CHECK(true, "app", 8,
          "side=" OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER);
    /* The oldest one goes. */
    CHECK(true, "app", 8,
          "side=" OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER);
    /* Longer than any that was set. */
    CHECK(true, "app", 1,
          "side=" OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER "." OTHER
          "." OTHER);
}

static void test_without_memory(void **state LT_UNUSED)
{
    enum lt_err err = LT_ERR_NOMEM;
    unsigned failures = 0;
    for (size_t memory = 0; err != LT_OK; memory += 64, failures++) {
        struct world *w = make(memory, "side=x");
        assert_true(memory < 1 << 16);
        err = both_ways(w);
        assert_true(err == LT_OK || err == LT_ERR_NOMEM);
        drop(w);
    }
    assert_true(failures > 2);
}

static void test_a_full_list_of_fields(void **state LT_UNUSED)
{
    struct world *w = make(1 << 16, NULL);
    w->x.res.headers.max = w->x.res.headers.cap = 1;
    assert_int_equal(both_ways(w), LT_ERR_LIMIT);
    drop(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_and_its_response),
        cmocka_unit_test(test_without_a_host_the_upstream_names_itself),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_a_full_list_of_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
