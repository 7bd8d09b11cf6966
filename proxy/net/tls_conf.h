/* SPDX-License-Identifier: Apache-2.0 */
/* The options of TLS: `tls` of a site (its certificates) and `tls` at the top (what holds for all).
 * Read by the loader; immutable afterwards. */
#ifndef LT_NET_TLS_CONF_H
#define LT_NET_TLS_CONF_H

#include "config/schema.h"
#include "net/tls.h"

enum lt_tls_missing { LT_TLS_MISSING_ERROR, LT_TLS_MISSING_TEMPORARY };

struct lt_tls_cert_conf {
    struct lt_conf conf;
    struct lt_str certificate, key; /* files */
    int missing;                    /* enum lt_tls_missing: what happens without them */
};

enum lt_tls_profile { LT_TLS_PROFILE_MODERN, LT_TLS_PROFILE_INTERMEDIATE };

/* What `tls` of a site and `tls` at the top have both. What isn't set is the profile's. */
struct lt_tls_terms_conf {
    int profile;                                       /* enum lt_tls_profile */
    int min_version, max_version;                      /* 0: 1.2, 1: 1.3 */
    struct lt_conf_list ciphers, ciphersuites, groups; /* struct lt_str: OpenSSL's names */
};

/* `client` in `tls` of a site. */
struct lt_tls_clients_conf {
    struct lt_conf conf;
    struct lt_str ca, crl; /* files; crl may be empty */
    int verify;            /* enum lt_tls_verify - 1 */
    int64_t depth;
    struct lt_conf_list tell; /* int: the number of a bit of enum lt_tls_tell */
};

/* `tls` of a site. */
struct lt_tls_site_conf {
    struct lt_conf conf;
    struct lt_conf_list certificates; /* struct lt_tls_cert_conf */
    struct lt_tls_terms_conf terms;
    struct lt_tls_clients_conf client;
};

struct lt_tls_tickets_conf {
    struct lt_conf conf;
    bool enabled;
    uint64_t rotate_ms, lifetime_ms;
    struct lt_str file; /* keys of a fleet; empty: our own */
};

enum lt_tls_unknown { LT_TLS_UNKNOWN_DEFAULT, LT_TLS_UNKNOWN_REFUSE };

/* `tls` at the top. */
struct lt_tls_conf {
    struct lt_conf conf;
    struct lt_tls_terms_conf terms;
    int unknown_names; /* enum lt_tls_unknown */
    struct lt_tls_tickets_conf tickets;
    uint64_t watch_ms; /* between two looks at the files; 0: never */
};

extern const struct lt_schema lt_tls_site_schema;
extern const struct lt_schema lt_tls_schema;

/* For lists of names: whether OpenSSL knows each. (net/tls_terms.c) */
void lt_tls_check_ciphers(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value);
void lt_tls_check_suites(struct lt_schema_load *load, const struct lt_node *node,
                         const void *value);
void lt_tls_check_groups(struct lt_schema_load *load, const struct lt_node *node,
                         const void *value);

/* What holds for a site (NULL: for sites that say nothing themselves): its own options, else those
 * of the profile that it names, else those at the top. Texts live in arena. False without memory.
 * (net/tls_terms.c) */
bool lt_tls_terms_resolve(struct lt_arena *arena, const struct lt_tls_conf *top,
                          const struct lt_tls_site_conf *site,
                          struct lt_tls_terms *out) LT_MUST_CHECK;

/* The policy of a site; what is wrong with its authorities is reported at its place. *crl_ends:
 * when its revocation lists are out of date, in seconds since 1970; INT64_MAX: it has none. NULL
 * when something is wrong, or without memory. Returns owned. (net/tls_clients_conf.c) */
struct lt_tls_policy *lt_tls_policy_load(struct lt_schema_load *load, const struct lt_tls_conf *top,
                                         const struct lt_tls_site_conf *site,
                                         int64_t *crl_ends) LT_MUST_CHECK;

extern const struct lt_schema lt_tls_clients_schema;

/* From so many seconds before its end on a certificate is warned of; one for a shorter time, in the
 * last third of it. */
#define LT_TLS_SOON_S (INT64_C(21) * 86400)

/* What stands in for a certificate while a file of it isn't there, if conf wants that: a temporary
 * one, which is warned of. NULL: nothing does, load it. Returns owned. */
struct lt_tls_cert *lt_tls_cert_conf_stand_in(struct lt_schema_load *load,
                                              const struct lt_tls_cert_conf *conf) LT_MUST_CHECK;

/* Loads one certificate with its key; what is wrong is reported at its place in the file, and what
 * is wrong with its time is a warning. NULL: none. Returns owned. */
struct lt_tls_cert *lt_tls_cert_conf_load(struct lt_schema_load *load,
                                          const struct lt_tls_cert_conf *conf) LT_MUST_CHECK;

#endif
