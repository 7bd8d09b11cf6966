/* SPDX-License-Identifier: Apache-2.0 */
/* The options of balancing, `balance:` of an upstream. Read by the loader; immutable afterwards. */
#ifndef LT_UPSTREAM_BALANCE_CONF_H
#define LT_UPSTREAM_BALANCE_CONF_H

#include "config/schema.h"
#include "upstream/balance_options.h"

struct lt_sticky_cookie_conf {
    struct lt_conf conf;
    bool enabled;
    struct lt_str name, path;
    uint64_t ttl_ms; /* 0: until the browser ends */
    int same_site;   /* lax, strict, none */
    struct lt_str secret;
};

struct lt_balance_conf {
    struct lt_conf conf;
    int by; /* the order of enum lt_balance */
    struct lt_expr *hash;
    uint32_t bound;         /* hundredths of a percent; 0: none */
    uint64_t slow_start_ms; /* 0: none */
    uint32_t panic;         /* hundredths of a percent */
    uint64_t half_life_ms;  /* of latencies */
    struct lt_sticky_cookie_conf sticky;
};

extern const struct lt_schema lt_balance_schema;

/* Sets what follows from other keys: a hash is chosen by `hash`, the cookie switched on by what is
 * written of `sticky`. */
void lt_balance_conf_imply(struct lt_schema_load *load, struct lt_balance_conf *conf);

/* The options that conf says. seed: random, outlives the gateway; for what has no secret of its
 * own. LT_ERR_NOMEM. */
enum lt_err lt_balance_conf_set(struct lt_balance_options *options,
                                const struct lt_balance_conf *conf,
                                const struct lt_hash_seed *seed) LT_MUST_CHECK;

#endif
