/* SPDX-License-Identifier: Apache-2.0 */
/* Taking up changed filter files (filter_swap.h). Functions run on main but where it is said. */
#include "server/filter_swap.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/host.h"
#include "filters/program_renew.h"
#include "server/gateway.h"
#include "server/log_writer.h"

#define ERRORS_MAX ((size_t)64 << 10)
#define NAMES_MAX 1024u

struct lt_filter_swap_loader {
    struct lt_gateway *gateway;
    struct lt_snapshot *snapshot; /* held: what is renewed belongs to it */
    struct lt_filter_renewing renewing;
    enum lt_filter_renewal result;
    struct lt_buf errors;
    char *only; /* owned text of renewing.only */
};

struct lt_worker_swap {
    struct lt_message message;
    struct lt_worker *worker;
    struct lt_filter_program *program; /* borrowed from the loader */
    struct lt_filter_edition *edition; /* NULL: prepare failed */
    char why[LT_WORKER_WHY_MAX];
};

/* ---- The workers' threads. ---- */

static struct lt_worker_swap *swap_of(struct lt_message *message)
{
    return lt_container_of(message, struct lt_worker_swap, message);
}

static void answer(struct lt_worker_swap *ws, lt_worker_done_fn fn)
{
    ws->message.fn = fn;
    lt_mailbox_post(ws->worker->shared->main, &ws->message);
}

static void on_prepared(struct lt_message *message, void *owner);
static void on_over(struct lt_message *message, void *owner);

static void do_prepare(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_worker_swap *ws = swap_of(message);
    ws->edition =
        lt_filters_prepare(worker->env.view->filters, ws->program, ws->why, sizeof(ws->why));
    answer(ws, on_prepared);
}

static void do_take(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_worker_swap *ws = swap_of(message);
    lt_filters_take(worker->env.view->filters, ws->edition);
    answer(ws, on_over);
}

static void do_discard(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_worker_swap *ws = swap_of(message);
    if (ws->edition != NULL) {
        lt_filters_discard(ws->edition);
    }
    answer(ws, on_over);
}

/* ---- Main. ---- */

static void post_all(struct lt_gateway *g, void (*fn)(struct lt_message *message, void *owner))
{
    struct lt_filter_swap *swap = &g->filter_swap;
    swap->waiting = g->n_workers;
    for (unsigned i = 0; i < g->n_workers; i++) {
        swap->workers[i].message.fn = fn;
        lt_mailbox_post(g->workers[i]->box, &swap->workers[i].message);
    }
}

static void free_loader(struct lt_gateway *g)
{
    struct lt_filter_swap *swap = &g->filter_swap;
    struct lt_filter_swap_loader *loader = swap->loader;
    if (loader != NULL) {
        lt_filter_program_put(loader->renewing.program);
        lt_filter_program_put(loader->renewing.old);
        lt_gateway_put_snapshot(g, loader->snapshot);
        lt_buf_fini(&loader->errors);
        lt_free(loader->only);
        lt_free(loader);
        swap->loader = NULL;
    }
}

static void tell_waiters(struct lt_filter_swap *swap, enum lt_filter_swap_result result,
                         struct lt_str names, struct lt_str errors)
{
    struct lt_list *link;
    while ((link = lt_list_pop_front(&swap->waiters)) != NULL) {
        struct lt_filter_swap_waiter *w = lt_container_of(link, struct lt_filter_swap_waiter, link);
        w->fn(w->arg, result, names, errors);
    }
}

static void put_names(const struct lt_filter_swap_loader *loader, struct lt_buf *out)
{
    for (unsigned i = 0; loader != NULL && i < loader->renewing.n_changed; i++) {
        lt_buf_printf(out, "%s%.*s", i > 0 ? ", " : "",
                      LT_STR_ARG(loader->renewing.changed[i]->name));
    }
}

static void log_result(struct lt_gateway *g, enum lt_filter_swap_result result, struct lt_str names)
{
    const struct lt_filter_swap *swap = &g->filter_swap;
    double ms = (double)(lt_clock_us() - swap->began_us) / 1000;
    switch (result) {
    case LT_FILTER_SWAP_DONE:
        lt_log_info("filter", "filters_reloaded", LT_KV_STR("filters", names), LT_KV_MS("ms", ms),
                    LT_KV_INT("workers", g->n_workers));
        break;
    case LT_FILTER_SWAP_REFUSED:
        lt_log_error("filter", "filters_refused", LT_KV_STR("filters", names),
                     LT_KV_INT("errors", swap->loader->renewing.n_errors),
                     LT_KV_CSTR("hint", "the version before serves until the file is mended and "
                                        "taken up"));
        break;
    case LT_FILTER_SWAP_UNCHANGED:
    case LT_FILTER_SWAP_UNKNOWN:
        break;
    }
}

/* It has come to its end: everybody hears of it, and what waited for it begins. */
static void finish(struct lt_gateway *g, enum lt_filter_swap_result result)
{
    struct lt_filter_swap *swap = &g->filter_swap;
    char mem[NAMES_MAX];
    struct lt_buf names;
    lt_buf_init_fixed(&names, mem, sizeof(mem));
    put_names(swap->loader, &names);
    struct lt_str errors = lt_buf_view(&swap->loader->errors);
    if (result == LT_FILTER_SWAP_REFUSED) {
        lt_log_stderr(errors); /* so that people can read it whatever the log is */
    }
    log_result(g, result, lt_buf_view(&names));
    tell_waiters(swap, result, lt_buf_view(&names), errors);
    lt_free(swap->workers);
    swap->workers = NULL;
    swap->busy = false;
    free_loader(g);
    if (g->drain.state == LT_DRAIN_OVER) {
        lt_gateway_end(g, 0); /* the end waited for us */
    } else if (g->reload.again && g->drain.state == LT_DRAIN_NONE) {
        lt_reload_start(g);
    }
}

static void on_over(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_gateway *g = owner;
    struct lt_filter_swap *swap = &g->filter_swap;
    struct lt_filter_swap_loader *loader = swap->loader;
    if (--swap->waiting > 0) {
        return;
    }
    if (loader->result != LT_FILTER_RENEWED) {
        finish(g, LT_FILTER_SWAP_REFUSED);
        return;
    }
    lt_filter_program_put(loader->snapshot->filters);
    loader->snapshot->filters = lt_filter_program_get(loader->renewing.program);
    lt_gateway_log_bounds(g, loader->snapshot);
    finish(g, LT_FILTER_SWAP_DONE);
}

static void refuse(struct lt_filter_swap_loader *loader, const char *why)
{
    loader->result = LT_FILTER_REFUSED;
    loader->renewing.n_errors++;
    lt_buf_printf(&loader->errors, "lintel: filters: %s\n", why);
}

static void on_prepared(struct lt_message *message, void *owner)
{
    struct lt_gateway *g = owner;
    struct lt_filter_swap *swap = &g->filter_swap;
    const struct lt_worker_swap *ws = swap_of(message);
    if (ws->edition == NULL && swap->loader->result == LT_FILTER_RENEWED) {
        refuse(swap->loader, ws->why);
    }
    if (--swap->waiting > 0) {
        return;
    }
    if (swap->loader->result == LT_FILTER_RENEWED && g->drain.state != LT_DRAIN_NONE) {
        refuse(swap->loader, "shutting down");
    }
    post_all(g, swap->loader->result == LT_FILTER_RENEWED ? do_take : do_discard);
}

static void prepare(struct lt_gateway *g)
{
    struct lt_filter_swap *swap = &g->filter_swap;
    swap->workers = lt_calloc(g->n_workers, sizeof(*swap->workers));
    if (swap->workers == NULL || g->drain.state != LT_DRAIN_NONE) {
        lt_free(swap->workers);
        swap->workers = NULL;
        refuse(swap->loader, g->drain.state != LT_DRAIN_NONE ? "shutting down" : "out of memory");
        finish(g, LT_FILTER_SWAP_REFUSED);
        return;
    }
    for (unsigned i = 0; i < g->n_workers; i++) {
        swap->workers[i].worker = g->workers[i];
        swap->workers[i].program = swap->loader->renewing.program;
    }
    post_all(g, do_prepare);
}

static void on_loaded(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_gateway *g = owner;
    struct lt_filter_swap *swap = &g->filter_swap;
    if (!swap->busy) {
        return; /* abandoned */
    }
    pthread_join(swap->thread, NULL);
    switch (swap->loader->result) {
    case LT_FILTER_RENEWED:
        prepare(g);
        break;
    case LT_FILTER_UNCHANGED:
        finish(g, LT_FILTER_SWAP_UNCHANGED);
        break;
    case LT_FILTER_UNKNOWN:
        finish(g, LT_FILTER_SWAP_UNKNOWN);
        break;
    case LT_FILTER_REFUSED:
        finish(g, LT_FILTER_SWAP_REFUSED);
        break;
    }
}

/* The loader's thread. */
static void *load(void *arg)
{
    struct lt_gateway *g = arg;
    struct lt_filter_swap *swap = &g->filter_swap;
    pthread_setname_np(pthread_self(), "lintel-load");
    bool joined = lt_log_writer_join(g->log) == LT_OK;
    swap->loader->result = lt_filter_program_renew(&swap->loader->renewing);
    if (joined) {
        lt_log_writer_leave(g->log);
    }
    swap->loaded.fn = on_loaded;
    lt_mailbox_post(g->box, &swap->loaded);
    return NULL;
}

static struct lt_filter_swap_loader *new_loader(struct lt_gateway *g, struct lt_str only)
{
    struct lt_filter_swap_loader *loader = lt_calloc(1, sizeof(*loader));
    if (loader == NULL || (loader->only = lt_calloc(only.len + 1, 1)) == NULL) {
        lt_free(loader);
        return NULL;
    }
    if (only.len > 0) {
        memcpy(loader->only, only.p, only.len);
    }
    loader->snapshot = lt_gateway_hold_current(g);
    lt_buf_init(&loader->errors, ERRORS_MAX);
    loader->renewing =
        (struct lt_filter_renewing){.old = lt_filter_program_get(loader->snapshot->filters),
                                    .filters = &loader->snapshot->root->conf->filters,
                                    .only = lt_str_c(loader->only),
                                    .errors = &loader->errors};
    return loader;
}

bool lt_filter_swap_start(struct lt_gateway *g, struct lt_str only,
                          struct lt_filter_swap_waiter *waiter)
{
    struct lt_filter_swap *swap = &g->filter_swap;
    if (swap->busy || g->reload.state != LT_RELOAD_IDLE || g->current == NULL ||
        g->drain.state != LT_DRAIN_NONE) {
        return false;
    }
    if (g->current->filters == NULL) {
        if (waiter != NULL) {
            waiter->fn(waiter->arg,
                       only.len > 0 ? LT_FILTER_SWAP_UNKNOWN : LT_FILTER_SWAP_UNCHANGED,
                       LT_STR_NONE, LT_STR_NONE);
        }
        return true;
    }
    swap->loader = new_loader(g, only);
    if (swap->loader == NULL) {
        return false;
    }
    swap->began_us = lt_clock_us();
    swap->busy = true;
    if (waiter != NULL) {
        lt_list_push_back(&swap->waiters, &waiter->link);
    }
    if (pthread_create(&swap->thread, NULL, load, g) != 0) {
        refuse(swap->loader, "no thread for the loader");
        finish(g, LT_FILTER_SWAP_REFUSED);
    }
    return true;
}

void lt_filter_swap_init(struct lt_gateway *g)
{
    lt_list_init(&g->filter_swap.waiters);
}

unsigned lt_filter_swap_changed(const struct lt_filter_swap *swap,
                                unsigned numbers[LT_FILTER_RENEW_MAX])
{
    const struct lt_filter_renewing *r = &swap->loader->renewing;
    for (unsigned i = 0; i < r->n_changed; i++) {
        numbers[i] = r->changed[i]->index;
    }
    return r->n_changed;
}

bool lt_filter_swap_holds_workers(const struct lt_gateway *g)
{
    return g->filter_swap.workers != NULL;
}

void lt_filter_swap_abandon(struct lt_gateway *g)
{
    struct lt_filter_swap *swap = &g->filter_swap;
    if (swap->busy && swap->workers == NULL) {
        pthread_join(swap->thread, NULL);
        swap->busy = false;
        free_loader(g);
    }
}
