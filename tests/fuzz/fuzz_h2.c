/* SPDX-License-Identifier: Apache-2.0 */
/* What an HTTP/2 client may send after its preface: front, exchange and back together in one loop,
 * over socket pairs. The first byte of an input says in which pieces the rest comes. A strict
 * reader has to understand what the server is sent; what the client is sent has to be frames, with
 * header blocks that a decoder follows; and when the connection has gone, nothing is left of it. */
#include "base/log.h"
#include "exchange/exchange.h"
#include "exchange/hooks.h"
#include "front/front_h1.h"
#include "front/front_h2.h"
#include "route/build.h"
#include "tests/fuzz/strict_reader.h"
#include "tests/unit/net_env.h"
#include "tests/unit/route_env.h"
#include "upstream/pool.h"
#include "upstream/server_groups.h"

#include <nghttp2/nghttp2.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SERVED 8 /* connections to the server at once */
#define TURNS 64 /* at most, for an input */
#define QUIET 3  /* turns in which nothing came: it is over */
#define FRAME_MAX 16384u

struct served {
    int fd;
    struct lt_buf got;
};

static struct world {
    struct env config;
    struct sites_conf sites;
    struct lt_arena arena;
    struct lt_loop *loop;
    struct lt_metrics *metrics;
    struct lt_exchange_env env;
    struct lt_view view;
    struct lt_front_options options;
    struct lt_quota disk;
    struct lt_upstream upstream;
    struct lt_upstream_state upstream_state;
    struct lt_server_groups groups;
    struct lt_server *members[1];
    struct lt_server_set set;
    struct lt_server server;
    struct lt_server_state state;
    struct lt_fronts *fronts;
    int listener;
    struct served served[SERVED];
    int client;
    struct lt_buf out; /* what the client was sent */
    unsigned closed;
} * world;

static const char *const yaml = "sites:\n"
                                "  - hosts: ['*']\n"
                                "    routes:\n"
                                "      - {match: /*, respond: {status: 200, body: hello}}\n"
                                "      - {match: /app/*, to: app}\n"
                                "      - {match: /live/*, to: app, body: {stream: true}}\n";

static const char answer[] = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";

static struct lt_upstream *find_upstream(void *arg, struct lt_str name)
{
    (void)arg, (void)name;
    return &world->upstream;
}

static void on_closed(void *owner, uint64_t client LT_UNUSED)
{
    ((struct world *)owner)->closed++;
}

static enum lt_step_result no_hook(struct lt_exchange *x LT_UNUSED)
{
    return LT_STEP_NEXT;
}

static const struct lt_hooks hooks = {.request = no_hook, .response = no_hook, .log = no_hook};

static void make_upstream(struct world *w)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    w->upstream =
        (struct lt_upstream){.name = LT_STR("app"),
                             .set = &w->set,
                             .state = &w->upstream_state,
                             .balance = {.by = LT_BALANCE_ROUND_ROBIN, .half_life_us = 1000000},
                             .retry = {.attempts = 1},
                             .connect_ms = 1000,
                             .first_byte_ms = 1000,
                             .idle_ms = 1000,
                             .keepalive_max = 4,
                             .keepalive_ms = 1000,
                             .head_max = 16384,
                             .headers_max = 50};
    w->members[0] = &w->server;
    w->groups.group[LT_GROUP_ORDINARY] = (struct lt_server_group){.v = w->members, .n = 1};
    w->set = (struct lt_server_set){.v = &w->server, .n = 1, .groups = &w->groups};
    w->server = (struct lt_server){.upstream = &w->upstream, .weight = 1, .state = &w->state};
    w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    w->server.addr.len = sizeof(w->server.addr.un);
    require(bind(w->listener, (struct sockaddr *)&any, sizeof(sa_family_t)) == 0);
    require(getsockname(w->listener, &w->server.addr.sa, &w->server.addr.len) == 0);
    require(listen(w->listener, SERVED) == 0);
}

static const struct lt_router *make_router(struct world *w)
{
    static const struct lt_router_listener listeners[] = {
        {.name = LT_STR_INIT("public"), .options = {.body_max = 1 << 20}}};
    static const char *const names[] = {"app"};
    const struct lt_router_spec spec = {.load = &w->config.load,
                                        .sites = &w->sites.sites,
                                        .listeners = listeners,
                                        .n_listeners = 1,
                                        .upstreams = names,
                                        .n_upstreams = 1,
                                        .find = find_upstream};
    lt_schema_read(&w->config.load, &sites_schema, env_read(&w->config, yaml), 0, &w->sites);
    lt_schema_finish(&w->config.load, &w->sites);
    const struct lt_router *router = lt_router_build(&w->arena, &spec);
    require(router != NULL);
    return router;
}

static void set_options(struct world *w)
{
    w->options = (struct lt_front_options){.head_max = 8192,
                                           .headers_max = 50,
                                           .target_max = 4096,
                                           .head_ms = 1000,
                                           .body_ms = 1000,
                                           .write_ms = 1000,
                                           .keepalive_ms = 1000,
                                           .port = 80,
                                           .h2 = {.cleartext = true,
                                                  .streams = 20,
                                                  .window = 65535,
                                                  .connection_window = 1 << 20,
                                                  .header_table = 4096,
                                                  .max_resets = 50,
                                                  .max_control = 100,
                                                  .max_empty = 50,
                                                  .max_continuations = 8}};
}

static struct world *make_world(void)
{
    struct world *w = world = calloc(1, sizeof(*w));
    require(w != NULL);
    lt_log_set_level(LT_LOG_ERROR);
    env_init(&w->config);
    lt_arena_init(&w->arena, NULL, 0, 1 << 20);
    lt_buf_init(&w->out, 64 << 20);
    w->loop = lt_loop_new(64 << 20);
    w->metrics = lt_metrics_new(1, 8, 8);
    make_upstream(w);
    set_options(w);
    w->view = (struct lt_view){.router = make_router(w),
                               .listeners = &w->options,
                               .n_listeners = 1,
                               .response_ahead = 100000,
                               .request_ahead = 65536,
                               .spool = {.memory = 65536, .disk = 1 << 20, .path = "/tmp"}};
    w->env = (struct lt_exchange_env){.loop = w->loop,
                                      .view = &w->view,
                                      .hooks = &hooks,
                                      .streams_max = 1000,
                                      .metrics = lt_metrics_for_worker(w->metrics, 0)};
    lt_slab_init(&w->env.exchanges_slab, sizeof(struct lt_exchange), 4);
    lt_list_init(&w->env.exchanges);
    w->env.heads.max = SIZE_MAX;
    lt_spool_env_init(&w->env.spools, &w->loop->blocks, &w->disk, w->env.metrics);
    w->env.pools = lt_pools_new(w->loop, w->env.metrics);
    w->fronts = lt_fronts_new(&w->env);
    for (unsigned i = 0; i < SERVED; i++) {
        w->served[i].fd = -1;
        lt_buf_init(&w->served[i].got, 4 << 20);
    }
    return w;
}

/* ---- The server. ---- */

/* Answers the first request of a connection once it is whole: the strict reader aborts on what it
 * doesn't understand. */
static void serve(struct served *s)
{
    struct lt_str in = lt_buf_view(&s->got);
    size_t head = lt_str_find(in, LT_STR("\r\n\r\n"));
    struct strict strict;
    if (head == SIZE_MAX) {
        return;
    }
    strict_head(&strict, in.p, in.len);
    require(lt_str_eq_c(strict.words[2], "HTTP/1.1") && strict.words[1].p[0] == '/');
    size_t rest = (size_t)(strict.end - strict.at);
    bool whole = strict.chunked ? lt_str_ends(in, LT_STR("0\r\n\r\n")) : rest >= strict.length;
    require(strict.chunked || rest <= strict.length);
    if (whole) {
        send(s->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
        s->got.len = 0;
    }
}

static void close_served(struct served *s)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
        s->got.len = 0;
    }
}

static bool serve_all(struct world *w)
{
    bool any = false;
    for (unsigned i = 0; i < SERVED; i++) {
        struct served *s = &w->served[i];
        static char piece[65536];
        if (s->fd < 0) {
            s->fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
        }
        ssize_t n = s->fd >= 0 ? read(s->fd, piece, sizeof(piece)) : -1;
        if (n > 0) {
            lt_buf_str(&s->got, lt_str(piece, (size_t)n));
            serve(s);
            any = true;
        } else if (n == 0) {
            close_served(s);
        }
    }
    return any;
}

/* ---- The client. ---- */

static bool hear(struct world *w)
{
    static char piece[65536];
    ssize_t n = read(w->client, piece, sizeof(piece));
    if (n > 0) {
        lt_buf_str(&w->out, lt_str(piece, (size_t)n));
    }
    return n > 0;
}

static bool turn(struct world *w)
{
    one_turn(w->loop);
    bool served = serve_all(w), heard = hear(w);
    return served || heard;
}

static void run(struct world *w)
{
    for (unsigned i = 0, quiet = 0; i < TURNS && quiet < QUIET; i++) {
        quiet = turn(w) ? 0 : quiet + 1;
    }
}

static void inflate(nghttp2_hd_inflater *inflater, const uint8_t *in, size_t len, bool last)
{
    int flags = 0;
    while (len > 0 || last) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, in, len, last);
        require(n >= 0);
        in += n;
        len -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            require(nv.namelen > 0 && nghttp2_check_header_name(nv.name, nv.namelen));
            require(nghttp2_check_header_value(nv.value, nv.valuelen));
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
            require(nghttp2_hd_inflate_end_headers(inflater) == 0);
            return;
        }
    }
}

/* Frames, the first of them SETTINGS, GOAWAY with nothing but the end behind it. */
static void check_out(struct world *w)
{
    const uint8_t *p = (const uint8_t *)w->out.p;
    nghttp2_hd_inflater *inflater;
    bool block = false;
    require(nghttp2_hd_inflate_new(&inflater) == 0);
    for (size_t at = 0, n = 0; w->out.len - at >= 9; at += 9 + n) {
        n = (size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2];
        uint8_t type = p[at + 3], flags = p[at + 4];
        require(n <= FRAME_MAX || type == NGHTTP2_DATA);
        require(at > 0 || (type == NGHTTP2_SETTINGS && flags == 0));
        require(type <= NGHTTP2_CONTINUATION && type != NGHTTP2_PUSH_PROMISE &&
                type != NGHTTP2_PRIORITY);
        require(block == (type == NGHTTP2_CONTINUATION));
        if (w->out.len - at - 9 < n) {
            break; /* the client went first */
        }
        if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) {
            block = (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
            inflate(inflater, p + at + 9, n, !block);
        }
    }
    nghttp2_hd_inflate_del(inflater);
}

static void begin(struct world *w)
{
    struct lt_addr peer = {.in = {.sin_family = AF_INET}, .len = sizeof(peer.in)};
    int fds[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    w->client = fds[1];
    w->closed = 0;
    w->out.len = 0;
    lt_loop_update_time(w->loop);
    require(lt_front_h1_accept(w->fronts, 0, fds[0], &peer, NULL, NULL, 0, on_closed, w) == LT_OK);
}

static void end(struct world *w)
{
    close(w->client);
    for (unsigned i = 0; i < SERVED; i++) {
        close_served(&w->served[i]);
    }
    for (unsigned i = 0; i < TURNS && (w->closed == 0 || w->env.live > 0); i++) {
        turn(w);
    }
    lt_fronts_close(w->fronts, true);
    lt_exchange_end_all(&w->env, LT_CAUSE_DRAINING);
    one_turn(w->loop);
    one_turn(w->loop); /* what the first one deferred */
    for (unsigned i = 0; i < SERVED; i++) {
        close_served(&w->served[i]);
    }
    require(w->closed == 1 && w->env.live == 0 && lt_fronts_count(w->fronts) == 0);
    require(w->view.pins == 0 && w->env.heads.used == 0 && lt_quota_used(&w->disk) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = world != NULL ? world : make_world();
    size_t step = size > 0 && data[0] > 0 ? (size_t)data[0] * 8 : SIZE_MAX;
    begin(w);
    send(w->client, LT_FRONT_H2_PREFACE, sizeof(LT_FRONT_H2_PREFACE) - 1, MSG_NOSIGNAL);
    for (size_t at = 1; at < size;) {
        ssize_t n = send(w->client, data + at, lt_min(step, size - at), MSG_NOSIGNAL);
        turn(w);
        if (n < 0 && errno != EAGAIN) {
            break;
        }
        at += n > 0 ? (size_t)n : 0;
        at = n < 0 && w->closed > 0 ? size : at;
    }
    run(w);
    check_out(w);
    end(w);
    return 0;
}
