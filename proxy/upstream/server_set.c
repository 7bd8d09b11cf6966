/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of servers. What belongs to one worker in struct lt_server_set_holds is touched by that
 * worker alone; all else by main, or by nobody once the set is published. */
#include "upstream/server_set.h"

#include "base/arena.h"
#include "base/mem.h"
#include "upstream/health.h"
#include "upstream/pool.h"
#include "upstream/server_groups.h"

/* Names and numbers of a set with very many servers. */
#define ARENA_MAX ((size_t)64 << 20)

struct set {
    struct lt_server_set set;
    struct lt_arena arena; /* of all below it */
    struct lt_server_registry *registry;
    unsigned n_readers; /* main: workers that may still hold something */
    void (*on_freed)(void *owner);
};

static struct set *whole(struct lt_server_set *set)
{
    return lt_container_of(set, struct set, set);
}

/* ---- Making. ---- */

/* The Host that a server gets by its upstream's policy. A Unix socket has no name of its own. */
static bool set_host(struct set *s, struct lt_server *server, const struct lt_server_spec *spec)
{
    const struct lt_upstream *u = server->upstream;
    if (lt_str_eq_c(u->host, "client")) {
        return true;
    }
    if (!lt_str_eq_c(u->host, "upstream")) {
        server->host = u->host;
        return true;
    }
    if (lt_addr_is_unix(&server->addr)) {
        return lt_arena_dup(&s->arena, u->name, &server->host);
    }
    unsigned port = lt_addr_port(&server->addr);
    size_t colon = server->name.len;
    while (server->name.p[--colon] != ':') {
    }
    struct lt_str name = spec->host.len > 0 ? spec->host : lt_str_sub(server->name, 0, colon);
    if (port == (u->tls != NULL ? 443u : 80u)) {
        return lt_arena_dup(&s->arena, name, &server->host); /* RFC 9110 section 4.2.3 */
    }
    return lt_arena_printf(&s->arena, &server->host, "%.*s:%u", LT_STR_ARG(name), port);
}

static bool set_ip(struct set *s, struct lt_server *server, const struct lt_server_spec *spec)
{
    char ip[LT_ADDR_TEXT_MAX];
    if (spec->host.len > 0) {
        return lt_arena_dup(&s->arena, spec->host, &server->ip);
    }
    return lt_addr_is_unix(&server->addr) ||
           lt_arena_dup(&s->arena, lt_str(ip, lt_addr_print_ip(&server->addr, ip)), &server->ip);
}

static enum lt_err make_server(struct set *s, struct lt_upstream *u,
                               const struct lt_server_set_env *env, unsigned i,
                               const struct lt_server_spec *spec)
{
    char text[LT_ADDR_TEXT_MAX];
    size_t len = lt_addr_print(&spec->address, text);
    struct lt_server *server = &s->set.v[i];
    *server = (struct lt_server){.upstream = u,
                                 .set = &s->set,
                                 .addr = spec->address,
                                 .max = spec->max,
                                 .max_connections = spec->max_connections,
                                 .weight = spec->weight,
                                 .backup = spec->backup,
                                 .index = i};
    if (!lt_arena_dup(&s->arena, lt_str(text, len), &server->name) || !set_ip(s, server, spec) ||
        !set_host(s, server, spec) || !lt_arena_dup(&s->arena, spec->source, &server->source)) {
        return LT_ERR_NOMEM;
    }
    /* A connection that was made to one name, or a session of it, is none for another name. */
    struct lt_str key = server->name;
    if (spec->host.len > 0 &&
        !lt_arena_printf(&s->arena, &key, "%.*s %.*s", LT_STR_ARG(key), LT_STR_ARG(spec->host))) {
        return LT_ERR_NOMEM;
    }
    enum lt_err err =
        lt_server_registry_get(env->registry, u->name, key, spec->max > 0, &server->state);
    if (err == LT_OK) {
        lt_health_begin(server);
        server->metrics_id = lt_metrics_server_id(env->metrics, u->name, server->name);
        s->set.n = i + 1;
    }
    return err;
}

enum lt_err lt_server_set_new(const struct lt_server_set_env *env, struct lt_upstream *upstream,
                              const struct lt_server_spec *specs, unsigned n,
                              struct lt_server_set **set, unsigned *bad)
{
    struct set *s = lt_calloc(1, sizeof(*s));
    *bad = 0;
    if (s == NULL) {
        return LT_ERR_NOMEM;
    }
    lt_arena_init(&s->arena, NULL, 0, ARENA_MAX);
    s->registry = env->registry;
    s->set.v = lt_arena_array(&s->arena, struct lt_server, n);
    /* The arena aligns to 16. */
    char *p = lt_arena_zalloc(&s->arena, env->n_workers + 1, sizeof(struct lt_server_set_holds));
    enum lt_err err = s->set.v != NULL && p != NULL ? LT_OK : LT_ERR_NOMEM;
    if (err == LT_OK) {
        size_t align = _Alignof(struct lt_server_set_holds);
        p += (align - (uintptr_t)p % align) % align;
        s->set.holds = (struct lt_server_set_holds *)(void *)p;
    }
    for (unsigned i = 0; err == LT_OK && i < n; i++) {
        *bad = i;
        err = make_server(s, upstream, env, i, &specs[i]);
    }
    if (err == LT_OK) {
        err = lt_server_groups_new(&s->arena, upstream, &s->set, &s->set.groups);
    }
    if (err != LT_OK) {
        lt_server_set_free(&s->set);
        return err;
    }
    *set = &s->set;
    return LT_OK;
}

void lt_server_set_free(struct lt_server_set *set)
{
    if (set == NULL) {
        return;
    }
    struct set *s = whole(set);
    for (unsigned i = 0; i < set->n; i++) {
        lt_server_registry_put(s->registry, set->v[i].state);
    }
    lt_arena_fini(&s->arena);
    lt_free(s);
}

/* ---- Replacing. ---- */

static void on_gone(struct lt_message *message, void *owner)
{
    struct lt_server_set_holds *h = lt_container_of(message, struct lt_server_set_holds, message);
    struct set *s = whole(h->set);
    void (*on_freed)(void *) = s->on_freed;
    if (--s->n_readers > 0) {
        return;
    }
    lt_server_set_free(&s->set);
    if (on_freed != NULL) {
        on_freed(owner);
    }
}

static void tell_gone(struct lt_server_set_holds *h)
{
    h->message.fn = on_gone;
    lt_mailbox_post(h->main, &h->message);
}

/* The worker's thread, between two callbacks of its loop: nothing on the stack has read the old
 * set, so what it counts is all it holds. */
static void on_replaced(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_server_set_holds *h = lt_container_of(message, struct lt_server_set_holds, message);
    h->replaced = true;
    if (h->n == 0) {
        tell_gone(h);
    }
}

void lt_server_set_publish(struct lt_upstream *upstream, struct lt_server_set *set,
                           const struct lt_server_set_readers *readers)
{
    /* Release: the set is whole. */
    struct lt_server_set *old = atomic_exchange_explicit(&upstream->set, set, memory_order_acq_rel);
    struct set *s = whole(old);
    s->n_readers = readers->n;
    s->on_freed = readers->on_freed;
    for (unsigned i = 0; i < readers->n; i++) {
        struct lt_server_set_holds *h = &old->holds[i];
        h->set = old;
        h->main = readers->main;
        h->message.fn = on_replaced;
        lt_mailbox_post(readers->boxes[i], &h->message);
    }
}

void lt_server_hold(struct lt_pools *pools, struct lt_server *server)
{
    if (server->set != NULL) {
        server->set->holds[pools->worker].n++;
    }
}

void lt_server_let_go(struct lt_pools *pools, struct lt_server *server)
{
    if (server->set == NULL) {
        return;
    }
    struct lt_server_set_holds *h = &server->set->holds[pools->worker];
    if (--h->n == 0 && h->replaced) {
        tell_gone(h);
    }
}
