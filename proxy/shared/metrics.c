/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms. A worker's rows are written by that worker alone, so adding is a relaxed
 * load and store, no locked instruction; a reader may see a row half a request old. Rows of other
 * workers lie in memory of their own, aligned to the cache line. */
#include "shared/metrics.h"

#include <pthread.h>

#include "base/map.h"
#include "base/mem.h"

typedef _Atomic(uint64_t) counter;

const uint64_t lt_metrics_bounds_us[LT_METRICS_BUCKETS - 1] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,   100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000};

/* Status classes: 0 = nothing was sent, else the first digit. */
#define CLASSES 6

static const char *const class_names[CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

struct histogram {
    counter buckets[LT_METRICS_BUCKETS];
    counter sum_us;
};

struct route_row {
    counter classes[CLASSES];
    struct histogram duration;
    counter bytes_in, bytes_out;
    counter causes[LT_CAUSE_COUNT];
};

struct server_row {
    counter classes[CLASSES];
    struct histogram duration;
    counter failures;
};

struct lt_metrics_worker {
    const struct lt_metrics *all;
    struct route_row *routes;   /* all->routes.max of them */
    struct server_row *servers; /* all->servers.max */
    counter counters[LT_COUNTER_COUNT];
    counter refusals[LT_REFUSAL_COUNT];
    struct histogram turns;
    counter turn_max_us;
};

/* Names of rows: id 0 is "other" for routes and "none" for servers. */
struct names {
    struct lt_map ids; /* "first\0second" to id; keys owned */
    uint32_t max;      /* ids there are, 0 included */
};

struct lt_metrics {
    pthread_mutex_t
        lock; /* of the names; the loader's and the scraping thread's, never a worker's */
    struct names routes, servers;
    unsigned n_workers;
    /* Made when first asked for. Release: whoever sees the pointer sees zeroed rows. */
    struct lt_metrics_worker *_Atomic workers[];
};

/* ---- Making. ---- */

/* Zeroed, on cache lines of its own; big arrays cost memory only where they are written to. */
static void *aligned_zalloc(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 2 * LT_CACHE_LINE) {
        return NULL;
    }
    char *raw = lt_calloc(1, bytes + 2 * LT_CACHE_LINE);
    if (raw == NULL) {
        return NULL;
    }
    /* The distance back to the block's start is kept in the word before. */
    char *p = raw + LT_CACHE_LINE - ((uintptr_t)raw % LT_CACHE_LINE);
    if (p - raw < (ptrdiff_t)sizeof(size_t)) {
        p += LT_CACHE_LINE;
    }
    size_t back = (size_t)(p - raw);
    memcpy(p - sizeof(back), &back, sizeof(back));
    return p;
}

static void aligned_free(void *p)
{
    if (p != NULL) {
        size_t back;
        memcpy(&back, (char *)p - sizeof(back), sizeof(back));
        lt_free((char *)p - back);
    }
}

static void worker_free(struct lt_metrics_worker *w)
{
    if (w != NULL) {
        aligned_free(w->routes);
        aligned_free(w->servers);
        aligned_free(w);
    }
}

static struct lt_metrics_worker *worker_new(const struct lt_metrics *m)
{
    struct lt_metrics_worker *w = aligned_zalloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    w->all = m;
    w->routes = aligned_zalloc(m->routes.max, sizeof(*w->routes));
    w->servers = aligned_zalloc(m->servers.max, sizeof(*w->servers));
    if (w->routes == NULL || w->servers == NULL) {
        worker_free(w);
        return NULL;
    }
    return w;
}

struct lt_metrics *lt_metrics_new(unsigned workers, unsigned routes_max, unsigned servers_max)
{
    struct lt_metrics *m = lt_calloc(1, sizeof(*m) + workers * sizeof(struct lt_metrics_worker *));
    if (m == NULL) {
        return NULL;
    }
    pthread_mutex_init(&m->lock, NULL);
    struct lt_hash_seed seed = lt_hash_seed_random();
    m->routes.max = routes_max + 1;
    m->servers.max = servers_max + 1;
    lt_map_init(&m->routes.ids, seed, routes_max);
    lt_map_init(&m->servers.ids, seed, servers_max);
    m->n_workers = workers;
    return m;
}

static void names_fini(struct names *names)
{
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&names->ids, &at)) != NULL;) {
        lt_free((void *)(uintptr_t)e->key.p);
    }
    lt_map_fini(&names->ids);
}

void lt_metrics_free(struct lt_metrics *m)
{
    if (m == NULL) {
        return;
    }
    for (unsigned i = 0; i < m->n_workers; i++) {
        worker_free(atomic_load_explicit(&m->workers[i], memory_order_acquire));
    }
    names_fini(&m->routes);
    names_fini(&m->servers);
    pthread_mutex_destroy(&m->lock);
    lt_free(m);
}

static struct lt_metrics_worker *worker_at(const struct lt_metrics *m, unsigned worker)
{
    return atomic_load_explicit(&m->workers[worker], memory_order_acquire);
}

struct lt_metrics_worker *lt_metrics_for_worker(struct lt_metrics *m, unsigned worker)
{
    if (worker >= m->n_workers) {
        return NULL;
    }
    pthread_mutex_lock(&m->lock);
    struct lt_metrics_worker *w = worker_at(m, worker);
    if (w == NULL) {
        w = worker_new(m);
        atomic_store_explicit(&m->workers[worker], w, memory_order_release);
    }
    pthread_mutex_unlock(&m->lock);
    return w;
}

static uint32_t name_id(struct lt_metrics *m, struct names *names, struct lt_str a, struct lt_str b)
{
    char *text = lt_malloc(a.len + 1 + b.len);
    if (text == NULL) {
        return 0;
    }
    if (a.len > 0) {
        memcpy(text, a.p, a.len);
    }
    text[a.len] = '\0';
    if (b.len > 0) {
        memcpy(text + a.len + 1, b.p, b.len);
    }
    struct lt_str key = lt_str(text, a.len + 1 + b.len);
    pthread_mutex_lock(&m->lock);
    uintptr_t id = (uintptr_t)lt_map_get(&names->ids, key);
    if (id == 0) {
        id = names->ids.live + 1;
        if (lt_map_set(&names->ids, key, (void *)id) == LT_OK) {
            text = NULL;
        } else {
            id = 0;
        }
    }
    pthread_mutex_unlock(&m->lock);
    lt_free(text);
    return (uint32_t)id;
}

uint32_t lt_metrics_route_id(struct lt_metrics *m, struct lt_str site, struct lt_str route)
{
    return name_id(m, &m->routes, site, route);
}

uint32_t lt_metrics_server_id(struct lt_metrics *m, struct lt_str upstream, struct lt_str server)
{
    return name_id(m, &m->servers, upstream, server);
}

/* ---- Counting; the worker's thread. ---- */

static inline uint64_t get(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, get(c) + n, memory_order_relaxed);
}

static void observe(struct histogram *h, uint64_t us)
{
    unsigned i = 0;
    while (i < LT_METRICS_BUCKETS - 1 && us > lt_metrics_bounds_us[i]) {
        i++;
    }
    add(&h->buckets[i], 1);
    add(&h->sum_us, us);
}

/* Whether the cause says that the server or the way to it failed. */
static bool blames_server(enum lt_cause cause)
{
    if (cause == LT_CAUSE_CLIENT_GONE || cause == LT_CAUSE_CLIENT_WRITE_TIMEOUT) {
        return false;
    }
    enum lt_stage stage = lt_cause_info(cause)->stage;
    return stage >= LT_STAGE_CONNECT && stage <= LT_STAGE_RELAY;
}

void lt_metrics_add_exchange(struct lt_metrics_worker *w, const struct lt_metrics_exchange *e)
{
    unsigned status_class = e->status / 100 < CLASSES ? e->status / 100 : 0;
    struct route_row *route = &w->routes[e->route_id < w->all->routes.max ? e->route_id : 0];
    add(&route->classes[status_class], 1);
    observe(&route->duration, e->duration_us);
    add(&route->bytes_in, e->bytes_in);
    add(&route->bytes_out, e->bytes_out);
    if (e->cause != LT_CAUSE_NONE && e->cause < LT_CAUSE_COUNT) {
        add(&route->causes[e->cause], 1);
    }
    if (e->server_id == 0 || e->server_id >= w->all->servers.max) {
        return;
    }
    struct server_row *server = &w->servers[e->server_id];
    add(&server->classes[status_class], 1);
    observe(&server->duration, e->upstream_us);
    if (e->cause < LT_CAUSE_COUNT && blames_server(e->cause)) {
        add(&server->failures, 1);
    }
}

void lt_metrics_add_turn(struct lt_metrics_worker *w, uint64_t us)
{
    observe(&w->turns, us);
    if (us > get(&w->turn_max_us)) {
        atomic_store_explicit(&w->turn_max_us, us, memory_order_relaxed);
    }
}

void lt_metrics_add(struct lt_metrics_worker *w, enum lt_counter c, int64_t n)
{
    add(&w->counters[c], (uint64_t)n);
}

const struct lt_refusal_info *lt_refusal_info(enum lt_refusal refusal)
{
    static const struct lt_refusal_info infos[LT_REFUSAL_COUNT] = {
        [LT_REFUSAL_NONE] = {"none", "", ""},
#define X(id, name, text, hint) [LT_REFUSAL_##id] = {name, text, hint},
#include "shared/refusal.def"
#undef X
    };
    return &infos[refusal];
}

void lt_metrics_add_refusal(struct lt_metrics_worker *w, enum lt_refusal refusal)
{
    add(&w->counters[LT_COUNTER_TLS_FAILED], 1);
    add(&w->refusals[refusal], 1);
}

uint64_t lt_metrics_sum(const struct lt_metrics *m, enum lt_counter c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < m->n_workers; i++) {
        const struct lt_metrics_worker *w = worker_at(m, i);
        sum += w != NULL ? get(&w->counters[c]) : 0;
    }
    return sum;
}

void lt_metrics_server_time(const struct lt_metrics *m, uint32_t server_id, uint64_t *exchanges,
                            uint64_t *sum_us)
{
    *exchanges = *sum_us = 0;
    for (unsigned i = 0; server_id < m->servers.max && i < m->n_workers; i++) {
        const struct lt_metrics_worker *w = worker_at(m, i);
        const struct histogram *h = w != NULL ? &w->servers[server_id].duration : NULL;
        for (unsigned j = 0; h != NULL && j < LT_METRICS_BUCKETS; j++) {
            *exchanges += get(&h->buckets[j]);
        }
        *sum_us += h != NULL ? get(&h->sum_us) : 0;
    }
}

/* ---- Writing. ---- */

/* A label value: the text format escapes backslash, quote and line feed; control bytes, which no
 * name should have, become '?'. */
void lt_metrics_label(struct lt_buf *out, struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\\' || c == '"') {
            lt_buf_char(out, '\\');
            lt_buf_char(out, (char)c);
        } else {
            lt_buf_char(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
        }
    }
}

/* One kind of row: how to find a counter in it and what its labels are called. */
struct rows {
    const struct lt_metrics *m;
    const struct names *names;
    bool servers;
    const char *label_a, *label_b;
};

/* NULL: the worker has no rows yet. */
static const char *row_base(const struct rows *rows, unsigned worker, uint32_t id)
{
    const struct lt_metrics_worker *w = worker_at(rows->m, worker);
    if (w == NULL) {
        return NULL;
    }
    return rows->servers ? (const char *)&w->servers[id] : (const char *)&w->routes[id];
}

/* The counter at offset of row id, all workers. */
static uint64_t sum_at(const struct rows *rows, uint32_t id, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < rows->m->n_workers; i++) {
        const char *row = row_base(rows, i, id);
        sum += row != NULL ? get((const counter *)(const void *)(row + offset)) : 0;
    }
    return sum;
}

/* "lintel_name{a="x",b="y"" without the closing brace. */
static void sample_start(struct lt_buf *out, const struct rows *rows, const char *name,
                         const char *suffix, uint32_t id, struct lt_str key)
{
    struct lt_str a = LT_STR("other"), b = LT_STR("other");
    if (id > 0) {
        size_t cut = lt_str_chr(key, '\0', 0);
        a = lt_str_sub(key, 0, cut);
        b = lt_str_sub(key, cut + 1, key.len);
    }
    lt_buf_printf(out, "lintel_%s%s{%s=\"", name, suffix, rows->label_a);
    lt_metrics_label(out, a);
    lt_buf_printf(out, "\",%s=\"", rows->label_b);
    lt_metrics_label(out, b);
    lt_buf_char(out, '"');
}

static void end_sample(struct lt_buf *out, uint64_t n)
{
    lt_buf_printf(out, "} %llu\n", (unsigned long long)n);
}

/* n counters from offset on, each a sample with one more label (NULL: none), zeros left out. */
static void write_counters(struct lt_buf *out, const struct rows *rows, const char *name,
                           size_t offset, unsigned n, const char *label,
                           const char *(*value)(unsigned i))
{
    size_t at = 0;
    struct lt_str key = LT_STR_NONE;
    for (uint32_t id = 0; id <= rows->names->ids.live; id++) {
        if (id > 0) {
            key = lt_map_next(&rows->names->ids, &at)->key;
        }
        for (unsigned i = 0; i < n; i++) {
            uint64_t sum = sum_at(rows, id, offset + i * sizeof(counter));
            if (sum == 0) {
                continue;
            }
            sample_start(out, rows, name, "", id, key);
            if (label != NULL) {
                lt_buf_printf(out, ",%s=\"%s\"", label, value(i));
            }
            end_sample(out, sum);
        }
    }
}

/* The upper bound of a bucket as the value of the label "le", and how many are up to there. */
static void end_bucket(struct lt_buf *out, unsigned i, uint64_t below)
{
    if (i < LT_METRICS_BUCKETS - 1) {
        lt_buf_printf(out, "le=\"%g\"", (double)lt_metrics_bounds_us[i] / 1e6);
    } else {
        lt_buf_printf(out, "le=\"+Inf\"");
    }
    end_sample(out, below);
}

static void write_histogram(struct lt_buf *out, const struct rows *rows, const char *name,
                            uint32_t id, struct lt_str key, size_t offset)
{
    uint64_t buckets[LT_METRICS_BUCKETS], count = 0;
    for (unsigned i = 0; i < LT_METRICS_BUCKETS; i++) {
        buckets[i] =
            sum_at(rows, id, offset + offsetof(struct histogram, buckets) + i * sizeof(counter));
        count += buckets[i];
    }
    if (count == 0) {
        return;
    }
    uint64_t below = 0;
    for (unsigned i = 0; i < LT_METRICS_BUCKETS; i++) {
        below += buckets[i];
        sample_start(out, rows, name, "_bucket", id, key);
        lt_buf_char(out, ',');
        end_bucket(out, i, below);
    }
    sample_start(out, rows, name, "_sum", id, key);
    lt_buf_printf(out, "} %.6f\n",
                  (double)sum_at(rows, id, offset + offsetof(struct histogram, sum_us)) / 1e6);
    sample_start(out, rows, name, "_count", id, key);
    end_sample(out, count);
}

static void write_histograms(struct lt_buf *out, const struct rows *rows, const char *name,
                             size_t offset)
{
    size_t at = 0;
    write_histogram(out, rows, name, 0, LT_STR_NONE, offset);
    for (uint32_t id = 1; id <= rows->names->ids.live; id++) {
        write_histogram(out, rows, name, id, lt_map_next(&rows->names->ids, &at)->key, offset);
    }
}

static void type_line(struct lt_buf *out, const char *name, const char *type, const char *doc)
{
    lt_buf_printf(out, "# HELP lintel_%s %s\n# TYPE lintel_%s %s\n", name, doc, name, type);
}

static const char *class_name(unsigned i)
{
    return class_names[i];
}

static const char *cause_name(unsigned i)
{
    return lt_cause_info((enum lt_cause)i)->name;
}

static void write_routes(const struct lt_metrics *m, struct lt_buf *out)
{
    struct rows rows = {.m = m, .names = &m->routes, .label_a = "site", .label_b = "route"};
    type_line(out, "requests_total", "counter", "exchanges by class of the status sent");
    write_counters(out, &rows, "requests_total", offsetof(struct route_row, classes), CLASSES,
                   "status", class_name);
    type_line(out, "request_duration_seconds", "histogram",
              "from the first byte of the request to the end of the response");
    write_histograms(out, &rows, "request_duration_seconds", offsetof(struct route_row, duration));
    type_line(out, "request_body_bytes_total", "counter", "body bytes received from clients");
    write_counters(out, &rows, "request_body_bytes_total", offsetof(struct route_row, bytes_in), 1,
                   NULL, NULL);
    type_line(out, "response_body_bytes_total", "counter", "body bytes sent to clients");
    write_counters(out, &rows, "response_body_bytes_total", offsetof(struct route_row, bytes_out),
                   1, NULL, NULL);
    type_line(out, "causes_total", "counter", "exchanges that did not end well, by cause");
    write_counters(out, &rows, "causes_total", offsetof(struct route_row, causes), LT_CAUSE_COUNT,
                   "cause", cause_name);
}

static void write_servers(const struct lt_metrics *m, struct lt_buf *out)
{
    struct rows rows = {
        .m = m, .names = &m->servers, .servers = true, .label_a = "upstream", .label_b = "server"};
    type_line(out, "upstream_requests_total", "counter",
              "exchanges by the last server tried and class of the status sent");
    write_counters(out, &rows, "upstream_requests_total", offsetof(struct server_row, classes),
                   CLASSES, "status", class_name);
    type_line(out, "upstream_duration_seconds", "histogram",
              "from the connect to the end of the server's response");
    write_histograms(out, &rows, "upstream_duration_seconds",
                     offsetof(struct server_row, duration));
    type_line(out, "upstream_failures_total", "counter", "exchanges that failed at the server");
    write_counters(out, &rows, "upstream_failures_total", offsetof(struct server_row, failures), 1,
                   NULL, NULL);
}

/* Of all workers; the longest by worker. */
static void write_turns(const struct lt_metrics *m, struct lt_buf *out)
{
    uint64_t below = 0, sum_us = 0;
    type_line(out, "turn_seconds", "histogram",
              "turns of the workers' loops: for as long other connections of the worker waited");
    for (unsigned i = 0; i < LT_METRICS_BUCKETS; i++) {
        for (unsigned j = 0; j < m->n_workers; j++) {
            const struct lt_metrics_worker *w = worker_at(m, j);
            below += w != NULL ? get(&w->turns.buckets[i]) : 0;
            sum_us += w != NULL && i == 0 ? get(&w->turns.sum_us) : 0;
        }
        lt_buf_printf(out, "lintel_turn_seconds_bucket{");
        end_bucket(out, i, below);
    }
    lt_buf_printf(out, "lintel_turn_seconds_sum %.6f\nlintel_turn_seconds_count %llu\n",
                  (double)sum_us / 1e6, (unsigned long long)below);
    type_line(out, "turn_max_seconds", "gauge", "the longest turn since the gateway began");
    for (unsigned j = 0; j < m->n_workers; j++) {
        const struct lt_metrics_worker *w = worker_at(m, j);
        if (w != NULL && get(&w->turn_max_us) > 0) { /* else the rows are not a worker's */
            lt_buf_printf(out, "lintel_turn_max_seconds{worker=\"%u\"} %.6f\n", j,
                          (double)get(&w->turn_max_us) / 1e6);
        }
    }
}

static void write_refusals(const struct lt_metrics *m, struct lt_buf *out)
{
    type_line(out, "tls_failures_total", "counter", "TLS handshakes that failed, by reason");
    for (unsigned i = 1; i < LT_REFUSAL_COUNT; i++) {
        uint64_t sum = 0;
        for (unsigned j = 0; j < m->n_workers; j++) {
            const struct lt_metrics_worker *w = worker_at(m, j);
            sum += w != NULL ? get(&w->refusals[i]) : 0;
        }
        if (sum > 0) {
            lt_buf_printf(out, "lintel_tls_failures_total{reason=\"%s\"} %llu\n",
                          lt_refusal_info((enum lt_refusal)i)->name, (unsigned long long)sum);
        }
    }
}

void lt_metrics_write(const struct lt_metrics *m, struct lt_buf *out)
{
#define X(id, name, type, doc)                                                                     \
    type_line(out, name, type, doc);                                                               \
    lt_buf_printf(out, "lintel_%s %lld\n", name, (long long)lt_metrics_sum(m, LT_COUNTER_##id));
#include "shared/counter.def"
#undef X
    write_refusals(m, out);
    write_turns(m, out);
    /* The lock is not part of what the caller sees change. */
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&m->lock;
    pthread_mutex_lock(lock);
    write_routes(m, out);
    write_servers(m, out);
    pthread_mutex_unlock(lock);
}
