/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of snapshots, and the workers' views of them. */
#include "server/snapshot.h"

#include <stdio.h>

#include "base/mem.h"
#include "filters/host.h"
#include "filters/program_renew.h"
#include "server/worker.h"
#include "upstream/server_set.h"

/* Bytes of one streamed request body that may wait for a slow server. */
#define REQUEST_AHEAD ((size_t)256 << 10)

void lt_snapshot_free(struct lt_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    lt_tls_set_free(snapshot->tls);
    for (unsigned i = 0; i < snapshot->n_upstreams; i++) {
        lt_tls_client_policy_free(snapshot->upstreams[i].tls);
        lt_server_set_free(lt_upstream_set(&snapshot->upstreams[i]));
    }
    lt_filter_program_put(snapshot->filters);
    lt_root_load_free(snapshot->root);
    lt_free(snapshot);
}

unsigned lt_snapshot_tls_listeners(const struct lt_snapshot *snapshot,
                                   struct lt_tls_set_listener listeners[LT_SLOTS_MAX])
{
    for (unsigned i = 0; i < snapshot->n_listeners; i++) {
        const struct lt_snapshot_listener *l = &snapshot->listeners[i];
        listeners[i] = (struct lt_tls_set_listener){.tls = l->active && snapshot->fronts[i].tls,
                                                    .name = l->name};
    }
    return snapshot->n_listeners;
}

static void take_set(struct lt_worker_view *view, struct lt_tls_set *set)
{
    struct lt_tls_set *old = view->set;
    view->set = lt_tls_set_ref(set);
    view->view.policies = set->any ? (const struct lt_tls_policy *const *)set->policies : NULL;
    view->view.policy = set->sole;
    lt_tls_set_free(old);
}

static bool init_tls(struct lt_worker_view *view)
{
    const struct lt_snapshot *snapshot = view->snapshot;
    take_set(view, snapshot->tls);
    for (unsigned i = 0; i < snapshot->n_listeners; i++) {
        if (view->set->stores[i] == NULL) {
            continue;
        }
        const char *why = "out of memory";
        view->tls[i] = lt_tls_server_new(&snapshot->listeners[i].tls, view->set->stores[i], &why);
        if (view->tls[i] == NULL) {
            snprintf(view->why, sizeof(view->why), "TLS: %s", why);
            return false;
        }
    }
    return true;
}

bool lt_worker_view_renew(struct lt_worker_view *view, struct lt_tls_set *set, const char **why)
{
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        if (view->tls[i] != NULL && !lt_tls_server_update(view->tls[i], set->stores[i], why)) {
            return false; /* listeners before this one have theirs: each pair is whole */
        }
    }
    take_set(view, set);
    return true;
}

/* What connections to servers need is made now, so that none fails for it later. */
static bool init_tls_clients(struct lt_worker_view *view)
{
    const struct lt_snapshot *snapshot = view->snapshot;
    const char *why = "out of memory";
    view->tls_clients = lt_calloc(lt_max(snapshot->n_upstreams, 1u), sizeof(view->tls_clients[0]));
    bool ok = view->tls_clients != NULL;
    for (unsigned i = 0; ok && i < snapshot->n_upstreams; i++) {
        const struct lt_upstream *u = &snapshot->upstreams[i];
        if (u->tls != NULL) {
            view->tls_clients[i] = lt_pools_tls(view->worker->pools, u->tls, &why);
            ok = view->tls_clients[i] != NULL;
        }
    }
    if (!ok) {
        snprintf(view->why, sizeof(view->why), "TLS to servers: %s", why);
    }
    return ok;
}

static bool init_filters(struct lt_worker_view *view)
{
    struct lt_worker *worker = view->worker;
    if (view->snapshot->filters == NULL) {
        return true;
    }
    const struct lt_filters_spec spec = {.program = view->snapshot->filters,
                                         .budget = &worker->budget,
                                         .rate = &worker->shared->rate,
                                         .limits = worker->shared->limits,
                                         .worker = worker->number,
                                         .values = &worker->shared->values,
                                         .loop = worker->loop,
                                         .metrics = worker->env.metrics,
                                         .origins = worker->origins,
                                         .redis = worker->redis,
                                         .pool = worker->shared->pool,
                                         .box = worker->box};
    view->view.filters = lt_filters_new(&spec, view->why, sizeof(view->why));
    return view->view.filters != NULL;
}

bool lt_worker_view_init(struct lt_worker_view *view)
{
    const struct lt_snapshot *snapshot = view->snapshot;
    const struct lt_root_conf *conf = snapshot->root->conf;
    view->view.snapshot = view->snapshot;
    view->view.router = snapshot->router;
    view->view.listeners = snapshot->fronts;
    view->view.n_listeners = snapshot->n_listeners;
    view->view.upstreams = snapshot->upstreams;
    view->view.n_upstreams = snapshot->n_upstreams;
    view->view.trust = conf->trust.items;
    view->view.n_trust = conf->trust.n;
    view->view.log.access = !lt_str_eq_c(conf->log.access, "none");
    view->view.log.slow_ms = conf->log.slow_ms;
    view->view.response_ahead = conf->limits.buffers.response;
    view->view.request_ahead = REQUEST_AHEAD;
    view->view.shows_errors = view->worker->shared->shows_errors;
    view->view.challenges = conf->acme.challenges.len > 0;
    view->view.drain_ms = conf->drain.timeout_ms;
    view->view.encoders_max = conf->limits.compress.total / view->worker->shared->n_workers;
    view->view.spool = (struct lt_spool_limits){.memory = conf->limits.buffers.memory,
                                                .disk = conf->limits.buffers.disk,
                                                .path = conf->limits.buffers.path.p};
    return init_tls(view) && init_tls_clients(view) && init_filters(view);
}

void lt_worker_view_fini(struct lt_worker_view *view)
{
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        lt_tls_server_free(view->tls[i]);
        view->tls[i] = NULL;
    }
    lt_tls_set_free(view->set);
    view->set = NULL;
    for (unsigned i = 0; view->tls_clients != NULL && i < view->snapshot->n_upstreams; i++) {
        lt_tls_client_free(view->tls_clients[i]);
    }
    lt_free(view->tls_clients);
    view->tls_clients = NULL;
    if (view->view.filters != NULL) {
        lt_filters_free(view->view.filters);
        view->view.filters = NULL;
    }
}
