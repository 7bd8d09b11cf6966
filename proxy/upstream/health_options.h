/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream's configuration says about the health of its servers, compiled: checks that we
 * make, servers ejected for what their requests show, and the circuit breaker. Part of the
 * snapshot. */
#ifndef LT_UPSTREAM_HEALTH_OPTIONS_H
#define LT_UPSTREAM_HEALTH_OPTIONS_H

#include "http/message.h"

struct lt_regex;

enum lt_check_kind {
    LT_CHECK_NO,   /* servers aren't checked */
    LT_CHECK_HTTP, /* a request, its status and body */
    LT_CHECK_TCP,  /* the connection, with its TLS handshake where there is one */
    LT_CHECK_GRPC  /* grpc.health.v1.Health/Check */
};

struct lt_status_range {
    unsigned from, to; /* both included */
};

struct lt_status_set {
    struct lt_status_range *v;
    unsigned n;
};

struct lt_check_field {
    struct lt_str name, value;
};

struct lt_check_options {
    enum lt_check_kind kind;
    enum lt_method method;
    struct lt_str target;  /* HTTP: path and query */
    struct lt_str host;    /* empty: the server's own */
    struct lt_str service; /* gRPC: empty is the whole server */
    struct lt_check_field *headers;
    unsigned n_headers;
    struct lt_status_set expect;
    struct lt_str body;             /* has to be in the response's body; empty: no matter */
    const struct lt_regex *pattern; /* has to match it; NULL: no matter */
    size_t body_max;                /* bytes of it that are looked at */
    uint64_t every_ms;              /* > 0 */
    uint64_t down_every_ms;         /* while the last check failed or the server is down */
    uint64_t timeout_ms;
    uint32_t jitter;     /* hundredths of a percent of the interval, either way */
    unsigned fall, rise; /* checks in a row, >= 1 */
    bool init_down;      /* a new server waits for its checks */
};

struct lt_outlier_options {
    bool enabled;
    struct lt_status_set statuses; /* of responses that count as errors */
    unsigned errors;               /* in a row; 0: no matter */
    uint32_t rate;                 /* of errors, hundredths of a percent; 0: no matter */
    unsigned latency;              /* times the median of the servers; 0: no matter */
    unsigned requests;             /* in the window, for rate and latency to mean something */
    uint64_t window_ms;
    uint64_t time_ms, max_time_ms; /* of an ejection: the first, the longest */
    uint32_t share;                /* of the upstream's servers, hundredths of a percent */
};

struct lt_breaker_options {
    bool enabled;
    struct lt_status_set statuses;
    uint32_t rate;     /* of errors, hundredths of a percent, > 0 */
    unsigned requests; /* in the window, for the rate to mean something */
    uint64_t window_ms, open_ms;
    unsigned trials; /* requests that have to do well before it closes, 1 to 255 */
};

struct lt_health_options {
    struct lt_check_options check;
    struct lt_outlier_options outliers;
    struct lt_breaker_options breaker;
};

static inline bool lt_status_set_has(const struct lt_status_set *set, unsigned status)
{
    for (unsigned i = 0; i < set->n; i++) {
        if (status >= set->v[i].from && status <= set->v[i].to) {
            return true;
        }
    }
    return false;
}

#endif
