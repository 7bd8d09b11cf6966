/* SPDX-License-Identifier: Apache-2.0 */
/* The options of one filter instance. The reserved keys are rows here; all other keys are the
 * filter's own settings and are read by its own schema. Immutable after the load. */
#ifndef LT_FILTERS_FILTER_CONF_H
#define LT_FILTERS_FILTER_CONF_H

#include "config/expr.h"
#include "config/schema.h"
#include "net/tls_client_conf.h"

enum lt_filter_on_error { LT_FILTER_CLOSED, LT_FILTER_OPEN };

struct lt_filter_budget {
    struct lt_conf conf;
    uint64_t cpu_ms;  /* per call */
    uint64_t wall_ms; /* per call, waiting included */
    uint64_t memory;  /* bytes per filter file and worker */
};

struct lt_filter_conf {
    struct lt_conf conf;  /* conf.node: the mapping with the filter's own keys among the others;
                           * a scalar when only the file is named */
    struct lt_str filter; /* name of the Lua file, without .lua */
    struct lt_expr *when; /* NULL: always */
    int on_error;         /* enum lt_filter_on_error; lt_schema_is_set says whether it is written:
                           * else the filter's own declaration counts */
    struct lt_filter_budget budget;
    struct lt_tls_client_conf tls; /* of what it asks by lintel.http; `enabled` means nothing */
};

extern const struct lt_schema lt_filter_schema;

/* Whether name is the name of a filter that may be installed, or the path of a file. */
bool lt_filter_conf_name_ok(struct lt_str name);

/* Whether key is one of the reserved keys. */
bool lt_filter_conf_reserved(struct lt_str key);

#endif
