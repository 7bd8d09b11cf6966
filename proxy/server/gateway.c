/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's main thread: start, the supervisor's commands, end. */
#include "server/gateway.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "exchange/exchange.h"
#include "filters/host.h"
#include "filters/password.h"
#include "front/front_h2.h"
#include "server/log_writer.h"
#include "server/lookups.h"
#include "server/privileges.h"
#include "server/watchdog.h"
#include "upstream/back_h1.h"

/* How long the supervisor may take for sockets. */
#define LISTEN_WAIT_MS 10000
/* Labels in metrics; what exceeds them is counted as "other". */
#define METRICS_ROUTES_MAX 2000u
#define METRICS_SERVERS_MAX 2000u
#define LOG_RING_BYTES ((size_t)1 << 20)
/* Main, loader, watchdog, and some to spare. */
#define LOG_RINGS_OTHER 8u
#define LOG_STOP_MS 2000u
/* What a TLS connection takes in OpenSSL, measured. */
#define TLS_BYTES ((size_t)24 << 10)
/* Of one worker: what the loop reads into, what bodies on disk are read into, blocks and objects
 * that are kept for the next ones. */
#define WORKER_BYTES ((size_t)24 << 20)
#define MAIN_BLOCKS_MAX ((size_t)4 << 20)
/* For passwords: threads, and work that waits for one. */
#define POOL_THREADS 2u
#define POOL_QUEUE_MAX 128u

/* ---- The supervisor. ---- */

static void obey(struct lt_gateway *g, uint32_t type)
{
    switch (type) {
    case LT_CONTROL_RELOAD:
        if (g->drain.state == LT_DRAIN_NONE) {
            lt_reload_start(g);
        }
        break;
    case LT_CONTROL_REOPEN:
        lt_log_writer_reopen(g->log);
        break;
    case LT_CONTROL_DRAIN:
        lt_drain_start(g, "asked to stop");
        break;
    case LT_CONTROL_END:
        lt_drain_hurry(g);
        break;
    default:
        break;
    }
}

/* Commands that came while an answer was awaited. */
static void obey_queued(void *arg)
{
    struct lt_gateway *g = arg;
    unsigned n = g->n_queue;
    g->n_queue = 0;
    for (unsigned i = 0; i < n; i++) {
        obey(g, g->queue[i]);
    }
}

static void on_supervisor_gone(struct lt_gateway *g)
{
    ev_io_stop(g->loop->ev, &g->control);
    lt_drain_start(g, "the supervisor is gone");
}

static void close_fds(const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
}

static void on_control(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_gateway *g = lt_container_of(w, struct lt_gateway, control);
    struct lt_control_message message;
    int fds[LT_CONTROL_FDS_MAX];
    unsigned n;
    for (;;) {
        enum lt_err err = lt_control_recv(g->options->control, &message, fds, &n);
        close_fds(fds, n); /* an answer that came too late */
        if (err == LT_AGAIN) {
            return;
        }
        if (err != LT_OK) {
            on_supervisor_gone(g);
            return;
        }
        obey(g, message.type);
    }
}

/* The next message about `key`; commands in between are kept for later. */
static enum lt_err await_sockets(struct lt_gateway *g, const char *key,
                                 struct lt_control_message *message, int *fds, unsigned *n)
{
    uint64_t until = lt_clock_us() + LISTEN_WAIT_MS * 1000;
    for (;;) {
        enum lt_err err = lt_control_recv(g->options->control, message, fds, n);
        if (err == LT_AGAIN) {
            uint64_t now = lt_clock_us();
            struct pollfd pfd = {.fd = g->options->control, .events = POLLIN};
            if (now >= until) {
                return LT_ERR_TIMEOUT;
            }
            (void)poll(&pfd, 1, (int)((until - now) / 1000 + 1));
            continue;
        }
        if (err != LT_OK ||
            (message->type == LT_CONTROL_LISTENING && strcmp(message->key, key) == 0)) {
            return err;
        }
        close_fds(fds, *n);
        if (message->type != LT_CONTROL_LISTENING && g->n_queue < LT_GATEWAY_QUEUE_MAX) {
            g->queue[g->n_queue++] = message->type;
            lt_loop_defer(g->loop, &g->queued, obey_queued, g);
        }
    }
}

enum lt_err lt_gateway_listen(struct lt_gateway *g, const struct lt_control_message *request,
                              int **fds, unsigned *n, int *sys_errno)
{
    struct lt_control_message answer;
    int some[LT_CONTROL_FDS_MAX], *all = NULL;
    unsigned n_some = 0, got = 0;
    enum lt_err err = lt_control_send(g->options->control, request, NULL, 0);
    do {
        if (err == LT_OK) {
            err = await_sockets(g, request->key, &answer, some, &n_some);
        }
        if (err == LT_OK && (answer.sys_errno != 0 || answer.count == 0)) {
            *sys_errno = answer.sys_errno;
            err = LT_ERR_IO;
        }
        if (err == LT_OK && all == NULL) {
            all = lt_calloc(answer.count, sizeof(int));
        }
        if (err == LT_OK && (all == NULL || got + n_some > answer.count)) {
            close_fds(some, n_some);
            err = LT_ERR_NOMEM;
        }
        if (err != LT_OK) {
            close_fds(all, got);
            lt_free(all);
            return err;
        }
        memcpy(all + got, some, n_some * sizeof(int));
        got += n_some;
    } while (got < answer.count);
    *fds = all;
    *n = got;
    return LT_OK;
}

/* fd: a descriptor that goes with it, -1: none. */
static void send_control(struct lt_gateway *g, const struct lt_control_message *message, int fd)
{
    enum lt_err err = lt_control_send(g->options->control, message, &fd, fd >= 0 ? 1 : 0);
    (void)err; /* a supervisor that is gone is noticed when we read */
}

void lt_gateway_unlisten(struct lt_gateway *g, const char *key)
{
    struct lt_control_message message = {.type = LT_CONTROL_UNLISTEN};
    snprintf(message.key, sizeof(message.key), "%s", key);
    send_control(g, &message, -1);
}

void lt_gateway_tell(struct lt_gateway *g, enum lt_control_type type, int sys_errno, int kept)
{
    struct lt_control_message message = {.type = type, .sys_errno = sys_errno};
    message.value = g->current != NULL ? lt_drain_limit_ms(g) : 0;
    send_control(g, &message, kept);
}

static void on_term(struct ev_loop *ev, ev_signal *w, int revents)
{
    (void)ev, (void)revents;
    lt_drain_start(lt_container_of(w, struct lt_gateway, term), "SIGTERM");
}

/* ---- Workers. ---- */

struct lt_snapshot *lt_gateway_hold_current(struct lt_gateway *g)
{
    g->current->views++;
    return g->current;
}

void lt_gateway_put_snapshot(struct lt_gateway *g, struct lt_snapshot *snapshot)
{
    if (--snapshot->views > 0) {
        return;
    }
    g->snapshots--;
    lt_snapshot_free(snapshot);
    lt_server_sets_round(g->sets, NULL); /* its servers may be nobody's now */
}

void lt_gateway_put_view(struct lt_gateway *g, struct lt_worker_view *view)
{
    struct lt_snapshot *snapshot = view->snapshot;
    lt_free(view);
    lt_gateway_put_snapshot(g, snapshot);
}

static void on_released(struct lt_message *message, void *owner)
{
    lt_gateway_put_view(owner, lt_container_of(message, struct lt_worker_view, message));
}

static void on_stopped(struct lt_message *message, void *owner)
{
    (void)message;
    lt_drain_on_stopped(owner);
}

static void on_wanted(struct lt_message *message, void *owner)
{
    struct lt_gateway *g = owner;
    struct lt_worker *worker = lt_container_of(message, struct lt_worker, wanted);
    atomic_store_explicit(&worker->wanting, false, memory_order_release);
    lt_server_sets_round(g->sets, NULL);
}

static void on_idle(struct lt_message *message, void *owner)
{
    (void)message;
    lt_drain_on_idle(owner);
}

/* Bytes that the filters of one worker may take. */
static size_t filter_memory(const struct lt_snapshot *s)
{
    size_t sum = 0;
    bool asks = false;
    for (unsigned i = 0; s->filters != NULL && i < s->filters->n_files; i++) {
        sum += s->filters->files[i]->memory;
        asks |= s->filters->files[i]->asks;
    }
    return sum + (asks ? lt_origins_memory() + lt_redis_memory() : 0);
}

/* What hashing passwords may take at a time. */
static size_t pool_memory(const struct lt_snapshot *s)
{
    return s->filters != NULL ? POOL_THREADS * LT_PASSWORD_MEMORY : 0;
}

/* An HTTP/2 request with its exchange, the connection to its server and pieces of both bodies. */
static size_t stream_bytes(void)
{
    return lt_front_h2_stream_size() + sizeof(struct lt_exchange) + lt_back_h1_size() +
           LT_EXCHANGE_PIECES;
}

/* What the configuration lets us use at most, so that nobody has to find out under load. */
static void log_memory_bound(struct lt_gateway *g, const struct lt_snapshot *s)
{
    const struct lt_root_conf *conf = s->root->conf;
    size_t rate_bytes, filters = filter_memory(s);
    /* A client's connection with its exchange, the server's, and pieces of both bodies. */
    size_t connection =
        lt_front_h1_size() + sizeof(struct lt_exchange) + lt_back_h1_size() + LT_EXCHANGE_PIECES;
    bool tls = false, h2 = false;
    for (unsigned i = 0; i < s->n_listeners; i++) {
        tls |= s->fronts[i].tls;
        h2 |= s->fronts[i].h2.cleartext || s->fronts[i].h2.alpn;
    }
    if (tls) {
        connection += TLS_BYTES + (s->tls->asks ? LT_TLS_CLIENT_CHAIN_MEMORY : 0);
    }
    connection += h2 ? lt_front_h2_size() : 0;
    uint64_t streams = h2 ? (uint64_t)conf->limits.streams * stream_bytes() : 0;
    (void)lt_shm_rate_area(g->shm, &rate_bytes);
    rate_bytes += LT_SHM_HOLD_BYTES + lt_limits_bytes(g->shared.limits);
    uint64_t connections = (uint64_t)s->connections_max * connection;
    uint64_t workers = (uint64_t)g->n_workers * WORKER_BYTES;
    uint64_t clients = lt_addr_table_bytes(&g->shared.clients), shared = g->shared.values.bytes;
    uint64_t logs = (g->n_workers + (uint64_t)LOG_RINGS_OTHER) * LOG_RING_BYTES;
    uint64_t per_filter = (uint64_t)filters * g->n_workers + pool_memory(s);
    uint64_t total = connections + streams + conf->limits.heads + conf->limits.buffers.total +
                     conf->limits.compress.total + workers + rate_bytes + per_filter + logs +
                     clients + shared;
    if (total == g->memory_bound) {
        return;
    }
    g->memory_bound = total;
    lt_log_info(
        "gateway", "memory_bound", LT_KV_INT("total_mb", total >> 20),
        LT_KV_INT("connections_mb", connections >> 20), LT_KV_INT("streams_mb", streams >> 20),
        LT_KV_INT("heads_mb", conf->limits.heads >> 20), LT_KV_INT("clients_mb", clients >> 20),
        LT_KV_INT("buffers_mb", conf->limits.buffers.total >> 20),
        LT_KV_INT("compress_mb", conf->limits.compress.total >> 20),
        LT_KV_INT("workers_mb", workers >> 20), LT_KV_INT("filters_mb", per_filter >> 20),
        LT_KV_INT("shared_mb", shared >> 20), LT_KV_INT("limits_mb", rate_bytes >> 20),
        LT_KV_INT("logs_mb", logs >> 20));
}

/* Every client connection may need one to a server beside it. */
static void check_descriptors(const struct lt_snapshot *s)
{
    struct rlimit limit;
    uint64_t needed = 2 * (uint64_t)s->connections_max + LT_BUILD_OTHER_FDS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
        lt_log_warn("gateway", "few_descriptors", LT_KV_INT("limit", limit.rlim_cur),
                    LT_KV_INT("needed", needed),
                    LT_KV_CSTR("hint", "raise LimitNOFILE or lower limits.connections"));
    }
}

void lt_gateway_log_bounds(struct lt_gateway *g, const struct lt_snapshot *s)
{
    log_memory_bound(g, s);
    check_descriptors(s);
}

enum lt_err lt_gateway_start_workers(struct lt_gateway *g, const struct lt_snapshot *first)
{
    unsigned n = first->n_workers;
    g->shared.n_workers = g->shared.peers.n = n;
    g->shared.pool = lt_work_pool_new(POOL_THREADS, POOL_QUEUE_MAX);
    if (g->shared.pool == NULL ||
        !lt_addr_table_init(&g->shared.clients, first->connections_max, lt_shm_seed(g->shm)) ||
        !lt_value_table_init(&g->shared.values, first->root->conf->limits.shared)) {
        return LT_ERR_NOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        g->workers[i] = lt_worker_start(&g->shared, i);
        if (g->workers[i] == NULL) {
            return LT_ERR_NOMEM;
        }
        g->n_workers = i + 1;
    }
    g->watchdog = lt_watchdog_start(g->watch, g->workers, n);
    if (g->watchdog == NULL) {
        return LT_ERR_NOMEM;
    }
    return LT_OK;
}

void lt_gateway_serving(struct lt_gateway *g)
{
    if (g->admin_fd >= 0) {
        g->admin = g->options->admin->start(g, g->admin_fd);
        if (g->admin == NULL) {
            lt_log_error("gateway", "admin_failed");
            close(g->admin_fd);
        }
        g->admin_fd = -1;
    }
    if (g->options->dev && (g->dev = lt_dev_new(g)) == NULL) {
        lt_log_error("gateway", "dev_failed", LT_KV_CSTR("why", "out of memory"));
    }
    g->ready = g->drain.state == LT_DRAIN_NONE;
}

bool lt_gateway_is_ready(const struct lt_gateway *g)
{
    return g->ready;
}

void lt_gateway_refresh_metrics(struct lt_gateway *g)
{
    uint64_t dropped = lt_log_writer_dropped(g->log);
    lt_metrics_add(g->own_metrics, LT_COUNTER_LOG_DROPPED, (int64_t)(dropped - g->log_dropped));
    g->log_dropped = dropped;
}

/* ---- Start and end. ---- */

/* Terminals send their signals to the whole group; only the supervisor acts on them. A file that
 * grows over the process's limit is an error of the write, as a full disk is. */
static void set_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGHUP, SIGINT, SIGUSR1, SIGUSR2};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < lt_countof(ignored); i++) {
        sigaction(ignored[i], &ignore, NULL);
    }
}

static bool become_user(const struct lt_gateway_options *options)
{
    struct lt_user user;
    const char *why = "";
    if (options->user != NULL && lt_user_find(options->user, &user) != LT_OK) {
        lt_log_error("gateway", "user_unknown", LT_KV_CSTR("user", options->user));
        return false;
    }
    if (lt_privileges_drop(options->user != NULL ? &user : NULL, &why) != LT_OK) {
        lt_log_error("gateway", "privileges_kept", LT_KV_CSTR("step", why),
                     LT_KV_CSTR("error", strerrordesc_np(errno)));
        return false;
    }
    /* After the change of user, which clears both. Keys, secrets and what clients send lie all over
     * the memory, so a core holds them whatever else is done. */
    prctl(PR_SET_DUMPABLE, options->core_dumps ? 1 : 0, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    return true;
}

static bool init_shared(struct lt_gateway *g)
{
    size_t rate_bytes;
    void *rate_area = lt_shm_rate_area(g->shm, &rate_bytes);
    g->shared.shm = g->shm;
    g->shared.metrics = g->metrics;
    g->shared.log = g->log;
    g->shared.watch = g->watch;
    g->shared.slots = &g->slots;
    g->shared.main = g->box;
    g->shared.hooks = &lt_filter_hooks;
    g->shared.on_released = on_released;
    g->shared.on_stopped = on_stopped;
    g->shared.on_wanted = on_wanted;
    g->shared.on_idle = on_idle;
    g->shared.shows_errors = g->options->dev;
    if (!lt_rate_init(&g->shared.rate, rate_area, rate_bytes, lt_shm_seed(g->shm)) ||
        (g->shared.limits = lt_limits_new(&g->shared.rate, LT_WORKERS_MAX)) == NULL) {
        return false;
    }
    lt_hold_init(lt_limits_holds(g->shared.limits), lt_shm_hold_area(g->shm), LT_SHM_HOLD_BYTES,
                 g->options->generation);
    return true;
}

static bool init(struct lt_gateway *g)
{
    const char *why = "out of memory";
    g->shm = lt_shm_attach(g->options->shm, &why);
    if (g->shm == NULL) {
        lt_log_error("gateway", "start_failed", LT_KV_CSTR("why", why));
        return false;
    }
    g->loop = lt_loop_new(MAIN_BLOCKS_MAX);
    g->log = lt_log_writer_start(LT_WORKERS_MAX + LOG_RINGS_OTHER, LOG_RING_BYTES);
    g->registry = lt_server_registry_new(g->shm, g->options->generation);
    g->upstreams = lt_upstream_registry_new(*lt_shm_seed(g->shm));
    g->metrics = lt_metrics_new(LT_WORKERS_MAX + 1, METRICS_ROUTES_MAX, METRICS_SERVERS_MAX);
    g->watch = lt_budget_watch_new();
    g->box = g->loop != NULL ? lt_mailbox_new(g->loop, g) : NULL;
    g->sets = lt_server_sets_new(g);
    g->server_files = lt_server_files_new(g);
    g->dns = g->loop != NULL ? lt_dns_servers_new(g) : NULL;
    g->shared.lookups = lt_lookups_new(g);
    if (g->log == NULL || g->sets == NULL || g->server_files == NULL || g->dns == NULL ||
        g->shared.lookups == NULL || g->registry == NULL || g->upstreams == NULL ||
        g->metrics == NULL || g->watch == NULL || g->box == NULL ||
        lt_log_writer_join(g->log) != LT_OK || !lt_budget_signal_setup()) {
        lt_log_error("gateway", "start_failed", LT_KV_CSTR("why", why));
        return false;
    }
    g->own_metrics = lt_metrics_for_worker(g->metrics, LT_WORKERS_MAX);
    g->probes = lt_probes_new(g);
    return g->own_metrics != NULL && g->probes != NULL && init_shared(g);
}

static void start_watching(struct lt_gateway *g)
{
    ev_io_init(&g->control, on_control, g->options->control, EV_READ);
    ev_io_start(g->loop->ev, &g->control);
    ev_signal_init(&g->term, on_term, SIGTERM);
    ev_signal_start(g->loop->ev, &g->term);
}

static bool stop_workers(struct lt_gateway *g)
{
    bool clean = true;
    lt_watchdog_stop(g->watchdog);
    g->watchdog = NULL;
    for (unsigned i = 0; i < g->n_workers; i++) {
        clean = lt_worker_stop(g->workers[i]) && clean;
    }
    if (clean) {
        lt_work_pool_free(
            g->shared.pool); /* gives back what it has to boxes that are there still */
        g->shared.pool = NULL;
    }
    for (unsigned i = 0; i < g->n_workers && clean; i++) {
        lt_worker_free(g->workers[i]);
    }
    g->n_workers = 0; /* what is still on its way to main must not ask them for anything */
    return clean;
}

/* Frees all, for the sanitizers' sake as for tidiness; the log writer last. */
static void fini(struct lt_gateway *g)
{
    if (g->admin != NULL) {
        g->options->admin->stop(g->admin);
    }
    lt_reload_abandon(g);
    lt_dev_free(g->dev);
    g->dev = NULL;
    lt_filter_swap_abandon(g);
    lt_server_files_stop(g->server_files);
    lt_certs_stop(g);
    lt_probes_free(g->probes);
    g->probes = NULL;
    if (!stop_workers(g)) {
        lt_log_warn("gateway", "ended_in_use");
        lt_log_writer_stop(g->log, LOG_STOP_MS);
        _exit(g->exit_code); /* what is still in use goes with the process */
    }
    if (g->box != NULL) {
        lt_mailbox_free(g->box); /* delivers the last views */
    }
    lt_server_files_free(g->server_files);
    lt_dns_servers_free(g->dns);
    lt_lookups_free(g->shared.lookups);
    lt_server_sets_free(g->sets);
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        lt_slot_close(&g->slots.v[i]);
    }
    if (g->loop != NULL) {
        ev_io_stop(g->loop->ev, &g->control);
        ev_signal_stop(g->loop->ev, &g->term);
        lt_loop_free(g->loop);
    }
    lt_addr_table_fini(&g->shared.clients);
    lt_value_table_fini(&g->shared.values);
    lt_metrics_free(g->metrics);
    lt_limits_free(g->shared.limits);
    lt_server_registry_free(g->registry);
    lt_upstream_registry_free(g->upstreams);
    lt_budget_watch_free(g->watch);
    lt_shm_close(g->shm);
    if (!lt_log_writer_stop(g->log, LOG_STOP_MS)) {
        _exit(g->exit_code); /* its reader is stuck: nobody waits for that */
    }
    lt_free(g);
}

void lt_gateway_end(struct lt_gateway *g, int exit_code)
{
    g->exit_code = exit_code;
    lt_probes_stop(g->probes); /* what they hold goes with this turn of the loop */
    lt_loop_stop(g->loop);
}

int lt_gateway_run(const struct lt_gateway_options *options)
{
    set_signals();
    lt_log_set_human(options->dev && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO));
    if (!become_user(options)) {
        return 1;
    }
    struct lt_gateway *g = lt_calloc(1, sizeof(*g));
    if (g == NULL) {
        lt_log_error("gateway", "start_failed", LT_KV_CSTR("why", "out of memory"));
        return 1;
    }
    g->options = options;
    g->admin_fd = -1;
    g->kept = options->kept;
    g->exit_code = 1;
    lt_filter_swap_init(g);
    g->began_us = lt_clock_us();
    g->began_wall_us = lt_clock_wall_us();
    if (init(g)) {
        start_watching(g);
        lt_reload_start(g);
        lt_loop_run(g->loop);
    }
    int code = g->exit_code;
    fini(g);
    return code;
}
