/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers are fit to take requests: the one place that says so. What is known lies in the
 * server's long-lived state, written when something changes and read, relaxed, by all workers.
 *
 *   checks (main)        --lt_server_set_checked--.
 *   requests (workers)   --lt_health_tell---------+--> struct lt_server_state --> lt_server_fit
 *   connects (both)      --lt_server_connect_result'
 */
#ifndef LT_UPSTREAM_HEALTH_H
#define LT_UPSTREAM_HEALTH_H

#include "base/cause.h"
#include "upstream/upstream.h"

/* What the checks say of a server. */
enum lt_checked {
    LT_CHECKED_NOT, /* no verdict yet, or it isn't checked: it counts as up */
    LT_CHECKED_UP,
    LT_CHECKED_DOWN
};

/* Why a server was ejected. */
enum lt_eject_why { LT_EJECT_ERRORS, LT_EJECT_RATE, LT_EJECT_LATENCY };

/* Best first: who may take more than the best asks for "at most". */
enum lt_fit {
    LT_FIT_UP,
    LT_FIT_DOUBTFUL, /* a connect failed a moment ago: after all that are up */
    LT_FIT_DOWN,     /* by its checks, or ejected: in panic only */
    LT_FIT_OUT       /* by the operator's wish: never */
};

/* now_us: monotonic. A few relaxed loads. Any thread. */
enum lt_fit lt_server_fit(const struct lt_server *server, uint64_t now_us);

/* Whether server is to be preferred to one that isn't up. */
bool lt_server_up(const struct lt_server *server, uint64_t now_us);

struct lt_fit_counts {
    unsigned n, up, doubtful, down, out;
};

/* How the servers of a set are. O(n). */
struct lt_fit_counts lt_fit_count(const struct lt_server_set *set, uint64_t now_us);

/* For a server that a set is made of, after its state was got from the registry: one that nobody
 * used before waits for its checks if `health.init` says so. */
void lt_health_begin(const struct lt_server *server);

/* Tells how a connect ended: a server that refused is tried last for a short while, growing. */
void lt_server_connect_result(struct lt_pools *pools, struct lt_server *server, bool ok);

/* Counts one check and gives the verdict that follows from it; *in_row: passed or failed ones in a
 * row, the last one being *last_ok, both kept by the caller. */
enum lt_checked lt_check_count(const struct lt_check_options *o, enum lt_checked now, bool ok,
                               bool *last_ok, unsigned *in_row);

/* The checks' verdict; main's thread. */
void lt_server_set_checked(struct lt_server_state *state, enum lt_checked checked, uint64_t now_us);

/* One try of an exchange at a server, when it is over. */
struct lt_try {
    unsigned status;     /* of its response; 0: none came */
    enum lt_cause cause; /* of the failure that is the server's own; NONE: it did what it should */
    uint64_t first_us;   /* from the pick to the first byte of the response; 0: none came */
    bool trial;          /* the breaker let it through to try */
};

/* Whether a failure is the server's own, not the client's, ours or a limit's. */
bool lt_health_blames(enum lt_cause cause);

/* Counts a try; may eject the server or open the breaker. Costs a few loads when nothing failed.
 * The worker's thread. */
void lt_health_tell(struct lt_pools *pools, struct lt_server *server, const struct lt_try *t);

/* Takes server out for a while, unless too many of its upstream's are; gives whether it did. Any
 * thread. */
bool lt_server_eject(const struct lt_server *server, enum lt_eject_why why, uint64_t now_us);

/* "errors", "rate", "latency". */
const char *lt_eject_why_name(enum lt_eject_why why);

#endif
