/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 back when memory fails: whichever allocation it is, the exchange hears an end and
 * nothing is left. The server is nghttp2 with memory of its own, driven between the loop's turns.
 */
#include "net_env.h"

#include "base/mem.h"
#include "http/h2.h"
#include "upstream/pool.h"

#define BODY 100000u

static struct lt_addr address;
static int listener;

static int setup(void **state)
{
    (void)state;
    address = (struct lt_addr){.in = {.sin_family = AF_INET}, .len = sizeof(address.in)};
    address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, &address.sa, address.len), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, &address.sa, &address.len), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(listener);
    return 0;
}

/* ---- the server ---- */

struct peer {
    int fd; /* -1: nobody has connected */
    nghttp2_session *session;
    size_t left; /* of the body */
};

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *arg)
{
    (void)session, (void)flags;
    const struct peer *peer = arg;
    ssize_t sent = send(peer->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent >= 0 ? sent : NGHTTP2_ERR_WOULDBLOCK;
}

static ssize_t on_data_wanted(nghttp2_session *session, int32_t id, uint8_t *buf, size_t cap,
                              uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)session, (void)id, (void)source;
    struct peer *peer = arg;
    size_t n = lt_min(cap, peer->left);
    memset(buf, 'x', n);
    peer->left -= n;
    *flags |= peer->left == 0 ? NGHTTP2_DATA_FLAG_EOF : 0;
    return (ssize_t)n;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    static const nghttp2_nv head[] = {
        {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "200", 7, 3, 0},
        {(uint8_t *)(uintptr_t) "x-name", (uint8_t *)(uintptr_t) "value", 6, 5, 0},
    };
    struct peer *peer = arg;
    nghttp2_data_provider body = {.read_callback = on_data_wanted};
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
        peer->left = BODY;
        nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &body);
    }
    return 0;
}

static void peer_open(struct peer *peer)
{
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_server_new(&peer->session, callbacks, peer), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(peer->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

/* Takes and sends what there is. */
static void peer_turn(struct peer *peer)
{
    uint8_t buf[16384];
    ssize_t n;
    if (peer->fd < 0) {
        peer->fd = accept(listener, NULL, NULL);
        if (peer->fd < 0) {
            return;
        }
        peer_open(peer);
    }
    while ((n = recv(peer->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        nghttp2_session_mem_recv(peer->session, buf, (size_t)n);
    }
    nghttp2_session_send(peer->session);
}

static void peer_close(struct peer *peer)
{
    if (peer->fd < 0) {
        peer->fd = accept(listener, NULL, NULL); /* perhaps one that was given up */
    }
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    nghttp2_session_del(peer->session);
}

/* ---- the exchange ---- */

struct exchange {
    struct lt_arena arena;
    struct lt_back *back;
    struct lt_request req;
    bool connected, sent, ended, failed;
    enum lt_cause cause;
    size_t bytes;
    unsigned status;
};

static bool on_preface(void *owner, struct lt_str *out)
{
    (void)owner;
    *out = LT_STR_NONE;
    return true;
}

static void on_connected(void *owner, bool reused)
{
    (void)reused;
    ((struct exchange *)owner)->connected = true;
}

static void on_informational(void *owner, const struct lt_response *res)
{
    (void)owner, (void)res;
}

static void on_head(void *owner, struct lt_response *res)
{
    ((struct exchange *)owner)->status = res->status;
}

static void on_body(void *owner, const char *p, size_t n)
{
    (void)p;
    ((struct exchange *)owner)->bytes += n;
}

static size_t on_room(void *owner)
{
    (void)owner;
    return SIZE_MAX;
}

static void on_end(void *owner, const struct lt_headers *trailers)
{
    (void)trailers;
    struct exchange *x = owner;
    x->ended = true;
    x->back = NULL;
}

static void on_nothing(void *owner)
{
    (void)owner;
}

static void on_fail(void *owner, const struct lt_back_failure *failure)
{
    struct exchange *x = owner;
    x->failed = true;
    x->cause = failure->cause;
    x->back = NULL;
}

static const struct lt_back_events events = {
    .on_preface = on_preface,
    .on_connected = on_connected,
    .on_informational = on_informational,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_end = on_end,
    .on_eof = on_nothing,
    .on_turn = on_nothing,
    .on_drained = on_nothing,
    .on_fail = on_fail,
};

static void send_request(struct exchange *x)
{
    const struct lt_back_ops *ops = x->back->ops;
    char body[5000] = "body";
    x->sent = true;
    enum lt_err err = ops->send_head(x->back, &x->req, LT_STR("/x"));
    err = err == LT_OK ? ops->send_body(x->back, body, sizeof(body)) : err;
    err = err == LT_OK ? ops->send_end(x->back, NULL) : err;
    err = err == LT_OK ? ops->flush(x->back) : err;
    if (err != LT_OK) {
        x->failed = true;
        ops->cancel(x->back);
        x->back = NULL;
    }
}

static void converse(struct lt_loop *loop, struct exchange *x, struct peer *peer)
{
    uint64_t end_us = lt_clock_us() + 200000;
    while (!x->ended && !x->failed && lt_clock_us() < end_us) {
        ev_run(loop->ev, EVRUN_NOWAIT);
        if (x->connected && !x->sent && x->back != NULL) {
            send_request(x);
        }
        peer_turn(peer);
    }
}

static void x_init(struct exchange *x)
{
    memset(x, 0, sizeof(*x));
    lt_arena_init(&x->arena, NULL, 0, 1 << 20);
    x->req = (struct lt_request){.method = LT_METHOD_POST, .version = 11};
    lt_headers_init(&x->req.headers, &x->arena, 10);
    assert_int_equal(lt_headers_add_id(&x->req.headers, LT_HEADER_HOST, LT_STR("a")), LT_OK);
    assert_int_equal(lt_headers_add(&x->req.headers, LT_STR("X-Up"), LT_STR("1")), LT_OK);
}

/* One exchange in which the n-th allocation and all later ones fail; 0: none does. True: it was
 * completed. */
static bool try_once(unsigned n)
{
    struct lt_upstream upstream = {
        .protocol = LT_PROTOCOL_H2C,
        .h2 = {.streams_max = 100,
               .connections_max = 1,
               .window = 1 << 20,
               .control_max = 100,
               .idle_ms = 60000},
        .connect_ms = 1000,
        .vanished_ms = 30000,
        .head_max = 65536,
        .headers_max = 100,
    };
    struct lt_server_state server_state = {.id = 0};
    struct lt_server server = {
        .upstream = &upstream, .addr = address, .weight = 1, .state = &server_state};
    struct lt_loop *loop = lt_loop_new(BLOCKS_MAX);
    struct lt_pools *pools = lt_pools_new(loop, NULL);
    struct peer peer = {.fd = -1};
    struct exchange x;
    x_init(&x);
    lt_loop_update_time(loop);
    lt_mem_fail_at(n);
    enum lt_err err =
        lt_back_open(pools, &server, LT_METHOD_POST, false, false, &x.arena, &events, &x, &x.back);
    if (err == LT_OK) {
        converse(loop, &x, &peer);
    }
    lt_mem_fail_at(0);
    bool completed = x.ended;
    assert_true(!completed || (x.status == 200 && x.bytes == BODY));
    if (x.back != NULL) {
        x.back->ops->cancel(x.back);
    }
    ev_run(loop->ev, EVRUN_NOWAIT);
    lt_pools_free(pools);
    ev_run(loop->ev, EVRUN_NOWAIT);
    lt_loop_free(loop);
    peer_close(&peer);
    lt_arena_fini(&x.arena);
    return completed;
}

static void a_response_comes_whole(void **state)
{
    (void)state;
    assert_true(try_once(0));
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    unsigned n = 1, completed = 0;
    /* Until there are more allocations allowed than one exchange makes. */
    while (completed < 3 && n < 1000) {
        completed = try_once(n++) ? completed + 1 : 0;
    }
    assert_in_range(n, 10, 999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_comes_whole),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
