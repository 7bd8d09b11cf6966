/* SPDX-License-Identifier: Apache-2.0 */
/* The rows `health`, `outliers` and `breaker` of an upstream. Loader thread. */
#ifndef LT_UPSTREAM_HEALTH_CONF_H
#define LT_UPSTREAM_HEALTH_CONF_H

#include "config/schema.h"
#include "upstream/health_options.h"

struct lt_check_conf {
    struct lt_conf conf;
    bool enabled;
    struct lt_str get; /* path; p == NULL: no HTTP check */
    bool tcp;
    struct lt_str grpc; /* service; p == NULL: no gRPC check */
    int method;         /* index in the row's choices */
    struct lt_str host;
    struct lt_conf_map headers; /* of struct lt_str */
    struct lt_conf_list expect; /* struct lt_str: "200", "200-299" */
    struct lt_str body, body_regex;
    uint64_t max_body;
    uint64_t every_ms, down_every_ms, timeout_ms;
    uint32_t jitter;
    int64_t fall, rise;
    int init; /* 0 up, 1 down */
};

struct lt_outlier_conf {
    struct lt_conf conf;
    bool enabled;
    struct lt_conf_list statuses;
    int64_t errors;
    uint32_t rate;
    int64_t latency;
    int64_t requests;
    uint64_t window_ms, time_ms, max_time_ms;
    uint32_t max_share;
};

struct lt_breaker_conf {
    struct lt_conf conf;
    bool enabled;
    struct lt_conf_list statuses;
    uint32_t rate;
    int64_t requests;
    uint64_t window_ms, open_ms;
    int64_t trials;
};

/* All three, a member of struct lt_upstream_conf. */
struct lt_health_conf {
    struct lt_check_conf check;
    struct lt_outlier_conf outliers;
    struct lt_breaker_conf breaker;
};

extern const struct lt_schema lt_check_schema, lt_outlier_schema, lt_breaker_schema;

/* The rows of the upstream; holder has the member `health`, a struct lt_health_conf. */
#define LT_HEALTH_ROWS(holder, its_levels)                                                         \
    {.name = "health",                                                                             \
     .type = LT_T_OBJECT,                                                                          \
     .offset = offsetof(holder, health.check),                                                     \
     .levels = (its_levels),                                                                       \
     .sub = &lt_check_schema,                                                                      \
     .doc = "Checks of the servers, made by Lintel whether there are requests or not. "            \
            "`health: /healthz` is the short form of `health: {get: /healthz}`.",                  \
     .since = "0.1"},                                                                              \
        {.name = "outliers",                                                                       \
         .type = LT_T_OBJECT,                                                                      \
         .offset = offsetof(holder, health.outliers),                                              \
         .levels = (its_levels),                                                                   \
         .sub = &lt_outlier_schema,                                                                \
         .doc =                                                                                    \
             "Takes servers out for a while whose requests fail or are slow, compared with the "   \
             "other servers. `outliers: true` is the short form.",                                 \
         .since = "0.1"},                                                                          \
    {                                                                                              \
        .name = "breaker", .type = LT_T_OBJECT, .offset = offsetof(holder, health.breaker),        \
        .levels = (its_levels), .sub = &lt_breaker_schema,                                         \
        .doc = "Refuses requests at once, with 503 and Retry-After, while too many of them fail: " \
               "an application that is overloaded gets time. `breaker: true` is the short form.",  \
        .since = "0.1"                                                                             \
    }

/* Sets what follows from other keys: what is written of `outliers` or `breaker` switches it on. */
void lt_health_conf_imply(struct lt_schema_load *load, struct lt_health_conf *conf);

/* Checks across rows, after defaults are in; http2: the upstream's servers speak it. */
void lt_health_conf_check(struct lt_schema_load *load, const struct lt_health_conf *conf,
                          bool http2);

/* What the snapshot keeps, in the load's arena. What is wrong is said. */
void lt_health_conf_build(struct lt_schema_load *load, const struct lt_health_conf *conf,
                          struct lt_health_options *out);

#endif
