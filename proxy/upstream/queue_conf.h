/* SPDX-License-Identifier: Apache-2.0 */
/* The options of an upstream's queue. Read by the loader; immutable afterwards. */
#ifndef LT_UPSTREAM_QUEUE_CONF_H
#define LT_UPSTREAM_QUEUE_CONF_H

#include "config/schema.h"
#include "upstream/upstream.h"

struct lt_queue_conf {
    struct lt_conf conf;
    int64_t size; /* exchanges that wait at once; 0: none may */
    uint64_t wait_ms, restart_ms, target_ms, interval_ms;
};

extern const struct lt_schema lt_queue_schema;

/* What the queue goes by. */
struct lt_queue_options lt_queue_conf_options(const struct lt_queue_conf *conf);

#endif
