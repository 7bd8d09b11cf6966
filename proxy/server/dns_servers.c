/* SPDX-License-Identifier: Apache-2.0 */
/* From names in the configuration to servers in sets. Main thread. */
#include "server/dns_servers.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/dns_servers_impl.h"
#include "server/gateway.h"

/* An entry's servers are put into the sets at most that often: a service of hundreds of targets may
 * have hundreds of answers a second, and each new set is work for all threads. */
#define PUT_US UINT64_C(250000)

/* ---- What is wanted. ---- */

static void unwatch_targets(struct lt_name **targets, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (targets[i] != NULL) {
            lt_names_unwatch(targets[i]);
        }
    }
    lt_free(targets);
}

static void fini_want(struct lt_dns_want *want)
{
    unwatch_targets(want->targets, want->n_targets);
    if (want->name != NULL) {
        lt_names_unwatch(want->name);
    }
    lt_free((char *)(uintptr_t)want->upstream.p);
    lt_free((char *)(uintptr_t)want->source.p);
    lt_free((char *)(uintptr_t)want->host.p);
}

static void fini_wants(struct lt_dns_wants *wants)
{
    for (unsigned i = 0; i < wants->n; i++) {
        fini_want(&wants->v[i]);
    }
    lt_free(wants->v);
    *wants = (struct lt_dns_wants){.v = NULL};
}

static bool copy(struct lt_str s, struct lt_str *out)
{
    char *p = lt_malloc(s.len + 1);
    if (p == NULL) {
        return false;
    }
    memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    *out = lt_str(p, s.len);
    return true;
}

static bool init_want(struct lt_dns_servers *dns, struct lt_dns_want *want, struct lt_str upstream,
                      const struct lt_server_conf *conf)
{
    char text[LT_ENDPOINT_TEXT_MAX];
    size_t n = lt_endpoint_print(&conf->address, text);
    *want = (struct lt_dns_want){.kind = conf->address.kind,
                                 .port = conf->address.port,
                                 .max = (uint32_t)conf->max,
                                 .max_connections = (uint32_t)conf->max_connections,
                                 .backup = conf->backup,
                                 .weight = (uint32_t)conf->weight,
                                 .dirty = true,
                                 .renamed = conf->address.kind == LT_ENDPOINT_SRV};
    if (!copy(upstream, &want->upstream) || !copy(lt_str(text, n), &want->source) ||
        !copy(lt_endpoint_host(&conf->address), &want->host)) {
        return false;
    }
    want->name =
        lt_names_watch(dns->names, want->kind == LT_ENDPOINT_SRV ? LT_LOOKUP_SRV : LT_LOOKUP_HOST,
                       conf->address.name);
    return want->name != NULL;
}

static unsigned count_names(const struct lt_conf_map *upstreams)
{
    unsigned n = 0;
    for (size_t i = 0; i < upstreams->n; i++) {
        const struct lt_upstream_conf *u = upstreams->entries[i].value;
        const struct lt_server_conf *servers = u->servers.items;
        for (size_t j = 0; j < u->servers.n; j++) {
            n += servers[j].address.kind != LT_ENDPOINT_ADDR;
        }
    }
    return n;
}

static enum lt_err set_options(struct lt_dns_servers *dns, const struct lt_snapshot *s)
{
    struct lt_names_options options;
    lt_resolver_conf_options(&s->root->conf->resolver, &options);
    dns->servers_max = options.addresses_max;
    return lt_names_set_options(dns->names, &options);
}

static enum lt_err init_wants(struct lt_dns_servers *dns, const struct lt_snapshot *s,
                              struct lt_dns_wants *out)
{
    const struct lt_conf_map *upstreams = &s->root->conf->upstreams;
    unsigned n = count_names(upstreams);
    *out = (struct lt_dns_wants){.v = NULL};
    if (n == 0) {
        return LT_OK;
    }
    out->v = lt_calloc(n, sizeof(*out->v));
    if (out->v == NULL || set_options(dns, s) != LT_OK) {
        return LT_ERR_NOMEM;
    }
    for (size_t i = 0; i < upstreams->n; i++) {
        const struct lt_upstream_conf *u = upstreams->entries[i].value;
        const struct lt_server_conf *servers = u->servers.items;
        for (size_t j = 0; j < u->servers.n; j++) {
            if (servers[j].address.kind == LT_ENDPOINT_ADDR) {
                continue;
            }
            out->n++;
            if (!init_want(dns, &out->v[out->n - 1], upstreams->entries[i].key, &servers[j])) {
                return LT_ERR_NOMEM;
            }
        }
    }
    return LT_OK;
}

/* ---- From answers to servers. ---- */

/* Watches the targets that the SRV records have now, before it lets go of those they had. */
static void watch_targets(struct lt_dns_servers *dns, struct lt_dns_want *want)
{
    const struct lt_dns_records *records = &want->name->records;
    struct lt_name **targets =
        want->renamed ? lt_calloc(records->n, sizeof(struct lt_name *)) : NULL;
    if (targets == NULL) {
        return; /* they are the same, or the next answer tries again */
    }
    want->renamed = false;
    for (unsigned i = 0; i < records->n; i++) {
        char name[LT_DNS_NAME_MAX + 2];
        /* A target is a whole name: no search list. */
        int n = snprintf(name, sizeof(name), "%s.", records->v[i].target);
        targets[i] = lt_names_watch(dns->names, LT_LOOKUP_HOST, lt_str(name, (size_t)n));
    }
    unwatch_targets(want->targets, want->n_targets);
    want->targets = targets;
    want->n_targets = records->n;
}

/* The servers of one entry. */
struct found {
    struct lt_server_entry *v; /* owned */
    unsigned n, max, left_out; /* left_out: there was no room for so many more */
};

static void add_host(const struct lt_dns_want *want, const struct lt_name *name,
                     const struct lt_server_entry *like, struct found *out)
{
    for (unsigned i = 0; i < name->records.n; i++) {
        if (out->n == out->max) {
            out->left_out += name->records.n - i;
            return;
        }
        struct lt_server_entry *e = &out->v[out->n++];
        *e = *like;
        e->address = name->records.v[i].addr;
        e->max = want->max;
        e->max_connections = want->max_connections;
        e->backup = like->backup || want->backup;
        e->host = want->host;
        lt_addr_set_port(&e->address,
                         want->kind == LT_ENDPOINT_SRV ? lt_addr_port(&like->address) : want->port);
    }
}

/* The records come by priority: the first ones that have addresses are in use, all others stand by.
 */
static void add_service(const struct lt_dns_want *want, struct found *out)
{
    const struct lt_dns_records *records = &want->name->records;
    unsigned used = 0;
    for (unsigned i = 0; i < lt_min(records->n, want->n_targets); i++) {
        const struct lt_dns_record *r = &records->v[i];
        if (want->targets[i] == NULL) {
            continue;
        }
        used = out->n == 0 ? r->priority : used;
        struct lt_server_entry like = {.address = {.in = {.sin_family = AF_INET}},
                                       .weight = lt_max(r->weight, (uint16_t)1),
                                       .backup = out->n > 0 && r->priority != used};
        lt_addr_set_port(&like.address, r->port);
        add_host(want, want->targets[i], &like, out);
    }
}

static void tell_left_out(struct lt_dns_want *want, const struct found *found)
{
    if (found->left_out > 0 && found->left_out != want->left_out) {
        lt_log_warn("resolver", "dns_too_many_addresses", LT_KV_STR("dns_name", want->source),
                    LT_KV_INT("left_out", found->left_out), LT_KV_INT("max", found->max),
                    LT_KV_CSTR("hint", "resolver.max_addresses"));
    }
    want->left_out = found->left_out;
}

/* Why an upstream of nothing but this name would have no server. */
static const char *why_none(const struct lt_dns_want *want)
{
    const struct lt_name *name = want->name;
    for (unsigned i = 0; name->why == NULL && i < want->n_targets; i++) {
        name = want->targets[i] != NULL ? want->targets[i] : name;
    }
    if (name->records.absent) {
        return "the domain says that there is no such service (SRV target \".\")";
    }
    return name->why != NULL ? name->why : "no answer yet";
}

/* Since when an answer is missed that would give its first address; 0: there is one, or it is sure
 * that there is none. */
static uint64_t missed_since(const struct lt_dns_want *want)
{
    uint64_t since = 0;
    if (!want->name->known) {
        return want->name->denied ? 0 : want->name->watched_us;
    }
    for (unsigned i = 0; i < want->n_targets; i++) {
        const struct lt_name *target = want->targets[i];
        if (target != NULL && target->known) {
            return 0;
        }
        if (target != NULL && !target->denied) {
            since = lt_max(since, target->watched_us);
        }
    }
    return since;
}

/* For the workers that find no server: why, and whether waiting may help. */
static void tell_why(struct lt_dns_servers *dns, const struct lt_dns_want *want)
{
    struct lt_upstream_state *state;
    uint64_t since = 0;
    for (unsigned i = 0; i < dns->now.n; i++) {
        if (lt_str_eq(dns->now.v[i].upstream, want->upstream)) {
            since = lt_max(since, missed_since(&dns->now.v[i]));
        }
    }
    if (lt_upstream_registry_get(dns->gateway->upstreams, want->upstream, &state) == LT_OK) {
        /* Relaxed: the text is static. Release: who sees that nothing is missed sees the set. */
        atomic_store_explicit(&state->dns_why, why_none(want), memory_order_relaxed);
        atomic_store_explicit(&state->dns_since_us, since, memory_order_release);
    }
}

static bool settled_name(const struct lt_name *name)
{
    return name == NULL || name->known || name->failures > 0;
}

/* Whether all that it leads to was looked up, well or not. */
static bool settled_want(const struct lt_dns_want *want)
{
    bool all = settled_name(want->name);
    for (unsigned i = 0; all && i < want->n_targets; i++) {
        all = settled_name(want->targets[i]);
    }
    return all;
}

/* Puts the servers of one name into the sets. What isn't known yet, or never was, leaves them as
 * they are: new targets of a service are looked up before the old ones go. */
static void put_set(struct lt_dns_servers *dns, struct lt_dns_want *want)
{
    struct found found = {.max = dns->servers_max};
    found.v = lt_calloc(found.max, sizeof(*found.v));
    if (found.v != NULL && want->kind == LT_ENDPOINT_SRV) {
        add_service(want, &found);
    } else if (found.v != NULL) {
        add_host(want, want->name, &(struct lt_server_entry){.weight = want->weight}, &found);
    }
    tell_left_out(want, &found);
    enum lt_err err = found.v != NULL ? LT_OK : LT_ERR_NOMEM;
    if (found.n > 0 || (err == LT_OK && want->name->records.absent)) {
        err =
            lt_server_sets_put(dns->gateway->sets, want->upstream, want->source, found.v, found.n);
        want->put_us = dns->gateway->loop->now_us;
    }
    if (err != LT_OK) {
        lt_log_error("resolver", "servers_not_taken", LT_KV_STR("upstream", want->upstream),
                     LT_KV_STR("dns_name", want->source), LT_KV_CSTR("why", lt_err_text(err)));
    }
    lt_free(found.v);
}

static void put(struct lt_dns_servers *dns, struct lt_dns_want *want)
{
    if (want->name->known && !want->renamed && settled_want(want)) {
        put_set(dns, want);
    }
    /* Last: while servers are on their way, requests have something to wait for. */
    tell_why(dns, want);
}

/* ---- Changes. ---- */

static bool settled(const struct lt_dns_wants *wants)
{
    for (unsigned i = 0; i < wants->n; i++) {
        if (!settled_want(&wants->v[i])) {
            return false;
        }
    }
    return true;
}

static void stop_waiting(struct lt_dns_servers *dns)
{
    void (*fn)(struct lt_gateway *) = dns->fn;
    dns->fn = NULL;
    lt_timer_clear(&dns->wait);
    if (fn != NULL) {
        fn(dns->gateway);
    }
}

/* Looks at what has changed, but for entries that were put a moment ago: those later, once, with
 * whatever their last answer is by then. */
static void look_at(struct lt_dns_servers *dns, struct lt_dns_wants *wants)
{
    uint64_t now = dns->gateway->loop->now_us, next = UINT64_MAX;
    for (unsigned i = 0; i < wants->n; i++) {
        struct lt_dns_want *want = &wants->v[i];
        if (!want->dirty) {
            continue;
        }
        if (want->put_us != 0 && now < want->put_us + PUT_US) {
            next = lt_min(next, want->put_us + PUT_US);
            continue;
        }
        want->dirty = false;
        if (want->kind == LT_ENDPOINT_SRV) {
            watch_targets(dns, want);
        }
        if (wants == &dns->now) {
            put(dns, want);
        }
    }
    if (next != UINT64_MAX) {
        lt_timer_set(&dns->again, (next - now) / 1000 + 1);
    }
}

static void update(void *arg)
{
    struct lt_dns_servers *dns = arg;
    look_at(dns, &dns->now);
    look_at(dns, &dns->next);
    if (dns->fn != NULL && settled(&dns->next)) {
        stop_waiting(dns);
    }
}

static void mark(struct lt_dns_wants *wants, const struct lt_name *name)
{
    for (unsigned i = 0; i < wants->n; i++) {
        struct lt_dns_want *want = &wants->v[i];
        want->renamed |= want->name == name && want->kind == LT_ENDPOINT_SRV;
        want->dirty |= want->name == name;
        for (unsigned j = 0; j < want->n_targets && !want->dirty; j++) {
            want->dirty = want->targets[j] == name;
        }
    }
}

/* Many may change in one turn: the sets are made once, at its end. */
static void on_change(void *owner, struct lt_name *name)
{
    struct lt_dns_servers *dns = owner;
    mark(&dns->now, name);
    mark(&dns->next, name);
    lt_loop_defer(dns->gateway->loop, &dns->update, update, dns);
}

static void on_wait(void *arg)
{
    struct lt_dns_servers *dns = arg;
    for (unsigned i = 0; i < dns->next.n; i++) {
        const struct lt_dns_want *want = &dns->next.v[i];
        if (!settled_name(want->name)) {
            lt_log_warn("resolver", "dns_not_waited_for", LT_KV_STR("upstream", want->upstream),
                        LT_KV_STR("dns_name", want->source));
        }
    }
    stop_waiting(dns);
}

/* ---- Reload. ---- */

struct lt_dns_servers *lt_dns_servers_new(struct lt_gateway *gateway)
{
    struct lt_dns_servers *dns = lt_calloc(1, sizeof(*dns));
    if (dns == NULL) {
        return NULL;
    }
    dns->gateway = gateway;
    dns->names = lt_names_new(gateway->loop, on_change, dns);
    if (dns->names == NULL) {
        lt_free(dns);
        return NULL;
    }
    lt_timer_init(&dns->wait, gateway->loop, on_wait, dns);
    lt_timer_init(&dns->again, gateway->loop, update, dns);
    return dns;
}

void lt_dns_servers_free(struct lt_dns_servers *dns)
{
    if (dns == NULL) {
        return;
    }
    fini_wants(&dns->now);
    fini_wants(&dns->next);
    fini_wants(&dns->old);
    lt_loop_cancel(&dns->update);
    lt_timer_fini(&dns->wait);
    lt_timer_fini(&dns->again);
    lt_names_free(dns->names);
    lt_free(dns);
}

enum lt_err lt_dns_servers_prepare(struct lt_dns_servers *dns, const struct lt_snapshot *next,
                                   void (*fn)(struct lt_gateway *gateway))
{
    enum lt_err err = init_wants(dns, next, &dns->next);
    if (err != LT_OK) {
        return err;
    }
    look_at(dns, &dns->next); /* what is known already */
    dns->fn = fn;
    if (settled(&dns->next)) {
        stop_waiting(dns);
    } else {
        lt_timer_set(&dns->wait, next->root->conf->resolver.start_wait_ms);
    }
    return LT_OK;
}

void lt_dns_servers_hurry(struct lt_dns_servers *dns)
{
    stop_waiting(dns);
}

void lt_dns_servers_discard(struct lt_dns_servers *dns, const struct lt_snapshot *current)
{
    bool looked = dns->next.v != NULL;
    dns->fn = NULL;
    lt_timer_clear(&dns->wait);
    fini_wants(&dns->next);
    if (looked && dns->now.n > 0 && set_options(dns, current) != LT_OK) {
        lt_log_error("resolver", "options_kept", LT_KV_CSTR("why", "out of memory"));
    }
}

void lt_dns_servers_commit(struct lt_dns_servers *dns)
{
    dns->old = dns->now;
    dns->now = dns->next;
    dns->next = (struct lt_dns_wants){.v = NULL};
    for (unsigned i = 0; i < dns->now.n; i++) {
        put(dns, &dns->now.v[i]);
    }
}

static bool is_wanted(const struct lt_dns_wants *wants, const struct lt_dns_want *want)
{
    for (unsigned i = 0; i < wants->n; i++) {
        if (lt_str_eq(wants->v[i].upstream, want->upstream) &&
            lt_str_eq(wants->v[i].source, want->source)) {
            return true;
        }
    }
    return false;
}

void lt_dns_servers_take_up(struct lt_dns_servers *dns)
{
    for (unsigned i = 0; i < dns->old.n; i++) {
        if (!is_wanted(&dns->now, &dns->old.v[i])) {
            lt_server_sets_drop(dns->gateway->sets, dns->old.v[i].upstream, dns->old.v[i].source);
        }
    }
    fini_wants(&dns->old);
}
