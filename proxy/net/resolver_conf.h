/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `resolver`. Read by the loader; immutable afterwards. */
#ifndef LT_NET_RESOLVER_CONF_H
#define LT_NET_RESOLVER_CONF_H

#include "config/schema.h"
#include "net/names.h"

struct lt_resolver_conf {
    struct lt_conf conf;
    struct lt_conf_list servers;      /* struct lt_str: an IP address, perhaps with a port */
    struct lt_str resolv_conf, hosts; /* paths */
    int families;                     /* the order of enum lt_families */
    uint64_t timeout_ms;
    int64_t tries;
    int64_t max_queries;
    uint64_t min_ttl_ms, max_ttl_ms;
    uint64_t retry_ms, max_retry_ms;
    int64_t max_addresses;
    uint64_t start_wait_ms; /* for names that are new at start and reload */
};

extern const struct lt_schema lt_resolver_schema;

/* As options; they borrow from conf. */
void lt_resolver_conf_options(const struct lt_resolver_conf *conf, struct lt_names_options *out);

#endif
