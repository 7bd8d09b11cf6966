/* SPDX-License-Identifier: Apache-2.0 */
/* Names, counters and noted keys of limits (limits.h). Counters of a worker are written by that
 * worker only, so a load and a store add to them; they are relaxed, since each is a number on its
 * own. */
#include "shared/limits.h"

#include <pthread.h>

#include "base/addr.h"
#include "base/mem.h"
#include "shared/metrics.h"

#define WAYS 8u

_Static_assert(LT_LIMIT_KEYS % WAYS == 0, "sets of keys");

struct lt_limits_worker {
    _Atomic(uint64_t) events[LT_LIMITS_MAX][LT_LIMIT_EVENTS];
};

struct lt_limits {
    struct lt_rate_table *rate;
    struct lt_hold_table holds;
    unsigned n_workers;
    pthread_mutex_t names_lock; /* of rows: the loader's, workers' while they prepare, main's */
    unsigned n_rows;            /* 0 included, "other" */
    struct row {
        char name[LT_LIMIT_NAME_MAX + 1];
        struct lt_limit_spec spec;
    } rows[LT_LIMITS_MAX];
    pthread_mutex_t keys_lock; /* workers only try */
    struct lt_limit_noted keys[LT_LIMIT_KEYS];
    struct lt_limits_worker workers[];
};

size_t lt_limits_bytes(const struct lt_limits *limits)
{
    return sizeof(*limits) + limits->n_workers * sizeof(limits->workers[0]);
}

struct lt_limits *lt_limits_new(struct lt_rate_table *rate, unsigned n_workers)
{
    struct lt_limits *limits =
        lt_calloc(1, sizeof(*limits) + n_workers * sizeof(limits->workers[0]));
    if (limits == NULL) {
        return NULL;
    }
    limits->rate = rate;
    limits->n_workers = n_workers;
    limits->n_rows = 1;
    memcpy(limits->rows[0].name, "other", sizeof("other"));
    pthread_mutex_init(&limits->names_lock, NULL);
    pthread_mutex_init(&limits->keys_lock, NULL);
    return limits;
}

void lt_limits_free(struct lt_limits *limits)
{
    if (limits != NULL) {
        pthread_mutex_destroy(&limits->names_lock);
        pthread_mutex_destroy(&limits->keys_lock);
        lt_free(limits);
    }
}

struct lt_hold_table *lt_limits_holds(struct lt_limits *limits)
{
    return &limits->holds;
}

struct lt_limits_worker *lt_limits_for_worker(struct lt_limits *limits, unsigned worker)
{
    return &limits->workers[worker];
}

unsigned lt_limits_row(struct lt_limits *limits, struct lt_str name,
                       const struct lt_limit_spec *spec)
{
    unsigned row = 1;
    name.len = lt_min(name.len, (size_t)LT_LIMIT_NAME_MAX);
    pthread_mutex_lock(&limits->names_lock);
    while (row < limits->n_rows && !lt_str_eq_c(name, limits->rows[row].name)) {
        row++;
    }
    if (row < LT_LIMITS_MAX) {
        memcpy(limits->rows[row].name, name.p, name.len);
        limits->rows[row].spec = *spec;
        limits->n_rows = lt_max(limits->n_rows, row + 1);
    }
    pthread_mutex_unlock(&limits->names_lock);
    return row < LT_LIMITS_MAX ? row : 0;
}

void lt_limits_count(struct lt_limits_worker *w, unsigned row, enum lt_limit_event event)
{
    _Atomic(uint64_t) *c = &w->events[row][event];
    uint64_t n = atomic_load_explicit(c, memory_order_relaxed);
    atomic_store_explicit(c, n + 1, memory_order_relaxed);
}

struct lt_hash_seed lt_limit_seed(const struct lt_rate_table *rate, uint64_t scope, unsigned which)
{
    return (struct lt_hash_seed){rate->seed.k0 ^ scope,
                                 rate->seed.k1 ^ which * UINT64_C(0x9e3779b97f4a7c15)};
}

struct lt_str lt_limit_key(struct lt_str key, unsigned ipv6_prefix, char *space)
{
    struct lt_addr addr;
    struct lt_cidr block = {.bits = ipv6_prefix};
    size_t slash = key.len;
    /* A colon among the first five bytes tells nearly all other keys apart. */
    if (key.len < 2 || key.len > LT_ADDR_TEXT_MAX ||
        memchr(key.p, ':', lt_min(key.len, (size_t)5)) == NULL) {
        return key;
    }
    if (memchr(key.p, '/', key.len) != NULL) { /* as we print it */
        slash = lt_str_chr(key, '/', 0);
    }
    if (lt_addr_parse_ip(lt_str_sub(key, 0, slash), &addr) != LT_OK ||
        addr.sa.sa_family != AF_INET6) {
        return key;
    }
    memcpy(block.ip, &addr.in6.sin6_addr, sizeof(block.ip));
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = ipv6_prefix > i * 8 ? lt_min(ipv6_prefix - i * 8, 8u) : 0;
        block.ip[i] &= (unsigned char)(0xff00 >> kept);
    }
    return lt_str(space, lt_cidr_print(&block, space));
}

/* The place of a key: its own, else the one of its set that was seen longest ago. */
static struct lt_limit_noted *place(struct lt_limits *limits, unsigned row, struct lt_str key)
{
    struct lt_hash_seed seed = lt_limit_seed(limits->rate, row, 0);
    uint64_t set = lt_hash(&seed, key) % (LT_LIMIT_KEYS / WAYS);
    struct lt_limit_noted *found = &limits->keys[set * WAYS];
    for (unsigned i = 0; i < WAYS; i++) {
        struct lt_limit_noted *n = &limits->keys[set * WAYS + i];
        if (n->seen_us > 0 && n->row == row && lt_str_eq(lt_str(n->key, n->len), key)) {
            return n;
        }
        if (n->seen_us < found->seen_us) {
            found = n;
        }
    }
    *found = (struct lt_limit_noted){.row = row, .len = (unsigned)key.len};
    memcpy(found->key, key.p, key.len);
    return found;
}

void lt_limits_note(struct lt_limits *limits, unsigned row, struct lt_str key, uint32_t remaining,
                    bool refused, uint64_t now_us)
{
    if (key.len == 0 || key.len > LT_LIMIT_KEY_MAX || row == 0 ||
        pthread_mutex_trylock(&limits->keys_lock) != 0) {
        return;
    }
    struct lt_limit_noted *n = place(limits, row, key);
    n->remaining = remaining;
    n->refused += refused;
    n->seen_us = now_us;
    pthread_mutex_unlock(&limits->keys_lock);
}

/* ---- For the operator. ---- */

bool lt_limits_view(struct lt_limits *limits, unsigned row, struct lt_limit_view *view)
{
    pthread_mutex_lock(&limits->names_lock);
    bool there = row < limits->n_rows;
    view->row = row;
    if (there) {
        memcpy(view->name, limits->rows[row].name, sizeof(view->name));
        view->spec = limits->rows[row].spec;
    }
    pthread_mutex_unlock(&limits->names_lock);
    for (unsigned e = 0; there && e < LT_LIMIT_EVENTS; e++) {
        view->events[e] = 0;
        for (unsigned i = 0; i < limits->n_workers; i++) {
            view->events[e] +=
                atomic_load_explicit(&limits->workers[i].events[row][e], memory_order_relaxed);
        }
    }
    return there;
}

/* The key's hash for `which` of the limit. */
static uint64_t hash_of(const struct lt_limits *limits, const struct lt_limit_view *view,
                        struct lt_str key, unsigned which)
{
    char space[LT_ADDR_TEXT_MAX];
    uint64_t scope = lt_hash(&limits->rate->seed, lt_str_c(view->name));
    struct lt_hash_seed seed = lt_limit_seed(limits->rate, scope, which);
    return lt_hash(&seed, lt_limit_key(key, view->spec.ipv6_prefix, space));
}

void lt_limits_look(const struct lt_limits *limits, const struct lt_limit_view *view,
                    struct lt_str key, uint64_t now_us, struct lt_limit_state *state)
{
    for (unsigned i = 0; i < view->spec.n_windows; i++) {
        lt_rate_look(limits->rate, hash_of(limits, view, key, i), now_us, &view->spec.windows[i], 1,
                     &state->windows[i]);
    }
    state->in_flight =
        lt_hold_count(&limits->holds, hash_of(limits, view, key, LT_LIMIT_IN_FLIGHT));
}

void lt_limits_forget(struct lt_limits *limits, const struct lt_limit_view *view, struct lt_str key)
{
    for (unsigned i = 0; i < view->spec.n_windows; i++) {
        lt_rate_forget(limits->rate, hash_of(limits, view, key, i));
    }
    char space[LT_ADDR_TEXT_MAX];
    key = lt_limit_key(key, view->spec.ipv6_prefix, space);
    pthread_mutex_lock(&limits->keys_lock);
    for (unsigned i = 0; i < LT_LIMIT_KEYS; i++) {
        struct lt_limit_noted *n = &limits->keys[i];
        if (n->row == view->row && lt_str_eq(lt_str(n->key, n->len), key)) {
            n->seen_us = 0;
        }
    }
    pthread_mutex_unlock(&limits->keys_lock);
}

unsigned lt_limits_noted(struct lt_limits *limits, struct lt_limit_noted *out)
{
    unsigned n = 0;
    pthread_mutex_lock(&limits->keys_lock);
    for (unsigned i = 0; i < LT_LIMIT_KEYS; i++) {
        if (limits->keys[i].seen_us > 0) {
            out[n++] = limits->keys[i];
        }
    }
    pthread_mutex_unlock(&limits->keys_lock);
    return n;
}

void lt_limits_write_metrics(struct lt_limits *limits, struct lt_buf *out)
{
    static const char *const names[] = {"passed", "refused", "would_refuse"};
    struct lt_limit_view view;
    lt_buf_printf(out, "# HELP lintel_limit_requests_total requests by limit and what it said\n"
                       "# TYPE lintel_limit_requests_total counter\n");
    for (unsigned row = 0; lt_limits_view(limits, row, &view); row++) {
        for (unsigned e = 0; e < LT_LIMIT_EVENTS; e++) {
            if (view.events[e] > 0) {
                lt_buf_printf(out, "lintel_limit_requests_total{limit=\"");
                lt_metrics_label(out, lt_str_c(view.name));
                lt_buf_printf(out, "\",result=\"%s\"} %llu\n", names[e],
                              (unsigned long long)view.events[e]);
            }
        }
    }
}
