/* SPDX-License-Identifier: Apache-2.0 */
/* One server of Redis (redis_impl.h): which connection a command takes, and opening them.
 *
 *   send -> a connection with room
 *        '> waiting, one more is opened: [sentinels] -> address -> lt_dial -> greetings -> serve
 *
 * When none can be opened, the node is down: who waits is told, newcomers are told at once, and the
 * timer tries again. A worker's thread. */
#include "upstream/redis_impl.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"
#include "upstream/pool.h"

#define BACKOFF_MS 100u
#define VANISHED_MS UINT64_C(30000)

static uint64_t now_us(const struct lt_redis_node *node)
{
    return node->service->redis->loop->now_us;
}

/* ---- whose turn it is ---- */

static void open_conn(struct lt_redis_node *node);

static bool may_open(const struct lt_redis_node *node)
{
    return node->opening == NULL && node->n_conns < LT_REDIS_CONNS_MAX && !node->down &&
           now_us(node) >= node->open_after_us;
}

/* The connection over which an earlier command of the same call is under way; or NULL. */
static struct lt_redis_conn *conn_before(const struct lt_redis_node *node,
                                         const struct lt_redis_command *command)
{
    const struct lt_redis_command *first = command->call->commands;
    while (command > first) {
        command--;
        if (command->conn != NULL && command->conn->node == node) {
            return command->conn;
        }
    }
    return NULL;
}

/* The connection for command: that of a command before it, so that they keep their order, else the
 * one with the least to do; NULL: there is none now. */
static struct lt_redis_conn *choose(struct lt_redis_node *node,
                                    const struct lt_redis_command *command)
{
    struct lt_redis_conn *best = conn_before(node, command);
    if (best != NULL && best->state == LT_REDIS_CONN_READY) {
        return lt_redis_conn_has_room(best, command) ? best : NULL;
    }
    best = NULL;
    lt_list_each(it, tmp, &node->conns)
    {
        struct lt_redis_conn *conn = lt_container_of(it, struct lt_redis_conn, link);
        if (lt_redis_conn_has_room(conn, command) &&
            (best == NULL || conn->tail - conn->head < best->tail - best->head)) {
            best = conn;
        }
    }
    return best;
}

void lt_redis_node_serve(struct lt_redis_node *node)
{
    struct lt_list *link;
    while ((link = node->waiting.next) != &node->waiting) {
        struct lt_redis_command *command = lt_container_of(link, struct lt_redis_command, link);
        struct lt_redis_conn *conn = choose(node, command);
        if (conn == NULL) {
            break;
        }
        lt_list_remove(link);
        lt_redis_conn_put(conn, command);
    }
    if (!lt_list_empty(&node->waiting) && may_open(node)) {
        open_conn(node);
    }
}

void lt_redis_node_send(struct lt_redis_node *node, struct lt_redis_command *command)
{
    node->asked_us = now_us(node);
    if (node->down) {
        lt_redis_call_fail(command->call, LT_REDIS_UNREACHABLE, lt_str_c(node->why));
        return;
    }
    struct lt_redis_conn *conn = lt_list_empty(&node->waiting) ? choose(node, command) : NULL;
    if (conn != NULL) {
        lt_redis_conn_put(conn, command);
    } else {
        lt_list_push_back(&node->waiting, &command->link);
    }
    if ((conn == NULL || conn->tail - conn->head > LT_REDIS_SPREAD) && may_open(node)) {
        open_conn(node);
    }
}

/* ---- opening ---- */

static void set_idle_timer(struct lt_redis_node *node)
{
    lt_timer_set(&node->timer, LT_REDIS_IDLE_MS);
}

void lt_redis_node_opened(struct lt_redis_node *node)
{
    node->opening = NULL;
    node->down = false;
    node->backoff_ms = 0;
    set_idle_timer(node);
    lt_redis_node_serve(node);
}

static void dial(struct lt_redis_node *node);

static void on_dialed(void *owner, const struct lt_dial_failure *failure)
{
    struct lt_redis_conn *conn = owner;
    struct lt_redis_node *node = conn->node;
    if (failure != NULL) {
        struct lt_str detail = failure->detail;
        if (detail.len == 0) {
            detail = failure->sys_errno != 0 ? lt_str_c(strerrordesc_np(failure->sys_errno))
                                             : lt_str_c(lt_cause_info(failure->cause)->name);
        }
        if (--node->n_addrs > 0 && !lt_dial_reached(failure->cause)) {
            memmove(&node->addrs[0], &node->addrs[1], node->n_addrs * sizeof(node->addrs[0]));
            dial(node);
        } else {
            lt_redis_node_failed(node, detail);
        }
        return;
    }
    if (conn->redis->metrics != NULL) {
        lt_metrics_add(conn->redis->metrics, LT_COUNTER_REDIS_CONNECTS, 1);
    }
    lt_redis_conn_greet(conn);
}

static void dial(struct lt_redis_node *node)
{
    struct lt_redis_conn *conn = node->opening;
    node->server.addr = node->addrs[0];
    lt_dial_start(&conn->dial, conn->redis->pools, &node->server, LT_STR_NONE, &conn->stream,
                  on_dialed, conn);
}

static void on_addresses(void *owner, const struct lt_addr *v, unsigned n, const char *why)
{
    struct lt_redis_node *node = owner;
    if (n == 0) {
        lt_redis_node_failed(node, lt_str_c(why));
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        node->addrs[i] = v[i];
        if (!lt_addr_is_unix(&v[i])) {
            lt_addr_set_port(&node->addrs[i], node->place.port);
        }
    }
    node->n_addrs = n;
    dial(node);
}

void lt_redis_node_dial(struct lt_redis_node *node)
{
    if (node->place.addr.len > 0) {
        struct lt_addr addr = node->place.addr;
        on_addresses(node, &addr, 1, NULL);
    } else {
        lt_addresses_find(node->service->redis->addresses, &node->wait, node->place.host,
                          on_addresses, node);
    }
}

static void open_conn(struct lt_redis_node *node)
{
    node->upstream.connect_ms = node->service->connect_ms;
    node->upstream.tls = node->service->tls;
    node->opening = lt_redis_conn_new(node);
    if (node->opening == NULL) {
        lt_redis_node_failed(node, LT_STR("too many connections, or no memory for one more"));
        return;
    }
    lt_timer_set(&node->timer, node->service->connect_ms);
    if (node == node->service->main && node->service->url.kind == LT_REDIS_SENTINEL) {
        lt_redis_ask(node->service); /* goes on with lt_redis_node_dial */
    } else {
        lt_redis_node_dial(node);
    }
}

static void fail_waiting(struct lt_redis_node *node)
{
    struct lt_list *link;
    while ((link = node->waiting.next) != &node->waiting) {
        struct lt_redis_command *command = lt_container_of(link, struct lt_redis_command, link);
        lt_redis_call_fail(command->call, LT_REDIS_UNREACHABLE, lt_str_c(node->why));
    }
}

static bool has_conn(const struct lt_redis_node *node)
{
    bool ready = false;
    lt_list_each(it, tmp, &node->conns)
    {
        ready |= lt_container_of(it, struct lt_redis_conn, link)->state == LT_REDIS_CONN_READY;
    }
    return ready;
}

void lt_redis_node_failed(struct lt_redis_node *node, struct lt_str why)
{
    struct lt_redis *r = node->service->redis;
    uint64_t now = now_us(node);
    bool named = lt_str_find(why, lt_str_c(node->name)) != SIZE_MAX;
    snprintf(node->why, sizeof(node->why), "%s%s%.*s", named ? "" : node->name, named ? "" : ": ",
             LT_STR_ARG(why));
    lt_address_wait_cancel(&node->wait);
    if (node->opening != NULL) {
        lt_redis_conn_close(node->opening, LT_REDIS_UNREACHABLE, lt_str_c(node->why));
    }
    if (has_conn(node)) {
        node->open_after_us = now + LT_REDIS_RETRY_MS * 1000;
        set_idle_timer(node);
        return;
    }
    node->down = true;
    node->backoff_ms = lt_min(lt_max(2 * node->backoff_ms, BACKOFF_MS), LT_REDIS_RETRY_MS);
    lt_timer_set(&node->timer,
                 node->backoff_ms - lt_rand_below(&r->loop->rand, node->backoff_ms / 4));
    fail_waiting(node);
    if (node->service->mapped) {
        lt_redis_cluster_renew(node->service);
    }
}

/* Closes what nobody has used for long. */
static void close_idle(struct lt_redis_node *node)
{
    bool left = false;
    lt_list_each(it, tmp, &node->conns)
    {
        struct lt_redis_conn *conn = lt_container_of(it, struct lt_redis_conn, link);
        bool idle = conn->head == conn->tail &&
                    conn->used_us + LT_REDIS_IDLE_MS * 1000 <= now_us(node) + 1000;
        if (idle && conn->state == LT_REDIS_CONN_READY) {
            lt_redis_conn_close(conn, LT_REDIS_CLOSED, LT_STR_NONE);
        } else {
            left = true;
        }
    }
    if (left) {
        set_idle_timer(node);
    }
}

static void on_timer(void *arg)
{
    struct lt_redis_node *node = arg;
    if (node->opening != NULL) {
        char text[60];
        int n = snprintf(text, sizeof(text), "no connection and greeting within %llu ms",
                         (unsigned long long)node->service->connect_ms);
        lt_redis_node_failed(node, lt_str(text, (size_t)n));
    } else if (!node->down) {
        close_idle(node);
    } else if (node->asked_us + LT_REDIS_WANTED_MS * 1000 > now_us(node)) {
        open_conn(node);
    } else {
        node->down = false; /* who comes next tries */
        node->backoff_ms = 0;
    }
}

/* ---- the node ---- */

static void set_place(struct lt_redis_node *node, const struct lt_redis_place *place)
{
    char text[LT_ADDR_TEXT_MAX];
    struct lt_server *server = &node->server;
    node->place = *place;
    if (place->host.len == 0) {
        size_t n = lt_addr_print(&place->addr, text);
        snprintf(node->name, sizeof(node->name), "%.*s", (int)n, text);
    } else {
        bool v6 = lt_str_chr(place->host, ':', 0) != SIZE_MAX;
        memcpy(node->host, place->host.p, place->host.len);
        node->host[place->host.len] = '\0';
        node->place.host.p = node->host;
        snprintf(node->name, sizeof(node->name), v6 ? "[%s]:%u" : "%s:%u", node->host, place->port);
    }
    server->name = server->host = node->upstream.name = lt_str_c(node->name);
    server->ip = node->place.host;
}

struct lt_redis_node *lt_redis_node_new(struct lt_redis_service *service,
                                        const struct lt_redis_place *place, enum lt_redis_role role)
{
    struct lt_redis *r = service->redis;
    uint32_t id = 0;
    while (id < LT_REDIS_NODES_MAX && r->ids[id]) {
        id++;
    }
    struct lt_redis_node *node = id < LT_REDIS_NODES_MAX ? lt_calloc(1, sizeof(*node)) : NULL;
    if (node == NULL) {
        return NULL;
    }
    r->ids[id] = true;
    node->service = service;
    node->role = role;
    node->upstream.protocol = LT_PROTOCOL_H1;
    node->upstream.vanished_ms = VANISHED_MS;
    node->upstream.places.connect = LT_STR("which is connect_timeout");
    node->state.id = id;
    atomic_store_explicit(&node->state.users, 1, memory_order_relaxed);
    node->server.upstream = &node->upstream;
    node->server.state = &node->state;
    node->server.weight = 1;
    set_place(node, place);
    lt_list_init(&node->conns);
    lt_list_init(&node->waiting);
    lt_timer_init(&node->timer, r->loop, on_timer, node);
    lt_list_push_back(&service->nodes, &node->link);
    service->n_nodes++;
    return node;
}

void lt_redis_node_free(struct lt_redis_node *node)
{
    struct lt_redis *r = node->service->redis;
    lt_list_each(it, tmp, &node->conns)
    {
        lt_redis_conn_close(lt_container_of(it, struct lt_redis_conn, link), LT_REDIS_CLOSED,
                            LT_STR_NONE);
    }
    lt_address_wait_cancel(&node->wait);
    lt_timer_fini(&node->timer);
    atomic_store_explicit(&node->state.users, 0, memory_order_relaxed);
    lt_pools_sweep(r->pools);
    r->ids[node->state.id] = false;
    lt_list_remove(&node->link);
    node->service->n_nodes--;
    lt_free(node);
}

void lt_redis_node_move(struct lt_redis_node *node, const struct lt_redis_place *place)
{
    if (!lt_str_eq(node->place.host, place->host) || node->place.port != place->port) {
        lt_redis_node_renew(node);
        set_place(node, place);
    }
}
