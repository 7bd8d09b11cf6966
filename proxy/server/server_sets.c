/* SPDX-License-Identifier: Apache-2.0 */
/* Sources, publishing, rounds. Main thread, but for visit(), which is the worker's. */
#include "server/server_sets.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/server_sets_impl.h"
#include "shared/shm.h"
#include "upstream/queue.h"
#include "upstream/server_set.h"

#define RECORDS_MAX 16384u
#define SOURCES_MAX 1024u

/* ---- Records. ---- */

static bool copy_str(struct lt_str s, struct lt_str *out)
{
    char *p = lt_malloc(s.len + 1);
    if (p == NULL) {
        return false;
    }
    if (s.len > 0) {
        memcpy(p, s.p, s.len);
    }
    p[s.len] = '\0';
    *out = lt_str(p, s.len);
    return true;
}

static void free_entries(struct lt_server_entry *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        lt_free((char *)v[i].host.p);
    }
    lt_free(v);
}

/* NULL without memory. */
static struct lt_server_entry *copy_entries(const struct lt_server_entry *v, unsigned n)
{
    struct lt_server_entry *copy = lt_calloc(n, sizeof(*copy));
    for (unsigned i = 0; copy != NULL && i < n; i++) {
        copy[i] = v[i];
        if (!copy_str(v[i].host, &copy[i].host)) {
            free_entries(copy, i);
            return NULL;
        }
    }
    return copy;
}

static void free_source(struct lt_sets_source *source)
{
    lt_list_remove(&source->link);
    lt_free((char *)source->name.p);
    free_entries(source->v, source->n);
    lt_free(source);
}

static void free_record(struct lt_sets_record *record)
{
    lt_list_each(it, tmp, &record->sources)
    {
        free_source(lt_container_of(it, struct lt_sets_source, link));
    }
    lt_sets_free_changes(record);
    lt_free((char *)record->name.p);
    lt_free(record);
}

struct lt_sets_record *lt_sets_record_of(struct lt_server_sets *sets, struct lt_str name)
{
    struct lt_sets_record *record = lt_map_get(&sets->records, name);
    if (record != NULL || (record = lt_calloc(1, sizeof(*record))) == NULL) {
        return record;
    }
    lt_list_init(&record->sources);
    lt_list_init(&record->changes);
    if (!copy_str(name, &record->name) ||
        lt_map_set(&sets->records, record->name, record) != LT_OK) {
        free_record(record);
        return NULL;
    }
    return record;
}

bool lt_sets_record_says(const struct lt_sets_record *record)
{
    return !lt_list_empty(&record->sources) || !lt_list_empty(&record->changes);
}

static struct lt_sets_source *find_source(const struct lt_sets_record *record, struct lt_str name)
{
    lt_list_each(it, tmp, &record->sources)
    {
        struct lt_sets_source *source = lt_container_of(it, struct lt_sets_source, link);
        if (lt_str_eq(source->name, name)) {
            return source;
        }
    }
    return NULL;
}

static struct lt_upstream *find_in(const struct lt_snapshot *s, struct lt_str name, unsigned *at)
{
    for (unsigned i = 0; s != NULL && i < s->n_upstreams; i++) {
        if (lt_str_eq(s->upstreams[i].name, name)) {
            *at = i;
            return &s->upstreams[i];
        }
    }
    return NULL;
}

struct lt_upstream *lt_server_sets_upstream(const struct lt_server_sets *sets, struct lt_str name)
{
    unsigned at;
    return find_in(sets->gateway->current, name, &at);
}

/* ---- Making sets. ---- */

static void set_admin(const struct lt_server *server, enum lt_server_admin admin)
{
    /* Relaxed: workers that must have seen it get a message. */
    atomic_store_explicit(&server->state->admin_state, (int)admin, memory_order_relaxed);
}

/* A set of these servers for upstream number i of s. */
static enum lt_err make_of(const struct lt_server_sets *sets, struct lt_snapshot *s, unsigned i,
                           const struct lt_server_spec *specs, unsigned n,
                           struct lt_server_set **out)
{
    const struct lt_server_set_env env = {.registry = sets->gateway->registry,
                                          .metrics = sets->gateway->metrics,
                                          .n_workers = s->n_workers};
    unsigned bad;
    enum lt_err err = lt_server_set_new(&env, &s->upstreams[i], specs, n, out, &bad);
    for (unsigned j = 0; err == LT_OK && j < n; j++) {
        set_admin(&(*out)->v[j], specs[j].admin);
    }
    return err;
}

/* The set that the record wants for upstream number i of s, with the operator's changes or without.
 */
static enum lt_err make_set(const struct lt_server_sets *sets, struct lt_snapshot *s, unsigned i,
                            const struct lt_sets_record *record, bool with_changes,
                            struct lt_server_set **out)
{
    struct lt_sets_merged m;
    enum lt_err err = lt_sets_merge(s->root->conf->upstreams.entries[i].value, record,
                                    sets->records.seed, with_changes, &m);
    if (err != LT_OK) {
        return err;
    }
    if (m.cut) {
        lt_log_warn("upstream", "servers_left_out", LT_KV_STR("upstream", record->name),
                    LT_KV_INT("used", m.n));
    }
    err = make_of(sets, s, i, m.v, m.n, out);
    lt_free(m.v);
    return err;
}

/* When the set that is wanted can't be made: the servers that the upstream of that name has now,
 * since what they need is theirs already; at the start those without the operator's changes. */
static enum lt_err make_instead(const struct lt_server_sets *sets, struct lt_snapshot *s,
                                unsigned i, const struct lt_sets_record *record,
                                struct lt_server_set **out)
{
    const struct lt_upstream *now = lt_server_sets_upstream(sets, record->name);
    if (now == NULL) {
        return make_set(sets, s, i, record, false, out);
    }
    const struct lt_server_set *set = lt_upstream_set(now);
    struct lt_server_spec *specs = lt_calloc(lt_max(set->n, 1u), sizeof(*specs));
    struct lt_addr ip;
    if (specs == NULL) {
        return LT_ERR_NOMEM;
    }
    for (unsigned j = 0; j < set->n; j++) {
        const struct lt_server *server = &set->v[j];
        bool has_name = server->ip.len > 0 && lt_addr_parse_ip(server->ip, &ip) != LT_OK;
        specs[j] = (struct lt_server_spec){.address = server->addr,
                                           .max = server->max,
                                           .max_connections = server->max_connections,
                                           .weight = server->weight,
                                           .backup = server->backup,
                                           .admin = lt_server_admin(server->state),
                                           .host = has_name ? server->ip : LT_STR_NONE,
                                           .source = server->source};
    }
    enum lt_err err = make_of(sets, s, i, specs, set->n, out);
    lt_free(specs);
    return err;
}

static bool lists(const struct lt_sets_source *source, const struct lt_addr *address)
{
    for (unsigned i = 0; i < source->n; i++) {
        if (lt_addr_eq(&source->v[i].address, address)) {
            return true;
        }
    }
    return false;
}

bool lt_sets_named(const struct lt_server_sets *sets, const struct lt_sets_record *record,
                   const struct lt_addr *address)
{
    unsigned at = 0;
    bool found = find_in(sets->gateway->current, record->name, &at) != NULL;
    const struct lt_upstream_conf *conf =
        found ? sets->gateway->current->root->conf->upstreams.entries[at].value : NULL;
    const struct lt_server_conf *servers = found ? conf->servers.items : NULL;
    for (size_t i = 0; found && i < conf->servers.n; i++) {
        if (lt_addr_eq(&servers[i].address.addr, address)) {
            return true;
        }
    }
    lt_list_each(it, tmp, &record->sources)
    {
        if (lists(lt_container_of(it, struct lt_sets_source, link), address)) {
            return true;
        }
    }
    return false;
}

static void log_not_taken(const struct lt_sets_record *record, enum lt_err err)
{
    lt_log_error("upstream", "servers_not_taken", LT_KV_STR("upstream", record->name),
                 LT_KV_CSTR("why", lt_err_text(err)),
                 LT_KV_CSTR("hint", err == LT_ERR_LIMIT
                                        ? "4096 servers with a max and 16384 in all are kept count "
                                          "of; the servers before this change stay"
                                        : "the servers before this change stay"));
}

/* ---- Publishing. ---- */

static void on_freed(void *owner)
{
    struct lt_gateway *g = owner;
    lt_server_sets_round(g->sets, NULL); /* some of its servers may be nobody's now */
}

static void publish(struct lt_gateway *g, struct lt_upstream *u, struct lt_server_set *set)
{
    struct lt_mailbox *boxes[LT_WORKERS_MAX];
    for (unsigned i = 0; i < g->n_workers; i++) {
        boxes[i] = g->workers[i]->box;
    }
    const struct lt_server_set_readers readers = {
        .boxes = boxes, .n = g->n_workers, .main = g->box, .on_freed = on_freed};
    lt_server_set_publish(u, set, &readers);
}

enum lt_err lt_sets_publish(struct lt_server_sets *sets, struct lt_sets_record *record)
{
    struct lt_gateway *g = sets->gateway;
    struct lt_server_set *set = NULL;
    unsigned at = 0;
    /* Without workers the snapshot is on its way, or gone. */
    struct lt_upstream *u =
        g->n_workers > 0 && !sets->building ? find_in(g->current, record->name, &at) : NULL;
    if (u == NULL) {
        record->changed = true;
        return LT_OK; /* its time comes with a configuration that has it */
    }
    enum lt_err err = make_set(sets, g->current, at, record, true, &set);
    if (err != LT_OK) {
        log_not_taken(record, err);
        return err;
    }
    record->changed = true; /* a snapshot that is taken up just now has a set of its own */
    publish(g, u, set);
    lt_metrics_add(g->own_metrics, LT_COUNTER_SERVER_SETS, 1);
    lt_probes_look(g->probes);
    lt_server_sets_round(sets, NULL);
    return LT_OK;
}

/* Where conf wants the operator's changes to be kept; true: that is another place. */
static bool set_state_file(struct lt_server_sets *sets, const struct lt_root_conf *conf)
{
    struct lt_str path = conf->admin.state_file, copy;
    if (lt_str_eq(path, sets->state_file) || !copy_str(path, &copy)) {
        return false;
    }
    lt_free((char *)sets->state_file.p);
    sets->state_file = copy;
    return true;
}

void lt_server_sets_begin(struct lt_server_sets *sets)
{
    sets->building = true;
}

/* Completes upstream number i of next, for which there is a record. */
static void build(struct lt_server_sets *sets, struct lt_snapshot *next, unsigned i,
                  struct lt_sets_record *record)
{
    struct lt_upstream *u = &next->upstreams[i];
    struct lt_server_set *set = NULL, *own = lt_upstream_set(u);
    record->changed = false;
    atomic_store_explicit(&u->state->paused, record->paused, memory_order_relaxed);
    if (!lt_sets_record_says(record)) {
        for (unsigned j = 0; j < own->n; j++) {
            set_admin(&own->v[j], LT_SERVER_READY); /* one that was removed is back */
        }
        return;
    }
    enum lt_err err = make_set(sets, next, i, record, true, &set);
    if (err != LT_OK) {
        log_not_taken(record, err);
        record->changed = true; /* tried again when the snapshot has been taken up */
        err = make_instead(sets, next, i, record, &set);
    }
    if (err == LT_OK) {
        lt_server_set_free(own);
        /* Relaxed: workers get the snapshot by a message. */
        atomic_store_explicit(&u->set, set, memory_order_relaxed);
    }
}

void lt_server_sets_build(struct lt_server_sets *sets, struct lt_snapshot *next)
{
    sets->building = false;
    if (sets->gateway->current == NULL && set_state_file(sets, next->root->conf)) {
        lt_sets_recall(sets);
    }
    for (unsigned i = 0; i < next->n_upstreams; i++) {
        struct lt_sets_record *record = lt_map_get(&sets->records, next->upstreams[i].name);
        if (record != NULL) {
            build(sets, next, i, record);
        }
    }
}

void lt_server_sets_take_up(struct lt_server_sets *sets)
{
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&sets->records, &at)) != NULL;) {
        struct lt_sets_record *record = e->value;
        if (record->changed) {
            enum lt_err err = lt_sets_publish(sets, record);
            (void)err; /* was logged */
        }
        record->changed = false;
    }
    if (set_state_file(sets, sets->gateway->current->root->conf)) {
        lt_sets_make_way(sets);
        lt_sets_remember(sets);
    }
    lt_server_sets_round(sets, NULL);
}

/* ---- Sources. ---- */

static bool same(const struct lt_sets_source *source, const struct lt_server_entry *v, unsigned n)
{
    bool equal = source->n == n;
    for (unsigned i = 0; equal && i < n; i++) {
        const struct lt_server_entry *a = &source->v[i], *b = &v[i];
        equal = lt_addr_eq(&a->address, &b->address) && a->max == b->max &&
                a->max_connections == b->max_connections && a->weight == b->weight &&
                a->backup == b->backup && lt_str_eq(a->host, b->host);
    }
    return equal;
}

static struct lt_sets_source *new_source(struct lt_sets_record *record, struct lt_str name)
{
    unsigned n = 0;
    lt_list_each(it, tmp, &record->sources)
    {
        n++;
    }
    struct lt_sets_source *source = n < SOURCES_MAX ? lt_calloc(1, sizeof(*source)) : NULL;
    if (source != NULL && !copy_str(name, &source->name)) {
        lt_free(source);
        return NULL;
    }
    if (source != NULL) {
        lt_list_push_back(&record->sources, &source->link);
    }
    return source;
}

enum lt_err lt_server_sets_put(struct lt_server_sets *sets, struct lt_str upstream,
                               struct lt_str name, const struct lt_server_entry *v, unsigned n)
{
    if (n > LT_SETS_SERVERS_MAX) {
        return LT_ERR_LIMIT;
    }
    struct lt_sets_record *record = lt_sets_record_of(sets, upstream);
    struct lt_sets_source *source = record != NULL ? find_source(record, name) : NULL;
    if (source != NULL && same(source, v, n)) {
        return LT_OK;
    }
    struct lt_server_entry *copy = record != NULL ? copy_entries(v, n) : NULL;
    bool is_new = source == NULL && copy != NULL;
    if (is_new) {
        source = new_source(record, name);
    }
    if (copy == NULL || source == NULL) {
        free_entries(copy, copy != NULL ? n : 0);
        return LT_ERR_NOMEM;
    }
    struct lt_sets_source before = *source;
    source->v = copy;
    source->n = n;
    enum lt_err err = lt_sets_publish(sets, record);
    if (err == LT_OK) {
        free_entries(before.v, before.n);
        return LT_OK;
    }
    free_entries(copy, n);
    source->v = before.v;
    source->n = before.n;
    if (is_new) {
        free_source(source);
    }
    return err;
}

void lt_server_sets_drop(struct lt_server_sets *sets, struct lt_str upstream, struct lt_str name)
{
    struct lt_sets_record *record = lt_map_get(&sets->records, upstream);
    struct lt_sets_source *source = record != NULL ? find_source(record, name) : NULL;
    if (source != NULL) {
        free_source(source);
        enum lt_err err = lt_sets_publish(sets, record);
        (void)err; /* was logged; the next change tries again */
    }
}

/* ---- Rounds. ---- */

static void start_round(struct lt_server_sets *sets);

static void tell(struct lt_list *waiters)
{
    for (struct lt_list *it; (it = lt_list_pop_front(waiters)) != NULL;) {
        struct lt_server_sets_waiter *w = lt_container_of(it, struct lt_server_sets_waiter, link);
        w->fn(w->arg);
    }
}

static void end_round(struct lt_server_sets *sets)
{
    lt_probes_sweep(sets->gateway->probes);
    unsigned freed = lt_server_registry_reclaim(sets->gateway->registry);
    if (freed > 0) {
        lt_log_debug("upstream", "servers_forgotten", LT_KV_INT("count", freed));
    }
    if (sets->gateway->n_workers > 0) {
        lt_sets_look_for_empty(sets);
    }
    tell(&sets->now);
    if (sets->again && sets->missing == 0) {
        start_round(sets);
    }
}

static void on_visited(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_server_sets *sets = lt_container_of(message, struct lt_sets_visit, message)->sets;
    if (--sets->missing == 0) {
        end_round(sets);
    }
}

/* The worker's thread, between two callbacks of its loop. */
static void visit(struct lt_message *message, void *owner)
{
    struct lt_worker *worker = owner;
    struct lt_sets_visit *v = lt_container_of(message, struct lt_sets_visit, message);
    for (uint32_t i = 0; i < v->n; i++) {
        lt_pools_count(worker->pools, i, &v->counts[i].active, &v->counts[i].idle);
    }
    lt_pools_sweep(worker->pools);
    lt_queues_look(worker->pools);
    message->fn = on_visited;
    lt_mailbox_post(worker->shared->main, message);
}

/* Room for the counts of n states; without memory nothing is counted. */
static void make_room(struct lt_sets_visit *v, uint32_t n)
{
    struct lt_server_count *counts = v->n < n ? lt_realloc(v->counts, n, sizeof(*counts)) : NULL;
    if (counts != NULL) {
        memset(counts + v->n, 0, (n - v->n) * sizeof(*counts));
        v->counts = counts;
        v->n = n;
    }
}

static void start_round(struct lt_server_sets *sets)
{
    struct lt_gateway *g = sets->gateway;
    uint32_t ids = lt_server_registry_ids(g->registry);
    sets->again = false;
    sets->rounds++;
    for (struct lt_list *it; (it = lt_list_pop_front(&sets->next)) != NULL;) {
        lt_list_push_back(&sets->now, it);
    }
    lt_server_registry_mark(g->registry);
    sets->missing = sets->n_visits = g->n_workers;
    for (unsigned i = 0; i < g->n_workers; i++) {
        struct lt_sets_visit *v = &sets->visits[i];
        v->sets = sets;
        v->message.fn = visit;
        make_room(v, ids);
        lt_mailbox_post(g->workers[i]->box, &v->message);
    }
}

void lt_server_sets_round(struct lt_server_sets *sets, struct lt_server_sets_waiter *waiter)
{
    if (waiter != NULL) {
        lt_list_push_back(&sets->next, &waiter->link);
    }
    if (sets->gateway->n_workers == 0) {
        tell(&sets->next); /* none runs: nothing to look at */
    } else if (sets->missing > 0) {
        sets->again = true;
    } else {
        start_round(sets);
    }
}

struct lt_server_count lt_server_sets_count(const struct lt_server_sets *sets,
                                            const struct lt_server_state *state)
{
    struct lt_server_count sum = {0};
    for (unsigned i = 0; i < sets->n_visits; i++) {
        const struct lt_sets_visit *v = &sets->visits[i];
        if (state->id < v->n) {
            sum.active += v->counts[state->id].active;
            sum.idle += v->counts[state->id].idle;
        }
    }
    return sum;
}

/* ---- Life. ---- */

static void on_look(void *arg)
{
    lt_server_sets_round(arg, NULL);
}

struct lt_server_sets *lt_server_sets_new(struct lt_gateway *gateway)
{
    struct lt_server_sets *sets = lt_calloc(1, sizeof(*sets));
    if (sets == NULL) {
        return NULL;
    }
    sets->gateway = gateway;
    lt_map_init(&sets->records, *lt_shm_seed(gateway->shm), RECORDS_MAX);
    lt_list_init(&sets->now);
    lt_list_init(&sets->next);
    lt_timer_init(&sets->look, gateway->loop, on_look, sets);
    return sets;
}

void lt_server_sets_free(struct lt_server_sets *sets)
{
    if (sets == NULL) {
        return;
    }
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&sets->records, &at)) != NULL;) {
        free_record(e->value);
    }
    lt_map_fini(&sets->records);
    for (unsigned i = 0; i < LT_WORKERS_MAX; i++) {
        lt_free(sets->visits[i].counts);
    }
    lt_timer_fini(&sets->look);
    lt_free((char *)sets->state_file.p);
    lt_free(sets);
}
