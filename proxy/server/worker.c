/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's thread and what main orders it to do. */
#include "server/worker.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "exchange/exchange.h"
#include "filters/budget.h"
#include "filters/host.h"
#include "server/accept.h"
#include "server/access_log.h"
#include "server/acme.h"
#include "net/vanished.h"
#include "server/log_writer.h"
#include "server/lookups.h"
#include "upstream/upstream.h"

#define MAGIC 0x776f726bu /* "work" */
#define EXCHANGES_FREE_MAX 1024
/* Who does the periodic work of filters. */
#define PERIODIC_WORKER 0u
/* How often a draining worker looks whether all is done. */
#define IDLE_CHECK_MS 10
/* How often it is looked whether bodies left much memory behind, and what much is. */
#define TRIM_MS 2000
#define TRIM_BYTES ((size_t)8 << 20)

/* ---- Views. ---- */

static struct lt_worker_view *view_of(struct lt_message *message)
{
    return lt_container_of(message, struct lt_worker_view, message);
}

static void answer(struct lt_worker *worker, struct lt_message *message, lt_worker_done_fn fn)
{
    message->fn = fn;
    lt_mailbox_post(worker->shared->main, message);
}

/* Answers in the next turn, when the stopped listeners' descriptors may be closed. */
static void answer_later(struct lt_worker *worker, struct lt_message *message,
                         void (*fn)(struct lt_message *message, void *owner))
{
    message->fn = fn;
    lt_mailbox_post(worker->box, message);
}

static void leave_listeners(struct lt_worker *worker)
{
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        lt_listener_leave(&worker->listeners[i].listener);
    }
}

static void do_prepare(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_worker_view *view = view_of(message);
    view->failed = !lt_worker_view_init(view);
    answer(worker, message, view->done);
}

static void let_go(void *arg)
{
    struct lt_worker_view *view = arg;
    lt_worker_view_fini(view);
    answer(view->worker, &view->message, view->worker->shared->on_released);
}

/* The last exchange of a retired view is over; that exchange is still on the stack. */
static void on_unpinned(struct lt_view *view)
{
    struct lt_worker_view *wv = lt_container_of(view, struct lt_worker_view, view);
    lt_loop_defer(wv->worker->loop, &wv->deferred, let_go, wv);
}

static void do_discard(struct lt_message *message, void *owner)
{
    (void)owner;
    let_go(view_of(message));
}

static void update_listeners(struct lt_worker *worker, const struct lt_snapshot *snapshot)
{
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        struct lt_worker_listener *wl = &worker->listeners[i];
        bool wanted = i < snapshot->n_listeners && snapshot->listeners[i].active;
        if (wanted && !lt_addr_is_unix(&snapshot->listeners[i].address)) {
            lt_vanished_after(lt_slot_fd(&worker->shared->slots->v[i], worker->number),
                              snapshot->listeners[i].vanished_ms);
        }
        if (wanted && !wl->on) {
            const struct lt_slot *slot = &worker->shared->slots->v[i];
            lt_listener_start(&wl->listener, worker->loop, lt_slot_fd(slot, worker->number),
                              lt_str_c(slot->key), lt_accept, wl);
            wl->on = true;
        } else if (!wanted && wl->on) {
            lt_listener_stop(&wl->listener, true);
            wl->on = false;
        }
    }
}

/* Whether a connection's policy is still the one that its server name stands for. Of a listener
 * that is gone nobody knows; its connections end with their next request anyway. */
static bool fits(void *arg, unsigned listener, const struct lt_tls_info *info)
{
    const struct lt_worker *worker = arg;
    const struct lt_worker_view *view =
        lt_container_of(worker->env.view, struct lt_worker_view, view);
    return view->tls[listener] == NULL || lt_tls_server_fits(view->tls[listener], info);
}

static void do_renew(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_worker_renewal *renewal = lt_container_of(message, struct lt_worker_renewal, message);
    struct lt_worker_view *view =
        worker->env.view != NULL ? lt_container_of(worker->env.view, struct lt_worker_view, view)
                                 : NULL;
    const char *why = "";
    if (view != NULL && view->snapshot == renewal->snapshot) {
        if (!lt_worker_view_renew(view, renewal->set, &why)) {
            lt_log_error("tls", "not_taken_up", LT_KV_CSTR("why", why));
        } else if (renewal->policies) {
            lt_tunnels_reload(&worker->env);
            lt_fronts_tls_changed(worker->fronts, fits, worker);
        }
    }
    answer(worker, message, renewal->done);
}

void lt_worker_renew(struct lt_worker *worker, struct lt_worker_renewal *renewal,
                     lt_worker_done_fn done)
{
    renewal->worker = worker;
    renewal->done = done;
    renewal->message.fn = do_renew;
    lt_mailbox_post(worker->box, &renewal->message);
}

/* This worker's part of the memory for bodies and heads. */
static void set_memory(struct lt_worker *worker, const struct lt_snapshot *snapshot)
{
    const struct lt_limits_conf *limits = &snapshot->root->conf->limits;
    struct lt_block_pool *pool = &worker->loop->blocks;
    pool->max = limits->buffers.total / worker->shared->n_workers;
    worker->env.streams_max = lt_max((unsigned)limits->streams / worker->shared->n_workers, 1u);
    pool->extra =
        ((size_t)snapshot->connections_max + worker->env.streams_max) * LT_EXCHANGE_PIECES;
    worker->env.heads.max = limits->heads / worker->shared->n_workers;
}

static void committed(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_worker_view *view = view_of(message);
    struct lt_view *old = view->replaced;
    leave_listeners(worker);
    answer(worker, message, view->done);
    /* Only now may the old snapshot go: main looks at it until it has all answers. */
    if (old != NULL) {
        old->retired = true;
        if (old->pins == 0) {
            on_unpinned(old);
        }
    }
}

/* The periodic work of filters is done here if this worker is the one that does it: of the current
 * view, and of none while draining. old: the view before, or NULL. */
static void take_periodic(struct lt_worker *worker, struct lt_view *old)
{
    struct lt_view *view = worker->env.view;
    if (worker->number != PERIODIC_WORKER) {
        return;
    }
    if (old != NULL && old->filters != NULL) {
        lt_filters_stop(old->filters);
    }
    if (view != NULL && view->filters != NULL && !worker->env.draining) {
        lt_filters_start(view->filters);
    }
}

static void do_commit(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_worker_view *view = view_of(message);
    struct lt_view *old = worker->env.view;
    worker->env.view = &view->view;
    take_periodic(worker, old);
    set_memory(worker, view->snapshot);
    if (!worker->env.draining) {
        update_listeners(worker, view->snapshot);
    }
    if (old != NULL) {
        lt_waits_reload(&worker->env);
        lt_tunnels_reload(&worker->env);
        lt_fronts_tls_changed(worker->fronts, fits, worker);
    }
    view->replaced = old;
    answer_later(worker, message, committed);
}

void lt_worker_prepare(struct lt_worker_view *view, lt_worker_done_fn done)
{
    view->view.on_unpinned = on_unpinned;
    view->view.owner = view->worker;
    view->done = done;
    view->message.fn = do_prepare;
    lt_mailbox_post(view->worker->box, &view->message);
}

void lt_worker_commit(struct lt_worker_view *view, lt_worker_done_fn done)
{
    view->done = done;
    view->message.fn = do_commit;
    lt_mailbox_post(view->worker->box, &view->message);
}

void lt_worker_discard(struct lt_worker_view *view)
{
    view->message.fn = do_discard;
    lt_mailbox_post(view->worker->box, &view->message);
}

/* ---- Drain, cut. ---- */

static unsigned connections(const struct lt_worker *worker)
{
    return lt_fronts_count(worker->fronts) + worker->proxied.count;
}

static void check_idle(void *arg)
{
    struct lt_worker *worker = arg;
    LT_OBJ_CHECK(worker, MAGIC);
    if (connections(worker) == 0 && worker->env.live == 0) {
        answer(worker, &worker->idle, worker->shared->on_idle);
    } else {
        lt_timer_set(&worker->idle_check, IDLE_CHECK_MS);
    }
}

static void stopped(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    leave_listeners(worker);
    answer(worker, message, worker->shared->on_stopped);
    check_idle(worker);
}

static void do_drain(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_worker *worker = owner;
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        if (worker->listeners[i].on) {
            lt_listener_stop(&worker->listeners[i].listener, true);
            worker->listeners[i].on = false;
        }
    }
    worker->env.draining = true;
    take_periodic(worker, worker->env.view);
    lt_fronts_close(worker->fronts, false);
    answer_later(worker, &worker->stopped, stopped);
}

/* An allocator keeps what lies below anything that is still in use. */
static void trim(void *arg)
{
    struct lt_worker *worker = arg;
    struct lt_block_pool *blocks = &worker->loop->blocks;
    if (blocks->peak > TRIM_BYTES && blocks->in_use < blocks->peak / 4) {
        lt_mem_trim();
        blocks->peak = blocks->in_use;
    }
    lt_timer_set(&worker->trim, TRIM_MS);
}

static void do_cut(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_worker *worker = owner;
    lt_proxy_readers_end(&worker->proxied);
    lt_fronts_close(worker->fronts, true);
}

void lt_worker_drain(struct lt_worker *worker)
{
    worker->drain.fn = do_drain;
    lt_mailbox_post(worker->box, &worker->drain);
}

void lt_worker_cut(struct lt_worker *worker)
{
    worker->cut.fn = do_cut;
    lt_mailbox_post(worker->box, &worker->cut);
}

/* ---- The thread. ---- */

static void on_turn_begins(struct ev_loop *ev, ev_check *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_worker *worker = lt_container_of(w, struct lt_worker, turn_begins);
    /* Relaxed: the watchdog only compares it with the time. */
    atomic_store_explicit(&worker->busy_since_us, worker->loop->now_us, memory_order_relaxed);
}

static void on_turn_ends(struct ev_loop *ev, ev_prepare *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_worker *worker = lt_container_of(w, struct lt_worker, turn_ends);
    atomic_store_explicit(&worker->busy_since_us, 0, memory_order_relaxed);
}

static void *run(void *arg)
{
    struct lt_worker *worker = arg;
    char name[16];
    snprintf(name, sizeof(name), "lintel-%u", worker->number);
    pthread_setname_np(pthread_self(), name);
    if (lt_log_writer_join(worker->shared->log) != LT_OK) {
        lt_log_warn("worker", "no_log_ring", LT_KV_INT("worker", worker->number));
    }
    if (!lt_budget_attach(&worker->budget, worker->shared->watch)) {
        lt_log_warn("worker", "no_thread_clock", LT_KV_INT("worker", worker->number));
    }
    lt_loop_run(worker->loop);
    lt_budget_detach(&worker->budget);
    lt_log_writer_leave(worker->shared->log);
    return NULL;
}

void lt_worker_free(struct lt_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    if (worker->pools != NULL) {
        lt_pools_close(worker->pools);
    }
    if (worker->loop != NULL) {
        lt_loop_settle(worker->loop); /* connections that were closed in the last turn */
    }
    if (worker->box != NULL) {
        lt_mailbox_free(worker->box);
    }
    lt_origins_free(worker->origins);
    lt_redis_free(worker->redis);
    lt_addresses_free(worker->addresses);
    lt_fronts_free(worker->fronts);
    lt_proxy_readers_fini(&worker->proxied);
    if (worker->pools != NULL) {
        lt_pools_free(worker->pools);
    }
    if (worker->loop != NULL) {
        lt_spool_env_fini(&worker->env.spools);
        lt_timer_fini(&worker->idle_check);
        lt_timer_fini(&worker->trim);
        ev_check_stop(worker->loop->ev, &worker->turn_begins);
        ev_prepare_stop(worker->loop->ev, &worker->turn_ends);
        lt_loop_free(worker->loop);
    }
    lt_slab_fini(&worker->env.exchanges_slab);
    lt_encoders_fini(&worker->env.encoders);
    LT_OBJ_FINI(worker);
    lt_free(worker);
}

static void init_env(struct lt_worker *worker)
{
    struct lt_exchange_env *env = &worker->env;
    env->loop = worker->loop;
    lt_slab_init(&env->exchanges_slab, sizeof(struct lt_exchange), EXCHANGES_FREE_MAX);
    env->hooks = worker->shared->hooks;
    env->metrics = lt_metrics_for_worker(worker->shared->metrics, worker->number);
    worker->loop->metrics = env->metrics;
    env->access_log = lt_access_log;
    env->access_keep = lt_access_keep;
    env->challenge_ask = lt_acme_ask;
    lt_list_init(&env->exchanges);
    lt_spool_env_init(&env->spools, &worker->loop->blocks, &worker->shared->body_disk,
                      env->metrics);
}

static void init_watchers(struct lt_worker *worker)
{
    lt_timer_init(&worker->idle_check, worker->loop, check_idle, worker);
    lt_timer_init(&worker->trim, worker->loop, trim, worker);
    lt_timer_set(&worker->trim, TRIM_MS);
    ev_check_init(&worker->turn_begins, on_turn_begins);
    ev_prepare_init(&worker->turn_ends, on_turn_ends);
    /* After the loop's own: the time is taken before, deferred calls run before. */
    ev_set_priority(&worker->turn_begins, EV_MAXPRI - 1);
    ev_set_priority(&worker->turn_ends, EV_MINPRI);
    ev_check_start(worker->loop->ev, &worker->turn_begins);
    ev_prepare_start(worker->loop->ev, &worker->turn_ends);
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        worker->listeners[i].worker = worker;
        worker->listeners[i].slot = i;
    }
}

/* Only one such message is on its way; main clears the flag before it acts. */
static void ask_others(void *arg)
{
    struct lt_worker *worker = arg;
    if (!atomic_exchange_explicit(&worker->wanting, true, memory_order_acq_rel)) {
        worker->wanted.fn = worker->shared->on_wanted;
        lt_mailbox_post(worker->shared->main, &worker->wanted);
    }
}

struct lt_worker *lt_worker_start(struct lt_workers_shared *shared, unsigned number)
{
    struct lt_worker *worker = lt_calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(worker, MAGIC);
    worker->number = number;
    worker->shared = shared;
    lt_budget_init(&worker->budget);
    worker->loop = lt_loop_new(0); /* a snapshot says how much body memory there is */
    if (worker->loop == NULL) {
        lt_worker_free(worker);
        return NULL;
    }
    lt_proxy_readers_init(&worker->proxied, worker->loop);
    init_env(worker);
    init_watchers(worker);
    worker->box = lt_mailbox_new(worker->loop, worker);
    worker->pools = lt_pools_new(worker->loop, worker->env.metrics);
    worker->env.pools = worker->pools;
    worker->addresses = lt_addresses_new(worker->loop, lt_lookups_ask, worker);
    if (worker->addresses != NULL) {
        worker->origins = lt_origins_new(worker->loop, worker->addresses, worker->env.metrics);
        worker->redis = lt_redis_new(worker->loop, worker->addresses, worker->env.metrics);
    }
    if (worker->pools != NULL) {
        lt_pools_set_worker(worker->pools, number);
        lt_pools_set_ask(worker->pools, ask_others, worker);
    }
    worker->fronts = lt_fronts_new(&worker->env);
    if (worker->box != NULL && worker->pools != NULL) {
        shared->peers.v[number].box = worker->box;
        shared->peers.v[number].pools = worker->pools;
        lt_pools_set_peers(worker->pools, &shared->peers);
    }
    if (worker->box == NULL || worker->pools == NULL || worker->fronts == NULL ||
        worker->origins == NULL || worker->redis == NULL ||
        pthread_create(&worker->thread, NULL, run, worker) != 0) {
        lt_worker_free(worker);
        return NULL;
    }
    return worker;
}

static void do_quit(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_worker *worker = owner;
    struct lt_view *view = worker->env.view;
    worker->in_use = connections(worker) > 0 || worker->env.live > 0;
    if (!worker->in_use && view != NULL) {
        worker->env.view = NULL;
        let_go(lt_container_of(view, struct lt_worker_view, view));
    }
    lt_loop_stop(worker->loop);
}

bool lt_worker_stop(struct lt_worker *worker)
{
    if (worker == NULL) {
        return true;
    }
    worker->quit.fn = do_quit;
    lt_mailbox_post(worker->box, &worker->quit);
    pthread_join(worker->thread, NULL);
    return !worker->in_use;
}
