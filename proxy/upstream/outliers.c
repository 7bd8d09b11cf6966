/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/outliers.h"

#include <stdlib.h>

/* Fewer servers have no median worth comparing with. */
#define SERVERS_MIN 3u
/* Below that nobody is slow, whatever the others do. */
#define SLOW_MIN_US 10000u

void lt_outlier_start(struct lt_outlier_window *w, const struct lt_outlier_sums *total)
{
    lt_outlier_clear(w);
    w->last = *total;
}

void lt_outlier_step(struct lt_outlier_window *w, const struct lt_outlier_sums *total)
{
    w->at = (w->at + 1) % LT_OUTLIER_STEPS;
    w->steps[w->at] = (struct lt_outlier_sums){.tries = total->tries - w->last.tries,
                                               .bad = total->bad - w->last.bad,
                                               .first_us = total->first_us - w->last.first_us};
    w->last = *total;
}

void lt_outlier_clear(struct lt_outlier_window *w)
{
    for (unsigned i = 0; i < LT_OUTLIER_STEPS; i++) {
        w->steps[i] = (struct lt_outlier_sums){.tries = 0};
    }
}

struct lt_outlier_sums lt_outlier_sum(const struct lt_outlier_window *w)
{
    struct lt_outlier_sums sum = {.tries = 0};
    for (unsigned i = 0; i < LT_OUTLIER_STEPS; i++) {
        sum.tries += w->steps[i].tries;
        sum.bad += w->steps[i].bad;
        sum.first_us += w->steps[i].first_us;
    }
    return sum;
}

enum lt_outlier lt_outlier_judge(const struct lt_outlier_options *o,
                                 const struct lt_outlier_sums *sums, uint64_t median_us)
{
    if (sums->tries < o->requests) {
        return LT_OUTLIER_NO;
    }
    if (o->rate > 0 && sums->bad * 10000 >= sums->tries * o->rate) {
        return LT_OUTLIER_RATE;
    }
    uint64_t mean_us = sums->first_us / sums->tries;
    if (o->latency > 0 && median_us > 0 && mean_us >= SLOW_MIN_US &&
        mean_us >= median_us * o->latency) {
        return LT_OUTLIER_LATENCY;
    }
    return LT_OUTLIER_NO;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t lt_outlier_median(uint64_t *means_us, size_t n)
{
    if (n < SERVERS_MIN) {
        return 0;
    }
    qsort(means_us, n, sizeof(*means_us), compare);
    return lt_max(means_us[(n - 1) / 2], UINT64_C(1));
}
