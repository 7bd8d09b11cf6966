/* SPDX-License-Identifier: Apache-2.0 */
/* The limits that filters keep, as the operator sees them: a row per name with its settings and
 * counts, and the keys that are near their limit or over it. What is counted for keys themselves
 * lies in the rate table and the hold table, which know hashes only; the text of a key is noted
 * here when it gets interesting. Lives as long as the gateway.
 *
 * Rows are made while a configuration is prepared; requests add to counters of their own worker and
 * note keys under a lock that is tried and never waited for. */
#ifndef LT_SHARED_LIMITS_H
#define LT_SHARED_LIMITS_H

#include "base/buf.h"
#include "base/str.h"
#include "shared/hold_table.h"
#include "shared/rate_table.h"

/* Windows that one limit has at most. */
#define LT_LIMIT_WINDOWS_MAX 8u
/* Names; what comes after them is counted together, as "other". */
#define LT_LIMITS_MAX 256u
#define LT_LIMIT_NAME_MAX 100u
/* Keys noted, and bytes that are kept of the text of one. */
#define LT_LIMIT_KEYS 2048u
#define LT_LIMIT_KEY_MAX 80u

struct lt_limits;
struct lt_limits_worker; /* one worker's counters */

/* Settings of a limit. */
struct lt_limit_spec {
    struct lt_rate_limit windows[LT_LIMIT_WINDOWS_MAX];
    unsigned n_windows;
    uint32_t in_flight;   /* most requests in flight; 0: any number */
    unsigned ipv6_prefix; /* bits by which keys that are IPv6 addresses are told apart */
    bool dry_run;
    char rates[160]; /* the windows as people write them; cut off where it is too long */
    bool fleet;      /* counted in Redis: the rate table has only what was counted without it */
};

enum lt_limit_event { LT_LIMIT_PASSED, LT_LIMIT_REFUSED, LT_LIMIT_WOULD_REFUSE, LT_LIMIT_EVENTS };

/* n_workers: of them for_worker is asked. Borrows rate. NULL without memory. Returns owned. */
struct lt_limits *lt_limits_new(struct lt_rate_table *rate, unsigned n_workers) LT_MUST_CHECK;
void lt_limits_free(struct lt_limits *limits);
/* Bytes that it takes. */
size_t lt_limits_bytes(const struct lt_limits *limits);
/* Where the requests in flight are counted; to be initialised by whoever made limits. */
struct lt_hold_table *lt_limits_holds(struct lt_limits *limits);

struct lt_limits_worker *lt_limits_for_worker(struct lt_limits *limits, unsigned worker);

/* The row of a name, from 1 on, with its settings from now on; 0: there are too many. Any thread,
 * not on the request path. */
unsigned lt_limits_row(struct lt_limits *limits, struct lt_str name,
                       const struct lt_limit_spec *spec);

/* A worker counts. */
void lt_limits_count(struct lt_limits_worker *w, unsigned row, enum lt_limit_event event);

/* What a key is hashed with: those of a name are apart from others, and `which` (a window's number,
 * LT_LIMIT_IN_FLIGHT) tells counts of one key apart. */
#define LT_LIMIT_IN_FLIGHT LT_LIMIT_WINDOWS_MAX
struct lt_hash_seed lt_limit_seed(const struct lt_rate_table *rate, uint64_t scope, unsigned which);

/* The key as it is counted: an IPv6 address becomes its block, written to space
 * (LT_ADDR_TEXT_MAX). */
struct lt_str lt_limit_key(struct lt_str key, unsigned ipv6_prefix, char *space);

/* Notes the text of a key of this row (keys longer than LT_LIMIT_KEY_MAX are not noted); remaining:
 * of its narrowest window. Skipped when another thread does the same. */
void lt_limits_note(struct lt_limits *limits, unsigned row, struct lt_str key, uint32_t remaining,
                    bool refused, uint64_t now_us);

/* ---- For the operator. Main thread. ---- */

struct lt_limit_view {
    unsigned row;
    char name[LT_LIMIT_NAME_MAX + 1];
    struct lt_limit_spec spec;
    uint64_t events[LT_LIMIT_EVENTS];
};

/* A copy of the row; false: there is none of that number. They begin at 1; 0 counts what has none.
 */
bool lt_limits_view(struct lt_limits *limits, unsigned row,
                    struct lt_limit_view *view) LT_MUST_CHECK;

/* What a key has of one limit now. */
struct lt_limit_state {
    struct lt_rate_result windows[LT_LIMIT_WINDOWS_MAX]; /* allowed: one more request is */
    uint32_t in_flight;
};

void lt_limits_look(const struct lt_limits *limits, const struct lt_limit_view *view,
                    struct lt_str key, uint64_t now_us, struct lt_limit_state *state);
/* Forgets what was counted of key, but for what is in flight. */
void lt_limits_forget(struct lt_limits *limits, const struct lt_limit_view *view,
                      struct lt_str key);

struct lt_limit_noted {
    unsigned row;
    uint32_t remaining; /* when it was noted last */
    uint32_t refused;   /* since it is noted */
    uint64_t seen_us;   /* monotonic; 0: nothing is here */
    unsigned len;
    char key[LT_LIMIT_KEY_MAX];
};

/* The keys that were noted, in no order; room for LT_LIMIT_KEYS. Gives how many. */
unsigned lt_limits_noted(struct lt_limits *limits, struct lt_limit_noted *out);

/* Prometheus text. */
void lt_limits_write_metrics(struct lt_limits *limits, struct lt_buf *out);

#endif
