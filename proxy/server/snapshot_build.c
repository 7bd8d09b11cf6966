/* SPDX-License-Identifier: Apache-2.0 */
/* Builds snapshots. Everything that is wrong is said at its place in the file; building goes on
 * after an error where it can, so that all are said at once. */
#include "server/snapshot_build.h"

#include <stdio.h>
#include <sys/resource.h>

#include <openssl/evp.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/place.h"
#include "config/source.h"
#include "filters/chain.h"
#include "route/build.h"
#include "server/cpus.h"
#include "shared/tickets.h"
#include "upstream/servers_file.h"

#define CONNECTIONS_AUTO_MAX UINT64_C(10000)
#define NAMES_BYTES_MAX 500u

struct build {
    const struct lt_build_env *env;
    struct lt_snapshot *s;
    struct lt_root_conf *conf;
    struct lt_arena *arena; /* of the configuration */
    struct lt_diags *diags;
    const char **upstream_names;
};

static void no_memory(struct build *b)
{
    b->s->root->load.nomem = true;
}

/* ---- Upstreams. ---- */

unsigned lt_build_specs(const struct lt_upstream_conf *conf, struct lt_server_spec *out)
{
    const struct lt_server_conf *servers = conf->servers.items;
    unsigned n = 0;
    for (size_t i = 0; i < conf->servers.n; i++) {
        if (servers[i].address.addr.len > 0) { /* else a name: server/dns_servers.c */
            out[n++] =
                (struct lt_server_spec){.address = servers[i].address.addr,
                                        .max = (uint32_t)servers[i].max,
                                        .max_connections = (uint32_t)servers[i].max_connections,
                                        .weight = (uint32_t)servers[i].weight,
                                        .backup = servers[i].backup};
        }
    }
    return n;
}

/* The set that main replaces when others name servers too. */
static void build_set(struct build *b, struct lt_upstream *u, const struct lt_upstream_conf *conf)
{
    const struct lt_server_set_env env = {
        .registry = b->env->registry, .metrics = b->env->metrics, .n_workers = b->s->n_workers};
    struct lt_server_spec *specs = lt_calloc(conf->servers.n, sizeof(*specs));
    struct lt_server_set *set = NULL;
    unsigned bad = 0, n = specs != NULL ? lt_build_specs(conf, specs) : 0;
    enum lt_err err =
        specs != NULL ? lt_server_set_new(&env, u, specs, n, &set, &bad) : LT_ERR_NOMEM;
    lt_free(specs);
    atomic_init(&u->set, set);
    switch (err) {
    case LT_OK:
        break;
    case LT_ERR_LIMIT:
        lt_diag_error(b->diags, lt_schema_pos(conf, "servers"),
                      "the shared memory keeps count of 4096 servers with a max",
                      "there are too many servers");
        break;
    default:
        no_memory(b);
    }
}

static void set_protocol(struct lt_upstream *u, const struct lt_upstream_conf *conf)
{
    u->protocol = (enum lt_upstream_protocol)conf->protocol;
    u->h2 = (struct lt_back_h2_options){.streams_max = (unsigned)conf->http2.streams,
                                        .connections_max = (unsigned)conf->http2.connections,
                                        .window = (uint32_t)conf->http2.window,
                                        .control_max = (unsigned)conf->http2.max_control,
                                        .idle_ms = conf->http2.idle_ms,
                                        .ping_ms = conf->http2.ping_ms,
                                        .pong_ms = conf->timeouts.connect_ms};
}

/* Its names, or the first of them, for those who have to tell why there is no server. */
static void name_servers(struct build *b, struct lt_upstream *u,
                         const struct lt_upstream_conf *conf)
{
    const struct lt_server_conf *servers = conf->servers.items;
    for (size_t i = 0; i < conf->servers.n; i++) {
        char text[LT_ENDPOINT_TEXT_MAX];
        if (servers[i].address.kind == LT_ENDPOINT_ADDR || u->dns_names.len > NAMES_BYTES_MAX) {
            continue;
        }
        lt_endpoint_print(&servers[i].address, text);
        if (!lt_arena_printf(b->arena, &u->dns_names, "%.*s%s%s", LT_STR_ARG(u->dns_names),
                             u->dns_names.len > 0 ? ", " : "", text)) {
            no_memory(b);
        }
    }
}

static struct lt_str place(struct build *b, const void *conf, const char *path)
{
    struct lt_str text = lt_config_place(b->arena, conf, path);
    if (text.len == 0) {
        no_memory(b);
    }
    return text;
}

static void set_places(struct build *b, struct lt_upstream *u, const struct lt_upstream_conf *conf)
{
    u->places =
        (struct lt_upstream_places){.connect = place(b, conf, "timeouts.connect"),
                                    .first_byte = place(b, conf, "timeouts.first_byte"),
                                    .idle = place(b, conf, "timeouts.idle"),
                                    .queue_wait = place(b, conf, "queue.wait"),
                                    .restart = place(b, conf, "queue.restart"),
                                    .head_max = place(b, conf, "max_head"),
                                    .headers_max = place(b, conf, "max_headers"),
                                    .takes = {[LT_TAKES_LINE] = place(b, conf, "takes.line"),
                                              [LT_TAKES_FIELDS] = place(b, conf, "takes.fields"),
                                              [LT_TAKES_FIELD] = place(b, conf, "takes.field"),
                                              [LT_TAKES_HEAD] = place(b, conf, "takes.head")}};
}

static void build_upstream(struct build *b, struct lt_upstream *u, struct lt_str name,
                           const struct lt_upstream_conf *conf, struct lt_tls_trust_cache *trusts)
{
    u->name = name;
    if (conf->tls.enabled) {
        u->tls = lt_tls_client_conf_load(
            &b->s->root->load, &conf->tls, lt_upstream_conf_name(conf),
            conf->protocol == LT_PROTOCOL_H2 ? LT_TLS_OFFER_H2 : LT_TLS_OFFER_H1, trusts);
    }
    u->host = conf->host;
    if (lt_balance_conf_set(&u->balance, &conf->balance, lt_shm_seed(b->env->shm)) != LT_OK) {
        no_memory(b);
    }
    lt_retry_conf_options(&conf->retry, &u->retry);
    u->hold = (struct lt_hold_options){.size = conf->hold.size, .wait_ms = conf->hold.wait_ms};
    u->queue = lt_queue_conf_options(&conf->queue);
    u->connect_ms = conf->timeouts.connect_ms;
    u->first_byte_ms = conf->timeouts.first_byte_ms;
    u->idle_ms = conf->timeouts.idle_ms;
    u->proxy_protocol = (enum lt_proxy_version)conf->proxy_protocol;
    /* A connection that names one client carries no other one's requests. */
    u->keepalive_max = u->proxy_protocol == LT_PROXY_NONE ? (unsigned)conf->keepalive.max : 0;
    u->vanished_ms = lt_max(conf->timeouts.vanished_ms, conf->timeouts.idle_ms);
    set_protocol(u, conf);
    u->deadline_header = conf->deadline_header;
    u->keepalive_ms = conf->keepalive.idle_ms;
    u->keepalive_post_ms = conf->keepalive.unsafe_idle_ms;
    u->keepalive_learn = conf->keepalive.learn;
    u->head_max = conf->max_head;
    u->headers_max = (unsigned)conf->max_headers;
    lt_health_conf_build(&b->s->root->load, &conf->health, &u->health);
    u->takes = lt_takes_of(&conf->takes);
    set_places(b, u, conf);
    if (lt_upstream_registry_get(b->env->upstreams, name, &u->state) != LT_OK) {
        no_memory(b);
    }
    build_set(b, u, conf);
    name_servers(b, u, conf);
}

/* Read with the configuration, so that mistakes are said with all others. */
static void build_file(struct build *b, struct lt_snapshot_file *file,
                       const struct lt_upstream_conf *conf)
{
    file->named = conf->servers_file.len > 0;
    bool ok = !file->named ||
              lt_servers_file_read(b->s->root->load.files, b->arena, b->diags, conf->servers_file,
                                   lt_schema_pos(conf, "servers_file"), &file->v, &file->n);
    (void)ok; /* else the diags have it */
}

static void build_upstreams(struct build *b)
{
    const struct lt_conf_map *map = &b->conf->upstreams;
    struct lt_tls_trust_cache trusts;
    b->s->upstreams = lt_arena_array(b->arena, struct lt_upstream, map->n);
    b->s->files = lt_arena_array(b->arena, struct lt_snapshot_file, map->n);
    b->upstream_names = lt_arena_array(b->arena, const char *, map->n);
    if (b->s->upstreams == NULL || b->s->files == NULL || b->upstream_names == NULL) {
        no_memory(b);
        return;
    }
    lt_tls_trust_cache_init(&trusts, &b->s->root->load);
    for (unsigned i = 0; i < map->n; i++) {
        b->s->n_upstreams = i + 1;
        b->upstream_names[i] = map->entries[i].key.p;
        build_file(b, &b->s->files[i], map->entries[i].value);
        build_upstream(b, &b->s->upstreams[i], map->entries[i].key, map->entries[i].value, &trusts);
    }
    lt_tls_trust_cache_fini(&trusts);
}

static struct lt_upstream *find_upstream(void *arg, struct lt_str name)
{
    const struct build *b = arg;
    for (unsigned i = 0; i < b->s->n_upstreams; i++) {
        if (lt_str_eq(b->s->upstreams[i].name, name)) {
            return &b->s->upstreams[i];
        }
    }
    return NULL;
}

/* ---- Listeners. ---- */

static void set_front_h2(struct lt_front_h2_options *o, const struct lt_http2_conf *conf, bool tls)
{
    o->alpn = tls && conf->alpn;
    o->cleartext = !tls && conf->cleartext;
    o->streams = (unsigned)conf->streams;
    o->window = (uint32_t)conf->window;
    o->connection_window = (uint32_t)conf->connection_window;
    o->header_table = (uint32_t)conf->header_table;
    o->max_resets = (unsigned)conf->max_resets;
    o->max_control = (unsigned)conf->max_control;
    o->max_empty = (unsigned)conf->max_empty;
    o->max_continuations = (unsigned)conf->max_continuations;
}

static void set_front(struct lt_front_options *o, const struct lt_listen_conf *conf)
{
    o->head_max = conf->limits.max_head;
    o->headers_max = (unsigned)conf->limits.max_headers;
    o->target_max = lt_min(conf->limits.max_head, conf->limits.max_target);
    o->tls_ms = conf->timeouts.tls_ms;
    o->head_ms = conf->timeouts.head_ms;
    o->body_ms = conf->timeouts.body_ms;
    o->write_ms = conf->timeouts.write_ms;
    o->keepalive_ms = conf->timeouts.keepalive_ms;
    o->half_closed_ms = conf->timeouts.half_closed_ms;
    o->age_ms = conf->timeouts.age_ms;
    o->body_rate = conf->body.min_rate;
    o->body_grace_ms = conf->body.grace_ms;
    o->requests_max = (unsigned)conf->limits.max_requests;
    set_front_h2(&o->h2, &conf->http2, conf->tls);
    o->tls = conf->tls;
    o->port = lt_addr_port(&conf->address);
}

static bool ticket_key(void *keys, const unsigned char *name, struct lt_tls_ticket_key *out)
{
    _Static_assert(sizeof(struct lt_ticket_key) == sizeof(*out) &&
                       LT_TICKET_NAME_LEN == LT_TLS_TICKET_NAME_LEN,
                   "the same record in both layers");
    struct lt_ticket_key key;
    if (!lt_tickets_get(keys, name, &key)) {
        return false;
    }
    memcpy(out, &key, sizeof(key));
    return true;
}

static void set_tls(struct build *b, struct lt_tls_options *o)
{
    const struct lt_tls_conf *conf = &b->conf->tls;
    o->refuse_unknown = conf->unknown_names == LT_TLS_UNKNOWN_REFUSE;
    o->ticket_life_s = conf->tickets.lifetime_ms / 1000;
    o->ticket = conf->tickets.enabled ? ticket_key : NULL;
    o->ticket_keys = b->env->shm;
}

static void build_listener(struct build *b, const struct lt_listen_conf *conf,
                           struct lt_router_listener *routed)
{
    int slot = lt_slots_assign(b->env->slots, &conf->address, conf->name, b->s->number);
    if (slot < 0) {
        lt_diag_error(b->diags, lt_schema_pos(conf, "address"),
                      "connections of removed listeners still hold numbers: restart instead",
                      "there are too many listeners");
        return;
    }
    struct lt_snapshot_listener *l = &b->s->listeners[slot];
    l->active = true;
    b->s->order[b->s->n_order++] = (unsigned char)slot;
    l->address = conf->address;
    l->backlog = (int)conf->backlog;
    l->max_connections = (uint32_t)conf->max_connections;
    l->proxy_protocol = conf->proxy_protocol;
    l->proxy_ms = conf->timeouts.proxy_ms;
    l->vanished_ms = lt_max(conf->timeouts.vanished_ms, conf->timeouts.write_ms);
    set_front(&b->s->fronts[slot], conf);
    l->name = conf->name;
    l->redirect_https = conf->redirect == LT_LISTEN_REDIRECT_HTTPS;
    l->route = (struct lt_route_options){.body_max = conf->body.max,
                                         .first_byte_ms = conf->timeouts.first_byte_ms,
                                         .first_byte_at = place(b, conf, "timeouts.first_byte"),
                                         .tunnel_ms = conf->timeouts.tunnel_ms,
                                         .total_ms = conf->timeouts.total_ms,
                                         .total_at = place(b, conf, "timeouts.total")};
    routed[slot] = (struct lt_router_listener){.name = l->name,
                                               .redirect_https = l->redirect_https,
                                               .options = l->route,
                                               .compress = &conf->compress};
    if (conf->tls) {
        set_tls(b, &l->tls);
        l->tls.h2 = conf->http2.alpn;
    }
}

/* Numbers that this configuration doesn't have keep the limits and the name they had, for the
 * connections that came in through them: each ends with its next response. */
static void keep_removed(struct build *b, struct lt_router_listener *routed)
{
    for (unsigned i = 0; i < b->s->n_listeners; i++) {
        const struct lt_slot *slot = &b->env->slots->v[i];
        if (!b->s->listeners[i].active) {
            b->s->fronts[i] = slot->options;
            b->s->fronts[i].requests_max = 1;
            routed[i] = (struct lt_router_listener){.name = lt_str_c(slot->name),
                                                    .redirect_https = slot->redirect_https,
                                                    .options = slot->route};
        }
    }
}

static void build_listeners(struct build *b, struct lt_router_listener *routed)
{
    const struct lt_listen_conf *conf = b->conf->listen.items;
    for (size_t i = 0; i < b->conf->listen.n; i++) {
        build_listener(b, &conf[i], routed);
    }
    b->s->n_listeners = b->env->slots->n;
    keep_removed(b, routed);
}

/* ---- TLS. ---- */

static void build_tls(struct build *b)
{
    struct lt_tls_set_listener listeners[LT_SLOTS_MAX];
    struct lt_tls_set_spec spec = {.load = &b->s->root->load,
                                   .conf = b->conf,
                                   .listeners = listeners,
                                   .n_listeners = lt_snapshot_tls_listeners(b->s, listeners),
                                   .stale = b->env->kept};
    b->s->tls = lt_tls_set_new(&spec);
}

/* ---- Routes and filters. ---- */

/* The chain of one route: its site's filters without those it leaves out, then its own. */
static void build_chain(struct build *b, struct lt_route *route)
{
    struct lt_filter_ref *refs = NULL;
    size_t n = 0, bad = 0;
    if (!lt_route_conf_filters(b->arena, lt_route_site_conf_of(route), lt_route_conf_of(route),
                               &refs, &n)) {
        no_memory(b);
        return;
    }
    struct lt_str *names = lt_arena_array(b->arena, struct lt_str, n);
    for (size_t i = 0; names != NULL && i < n; i++) {
        names[i] = refs[i].name;
    }
    if (names == NULL) {
        no_memory(b);
        return;
    }
    /* Unknown names and too many of them were said when the configuration was checked. */
    if (lt_filter_chain_new(b->arena, b->s->filters, names, n, &route->chain, &bad) != LT_OK) {
        no_memory(b);
        return;
    }
    route->guards = lt_arena_array(b->arena, const struct lt_expr *, n);
    if (route->guards == NULL) {
        no_memory(b);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct lt_expr *when = route->chain->at[i]->when;
        if (when != NULL && lt_expr_asks_path(when)) {
            route->guards[route->n_guards++] = when;
        }
    }
}

static void build_filters(struct build *b)
{
    unsigned n = 0;
    if (b->conf->filters.n == 0) {
        return;
    }
    b->s->filters = lt_filter_program_new(&b->s->root->load, &b->conf->filters, true);
    if (b->s->filters == NULL || b->s->router == NULL) {
        return; /* which was said */
    }
    struct lt_route *routes = lt_router_routes(b->s->router, &n);
    for (unsigned i = 0; i < n; i++) {
        build_chain(b, &routes[i]);
    }
}

static void build_routes(struct build *b, const struct lt_router_listener *routed)
{
    struct lt_router_spec spec = {.load = &b->s->root->load,
                                  .defaults = &b->conf->defaults.conf,
                                  .errors = &b->conf->defaults.errors,
                                  .sites = &b->conf->sites,
                                  .listeners = routed,
                                  .n_listeners = b->s->n_listeners,
                                  .upstreams = b->upstream_names,
                                  .n_upstreams = b->s->n_upstreams,
                                  .find = find_upstream,
                                  .arg = b};
    b->s->router = lt_router_build(b->arena, &spec);
    unsigned n = 0;
    struct lt_route *routes = b->s->router != NULL ? lt_router_routes(b->s->router, &n) : NULL;
    for (unsigned i = 0; i < n; i++) {
        routes[i].metrics_id = lt_metrics_route_id(b->env->metrics, routes[i].site, routes[i].name);
        lt_route_set_tokens(&routes[i], lt_shm_seed(b->env->shm));
    }
}

/* ---- The rest. ---- */

static void build_fields(struct build *b)
{
    const struct lt_conf_map *map = &b->conf->log.fields;
    b->s->fields = lt_arena_array(b->arena, struct lt_snapshot_field, map->n);
    if (b->s->fields == NULL) {
        no_memory(b);
        return;
    }
    b->s->n_fields = (unsigned)map->n;
    for (size_t i = 0; i < map->n; i++) {
        struct lt_expr *const *expr = map->entries[i].value;
        b->s->fields[i] = (struct lt_snapshot_field){.name = map->entries[i].key, .expr = *expr};
    }
}

static void hash_sources(struct build *b)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    lt_list_each(it, tmp, &b->s->root->load.sources)
    {
        const struct lt_source *source = lt_container_of(it, struct lt_source, link);
        ok = ok && EVP_DigestUpdate(md, source->text.p, source->text.len) == 1;
    }
    if (ok && EVP_DigestFinal_ex(md, digest, NULL) == 1) {
        for (size_t i = 0; i < LT_SNAPSHOT_HASH_LEN; i++) {
            b->s->hash[i] = digits[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
        }
    } else {
        no_memory(b);
    }
    EVP_MD_CTX_free(md);
}

static uint32_t connections_max(const struct lt_root_conf *conf)
{
    struct rlimit limit;
    if (conf->limits.connections >= 0) {
        return (uint32_t)conf->limits.connections;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return CONNECTIONS_AUTO_MAX;
    }
    uint64_t fds = lt_max((uint64_t)limit.rlim_cur, LT_BUILD_OTHER_FDS + 2);
    return (uint32_t)lt_min((fds - LT_BUILD_OTHER_FDS) / 2, CONNECTIONS_AUTO_MAX);
}

static unsigned count_workers(const struct lt_build_env *env, const struct lt_root_conf *conf)
{
    if (env->n_workers > 0) {
        return env->n_workers;
    }
    unsigned n = conf->workers > 0 ? (unsigned)conf->workers : lt_cpus_usable();
    return lt_min(n, LT_WORKERS_MAX);
}

static void set_client_max(struct lt_snapshot *s, const struct lt_root_conf *conf)
{
    int64_t max = conf->limits.connections_per_client;
    s->client_max = max >= 0 ? (uint32_t)max : lt_max(s->connections_max / 4, UINT32_C(1));
    s->client_loopback = max >= 0;
}

static void build_all(struct build *b)
{
    struct lt_router_listener routed[LT_SLOTS_MAX] = {{.redirect_https = false}};
    b->s->n_workers = count_workers(b->env, b->conf);
    hash_sources(b);
    build_upstreams(b);
    build_listeners(b, routed);
    build_tls(b);
    build_routes(b, routed);
    build_filters(b);
    build_fields(b);
    b->s->connections_max = connections_max(b->conf);
    set_client_max(b->s, b->conf);
}

static void log_diags(const struct lt_diags *diags)
{
    lt_list_each(it, tmp, &diags->list)
    {
        const struct lt_diag *d = lt_container_of(it, struct lt_diag, link);
        const struct lt_source *source = d->pos.source;
        struct lt_str file = source == NULL          ? LT_STR_NONE
                             : source->shown.len > 0 ? source->shown
                                                     : source->name;
        lt_log_at(d->severity == LT_SEV_ERROR ? LT_LOG_ERROR : LT_LOG_WARN, "config",
                  d->severity == LT_SEV_ERROR ? "config_error" : "config_warning",
                  LT_KV_STR("file", file), LT_KV_INT("line", d->pos.line),
                  LT_KV_INT("column", d->pos.col), LT_KV_STR("message", d->message),
                  LT_KV_STR("hint", d->hint));
    }
}

struct lt_snapshot *lt_build(const char *path, unsigned number, const struct lt_build_env *env,
                             struct lt_buf *errors, unsigned *n_errors)
{
    struct lt_snapshot *s = lt_calloc(1, sizeof(*s));
    struct lt_root_load *root = s != NULL ? lt_root_load_file(env->files, path) : NULL;
    *n_errors = 1;
    if (root == NULL) {
        lt_free(s);
        lt_buf_printf(errors, "out of memory\n");
        return NULL;
    }
    s->number = number;
    s->root = root;
    if (root->conf != NULL) {
        struct build b = {
            .env = env, .s = s, .conf = root->conf, .arena = &root->arena, .diags = &root->diags};
        build_all(&b);
    } else {
        lt_root_check_files(root); /* what building would have found, for one list of errors */
    }
    if (!env->kept) {
        lt_root_check_places(root, LT_PLACES_FILES | (env->first ? LT_PLACES_SOCKETS : 0));
    }
    bool ok = lt_load_ok(&root->load) && root->conf != NULL;
    lt_diags_print(&root->diags, errors);
    *n_errors = root->diags.errors;
    if (env->log_errors) {
        log_diags(&root->diags);
    }
    if (!ok) {
        lt_snapshot_free(s);
        return NULL;
    }
    return s;
}
