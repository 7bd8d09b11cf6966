/* SPDX-License-Identifier: Apache-2.0 */
/* How an upstream chooses servers; part of struct lt_upstream. */
#ifndef LT_UPSTREAM_BALANCE_OPTIONS_H
#define LT_UPSTREAM_BALANCE_OPTIONS_H

#include "upstream/sticky.h"

enum lt_balance {
    LT_BALANCE_P2C,
    LT_BALANCE_ROUND_ROBIN,
    LT_BALANCE_LEAST_REQUESTS,
    LT_BALANCE_PEAK_EWMA,
    LT_BALANCE_HASH,
    LT_BALANCE_RANDOM
};

struct lt_expr;

struct lt_balance_options {
    enum lt_balance by;
    const struct lt_expr *hash; /* what is hashed; NULL: nothing */
    uint32_t bound;             /* most of the average load, hundredths of a percent; 0: no bound */
    uint32_t panic;             /* share of servers that must be up, hundredths of a percent */
    uint64_t slow_start_us;     /* until a server that came has its whole share; 0: at once */
    uint64_t half_life_us;      /* of what is remembered of latencies */
    struct lt_sticky_options sticky;
};

#endif
