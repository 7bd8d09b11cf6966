/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: a connection over a limit is refused before anything is made for it. */
#include "server/accept.h"

#include <unistd.h>

#include "base/log.h"
#include "base/obj.h"
#include "server/worker.h"

#define REFUSED_LOG_INTERVAL_US UINT64_C(10000000)

static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\n"
                              "Connection: close\r\n"
                              "Content-Type: text/plain\r\n"
                              "Content-Length: 21\r\n"
                              "Retry-After: 1\r\n"
                              "Proxy-Status: lintel; error=connection_limit_reached\r\n"
                              "\r\n"
                              "too_many_connections\n";

/* Says why, if that costs one system call, and closes. What the client sent already is taken off
 * the socket, or the close would reset the connection and the answer with it. */
static void refuse(struct lt_worker *worker, int fd, bool tls, struct lt_str listener)
{
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS_REFUSED, 1);
    if (!tls) {
        ssize_t n = recv(fd, worker->loop->scratch, LT_SCRATCH_SIZE, MSG_DONTWAIT);
        n = send(fd, refusal, sizeof(refusal) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)n; /* as far as it goes */
    }
    close(fd);
    uint64_t now = worker->loop->now_us;
    if (worker->refused_logged_us == 0 ||
        now - worker->refused_logged_us > REFUSED_LOG_INTERVAL_US) {
        worker->refused_logged_us = now;
        lt_log_warn("accept", "connections_refused", LT_KV_STR("listener", listener),
                    LT_KV_CSTR("cause", lt_cause_info(LT_CAUSE_TOO_MANY_CONNECTIONS)->name));
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

static void on_closed(void *owner)
{
    struct lt_worker_listener *wl = owner;
    struct lt_worker *worker = wl->worker;
    give_both_back(wl);
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS, -1);
    /* A descriptor is free: whoever waits for one may go on. */
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        if (worker->listeners[i].on && worker->listeners[i].listener.starved) {
            lt_listener_poke(&worker->listeners[i].listener);
        }
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
        refuse(worker, fd, tls_server != NULL, name);
        return;
    }
    struct lt_tls *tls = NULL;
    if (tls_server != NULL) {
        tls = lt_tls_accept(tls_server);
        if (tls == NULL) {
            give_both_back(wl);
            refuse(worker, fd, true, name);
            return;
        }
    }
    if (lt_front_h1_accept(worker->fronts, wl->slot, fd, peer, tls, on_closed, wl) != LT_OK) {
        lt_tls_free(tls);
        give_both_back(wl);
        refuse(worker, fd, tls != NULL, name);
        return;
    }
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS, 1);
    lt_metrics_add(worker->env.metrics, LT_COUNTER_CONNECTIONS_TOTAL, 1);
}
