/* SPDX-License-Identifier: Apache-2.0 */
/* The options of TLS: `tls` of a site (its certificates) and `tls` at the top (what holds for all).
 * Read by the loader; immutable afterwards. */
#ifndef LT_NET_TLS_CONF_H
#define LT_NET_TLS_CONF_H

#include "base/map.h"
#include "config/schema.h"
#include "net/tls.h"

struct lt_tls_cert_conf {
    struct lt_conf conf;
    struct lt_str certificate, key; /* files */
};

/* `tls` of a site. */
struct lt_tls_site_conf {
    struct lt_conf conf;
    struct lt_conf_list certificates; /* struct lt_tls_cert_conf */
};

enum lt_tls_min_version { LT_TLS_MIN_1_2, LT_TLS_MIN_1_3 };

/* `tls` at the top. */
struct lt_tls_conf {
    struct lt_conf conf;
    int min_version; /* enum lt_tls_min_version */
};

extern const struct lt_schema lt_tls_site_schema;
extern const struct lt_schema lt_tls_schema;

/* For struct lt_tls_policy: TLS1_2_VERSION or TLS1_3_VERSION. */
int lt_tls_conf_version(const struct lt_tls_conf *conf);

/* The certificates of one load by their files: many sites may share one. */
struct lt_tls_cert_cache {
    struct lt_map map; /* "certificate\0key" to struct lt_tls_cert, owned */
};

void lt_tls_cert_cache_init(struct lt_tls_cert_cache *cache, const struct lt_schema_load *load);
/* Lets go of the certificates; whoever got one has it still. */
void lt_tls_cert_cache_fini(struct lt_tls_cert_cache *cache);

/* Loads every certificate of a site, or takes it from cache; what is wrong is reported at its place
 * in the file. A pair of which one file isn't known (which was reported) is left out. out is
 * zeroed. True: out holds certificates.n of them, owned. False: none. */
bool lt_tls_conf_load(struct lt_schema_load *load, const struct lt_tls_site_conf *conf,
                      struct lt_tls_cert_cache *cache, struct lt_tls_cert **out) LT_MUST_CHECK;

#endif
