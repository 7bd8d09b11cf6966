/* SPDX-License-Identifier: Apache-2.0 */
/* Front, exchange and back together in one loop: the client's and the servers' ends of the
 * connections are driven by the test. */
#include "net_env.h"
#include "route_env.h"

#include "base/mem.h"
#include "exchange/challenge.h"
#include "exchange/exchange.h"
#include "exchange/hooks.h"
#include "exchange/internal.h"
#include "front/front_h1.h"
#include "upstream/server_groups.h"

#define SERVERS 2

struct world {
    struct env config;
    struct sites_conf sites;
    struct lt_compress_conf compress; /* of the listener */
    struct lt_arena arena;
    struct lt_loop *loop;
    struct lt_metrics *metrics;
    struct lt_exchange_env env;
    struct lt_view view;
    struct lt_front_options options;
    struct lt_quota disk;
    struct lt_hooks hooks;
    struct lt_upstream upstream;
    struct lt_upstream_state upstream_state;
    struct lt_server_set set;
    struct lt_server_groups groups;
    struct lt_server *group[SERVERS];
    struct lt_server servers[SERVERS];
    struct lt_server_state states[SERVERS];
    int listeners[SERVERS]; /* -1: nothing listens */
    int client;             /* the test's end */
    int server;             /* accepted from listeners */
    struct lt_fronts *fronts;
    unsigned closed; /* fronts that are gone */
    /* What the hooks do. */
    bool hold_request, hold_response, hold_log;
    struct lt_exchange *held;
    unsigned cancelled, logged;
    enum lt_cause last_cause;
    unsigned last_tries;
};

static struct world *world;

static const char *const yaml = "sites:\n"
                                "  - hosts: ['*']\n"
                                "    routes:\n"
                                "      - {match: /*, to: app}\n"
                                "      - {match: /fixed, respond: {status: 200, body: hello}}\n"
                                "      - match: /small\n"
                                "        to: app\n"
                                "        compress: {enabled: true, min: 0, encodings: [gzip]}\n";

static struct lt_upstream *find_upstream(void *arg, struct lt_str name)
{
    (void)arg, (void)name;
    return &world->upstream;
}

static void on_closed(void *owner, uint64_t client LT_UNUSED)
{
    struct world *w = owner;
    w->closed++;
}

static enum lt_step_result hold(struct lt_exchange *x, bool *wanted)
{
    if (*wanted) {
        *wanted = false;
        world->held = x;
        return LT_STEP_WAIT;
    }
    return LT_STEP_NEXT;
}

static enum lt_step_result on_request(struct lt_exchange *x)
{
    return hold(x, &world->hold_request);
}

static enum lt_step_result on_upstream(struct lt_exchange *x LT_UNUSED)
{
    return LT_STEP_NEXT;
}

static enum lt_step_result on_response(struct lt_exchange *x)
{
    return hold(x, &world->hold_response);
}

static enum lt_step_result on_log(struct lt_exchange *x)
{
    return hold(x, &world->hold_log);
}

static void on_cancel(struct lt_exchange *x)
{
    assert_ptr_equal(x, world->held);
    world->held = NULL;
    world->cancelled++;
}

static bool on_flows(struct lt_exchange *x LT_UNUSED, enum lt_side side LT_UNUSED)
{
    return false;
}

static void on_access(struct lt_exchange *x)
{
    world->logged++;
    world->last_cause = x->cause;
    world->last_tries = x->tries;
}

static int listen_at(struct lt_addr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)), 0);
    addr->len = sizeof(addr->un);
    assert_int_equal(getsockname(fd, &addr->sa, &addr->len), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* The first n are there. */
static void set_servers(struct world *w, unsigned n)
{
    w->groups.group[LT_GROUP_ORDINARY] = (struct lt_server_group){.v = w->group, .n = n};
    w->set = (struct lt_server_set){.v = w->servers, .n = n, .groups = &w->groups};
}

static void make_upstream(struct world *w)
{
    w->upstream = (struct lt_upstream){
        .name = LT_STR("app"),
        .set = &w->set,
        .state = &w->upstream_state,
        .balance = {.by = LT_BALANCE_ROUND_ROBIN, .half_life_us = 5000000},
        .retry = {.attempts = 2, .when = LT_RETRY_CONNECT | LT_RETRY_RESET, .budget_min = 100},
        .connect_ms = 1000,
        .first_byte_ms = 1000,
        .idle_ms = 1000,
        .keepalive_max = 4,
        .keepalive_ms = 5000,
        .keepalive_post_ms = 5000,
        .head_max = 16384,
        .headers_max = 50};
    set_servers(w, 1);
    for (unsigned i = 0; i < SERVERS; i++) {
        w->group[i] = &w->servers[i];
        w->states[i].id = i;
        w->servers[i] = (struct lt_server){
            .upstream = &w->upstream, .weight = 1, .index = i, .state = &w->states[i]};
        w->listeners[i] = listen_at(&w->servers[i].addr);
    }
}

static void connect_client(struct world *w)
{
    int fds[2];
    struct lt_addr peer = {.in = {.sin_family = AF_INET}, .len = sizeof(peer.in)};
    make_tcp_pair(fds);
    w->client = fds[1];
    if (lt_front_h1_accept(w->fronts, 0, fds[0], &peer, NULL, NULL, 0, on_closed, w) != LT_OK) {
        close(fds[0]);
        w->closed++;
    }
}

static int setup(void **state)
{
    struct world *w = world = calloc(1, sizeof(*w));
    env_init(&w->config);
    lt_arena_init(&w->arena, NULL, 0, 1 << 20);
    w->loop = lt_loop_new(BLOCKS_MAX);
    w->metrics = lt_metrics_new(1, 8, 8);
    make_upstream(w);
    lt_schema_read(&w->config.load, &sites_schema, env_read(&w->config, yaml), 0, &w->sites);
    lt_schema_finish(&w->config.load, &w->sites);
    lt_schema_read(&w->config.load, &lt_compress_schema, NULL, LT_LEVEL_LISTENER, &w->compress);
    lt_schema_finish(&w->config.load, &w->compress);
    const struct lt_router_listener listeners[] = {
        {.name = LT_STR("public"), .options = {.body_max = 1 << 20}, .compress = &w->compress}};
    static const char *const names[] = {"app"};
    const struct lt_router_spec spec = {.load = &w->config.load,
                                        .sites = &w->sites.sites,
                                        .listeners = listeners,
                                        .n_listeners = 1,
                                        .upstreams = names,
                                        .n_upstreams = 1,
                                        .find = find_upstream};
    struct lt_router *router = lt_router_build(&w->arena, &spec);
    if (router == NULL) {
        fail_msg("%s", env_messages(&w->config));
    }
    unsigned n = 0;
    struct lt_route *routes = lt_router_routes(router, &n);
    for (unsigned i = 0; i < n; i++) {
        routes[i].chain = (struct lt_filter_chain *)w; /* only asked whether there is one */
    }
    w->options = (struct lt_front_options){.head_max = 8192,
                                           .headers_max = 50,
                                           .target_max = 4096,
                                           .head_ms = 1000,
                                           .body_ms = 1000,
                                           .write_ms = 1000,
                                           .keepalive_ms = 1000,
                                           .requests_max = 100,
                                           .port = 80};
    w->view = (struct lt_view){.router = router,
                               .listeners = &w->options,
                               .n_listeners = 1,
                               .log = {.access = true},
                               .response_ahead = 100000,
                               .request_ahead = 65536,
                               .encoders_max = 1 << 20,
                               .spool = {.memory = 65536, .disk = 1 << 20, .path = "/tmp"}};
    w->hooks = (struct lt_hooks){.request = on_request,
                                 .upstream = on_upstream,
                                 .response = on_response,
                                 .log = on_log,
                                 .cancel = on_cancel,
                                 .flows = on_flows};
    w->env = (struct lt_exchange_env){.loop = w->loop,
                                      .view = &w->view,
                                      .hooks = &w->hooks,
                                      .metrics = lt_metrics_for_worker(w->metrics, 0),
                                      .access_log = on_access};
    lt_slab_init(&w->env.exchanges_slab, sizeof(struct lt_exchange), 4);
    lt_list_init(&w->env.exchanges);
    w->env.heads.max = SIZE_MAX;
    lt_spool_env_init(&w->env.spools, &w->loop->blocks, &w->disk, w->env.metrics);
    w->env.pools = lt_pools_new(w->loop, w->env.metrics);
    w->fronts = lt_fronts_new(&w->env);
    w->client = w->server = -1;
    connect_client(w);
    *state = w;
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int teardown(void **state)
{
    struct world *w = *state;
    close_fd(&w->client);
    close_fd(&w->server);
    lt_fronts_close(w->fronts, true);
    lt_exchange_end_all(&w->env, LT_CAUSE_DRAINING);
    one_turn(w->loop);
    one_turn(w->loop); /* what the first one deferred */
    assert_int_equal(w->env.live, 0);
    assert_int_equal(lt_fronts_count(w->fronts), 0);
    assert_int_equal(w->view.pins, 0);
    for (unsigned i = 0; i < SERVERS; i++) {
        close_fd(&w->listeners[i]);
    }
    assert_int_equal(lt_quota_used(&w->disk), 0);
    assert_int_equal(w->env.heads.used, 0);
    lt_spool_env_fini(&w->env.spools);
    lt_pools_free(w->env.pools);
    lt_loop_free(w->loop);
    lt_fronts_free(w->fronts);
    lt_slab_fini(&w->env.exchanges_slab);
    lt_encoders_fini(&w->env.encoders);
    lt_metrics_free(w->metrics);
    lt_arena_fini(&w->arena);
    env_fini(&w->config);
    free(w);
    return 0;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static char got[65536];
static size_t got_len;

/* Reads until the text read since the last call ends with `end`, or the connection ends ("" as
 * end). */
static bool ends_with(int fd, const char *end)
{
    ssize_t n = read(fd, got + got_len, sizeof(got) - 1 - got_len);
    if (n > 0) {
        got_len += (size_t)n;
        got[got_len] = '\0';
    }
    if (*end == '\0') {
        return n == 0 || (n < 0 && errno != EAGAIN);
    }
    return lt_str_ends(lt_str(got, got_len), lt_str_c(end));
}

static void hear(struct world *w, int fd, const char *end)
{
    got_len = 0;
    got[0] = '\0';
    RUN_UNTIL(w->loop, ends_with(fd, end));
}

static bool accepted(struct world *w)
{
    for (unsigned i = 0; i < SERVERS && w->server < 0; i++) {
        w->server = accept4(w->listeners[i], NULL, NULL, SOCK_NONBLOCK);
    }
    return w->server >= 0;
}

/* A new connection comes to one of the servers, which hears a whole head. */
static void serve(struct world *w)
{
    close_fd(&w->server);
    RUN_UNTIL(w->loop, accepted(w));
    hear(w, w->server, "\r\n\r\n");
}

#define GET "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK_BODY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static void assert_heard(const char *what)
{
    if (strstr(got, what) == NULL) {
        fail_msg("expected \"%s\" in:\n%s", what, got);
    }
}

static void a_request_passes_and_connections_are_used_again(void **state)
{
    struct world *w = *state;
    say(w->client, GET);
    serve(w);
    assert_heard("GET /x HTTP/1.1\r\n");
    assert_heard("a\r\n");
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
    assert_heard("HTTP/1.1 200 OK\r\n");
    assert_int_equal(lt_pools_idle(w->env.pools), 1);
    say(w->client, GET GET);
    for (int i = 0; i < 2; i++) {
        hear(w, w->server, "\r\n\r\n");
        say(w->server, OK_BODY);
        hear(w, w->client, "hi");
    }
    RUN_UNTIL(w->loop, w->logged == 3);
    assert_int_equal(w->last_cause, LT_CAUSE_NONE);
    assert_int_equal(lt_metrics_sum(w->metrics, LT_COUNTER_UPSTREAM_CONNECTS), 1);
}

static void bytes_may_come_one_by_one(void **state)
{
    struct world *w = *state;
    const char *request = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "2\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n";
    for (const char *p = request; *p != '\0'; p++) {
        assert_int_equal(write(w->client, p, 1), 1);
        one_turn(w->loop);
    }
    close_fd(&w->server);
    RUN_UNTIL(w->loop, accepted(w));
    hear(w, w->server, "X-Sum: 1\r\n\r\n");
    assert_heard("transfer-encoding: chunked");
    assert_heard("3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
    const char *response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "2\r\nhi\r\n0\r\nX-End: 2\r\n\r\n";
    got_len = 0;
    for (const char *p = response; *p != '\0'; p++) {
        assert_int_equal(write(w->server, p, 1), 1);
        one_turn(w->loop);
    }
    RUN_UNTIL(w->loop, ends_with(w->client, "X-End: 2\r\n\r\n"));
    assert_int_equal(lt_pools_idle(w->env.pools), 1);
}

static void a_connect_that_fails_is_tried_on_another_server(void **state)
{
    struct world *w = *state;
    set_servers(w, 2);
    close_fd(&w->listeners[0]);
    for (int i = 0; i < 4; i++) {
        say(w->client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        serve(w);
        say(w->server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        hear(w, w->client, "hi");
    }
    RUN_UNTIL(w->loop, w->logged == 4);
    assert_int_equal(w->last_cause, LT_CAUSE_NONE);
    assert_true(lt_metrics_sum(w->metrics, LT_COUNTER_UPSTREAM_RETRIES) >= 1);
}

static void without_any_server_the_client_hears_why(void **state)
{
    struct world *w = *state;
    set_servers(w, 2);
    close_fd(&w->listeners[0]);
    close_fd(&w->listeners[1]);
    say(w->client, GET);
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 502 ");
    assert_heard("connect_refused_by_server");
    assert_heard("error=connection_refused");
    say(w->client, "GET /fixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    hear(w, w->client, "hello");
    hear(w, w->client, "");
}

/* A connection in the pool, its server's end in w->server. */
static void make_idle(struct world *w)
{
    say(w->client, GET);
    serve(w);
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
    assert_int_equal(lt_pools_idle(w->env.pools), 1);
}

static void a_used_connection_that_closes_is_no_loss_for_get(void **state)
{
    struct world *w = *state;
    make_idle(w);
    /* The request is on its way when the server closes. */
    say(w->client, GET);
    hear(w, w->server, "\r\n\r\n");
    serve(w);
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
    RUN_UNTIL(w->loop, w->logged == 2);
    assert_int_equal(w->last_cause, LT_CAUSE_NONE);
    assert_int_equal(w->last_tries, 2);
}

static void a_post_is_never_sent_twice(void **state)
{
    struct world *w = *state;
    make_idle(w);
    say(w->client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nz");
    hear(w, w->server, "z");
    close_fd(&w->server);
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 502 ");
    assert_heard("closed_before_response");
    RUN_UNTIL(w->loop, w->logged == 2);
    assert_int_equal(w->last_tries, 1);
}

static void an_idle_connection_that_says_something_is_dropped(void **state)
{
    struct world *w = *state;
    make_idle(w);
    say(w->server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    RUN_UNTIL(w->loop, lt_pools_idle(w->env.pools) == 0);
    say(w->client, GET);
    serve(w);
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
}

static void bytes_after_a_response_are_never_delivered(void **state)
{
    struct world *w = *state;
    say(w->client, GET);
    serve(w);
    say(w->server, OK_BODY "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    hear(w, w->client, "hi");
    assert_int_equal(lt_pools_idle(w->env.pools), 0);
}

static void a_cut_response_is_visible(void **state)
{
    struct world *w = *state;
    say(w->client, GET);
    serve(w);
    say(w->server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    hear(w, w->client, "hel\r\n");
    close_fd(&w->server);
    hear(w, w->client, "");
    assert_null(strstr(got, "0\r\n"));
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_RESPONSE_CUT);
}

static void a_malformed_response_is_a_502(void **state)
{
    struct world *w = *state;
    say(w->client, GET);
    serve(w);
    say(w->server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello");
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 502 ");
    assert_heard("response_framing_invalid");
}

static void a_malformed_request_reaches_nobody(void **state)
{
    struct world *w = *state;
    say(w->client, "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET);
    hear(w, w->client, "");
    assert_heard("HTTP/1.1 400 ");
    assert_heard("host_invalid");
    assert_heard("connection: close");
    assert_false(accepted(w));
    assert_null(strstr(got + 10, "HTTP/1.1"));
}

static void hooks_may_wait_in_every_place(void **state)
{
    struct world *w = *state;
    w->hold_request = w->hold_response = w->hold_log = true;
    say(w->client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    RUN_UNTIL(w->loop, w->held != NULL);
    struct lt_exchange *x = w->held;
    w->held = NULL;
    say(w->client, "ab");
    run_for(w->loop, 20);
    assert_false(accepted(w));
    say(w->client, "c");
    lt_exchange_wake(x);
    close_fd(&w->server);
    RUN_UNTIL(w->loop, accepted(w));
    hear(w, w->server, "abc");
    say(w->server, OK_BODY);
    RUN_UNTIL(w->loop, w->held == x);
    run_for(w->loop, 20);
    assert_false(ends_with(w->client, "hi"));
    lt_exchange_wake(x);
    hear(w, w->client, "hi");
    assert_ptr_equal(w->held, x); /* the log hook waits while the client goes on */
    assert_int_equal(w->logged, 0);
    say(w->client, "GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n");
    hear(w, w->client, "hello");
    lt_exchange_wake(x);
    assert_int_equal(w->logged, 2);
}

/* A body of 20000 bytes, 1000 of them in memory, waits for a hook. */
static struct lt_exchange *hold_body(struct world *w, const char *method)
{
    static char body[20001];
    char head[100];
    memset(body, 'b', sizeof(body) - 1);
    w->view.spool.memory = 1000;
    w->hold_request = true;
    snprintf(head, sizeof(head), "%s /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n",
             method);
    say(w->client, head);
    say(w->client, body);
    RUN_UNTIL(w->loop, w->held != NULL && w->held->request_done);
    struct lt_exchange *x = w->held;
    w->held = NULL;
    assert_true(x->spool.fd >= 0);
    return x;
}

static void a_body_that_is_lost_on_disk_is_told(void **state)
{
    struct world *w = *state;
    struct lt_exchange *x = hold_body(w, "POST");
    assert_int_equal(ftruncate(x->spool.fd, 10), 0);
    lt_exchange_wake(x);
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 500 ");
    assert_heard("body_buffer_io");
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_BODY_BUFFER_IO);
}

static void a_body_goes_out_from_memory_and_disk_and_is_freed(void **state)
{
    struct world *w = *state;
    struct lt_exchange *x = hold_body(w, "PUT");
    lt_exchange_wake(x);
    close_fd(&w->server);
    RUN_UNTIL(w->loop, accepted(w));
    hear(w, w->server, "bbb");
    size_t heard = got_len;
    while (heard < 20000) {
        hear(w, w->server, "b");
        heard += got_len;
    }
    assert_true(lt_quota_used(&w->disk) > 0); /* another try could need it */
    say(w->server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    hear(w, w->client, "\r\n\r\n");
    assert_int_equal(lt_quota_used(&w->disk), 0);
    say(w->server, "hi");
    hear(w, w->client, "hi");
}

static void a_client_that_leaves_ends_a_waiting_hook(void **state)
{
    struct world *w = *state;
    w->hold_request = true;
    say(w->client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    RUN_UNTIL(w->loop, w->held != NULL);
    close_fd(&w->client);
    RUN_UNTIL(w->loop, w->cancelled == 1 && w->logged == 1 && w->closed == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_CLIENT_GONE);
}

static void slow_servers_run_into_their_time_limit(void **state)
{
    struct world *w = *state;
    w->upstream.first_byte_ms = 30;
    say(w->client, GET);
    serve(w);
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 504 ");
    assert_heard("first_byte_timeout");
}

static void limit_exchanges(struct world *w, struct lt_route_options *options)
{
    unsigned n;
    struct lt_route *routes = lt_router_routes((struct lt_router *)(uintptr_t)w->view.router, &n);
    for (unsigned i = 0; i < n; i++) {
        routes[i].options = options;
    }
    w->upstream.deadline_header = LT_STR("X-Left");
}

static void a_deadline_ends_hooks_that_wait_but_for_those_of_the_log(void **state)
{
    struct world *w = *state;
    struct lt_route_options options = {.body_max = 100, .total_ms = 60};
    limit_exchanges(w, &options);
    w->hold_request = w->hold_log = true;
    say(w->client, GET);
    RUN_UNTIL(w->loop, w->held != NULL);
    struct lt_exchange *x = w->held;
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 504 ");
    assert_heard("\"deadline\"");
    assert_int_equal(w->cancelled, 1);
    assert_ptr_equal(w->held, x); /* now by the log hook */
    run_for(w->loop, 100);
    assert_int_equal(w->logged, 0);
    lt_exchange_wake(x);
    assert_int_equal(w->last_cause, LT_CAUSE_DEADLINE);

    w->hold_response = true;
    say(w->client, GET);
    serve(w);
    assert_heard("X-Left: ");
    say(w->server, OK_BODY);
    RUN_UNTIL(w->loop, w->cancelled == 2);
    hear(w, w->client, "}\n");
    assert_heard("HTTP/1.1 504 ");
    assert_int_equal(w->logged, 2);
}

/* Whichever time comes first is the cause. */
static void a_step_has_its_own_time_within_the_deadline(void **state)
{
    struct world *w = *state;
    struct lt_route_options options = {.body_max = 100, .total_ms = 1000, .first_byte_ms = 30};
    limit_exchanges(w, &options);
    say(w->client, GET);
    serve(w);
    hear(w, w->client, "}\n");
    assert_heard("first_byte_timeout");
}

static void a_client_that_does_not_read_stops_the_server(void **state)
{
    struct world *w = *state;
    static char megabyte[1 << 20];
    memset(megabyte, 'x', sizeof(megabyte));
    w->view.response_ahead = 50000;
    w->options.write_ms = 100;
    say(w->client, GET);
    serve(w);
    say(w->server, "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n");
    size_t sent = 0;
    for (int i = 0; i < 100; i++) {
        ssize_t n = write(w->server, megabyte, sizeof(megabyte));
        sent += n > 0 ? (size_t)n : 0;
        one_turn(w->loop);
    }
    assert_true(sent < 4 << 20);
    assert_true(w->loop->blocks.in_use < 200000);
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_CLIENT_WRITE_TIMEOUT);
}

static void a_body_over_the_limit_is_refused(void **state)
{
    struct world *w = *state;
    say(w->client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    hear(w, w->client, "");
    assert_heard("HTTP/1.1 413 ");
    assert_heard("body_too_large");
}

static void continue_is_said_before_the_body(void **state)
{
    struct world *w = *state;
    say(w->client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                   "Expect: 100-continue\r\n\r\n");
    hear(w, w->client, "HTTP/1.1 100 Continue\r\n\r\n");
    say(w->client, "ab");
    close_fd(&w->server);
    RUN_UNTIL(w->loop, accepted(w));
    hear(w, w->server, "ab");
    assert_null(strstr(got, "xpect"));
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
}

/* Turns the loop until the client has an answer that ends so, a reply of ours or its end; the
 * server responds to what ends with request_end. */
static bool answered_with(struct world *w, const char *request_end, const char *response,
                          const char *answer_end)
{
    uint64_t end = lt_clock_us() + 5000000;
    bool replied = false;
    got_len = 0;
    while (lt_clock_us() < end) {
        one_turn(w->loop);
        if (!replied && accepted(w)) {
            char sink[4096];
            ssize_t n = read(w->server, sink, sizeof(sink));
            if (n > 0 && lt_str_ends(lt_str(sink, (size_t)n), lt_str_c(request_end))) {
                say(w->server, response);
                replied = true;
            }
        }
        if (ends_with(w->client, answer_end) || ends_with(w->client, "}\n") ||
            ends_with(w->client, "")) {
            return true;
        }
    }
    return false;
}

/* The n-th allocation of an exchange fails, for every n: the client gets an answer or the end of
 * the connection, and nothing leaks. */
static void memory_may_run_out_at_any_place(void **state)
{
    struct world *w = *state;
    unsigned n = 1;
    for (bool served = false; !served; n++) {
        assert_true(n < 100);
        close_fd(&w->client);
        close_fd(&w->server);
        RUN_UNTIL(w->loop, lt_fronts_count(w->fronts) == 0 && lt_pools_idle(w->env.pools) == 0);
        lt_mem_fail_at(n);
        connect_client(w);
        say(w->client, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
        assert_true(answered_with(w, "ab", OK_BODY, "hi"));
        lt_mem_fail_at(0);
        served = lt_str_ends(lt_str(got, got_len), LT_STR("hi"));
    }
    assert_true(n > 2);
}

/* The same for a response in chunks, with all that a deadline adds. */
static void memory_may_run_out_under_a_deadline(void **state)
{
    struct world *w = *state;
    struct lt_route_options options = {.body_max = 100, .total_ms = 10000};
    unsigned n = 1;
    limit_exchanges(w, &options);
    for (bool served = false; !served; n++) {
        assert_true(n < 100);
        close_fd(&w->client);
        close_fd(&w->server);
        RUN_UNTIL(w->loop, lt_fronts_count(w->fronts) == 0 && lt_pools_idle(w->env.pools) == 0);
        lt_mem_fail_at(n);
        connect_client(w);
        say(w->client, GET);
        assert_true(answered_with(w, "\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "2\r\nhi\r\n0\r\n\r\n",
                                  "0\r\n\r\n"));
        lt_mem_fail_at(0);
        served = lt_str_ends(lt_str(got, got_len), LT_STR("\r\n2\r\nhi\r\n0\r\n\r\n"));
    }
    assert_true(n > 2);
}

/* ---- tunnels ---- */

#define UPGRADE "GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static void open_tunnel(struct world *w)
{
    say(w->client, UPGRADE "ab");
    serve(w);
    assert_heard("upgrade: websocket\r\n");
    say(w->server, SWITCH "cd");
    hear(w, w->client, "\r\n\r\ncd");
    assert_heard("HTTP/1.1 101 ");
    hear(w, w->server, "ab");
}

/* Bytes behind the 101, and even the end, come when it is not on its way to the client yet. */
static void response_hooks_may_wait_before_a_tunnel(void **state)
{
    struct world *w = *state;
    w->hold_response = true;
    say(w->client, UPGRADE "ab");
    serve(w);
    say(w->server, SWITCH "cd");
    shutdown(w->server, SHUT_WR);
    RUN_UNTIL(w->loop, w->held != NULL);
    run_for(w->loop, 20);
    lt_exchange_wake(w->held);
    hear(w, w->client, "");
    assert_heard("\r\n\r\ncd");
    hear(w, w->server, "ab");
    close_fd(&w->client);
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_NONE);
}

static unsigned unpinned;

static void on_unpinned(struct lt_view *view)
{
    assert_ptr_equal(view, &world->view);
    unpinned++;
}

/* As a worker takes up another snapshot. */
static void take_up(struct world *w, struct lt_view *next)
{
    w->env.view = next;
    lt_waits_reload(&w->env);
    lt_tunnels_reload(&w->env);
    w->view.retired = true;
    w->view.on_unpinned = on_unpinned;
    if (w->view.pins == 0) {
        on_unpinned(&w->view);
    }
}

static void a_tunnel_lets_its_snapshot_go(void **state)
{
    struct world *w = *state;
    struct lt_view next = w->view;
    unpinned = 0;
    open_tunnel(w);
    assert_int_equal(lt_metrics_sum(w->metrics, LT_COUNTER_TUNNELS), 1);
    assert_int_equal(atomic_load(&w->states[0].users), 1);
    take_up(w, &next);
    assert_int_equal(unpinned, 1);
    /* What it needs is its own. */
    struct lt_route *routes =
        lt_router_routes((struct lt_router *)(uintptr_t)next.router, &(unsigned){0});
    routes[0].name = routes[0].site = w->upstream.name = LT_STR_NONE;
    say(w->client, "more");
    hear(w, w->server, "more");
    close_fd(&w->client);
    hear(w, w->server, "");
    close_fd(&w->server);
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_NONE);
    one_turn(w->loop);
    assert_int_equal(lt_metrics_sum(w->metrics, LT_COUNTER_TUNNELS), 0);
    assert_int_equal(atomic_load(&w->states[0].users), 0);
    assert_int_equal(lt_pools_idle(w->env.pools), 0);
    assert_int_equal(unpinned, 1);
    w->env.view = &w->view;
}

static void a_reload_between_request_and_tunnel_counts_too(void **state)
{
    struct world *w = *state;
    struct lt_arena arena;
    struct lt_view next = w->view;
    struct lt_router *empty = NULL;
    struct sites_conf none = {.sites = {.n = 0}};
    unpinned = 0;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    const struct lt_router_spec spec = {.load = &w->config.load, .sites = &none.sites};
    empty = lt_router_build(&arena, &spec);
    assert_non_null(empty);
    next.router = empty;
    next.drain_ms = 50;
    w->hold_log = true;
    say(w->client, UPGRADE);
    serve(w);
    say(w->server, SWITCH);
    hear(w, w->client, "\r\n\r\n");
    RUN_UNTIL(w->loop, w->held != NULL);
    take_up(w, &next); /* the log hook still waits, in the old snapshot */
    assert_int_equal(unpinned, 0);
    say(w->client, "bytes pass meanwhile");
    hear(w, w->server, "bytes pass meanwhile");
    lt_exchange_wake(w->held);
    assert_int_equal(unpinned, 1);
    hear(w, w->client, "");
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_DRAINING);
    w->env.view = &w->view;
    close_fd(&w->client);
    RUN_UNTIL(w->loop, lt_fronts_count(w->fronts) == 0);
    lt_arena_fini(&arena);
}

/* Sends request, which waits while a view is taken up whose upstream has another server, and is
 * taken by that. */
static void wait_over_a_reload(struct world *w, const char *request, struct lt_view *next)
{
    static struct lt_upstream later;
    static struct lt_server_groups groups;
    static struct lt_server_set set;
    unpinned = 0;
    w->upstream.queue = (struct lt_queue_options){.size = 5, .wait_us = 60000000};
    w->upstream_state.paused = true;
    memcpy(&later, &w->upstream, sizeof(later));
    groups.group[LT_GROUP_ORDINARY] = (struct lt_server_group){.v = &w->group[1], .n = 1};
    set = (struct lt_server_set){.v = &w->servers[1], .n = 1, .groups = &groups};
    later.set = &set;
    w->servers[1].upstream = &later;
    w->servers[1].index = 0;
    next->upstreams = &later;
    next->n_upstreams = 1;
    say(w->client, request);
    RUN_UNTIL(w->loop, w->upstream_state.waiting.n == 1);
    take_up(w, next);
    assert_int_equal(unpinned, 0);
    assert_int_equal(next->pins, 1);
    w->upstream_state.paused = false;
    lt_queues_look(w->env.pools);
    RUN_UNTIL(w->loop, (w->server = accept4(w->listeners[1], NULL, NULL, SOCK_NONBLOCK)) >= 0);
    hear(w, w->server, "\r\n\r\n");
}

static void who_waits_goes_by_the_new_view(void **state)
{
    struct world *w = *state;
    struct lt_view next = w->view;
    wait_over_a_reload(w, GET, &next);
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
    one_turn(w->loop);
    assert_int_equal(next.pins, 0);
    assert_int_equal(unpinned, 1);
    w->env.view = &w->view;
}

static void a_tunnel_that_waited_lets_both_views_go(void **state)
{
    struct world *w = *state;
    struct lt_view next = w->view;
    wait_over_a_reload(w, UPGRADE, &next);
    say(w->server, SWITCH);
    hear(w, w->client, "\r\n\r\n");
    assert_int_equal(next.pins, 0);
    assert_int_equal(unpinned, 1);
    close_fd(&w->client);
    hear(w, w->server, "");
    RUN_UNTIL(w->loop, w->logged == 1);
    w->env.view = &w->view;
}

static void a_silent_tunnel_ends_in_order(void **state)
{
    struct world *w = *state;
    unsigned n;
    struct lt_route *routes = lt_router_routes((struct lt_router *)(uintptr_t)w->view.router, &n);
    struct lt_route_options options = {.body_max = 10, .tunnel_ms = 60};
    for (unsigned i = 0; i < n; i++) {
        routes[i].options = &options;
    }
    open_tunnel(w);
    say(w->client, "longer than body.max");
    hear(w, w->server, "longer than body.max");
    hear(w, w->client, "");
    hear(w, w->server, "");
    RUN_UNTIL(w->loop, w->logged == 1);
    assert_int_equal(w->last_cause, LT_CAUSE_TUNNEL_IDLE);
}

/* To somebody who may be gone. */
static void say_perhaps(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* The n-th allocation fails, for every n: a tunnel, an answer, or the end of the connection. */
static void memory_may_run_out_in_a_tunnel(void **state)
{
    struct world *w = *state;
    unsigned n = 1;
    for (bool served = false; !served; n++) {
        assert_true(n < 100);
        close_fd(&w->client);
        close_fd(&w->server);
        RUN_UNTIL(w->loop, lt_fronts_count(w->fronts) == 0 && w->env.live == 0);
        lt_mem_fail_at(n);
        connect_client(w);
        say(w->client, UPGRADE "ab");
        bool switched = false, over = false;
        got_len = 0;
        uint64_t end = lt_clock_us() + 5000000;
        while (!served && !over && lt_clock_us() < end) {
            one_turn(w->loop);
            char sink[4096];
            ssize_t got_n = accepted(w) ? read(w->server, sink, sizeof(sink)) : -1;
            if (got_n > 4 && !switched) {
                switched = true;
                say_perhaps(w->server, SWITCH);
            } else if (got_n >= 2 && memcmp(sink, "ab", 2) == 0) {
                say_perhaps(w->server, "cd");
            }
            over = ends_with(w->client, "}\n") || ends_with(w->client, "");
            served = lt_str_ends(lt_str(got, got_len), LT_STR("cd"));
        }
        assert_true(served || over);
        lt_mem_fail_at(0);
    }
    assert_true(n > 2);
}

/* ---- compression ---- */

#define GET_SMALL "GET /small HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
#define SMALL_HEAD                                                                                 \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
#define SMALL_BODY "2\r\nhi\r\n0\r\n\r\n"

static void a_compressed_response_gives_its_encoder_back(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 2; i++) {
        say(w->client, GET_SMALL);
        if (i == 0) {
            serve(w);
        } else {
            hear(w, w->server, "\r\n\r\n");
        }
        say(w->server, SMALL_HEAD);
        hear(w, w->client, "\r\n\r\n"); /* the head leaves before there is a body */
        assert_heard("content-encoding: gzip");
        assert_int_equal(w->env.encoders.lent, 1);
        say(w->server, SMALL_BODY);
        hear(w, w->client, "\r\n0\r\n\r\n");
        assert_int_equal(w->env.encoders.lent, 0);
    }
    assert_int_equal(w->env.encoders.in_use, lt_encoder_cost(LT_CODING_GZIP));
    assert_int_equal(lt_metrics_sum(w->metrics, LT_COUNTER_COMPRESSED), 2);
}

static void a_client_that_leaves_gives_the_encoder_back(void **state)
{
    struct world *w = *state;
    say(w->client, GET_SMALL);
    serve(w);
    say(w->server, SMALL_HEAD);
    hear(w, w->client, "\r\n\r\n");
    assert_int_equal(w->env.encoders.lent, 1);
    close_fd(&w->client);
    RUN_UNTIL(w->loop, w->logged == 1 && w->env.live == 0);
    assert_int_equal(w->env.encoders.lent, 0);
}

static void a_hook_that_waits_holds_back_what_is_compressed_later(void **state)
{
    struct world *w = *state;
    w->hold_response = true;
    say(w->client, GET_SMALL);
    serve(w);
    say(w->server, SMALL_HEAD "2\r\nhi\r\n");
    RUN_UNTIL(w->loop, w->held != NULL);
    one_turn(w->loop);
    lt_exchange_wake(w->held);
    hear(w, w->client, "\xff\xff\r\n"); /* the end of a flush, and of its chunk */
    assert_heard("content-encoding: gzip");
    say(w->server, "0\r\n\r\n");
    hear(w, w->client, "\r\n0\r\n\r\n");
    assert_int_equal(w->env.encoders.lent, 0);
}

static void memory_may_fail_anywhere_while_compressing(void **state)
{
    struct world *w = *state;
    bool coded = false;
    unsigned n = 1;
    for (; !coded; n++) {
        assert_true(n < 200);
        close_fd(&w->client);
        close_fd(&w->server);
        RUN_UNTIL(w->loop, lt_fronts_count(w->fronts) == 0 && lt_pools_idle(w->env.pools) == 0);
        w->env.encoders.max = 0; /* the encoder is made anew */
        assert_null(lt_encoder_get(&w->env.encoders, LT_CODING_GZIP, LT_ENCODER_FAST));
        lt_mem_fail_at(n);
        connect_client(w);
        say(w->client, GET_SMALL);
        assert_true(answered_with(w, "\r\n\r\n", SMALL_HEAD SMALL_BODY, "0\r\n\r\n"));
        lt_mem_fail_at(0);
        coded = lt_str_find(lt_str(got, got_len), LT_STR("content-encoding: gzip")) != SIZE_MAX &&
                lt_str_ends(lt_str(got, got_len), LT_STR("0\r\n\r\n"));
    }
    assert_true(n > 2);
}

/* ---- ACME challenges ---- */

#define CHALLENGE "/.well-known/acme-challenge/"

static struct lt_challenge *asked;

static void on_ask(struct lt_challenge *c)
{
    asked = c;
}

/* The client asks for a challenge's file. */
static void ask(struct world *w, const char *name)
{
    char head[300];
    asked = NULL;
    w->view.challenges = true;
    w->env.challenge_ask = on_ask;
    snprintf(head, sizeof(head), "GET " CHALLENGE "%s HTTP/1.1\r\nHost: a\r\n\r\n", name);
    say(w->client, head);
}

static void tell(bool found)
{
    asked->found = found;
    asked->len = 4;
    memcpy(asked->text, "text", 4);
    lt_challenge_answer(asked);
}

static void a_challenge_is_answered_or_goes_on_to_the_routes(void **state)
{
    struct world *w = *state;
    ask(w, "a-Token_1");
    RUN_UNTIL(w->loop, asked != NULL);
    assert_string_equal(asked->token, "a-Token_1");
    tell(true);
    hear(w, w->client, "\r\n\r\ntext");
    assert_heard("HTTP/1.1 200 ");
    assert_heard("application/octet-stream");
    assert_int_equal(lt_metrics_sum(w->metrics, LT_COUNTER_ACME_CHALLENGES), 1);
    ask(w, "another");
    RUN_UNTIL(w->loop, asked != NULL);
    tell(false);
    serve(w);
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
    assert_int_equal(w->env.challenges, 0);
}

static void a_challenge_may_stay_without_an_answer(void **state)
{
    struct world *w = *state;
    ask(w, "token");
    RUN_UNTIL(w->loop, asked != NULL);
    lt_exchange_timeout(asked->x);
    serve(w);
    say(w->server, OK_BODY);
    hear(w, w->client, "hi");
    assert_null(asked->x);
    tell(true); /* too late */
    assert_int_equal(w->env.challenges, 0);
}

static void a_client_may_leave_before_its_challenge_is_answered(void **state)
{
    struct world *w = *state;
    ask(w, "token");
    RUN_UNTIL(w->loop, asked != NULL);
    lt_fronts_close(w->fronts, true);
    RUN_UNTIL(w->loop, w->closed == 1);
    assert_null(asked->x);
    tell(true);
    assert_int_equal(w->env.challenges, 0);
}

static void main_is_not_asked_without_end_nor_for_odd_names(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"", "a.b", "a/b", "%2e%2e", "a~"};
    for (size_t i = 0; i < lt_countof(names) + 1; i++) {
        w->env.challenges = i == lt_countof(names) ? 64 : 0;
        ask(w, i == lt_countof(names) ? "token" : names[i]);
        if (i == 0) {
            serve(w);
        } else {
            hear(w, w->server, "\r\n\r\n");
        }
        say(w->server, OK_BODY);
        hear(w, w->client, "hi");
        assert_null(asked);
    }
    w->env.challenges = 0;
    ask(w, "token");
    RUN_UNTIL(w->loop, asked != NULL);
    lt_mem_fail_at(1);
    tell(true);
    lt_mem_fail_at(0);
    hear(w, w->client, "text");
}

/* IANA's registry of HTTP Proxy Error Types. */
static bool is_registered(const char *type)
{
    static const char *const all[] = {
        "dns_timeout",
        "dns_error",
        "destination_not_found",
        "destination_unavailable",
        "destination_ip_prohibited",
        "destination_ip_unroutable",
        "connection_refused",
        "connection_terminated",
        "connection_timeout",
        "connection_read_timeout",
        "connection_write_timeout",
        "connection_limit_reached",
        "tls_protocol_error",
        "tls_certificate_error",
        "tls_alert_received",
        "http_request_error",
        "http_request_denied",
        "http_response_incomplete",
        "http_response_header_section_size",
        "http_response_header_size",
        "http_response_body_size",
        "http_response_trailer_section_size",
        "http_response_trailer_size",
        "http_response_transfer_coding",
        "http_response_content_coding",
        "http_response_timeout",
        "http_upgrade_failed",
        "http_protocol_error",
        "proxy_internal_response",
        "proxy_internal_error",
        "proxy_configuration_error",
        "proxy_loop_detected",
    };
    for (size_t i = 0; i < lt_countof(all); i++) {
        if (strcmp(type, all[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void each_answer_has_a_registered_error_type(void **state)
{
    (void)state;
    for (unsigned i = LT_CAUSE_NONE + 1; i < LT_CAUSE_COUNT; i++) {
        const struct lt_cause_info *info = lt_cause_info((enum lt_cause)i);
        const char *type = lt_reply_proxy_error((enum lt_cause)i);
        bool here = info->status != 0 && info->stage != LT_STAGE_ACCEPT; /* answered by exchanges */
        if ((here && type == NULL) || (type != NULL && !is_registered(type))) {
            fail_msg("%s: %s", info->name, type != NULL ? type : "no type");
        }
    }
    assert_string_equal(lt_reply_proxy_error(LT_CAUSE_DEADLINE), "http_response_timeout");
    assert_string_equal(lt_reply_proxy_error(LT_CAUSE_DNS_FAILED), "dns_error");
    assert_string_equal(lt_reply_proxy_error(LT_CAUSE_ROUTE_UNKNOWN), "destination_not_found");
    assert_string_equal(lt_reply_proxy_error(LT_CAUSE_SERVER_HEAD_LIMIT), "http_request_error");
    assert_string_equal(lt_reply_proxy_error(LT_CAUSE_UPGRADE_REFUSED), "http_upgrade_failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_a_registered_error_type),
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(a_request_passes_and_connections_are_used_again),
        T(bytes_may_come_one_by_one),
        T(a_connect_that_fails_is_tried_on_another_server),
        T(without_any_server_the_client_hears_why),
        T(a_used_connection_that_closes_is_no_loss_for_get),
        T(a_post_is_never_sent_twice),
        T(an_idle_connection_that_says_something_is_dropped),
        T(bytes_after_a_response_are_never_delivered),
        T(a_cut_response_is_visible),
        T(a_malformed_response_is_a_502),
        T(a_malformed_request_reaches_nobody),
        T(hooks_may_wait_in_every_place),
        T(a_body_that_is_lost_on_disk_is_told),
        T(a_body_goes_out_from_memory_and_disk_and_is_freed),
        T(a_client_that_leaves_ends_a_waiting_hook),
        T(slow_servers_run_into_their_time_limit),
        T(a_deadline_ends_hooks_that_wait_but_for_those_of_the_log),
        T(a_step_has_its_own_time_within_the_deadline),
        T(a_client_that_does_not_read_stops_the_server),
        T(memory_may_run_out_under_a_deadline),
        T(a_body_over_the_limit_is_refused),
        T(a_compressed_response_gives_its_encoder_back),
        T(a_client_that_leaves_gives_the_encoder_back),
        T(a_hook_that_waits_holds_back_what_is_compressed_later),
        T(memory_may_fail_anywhere_while_compressing),
        T(continue_is_said_before_the_body),
        T(memory_may_run_out_at_any_place),
        T(response_hooks_may_wait_before_a_tunnel),
        T(a_tunnel_lets_its_snapshot_go),
        T(a_reload_between_request_and_tunnel_counts_too),
        T(who_waits_goes_by_the_new_view),
        T(a_tunnel_that_waited_lets_both_views_go),
        T(a_silent_tunnel_ends_in_order),
        T(memory_may_run_out_in_a_tunnel),
        T(a_challenge_is_answered_or_goes_on_to_the_routes),
        T(a_challenge_may_stay_without_an_answer),
        T(a_client_may_leave_before_its_challenge_is_answered),
        T(main_is_not_asked_without_end_nor_for_odd_names),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
