/* SPDX-License-Identifier: Apache-2.0 */
/* What no row can check alone: names that one part uses and another defines, listeners that are in
 * each other's way, and sites as a whole (by building their router once, for its messages). Loader
 * thread. */
#include "server/root_conf.h"

#include <stdio.h>

#include "filters/chain.h"
#include "filters/program.h"
#include "route/build.h"
#include "server/tls_set.h"
#include "shared/shm.h"
#include "upstream/servers_file.h"

/* ---- listeners ---- */

static void check_listener_pair(struct lt_schema_load *load, const struct lt_listen_conf *a,
                                const struct lt_listen_conf *b)
{
    char hint[64];
    /* With port 0 the kernel gives each one of its own. */
    bool chosen = !lt_addr_is_unix(&a->address) && lt_addr_port(&a->address) == 0;
    if (a->address.len > 0 && !chosen && lt_addr_eq(&a->address, &b->address)) {
        struct lt_pos first = lt_schema_pos(a, "address");
        snprintf(hint, sizeof(hint), "the first one is in line %u", first.line);
        lt_diag_error(load->diags, lt_schema_pos(b, "address"), hint,
                      "two listeners have this address");
    } else if (a->name.len > 0 && lt_str_eq(a->name, b->name)) {
        struct lt_pos first = lt_schema_pos(a, "name");
        snprintf(hint, sizeof(hint), "the first one is in line %u", first.line);
        lt_diag_error(load->diags, lt_schema_pos(b, "name"), hint,
                      "two listeners are called \"%.*s\"", LT_STR_ARG(b->name));
    }
}

/* Whether site answers on the listener called name. */
static bool answers_on(const struct lt_site_conf *site, struct lt_str name)
{
    const struct lt_str *names = site->listeners.items;
    for (size_t i = 0; i < site->listeners.n; i++) {
        if (lt_str_eq(names[i], name)) {
            return true;
        }
    }
    return site->listeners.n == 0;
}

/* A TLS listener needs a certificate from some site that answers there. */
static void check_certificates(struct lt_schema_load *load, const struct lt_root_conf *root,
                               const struct lt_listen_conf *listen)
{
    const struct lt_site_conf *sites = root->sites.items;
    if (!listen->tls || root->conf.broken) {
        return;
    }
    for (size_t i = 0; i < root->sites.n; i++) {
        if (sites[i].conf.broken ||
            (answers_on(&sites[i], listen->name) &&
             lt_schema_is_set(&sites[i], offsetof(struct lt_site_conf, tls)))) {
            return;
        }
    }
    lt_diag_error(load->diags, lt_schema_pos(listen, "tls"),
                  "give a site tls: {certificates: [{certificate: FILE, key: FILE}]}",
                  "no site that answers on \"%.*s\" has a certificate", LT_STR_ARG(listen->name));
}

/* Without a peer to believe, a PROXY header is never read. */
static void check_proxies(struct lt_schema_load *load, const struct lt_root_conf *root,
                          const struct lt_listen_conf *listen)
{
    if (listen->proxy_protocol == LT_LISTEN_PROXY_NONE || listen->conf.broken ||
        root->conf.broken || root->trust.n > 0 || lt_addr_is_unix(&listen->address)) {
        return;
    }
    lt_diag_warning(load->diags, lt_schema_pos(listen, "proxy_protocol"),
                    "put the balancers into trust: [ADDRESS]", "nobody is in `trust`, so %s",
                    listen->proxy_protocol == LT_LISTEN_PROXY_REQUIRE
                        ? "every connection to this listener is closed"
                        : "no PROXY header is believed");
}

static void check_listeners(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    const struct lt_listen_conf *listen = root->listen.items, *redirects = NULL;
    bool tls = false;
    for (size_t i = 0; i < root->listen.n; i++) {
        for (size_t j = 0; j < i; j++) {
            check_listener_pair(load, &listen[j], &listen[i]);
        }
        check_certificates(load, root, &listen[i]);
        check_proxies(load, root, &listen[i]);
        tls |= listen[i].tls || listen[i].conf.broken;
        if (listen[i].redirect == LT_LISTEN_REDIRECT_HTTPS && redirects == NULL) {
            redirects = &listen[i];
        }
        if (root->admin.listen.len > 0 && lt_addr_eq(&listen[i].address, &root->admin.listen)) {
            lt_diag_error(load->diags, lt_schema_pos(&root->admin, "listen"),
                          "give the admin socket a path of its own", "a listener has this address");
        }
    }
    if (redirects != NULL && !tls) {
        lt_diag_warning(load->diags, lt_schema_pos(redirects, "redirect"),
                        "give one listener tls: true, or leave the redirect out",
                        "redirects to https, but no listener speaks TLS");
    }
}

/* ---- filters ---- */

static bool map_has(const struct lt_conf_map *map, struct lt_str name)
{
    for (size_t i = 0; i < map->n; i++) {
        if (lt_str_eq(map->entries[i].key, name)) {
            return true;
        }
    }
    return false;
}

/* The names in a list of filters, which is the row `filters` of holder. */
static void check_filters(struct lt_schema_load *load, const struct lt_root_conf *root,
                          const struct lt_conf *holder, const struct lt_conf_list *list)
{
    const struct lt_str *names = list->items;
    const struct lt_node *node = lt_node_get(holder->node, "filters");
    const char *known[64];
    char hint[200];
    size_t n = 0;
    for (size_t i = 0; i < root->filters.n && n < lt_countof(known); i++) {
        known[n++] = root->filters.entries[i].key.p;
    }
    for (size_t i = 0; i < list->n; i++) {
        if (names[i].p == NULL || map_has(&root->filters, names[i])) {
            continue;
        }
        const char *close = lt_schema_closest(names[i], known, n);
        if (close != NULL) {
            snprintf(hint, sizeof(hint), "did you mean \"%s\"?", close);
        } else {
            snprintf(hint, sizeof(hint), "define it at the top: filters: {%.*s: {filter: FILE}}",
                     LT_STR_ARG(lt_str_sub(names[i], 0, 64)));
        }
        lt_diag_error(load->diags,
                      node != NULL && i < node->n_items ? node->items[i]->pos
                                                        : lt_schema_pos(holder, "filters"),
                      hint, "there is no filter \"%.*s\"", LT_STR_ARG(names[i]));
    }
}

/* How many filters run for a route: its site's without those it leaves out, then its own. */
static void check_chain(struct lt_schema_load *load, const struct lt_site_conf *site,
                        const struct lt_route_conf *route)
{
    struct lt_filter_ref *refs;
    size_t n;
    if (route->conf.schema == NULL) {
        return;
    }
    if (!lt_route_conf_filters(load->arena, site, route, &refs, &n)) {
        load->nomem = true;
    } else if (n > LT_FILTER_CHAIN_MAX) {
        lt_diag_error(load->diags, refs[LT_FILTER_CHAIN_MAX].pos,
                      "let one Lua file do the work of several",
                      "%zu filters run for this route, the most is %u", n, LT_FILTER_CHAIN_MAX);
    }
}

/* ---- sites ---- */

/* Builds the router: whatever is wrong with sites and routes is said there. */
static void check_router(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    const struct lt_listen_conf *listen = root->listen.items;
    struct lt_router_listener *listeners =
        lt_arena_array(load->arena, struct lt_router_listener, root->listen.n);
    const char **upstreams = lt_arena_array(load->arena, const char *, root->upstreams.n);
    if (listeners == NULL || upstreams == NULL) {
        load->nomem = true;
        return;
    }
    for (size_t i = 0; i < root->listen.n; i++) {
        listeners[i].name = listen[i].name;
        listeners[i].compress = listen[i].conf.broken ? NULL : &listen[i].compress;
    }
    for (size_t i = 0; i < root->upstreams.n; i++) {
        upstreams[i] = root->upstreams.entries[i].key.p;
    }
    const struct lt_router_spec spec = {
        .load = load,
        .defaults = &root->defaults.conf,
        .errors = &root->defaults.errors,
        .sites = &root->sites,
        .listeners = listeners,
        .n_listeners = (unsigned)lt_min(root->listen.n, (size_t)LT_ROUTER_LISTENERS_MAX),
        .upstreams = upstreams,
        .n_upstreams = root->upstreams.n,
    };
    if (lt_router_build(load->arena, &spec) == NULL && load->diags->errors == 0) {
        load->nomem = true;
    }
}

/* The shared memory keeps count of so many. */
static void check_counted(struct lt_schema_load *load, const struct lt_root_conf *root)
{
    char hint[80];
    size_t n = 0;
    snprintf(hint, sizeof(hint), "leave the max of some out: %u servers can have one",
             LT_SHM_INFLIGHT_SLOTS);
    for (size_t i = 0; i < root->upstreams.n; i++) {
        const struct lt_upstream_conf *upstream = root->upstreams.entries[i].value;
        const struct lt_server_conf *servers = upstream->servers.items;
        for (size_t j = 0; j < upstream->servers.n; j++) {
            if (servers[j].max > 0 && ++n == LT_SHM_INFLIGHT_SLOTS + 1) {
                lt_diag_error(load->diags, lt_schema_pos(&servers[j], "max"), hint,
                              "too many servers have a max");
            }
        }
    }
}

void lt_root_check(struct lt_schema_load *load, struct lt_root_conf *root)
{
    const struct lt_site_conf *sites = root->sites.items;
    check_listeners(load, root);
    check_counted(load, root);
    for (size_t i = 0; i < root->sites.n; i++) {
        const struct lt_route_conf *routes = sites[i].routes.items;
        check_filters(load, root, &sites[i].conf, &sites[i].filters);
        for (size_t j = 0; j < sites[i].routes.n; j++) {
            check_filters(load, root, &routes[j].conf, &routes[j].filters);
            check_chain(load, &sites[i], &routes[j]);
        }
    }
    lt_root_check_limits(load, root);
    check_router(load, root);
}

/* Certificates, keys, authorities, ticket keys. */
static void check_tls_files(struct lt_root_load *root)
{
    const struct lt_tls_set_spec spec = {.load = &root->load, .conf = root->read};
    lt_tls_set_free(lt_tls_set_new(&spec));
}

/* Authorities, certificates and files of servers of the upstreams that name them. */
static void check_upstream_files(struct lt_root_load *root)
{
    const struct lt_conf_map *map = &root->read->upstreams;
    struct lt_tls_trust_cache trusts;
    lt_tls_trust_cache_init(&trusts, &root->load);
    for (size_t i = 0; i < map->n; i++) {
        const struct lt_upstream_conf *upstream = map->entries[i].value;
        if (upstream->tls.enabled) {
            lt_tls_client_policy_free(
                lt_tls_client_conf_load(&root->load, &upstream->tls, LT_STR_NONE, 0, &trusts));
        }
        struct lt_server_spec *servers;
        unsigned n;
        if (upstream->servers_file.len > 0 &&
            !lt_servers_file_read(root->load.files, root->load.arena, &root->diags,
                                  upstream->servers_file, lt_schema_pos(upstream, "servers_file"),
                                  &servers, &n)) {
            root->conf = NULL;
        }
    }
    lt_tls_trust_cache_fini(&trusts);
}

void lt_root_check_files(struct lt_root_load *root)
{
    if (root->read == NULL || root->load.nomem) {
        return; /* the diags say why */
    }
    bool filters = lt_filter_program_new(&root->load, &root->read->filters, true) != NULL;
    check_tls_files(root);
    check_upstream_files(root);
    if (!filters || !lt_load_ok(&root->load)) {
        root->conf = NULL;
    }
}
