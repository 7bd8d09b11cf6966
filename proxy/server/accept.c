/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: a connection over a limit is refused before anything is made for it.
 *
 *   lt_accept -> limits of gateway and listener -> [PROXY header, from peers that are believed]
 *             -> serve: limit of the client, TLS, front
 */
#include "server/accept.h"

#include <unistd.h>

#include "base/log.h"
#include "base/obj.h"
#include "http/hop.h"
#include "server/worker.h"

#define REFUSED_LOG_INTERVAL_US UINT64_C(10000000)

#define REFUSAL(status, length, cause)                                                             \
    "HTTP/1.1 " status "\r\n"                                                                      \
    "Connection: close\r\n"                                                                        \
    "Content-Type: text/plain\r\n"                                                                 \
    "Content-Length: " length "\r\n"                                                               \
    "Retry-After: 1\r\n"                                                                           \
    "Proxy-Status: lintel; error=http_request_denied\r\n"                                          \
    "\r\n" cause "\n"

static const char refusal[] = REFUSAL("503 Service Unavailable", "21", "too_many_connections");
static const char client_refusal[] =
    REFUSAL("429 Too Many Requests", "28", "too_many_client_connections");

static void log_refusal(struct lt_worker *worker, enum lt_cause cause, struct lt_str listener,
                        const struct lt_addr *peer)
{
    uint64_t *logged = &worker->refused_logged_us[cause == LT_CAUSE_TOO_MANY_CLIENT_CONNECTIONS];
    uint64_t now = worker->loop->now_us;
    if (*logged != 0 && now - *logged <= REFUSED_LOG_INTERVAL_US) {
        return;
    }
    char ip[LT_ADDR_TEXT_MAX];
    *logged = now;
    lt_log_warn("accept", "connections_refused", LT_KV_STR("listener", listener),
                LT_KV_STR("client", lt_str(ip, lt_addr_print_ip(peer, ip))),
                LT_KV_CSTR("cause", lt_cause_info(cause)->name));
}

/* Says why, if that costs one system call, and closes. What the client sent already is taken off
 * the socket, or the close would reset the connection and the answer with it. */
static void refuse(struct lt_worker *worker, int fd, bool tls, struct lt_str listener,
                   const struct lt_addr *peer, enum lt_cause cause)
{
    bool client = cause == LT_CAUSE_TOO_MANY_CLIENT_CONNECTIONS;
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS_REFUSED, 1);
    if (client) {
        lt_metrics_add(worker->env.metrics, LT_COUNTER_CLIENT_REFUSED, 1);
    }
    if (!tls) {
        struct lt_str text = lt_str_c(client ? client_refusal : refusal);
        ssize_t n = recv(fd, worker->loop->scratch, LT_SCRATCH_SIZE, MSG_DONTWAIT);
        n = send(fd, text.p, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)n; /* as far as it goes */
    }
    close(fd);
    log_refusal(worker, cause, listener, peer);
}

/* Counts a connection of the client at addr. False: it has as many as it may. *client: what to give
 * back later; 0: it isn't counted. */
static bool take_client(struct lt_worker *worker, const struct lt_addr *addr, uint64_t *client)
{
    const struct lt_worker_view *view =
        lt_container_of(worker->env.view, struct lt_worker_view, view);
    struct lt_addr_table *table = &worker->shared->clients;
    *client = 0;
    if (lt_addr_is_unix(addr) || (!view->snapshot->client_loopback && lt_addr_is_loopback(addr)) ||
        lt_hop_trusts(view->view.trust, view->view.n_trust, addr)) {
        return true;
    }
    uint64_t key = lt_addr_table_key(table, addr);
    switch (lt_addr_table_take(table, key, view->snapshot->client_max)) {
    case LT_ADDR_TAKEN:
        *client = key;
        return true;
    case LT_ADDR_NO_ROOM:
        lt_metrics_add(worker->env.metrics, LT_COUNTER_CLIENT_UNCOUNTED, 1);
        return true;
    case LT_ADDR_OVER:
        break;
    }
    return false;
}

static void give_client_back(struct lt_worker *worker, uint64_t client)
{
    if (client != 0) {
        lt_addr_table_give(&worker->shared->clients, client);
    }
}

/* Counts one more; false when that is over the limit, max == 0: there is none. */
static bool take(_Atomic(uint32_t) *count, uint32_t max)
{
    uint32_t before = atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    if (max > 0 && before >= max) {
        atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
        return false;
    }
    return true;
}

static void give_back(_Atomic(uint32_t) *count)
{
    atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

static bool take_both(struct lt_worker_listener *wl, uint32_t listener_max)
{
    struct lt_workers_shared *shared = wl->worker->shared;
    uint32_t max = atomic_load_explicit(&shared->connections_max, memory_order_relaxed);
    if (!take(&shared->connections, max)) {
        return false;
    }
    if (!take(&shared->slots->v[wl->slot].open, listener_max)) {
        give_back(&shared->connections);
        return false;
    }
    return true;
}

static void give_both_back(struct lt_worker_listener *wl)
{
    give_back(&wl->worker->shared->connections);
    give_back(&wl->worker->shared->slots->v[wl->slot].open);
}

static void on_closed(void *owner, uint64_t client)
{
    struct lt_worker_listener *wl = owner;
    struct lt_worker *worker = wl->worker;
    give_both_back(wl);
    give_client_back(worker, client);
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS, -1);
    /* A descriptor is free: whoever waits for one may go on. */
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        if (worker->listeners[i].on && worker->listeners[i].listener.starved) {
            lt_listener_poke(&worker->listeners[i].listener);
        }
    }
}

/* Who may say who the client is. A Unix socket has no addresses: its mode says who may connect. */
static bool is_believed(const struct lt_view *view, const struct lt_addr *peer)
{
    return lt_addr_is_unix(peer) || lt_hop_trusts(view->trust, view->n_trust, peer);
}

/* Ends a connection that isn't served for its PROXY header, or for want of one. Nothing is said to
 * the peer: what it speaks isn't known. */
static void end_proxied(const struct lt_proxied *c, enum lt_cause cause, const char *why)
{
    struct lt_worker_listener *wl = c->owner;
    struct lt_worker *worker = wl->worker;
    char peer[LT_ADDR_TEXT_MAX];
    /* A balancer that looked whether somebody listens, say, is none to tell of. */
    bool tell = cause != LT_CAUSE_CLIENT_GONE && cause != LT_CAUSE_DRAINING;
    lt_metrics_add(worker->env.metrics, LT_COUNTER_PROXY_REFUSED, tell);
    lt_tls_free(c->tls);
    close(c->fd);
    on_closed(wl, 0);
    if (!tell) {
        return;
    }
    uint64_t now = worker->loop->now_us;
    if (worker->proxied_logged_us == 0 ||
        now - worker->proxied_logged_us > REFUSED_LOG_INTERVAL_US) {
        worker->proxied_logged_us = now;
        lt_log_warn("accept", "proxy_header_refused",
                    LT_KV_CSTR("listener", worker->shared->slots->v[wl->slot].key),
                    LT_KV_STR("peer", lt_str(peer, lt_addr_print(&c->peer, peer))),
                    LT_KV_CSTR("cause", lt_cause_info(cause)->name), LT_KV_CSTR("detail", why));
    }
}

/* The connection is c's, its client header's if that gives one. */
static void serve(const struct lt_proxied *c, const struct lt_proxy_header *header)
{
    struct lt_worker_listener *wl = c->owner;
    bool given = header != NULL && header->given, tls = c->tls != NULL;
    const struct lt_addr *peer = given ? &header->source : &c->peer;
    uint64_t client;
    enum lt_cause cause = LT_CAUSE_TOO_MANY_CLIENT_CONNECTIONS;
    if (take_client(wl->worker, peer, &client)) {
        cause = LT_CAUSE_TOO_MANY_CONNECTIONS;
        if (lt_front_h1_accept(wl->worker->fronts, wl->slot, c->fd, peer, given ? &c->peer : NULL,
                               c->tls, client, on_closed, wl) == LT_OK) {
            return;
        }
    }
    lt_tls_free(c->tls);
    refuse(wl->worker, c->fd, tls, lt_str_c(wl->worker->shared->slots->v[wl->slot].key), peer,
           cause);
    on_closed(wl, client);
}

static void on_proxy_header(const struct lt_proxied *c, const struct lt_proxy_header *header,
                            enum lt_cause cause, const char *why)
{
    if (cause == LT_CAUSE_NONE) {
        serve(c, header);
    } else {
        end_proxied(c, cause, why);
    }
}

/* The connection was counted: reads its PROXY header first, where one may come. */
static void begin(struct lt_worker *worker, const struct lt_proxied *c,
                  const struct lt_snapshot_listener *conf)
{
    bool required = conf->proxy_protocol == LT_LISTEN_PROXY_REQUIRE;
    if (conf->proxy_protocol == LT_LISTEN_PROXY_NONE) {
        serve(c, NULL);
    } else if (!is_believed(worker->env.view, &c->peer)) {
        if (required) {
            end_proxied(c, LT_CAUSE_PROXY_PEER_UNTRUSTED, "");
        } else {
            serve(c, NULL);
        }
    } else if (lt_proxy_read(&worker->proxied, c, required, conf->proxy_ms, on_proxy_header) !=
               LT_OK) {
        lt_tls_free(c->tls);
        close(c->fd);
        on_closed(c->owner, 0);
    }
}

void lt_accept(void *owner, int fd, const struct lt_addr *peer)
{
    struct lt_worker_listener *wl = owner;
    struct lt_worker *worker = wl->worker;
    struct lt_worker_view *view = lt_container_of(worker->env.view, struct lt_worker_view, view);
    const struct lt_snapshot_listener *conf = &view->snapshot->listeners[wl->slot];
    struct lt_tls_server *tls_server = view->tls[wl->slot];
    struct lt_str name = lt_str_c(worker->shared->slots->v[wl->slot].key);
    if (!take_both(wl, conf->max_connections)) {
        refuse(worker, fd, tls_server != NULL, name, peer, LT_CAUSE_TOO_MANY_CONNECTIONS);
        return;
    }
    struct lt_tls *tls = NULL;
    if (tls_server != NULL) {
        tls = lt_tls_accept(tls_server);
        if (tls == NULL) {
            give_both_back(wl);
            refuse(worker, fd, true, name, peer, LT_CAUSE_TOO_MANY_CONNECTIONS);
            return;
        }
    }
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS, 1);
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS_TOTAL, 1);
    const struct lt_proxied c = {.fd = fd, .peer = *peer, .tls = tls, .owner = wl};
    begin(worker, &c, conf);
}
