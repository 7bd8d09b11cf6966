/* SPDX-License-Identifier: Apache-2.0 */
/* Which of an upstream's servers stand out by their share of errors or their latency. No clock and
 * no atomics: main brings the sums and does what is said. */
#ifndef LT_UPSTREAM_OUTLIERS_H
#define LT_UPSTREAM_OUTLIERS_H

#include "base/defs.h"
#include "upstream/health_options.h"

#include <stddef.h>

/* A window slides in so many steps. */
#define LT_OUTLIER_STEPS 10u

struct lt_outlier_sums {
    uint64_t tries, bad, first_us;
};

/* One server's window; zeroed is empty. */
struct lt_outlier_window {
    struct lt_outlier_sums steps[LT_OUTLIER_STEPS];
    struct lt_outlier_sums last; /* what was counted when the last step ended */
    unsigned at;
};

/* An empty window that begins now; total as in step. */
void lt_outlier_start(struct lt_outlier_window *w, const struct lt_outlier_sums *total);

/* A step is over; total: everything counted since the server is known. */
void lt_outlier_step(struct lt_outlier_window *w, const struct lt_outlier_sums *total);

/* What was counted starts anew: the server was ejected for it. */
void lt_outlier_clear(struct lt_outlier_window *w);

struct lt_outlier_sums lt_outlier_sum(const struct lt_outlier_window *w);

enum lt_outlier { LT_OUTLIER_NO, LT_OUTLIER_RATE, LT_OUTLIER_LATENCY };

/* Whether a server with these sums is to be ejected; median_us: of its upstream, 0: not known. */
enum lt_outlier lt_outlier_judge(const struct lt_outlier_options *o,
                                 const struct lt_outlier_sums *sums, uint64_t median_us);

/* The median of n mean latencies, which it puts into another order; 0 with too few. */
uint64_t lt_outlier_median(uint64_t *means_us, size_t n);

#endif
