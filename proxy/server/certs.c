/* SPDX-License-Identifier: Apache-2.0 */
/* Files that change under a configuration. */
#include "server/certs.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/gateway.h"

#define ARENA_MAX ((size_t)16 << 20)
#define TICKETS_CHECK_MS UINT64_C(60000)
#define DAY_MS UINT64_C(86400000)
/* How many looks a file may be bad before that is said: of a certificate and its key, which belong
 * together, one is written first. */
#define PATIENCE 3u
/* Series of one metric; what ends first of the others is told in one more. */
#define SERIES_MAX 1000u
/* Lines of one day's warnings. */
#define WARNINGS_MAX 100u

/* ---- What ends soon. ---- */

struct ending {
    const char *what;
    struct lt_str file;
    int64_t ends, soon_s;
};

static void log_ending(const struct ending *e, int64_t now_s)
{
    time_t seconds = (time_t)e->ends;
    struct tm tm;
    char date[32];
    int64_t left = e->ends - now_s;
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    lt_log_warn("tls", left > 0 ? "expires_soon" : "expired", LT_KV_CSTR("what", e->what),
                LT_KV_STR("file", e->file), LT_KV_CSTR("ends", date),
                LT_KV_INT("days_left", left / 86400),
                LT_KV_CSTR("hint", "renew it: the new file is taken up by itself"));
}

/* True: it ends soon. Revocation lists are made anew every few days: only those that ended count.
 */
static bool warn_one(const struct ending *e, int64_t now_s, unsigned before)
{
    bool soon = e->ends - now_s < e->soon_s;
    if (soon && before < WARNINGS_MAX) {
        log_ending(e, now_s);
    }
    return soon;
}

unsigned lt_certs_warn(const struct lt_tls_set *set, int64_t now_s)
{
    const struct lt_map_entry *entry;
    unsigned n = 0;
    for (size_t at = 0; (entry = lt_map_next(&set->pairs, &at)) != NULL;) {
        const struct lt_tls_pair *pair = entry->value;
        int64_t from = lt_tls_cert_not_before(pair->cert), to = lt_tls_cert_not_after(pair->cert);
        const struct ending e = {.what = "certificate",
                                 .file = pair->certificate,
                                 .ends = to,
                                 .soon_s = lt_min(LT_TLS_SOON_S, (to - from) / 3)};
        n += warn_one(&e, now_s, n);
    }
    for (unsigned i = 0; i < set->n_sites; i++) {
        const struct ending e = {
            .what = "revocation list", .file = set->crls[i].file, .ends = set->crls[i].ends};
        n += warn_one(&e, now_s, n);
    }
    return n;
}

static void on_warn(void *arg)
{
    struct lt_gateway *g = arg;
    lt_certs_warn(g->certs.set, (int64_t)(lt_clock_wall_us() / 1000000));
    lt_timer_set(&g->certs.warn, DAY_MS);
}

/* ---- Metrics. ---- */

struct series {
    struct lt_buf *out;
    const char *name;
    unsigned n;
    int64_t rest; /* what ends first of those that have no series */
};

static void begin_series(struct series *s, const char *name, const char *doc)
{
    s->name = name;
    s->n = 0;
    s->rest = INT64_MAX;
    lt_buf_printf(s->out, "# HELP lintel_%s %s\n# TYPE lintel_%s gauge\n", name, doc, name);
}

static void put_series(struct series *s, struct lt_str file, int64_t ends)
{
    lt_buf_printf(s->out, "lintel_%s{file=\"", s->name);
    lt_metrics_label(s->out, file);
    lt_buf_printf(s->out, "\"} %lld\n", (long long)ends);
}

static void add_series(struct series *s, struct lt_str file, int64_t ends)
{
    if (s->n++ < SERIES_MAX) {
        put_series(s, file, ends);
    } else {
        s->rest = lt_min(s->rest, ends);
    }
}

static void end_series(struct series *s)
{
    if (s->rest != INT64_MAX) {
        put_series(s, LT_STR("other"), s->rest);
    }
}

/* Two sites may name the same lists. */
static bool is_first(const struct lt_tls_set *set, unsigned number)
{
    for (unsigned i = 0; i < number && i < SERIES_MAX; i++) {
        if (lt_str_eq(set->crls[i].file, set->crls[number].file)) {
            return false;
        }
    }
    return set->crls[number].ends != INT64_MAX;
}

void lt_certs_write_metrics(const struct lt_certs *certs, struct lt_buf *out)
{
    const struct lt_tls_set *set = certs->set;
    struct series s = {.out = out};
    const struct lt_map_entry *entry;
    unsigned temporary = 0;
    if (set == NULL) {
        return;
    }
    begin_series(&s, "certificate_expiry_timestamp_seconds",
                 "when each certificate of sites ends to be valid");
    for (size_t at = 0; (entry = lt_map_next(&set->pairs, &at)) != NULL;) {
        const struct lt_tls_pair *pair = entry->value;
        add_series(&s, pair->certificate, lt_tls_cert_not_after(pair->cert));
        temporary += lt_tls_cert_is_temporary(pair->cert);
    }
    end_series(&s);
    lt_buf_printf(out,
                  "# HELP lintel_temporary_certificates certificates that stand in for missing "
                  "ones\n# TYPE lintel_temporary_certificates gauge\n"
                  "lintel_temporary_certificates %u\n",
                  temporary);
    begin_series(&s, "crl_expiry_timestamp_seconds", "when each revocation list is out of date");
    for (unsigned i = 0; i < set->n_sites; i++) {
        if (is_first(set, i)) {
            add_series(&s, set->crls[i].file, set->crls[i].ends);
        }
    }
    end_series(&s);
}

/* ---- Ticket keys. ---- */

static uint64_t ticket_check_ms(const struct lt_tls_tickets_conf *conf)
{
    return lt_min(conf->rotate_ms / 2, TICKETS_CHECK_MS);
}

/* conf: what serves, or is about to. */
static void renew_tickets(struct lt_gateway *g, const struct lt_tls_tickets_conf *conf,
                          const struct lt_tls_set *set)
{
    if (set->n_keys > 0) {
        if (lt_tickets_set(g->shm, set->keys, set->n_keys)) {
            lt_log_info("tls", "ticket_keys_read", LT_KV_STR("file", conf->file),
                        LT_KV_INT("keys", set->n_keys));
        }
    } else if (lt_tickets_rotate(g->shm, lt_clock_us(), conf->rotate_ms)) {
        lt_log_info("tls", "ticket_key_made");
    }
    lt_timer_set(&g->certs.tickets, ticket_check_ms(conf));
}

static void on_tickets(void *arg)
{
    struct lt_gateway *g = arg;
    renew_tickets(g, &g->current->root->conf->tls.tickets, g->certs.set);
}

/* ---- The watcher. ---- */

static void forget_complaints(struct lt_certs *c)
{
    if (c->complains) {
        lt_arena_fini(&c->arena);
        c->complains = false;
    }
}

static void read_anew(struct lt_certs *c)
{
    struct lt_tls_set_listener listeners[LT_SLOTS_MAX];
    forget_complaints(c);
    lt_arena_init(&c->arena, NULL, 0, ARENA_MAX);
    lt_diags_init(&c->diags, &c->arena);
    lt_load_init(&c->load, &c->arena, &c->diags);
    c->complains = true;
    struct lt_tls_set_spec spec = {.load = &c->load,
                                   .conf = c->snapshot->root->conf,
                                   .listeners = listeners,
                                   .n_listeners = lt_snapshot_tls_listeners(c->snapshot, listeners),
                                   .old = c->old};
    c->made = lt_tls_set_new(&spec);
    if (c->made != NULL && c->load.nomem) {
        lt_tls_set_free(c->made);
        c->made = NULL;
    }
}

static void on_looked(struct lt_message *message, void *owner);

static void *look(void *arg)
{
    struct lt_gateway *g = arg;
    struct lt_certs *c = &g->certs;
    unsigned char now[LT_TLS_DIGEST_LEN];
    pthread_setname_np(pthread_self(), "lintel-certs");
    lt_tls_set_look(c->snapshot->root->conf, now);
    bool changed = memcmp(now, c->old->digest, sizeof(now)) != 0;
    bool steady = memcmp(now, c->digest, sizeof(now)) == 0;
    memcpy(c->digest, now, sizeof(now));
    if (changed && steady) {
        read_anew(c);
    }
    lt_mailbox_post(g->box, &c->looked);
    return NULL;
}

static void let_go(struct lt_gateway *g)
{
    struct lt_certs *c = &g->certs;
    lt_tls_set_free(c->made); /* of a configuration that is gone */
    lt_tls_set_free(c->old);
    lt_gateway_put_snapshot(g, c->snapshot);
    c->made = c->old = NULL;
    c->snapshot = NULL;
    c->looking = false;
}

static void on_look(void *arg)
{
    struct lt_gateway *g = arg;
    struct lt_certs *c = &g->certs;
    uint64_t every_ms = g->current->root->conf->tls.watch_ms;
    if (every_ms == 0 || g->drain.state != LT_DRAIN_NONE) {
        return;
    }
    if (!c->looking) {
        c->snapshot = lt_gateway_hold_current(g);
        c->old = lt_tls_set_ref(c->set);
        c->looked.fn = on_looked;
        c->looking = true;
        if (pthread_create(&c->thread, NULL, look, g) != 0) {
            let_go(g); /* another time, then */
        }
    }
    lt_timer_set(&c->look, every_ms);
}

/* ---- Its answer. ---- */

static void say(struct lt_certs *c)
{
    lt_list_each(it, tmp, &c->diags.list)
    {
        const struct lt_diag *d = lt_container_of(it, struct lt_diag, link);
        bool error = d->severity == LT_SEV_ERROR;
        struct lt_str file = d->pos.source != NULL ? d->pos.source->name : LT_STR_NONE;
        lt_log_at(error ? LT_LOG_ERROR : LT_LOG_WARN, "tls",
                  error ? "changed_file_refused" : "changed_file_warning",
                  LT_KV_STR("config", file), LT_KV_INT("line", d->pos.line),
                  LT_KV_STR("message", d->message), LT_KV_STR("hint", d->hint),
                  LT_KV_CSTR("instead", error ? "what was there before is used" : ""));
    }
    forget_complaints(c);
}

static void on_renewed(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_worker_renewal *renewal = lt_container_of(message, struct lt_worker_renewal, message);
    lt_tls_set_free(renewal->set);
    lt_free(renewal);
}

static void give_to_workers(struct lt_gateway *g, struct lt_tls_set *set, bool policies)
{
    for (unsigned i = 0; i < g->n_workers; i++) {
        struct lt_worker_renewal *renewal = lt_calloc(1, sizeof(*renewal));
        if (renewal == NULL) {
            lt_log_error("tls", "not_taken_up", LT_KV_CSTR("why", "out of memory"));
            memset(set->digest, 0, sizeof(set->digest)); /* only main reads it: once more, then */
            return;
        }
        renewal->set = lt_tls_set_ref(set);
        renewal->snapshot = g->current;
        renewal->policies = policies;
        lt_worker_renew(g->workers[i], renewal, on_renewed);
    }
}

static void take_made(struct lt_gateway *g)
{
    struct lt_certs *c = &g->certs;
    bool policies = !lt_tls_set_same_policies(c->set, c->made);
    lt_tls_set_free(c->set);
    c->set = c->made;
    c->made = NULL;
    give_to_workers(g, c->set, policies);
    renew_tickets(g, &g->current->root->conf->tls.tickets, c->set);
    if (c->diags.errors == 0) {
        lt_log_info("tls", "files_taken_up", LT_KV_CSTR("policies", policies ? "changed" : "same"));
    }
    c->say_in = c->diags.errors > 0 ? PATIENCE : 1;
}

static void on_looked(struct lt_message *message, void *owner)
{
    (void)message;
    struct lt_gateway *g = owner;
    struct lt_certs *c = &g->certs;
    if (!c->looking) {
        return; /* lt_certs_stop has waited for it */
    }
    pthread_join(c->thread, NULL);
    bool current = c->snapshot == g->current;
    if (current && c->made != NULL) {
        take_made(g);
    } else if (!current || c->load.nomem) {
        forget_complaints(c); /* they point into what may be gone */
    }
    if (c->complains && --c->say_in == 0) {
        say(c);
    }
    let_go(g);
}

/* ---- Life. ---- */

void lt_certs_take_up(struct lt_gateway *g)
{
    struct lt_certs *c = &g->certs;
    const struct lt_tls_conf *conf = &g->current->root->conf->tls;
    if (c->set == NULL) {
        lt_timer_init(&c->look, g->loop, on_look, g);
        lt_timer_init(&c->tickets, g->loop, on_tickets, g);
        lt_timer_init(&c->warn, g->loop, on_warn, g);
    }
    if (!c->looking) {
        forget_complaints(c); /* the load has said what is wrong now */
    }
    lt_tls_set_free(c->set);
    c->set = lt_tls_set_ref(g->current->tls);
    renew_tickets(g, &conf->tickets, c->set);
    lt_timer_set(&c->warn, DAY_MS); /* the load has said what ends soon now */
    if (conf->watch_ms > 0 && c->set->any) {
        lt_timer_set(&c->look, conf->watch_ms);
    } else {
        lt_timer_clear(&c->look);
    }
}

void lt_certs_stop(struct lt_gateway *g)
{
    struct lt_certs *c = &g->certs;
    if (c->set == NULL) {
        return;
    }
    lt_timer_fini(&c->look);
    lt_timer_fini(&c->tickets);
    lt_timer_fini(&c->warn);
    if (c->looking) {
        pthread_join(c->thread, NULL);
        let_go(g);
    }
    forget_complaints(c);
    lt_tls_set_free(c->set);
    c->set = NULL;
}
