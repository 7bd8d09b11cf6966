/* SPDX-License-Identifier: Apache-2.0 */
/* The options of TLS towards the servers of an upstream. Read by the loader; immutable afterwards.
 */
#ifndef LT_NET_TLS_CLIENT_CONF_H
#define LT_NET_TLS_CLIENT_CONF_H

#include "base/map.h"
#include "config/schema.h"
#include "net/tls_client.h"

enum lt_tls_client_version { LT_TLS_CLIENT_1_2, LT_TLS_CLIENT_1_3 };

struct lt_tls_client_conf {
    struct lt_conf conf;
    bool enabled;
    bool verify;
    struct lt_str ca;               /* file; empty: what the system trusts */
    struct lt_str server_name;      /* empty: not written */
    struct lt_conf_list pin;        /* struct lt_str, "sha256/BASE64" */
    struct lt_str certificate, key; /* files, both or none */
    int min_version;                /* enum lt_tls_client_version */
    int64_t sessions;
};

extern const struct lt_schema lt_tls_client_schema;

/* The authorities of one load by their files: many upstreams trust the same. */
struct lt_tls_trust_cache {
    struct lt_map map; /* file to struct lt_tls_trust, owned */
};

void lt_tls_trust_cache_init(struct lt_tls_trust_cache *cache, const struct lt_schema_load *load);
/* Lets go of them; whoever got one has it still. */
void lt_tls_trust_cache_fini(struct lt_tls_trust_cache *cache);

/* The policy that conf asks for; what is wrong with its files is reported at its place. name: who
 * the servers are where conf doesn't say; empty: each its own. offer: enum lt_tls_offer. Returns
 * owned, or NULL. */
struct lt_tls_client_policy *
lt_tls_client_conf_load(struct lt_schema_load *load, const struct lt_tls_client_conf *conf,
                        struct lt_str name, unsigned offer,
                        struct lt_tls_trust_cache *cache) LT_MUST_CHECK;

#endif
