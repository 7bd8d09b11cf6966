/* SPDX-License-Identifier: Apache-2.0 */
/* Taking up configurations. The loader's thread makes the snapshot; the rest runs on main as
 * answers of the workers come in. */
#include "server/reload.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/dev_demo.h"
#include "server/gateway.h"
#include "server/log_writer.h"

#define ERRORS_MAX ((size_t)1 << 20)
/* Who may connect to a Unix listener; its folder can be narrower. */
#define UNIX_LISTENER_MODE 0666u
#define ADMIN_BACKLOG 64

static void start_load(struct lt_gateway *g, bool from_kept);
static void on_prepared(struct lt_message *message, void *owner);
static void on_committed(struct lt_message *message, void *owner);

/* ---- Outcomes. ---- */

static void go_idle(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    r->state = LT_RELOAD_IDLE;
    lt_buf_fini(&r->errors);
    if (g->drain.state == LT_DRAIN_OVER) {
        lt_gateway_end(g, 0); /* the end waited for us */
    } else if (r->again && g->drain.state == LT_DRAIN_NONE) {
        lt_reload_start(g);
    }
}

/* Whether a gateway that can't start with what is on the disk has something else to start with. */
static bool can_fall_back(const struct lt_gateway *g)
{
    return g->current == NULL && g->kept >= 0 && !g->reload.from_kept &&
           g->drain.state == LT_DRAIN_NONE;
}

static void fail(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    const char *why = r->why[0] != '\0' ? r->why : "the configuration has errors";
    char space[LT_DEV_DEMO_COMMAND_MAX];
    struct lt_str command = lt_dev_demo_command(g->options->config, space);
    struct lt_str file = command.len > 0 ? command : lt_str_c(g->options->config);
    /* So that people can read it whatever the log is. */
    lt_log_stderr(lt_buf_view(&r->errors));
    lt_files_free(r->files);
    r->files = NULL;
    if (can_fall_back(g)) {
        lt_log_error("reload", "config_fallback", LT_KV_STR("file", file),
                     LT_KV_INT("errors", r->n_errors), LT_KV_CSTR("why", why),
                     LT_KV_CSTR("hint", "the last configuration that worked is used; mend the "
                                        "file, then reload"));
        lt_buf_fini(&r->errors);
        r->state = LT_RELOAD_IDLE;
        g->load_failed = true;
        start_load(g, true);
        return;
    }
    if (g->current == NULL) {
        lt_log_error("reload", "start_failed", LT_KV_STR("file", file),
                     LT_KV_INT("errors", r->n_errors), LT_KV_CSTR("why", why));
        lt_gateway_end(g, 1);
    } else if (g->drain.state != LT_DRAIN_NONE) {
        lt_log_info("reload", "reload_abandoned", LT_KV_CSTR("why", why));
    } else {
        lt_log_error("reload", "reload_failed", LT_KV_STR("file", file),
                     LT_KV_INT("errors", r->n_errors), LT_KV_CSTR("why", why),
                     LT_KV_INT("config", g->current->number));
        g->load_failed = true;
        lt_gateway_tell(g, LT_CONTROL_RELOADED, EINVAL, -1);
    }
    go_idle(g);
}

/* Sockets that only the failed snapshot wanted, or only the one before. */
static void close_unused_sockets(struct lt_gateway *g)
{
    for (unsigned i = 0; i < g->slots.n; i++) {
        struct lt_slot *slot = &g->slots.v[i];
        if (!slot->active && slot->n_fds > 0) {
            lt_gateway_unlisten(g, slot->key);
            lt_slot_close(slot);
        }
    }
}

/* Why something at a place of the new configuration can't be had. */
static void set_why(struct lt_reload *r, struct lt_pos pos, const char *what, struct lt_str name,
                    const char *error)
{
    char place[512] = "";
    if (pos.source != NULL && pos.source->shown.len == 0) {
        snprintf(place, sizeof(place), "%.*s:%u:%u: ", LT_STR_ARG(pos.source->name), pos.line,
                 pos.col);
    }
    snprintf(r->why, sizeof(r->why), "%s%s %.*s: %s", place, what, LT_STR_ARG(name),
             error != NULL ? error : "?");
}

/* ---- Sockets. ---- */

/* Where the configuration has the listener of that name. */
static struct lt_pos listener_pos(const struct lt_root_conf *conf, struct lt_str name)
{
    const struct lt_listen_conf *listen = conf->listen.items;
    size_t i = 0;
    while (i + 1 < conf->listen.n && !lt_str_eq(listen[i].name, name)) {
        i++;
    }
    return lt_schema_pos(&listen[i], "address");
}

static bool open_socket(struct lt_gateway *g, unsigned number, const struct lt_snapshot_listener *l)
{
    struct lt_reload *r = &g->reload;
    struct lt_slot *slot = &g->slots.v[number];
    struct lt_control_message request = {.type = LT_CONTROL_LISTEN,
                                         .count = g->n_workers,
                                         .backlog = l->backlog,
                                         .mode = UNIX_LISTENER_MODE,
                                         .addr = l->address};
    int sys_errno = 0;
    memcpy(request.key, slot->key, sizeof(request.key));
    if (lt_gateway_listen(g, &request, &slot->fds, &slot->n_fds, &sys_errno) != LT_OK) {
        set_why(r, listener_pos(r->next->root->conf, l->name), "can't listen on",
                lt_str_c(slot->key),
                sys_errno != 0 ? strerrordesc_np(sys_errno) : "the supervisor gave no answer");
        return false;
    }
    if (lt_listener_address(slot->fds[0], &slot->bound) != LT_OK) {
        slot->bound = l->address;
    }
    return true;
}

/* Once: another address takes a restart. */
static bool open_admin(struct lt_gateway *g)
{
    const struct lt_root_conf *conf = g->reload.next->root->conf;
    struct lt_control_message request = {.type = LT_CONTROL_LISTEN,
                                         .count = 1,
                                         .backlog = ADMIN_BACKLOG,
                                         .mode = conf->admin.mode_bits,
                                         .addr = conf->admin.listen,
                                         .key = "admin"};
    int sys_errno = 0, *fds = NULL;
    unsigned n = 0;
    if (g->admin_fd >= 0 || g->admin != NULL ||
        !lt_schema_is_set(conf, offsetof(struct lt_root_conf, admin))) {
        return true;
    }
    if (lt_gateway_listen(g, &request, &fds, &n, &sys_errno) != LT_OK) {
        char text[LT_ADDR_TEXT_MAX];
        size_t len = lt_addr_print(&conf->admin.listen, text);
        set_why(&g->reload, lt_schema_pos(&conf->admin, "listen"), "can't open the admin socket",
                lt_str(text, len),
                sys_errno != 0 ? strerrordesc_np(sys_errno) : "the supervisor gave no answer");
        return false;
    }
    g->admin_fd = fds[0];
    lt_free(fds);
    return true;
}

static bool open_sockets(struct lt_gateway *g)
{
    struct lt_snapshot *s = g->reload.next;
    if (!open_admin(g)) {
        return false;
    }
    for (unsigned i = 0; i < s->n_listeners; i++) {
        if (!s->listeners[i].active) {
            continue;
        }
        if (g->slots.v[i].n_fds == 0 && !open_socket(g, i, &s->listeners[i])) {
            return false;
        }
        s->fronts[i].port = lt_addr_port(&g->slots.v[i].bound);
    }
    return true;
}

/* ---- Prepare. ---- */

/* The snapshot goes when its views are given back; without views at once. */
static void discard(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    struct lt_snapshot *s = r->next;
    r->next = NULL;
    lt_dns_servers_discard(g->dns, g->current);
    if (s->views == 0) {
        g->snapshots--;
        lt_snapshot_free(s);
    } else {
        for (unsigned i = 0; i < g->n_workers; i++) {
            if (r->views[i] != NULL) {
                lt_worker_discard(r->views[i]);
            }
        }
    }
    lt_free(r->views);
    r->views = NULL;
    if (!can_fall_back(g)) {
        close_unused_sockets(g); /* else clients may wait in some that will be used */
    }
    fail(g);
}

static bool make_views(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    r->views = lt_calloc(g->n_workers, sizeof(struct lt_worker_view *));
    for (unsigned i = 0; r->views != NULL && i < g->n_workers; i++) {
        struct lt_worker_view *view = lt_calloc(1, sizeof(*view));
        if (view == NULL) {
            break;
        }
        view->worker = g->workers[i];
        view->snapshot = r->next;
        r->views[i] = view;
        if (i + 1 == g->n_workers) {
            return true;
        }
    }
    for (unsigned i = 0; r->views != NULL && i < g->n_workers; i++) {
        lt_free(r->views[i]);
        r->views[i] = NULL;
    }
    snprintf(r->why, sizeof(r->why), "out of memory");
    return false;
}

static void prepare(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    if (!open_sockets(g) || !make_views(g)) {
        discard(g);
        return;
    }
    r->state = LT_RELOAD_PREPARING;
    r->next->views = r->waiting = g->n_workers;
    for (unsigned i = 0; i < g->n_workers; i++) {
        lt_worker_prepare(r->views[i], on_prepared);
    }
}

/* ---- Commit. ---- */

/* Directs one log. What was kept has to serve even if its log can't be opened any more. */
static bool set_target(struct lt_gateway *g, enum lt_log_kind kind, struct lt_str target)
{
    int sys_errno = 0;
    if (lt_log_writer_target(g->log, kind, target, &sys_errno) == LT_OK) {
        return true;
    }
    const char *error = strerrordesc_np(sys_errno);
    if (g->reload.from_kept) {
        int none = 0;
        lt_log_error("log", "open_failed", LT_KV_STR("file", target), LT_KV_CSTR("error", error),
                     LT_KV_CSTR("instead", "stderr"));
        return lt_log_writer_target(g->log, kind, LT_STR("stderr"), &none) == LT_OK;
    }
    set_why(&g->reload,
            lt_schema_pos(&g->reload.next->root->conf->log,
                          kind == LT_LOG_ACCESS ? "access" : "errors"),
            "can't open the log", target, error);
    return false;
}

static bool set_log(struct lt_gateway *g)
{
    const struct lt_log_conf *conf = &g->reload.next->root->conf->log;
    if (!set_target(g, LT_LOG_ACCESS, conf->access)) {
        return false;
    }
    if (!set_target(g, LT_LOG_EVENTS, conf->errors)) {
        int sys_errno = 0;
        if (g->current != NULL &&
            lt_log_writer_target(g->log, LT_LOG_ACCESS, g->current->root->conf->log.access,
                                 &sys_errno) != LT_OK) {
            lt_log_error("log", "open_failed",
                         LT_KV_STR("file", g->current->root->conf->log.access),
                         LT_KV_CSTR("error", strerrordesc_np(sys_errno)));
        }
        return false;
    }
    lt_log_set_level((enum lt_log_level)conf->level);
    return true;
}

static void commit(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    if (!set_log(g)) {
        discard(g);
        return;
    }
    atomic_store_explicit(&g->shared.connections_max, r->next->connections_max,
                          memory_order_relaxed);
    lt_server_sets_begin(g->sets);
    lt_server_files_build(g->server_files, r->next);
    lt_dns_servers_commit(g->dns);
    lt_server_sets_build(g->sets, r->next);
    r->state = LT_RELOAD_COMMITTING;
    r->waiting = g->n_workers;
    for (unsigned i = 0; i < g->n_workers; i++) {
        lt_worker_commit(r->views[i], on_committed);
    }
}

/* Or they were waited for long enough. */
static void on_names_known(struct lt_gateway *g)
{
    if (g->drain.state != LT_DRAIN_NONE) {
        snprintf(g->reload.why, sizeof(g->reload.why), "shutting down");
        discard(g);
    } else {
        commit(g);
    }
}

static void on_prepared(struct lt_message *message, void *owner)
{
    struct lt_gateway *g = owner;
    struct lt_reload *r = &g->reload;
    const struct lt_worker_view *view = lt_container_of(message, struct lt_worker_view, message);
    if (view->failed && r->why[0] == '\0') {
        snprintf(r->why, sizeof(r->why), "%s", view->why);
    }
    if (--r->waiting > 0) {
        return;
    }
    if (r->why[0] != '\0' || g->drain.state != LT_DRAIN_NONE) {
        discard(g);
    } else if (lt_dns_servers_prepare(g->dns, r->next, on_names_known) != LT_OK) {
        snprintf(r->why, sizeof(r->why), "names can't be looked up: out of memory");
        discard(g);
    }
}

/* In the order of the file, with the ports that the kernel chose. */
static void add_addresses(struct lt_gateway *g, struct lt_buf *out)
{
    for (unsigned i = 0; i < g->current->n_order; i++) {
        char text[LT_ADDR_TEXT_MAX];
        size_t n = lt_addr_print(&g->slots.v[g->current->order[i]].bound, text);
        if (out->len > 0) {
            lt_buf_char(out, ' ');
        }
        lt_buf_add(out, text, n);
    }
}

static void take_up(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    g->current = r->next;
    g->loaded_wall_us = g->loop->wall_us;
    r->next = NULL;
    lt_free(r->views);
    r->views = NULL;
    for (unsigned i = 0; i < g->slots.n; i++) {
        struct lt_slot *slot = &g->slots.v[i];
        const struct lt_snapshot_listener *l = &g->current->listeners[i];
        slot->active = i < g->current->n_listeners && l->active;
        slot->options = g->current->fronts[i];
        if (slot->active) {
            slot->route = l->route;
            slot->redirect_https = l->redirect_https;
            snprintf(slot->name, sizeof(slot->name), "%.*s", LT_STR_ARG(l->name));
        }
    }
    close_unused_sockets(g);
    lt_dns_servers_take_up(g->dns);
    lt_server_sets_take_up(g->sets);
    lt_server_files_take_up(g->server_files);
    lt_certs_take_up(g);
    lt_probes_look(g->probes);
}

/* Tells what has changed without effect. */
static void warn_restart(const struct lt_root_conf *old, const struct lt_root_conf *new)
{
    size_t admin = offsetof(struct lt_root_conf, admin);
    bool had = lt_schema_is_set(old, admin), has = lt_schema_is_set(new, admin);
    if (old->workers != new->workers) {
        lt_log_warn("reload", "restart_needed", LT_KV_CSTR("for", "workers"));
    }
    if (old->limits.shared != new->limits.shared) {
        lt_log_warn("reload", "restart_needed", LT_KV_CSTR("for", "limits.shared"));
    }
    /* A socket where there was none is opened. */
    if (had && (!has || !lt_addr_eq(&old->admin.listen, &new->admin.listen) ||
                old->admin.mode_bits != new->admin.mode_bits)) {
        lt_log_warn("reload", "restart_needed", LT_KV_CSTR("for", "admin"));
    }
}

/* The supervisor gets what was read, for a gateway that can't read the disk any more. */
static void tell_taken_up(struct lt_gateway *g, bool first)
{
    struct lt_reload *r = &g->reload;
    int kept = -1;
    if (!r->from_kept) {
        kept = r->files != NULL ? lt_files_seal(r->files) : -1;
        if (kept < 0) {
            lt_log_warn("reload", "config_not_kept",
                        LT_KV_CSTR("hint", "after a crash only the file on the disk is left"));
        }
        g->load_failed = false;
    }
    g->fallback = r->from_kept;
    lt_files_free(r->files);
    r->files = NULL;
    lt_gateway_tell(g, first ? LT_CONTROL_READY : LT_CONTROL_RELOADED, 0, kept);
    if (kept >= 0) {
        close(kept);
    }
    if (first && g->kept >= 0) {
        close(g->kept); /* the supervisor has it, or something newer */
        g->kept = -1;
    }
}

static void on_committed(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_gateway *g = owner;
    struct lt_reload *r = &g->reload;
    char mem[2048];
    struct lt_buf addresses;
    if (--r->waiting > 0) {
        return;
    }
    bool first = g->current == NULL;
    if (!first) {
        warn_restart(g->current->root->conf, r->next->root->conf);
    }
    take_up(g);
    lt_gateway_log_bounds(g, g->current);
    lt_log_stderr(lt_buf_view(&r->errors)); /* warnings, if any */
    lt_buf_init_fixed(&addresses, mem, sizeof(mem));
    add_addresses(g, &addresses);
    if (first) {
        lt_gateway_serving(g);
    }
    lt_log_info("reload", first ? "ready" : "reloaded",
                LT_KV_STR("addresses", lt_buf_view(&addresses)), LT_KV_INT("workers", g->n_workers),
                LT_KV_INT("config", g->current->number),
                LT_KV_STR("hash", lt_str(g->current->hash, LT_SNAPSHOT_HASH_LEN)),
                LT_KV_INT("pid", getpid()));
    tell_taken_up(g, first);
    go_idle(g);
}

/* ---- Load. ---- */

static void on_loaded(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_gateway *g = owner;
    struct lt_reload *r = &g->reload;
    if (r->state != LT_RELOAD_LOADING) {
        return; /* abandoned */
    }
    pthread_join(r->thread, NULL);
    if (r->next == NULL) {
        fail(g);
        return;
    }
    g->snapshots++;
    if (g->drain.state != LT_DRAIN_NONE) {
        snprintf(r->why, sizeof(r->why), "shutting down");
        discard(g);
    } else if (g->n_workers == 0 && lt_gateway_start_workers(g, r->next) != LT_OK) {
        snprintf(r->why, sizeof(r->why), "the workers can't be started: out of memory or threads");
        discard(g);
    } else {
        prepare(g);
    }
}

static void *load(void *arg)
{
    struct lt_gateway *g = arg;
    struct lt_reload *r = &g->reload;
    pthread_setname_np(pthread_self(), "lintel-load");
    bool joined = lt_log_writer_join(g->log) == LT_OK;
    const struct lt_build_env env = {.shm = g->shm,
                                     .registry = g->registry,
                                     .upstreams = g->upstreams,
                                     .metrics = g->metrics,
                                     .slots = &g->slots,
                                     .files = r->files,
                                     .n_workers = g->n_workers,
                                     .log_errors = r->log_errors,
                                     .first = !r->log_errors && !r->from_kept,
                                     .kept = r->from_kept};
    r->next = lt_build(g->options->config, r->count, &env, &r->errors, &r->n_errors);
    if (joined) {
        lt_log_writer_leave(g->log);
    }
    r->loaded.fn = on_loaded;
    lt_mailbox_post(g->box, &r->loaded);
    return NULL;
}

static void start_load(struct lt_gateway *g, bool from_kept)
{
    struct lt_reload *r = &g->reload;
    const char *why = "out of memory";
    r->why[0] = '\0';
    r->n_errors = 0;
    r->next = NULL;
    r->count++;
    r->from_kept = from_kept;
    r->log_errors = g->current != NULL || can_fall_back(g);
    lt_buf_init(&r->errors, ERRORS_MAX);
    r->files = from_kept ? lt_files_replay(g->kept, &why) : lt_files_record();
    r->state = LT_RELOAD_LOADING;
    if (r->files == NULL) {
        snprintf(r->why, sizeof(r->why), "%s", why);
        fail(g);
    } else if (pthread_create(&r->thread, NULL, load, g) != 0) {
        snprintf(r->why, sizeof(r->why), "no thread for the loader");
        fail(g);
    }
}

void lt_reload_start(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    if (r->state != LT_RELOAD_IDLE || g->filter_swap.busy) {
        r->again = true;
        return;
    }
    r->again = false;
    start_load(g, false);
}

void lt_reload_abandon(struct lt_gateway *g)
{
    struct lt_reload *r = &g->reload;
    if (r->state == LT_RELOAD_LOADING) {
        pthread_join(r->thread, NULL);
        lt_snapshot_free(r->next);
        r->next = NULL;
        r->state = LT_RELOAD_IDLE;
    }
    lt_buf_fini(&r->errors);
    lt_files_free(r->files);
    r->files = NULL;
}
