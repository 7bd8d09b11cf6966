/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server. Whoever connects is checked by the credentials that the kernel gives: root, our
 * own user, and the users and groups that the configuration names. Main thread. */
#include "admin/admin.h"

#include <grp.h>
#include <unistd.h>

#include "admin/control.h"
#include "admin/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "http/h1.h"
#include "http/uri.h"
#include "net/listener.h"
#include "net/stream.h"
#include "server/json.h"

#define MAGIC 0x61646d69u /* "admi" */
#define CONNECTIONS_MAX 32u
#define HEAD_MAX 8192u /* with the body of a request */
#define ARENA_MAX ((size_t)64 << 10)
#define BODY_MAX ((size_t)64 << 20)
#define TIME_LIMIT_MS 10000u
#define GROUPS_MAX 256

struct connection {
    uint32_t magic;
    struct lt_admin *admin;
    struct lt_list link;
    struct lt_stream stream;
    struct lt_timer timer;
    struct lt_deferred deferred;
    struct lt_h1_scan scan;
    bool answered;               /* or is about to be */
    struct lt_request req;       /* in the arena, once head_len > 0 */
    struct lt_control_call call; /* what it is about, for answers after a round */
    struct lt_server_sets_waiter waiter;
    struct lt_filter_swap_waiter swapped;
    struct lt_buf body; /* of the answer */
    struct lt_arena arena;
    size_t len, head_len;
    char head[HEAD_MAX];
};

struct lt_admin {
    struct lt_gateway *gateway;
    int fd;
    struct lt_listener listener;
    struct lt_list connections;
    unsigned n;
};

/* ---- One connection. ---- */

static void free_connection(void *arg)
{
    struct connection *c = arg;
    LT_OBJ_CHECK(c, MAGIC);
    lt_timer_fini(&c->timer);
    lt_buf_fini(&c->body);
    lt_arena_fini(&c->arena);
    LT_OBJ_FINI(c);
    lt_free(c);
}

static void close_connection(struct connection *c)
{
    struct lt_admin *admin = c->admin;
    lt_stream_close(&c->stream);
    lt_timer_clear(&c->timer);
    lt_list_remove(&c->waiter.link);
    lt_list_remove(&c->swapped.link);
    lt_list_remove(&c->link);
    admin->n--;
    lt_loop_defer(admin->gateway->loop, &c->deferred, free_connection, c);
    lt_listener_poke(&admin->listener);
}

/* To whom there is no connection for: the client (admin/client.c) prints the body. Most get it
 * whole: an answer so short fits into an empty socket. */
static void turn_away(int fd)
{
    static const char text[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        "Connection: close\r\n\r\n"
        "{\"error\": \"too many connections to the admin socket (32 are open): one that asks "
        "nothing "
        "makes room for the next, and none lasts longer than 10 seconds; try again\"}\n";
    _Static_assert(CONNECTIONS_MAX == 32 && TIME_LIMIT_MS == 10000, "the text says so");
    ssize_t n = send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n;
}

/* Whether nothing is under way: no request has come, or its answer has left. */
static bool is_idle(const struct connection *c)
{
    char byte;
    return c->waiter.link.next == NULL && c->swapped.link.next == NULL &&
           lt_stream_unsent(&c->stream) == 0 &&
           (c->answered || recv(c->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0);
}

/* Ends the connection that has been idle for longest; false: none is. */
static bool make_room(struct lt_admin *admin)
{
    lt_list_each(it, tmp, &admin->connections)
    {
        struct connection *c = lt_container_of(it, struct connection, link);
        if (is_idle(c)) {
            if (!c->answered) {
                turn_away(c->stream.fd);
            }
            lt_log_info("admin", "connection_ended", LT_KV_CSTR("why", "another needed its place"));
            close_connection(c);
            return true;
        }
    }
    return false;
}

static void on_timeout(void *arg)
{
    close_connection(arg);
}

/* Ends our direction; the connection goes when all has left and the peer has closed. */
static void send_answer(struct connection *c, unsigned status, const char *type)
{
    struct lt_headers headers;
    struct lt_str head, length;
    lt_headers_init(&headers, &c->arena, 8);
    c->answered = true;
    if (!lt_arena_printf(&c->arena, &length, "%zu", c->body.len) ||
        lt_headers_add(&headers, LT_STR("Content-Type"), lt_str_c(type)) != LT_OK ||
        lt_headers_add(&headers, LT_STR("Content-Length"), length) != LT_OK ||
        lt_headers_add(&headers, LT_STR("Cache-Control"), LT_STR("no-store")) != LT_OK ||
        lt_headers_add(&headers, LT_STR("Connection"), LT_STR("close")) != LT_OK ||
        lt_h1_write_response(&c->arena, 11, status, &headers, &head) != LT_OK ||
        lt_stream_put(&c->stream, head.p, head.len) != LT_OK ||
        lt_stream_put(&c->stream, c->body.p, c->body.len) != LT_OK ||
        lt_stream_flush(&c->stream) != LT_OK) {
        close_connection(c);
        return;
    }
    lt_stream_shutdown(&c->stream);
}

static void answer_text(struct connection *c, unsigned status, const char *text)
{
    lt_buf_add(&c->body, text, strlen(text));
    send_answer(c, status, "text/plain; charset=utf-8");
}

static void get_livez(struct connection *c)
{
    answer_text(c, 200, "ok\n");
}

static void get_readyz(struct connection *c)
{
    bool ready = lt_gateway_is_ready(c->admin->gateway);
    answer_text(c, ready ? 200 : 503, ready ? "ready\n" : "not ready\n");
}

static void get_metrics(struct connection *c)
{
    struct lt_gateway *g = c->admin->gateway;
    lt_gateway_refresh_metrics(g);
    lt_metrics_write(g->metrics, &c->body);
    lt_gateway_write_metrics(g, &c->body);
    send_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- Answers that wait until every worker has counted. ---- */

static void put_status(struct lt_control_call *call, struct lt_buf *out)
{
    lt_gateway_status(call->gateway, out);
}

static void on_round(void *arg)
{
    struct connection *c = arg;
    LT_OBJ_CHECK(c, MAGIC);
    c->call.status = 200;
    c->call.put(&c->call, &c->body);
    send_answer(c, c->call.status, "application/json");
}

static void after_round(struct connection *c)
{
    c->answered = true;
    c->waiter.fn = on_round;
    c->waiter.arg = c;
    lt_server_sets_round(c->admin->gateway->sets, &c->waiter);
}

static void get_status(struct connection *c)
{
    c->call.put = put_status;
    after_round(c);
}

/* The control API: what is asked is done, then all is said as it is. */
static void control(struct connection *c)
{
    struct lt_str body = lt_str(c->head + c->head_len, c->len - c->head_len);
    c->call.arena = &c->arena;
    if (lt_control_call(&c->call, &c->req, body, &c->body)) {
        after_round(c);
    } else {
        send_answer(c, c->call.status, "application/json");
    }
}

static void limits_page(struct connection *c)
{
    struct lt_limits *limits = c->admin->gateway->shared.limits;
    send_answer(c, lt_limits_answer(limits, &c->arena, &c->req, &c->body), "application/json");
}

/* ---- POST /filters[?file=FILE]: takes up filter files that have changed. ---- */

static void on_swapped(void *arg, enum lt_filter_swap_result result, struct lt_str names,
                       struct lt_str errors)
{
    struct connection *c = arg;
    LT_OBJ_CHECK(c, MAGIC);
    unsigned status = 200;
    bool refused = result == LT_FILTER_SWAP_REFUSED;
    lt_buf_char(&c->body, '{');
    if (result == LT_FILTER_SWAP_UNKNOWN) {
        status = 404;
        lt_json_str(&c->body, "error",
                    LT_STR("no filter of the configuration is made of this file"));
    } else {
        status = refused ? 422 : 200;
        lt_json_str(&c->body, refused ? "refused" : "reloaded", names);
    }
    if (refused) {
        lt_json_str(&c->body, "error", errors);
    }
    lt_buf_add(&c->body, "}\n", 2);
    send_answer(c, status, "application/json");
}

static void post_filters(struct connection *c)
{
    struct lt_str file;
    if (c->req.method != LT_METHOD_POST) {
        answer_text(c, 405, "only POST is answered here\n");
        return;
    }
    if (!lt_query_get(&c->arena, c->req.query, LT_STR("file"), &file)) {
        file = LT_STR_NONE;
    }
    c->answered = true;
    c->swapped = (struct lt_filter_swap_waiter){.fn = on_swapped, .arg = c};
    if (!lt_filter_swap_start(c->admin->gateway, file, &c->swapped)) {
        lt_buf_char(&c->body, '{');
        lt_json_str(&c->body, "error",
                    LT_STR("the gateway is taking something up or ends: try again"));
        lt_buf_add(&c->body, "}\n", 2);
        send_answer(c, 409, "application/json");
    }
}

static const struct {
    const char *path;
    void (*get)(struct connection *c);
    bool controls; /* takes other methods too */
} pages[] = {
    {"/livez", get_livez, false},     {"/readyz", get_readyz, false},
    {"/metrics", get_metrics, false}, {"/status", get_status, false},
    {"/upstreams", control, true},    {"/servers", control, true},
    {"/limits", limits_page, true},   {"/filters", post_filters, true},
};

static void answer(struct connection *c)
{
    for (size_t i = 0; i < lt_countof(pages); i++) {
        if (lt_str_eq_c(c->req.path, pages[i].path)) {
            if (c->req.method != LT_METHOD_GET && !pages[i].controls) {
                answer_text(c, 405, "only GET is answered here\n");
            } else {
                pages[i].get(c);
            }
            return;
        }
    }
    answer_text(c, 404,
                "there are /livez, /readyz, /metrics, /status, /upstreams, /servers, /limits and "
                "/filters\n");
}

static const struct lt_h1_limits limits = {.head = HEAD_MAX, .headers = 64, .target = 1024};

/* The body lies behind the head when it is whole. */
static bool body_is_whole(struct connection *c)
{
    uint64_t length = c->req.body == LT_BODY_LENGTH ? c->req.content_length : 0;
    if (c->req.body != LT_BODY_NONE && c->req.body != LT_BODY_LENGTH) {
        answer_text(c, 411, "say how long the body is\n");
        return false;
    }
    if (length > HEAD_MAX - c->head_len) {
        answer_text(c, 413, "the body is too long\n");
        return false;
    }
    if (c->len - c->head_len < length) {
        return false;
    }
    c->len = c->head_len + length;
    return true;
}

static void on_head(struct connection *c)
{
    struct lt_h1 parser;
    enum lt_cause cause = LT_CAUSE_NONE;
    if (c->head_len == 0) {
        size_t head_len = 0;
        enum lt_err err = lt_h1_scan(&c->scan, c->head, c->len, &limits, &head_len, &cause);
        if (err == LT_AGAIN) {
            return;
        }
        if (err == LT_OK) {
            err = lt_h1_request(&parser, &c->arena, c->head, head_len, &limits, &c->req, &cause);
        }
        if (err != LT_OK) {
            answer_text(c, lt_cause_info(cause)->status, lt_cause_info(cause)->name);
            return;
        }
        c->head_len = head_len;
    }
    if (body_is_whole(c)) {
        answer(c);
    }
}

static void on_readable(void *owner)
{
    struct connection *c = owner;
    LT_OBJ_CHECK(c, MAGIC);
    char rest[512];
    for (;;) {
        size_t n = 0;
        bool whole = c->answered;
        enum lt_err err = whole
                              ? lt_stream_recv(&c->stream, rest, sizeof(rest), &n)
                              : lt_stream_recv(&c->stream, c->head + c->len, HEAD_MAX - c->len, &n);
        if (err == LT_AGAIN) {
            return;
        }
        if (err != LT_OK) {
            close_connection(c);
            return;
        }
        if (!whole) {
            c->len += n;
            on_head(c);
            if (c->stream.fd < 0) {
                return;
            }
        }
    }
}

static void on_drained(void *owner)
{
    (void)owner; /* the peer closes, or the timer does */
}

static const struct lt_stream_ops stream_ops = {.on_readable = on_readable,
                                                .on_drained = on_drained};

/* ---- Who may connect. ---- */

static bool listed(const struct lt_conf_list *list, int64_t id)
{
    const int64_t *ids = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* The peer's further groups, which the kernel tells since Linux 4.13. */
static bool in_listed_group(int fd, const struct lt_conf_list *list)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof(groups);
    if (list->n == 0 || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0) {
        return false;
    }
    for (size_t i = 0; i < len / sizeof(groups[0]); i++) {
        if (listed(list, groups[i])) {
            return true;
        }
    }
    return false;
}

static bool may_connect(const struct lt_admin *admin, int fd)
{
    const struct lt_admin_conf *conf = &admin->gateway->current->root->conf->admin;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return false;
    }
    if (peer.uid == 0 || peer.uid == geteuid() || listed(&conf->uids, peer.uid) ||
        listed(&conf->gids, peer.gid) || in_listed_group(fd, &conf->gids)) {
        return true;
    }
    lt_log_warn("admin", "refused", LT_KV_INT("uid", peer.uid), LT_KV_INT("gid", peer.gid),
                LT_KV_INT("pid", peer.pid));
    return false;
}

static void on_accept(void *owner, int fd, const struct lt_addr *peer)
{
    (void)peer;
    struct lt_admin *admin = owner;
    struct connection *c = NULL;
    if (!may_connect(admin, fd)) {
        close(fd);
        return;
    }
    if (admin->n >= CONNECTIONS_MAX && !make_room(admin)) {
        lt_log_warn("admin", "connections_full", LT_KV_INT("open", admin->n));
        turn_away(fd);
        close(fd);
        return;
    }
    if ((c = lt_calloc(1, sizeof(*c))) == NULL) {
        close(fd);
        return;
    }
    LT_OBJ_INIT(c, MAGIC);
    c->admin = admin;
    c->call.gateway = admin->gateway;
    lt_list_push_back(&admin->connections, &c->link);
    admin->n++;
    lt_arena_init(&c->arena, NULL, 0, ARENA_MAX);
    lt_buf_init(&c->body, BODY_MAX);
    lt_timer_init(&c->timer, admin->gateway->loop, on_timeout, c);
    lt_timer_set(&c->timer, TIME_LIMIT_MS);
    lt_stream_open(&c->stream, admin->gateway->loop, fd, &stream_ops, c);
}

/* ---- Life. ---- */

static struct lt_admin *start(struct lt_gateway *gateway, int fd)
{
    struct lt_admin *admin = lt_calloc(1, sizeof(*admin));
    if (admin == NULL) {
        return NULL;
    }
    admin->gateway = gateway;
    admin->fd = fd;
    lt_list_init(&admin->connections);
    lt_listener_start(&admin->listener, gateway->loop, fd, LT_STR("admin"), on_accept, admin);
    return admin;
}

static void stop(struct lt_admin *admin)
{
    lt_listener_stop(&admin->listener, false);
    lt_listener_leave(&admin->listener);
    lt_list_each(it, tmp, &admin->connections)
    {
        close_connection(lt_container_of(it, struct connection, link));
    }
    close(admin->fd);
    lt_free(admin);
}

const struct lt_admin_ops lt_admin_ops = {.start = start, .stop = stop};
