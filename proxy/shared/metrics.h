/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms: each worker has its own rows, written with relaxed stores by that worker
 * only and summed when somebody asks. Rows for routes and servers are handed out by name with a
 * hard limit; what exceeds it shares the row "other". */
#ifndef LT_SHARED_METRICS_H
#define LT_SHARED_METRICS_H

#include "base/buf.h"
#include "base/cause.h"

#include <stdatomic.h>

#define LT_METRICS_BUCKETS 16

/* Upper bounds of the duration histogram in microseconds; the last is open. */
extern const uint64_t lt_metrics_bounds_us[LT_METRICS_BUCKETS - 1];

struct lt_metrics;        /* all workers */
struct lt_metrics_worker; /* one worker's rows */

/* One exchange, when it is done. */
struct lt_metrics_exchange {
    uint32_t route_id;  /* 0 = none or other */
    uint32_t server_id; /* 0 = none */
    unsigned status;    /* as sent to the client; 0 = none */
    enum lt_cause cause;
    uint64_t duration_us;
    uint64_t upstream_us; /* connect until the end of the response; 0 = no server */
    uint64_t bytes_in, bytes_out;
};

/* Returns owned. routes_max and servers_max bound the labels. */
struct lt_metrics *lt_metrics_new(unsigned workers, unsigned routes_max,
                                  unsigned servers_max) LT_MUST_CHECK;
void lt_metrics_free(struct lt_metrics *m);
/* The rows of one worker, made when first asked for; NULL without memory, or when there are not so
 * many workers. */
struct lt_metrics_worker *lt_metrics_for_worker(struct lt_metrics *m, unsigned worker);

/* The id for a route or a server's row, stable over reloads; 0 ("other") when the table is full.
 * Thread-safe; never on the request path. Copies the names. */
uint32_t lt_metrics_route_id(struct lt_metrics *m, struct lt_str site, struct lt_str route);
uint32_t lt_metrics_server_id(struct lt_metrics *m, struct lt_str upstream, struct lt_str server);

void lt_metrics_add_exchange(struct lt_metrics_worker *w, const struct lt_metrics_exchange *e);

/* A turn of the worker's loop: for as long nothing else of the worker went on. */
void lt_metrics_add_turn(struct lt_metrics_worker *w, uint64_t us);

/* Plain counters, one row per name, from shared/counter.def. */
enum lt_counter {
#define X(id, name, type, doc) LT_COUNTER_##id,
#include "shared/counter.def"
#undef X
    LT_COUNTER_COUNT
};

void lt_metrics_add(struct lt_metrics_worker *w, enum lt_counter c, int64_t n);
uint64_t lt_metrics_sum(const struct lt_metrics *m, enum lt_counter c);

/* Exchanges that ended with this server as the last one tried, and their time there. */
void lt_metrics_server_time(const struct lt_metrics *m, uint32_t server_id, uint64_t *exchanges,
                            uint64_t *sum_us);

/* Why a TLS handshake with a client failed, from shared/refusal.def. */
enum lt_refusal {
    LT_REFUSAL_NONE,
#define X(id, name, text, hint) LT_REFUSAL_##id,
#include "shared/refusal.def"
#undef X
    LT_REFUSAL_COUNT
};

struct lt_refusal_info {
    const char *name, *text, *hint;
};

const struct lt_refusal_info *lt_refusal_info(enum lt_refusal refusal);
/* Counts a handshake that failed. */
void lt_metrics_add_refusal(struct lt_metrics_worker *w, enum lt_refusal refusal);

/* Prometheus text exposition of everything, prefix "lintel_". Any thread. */
void lt_metrics_write(const struct lt_metrics *m, struct lt_buf *out);

/* A label's value: what the format doesn't allow in it is escaped. */
void lt_metrics_label(struct lt_buf *out, struct lt_str value);

#endif
